package web

import (
	"bytes"
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/gatepost/gatepost/flows"
	"github.com/gatepost/gatepost/flows/locale"
)

// Codes whose page is the sign-in page, where the person can try again at once
// (nextauth-v3 §13).
var retryable = map[flows.Code]bool{
	flows.Signin: true, flows.OAuthSignin: true, flows.OAuthCallback: true, flows.OAuthCreateAccount: true,
	flows.EmailCreateAccount: true, flows.Callback: true, flows.OAuthAccountNotLinked: true,
	flows.EmailSignin: true, flows.SessionRequired: true, "CredentialsSignin": true,
}

// handleError is the one place where an error becomes an answer. The cause goes
// to the log, the code and the reason to the person.
func (s *server) handleError(err error, c echo.Context) {
	if c.Response().Committed {
		return
	}
	if answerErr := s.answerError(err, c); answerErr != nil {
		entryOf(c).err = errors.Join(err, answerErr)
		c.NoContent(http.StatusInternalServerError)
	}
}

func (s *server) answerError(err error, c echo.Context) error {
	entry := entryOf(c)
	entry.err = err
	switch {
	case errors.Is(err, errCSRF), errors.Is(err, errCrossOrigin):
		entry.reason = "csrf"
		if s.givesToken(c) {
			return s.refuseToken(c, &flows.Error{Code: flows.AccessDenied, Reason: "csrf"})
		}
		return s.askAgain(c)
	}
	if he, ok := errors.AsType[*echo.HTTPError](err); ok {
		return s.protocolError(c, he)
	}
	refusal := flows.ErrorOf(err)
	entry.code, entry.reason = string(refusal.Code), refusal.Reason
	if conflict, ok := errors.AsType[*flows.Conflict](err); ok {
		if err := s.cookies.keepPendingLink(c, conflict.Pending); err != nil {
			return err
		}
	}
	if s.givesToken(c) {
		return s.refuseToken(c, refusal)
	}
	fields, _ := form(c)
	if elsewhere, ok := errors.AsType[*flows.Redirected](err); ok {
		return s.answer(c, fields, elsewhere.URL)
	}
	switch {
	case refusal.Reason == flows.ReasonDatabaseDown, refusal.Reason == flows.ReasonSignInHookDown:
		c.Response().Header().Set("Retry-After", "5")
		return s.showError(c, refusal.Code, refusal.Reason)
	case refusal.Code == flows.Configuration:
		return s.showError(c, refusal.Code, refusal.Reason)
	case staysOn(refusal, s.formPage(c, fields)):
		return s.answer(c, fields, s.url(s.formPage(c, fields), url.Values{"error": {string(refusal.Code)}, "reason": {refusal.Reason}, "id": {entry.id}}))
	default:
		return s.answer(c, fields, s.errorURL(refusal, entry))
	}
}

// formPage is the page whose form was posted.
func (s *server) formPage(c echo.Context, fields url.Values) string {
	switch path := strings.TrimPrefix(c.Path(), s.BasePath); {
	case path == "/signout":
		return path
	case path == "/callback/email" && fields.Get("token") == "", path == "/signin/:provider" && fields.Get("again") != "":
		return "/verify-request"
	case path == "/account/tokens", strings.HasPrefix(path, "/account/") && fields.Get("from") == "tokens":
		return "/account/tokens"
	case strings.HasPrefix(path, "/account/"):
		return "/account"
	}
	return "/signin"
}

// staysOn reports that a refusal is shown on the page that was posted from,
// where the person can go on.
func staysOn(refusal *flows.Error, page string) bool {
	switch page {
	case "/account", "/account/tokens":
		return refusal.Code != flows.SessionRequired
	case "/verify-request":
		return refusal.Code == flows.Verification && refusal.Reason != flows.ReasonLinkExpired
	}
	return false
}

// askAgain answers a form without a token of this browser as NextAuth does, with
// the form again, which sets one.
func (s *server) askAgain(c echo.Context) error {
	fields, _ := form(c)
	if path := strings.TrimPrefix(c.Path(), s.BasePath); !wantsJSON(fields) && fields.Get("token") != "" && strings.HasPrefix(path, "/callback/email") {
		// Shown and not led to: its address would have the token (security M-16).
		p := problemFor(s.language(c), "", "csrf")
		p.RequestID = entryOf(c).id
		if err := s.showMagicLink(c, fields.Get("token"), &p); err != nil {
			return s.answerError(err, c)
		}
		return nil
	}
	query := url.Values{"csrf": {"true"}}
	if fields.Get("from") == "conflict" {
		query.Set("error", string(flows.OAuthAccountNotLinked))
	}
	if s.NextAuth == nil {
		query.Set("id", entryOf(c).id)
	}
	return s.answer(c, fields, s.url(s.formPage(c, fields), query))
}

// alert is what the form of a page was refused for, as its address says; nil if
// it was not.
func (s *server) alert(c echo.Context) *problem {
	code, reason := c.QueryParam("error"), c.QueryParam("reason")
	switch {
	case c.QueryParam("csrf") != "":
		code, reason = "", "csrf"
	case code == "":
		return nil
	}
	p := problemFor(s.language(c), code, reason)
	p.RequestID = requestID(c)
	return &p
}

