package app

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gatepost/gatepost/flows/nextauth"
)

// signed makes what a NextAuth site with session.jwt gives somebody who signed
// in that long ago.
func signed(t *testing.T, sub, email string, ago time.Duration) string {
	t.Helper()
	return signedBy(t, nextauth.Options{Secret: sharedSecret}, false, sub, email, ago)
}

func signedBy(t *testing.T, o nextauth.Options, encrypted bool, sub, email string, ago time.Duration) string {
	t.Helper()
	tokens, err := nextauth.New(o)
	if err != nil {
		t.Fatal(err)
	}
	iat := time.Now().Add(-ago)
	claims := nextauth.SessionClaims{Sub: sub, Iat: iat.Unix(), Exp: iat.Add(720 * time.Hour).Unix()}
	if email != "" {
		claims.Email = &email
	}
	return tokens.EncodeSession(claims, encrypted)
}

// besideJWT is a site that takes over from one with session.jwt, with a gate
// before app.example.org.
func besideJWT(t *testing.T, change func(*Config)) (*site, v3) {
	t.Helper()
	var dsn string
	s := guarded(t, func(c *Config) {
		dsn = string(c.Database.URL)
		c.Compat, c.NextAuth.Secret, c.NextAuth.Sessions = List{nextAuthV3}, sharedSecret, jwtSessions
		c.Linking, c.Session.Absolute, c.Session.MaxPerUser = "never", 0, 0
		if change != nil {
			change(c)
		}
	})
	return s, v3{t, dsn}
}

func (s *site) sessionOf(cookie string) page {
	s.t.Helper()
	return s.browser().with("next-auth.session-token="+cookie, http.MethodGet, "/auth/session")
}

// given is the session cookie that an answer sets, and whether it sets one.
func given(p page) (value string, ok bool) {
	for _, line := range p.header["Set-Cookie"] {
		if rest, found := strings.CutPrefix(line, "next-auth.session-token="); found {
			value, _, _ = strings.Cut(rest, ";")
			return value, true
		}
	}
	return "", false
}

func (s *site) checkFor(cookie string) int {
	s.t.Helper()
	return s.check("forward", "GET", "https://app.example.org/x", "Cookie", "next-auth.session-token="+cookie).status
}

