package web

import (
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/gatepost/gatepost/flows"
	"github.com/gatepost/gatepost/flows/locale"
)

// guessed are the refusals of a token or code that is not right.
var guessed = map[string]bool{flows.ReasonLinkExpired: true, flows.ReasonCodeWrong: true, flows.ReasonCodeExhausted: true}

var errTooManyTries = &flows.Error{Code: flows.Verification, Reason: flows.ReasonRateLimited}

// beginMagicLink answers POST /signin/email.
func (s *server) beginMagicLink(c echo.Context, fields url.Values, target string) error {
	if s.MagicLink == nil {
		return &flows.Error{Code: flows.EmailSignin, Reason: flows.ReasonUnknownProvider}
	}
	before := s.mailAttempt(c)
	if address, err := flows.ParseAddress(fields.Get("email")); err == nil && before.Wait(address, time.Now()) > 0 {
		return s.mailAlreadySent(c, fields, before, target)
	}
	browser, system := agent(c.Request().UserAgent())
	attempt, sent, err := s.MagicLink.Begin(c.Request().Context(), flows.MailRequest{
		Address: fields.Get("email"), Client: client(c), ReturnTo: target, Language: s.language(c).Tag, Browser: browser, System: system, Before: before,
	})
	if refusal, ok := errors.AsType[*flows.Error](err); ok && refusal.Reason == flows.ReasonAddressInvalid {
		err = errors.Join(err, s.cookies.keepTyped(c, fields.Get("email")))
	}
	switch {
	case flows.QuietlyRefused(err):
		entryOf(c).note = "may not sign in, nothing sent"
	case err != nil:
		return err
	case !sent:
		entryOf(c).note = "mail limit reached, nothing sent"
	}
	if err := s.cookies.keepMailAttempt(c, attempt, s.MagicLink.TTL); err != nil {
		return err
	}
	return s.answer(c, fields, s.verifyRequest(fields, "sent"))
}

// mailAlreadySent answers who asks again at once, by a second click or out of
// impatience: one mail is enough. Where the sign-in leads may be another place.
func (s *server) mailAlreadySent(c echo.Context, fields url.Values, before flows.MailAttempt, target string) error {
	before.ReturnTo = target
	if err := s.cookies.keepMailAttempt(c, before, s.MagicLink.TTL); err != nil {
		return err
	}
	entryOf(c).note = "asked again too soon, nothing sent"
	return s.answer(c, fields, s.verifyRequest(fields, "early"))
}

// verifyRequest is the page after asking for a mail; what was the outcome is
// told to whoever asked again.
func (s *server) verifyRequest(fields url.Values, outcome string) string {
	query := url.Values{"provider": {"email"}, "type": {"email"}}
	if fields.Get("again") != "" {
		query.Set("again", outcome)
	}
	return s.url("/verify-request", query)
}

// mailAttempt is what this browser asked for, while its mail is of use.
func (s *server) mailAttempt(c echo.Context) flows.MailAttempt {
	a := s.cookies.mailAttempt(c)
	if s.MagicLink == nil || time.Since(a.StartedAt) > s.MagicLink.TTL {
		return flows.MailAttempt{}
	}
	return a
}

// checkMailPage answers GET /verify-request: look into your mailbox, or type
// the code here. Whoever opened the link in another tab meanwhile is led on.
func (s *server) checkMailPage(c echo.Context) error {
	attempt := s.mailAttempt(c)
	if target, ok := s.signedInMeanwhile(c, attempt); ok {
		return s.redirect(c, target)
	}
	view := checkMailView{
		page:         s.page(c, "mail.title"),
		Email:        attempt.Email,
		From:         s.MailFrom,
		CSRF:         s.cookies.csrfToken(c),
		CodeAction:   s.url("/callback/email", nil),
		ResendAction: s.url("/signin/email", nil),
		Again:        s.url("/verify-request", nil),
		Resent:       c.QueryParam("again") == "sent",
		TooSoon:      c.QueryParam("again") == "early",
	}
	view.Mailbox, view.MailboxURL = mailbox(attempt.Email, addressOf(s.MailFrom))
	if wait := attempt.Wait(attempt.Email, time.Now()); wait > 0 {
		view.Wait = int((wait + time.Second - 1) / time.Second)
		view.WaitClass = waitClass(view.Wait)
	}
	if s.MagicLink != nil {
		view.Minutes = int(s.MagicLink.TTL / time.Minute)
		view.Subject = view.words.Text("mail.subject", "site", s.MagicLink.Site)
	}
	if p := s.alert(c); p != nil && p.Reason != "csrf" && attempt.Email != "" {
		view.CodeError, view.Problem = p.Cause, p
	} else {
		view.Alert = p
	}
	return s.show(c, http.StatusOK, "check-mail", view)
}

