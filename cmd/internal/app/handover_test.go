package app

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/gatepost/gatepost/store/storetest"
)

// F-13: one sign-in serves a further root domain, once, in the browser that
// began, and one sign-out ends it there too.
func TestHandover(t *testing.T) {
	s := newSiteAt(t, storetest.URL(t), "auth.one.localhost", func(c *Config) {
		gateOf(c)
		port := c.PublicURL[strings.LastIndex(c.PublicURL, ":"):]
		c.Cookie.Domain = "one.localhost"
		c.Cookie.Sites = []SiteConfig{{URL: "http://auth.two.localhost" + port, Domain: "two.localhost"}}
		c.Gate.Rules = append(c.Gate.Rules, RuleConfig{Host: List{"app.two.localhost"}, Allow: &Who{Atom: "signed-in"}})
		c.ReturnTo = []string{"http://app.two.localhost" + port}
	})
	port := s.URL[strings.LastIndex(s.URL, ":"):]
	two, app := "http://auth.two.localhost"+port, "http://app.two.localhost"+port
	b := s.browser()
	refused := s.check("forward", "GET", app+"/x?a=1", "Accept", "text/html")
	if refused.location != two+"/auth/handover?to="+url.QueryEscape(app+"/x?a=1") {
		t.Fatalf("the gate leads to %s", refused.location)
	}
	from := b.get(refused.location).location
	if !strings.HasPrefix(from, s.URL+"/auth/handover/from?") {
		t.Fatalf("begin leads to %s", from)
	}
	signIn, err := url.Parse(b.get(from).location)
	if err != nil || signIn.Path != "/auth/signin" || signIn.Query().Get("callbackUrl") != from {
		t.Fatalf("nobody is led to %s", signIn)
	}
	if p := b.get(b.answer("google", "1001", "callbackUrl", from)); p.location != from {
		t.Fatalf("after the sign-in: %s", p.location)
	}
	to := b.get(from).location
	if !strings.HasPrefix(to, two+"/auth/handover/to?") {
		t.Fatalf("carried to %s", to)
	}
	// The link in another browser: how an attacker would sign somebody in as
	// himself.
	stranger := s.browser()
	if p := stranger.get(to); !strings.Contains(p.location, "reason=handover_failed") {
		t.Errorf("another browser: %d %s", p.status, p.location)
	}
	if p := b.get(to); p.location != app+"/x?a=1" {
		t.Fatalf("arrived at %d %s", p.status, p.location)
	}
	pass := func() int {
		cookie := b.cookieAt(app)
		return s.check("forward", "GET", app+"/x", "Cookie", cookie).status
	}
	if got := pass(); got != 200 {
		t.Errorf("the other domain: %d", got)
	}
	if p := b.get(to); !strings.Contains(p.location, "reason=handover_failed") {
		t.Errorf("a second use: %d %s", p.status, p.location)
	}
	if p := b.get(two + "/auth/account"); p.location != s.URL+"/auth/account" {
		t.Errorf("a page at the other domain: %d %s", p.status, p.location)
	}
	b.post("/auth/signout")
	if got := pass(); got != 401 {
		t.Errorf("after the sign-out: %d", got)
	}
	for target, want := range map[string]string{
		two + "/auth/handover?to=http://evil.example/":                                  s.URL + "/",
		two + "/auth/handover?to=" + s.URL + "/x":                                       s.URL + "/",
		s.URL + "/auth/handover/from?site=evil.example&bind=" + strings.Repeat("a", 64): "handover_failed",
		two + "/auth/handover/to?code=x&bind=y":                                         "handover_failed",
	} {
		if p := b.get(target); !strings.Contains(p.location, want) {
			t.Errorf("%s leads to %d %s", target, p.status, p.location)
		}
	}
}

