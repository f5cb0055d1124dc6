package web

import (
	"crypto/rand"
	"errors"
	"log/slog"
	"net/http"
	"net/netip"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/labstack/echo/v4"
	"golang.org/x/time/rate"

	"github.com/gatepost/gatepost/flows"
	"github.com/gatepost/gatepost/flows/gate"
	"github.com/gatepost/gatepost/store"
)

// checkpoint is where reverse proxies ask about each request. It stands outside
// the pages' middleware: a check costs no request id, no log line, no policy.
type checkpoint struct {
	*server
	trusted  []netip.Prefix
	peers    peers
	session  string // the cookie's name
	seen     *seen
	dates    dates
	returnTo returnable

	warn, warnAstray rate.Sometimes

	checks  *echo.Echo
	aliases map[string]bool // paths of other projects' checks; see gate_compat.go
	below   []string        // and prefixes of such paths
}

// A source reads from one family's headers what the client asked for. Each has
// one file and one set of headers, and reads no other (security F-2).
type source struct {
	name string
	read func(*http.Request) (gate.Request, error)
	// client says who asked the proxy; nil is what X-Forwarded-For says.
	client func(*http.Request) (netip.Addr, error)
	// refuse tells somebody whom nobody knows to sign in, in the proxy's form.
	refuse func(p *checkpoint, c echo.Context, request gate.Request) error
	tells  []told // to the application

	pages   bool // the proxy passes a page on to the browser
	envoy   bool // understands x-envoy-auth-headers-to-remove
	narrows bool // the question itself may say who passes: oauth2-proxy's allowed_*
	echoes  bool // the client's Authorization, which the proxy would take away
}

// newCheckpoint gives the checkpoint with its own routes; all others are the
// pages'.
func (s *server) newCheckpoint() *checkpoint {
	e := echo.New()
	e.HideBanner, e.HidePort = true, true
	p := &checkpoint{server: s, trusted: s.TrustedProxies, seen: newSeen(maxSeen), session: s.cookies.name(sessionCookie),
		warn: rate.Sometimes{First: 10, Interval: logInterval}, warnAstray: rate.Sometimes{First: 10, Interval: logInterval},
		checks: e, aliases: map[string]bool{}}
	p.returnTo = returnable{rule: s.ReturnTo, signIn: s.url("/signin", nil), by: p.backFrom, begins: map[origin]string{}}
	base := strings.TrimSuffix(s.BasePath, "/")
	anyMethod(e, base+"/nginx", p.check(nginx))
	anyMethod(e, base+"/forward", p.check(forward))
	anyMethod(e, base+"/envoy", p.check(envoy(base+"/envoy")))
	anyMethod(e, base+"/envoy/*", p.check(envoy(base+"/envoy")))
	e.GET(base+"/.well-known/jwks.json", p.jwks)
	return p
}

// anyMethod registers h for whatever method there is: proxies pass on the
// client's, and Echo's Any knows only the common ones (security F-8).
func anyMethod(e *echo.Echo, path string, h echo.HandlerFunc) {
	e.Any(path, h)
	e.RouteNotFound(path, h)
}

// owns reports whether r asks the checkpoint.
func (p *checkpoint) owns(r *http.Request) bool {
	rest, ok := strings.CutPrefix(r.URL.Path, p.BasePath)
	if ok && (rest == "/nginx" || rest == "/forward" || rest == "/envoy" || strings.HasPrefix(rest, "/envoy/") || rest == "/.well-known/jwks.json") {
		return true
	}
	return len(p.aliases) > 0 && p.ownsAlias(r)
}

// check answers one question: 200 and who it is, 401 or a redirect to sign in,
// 403, 503 when it cannot be told, 400 when the question cannot be understood.
func (p *checkpoint) check(from source) echo.HandlerFunc {
	return func(c echo.Context) (err error) {
		defer func() {
			if r := recover(); r != nil {
				p.Log.Error("panic", "panic", r, "stack", string(debug.Stack()))
				err = p.unavailable(c)
			}
		}()
		r := c.Request()
		if r.ContentLength != 0 {
			// nginx that is not told to clear Content-Length announces a body and
			// sends none. Waiting for it would hang, and taking the next request
			// of the connection for it would mix up two clients.
			c.Response().Header()["Connection"] = closeIt
		}
		if !p.trusts(r.RemoteAddr) {
			return p.misdirected(c, from, "the peer is not in trusted_proxies, so nothing that it says of a client counts")
		}
		request, err := from.read(r)
		if err == nil {
			request.Client, err = p.clientOf(r, from)
		}
		if err != nil {
			return p.misdirected(c, from, err.Error())
		}
		if p.isOurs(request) {
			return p.allow(c, from, request, nil)
		}
		request.Preflight = isPreflight(r.Header, request.Method)
		person, err := p.whoAsks(r)
		switch {
		case err == nil:
		case errors.Is(err, flows.ErrNoSession):
			err = nil
		case !errors.Is(err, store.ErrUnavailable):
			p.warn.Do(func() { p.Log.Error("gate", "err", err.Error()) })
			return p.unavailable(c)
		}
		var id gate.Identity
		if person != nil {
			id = person.Identity
		}
		decision := p.Gate.Rules.Decide(request, id)
		if from.narrows && decision.Outcome == gate.Allow {
			if decision, err = p.narrowed(r, request, id, decision); err != nil {
				return p.misdirected(c, from, err.Error())
			}
		}
		switch {
		case decision.Outcome == gate.Allow:
			return p.allow(c, from, request, person)
		case err != nil:
			// Who it is cannot be told now: neither a way in nor a reason to
			// send everybody to the sign-in page (forward-auth rule 4).
			return p.unavailable(c)
		case decision.Outcome == gate.SignIn:
			return from.refuse(p, c, request)
		}
		return p.deny(c, from, request, id, decision)
	}
}

