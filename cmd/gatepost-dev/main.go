// Command gatepost-dev is the whole world on a laptop: a private Postgres, a
// mailbox, a provider that plays every other, Gatepost itself, and a small
// application that knows who is signed in. It needs no account and no network.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/gatepost/gatepost/cmd/internal/app"
	"github.com/gatepost/gatepost/flows/mail/devmail"
	"github.com/gatepost/gatepost/providers"
	"github.com/gatepost/gatepost/providers/devidp"
	"github.com/gatepost/gatepost/store"
	"github.com/gatepost/gatepost/store/devpg"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	go func() { <-ctx.Done(); stop() }() // a second signal ends at once
	forgetOtherDatabases()
	var o options
	flag.IntVar(&o.port, "port", 8080, "first of four `ports` in a row")
	flag.StringVar(&o.host, "host", "localhost", "`address` to listen on; 0.0.0.0 in a container whose ports lead to loopback")
	flag.StringVar(&o.dir, "dir", defaultDir(), "`folder` where the database is kept")
	flag.BoolVar(&o.verbose, "v", false, "show every request")
	flag.BoolVar(&o.all, "all", false, "offer every provider of the catalogue")
	flag.Parse()
	if err := run(ctx, o, os.Stdout); err != nil {
		fmt.Fprintf(os.Stderr, "gatepost-dev: %v\n", err)
		os.Exit(1)
	}
}

// forgetOtherDatabases drops the variables that libpq's programs, and so our
// driver, take settings of connections from. They are meant for another server.
func forgetOtherDatabases() {
	for _, e := range os.Environ() {
		if name, _, _ := strings.Cut(e, "="); strings.HasPrefix(name, "PG") {
			os.Unsetenv(name)
		}
	}
}

// defaultDir is a place that survives restarts and, when we are root, one that
// the user postgres may reach.
func defaultDir() string {
	if os.Geteuid() == 0 {
		return "/var/tmp/gatepost-dev"
	}
	if dir, err := os.UserCacheDir(); err == nil {
		return filepath.Join(dir, "gatepost-dev")
	}
	return filepath.Join(os.TempDir(), "gatepost-dev")
}

// world is where everything is.
type world struct{ gatepost, app, mailbox, provider string }

type options struct {
	host, dir string
	port      int
	verbose   bool
	all       bool
}

func run(ctx context.Context, o options, out io.Writer) error {
	at := func(n int) string { return "http://localhost:" + strconv.Itoa(o.port+n) }
	w := world{at(0), at(1), at(2), at(3)}
	// The ports come first: who has them has the database too, and must keep it.
	listeners, err := listen(o.host, o.port, 4)
	if err != nil {
		return err
	}
	defer closeAll(listeners)
	pg, err := devpg.Start(ctx, devpg.Options{Dir: o.dir})
	if errors.Is(err, devpg.ErrInUse) {
		return fmt.Errorf("%w; choose another place with -dir", err)
	}
	if err != nil {
		return err
	}
	defer pg.Stop()
	if _, err := store.Migrate(ctx, pg.URL(), "public"); err != nil {
		return err
	}
	sink, err := devmail.Start("127.0.0.1:0")
	if err != nil {
		return err
	}
	defer sink.Stop()
	idp, err := devidp.New(w.provider)
	if err != nil {
		return err
	}
	config, err := configure(w, pg.URL(), sink.Addr(), o.dir, idp, o.all)
	if err != nil {
		return err
	}
	if o.verbose {
		config.Log.Level = "info"
	}
	config.Listen = listeners[0].Addr().String()
	for n, handler := range map[int]http.Handler{1: application(w), 2: sink, 3: idp} {
		server := &http.Server{Handler: handler, ReadHeaderTimeout: 5 * time.Second}
		go server.Serve(listeners[n])
		defer server.Close()
	}
	listeners[0].Close() // Gatepost opens it itself
	done := make(chan error, 1)
	go func() { done <- app.Run(ctx, config, app.NewLogger(config.Log, os.Stderr)) }()
	if err := answers(ctx, w.gatepost+"/auth/csrf", done); err != nil {
		return err
	}
	fmt.Fprintf(out, `
  Gatepost is running. Nothing here needs an account or the network.

  Application   %s   start here: it asks you to sign in
  Sign-in       %s/auth/signin
  Who am I      %s/auth/session
  Account       %s/auth/account
  Behind a gate %s/private   only for whoever is signed in
  Mailbox       %s   sign-in mails arrive here
  Database      %s

  Ctrl-C ends everything; people and sessions stay in %s.

`, w.app, w.gatepost, w.gatepost, w.gatepost, w.app, w.mailbox, pg.URL(), o.dir)
	if ip := listeners[1].Addr().(*net.TCPAddr).IP; !ip.IsLoopback() {
		fmt.Fprintf(out, "  Listening on %s: whoever reaches these ports can sign in as anybody.\n\n", ip)
	}
	select {
	case err := <-done:
		return err
	case <-pg.Done():
		return errors.New("its Postgres has ended; start again")
	}
}