// Somebody who was signed in at the old site is signed in here: in the pages,
// which give them the new cookie, and at the gate, which cannot. A sign-out ends
// all of it, and neither cookie revives it.
func TestSignedCookieIsExchanged(t *testing.T) {
	ownKeys := NextAuthJWT{
		SigningKey:    `{"kty":"oct","alg":"HS512","k":"5y8F-f2noAsLWVSkqXP3TuF3YJdgOtmKuQv9ZdUPosgiThgn_4dNoWBsXErfzlyLs8qhZGi7JQbdFUpSyAOTFA"}`,
		EncryptionKey: `{"kty":"oct","alg":"A256GCM","k":"F4KX7wjC49uXpgotoRHpUxRuryBY-ya3z2o7UDvDkYc"}`, Encryption: true,
	}
	for name, tt := range map[string]struct {
		jwt NextAuthJWT
		o   nextauth.Options
	}{
		"signed":                    {NextAuthJWT{}, nextauth.Options{Secret: sharedSecret}},
		"encrypted":                 {NextAuthJWT{Encryption: true}, nextauth.Options{Secret: sharedSecret}},
		"with a secret of its own":  {NextAuthJWT{Secret: "a secret for the site's tokens alone"}, nextauth.Options{Secret: "a secret for the site's tokens alone"}},
		"encrypted, with JWKs":      {ownKeys, nextauth.Options{SigningKey: string(ownKeys.SigningKey), EncryptionKey: string(ownKeys.EncryptionKey)}},
		"with a JWK for signatures": {NextAuthJWT{SigningKey: ownKeys.SigningKey}, nextauth.Options{Secret: sharedSecret, SigningKey: string(ownKeys.SigningKey)}},
	} {
		t.Run(name, func(t *testing.T) {
			s, site := besideJWT(t, func(c *Config) { c.NextAuth.JWT = tt.jwt })
			id := site.user("Alice", "alice@example.test")
			old := signedBy(t, tt.o, tt.jwt.Encryption, id, "Alice@example.test", time.Hour)
			if status := s.checkFor(old); status != http.StatusOK {
				t.Fatalf("at the gate: %d", status)
			}
			p := s.sessionOf(old)
			fresh, ok := given(p)
			if p.status != http.StatusOK || !strings.Contains(p.body, `"email":"alice@example.test"`) || !ok || len(fresh) != 64 || strings.Contains(old, fresh) {
				t.Fatalf("%d %s, cookie %q", p.status, p.body, fresh)
			}
			if site.finds(fresh) != "alice@example.test" {
				t.Error("there is no row for the new cookie")
			}
			if again, _ := given(s.sessionOf(old)); again != fresh {
				t.Errorf("another tab was given %q", again)
			}
			if p := s.sessionOf(fresh); !strings.Contains(p.body, `"email":"alice@example.test"`) || s.checkFor(fresh) != http.StatusOK {
				t.Errorf("by the new cookie: %s", p.body)
			}
			if p := s.browser().with("next-auth.session-token="+old, http.MethodGet, "/auth/account"); p.status != http.StatusOK || !strings.Contains(p.body, "alice@example.test") {
				t.Errorf("account page: %d", p.status)
			}
			out := s.browser().with(site.csrfCookie(sharedToken)+"; next-auth.session-token="+fresh, http.MethodPost, "/auth/signout", "csrfToken", sharedToken)
			if out.status != http.StatusFound {
				t.Fatalf("sign-out: %d", out.status)
			}
			for _, cookie := range []string{old, fresh} {
				if status := s.checkFor(cookie); status != http.StatusUnauthorized {
					t.Errorf("after the sign-out, at the gate: %d", status)
				}
				if p := s.sessionOf(cookie); p.body != "{}" {
					t.Errorf("after the sign-out: %s", p.body)
				} else if cleared, ok := given(p); !ok || cleared != "" {
					t.Errorf("after the sign-out the cookie is %q", cleared)
				}
			}
			if n := site.sql("SELECT count(*)::text FROM sessions"); n[0] != "0" {
				t.Errorf("%s sessions", n[0])
			}
			if strings.Contains(s.log.String(), old) || strings.Contains(s.log.String(), fresh) {
				t.Error("the log has a cookie")
			}
		})
	}
}

// A hundred tabs at once are one session, and a sign-out at the same time as any
// of them ends it.
func TestSignedCookieInManyTabs(t *testing.T) {
	s, site := besideJWT(t, func(c *Config) { c.Database.MaxConns = 20 })
	old := signed(t, site.user("Alice", "alice@example.test"), "alice@example.test", time.Hour)
	var wg sync.WaitGroup
	var mu sync.Mutex
	seen := map[string]int{}
	for i := range 100 {
		wg.Go(func() {
			if i%2 == 0 {
				if status := s.checkFor(old); status != http.StatusOK {
					t.Errorf("gate: %d", status)
				}
				return
			}
			fresh, _ := given(s.sessionOf(old))
			mu.Lock()
			defer mu.Unlock()
			seen[fresh]++
		})
	}
	wg.Wait()
	if n := site.sql("SELECT count(*)::text FROM sessions"); n[0] != "1" || len(seen) != 1 {
		t.Errorf("%s sessions, cookies %v", n[0], seen)
	}
	for i := range 20 {
		wg.Go(func() {
			if i == 10 {
				s.browser().with(site.csrfCookie(sharedToken)+"; next-auth.session-token="+old, http.MethodPost, "/auth/signout", "csrfToken", sharedToken)
				return
			}
			s.checkFor(old)
		})
	}
	wg.Wait()
	if n := site.sql("SELECT count(*)::text FROM sessions"); n[0] != "0" || s.checkFor(old) != http.StatusUnauthorized {
		t.Errorf("%s sessions after the sign-out", n[0])
	}
}

