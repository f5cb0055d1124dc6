package app

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gatepost/gatepost/store/storetest"
)

// sharedSecret is the one of the values that next-auth 3.29.10 made, see
// flows/nextauth.
const (
	sharedSecret = "oracle-secret-not-for-production"
	sharedToken  = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
	sharedHash   = "dfed7848cb95dc7c2b2ee26d291cbc93b17aceb3b5e251c40824bc5e7d16ca3f"
)

// v3 does to the tables what next-auth 3.29.10 does, statement by statement.
type v3 struct {
	t   *testing.T
	dsn string
}

func (v v3) sql(sql string, args ...any) []string {
	v.t.Helper()
	return storetest.SQL(v.t, v.dsn, sql, args...)
}

// hash is v3's sha256hex(token + secret).
func (v3) hash(token string) string {
	sum := sha256.Sum256([]byte(token + sharedSecret))
	return hex.EncodeToString(sum[:])
}

// user inserts a user as an OAuth sign-in does: with the address and no word on
// whether it is proven.
func (v v3) user(name, email string) (id string) {
	v.t.Helper()
	return v.sql(`INSERT INTO users (name, email, email_verified, image) VALUES ($1, $2, NULL, NULL) RETURNING id`, name, email)[0]
}

func (v v3) account(user, provider, id string) {
	v.t.Helper()
	sum := sha256.Sum256([]byte(provider + ":" + id))
	v.sql(`INSERT INTO accounts (compound_id, user_id, type, provider, provider_account_id, refresh_token, access_token, access_token_expires)
		VALUES ($1, $2::int, 'oauth', $3, $4, NULL, 'issued to v3', NULL)`, hex.EncodeToString(sum[:]), user, provider, id)
}

// session begins one, which expires a moment before its 30 days.
func (v v3) session(user, token string) {
	v.t.Helper()
	v.sql(`INSERT INTO sessions (user_id, expires, session_token, access_token) VALUES ($1::int, $2::timestamptz, $3, $4)`,
		user, time.Now().Add(720*time.Hour).UTC().Format("2006-01-02T15:04:05.000Z"), token, v.hash(token))
}

// signOut deletes the row, and tells nobody.
func (v v3) signOut(token string) {
	v.t.Helper()
	v.sql(`DELETE FROM sessions WHERE session_token = $1`, token)
}

// finds is v3's look-up of a session: the user's address, or "".
func (v v3) finds(token string) string {
	v.t.Helper()
	rows := v.sql(`SELECT u.email FROM sessions s JOIN users u ON u.id = s.user_id WHERE s.session_token = $1 AND s.expires > now()`, token)
	return strings.Join(rows, ",")
}

// csrfCookie is what v3 gives a browser.
func (v v3) csrfCookie(token string) string {
	return "next-auth.csrf-token=" + token + "%7C" + v.hash(token)
}

// beside is a site that shares a database with v3.
func beside(t *testing.T, change func(*Config)) (*site, v3) {
	t.Helper()
	dsn := storetest.URL(t)
	return newSite(t, dsn, func(c *Config) {
		d := besideNextAuth(nil, &mistakes{})
		c.Compat, c.NextAuth.Secret = List{nextAuthV3}, sharedSecret
		c.Linking, c.Session, c.Mail.LinkTTL = d.Linking, d.Session, d.Mail.LinkTTL
		if change != nil {
			change(c)
		}
	}), v3{t, dsn}
}

// with sends a request with cookies of one's own.
func (b *browser) with(cookies, method, target string, fields ...string) page {
	var form url.Values
	if method == http.MethodPost {
		form = url.Values{}
		for i := 0; i+1 < len(fields); i += 2 {
			form.Set(fields[i], fields[i+1])
		}
	}
	fresh := b.site.browser()
	fresh.http.Jar = nil
	return fresh.send(method, target, form, "Cookie", cookies)
}

