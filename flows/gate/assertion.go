package gate

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"strconv"
	"time"
)

// AssertionTTL is how long an assertion is valid. It is short because nobody
// can take one back.
const AssertionTTL = 5 * time.Minute

// A Signer makes assertions: JSON Web Tokens (RFC 7519) signed by Ed25519 (RFC
// 8037) that tell an application who asks, and survive a proxy that lets a
// client's own headers through.
type Signer struct {
	issuer string
	key    ed25519.PrivateKey
	header string // of every token, encoded
	jwks   []byte
}

// NewSigner takes the issuer's URL and seeds of ed25519.SeedSize bytes: the
// first signs, all are published, so that a verifier knows a key before it is
// used and after.
func NewSigner(issuer string, seeds [][]byte) (*Signer, error) {
	type jwk struct {
		KeyType   string `json:"kty"`
		Curve     string `json:"crv"`
		X         string `json:"x"`
		KeyID     string `json:"kid"`
		Algorithm string `json:"alg"`
		Use       string `json:"use"`
	}
	var set struct {
		Keys []jwk `json:"keys"`
	}
	s := &Signer{issuer: issuer}
	for i, seed := range seeds {
		key := ed25519.NewKeyFromSeed(seed)
		x := key.Public().(ed25519.PublicKey)
		sum := sha256.Sum256(x)
		k := jwk{"OKP", "Ed25519", encode(x), encode(sum[:12]), "EdDSA", "sig"}
		set.Keys = append(set.Keys, k)
		if i > 0 {
			continue
		}
		header, err := json.Marshal(map[string]string{"alg": "EdDSA", "typ": "JWT", "kid": k.KeyID})
		if err != nil {
			return nil, err
		}
		s.key, s.header = key, encode(header)+"."
	}
	var err error
	s.jwks, err = json.Marshal(set)
	return s, err
}

// JWKS is the JSON Web Key Set (RFC 7517 §5) that verifies assertions.
func (s *Signer) JWKS() []byte { return s.jwks }

// Sign asserts to the application at host, and to no other, that id asks.
func (s *Signer) Sign(host string, id Identity, now time.Time) (string, error) {
	id = id.told()
	claims, err := json.Marshal(struct {
		Issuer   string   `json:"iss"`
		Audience string   `json:"aud"`
		Subject  string   `json:"sub"`
		Email    string   `json:"email,omitempty"`
		Name     string   `json:"name,omitempty"`
		Groups   []string `json:"groups,omitempty"`
		IssuedAt int64    `json:"iat"`
		Expires  int64    `json:"exp"`
		ID       string   `json:"jti"`
	}{s.issuer, host, strconv.Itoa(int(id.UserID)), id.Email, id.Name, id.Groups, now.Unix(), now.Add(AssertionTTL).Unix(), rand.Text()})
	if err != nil {
		return "", err
	}
	signed := s.header + encode(claims)
	return signed + "." + encode(ed25519.Sign(s.key, []byte(signed))), nil
}

func encode(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }
