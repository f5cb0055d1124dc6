package web

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"net/http"
	"net/url"
	"slices"
	"sort"
	"strconv"
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
	verifierCookie = "gatepost.code-verifier" // of NextAuth; we only read it
	carriedCode    = "gatepost.carried"       // in a URL, never a cookie
	maxAttempts    = 5                        // sign-ins under way in one browser, security O-40
	maxCookie      = 4096                     // name and value; browsers drop longer ones, security S-8
	maxReturnTo    = 2048                     // what the plain cookie may take
	maxAnswer      = 4096                     // of a form_post, before it is sealed
	maxCookieLife  = 400 * 24 * time.Hour
)

// cookies writes and reads every cookie of Gatepost. What only we may read is
// sealed: encrypted and authenticated by keys of that purpose alone, with the
// cookie's name inside (security G-1, K-S6).
type cookies struct {
	wire
	secure bool
	beside bool                            // a NextAuth site has set cookies of the same names
	domain string                          // of the session cookie only
	sites  []Site                          // whose session cookies have domains of their own
	sealed map[string][]securecookie.Codec // by purpose
}

// newCookies writes cookies as we do, or as the NextAuth site does that is beside
// us.
func newCookies(keys flows.Keys, secure bool, domain string, sites []Site, beside *NextAuth) *cookies {
	k := &cookies{secure: secure, beside: beside != nil, domain: domain, sites: sites, sealed: map[string][]securecookie.Codec{}}
	for _, purpose := range []string{sessionCookie, attemptCookie, answerCookie, mailCookie, pendingCookie, typedCookie, crossingCookie, bouncesCookie, carriedCode} {
		hash, block := keys.Derive("mac "+purpose, 32), keys.Derive("seal "+purpose, 32)
		for i := range hash {
			codec := securecookie.New(hash[i], block[i])
			codec.SetSerializer(compact{})
			// A session's row decides how long it lives; the others are over
			// with the attempt they belong to, whose start is inside too.
			codec.MaxAge(24 * 60 * 60)
			switch purpose {
			case sessionCookie:
				codec.SetSerializer(quoted{})
				codec.MaxAge(0)
			case answerCookie:
				codec.MaxLength(2 * maxCookie) // it is cut in pieces
			}
			k.sealed[purpose] = append(k.sealed[purpose], codec)
		}
	}
	own := ownWire{secure, domain != "", keys.Derive("csrf cookie", 32), k.sealed[sessionCookie]}
	k.wire = own
	if beside != nil {
		k.wire = nextAuthWire{own, beside.Secret}
	}
	return k
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
		k.replaceHostOnly(c, cookie)
		k.replaceOtherDomains(c, cookie)
	}
	if !expires.IsZero() {
		left := time.Until(expires)
		if cookie.Expires = expires.UTC(); left > maxCookieLife {
			left, cookie.Expires = maxCookieLife, time.Now().Add(maxCookieLife).UTC()
		}
		cookie.MaxAge = max(int(left/time.Second), 1)
	}
	k.write(c, base, cookie)
}

// replaceHostOnly removes the session cookie without a Domain that a NextAuth site
// has set, by the name of the one that is about to be set or cleared with one. A
// browser sends both, which counts as none once they differ: signing in again
// would not help.
func (k *cookies) replaceHostOnly(c echo.Context, by *http.Cookie) {
	sent := c.Request().CookiesNamed(by.Name)
	if !k.beside || by.Domain == "" || len(sent) == 0 || len(sent) == 1 && sent[0].Value == by.Value {
		return
	}
	k.write(c, sessionCookie, &http.Cookie{Name: by.Name, Path: by.Path, MaxAge: -1, HttpOnly: true, Secure: by.Secure, SameSite: by.SameSite})
}

// replaceOtherDomains removes session cookies that a browser has with a Domain which
// is not that of the one about to be set or cleared: from before cookie.domain was
// changed, or planted by a sibling host (security S-9). Together they count as
// none, so signing in again would not help.
func (k *cookies) replaceOtherDomains(c echo.Context, by *http.Cookie) {
	if k.beside || by.Domain == "" || len(c.Request().CookiesNamed(by.Name)) < 2 {
		return
	}
	domain, _, _ := strings.Cut(strings.ToLower(c.Request().Host), ":")
	for strings.Contains(domain, ".") {
		if domain != strings.TrimPrefix(by.Domain, ".") {
			k.write(c, sessionCookie, &http.Cookie{Name: by.Name, Path: by.Path, Domain: domain, MaxAge: -1, HttpOnly: true, Secure: by.Secure, SameSite: by.SameSite})
		}
		_, domain, _ = strings.Cut(domain, ".")
	}
}

// write adds a Set-Cookie, in place of an earlier one for the same cookie.
func (k *cookies) write(c echo.Context, base string, cookie *http.Cookie) {
	line, h := k.line(base, cookie), c.Response().Header()
	same := func(old string) bool {
		_, domain, _ := strings.Cut(old, "; Domain=")
		domain, _, _ = strings.Cut(domain, ";")
		return strings.HasPrefix(old, cookie.Name+"=") && strings.TrimPrefix(domain, ".") == strings.TrimPrefix(cookie.Domain, ".")
	}
	switch i := slices.IndexFunc(h["Set-Cookie"], same); {
	case line == "": // no cookie can be written so
	case i >= 0:
		h["Set-Cookie"][i] = line
	default:
		h.Add("Set-Cookie", line)
	}
}

// clear removes a cookie with the attributes it was set with (security S-5).
func (k *cookies) clear(c echo.Context, base string) {
	cookie := &http.Cookie{Name: k.name(base), Path: "/", MaxAge: -1, HttpOnly: true, Secure: k.secure, SameSite: http.SameSiteLaxMode}
	if base == sessionCookie {
		cookie.Domain = k.domainFor(c)
		k.replaceHostOnly(c, cookie)
		k.replaceOtherDomains(c, cookie)
	}
	k.write(c, base, cookie)
}

// get returns the value of the one cookie of that name. Two of them are none: a
// sibling host has planted one (security S-9). Beside a NextAuth site two that are
// the same are one: it sets its session cookie without our Domain, and who plants
// what a browser has gains nothing.
func (k *cookies) get(c echo.Context, base string) (value string, ok bool) {
	found := c.Request().CookiesNamed(k.name(base))
	if len(found) == 0 || len(found) > 1 && !k.beside {
		return "", false
	}
	for _, other := range found[1:] {
		if other.Value != found[0].Value {
			return "", false
		}
	}
	return found[0].Value, true
}

