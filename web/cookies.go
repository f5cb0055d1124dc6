package web

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"net/http"
	"net/url"
	"sort"
	"strings"
	"time"

	"github.com/gorilla/securecookie"
	"github.com/labstack/echo/v4"

	"github.com/gatepost/gatepost/flows"
)

// Names as the design has them; cookies.name adds the prefix.
const (
	sessionCookie  = "gatepost.session-token"
	csrfCookie     = "gatepost.csrf-token"
	returnToCookie = "gatepost.callback-url"
	attemptCookie  = "gatepost.attempt-" // + 16 hex digits of the state
	answerCookie   = "gatepost.answer-"  // + the same; what a form_post brought
	mailCookie     = "gatepost.mail-attempt"
	pendingCookie  = "gatepost.pending-link"
	typedCookie    = "gatepost.typed-address"
	lastUsedCookie = "gatepost.last-provider"
	crossingCookie = "gatepost.crossing-" // + 16 hex digits of its bind
	bouncesCookie  = "gatepost.bounces"
	carriedCode    = "gatepost.carried" // in a URL, never a cookie
	maxAttempts    = 5                  // sign-ins under way in one browser, security O-40
	maxCookieLife  = 400 * 24 * time.Hour
)

// cookies writes and reads every cookie of Gatepost. What only we may read is
// sealed: encrypted and authenticated by keys of that purpose alone, with the
// cookie's name inside (security G-1, K-S6).
type cookies struct {
	secure bool
	domain string // of the session cookie only
	sites  []Site // whose session cookies have domains of their own
	csrf   [][]byte
	sealed map[string][]securecookie.Codec // by purpose
}

func newCookies(keys flows.Keys, secure bool, domain string, sites []Site) *cookies {
	k := &cookies{secure: secure, domain: domain, sites: sites, csrf: keys.Derive("csrf cookie", 32), sealed: map[string][]securecookie.Codec{}}
	for _, purpose := range []string{sessionCookie, attemptCookie, answerCookie, mailCookie, pendingCookie, typedCookie, crossingCookie, bouncesCookie, carriedCode} {
		hash, block := keys.Derive("mac "+purpose, 32), keys.Derive("seal "+purpose, 32)
		for i := range hash {
			codec := securecookie.New(hash[i], block[i])
			codec.SetSerializer(securecookie.JSONEncoder{})
			// A session's row decides how long it lives; the others are over
			// with the attempt they belong to, whose start is inside too.
			codec.MaxAge(0)
			if purpose != sessionCookie {
				codec.MaxAge(24 * 60 * 60)
			}
			k.sealed[purpose] = append(k.sealed[purpose], codec)
		}
	}
	return k
}

// name adds the prefix that browsers enforce: __Host- keeps a sibling host from
// planting the cookie; only the session cookie may have a Domain (security S-7,
// S-10). Plain http is for development on loopback.
func (k *cookies) name(base string) string {
	switch {
	case !k.secure:
		return base
	case k.domain != "" && base == sessionCookie:
		return "__Secure-" + base
	default:
		return "__Host-" + base
	}
}

// domainFor is the Domain of the session cookie on the host that was asked.
func (k *cookies) domainFor(c echo.Context) string {
	for _, s := range k.sites {
		if strings.EqualFold(s.host(), c.Request().Host) {
			return s.Domain
		}
	}
	return k.domain
}

// set writes one cookie. expires zero means: until the browser closes.
func (k *cookies) set(c echo.Context, base, value string, expires time.Time) {
	cookie := &http.Cookie{Name: k.name(base), Value: value, Path: "/", HttpOnly: true, Secure: k.secure, SameSite: http.SameSiteLaxMode}
	if base == sessionCookie {
		cookie.Domain = k.domainFor(c)
	}
	if !expires.IsZero() {
		left := min(time.Until(expires), maxCookieLife)
		cookie.Expires, cookie.MaxAge = time.Now().Add(left).UTC(), max(int(left/time.Second), 1)
	}
	http.SetCookie(c.Response(), cookie)
}

