package app

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/gatepost/gatepost/flows"
	"github.com/gatepost/gatepost/providers"
)

// A Trial is a sign-in that an operator makes from the terminal, to see what a
// provider says and what would become of it.
type Trial struct {
	Provider    string    // id of a configured one
	RedirectURI string    // "" is the site's; another has to be registered too
	In          io.Reader // where the answer is pasted
}

// ErrUsage says that a command cannot be as it is written.
var ErrUsage = errors.New("wrong usage")

// provider is the configured provider of that id.
func (c Config) provider(id string) (ProviderConfig, error) {
	var ids []string
	for _, p := range c.Providers {
		if p.ID == id {
			return p, nil
		}
		ids = append(ids, p.ID)
	}
	return ProviderConfig{}, fmt.Errorf("%w: no provider %q is configured; there are: %s", ErrUsage, id, cmp.Or(strings.Join(ids, ", "), "none"))
}

// TrySignIn walks through one sign-in: it prints the authorization URL, waits for
// the answer, and shows every request, with secrets masked, and the profile. It
// writes nothing and begins no session.
func TrySignIn(ctx context.Context, c Config, t Trial, out io.Writer) error {
	p, err := c.provider(t.Provider)
	if err != nil {
		return err
	}
	keys, err := c.flowKeys()
	if err != nil {
		return err
	}
	shown := &transcript{out: out, now: time.Now}
	watch := shown.watch()
	watch.State = func() string { return keys.TrialState(time.Now()) }
	client, err := c.watchedClient(p, slog.New(slog.DiscardHandler), watch)
	if err != nil {
		return err
	}
	at := cmp.Or(t.RedirectURI, c.PublicURL+c.BasePath+"/callback/"+p.ID)
	if u, err := url.Parse(at); err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.RawQuery != "" || u.Fragment != "" {
		return fmt.Errorf("%w: redirect URI %q: want a whole address without ? and #, as in http://127.0.0.1:8123/callback", ErrUsage, at)
	}
	doc := client.Document()
	fmt.Fprintf(out, "Sign-in with %s (%s, %s). Nothing is written, and nobody is signed in.\nOf secrets you see the first four characters at most, and how many there are.\n", doc.Name, p.ID, doc.ProtocolName())
	began, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	request, location, err := client.Begin(began, at, nil)
	if err != nil {
		return explained(err, doc, at, shown.said)
	}
	shown.authorization(doc, location, at)
	answer, err := waitForAnswer(ctx, client, request, t.In, out)
	if err != nil {
		return err
	}
	shown.heading("The answer")
	identity, err := client.Complete(ctx, request, answer)
	if err != nil {
		return explained(err, doc, at, shown.said+" "+answer.Get("error")+" "+answer.Get("error_description"))
	}
	shown.account(doc, p.ID, identity.Profile)
	return c.forecast(ctx, keys, p.ID, identity.Profile, out)
}

// forecast prints what a sign-in would do, as far as the database can be read.
func (c Config) forecast(ctx context.Context, keys flows.Keys, id string, profile providers.Profile, out io.Writer) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	s, err := Store(ctx, c)
	if err != nil {
		fmt.Fprintf(out, "The database cannot be read, so whether this account is known is left open: %v\n", err)
		return nil
	}
	defer s.Close()
	returnTo, err := flows.NewReturnTo(c.PublicURL, c.returnTo())
	if err != nil {
		return err
	}
	admission, err := c.admission(s, returnTo)
	if err != nil {
		return err
	}
	sessions := &flows.Sessions{Store: s, Dialect: c.dialect(keys)}
	o := flows.OAuth{Store: s, Sessions: sessions, Keys: keys, Linking: flows.Linking(c.Linking), Admission: admission, Claims: c.nextAuth(), Now: time.Now}
	f, err := o.Forecast(ctx, id, profile)
	if err != nil {
		fmt.Fprintf(out, "The tables cannot be read, so whether this account is known is left open: %v\n", err)
		return nil
	}
	if f.Refusal != nil && f.Refusal.Reason == flows.ReasonSignInRefused {
		return errors.New("the provider works; this person is kept out by sign_in of the configuration")
	}
	fmt.Fprintln(out, forecastInWords(f, profile, flows.Linking(c.Linking)))
	if f.AsksHook {
		fmt.Fprintln(out, "The service of webhooks.sign_in would be asked first. It was not asked now, since it may act on that.")
	}
	return nil
}

