package app

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/gatepost/gatepost/store/storetest"
)

// somebody is a user of v3's who has signed in with these providers, as 1001, and
// never by mail; accounts are the ids of what they signed in with.
func (v v3) somebody(address string, providers ...string) (user string, accounts []string) {
	v.t.Helper()
	user = v.user("Ada", address)
	for _, provider := range providers {
		v.account(user, provider, "1001")
	}
	v.session(user, "of "+address)
	return user, v.sql(`SELECT id FROM accounts WHERE user_id = $1::int ORDER BY id`, user)
}

// left are the providers that a user can sign in with.
func (v v3) left(user string) string {
	v.t.Helper()
	return strings.Join(v.sql(`SELECT provider FROM accounts WHERE user_id = $1::int ORDER BY id`, user), " ")
}

const askedToKeep = "Keep only what is yours"

// L-4: whoever has signed in with Google at v3, and one day opens a mailed link,
// keeps Google by a tick, and signs in with it afterwards. Their other sessions
// end.
func TestFirstMailKeepsWhatIsTicked(t *testing.T) {
	s, site := beside(t, nil)
	user, accounts := site.somebody("ada@example.org", "google", "apple", "github")
	b, link := s.browser(), site.link(s.URL, "ada@example.org", sharedToken)
	shown := b.get(link)
	for _, want := range []string{askedToKeep, "<fieldset", "<legend>", "Google", "Apple", "since ", "tick nothing"} {
		if !strings.Contains(shown.body, want) {
			t.Errorf("no %q: %s", want, shown.body)
		}
	}
	// Nothing is ticked beforehand, and of GitHub's addresses all are proven.
	if strings.Contains(shown.body, "checked") || strings.Contains(shown.body, "GitHub") {
		t.Errorf("%s", shown.body)
	}
	if p := b.submit(shown, accounts[0]); p.location != s.URL {
		t.Fatalf("%d %s", p.status, p.location)
	}
	if left := site.left(user); left != "google github" {
		t.Errorf("left: %s", left)
	}
	if site.finds("of ada@example.org") != "" || b.session().User.Email != "ada@example.org" {
		t.Error("sessions")
	}
	google := s.browser()
	if p := google.get(google.answer("google", "1001", "callbackUrl", s.URL+"/there")); p.location != s.URL+"/there" {
		t.Fatalf("Google: %d %s", p.status, p.location)
	}
	if rows := site.sql(`SELECT id FROM users`); google.session().User.Email != "ada@example.org" || len(rows) != 1 {
		t.Errorf("%+v, %d users", google.session(), len(rows))
	}
	// It is asked once.
	if p := b.get(site.link(s.URL, "ada@example.org", fmt.Sprintf("%064x", 1))); strings.Contains(p.body, askedToKeep) {
		t.Errorf("asked again: %s", p.body)
	}
}

// L-4, M-9: what somebody signs in with is told to whoever holds a live link, and
// nobody else.
func TestAccountsAreShownToTheMailboxAlone(t *testing.T) {
	s, site := beside(t, nil)
	site.somebody("ada@example.org", "google")
	link := site.link(s.URL, "ada@example.org", sharedToken)
	for name, target := range map[string]string{
		"another token":   strings.Replace(link, "token=0", "token=1", 1),
		"no token":        strings.Replace(link, sharedToken, "", 1),
		"another address": strings.Replace(link, "ada%40", "bob%40", 1),
	} {
		b := s.browser()
		if p := b.follow(b.get(target)); p.status != http.StatusForbidden || strings.Contains(p.body, "Google") || strings.Contains(p.body, askedToKeep) {
			t.Errorf("%s: %d %s", name, p.status, p.body)
		}
		u, err := url.Parse(target)
		if err != nil {
			t.Fatal(err)
		}
		if p := b.post(u.Path+"?"+u.RawQuery, "token", u.Query().Get("token")); p.status != http.StatusFound || !strings.Contains(p.location, "error=Verification") {
			t.Errorf("%s, posted: %d %s", name, p.status, p.location)
		}
	}
	site.sql(`UPDATE verification_tokens SET expires = now()`)
	if b := s.browser(); strings.Contains(b.follow(b.get(link)).body, "Google") {
		t.Error("a link that is over")
	}
}

