package web

import (
	"errors"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/gatepost/gatepost/flows/gate"
)

const remoteSub = "Remote-Sub"

var tinyauthHeaders = slices.Concat(remoteHeaders, []told{{remoteSub, gate.AttributeID}}, ourAssertion)

func openTinyauth(p *checkpoint, pages *echo.Echo) {
	const base = "/api/auth"
	for _, proxy := range []string{"traefik", "caddy"} {
		p.alias(base+"/"+proxy, source{name: "tinyauth " + proxy, read: readForward, refuse: tinyauthRedirecting, tells: tinyauthHeaders, pages: true, echoes: true})
	}
	p.alias(base+"/envoy", source{name: "tinyauth envoy", read: readTinyauthEnvoy(base + "/envoy?path="), refuse: tinyauthRedirecting, tells: tinyauthHeaders, pages: true, envoy: true, echoes: true})
	p.alias(base+"/nginx", source{name: "tinyauth nginx", read: readTinyauthNginx, client: nobodyKnows, refuse: tinyauthPointing, tells: tinyauthHeaders})
	pages.Match([]string{http.MethodGet, http.MethodHead}, "/login", p.tinyauthLogin)
}

// readTinyauthEnvoy takes what stands behind prefix as the client sent it. What
// Envoy puts there is not escaped, so nothing of it is a parameter of ours.
func readTinyauthEnvoy(prefix string) func(*http.Request) (gate.Request, error) {
	return func(r *http.Request) (gate.Request, error) {
		target, ok := strings.CutPrefix(r.RequestURI, prefix)
		if !ok {
			return gate.Request{}, errors.New("the path is missing; set path_prefix to " + prefix)
		}
		return readEnvoy(r, target)
	}
}

// readTinyauthNginx reads either of the documented forms: X-Original-URL, or
// X-Forwarded-Proto, -Host and -Uri. Neither tells the method, so a client's word
// on it does not count.
func readTinyauthNginx(r *http.Request) (gate.Request, error) {
	h := r.Header
	if err := aliased(h, "X-Original-Url", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Forwarded-Uri"); err != nil {
		return gate.Request{}, err
	}
	if has(h, "X-Original-Url") {
		scheme, authority, target, err := originalURL(h)
		if err != nil {
			return gate.Request{}, err
		}
		request, err := gate.NewRequest(gate.UnknownMethod, scheme, authority, target, netip.Addr{})
		if err == nil {
			err = agrees(h, request, target)
		}
		return request, err
	}
	var said [3]string
	for i, name := range []string{"X-Forwarded-Proto", "X-Forwarded-Host", "X-Forwarded-Uri"} {
		var err error
		if said[i], err = one(h, name); err != nil {
			return gate.Request{}, err
		}
	}
	return gate.NewRequest(gate.UnknownMethod, said[0], said[1], said[2], netip.Addr{})
}

// nobodyKnows who asked: the documented configuration sets neither
// X-Forwarded-For nor X-Real-IP, and passes a client's own on.
func nobodyKnows(*http.Request) (netip.Addr, error) { return netip.Addr{}, nil }

// tinyauthRedirecting tells a script in JSON where to sign in. Who is a browser
// is decided as everywhere here, and not by User-Agent (security F-7).
func tinyauthRedirecting(p *checkpoint, c echo.Context, request gate.Request) error {
	if isNavigation(c.Request().Header) {
		return p.sendToSignIn(c, request)
	}
	return tinyauthPointing(p, c, request)
}

func tinyauthPointing(p *checkpoint, c echo.Context, request gate.Request) error {
	h := c.Response().Header()
	p.notCached(h)
	h["Www-Authenticate"] = bearerChallenge
	h["X-Tinyauth-Location"] = []string{p.signInFor(c.Request(), request)}
	return c.JSON(http.StatusUnauthorized, map[string]any{"status": http.StatusUnauthorized, "message": "Unauthorized"})
}

// tinyauthLogin answers /login, where nginx sends a browser.
func (p *checkpoint) tinyauthLogin(c echo.Context) error {
	return p.leadToSignIn(c, returnParam(c.Request().URL.RawQuery, "redirect_uri"))
}
