package providers

import (
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// assertionType is RFC 7523 §2.2.
const assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

// signedSecret is the JWT by which a client without a shared secret proves
// itself (RFC 7523 §3, and Apple's likeness of it). It lives five minutes and is
// made for each request, so that nothing has to be renewed.
//
// Source: https://developer.apple.com/documentation/accountorganizationaldatasharing/creating-a-client-secret
func (c *Client) signedSecret(tokenURL string) (string, error) {
	if c.doc.ClientSecretJWT == nil {
		return "", errors.New("client_secret_jwt is missing")
	}
	key, alg, err := signingKey(c.params["private_key"], c.doc.ClientSecretJWT.Alg)
	if err != nil {
		return "", err
	}
	options := &jose.SignerOptions{}
	for name, v := range c.doc.ClientSecretJWT.Header {
		if v != "" {
			options.WithHeader(jose.HeaderKey(name), v)
		}
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: key}, options)
	if err != nil {
		return "", errors.New("private_key does not sign " + string(alg))
	}
	now := c.now()
	claims := map[string]any{"iat": now.Unix(), "exp": now.Add(5 * time.Minute).Unix()}
	for name, v := range c.doc.ClientSecretJWT.Claims {
		switch v {
		case "$token_url":
			v = tokenURL
		case "$random":
			v = randomText()
		}
		claims[name] = v
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		return "", err
	}
	signed, err := signer.Sign(payload)
	if err != nil {
		return "", errors.New("private_key does not sign " + string(alg))
	}
	return signed.CompactSerialize()
}

// signingKey reads a PEM key, in PKCS#8 or as old tools write it; \n may stand
// for line ends, as environments force it.
func signingKey(text, alg string) (any, jose.SignatureAlgorithm, error) {
	block, _ := pem.Decode([]byte(strings.ReplaceAll(text, `\n`, "\n")))
	if block == nil {
		return nil, "", errors.New("private_key is not PEM; it is the whole content of the key file")
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		if parsed, err = x509.ParsePKCS1PrivateKey(block.Bytes); err != nil {
			parsed, err = x509.ParseECPrivateKey(block.Bytes)
		}
	}
	if err != nil {
		return nil, "", errors.New("private_key is not a key in PKCS#8")
	}
	switch key := parsed.(type) {
	case *ecdsa.PrivateKey:
		if alg == "ES256" && key.Curve.Params().BitSize == 256 {
			return key, jose.ES256, nil
		}
	case *rsa.PrivateKey:
		if alg == "RS256" && key.N.BitLen() >= 2048 {
			return key, jose.RS256, nil
		}
	}
	return nil, "", errors.New("private_key is not of the kind that " + alg + " needs")
}