// errorURL is NextAuth's error page with what our own page tells besides.
func (s *server) errorURL(refusal *flows.Error, entry *logEntry) string {
	query := url.Values{"error": {string(refusal.Code)}, "reason": {refusal.Reason}, "id": {entry.id}}
	if _, err := s.OAuth.Provider(entry.provider); err == nil {
		query.Set("provider", entry.provider)
	}
	return s.url("/error", query)
}

// protocolError answers what never reached a flow: no such page, a method that
// the route does not take, a body that cannot be read.
func (s *server) protocolError(c echo.Context, he *echo.HTTPError) error {
	if he.Code == http.StatusMethodNotAllowed {
		entryOf(c).reason = "method_not_allowed"
		if s.readsJSON(c) || acceptsHTML(c.Request().Header.Get(echo.HeaderAccept)) {
			return s.showStatus(c, http.StatusBadRequest, "", "method_not_allowed")
		}
		// The contract's words and status (nextauth-v3 §3).
		return c.String(http.StatusBadRequest, "Error: This action with HTTP "+cut(c.Request().Method)+" is not supported by NextAuth.js\nCode: method_not_allowed\nRequest id: "+entryOf(c).id+"\n")
	}
	if he.Code == http.StatusNotFound && s.astray != nil {
		s.astray(c.Request())
	}
	reason := map[int]string{
		http.StatusNotFound: "not_found", http.StatusRequestEntityTooLarge: "body_too_large", http.StatusRequestHeaderFieldsTooLarge: "too_many_cookies",
	}[he.Code]
	if reason == "" {
		reason = "bad_request"
	}
	entryOf(c).reason = reason
	return s.showStatus(c, he.Code, "", reason)
}

// showError renders the page for a code and reason, or the same as JSON for
// whoever asked for that.
func (s *server) showError(c echo.Context, code flows.Code, reason string) error {
	return s.showStatus(c, 0, string(code), reason)
}

func (s *server) showStatus(c echo.Context, status int, code, reason string) error {
	p := problemFor(s.language(c), code, reason)
	if status == 0 {
		status = p.Status
	}
	p.Status, p.RequestID = status, entryOf(c).id
	if s.readsJSON(c) {
		if code == "" {
			code = "Default"
		}
		message := p.message()
		if s.givesToken(c) && reason == "not_found" { // the words are for a person who looks for a page
			message = "No provider of that id has tokens: true in the configuration."
		}
		return c.JSON(status, map[string]string{
			"error": code, "reason": reason, "message": message, "request_id": p.RequestID,
			// NextAuth's client reads the error from here, whatever the status.
			"url": s.errorURL(&flows.Error{Code: flows.Code(code), Reason: reason}, entryOf(c)),
		})
	}
	return s.showProblem(c, p)
}

func (s *server) showProblem(c echo.Context, p problem) error {
	view := errorView{page: s.page(c, ""), Problem: p}
	view.Title = p.Title
	view.Problem.Action, view.Problem.ActionLabel = s.url("/signin", nil), view.words.Text("signin.button")
	if p.Reason == flows.ReasonLastWayIn {
		view.Problem.Action, view.Problem.ActionLabel = s.url("/account", nil), view.words.Text("account.title")
	}
	return s.show(c, p.Status, "error", view)
}

// errorPage answers GET /error?error=… and /error/…, NextAuth's error page. Only
// codes of a closed list are shown, and nothing of the query but an id of our own
// form (security P-4).
func (s *server) errorPage(c echo.Context) error {
	code, reason, query := c.QueryParam("error"), c.QueryParam("reason"), c.QueryParams()
	if !query.Has("error") {
		code = c.Param("code")
		query.Set("error", code)
	}
	if s.NextAuth != nil {
		code = codeAnyCase(code)
	}
	if retryable[flows.Code(code)] && reason != flows.ReasonLastWayIn { // whose remedy is on the account page
		return s.redirect(c, s.url("/signin", query))
	}
	p := problemFor(s.language(c), code, reason)
	p.RequestID = requestID(c)
	if s.NextAuth != nil && p.Reason == "" {
		p.Status = http.StatusOK // no error of the contract's
	}
	return s.showProblem(c, p)
}

// requestID is the id of the request that failed, if the query has one that we
// could have given.
func requestID(c echo.Context) string {
	id := c.QueryParam("id")
	if len(id) != 26 {
		return ""
	}
	for _, r := range id {
		if (r < 'A' || r > 'Z') && (r < '2' || r > '7') {
			return ""
		}
	}
	return id
}

// language is that of whoever reads the answer.
func (s *server) language(c echo.Context) *locale.Language {
	return s.Languages.Match(c.Request().Header.Get("Accept-Language"))
}

// page begins a view; title is the key of a text.
func (s *server) page(c echo.Context, title string) page {
	l := s.language(c)
	c.Response().Header().Set("Content-Language", l.Tag)
	return page{Lang: l.Tag, Dir: l.Dir, SiteName: s.SiteName, BasePath: s.BasePath, Title: l.Text(title), words: l,
		Styles: s.assets.styles(s.BasePath), Logo: s.assets.url(s.BasePath, logoPath(s.Logo)), Contact: s.Contact}
}

// show renders a page whole or not at all.
func (s *server) show(c echo.Context, status int, name string, view any) error {
	var b bytes.Buffer
	if err := s.pages.render(&b, name, view); err != nil {
		return err
	}
	return c.HTMLBlob(status, b.Bytes())
}
