// Command gatepost signs people in, keeps their sessions in Postgres, and tells
// applications who they are.
package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"
	"unicode"

	"github.com/alecthomas/kong"

	"github.com/gatepost/gatepost/cmd/internal/app"
	"github.com/gatepost/gatepost/docs/proxies"
	"github.com/gatepost/gatepost/store"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	go func() { <-ctx.Done(); stop() }() // a second signal ends at once
	os.Exit(run(ctx, os.Args[1:], os.Environ(), os.Stdin, os.Stdout, os.Stderr))
}

type commands struct {
	Config *string `short:"c" placeholder:"FILE" help:"Configuration file; without one, the environment alone."`

	Serve   struct{} `cmd:"" help:"Serve sign-in and sessions."`
	Migrate struct{} `cmd:"" help:"Create the four tables, or accept them where they are."`
	Adopt   struct {
		Apply       bool            `help:"Do what is printed; without it, nothing is changed."`
		From        string          `placeholder:"SCHEMA" help:"Where an Auth.js adapter's tables are; by default public."`
		Views       bool            `help:"Views by which an unmodified NextAuth v3 goes on working."`
		ViewsOnly   bool            `help:"The views, and the tables as they are for now."`
		DropViews   bool            `help:"Remove the views, and the role that was made for them."`
		ViewsSchema string          `default:"nextauth_v3" placeholder:"SCHEMA" help:"Where the views are; by default nextauth_v3."`
		ViewsRole   string          `placeholder:"ROLE" help:"Whom the views are for; by default a role named as their schema, made where it is missing."`
		Merge       map[int32]int32 `placeholder:"USER=INTO" help:"Put everything of the first user to the second, who has the same address."`
		LowerCase   bool            `help:"Write addresses in lower case where nobody else has them so."`
		LockTimeout time.Duration   `default:"3s" help:"How long to wait for each lock."`
		Fingerprint string          `placeholder:"FILE" help:"Write what rows there are to a file that holds none of them."`
		Verify      string          `placeholder:"FILE" help:"Compare the rows with such a file."`
	} `cmd:"" help:"Take over the tables of a NextAuth site, or say how."`
	Check struct {
		Provider    string `placeholder:"ID" help:"Try this provider alone."`
		SignIn      bool   `help:"Walk through one sign-in with it, and show each request and the profile; nothing is written."`
		RedirectURI string `name:"redirect-uri" placeholder:"URI" help:"For the sign-in, instead of the site's; registered with the provider too. On this machine, the answer is waited for there."`
	} `cmd:"" help:"Try configuration, database, schema, providers and mail."`
	Keys struct {
		New     struct{} `cmd:"" help:"Print a new key."`
		Webhook struct{} `cmd:"" help:"Print a new secret for a webhook."`
	} `cmd:"" help:"Keys that sign and seal."`
	Providers struct {
		ID       string `arg:"" optional:"" help:"Show this one."`
		Markdown bool   `help:"Print the table of docs/providers.md." hidden:""`
	} `cmd:"" help:"List the providers that people can sign in with, or show what one needs."`
	Users struct {
		List struct {
			Email string `arg:"" optional:"" help:"Only the user with this address."`
		} `cmd:"" help:"List users."`
	} `cmd:"" help:"People."`
	Sessions struct {
		List struct {
			User string `arg:"" help:"The user's address or number."`
		} `cmd:"" help:"List a user's sessions."`
		End struct {
			User string `arg:"" help:"The user's address or number."`
		} `cmd:"" help:"End all sessions of a user, at once and everywhere."`
	} `cmd:"" help:"Sessions."`
	Webhooks struct {
		List  struct{} `cmd:"" help:"List what waits for each webhook, and what was given up."`
		Retry struct {
			Name string `arg:"" optional:"" help:"Only for this webhook."`
		} `cmd:"" help:"Have events that were given up be tried again."`
	} `cmd:"" help:"Webhooks."`
	Why struct {
		As      string `help:"Address or number of the user who asks; nobody without it." placeholder:"WHO"`
		Session int32  `help:"Ask for the user of this session instead." placeholder:"ID"`
		From    string `help:"The client's address, for rules about networks." placeholder:"IP"`
		Method  string `arg:"" help:"As in GET."`
		URL     string `arg:"" help:"As in https://app.example.org/admin."`
	} `cmd:"" help:"Say whether the gate lets a request pass, and by which rule."`
	Mail struct {
		Preview struct {
			Language string `short:"l" help:"Language of the mail, as in de; the first on offer by default."`
			HTML     bool   `name:"html" help:"Print the HTML instead of the text."`
			To       string `help:"Send it to this address instead of printing it."`
		} `cmd:"" help:"Print or send a sample of the sign-in mail."`
	} `cmd:"" help:"Sign-in mails."`
	Health struct {
		URL string `placeholder:"URL" help:"What to ask; by default /healthz where GATEPOST_ADMIN_LISTEN says."`
	} `cmd:"" help:"Ask a running server whether it is well; for container health checks."`
	ProxyConfig proxyConfig `cmd:"" help:"Print the configuration of a reverse proxy for the gate's hosts."`
	Probe       probeProxy  `cmd:"" help:"Play a hostile client against your own proxy; see docs/proxies."`
	Version     struct{}    `cmd:"" help:"Print the version."`
}

