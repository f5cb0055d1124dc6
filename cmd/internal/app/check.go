package app

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/url"
	"slices"
	"strings"
	"syscall"
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
		return withNextStep(err)
	}
	done, err := migrateOutbox(ctx, c)
	if err != nil {
		return err
	}
	report.Done = append(report.Done, done...)
	for _, line := range report.Done {
		fmt.Fprintln(out, line)
	}
	if len(report.Done) == 0 {
		fmt.Fprintln(out, "nothing to do: the tables are up to date")
	}
	return nil
}

// withNextStep adds what to do about tables that are not the documented ones.
func withNextStep(err error) error {
	differs, ok := errors.AsType[*store.SchemaError](err)
	switch {
	case !ok:
		return err
	case differs.Missing:
		return fmt.Errorf("%w; run «gatepost migrate», which creates them", err)
	}
	return fmt.Errorf("%w\nGatepost changes no table that is there: if NextAuth made them, «gatepost adopt» says how they become these; else alter them until nothing differs, or name another database.schema", err)
}

// report prints a line for each thing that was tried.
type report struct {
	out    io.Writer
	failed int
}

func (r *report) say(what string, err error) {
	if err == nil {
		fmt.Fprintf(r.out, "ok    %s\n", what)
		return
	}
	r.failed++
	fmt.Fprintf(r.out, "FAIL  %s: %s\n", what, strings.ReplaceAll(err.Error(), "\n", "\n      "))
}

// Check tries everything that a running Gatepost would need, prints a line for
// each, and returns how many failed.
func Check(ctx context.Context, c Config, out io.Writer) (failed int) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	r := &report{out: out}
	r.say("configuration", nil)
	c.checkSockets(r)
	c.checkDatabase(ctx, r)
	n := c.checkProviders(ctx, r)
	if c.Mail.Host != "" {
		m, err := c.mailer(slog.New(slog.DiscardHandler))
		if err == nil {
			err = m.Check(ctx)
		}
		r.say("mail server", hinted(err))
	}
	c.checkHooks(ctx, r)
	if n == 0 && c.Mail.Host == "" {
		r.say("ways to sign in", errors.New("there is none; turn on a provider, or mail by mail.host"))
	}
	return r.failed
}

// CheckProvider is Check of one configured provider, and nothing else.
func CheckProvider(ctx context.Context, c Config, id string, out io.Writer) (failed int, err error) {
	p, err := c.provider(id)
	if err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	r := &report{out: out}
	c.Providers = []ProviderConfig{p}
	c.checkProviders(ctx, r)
	return r.failed, nil
}

// checkProviders returns how many providers there are.
func (c Config) checkProviders(ctx context.Context, r *report) int {
	clients, err := c.clients(slog.New(slog.DiscardHandler))
	if err != nil {
		r.say("providers", err)
	}
	for _, p := range clients {
		for _, result := range p.Check(ctx) {
			r.say(p.ID()+" "+result.Name, hinted(result.Err))
			for _, note := range result.Notes {
				fmt.Fprintf(r.out, "note  %s %s: %s\n", p.ID(), result.Name, note)
			}
		}
		fmt.Fprintf(r.out, "      redirect URI to register for %s: %s%s/callback/%s\n", p.ID(), c.PublicURL, c.BasePath, p.ID())
	}
	return len(clients)
}

// checkSockets looks whether the sockets can be made. Whatever an address of
// TCP's is wrong for is seen when it is listened on.
func (c Config) checkSockets(r *report) {
	for _, l := range []struct{ key, address string }{{"listen", c.Listen}, {"admin_listen", c.AdminListen}} {
		if path, ok := socketPath(l.address); ok {
			r.say(l.key, checkSocket(path))
		}
	}
	if _, ok := socketPath(c.Listen); ok && !slices.Contains(c.TrustedProxies, trustUnix) {
		fmt.Fprintln(r.out, "      trusted_proxies has no unix: X-Forwarded-For is not believed, and limits take all clients for one")
	}
}

// hinted adds what to do about a server that cannot be reached.
func hinted(err error) error {
	if err == nil {
		return nil
	}
	_, unknown := errors.AsType[*net.DNSError](err)
	_, otherRoot := errors.AsType[x509.UnknownAuthorityError](err)
	_, otherName := errors.AsType[x509.HostnameError](err)
	timeout, late := errors.AsType[net.Error](err)
	hint := ""
	switch {
	case unknown:
		hint = "is the name spelt right, and does DNS work here?"
	case errors.Is(err, syscall.ECONNREFUSED):
		hint = "does it run there, and is the port right?"
	case otherRoot:
		hint = "its certificate is of no authority known here; name the authority's file by ca_file"
	case otherName:
		hint = "use the name that its certificate has"
	case late && timeout.Timeout():
		hint = "is the address right, and does a firewall let us through?"
	default:
		return err
	}
	return fmt.Errorf("%w\n%s", err, hint)
}

// checkDatabase stops where what follows could only fail for the same cause.
func (c Config) checkDatabase(ctx context.Context, r *report) {
	o := c.Database.options()
	err := store.Probe(ctx, o)
	r.say("database", err)
	if err != nil {
		return
	}
	err = store.CheckSchema(ctx, c.Database.direct(), c.Database.Schema)
	r.say("schema", withNextStep(err))
	s, openErr := store.Open(ctx, o)
	if openErr != nil {
		r.say("pool", openErr)
		return
	}
	defer s.Close()
	if err == nil {
		if err = s.CheckAccess(ctx, c.Database.Schema); err == nil {
			err = store.CheckStatements(ctx, o)
		}
		r.say("statements", err)
	}
	if len(c.Webhooks.Events) > 0 {
		r.say("outbox", s.CheckOutbox(ctx))
	}
	if c.shared() {
		fmt.Fprintln(r.out, "note  sessions: the NextAuth site ends some without a word, so none is remembered and each check asks the database; nextauth.shared: false once the site is stopped for good")
	} else {
		r.say("notifications", s.CheckListen(ctx))
	}
	ahead, err := s.Drift(ctx)
	if err == nil && ahead.Abs() > maxDrift {
		err = fmt.Errorf("the database's is %s ahead of ours; run NTP on both machines", ahead.Round(time.Second))
	}
	r.say("clock", err)
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
	sample := mail.Link{URL: c.mailedLink("ada@example.org", "this-is-a-sample"), Code: "123456", Site: public.Host, Language: p.Language, Expires: c.Mail.LinkTTL}
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

// Store opens the database for the administrative commands, which want to be
// told what is wrong with it at once.
func Store(ctx context.Context, c Config) (*store.Store, error) {
	if err := store.Probe(ctx, c.Database.options()); err != nil {
		return nil, err
	}
	return store.Open(ctx, c.storeOptions())
}