// Signing out with a cookie that has opened nothing yet: it never will.
func TestSignOutBeforeTheExchange(t *testing.T) {
	s, site := besideJWT(t, nil)
	old := signed(t, site.user("Alice", "alice@example.test"), "alice@example.test", time.Hour)
	p := s.browser().with(site.csrfCookie(sharedToken)+"; next-auth.session-token="+old, http.MethodPost, "/auth/signout", "csrfToken", sharedToken)
	if cleared, ok := given(p); p.status != http.StatusFound || !ok || cleared != "" {
		t.Errorf("%d, cookie %q", p.status, cleared)
	}
	if s.checkFor(old) != http.StatusUnauthorized || s.sessionOf(old).body != "{}" {
		t.Error("the cookie signs in")
	}
	if got := site.sql("SELECT (SELECT count(*) FROM sessions) || ' ' || (SELECT count(*) FROM verification_tokens)"); got[0] != "0 1" {
		t.Errorf("sessions and marks: %s", got[0])
	}
}

// CVE-2023-48309 and whatever else is no session of the site's, or of nobody
// here: no row, no cookie, and no trace.
func TestSignedCookieRefused(t *testing.T) {
	s, site := besideJWT(t, nil)
	alice, bob := site.user("Alice", "alice@example.test"), site.user("Bob", "bob@example.test")
	site.sql("INSERT INTO users (name) VALUES ('Without an address')")
	good := signed(t, alice, "alice@example.test", time.Hour)
	tokens, err := nextauth.New(nextauth.Options{Secret: sharedSecret})
	if err != nil {
		t.Fatal(err)
	}
	claims := func(format string, args ...any) string {
		return tokens.Encode(fmt.Appendf(nil, format, args...), false)
	}
	now := time.Now().Unix()
	parts := strings.Split(good, ".")
	for name, cookie := range map[string]string{
		"another's number":                    signed(t, bob, "alice@example.test", time.Hour),
		"a provider's account, by chance":     signed(t, bob, "eve@example.test", time.Hour),
		"no address":                          signed(t, alice, "", time.Hour),
		"absent on both sides":                signed(t, "3", "", time.Hour),
		"a provider's account":                signed(t, "110169484474386276334", "alice@example.test", time.Hour),
		"nobody":                              signed(t, "9", "alice@example.test", time.Hour),
		"over":                                signed(t, alice, "alice@example.test", 721*time.Hour),
		"of tomorrow":                         signed(t, alice, "alice@example.test", -24*time.Hour),
		"another site's":                      signedBy(t, nextauth.Options{Secret: "another site's secret, 32 bytes!"}, false, alice, "alice@example.test", time.Hour),
		"encrypted, where the site signs":     signedBy(t, nextauth.Options{Secret: sharedSecret}, true, alice, "alice@example.test", time.Hour),
		"no iat":                              claims(`{"sub":%q,"email":"alice@example.test","exp":%d}`, alice, now+1000),
		"an old iat":                          claims(`{"sub":%q,"email":"alice@example.test","iat":%d}`, alice, now-721*3600),
		"a verifier":                          claims(`{"code_verifier":"%s","iat":%d,"exp":%d}`, strings.Repeat("v", 64), now, now+900),
		"a verifier that names somebody":      claims(`{"code_verifier":"v","sub":%q,"email":"alice@example.test","iat":%d}`, alice, now),
		"a PKCE cookie":                       tokens.EncodeVerifier(strings.Repeat("v", 64), time.Now()),
		"alg none":                            "eyJhbGciOiJub25lIn0." + parts[1] + ".",
		"no signature":                        parts[0] + "." + parts[1] + ".",
		"another signature":                   parts[0] + "." + parts[1] + "." + strings.Split(signed(t, bob, "bob@example.test", time.Hour), ".")[2],
		"the signature spelt another way":     good[:len(good)-1] + map[bool]string{true: "B", false: string(good[len(good)-1] + 1)}[good[len(good)-1] == '_'],
		"another's claims, and his signature": strings.Split(signed(t, bob, "bob@example.test", time.Hour), ".")[1] + "." + parts[1] + "." + parts[2],
		"huge":                                good + strings.Repeat("A", 8000),
	} {
		if status := s.checkFor(cookie); status != http.StatusUnauthorized {
			t.Errorf("%s, at the gate: %d", name, status)
		}
		p := s.sessionOf(cookie)
		if cleared, ok := given(p); p.status != http.StatusOK || p.body != "{}" || !ok || cleared != "" {
			t.Errorf("%s: %d %s, cookie %q", name, p.status, p.body, cleared)
		}
		if p := s.browser().with("next-auth.session-token="+cookie, http.MethodGet, "/auth/signin"); p.status != http.StatusOK {
			t.Errorf("%s: the sign-in page is %d", name, p.status)
		}
	}
	if got := site.sql("SELECT (SELECT count(*) FROM sessions) || ' ' || (SELECT count(*) FROM verification_tokens)"); got[0] != "0 0" {
		t.Errorf("sessions and marks: %s, want 0 0", got[0])
	}
	// One cookie that a sibling host planted beside it: nobody.
	if p := s.browser().with("next-auth.session-token="+good+"; next-auth.session-token="+sharedToken, http.MethodGet, "/auth/session"); p.body != "{}" {
		t.Errorf("twice: %s", p.body)
	}
	if status := s.checkFor(good); status != http.StatusOK {
		t.Errorf("the good one: %d", status)
	}
}

