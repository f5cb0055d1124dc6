package nextauth

import (
	"bytes"
	"compress/flate"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

// Why a token is refused.
var (
	ErrMalformed = errors.New("not a token of next-auth 3") // its form, or a header other than v3 writes
	ErrForged    = errors.New("not made with this site's key")
	ErrTooLarge  = errors.New("more than a cookie holds")
	ErrExpired   = errors.New("over")
	ErrNoTime    = errors.New("it does not say when it was made")
	ErrPurpose   = errors.New("made for something else")
)

// The headers that v3 writes, and nothing beside them: no other algorithm, no
// «none», no key of the sender's choice is ever looked at (security O-12).
var (
	jwsHeader = encode([]byte(`{"alg":"HS512"}`))
	jweHeader = encode([]byte(`{"alg":"dir","enc":"A256GCM","zip":"DEF"}`))
)

const (
	maxCookie = 4096     // bytes; browsers keep no longer cookie
	maxPlain  = 64 << 10 // bytes inside an encrypted one, against what deflates to much
	maxAhead  = time.Minute
)

// Claims are what a token says, all of it signed by the site.
type Claims struct {
	Values   map[string]any // numbers as json.Number
	IssuedAt time.Time
	Ends     time.Time // of exp and iat + maxAge the earlier
	// Signed is the text that the signature is of. Two tokens that differ
	// elsewhere, as by another encryption, say the same.
	Signed string
}

// Encode signs claims, JSON of an object, as v3's jwt.encode does.
func (t Tokens) Encode(claims []byte, encrypted bool) string {
	signed := jwsHeader + "." + encode(claims)
	token := signed + "." + encode(signature(t.signing, signed))
	if !encrypted {
		return token
	}
	var deflated bytes.Buffer
	w, err := flate.NewWriter(&deflated, flate.DefaultCompression)
	if err != nil {
		panic(err) // the level is a constant
	}
	io.WriteString(w, token)
	w.Close()
	var iv [12]byte
	rand.Read(iv[:])
	return t.seal(iv, deflated.Bytes())
}

func (t Tokens) seal(iv [12]byte, plain []byte) string {
	sealed := gcm(t.encryption).Seal(nil, iv[:], plain, []byte(jweHeader))
	at := len(sealed) - 16
	return jweHeader + ".." + encode(iv[:]) + "." + encode(sealed[:at]) + "." + encode(sealed[at:])
}

// Decode is what a token says that this site made at most maxAge ago and that is
// not over, as v3's jwt.decode has it. encrypted says which kind it must be: a
// site has one.
func (t Tokens) Decode(token string, encrypted bool, maxAge time.Duration, now time.Time) (Claims, error) {
	if len(token) > maxCookie {
		return Claims{}, ErrTooLarge
	}
	if encrypted {
		var err error
		if token, err = t.decrypt(token); err != nil {
			return Claims{}, err
		}
	}
	return t.verify(token, maxAge, now)
}

// IsToken reports whether cookie looks like one that Encode makes. No key is
// asked: it may be anybody's, or over.
func IsToken(cookie string) bool {
	return strings.HasPrefix(cookie, jwsHeader+".") || strings.HasPrefix(cookie, jweHeader+".")
}

// MAC is a keyed hash of what a token says, 64 hex digits, for one purpose of
// ours. Its key comes from the one that verifies tokens: who changes that ends
// the tokens and what was derived from them.
func (t Tokens) MAC(purpose, signed string) string {
	h := hmac.New(sha256.New, t.derived)
	io.WriteString(h, purpose+"\x00"+signed)
	return hex.EncodeToString(h.Sum(nil))
}

// decrypt opens a JWE in compact form.
func (t Tokens) decrypt(token string) (string, error) {
	parts := strings.Split(token, ".")
	if len(parts) != 5 || parts[0] != jweHeader || parts[1] != "" {
		return "", ErrMalformed
	}
	iv, ok1 := decode(parts[2])
	sealed, ok2 := decode(parts[3])
	tag, ok3 := decode(parts[4])
	if !ok1 || !ok2 || !ok3 || len(iv) != 12 || len(tag) != 16 {
		return "", ErrMalformed
	}
	deflated, err := gcm(t.decryption).Open(nil, iv, append(sealed, tag...), []byte(parts[0]))
	if err != nil {
		return "", ErrForged
	}
	// Only what this site encrypted gets here; a bound is no worse for that.
	plain, err := io.ReadAll(io.LimitReader(flate.NewReader(bytes.NewReader(deflated)), maxPlain+1))
	switch {
	case len(plain) > maxPlain:
		return "", ErrTooLarge
	case err != nil:
		return "", ErrMalformed
	}
	return string(plain), nil
}

// verify reads a JWS in compact form.
func (t Tokens) verify(token string, maxAge time.Duration, now time.Time) (Claims, error) {
	at := strings.LastIndexByte(token, '.')
	payload, ok := "", false
	if at >= 0 {
		payload, ok = strings.CutPrefix(token[:at], jwsHeader+".")
	}
	if !ok {
		return Claims{}, ErrMalformed
	}
	mac, ok := decode(token[at+1:])
	if !ok {
		return Claims{}, ErrMalformed
	}
	// No key must not be a key that everybody has.
	if len(t.verification) == 0 || !hmac.Equal(mac, signature(t.verification, token[:at])) {
		return Claims{}, ErrForged
	}
	raw, ok := decode(payload)
	if !ok {
		return Claims{}, ErrMalformed
	}
	c := Claims{Signed: token[:at]}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	if d.Decode(&c.Values) != nil || c.Values == nil {
		return Claims{}, ErrMalformed
	}
	if _, err := d.Token(); err != io.EOF {
		return Claims{}, ErrMalformed
	}
	if err := c.timed(maxAge, now); err != nil {
		return Claims{}, err
	}
	return c, nil
}

// timed sets when c was made and ends, and refuses what is not valid now. iat is
// required: without it a token would never grow too old.
func (c *Claims) timed(maxAge time.Duration, now time.Time) error {
	iat, present, ok := c.time("iat")
	if !present {
		return ErrNoTime
	}
	exp, ends, ok2 := c.time("exp")
	nbf, begins, ok3 := c.time("nbf")
	if !ok || !ok2 || !ok3 {
		return ErrMalformed
	}
	c.IssuedAt, c.Ends = iat, iat.Add(maxAge)
	if ends && exp.Before(c.Ends) {
		c.Ends = exp
	}
	switch {
	case !now.Before(c.Ends):
		return ErrExpired
	case iat.After(now.Add(maxAhead)): // the site's clock may be a little ahead of ours
		return fmt.Errorf("%w: it was made in the future", ErrNoTime)
	case begins && nbf.After(now.Add(maxAhead)):
		return fmt.Errorf("%w: it is not valid yet", ErrNoTime)
	}
	return nil
}

// time reads a NumericDate (RFC 7519 §2).
func (c *Claims) time(name string) (at time.Time, present, ok bool) {
	v, present := c.Values[name]
	if !present {
		return at, false, true
	}
	n, isNumber := v.(json.Number)
	if !isNumber {
		return at, true, false
	}
	f, err := n.Float64()
	if err != nil || f < 0 || f > 1e11 {
		return at, true, false
	}
	return time.Unix(int64(f), 0), true, true
}

func signature(key []byte, signed string) []byte {
	h := hmac.New(sha512.New, key)
	io.WriteString(h, signed)
	return h.Sum(nil)
}

func gcm(key [32]byte) cipher.AEAD {
	block, err := aes.NewCipher(key[:])
	if err != nil {
		panic(err) // the key has 32 bytes
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		panic(err)
	}
	return aead
}

func encode(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// decode takes one spelling only. Go's decoder passes over line breaks and bits
// beyond the end, by which one token could be written in many ways.
func decode(s string) ([]byte, bool) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(s)
	return b, err == nil && encode(b) == s
}
