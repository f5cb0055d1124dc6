package nextauth

import (
	"encoding/json"
	"strings"
	"time"
)

// SessionClaims are what v3 signs of somebody who is signed in. nil is null.
type SessionClaims struct {
	Name    *string `json:"name"`
	Email   *string `json:"email"`
	Picture *string `json:"picture"`
	Sub     string  `json:"sub"` // users.id; without a database, the account's id at its provider
	Iat     int64   `json:"iat"`
	Exp     int64   `json:"exp"`
}

// EncodeSession makes the value of v3's session cookie.
func (t Tokens) EncodeSession(s SessionClaims, encrypted bool) string {
	return t.Encode(mustJSON(s), encrypted)
}

// DecodeSession reads v3's session cookie. A PKCE cookie, which v3 makes with the
// same keys, is no session (CVE-2023-48309), and neither is what names nobody.
func (t Tokens) DecodeSession(cookie string, encrypted bool, maxAge time.Duration, now time.Time) (SessionClaims, Claims, error) {
	c, err := t.Decode(cookie, encrypted, maxAge, now)
	if err != nil {
		return SessionClaims{}, Claims{}, err
	}
	sub, _ := c.Values["sub"].(string)
	if _, other := c.Values[verifierClaim]; other || sub == "" {
		return SessionClaims{}, Claims{}, ErrPurpose
	}
	text := func(claim string) *string {
		if s, ok := c.Values[claim].(string); ok {
			return &s
		}
		return nil
	}
	s := SessionClaims{Name: text("name"), Email: text("email"), Picture: text("picture"), Sub: sub, Iat: c.IssuedAt.Unix(), Exp: c.Ends.Unix()}
	return s, c, nil
}

const (
	verifierClaim = "code_verifier"
	// VerifierTTL is how long v3 waits for a provider's answer.
	VerifierTTL = 15 * time.Minute
)

// EncodeVerifier makes the value of v3's PKCE cookie.
func (t Tokens) EncodeVerifier(verifier string, now time.Time) string {
	return t.Encode(mustJSON(struct {
		Verifier string `json:"code_verifier"`
		Iat      int64  `json:"iat"`
		Exp      int64  `json:"exp"`
	}{verifier, now.Unix(), now.Add(VerifierTTL).Unix()}), true)
}

// DecodeVerifier reads v3's PKCE cookie. A session cookie is none.
func (t Tokens) DecodeVerifier(cookie string, now time.Time) (string, error) {
	c, err := t.Decode(cookie, true, VerifierTTL, now)
	if err != nil {
		return "", err
	}
	verifier, _ := c.Values[verifierClaim].(string)
	if _, other := c.Values["sub"]; other || !validVerifier(verifier) {
		return "", ErrPurpose
	}
	return verifier, nil
}

// validVerifier is RFC 7636 §4.1.
func validVerifier(v string) bool {
	return len(v) >= 43 && len(v) <= 128 && strings.Trim(v, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~") == ""
}

func mustJSON(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // text and numbers
	}
	return b
}
