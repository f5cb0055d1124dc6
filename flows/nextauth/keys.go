package nextauth

import (
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
)

// Options are what of v3's option jwt decides how its tokens look. Keys are JWK
// as JSON text and take the place of what the secret gives; "" is none.
type Options struct {
	Secret          string // jwt.secret, else the site's secret
	SigningKey      string
	VerificationKey string // SigningKey by default
	EncryptionKey   string
	DecryptionKey   string // EncryptionKey by default
}

// Tokens makes and reads the tokens of one site.
type Tokens struct {
	signing, verification  []byte
	encryption, decryption [32]byte
	derived                []byte // for MAC
}

// Lengths of keys, in bytes.
const (
	signingKey    = 64
	encryptionKey = 32
	minSigningKey = 32 // of a configured one: whoever has a cookie can guess at it offline (security X-1)
)

// New refuses keys that v3 would not have used with HS512 and A256GCM, and to
// derive keys from no secret, with an *OptionError.
func New(o Options) (t Tokens, err error) {
	if o.VerificationKey == "" {
		o.VerificationKey = o.SigningKey
	}
	if o.DecryptionKey == "" {
		o.DecryptionKey = o.EncryptionKey
	}
	if t.signing, err = o.key("signing_key", o.SigningKey, "Signing", signingKey); err != nil {
		return Tokens{}, err
	}
	if t.verification, err = o.key("verification_key", o.VerificationKey, "Signing", signingKey); err != nil {
		return Tokens{}, err
	}
	encrypting, err := o.key("encryption_key", o.EncryptionKey, "Encryption", encryptionKey)
	if err != nil {
		return Tokens{}, err
	}
	decrypting, err := o.key("decryption_key", o.DecryptionKey, "Encryption", encryptionKey)
	if err != nil {
		return Tokens{}, err
	}
	t.encryption, t.decryption = [32]byte(encrypting), [32]byte(decrypting)
	t.derived, err = hkdf.Key(sha256.New, t.verification, nil, "gatepost", sha256.Size)
	return t, err
}

// key is the JWK given, or what v3 derives from the secret for that purpose.
func (o Options) key(option, jwk, purpose string, n int) ([]byte, error) {
	switch {
	case jwk != "" && purpose == "Signing":
		k, err := parseJWK(jwk, "HS512", "sig")
		if err == nil && len(k) < minSigningKey {
			err = fmt.Errorf("it has %d bytes, needs %d", len(k), minSigningKey)
		}
		return k, named(option, err)
	case jwk != "":
		k, err := parseJWK(jwk, "A256GCM", "enc")
		if err == nil && len(k) != n {
			err = fmt.Errorf("it has %d bytes, A256GCM takes %d", len(k), n)
		}
		return k, named(option, err)
	case o.Secret == "":
		return nil, named(option, errors.New("there is neither a key nor a secret to derive it from"))
	}
	return hkdf.Key(sha256.New, []byte(o.Secret), nil, "NextAuth.js Generated "+purpose+" Key", n)
}

// An OptionError says which of Options is wrong, in snake case, and never what it
// holds.
type OptionError struct {
	Option string
	Err    error
}

func (e *OptionError) Error() string { return e.Option + ": " + e.Err.Error() }
func (e *OptionError) Unwrap() error { return e.Err }

func named(option string, err error) error {
	if err != nil {
		return &OptionError{option, err}
	}
	return nil
}

// parseJWK reads a symmetric JWK. Without alg v3 signs with HS256, and then
// refuses what it signed.
func parseJWK(text, alg, use string) ([]byte, error) {
	var k struct{ Kty, K, Alg, Use string }
	if json.Unmarshal([]byte(text), &k) != nil {
		return nil, errors.New(`it is not a JWK as JSON: {"kty":"oct","alg":"` + alg + `","k":"…"}`)
	}
	switch {
	case k.Kty != "oct":
		return nil, fmt.Errorf("its kty is %q; only oct, a symmetric key, is understood", k.Kty)
	case k.Alg != alg && (k.Alg != "" || alg == "HS512"):
		return nil, fmt.Errorf("its alg is %q, must be %s", k.Alg, alg)
	case k.Use != "" && k.Use != use:
		return nil, fmt.Errorf("its use is %q, must be %s", k.Use, use)
	}
	raw, err := base64.RawURLEncoding.DecodeString(k.K)
	if err != nil || len(raw) == 0 {
		return nil, errors.New("its k is not base64url")
	}
	return raw, nil
}
