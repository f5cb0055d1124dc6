package app

import (
	"cmp"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/publicsuffix"

	"github.com/gatepost/gatepost/flows"
	"github.com/gatepost/gatepost/flows/locale"
	"github.com/gatepost/gatepost/flows/mail"
	"github.com/gatepost/gatepost/flows/nextauth"
	"github.com/gatepost/gatepost/providers"
	"github.com/gatepost/gatepost/web"
)

// NewKey is a fresh secret for keys: 256 bits, base64url.
func NewKey() string {
	var b [32]byte
	rand.Read(b[:])
	return base64.RawURLEncoding.EncodeToString(b[:])
}

const exampleKey = "replace-me"

// validate notes every mistake: the key, the cause, the next step. It asks
// nothing of the network.
func (c Config) validate(m *mistakes) {
	c.validateServer(m)
	c.validateDatabase(m)
	c.validateSession(m)
	c.validateMail(m, c.validatePages(m))
	if new(slog.Level).UnmarshalText([]byte(c.Log.Level)) != nil {
		m.oneOf("log.level", c.Log.Level, "debug", "info", "warn", "error")
	}
	m.oneOf("log.format", c.Log.Format, "json", "text")
	c.validateProviders(m)
	c.validateGate(m)
	c.validateSignIn(m)
	c.validateWebhooks(m)
	c.validateCompat(m)
	c.validateNextAuth(m)
	c.validateNextAuthTokens(m)
}

// validatePages returns the languages, or English alone when they are wrong.
func (c Config) validatePages(m *mistakes) *locale.Languages {
	if contact, err := url.Parse(c.Pages.Contact); c.Pages.Contact != "" && (err != nil || contact.Scheme != "https" && contact.Scheme != "mailto") {
		m.wrong("pages.contact", "%q: want mailto:help@example.org or https://example.org/help", c.Pages.Contact)
	}
	languages, err := locale.Load(c.Pages.Locales, c.Pages.Languages)
	if err != nil {
		m.wrong("pages.languages", "%v", err)
		if languages, err = locale.Load("", []string{"en"}); err != nil {
			panic(err) // a text of ours, which a test finds
		}
	}
	for _, err := range each(web.CheckTemplates(c.Pages.Templates, languages)) {
		m.add("pages.templates", "%v", err)
	}
	return languages
}

func (c Config) validateServer(m *mistakes) {
	public, err := url.Parse(c.PublicURL)
	switch {
	case c.PublicURL == "":
		m.wrong("public_url", "is missing; set it to where browsers reach Gatepost, as in https://auth.example.org")
	case err != nil || public.Host == "" || public.User != nil || strings.Trim(public.Path, "/") != "" || public.RawQuery != "" || public.Fragment != "":
		m.wrong("public_url", "%q is not https and a host; paths belong into base_path", c.PublicURL)
	case noPort(public):
		m.wrong("public_url", "%q: there is no port %s", c.PublicURL, public.Port())
	case public.Scheme == "http" && !(c.Dev && loopback(public.Hostname())):
		m.wrong("public_url", "must be https; http is for loopback with dev: true")
	case public.Scheme != "https" && public.Scheme != "http":
		m.wrong("public_url", "must be https")
	default:
		c.validateSites(public, m)
	}
	if !strings.HasPrefix(c.BasePath, "/") || strings.HasSuffix(c.BasePath, "/") || strings.ContainsAny(c.BasePath, "?#:*% ") || strings.Contains(c.BasePath, "//") {
		m.wrong("base_path", "%q: want a path such as /auth, without a slash at the end", c.BasePath)
	}
	checkListen(m, "listen", c.Listen)
	if c.AdminListen != "" {
		checkListen(m, "admin_listen", c.AdminListen)
	}
	if len(c.Keys) == 0 {
		m.wrong("keys", "is missing; «gatepost keys new» makes one")
	}
	for i, k := range c.Keys {
		key := fmt.Sprintf("keys[%d]", i)
		if len(k) < flows.MinSecret {
			m.wrong(key, "has %d bytes, needs %d; «gatepost keys new» makes one", len(k), flows.MinSecret)
		}
		if strings.Contains(string(k), exampleKey) {
			m.wrong(key, "is the example; «gatepost keys new» makes one")
		}
	}
	if _, err := socketMode(c.SocketMode); err != nil {
		m.wrong("socket_mode", "%v", err)
	}
	_, socket := socketPath(c.Listen)
	for i, p := range c.TrustedProxies {
		key := fmt.Sprintf("trusted_proxies[%d]", i)
		if p == trustUnix {
			if !socket {
				m.wrong(key, "unix stands for the peers on a socket, and listen is none; write it as unix:/run/gatepost/gatepost.sock, or take this out")
			}
		} else if _, err := netip.ParsePrefix(p); err != nil {
			m.wrong(key, "%q is not a CIDR such as 10.0.0.0/8, nor unix", p)
		}
	}
	for key, list := range map[string][]string{"return_to": c.ReturnTo, "form_origins": c.FormOrigins} {
		for i, origin := range list {
			if _, err := flows.NewReturnTo("https://any.example", []string{origin}); err != nil {
				m.wrong(fmt.Sprintf("%s[%d]", key, i), "%q is no origin; want https://host or https://*.example.org", origin)
			}
		}
	}
	m.oneOf("linking", c.Linking, string(flows.LinkVerified), string(flows.LinkNever))
	if c.Drain < 0 {
		m.wrong("drain", "want 0s or more")
	}
}