// clear removes a cookie with the attributes it was set with (security S-5).
func (k *cookies) clear(c echo.Context, base string) {
	cookie := &http.Cookie{Name: k.name(base), Path: "/", MaxAge: -1, HttpOnly: true, Secure: k.secure, SameSite: http.SameSiteLaxMode}
	if base == sessionCookie {
		cookie.Domain = k.domainFor(c)
	}
	http.SetCookie(c.Response(), cookie)
}

// get returns the value of the one cookie of that name. Two of them are none: a
// sibling host has planted one (security S-9).
func (k *cookies) get(c echo.Context, base string) (value string, ok bool) {
	name := k.name(base)
	found := c.Request().CookiesNamed(name)
	if len(found) != 1 {
		return "", false
	}
	return found[0].Value, true
}

// tossed reports that a browser sent several cookies of one name.
func (k *cookies) tossed(c echo.Context, base string) bool {
	return len(c.Request().CookiesNamed(k.name(base))) > 1
}

func (k *cookies) seal(c echo.Context, purpose, base string, value any, expires time.Time) error {
	sealed, err := securecookie.EncodeMulti(k.name(base), value, k.sealed[purpose][:1]...)
	if err != nil {
		return err
	}
	k.set(c, base, sealed, expires)
	return nil
}

func (k *cookies) open(c echo.Context, purpose, base string, into any) bool {
	value, ok := k.get(c, base)
	return ok && securecookie.DecodeMulti(k.name(base), value, into, k.sealed[purpose]...) == nil
}

// setSession puts the session of a sign-in into the browser and ends what
// belonged to the way there. The CSRF token is renewed (security C-5).
func (k *cookies) setSession(c echo.Context, token flows.SessionToken, expires time.Time) error {
	return k.seal(c, sessionCookie, sessionCookie, string(token), expires)
}

// session is the token that this browser presents, "" for none.
func (k *cookies) session(c echo.Context) flows.SessionToken {
	var token string
	if !k.open(c, sessionCookie, sessionCookie, &token) {
		return ""
	}
	return flows.SessionToken(token)
}

// attemptName is the cookie for the attempt with that state.
func attemptName(prefix, state string) string {
	sum := sha256.Sum256([]byte(state))
	return prefix + hex.EncodeToString(sum[:8])
}

// keepAttempt seals a for its callback and drops the oldest beyond maxAttempts.
func (k *cookies) keepAttempt(c echo.Context, a flows.Attempt) error {
	type old struct {
		base  string
		start time.Time
	}
	var olds []old
	prefix := k.name(attemptCookie)
	for _, cookie := range c.Request().Cookies() {
		if !strings.HasPrefix(cookie.Name, prefix) {
			continue
		}
		base := attemptCookie + strings.TrimPrefix(cookie.Name, prefix)
		var kept flows.Attempt
		k.open(c, attemptCookie, base, &kept)
		olds = append(olds, old{base, kept.StartedAt})
	}
	sort.Slice(olds, func(i, j int) bool { return olds[i].start.After(olds[j].start) })
	for i := maxAttempts - 1; i < len(olds); i++ {
		k.clear(c, olds[i].base)
	}
	return k.seal(c, attemptCookie, attemptName(attemptCookie, a.Request.State), a, a.StartedAt.Add(flows.AttemptTTL))
}

// takeAttempt returns this browser's attempt with that state and removes it: it
// takes one answer, good or bad (security O-5).
func (k *cookies) takeAttempt(c echo.Context, state string) (a flows.Attempt, ok bool) {
	base := attemptName(attemptCookie, state)
	if state == "" || !k.open(c, attemptCookie, base, &a) {
		return flows.Attempt{}, false
	}
	k.clear(c, base)
	return a, true
}

func (k *cookies) keepAnswer(c echo.Context, state string, answer url.Values) error {
	return k.seal(c, answerCookie, attemptName(answerCookie, state), answer, time.Now().Add(time.Minute))
}

func (k *cookies) takeAnswer(c echo.Context, state string) (answer url.Values, ok bool) {
	base := attemptName(answerCookie, state)
	if state == "" || !k.open(c, answerCookie, base, &answer) {
		return nil, false
	}
	k.clear(c, base)
	return answer, true
}

func (k *cookies) keepMailAttempt(c echo.Context, a flows.MailAttempt, ttl time.Duration) error {
	return k.seal(c, mailCookie, mailCookie, a, a.StartedAt.Add(ttl))
}