// «Sign out everywhere» reaches browsers that have not been here yet, whoever
// asks for it, and nobody else's.
func TestSignOutEverywhereVoidsSignedCookies(t *testing.T) {
	s, site := besideJWT(t, nil)
	id, _ := strconv.Atoi(site.user("Alice", "alice@example.test"))
	bob := signed(t, site.user("Bob", "bob@example.test"), "bob@example.test", time.Hour)
	cookie := func(hours int) string {
		return signed(t, strconv.Itoa(id), "alice@example.test", time.Duration(hours)*time.Hour)
	}
	post := func(cookie, path string) page {
		return s.browser().with(site.csrfCookie(sharedToken)+"; next-auth.session-token="+cookie, http.MethodPost, path, "csrfToken", sharedToken)
	}
	here, there, stolen := cookie(1), cookie(2), cookie(3)
	fresh, _ := given(s.sessionOf(here))
	if s.checkFor(there) != http.StatusOK {
		t.Fatal("the other browser")
	}
	if p := post(fresh, "/auth/account/end-others"); p.status != http.StatusFound {
		t.Fatalf("%d %s", p.status, p.body)
	}
	for name, c := range map[string]string{"exchanged": there, "never seen": stolen} {
		if status := s.checkFor(c); status != http.StatusUnauthorized {
			t.Errorf("end others, %s: %d", name, status)
		}
	}
	if s.checkFor(fresh) != http.StatusOK || s.checkFor(here) != http.StatusOK || s.checkFor(bob) != http.StatusOK {
		t.Error("this browser, or somebody else's, is signed out")
	}
	if n, err := EndSessions(t.Context(), configOf(s, site), s.parts.store, int32(id)); err != nil || n != 1 {
		t.Errorf("gatepost sessions end: %d, %v", n, err)
	}
	for _, c := range []string{here, fresh, there, stolen, cookie(4)} {
		if status := s.checkFor(c); status != http.StatusUnauthorized {
			t.Errorf("after all were ended: %d", status)
		}
	}
	if s.checkFor(bob) != http.StatusOK {
		t.Error("somebody else is signed out")
	}
}

