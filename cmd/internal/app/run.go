package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/netutil"

	"github.com/gatepost/gatepost/flows"
	"github.com/gatepost/gatepost/flows/locale"
	"github.com/gatepost/gatepost/flows/mail"
	"github.com/gatepost/gatepost/flows/nextauth"
	"github.com/gatepost/gatepost/providers"
	"github.com/gatepost/gatepost/store"
	"github.com/gatepost/gatepost/web"
)

// maxConnections at once; a proxy in front needs far fewer (security X-5).
const maxConnections = 4096

// cachedSessions bounds the memory of the session cache, about 40 MiB with the
// garbage that gathers beside it.
const cachedSessions = 100_000

// How often garbage is collected. Go counts in percent of what is held, and a
// gate that remembers few sessions holds so little that it would collect all the
// time. So untouched memory, which costs nothing but addresses, counts as held:
// about 13 MiB gather when idle and 24 MiB with 100,000 sessions.
const (
	uncollected = 32 << 20 // bytes
	maxGarbage  = 35       // percent
)

// NewLogger writes one event a line.
func NewLogger(c LogConfig, w io.Writer) *slog.Logger {
	var level slog.Level
	if level.UnmarshalText([]byte(c.Level)) != nil {
		level = slog.LevelInfo
	}
	options := &slog.HandlerOptions{Level: level, ReplaceAttr: inUTC}
	if c.Format == "text" {
		return slog.New(slog.NewTextHandler(w, options))
	}
	return slog.New(slog.NewJSONHandler(w, options))
}

// inUTC keeps a machine's time zone out of the log (security X-4).
func inUTC(groups []string, a slog.Attr) slog.Attr {
	if len(groups) == 0 && a.Key == slog.TimeKey && a.Value.Kind() == slog.KindTime {
		a.Value = slog.TimeValue(a.Value.Time().UTC())
	}
	return a
}

// parts are what a configuration becomes.
type parts struct {
	store     *store.Store
	cache     *store.Cache
	mailer    *mail.Mailer // nil without mail
	clients   []*providers.Client
	sessions  *flows.Sessions
	upstream  *flows.Upstream  // nil where no provider's tokens are given out
	admission *flows.Admission // nil where everybody may sign in
	fields    *flows.Fields    // nil where GET /session tells nothing more
	events    *flows.Events    // nil where nobody wants to know
	metrics   *metrics
	handler   http.Handler
}

func (c Config) flowKeys() (flows.Keys, error) {
	var secrets [][]byte
	for _, k := range c.Keys {
		secrets = append(secrets, []byte(k))
	}
	return flows.NewKeys(secrets)
}

