package app

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/gatepost/gatepost/store/storetest"
)

// §18 row 5: nothing of a query takes the place of a form's token or target.
func TestQueryIsNoFormField(t *testing.T) {
	s, site := beside(t, nil)
	for _, path := range []string{"/auth/signin", "/auth/signout"} {
		p := s.browser().with(site.csrfCookie(sharedToken), http.MethodGet, path+"?callbackUrl=http://evil.test/x&csrfToken=evil&providers=evil&email=evil")
		if !strings.Contains(p.body, sharedToken) || strings.Contains(p.body, "evil") {
			t.Errorf("%s: %s", path, p.body)
		}
	}
}

// §18 row 6, CVE-2022-35924, CVE-2026-73420, GHSA-5jpx-9hw9-2fx4: who is mailed
// is who signs in, or nobody is. CVE-2022-31127: and no mail says what somebody
// else wrote.
func TestOnlyOneMailboxIsMailed(t *testing.T) {
	s, site := beside(t, nil)
	for _, address := range []string{"x@victim.test;y", "x@victim.test,y@evil.test", "x@victim.test y", "<e@a.test>x", "grp:e@a.test;", "(c)a@b.test", `"x" <a@b.test>`, `"e@evil.test"@victim.test`,
		"e＠evil.test@victim.test", "e@evil.test@victim.test", "<b>a</b>@b.test", "a@b.test\r\nBcc: x@y.test", "x"} {
		if p := s.browser().post("/auth/signin/email", "email", address); p.location == "" || !strings.Contains(p.location, "error=EmailSignin&") {
			t.Errorf("%q: %d %s", address, p.status, p.location)
		}
	}
	if rows := site.sql(`SELECT identifier FROM verification_tokens`); len(rows) != 0 || len(s.mail.Messages()) != 0 {
		t.Errorf("%q, %d mails", rows, len(s.mail.Messages()))
	}
	s.browser().post("/auth/signin/email", "email", "  a@b.test  ")
	if rows := site.sql(`SELECT DISTINCT identifier FROM verification_tokens WHERE identifier LIKE '%@%'`); len(rows) != 1 || rows[0] != "a@b.test" {
		t.Errorf("%q", rows)
	}
}

// §18 rows 8 and 9: every sign-in ends the session that this browser had, also
// one that v3 began.
func TestSignInEndsTheSessionBefore(t *testing.T) {
	s, site := beside(t, nil)
	id := site.user("", "bob@example.test")
	for i, signIn := range []func(b *browser) page{
		func(b *browser) page { return b.press(site.link(s.URL, "bob@example.test", strings.Repeat("b", 64))) },
		func(b *browser) page { return b.get(b.answer("github", "1003")) }, // links the account
		func(b *browser) page { return b.get(b.answer("github", "1003")) }, // to whom it belongs
	} {
		before := fmt.Sprintf("%064x", i)
		site.session(id, before)
		b := s.browser()
		b.giveCookie("next-auth.session-token", before)
		if p := signIn(b); p.location != s.URL {
			t.Errorf("%d: %d %s", i, p.status, p.location)
		}
		after, _ := b.hasCookie("next-auth.session-token")
		if site.finds(before) != "" || after == before || site.finds(after) != "bob@example.test" {
			t.Errorf("%d: before %q, after %q", i, site.finds(before), site.finds(after))
		}
	}
}

// §18 row 15: no answer with a cookie or a token is kept anywhere.
func TestNothingOfTheContractIsKept(t *testing.T) {
	s, _ := beside(t, nil)
	for _, path := range []string{"/auth/session", "/auth/csrf", "/auth/providers", "/auth/signin", "/auth/signout", "/auth/error", "/auth/verify-request", "/auth/callback/email", "/auth/callback/google"} {
		if got := s.browser().get(path).header.Get("Cache-Control"); !strings.Contains(got, "no-store") {
			t.Errorf("%s: %q", path, got)
		}
	}
}

// §18 row 18: without the database nobody is told that they are signed out, and
// the cookie stays.
func TestOutageIsNoSignOut(t *testing.T) {
	s, site := beside(t, nil)
	site.session(site.user("", "bob@example.test"), sharedToken)
	s.parts.store.Close()
	p := s.browser().with(site.csrfCookie(sharedToken)+"; next-auth.session-token="+sharedToken, http.MethodGet, "/auth/session")
	var answer map[string]string
	if err := json.Unmarshal([]byte(p.body), &answer); err != nil || p.status != http.StatusServiceUnavailable || answer["error"] == "" {
		t.Errorf("%d %s", p.status, p.body)
	}
	for _, set := range p.header["Set-Cookie"] {
		if strings.Contains(set, "session-token") {
			t.Error(set)
		}
	}
}