func forecastInWords(f flows.Forecast, p providers.Profile, policy flows.Linking) string {
	switch {
	case f.Refusal != nil && policy == flows.LinkNever:
		return fmt.Sprintf("A sign-in would ask for the way in that user %d had before, who has the address %s: linking is %q.", f.User, f.Email, policy)
	case f.Refusal != nil:
		return fmt.Sprintf("A sign-in would ask for the way in that user %d had before, who has the address %s but has not proven it.", f.User, f.Email)
	case f.Linked:
		return fmt.Sprintf("A sign-in would sign in user %d, who has the same proven address %s, and add this account to them.", f.User, f.Email)
	case f.User != 0:
		return fmt.Sprintf("A sign-in would sign in user %d, who has this account.", f.User)
	case f.Email != "":
		return fmt.Sprintf("A sign-in would make a new user with the address %s.", f.Email)
	case p.Email != "":
		return "A sign-in would make a new user without an address: the one above does not count."
	}
	return "A sign-in would make a new user without an address."
}

// transcript prints what a client does.
type transcript struct {
	out   io.Writer
	now   func() time.Time
	said  string // of the last answer, for who explains a refusal
	drift bool   // the clock was spoken of
}

func (t *transcript) heading(text string) { fmt.Fprintf(t.out, "\n%s\n", text) }

func (t *transcript) indented(lines []string) {
	for _, line := range lines {
		fmt.Fprintf(t.out, "    %s\n", line)
	}
}

func (t *transcript) watch() *providers.Watch {
	return &providers.Watch{
		Request: func(r providers.WatchedRequest) {
			fmt.Fprintf(t.out, "\n> %s %s  (%s)\n", r.Method, r.URL, r.For)
			t.indented(r.Header)
			t.indented(r.Body)
		},
		Answer: t.answer,
		Claims: func(of string, lines []string) {
			t.heading("What the " + of + " says")
			t.indented(lines)
		},
		Callback: t.indented,
		Check: func(c providers.WatchedCheck) {
			what := c.Of + " " + c.Name
			if c.Seen != "" {
				what += ": " + c.Seen
			}
			if c.Refusal != nil {
				fmt.Fprintf(t.out, "  FAIL  %s; %s\n", what, c.Refusal.Detail)
				return
			}
			fmt.Fprintf(t.out, "  ok    %s\n", what)
		},
		Profile: t.profile,
	}
}

func (t *transcript) answer(a providers.WatchedAnswer) {
	took := a.Took.Round(time.Millisecond)
	t.said = ""
	if a.Err != nil {
		fmt.Fprintf(t.out, "< nothing after %s: %v\n", took, a.Err)
		return
	}
	fmt.Fprintf(t.out, "< %s after %s\n", a.Status, took)
	t.indented(a.Header)
	t.indented(a.Body)
	if a.For != "metadata" { // which has the words of refusals, such as code_challenge, and refuses nothing
		t.said = strings.Join(a.Body, " ")
	}
	const worthSaying = 10 * time.Second
	if ahead := a.Date.Sub(t.now()); !a.Date.IsZero() && ahead.Abs() > worthSaying && !t.drift {
		t.drift = true
		fmt.Fprintf(t.out, "  note  the provider's clock is %s ahead of this machine's; run NTP here\n", ahead.Round(time.Second))
	}
}