// longestSocket is what every system has room for.
const longestSocket = 103

func checkListen(m *mistakes, key, address string) {
	if path, ok := socketPath(address); ok {
		if !filepath.IsAbs(path) || filepath.Clean(path) != path || path == "/" {
			m.wrong(key, "%q: want unix: and an absolute path, as in unix:/run/gatepost/gatepost.sock", address)
		} else if len(path) > longestSocket {
			m.wrong(key, "the path has %d bytes, and a socket's at most %d", len(path), longestSocket)
		}
		return
	}
	_, port, err := net.SplitHostPort(address)
	n, numeric := strconv.Atoi(port)
	if err != nil || numeric != nil || n < 0 || n > 65535 {
		m.wrong(key, "%q: want host:port, as in 127.0.0.1:8080 or :8080, or unix: and a path", address)
	}
}

func (c Config) validateDatabase(m *mistakes) {
	d := c.Database
	if d.URL == "" {
		m.wrong("database.url", "is missing; as in postgres://gatepost:password@localhost/gatepost, or set DATABASE_URL")
	} else if err := d.options().Check(); err != nil {
		m.wrong("database.url", "%v", err)
	}
	if d.DirectURL != "" {
		direct := d.options()
		direct.URL = direct.DirectURL
		if err := direct.Check(); err != nil {
			m.wrong("database.direct_url", "%v", err)
		}
	}
	if d.MaxConns < 1 {
		m.wrong("database.max_conns", "want 1 or more")
	}
	if d.ExecMode != "" {
		m.oneOf("database.exec_mode", d.ExecMode, "cache_describe", "exec")
	}
}

func (c Config) validateSession(m *mistakes) {
	s := c.Session
	if s.Idle < time.Minute {
		m.wrong("session.idle", "want 1m or more")
	}
	if s.Absolute != 0 && s.Absolute < s.Idle {
		m.wrong("session.absolute", "want session.idle or more, or 0s for without end")
	}
	if s.Update < 0 || s.Update >= s.Idle {
		m.wrong("session.update", "want less than session.idle")
	}
	if s.MaxPerUser < 0 || s.MaxPerUser > 500 {
		m.wrong("session.max_per_user", "want 1 to 500, or 0 for any number")
	}
}