// L-4: nothing but the form of the link's own page keeps an account, and none of
// somebody else's.
func TestForgedChoices(t *testing.T) {
	s, site := beside(t, nil)
	bob, bobs := site.somebody("bob@example.org", "apple")
	user, accounts := site.somebody("ada@example.org", "google")
	target := "/auth/callback/email?email=ada%40example.org"
	site.link(s.URL, "ada@example.org", sharedToken)
	b := s.browser()
	b.csrf()
	forged := url.Values{"token": {sharedToken}, "chosen": {"1"}, "keep": accounts}
	for name, p := range map[string]page{
		"without a token of the browser": b.send(http.MethodPost, target, forged),
		"from another site":              b.send(http.MethodPost, target, url.Values{"csrfToken": {b.csrf()}, "token": {sharedToken}, "chosen": {"1"}, "keep": accounts}, "Sec-Fetch-Site", "cross-site"),
		"what is no number":              b.post(target, "token", sharedToken, "chosen", "1", "keep", "all"),
		"below zero":                     b.post(target, "token", sharedToken, "chosen", "1", "keep", "-1"),
	} {
		if p.status == http.StatusFound || b.session().User.Email != "" {
			t.Errorf("%s: %d %s", name, p.status, p.location)
		}
	}
	// An address says nothing about what is kept, and nothing is ticked by it.
	if p := b.get(site.link(s.URL, "ada@example.org", fmt.Sprintf("%064x", 1)) + "&chosen=1&keep=" + accounts[0]); strings.Contains(p.body, "checked") {
		t.Errorf("ticked by a URL: %s", p.body)
	}
	if p := b.post(target+"&chosen=1&keep="+accounts[0], "token", sharedToken); p.status != http.StatusOK || !strings.Contains(p.body, askedToKeep) {
		t.Errorf("chosen by a URL: %d %s", p.status, p.location)
	}
	if p := b.post(target, "token", sharedToken, "chosen", "1", "keep", bobs[0]); p.status != http.StatusFound || b.session().User.Email != "ada@example.org" {
		t.Fatalf("somebody else's: %d %s", p.status, p.location)
	}
	if site.left(user) != "" || site.left(bob) != "apple" || site.finds("of bob@example.org") == "" {
		t.Errorf("left: %q, of bob: %q", site.left(user), site.left(bob))
	}
}

// L-4: who types the code is asked the same, after the right one, and nothing is
// spent by being asked.
func TestCodeAsksWhatToKeep(t *testing.T) {
	for name, tt := range map[string]struct {
		keep bool
		left string
	}{"kept": {true, "google"}, "not": {false, ""}} {
		t.Run(name, func(t *testing.T) {
			s, site := beside(t, nil)
			user, accounts := site.somebody("ada@example.org", "google")
			b := s.browser()
			b.post("/auth/signin/email", "email", "ada@example.org", "callbackUrl", s.URL+"/there")
			code := s.newMail("ada@example.org", 1).Code()
			wrong := "000000"
			if code == wrong {
				wrong = "000001"
			}
			if p := b.post("/auth/callback/email", "code", wrong); p.status != http.StatusFound || !strings.Contains(p.location, "code_wrong") {
				t.Fatalf("wrong code: %d %s", p.status, p.body)
			}
			if p := s.browser().post("/auth/callback/email", "code", code); p.status == http.StatusOK {
				t.Fatalf("in another browser: %s", p.body)
			}
			var asked page
			for range 2 { // loaded again
				asked = b.post("/auth/callback/email", "code", code)
				if asked.status != http.StatusOK || !strings.Contains(asked.body, askedToKeep) || !strings.Contains(asked.body, "Google") || strings.Contains(asked.body, "checked") {
					t.Fatalf("%d %s %s", asked.status, asked.location, asked.body)
				}
			}
			if b.session().User.Email != "" || site.left(user) != "google" || site.finds("of ada@example.org") == "" {
				t.Fatal("spent by being asked")
			}
			if !tt.keep {
				accounts = nil
			}
			if p := b.submit(asked, accounts...); p.location != s.URL+"/there" {
				t.Fatalf("%d %s", p.status, p.location)
			}
			if left := site.left(user); left != tt.left || b.session().User.Email != "ada@example.org" || site.finds("of ada@example.org") != "" {
				t.Errorf("left: %q", left)
			}
			if p := b.submit(asked, accounts...); p.status != http.StatusFound || !strings.Contains(p.location, "link_expired") {
				t.Errorf("again: %d %s", p.status, p.location)
			}
		})
	}
}

