package web

import (
	"embed"
	"fmt"
	"html/template"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

//go:embed templates/*.html
var builtInPages embed.FS

// pages are the templates, the operator's own in place of ours file by file.
type pages struct{ t *template.Template }

func newPages(dir string) (*pages, error) {
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
		if own, ownErr := os.ReadFile(filepath.Join(dir, base)); dir != "" && ownErr == nil {
			raw = own
		}
		if _, err := t.New(base).Parse(string(raw)); err != nil {
			return nil, fmt.Errorf("page template: %w", err)
		}
	}
	return &pages{t}, nil
}

func (p *pages) render(w io.Writer, name string, view any) error {
	return p.t.ExecuteTemplate(w, name+".html", view)
}

// page is what every view has.
type page struct {
	Lang, SiteName, BasePath, Title string
	Alert                           *problem
}

type providerButton struct {
	ID, Name, Action, Logo string
	LastUsed               bool
}

type signInView struct {
	page
	CSRF, ReturnTo, ReturnHost string
	Providers, More            []providerButton
	Mail, MailDown             bool
	MailAction                 string
	Email, EmailError          string
}

type checkMailView struct {
	page
	Email, From, CSRF        string
	CodeAction, ResendAction string
	CodeError                string
	Minutes                  int
	Resent                   bool
}

type confirmLinkView struct {
	page
	CSRF, Action, RevokeAction string
	Token, Email, Host         string
	SameBrowser                bool
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
	SignIn     string
}

type signOutView struct {
	page
	CSRF, Action, ReturnTo string
}

// leadView is behind a redirect, for a proxy that gave it another status.
type leadView struct {
	page
	URL string
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

type accountActions struct{ Unlink, EndSession, EndOthers, EndAll, SignOut string }
