package app

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/gatepost/gatepost/store/storetest"
)

// M-9: people behind one address who have the right link are never told to
// wait; wrong answers are limited for all of them.
func TestOnlyWrongAnswersAreLimited(t *testing.T) {
	s := newSite(t, storetest.URL(t), func(c *Config) { c.Mail.ClientPerWindow = 1000 })
	for i := range 15 {
		address := fmt.Sprintf("p%d@example.org", i)
		b := s.browser()
		b.post("/auth/signin/email", "email", address)
		link, _ := url.Parse(s.newMail(address, 1).Links()[0])
		if p := b.post("/auth/callback/email", "token", link.Query().Get("token")); p.location != s.URL+"/" {
			t.Fatalf("person %d: %s", i, p.location)
		}
	}
	b := s.browser()
	for range 10 {
		if p := b.post("/auth/callback/email", "token", strings.Repeat("x", 43)); !strings.Contains(p.location, "reason=link_expired") {
			t.Fatal(p.location)
		}
	}
	if p := b.post("/auth/callback/email", "token", strings.Repeat("x", 43)); !strings.Contains(p.location, "reason=rate_limited") {
		t.Errorf("the eleventh guess: %s", p.location)
	}
}

// M-11: the code form says the same whether a mail was sent or a limit kept it
// from being sent, also to whoever puts an old cookie back.
func TestCodeFormTellsNoLimit(t *testing.T) {
	s := newSite(t, storetest.URL(t), func(c *Config) { c.Mail.AddressPerWindow, c.TrustedProxies = 1, []string{"127.0.0.0/8"} })
	var said [2][]string
	for i := range said {
		b := s.browser()
		b.post("/auth/signin/email", "email", "ada@example.org")
		u, _ := url.Parse(s.URL)
		kept := b.http.Jar.Cookies(u)
		guess := func() string {
			form := url.Values{"csrfToken": {b.csrf()}, "code": {"x"}}
			return b.send("POST", "/auth/callback/email", form, "X-Forwarded-For", fmt.Sprintf("192.0.2.%d", i)).location
		}
		for range 6 {
			said[i] = append(said[i], guess())
		}
		b.http.Jar.SetCookies(u, kept)
		said[i] = append(said[i], guess())
	}
	for i, want := range []string{"code_wrong", "code_wrong", "code_wrong", "code_wrong", "code_exhausted", "code_exhausted", "code_wrong"} {
		for k, attempt := range []string{"sent", "not sent"} {
			if !strings.Contains(said[k][i], "reason="+want) {
				t.Errorf("%s, answer %d: %s, want %s", attempt, i+1, said[k][i], want)
			}
		}
	}
	if n := len(s.mail.Messages()); n != 1 {
		t.Errorf("%d mails", n)
	}
}

// An account page that is out of date ends what is still there, and is no fault
// of ours where it asks for what is gone.
func TestStaleAccountPage(t *testing.T) {
	s := newSite(t, storetest.URL(t), nil)
	b, other := s.browser(), s.browser()
	b.get(b.answer("google", "1001"))
	other.get(other.answer("google", "1001"))
	b.get(b.answer("github", "1002", "callbackUrl", "/auth/account")) // ends the other session
	for _, form := range [][]string{{"/auth/account/end", "id", "2"}, {"/auth/account/end", "id", "999"}, {"/auth/account/unlink", "id", "2"}, {"/auth/account/unlink", "id", "2"}} {
		if p := b.post(form[0], form[1:]...); !strings.HasPrefix(p.location, s.URL+"/auth/account?done=") {
			t.Errorf("%v: %d %s", form, p.status, p.location)
		}
	}
	if p := b.get("/auth/account"); strings.Count(p.body, ">Unlink<") != 1 || b.session().User.ID != "1" {
		t.Errorf("afterwards: %s", p.body)
	}
}

// nobody writes into the log by a path or a method.
func TestLogTakesNoPaths(t *testing.T) {
	s := newSite(t, storetest.URL(t), nil)
	b := s.browser()
	b.post("/auth/signin/eve@example.org")
	b.get("/auth/callback/" + strings.Repeat("long", 2000))
	b.send(strings.Repeat("M", 5000), "/auth/session", nil)
	b.get("/auth/callback/google?state=x")
	for line := range strings.SplitSeq(s.log.String(), "\n") {
		if len(line) > 1000 || strings.Contains(line, "eve@") || strings.Contains(line, "longlong") {
			t.Errorf("%.300s", line)
		}
	}
	if !strings.Contains(s.log.String(), `"provider":"google"`) {
		t.Error("a configured provider is not in the log")
	}
}