// signedInMeanwhile says where a browser goes on that has been signed in since
// it asked for a mail. When the database cannot say, the page is shown.
func (s *server) signedInMeanwhile(c echo.Context, a flows.MailAttempt) (target string, ok bool) {
	token := s.cookies.session(c)
	if token == "" {
		return "", false
	}
	_, session, err := s.Sessions.Current(c.Request().Context(), token)
	if err != nil || !session.CreatedAt.After(a.StartedAt) {
		return "", false
	}
	if a.ReturnTo != "" {
		return a.ReturnTo, true
	}
	return s.returnTo(c, nil), true
}

// waits are the classes of the style sheet that make a button look ready after
// so many seconds: the policy allows no style of a page's own.
var waits = []int{5, 10, 15, 20, 25, 30, 60, 120, 300}

func waitClass(seconds int) string {
	for _, w := range waits {
		if seconds <= w {
			return "w" + strconv.Itoa(w)
		}
	}
	return ""
}

// lookAtMagicLink answers GET /callback/email, the link in the mail. It shows a
// button and changes nothing, however often a scanner opens it (security M-6).
func (s *server) lookAtMagicLink(c echo.Context) error {
	if s.MagicLink == nil {
		return &flows.Error{Code: flows.Verification, Reason: flows.ReasonUnknownProvider}
	}
	return s.showMagicLink(c, c.QueryParam("token"), nil)
}

// showMagicLink shows what token does and the button that does it.
func (s *server) showMagicLink(c echo.Context, token string, alert *problem) error {
	asked := s.cookies.mailAttempt(c)
	link, err := s.MagicLink.Look(c.Request().Context(), linkOf(c, token), asked)
	if err != nil {
		return err
	}
	// The link must not leak by a Referer (security M-16).
	c.Response().Header().Set("Referrer-Policy", "no-referrer")
	view := confirmLinkView{
		Accounts:     s.accountRows(link.Accounts),
		page:         s.page(c, "confirm.title"),
		CSRF:         s.cookies.csrfToken(c),
		Action:       s.linkAction(c, "/callback/email"),
		Token:        token,
		Email:        link.Email,
		SameBrowser:  link.Same,
		Refused:      link.Refused,
		Host:         s.public.Host,
		RevokeAction: s.linkAction(c, "/callback/email/revoke"),
	}
	if host := s.foreignHost(asked.ReturnTo); link.Same && host != "" {
		view.Host = host
	}
	view.Alert = alert
	view.Asked = asking(view.words, link, asked, time.Now())
	if link.Refused {
		view.Title = view.words.Text("confirm.elsewhere.title")
		return s.show(c, http.StatusForbidden, "confirm-link", view)
	}
	return s.show(c, http.StatusOK, "confirm-link", view)
}

// linkOf is the link with that token which a request is about.
func linkOf(c echo.Context, token string) flows.Link {
	return flows.Link{Email: c.QueryParam("email"), Token: token}
}

// linkAction is where a form about a link leads. NextAuth's links name an address
// too, which stays in the query: so does NextAuth.
func (s *server) linkAction(c echo.Context, path string) string {
	if s.NextAuth == nil {
		return s.url(path, nil)
	}
	return s.url(path, url.Values{"email": {c.QueryParam("email")}})
}

