package web

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/gatepost/gatepost/flows"
	"github.com/gatepost/gatepost/providers"
	"github.com/gatepost/gatepost/store"
)

// shownProviders is how many buttons stand on the sign-in page before the rest
// folds away.
const shownProviders = 6

// signInPage answers GET /signin. It starts nothing: the buttons are forms, so
// that no other site can send a browser into a sign-in (security C-3).
func (s *server) signInPage(c echo.Context) error {
	target := s.returnTo(c, nil)
	if c.QueryParam("callbackUrl") != "" {
		s.cookies.setReturnTo(c, target)
	}
	code := c.QueryParam("error")
	if code == "" && s.passesOn(c, target) {
		if host := s.foreignHost(target); s.goesRound(c, host) {
			return s.loopPage(c, host, target)
		}
		return s.redirect(c, target)
	}
	if pending := s.cookies.pendingLink(c); pending.UserID != 0 && code == string(flows.OAuthAccountNotLinked) {
		return s.conflictPage(c, pending)
	}
	view := signInView{
		page:       s.page(c, "signin.title"),
		CSRF:       s.cookies.csrfToken(c),
		ReturnTo:   target,
		ReturnHost: s.foreignHost(target),
		SignedInAs: s.signedInAs(c),
		SignOut:    s.url("/signout", url.Values{"callbackUrl": {target}}),
		WrongApp:   s.wrongApp(c),
		Here:       s.url("/signin", nil),
	}
	if target != s.ReturnTo.Default() {
		view.Here = s.url("/signin", url.Values{"callbackUrl": {target}})
	}
	view.Providers, view.More = s.buttons(c, "")
	s.offerMail(c, &view)
	if p := s.alert(c); p != nil && p.Reason == flows.ReasonAddressInvalid {
		view.Email, view.EmailError, view.Problem = s.cookies.typed(c), p.Cause, p
	} else {
		view.Alert = p
	}
	return s.show(c, http.StatusOK, "signin", view)
}

// offerMail fills in what a page says about sign-in by mail.
func (s *server) offerMail(c echo.Context, view *signInView) {
	if s.MagicLink == nil {
		return
	}
	view.Mail, view.MailAction, view.MailDown = true, s.url("/signin/email", nil), s.MailHealthy() != nil
	view.Email, view.CodePage = s.mailAttempt(c).Email, s.url("/verify-request", nil)
	view.CodeWaits = view.Email != ""
	if s.cookies.lastUsed(c) == "email" {
		view.MailBadge = view.words.Text("signin.last")
	}
}

// signedInAs is who has a session in this browser, "" for nobody or when that
// cannot be told: the page works without the database.
func (s *server) signedInAs(c echo.Context) string {
	user, _, err := s.Sessions.Current(c.Request().Context(), s.cookies.session(c))
	if err != nil {
		return ""
	}
	return cmp.Or(user.Email, user.Name, s.language(c).Text("signin.somebody"))
}

// wrongApp names a provider that refuses this browser because it is inside
// another app, "" if there is none.
func (s *server) wrongApp(c echo.Context) string {
	if !inApp(c.Request().UserAgent()) {
		return ""
	}
	for _, p := range s.OAuth.Providers {
		if p.RefusesEmbedded() {
			return p.Name()
		}
	}
	return ""
}

// passesOn reports that whoever is sent here by the gate is signed in already
// and only has to go back: the application's host has not seen the cookie yet.
func (s *server) passesOn(c echo.Context, target string) bool {
	u, err := url.Parse(target)
	if s.Gate == nil || err != nil || u.Host == s.public.Host || !s.Gate.Rules.Knows(u.Hostname()) {
		return false
	}
	_, _, err = s.Sessions.Current(c.Request().Context(), s.cookies.session(c))
	return err == nil
}

