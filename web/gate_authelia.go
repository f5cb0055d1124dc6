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

func openAuthelia(p *checkpoint, _ *echo.Echo) {
	const base = "/api/authz"
	forwarded := source{name: "authelia forward-auth", read: p.autheliaHosts(readForward), refuse: autheliaRedirecting, tells: autheliaHeaders, pages: true}
	p.alias(base+"/forward-auth", forwarded)
	// nginx redirects every 401 to Location, and HAProxy's example too.
	p.alias(base+"/auth-request", source{name: "authelia auth-request", read: p.autheliaHosts(readNginx), refuse: autheliaPointing, tells: autheliaHeaders})
	ext := envoy(base + "/ext-authz")
	ext.name, ext.read, ext.refuse, ext.tells = "authelia ext-authz", p.autheliaHosts(ext.read), autheliaRedirecting, autheliaHeaders
	p.aliasBelow(base+"/ext-authz", ext)
	p.alias("/api/verify", source{name: "authelia verify", read: p.autheliaHosts(readVerify), refuse: autheliaLegacy, tells: autheliaHeaders, pages: true})
}

var autheliaHeaders = slices.Concat(remoteHeaders, ourAssertion)

// autheliaHosts refuses what Authelia refuses: targets that a session cookie
// does not reach, because they are not https or outside the cookie's domain.
func (p *checkpoint) autheliaHosts(read func(*http.Request) (gate.Request, error)) func(*http.Request) (gate.Request, error) {
	return func(r *http.Request) (gate.Request, error) {
		request, err := read(r)
		switch {
		case err != nil:
		case request.Scheme != "https" && p.public.Scheme == "https":
			err = errors.New("the target is not https, so no session cookie would reach it")
		case p.CookieDomain != "" && request.Host != p.CookieDomain && !strings.HasSuffix(request.Host, "."+p.CookieDomain):
			err = errors.New("the host is outside cookie.domain, so no session cookie would reach it")
		}
		return request, err
	}
}

// readVerify is /api/verify, which takes X-Original-URL, else X-Forwarded-*. Here
// they have to agree. The method has to be told: nginx asks by GET, whatever the
// client does.
func readVerify(r *http.Request) (gate.Request, error) {
	h := r.Header
	if slices.Contains(r.URL.Query()["auth"], "basic") {
		// Then Authelia believes no cookie, and Gatepost has no passwords.
		return gate.Request{}, errors.New("auth=basic: Gatepost takes access tokens as Bearer, and no passwords")
	}
	if !has(h, "X-Original-Url") {
		return readForward(r)
	}
	if err := aliased(h, "X-Original-Url", "X-Original-Method", "X-Forwarded-Method", "X-Forwarded-Host", "X-Forwarded-Uri"); err != nil {
		return gate.Request{}, err
	}
	scheme, authority, target, err := originalURL(h)
	if err != nil {
		return gate.Request{}, err
	}
	method := ""
	for _, name := range []string{"X-Original-Method", "X-Forwarded-Method"} {
		if !has(h, name) {
			continue
		}
		said, err := one(h, name)
		if err != nil {
			return gate.Request{}, err
		}
		if method != "" && said != method {
			return gate.Request{}, errors.New("X-Original-Method and X-Forwarded-Method differ; the proxy must drop the client's")
		}
		method = said
	}
	if method == "" {
		return gate.Request{}, missing("X-Original-Method")
	}
	request, err := gate.NewRequest(method, scheme, authority, target, netip.Addr{})
	if err == nil {
		err = agrees(h, request, target)
	}
	return request, err
}

// autheliaRedirecting is redirecting, but that a 401 says where to sign in too,
// and that OPTIONS counts as harmless.
func autheliaRedirecting(p *checkpoint, c echo.Context, request gate.Request) error {
	if !isNavigation(c.Request().Header) || has(c.Request().Header, "Authorization") {
		return p.unauthorized(c, p.signInFor(c.Request(), request))
	}
	if request.Method == http.MethodOptions {
		p.notCached(c.Response().Header())
		c.Response().Header().Set("Location", p.signInFor(c.Request(), request))
		c.Response().WriteHeader(http.StatusFound)
		return nil
	}
	return p.sendToSignIn(c, request)
}

func autheliaPointing(p *checkpoint, c echo.Context, request gate.Request) error {
	return p.unauthorized(c, p.signInFor(c.Request(), request))
}

// autheliaLegacy redirects when the operator's rd names the portal. It is never
// read for more: the sign-in page is ours, wherever a client says that it is.
func autheliaLegacy(p *checkpoint, c echo.Context, request gate.Request) error {
	if c.QueryParam("rd") == "" {
		return p.unauthorized(c, "")
	}
	return autheliaRedirecting(p, c, request)
}

// autheliaPortal answers /?rd=…, where older configurations send a browser.
func (p *checkpoint) autheliaPortal(c echo.Context) error {
	if wanted := returnParam(c.Request().URL.RawQuery, "rd"); wanted != "" {
		return p.leadToSignIn(c, wanted)
	}
	return p.root(c)
}