func TestNextAuthConfiguration(t *testing.T) {
	const rest = "keys: [kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk]\ndatabase: {url: postgres://localhost/x}\n"
	const on = rest + "compat: nextauth-v3\nnextauth: {secret: " + sharedSecret + "}\n"
	c, err := loadText(t, on, "NEXTAUTH_URL=https://Site.example/")
	if err != nil {
		t.Fatal(err)
	}
	if c.PublicURL != "https://site.example" || c.BasePath != "/api/auth" || c.Session.Absolute != 0 || c.Session.MaxPerUser != 0 || c.Mail.LinkTTL != 24*time.Hour || c.Linking != "never" || c.Session.Idle != 720*time.Hour {
		t.Errorf("defaults: %+v", c)
	}
	c, err = loadText(t, on+"public_url: https://auth.example\nbase_path: /auth\nlinking: verified\nmail: {link_ttl: 10m}\nsession: {absolute: 2160h, max_per_user: 20}\n", "NEXTAUTH_URL=https://site.example/x")
	if err != nil || c.PublicURL != "https://auth.example" || c.BasePath != "/auth" || c.Session.Absolute != 2160*time.Hour || c.Session.MaxPerUser != 20 || c.Mail.LinkTTL != 10*time.Minute || c.Linking != "verified" {
		t.Errorf("set by the operator: %v %+v", err, c)
	}
	if c, err = loadText(t, rest, "GATEPOST_COMPAT=nextauth-v3", "GATEPOST_NEXTAUTH_SECRET="+sharedSecret, "NEXTAUTH_URL=site.example/sub/auth"); err != nil || c.PublicURL+c.BasePath != "https://site.example/sub/auth" {
		t.Errorf("by the environment: %v %s%s", err, c.PublicURL, c.BasePath)
	}
	if c, err = loadText(t, on+"mail: {bind: browser, host: 'smtp.example.org:587', from: a@example.org}\n", "NEXTAUTH_URL=https://site.example", "GATEPOST_NEXTAUTH_SHARED=false"); err != nil || c.shared() {
		t.Errorf("gone: %v", err)
	}
	// §18 row 14: a short secret is found by the CSRF cookie.
	for name, tt := range map[string]struct {
		yaml, env, want string
	}{
		"none":                                 {rest + "compat: nextauth-v3\n", "NEXTAUTH_URL=https://site.example", "nextauth.secret: is missing"},
		"short":                                {rest + "compat: [nextauth-v3]\nnextauth: {secret: hunter2}\n", "NEXTAUTH_URL=https://site.example", "nextauth.secret: has 7 bytes, needs 32, because its CSRF cookie lets anybody guess a short one; set a longer secret in the NextAuth site first"},
		"no mode":                              {rest + "public_url: https://a.example\nnextauth: {secret: " + sharedSecret + "}\n", "", "nextauth.secret: is only for compat: nextauth-v3"},
		"no mode, so NEXTAUTH_URL is nobody's": {rest, "NEXTAUTH_URL=https://site.example", "public_url: is missing"},
		"plain http":                           {on, "NEXTAUTH_URL=http://site.example", "environment variable NEXTAUTH_URL: public_url: must be https"},
		"no mode, and gone":                    {rest + "public_url: https://a.example\nnextauth: {shared: false}\n", "", "nextauth.shared: is only for compat: nextauth-v3"},
		"bound link":                           {on + "mail: {bind: browser, host: 'smtp.example.org:587', from: a@example.org}\n", "NEXTAUTH_URL=https://site.example", "mail.bind: browser would refuse every link"},
	} {
		if _, err := loadText(t, tt.yaml, tt.env); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func loadText(t *testing.T, text string, environ ...string) (Config, error) {
	t.Helper()
	file := t.TempDir() + "/gatepost.yaml"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return Load(file, environ)
}

// What v3 began holds here, and the answers are v3's to the byte.
func TestSessionOfNextAuth(t *testing.T) {
	s, site := beside(t, nil)
	id := site.user(`<Ada> "A" & U+2028`+"\u2028", "alice@example.test")
	site.session(id, sharedToken)
	site.sql(`UPDATE sessions SET expires = date_trunc('second', expires) + interval '0.726999 s'`)
	expires, err := time.Parse("2006-01-02 15:04:05", site.sql(`SELECT to_char(expires AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS') FROM sessions`)[0])
	if err != nil {
		t.Fatal(err)
	}
	p := s.browser().with("next-auth.session-token="+sharedToken, http.MethodGet, "/auth/session")
	want := `{"user":{"name":"<Ada> \"A\" & U+2028` + "\u2028" + `","email":"alice@example.test","image":null},"accessToken":"` + sharedHash + `","expires":"` + expires.Format("2006-01-02T15:04:05") + `.726Z"}`
	if p.body != want || p.status != http.StatusOK {
		t.Errorf("got  %d %s\nwant %s", p.status, p.body, want)
	}
	cookies := p.header["Set-Cookie"]
	if len(cookies) != 3 || !regexp.MustCompile(`^next-auth\.csrf-token=[0-9a-f]{64}%7C[0-9a-f]{64}; Path=/; HttpOnly; SameSite=Lax$`).MatchString(cookies[0]) ||
		cookies[1] != "next-auth.callback-url="+strings.NewReplacer(":", "%3A", "/", "%2F").Replace(s.URL)+"; Path=/; HttpOnly; SameSite=Lax" ||
		cookies[2] != "next-auth.session-token="+sharedToken+"; Path=/; Expires="+expires.Format(http.TimeFormat)+"; HttpOnly; SameSite=Lax" {
		t.Errorf("%q", cookies)
	}
	// Unknown: cleared. What no cookie can be looked up by never reaches the database.
	for _, token := range []string{strings.Repeat("f", 64), "unknown", "api:x", strings.Repeat("x", 256), "%00", "%C3%A9", sealedVerifier} {
		p := s.browser().with(site.csrfCookie(sharedToken)+"; next-auth.callback-url="+url.QueryEscape(s.URL)+"; next-auth.session-token="+token, http.MethodGet, "/auth/session")
		cookies := p.header["Set-Cookie"]
		if p.body != "{}" || len(cookies) != 1 || !regexp.MustCompile(`^next-auth\.session-token=; Max-Age=0; Path=/; Expires=[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT; HttpOnly; SameSite=Lax$`).MatchString(cookies[0]) {
			t.Errorf("%q: %s %q", token, p.body, cookies)
		}
	}
	// An empty text is not NULL there.
	blank := site.sql(`INSERT INTO users (name, email, image) VALUES ('', '', '') RETURNING id`)[0]
	site.session(blank, "blank")
	if p := s.browser().with("next-auth.session-token=blank", http.MethodGet, "/auth/session"); !strings.HasPrefix(p.body, `{"user":{"name":"","email":"","image":""},`) {
		t.Error(p.body)
	}
	// Other programs' tokens are any string.
	for _, token := range []string{"cb5f2a3e-0d6f-4d3e-9d4b-1f1f1f1f1f1f", "with spaces and %", "x"} {
		site.session(id, token)
		if p := s.browser().with("next-auth.session-token="+strings.ReplaceAll(url.QueryEscape(token), "+", "%20"), http.MethodGet, "/auth/session"); !strings.Contains(p.body, "alice@example.test") {
			t.Errorf("%q: %s", token, p.body)
		}
	}
}

// sealedVerifier is a PKCE cookie of v3's.
const sealedVerifier = "eyJhbGciOiJkaXIiLCJlbmMiOiJBMjU2R0NNIiwiemlwIjoiREVGIn0..AAECAwQFBgcICQoL.d5fHlJAcvjL8g0Thn9TG0yWGrudOsPBf2wV-icbmlyZ6P1FcBNuwoEtdx-rxofsZOBQJyfENJif6tTEEMuxOHeoolHhDwODQNzRiSxW9rBVnzAK9b3gH0t14fb484oxeYnHn6Pnw05KaL3t_JdYRgFbJ4QrgxyoyaIGN6anTSKh-7HevnApqZPliK5wR5c8NfPkjTUJJRNEMX2eWD1LGEFb5un0.iLmlieIN6CBmLcnGu0aevw"

// CVE-2023-48309: a code verifier is nobody's session, also where a row has it.
func TestCodeVerifierIsNoSession(t *testing.T) {
	s, site := beside(t, nil)
	site.session(site.user("", "alice@example.test"), sealedVerifier[:255])
	for _, header := range []string{"next-auth.session-token=" + sealedVerifier, "next-auth.pkce.code_verifier=" + sealedVerifier} {
		if p := s.browser().with(header, http.MethodGet, "/auth/session"); p.body != "{}" {
			t.Errorf("%s: %s", header, p.body)
		}
	}
}

// A sign-out at v3, which tells nobody, holds here with the next request, at the
// gate and in the pages; nothing is remembered.
func TestSignOutAtNextAuth(t *testing.T) {
	var site v3
	s := guarded(t, func(c *Config) {
		site = v3{t, string(c.Database.URL)}
		c.Compat, c.NextAuth.Secret, c.Session.Absolute = List{nextAuthV3}, sharedSecret, 0
	})
	id := site.user("Alice", "alice@example.test")
	for i := range 20 {
		token := fmt.Sprintf("%064x", i)
		site.session(id, token)
		cookie := "next-auth.session-token=" + token
		if p := s.check("forward", "GET", "https://app.example.org/x", "Cookie", cookie); p.status != http.StatusOK {
			t.Fatalf("signed in: %d", p.status)
		}
		site.signOut(token)
		if p := s.check("forward", "GET", "https://app.example.org/x", "Cookie", cookie); p.status != http.StatusUnauthorized {
			t.Fatalf("signed out: %d", p.status)
		}
		if p := s.browser().with(cookie, http.MethodGet, "/auth/session"); p.body != "{}" {
			t.Fatalf("signed out: %s", p.body)
		}
	}
	// An API client of the site's, and an application's own token beside a session.
	site.session(id, sharedToken)
	if p := s.check("forward", "GET", "https://app.example.org/x", "Authorization", "Bearer "+sharedHash); p.status != http.StatusOK {
		t.Errorf("bearer: %d", p.status)
	}
	if p := s.check("forward", "GET", "https://app.example.org/x", "Authorization", "Bearer "+sharedToken); p.status != http.StatusUnauthorized {
		t.Errorf("a session token as bearer: %d", p.status)
	}
	if p := s.check("forward", "GET", "https://app.example.org/x", "Authorization", "Bearer "+strings.Repeat("a", 64), "Cookie", "next-auth.session-token="+sharedToken); p.status != http.StatusOK {
		t.Errorf("an application's bearer and a session: %d", p.status)
	}
	if s.parts.cache.Trusted() || s.parts.cache.Stats().Held != 0 {
		t.Errorf("%+v", s.parts.cache.Stats())
	}
}

// When v3 is gone its sessions are remembered: a check asks nothing, GET /session
// says the same to the byte, and a sign-out holds on every replica at once.
func TestSessionsAreRememberedOnceNextAuthIsGone(t *testing.T) {
	var old v3
	s := guarded(t, func(c *Config) {
		old = v3{t, string(c.Database.URL)}
		c.Compat, c.NextAuth.Secret, c.Session.Absolute = List{nextAuthV3}, sharedSecret, 0
		c.NextAuth.Shared = false
	})
	other, beside := s.replica(nil), s.replica(func(c *Config) { c.NextAuth.Shared = true })
	for _, r := range []*site{s, other} {
		for end := time.Now().Add(5 * time.Second); !r.parts.cache.Trusted() && time.Now().Before(end); time.Sleep(time.Millisecond) {
		}
	}
	id := old.user("Alice", "alice@example.test")
	for i := range 20 {
		token := fmt.Sprintf("%064x", i)
		old.session(id, token)
		cookie, bearer := "next-auth.session-token="+token, "Bearer "+old.hash(token)
		for _, r := range []*site{s, other} {
			ask := func() (answers []string) {
				for range 3 {
					answers = append(answers, fmt.Sprint(r.check("forward", "GET", "https://app.example.org/x", "Cookie", cookie).status),
						fmt.Sprint(r.check("forward", "GET", "https://app.example.org/x", "Authorization", bearer).status),
						r.browser().with(cookie, http.MethodGet, "/auth/session").body)
				}
				return answers
			}
			ask() // learns
			before := r.parts.store.Stats().Acquires
			answers := ask()
			if n := r.parts.store.Stats().Acquires - before; n != 0 {
				t.Errorf("%d statements for checks of what is remembered", n)
			}
			for j, want := range []string{"200", "200", beside.browser().with(cookie, http.MethodGet, "/auth/session").body} {
				if answers[j] != want {
					t.Errorf("%s, want %s", answers[j], want)
				}
			}
		}
		s.browser().with(old.csrfCookie(sharedToken)+"; "+cookie, http.MethodPost, "/auth/signout", "csrfToken", sharedToken)
		if p := s.check("forward", "GET", "https://app.example.org/x", "Cookie", cookie); p.status != http.StatusUnauthorized {
			t.Fatalf("signed out here: %d", p.status)
		}
		for end := time.Now().Add(time.Second); ; {
			byCookie, byToken := other.check("forward", "GET", "https://app.example.org/x", "Cookie", cookie).status, other.check("forward", "GET", "https://app.example.org/x", "Authorization", bearer).status
			if byCookie == http.StatusUnauthorized && byToken == http.StatusUnauthorized {
				break
			}
			if time.Now().After(end) {
				t.Fatalf("signed out there: %d %d", byCookie, byToken)
			}
		}
	}
}

// CVE-2026-73420, §18 row 6: what v3 took for an address is none at the gate.
func TestAddressesOfNextAuthAtTheGate(t *testing.T) {
	var site v3
	s := guarded(t, func(c *Config) {
		site = v3{t, string(c.Database.URL)}
		c.Compat, c.NextAuth.Secret, c.Session.Absolute = List{nextAuthV3}, sharedSecret, 0
		c.Gate.Rules = []RuleConfig{{Host: List{"app.example.org"}, Allow: &Who{Atom: "@victim.test"}}}
	})
	for i, tt := range []struct {
		email string
		want  int
	}{{"ada@victim.test", 200}, {"Ada@Victim.test", 200}, {"ada@\uff56ictim.test", 403}, {"e＠evil.test@victim.test", 403}, {"<e@evil.test>x@victim.test", 403}, {`"e@evil.test"@victim.test`, 403}, {"e@evil.test @victim.test", 403}} {
		id, token := site.user("", tt.email), fmt.Sprintf("%064x", i)
		site.sql(`UPDATE users SET email_verified = now() WHERE id = $1::int`, id)
		site.session(id, token)
		if p := s.check("forward", "GET", "https://app.example.org/x", "Cookie", "next-auth.session-token="+token); p.status != tt.want {
			t.Errorf("%s: %d, want %d", tt.email, p.status, tt.want)
		}
	}
}

// A rule for a domain is one for its people, however the domain is written here
// or there.
func TestDomainsOfNextAuthAtTheGate(t *testing.T) {
	for _, atom := range []string{"@bücher.test", "@xn--bcher-kva.test", "idn@bücher.test", "Idn@xn--bcher-kva.test"} {
		var site v3
		s := guarded(t, func(c *Config) {
			site = v3{t, string(c.Database.URL)}
			c.Compat, c.NextAuth.Secret, c.Session.Absolute = List{nextAuthV3}, sharedSecret, 0
			c.Gate.Rules = []RuleConfig{{Host: List{"app.example.org"}, Allow: &Who{Atom: atom}}}
		})
		for i, tt := range []struct {
			email string
			want  int
		}{{"idn@bücher.test", 200}, {"idn@xn--bcher-kva.test", 200}, {"idn@bucher.test", 403}, {"idn@bücher.test.evil.test", 403}} {
			id, token := site.user("", tt.email), fmt.Sprintf("%064x", i)
			site.sql(`UPDATE users SET email_verified = now() WHERE id = $1::int`, id)
			site.session(id, token)
			p := s.check("forward", "GET", "https://app.example.org/x", "Cookie", "next-auth.session-token="+token)
			if p.status != tt.want || p.status == http.StatusOK && p.header.Get("Remote-Email") != "idn@xn--bcher-kva.test" {
				t.Errorf("%s, rule %s: %d %q", tt.email, atom, p.status, p.header.Get("Remote-Email"))
			}
		}
	}
}

// A sign-out here is one at v3, with v3's own form and token.
func TestSignOutHere(t *testing.T) {
	s, site := beside(t, nil)
	site.session(site.user("Alice", "alice@example.test"), sharedToken)
	cookies := site.csrfCookie(sharedToken) + "; next-auth.session-token=" + sharedToken + "; next-auth.callback-url=" + url.QueryEscape(s.URL+"/inside")
	b := s.browser()
	if p := b.with(cookies, http.MethodPost, "/auth/signout", "csrfToken", "no"); p.status != http.StatusFound || p.location != s.URL+"/auth/signout?csrf=true" || site.finds(sharedToken) == "" {
		t.Errorf("wrong token: %d %s", p.status, p.location)
	}
	if p := b.with(cookies, http.MethodPost, "/auth/signin/google", "csrfToken", "no"); p.status != http.StatusFound || p.location != s.URL+"/auth/signin?csrf=true" {
		t.Errorf("wrong token: %d %s", p.status, p.location)
	}
	p := b.with(cookies, http.MethodPost, "/auth/signout", "csrfToken", sharedToken)
	if p.status != http.StatusFound || p.location != s.URL+"/inside" || site.finds(sharedToken) != "" {
		t.Errorf("%d %s", p.status, p.location)
	}
	if set := p.header["Set-Cookie"]; len(set) != 1 || !strings.HasPrefix(set[0], "next-auth.session-token=; Max-Age=0; Path=/; Expires=") {
		t.Errorf("%q", set)
	}
	// The client's way: JSON.
	p = b.with(cookies, http.MethodPost, "/auth/signout", "csrfToken", sharedToken, "json", "true", "callbackUrl", s.URL+"/bye")
	var answer struct{ URL string }
	if err := json.Unmarshal([]byte(p.body), &answer); err != nil || p.status != http.StatusOK || answer.URL != s.URL+"/bye" {
		t.Errorf("%d %s", p.status, p.body)
	}
}

// What is written here is what v3 reads: tokens as they are, in cookie and row.
func TestSignInHereIsReadByNextAuth(t *testing.T) {
	s, site := beside(t, nil)
	b := s.browser()
	if p := b.get(b.answer("google", "1002", "callbackUrl", s.URL+"/inside")); p.location != s.URL+"/inside" {
		t.Fatalf("%d %s", p.status, p.location)
	}
	token := strings.TrimPrefix(b.cookieNamed("next-auth.session-token"), "next-auth.session-token=")
	if site.finds(token) != "grace@example.org" {
		t.Errorf("v3 finds %q by %q", site.finds(token), token)
	}
	row := strings.Split(site.sql(`SELECT session_token, access_token, round(extract(epoch FROM expires - created_at)) FROM sessions`)[0], "|")
	if hexToken := regexp.MustCompile(`^[0-9a-f]{64}$`); !hexToken.MatchString(row[0]) || !hexToken.MatchString(row[1]) || row[2] != "2592000" {
		t.Errorf("%q", row)
	}
	account := site.sql(`SELECT type, provider, provider_account_id, compound_id = encode(sha256(convert_to(provider || ':' || provider_account_id, 'UTF8')), 'hex'), access_token FROM accounts`)[0]
	// O-38 gives way: the site reads providers' tokens from this column.
	if !strings.HasPrefix(account, "oauth|google|") || !strings.Contains(account, "|t|") || strings.HasSuffix(account, "|") || strings.Contains(account, "gp1.") {
		t.Errorf("%s", account)
	}
	csrf, err := url.PathUnescape(strings.TrimPrefix(b.cookieNamed("next-auth.csrf-token"), "next-auth.csrf-token="))
	if csrfToken, hash, _ := strings.Cut(csrf, "|"); err != nil || hash != site.hash(csrfToken) {
		t.Errorf("CSRF cookie %q", csrf)
	}
	if got := b.cookieNamed("next-auth.callback-url"); got != "next-auth.callback-url="+strings.NewReplacer(":", "%3A", "/", "%2F").Replace(s.URL+"/inside") {
		t.Error(got)
	}
	// Whoever had an account at v3 has it here.
	site.account(site.user("Ada", "ada@example.org"), "google", "1001")
	other := s.browser()
	other.get(other.answer("google", "1001"))
	if got := other.session(); got.User.Name != "Ada" {
		t.Errorf("%+v", got)
	}
}

// cookieNamed is a browser's cookie of that name.
func (b *browser) cookieNamed(name string) string {
	b.t.Helper()
	u, err := url.Parse(b.URL)
	if err != nil {
		b.t.Fatal(err)
	}
	cookies := b.http.Jar.Cookies(u)
	i := slices.IndexFunc(cookies, func(c *http.Cookie) bool { return c.Name == name })
	if i < 0 {
		b.t.Fatalf("no cookie %s in %v", name, cookies)
	}
	return name + "=" + cookies[i].Value
}

// §18 row 4: an address to return to that leads nowhere is reset, on every page.
func TestBadCallbackURLIsNoLoop(t *testing.T) {
	s, site := beside(t, nil)
	reset := "next-auth.callback-url=" + strings.NewReplacer(":", "%3A", "/", "%2F").Replace(s.URL) + "; Path=/; HttpOnly; SameSite=Lax"
	for _, bad := range []string{"foo", "javascript%3Aalert(1)", "http%3A%2F%2Fevil.test", "%zz", "%2F%2Fevil.test", ""} {
		for _, path := range []string{"/auth/session", "/auth/csrf", "/auth/providers", "/auth/signin", "/auth/error", "/auth/error?error=Verification", "/auth/verify-request", "/auth/signout", "/auth/nothing"} {
			p := s.browser().with(site.csrfCookie(sharedToken)+"; next-auth.callback-url="+bad, http.MethodGet, path)
			if p.status == http.StatusFound || len(p.header["Set-Cookie"]) != 1 || p.header["Set-Cookie"][0] != reset {
				t.Errorf("%s with %q: %d %s %q", path, bad, p.status, p.location, p.header["Set-Cookie"])
			}
		}
	}
}

// §18 row 3: requests that v3 never answers.
func TestRequestsThatNextAuthNeverAnswers(t *testing.T) {
	s, site := beside(t, nil)
	for name, tt := range map[string]struct{ method, target, kind, body string }{
		"callbackUrl in a body":   {"POST", "/auth/signin/google", "application/x-www-form-urlencoded", "callbackUrl=foo"},
		"null":                    {"POST", "/auth/signin/email", "application/json", "null"},
		"callbackUrl as a number": {"POST", "/auth/signin/email", "application/json", `{"callbackUrl":1,"csrfToken":"` + sharedToken + `"}`},
		"address without @":       {"POST", "/auth/signin/email", "application/json", `{"email":"x","csrfToken":"` + sharedToken + `"}`},
		"address as a list":       {"POST", "/auth/signin/email", "application/json", `{"email":["x"],"csrfToken":"` + sharedToken + `"}`},
		"address as an object":    {"POST", "/auth/signin/email", "application/json", `{"email":{},"csrfToken":"` + sharedToken + `"}`},
		"two errors":              {"GET", "/auth/error?error=a&error=b", "", ""},
		"constructor":             {"GET", "/auth/error?error=constructor", "", ""},
		"providers in the query":  {"GET", "/auth/signin?providers=x", "", ""},
	} {
		b := s.browser()
		r, err := http.NewRequest(tt.method, s.URL+tt.target, strings.NewReader(tt.body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", tt.kind)
		r.Header.Set("Cookie", site.csrfCookie(sharedToken))
		b.http.Timeout = 5 * time.Second
		resp, err := b.http.Do(r)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if resp.Body.Close(); resp.StatusCode >= 500 {
			t.Errorf("%s: %d", name, resp.StatusCode)
		}
	}
}

// §18 row 13: a form that another site posts comes without our cookies, and gets
// no new ones in place of those that the browser has.
func TestCrossSitePostKeepsCookies(t *testing.T) {
	s, _ := beside(t, nil)
	b := s.browser()
	if p := b.get(b.answer("apple", "1002", "callbackUrl", s.URL+"/inside")); p.location != s.URL+"/inside" {
		t.Fatalf("%d %s", p.status, p.location)
	}
	for _, target := range []string{"/auth/callback/apple", "/auth/signin/google", "/auth/signout"} {
		p := s.browser().send(http.MethodPost, target, url.Values{"state": {"x"}, "code": {"y"}}, "Sec-Fetch-Site", "cross-site")
		for _, set := range p.header["Set-Cookie"] {
			if strings.HasPrefix(set, "next-auth.") {
				t.Errorf("%s: %s", target, set)
			}
		}
	}
}

// On https the names have the prefixes that v3's have.
func TestNextAuthCookiesOnHTTPS(t *testing.T) {
	s, site := beside(t, func(c *Config) { c.PublicURL = "https://site.example" })
	site.session(site.user("Alice", "alice@example.test"), sharedToken)
	p := s.browser().with("__Secure-next-auth.session-token="+sharedToken, http.MethodGet, "/auth/session")
	var names []string
	for _, set := range p.header["Set-Cookie"] {
		name, rest, _ := strings.Cut(set, "=")
		if names = append(names, name); !strings.HasSuffix(rest, "; HttpOnly; Secure; SameSite=Lax") {
			t.Error(set)
		}
	}
	if want := []string{"__Host-next-auth.csrf-token", "__Secure-next-auth.callback-url", "__Secure-next-auth.session-token"}; !slices.Equal(names, want) {
		t.Errorf("%v", names)
	}
}

// A site that sets cookies.sessionToken.options.domain has cookie.domain here: of
// the session cookie alone, where v3 writes it.
func TestNextAuthCookieWithDomain(t *testing.T) {
	s, site := beside(t, func(c *Config) { c.PublicURL, c.Cookie.Domain = "https://www.site.example", "site.example" })
	site.session(site.user("Alice", "alice@example.test"), sharedToken)
	set := s.browser().with("__Secure-next-auth.session-token="+sharedToken, http.MethodGet, "/auth/session").header["Set-Cookie"]
	if len(set) != 3 || strings.Contains(set[0]+set[1], "Domain") || !strings.HasPrefix(set[2], "__Secure-next-auth.session-token="+sharedToken+"; Domain=site.example; Path=/; Expires=") {
		t.Errorf("%q", set)
	}
}

// Remembering nothing is no fault: neither readiness nor a metric says so.
func TestNoFaultBesideNextAuth(t *testing.T) {
	s, _ := beside(t, nil)
	ready := &readiness{parts: s.parts, schema: "public"}
	for path, want := range map[string]string{"/readyz": `"database":"ok"`, "/metrics": "gatepost_cache_misses_total"} {
		p := httptest.NewRecorder()
		ready.handler().ServeHTTP(p, httptest.NewRequest(http.MethodGet, path, nil))
		if p.Code != http.StatusOK || !strings.Contains(p.Body.String(), want) || strings.Contains(p.Body.String(), "gatepost_cache_trusted") {
			t.Errorf("%s: %d", path, p.Code)
		}
	}
	if strings.Contains(s.log.String(), "not heard") {
		t.Error("a warning")
	}
	for shared, want := range map[bool]string{true: "note  sessions: ", false: "ok    notifications\n"} {
		var out strings.Builder
		c := s.config
		c.NextAuth.Shared = shared
		c.checkDatabase(t.Context(), &report{out: &out})
		if got := out.String(); !strings.Contains(got, want) || strings.Contains(got, "notifications") == shared || strings.Contains(got, "FAIL") {
			t.Errorf("shared %v: %s", shared, got)
		}
	}
}