var errFailed = errors.New("some checks failed")

// run is main without the process. It returns the exit status: 0 done, 1
// failed, 2 wrong usage or configuration.
func run(ctx context.Context, args, environ []string, stdin io.Reader, stdout, stderr io.Writer) int {
	var c commands
	exited := -1
	parser, err := kong.New(&c, kong.Name("gatepost"), kong.Description("Signs people in and keeps their sessions in Postgres."),
		kong.Writers(stdout, stderr), kong.Vars{"proxies": strings.Join(proxies.Kinds, ", ")}, kong.Exit(func(code int) { exited = code }))
	if err != nil {
		fmt.Fprintln(stderr, err)
		return 1
	}
	parsed, err := parser.Parse(args)
	if exited >= 0 { // --help
		return exited
	}
	if err != nil {
		fmt.Fprintf(stderr, "gatepost: %v\n", err)
		return 2
	}
	command := parsed.Command()
	switch command {
	case "keys new":
		fmt.Fprintln(stdout, app.NewKey())
		return 0
	case "keys webhook":
		fmt.Fprintln(stdout, app.NewWebhookSecret())
		return 0
	case "version":
		fmt.Fprintln(stdout, app.Version())
		return 0
	case "health":
		return report(stderr, health(ctx, cmp.Or(c.Health.URL, healthURL(environ))))
	case "providers", "providers <id>":
		return showProviders(c, environ, stdout, stderr)
	case "probe <url>":
		return report(stderr, c.Probe.run(ctx, stdout))
	}
	if c.Config != nil && *c.Config == "" {
		fmt.Fprintln(stderr, "gatepost: --config names no file")
		return 2
	}
	config, err := app.Load(c.file(), environ)
	if err != nil {
		fmt.Fprintf(stderr, "%v\n", err)
		return 2
	}
	err = execute(ctx, command, c, config, stdin, stdout, stderr)
	if errors.Is(err, app.ErrUsage) {
		fmt.Fprintf(stderr, "gatepost: %v\n", err)
		return 2
	}
	return report(stderr, err)
}

// file is the configuration file, "" for none.
func (c commands) file() string {
	if c.Config == nil {
		return ""
	}
	return *c.Config
}

// showProviders needs no configuration; with one, redirect URIs are whole.
func showProviders(c commands, environ []string, stdout, stderr io.Writer) int {
	switch {
	case c.Providers.Markdown:
		return report(stderr, app.ProvidersTable(stdout))
	case c.Providers.ID == "":
		return report(stderr, app.ListProviders(stdout))
	}
	config, err := app.Load(c.file(), environ)
	switch {
	case err != nil && c.Config == nil: // nothing is set up yet
		return report(stderr, app.ShowProvider(stdout, c.Providers.ID, nil))
	case err != nil:
		fmt.Fprintf(stderr, "%v\n", err)
		return 2
	}
	return report(stderr, app.ShowProvider(stdout, c.Providers.ID, &config))
}

func report(stderr io.Writer, err error) int {
	if err == nil {
		return 0
	}
	fmt.Fprintf(stderr, "gatepost: %v\n", err)
	return 1
}

func execute(ctx context.Context, command string, c commands, config app.Config, stdin io.Reader, stdout, stderr io.Writer) error {
	switch command {
	case "serve":
		return app.Run(ctx, config, app.NewLogger(config.Log, stderr))
	case "mail preview":
		p := c.Mail.Preview
		return app.PreviewMail(ctx, config, app.MailPreview{Language: p.Language, HTML: p.HTML, To: p.To}, stdout)
	case "proxy-config <proxy>", "proxy-config <proxy> <part>":
		return c.ProxyConfig.print(config, stdout)
	case "migrate":
		return app.Migrate(ctx, config, stdout)
	case "adopt":
		return app.Adopt(ctx, config, c.adoption(), stdout)
	case "why <method> <url>":
		w := c.Why
		return app.Why(ctx, config, app.Question{As: w.As, Session: w.Session, From: w.From, Method: w.Method, URL: w.URL}, stdout)
	case "check":
		return check(ctx, c, config, stdin, stdout)
	}
	s, err := app.Store(ctx, config)
	if err != nil {
		return err
	}
	defer s.Close()
	return administer(ctx, command, c, config, s, stdout)
}

func check(ctx context.Context, c commands, config app.Config, stdin io.Reader, stdout io.Writer) error {
	failed := 0
	var err error
	switch o := c.Check; {
	case (o.SignIn || o.RedirectURI != "") && o.Provider == "" || o.RedirectURI != "" && !o.SignIn:
		return fmt.Errorf("%w: --sign-in needs --provider, and --redirect-uri needs both", app.ErrUsage)
	case o.SignIn:
		return app.TrySignIn(ctx, config, app.Trial{Provider: o.Provider, RedirectURI: o.RedirectURI, In: stdin}, stdout)
	case o.Provider != "":
		failed, err = app.CheckProvider(ctx, config, o.Provider, stdout)
	default:
		failed = app.Check(ctx, config, stdout)
	}
	if err == nil && failed > 0 {
		err = errFailed
	}
	return err
}