//
func TestLogTimesAreUTC(t *testing.T) {
	before := time.Local
	time.Local = time.FixedZone("Apia", 13*60*60)
	defer func() { time.Local = before }()
	for _, format := range []string{"json", "text"} {
		var b bytes.Buffer
		NewLogger(LogConfig{Level: "info", Format: format}, &b).Info("x")
		if !strings.Contains(b.String(), "Z") || strings.Contains(b.String(), "+13:00") {
			t.Errorf("%s", b.String())
		}
	}
}

// A slash too many leads to the page, on our own origin, and posts nothing.
func TestTrailingSlashes(t *testing.T) {
	s := newSite(t, storetest.URL(t), nil)
	b := s.browser()
	for path, want := range map[string]string{
		"/auth/":                             "/auth/account",
		"/auth/signin/":                      "/auth/signin",
		"/auth/signin/?callbackUrl=%2Fx&a=b": "/auth/signin?a=b&callbackUrl=%2Fx",
		"/auth/signin/google/":               "/auth/signin/google",
		"/auth/callback/email/?token=x":      "/auth/callback/email?token=x",
		"/auth/callback/google/?code=%0a":    "/auth/callback/google?code=%0A",
		"/auth/account/":                     "/auth/account",
		"/auth/session/":                     "/auth/session",
	} {
		for _, method := range []string{"GET", "HEAD"} {
			if p := b.send(method, path, nil, "Host", "evil.test"); p.status != 302 || p.location != s.URL+want {
				t.Errorf("%s %s: %d %s", method, path, p.status, p.location)
			}
		}
	}
	token := b.csrf()
	for _, path := range []string{"/auth/signout/", "/auth/signin/google/", "/auth//", "/auth/static/gatepost.css/", "/auth/nothing/"} {
		if p := b.send("POST", path, url.Values{"csrfToken": {token}}); p.status != 400 && p.status != 404 {
			t.Errorf("POST %s: %d %s", path, p.status, p.location)
		}
	}
	for _, path := range []string{"/auth/nothing/", "/auth/callback/%2F%2Fevil.test/", "/auth/callback/%2e%2e%2fx/", "/auth//evil.test/", "//evil.test/auth/"} {
		if p := b.get(path); p.status != 404 {
			t.Errorf("%s: %d %s", path, p.status, p.location)
		}
	}
}

// C-2, M-16: older browsers send the origin null from the page of a mailed link,
// and only there may it stand for none; the token is asked for all the same.
func TestOriginNull(t *testing.T) {
	s := newSite(t, storetest.URL(t), nil)
	b := s.browser()
	b.post("/auth/signin/email", "email", "ada@example.org")
	token := tokenOf(t, s.newMail("ada@example.org", 1).Links()[0])
	csrf := b.csrf()
	for _, tt := range []struct {
		name, path, csrf string
		header           []string
		refused          bool
	}{
		{"another page", "/auth/signout", csrf, []string{"Origin", "null"}, true},
		{"another site", "/auth/callback/email", csrf, []string{"Origin", "https://evil.test"}, true},
		{"another site, newer browser", "/auth/callback/email", csrf, []string{"Origin", "null", "Sec-Fetch-Site", "cross-site"}, true},
		{"without the token", "/auth/callback/email", "", []string{"Origin", "null"}, true},
		{"the link's page", "/auth/callback/email", csrf, []string{"Origin", "null"}, false},
	} {
		p := b.send("POST", tt.path, url.Values{"csrfToken": {tt.csrf}, "token": {token}}, tt.header...)
		if refused := p.location != s.URL+"/"; refused != tt.refused {
			t.Errorf("%s: %d %s", tt.name, p.status, p.location)
		}
	}
	if b.session().User.Email != "ada@example.org" {
		t.Error("not signed in")
	}
}

