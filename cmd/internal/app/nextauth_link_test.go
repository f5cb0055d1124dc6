package app

import (
	"fmt"
	"html"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
)

// link requests one as v3 does, and gives what it mails.
func (v v3) link(base, address, token string) string {
	v.t.Helper()
	v.sql(`INSERT INTO verification_tokens (identifier, token, expires) VALUES ($1, $2, now() + interval '24 hours')`, address, v.hash(token))
	return base + "/auth/callback/email?email=" + strings.ReplaceAll(url.QueryEscape(address), "+", "%20") + "&token=" + token
}

// opens is v3's look-up and deletion of a link's row.
func (v v3) opens(address, token string) bool {
	v.t.Helper()
	return len(v.sql(`DELETE FROM verification_tokens WHERE id IN (SELECT id FROM verification_tokens WHERE identifier = $1 AND token = $2 AND expires > now()) RETURNING id`, address, v.hash(token))) == 1
}

var formAction = regexp.MustCompile(`action="([^"]*)"`)

// press presses the button of a link's page, with accounts to keep ticked.
func (b *browser) press(link string, keep ...string) page {
	b.t.Helper()
	return b.submit(b.get(link), keep...)
}

var hidden = regexp.MustCompile(`type="hidden" name="(\w+)" value="([^"]*)"`)

// submit posts the first form of a page, with those boxes ticked that it has.
func (b *browser) submit(shown page, keep ...string) page {
	b.t.Helper()
	form, _, _ := strings.Cut(shown.body, "</form>")
	action := formAction.FindStringSubmatch(form)
	if shown.status != http.StatusOK || action == nil {
		b.t.Fatalf("%d %s %s", shown.status, shown.location, shown.body)
	}
	fields := url.Values{}
	for _, m := range hidden.FindAllStringSubmatch(form, -1) {
		fields.Set(m[1], html.UnescapeString(m[2]))
	}
	for _, id := range keep {
		if !strings.Contains(form, `<input type="checkbox" name="keep" value="`+id+`">`) {
			b.t.Fatalf("no box for account %s: %s", id, shown.body)
		}
		fields.Add("keep", id)
	}
	return b.send(http.MethodPost, html.UnescapeString(action[1]), fields)
}

// M-6, §18 row 16: a link that was asked for at v3 opens here, once, by its
// button, and leads where the browser said it wanted to go.
func TestLinkOfNextAuthOpensHere(t *testing.T) {
	s, site := beside(t, nil)
	link := site.link(s.URL, "bob+x@example.test", sharedToken)
	b := s.browser()
	b.get("/auth/signin?callbackUrl=" + url.QueryEscape(s.URL+"/inside?a=1&b=2"))
	for range 3 {
		if got := b.get(link); got.status != http.StatusOK || !strings.Contains(got.body, "bob+x@example.test") && !strings.Contains(got.body, "bob&#43;x@example.test") {
			t.Fatalf("%d %s", got.status, got.body)
		}
		b.send(http.MethodHead, link, nil)
	}
	if p := b.press(link); p.location != s.URL+"/inside?a=1&b=2" {
		t.Errorf("%d %s", p.status, p.location)
	}
	if got := b.session(); got.User.Email != "bob+x@example.test" {
		t.Errorf("%+v", got)
	}
	for _, again := range []*browser{b, s.browser()} {
		if p := again.get(link); p.status != http.StatusFound || !strings.HasPrefix(p.location, s.URL+"/auth/error?error=Verification&") {
			t.Errorf("again: %d %s", p.status, p.location)
		}
	}
	if p := b.follow(b.get(link)); p.status != http.StatusForbidden {
		t.Errorf("error page: %d", p.status)
	}
}

