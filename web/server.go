package web

import (
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/gatepost/gatepost/flows"
	"github.com/gatepost/gatepost/flows/locale"
	"github.com/gatepost/gatepost/flows/nextauth"
)

// Config is what the HTTP surface needs.
type Config struct {
	PublicURL      string // https://auth.example.org, no path
	BasePath       string // /auth
	CookieDomain   string // "" for host-only cookies
	TrustedProxies []netip.Prefix
	Socket         bool // requests come over a Unix socket, where a peer has no address
	TrustSocket    bool // whose peers are proxies of the operator's
	SiteName       string
	Logo           string // a picture for the head of every page; \"\" for none
	Stylesheet     string // loaded after ours; \"\" for none
	Contact        string // URL for people who are stuck; \"\" for none
	TemplateDir    string // "" for the built-in pages
	Languages      *locale.Languages
	FormOrigins    []string // further origins a sign-in may lead through (CSP form-action)

	Keys      flows.Keys
	ReturnTo  flows.ReturnTo
	OAuth     *flows.OAuth
	Upstream  *flows.Upstream  // nil when no provider's tokens are given out
	MagicLink *flows.MagicLink // nil when no mail is configured
	Sessions  *flows.Sessions
	Fields    *flows.Fields // what GET /session tells besides; nil for nothing
	Gate      *flows.Gate   // nil when no rules are configured
	Handover  *flows.Handover
	Sites     []Site    // further root domains
	Compat    []string  // of Surfaces: whose endpoints the gate has besides its own
	NextAuth  *NextAuth // nil when the tables were never a NextAuth site's

	MailHealthy func() error // nil when no mail is configured
	MailFrom    string
	Log         *slog.Logger
	Observe     func(Observation) // told of every request; may be nil
}

// An Observation is what one request came to. Route, Code and Reason are of
// closed lists; Provider is what the request named.
type Observation struct {
	Route        string // as registered; "" when there is none
	Status       int
	Code, Reason string
	Provider     string
	SignedIn     bool // a session began
	Panicked     bool
	Took         time.Duration
}

// NextAuth is a NextAuth v3 site whose tables and browsers are ours, too.
type NextAuth struct {
	Secret nextauth.Secret
	Tokens nextauth.Tokens
	Shared bool // it still runs: what it began may end here
}

type server struct {
	Config
	public  *url.URL
	pages   *pages
	assets  assets
	logos   map[string]string
	cookies *cookies
	guesses *limiter            // by client
	fetches *limiter            // by user: of upstream tokens
	astray  func(*http.Request) // is told of what no route takes; nil without a gate
}

// New gives the handler for everything under the base path, and / which leads
// there. Nothing is read from the network or the database.
func New(c Config) (http.Handler, error) {
	public, err := url.Parse(c.PublicURL)
	if err != nil {
		return nil, err
	}
	p, err := newPages(c.TemplateDir, c.Languages)
	if err != nil {
		return nil, err
	}
	a, err := loadAssets(c.Logo, c.Stylesheet)
	if err != nil {
		return nil, err
	}
	l, err := logos()
	if err != nil {
		return nil, err
	}
	s := &server{Config: c, public: public, pages: p, assets: a, logos: l, cookies: newCookies(c.Keys, public.Scheme == "https", c.CookieDomain, c.Sites, c.NextAuth),
		guesses: newLimiter(6*time.Second, 10), fetches: newLimiter(50*time.Millisecond, 600)}

	e := echo.New()
	e.HideBanner, e.HidePort = true, true
	e.IPExtractor = c.clientIP()
	e.HTTPErrorHandler = s.handleError
	e.Pre(boundCookies)
	e.Use(func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			entryOf(c) // notes the route for the log line
			return next(c)
		}
	})

	if c.NextAuth != nil {
		e.Use(s.contractCookies)
	}
	if c.Sessions.Signed != nil {
		e.Use(s.exchanged)
	}

	both := []string{http.MethodGet, http.MethodHead}
	root := s.root
	var point *checkpoint
	if c.Gate != nil {
		point = s.newCheckpoint()
		s.astray = point.astray
		root = point.open(e, c.Compat)
	}
	e.Match(both, "/", root)
	g := e.Group(strings.TrimSuffix(c.BasePath, "/"))
	g.Match(both, "", s.root)
	g.Match(both, "/signin", s.signInPage)
	g.Match(both, "/signin/:provider", s.signInPage)
	g.POST("/signin/:provider", s.beginSignIn)
	g.Match(both, "/callback/email", s.lookAtMagicLink)
	g.POST("/callback/email", s.completeMagicLink)
	g.POST("/callback/email/revoke", s.revokeMagicLink)
	g.GET("/callback/:provider", s.completeOAuth) // no HEAD: it would use up the attempt
	g.POST("/callback/:provider", s.receiveFormPost)
	g.Match(both, "/verify-request", s.checkMailPage)
	g.Match(both, "/signout", s.signOutPage)
	g.POST("/signout", s.signOut)
	asked := both
	if c.NextAuth != nil {
		asked = both[:1] // it extends the session, and NextAuth's takes no HEAD
	}
	g.Match(asked, "/session", s.session)
	g.POST("/session", s.askSessionAnew)
	g.Match(both, "/csrf", s.csrf)
	g.Match(both, "/providers", s.providers)
	g.Match(both, "/error", s.errorPage)
	g.Match(both, "/error/:code", s.errorPage)
	g.POST("/_log", s.clientLog)
	g.Match(both, "/account", s.account)
	g.Match(both, "/account/export", s.export)
	g.POST("/account/unlink", s.unlink)
	g.POST("/account/end", s.endSession)
	g.POST("/account/end-others", s.endOtherSessions)
	g.POST("/account/end-all", s.endAllSessions)
	if len(c.Sites) > 0 {
		e.Use(s.siteOnly)
		g.GET("/handover", s.beginHandover)
		g.GET("/handover/from", s.carryHandover)
		g.GET("/handover/to", s.finishHandover)
	}
	if c.Gate != nil {
		g.Match(both, "/account/tokens", s.tokens)
		g.POST("/account/tokens", s.makeToken)
	}
	if c.Upstream != nil {
		g.POST("/token/:provider", s.upstreamToken)
	}
	s.assets.serve(g)
	s.withoutSlash(e)
	pages := s.harden(e)
	if point == nil {
		return pages, nil
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if point.owns(r) {
			point.checks.ServeHTTP(w, r)
			return
		}
		pages.ServeHTTP(w, r)
	}), nil
}