// §18 row 19: whoever writes to the log of the client writes nowhere.
func TestClientLogIsNoLog(t *testing.T) {
	s, _ := beside(t, nil)
	p := s.browser().send(http.MethodPost, "/auth/_log", url.Values{"level": {"constructor"}, "code": {"EVIL"}, "message": {"[\"EVIL\"]"}})
	if p.status != http.StatusOK || strings.Contains(s.log.String(), "EVIL") {
		t.Errorf("%d %s", p.status, s.log)
	}
}

// §18 row 21: whoever refuses at the provider is told that, by NextAuth's code.
func TestRefusalAtTheProviderIsAccessDenied(t *testing.T) {
	s, _ := beside(t, nil)
	b := s.browser()
	start, err := url.Parse(b.post("/auth/signin/google").location)
	if err != nil {
		t.Fatal(err)
	}
	p := b.get("/auth/callback/google?" + url.Values{"state": {start.Query().Get("state")}, "error": {"access_denied"}, "iss": {issuerOf(t, s, "google")}}.Encode())
	if !strings.HasPrefix(p.location, s.URL+"/auth/error?error=AccessDenied&") || b.follow(p).status != http.StatusForbidden {
		t.Errorf("%d %s", p.status, p.location)
	}
}

func issuerOf(t *testing.T, s *site, provider string) string {
	t.Helper()
	for _, p := range s.parts.clients {
		if p.ID() == provider {
			return p.Document().Issuer
		}
	}
	t.Fatal(provider)
	return ""
}

// CVE-2022-24858, CVE-2022-29214: no sign-in and no sign-out leads elsewhere.
// CVE-2022-31093: and every request is answered.
func TestCallbackURLsOfNextAuth(t *testing.T) {
	s, site := beside(t, nil)
	for raw, want := range map[string]string{
		"/x?y=1#z": "/x?y=1#z", s.URL: "", s.URL + "/": "/", "/": "/", s.URL + "/deep?a=1&b=2": "/deep?a=1&b=2",
		"//evil.test/x": "", `/\evil.test`: "", "http://evil.test/": "", strings.Replace(s.URL, "://", "://host@evil.test:", 1): "", strings.Replace(s.URL, "http:", "ftp:", 1): "",
		s.URL + ".evil.test/": "", "foo": "", "javascript:alert(1)": "", "data:text/html,x": "", "http://": "",
	} {
		cookies := site.csrfCookie(sharedToken)
		p := s.browser().with(cookies, http.MethodPost, "/auth/signout", "csrfToken", sharedToken, "callbackUrl", raw)
		if p.status != http.StatusFound || p.location != s.URL+want {
			t.Errorf("%q: %d %s, want %s%s", raw, p.status, p.location, s.URL, want)
		}
	}
}

// CVE-2026-73418: a malformed Authorization header is nobody's, and no fault.
func TestMalformedBearer(t *testing.T) {
	s := guarded(t, func(c *Config) { c.Compat, c.NextAuth.Secret = List{nextAuthV3}, sharedSecret })
	for _, value := range []string{"Bearer %", "Bearer %E0%A4%A", "Bearer", "Bearer ", "bearer " + strings.Repeat("f", 64), "Bearer " + sealedVerifier, "Basic %", "Bearer gp_" + strings.Repeat("f", 64)} {
		if p := s.check("forward", "GET", "https://app.example.org/x", "Authorization", value); p.status != http.StatusUnauthorized {
			t.Errorf("%q: %d", value, p.status)
		}
	}
}

// nextauth-v3 §13: what /error answers to each code.
func TestErrorPagesOfNextAuth(t *testing.T) {
	s, _ := beside(t, nil)
	for code, want := range map[string]int{"Configuration": 500, "AccessDenied": 403, "Verification": 403, "accessdenied": 403, "VERIFICATION": 403, "": 200, "whatever": 200, "constructor": 200} {
		for _, form := range []string{"?error=", "/"} {
			if p := s.browser().follow(s.browser().get("/auth/error" + form + code)); p.status != want {
				t.Errorf("%s%q: %d, want %d", form, code, p.status, want)
			}
		}
	}
	if p := s.browser().get("/auth/error/Configuration?error=AccessDenied"); p.status != http.StatusForbidden {
		t.Errorf("path and query: %d", p.status)
	}
	for _, code := range []string{"Signin", "OAuthSignin", "OAuthCallback", "OAuthCreateAccount", "EmailCreateAccount", "Callback", "OAuthAccountNotLinked", "EmailSignin", "CredentialsSignin"} {
		for _, form := range []string{"?error=", "/"} {
			p := s.browser().get("/auth/error" + form + code)
			if p.status != http.StatusFound || p.location != s.URL+"/auth/signin?error="+code || s.browser().get(p.location).status != http.StatusOK {
				t.Errorf("%s%s: %d %s", form, code, p.status, p.location)
			}
		}
	}
}