// Whoever reads JSON gets JSON, with code and request id, for every refusal.
func TestRefusalsAsJSON(t *testing.T) {
	s := newSite(t, storetest.URL(t), nil)
	b := s.browser()
	for _, tt := range []struct {
		name string
		got  page
		json bool
	}{
		{"as axios asks", b.send("GET", "/auth/nothing", nil, "Accept", "application/json, text/plain, */*"), true},
		{"HTML less", b.send("GET", "/auth/nothing", nil, "Accept", "text/html;q=0.5, application/json"), true},
		{"as browsers ask", b.send("GET", "/auth/nothing", nil, "Accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"), false},
		{"both alike", b.send("GET", "/auth/nothing", nil, "Accept", "text/html, application/json"), false},
		{"JSON not at all", b.send("GET", "/auth/nothing", nil, "Accept", "application/json;q=0"), false},
		{"anything", b.send("GET", "/auth/nothing", nil, "Accept", "*/*"), false},
		{"json=true", b.send("POST", "/auth/nothing", url.Values{"json": {"true"}}), true},
		{"a JSON body", b.send("POST", "/auth/signin/email", url.Values{}, "Content-Type", "application/json"), true},
	} {
		var got map[string]string
		err := json.Unmarshal([]byte(tt.got.body), &got)
		if tt.json && (err != nil || len(got["request_id"]) != 26 || got["request_id"] != tt.got.header.Get("X-Request-Id") || got["error"] == "" || got["reason"] == "" || !strings.Contains(got["url"], "error=")) || !tt.json && err == nil || tt.got.status < 400 {
			t.Errorf("%s: %d %.200s", tt.name, tt.got.status, tt.got.body)
		}
	}
}

// Every refusal says its code and request id, on the page where the person was.
func TestRefusalsHaveCodeAndID(t *testing.T) {
	s := newSite(t, storetest.URL(t), nil)
	b := s.browser()
	b.get(b.answer("google", "1001"))
	b.post("/auth/signin/email", "email", "ada@example.org")
	token := tokenOf(t, s.newMail("ada@example.org", 1).Links()[0])
	asBrowser := []string{"Accept", "text/html"}
	for _, tt := range []struct {
		name, method, path string
		fields             url.Values
		header             []string
		page, code         string
	}{
		{"CSRF", "POST", "/auth/signin/google", url.Values{}, nil, "Sign in", "csrf"},
		{"CSRF, signing out", "POST", "/auth/signout", url.Values{}, nil, "You will be signed out", "csrf"},
		{"CSRF, code", "POST", "/auth/callback/email", url.Values{"code": {"123456"}}, nil, "Six-digit code", "csrf"},
		{"CSRF, asking again", "POST", "/auth/signin/email", url.Values{"again": {"1"}}, nil, "Six-digit code", "csrf"},
		{"CSRF, link", "POST", "/auth/callback/email", url.Values{"token": {token}}, nil, "You are about to sign in", "csrf"},
		{"CSRF, not me", "POST", "/auth/callback/email/revoke", url.Values{"token": {token}}, nil, "You are about to sign in", "csrf"},
		{"CSRF, dead link", "POST", "/auth/callback/email", url.Values{"token": {"x"}}, nil, "no longer valid", "link_expired"},
		{"CSRF, account", "POST", "/auth/account/end", url.Values{}, nil, "Your account", "csrf"},
		{"wrong code", "POST", "/auth/callback/email", url.Values{"code": {"x"}, "csrfToken": {""}}, nil, "Six-digit code", "code_wrong"},
		{"bad address", "POST", "/auth/signin/email", url.Values{"email": {"x"}, "csrfToken": {""}}, nil, "not an email|Enter one address", "address_invalid"},
		{"method", "PUT", "/auth/session", nil, asBrowser, "takes no such request", "method_not_allowed"},
		{"method, said plainly", "PUT", "/auth/session", nil, nil, "not supported by NextAuth.js", "method_not_allowed"},
		{"cookies", "GET", "/auth/signin", nil, append(asBrowser, "Cookie", strings.Repeat("a=b;", 201)), "too many cookies", "too_many_cookies"},
		{"no page", "GET", "/auth/nothing", nil, nil, "no such page", "not_found"},
	} {
		if _, with := tt.fields["csrfToken"]; with {
			tt.fields.Set("csrfToken", b.csrf())
		}
		p := b.send(tt.method, tt.path, tt.fields, tt.header...)
		id := p.header.Get("X-Request-Id")
		if strings.Contains(p.location, token) {
			t.Errorf("%s: the token is in %s", tt.name, p.location)
		}
		p = b.follow(p)
		found := false
		for page := range strings.SplitSeq(tt.page, "|") {
			found = found || strings.Contains(p.body, page)
		}
		if !found || !strings.Contains(p.body, tt.code) || !strings.Contains(p.body, id) {
			t.Errorf("%s: no %q, %s or %s in %d %s", tt.name, tt.page, tt.code, id, p.status, p.body)
		}
	}
	// Still where they were: the last way in, on the account page.
	c := s.browser()
	c.get(c.answer("google", "1004"))
	if p := c.post("/auth/account/unlink", "id", "2"); !strings.Contains(p.location, "/auth/account?error=OAuthAccountNotLinked&id=") {
		t.Errorf("last way in: %s", p.location)
	} else if p := c.follow(p); !strings.Contains(p.body, "only way in") {
		t.Errorf("its page: %s", p.body)
	}
}