// tossed reports that a browser sent cookies of one name that count as none.
func (k *cookies) tossed(c echo.Context, base string) bool {
	_, ok := k.get(c, base)
	return !ok && len(c.Request().CookiesNamed(k.name(base))) > 1
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

// allCookies is how many bytes all our cookies together may take: many proxies
// refuse a header of more than 8 KiB. For each sign-in that may still be begun,
// and for the address to return to, some of it is kept free.
const (
	allCookies  = 7800
	anAttempt   = 750
	aMail       = 1200
	aReturnTo   = maxReturnTo + 40
	elsewhere   = "~" // begins what stands for an address in another cookie
	pieceLength = 3800
)

// sealReturning seals a value that holds the address to return to. When that
// makes it longer than room, a mark takes its place: the plain cookie holds the
// address too, until another sign-in of this browser wants to go elsewhere.
func (k *cookies) sealReturning(c echo.Context, base, purpose string, room int, value any, returnTo *string, expires time.Time) error {
	sealed, err := securecookie.EncodeMulti(k.name(base), value, k.sealed[purpose][:1]...)
	if err != nil || len(k.name(base))+len(sealed) > room {
		*returnTo = markOf(*returnTo)
		if sealed, err = securecookie.EncodeMulti(k.name(base), value, k.sealed[purpose][:1]...); err != nil {
			return err
		}
	}
	k.set(c, base, sealed, expires)
	return nil
}

// returning puts the address back in the place of its mark, "" if it is gone.
func (k *cookies) returning(c echo.Context, returnTo *string) {
	if !strings.HasPrefix(*returnTo, elsewhere) {
		return
	}
	mark := *returnTo
	if *returnTo = k.returnTo(c); markOf(*returnTo) != mark {
		*returnTo = ""
	}
}

func markOf(returnTo string) string {
	sum := sha256.Sum256([]byte(returnTo))
	return elsewhere + hex.EncodeToString(sum[:8])
}

// roomForAttempt is how long one more attempt may be, beside n others.
func (k *cookies) roomForAttempt(c echo.Context, n int) int {
	room := allCookies - aReturnTo - (maxAttempts-1-n)*anAttempt
	for _, cookie := range c.Request().Cookies() {
		if ours := strings.Contains(cookie.Name, "gatepost.") || strings.Contains(cookie.Name, "next-auth."); ours && cookie.Name != k.name(returnToCookie) {
			room -= len(cookie.Name) + len(cookie.Value) + len("=; ")
		}
	}
	return room
}

// setSession puts the session of a sign-in into the browser and ends what
// belonged to the way there. The CSRF token is renewed (security C-5).
func (k *cookies) setSession(c echo.Context, token flows.SessionToken, expires time.Time) error {
	value, err := k.sealSession(token)
	if err != nil {
		return err
	}
	k.set(c, sessionCookie, value, expires)
	return nil
}

// session is the token that this browser presents, "" for none.
func (k *cookies) session(c echo.Context) flows.SessionToken {
	if token, ok := c.Get(sessionCookie).(flows.SessionToken); ok { // set by this answer
		return token
	}
	value, ok := k.get(c, sessionCookie)
	if !ok {
		return ""
	}
	token, _ := k.openSession(value)
	return token
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
	room := k.roomForAttempt(c, min(len(olds), maxAttempts-1))
	return k.sealReturning(c, attemptName(attemptCookie, a.Request.State), attemptCookie, room, &a, &a.ReturnTo, a.StartedAt.Add(flows.AttemptTTL))
}

// takeAttempt returns this browser's attempt with that state and removes it: it
// takes one answer, good or bad (security O-5).
func (k *cookies) takeAttempt(c echo.Context, state string) (a flows.Attempt, ok bool) {
	base := attemptName(attemptCookie, state)
	if state == "" || !k.open(c, attemptCookie, base, &a) {
		return flows.Attempt{}, false
	}
	k.clear(c, base)
	k.returning(c, &a.ReturnTo)
	return a, true
}

// keepAnswer seals what a form_post brought, in as many cookies as it takes: they
// live for the next request.
func (k *cookies) keepAnswer(c echo.Context, state string, answer url.Values) error {
	base := attemptName(answerCookie, state)
	sealed, err := securecookie.EncodeMulti(k.name(base), answer, k.sealed[answerCookie][:1]...)
	if err != nil {
		return err
	}
	for i := 0; sealed != ""; i++ {
		piece := sealed[:min(len(sealed), pieceLength)]
		sealed = sealed[len(piece):]
		k.set(c, pieceName(base, i), piece, time.Now().Add(time.Minute))
	}
	return nil
}

func (k *cookies) takeAnswer(c echo.Context, state string) (answer url.Values, ok bool) {
	base, sealed := attemptName(answerCookie, state), ""
	for i := range 3 {
		piece, ok := k.get(c, pieceName(base, i))
		if !ok || state == "" {
			break
		}
		sealed += piece
		k.clear(c, pieceName(base, i))
	}
	return answer, sealed != "" && securecookie.DecodeMulti(k.name(base), sealed, &answer, k.sealed[answerCookie]...) == nil
}

func pieceName(base string, i int) string {
	if i == 0 {
		return base
	}
	return base + "." + strconv.Itoa(i)
}

func (k *cookies) keepMailAttempt(c echo.Context, a flows.MailAttempt, ttl time.Duration) error {
	return k.sealReturning(c, mailCookie, mailCookie, aMail, &a, &a.ReturnTo, a.StartedAt.Add(ttl))
}

func (k *cookies) mailAttempt(c echo.Context) (a flows.MailAttempt) {
	k.open(c, mailCookie, mailCookie, &a)
	k.returning(c, &a.ReturnTo)
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
	return k.sealReturning(c, pendingCookie, pendingCookie, anAttempt, &p, &p.ReturnTo, p.Since.Add(flows.AttemptTTL))
}

func (k *cookies) pendingLink(c echo.Context) (p flows.PendingLink) {
	k.open(c, pendingCookie, pendingCookie, &p)
	k.returning(c, &p.ReturnTo)
	return p
}

// csrfToken is the token that forms of this browser carry, setting the cookie
// when there is none yet. The cookie is NextAuth's: token|hash, with a keyed hash
// of ours, so that a planted pair must be one that we wrote.
func (k *cookies) csrfToken(c echo.Context) string {
	if token, ok := c.Get("csrf").(string); ok { // set by this answer
		return token
	}
	if token, ok := k.csrfFromCookie(c); ok {
		return token
	}
	return k.renewCSRF(c)
}

func (k *cookies) renewCSRF(c echo.Context) string {
	var b [32]byte
	rand.Read(b[:])
	token := hex.EncodeToString(b[:])
	c.Set("csrf", token)
	k.set(c, csrfCookie, token+"%7C"+k.csrfHashes(token)[0], time.Time{})
	return token
}

// rotateCSRF gives the browser a new token as somebody signs in or out (security
// C-5), where it may have one.
func (k *cookies) rotateCSRF(c echo.Context) {
	if !k.keepsToken() {
		k.renewCSRF(c)
	}
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
	for _, hash := range k.csrfHashes(token) {
		if hmac.Equal([]byte(mac), []byte(hash)) {
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

// setReturnTo remembers where the browser wants to go, as NextAuth does; it is
// decided anew whenever it is read. One that is too long is not remembered, and
// neither is what was wanted before.
func (k *cookies) setReturnTo(c echo.Context, target string) {
	value := k.escape(target)
	old, known := k.get(c, returnToCookie)
	switch {
	case len(value) <= maxReturnTo && old != value:
		k.set(c, returnToCookie, value, time.Time{})
	case len(value) > maxReturnTo && known:
		k.clear(c, returnToCookie)
	}
}

func (k *cookies) returnTo(c echo.Context) string {
	value, _ := k.get(c, returnToCookie)
	target, err := url.PathUnescape(value)
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
	over := []string{sessionCookie, mailCookie, pendingCookie, typedCookie}
	if !k.keepsToken() {
		over = append(over, returnToCookie)
	}
	for _, base := range over {
		if base == sessionCookie || len(c.Request().CookiesNamed(k.name(base))) > 0 {
			k.clear(c, base)
		}
	}
	k.rotateCSRF(c)
}