func (c Config) validateMail(m *mistakes, languages *locale.Languages) {
	mc := c.Mail
	if mc.Host == "" {
		return
	}
	m.oneOf("mail.bind", mc.Bind, bindAsk, bindBrowser)
	m.oneOf("mail.tls", mc.TLS, "starttls", "tls", "none")
	if _, err := mail.New(mc.config(languages), slog.New(slog.DiscardHandler)); err != nil {
		for _, err := range each(err) {
			if e, ok := errors.AsType[*mail.ConfigError](err); ok {
				m.wrong("mail."+e.Key, "%s", e.Text)
			} else {
				m.wrong("mail", "%v", err)
			}
		}
	}
	if mc.LinkTTL < time.Minute || mc.LinkTTL > 24*time.Hour {
		m.wrong("mail.link_ttl", "want 1m to 24h")
	}
	if mc.CodeTries < 1 || mc.CodeTries > 9 {
		m.wrong("mail.code_tries", "want 1 to 9")
	}
	for key, n := range map[string]int{"address_per_window": mc.AddressPerWindow, "address_per_day": mc.AddressPerDay, "client_per_window": mc.ClientPerWindow} {
		if n < 0 {
			m.wrong("mail."+key, "want 1 or more, or 0 for any number")
		}
	}
	if mc.Window < time.Minute {
		m.wrong("mail.window", "want 1m or more")
	}
}

func (c Config) validateProviders(m *mistakes) {
	seen := map[string]bool{}
	for i, p := range c.Providers {
		key := fmt.Sprintf("providers[%d]", i)
		if p.ID == "" {
			m.wrong(key+".id", "is missing")
			continue
		}
		if seen[p.ID] {
			m.wrong(key+".id", "the id %q is used twice", p.ID)
		}
		seen[p.ID] = true
		if p.TrustEmail != "" {
			m.oneOf(key+".trust_email", p.TrustEmail, "claim", "always", "never")
		}
		kind := cmp.Or(p.Type, p.ID)
		doc, known := providers.Lookup(kind)
		if !known {
			about := key + ".type"
			if p.Type == "" {
				about = key + ".id"
			}
			m.wrong(about, "%q is not in the catalogue%s", kind, nearCatalogue(kind))
			continue
		}
		if p.Tokens && (doc.Protocol == "oauth1" || doc.Protocol == "openid2") {
			m.wrong(key+".tokens", "this provider has none that an application could use by itself; leave it out")
		}
		for _, name := range sorted(p.Params) {
			if keys := keysOf(doc); !slices.Contains(keys, name) {
				m.wrong(key+"."+name, "this provider has no such key%s", suggestion(name, keys))
			}
		}
		_, err := c.client(p, slog.New(slog.DiscardHandler))
		for _, err := range each(err) {
			e, ok := errors.AsType[*providers.ConfigError](err)
			switch {
			case !ok:
				m.wrong(key, "%v", err)
			case e.Key == "":
				m.wrong(key, "%s", e.Text)
			case !m.has(key + "." + e.Key): // what is noted of an override is said better already
				m.wrong(key+"."+e.Key, "%s", e.Text)
			}
		}
	}
}

// keysOf are the keys that a provider takes.
func keysOf(doc providers.Provider) (keys []string) {
	for f := range reflect.TypeFor[ProviderConfig]().Fields() {
		if name, _, _ := strings.Cut(f.Tag.Get("yaml"), ","); name != "" {
			keys = append(keys, name)
		}
	}
	for _, p := range doc.Params {
		keys = append(keys, p.Name)
	}
	return keys
}

func nearCatalogue(kind string) string {
	var known []string
	for _, p := range providers.Catalog() {
		known = append(append(known, p.ID), p.Aliases...)
	}
	if near := nearest(kind, known); near != "" {
		return fmt.Sprintf("; did you mean %q?", near)
	}
	return "; a provider that is not there is type: oidc or type: oauth2"
}

// each takes errors apart that were joined.
func each(err error) []error {
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		if err == nil {
			return nil
		}
		return []error{err}
	}
	var all []error
	for _, inner := range joined.Unwrap() {
		all = append(all, each(inner)...)
	}
	return all
}

