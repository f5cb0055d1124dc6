package app

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/gatepost/gatepost/flows/nextauth"
)

const verifier64 = "vvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvv"

// giveCookie puts one of v3's cookies into a browser.
func (b *browser) giveCookie(name, value string) {
	u, err := url.Parse(b.URL)
	if err != nil {
		b.t.Fatal(err)
	}
	b.http.Jar.SetCookies(u, []*http.Cookie{{Name: name, Value: value, Path: "/"}})
}

// begunAt is a browser that v3 has sent to a provider, whose person answered:
// where the provider sends it back to. Without a verifier v3 used no PKCE.
func (v v3) begunAt(s *site, provider, person, verifier string) (*browser, string) {
	v.t.Helper()
	b := s.browser()
	b.giveCookie("next-auth.csrf-token", sharedToken+"%7C"+sharedHash)
	b.giveCookie("next-auth.callback-url", url.QueryEscape(s.URL+"/inside"))
	// Ours, for the address and the scope, with v3's parameters alone.
	probe := s.browser()
	start, err := url.Parse(probe.post("/auth/signin/" + provider).location)
	if err != nil {
		v.t.Fatal(err)
	}
	q := start.Query()
	for _, ours := range []string{"nonce", "code_challenge", "code_challenge_method"} {
		q.Del(ours)
	}
	q.Set("state", nextauth.State(sharedToken))
	if verifier != "" {
		sum := sha256.Sum256([]byte(verifier))
		q.Set("code_challenge", base64.RawURLEncoding.EncodeToString(sum[:]))
		q.Set("code_challenge_method", "S256")
		b.giveCookie("next-auth.pkce.code_verifier", v.tokens().EncodeVerifier(verifier, time.Now()))
	}
	start.RawQuery = q.Encode()
	return b, b.send(http.MethodPost, start.String(), url.Values{"person": {person}}).location
}

func (v v3) tokens() nextauth.Tokens {
	v.t.Helper()
	tokens, err := nextauth.New(nextauth.Options{Secret: sharedSecret})
	if err != nil {
		v.t.Fatal(err)
	}
	return tokens
}

// A sign-in that v3 began ends here, with PKCE and without, and by a provider
// with an ID token, which has no nonce then.
func TestSignInBegunAtNextAuth(t *testing.T) {
	for _, tt := range []struct{ provider, verifier string }{{"github", verifier64}, {"github", ""}, {"google", ""}, {"oidc", verifier64}} {
		t.Run(tt.provider+tt.verifier, func(t *testing.T) {
			s, site := beside(t, nil)
			s.idp.Lenient = true
			site.t = t
			b, callback := site.begunAt(s, tt.provider, "1002", tt.verifier)
			p := b.get(callback)
			if p.location != s.URL+"/inside" {
				t.Fatalf("%d %s\n%s", p.status, p.location, s.log)
			}
			if got := b.session(); got.User.Email != "grace@example.org" {
				t.Errorf("%+v", got)
			}
			if tt.verifier != "" && !strings.Contains(strings.Join(p.header["Set-Cookie"], "\n"), "next-auth.pkce.code_verifier=; Max-Age=0; Path=/; Expires=") {
				t.Errorf("the verifier stays: %q", p.header["Set-Cookie"])
			}
			// O-5: once, though the state is the same for all of this browser's.
			again, _ := site.begunAt(s, tt.provider, "1002", tt.verifier)
			if p := again.get(callback); !strings.Contains(p.location, "error=OAuthCallback&") || !strings.Contains(p.location, "reason=attempt_used") {
				t.Errorf("again: %d %s", p.status, p.location)
			}
			other, callback := site.begunAt(s, tt.provider, "1001", tt.verifier)
			if p := other.get(callback); p.location != s.URL+"/inside" {
				t.Errorf("another sign-in with this state: %d %s", p.status, p.location)
			}
		})
	}
}

