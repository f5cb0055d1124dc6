package web

import (
	"time"

	"github.com/gatepost/gatepost/flows/locale"
)

// A sample is a page in one of its states.
type sample struct {
	name string
	page string // the template
	view any
}

// samples are views with everything in them and with as little as there can be.
// Templates are tried on them at start, so that a mistake in an operator's own
// template stops the start and not somebody's sign-in.
func samples(l *locale.Language) []sample {
	base := page{Lang: l.Tag, Dir: l.Dir, SiteName: "Example", BasePath: "/auth", Title: "Example", words: l, Styles: []string{"/auth/static/gatepost.css"}, Logo: "/auth/static/logos/oidc.svg", Contact: "mailto:help@example.org"}
	bare := page{Lang: l.Tag, Dir: l.Dir, BasePath: "/auth", Title: "Example", words: l, Styles: []string{"/auth/static/gatepost.css"}}
	alert := problemFor(l, "", "attempt_missing")
	alert.RequestID = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	alerted := base
	alerted.Alert = &alert
	failed := alert
	failed.Action, failed.ActionLabel = "/auth/signin", l.Text("signin.button")
	button := providerButton{ID: "example", Name: "Example", Label: l.Text("signin.with", "provider", "Example"), Action: "/auth/signin/example", Logo: "/auth/static/logos/key.svg"}
	used := button
	used.Label = l.Text("signin.with", "provider", "An Identity Provider of a Rather Long Name")
	used.LastUsed, used.Badge = true, l.Text("signin.last")
	blocked := button
	blocked.Blocked = true
	then := time.Date(2026, time.March, 4, 5, 6, 7, 0, time.UTC)
	atStake := []accountRow{{ID: 1, Provider: "Example", Logo: button.Logo, Since: then}, {ID: 2, Provider: "An Identity Provider of a Rather Long Name", Logo: button.Logo, Since: then}}
	return []sample{
		{"sign-in", "signin", signInView{page: alerted, CSRF: "x", ReturnTo: "/", ReturnHost: "app.example.org", Providers: []providerButton{used, button}, More: []providerButton{button},
			Mail: true, MailDown: true, MailAction: "/auth/signin/email", Email: "ada@example.org", EmailError: l.Text("problem.address_invalid.cause"), Problem: &alert}},
		{"sign-in again", "signin", signInView{page: base, CSRF: "x", Providers: []providerButton{button}, Mail: true, MailBadge: l.Text("signin.last"), Email: "ada@example.org",
			CodeWaits: true, CodePage: "/auth/verify-request", SignedInAs: "ada@example.org", SignOut: "/auth/signout"}},
		{"sign-in inside an app", "signin", signInView{page: base, CSRF: "x", Providers: []providerButton{blocked}, WrongApp: "Example", Here: "https://auth.example.org/auth/signin"}},
		{"sign-in by mail alone", "signin", signInView{page: bare, CSRF: "x", Mail: true}},
		{"no way to sign in", "signin", signInView{page: base, CSRF: "x"}},
		{"check mail", "check-mail", checkMailView{page: base, Email: "a.rather.long.address.that.fits.nowhere@a-long-host-name.department.example.org", From: "Example <sign-in@example.org>", Subject: l.Text("mail.subject", "site", "example.org"), CSRF: "x", CodeAction: "/auth/callback/email",
			ResendAction: "/auth/signin/email", CodeError: l.Text("problem.code_wrong.cause"), Problem: &alert, Again: "/auth/verify-request", Minutes: 10, Resent: true}},
		{"check mail again too soon", "check-mail", checkMailView{page: base, Email: "ada@gmail.com", From: "Example <sign-in@example.org>", Subject: l.Text("mail.subject", "site", "example.org"), CSRF: "x", Mailbox: "Gmail", MailboxURL: "https://mail.google.com/mail/", TooSoon: true, Wait: 30, WaitClass: "w30"}},
		{"check mail without attempt", "check-mail", checkMailView{page: alerted, CSRF: "x"}},
		{"confirm link", "confirm-link", confirmLinkView{page: alerted, CSRF: "x", Token: "x", Email: "a.rather.long.address.that.fits.nowhere@a-long-host-name.department.example.org",
			Host: "example.org", Asked: l.Text("confirm.asked.by", "ago", l.Text("ago.now"), "browser", "Firefox", "system", "Linux"), SameBrowser: true}},
		{"confirm link elsewhere", "confirm-link", confirmLinkView{page: bare, CSRF: "x", Token: "x", Email: "ada@example.org", Host: "example.org", Asked: l.Text("confirm.asked", "ago", l.Text("ago.minutes", "n", 3))}},
		{"confirm link of accounts at stake", "confirm-link", confirmLinkView{page: base, CSRF: "x", Token: "x", Email: "ada@example.org", Host: "example.org", SameBrowser: true, Asked: l.Text("confirm.asked", "ago", l.Text("ago.minutes", "n", 3)), Accounts: atStake}},
		{"keep accounts", "keep-accounts", keepAccountsView{page: bare, CSRF: "x", Action: "/auth/callback/email", Code: "123456", Email: "ada@example.org", Host: "example.org", Accounts: atStake[:1]}},
		{"keep accounts of a link", "keep-accounts", keepAccountsView{page: base, CSRF: "x", Action: "/auth/callback/email", Token: "x", Email: "a.rather.long.address.that.fits.nowhere@a-long-host-name.department.example.org", Host: "example.org", Accounts: atStake}},
		{"confirm link refused", "confirm-link", confirmLinkView{page: base, CSRF: "x", Token: "x", Email: "ada@example.org", Host: "example.org", Refused: true}},
		{"error", "error", errorView{page: base, Problem: failed}},
		{"conflict", "conflict", conflictView{page: base, CSRF: "x", ProviderName: "Example", Before: "Example", Providers: []providerButton{button}, Mail: true, Email: "ada@example.org"}},
		{"conflict by mail", "conflict", conflictView{page: bare, CSRF: "x", ProviderName: "Example", Mail: true}},
		{"sign in again first", "conflict", conflictView{page: bare, CSRF: "x", ProviderName: "Example", TooOld: true, Providers: []providerButton{button}}},
		{"signed out", "signed-out", signedOutView{page: base, What: l.Text("signedout.what"), SignIn: "/auth/signin"}},
		{"signed out everywhere", "signed-out", signedOutView{page: bare, What: l.Text("everywhere.what"), Everywhere: true, SignIn: "/auth/signin"}},
		{"sign-out", "signout", signOutView{page: alerted, CSRF: "x", Action: "/auth/signout", ReturnTo: "/", SignedInAs: "ada@example.org"}},
		{"account", "account", accountView{page: alerted, CSRF: "x", Name: "Ada Lovelace", Email: "ada@example.org", Initials: "AL", Actions: accountActions{Export: "/auth/account/export", Tokens: "/auth/account/tokens"}, MailLogo: "/auth/static/logos/mail.svg", EmailVerified: true, Done: l.Text("done.unlinked"), Linkable: []providerButton{button},
			Accounts: []accountRow{{ID: 1, Provider: "Example", Logo: button.Logo, Since: then, CanUnlink: true}}, Sessions: []sessionRow{{ID: 1, Current: true, Since: then, Used: then}, {ID: 2, Since: then, Used: then}}}},
		{"access tokens", "tokens", tokensView{page: alerted, CSRF: "x", Tokens: []tokenRow{{ID: 3, Name: "backup", Until: then}}, Lives: []tokenLife{{7, "7"}}, Made: "gp_x", MayMake: true}},
		{"no access tokens", "tokens", tokensView{page: bare, CSRF: "x"}},
		{"denied", "denied", deniedView{page: base, Place: "app.example.org/admin", Who: "ada@example.org", Needs: l.Text("denied.needs.group"), Rule: "admins", RequestID: "ABCDEFGHIJKLMNOPQRSTUVWXYZ", SignOut: "/auth/signout"}},
		{"loop", "loop", loopView{page: base, Host: "app.example.org", Again: "https://app.example.org/"}},
		{"lead", "lead", leadView{page: base, URL: "/auth/signin"}},
		{"lead elsewhere", "lead", leadView{page: base, URL: "https://app.example.org/?a=1&b=2", Host: "app.example.org"}},
		{"denied to everybody", "denied", deniedView{page: bare, Place: "app.example.org/admin", Rule: "default"}},
		{"account with one way in", "account", accountView{page: bare, CSRF: "x", Accounts: []accountRow{{ID: 1, Provider: "Example", Logo: button.Logo, Since: then, Why: l.Text("account.only")}}}},
	}
}
