package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"time"

	"github.com/gatepost/gatepost/flows"
	"github.com/gatepost/gatepost/flows/locale"
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
		m, err := c.mailer(slog.New(slog.DiscardHandler))
		if err == nil {
			err = m.Check(ctx)
		}
		say("mail server", err)
	}
	return failed
}

// mailer is a mailer of its own, for commands.
func (c Config) mailer(log *slog.Logger) (*mail.Mailer, error) {
	languages, err := locale.Load(c.Pages.Locales, c.Pages.Languages)
	if err != nil {
		return nil, err
	}
	return mail.New(c.Mail.config(languages), log)
}

// A MailPreview is a sample of the sign-in mail.
type MailPreview struct {
	Language string // tag; "" is the first on offer
	HTML     bool   // print the HTML, else the text
	To       string // send it there instead
}

// PreviewMail prints or sends a sign-in mail whose link and code open nothing.
func PreviewMail(ctx context.Context, c Config, p MailPreview, out io.Writer) error {
	if c.Mail.Host == "" {
		return errors.New("mail is off: set mail.host")
	}
	m, err := c.mailer(slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	public, err := url.Parse(c.PublicURL)
	if err != nil {
		return err
	}
	sample := mail.Link{URL: c.PublicURL + c.BasePath + "/callback/email?token=this-is-a-sample", Code: "123456", Site: public.Host, Language: p.Language, Expires: c.Mail.LinkTTL}
	if p.To != "" {
		if sample.To, err = flows.ParseAddress(p.To); err != nil {
			return err
		}
		if err := m.SendNow(ctx, sample); err != nil {
			return err
		}
		fmt.Fprintf(out, "sent to %s\n", sample.To)
		return nil
	}
	subject, text, html, err := m.Parts(sample)
	switch {
	case err != nil:
		return err
	case p.HTML:
		_, err = out.Write(html)
	default:
		_, err = fmt.Fprintf(out, "From: %s\nSubject: %s\n\n%s", c.Mail.From, subject, text)
	}
	return err
}

// Store opens the database for the administrative commands.
func Store(ctx context.Context, c Config) (*store.Store, error) {
	return store.Open(ctx, c.Database.options())
}
