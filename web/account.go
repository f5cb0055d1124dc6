package web

import (
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/labstack/echo/v4"

	"github.com/gatepost/gatepost/flows"
	"github.com/gatepost/gatepost/store"
)

// account answers GET /account: who somebody is here, and what they can end.
func (s *server) account(c echo.Context) error {
	ctx, token := c.Request().Context(), s.cookies.session(c)
	user, session, err := s.Sessions.Current(ctx, token)
	if errors.Is(err, flows.ErrNoSession) {
		return s.redirect(c, s.url("/signin", url.Values{"callbackUrl": {s.url("/account", nil)}}))
	}
	if err != nil {
		return err
	}
	accounts, err := s.Sessions.Accounts(ctx, user.ID)
	if err != nil {
		return err
	}
	sessions, err := s.Sessions.List(ctx, user.ID)
	if err != nil {
		return err
	}
	entryOf(c).user = user.ID
	view := accountView{
		page:          s.page(c, "account.title"),
		CSRF:          s.cookies.csrfToken(c),
		Name:          user.Name,
		Email:         user.Email,
		Initials:      initials(user),
		MailLogo:      s.assets.url(s.BasePath, "/static/logos/mail.svg"),
		EmailVerified: user.EmailVerified != nil,
		Actions: accountActions{
			Unlink: s.url("/account/unlink", nil), EndSession: s.url("/account/end", nil),
			EndOthers: s.url("/account/end-others", nil), EndAll: s.url("/account/end-all", nil), SignOut: s.url("/signout", nil), Export: s.url("/account/export", nil),
		},
	}
	view.Alert = s.alert(c)
	if s.Gate != nil {
		view.Actions.Tokens = s.url("/account/tokens", nil)
	}
	if text := changes[c.QueryParam("done")]; text != "" {
		view.Done = view.words.Text(text)
	}
	linked := map[string]bool{}
	lastWayIn := len(accounts) == 1 && user.EmailVerified == nil
	for _, a := range accounts {
		linked[a.Provider] = true
		row := s.accountRow(a)
		if row.CanUnlink = !lastWayIn; lastWayIn {
			row.Why = view.words.Text("account.only")
		}
		view.Accounts = append(view.Accounts, row)
	}
	for _, p := range s.OAuth.Providers {
		if !linked[p.ID()] {
			b := s.button(c, p)
			b.Label = view.words.Text("account.link", "provider", p.Name())
			view.Linkable = append(view.Linkable, b)
		}
	}
	for _, other := range sessions {
		if _, token := other.AccessTokenName(); token {
			continue // on a page of their own
		}
		row := sessionRow{ID: other.ID, Current: other.ID == session.ID, Since: other.CreatedAt, Used: other.UpdatedAt}
		if row.Current {
			view.Sessions = append([]sessionRow{row}, view.Sessions...)
		} else {
			view.Sessions = append(view.Sessions, row)
		}
	}
	return s.show(c, http.StatusOK, "account", view)
}

// exported is what GET /account/export gives: everything about a person that is
// stored here, and no secret.
type exported struct {
	ID            string            `json:"id"`
	Name          string            `json:"name,omitempty"`
	Email         string            `json:"email,omitempty"`
	EmailVerified *time.Time        `json:"email_verified,omitempty"`
	Image         string            `json:"image,omitempty"`
	CreatedAt     time.Time         `json:"created_at"`
	Accounts      []exportedAccount `json:"accounts"`
	Sessions      []exportedSession `json:"sessions"`
}

type exportedAccount struct {
	Provider  string    `json:"provider"`
	ID        string    `json:"provider_account_id"`
	CreatedAt time.Time `json:"created_at"`
}

type exportedSession struct {
	CreatedAt time.Time `json:"created_at"`
	UpdatedAt time.Time `json:"updated_at"`
	Expires   time.Time `json:"expires"`
}

// export answers GET /account/export: a person's data, to take along.
func (s *server) export(c echo.Context) error {
	ctx := c.Request().Context()
	user, _, err := s.Sessions.Current(ctx, s.cookies.session(c))
	if errors.Is(err, flows.ErrNoSession) {
		return &flows.Error{Code: flows.SessionRequired, Reason: "session_required"}
	}
	if err != nil {
		return err
	}
	accounts, err := s.Sessions.Accounts(ctx, user.ID)
	if err != nil {
		return err
	}
	sessions, err := s.Sessions.List(ctx, user.ID)
	if err != nil {
		return err
	}
	entryOf(c).user = user.ID
	out := exported{ID: strconv.Itoa(int(user.ID)), Name: user.Name, Email: user.Email, EmailVerified: user.EmailVerified, Image: user.Image, CreatedAt: user.CreatedAt}
	for _, a := range accounts {
		out.Accounts = append(out.Accounts, exportedAccount{a.Provider, a.ProviderAccountID, a.CreatedAt})
	}
	for _, v := range sessions {
		out.Sessions = append(out.Sessions, exportedSession{v.CreatedAt, v.UpdatedAt, v.Expires})
	}
	c.Response().Header().Set("Content-Disposition", `attachment; filename="account.json"`)
	return c.JSONPretty(http.StatusOK, out, "  ")
}