// validateSites looks at the cookie's domain and at the further root domains.
func (c Config) validateSites(public *url.URL, m *mistakes) {
	checkDomain("cookie.domain", c.Cookie.Domain, public.Hostname(), "public_url", m)
	taken := []string{strings.ToLower(public.Hostname())}
	for i, s := range c.Cookie.Sites {
		key := fmt.Sprintf("cookie.sites[%d]", i)
		u, err := url.Parse(s.URL)
		switch {
		case err != nil || u.Host == "" || u.Path != "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || u.Scheme != "https" && !(c.Dev && u.Scheme == "http"):
			m.wrong(key+".url", "%q: want https and a host, as in https://auth.example.net", s.URL)
		case noPort(u):
			m.wrong(key+".url", "%q: there is no port %s", s.URL, u.Port())
		case slices.Contains(taken, strings.ToLower(u.Hostname())): // a site leads to public_url: to itself, for ever
			m.wrong(key+".url", "%s is named by public_url or another site; give each domain a host of its own", u.Hostname())
		case s.Domain == "":
			m.wrong(key+".domain", "is missing; as in example.net")
		default:
			taken = append(taken, strings.ToLower(u.Hostname()))
			checkDomain(key+".domain", s.Domain, u.Hostname(), key+".url", m)
		}
	}
	if len(c.Cookie.Sites) > 0 && c.Cookie.Domain == "" {
		m.wrong("cookie.domain", "is missing; with cookie.sites each domain is named")
	}
}

// validateCompat refuses names that are none, and two that answer at one path.
func (c Config) validateCompat(m *mistakes) {
	var oauth2 []string
	for i, name := range c.Compat {
		m.oneOf(fmt.Sprintf("compat[%d]", i), name, append(web.Surfaces(), nextAuthV3)...)
		if strings.HasPrefix(name, "oauth2-proxy") && !slices.Contains(oauth2, name) {
			oauth2 = append(oauth2, name)
		}
	}
	if len(oauth2) > 1 {
		m.wrong("compat", "%s answer at the same paths; name the one for your proxy", strings.Join(oauth2, " and "))
	}
	if slices.ContainsFunc(c.Compat, func(name string) bool { return name != nextAuthV3 }) && !c.Gate.on() {
		m.wrong("compat", "needs the gate, and the gate has no rules; see gate.rules")
	}
}

// validateNextAuth wants the NextAuth site's secret, long enough that the CSRF
// cookie, which tells everybody a hash of it, cannot be searched for it
// (nextauth-v3 §18 row 14).
func (c Config) validateNextAuth(m *mistakes) {
	secret := c.NextAuth.Secret
	switch {
	case !c.nextAuth() && secret != "":
		m.wrong("nextauth.secret", "is only for compat: nextauth-v3")
	case !c.nextAuth():
	case secret == "":
		m.wrong("nextauth.secret", "is missing; it is the option secret of the NextAuth site, which must be set there too")
	case len(secret) < flows.MinSecret && c.NextAuth.Sessions == jwtSessions:
		m.wrong("nextauth.secret", "has %d bytes, needs %d, because any cookie lets its owner guess a short one; set a longer secret in the NextAuth site first: cookies that were signed with this one sign nobody in here", len(secret), flows.MinSecret)
	case len(secret) < flows.MinSecret:
		m.wrong("nextauth.secret", "has %d bytes, needs %d, because its CSRF cookie lets anybody guess a short one; set a longer secret in the NextAuth site first: nobody is signed out by that, since sessions in the database do not depend on it", len(secret), flows.MinSecret)
	}
	if c.shared() && c.Mail.Bind == bindBrowser {
		m.wrong("mail.bind", "browser would refuse every link that was asked for at the NextAuth site; want ask")
	}
	if !c.nextAuth() && !c.NextAuth.Shared {
		m.wrong("nextauth.shared", "is only for compat: nextauth-v3")
	}
}

