package web

import (
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/gatepost/gatepost/flows"
	"github.com/gatepost/gatepost/flows/gate"
	"github.com/gatepost/gatepost/store"
)

// oauth2-proxy takes the first of several headers that is there, and the proxies
// of its documentation each set another one and let a client's pass: no request
// tells nginx from Traefik. So the operator does, by one of three names.
//
//	oauth2-proxy                Traefik, Caddy: X-Forwarded-Method, -Proto, -Host, -Uri
//	oauth2-proxy-nginx          auth_request: Host and X-Forwarded-Uri; the method is not known
//	oauth2-proxy-ingress-nginx  annotations: X-Original-URL, X-Original-Method

func openOAuth2Proxy(p *checkpoint, pages *echo.Echo) {
	check := source{name: "oauth2-proxy", read: readOAuth2Proxy, refuse: plainly, tells: oauth2ProxyHeaders, narrows: true}
	p.openOAuth2(pages, check)
	// --upstream=static://202, which answers at / and redirects by itself.
	check.refuse, check.pages = redirecting, true
	p.alias("/", check)
}

func openOAuth2ProxyNginx(p *checkpoint, pages *echo.Echo) {
	p.openOAuth2(pages, source{name: "oauth2-proxy-nginx", read: p.readOAuth2ProxyNginx, client: realIP, refuse: plainly, tells: oauth2ProxyHeaders, narrows: true})
}

func openOAuth2ProxyIngress(p *checkpoint, pages *echo.Echo) {
	p.openOAuth2(pages, source{name: "oauth2-proxy-ingress-nginx", read: readNginx, refuse: plainly, tells: oauth2ProxyHeaders, narrows: true})
}

func (p *checkpoint) openOAuth2(pages *echo.Echo, check source) {
	p.alias("/oauth2/auth", check)
	both := []string{http.MethodGet, http.MethodHead}
	pages.Match(both, "/oauth2/start", p.oauth2SignIn)
	pages.Match(both, "/oauth2/sign_in", p.oauth2SignIn)
	pages.Match(both, "/oauth2/sign_out", p.oauth2SignOut)
	pages.Match(both, "/oauth2/userinfo", p.oauth2UserInfo)
	pages.Match(both, "/ping", func(c echo.Context) error { return c.String(http.StatusOK, "OK") })
	pages.Match(both, "/ready", (&readyMemo{ask: p.Sessions}).answer)
	pages.Match(both, "/robots.txt", func(c echo.Context) error {
		return c.String(http.StatusOK, "User-agent: *\nDisallow: /\n")
	})
}

// oauth2ProxyHeaders are those of --set-xauthrequest, and the X-Forwarded-* that
// it sets as a reverse proxy.
var oauth2ProxyHeaders = slices.Concat(authHeaders, []told{
	{"Gap-Auth", gate.AttributeUser},
	{"X-Forwarded-User", gate.AttributeID}, {"X-Forwarded-Email", gate.AttributeEmail}, {"X-Forwarded-Preferred-Username", gate.AttributeName}, {"X-Forwarded-Groups", gate.AttributeGroups},
}, ourAssertion)

func readOAuth2Proxy(r *http.Request) (gate.Request, error) {
	request, err := readForward(r)
	if m, ok := errors.AsType[missing](err); ok && has(r.Header, "X-Real-Ip") {
		return request, fmt.Errorf("%w; for nginx, compat has oauth2-proxy-nginx or oauth2-proxy-ingress-nginx", m)
	}
	return request, err
}

// readOAuth2ProxyNginx reads what the documented auth_request configuration
// sets. A client's X-Forwarded-Method, -Proto and -For come through it too, so
// none of them is read.
func (p *checkpoint) readOAuth2ProxyNginx(r *http.Request) (gate.Request, error) {
	if err := aliased(r.Header, "X-Forwarded-Uri", "X-Forwarded-Host", "X-Real-Ip"); err != nil {
		return gate.Request{}, err
	}
	uri, err := one(r.Header, "X-Forwarded-Uri")
	if m, ok := errors.AsType[missing](err); ok {
		// Examples before 7.6 lack it, and a client could supply it there.
		return gate.Request{}, fmt.Errorf("%w; add «proxy_set_header X-Forwarded-Uri $request_uri;» to location = /oauth2/auth", m)
	}
	if err != nil {
		return gate.Request{}, err
	}
	request, err := gate.NewRequest(gate.UnknownMethod, p.public.Scheme, r.Host, uri, netip.Addr{})
	if err != nil || !has(r.Header, "X-Forwarded-Host") {
		return request, err
	}
	// Traefik's Host is ours, and says nothing of the application.
	if agrees(r.Header, request, uri) != nil {
		return gate.Request{}, errors.New("X-Forwarded-Host is not what Host says; for Traefik and Caddy, compat has oauth2-proxy")
	}
	return request, nil
}

