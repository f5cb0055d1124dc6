package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"runtime/debug"
	"strings"
	"time"

	"golang.org/x/net/netutil"

	"github.com/gatepost/gatepost/flows"
	"github.com/gatepost/gatepost/flows/mail"
	"github.com/gatepost/gatepost/providers"
	"github.com/gatepost/gatepost/store"
	"github.com/gatepost/gatepost/web"
)

// maxConnections at once; a proxy in front needs far fewer (security X-5).
const maxConnections = 4096

// cachedSessions bounds the memory of the session cache, about 40 MiB with the
// garbage that gathers beside it.
const cachedSessions = 100_000

// maxGarbage is how much may gather before it is collected, in percent of what
// is held. Cached sessions are bytes that cost a collection next to nothing, so
// that collecting sooner than Go's 100 % is cheap.
const maxGarbage = 70

// NewLogger writes one event a line.
func NewLogger(c LogConfig, w io.Writer) *slog.Logger {
	var level slog.Level
	if level.UnmarshalText([]byte(c.Level)) != nil {
		level = slog.LevelInfo
	}
	options := &slog.HandlerOptions{Level: level}
	if c.Format == "text" {
		return slog.New(slog.NewTextHandler(w, options))
	}
	return slog.New(slog.NewJSONHandler(w, options))
}

// parts are what a configuration becomes.
type parts struct {
	store    *store.Store
	cache    *store.Cache
	mailer   *mail.Mailer // nil without mail
	clients  []*providers.Client
	sessions *flows.Sessions
	handler  http.Handler
}

// build wires everything and connects to nothing.
func build(ctx context.Context, c Config, log *slog.Logger) (*parts, error) {
	var secrets [][]byte
	for _, k := range c.Keys {
		secrets = append(secrets, []byte(k))
	}
	keys, err := flows.NewKeys(secrets)
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
	public, err := url.Parse(c.PublicURL)
	if err != nil {
		return nil, err
	}
	if c.Mail.Host != "" {
		if p.mailer, err = mail.New(c.Mail.config(), log); err != nil {
			return nil, err
		}
	}
	if p.store, err = store.Open(ctx, c.Database.options()); err != nil {
		return nil, err
	}
	lifetimes := store.Lifetimes{Idle: c.Session.Idle, Update: c.Session.Update, Absolute: c.Session.Absolute}
	p.cache = store.NewCache(p.store, c.Database.direct(), cachedSessions, lifetimes)
	p.sessions = &flows.Sessions{Store: p.store, Cache: p.cache, MaxPerUser: c.Session.MaxPerUser, Lifetimes: lifetimes}
	w := web.Config{
		PublicURL: strings.TrimSuffix(c.PublicURL, "/"), BasePath: c.BasePath, CookieDomain: strings.TrimPrefix(c.Cookie.Domain, "."),
		SiteName: c.Pages.SiteName, TemplateDir: c.Pages.Templates, FormOrigins: append(c.returnTo(), c.FormOrigins...),
		Keys: keys, ReturnTo: returnTo, Sessions: p.sessions, Log: log,
		OAuth: &flows.OAuth{Providers: p.clients, Store: p.store, Sessions: p.sessions, Keys: keys, Linking: flows.Linking(c.Linking), Now: time.Now},
	}
	if c.Gate.on() {
		if w.Gate, err = c.gate(p.sessions, keys); err != nil {
			return nil, err
		}
	}
	for _, cidr := range c.TrustedProxies {
		prefix, err := netip.ParsePrefix(cidr)
		if err != nil {
			return nil, err
		}
		w.TrustedProxies = append(w.TrustedProxies, prefix)
	}
	if p.mailer != nil {
		w.MailHealthy, w.MailFrom = p.mailer.Healthy, c.Mail.From
		w.MagicLink = &flows.MagicLink{
			Store: p.store, Sessions: p.sessions, Keys: keys, Send: p.mailer.Send, Site: public.Host,
			URL: func(token string) string {
				return w.PublicURL + c.BasePath + "/callback/email?token=" + url.QueryEscape(token)
			},
			TTL: c.Mail.LinkTTL, Tries: c.Mail.CodeTries, Now: time.Now,
			Limits: store.MailLimits{AddressPerWindow: c.Mail.AddressPerWindow, AddressPerDay: c.Mail.AddressPerDay, ClientPerWindow: c.Mail.ClientPerWindow, Window: c.Mail.Window},
		}
	}
	p.handler, err = web.New(w)
	return p, err
}

func (c Config) clients(log *slog.Logger) ([]*providers.Client, error) {
	var clients []*providers.Client
	for _, pc := range c.Providers {
		params := map[string]string{}
		for name, v := range pc.Params {
			params[name] = string(v)
		}
		client, err := providers.New(providers.Config{
			ID: pc.ID, Type: pc.Type, Name: pc.Name, ClientID: pc.ClientID, ClientSecret: string(pc.ClientSecret), Params: params,
			Scopes: pc.Scopes, AuthParams: pc.AuthParams, Override: pc.Override, TrustEmail: pc.TrustEmail,
			AllowPrivateNetwork: pc.AllowPrivateNetwork, CAFile: pc.CAFile,
		}, providers.HTTPOptions{Dev: c.Dev, Log: log})
		if err != nil {
			return nil, err
		}
		clients = append(clients, client)
	}
	return clients, nil
}

func (m MailConfig) config() mail.Config {
	return mail.Config{From: m.From, Host: m.Host, TLS: m.TLS, Username: m.Username, Password: string(m.Password), HelloName: m.Hello, TemplateDir: m.Templates, CAFile: m.CAFile}
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
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(maxGarbage)
	}
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	p, err := build(background, c, log)
	if err != nil {
		return err
	}
	defer p.store.Close()
	listener, err := net.Listen("tcp", c.Listen)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	server := newServer(p.handler)
	failed := make(chan error, 2)
	go func() { failed <- server.Serve(netutil.LimitListener(listener, maxConnections)) }()
	ready := &readiness{parts: p}
	if c.AdminListen != "" {
		admin := newServer(ready.handler())
		adminListener, err := net.Listen("tcp", c.AdminListen)
		if err != nil {
			return fmt.Errorf("listen for health checks: %w", err)
		}
		go func() { failed <- admin.Serve(adminListener) }()
		defer admin.Close()
	}
	if p.mailer != nil {
		go p.mailer.Run(background)
	}
	go p.cache.Run(background)
	go sweep(background, p.store, log)
	log.Info("serving", "public_url", c.PublicURL, "listen", listener.Addr().String())
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	ready.stopping.Store(true)
	log.Info("stopping")
	time.Sleep(c.Drain) // the proxy learns from readyz first
	end, cancel := context.WithTimeout(background, 25*time.Second)
	defer cancel()
	err = server.Shutdown(end)
	if p.mailer != nil {
		err = errors.Join(err, p.mailer.Drain(end))
	}
	return err
}

// newServer has every limit that Echo leaves out (security X-5).
func newServer(h http.Handler) *http.Server {
	return &http.Server{Handler: h, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 15 * time.Second, WriteTimeout: 30 * time.Second,
		IdleTimeout: 60 * time.Second, MaxHeaderBytes: 32 << 10}
}

func sweep(ctx context.Context, s *store.Store, log *slog.Logger) {
	tick := time.NewTicker(time.Minute)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if n, err := s.Sweep(ctx, 1000); err != nil {
			log.Warn("expired rows not swept", "err", err.Error())
		} else if n > 0 {
			log.Debug("swept", "rows", n)
		}
	}
}
