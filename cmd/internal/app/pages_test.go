package app

import (
	"encoding/json"
	"html"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/gatepost/gatepost/flows/mail/devmail"
	"github.com/gatepost/gatepost/store/storetest"
)

const firefox = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"

// askMail asks for a mail as a browser of that User-Agent.
func (b *browser) askMail(address, userAgent string, fields ...string) page {
	b.t.Helper()
	form := url.Values{"csrfToken": {b.csrf()}, "email": {address}}
	for i := 0; i+1 < len(fields); i += 2 {
		form.Set(fields[i], fields[i+1])
	}
	return b.send("POST", "/auth/signin/email", form, "User-Agent", userAgent)
}

func tokenOf(t *testing.T, link string) string {
	t.Helper()
	u, err := url.Parse(link)
	if err != nil || u.Query().Get("token") == "" {
		t.Fatal(link, err)
	}
	return u.Query().Get("token")
}

// M-7: the page says whom the link signs in, where it leads, when it was asked
// for and, in the browser that asked, by which.
func TestLinkSaysWhatItDoes(t *testing.T) {
	s := newSite(t, storetest.URL(t), func(c *Config) { c.ReturnTo = []string{"https://app.example.org"} })
	b := s.browser()
	b.askMail("ada@example.org", firefox, "callbackUrl", "https://app.example.org/x")
	link := s.newMail("ada@example.org", 1).Links()[0]
	for _, tt := range []struct {
		name      string
		got       page
		want, not []string
	}{
		{"asked here", b.get(link), []string{"ada@example.org", "app.example.org", "Requested just now, in Firefox on Linux"}, []string{"did not ask"}},
		{"asked elsewhere", s.browser().send("GET", link, nil, "User-Agent", "Chrome/1 Windows"), []string{"ada@example.org", "did not ask for the link", "Requested just now."}, []string{"Firefox", "Chrome", "app.example.org"}},
		{"a lie in the URL", s.browser().get(link + "&browser=Lynx&system=BeOS&email=eve@example.org"), []string{"ada@example.org"}, []string{"Lynx", "BeOS", "eve@"}},
	} {
		for _, w := range tt.want {
			if !strings.Contains(tt.got.body, w) {
				t.Errorf("%s: no %q in %s", tt.name, w, tt.got.body)
			}
		}
		for _, w := range tt.not {
			if strings.Contains(tt.got.body, w) {
				t.Errorf("%s: has %q", tt.name, w)
			}
		}
	}
}

// M-7: bound to the browser that asked, a link opens nothing elsewhere and is
// not spent there; the person may still say that it wasn't them.
func TestLinkBoundToItsBrowser(t *testing.T) {
	s := newSite(t, storetest.URL(t), func(c *Config) { c.Mail.Bind = "browser" })
	b, other := s.browser(), s.browser()
	b.askMail("ada@example.org", firefox)
	link := s.newMail("ada@example.org", 1).Links()[0]
	if p := other.get(link); p.status != 403 || !strings.Contains(p.body, "Open the link where you asked for it") || strings.Contains(p.body, ">Sign in<") || !strings.Contains(p.body, "This wasn’t me") {
		t.Errorf("elsewhere: %d %s", p.status, p.body)
	}
	p := other.post("/auth/callback/email", "token", tokenOf(t, link))
	if !strings.Contains(p.location, "reason=other_browser") || other.session().User.ID != "" {
		t.Errorf("pressed elsewhere: %s", p.location)
	}
	if p := other.follow(p); p.status != 403 || !strings.Contains(p.body, "Go back to that browser") {
		t.Errorf("its page: %d", p.status)
	}
	if p := b.get(link); p.status != 200 || !strings.Contains(p.body, ">Sign in<") {
		t.Errorf("where it was asked for: %d", p.status)
	}
	if p := b.post("/auth/callback/email", "token", tokenOf(t, link)); p.location != s.URL+"/" || b.session().User.Email != "ada@example.org" {
		t.Errorf("pressed where it was asked for: %s", p.location)
	}
	b.post("/auth/signout")
	b.askMail("ada@example.org", firefox)
	link = s.newMail("ada@example.org", 2).Links()[0]
	if p := other.post("/auth/callback/email/revoke", "token", tokenOf(t, link)); p.status != 200 {
		t.Errorf("this wasn't me: %d", p.status)
	}
	if p := b.get(link); !strings.Contains(p.location, "reason=link_expired") {
		t.Errorf("a link that was revoked: %d", p.status)
	}
}

