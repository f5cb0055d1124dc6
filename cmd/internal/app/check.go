package app

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/gatepost/gatepost/flows/mail"
	"github.com/gatepost/gatepost/store"
)

// Migrate brings the tables up to date and says what it did.
func Migrate(ctx context.Context, c Config, out io.Writer) error {
	report, err := store.Migrate(ctx, c.Database.direct(), c.Database.Schema)
	if err != nil {
		return err
	}
	for _, line := range report.Done {
		fmt.Fprintln(out, line)
	}
	if len(report.Done) == 0 {
		fmt.Fprintln(out, "nothing to do: the tables are up to date")
	}
	return nil
}

// Check tries everything that a running Gatepost would need, prints a line for
// each, and returns how many failed.
func Check(ctx context.Context, c Config, out io.Writer) (failed int) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	say := func(what string, err error) {
		if err != nil {
			failed++
			fmt.Fprintf(out, "FAIL  %s: %v\n", what, err)
			return
		}
		fmt.Fprintf(out, "ok    %s\n", what)
	}
	say("configuration", nil)
	s, err := store.Open(ctx, c.Database.options())
	if err == nil {
		defer s.Close()
		err = s.Ready(ctx)
	}
	say("database", err)
	if err == nil {
		err := store.CheckSchema(ctx, c.Database.direct(), c.Database.Schema)
		if _, differs := err.(*store.SchemaError); differs {
			err = fmt.Errorf("%w\nrun «gatepost migrate», which creates the tables where there are none", err)
		}
		say("schema", err)
		if err == nil {
			say("search path", s.CheckSearchPath(ctx, c.Database.Schema))
			say("statements", store.CheckStatements(ctx, c.Database.options()))
		}
		say("notifications", s.CheckListen(ctx))
	}
	clients, err := c.clients(slog.New(slog.DiscardHandler))
	if err != nil {
		say("providers", err)
	}
	for _, p := range clients {
		for _, r := range p.Check(ctx) {
			say(p.ID()+" "+r.Name, r.Err)
		}
		fmt.Fprintf(out, "      redirect URI to register for %s: %s%s/callback/%s\n", p.ID(), c.PublicURL, c.BasePath, p.ID())
	}
	if c.Mail.Host != "" {
		m, err := mail.New(c.Mail.config(), slog.New(slog.DiscardHandler))
		if err == nil {
			err = m.Check(ctx)
		}
		say("mail server", err)
	}
	return failed
}

// Store opens the database for the administrative commands.
func Store(ctx context.Context, c Config) (*store.Store, error) {
	return store.Open(ctx, c.Database.options())
}