// L-5: who takes an account off has reason to, and their other browsers go with
// it, those that have not been here yet among them.
func TestUnlinkVoidsSignedCookies(t *testing.T) {
	s, site := besideJWT(t, nil)
	id := site.user("Alice", "alice@example.test")
	site.account(id, "google", "1")
	site.account(id, "github", "2")
	fresh, _ := given(s.sessionOf(signed(t, id, "alice@example.test", time.Hour)))
	exchanged, never := signed(t, id, "alice@example.test", 2*time.Hour), signed(t, id, "alice@example.test", 3*time.Hour)
	if s.checkFor(exchanged) != http.StatusOK {
		t.Fatal("before")
	}
	account := site.sql("SELECT id FROM accounts WHERE provider = 'github'")[0]
	p := s.browser().with(site.csrfCookie(sharedToken)+"; next-auth.session-token="+fresh, http.MethodPost, "/auth/account/unlink", "csrfToken", sharedToken, "id", account)
	if p.status != http.StatusFound || len(site.sql("SELECT id FROM accounts")) != 1 {
		t.Fatalf("%d %s", p.status, p.location)
	}
	for name, c := range map[string]string{"exchanged": exchanged, "never seen": never} {
		if status := s.checkFor(c); status != http.StatusUnauthorized {
			t.Errorf("%s: %d", name, status)
		}
	}
	if s.checkFor(fresh) != http.StatusOK {
		t.Error("this browser is signed out")
	}
}

// When somebody signed in a cookie does not say, so that what wants a sign-in of
// a moment ago refuses: whoever has found a cookie makes no key of it.
func TestSignedCookieIsNoRecentSignIn(t *testing.T) {
	s, site := besideJWT(t, func(c *Config) { c.Gate.AccessTokens.Allow = &Who{Atom: "signed-in"} })
	id := site.user("Alice", "alice@example.test")
	for _, ago := range []time.Duration{-30 * time.Second, 0, time.Hour} {
		cookie, _ := given(s.sessionOf(signed(t, id, "alice@example.test", ago)))
		p := s.browser().with(site.csrfCookie(sharedToken)+"; next-auth.session-token="+cookie, http.MethodPost, "/auth/account/tokens", "csrfToken", sharedToken, "name", "backup", "days", "7")
		if !strings.Contains(p.location, "reason=token_sign_in_old") {
			t.Errorf("signed %s ago: %d %s", ago, p.status, p.location)
		}
	}
	if n := site.sql("SELECT count(*)::text FROM sessions WHERE created_at > now() - interval '15 minutes' OR session_token LIKE 'api:%'"); n[0] != "0" {
		t.Errorf("%s sessions pass for new", n[0])
	}
}

// configOf is what the administrator's commands have beside s.
func configOf(s *site, v v3) Config {
	c := Default()
	c.Compat, c.NextAuth = List{nextAuthV3}, NextAuthConfig{Secret: sharedSecret, Shared: true, Sessions: jwtSessions}
	return c
}

// L-4: somebody else may have signed up with an address before its owner proved
// it. What they hold then is void, whatever the owner keeps.
func TestFirstProofVoidsSignedCookies(t *testing.T) {
	t.Run("nothing kept", func(t *testing.T) { firstProofVoids(t, false) })
	t.Run("all kept", func(t *testing.T) { firstProofVoids(t, true) })
}

func firstProofVoids(t *testing.T, keep bool) {
	s, site := besideJWT(t, nil)
	id := site.user("Mallory", "victim@example.test")
	site.account(id, "elsewhere", "666")
	var kept []string
	if keep {
		kept = site.sql(`SELECT id FROM accounts`)
	}
	old, never := signed(t, id, "victim@example.test", time.Hour), signed(t, id, "victim@example.test", 2*time.Hour)
	if s.checkFor(old) != http.StatusOK {
		t.Fatal("before")
	}
	b := s.browser()
	if p := b.press(site.link(s.URL, "victim@example.test", sharedToken), kept...); p.status != http.StatusFound {
		t.Fatalf("%d %s", p.status, p.body)
	}
	if left := site.sql(`SELECT id FROM accounts`); len(left) != len(kept) {
		t.Errorf("%d accounts left, want %d", len(left), len(kept))
	}
	for name, c := range map[string]string{"exchanged": old, "never seen": never} {
		if status := s.checkFor(c); status != http.StatusUnauthorized {
			t.Errorf("%s: %d", name, status)
		}
	}
	if p := b.get("/auth/session"); !strings.Contains(p.body, "victim@example.test") {
		t.Errorf("the owner: %s", p.body)
	}
}