func (s *server) accountRow(a store.Account) accountRow {
	row := accountRow{ID: a.ID, Provider: s.providerName(a.Provider), Since: a.CreatedAt}
	row.Logo, row.LogoClass = s.logo(a.Provider)
	return row
}

func (s *server) accountRows(accounts []store.Account) (rows []accountRow) {
	for _, a := range accounts {
		rows = append(rows, s.accountRow(a))
	}
	return rows
}

// logo is the picture of a provider, ours and local: no third party learns who
// is signing in.
func (s *server) logo(id string) (url, class string) {
	name := id
	if p, err := s.OAuth.Provider(id); err == nil {
		name = p.Document().ID
	}
	class, ok := s.logos[name]
	if !ok {
		name, class = "key", s.logos["key"]
	}
	return s.assets.url(s.BasePath, "/static/logos/"+name+".svg"), class
}

// changes are what the account page confirms: what its forms do, and a link
// that came back from a provider.
var changes = map[string]string{"linked": "done.linked", "unlinked": "done.unlinked", "ended": "done.ended", "others": "done.others"}

func initials(u store.User) string {
	from := u.Name
	if from == "" {
		from = u.Email
	}
	var b strings.Builder
	for i, word := range strings.Fields(from) {
		if i == 2 {
			break
		}
		r, _ := utf8.DecodeRuneInString(word)
		b.WriteRune(r)
	}
	return strings.ToUpper(b.String())
}

// change runs a change of the signed-in person's own account and shows the
// account again with a word on what was done.
func (s *server) change(c echo.Context, done string, do func(user store.User, token flows.SessionToken, fields url.Values) error) error {
	fields, err := s.guarded(c)
	if err != nil {
		return err
	}
	token := s.cookies.session(c)
	user, _, err := s.Sessions.Current(c.Request().Context(), token)
	if errors.Is(err, flows.ErrNoSession) {
		return &flows.Error{Code: flows.SessionRequired, Reason: "session_required"}
	}
	if err != nil {
		return err
	}
	entryOf(c).user = user.ID
	if err := do(user, token, fields); err != nil {
		return err
	}
	if fields.Get("from") == "tokens" {
		return s.answer(c, fields, s.url("/account/tokens", nil))
	}
	return s.answer(c, fields, s.url("/account", url.Values{"done": {done}}))
}

func rowID(fields url.Values) (int32, error) {
	id, err := strconv.ParseInt(fields.Get("id"), 10, 32)
	if err != nil || id <= 0 {
		return 0, badRequest("the field id is not a number")
	}
	return int32(id), nil
}

func (s *server) unlink(c echo.Context) error {
	return s.change(c, "unlinked", func(user store.User, token flows.SessionToken, fields url.Values) error {
		id, err := rowID(fields)
		if err != nil {
			return err
		}
		return s.Sessions.Unlink(c.Request().Context(), user.ID, id, token)
	})
}

func (s *server) endSession(c echo.Context) error {
	return s.change(c, "ended", func(user store.User, _ flows.SessionToken, fields url.Values) error {
		id, err := rowID(fields)
		if err != nil {
			return err
		}
		return s.Sessions.EndOne(c.Request().Context(), user.ID, id)
	})
}

func (s *server) endOtherSessions(c echo.Context) error {
	return s.change(c, "others", func(user store.User, token flows.SessionToken, _ url.Values) error {
		_, err := s.Sessions.EndOthers(c.Request().Context(), user.ID, token)
		return err
	})
}

// endAllSessions signs the person out everywhere, here included.
func (s *server) endAllSessions(c echo.Context) error {
	fields, err := s.guarded(c)
	if err != nil {
		return err
	}
	user, _, err := s.Sessions.Current(c.Request().Context(), s.cookies.session(c))
	if err != nil && !errors.Is(err, flows.ErrNoSession) {
		return err
	}
	if user.ID != 0 {
		if _, err := s.Sessions.EndAll(c.Request().Context(), user.ID); err != nil {
			return err
		}
	}
	s.cookies.clearSignedIn(c)
	if wantsJSON(fields) {
		return s.answer(c, fields, s.ReturnTo.Default())
	}
	return s.show(c, http.StatusOK, "signed-out", signedOutView{page: s.page(c, "everywhere.title"), What: s.language(c).Text("everywhere.what"), Everywhere: true, SignIn: s.url("/signin", nil)})
}