// authorization prints where to go and what each part of the address is for.
func (t *transcript) authorization(doc providers.Provider, location, at string) {
	t.heading("Open this address in a browser and sign in as somebody who may")
	fmt.Fprintf(t.out, "\n%s\n\n", location)
	t.columns(authorizationParameters(doc, location))
	where := ""
	if doc.Console != "" {
		where = " at " + doc.Console
	}
	fmt.Fprintf(t.out, `
If the provider shows an error instead of asking:
  redirect URI      register exactly %s%s
  unknown client    client_id is wrong, or of another environment or tenant
  scope             allow the scopes above for the application
  not verified      while the application is in testing, add the person to its test users
  needs approval    an administrator of the person's organisation has to approve the application
`, at, where)
}

func authorizationParameters(doc providers.Provider, location string) (rows [][3]string) {
	u, err := url.Parse(location)
	if err != nil {
		return nil
	}
	query := u.Query()
	for name := range query {
		value, why := query.Get(name), parameterInWords(doc, name)
		if len(value) > 80 && name != "redirect_uri" && name != "openid.return_to" && name != "scope" {
			value = fmt.Sprintf("%d characters", len(value))
		}
		rows = append(rows, [3]string{name, value, why})
	}
	slices.SortFunc(rows, func(a, b [3]string) int { return cmp.Compare(a[0], b[0]) })
	return rows
}

func parameterInWords(doc providers.Provider, name string) string {
	switch name {
	case cmp.Or(doc.ClientIDParam, "client_id"):
		return "the application that asks"
	case "redirect_uri", "openid.return_to":
		return "where the answer goes; registered to the letter"
	case "openid.realm":
		return "the site that asks"
	case "response_type":
		return "a code, which only the client can use"
	case "scope":
		return "what is asked for"
	case "state":
		return "ties the answer to this trial, so that the site shows it"
	case "nonce":
		return "ties the ID token to this trial"
	case "code_challenge":
		return "PKCE: only who knows the verifier can use the code"
	case "code_challenge_method":
		return "PKCE: SHA-256"
	case "response_mode":
		return "how the answer comes back"
	case "oauth_token":
		return "the request token"
	}
	if strings.HasPrefix(name, "openid.") {
		return "OpenID 2.0"
	}
	return "of the catalogue, or of auth_params"
}

func (t *transcript) profile(fields []providers.MappedField) {
	t.heading("The profile")
	var rows [][3]string
	for _, f := range fields {
		from := f.From
		if from != "" && f.Name != "email_verified" {
			from = "from " + from
		}
		rows = append(rows, [3]string{f.Name, cmp.Or(f.Value, "-"), from})
	}
	t.columns(rows)
}

// columns are rows below each other, without blanks at their ends.
func (t *transcript) columns(rows [][3]string) {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, r := range rows {
		fmt.Fprintf(w, "  %s\t%s\t%s\n", r[0], r[1], r[2])
	}
	w.Flush()
	for line := range strings.Lines(b.String()) {
		fmt.Fprintln(t.out, strings.TrimRight(line, " \n"))
	}
}

// account prints the row that a sign-in would have, and what to know of the
// address.
func (t *transcript) account(doc providers.Provider, id string, p providers.Profile) {
	fmt.Fprintf(t.out, "  %s\n", doc.TrustInWords())
	if p.Email == "" && len(doc.Map.Email) > 0 {
		fmt.Fprintf(t.out, "  note  no address came: is a scope for it among %q and allowed for the application, and does the person have one there?\n", strings.Join(doc.Scopes, " "))
	}
	t.heading("The account")
	fmt.Fprintf(t.out, "  provider             %s\n  provider_account_id  %s\n  compound_id          %s\n\n", id, p.Subject, flows.CompoundID(id, p.Subject))
}

// lines are what is typed, until in ends or nobody waits any more.
func lines(ctx context.Context, in io.Reader) <-chan string {
	out := make(chan string)
	go func() {
		defer close(out)
		s := bufio.NewScanner(in)
		s.Buffer(nil, 1<<20)
		for s.Scan() {
			select {
			case out <- s.Text():
			case <-ctx.Done():
				return
			}
		}
	}()
	return out
}