// build wires everything and connects to nothing.
func build(ctx context.Context, c Config, log *slog.Logger) (*parts, error) {
	keys, err := c.flowKeys()
	if err != nil {
		return nil, err
	}
	returnTo, err := flows.NewReturnTo(c.PublicURL, c.returnTo())
	if err != nil {
		return nil, err
	}
	p := &parts{}
	if p.clients, err = c.clients(log); err != nil {
		return nil, err
	}
	languages, err := locale.Load(c.Pages.Locales, c.Pages.Languages)
	if err != nil {
		return nil, err
	}
	public, err := url.Parse(c.PublicURL)
	if err != nil {
		return nil, err
	}
	if c.Mail.Host != "" {
		if p.mailer, err = mail.New(c.Mail.config(languages), log); err != nil {
			return nil, err
		}
	}
	if p.store, err = store.Open(ctx, c.storeOptions()); err != nil {
		return nil, err
	}
	lifetimes := store.Lifetimes{Idle: c.Session.Idle, Update: c.Session.Update, Absolute: c.Session.Absolute}
	remembered := cachedSessions
	if c.nextAuth() {
		returnTo = returnTo.Bare()
	}
	if c.shared() { // with what deletes sessions without a word
		remembered = 0
	}
	p.cache = store.NewCache(p.store, remembered, lifetimes)
	if c.nextAuth() { // whose GET /session tells them
		p.cache.KeepAccessTokens()
	}
	p.cache.Warn = func(err error) {
		log.Warn("sign-outs elsewhere are not heard of; every check asks the database", "err", err.Error())
	}
	p.sessions = &flows.Sessions{Store: p.store, Cache: p.cache, MaxPerUser: c.Session.MaxPerUser, Lifetimes: lifetimes, Dialect: c.dialect(keys)}
	if p.admission, err = c.admission(p.store, returnTo); err != nil {
		return nil, err
	}
	if p.events, err = c.events(p.store, log); err != nil {
		return nil, err
	}
	if p.sessions.Signed, err = c.signedSessions(); err != nil {
		return nil, err
	}
	if p.fields, err = c.fields(log); err != nil {
		return nil, err
	}
	p.metrics = newMetrics(p)
	w := web.Config{
		PublicURL: strings.TrimSuffix(c.PublicURL, "/"), BasePath: c.BasePath, CookieDomain: strings.TrimPrefix(c.Cookie.Domain, "."),
		SiteName: c.Pages.SiteName, Logo: c.Pages.Logo, Stylesheet: c.Pages.Stylesheet, Contact: c.Pages.Contact, TemplateDir: c.Pages.Templates, Languages: languages, FormOrigins: append(c.returnTo(), c.FormOrigins...),
		Keys: keys, ReturnTo: returnTo, Sessions: p.sessions, Fields: p.fields, Log: log, Observe: p.metrics.observe,
		OAuth: &flows.OAuth{Providers: p.clients, Store: p.store, Sessions: p.sessions, Keys: keys, Linking: flows.Linking(c.Linking), Admission: p.admission, Believed: c.believed(p.clients), Claims: c.nextAuth(), Now: time.Now},
	}
	if c.nextAuth() {
		tokens, err := c.NextAuth.tokens()
		if err != nil {
			return nil, err
		}
		w.NextAuth = &web.NextAuth{Secret: nextauth.Secret(c.NextAuth.Secret), Tokens: tokens, Shared: c.shared()}
	}
	p.upstream = c.upstream(p, log)
	w.Upstream = p.upstream
	if len(c.Cookie.Sites) > 0 {
		w.Handover = &flows.Handover{Store: p.store, Sessions: p.sessions, Keys: keys, Now: time.Now}
		for _, s := range c.Cookie.Sites {
			w.Sites = append(w.Sites, web.Site{URL: s.URL, Domain: strings.TrimPrefix(s.Domain, ".")})
			w.FormOrigins = append(w.FormOrigins, s.URL)
		}
	}
	if c.Gate.on() {
		if w.Gate, err = c.gate(p.sessions, keys); err != nil {
			return nil, err
		}
		w.Compat = c.Compat
	}
	_, w.Socket = socketPath(c.Listen)
	for _, cidr := range c.TrustedProxies {
		if cidr == trustUnix {
			w.TrustSocket = true
			continue
		}
		prefix, err := netip.ParsePrefix(cidr)
		if err != nil {
			return nil, err
		}
		w.TrustedProxies = append(w.TrustedProxies, prefix)
	}
	if p.mailer != nil {
		w.MailHealthy, w.MailFrom = p.mailer.Healthy, c.Mail.From
		w.MagicLink = &flows.MagicLink{
			Store: p.store, Sessions: p.sessions, Keys: keys, Send: p.mailer.Send, Site: public.Host, Bind: c.Mail.Bind == bindBrowser,
			URL: c.mailedLink,
			TTL: c.Mail.LinkTTL, Tries: c.Mail.CodeTries, Admission: p.admission, Now: time.Now,
			Limits:   store.MailLimits{AddressPerWindow: c.Mail.AddressPerWindow, AddressPerDay: c.Mail.AddressPerDay, ClientPerWindow: c.Mail.ClientPerWindow, Window: c.Mail.Window},
			Believed: c.believed(p.clients),
		}
	}
	p.handler, err = web.New(w)
	return p, err
}

func (c Config) dialect(keys flows.Keys) flows.Dialect {
	if c.nextAuth() {
		return flows.NextAuth(keys, nextauth.Secret(c.NextAuth.Secret))
	}
	return flows.Own(keys)
}

// signedSessions are those of a NextAuth site that keeps none in the database;
// nil for none.
func (c Config) signedSessions() (*flows.SignedSessions, error) {
	if !c.nextAuth() || c.NextAuth.Sessions != jwtSessions {
		return nil, nil
	}
	tokens, err := c.NextAuth.tokens()
	return &flows.SignedSessions{Tokens: tokens, Encrypted: c.NextAuth.JWT.Encryption, MaxAge: c.Session.Idle, Now: time.Now}, err
}

// EndSessions ends every session of a user, and with a NextAuth site's signed
// cookies about also those that have not begun yet. It returns how many rows
// there were.
func EndSessions(ctx context.Context, c Config, s *store.Store, userID int32) (int, error) {
	signed, err := c.signedSessions()
	if err != nil {
		return 0, err
	}
	return (&flows.Sessions{Store: s, Signed: signed}).EndAll(ctx, userID)
}