// O-7, §18 row 12: what v3 did not begin in this browser is refused here.
func TestNotBegunAtNextAuth(t *testing.T) {
	s, site := beside(t, nil)
	s.idp.Lenient = true
	for name, tt := range map[string]struct {
		change func(b *browser)
		reason string
	}{
		"no cookie":                  {func(b *browser) { b.http.Jar, _ = cookiejar.New(nil) }, "begun_elsewhere"},
		"another token":              {func(b *browser) { b.giveCookie("next-auth.csrf-token", "x%7C"+site.hash("x")) }, "begun_elsewhere"},
		"a token of somebody else's": {func(b *browser) { b.giveCookie("next-auth.csrf-token", sharedToken+"%7C"+strings.Repeat("0", 64)) }, "begun_elsewhere"},
		"no verifier":                {func(b *browser) { b.giveCookie("next-auth.pkce.code_verifier", "") }, "attempt_expired"},
		"another verifier": {func(b *browser) {
			b.giveCookie("next-auth.pkce.code_verifier", site.tokens().EncodeVerifier(strings.Repeat("w", 64), time.Now()))
		}, "code_rejected"},
		"an old verifier": {func(b *browser) {
			b.giveCookie("next-auth.pkce.code_verifier", site.tokens().EncodeVerifier(verifier64, time.Now().Add(-16*time.Minute)))
		}, "attempt_expired"},
		"a session as verifier": {func(b *browser) {
			b.giveCookie("next-auth.pkce.code_verifier", site.tokens().EncodeSession(nextauth.SessionClaims{Sub: "1", Iat: time.Now().Unix(), Exp: time.Now().Add(time.Hour).Unix()}, true))
		}, "attempt_expired"},
	} {
		t.Run(name, func(t *testing.T) {
			site.t = t
			b, callback := site.begunAt(s, "github", "1002", verifier64)
			tt.change(b)
			if p := b.get(callback); !strings.Contains(p.location, "/auth/error?error=") || !strings.Contains(p.location, "reason="+tt.reason) {
				t.Errorf("%d %s", p.status, p.location)
			}
			if got := b.session(); got.User.Email != "" {
				t.Errorf("%+v", got)
			}
		})
	}
	// Where the mode is off, or v3 is gone, its state is nobody's.
	off := newSite(t, site.dsn, nil)
	gone, _ := beside(t, func(c *Config) { c.NextAuth.Shared = false })
	off.idp.Lenient, gone.idp.Lenient = true, true
	b, callback := site.begunAt(off, "github", "1002", "")
	if p := b.get(callback); !strings.Contains(p.location, "reason=attempt_missing") {
		t.Errorf("off: %d %s", p.status, p.location)
	}
	b, callback = site.begunAt(gone, "github", "1002", "")
	if p := b.get(callback); !strings.Contains(p.location, "reason=attempt_missing") {
		t.Errorf("gone: %d %s", p.status, p.location)
	}
	// O-18: an ID token that was issued for another request has that one's nonce.
	b, _ = site.begunAt(s, "google", "1002", "")
	start, err := url.Parse(s.browser().post("/auth/signin/google").location)
	if err != nil {
		t.Fatal(err)
	}
	q := start.Query()
	q.Set("state", nextauth.State(sharedToken))
	q.Del("code_challenge")
	q.Del("code_challenge_method")
	start.RawQuery = q.Encode()
	if p := b.get(b.send(http.MethodPost, start.String(), url.Values{"person": {"1002"}}).location); !strings.Contains(p.location, "reason=id_token_invalid") {
		t.Errorf("a nonce: %d %s", p.status, p.location)
	}
}

// CVE-2026-73419, §18 row 22: what v3 began never adds an account to whoever is
// signed in, not later either; an account that is theirs signs in again.
func TestBegunAtNextAuthNeverLinks(t *testing.T) {
	s, site := beside(t, nil)
	s.idp.Lenient = true
	ada := site.user("Ada", "ada@example.test")
	for _, age := range []string{"0 s", "1 hour"} {
		b, callback := site.begunAt(s, "github", "1003", "")
		token := strings.Repeat("a", 63) + age[:1]
		site.session(ada, token)
		site.sql(`UPDATE sessions SET created_at = now() - $1::interval WHERE session_token = $2`, age, token)
		b.giveCookie("next-auth.session-token", token)
		if p := b.get(callback); !strings.Contains(p.location, "error=OAuthCallback&") || !strings.Contains(p.location, "reason=begun_elsewhere") {
			t.Errorf("%s: %d %s", age, p.status, p.location)
		}
		if _, pending := b.hasCookie("gatepost.pending-link"); pending {
			t.Errorf("%s: it is kept for later", age)
		}
		if got := b.session(); got.User.Name != "Ada" || len(site.sql(`SELECT id FROM accounts`)) != 0 || len(site.sql(`SELECT id FROM users`)) != 1 {
			t.Errorf("%s: %+v", age, got)
		}
	}
	site.account(ada, "github", "1002")
	b, callback := site.begunAt(s, "github", "1002", "")
	b.giveCookie("next-auth.session-token", strings.Repeat("a", 63)+"0")
	if p := b.get(callback); p.location != s.URL+"/inside" || b.session().User.Name != "Ada" {
		t.Errorf("own account: %d %s", p.status, p.location)
	}
}