// An outage signs nobody out: 503, and the cookie stays.
func TestSignedCookieWithoutDatabase(t *testing.T) {
	s, site := besideJWT(t, nil)
	old := signed(t, site.user("Alice", "alice@example.test"), "alice@example.test", time.Hour)
	known := signed(t, "1", "alice@example.test", 2*time.Hour)
	if s.checkFor(known) != http.StatusOK {
		t.Fatal("before")
	}
	s.parts.store.Close()
	for _, cookie := range []string{old, known} {
		if status := s.checkFor(cookie); status != http.StatusServiceUnavailable {
			t.Errorf("gate: %d", status)
		}
		p := s.sessionOf(cookie)
		if _, touched := given(p); p.status != http.StatusServiceUnavailable || touched {
			t.Errorf("session: %d, cookie touched: %v", p.status, touched)
		}
	}
}

// a database that hangs keeps nobody waiting for longer than others, though
// it is asked once more for such a cookie.
func TestSignedCookieWithHangingDatabase(t *testing.T) {
	s, site := besideJWT(t, nil)
	old := signed(t, site.user("Alice", "alice@example.test"), "alice@example.test", time.Hour)
	known := signed(t, "1", "alice@example.test", 2*time.Hour)
	if s.checkFor(known) != http.StatusOK {
		t.Fatal("before")
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() {
		site.sql("DO $$ BEGIN LOCK TABLE sessions, verification_tokens IN ACCESS EXCLUSIVE MODE; PERFORM pg_sleep(5); END $$")
	})
	for len(site.sql("SELECT 1 FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND granted AND relation = 'verification_tokens'::regclass")) == 0 {
		time.Sleep(10 * time.Millisecond)
	}
	for _, cookie := range []string{old, known} {
		for path, want := range map[string]int{"/auth/session": http.StatusServiceUnavailable, "/auth/account": http.StatusServiceUnavailable, "/auth/signin": http.StatusOK} {
			wg.Go(func() {
				start := time.Now()
				p := s.browser().with("next-auth.session-token="+cookie, http.MethodGet, path)
				if took := time.Since(start); p.status != want || took > 3*time.Second {
					t.Errorf("%s: %d after %s, want %d within 3 s", path, p.status, took, want)
				}
			})
		}
	}
}

// Where sessions are in the database, no signed cookie is one, whoever made it.
func TestSignedCookieBesideDatabaseSessions(t *testing.T) {
	s, site := besideJWT(t, func(c *Config) { c.NextAuth.Sessions = databaseSessions })
	cookie := signed(t, site.user("Alice", "alice@example.test"), "alice@example.test", time.Hour)
	if p := s.sessionOf(cookie); p.body != "{}" || s.checkFor(cookie) != http.StatusUnauthorized {
		t.Errorf("%s", p.body)
	}
}

// After the exchange a session is as any other: its JSON, and its end.
func TestSessionOfSignedCookie(t *testing.T) {
	s, site := besideJWT(t, nil)
	id := site.user("Alice", "alice@example.test")
	p := s.sessionOf(signed(t, id, "alice@example.test", 719*time.Hour))
	var got struct {
		User        struct{ Name, Email, Image *string }
		AccessToken string
		Expires     time.Time
	}
	if err := json.Unmarshal([]byte(p.body), &got); err != nil || *got.User.Name != "Alice" || got.User.Image != nil || len(got.AccessToken) != 64 {
		t.Fatalf("%s, %v", p.body, err)
	}
	if left := time.Until(got.Expires); left < 719*time.Hour || left > 720*time.Hour {
		t.Errorf("it has %s left", left)
	}
	if rows := site.sql("SELECT user_id::text || ' ' || (access_token = $1)::text FROM sessions", got.AccessToken); len(rows) != 1 || rows[0] != id+" true" {
		t.Errorf("%v", rows)
	}
}