// A browser that asks again at once gets one mail, however it asks; another
// browser's asking is its own affair, and the limits of the rows hold for all.
func TestAskingAgain(t *testing.T) {
	s := newSite(t, storetest.URL(t), nil)
	b := s.browser()
	b.askMail("ada@gmail.com", firefox)
	code := s.newMail("ada@gmail.com", 1).Code()
	p := b.get("/auth/verify-request")
	for _, want := range []string{"ada@gmail.com", "Sign in to 127.0.0.1", "Open Gmail", "ask again in 30 seconds", `wait w30"`} {
		if !strings.Contains(p.body, want) {
			t.Errorf("no %q in %s", want, p.body)
		}
	}
	if p := b.askMail("Ada@gmail.com ", firefox, "again", "1"); !strings.HasSuffix(p.location, "verify-request?again=early&provider=email&type=email") {
		t.Errorf("again: %s", p.location)
	} else if p := b.follow(p); !strings.Contains(p.body, "give the mail a moment") {
		t.Errorf("its page: %s", p.body)
	}
	if p := b.askMail("ada@gmail.com", firefox, "callbackUrl", s.URL+"/elsewhere"); p.location != s.URL+"/auth/verify-request?provider=email&type=email" {
		t.Errorf("a second click: %s", p.location)
	}
	other := s.browser()
	other.askMail("ada@gmail.com", firefox)
	s.newMail("ada@gmail.com", 2)
	if n := len(s.mail.Messages()); n != 2 {
		t.Errorf("%d mails, want 2", n)
	}
	// The first code still counts, typed on any keyboard, and leads to the
	// place that was asked for last.
	if p := b.post("/auth/callback/email", "code", " "+code[:3]+"\u2009–\u00a0"+strings.Map(func(r rune) rune { return r - '0' + '٠' }, code[3:])); p.location != s.URL+"/elsewhere" {
		t.Errorf("the code: %s", p.location)
	}
}

// The tab that asked is led on when it is loaded again after the link was
// opened in another tab, and not before, and not by an older session.
func TestOriginalTabGoesOn(t *testing.T) {
	s := newSite(t, storetest.URL(t), nil)
	b := s.browser()
	b.get(b.answer("google", "1002")) // Grace is signed in
	b.askMail("ada@example.org", firefox, "callbackUrl", s.URL+"/inside")
	if p := b.get("/auth/verify-request"); p.status != 200 || !strings.Contains(p.body, "ada@example.org") {
		t.Fatalf("before: %d %s", p.status, p.location)
	}
	link := s.newMail("ada@example.org", 1).Links()[0]
	b.post("/auth/callback/email", "token", tokenOf(t, link))
	if p := b.get("/auth/verify-request"); p.location != s.URL+"/inside" {
		t.Errorf("after: %d %s", p.status, p.location)
	}
	if p := s.browser().get("/auth/verify-request"); p.status != 200 || !strings.Contains(p.body, "on its way") {
		t.Errorf("a stranger: %d", p.status)
	}
}

// What somebody typed is there to be corrected, and in no URL.
func TestTypedAddressIsKept(t *testing.T) {
	s := newSite(t, storetest.URL(t), nil)
	b := s.browser()
	p := b.askMail(`ada@"example`, firefox)
	if strings.Contains(p.location, "ada") {
		t.Errorf("the address is in %s", p.location)
	}
	if p := b.follow(p); !strings.Contains(p.body, `value="ada@&#34;example"`) || !strings.Contains(p.body, `autofocus aria-invalid="true" aria-describedby="email-error"`) {
		t.Errorf("%s", p.body)
	}
	b.askMail("ada@example.org", firefox)
	if p := b.get("/auth/signin"); !strings.Contains(p.body, `value="ada@example.org"`) || !strings.Contains(p.body, "Enter the code") {
		t.Errorf("after a mail: %s", p.body)
	}
	if p := s.browser().get("/auth/signin?error=EmailSignin&reason=address_invalid&email=eve@example.org"); strings.Contains(p.body, "eve@") {
		t.Error("an address of the query is shown")
	}
}