func (c commands) adoption() app.Adoption {
	a := c.Adopt
	var merges []store.Merge
	for _, user := range slices.Sorted(maps.Keys(a.Merge)) {
		merges = append(merges, store.Merge{User: user, Into: a.Merge[user]})
	}
	return app.Adoption{
		Apply: a.Apply, From: a.From, Merge: merges, LowerCase: a.LowerCase, LockTimeout: a.LockTimeout, Fingerprint: a.Fingerprint, Verify: a.Verify,
		Views: store.ViewsOptions{Make: a.Views, Only: a.ViewsOnly, Drop: a.DropViews, Schema: a.ViewsSchema, Role: a.ViewsRole},
	}
}

const mostUsers = 100

func administer(ctx context.Context, command string, c commands, config app.Config, s *store.Store, out io.Writer) error {
	switch command {
	case "users list", "users list <email>":
		users, err := s.Users(ctx, c.Users.List.Email, mostUsers)
		if err != nil {
			return err
		}
		listUsers(out, users, c.Users.List.Email)
	case "sessions list <user>":
		user, err := app.UserID(ctx, s, c.Sessions.List.User)
		if err != nil {
			return err
		}
		sessions, err := s.SessionsOf(ctx, user)
		if err != nil {
			return err
		}
		listSessions(out, user, sessions)
	case "sessions end <user>":
		user, err := app.UserID(ctx, s, c.Sessions.End.User)
		if err != nil {
			return err
		}
		n, err := app.EndSessions(ctx, config, s, user)
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "sessions of user %d ended: %d\n", user, n)
	case "webhooks list":
		return app.ListEvents(ctx, s, out)
	case "webhooks retry", "webhooks retry <name>":
		return app.RetryEvents(ctx, s, c.Webhooks.Retry.Name, out)
	default:
		return fmt.Errorf("unknown command %q", command)
	}
	return nil
}

func listUsers(out io.Writer, users []store.User, email string) {
	switch {
	case len(users) == 0 && email == "":
		fmt.Fprintln(out, "no users yet")
		return
	case len(users) == 0:
		fmt.Fprintf(out, "no user has the address %s\n", email)
		return
	}
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "USER\tADDRESS\tVERIFIED\tNAME\tSINCE")
	for _, u := range users {
		verified := "-"
		if u.EmailVerified != nil {
			verified = when(*u.EmailVerified)
		}
		fmt.Fprintf(table, "%d\t%s\t%s\t%s\t%s\n", u.ID, shown(u.Email), verified, shown(u.Name), when(u.CreatedAt))
	}
	table.Flush()
	if len(users) == mostUsers {
		fmt.Fprintf(out, "the newest %d; name an address to find another\n", mostUsers)
	}
}

func listSessions(out io.Writer, user int32, sessions []store.Session) {
	if len(sessions) == 0 {
		fmt.Fprintf(out, "user %d has no sessions\n", user)
		return
	}
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "SESSION\tSINCE\tUSED\tUNTIL")
	for _, s := range sessions {
		fmt.Fprintf(table, "%d\t%s\t%s\t%s\n", s.ID, when(s.CreatedAt), when(s.UpdatedAt), when(s.Expires))
	}
	table.Flush()
}

func when(t time.Time) string { return t.UTC().Format("2006-01-02 15:04Z") }

// shown is text that somebody else chose, safe for a terminal and a table: a
// name may hold escape sequences.
func shown(s string) string {
	if s == "" {
		return "-"
	}
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '\uFFFD'
	}, s)
}

// healthURL is where the server of the same environment answers. A server that
// listens on every address is asked on loopback.
func healthURL(environ []string) string {
	listen := app.Default().AdminListen
	for _, e := range environ {
		if v, ok := strings.CutPrefix(e, "GATEPOST_ADMIN_LISTEN="); ok {
			listen = v
		}
	}
	if strings.HasPrefix(listen, socketScheme) {
		return listen
	}
	host, port, err := net.SplitHostPort(listen)
	if ip := net.ParseIP(host); err == nil && (host == "" || ip != nil && ip.IsUnspecified()) {
		listen = net.JoinHostPort("127.0.0.1", port)
	}
	return "http://" + listen + "/healthz"
}

// socketScheme stands before the path of a Unix socket, as in admin_listen.
const socketScheme = "unix:"

// health asks url, or /healthz on a socket.
func health(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	client := http.DefaultClient
	if path, ok := strings.CutPrefix(url, socketScheme); ok {
		client = &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", path)
		}}}
		url = "http://socket/healthz"
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := client.Do(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answered %d", url, resp.StatusCode)
	}
	return nil
}