// L-4: a page that did not ask, since it was shown before there was anything to
// ask about or is a template of the operator's, is followed by one that does. A
// program keeps nothing that it does not name.
func TestWhoeverWasNotAskedIsAsked(t *testing.T) {
	s, site := beside(t, nil)
	target := "/auth/callback/email?email=ada%40example.org"
	b := s.browser()
	link := site.link(s.URL, "ada@example.org", sharedToken)
	early := b.get(link)
	if strings.Contains(early.body, askedToKeep) || strings.Contains(early.body, "chosen") {
		t.Fatalf("nobody has that address: %s", early.body)
	}
	user, accounts := site.somebody("ada@example.org", "google")
	asked := b.submit(early)
	if asked.status != http.StatusOK || !strings.Contains(asked.body, askedToKeep) || site.left(user) != "google" {
		t.Fatalf("%d %s", asked.status, asked.location)
	}
	if p := b.submit(asked, accounts[0]); p.location != s.URL || site.left(user) != "google" {
		t.Errorf("%d %s, left %q", p.status, p.location, site.left(user))
	}
	other, _ := site.somebody("bob@example.org", "apple")
	site.link(s.URL, "bob@example.org", sharedToken)
	if p := s.browser().post(strings.Replace(target, "ada", "bob", 1), "token", sharedToken, "json", "true"); p.status != http.StatusOK || !strings.Contains(p.body, `"url"`) || site.left(other) != "" {
		t.Errorf("a program: %d %s, left %q", p.status, p.body, site.left(other))
	}
}

// L-4: a program names what it keeps in JSON as it would in a form, and what cannot
// be read takes nothing.
func TestProgramsKeepInJSON(t *testing.T) {
	for name, tt := range map[string]struct{ keep, left string }{
		"one":                {`"GOOGLE"`, "google"},
		"a list":             {`["GOOGLE","APPLE"]`, "google apple"},
		"numbers":            {`[GOOGLE,APPLE]`, "google apple"},
		"a number":           {`APPLE`, "apple"},
		"none":               {`[]`, ""},
		"null":               {`null`, ""},
		"what is no number":  {`["GOOGLE","all"]`, "unspent"},
		"what is no account": {`[GOOGLE,{"id":APPLE}]`, "unspent"},
		"true":               {`true`, "unspent"},
		"a fraction":         {`[GOOGLE.5]`, "unspent"},
	} {
		t.Run(name, func(t *testing.T) {
			s, site := beside(t, nil)
			user, accounts := site.somebody("ada@example.org", "google", "apple")
			site.link(s.URL, "ada@example.org", sharedToken)
			b := s.browser()
			keep := strings.NewReplacer("GOOGLE", accounts[0], "APPLE", accounts[1]).Replace(tt.keep)
			resp, err := b.http.Post(s.URL+"/auth/callback/email?email=ada%40example.org", "application/json",
				strings.NewReader(fmt.Sprintf(`{"json":"true","csrfToken":%q,"token":%q,"keep":%s}`, b.csrf(), sharedToken, keep)))
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			left, status := site.left(user), resp.StatusCode
			if unspent := tt.left == "unspent"; unspent && (status != http.StatusBadRequest || left != "google apple" || site.finds("of ada@example.org") == "") || !unspent && (status != http.StatusOK || left != tt.left) {
				t.Errorf("%d, left %q", status, left)
			}
		})
	}
}

