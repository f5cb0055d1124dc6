package app

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
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
		if p := s.browser().get("/auth/error?error=" + code); p.status != want {
			t.Errorf("%q: %d, want %d", code, p.status, want)
		}
	}
	for _, code := range []string{"Signin", "OAuthSignin", "OAuthCallback", "OAuthCreateAccount", "EmailCreateAccount", "Callback", "OAuthAccountNotLinked", "EmailSignin", "CredentialsSignin"} {
		p := s.browser().get("/auth/error?error=" + code)
		if p.status != http.StatusFound || p.location != s.URL+"/auth/signin?error="+code || s.browser().get(p.location).status != http.StatusOK {
			t.Errorf("%s: %d %s", code, p.status, p.location)
		}
	}
}
