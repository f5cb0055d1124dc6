// Command gatepost signs people in, keeps their sessions in Postgres, and tells
// applications who they are.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	"github.com/alecthomas/kong"

	"github.com/gatepost/gatepost/cmd/internal/app"
	"github.com/gatepost/gatepost/docs/proxies"
	"github.com/gatepost/gatepost/store"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	go func() { <-ctx.Done(); stop() }() // a second signal ends at once
	os.Exit(run(ctx, os.Args[1:], os.Environ(), os.Stdout, os.Stderr))
}

type commands struct {
	Config string `short:"c" help:"Configuration file; without one, the environment alone." type:"path"`

	Serve   struct{} `cmd:"" help:"Serve sign-in and sessions."`
	Migrate struct{} `cmd:"" help:"Create the four tables, or accept them where they are."`
	Check   struct{} `cmd:"" help:"Try configuration, database, schema, providers and mail."`
	Keys    struct {
		New struct{} `cmd:"" help:"Print a new key."`
	} `cmd:"" help:"Keys that sign and seal."`
	Users struct {
		List struct {
			Email string `arg:"" optional:"" help:"Only the user with this address."`
		} `cmd:"" help:"List users."`
	} `cmd:"" help:"People."`
	Sessions struct {
		List struct {
			User int32 `arg:"" help:"The user's id."`
		} `cmd:"" help:"List a user's sessions."`
		End struct {
			User int32 `arg:"" help:"The user's id."`
		} `cmd:"" help:"End all sessions of a user, at once and everywhere."`
	} `cmd:"" help:"Sessions."`
	Health struct {
		URL string `default:"http://127.0.0.1:8081/healthz" help:"What to ask."`
	} `cmd:"" help:"Ask a running server whether it is well; for container health checks."`
	ProxyConfig proxyConfig `cmd:"" help:"Print the configuration of a reverse proxy for the gate's hosts."`
	Probe       probeProxy  `cmd:"" help:"Play a hostile client against your own proxy; see docs/proxies."`
	Version     struct{}    `cmd:"" help:"Print the version."`
}

var errFailed = errors.New("some checks failed")

// run is main without the process. It returns the exit status: 0 done, 1
// failed, 2 wrong usage or configuration.
func run(ctx context.Context, args, environ []string, stdout, stderr io.Writer) int {
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
	case "version":
		fmt.Fprintln(stdout, version())
		return 0
	case "health":
		return report(stderr, health(ctx, c.Health.URL))
	case "probe <url>":
		return report(stderr, c.Probe.run(ctx, stdout))
	}
	config, err := app.Load(c.Config, environ)
	if err != nil {
		fmt.Fprintf(stderr, "%v\n", err)
		return 2
	}
	return report(stderr, execute(ctx, command, c, config, stdout, stderr))
}

func report(stderr io.Writer, err error) int {
	if err == nil {
		return 0
	}
	fmt.Fprintf(stderr, "gatepost: %v\n", err)
	return 1
}

func execute(ctx context.Context, command string, c commands, config app.Config, stdout, stderr io.Writer) error {
	switch command {
	case "serve":
		return app.Run(ctx, config, app.NewLogger(config.Log, stderr))
	case "proxy-config <proxy>", "proxy-config <proxy> <part>":
		return c.ProxyConfig.print(config, stdout)
	case "migrate":
		return app.Migrate(ctx, config, stdout)
	case "check":
		if app.Check(ctx, config, stdout) > 0 {
			return errFailed
		}
		return nil
	}
	s, err := app.Store(ctx, config)
	if err != nil {
		return err
	}
	defer s.Close()
	return administer(ctx, command, c, s, stdout)
}

func administer(ctx context.Context, command string, c commands, s *store.Store, out io.Writer) error {
	switch command {
	case "users list", "users list <email>":
		users, err := s.Users(ctx, c.Users.List.Email, 100)
		for _, u := range users {
			fmt.Fprintf(out, "%d\t%s\t%s\t%s\n", u.ID, u.Email, u.Name, u.CreatedAt.UTC().Format(time.RFC3339))
		}
		return err
	case "sessions list <user>":
		sessions, err := s.SessionsOf(ctx, c.Sessions.List.User)
		for _, v := range sessions {
			fmt.Fprintf(out, "%d\tsince %s\tuntil %s\n", v.ID, v.CreatedAt.UTC().Format(time.RFC3339), v.Expires.UTC().Format(time.RFC3339))
		}
		return err
	case "sessions end <user>":
		n, err := s.EndAllSessions(ctx, c.Sessions.End.User)
		if err == nil {
			fmt.Fprintf(out, "%d sessions ended\n", n)
		}
		return err
	}
	return fmt.Errorf("unknown command %q", command)
}

func health(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answered %d", url, resp.StatusCode)
	}
	return nil
}

func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" {
		return "unknown"
	}
	return info.Main.Version
}