// A sign-in page says who is signed in already, puts the provider that failed
// in front, and greys out one that refuses the browser.
func TestSignInPageKnowsItsVisitor(t *testing.T) {
	s := newSite(t, storetest.URL(t), nil)
	first := func(p page) string {
		_, after, _ := strings.Cut(p.body, `action="`+s.URL+`/auth/signin/`)
		id, _, _ := strings.Cut(after, `"`)
		return id
	}
	b := s.browser()
	if p := b.get("/auth/signin"); first(p) != "google" || strings.Contains(p.body, "You are signed in") || strings.Contains(p.body, "Last used") {
		t.Errorf("a stranger: %s", p.body)
	}
	callback := b.answer("github", "1001")
	b.get(callback)
	if p := b.get("/auth/signin"); first(p) != "github" || strings.Count(p.body, "Last used") != 1 || !strings.Contains(p.body, "ada@example.org") || !strings.Contains(p.body, ">Continue<") {
		t.Errorf("signed in: %s", p.body)
	}
	failed := s.browser()
	if p := failed.follow(failed.get(s.URL + "/auth/callback/oidc?state=x&code=y")); first(p) != "oidc" || !strings.Contains(p.body, "did not start") {
		t.Errorf("after a failure: %s", first(p))
	}
	if p := s.browser().get("/auth/signin?error=Callback&provider=<b>"); first(p) != "google" || strings.Contains(p.body, "<b>") {
		t.Errorf("a provider that is not there: %s", first(p))
	}
	app := s.browser().send("GET", "/auth/signin?callbackUrl=/x", nil, "User-Agent", "Mozilla/5.0 (Linux; Android 15; Pixel 9; wv) Chrome/140.0 Mobile Safari/537.36")
	if strings.Count(app.body, " disabled>") != 1 || !strings.Contains(app.body, "Google does not allow sign-in inside other apps") || !strings.Contains(app.body, s.URL+"/auth/signin?callbackUrl=") {
		t.Errorf("inside an app: %s", app.body)
	}
}

// C-3: one way to sign in is still a button, and nothing starts by itself.
func TestOneProviderIsAButton(t *testing.T) {
	s := newSite(t, storetest.URL(t), func(c *Config) { c.Providers, c.Mail.Host = c.Providers[:1], "" })
	p := s.browser().get("/auth/signin?callbackUrl=/x")
	if p.status != 200 || strings.Count(p.body, "Sign in with Google") != 1 || strings.Contains(p.body, "type=\"email\"") || strings.Contains(p.body, "http-equiv") {
		t.Errorf("%d %s", p.status, p.body)
	}
}

// A mail server that is away is said where people choose, and mail is still
// taken for when it is back.
func TestMailDownIsSaid(t *testing.T) {
	s := newSite(t, storetest.URL(t), nil)
	b := s.browser()
	s.mail.Stop()
	b.askMail("ada@example.org", firefox)
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if p := b.get("/auth/signin"); strings.Contains(p.body, "mail is delayed") {
			break
		}
		if time.Now().After(end) {
			t.Fatal("nothing is said")
		}
	}
}

// L-2: somebody known by mail alone is led there, and the link finishes what
// the provider began.
func TestConflictByMail(t *testing.T) {
	s := newSite(t, storetest.URL(t), func(c *Config) { c.Linking = "never" })
	b := s.browser()
	b.askMail("ada@example.org", firefox)
	b.post("/auth/callback/email", "token", tokenOf(t, s.newMail("ada@example.org", 1).Links()[0]))
	b.post("/auth/signout")
	p := b.follow(b.get(b.answer("google", "1001", "callbackUrl", s.URL+"/there")))
	if !strings.Contains(p.body, "You signed in by mail before") || strings.Contains(p.body, "Sign in with") || !strings.Contains(p.body, `value="ada@example.org"`) {
		t.Fatalf("%s", p.body)
	}
	b.askMail("ada@example.org", firefox)
	if p := b.post("/auth/callback/email", "token", tokenOf(t, s.newMail("ada@example.org", 2).Links()[0])); p.location != s.URL+"/there" {
		t.Errorf("after the proof: %s", p.location)
	}
}