// CVE-2021-21310: the token of one address opens nothing for another. §18 row 6,
// CVE-2026-73420: what is not exactly one mailbox proves no address.
func TestLinkIsOfItsAddress(t *testing.T) {
	s, site := beside(t, nil)
	for i, tt := range []struct{ stored, asked string }{
		{"bob@example.test", "alice@example.test"}, {"bob@example.test", "BOB@example.test"}, {"bob@example.test", ""}, {"limit", "limit"},
		{"x@victim.test y", "x@victim.test y"}, {"e＠evil.test@victim.test", "e＠evil.test@victim.test"}, {`"e@evil.test"@victim.test`, `"e@evil.test"@victim.test`}, {"  a@b.test  ", "  a@b.test  "}, {"<e@a.test>x", "<e@a.test>x"},
	} {
		token := fmt.Sprintf("%064x", i)
		site.link(s.URL, tt.stored, token)
		b, target := s.browser(), "/auth/callback/email?email="+url.QueryEscape(tt.asked)
		for name, p := range map[string]page{"GET": b.get(target + "&token=" + token), "POST": b.post(target, "token", token)} {
			if p.status != http.StatusFound || !strings.Contains(p.location, "error=Verification&") {
				t.Errorf("%q for %q, %s: %d %s", tt.stored, tt.asked, name, p.status, p.location)
			}
		}
		b.post("/auth/callback/email/revoke?email="+url.QueryEscape(tt.asked), "token", token)
		if got := b.session(); got.User.Email != "" || len(site.sql(`SELECT id FROM verification_tokens WHERE token = $1`, site.hash(token))) != 1 {
			t.Errorf("%q for %q: %+v", tt.stored, tt.asked, got)
		}
	}
	if rows := site.sql(`SELECT id FROM users`); len(rows) != 0 {
		t.Errorf("%d users", len(rows))
	}
}

// §18 row 1: of 16 clicks on one link one signs in, and of those that v3 is at
// too none other.
func TestOneWinnerOfALink(t *testing.T) {
	s, site := beside(t, nil)
	link := site.link(s.URL, "bob@example.test", sharedToken)
	u, err := url.Parse(link)
	if err != nil {
		t.Fatal(err)
	}
	var browsers []*browser
	for range 16 {
		b := s.browser()
		b.csrf()
		browsers = append(browsers, b)
	}
	var wait sync.WaitGroup
	for _, b := range browsers {
		wait.Go(func() { b.post(u.Path+"?email=bob%40example.test", "token", sharedToken) })
	}
	wait.Wait()
	if rows := site.sql(`SELECT id FROM sessions`); len(rows) != 1 {
		t.Errorf("%d sessions", len(rows))
	}
	site.link(s.URL, "bob@example.test", sharedToken)
	if !site.opens("bob@example.test", sharedToken) {
		t.Fatal("v3 did not open it")
	}
	if p := s.browser().get(link); !strings.Contains(p.location, "error=Verification&") {
		t.Errorf("opened at v3, and here: %d %s", p.status, p.location)
	}
}

// A link that was asked for here opens at v3; what else is in its table is
// nothing that v3 finds.
func TestLinkOpensAtNextAuth(t *testing.T) {
	s, site := beside(t, nil)
	b := s.browser()
	if p := b.post("/auth/signin/email", "email", "Bob+x@example.test"); p.location != s.URL+"/auth/verify-request?provider=email&type=email" {
		t.Fatalf("%d %s", p.status, p.location)
	}
	link := s.newMail("bob+x@example.test", 1).Links()[0]
	token, ok := strings.CutPrefix(link, s.URL+"/auth/callback/email?email=bob%2Bx%40example.test&token=")
	if !ok || !regexp.MustCompile(`^[0-9a-f]{64}$`).MatchString(token) {
		t.Fatal(link)
	}
	row := site.sql(`SELECT identifier, round(extract(epoch FROM expires - created_at)) FROM verification_tokens WHERE token = $1`, site.hash(token))
	if len(row) != 1 || row[0] != "bob+x@example.test|86400" {
		t.Errorf("%q", row)
	}
	for _, other := range site.sql(`SELECT identifier, token FROM verification_tokens`) {
		if identifier, stored, _ := strings.Cut(other, "|"); stored != site.hash(token) && site.opens(identifier, stored) {
			t.Errorf("v3 opens %s", other)
		}
	}
	if !site.opens("bob+x@example.test", token) {
		t.Error("v3 does not open it")
	}
	// The code that was mailed with it still is this browser's.
	if p := b.post("/auth/callback/email", "code", s.newMail("bob+x@example.test", 1).Code()); p.status != http.StatusFound || strings.Contains(p.location, "error") {
		t.Errorf("code: %d %s", p.status, p.location)
	}
}