// isOurs reports that the request is for Gatepost's own pages, which must be
// open to whoever wants to sign in, also where a proxy asks about every host.
func (p *checkpoint) isOurs(request gate.Request) bool {
	rest, under := strings.CutPrefix(request.Path, p.BasePath)
	if !request.Plain() || !under || rest != "" && rest[0] != '/' {
		return false
	}
	host := request.Authority()
	return host == p.public.Host || p.siteAt(host) != nil
}

// Names of the headers that tell an application who asks. All of them are on
// every answer that lets pass, empty where there is nothing to say, so that a
// proxy replaces what a client sent (forward-auth rule 8).
const (
	remoteUser, remoteEmail, remoteName, remoteGroups = "Remote-User", "Remote-Email", "Remote-Name", "Remote-Groups"
	authUser, authEmail, authName, authGroups         = "X-Auth-Request-User", "X-Auth-Request-Email", "X-Auth-Request-Preferred-Username", "X-Auth-Request-Groups"
	assertionHeader                                   = "X-Gatepost-Assertion"
)

// told is an attribute and the header that tells it.
type told struct {
	header string
	what   gate.Attribute
}

var (
	remoteHeaders = []told{{remoteUser, gate.AttributeUser}, {remoteEmail, gate.AttributeEmail}, {remoteName, gate.AttributeName}, {remoteGroups, gate.AttributeGroups}}
	authHeaders   = []told{{authUser, gate.AttributeID}, {authEmail, gate.AttributeEmail}, {authName, gate.AttributeName}, {authGroups, gate.AttributeGroups}}
	ourAssertion  = []told{{assertionHeader, gate.AttributeAssertion}}
	ownHeaders    = slices.Concat(remoteHeaders, authHeaders, ourAssertion)
)

var ofNobody gate.Attributes

func (p *checkpoint) allow(c echo.Context, from source, request gate.Request, person *flows.Person) error {
	attributes := &ofNobody
	if person != nil {
		var err error
		if attributes, err = p.Gate.Attributes(person, request.Host); err != nil {
			return p.unavailable(c)
		}
	}
	h := c.Response().Header()
	for _, t := range from.tells {
		if attributes[t.what] == "" && from.envoy {
			continue // named in the list of those to remove
		}
		h[t.header] = attributes[t.what : t.what+1 : t.what+1]
	}
	if from.envoy {
		h["X-Envoy-Auth-Headers-To-Remove"] = []string{toRemove(h)}
	}
	if own := c.Request().Header["Authorization"]; from.echoes && len(own) == 1 {
		h["Authorization"] = own
	}
	p.notCached(h)
	c.Response().WriteHeader(http.StatusOK)
	return nil
}

var (
	noStore   = []string{"no-store"}
	varyByWho = []string{"Cookie, Authorization"}
	closeIt   = []string{"close"}
)

// notCached keeps a verdict from outliving the moment (security F-9).
func (p *checkpoint) notCached(h http.Header) {
	h["Cache-Control"], h["Vary"], h["Date"] = noStore, varyByWho, p.dates.at(time.Now())
}

// dates spare net/http to write the time anew into each answer, which took 1 % of
// one that lets pass, and more of others.
type dates struct{ last atomic.Pointer[date] }

type date struct {
	second int64 // Unix
	header []string
}

func (d *dates) at(now time.Time) []string {
	last, second := d.last.Load(), now.Unix()
	if last == nil || last.second != second {
		last = &date{second, []string{now.UTC().Format(http.TimeFormat)}}
		d.last.Store(last)
	}
	return last.header
}

// redirecting refuses in the form that suits who asks: a browser that goes
// somewhere is sent to sign in, a script is told.
func redirecting(p *checkpoint, c echo.Context, request gate.Request) error {
	if !isNavigation(c.Request().Header) {
		return p.unauthorized(c, "")
	}
	return p.sendToSignIn(c, request)
}