// withoutSlash leads whoever asks for a page with a slash behind it to the page.
// Each has a route of its own and leads to an address that we write, since
// middleware that cuts slashes has led browsers to other origins (security
// K-E7). What is posted there is posted to nobody.
func (s *server) withoutSlash(e *echo.Echo) {
	both, base := []string{http.MethodGet, http.MethodHead}, strings.TrimSuffix(s.BasePath, "/")
	for _, r := range e.Routes() {
		page, ours := strings.CutPrefix(r.Path, base)
		if r.Method != http.MethodGet || !ours || r.Path == "/" || strings.HasPrefix(page, "/static/") || strings.HasPrefix(page, "/handover") {
			continue
		}
		e.Match(both, r.Path+"/", func(c echo.Context) error {
			if page == "" {
				return s.root(c)
			}
			asked := c.Request().URL
			if asked.RawPath != "" { // escaped as no page of ours is
				return echo.ErrNotFound
			}
			return s.redirect(c, s.url(strings.TrimSuffix(strings.TrimPrefix(asked.Path, base), "/"), c.QueryParams()))
		})
	}
}

// clientIP believes X-Forwarded-For only from the listed proxies. An empty list
// means none; Echo's own default believes anybody (security K-E1, X-6, F-1). A
// peer on a socket is never known by an address, whatever it calls itself.
func (c Config) clientIP() echo.IPExtractor {
	trusted := c.TrustedProxies
	if c.Socket {
		return func(r *http.Request) string {
			if !c.TrustSocket {
				return ""
			}
			return forwardedFor(r.Header, trusted).String()
		}
	}
	if len(trusted) == 0 {
		return echo.ExtractIPDirect()
	}
	options := []echo.TrustOption{echo.TrustLoopback(false), echo.TrustLinkLocal(false), echo.TrustPrivateNet(false)}
	for _, p := range trusted {
		_, ipNet, err := net.ParseCIDR(p.Masked().String())
		if err == nil {
			options = append(options, echo.TrustIPRange(ipNet))
		}
	}
	return echo.ExtractIPFromXFFHeader(options...)
}

// client is the key of limits: the address, of IPv6 the /64 that one household
// has (security X-7).
func client(c echo.Context) string {
	ip, err := netip.ParseAddr(c.RealIP())
	if err != nil {
		return "unknown"
	}
	if ip = ip.Unmap(); ip.Is6() {
		p, _ := ip.Prefix(64)
		return p.String()
	}
	return ip.String()
}

// url is an absolute URL under the base path.
func (s *server) url(path string, query url.Values) string {
	u := url.URL{Scheme: s.public.Scheme, Host: s.public.Host, Path: s.BasePath + path, RawQuery: query.Encode()}
	return u.String()
}

// root leads somebody who has no place to return to to the account page.
func (s *server) root(c echo.Context) error {
	return s.redirect(c, s.url("/account", nil))
}