// The answers of the client's other requests, to the byte; HEAD does nothing to a
// session (nextauth-v3 §3, §4).
func TestAnswersOfNextAuth(t *testing.T) {
	s, site := beside(t, func(c *Config) {
		for i := range c.Providers {
			c.Providers[i].Name = c.Providers[i].ID + " <&> \u2028"
		}
	})
	const token = `<a&b>"c\d` // whatever v3 takes for one
	b, cookie := s.browser(), "next-auth.csrf-token="+url.QueryEscape(token+"|"+site.hash(token))
	if p := b.with(cookie, http.MethodGet, "/auth/csrf"); p.body != `{"csrfToken":"<a&b>\"c\\d"}` {
		t.Errorf("%q", p.body)
	}
	if p := b.with(site.csrfCookie(sharedToken), http.MethodPost, "/auth/signout", "csrfToken", sharedToken, "json", "true", "callbackUrl", "/x?a=1&b=<2>"); p.body != `{"url":"`+s.URL+`/x?a=1&b=<2>"}` {
		t.Errorf("%q", p.body)
	}
	if p := b.get("/auth/providers"); !strings.HasPrefix(p.body, `{"google":{"id":"google","name":"google <&> `+"\u2028"+`","type":"oauth","signinUrl":"`+s.URL+`/auth/signin/google","callbackUrl":"`+s.URL+`/auth/callback/google"},"github":{`) || !strings.HasSuffix(p.body, `,"email":{"id":"email","name":"Email","type":"email","signinUrl":"`+s.URL+`/auth/signin/email","callbackUrl":"`+s.URL+`/auth/callback/email"}}`) {
		t.Errorf("%q", p.body)
	}
	site.session(site.user("", "bob@example.test"), sharedToken)
	site.sql(`UPDATE sessions SET expires = now() + interval '1 day'`)
	if p := b.with("next-auth.session-token="+sharedToken, http.MethodHead, "/auth/session"); p.status != http.StatusBadRequest {
		t.Errorf("HEAD: %d", p.status)
	}
	if left := site.sql(`SELECT expires < now() + interval '2 days' FROM sessions`); left[0] != "t" && left[0] != "true" {
		t.Error("HEAD has extended the session")
	}
}