// application is the demo, with its protected pages behind the gate.
func application(w world) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/", demo(w))
	mux.Handle("/private", guard(w))
	mux.Handle("/admin", guard(w))
	return mux
}

// answers waits until url does.
func answers(ctx context.Context, url string, failed chan error) error {
	for {
		resp, err := http.Get(url)
		if err == nil {
			resp.Body.Close()
			return nil
		}
		select {
		case err := <-failed:
			return errors.Join(errors.New("gatepost did not start"), err)
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// offered are the providers that most people will look for.
var offered = []string{"github", "google", "apple", "microsoft-entra-id", "gitlab", "discord", "facebook", "linkedin", "slack", "twitch", "twitter", "auth0", "okta", "keycloak", "oidc", "oauth2"}

// everyProvider is offered and, behind it, the rest of the catalogue.
func everyProvider() []string {
	ids := slices.Clone(offered)
	for _, p := range providers.Catalog() {
		if p.Status != "dead" && !slices.Contains(ids, p.ID) {
			ids = append(ids, p.ID)
		}
	}
	return ids
}

func configure(w world, dsn, smtp, dir string, idp *devidp.Server, all bool) (app.Config, error) {
	key, err := devKey(filepath.Join(dir, "key"))
	if err != nil {
		return app.Config{}, err
	}
	c := app.Default()
	c.PublicURL, c.Dev, c.Keys = w.gatepost, true, []app.Secret{app.Secret(key)}
	c.AdminListen, c.Drain = "", 0
	c.ReturnTo = []string{w.app}
	c.TrustedProxies = []string{"127.0.0.0/8", "::1/128"}
	c.Gate.Groups = map[string][]app.Who{"admins": {{Atom: "ada@example.org"}}}
	c.Gate.Rules = []app.RuleConfig{
		{Host: app.List{"localhost"}, Path: app.List{"/admin"}, Allow: &app.Who{Atom: "group:admins"}},
		{Host: app.List{"localhost"}, Allow: &app.Who{Atom: "signed-in"}},
	}
	c.Gate.AccessTokens.Allow = &app.Who{Atom: "signed-in"}
	c.Database.URL = app.Secret(dsn)
	c.Mail.Host, c.Mail.TLS, c.Mail.From = smtp, "none", "Gatepost <sign-in@gatepost.example>"
	c.Mail.AddressPerWindow, c.Mail.AddressPerDay, c.Mail.ClientPerWindow = 100, 1000, 1000
	c.Pages.SiteName = "Gatepost"
	c.Log.Level, c.Log.Format = "warn", "text"
	ids := offered
	if all {
		ids = everyProvider()
	}
	for _, id := range ids {
		p := idp.ProviderConfig(id, w.gatepost+"/auth/callback/"+id)
		params := map[string]app.Secret{}
		for name, v := range p.Params {
			params[name] = app.Secret(v)
		}
		if _, err := providers.New(p, providers.HTTPOptions{Dev: true}); err != nil {
			return c, err
		}
		c.Providers = append(c.Providers, app.ProviderConfig{ID: p.ID, ClientID: p.ClientID, ClientSecret: app.Secret(p.ClientSecret), Params: params, Override: p.Override, AllowPrivateNetwork: true})
	}
	return c, nil
}

// devKey keeps one key, so that sessions outlive a restart.
func devKey(path string) (string, error) {
	raw, err := os.ReadFile(path)
	if err == nil && len(raw) >= 32 {
		return string(raw), nil
	}
	key := app.NewKey()
	return key, os.WriteFile(path, []byte(key), 0o600)
}

// listen takes n ports in a row, or none.
func listen(host string, port, n int) ([]net.Listener, error) {
	var taken []net.Listener
	for i := range n {
		l, err := net.Listen("tcp", net.JoinHostPort(host, strconv.Itoa(port+i)))
		if err != nil {
			closeAll(taken)
			return nil, fmt.Errorf("%w; is another one running? Choose other ports with -port, and another place with -dir", err)
		}
		taken = append(taken, l)
	}
	return taken, nil
}

func closeAll(listeners []net.Listener) {
	for _, l := range listeners {
		l.Close()
	}
}
