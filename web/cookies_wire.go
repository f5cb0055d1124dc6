package web

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/gorilla/securecookie"

	"github.com/gatepost/gatepost/flows"
	"github.com/gatepost/gatepost/flows/nextauth"
)

// A wire is how the cookies are written that NextAuth has too: session, CSRF
// token and callback URL. There are two: ours, and that of the NextAuth v3 site
// which shares our browsers.
type wire interface {
	name(base string) string
	line(base string, c *http.Cookie) string // the value of Set-Cookie
	sealSession(token flows.SessionToken) (string, error)
	openSession(value string) (flows.SessionToken, bool)
	csrfHashes(token string) []string // that may stand beside a token; the first is written
	escape(target string) string      // the value for an address to return to
	// keepsToken reports that a browser has one CSRF token and address to return
	// to until it closes.
	keepsToken() bool
}

type ownWire struct {
	secure  bool
	domain  bool // the session cookie has one
	csrf    [][]byte
	session []securecookie.Codec
}

// name adds the prefix that browsers enforce: __Host- keeps a sibling host from
// planting the cookie; only the session cookie may have a Domain (security S-7,
// S-10). Plain http is for development on loopback.
func (w ownWire) name(base string) string {
	switch {
	case !w.secure:
		return base
	case w.domain && base == sessionCookie:
		return "__Secure-" + base
	default:
		return "__Host-" + base
	}
}

func (ownWire) line(_ string, c *http.Cookie) string { return c.String() }

func (w ownWire) sealSession(token flows.SessionToken) (string, error) {
	return securecookie.EncodeMulti(w.name(sessionCookie), string(token), w.session[:1]...)
}

// sealedSession is how long the session cookie's value is: securecookie makes as
// much of each 43 characters. What is longer or shorter costs no cryptography.
const sealedSession = 172

// quoted writes a session token as encoding/json does, and reads it in a tenth of
// the time: none of its characters is ever escaped.
type quoted struct{}

func (quoted) Serialize(token any) ([]byte, error) { return fmt.Appendf(nil, "\"%s\"\n", token), nil }

func (quoted) Deserialize(raw []byte, into any) error {
	token, opened := bytes.CutPrefix(raw, []byte(`"`))
	token, closed := bytes.CutSuffix(token, []byte("\"\n"))
	if !opened || !closed || bytes.ContainsAny(token, `"\\`) {
		return errors.New("not a session token in quotes")
	}
	*into.(*string) = string(token)
	return nil
}

func (w ownWire) openSession(value string) (flows.SessionToken, bool) {
	var token string
	if len(value) != sealedSession || securecookie.DecodeMulti(w.name(sessionCookie), value, &token, w.session...) != nil {
		return "", false
	}
	return flows.SessionToken(token), true
}

func (w ownWire) csrfHashes(token string) []string {
	hashes := make([]string, len(w.csrf))
	for i, key := range w.csrf {
		hashes[i] = csrfMAC(key, token)
	}
	return hashes
}

func csrfMAC(key []byte, token string) string {
	h := hmac.New(sha256.New, key)
	h.Write([]byte("csrf\x00" + token))
	return hex.EncodeToString(h.Sum(nil))
}

// notInCookies escapes of a URL what a cookie's value may not hold, and no more:
// it may be long.
var notInCookies = strings.NewReplacer("%", "%25", ",", "%2C", ";", "%3B", `"`, "%22")

func (ownWire) escape(target string) string { return notInCookies.Replace(target) }

func (ownWire) keepsToken() bool { return false }

// nextAuthWire writes the three as NextAuth v3 does, and all others as we do.
type nextAuthWire struct {
	ownWire
	secret nextauth.Secret
}

var nextAuthNames = map[string]struct{ prefix, name string }{
	sessionCookie:  {"__Secure-", "next-auth.session-token"},
	csrfCookie:     {"__Host-", "next-auth.csrf-token"},
	returnToCookie: {"__Secure-", "next-auth.callback-url"},
	verifierCookie: {"__Secure-", "next-auth.pkce.code_verifier"},
}

func (w nextAuthWire) name(base string) string {
	n, shared := nextAuthNames[base]
	switch {
	case !shared:
		return w.ownWire.name(base)
	case w.secure:
		return n.prefix + n.name
	}
	return n.name
}

// line has NextAuth's attributes in its order: Expires without Max-Age, and to
// clear a cookie both.
func (w nextAuthWire) line(base string, c *http.Cookie) string {
	if _, shared := nextAuthNames[base]; !shared {
		return w.ownWire.line(base, c)
	}
	var b strings.Builder
	b.WriteString(c.Name + "=" + c.Value)
	expires := c.Expires
	if c.MaxAge < 0 {
		b.WriteString("; Max-Age=0")
		expires = time.Now()
	}
	if c.Domain != "" {
		b.WriteString("; Domain=" + c.Domain)
	}
	b.WriteString("; Path=/")
	if !expires.IsZero() {
		b.WriteString("; Expires=" + expires.UTC().Format(http.TimeFormat))
	}
	b.WriteString("; HttpOnly")
	if c.Secure {
		b.WriteString("; Secure")
	}
	b.WriteString("; SameSite=Lax")
	return b.String()
}

func (nextAuthWire) sealSession(token flows.SessionToken) (string, error) {
	return nextauth.EncodeURIComponent(string(token)), nil
}

func (nextAuthWire) openSession(value string) (flows.SessionToken, bool) {
	return flows.SessionToken(nextauth.DecodeURIComponent(value)), value != ""
}

func (w nextAuthWire) csrfHashes(token string) []string { return []string{w.secret.Hash(token)} }

func (nextAuthWire) escape(target string) string { return nextauth.EncodeURIComponent(target) }

// keepsToken: NextAuth's sign-ins that are under way and its open pages depend
// on the CSRF token. That somebody plants one (security C-5) is what the prefix
// __Host- is for, and where a form comes from is looked at besides.
func (nextAuthWire) keepsToken() bool { return true }