// L-4 beside v3: the account of a provider that hands out proven addresses alone
// stays when somebody who has one signs in by mail for the first time.
func TestFirstMailKeepsAccounts(t *testing.T) {
	s, site := beside(t, func(c *Config) {
		for i := range c.Providers {
			if c.Providers[i].ID == "github" {
				c.Providers[i].TrustEmail = "always"
			}
			if c.Providers[i].ID == "google" {
				c.Providers[i].TrustEmail = "never"
			}
		}
	})
	for i, tt := range []struct{ provider, left string }{{"github", "github"}, {"google", ""}} {
		address, token := fmt.Sprintf("p%d@example.test", i), fmt.Sprintf("%064x", i)
		id := site.user("", address)
		site.account(id, tt.provider, fmt.Sprint(i))
		site.session(id, "before "+token[:10]+fmt.Sprint(i))
		if p := s.browser().press(site.link(s.URL, address, token)); p.location != s.URL {
			t.Fatalf("%d %s", p.status, p.location)
		}
		if left := strings.Join(site.sql(`SELECT provider FROM accounts WHERE user_id = $1::int`, id), ","); left != tt.left {
			t.Errorf("%s: %q left", tt.provider, left)
		}
		if n, want := len(site.sql(`SELECT id FROM sessions WHERE user_id = $1::int`, id)), 1+len(tt.left)/6; n != want {
			t.Errorf("%s: %d sessions, want %d", tt.provider, n, want)
		}
	}
}

// nextauth-v3 §12 row 2: an address that a provider only claims, and that somebody
// has, makes no second user, and nothing of it waits in the browser: who claims it
// and leaves would be let in by its owner's next sign-in there (L-2).
func TestClaimedAddressIsInTheWay(t *testing.T) {
	s, site := beside(t, func(c *Config) {
		for i := range c.Providers {
			if c.Providers[i].ID == "google" {
				c.Providers[i].TrustEmail = "never"
			}
		}
	})
	id := site.user("Ada", "ada@example.org")
	site.account(id, "github", "777")
	b := s.browser()
	p := b.get(b.answer("google", "1001", "callbackUrl", s.URL+"/there"))
	if !strings.Contains(p.location, "error=OAuthAccountNotLinked") {
		t.Fatalf("%d %s", p.status, p.location)
	}
	if page := b.follow(p); !strings.Contains(page.body, "Sign in with GitHub") || strings.Contains(page.body, "will be added") {
		t.Errorf("the page: %s", page.body)
	}
	if n := len(site.sql(`SELECT id FROM users`)); n != 1 {
		t.Fatalf("%d users", n)
	}
	if done := b.press(site.link(s.URL, "ada@example.org", fmt.Sprintf("%064x", 9))); done.status != http.StatusFound || strings.Contains(done.location, "error") {
		t.Errorf("its owner's sign-in: %d %s", done.status, done.location)
	}
	if got := strings.Join(site.sql(`SELECT provider FROM accounts ORDER BY id`), ","); got != "github" {
		t.Errorf("accounts: %s", got)
	}
	// Who is signed in asks for it, and gets it.
	b.get(b.answer("google", "1001"))
	if got := strings.Join(site.sql(`SELECT provider || ' ' || user_id FROM accounts ORDER BY id`), ","); !strings.Contains(got, "google "+id) {
		t.Errorf("accounts: %s", got)
	}
	// Nobody has it: a new user, without the address (G-3).
	c := s.browser()
	c.get(c.answer("google", "1002"))
	if got := strings.Join(site.sql(`SELECT coalesce(email, 'none') FROM users ORDER BY id`), ","); got != "ada@example.org,none" {
		t.Errorf("users: %s", got)
	}
}