// asking says when a link was asked for and, if that was here, by which
// browser. Nobody can make it say anything else: the time is the row's, the
// browser that of this browser's own sealed attempt.
func asking(l *locale.Language, link flows.MailedLink, asked flows.MailAttempt, now time.Time) string {
	ago := l.Ago(link.AskedAt, now)
	if link.Same && asked.Browser != "" && asked.System != "" {
		return l.Text("confirm.asked.by", "ago", ago, "browser", asked.Browser, "system", asked.System)
	}
	return l.Text("confirm.asked", "ago", ago)
}

// choiceOf is what a form says about accounts at stake: which to keep, in fields
// of their own, and that it was asked. Programs have nothing to show a question
// on; for them whatever they do not name is not theirs.
func choiceOf(fields url.Values, program bool) (choice flows.Choice, err error) {
	choice.Made = program || fields.Get("chosen") != ""
	for _, named := range fields["keep"] {
		id, err := strconv.ParseInt(named, 10, 32)
		if err != nil || id <= 0 {
			return flows.Choice{}, badRequest("a field keep is not the number of an account")
		}
		choice.Keep = append(choice.Keep, int32(id))
	}
	return choice, nil
}

// askWhatToKeep answers a form whose sender has not been asked yet, by a page
// whose form is the same with the question in it. So it is with each code, which
// has no page before, and with a link whose page was shown before there was
// anything to ask, or by a template that does not ask. A page of its own cannot
// be such a template and go round in circles.
func (s *server) askWhatToKeep(c echo.Context, fields url.Values, undecided *flows.Undecided) error {
	entryOf(c).note = "asked which accounts to keep, nothing spent"
	return s.show(c, http.StatusOK, "keep-accounts", keepAccountsView{
		page:     s.page(c, "confirm.title"),
		CSRF:     s.cookies.csrfToken(c),
		Action:   s.linkAction(c, "/callback/email"),
		Token:    fields.Get("token"),
		Code:     fields.Get("code"),
		Email:    undecided.Email,
		Host:     s.public.Host,
		Accounts: s.accountRows(undecided.Accounts),
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
	if !s.guesses.allows(client(c)) {
		return errTooManyTries
	}
	// Whatever leads on from here names nowhere it came from (security M-16).
	c.Response().Header().Set("Referrer-Policy", "no-referrer")
	choice, err := choiceOf(fields, s.readsJSON(c))
	if err != nil {
		return err
	}
	ctx, asked, current := c.Request().Context(), s.cookies.mailAttempt(c), s.cookies.session(c)
	var in flows.SignedIn
	if token := fields.Get("token"); token != "" {
		in, err = s.MagicLink.Complete(ctx, linkOf(c, token), asked, choice, s.elsewhere(c), current)
	} else {
		in, err = s.MagicLink.CompleteCode(ctx, asked, strings.TrimSpace(fields.Get("code")), choice, current)
	}
	if undecided, ok := errors.AsType[*flows.Undecided](err); ok {
		return s.askWhatToKeep(c, fields, undecided)
	}
	if refusal, ok := errors.AsType[*flows.Error](err); ok && guessed[refusal.Reason] {
		s.guesses.charge(client(c))
		if refusal.Reason == flows.ReasonCodeWrong || refusal.Reason == flows.ReasonCodeExhausted {
			asked.Wrong++
			if err := s.cookies.keepMailAttempt(c, asked, s.MagicLink.TTL); err != nil {
				return err
			}
		}
	}
	if err != nil {
		return err
	}
	s.cookies.clear(c, mailCookie)
	s.cookies.setLastUsed(c, "email")
	return s.enter(c, fields, in)
}

// elsewhere is where a link leads in a browser that did not ask for it here. It
// may have asked the NextAuth site, which keeps the address in its cookie.
func (s *server) elsewhere(c echo.Context) string {
	if s.NextAuth == nil {
		return s.ReturnTo.Default()
	}
	return s.returnTo(c, nil)
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
	if err := s.MagicLink.Revoke(c.Request().Context(), linkOf(c, fields.Get("token"))); err != nil {
		return err
	}
	return s.show(c, http.StatusOK, "signed-out", signedOutView{page: s.page(c, "cancelled.title"), What: s.language(c).Text("cancelled.what"), SignIn: s.url("/signin", nil)})
}
