package web

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/gatepost/gatepost/flows"
)

var errTooManyTries = &flows.Error{Code: flows.Verification, Reason: flows.ReasonRateLimited}

// beginMagicLink answers POST /signin/email.
func (s *server) beginMagicLink(c echo.Context, fields url.Values, target string) error {
	if s.MagicLink == nil {
		return &flows.Error{Code: flows.EmailSignin, Reason: flows.ReasonUnknownProvider}
	}
	attempt, sent, err := s.MagicLink.Begin(c.Request().Context(), fields.Get("email"), client(c), target)
	if err != nil {
		return err
	}
	if !sent {
		entryOf(c).note = "mail limit reached, nothing sent"
	}
	if err := s.cookies.keepMailAttempt(c, attempt, s.MagicLink.TTL); err != nil {
		return err
	}
	query := url.Values{"provider": {"email"}, "type": {"email"}}
	if fields.Get("again") != "" {
		query.Set("again", "1")
	}
	return s.answer(c, fields, s.url("/verify-request", query))
}

// checkMailPage answers GET /verify-request: look into your mailbox, or type
// the code here.
func (s *server) checkMailPage(c echo.Context) error {
	attempt := s.cookies.mailAttempt(c)
	view := checkMailView{
		page:         s.page("Check your mail"),
		Email:        attempt.Email,
		From:         s.MailFrom,
		CSRF:         s.cookies.csrfToken(c),
		CodeAction:   s.url("/callback/email", nil),
		ResendAction: s.url("/signin/email", nil),
		Resent:       c.QueryParam("again") != "",
	}
	if s.MagicLink != nil {
		view.Minutes = int(s.MagicLink.TTL / time.Minute)
	}
	if reason := c.QueryParam("reason"); c.QueryParam("error") != "" {
		view.CodeError = problemFor(string(flows.Verification), reason).Cause
	}
	return s.show(c, http.StatusOK, "check-mail", view)
}

// lookAtMagicLink answers GET /callback/email, the link in the mail. It shows a
// button and changes nothing, however often a scanner opens it (security M-6).
func (s *server) lookAtMagicLink(c echo.Context) error {
	if s.MagicLink == nil {
		return &flows.Error{Code: flows.Verification, Reason: flows.ReasonUnknownProvider}
	}
	token := c.QueryParam("token")
	email, same, err := s.MagicLink.Look(c.Request().Context(), token, s.cookies.mailAttempt(c))
	if err != nil {
		return err
	}
	// The link must not leak by a Referer (security M-16).
	c.Response().Header().Set("Referrer-Policy", "no-referrer")
	return s.show(c, http.StatusOK, "confirm-link", confirmLinkView{
		page:         s.page("Finish signing in"),
		CSRF:         s.cookies.csrfToken(c),
		Action:       s.url("/callback/email", nil),
		Token:        token,
		Email:        email,
		SameBrowser:  same,
		Host:         s.public.Host,
		RevokeAction: s.url("/callback/email/revoke", nil),
	})
}

// completeMagicLink answers POST /callback/email: the button of the link's page
// (token) or the code of the check-your-mail page (code).
func (s *server) completeMagicLink(c echo.Context) error {
	entryOf(c).provider = "email"
	if s.MagicLink == nil {
		return &flows.Error{Code: flows.Verification, Reason: flows.ReasonUnknownProvider}
	}
	fields, err := s.guarded(c)
	if err != nil {
		return err
	}
	if !s.guesses.allow(client(c)) {
		return errTooManyTries
	}
	ctx, asked, current := c.Request().Context(), s.cookies.mailAttempt(c), s.cookies.session(c)
	var in flows.SignedIn
	if token := fields.Get("token"); token != "" {
		in, err = s.MagicLink.Complete(ctx, token, asked, s.ReturnTo.Default(), current)
	} else {
		in, err = s.MagicLink.CompleteCode(ctx, asked, strings.TrimSpace(fields.Get("code")), current)
		if refusal, ok := errors.AsType[*flows.Error](err); ok && refusal.Reason == flows.ReasonCodeWrong {
			entry := entryOf(c)
			entry.code, entry.reason, entry.err = string(refusal.Code), refusal.Reason, err
			return s.answer(c, fields, s.url("/verify-request", url.Values{"error": {string(refusal.Code)}, "reason": {refusal.Reason}}))
		}
	}
	if err != nil {
		return err
	}
	s.cookies.clear(c, mailCookie)
	s.cookies.setLastUsed(c, "email")
	return s.enter(c, fields, in)
}

// revokeMagicLink answers POST /callback/email/revoke: "this wasn't me".
func (s *server) revokeMagicLink(c echo.Context) error {
	if s.MagicLink == nil {
		return echo.ErrNotFound
	}
	fields, err := s.guarded(c)
	if err != nil {
		return err
	}
	if err := s.MagicLink.Revoke(c.Request().Context(), fields.Get("token")); err != nil {
		return err
	}
	return s.show(c, http.StatusOK, "signed-out", signedOutView{page: s.page("Link cancelled"), SignIn: s.url("/signin", nil)})
}