// validateNextAuthTokens wants the keys with which the NextAuth site makes its
// cookies. Whoever guesses the one that signs is whom they like, so that it must
// be as long as the site's secret.
func (c Config) validateNextAuthTokens(m *mistakes) {
	n := c.NextAuth
	if !c.nextAuth() {
		if n.Sessions != databaseSessions {
			m.wrong("nextauth.sessions", "is only for compat: nextauth-v3")
		}
		if n.JWT != (NextAuthJWT{}) {
			m.wrong("nextauth.jwt", "is only for compat: nextauth-v3")
		}
		return
	}
	m.oneOf("nextauth.sessions", n.Sessions, databaseSessions, jwtSessions)
	if n.JWT.Encryption && n.Sessions != jwtSessions {
		m.wrong("nextauth.jwt.encryption", "is of session cookies, which are tokens with nextauth.sessions: jwt")
	}
	if secret := n.JWT.Secret; secret != "" && len(secret) < flows.MinSecret {
		m.wrong("nextauth.jwt.secret", "has %d bytes, needs %d, because whoever guesses it signs in as anybody; set a longer one in the NextAuth site first", len(secret), flows.MinSecret)
	}
	_, err := n.tokens()
	if wrong, ok := errors.AsType[*nextauth.OptionError](err); ok && n.Secret != "" {
		m.wrong("nextauth.jwt."+wrong.Option, "%v", wrong.Err)
	}
}

// checkDomain refuses a cookie domain that would hand sessions to strangers
// (security S-7). The host of what inside names must be in it.
func checkDomain(key, domain, host, inside string, m *mistakes) {
	d := strings.TrimPrefix(domain, ".")
	if d == "" {
		return
	}
	suffix, icann := publicsuffix.PublicSuffix(d)
	switch {
	case net.ParseIP(d) != nil:
		m.wrong(key, "%q is an address; cookies of several hosts need a domain", d)
	case suffix == d && (icann || strings.Contains(d, ".")) || !strings.Contains(d, "."):
		m.wrong(key, "%q is a public suffix; anybody can have a host under it", d)
	case host != d && !strings.HasSuffix(host, "."+d):
		m.wrong(key, "%s is not inside %q", inside, d)
	}
}

func (c Config) validateGate(m *mistakes) {
	if !c.Gate.on() {
		return
	}
	_, found := c.rules()
	for _, f := range found {
		m.wrong("gate."+f.Key, "%s", f.Text)
	}
	if _, socket := socketPath(c.Listen); socket && !slices.Contains(c.TrustedProxies, trustUnix) {
		m.wrong("trusted_proxies", "has no unix, so no proxy on the socket of listen may ask the gate; add it if only your proxy can connect there")
	} else if len(c.TrustedProxies) == 0 {
		m.wrong("trusted_proxies", "is empty, so no proxy may ask the gate; list the addresses your proxy connects from, as in 127.0.0.1/32")
	}
	if public, err := url.Parse(c.PublicURL); err == nil && !c.Dev {
		c.checkReach(public.Hostname(), m)
	}
}

// checkReach refuses rules for hosts that never see the sign-in's cookie: there
// everybody would be sent to sign in again and again.
func (c Config) checkReach(public string, m *mistakes) {
	domains := []string{strings.TrimPrefix(c.Cookie.Domain, ".")}
	for _, s := range c.Cookie.Sites {
		domains = append(domains, strings.TrimPrefix(s.Domain, "."))
	}
	for i, r := range c.Gate.Rules {
		for j, text := range r.Host {
			host := strings.ToLower(strings.TrimPrefix(text, "*."))
			if text == "*" || strings.ContainsAny(text, "~{") || host == public || r.Allow != nil && (r.Allow.Atom == "public" || r.Allow.Atom == "everyone") {
				continue
			}
			if !slices.ContainsFunc(domains, func(d string) bool { return d != "" && (host == d || strings.HasSuffix(host, "."+d)) }) {
				m.wrong(fmt.Sprintf("gate.rules[%d].host[%d]", i, j), "%s does not see the sign-in's cookie; set cookie.domain to the domain that it and public_url share, or add its domain to cookie.sites", text)
			}
		}
	}
}

// noPort reports that u names a port that there is not.
func noPort(u *url.URL) bool {
	port, err := strconv.Atoi(u.Port())
	return u.Port() != "" && (err != nil || port < 1 || port > 65535)
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || strings.HasSuffix(host, ".localhost") || ip != nil && ip.IsLoopback()
}