func (k *cookies) mailAttempt(c echo.Context) (a flows.MailAttempt) {
	k.open(c, mailCookie, mailCookie, &a)
	return a
}

// keepTyped remembers what somebody typed that is no address, so that they can
// correct it. It is theirs to see and stays out of every URL.
func (k *cookies) keepTyped(c echo.Context, typed string) error {
	if len(typed) > 254 {
		return nil
	}
	return k.seal(c, typedCookie, typedCookie, typed, time.Now().Add(flows.AttemptTTL))
}

func (k *cookies) typed(c echo.Context) (typed string) {
	k.open(c, typedCookie, typedCookie, &typed)
	return typed
}

func (k *cookies) keepPendingLink(c echo.Context, p flows.PendingLink) error {
	return k.seal(c, pendingCookie, pendingCookie, p, p.Since.Add(flows.AttemptTTL))
}

func (k *cookies) pendingLink(c echo.Context) (p flows.PendingLink) {
	k.open(c, pendingCookie, pendingCookie, &p)
	return p
}

// csrfToken is the token that forms of this browser carry, setting the cookie
// when there is none yet. The cookie is NextAuth's: token|hash, here with a
// keyed hash, so that a planted pair must be one of ours.
func (k *cookies) csrfToken(c echo.Context) string {
	if token, ok := k.csrfFromCookie(c); ok {
		return token
	}
	return k.renewCSRF(c)
}

func (k *cookies) renewCSRF(c echo.Context) string {
	var b [32]byte
	rand.Read(b[:])
	token := hex.EncodeToString(b[:])
	k.set(c, csrfCookie, token+"%7C"+csrfMAC(k.csrf[0], token), time.Time{})
	return token
}

func (k *cookies) csrfFromCookie(c echo.Context) (string, bool) {
	value, ok := k.get(c, csrfCookie)
	if !ok {
		return "", false
	}
	value, err := url.PathUnescape(value)
	token, mac, found := strings.Cut(value, "|")
	if err != nil || !found || token == "" {
		return "", false
	}
	for _, key := range k.csrf {
		if hmac.Equal([]byte(mac), []byte(csrfMAC(key, token))) {
			return token, true
		}
	}
	return "", false
}

// csrfMatches reports whether a form carries this browser's token. Nothing
// matches nothing.
func (k *cookies) csrfMatches(c echo.Context, submitted string) bool {
	token, ok := k.csrfFromCookie(c)
	return ok && submitted != "" && subtle.ConstantTimeCompare([]byte(token), []byte(submitted)) == 1
}

func csrfMAC(key []byte, token string) string {
	h := hmac.New(sha256.New, key)
	h.Write([]byte("csrf\x00" + token))
	return hex.EncodeToString(h.Sum(nil))
}

// setReturnTo remembers where the browser wants to go, as NextAuth does; it is
// decided anew whenever it is read.
func (k *cookies) setReturnTo(c echo.Context, target string) {
	if old, _ := k.get(c, returnToCookie); old != url.QueryEscape(target) {
		k.set(c, returnToCookie, url.QueryEscape(target), time.Time{})
	}
}

func (k *cookies) returnTo(c echo.Context) string {
	value, _ := k.get(c, returnToCookie)
	target, err := url.QueryUnescape(value)
	if err != nil {
		return ""
	}
	return target
}

// setLastUsed remembers the provider for the hint on the sign-in page.
func (k *cookies) setLastUsed(c echo.Context, provider string) {
	k.set(c, lastUsedCookie, url.QueryEscape(provider), time.Now().Add(maxCookieLife))
}

func (k *cookies) lastUsed(c echo.Context) string {
	value, _ := k.get(c, lastUsedCookie)
	return value
}

// clearSignedIn removes what belongs to a session that is over.
func (k *cookies) clearSignedIn(c echo.Context) {
	for _, base := range []string{sessionCookie, mailCookie, pendingCookie, typedCookie, returnToCookie} {
		if base == sessionCookie || len(c.Request().CookiesNamed(k.name(base))) > 0 {
			k.clear(c, base)
		}
	}
	k.renewCSRF(c)
}