// F-12: the third arrival within ten seconds explains itself.
func TestLoopEnds(t *testing.T) {
	s := guarded(t, nil)
	b := s.browser()
	b.get(b.answer("google", "1001"))
	page := "/auth/signin?callbackUrl=" + url.QueryEscape("https://app.example.org/x")
	for range 2 {
		if p := b.get(page); p.status != http.StatusFound || p.location != "https://app.example.org/x" {
			t.Fatalf("signed in already: %d %s", p.status, p.location)
		}
	}
	if p := b.get(page); p.status != http.StatusLoopDetected || !strings.Contains(p.body, "round in circles") {
		t.Errorf("the third time: %d %s", p.status, p.location)
	}
	if p := b.get("/auth/signin?callbackUrl=/x"); p.status != http.StatusOK {
		t.Errorf("NextAuth's own page: %d", p.status)
	}
}

// A person makes a token, a program passes with it, and it ends like a session.
func TestAccessTokens(t *testing.T) {
	s := guarded(t, func(c *Config) {
		c.Gate.AccessTokens.Allow, c.Gate.AccessTokens.PerUser = &Who{Atom: "group:admins"}, 2
	})
	b, other := s.browser(), s.browser()
	b.get(b.answer("google", "1001"))
	other.get(other.answer("google", "1002"))
	if p := other.post("/auth/account/tokens", "name", "x", "days", "7"); !strings.Contains(p.location, "reason=tokens_refused") {
		t.Errorf("not allowed: %d %s", p.status, p.location)
	}
	for name, days := range map[string]string{"": "7", strings.Repeat("x", 61): "7", "too long": "9999", "none": "0", "a\nb": "7"} {
		if p := b.post("/auth/account/tokens", "name", name, "days", days); !strings.Contains(p.location, "reason=token_invalid") {
			t.Errorf("%q for %s days: %d %s", name, days, p.status, p.location)
		}
	}
	made := b.post("/auth/account/tokens", "name", "backup", "days", "7")
	_, rest, found := strings.Cut(made.body, `value="gp_`)
	token, _, _ := strings.Cut("gp_"+rest, `"`)
	if !found || len(token) != 46 {
		t.Fatalf("%d %s", made.status, made.body)
	}
	if p := b.get("/auth/account/tokens"); !strings.Contains(p.body, "backup") || strings.Contains(p.body, token) {
		t.Error("the list has no name, or the token again")
	}
	pass := func() int {
		return s.check("forward", "GET", "https://app.example.org/admin", "Authorization", "Bearer "+token).status
	}
	if got := pass(); got != 200 {
		t.Fatalf("with the token: %d", got)
	}
	b.post("/auth/account/tokens", "name", "second", "days", "1")
	if p := b.post("/auth/account/tokens", "name", "third", "days", "1"); !strings.Contains(p.location, "reason=too_many_tokens") {
		t.Errorf("a third: %d %s", p.status, p.location)
	}
	// New sign-ins push out old sessions, never tokens.
	for range 25 {
		c := s.browser()
		c.get(c.answer("google", "1001"))
	}
	if got := pass(); got != 200 {
		t.Fatalf("after many sign-ins: %d", got)
	}
	list := b.browserOf("1001").get("/auth/account/tokens").body
	before, _, _ := strings.Cut(list[strings.Index(list, "backup"):], `<input type="hidden" name="from"`)
	id := before[strings.LastIndex(before, `value="`)+7:]
	id = id[:strings.Index(id, `"`)]
	c := b.browserOf("1001")
	if p := c.post("/auth/account/end", "id", id, "from", "tokens"); p.location != s.URL+"/auth/account/tokens" {
		t.Fatalf("ending it: %d %s", p.status, p.location)
	}
	if got := pass(); got != 401 {
		t.Errorf("after its end: %d", got)
	}
}

// browserOf is a browser in which that person is signed in.
func (s *site) browserOf(person string) *browser {
	b := s.browser()
	b.get(b.answer("google", person))
	return b
}
