package flows

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"strings"
)

const sealedPrefix = "gp1."

var errNotSealed = errors.New("not a value sealed with one of our keys")

// sealUpstream encrypts a provider's token for the accounts table (security
// O-38): "gp1.<key id>.<base64url of nonce and AES-256-GCM>". owner (the row's
// compound_id and column) is authenticated with it, so that a token copied to
// another row does not open. "" stays "".
func (k Keys) sealUpstream(token, owner string) string {
	if token == "" {
		return ""
	}
	key := k.Derive("upstream token", 32)[0]
	gcm := newGCM(key)
	nonce := make([]byte, gcm.NonceSize())
	rand.Read(nonce)
	sealed := gcm.Seal(nonce, nonce, []byte(token), []byte(owner))
	return sealedPrefix + keyID(key) + "." + base64.RawURLEncoding.EncodeToString(sealed)
}

// openUpstream reverses sealUpstream with whichever key sealed it.
func (k Keys) openUpstream(sealed, owner string) (string, error) {
	if sealed == "" {
		return "", nil
	}
	id, body, ok := strings.Cut(strings.TrimPrefix(sealed, sealedPrefix), ".")
	if !ok || !strings.HasPrefix(sealed, sealedPrefix) {
		return "", errNotSealed
	}
	raw, err := base64.RawURLEncoding.DecodeString(body)
	if err != nil {
		return "", errNotSealed
	}
	for _, key := range k.Derive("upstream token", 32) {
		if keyID(key) != id {
			continue
		}
		gcm := newGCM(key)
		if len(raw) < gcm.NonceSize() {
			return "", errNotSealed
		}
		token, err := gcm.Open(nil, raw[:gcm.NonceSize()], raw[gcm.NonceSize():], []byte(owner))
		if err != nil {
			return "", errNotSealed
		}
		return string(token), nil
	}
	return "", errNotSealed
}

func newGCM(key []byte) cipher.AEAD {
	block, err := aes.NewCipher(key)
	if err != nil {
		panic(err) // the key has 32 bytes
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		panic(err)
	}
	return gcm
}

func keyID(key []byte) string {
	sum := sha256.Sum256(append([]byte("key id "), key...))
	return hex.EncodeToString(sum[:4])
}
