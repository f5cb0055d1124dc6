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
	if dir != "" {
		if info, err := os.Stat(dir); err != nil || !info.IsDir() {
			return nil, fmt.Errorf("there is no folder %s", dir)
		}
	}
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
				return nil, err
			}
		}
		if _, err := t.New(base).Parse(string(raw)); err != nil {
			return nil, err
		}
	}
	p := &pages{t}
	// A field or a text that does not exist shows only when the template runs.
	for _, sample := range samples(languages.Match("")) {
		if err := p.render(io.Discard, sample.page, sample.view); err != nil {
			return nil, err
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
	Styles                               []string // URLs of style sheets
	Logo, Contact                        string   // "" for none
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
	ID, Name, Label, Action string
	Logo, LogoClass         string
	LastUsed                bool
	Blocked                 bool   // the provider refuses this browser
	Badge                   string // what a button used last says
}

type signInView struct {
	page
	CSRF, ReturnTo, ReturnHost string
	Providers, More            []providerButton
	Mail, MailDown             bool
	MailAction, MailBadge      string
	Email, EmailError          string
	Problem                    *problem // what EmailError is about
	CodeWaits                  bool     // a mail is on its way: its code can be typed
	CodePage                   string
	SignedInAs, SignOut        string
	WrongApp, Here             string // a provider that refuses this browser; the page's address for another
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
	Accounts                   []accountRow // to be asked about; none mostly
}

type keepAccountsView struct {
	page
	CSRF, Action, Token, Code string // Token or Code is ""
	Email, Host               string
	Accounts                  []accountRow
}

type errorView struct {
	page
	Problem problem
}

type conflictView struct {
	page
	CSRF, ProviderName string
	TooOld             bool   // a recent sign-in is wanted, no address stood in the way
	Before             string // names of the providers used before, "" if none is known
	Providers          []providerButton
	Mail               bool
	MailAction, Email  string
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
	SignedInAs             string
}

// leadView leads on after a form, or is behind a redirect, for a proxy that gave
// it another status.
type leadView struct {
	page
	URL  string
	Host string // "" where it is a page of ours
}

type accountView struct {
	page
	CSRF, Name, Email, Initials string
	MailLogo, Done              string // Done says what has just been changed
	EmailVerified               bool
	Accounts                    []accountRow
	Sessions                    []sessionRow
	Linkable                    []providerButton
	Actions                     accountActions
}

type accountRow struct {
	ID              int32
	Provider        string
	Logo, LogoClass string
	Since           time.Time
	CanUnlink       bool
	Why             string
}

type sessionRow struct {
	ID          int32
	Current     bool
	Since, Used time.Time // Used is a day: use is written down seldom
}

type accountActions struct {
	Unlink, EndSession, EndOthers, EndAll, SignOut, Export string
	Tokens                                                 string // the page of access tokens; "" when there is no gate
}
