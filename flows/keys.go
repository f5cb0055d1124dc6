package flows

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
)

// MinSecret is the shortest secret accepted, in bytes. The CSRF cookie and the
// mailed links show values keyed by it to everybody, so a guessable secret can
// be searched for offline (security X-1; nextauth-v3 §18 row 14).
const MinSecret = 32

// Keys are the operator's secrets: the first signs, all verify. A secret is
// never used itself, only a key derived from it for one purpose, so that
// nothing issued for one step is accepted by another (security G-1).
type Keys struct{ secrets [][]byte }

// NewKeys refuses an empty list and a secret under MinSecret bytes.
func NewKeys(secrets [][]byte) (Keys, error) {
	if len(secrets) == 0 {
		return Keys{}, errors.New("no keys: create one with «gatepost keys new»")
	}
	for i, s := range secrets {
		if len(s) < MinSecret {
			return Keys{}, fmt.Errorf("key %d has %d bytes, needs %d: create one with «gatepost keys new»", i+1, len(s), MinSecret)
		}
	}
	return Keys{secrets}, nil
}

// Derive gives one key of n bytes per secret, in the order of the secrets.
func (k Keys) Derive(purpose string, n int) [][]byte {
	derived := make([][]byte, len(k.secrets))
	for i, s := range k.secrets {
		key, err := hkdf.Key(sha256.New, s, nil, "gatepost "+purpose, n)
		if err != nil {
			panic(err) // n is a constant of ours, far under HKDF's limit
		}
		derived[i] = key
	}
	return derived
}

// MAC is the keyed hash that identifies value for purpose, 64 hex digits, by
// the signing key.
func (k Keys) MAC(purpose, value string) string { return k.MACs(purpose, value)[0] }

// MACs is MAC by every key: what a stored value may look like while keys are
// being rotated.
func (k Keys) MACs(purpose, value string) []string {
	macs := make([]string, len(k.secrets))
	for i, key := range k.Derive(purpose, 32) {
		h := hmac.New(sha256.New, key)
		h.Write([]byte(purpose + "\x00" + value))
		macs[i] = hex.EncodeToString(h.Sum(nil))
	}
	return macs
}

// randomToken is 256 random bits, 43 characters of base64url.
func randomToken() string {
	var b [32]byte
	rand.Read(b[:])
	return base64.RawURLEncoding.EncodeToString(b[:])
}