// realIP is who asked a proxy that sets X-Real-IP and lets a client's
// X-Forwarded-For through.
func realIP(r *http.Request) (netip.Addr, error) {
	if !has(r.Header, "X-Real-Ip") {
		return netip.Addr{}, nil
	}
	text, err := one(r.Header, "X-Real-Ip")
	if err != nil {
		return netip.Addr{}, err
	}
	a, err := parseHop(text)
	if err != nil {
		return netip.Addr{}, errors.New("X-Real-IP is no address")
	}
	return a, nil
}

// plainly refuses as /oauth2/auth does: the proxy's configuration leads on.
func plainly(p *checkpoint, c echo.Context, _ gate.Request) error {
	h := c.Response().Header()
	p.notCached(h)
	h["Www-Authenticate"] = bearerChallenge
	return c.String(http.StatusUnauthorized, "Unauthorized\n")
}

// oauth2SignIn answers /oauth2/sign_in and /oauth2/start, which both start no
// sign-in: a page with buttons does (security C-3).
func (p *checkpoint) oauth2SignIn(c echo.Context) error {
	return p.leadToSignIn(c, p.oauth2Wanted(c.Request()))
}

// oauth2SignOut answers /oauth2/sign_out, which ends nothing: a page with a
// button does (security C-4).
func (p *checkpoint) oauth2SignOut(c echo.Context) error {
	return p.lead(c, "signout.title", p.returnTo.safe(p.url("/signout", nil)+"?callbackUrl=", p.oauth2Wanted(c.Request())))
}

// oauth2Wanted is where a browser is to return to, in oauth2-proxy's order. A
// path is one of the application that the browser is at.
func (p *checkpoint) oauth2Wanted(r *http.Request) string {
	wanted := []string{returnParam(r.URL.RawQuery, "rd")}
	if p.trusts(r.RemoteAddr) {
		wanted = append(wanted, r.Header.Get("X-Auth-Request-Redirect"), r.Header.Get("X-Forwarded-Uri"))
	}
	origin := p.origin(r)
	for _, raw := range wanted {
		if strings.HasPrefix(raw, "/") && !strings.HasPrefix(raw, "//") {
			raw = origin + raw
		}
		if target := p.ReturnTo.Resolve(raw); target != p.ReturnTo.Default() && !isOAuth2Page(target) {
			return target
		}
	}
	return origin + "/"
}

// isOAuth2Page reports an address that would lead back here, and round again.
func isOAuth2Page(target string) bool {
	_, rest, _ := strings.Cut(target, "://")
	_, path, _ := strings.Cut(rest, "/")
	return strings.HasPrefix(path, "oauth2/")
}

// oauth2UserInfo answers /oauth2/userinfo.
func (p *checkpoint) oauth2UserInfo(c echo.Context) error {
	c.Response().Header()["Vary"] = varyByWho
	person, err := p.whoAsks(c.Request())
	switch {
	case errors.Is(err, flows.ErrNoSession):
		return c.String(http.StatusUnauthorized, "Unauthorized\n")
	case errors.Is(err, store.ErrUnavailable):
		return p.unavailable(c)
	case err != nil:
		return err
	}
	return c.JSON(http.StatusOK, struct {
		User              string   `json:"user"`
		Email             string   `json:"email"`
		Groups            []string `json:"groups,omitempty"`
		PreferredUsername string   `json:"preferredUsername,omitempty"`
	}{strconv.Itoa(int(person.UserID)), person.Email, person.Groups, person.Name})
}

// readyMemo answers /ready. Anybody may ask, so the database is asked once a
// second at most.
type readyMemo struct {
	ask *flows.Sessions
	mu  sync.Mutex
	at  time.Time
	err error
}

func (m *readyMemo) answer(c echo.Context) error {
	m.mu.Lock()
	if time.Since(m.at) > time.Second {
		m.err, m.at = m.ask.Ready(c.Request().Context()), time.Now()
	}
	err := m.err
	m.mu.Unlock()
	if err != nil {
		return c.String(http.StatusServiceUnavailable, "not ready\n")
	}
	return c.String(http.StatusOK, "OK")
}