// update() of next-auth/react asks for the session by a POST with the token of this
// browser. What it sends along changes nothing.
func TestSessionIsAskedForAnew(t *testing.T) {
	s, site := beside(t, nil)
	site.session(site.user("Bob", "bob@example.test"), sharedToken)
	site.sql(`UPDATE sessions SET expires = now() + interval '1 day'`)
	const held = "next-auth.session-token=" + sharedToken
	post := func(cookies, body string, header ...string) page {
		t.Helper()
		r, err := http.NewRequest(http.MethodPost, s.URL+"/auth/session", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Cookie", cookies)
		for i := 0; i+1 < len(header); i += 2 {
			r.Header.Set(header[i], header[i+1])
		}
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		answer, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return page{status: resp.StatusCode, body: string(answer), header: resp.Header}
	}
	const update = `{"csrfToken":"` + sharedToken + `","data":{"user":{"name":"Eve"},"callbackUrl":"http://evil.test/"}}`
	for name, tt := range map[string]struct {
		cookies, body string
		header        []string
	}{
		"no token":     {site.csrfCookie(sharedToken) + "; " + held, `{"data":{}}`, nil},
		"no cookie":    {held, update, nil},
		"neither":      {held, `{"csrfToken":""}`, nil},
		"another site": {site.csrfCookie(sharedToken) + "; " + held, update, []string{"Sec-Fetch-Site", "cross-site"}},
	} {
		p := post(tt.cookies, tt.body, tt.header...)
		if p.status != http.StatusBadRequest || strings.Contains(p.body, "Bob") || !json.Valid([]byte(p.body)) || strings.Contains(strings.Join(p.header["Set-Cookie"], "\n"), "session-token") {
			t.Errorf("%s: %d %s %q", name, p.status, p.body, p.header["Set-Cookie"])
		}
	}
	if left := site.sql(`SELECT expires < now() + interval '2 days' FROM sessions`); left[0] != "t" && left[0] != "true" {
		t.Error("a refused request has extended the session")
	}
	p := post(site.csrfCookie(sharedToken)+"; "+held, update)
	if want := s.browser().with(held, http.MethodGet, "/auth/session").body; p.status != http.StatusOK || p.body != want || !strings.Contains(want, `"name":"Bob"`) {
		t.Errorf("%d %s, want %s", p.status, p.body, want)
	}
	if p := post(site.csrfCookie(sharedToken), update); p.status != http.StatusOK || p.body != "{}" {
		t.Errorf("signed out: %d %s", p.status, p.body)
	}
}

// Nobody is signed out for what other programs keep in the browser: Chromium holds
// 180 cookies of a site, and v3 reads them all.
func TestManyCookies(t *testing.T) {
	s, site := beside(t, nil)
	site.session(site.user("", "bob@example.test"), sharedToken)
	if p := s.browser().with(strings.Repeat("_ga=GS1.1.1; ", 179)+"next-auth.session-token="+sharedToken, http.MethodGet, "/auth/session"); p.status != http.StatusOK || !strings.Contains(p.body, "bob@example.test") {
		t.Errorf("%d %s", p.status, p.body)
	}
}

// HEAD of a provider's answer is no sign-in, and leaves it to the GET (nextauth-v3
// §3).
func TestHeadOfAnAnswer(t *testing.T) {
	s, _ := beside(t, nil)
	b := s.browser()
	answer := b.answer("google", "1002", "callbackUrl", s.URL+"/inside")
	if p := b.send(http.MethodHead, answer, nil); p.status != http.StatusBadRequest || b.session().User.Email != "" {
		t.Errorf("HEAD: %d", p.status)
	}
	if p := b.get(answer); p.location != s.URL+"/inside" || b.session().User.Email != "grace@example.org" {
		t.Errorf("GET: %d %s", p.status, p.location)
	}
}

// S-9: two session cookies that differ are none. Two that do not are one: v3 sets
// its own without the Domain that cookie.domain gives ours, for the same session.
func TestTwoSessionCookies(t *testing.T) {
	var site v3
	s := guarded(t, func(c *Config) {
		site = v3{t, string(c.Database.URL)}
		c.Compat, c.NextAuth.Secret, c.Session.Absolute = List{nextAuthV3}, sharedSecret, 0
	})
	id, other := site.user("", "bob@example.test"), strings.Repeat("e", 64)
	site.session(id, sharedToken)
	site.session(id, other)
	for _, tt := range []struct {
		second string
		known  bool
	}{{sharedToken, true}, {other, false}, {"", false}, {"planted", false}} {
		cookies := "next-auth.session-token=" + sharedToken + "; next-auth.session-token=" + tt.second
		status := s.check("forward", "GET", "https://app.example.org/x", "Cookie", cookies).status
		lines := s.check("forward", "GET", "https://app.example.org/x", "Cookie", "next-auth.session-token="+sharedToken, "Cookie", "next-auth.session-token="+tt.second).status
		body := s.browser().with(cookies, http.MethodGet, "/auth/session").body
		if (status == http.StatusOK) != tt.known || (lines == http.StatusOK) != tt.known || (body != "{}") != tt.known {
			t.Errorf("%q: %d, %d, %s", tt.second, status, lines, body)
		}
	}
}

// With cookie.domain v3's cookie, which has none, does not come in the way of
// ours: what ends it and what takes its place removes it as well.
func TestHostOnlyCookieOfNextAuth(t *testing.T) {
	s := newSiteAt(t, storetest.URL(t), "www.site.localhost", func(c *Config) {
		c.Compat, c.NextAuth.Secret, c.Session.Absolute, c.Cookie.Domain = List{nextAuthV3}, sharedSecret, 0, "site.localhost"
	})
	site := v3{t, string(s.config.Database.URL)}
	id := site.user("", "bob@example.test")
	held := func(b *browser) (values []string) {
		u, _ := url.Parse(b.URL)
		for _, c := range b.http.Jar.Cookies(u) {
			if c.Name == "next-auth.session-token" {
				values = append(values, c.Value)
			}
		}
		return values
	}
	for name, tt := range map[string]struct {
		do   func(b *browser)
		left int
	}{
		"sign-out":     {func(b *browser) { b.post("/auth/signout") }, 0},
		"sign-in":      {func(b *browser) { b.get(b.answer("google", "1002")) }, 1},
		"over":         {func(b *browser) { site.sql(`DELETE FROM sessions`); b.session() }, 0},
		"asked for":    {func(b *browser) { b.session(); b.session() }, 1},
		"asked, ended": {func(b *browser) { b.session(); b.post("/auth/signout") }, 0},
		"two that differ": {func(b *browser) {
			b.session()
			b.giveCookie("next-auth.session-token", "another")
			b.session()
		}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			site.t = t
			site.sql(`DELETE FROM sessions`)
			site.session(id, sharedToken)
			b := s.browser()
			b.giveCookie("next-auth.session-token", sharedToken)
			tt.do(b)
			if got := held(b); len(got) != tt.left || tt.left == 1 && site.finds(got[0]) == "" {
				t.Errorf("%q", got)
			}
			b.get(b.answer("google", "1002"))
			if got := held(b); len(got) != 1 || site.finds(got[0]) == "" {
				t.Errorf("signed in again: %q", got)
			}
		})
	}
}
