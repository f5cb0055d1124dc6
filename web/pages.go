package web

import (
	"embed"
	"errors"
	"fmt"
	"html/template"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/gatepost/gatepost/flows/locale"
)

//go:embed templates/*.html
var builtInPages embed.FS

// pages are the templates, the operator's own in place of ours file by file.
// docs/pages.md says what a template may use.
type pages struct{ t *template.Template }

func newPages(dir string, languages *locale.Languages) (*pages, error) {
	names, err := fs.Glob(builtInPages, "templates/*.html")
	if err != nil {
		return nil, err
	}
	t := template.New("")
	for _, name := range names {
		base := filepath.Base(name)
		raw, err := builtInPages.ReadFile(name)
		if err != nil {
			return nil, err
		}
		if dir != "" {
			own, err := os.ReadFile(filepath.Join(dir, base))
			if err == nil {
				raw = own
			} else if !errors.Is(err, fs.ErrNotExist) {
				return nil, fmt.Errorf("page template: %w", err)
			}
		}
		if _, err := t.New(base).Parse(string(raw)); err != nil {
			return nil, fmt.Errorf("page template: %w", err)
		}
	}
	p := &pages{t}
	// A field or a text that does not exist shows only when the template runs.
	for _, sample := range samples(languages.Match("")) {
		if err := p.render(io.Discard, sample.page, sample.view); err != nil {
			return nil, fmt.Errorf("page template: %w", err)
		}
	}
	return p, nil
}

func (p *pages) render(w io.Writer, name string, view any) error {
	return p.t.ExecuteTemplate(w, name+".html", view)
}

// page is what every view has.
type page struct {
	Lang, Dir, SiteName, BasePath, Title string
	Alert                                *problem
	words                                *locale.Language
}

// T is the text of key in the reader's language; values follow their names.
func (p page) T(key string, values ...any) (string, error) {
	if !p.words.Has(key) {
		return "", fmt.Errorf("there is no text %q", key)
	}
	return p.words.Text(key, values...), nil
}

// Parts is T in pieces, for the template «text», which sets values apart.
func (p page) Parts(key string, values ...any) ([]locale.Part, error) {
	if !p.words.Has(key) {
		return nil, fmt.Errorf("there is no text %q", key)
	}
	return p.words.Parts(key, values...), nil
}

// Date and Moment write a time in the reader's language, in UTC.
func (p page) Date(t time.Time) string   { return p.words.Date(t) }
func (p page) Moment(t time.Time) string { return p.words.Moment(t) }

type providerButton struct {
	ID, Name, Label, Action, Logo string
	LastUsed                      bool
	Badge                         string // what a button used last says
}

type signInView struct {
	page
	CSRF, ReturnTo, ReturnHost string
	Providers, More            []providerButton
	Mail, MailDown             bool
	MailAction                 string
	Email, EmailError          string
	Problem                    *problem // what EmailError is about
}

type checkMailView struct {
	page
	Email, From, Subject, CSRF      string
	CodeAction, ResendAction, Again string
	Mailbox, MailboxURL             string // where to read the mail, if that is known
	CodeError                       string
	Problem                         *problem // what CodeError is about
	Minutes                         int
	Resent, TooSoon                 bool
	Wait                            int // seconds until another mail may be asked for
	WaitClass                       string
}

type confirmLinkView struct {
	page
	CSRF, Action, RevokeAction string
	Token, Email, Host, Asked  string
	SameBrowser, Refused       bool
}

type errorView struct {
	page
	Problem problem
}

type conflictView struct {
	page
	CSRF, ProviderName string
	Providers          []providerButton
	Mail               bool
	MailAction         string
}

type signedOutView struct {
	page
	Everywhere bool
	What       string
	SignIn     string
}

type signOutView struct {
	page
	CSRF, Action, ReturnTo string
}

type accountView struct {
	page
	CSRF, Name, Email, Initials string
	EmailVerified               bool
	Accounts                    []accountRow
	Sessions                    []sessionRow
	Linkable                    []providerButton
	Actions                     accountActions
}

type accountRow struct {
	ID             int32
	Provider, Logo string
	Since          time.Time
	CanUnlink      bool
	Why            string
}

type sessionRow struct {
	ID      int32
	Current bool
	Since   time.Time
}

type accountActions struct {
	Unlink, EndSession, EndOthers, EndAll, SignOut string
	Tokens                                         string // the page of access tokens; "" when there is no gate
}