// conflictPage leads somebody whose address or session stood in the way to the
// way in that they had before; FinishLink does the rest. It may name that way:
// whoever gets here has proven the address or is signed in.
func (s *server) conflictPage(c echo.Context, pending flows.PendingLink) error {
	view := conflictView{
		page:         s.page(c, "conflict.title"),
		CSRF:         s.cookies.csrfToken(c),
		ProviderName: s.providerName(pending.Provider),
		TooOld:       pending.Email == "",
		Email:        pending.Email,
		Mail:         s.MagicLink != nil,
		MailAction:   s.url("/signin/email", nil),
	}
	if c.QueryParam("csrf") != "" { // the refusal that led here is told by the page itself
		view.Alert = s.alert(c)
	}
	if view.TooOld {
		view.Title = view.words.Text("problem.session_too_old.title")
	}
	all, more := s.buttons(c, pending.Provider)
	view.Providers = append(all, more...)
	accounts, err := s.Sessions.Accounts(c.Request().Context(), pending.UserID)
	if err != nil {
		return s.show(c, http.StatusOK, "conflict", view)
	}
	used := slices.DeleteFunc(slices.Clone(view.Providers), func(b providerButton) bool {
		return !slices.ContainsFunc(accounts, func(a store.Account) bool { return a.Provider == b.ID })
	})
	if len(used) > 0 || view.Mail {
		view.Providers = used
	}
	var names []string
	for _, b := range used {
		names = append(names, b.Name)
	}
	view.Before = strings.Join(names, ", ")
	return s.show(c, http.StatusOK, "conflict", view)
}

// foreignHost names the application a sign-in leads to, "" when it is our own.
func (s *server) foreignHost(target string) string {
	u, err := url.Parse(target)
	if err != nil || u.Host == s.public.Host {
		return ""
	}
	return u.Host
}

// buttons are the providers but one. In front is the one that just failed, for
// another try, or the one used last.
func (s *server) buttons(c echo.Context, except string) (shown, more []providerButton) {
	last, embedded := s.cookies.lastUsed(c), inApp(c.Request().UserAgent())
	first := last
	if _, err := s.OAuth.Provider(c.QueryParam("provider")); err == nil && c.QueryParam("error") != "" {
		first = c.QueryParam("provider")
	}
	var all []providerButton
	for _, p := range s.OAuth.Providers {
		if p.ID() == except {
			continue
		}
		b := s.button(c, p)
		b.Blocked = embedded && p.RefusesEmbedded()
		if b.LastUsed = p.ID() == last; b.LastUsed {
			b.Badge = s.language(c).Text("signin.last")
		}
		if p.ID() == first {
			all = append([]providerButton{b}, all...)
		} else {
			all = append(all, b)
		}
	}
	if len(all) > shownProviders {
		return all[:shownProviders], all[shownProviders:]
	}
	return all, nil
}

func (s *server) button(c echo.Context, p *providers.Client) providerButton {
	b := providerButton{ID: p.ID(), Name: p.Name(), Label: s.language(c).Text("signin.with", "provider", p.Name()), Action: s.url("/signin/"+p.ID(), nil)}
	b.Logo, b.LogoClass = s.logo(p.ID())
	return b
}

// known is the id of a configured provider, "unknown" for whatever else stands
// in a path: the log is not for others to write into.
func (s *server) known(id string) string {
	if _, err := s.OAuth.Provider(id); err != nil && id != "email" {
		return "unknown"
	}
	return id
}

func (s *server) providerName(id string) string {
	if p, err := s.OAuth.Provider(id); err == nil {
		return p.Name()
	}
	return id
}

// beginSignIn answers POST /signin/:provider.
func (s *server) beginSignIn(c echo.Context) error {
	fields, err := s.guarded(c)
	if err != nil {
		return err
	}
	target := s.returnTo(c, fields)
	s.cookies.setReturnTo(c, target)
	id := c.Param("provider")
	entryOf(c).provider = s.known(id)
	if id == "email" {
		return s.beginMagicLink(c, fields, target)
	}
	linkTo, err := s.linkingUser(c)
	if err != nil {
		return err
	}
	attempt, location, err := s.OAuth.Begin(c.Request().Context(), id, s.url("/callback/"+id, nil), target, linkTo, c.QueryParams())
	if err != nil {
		return err
	}
	if err := s.cookies.keepAttempt(c, attempt); err != nil {
		return err
	}
	return s.answer(c, fields, location)
}

// linkingUser is who is signed in here and so asks to link another account; 0
// for somebody who asks to be signed in.
func (s *server) linkingUser(c echo.Context) (int32, error) {
	token := s.cookies.session(c)
	if token == "" {
		return 0, nil
	}
	user, _, err := s.Sessions.Current(c.Request().Context(), token)
	if errors.Is(err, flows.ErrNoSession) {
		return 0, nil
	}
	return user.ID, err
}