func (b *browser) hasCookie(name string) (string, bool) {
	u, _ := url.Parse(b.URL)
	for _, c := range b.http.Jar.Cookies(u) {
		if c.Name == name {
			return c.Value, true
		}
	}
	return "", false
}

// O-7: v3 sends some providers neither state nor a code challenge that is sure to
// count (Apple, Salesforce, OAuth 1, and PKCE alone). Their answers might be to
// somebody else's question, and sign nobody in: the page in front of the provider's
// button asks for one more click.
func TestBegunAtNextAuthWithoutState(t *testing.T) {
	s, site := beside(t, nil)
	s.idp.Lenient = true
	button := regexp.MustCompile(`action="[^"]*/signin/(\w+)"`)
	for name, do := range map[string]func(b *browser) page{
		"github": func(b *browser) page { return b.get("/auth/callback/github?code=x") },
		"google": func(b *browser) page {
			b.giveCookie("next-auth.pkce.code_verifier", site.tokens().EncodeVerifier(verifier64, time.Now()))
			return b.get("/auth/callback/google?code=x")
		},
		"oidc": func(b *browser) page { return b.get("/auth/callback/oidc?oauth_token=x&oauth_verifier=y") },
		"apple": func(b *browser) page {
			return b.send(http.MethodPost, "/auth/callback/apple", url.Values{"code": {"x"}}, "Sec-Fetch-Site", "cross-site")
		},
	} {
		b := s.browser()
		b.giveCookie("next-auth.csrf-token", sharedToken+"%7C"+sharedHash)
		p := do(b)
		if !strings.Contains(p.location, "error=OAuthCallback&") || !strings.Contains(p.location, "reason=begun_elsewhere") {
			t.Errorf("%s: %d %s", name, p.status, p.location)
		}
		page := b.follow(p)
		if first := button.FindStringSubmatch(page.body); page.status != http.StatusOK || !strings.Contains(page.body, "One more click") || first == nil || first[1] != name {
			t.Errorf("%s: %d %q", name, page.status, first)
		}
		if got := b.session(); got.User.Email != "" {
			t.Errorf("%s: %+v", name, got)
		}
	}
	b := s.browser()
	if p := b.get("/auth/callback/github?code=x&state=" + strings.Repeat("x", 43)); !strings.Contains(p.location, "reason=attempt_missing") {
		t.Errorf("one of ours that is gone: %d %s", p.status, p.location)
	}
}

// §18 row 12: what begins here has a state of its own, each time, and takes
// neither state nor scope from a query.
func TestStateIsNeverNextAuths(t *testing.T) {
	s, _ := beside(t, nil)
	b := s.browser()
	b.giveCookie("next-auth.csrf-token", sharedToken+"%7C"+sharedHash)
	seen := map[string]bool{nextauth.State(sharedToken): true, "mine": true}
	for range 3 {
		p := b.post("/auth/signin/google?state=mine&scope=everything&redirect_uri=https://evil.test", "json", "true")
		var answer struct{ URL string }
		if err := json.Unmarshal([]byte(p.body), &answer); err != nil {
			t.Fatal(err)
		}
		u, err := url.Parse(answer.URL)
		if err != nil {
			t.Fatal(err)
		}
		q := u.Query()
		if seen[q.Get("state")] || strings.Contains(q.Get("scope"), "everything") || q.Get("redirect_uri") != s.URL+"/auth/callback/google" || q.Get("nonce") == "" || q.Get("code_challenge") == "" {
			t.Errorf("%s", answer.URL)
		}
		seen[q.Get("state")] = true
	}
}