// pointing is for nginx, which makes a 500 of a redirect and takes Location from
// a 401 instead.
func pointing(p *checkpoint, c echo.Context, request gate.Request) error {
	if !isNavigation(c.Request().Header) {
		return p.unauthorized(c, "")
	}
	return p.unauthorized(c, p.signInFor(c.Request(), request))
}

// unauthorized answers 401, with the sign-in page's URL unless it is "".
func (p *checkpoint) unauthorized(c echo.Context, location string) error {
	h := c.Response().Header()
	p.notCached(h)
	h["Www-Authenticate"] = bearerChallenge
	if location != "" {
		h["Location"] = []string{location}
	}
	c.Response().WriteHeader(http.StatusUnauthorized)
	return nil
}

func (p *checkpoint) sendToSignIn(c echo.Context, request gate.Request) error {
	h := c.Response().Header()
	p.notCached(h)
	h["Location"] = []string{p.signInFor(c.Request(), request)}
	status := http.StatusSeeOther
	if request.Method == http.MethodGet || request.Method == http.MethodHead {
		status = http.StatusFound
	}
	c.Response().WriteHeader(status)
	return nil
}

var bearerChallenge = []string{`Bearer realm="gatepost"`}

// backFrom is the URL of a sign-in that leads back to host, up to the address to
// return to: the sign-in page, or a hand-over where host is on another domain.
func (p *checkpoint) backFrom(host string) string {
	for _, site := range p.Sites {
		if site.covers(host) {
			return site.URL + p.BasePath + "/handover?to="
		}
	}
	return p.returnTo.signIn + "?callbackUrl="
}

// signInFor is the sign-in page that leads back to what was asked for.
func (p *checkpoint) signInFor(r *http.Request, request gate.Request) string {
	switch request.Method {
	case http.MethodGet, http.MethodHead, gate.UnknownMethod:
		return p.returnTo.link(request)
	}
	by := p.backFrom(request.Host)
	// A GET of what takes only a POST ends in an error: back to the form.
	back := gate.Request{Scheme: request.Scheme, Host: request.Host, Port: request.Port, Path: "/"}
	if referer := r.Header.Get("Referer"); strings.HasPrefix(referer, back.URL()) {
		return p.returnTo.safe(by, referer)
	}
	return p.returnTo.safe(by, back.URL())
}

// deny refuses somebody who is known, or whom signing in would not help. It is
// never a redirect: that would go round for ever (forward-auth rule 3).
func (p *checkpoint) deny(c echo.Context, from source, request gate.Request, id gate.Identity, d gate.Decision) error {
	requestID := rand.Text()
	p.Log.LogAttrs(c.Request().Context(), slog.LevelInfo, "gate denied", slog.String("request_id", requestID), slog.String("host", request.Host), slog.String("method", request.Method),
		slog.String("path", request.Path), slog.Int("user", int(id.UserID)), slog.String("rule", ruleName(d)), slog.Any("why", p.trace(request, id)))
	p.notCached(c.Response().Header())
	if !from.pages || !isNavigation(c.Request().Header) {
		return c.JSON(http.StatusForbidden, map[string]string{"error": "forbidden", "rule": ruleName(d), "request_id": requestID})
	}
	return p.deniedPage(c, request, id, d, requestID)
}

// trace is why, as «gatepost why» prints it.
func (p *checkpoint) trace(request gate.Request, id gate.Identity) []string {
	_, steps := p.Gate.Rules.Explain(request, id)
	lines := make([]string, len(steps))
	for i, s := range steps {
		lines[i] = s.String()
	}
	return lines
}

func ruleName(d gate.Decision) string {
	switch {
	case d.Name != "":
		return d.Name
	case d.Rule == 0:
		return "default"
	}
	return "rule " + strconv.Itoa(d.Rule)
}

func (p *checkpoint) unavailable(c echo.Context) error {
	h := c.Response().Header()
	p.notCached(h)
	h["Retry-After"] = []string{"5"}
	return c.String(http.StatusServiceUnavailable, "Gatepost cannot ask its database right now.\n")
}

// misdirected tells the operator, who reads it in the proxy's log or by curl,
// what is wrong with the question. No honest client can cause it.
func (p *checkpoint) misdirected(c echo.Context, from source, why string) error {
	p.warn.Do(func() {
		p.Log.Warn("gate question not understood", "endpoint", from.name, "peer", c.Request().RemoteAddr, "why", why)
	})
	p.notCached(c.Response().Header())
	return c.String(http.StatusBadRequest, "Gatepost: "+why+".\n")
}

func (p *checkpoint) jwks(c echo.Context) error {
	c.Response().Header().Set("Cache-Control", "public, max-age=300")
	return c.Blob(http.StatusOK, "application/jwk-set+json", p.Gate.Signer.JWKS())
}