// A form that leads to another site is answered with a page that goes on, for
// browsers; whoever else posts gets NextAuth's redirect or JSON.
func TestFormsLeadOnByAPage(t *testing.T) {
	s := newSite(t, storetest.URL(t), func(c *Config) { c.ReturnTo = []string{"https://app.example.org"} })
	target := "https://app.example.org/x?a=1&b=%2F'&#y"
	for _, tt := range []struct {
		name   string
		post   func(b *browser, header ...string) page
		want   string // a prefix
		onward bool
	}{
		{"to a provider", func(b *browser, header ...string) page {
			return b.send("POST", "/auth/signin/google", url.Values{"csrfToken": {b.csrf()}}, header...)
		}, "http://127.0.0.1:", true},
		{"out to an application", func(b *browser, header ...string) page {
			return b.send("POST", "/auth/signout", url.Values{"csrfToken": {b.csrf()}, "callbackUrl": {target}}, header...)
		}, "https://app.example.org/x?a=1&b=%2F'&#y", true},
		{"to an application on our own origin", func(b *browser, header ...string) page {
			return b.send("POST", "/auth/signout", url.Values{"csrfToken": {b.csrf()}, "callbackUrl": {"/app"}}, header...)
		}, s.URL + "/app", true},
		{"to our own page", func(b *browser, header ...string) page {
			return b.send("POST", "/auth/signin/email", url.Values{"csrfToken": {b.csrf()}, "email": {"ada@example.org"}}, header...)
		}, s.URL + "/auth/verify-request?", false},
		{"to the form again", func(b *browser, header ...string) page {
			return b.send("POST", "/auth/signin/google", url.Values{}, header...)
		}, s.URL + "/auth/signin?csrf=true", false},
	} {
		b := s.browser()
		if p := tt.post(b); p.status != 302 || !strings.HasPrefix(p.location, tt.want) {
			t.Errorf("%s, no browser: %d %s", tt.name, p.status, p.location)
		}
		p := tt.post(s.browser(), "Sec-Fetch-Dest", "document", "Sec-Fetch-Site", "same-origin")
		if !tt.onward {
			if p.status != 302 || !strings.HasPrefix(p.location, tt.want) {
				t.Errorf("%s: %d %s", tt.name, p.status, p.location)
			}
			continue
		}
		if p.status != 200 || p.location != "" || !strings.HasPrefix(p.header.Get("Refresh"), "0; url="+tt.want) || !strings.Contains(p.body, `href="http`) || p.header.Get("Cache-Control") != "private, no-cache, no-store" {
			t.Errorf("%s: %d %s", tt.name, p.status, p.body)
		}
	}
	b := s.browser()
	b.post("/auth/signin/email", "email", "grace@example.org", "callbackUrl", target)
	token := tokenOf(t, s.newMail("grace@example.org", 1).Links()[0])
	p := b.send("POST", "/auth/callback/email", url.Values{"csrfToken": {b.csrf()}, "token": {token}}, "Sec-Fetch-Dest", "document")
	if p.status != 200 || p.header.Get("Refresh") == "" || p.header.Get("Referrer-Policy") != "no-referrer" || strings.Contains(p.body, token) || b.session().User.ID == "" {
		t.Errorf("a mailed link: %d %v %s", p.status, p.header, p.body)
	}
}