// mailedLink is what a mail leads to.
func (c Config) mailedLink(address, token string) string {
	link := strings.TrimSuffix(c.PublicURL, "/") + c.BasePath + "/callback/email?"
	if c.nextAuth() {
		link += "email=" + nextauth.EncodeURIComponent(address) + "&"
	}
	return link + "token=" + url.QueryEscape(token)
}

// believed are the providers whose accounts stay when an address is proven for
// the first time, nil for none. NextAuth marks no address of a provider as
// proven, so that it would take the accounts of everybody.
func (c Config) believed(clients []*providers.Client) []string {
	if !c.nextAuth() {
		return nil
	}
	ids := []string{}
	for _, p := range clients {
		if p.Document().OnlyProven() {
			ids = append(ids, p.ID())
		}
	}
	return ids
}

func (c Config) clients(log *slog.Logger) ([]*providers.Client, error) {
	var clients []*providers.Client
	for _, p := range c.Providers {
		client, err := c.client(p, log)
		if err != nil {
			return nil, err
		}
		clients = append(clients, client)
	}
	return clients, nil
}

func (c Config) client(p ProviderConfig, log *slog.Logger) (*providers.Client, error) {
	return c.watchedClient(p, log, nil)
}

// watchedClient is a client that tells w, if that is not nil, what it does.
func (c Config) watchedClient(p ProviderConfig, log *slog.Logger, w *providers.Watch) (*providers.Client, error) {
	params := map[string]string{}
	for name, v := range p.Params {
		params[name] = string(v)
	}
	return providers.New(providers.Config{
		ID: p.ID, Type: p.Type, Name: p.Name, ClientID: p.ClientID, ClientSecret: string(p.ClientSecret), Params: params,
		Scopes: p.Scopes, AuthParams: p.AuthParams, Offline: p.Offline, Override: p.Override, TrustEmail: p.TrustEmail,
		AllowedDomains: p.AllowedDomains, AllowedTenants: p.AllowedTenants, AllowPrivateNetwork: p.AllowPrivateNetwork, CAFile: p.CAFile,
	}, providers.HTTPOptions{Dev: c.Dev, Contact: c.PublicURL, Log: log, Watch: w})
}

// upstream gives out the tokens of the providers that say so, nil if none does.
func (c Config) upstream(p *parts, log *slog.Logger) *flows.Upstream {
	u := &flows.Upstream{Store: p.store, Dialect: p.sessions.Dialect, Warn: func(err error) { log.Error("upstream tokens", "err", err.Error()) }}
	for i, provider := range c.Providers {
		if provider.Tokens {
			u.Providers = append(u.Providers, p.clients[i])
		}
	}
	if len(u.Providers) == 0 {
		return nil
	}
	return u
}

func (m MailConfig) config(languages *locale.Languages) mail.Config {
	return mail.Config{Languages: languages, From: m.From, Host: m.Host, TLS: m.TLS, Username: m.Username, Password: string(m.Password), HelloName: m.Hello, TemplateDir: m.Templates, CAFile: m.CAFile}
}

func (d DatabaseConfig) options() store.Options {
	return store.Options{URL: string(d.URL), DirectURL: string(d.DirectURL), Schema: d.Schema, MaxConns: d.MaxConns, ExecMode: d.ExecMode, InsecureTLS: d.InsecureTLS}
}

// direct is the URL that DDL goes through.
func (d DatabaseConfig) direct() string {
	if d.DirectURL != "" {
		return string(d.DirectURL)
	}
	return string(d.URL)
}