// The operator's own look: a logo, a style sheet after ours, a way to be
// reached; and files that browsers may keep until they change.
func TestOwnLook(t *testing.T) {
	dir := t.TempDir()
	logo, style := filepath.Join(dir, "us.SVG"), filepath.Join(dir, "us.css")
	for name, body := range map[string]string{logo: `<svg xmlns="http://www.w3.org/2000/svg"/>`, style: ":root{--go:#0a6}"} {
		if err := os.WriteFile(name, []byte(body), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s := newSite(t, storetest.URL(t), func(c *Config) {
		c.Pages.SiteName, c.Pages.Logo, c.Pages.Stylesheet, c.Pages.Contact = "Acme", logo, style, "mailto:help@example.org"
	})
	b := s.browser()
	p := b.get("/auth/signin")
	if !strings.Contains(p.body, `href="mailto:help@example.org"`) || !strings.Contains(p.body, `alt="Acme"`) || !strings.Contains(p.body, "Sign in to Acme") {
		t.Errorf("%s", p.body)
	}
	loaded := regexp.MustCompile(`(?:href|src)="(/auth/static/[^"]+)"`).FindAllStringSubmatch(p.body, -1)
	if len(loaded) < 4 || !strings.HasPrefix(loaded[1][1], "/auth/static/own.css?v=") {
		t.Fatalf("%v", loaded)
	}
	for _, l := range loaded {
		file := b.get(html.UnescapeString(l[1]))
		if file.status != 200 || file.header.Get("Cache-Control") != "public, max-age=31536000, immutable" || !strings.Contains(file.header.Get("Content-Security-Policy"), "default-src 'none'") {
			t.Errorf("%s: %d %s", l[1], file.status, file.header.Get("Cache-Control"))
		}
	}
	if old := b.get("/auth/static/gatepost.css?v=00000000"); old.header.Get("Cache-Control") != "public, max-age=3600" {
		t.Errorf("another version: %s", old.header.Get("Cache-Control"))
	}
	for _, path := range []string{"/auth/static/", "/auth/static/none.css", "/auth/static/..%2fserver.go"} {
		if p := b.get(path); p.status != 404 {
			t.Errorf("%s: %d", path, p.status)
		}
	}
}

// The account page tells what was just changed, shows this browser first, and
// says nothing that a query invents.
func TestAccountSaysWhatChanged(t *testing.T) {
	s := newSite(t, storetest.URL(t), nil)
	b, other := s.browser(), s.browser()
	b.get(b.answer("google", "1001"))
	other.get(other.answer("google", "1001"))
	p := b.get("/auth/account")
	sessions := p.body[strings.Index(p.body, "Sessions"):]
	if here, there := strings.Index(sessions, "This browser"), strings.Index(sessions, "Another browser"); here < 0 || there < here {
		t.Errorf("this browser is not first: %s", sessions)
	}
	done := b.post("/auth/account/end-others")
	if p := b.follow(done); !strings.Contains(p.body, "All other sessions have ended.") || strings.Contains(p.body, "End all other sessions") {
		t.Errorf("%s", p.body)
	}
	if other.session().User.ID != "" {
		t.Error("the other session lives")
	}
	if p := b.get("/auth/account?done=<b>"); strings.Contains(p.body, "<b>") || strings.Contains(p.body, `role="status"`) {
		t.Errorf("%s", p.body)
	}
	if p := b.get("/auth/signout"); !strings.Contains(p.body, "ada@example.org") || !strings.Contains(p.body, "Stay signed in") {
		t.Errorf("sign-out page: %s", p.body)
	}
}

// A sample of the mail, printed or sent, opens nothing.
func TestPreviewMail(t *testing.T) {
	sink, err := devmail.Start("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer sink.Stop()
	c := Default()
	c.PublicURL, c.Mail.Host, c.Mail.TLS, c.Mail.From = "https://auth.example.org", sink.Addr(), "none", "Acme <sign-in@example.org>"
	for _, tt := range []struct {
		name string
		p    MailPreview
		want []string
	}{
		{"text", MailPreview{}, []string{"From: Acme", "Subject: Sign in to auth.example.org", "token=this-is-a-sample", "123 456"}},
		{"HTML", MailPreview{HTML: true}, []string{"<!doctype html>", "123 456"}},
		{"sent", MailPreview{To: "Ada@example.org"}, []string{"sent to ada@example.org"}},
	} {
		var out strings.Builder
		if err := PreviewMail(t.Context(), c, tt.p, &out); err != nil {
			t.Errorf("%s: %v", tt.name, err)
		}
		for _, w := range tt.want {
			if !strings.Contains(out.String(), w) {
				t.Errorf("%s: no %q in %s", tt.name, w, out.String())
			}
		}
	}
	if got := sink.Messages(); len(got) != 1 || got[0].To != "ada@example.org" || got[0].Code() != "123456" {
		t.Errorf("%+v", got)
	}
	for name, err := range map[string]error{
		"two addresses": PreviewMail(t.Context(), c, MailPreview{To: "a@b.org,c@d.org"}, io.Discard),
		"no mail":       PreviewMail(t.Context(), Default(), MailPreview{}, io.Discard),
	} {
		if err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// The last way in cannot be removed, not even by a page that is out of date;
// the account's own page says why.
func TestLastWayIn(t *testing.T) {
	s := newSite(t, storetest.URL(t), nil)
	b := s.browser()
	b.get(b.answer("google", "1004")) // no proven address
	p := b.follow(b.post("/auth/account/unlink", "id", "1"))
	if p.status != 200 || !strings.Contains(p.body, "That is your only way in") || !strings.Contains(p.body, "<code>last_way_in</code>") || !strings.Contains(p.body, "Ways to sign in") {
		t.Errorf("%d %s", p.status, p.body)
	}
}

// S-13: what is stored about a person, for that person, and no token.
func TestExport(t *testing.T) {
	s := newSite(t, storetest.URL(t), nil)
	b := s.browser()
	if p := b.get("/auth/account/export"); !strings.Contains(p.location, "error=SessionRequired") {
		t.Errorf("a stranger: %d %s", p.status, p.body)
	}
	b.get(b.answer("google", "1001"))
	p := b.get("/auth/account/export")
	var got struct {
		ID, Email          string
		Accounts, Sessions []map[string]string
	}
	if err := json.Unmarshal([]byte(p.body), &got); err != nil || got.ID != "1" || got.Email != "ada@example.org" || len(got.Accounts) != 1 || got.Accounts[0]["provider"] != "google" || len(got.Sessions) != 1 {
		t.Errorf("%v %s", err, p.body)
	}
	if strings.Contains(p.body, "token") || !strings.HasPrefix(p.header.Get("Content-Disposition"), "attachment") {
		t.Errorf("%s %s", p.header.Get("Content-Disposition"), p.body)
	}
}

// The language of the browser that asks is that of the page, of the mail, and
// of the error after it.
func TestLanguageTravels(t *testing.T) {
	s := newSite(t, storetest.URL(t), nil)
	b := s.browser()
	german := []string{"Accept-Language", "tlh, de-CH;q=0.9, en;q=0.5"}
	p := b.send("GET", "/auth/signin", nil, german...)
	if p.header.Get("Content-Language") != "de" || !strings.Contains(p.body, `<html lang="de" dir="ltr">`) || !strings.Contains(p.body, "Mit Google anmelden") {
		t.Errorf("%s %s", p.header.Get("Content-Language"), p.body)
	}
	b.send("POST", "/auth/signin/email", url.Values{"csrfToken": {b.csrf()}, "email": {"ada@example.org"}}, german...)
	m := s.newMail("ada@example.org", 1)
	if !strings.HasPrefix(m.Subject, "Anmeldung bei ") || !strings.Contains(m.Text, "Öffnen Sie diesen Link") || len(m.Links()) != 1 || len(m.Code()) != 6 {
		t.Errorf("%s\n%s", m.Subject, m.Text)
	}
	if p := b.send("GET", "/auth/verify-request", nil, german...); !strings.Contains(p.body, html.EscapeString(m.Subject)) {
		t.Errorf("the page promises another subject: %s", p.body)
	}
	if p := b.send("GET", "/auth/error?error=Verification&reason=link_expired", nil, "Accept-Language", "ar"); !strings.Contains(p.body, `<html lang="ar" dir="rtl">`) || !strings.Contains(p.body, "لم يعد رابط الدخول") {
		t.Errorf("%s", p.body)
	}
	if p := b.send("GET", "/auth/signin", nil, "Accept-Language", strings.Repeat("de-", 5000)); p.status != 200 || !strings.Contains(p.body, `lang="en"`) {
		t.Errorf("hostile header: %d", p.status)
	}
}