// L-4: by the operator's word there is nothing to ask, and nobody is signed out.
func TestTrustedProvidersAreNotAskedAbout(t *testing.T) {
	s, site := beside(t, func(c *Config) {
		for i := range c.Providers {
			if c.Providers[i].ID == "google" {
				c.Providers[i].TrustEmail = "always"
			}
		}
	})
	user, _ := site.somebody("ada@example.org", "google")
	b := s.browser()
	shown := b.get(site.link(s.URL, "ada@example.org", sharedToken))
	if strings.Contains(shown.body, askedToKeep) {
		t.Errorf("%s", shown.body)
	}
	if p := b.submit(shown); p.location != s.URL || site.left(user) != "google" || site.finds("of ada@example.org") == "" {
		t.Errorf("%d %s, left %q", p.status, p.location, site.left(user))
	}
}

// L-4, in tables that were adopted and are no NextAuth site's any more: every
// account is asked about.
func TestAdoptedUsersAreAsked(t *testing.T) {
	dsn := storetest.URL(t)
	s, site := newSite(t, dsn, nil), v3{t, dsn}
	user, accounts := site.somebody("ada@example.org", "google", "github")
	b := s.browser()
	b.post("/auth/signin/email", "email", "ada@example.org")
	shown := b.get(s.newMail("ada@example.org", 1).Links()[0])
	if !strings.Contains(shown.body, askedToKeep) || !strings.Contains(shown.body, "GitHub") {
		t.Fatalf("%s", shown.body)
	}
	if p := b.submit(shown, accounts[1]); p.location != s.URL+"/" || site.left(user) != "github" || site.finds("of ada@example.org") != "" {
		t.Errorf("%d %s, left %q", p.status, p.location, site.left(user))
	}
}

// L-4, G-2: of tabs that keep different accounts one decides.
func TestTabsKeepDifferentAccounts(t *testing.T) {
	s, site := beside(t, nil)
	user, accounts := site.somebody("ada@example.org", "google", "apple")
	link := site.link(s.URL, "ada@example.org", sharedToken)
	type tab struct {
		*browser
		shown page
	}
	var tabs []tab
	for range 8 {
		b := s.browser()
		tabs = append(tabs, tab{b, b.get(link)})
	}
	names := []string{"google", "apple"}
	var won []string
	var mu sync.Mutex
	var wait sync.WaitGroup
	for i, b := range tabs {
		wait.Go(func() {
			if p := b.submit(b.shown, accounts[i%2]); p.location == s.URL {
				mu.Lock()
				won = append(won, names[i%2])
				mu.Unlock()
			}
		})
	}
	wait.Wait()
	if left := site.left(user); len(won) != 1 || left != won[0] {
		t.Errorf("%q won, left %q", won, left)
	}
	if n := len(site.sql(`SELECT id FROM sessions`)); n != 1 {
		t.Errorf("%d sessions", n)
	}
}

// The service that decides on sign-ins hears of one once, though the page asks in
// between; whom it refuses keeps what they had.
func TestSignInHookIsAskedOnceOfAChoice(t *testing.T) {
	r := newReceiver(t)
	s, site := beside(t, func(c *Config) { c.Webhooks.SignIn = r.config() })
	user, accounts := site.somebody("ada@example.org", "google")
	for _, tt := range []struct{ says, location string }{
		{`{"allow":false}`, s.URL + "/auth/error?error=AccessDenied&"},
		{`{"allow":true}`, s.URL},
	} {
		b := s.browser()
		b.get("/auth/signin")
		link := site.link(s.URL, "ada@example.org", sharedToken)
		u, err := url.Parse(link)
		if err != nil {
			t.Fatal(err)
		}
		asked := b.post(u.Path+"?email=ada%40example.org", "token", sharedToken)
		if n := len(r.take()); n != 0 || asked.status != http.StatusOK || site.left(user) != "google" {
			t.Fatalf("asked %d times: %d %s", n, asked.status, asked.location)
		}
		r.says(tt.says)
		p := b.submit(asked, accounts[0])
		if n := len(r.take()); n != 1 || !strings.HasPrefix(p.location, tt.location) || site.left(user) != "google" {
			t.Errorf("%s: asked %d times, %s, left %q", tt.says, n, p.location, site.left(user))
		}
	}
}