// Run serves until ctx ends, then stops in order: not ready, drained, done.
func Run(ctx context.Context, c Config, log *slog.Logger) error {
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	p, err := build(background, c, log)
	if err != nil {
		return err
	}
	defer p.store.Close()
	if err := checkOutbox(ctx, c, p.store, log); err != nil {
		return err
	}
	if os.Getenv("GOGC") == "" {
		held := make([]byte, uncollected)
		defer runtime.KeepAlive(held)
		debug.SetGCPercent(maxGarbage)
	}
	listener, err := c.listen(c.Listen)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	defer listener.Close()
	ready := &readiness{parts: p, schema: c.Database.Schema}
	server := newServer(ready.hangingUp(p.handler))
	failed := make(chan error, 2)
	go func() { failed <- server.Serve(punctual{netutil.LimitListener(listener, maxConnections)}) }()
	if c.AdminListen != "" {
		admin := newServer(ready.handler())
		adminListener, err := c.listen(c.AdminListen)
		if err != nil {
			return fmt.Errorf("admin_listen: %w", err)
		}
		go func() { failed <- admin.Serve(adminListener) }()
		defer admin.Close()
	}
	if p.mailer != nil {
		go p.mailer.Run(background)
	}
	if p.events != nil {
		go p.events.Run(background)
	}
	go p.cache.Run(background)
	go warnOfTables(background, c.Database, log)
	go p.watchClock(background, log)
	go sweep(background, p.store, log)
	discover(background, p.clients, log)
	log.Info("serving", "public_url", c.PublicURL, "listen", listener.Addr().String(), "remembers_sessions", p.cache.Remembers())
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	ready.stopping.Store(true)
	log.Info("stopping")
	// The proxy learns from readyz, and from each answer on a connection that it
	// keeps. Idle ones stay open: closing them now would race with a request.
	time.Sleep(c.Drain)
	end, cancel := context.WithTimeout(background, 25*time.Second)
	defer cancel()
	err = server.Shutdown(end)
	if p.mailer != nil {
		err = errors.Join(err, p.mailer.Drain(end))
	}
	if p.upstream != nil {
		err = errors.Join(err, p.upstream.Drain(end))
	}
	if p.events != nil {
		err = errors.Join(err, p.events.Drain(end))
	}
	return err
}

// trustUnix in trusted_proxies stands for the peers on the socket of listen.
const trustUnix = "unix"

// socketPath is the path of the Unix socket that an address names.
func socketPath(address string) (path string, ok bool) { return strings.CutPrefix(address, "unix:") }

func (c Config) listen(address string) (net.Listener, error) {
	path, ok := socketPath(address)
	if !ok {
		return net.Listen("tcp", address)
	}
	mode, err := socketMode(c.SocketMode)
	if err != nil {
		return nil, err
	}
	return listenSocket(path, mode)
}

// socketMode reads octal digits. Whoever serves may always connect.
func socketMode(digits string) (fs.FileMode, error) {
	n, err := strconv.ParseUint(digits, 8, 32)
	if err != nil || n > 0o777 || n&0o600 != 0o600 {
		return 0, fmt.Errorf("%q: want octal digits from 0600 to 0777, such as 0660", digits)
	}
	return fs.FileMode(n), nil
}

// newServer has every limit that Echo leaves out (security X-5).
func newServer(h http.Handler) *http.Server {
	return &http.Server{Handler: h, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 15 * time.Second, WriteTimeout: 30 * time.Second,
		IdleTimeout: 60 * time.Second, MaxHeaderBytes: 32 << 10}
}

// warnOfTables says once what every sign-in would fail for. It refuses nothing: a
// database that is away at the start may be back a moment later.
func warnOfTables(ctx context.Context, d DatabaseConfig, log *slog.Logger) {
	err := store.CheckSchema(ctx, d.direct(), d.Schema)
	if _, differs := errors.AsType[*store.SchemaError](err); differs {
		log.Error("the tables are not as they must be", "err", withNextStep(err).Error())
	}
}

// discover has the providers' metadata fetched, without waiting for it.
func discover(ctx context.Context, clients []*providers.Client, log *slog.Logger) {
	for _, c := range clients {
		go func() {
			if err := c.Discover(ctx); err != nil && ctx.Err() == nil {
				log.Warn("provider cannot be used yet; it is asked again when somebody signs in", "provider", c.ID(), "err", err.Error())
			}
		}()
	}
}

// What one sweep looks at: a few milliseconds of the database's time for each
// stretch, and ten million sessions in ten minutes.
const (
	sweepEvery  = time.Minute
	stretch     = 5000
	stretchEach = 5 * time.Millisecond
	mostSwept   = 200 // stretches in a row
)

// sweep deletes what is over, going round the sessions again and again.
func sweep(ctx context.Context, s *store.Store, log *slog.Logger) {
	var from int32
	for wait(ctx, sweepEvery) {
		for range mostSwept {
			next, n, err := s.Sweep(ctx, from, stretch)
			if err != nil && ctx.Err() == nil {
				log.Warn("expired rows not swept", "err", err.Error())
			}
			if n > 0 {
				log.Debug("swept", "rows", n)
			}
			if from = next; err != nil || next == 0 || !wait(ctx, stretchEach) {
				break
			}
		}
	}
}

// wait reports whether d has passed before ctx ended.
func wait(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}
