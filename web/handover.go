package web

import (
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/gorilla/securecookie"
	"github.com/labstack/echo/v4"

	"github.com/gatepost/gatepost/flows"
)

// A Site is Gatepost on a further root domain: URL is where browsers reach it
// there, Domain whose hosts see its cookie.
type Site struct {
	URL    string // https://auth.example.net
	Domain string // example.net
}

func (s Site) host() string {
	_, host, _ := strings.Cut(s.URL, "://")
	return host
}

// covers reports whether host, without port, is in the site's domain.
func (s Site) covers(host string) bool {
	return host == s.Domain || strings.HasSuffix(host, "."+s.Domain)
}

// siteAt is the site whose host was asked, nil for the public URL's.
func (s *server) siteAt(host string) *Site {
	for i := range s.Sites {
		if strings.EqualFold(s.Sites[i].host(), host) {
			return &s.Sites[i]
		}
	}
	return nil
}

// siteOnly leads whoever asks a site for anything but a hand-over to the public
// URL, where all pages and forms are.
func (s *server) siteOnly(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		r := c.Request()
		if s.siteAt(r.Host) == nil || strings.HasPrefix(c.Path(), s.BasePath+"/handover") || strings.HasPrefix(c.Path(), s.BasePath+"/static/") {
			return next(c)
		}
		if r.Method != http.MethodGet && r.Method != http.MethodHead || !strings.HasPrefix(r.URL.Path, s.BasePath+"/") {
			return echo.ErrNotFound
		}
		return s.redirect(c, s.url(strings.TrimPrefix(r.URL.Path, s.BasePath), c.QueryParams()))
	}
}

// beginHandover answers GET /handover?to=… on a site: remember which browser
// asks, and see at the public URL who it is.
func (s *server) beginHandover(c echo.Context) error {
	site := s.siteAt(c.Request().Host)
	if site == nil {
		return echo.ErrNotFound
	}
	target := s.ReturnTo.Resolve(c.QueryParam("to"))
	u, err := url.Parse(target)
	if err != nil || !site.covers(u.Hostname()) {
		return s.redirect(c, s.ReturnTo.Default())
	}
	if s.goesRound(c, u.Host) {
		return s.loopPage(c, u.Host, target)
	}
	crossing := s.Handover.Begin(site.host(), target)
	if err := s.cookies.keepCrossing(c, crossing); err != nil {
		return err
	}
	return s.redirect(c, s.url("/handover/from", url.Values{"site": {site.host()}, "bind": {crossing.Bind()}}))
}

// carryHandover answers GET /handover/from at the public URL: whoever is signed
// in is carried over, whoever is not signs in first.
func (s *server) carryHandover(c echo.Context) error {
	site := s.siteAt(c.QueryParam("site"))
	bind := c.QueryParam("bind")
	if site == nil || len(bind) != 64 || s.siteAt(c.Request().Host) != nil {
		return &flows.Error{Code: flows.Verification, Reason: flows.ReasonHandoverFailed}
	}
	token := s.cookies.session(c)
	user, _, err := s.Sessions.Current(c.Request().Context(), token)
	if errors.Is(err, flows.ErrNoSession) {
		here := s.url("/handover/from", url.Values{"site": {site.host()}, "bind": {bind}})
		return s.redirect(c, s.url("/signin", url.Values{"callbackUrl": {here}}))
	}
	if err != nil {
		return err
	}
	carried, err := s.Handover.Carry(c.Request().Context(), site.host(), bind, token)
	if err != nil {
		return err
	}
	code, err := s.cookies.sealCarried(carried)
	if err != nil {
		return err
	}
	entryOf(c).user = user.ID
	return s.redirect(c, site.URL+s.BasePath+"/handover/to?"+url.Values{"code": {code}, "bind": {bind}}.Encode())
}

// finishHandover answers GET /handover/to on a site, in the browser that began.
func (s *server) finishHandover(c echo.Context) error {
	if s.siteAt(c.Request().Host) == nil {
		return echo.ErrNotFound
	}
	crossing := s.cookies.takeCrossing(c, c.QueryParam("bind"))
	carried, ok := s.cookies.openCarried(c.QueryParam("code"))
	if !ok {
		return &flows.Error{Code: flows.Verification, Reason: flows.ReasonHandoverFailed}
	}
	session, err := s.Handover.Arrive(c.Request().Context(), crossing, carried)
	if err != nil {
		return err
	}
	entryOf(c).user = session.UserID
	if err := s.cookies.setSession(c, carried.Token, session.Expires); err != nil {
		return err
	}
	return s.redirect(c, crossing.ReturnTo)
}

func (k *cookies) keepCrossing(c echo.Context, x flows.Crossing) error {
	return k.seal(c, crossingCookie, attemptName(crossingCookie, x.Bind()), x, x.Since.Add(flows.AttemptTTL))
}

func (k *cookies) takeCrossing(c echo.Context, bind string) (x flows.Crossing) {
	base := attemptName(crossingCookie, bind)
	if k.open(c, crossingCookie, base, &x) {
		k.clear(c, base)
	}
	return x
}

// sealCarried makes the code that a redirect carries; it is no cookie, and has
// keys of its own.
func (k *cookies) sealCarried(carried flows.Carried) (string, error) {
	return securecookie.EncodeMulti(carriedCode, carried, k.sealed[carriedCode][:1]...)
}

func (k *cookies) openCarried(code string) (carried flows.Carried, ok bool) {
	return carried, securecookie.DecodeMulti(carriedCode, code, &carried, k.sealed[carriedCode]...) == nil
}