// A PKCE cookie is made with the same keys, wherever sessions are.
func TestCodeVerifierBySiteKeys(t *testing.T) {
	const own = "a secret for the site's tokens alone"
	s, site := beside(t, func(c *Config) { c.NextAuth.JWT.Secret = own })
	s.idp.Lenient = true
	for secret, want := range map[string]string{own: "/inside", sharedSecret: "reason=attempt_expired"} {
		b, callback := site.begunAt(s, "github", "1002", verifier64)
		tokens, err := nextauth.New(nextauth.Options{Secret: secret})
		if err != nil {
			t.Fatal(err)
		}
		b.giveCookie("next-auth.pkce.code_verifier", tokens.EncodeVerifier(verifier64, time.Now()))
		if p := b.get(callback); !strings.Contains(p.location, want) {
			t.Errorf("%d %s, want %s", p.status, p.location, want)
		}
	}
}

func TestNextAuthTokensConfiguration(t *testing.T) {
	const site = "public_url: https://a.example\nkeys: [kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk]\ndatabase: {url: postgres://localhost/x}\n"
	const on = site + "compat: nextauth-v3\n"
	for name, tt := range map[string]struct{ yaml, want string }{
		"unknown":             {on + "nextauth: {secret: " + sharedSecret + ", sessions: jwts}", `nextauth.sessions: "jwts" is unknown`},
		"without the mode":    {site + "nextauth: {sessions: jwt}", "nextauth.sessions: is only for compat: nextauth-v3"},
		"keys without it":     {site + "nextauth: {jwt: {secret: xyz}}", "nextauth.jwt: is only for compat: nextauth-v3"},
		"encrypted rows":      {on + "nextauth: {secret: " + sharedSecret + ", jwt: {encryption: true}}", "nextauth.jwt.encryption: is of session cookies"},
		"a short site secret": {on + "nextauth: {secret: hunter2, sessions: jwt}", "nextauth.secret: has 7 bytes, needs 32, because any cookie lets its owner guess a short one"},
		"a short secret":      {on + "nextauth: {secret: " + sharedSecret + ", sessions: jwt, jwt: {secret: hunter2}}", "nextauth.jwt.secret: has 7 bytes, needs 32, because whoever guesses it signs in as anybody"},
		"no JWK":              {on + "nextauth: {secret: " + sharedSecret + ", sessions: jwt, jwt: {signing_key: hunter2}}", "nextauth.jwt.signing_key: it is not a JWK as JSON"},
		"an asymmetric JWK":   {on + "nextauth: {secret: " + sharedSecret + `, sessions: jwt, jwt: {verification_key: '{"kty":"RSA"}'}}`, `nextauth.jwt.verification_key: its kty is "RSA"; only oct`},
		"another algorithm's": {on + "nextauth: {secret: " + sharedSecret + `, sessions: jwt, jwt: {encryption_key: '{"kty":"oct","alg":"A128GCM","k":"AAAAAAAAAAAAAAAAAAAAAA"}'}}`, `nextauth.jwt.encryption_key: its alg is "A128GCM", must be A256GCM`},
	} {
		_, err := loadText(t, tt.yaml)
		if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v, want %q", name, err, tt.want)
		}
	}
	c, err := loadText(t, on+"nextauth: {secret: "+sharedSecret+", sessions: jwt, jwt: {signing_key: env:SIGNING}}", `SIGNING={"kty":"oct","alg":"HS512","k":"5y8F-f2noAsLWVSkqXP3TuF3YJdgOtmKuQv9ZdUPosgiThgn_4dNoWBsXErfzlyLs8qhZGi7JQbdFUpSyAOTFA"}`)
	if err != nil || c.NextAuth.Sessions != jwtSessions || !strings.HasPrefix(string(c.NextAuth.JWT.SigningKey), "{") {
		t.Errorf("%v, %+v", err, c.NextAuth)
	}
}