// completeOAuth answers GET /callback/:provider, where the provider sends the
// browser back to.
func (s *server) completeOAuth(c echo.Context) error {
	id, answer := c.Param("provider"), c.QueryParams()
	entryOf(c).provider = s.known(id)
	state := answer.Get("state")
	if posted, ok := s.cookies.takeAnswer(c, state); ok {
		answer = posted
	}
	attempt, ok := s.cookies.takeAttempt(c, state)
	if !ok {
		if _, err := s.OAuth.Provider(id); err != nil {
			return err
		}
		if s.Keys.IsTrial(state, time.Now()) {
			return s.showTrial(c, answer)
		}
		// No record in this browser: an answer that somebody else asked for,
		// a second answer, or a sign-in older than the record. Login CSRF ends
		// here, before the provider is asked anything (security O-7).
		var err error
		if attempt, err = s.begunElsewhere(c, id, state); err != nil {
			return err
		}
	}
	in, err := s.OAuth.Complete(c.Request().Context(), attempt, id, answer, s.cookies.session(c))
	if err != nil {
		return err
	}
	s.cookies.setLastUsed(c, id)
	return s.enter(c, nil, in)
}

// receiveFormPost answers POST /callback/:provider of a provider that posts its
// answer (Apple). Such a post comes from another site, without our cookies, so
// it only carries the answer over to a request that has them.
func (s *server) receiveFormPost(c echo.Context) error {
	p, err := s.OAuth.Provider(c.Param("provider"))
	if err != nil {
		return err
	}
	entryOf(c).provider = p.ID()
	if !p.FormPost() {
		return echo.ErrMethodNotAllowed
	}
	answer, err := form(c)
	if err != nil {
		return err
	}
	state, size := answer.Get("state"), 0
	if s.Keys.IsTrial(state, time.Now()) {
		return s.showTrial(c, answer)
	}
	for name, values := range answer {
		size += len(name) + len(strings.Join(values, ""))
	}
	if state == "" && s.NextAuth != nil && s.NextAuth.Shared {
		return flows.BegunElsewhere{Runs: true}.Refusal(state)
	} else if state == "" {
		err = errors.New("the answer has no state")
	} else if size > maxAnswer {
		err = fmt.Errorf("the answer has %d bytes, and at most %d can be carried over", size, maxAnswer)
	} else {
		err = s.cookies.keepAnswer(c, state, answer)
	}
	if err != nil {
		return &flows.Error{Code: flows.OAuthCallback, Reason: string(providers.ReasonAnswerInvalid), Err: err}
	}
	c.Response().Header().Set("Location", s.url("/callback/"+p.ID(), url.Values{"state": {state}}))
	return c.NoContent(http.StatusSeeOther)
}

// showTrial shows the answer that an operator's command line waits for; the code
// in it stays unspent. It is plain text, so that nothing in it can act, and only
// for a state that was made with our keys.
func (s *server) showTrial(c echo.Context, answer url.Values) error {
	entryOf(c).provider, entryOf(c).note = s.known(c.Param("provider")), "answer of gatepost check --sign-in"
	c.Response().Header().Set("Referrer-Policy", "no-referrer")
	return c.String(http.StatusOK, "This answer is for «gatepost check --sign-in», and signs nobody in here. Paste this line into the terminal where it waits:\n\n"+answer.Encode()+"\n")
}

// enter puts the session of a sign-in into the browser, completes a link that
// waited for it, and sends the browser on.
func (s *server) enter(c echo.Context, fields url.Values, in flows.SignedIn) error {
	entry := entryOf(c)
	if pending := s.cookies.pendingLink(c); pending.UserID != 0 {
		s.cookies.clear(c, pendingCookie)
		linked, done, err := s.OAuth.FinishLink(c.Request().Context(), pending, in.User.ID, in.Token)
		if err != nil {
			// The sign-in itself stands: say so in the log and go on with it.
			entry.note = "link not finished: " + err.Error()
		}
		if done {
			in = linked
		}
	}
	if in.ReturnTo == "" {
		entry.note = strings.TrimPrefix(entry.note+"; the address to return to was too long to be kept", "; ")
		in.ReturnTo = s.ReturnTo.Default()
	}
	if err := s.cookies.setSession(c, in.Token, in.Session.Expires); err != nil {
		return err
	}
	s.cookies.rotateCSRF(c)
	entry.user, entry.signedIn = in.User.ID, true
	return s.answer(c, fields, in.ReturnTo)
}
