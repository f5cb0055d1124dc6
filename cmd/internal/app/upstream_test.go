package app

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gatepost/gatepost/store/devpg"
	"github.com/gatepost/gatepost/store/storetest"
)

// refreshes is what a provider is asked to refresh, and how it answers.
type refreshes struct {
	mu     sync.Mutex
	tokens []string // refresh tokens, as they came
	answer http.HandlerFunc
}

// with has refreshes answered by h, nil for the provider's own answer.
func (f *refreshes) with(h http.HandlerFunc) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.answer = h
}

func (f *refreshes) asked() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.tokens)
}

func (f *refreshes) serve(w http.ResponseWriter, r *http.Request, provided http.Handler) {
	if !strings.HasSuffix(r.URL.Path, "/token") || r.FormValue("refresh_token") == "" {
		provided.ServeHTTP(w, r)
		return
	}
	f.mu.Lock()
	f.tokens = append(f.tokens, r.FormValue("refresh_token"))
	answer := f.answer
	f.mu.Unlock()
	if answer == nil {
		answer = provided.ServeHTTP
	}
	answer(w, r)
}

// tokenSite is a site that gives out the tokens of google, apple and oidc, and
// keeps those of github for itself.
func tokenSite(t *testing.T, dsn string, change func(*Config)) (*site, *refreshes) {
	t.Helper()
	s := newSite(t, dsn, func(c *Config) {
		for i := range c.Providers {
			p := &c.Providers[i]
			p.Tokens, p.Offline = p.ID != "github", p.ID == "google"
		}
		c.ReturnTo = []string{"https://app.example.org"}
		if change != nil {
			change(c)
		}
	})
	f := &refreshes{}
	s.provider = f.serve
	return s, f
}

type givenToken struct {
	Provider, ProviderAccountID, AccessToken, TokenType, Expires string
	Error, Reason, Message, URL                                  string

	status     int
	retryAfter string
}

// token asks r for the token of b's person, as their application would.
func (b *browser) token(r *site, provider, csrf string, fields ...string) (g givenToken) {
	b.t.Helper()
	form := url.Values{"csrfToken": {csrf}}
	for i := 0; i+1 < len(fields); i += 2 {
		form.Set(fields[i], fields[i+1])
	}
	p := b.send(http.MethodPost, "http://"+r.listens+"/auth/token/"+provider, form)
	if err := json.Unmarshal([]byte(p.body), &g); err != nil {
		b.t.Errorf("%d %s: %v", p.status, p.body, err)
	}
	if !strings.Contains(p.header.Get("Cache-Control"), "no-store") || p.header.Get("Access-Control-Allow-Origin") != "" {
		b.t.Errorf("headers: %v", p.header)
	}
	g.status, g.retryAfter = p.status, p.header.Get("Retry-After")
	return g
}

// works reports whether the provider knows an access token of its own.
func (s *site) works(provider, token string) bool {
	s.t.Helper()
	for _, client := range s.parts.clients {
		if client.ID() != provider {
			continue
		}
		r, err := http.NewRequest(http.MethodGet, client.Document().Userinfo, nil)
		if err != nil {
			s.t.Fatal(err)
		}
		for name, value := range client.Document().Headers {
			r.Header.Set(name, value)
		}
		r.Header.Set("Authorization", "Bearer "+token)
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			s.t.Fatal(err)
		}
		io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	}
	return false
}

// end ends the time of every access token.
func end(t *testing.T, dsn string) {
	t.Helper()
	storetest.SQL(t, dsn, "UPDATE accounts SET access_token_expires = now() - interval '1 minute', updated_at = now() - interval '1 hour'")
}

func row(t *testing.T, dsn string) string {
	t.Helper()
	return storetest.SQL(t, dsn, "SELECT concat_ws(' ', refresh_token, access_token) FROM accounts ORDER BY id LIMIT 1")[0]
}

// O-38: three replicas, two hundred callers at each, a provider that ends
// everything when a refresh token is used twice: it is asked once, and everybody
// gets the same token.
func TestUpstreamTokenIsRefreshedOnce(t *testing.T) {
	dsn := storetest.URL(t)
	one, f := tokenSite(t, dsn, nil)
	replicas := []*site{one, one.replica(nil), one.replica(nil)}
	b := one.browser()
	b.get(b.answer("google", "1001"))
	csrf := b.csrf()
	before := b.token(one, "google", csrf)
	if before.status != 200 || !one.works("google", before.AccessToken) || before.TokenType != "Bearer" || before.ProviderAccountID != "1001" || f.asked() != 0 {
		t.Fatalf("before: %+v", before)
	}
	for round := range 2 { // so that the limit of one person is not reached
		end(t, dsn)
		var mu sync.Mutex
		got := map[string]int{}
		var wg sync.WaitGroup
		for _, r := range replicas {
			for range 200 {
				wg.Go(func() {
					g := b.token(r, "google", csrf)
					for tries := 0; g.status == 503 && tries < 50; tries++ { // a busy machine
						time.Sleep(100 * time.Millisecond)
						g = b.token(r, "google", csrf)
					}
					mu.Lock()
					defer mu.Unlock()
					got[fmt.Sprint(g.status, " ", g.Reason, g.AccessToken)]++
				})
			}
		}
		wg.Wait()
		if len(got) != 1 || f.asked() != round+1 {
			t.Fatalf("round %d: answers %v, %d refreshes", round, got, f.asked())
		}
		after := b.token(replicas[2], "google", csrf)
		expires, err := time.Parse(time.RFC3339, after.Expires)
		if left := time.Until(expires); err != nil || left < 59*time.Minute || left > 61*time.Minute || after.AccessToken == before.AccessToken || !one.works("google", after.AccessToken) {
			t.Errorf("round %d: %+v, %s left, %v", round, after, left, err)
		}
	}
	if n := len(storetest.SQL(t, dsn, "SELECT FROM verification_tokens")); n != 0 {
		t.Errorf("%d leases are left", n)
	}
	for _, secret := range []string{"access-", "refresh-", csrf} {
		if strings.Contains(one.log.String(), secret) {
			t.Errorf("the log has %s", secret)
		}
		if strings.Contains(row(t, dsn), secret) {
			t.Errorf("the row has %s", secret)
		}
	}
}

// C-2, S-13: who may ask, and how those who may not are told.
func TestUpstreamTokenRefusals(t *testing.T) {
	dsn := storetest.URL(t)
	s, _ := tokenSite(t, dsn, nil)
	b, stranger := s.browser(), s.browser()
	b.get(b.answer("google", "1001"))
	csrf, foreign := b.csrf(), stranger.csrf()
	session := b.cookie()
	_, port, _ := strings.Cut(strings.TrimPrefix(s.URL, "http://"), ":")
	for _, tt := range []struct {
		name           string
		b              *browser
		provider, csrf string
		header         []string
		status         int
		reason, url    string
	}{
		{"a program with the person's cookies", b, "google", csrf, nil, 200, "", ""},
		{"our own page", b, "google", csrf, []string{"Sec-Fetch-Site", "same-origin", "Origin", s.URL}, 200, "", ""},
		{"our own page, older browser", b, "google", csrf, []string{"Origin", s.URL}, 200, "", ""},
		{"an application's page, same site", b, "google", csrf, []string{"Sec-Fetch-Site", "same-site", "Origin", "https://app.example.org"}, 403, "csrf", ""},
		{"another site's page", b, "google", csrf, []string{"Sec-Fetch-Site", "cross-site", "Origin", "https://evil.example"}, 403, "csrf", ""},
		{"another origin, older browser", b, "google", csrf, []string{"Origin", "https://app.example.org"}, 403, "csrf", ""},
		{"another port", b, "google", csrf, []string{"Origin", "http://127.0.0.1:1"}, 403, "csrf", ""},
		{"another scheme", b, "google", csrf, []string{"Origin", "https://127.0.0.1:" + port}, 403, "csrf", ""},
		{"no origin that can be named", b, "google", csrf, []string{"Origin", "null"}, 403, "csrf", ""},
		{"an empty origin", b, "google", csrf, []string{"Origin", ""}, 403, "csrf", ""},
		{"no CSRF token", b, "google", "", nil, 403, "csrf", ""},
		{"the CSRF token of another browser", b, "google", foreign, nil, 403, "csrf", ""},
		{"neither cookie nor token", s.browser(), "google", "", nil, 403, "csrf", ""},
		{"the session alone", s.browser(), "google", csrf, []string{"Cookie", session}, 403, "csrf", ""},
		{"an access token of ours", stranger, "google", foreign, []string{"Authorization", "Bearer gp_" + strings.Repeat("a", 43)}, 401, "session_required", s.URL + "/auth/signin?callbackUrl=https%3A%2F%2Fapp.example.org%2Fx"},
		{"not signed in", stranger, "google", foreign, nil, 401, "session_required", s.URL + "/auth/signin?callbackUrl=https%3A%2F%2Fapp.example.org%2Fx"},
		{"not signed in, not given out", stranger, "github", foreign, nil, 404, "not_found", ""},
		{"not given out", b, "github", csrf, nil, 404, "not_found", ""},
		{"no such provider", b, "nosuch", csrf, nil, 404, "not_found", ""},
		{"no account there", b, "oidc", csrf, nil, 404, "account_missing", s.URL + "/auth/signin/oidc?callbackUrl=https%3A%2F%2Fapp.example.org%2Fx"},
	} {
		form := url.Values{"callbackUrl": {"https://app.example.org/x"}}
		if tt.csrf != "" {
			form.Set("csrfToken", tt.csrf)
		}
		p := tt.b.send(http.MethodPost, "/auth/token/"+tt.provider, form, tt.header...)
		var g givenToken
		if err := json.Unmarshal([]byte(p.body), &g); err != nil {
			t.Errorf("%s: %d %q", tt.name, p.status, p.body)
		}
		if p.status != tt.status || g.Reason != tt.reason || g.URL != tt.url && tt.reason != "not_found" || (g.AccessToken != "") != (tt.status == 200) || tt.status != 200 && g.Message == "" {
			t.Errorf("%s: %d %+v", tt.name, p.status, g)
		}
		if tt.reason == "not_found" && !strings.Contains(g.Message, "tokens: true") {
			t.Errorf("%s: %s", tt.name, g.Message)
		}
		if p.header.Get("Access-Control-Allow-Origin") != "" || !strings.Contains(p.header.Get("Cache-Control"), "no-store") || p.header.Get("Cross-Origin-Resource-Policy") != "same-origin" {
			t.Errorf("%s: headers %v", tt.name, p.header)
		}
	}
	evil := b.send(http.MethodPost, "/auth/token/oidc", url.Values{"csrfToken": {csrf}, "callbackUrl": {"https://evil.example/"}})
	if strings.Contains(evil.body, "evil.example") {
		t.Errorf("leads elsewhere: %s", evil.body)
	}
	for _, method := range []string{"GET", "HEAD", "OPTIONS", "PUT"} {
		if p := b.send(method, "/auth/token/google", nil, "Origin", "https://app.example.org"); p.status != 400 && method != "OPTIONS" || strings.Contains(p.body, "access-") || p.header.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%s: %d %s", method, p.status, p.body)
		}
	}
	if p := b.send(http.MethodPost, "/auth/token/google", nil, "Content-Type", "application/json"); p.status != 400 {
		t.Errorf("no body: %d %s", p.status, p.body)
	}
	if b.session().User.ID == "" {
		t.Error("the session was dropped")
	}
	// Everything off: there is nothing.
	off := newSite(t, dsn, nil)
	if p := off.browser().post("/auth/token/google"); p.status != 404 {
		t.Errorf("off: %d %s", p.status, p.body)
	}
}

// A refresh token that the provider no longer takes: the person is asked to sign
// in again, stays signed in, and the provider is left alone; the sign-in brings
// new ones.
func TestUpstreamTokenThatIsOver(t *testing.T) {
	dsn := storetest.URL(t)
	s, f := tokenSite(t, dsn, nil)
	b := s.browser()
	b.get(b.answer("google", "1001"))
	csrf := b.csrf()
	end(t, dsn)
	f.with(func(w http.ResponseWriter, _ *http.Request) { refusal(w, 400, "invalid_grant") })
	for range 3 {
		g := b.token(s, "google", csrf, "callbackUrl", "https://app.example.org/x")
		if g.status != 403 || g.Reason != "sign_in_again" || g.URL != s.URL+"/auth/signin/google?callbackUrl=https%3A%2F%2Fapp.example.org%2Fx" || g.AccessToken != "" {
			t.Errorf("%+v", g)
		}
	}
	if f.asked() != 1 {
		t.Errorf("the provider was asked %d times", f.asked())
	}
	if b.session().User.ID == "" {
		t.Error("the session was dropped")
	}
	f.with(nil)
	page := b.get("/auth/signin/google?callbackUrl=https%3A%2F%2Fapp.example.org%2Fx")
	if page.status != 200 || !strings.Contains(page.body, "Google") {
		t.Errorf("where it leads: %d", page.status)
	}
	if p := b.get(b.answer("google", "1001")); p.status != 302 {
		t.Errorf("signing in again: %d %s", p.status, p.location)
	}
	csrf = b.csrf()
	for range 2 {
		if g := b.token(s, "google", csrf); g.status != 200 || !s.works("google", g.AccessToken) {
			t.Errorf("after signing in again: %+v", g)
		}
		end(t, dsn)
	}
}

func refusal(w http.ResponseWriter, status int, code string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	fmt.Fprintf(w, `{"error":%q}`, code)
}

// A provider in trouble costs no token: what is left of the access token is given
// out, then 502, and the refresh token is good when it is back. It is asked once
// in five seconds, by whatever replica.
func TestUpstreamTokenWithoutProvider(t *testing.T) {
	for name, answer := range map[string]http.HandlerFunc{
		"hangs":        func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
		"is down":      func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(503) },
		"hangs up":     func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"slows down":   func(w http.ResponseWriter, _ *http.Request) { refusal(w, 429, "slow_down") },
		"knows us not": func(w http.ResponseWriter, _ *http.Request) { refusal(w, 401, "invalid_client") },
		"says rubbish": func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "<html>") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dsn := storetest.URL(t)
			s, f := tokenSite(t, dsn, nil)
			other := s.replica(nil)
			b := s.browser()
			b.get(b.answer("google", "1001"))
			csrf := b.csrf()
			before := row(t, dsn)
			f.with(answer)
			storetest.SQL(t, dsn, "UPDATE accounts SET access_token_expires = now() + interval '40 seconds', updated_at = now() - interval '1 hour'")
			if g := b.token(s, "google", csrf); g.status != 200 || !s.works("google", g.AccessToken) {
				t.Errorf("with 40 s left: %+v", g)
			}
			end(t, dsn)
			for _, r := range []*site{s, other, s} {
				if g := b.token(r, "google", csrf); g.status != 502 || g.retryAfter != "5" || g.AccessToken != "" {
					t.Errorf("%+v", g)
				}
			}
			if f.asked() != 1 || row(t, dsn) != before {
				t.Errorf("asked %d times, row changed: %v", f.asked(), row(t, dsn) != before)
			}
			f.with(nil)
			storetest.SQL(t, dsn, "UPDATE verification_tokens SET expires = now()")
			if g := b.token(other, "google", csrf); g.status != 200 || !s.works("google", g.AccessToken) {
				t.Errorf("once it is back: %+v", g)
			}
		})
	}
}

// A replica is gone while it refreshes. The others wait for its lease to end; then
// they go on where the provider had not answered it, and where the refresh token
// went with it, its person is asked to sign in again.
func TestUpstreamTokenOfKilledReplica(t *testing.T) {
	for name, spent := range map[string]bool{"before the provider acted": false, "after": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dsn := storetest.URL(t)
			s, f := tokenSite(t, dsn, nil)
			doomed := s.replica(nil)
			b := s.browser()
			b.get(b.answer("google", "1001"))
			csrf := b.csrf()
			end(t, dsn)
			inside, provided := make(chan struct{}), s.config.Providers[0].Override["token"]
			f.with(func(w http.ResponseWriter, r *http.Request) {
				f.with(nil)
				if spent {
					out, err := http.Post(fmt.Sprint(provided), "application/x-www-form-urlencoded", strings.NewReader(r.PostForm.Encode()))
					if err != nil || out.StatusCode != 200 {
						t.Errorf("%v %v", out, err)
					}
				}
				close(inside)
				<-r.Context().Done()
			})
			go b.http.PostForm("http://"+doomed.listens+"/auth/token/google", url.Values{"csrfToken": {csrf}})
			<-inside
			doomed.parts.store.Close() // it writes nothing any more
			start := time.Now()
			if g := b.token(s, "google", csrf); g.status != 502 || g.retryAfter == "" || time.Since(start) > 14*time.Second {
				t.Errorf("while its lease lasts: %+v after %s", g, time.Since(start))
			}
			storetest.SQL(t, dsn, "UPDATE verification_tokens SET expires = now()")
			g := b.token(s, "google", csrf)
			if !spent && (g.status != 200 || !s.works("google", g.AccessToken)) || spent && (g.status != 403 || g.Reason != "sign_in_again") {
				t.Errorf("afterwards: %+v", g)
			}
			if b.session().User.ID == "" {
				t.Error("the session was dropped")
			}
		})
	}
}

// The database is away from the moment when the provider has answered: nothing is
// lost, however often it is tried.
func TestUpstreamTokenWhileDatabaseIsAway(t *testing.T) {
	t.Parallel()
	dir, pg := ownPostgres(t)
	defer func() { pg.Stop() }()
	s, f := tokenSite(t, pg.URL(), nil)
	b := s.browser()
	b.get(b.answer("google", "1001"))
	csrf := b.csrf()
	end(t, pg.URL())
	provided := fmt.Sprint(s.config.Providers[0].Override["token"])
	f.with(func(w http.ResponseWriter, r *http.Request) {
		f.with(nil)
		out, err := http.Post(provided, "application/x-www-form-urlencoded", strings.NewReader(r.PostForm.Encode()))
		if err != nil {
			t.Error(err)
			return
		}
		defer out.Body.Close()
		if err := pg.Stop(); err != nil {
			t.Error(err)
		}
		w.Header().Set("Content-Type", "application/json")
		io.Copy(w, out.Body)
	})
	answered := make(chan givenToken)
	go func() { answered <- b.token(s, "google", csrf) }()
	for f.asked() < 2 { // the test's own, after the product's
		time.Sleep(10 * time.Millisecond)
	}
	time.Sleep(3 * time.Second)
	pg, err := devpg.Start(t.Context(), devpg.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	if g := <-answered; g.status != 200 || !s.works("google", g.AccessToken) {
		t.Errorf("%+v", g)
	}
	end(t, pg.URL())
	if g := b.token(s, "google", csrf); g.status != 200 || f.asked() != 3 {
		t.Errorf("the next refresh: %+v, asked %d times", g, f.asked())
	}
}

// O-38: tokens are stored anew with every sign-in; a refresh token stays when none
// comes, also from a refresh; and all are sealed with the newest key when they
// are written.
func TestStoredTokens(t *testing.T) {
	dsn := storetest.URL(t)
	s, f := tokenSite(t, dsn, nil)
	b := s.browser()
	b.get(b.answer("google", "1001"))
	first := row(t, dsn)
	csrf := b.csrf()
	token := b.token(s, "google", csrf).AccessToken

	// A sign-in without a refresh token.
	s.provider = func(w http.ResponseWriter, r *http.Request, provided http.Handler) {
		if !strings.HasSuffix(r.URL.Path, "/token") {
			provided.ServeHTTP(w, r)
			return
		}
		rec := httptest.NewRecorder()
		provided.ServeHTTP(rec, r)
		var answer map[string]any
		if err := json.Unmarshal(rec.Body.Bytes(), &answer); err != nil {
			t.Error(err)
		}
		delete(answer, "refresh_token")
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(answer)
	}
	b.get(b.answer("google", "1001"))
	csrf = b.csrf()
	second := row(t, dsn)
	if a, b := strings.Fields(first), strings.Fields(second); len(a) != 2 || len(b) != 2 || a[0] != b[0] || a[1] == b[1] {
		t.Errorf("row %s, then %s", first, second)
	}
	if g := b.token(s, "google", csrf); g.AccessToken == token || !s.works("google", g.AccessToken) {
		t.Errorf("the token of the second sign-in: %+v", g)
	}

	// Keys are rotated, and the provider keeps the refresh token as it is.
	s.provider = f.serve
	f.with(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"access_token":"access-%d","token_type":"Bearer","expires_in":3600}`, f.asked())
	})
	fresh := Secret(NewKey())
	rotated := s.replica(func(c *Config) { c.Keys = append([]Secret{fresh}, c.Keys...) })
	last := s.replica(func(c *Config) { c.Keys = []Secret{fresh} })
	b.send(http.MethodGet, "http://"+rotated.listens+"/auth/session", nil) // seals the cookie with the new key
	b.http.Jar.SetCookies(must(url.Parse(s.URL)), []*http.Cookie{{Name: "gatepost.csrf-token", MaxAge: -1, Path: "/"}})
	var out struct{ CSRFToken string }
	if err := json.Unmarshal([]byte(b.send(http.MethodGet, "http://"+last.listens+"/auth/csrf", nil).body), &out); err != nil {
		t.Fatal(err)
	}
	csrf = out.CSRFToken
	if g := b.token(rotated, "google", csrf); g.status != 200 {
		t.Errorf("sealed with the old key: %+v", g)
	}
	if g := b.token(last, "google", csrf); g.status != 403 || g.Reason != "sign_in_again" {
		t.Errorf("without the old key, before the row was written: %+v", g)
	}
	end(t, dsn)
	if g := b.token(rotated, "google", csrf); g.status != 200 || g.AccessToken != "access-1" {
		t.Errorf("refreshed: %+v", g)
	}
	if g := b.token(last, "google", csrf); g.status != 200 || g.AccessToken != "access-1" {
		t.Errorf("without the old key, after: %+v", g)
	}
	end(t, dsn)
	if g := b.token(last, "google", csrf); g.status != 200 || g.AccessToken != "access-2" {
		t.Errorf("refreshed with the new key alone: %+v", g)
	}
	if f.asked() != 2 || f.tokens[0] != f.tokens[1] {
		t.Errorf("%d refreshes; the refresh token stayed: %v", f.asked(), f.tokens[0] == f.tokens[1])
	}
}

// O-37: a refresh token that the operator did not ask for is not kept.
func TestRefreshTokensAreKeptWhereAskedFor(t *testing.T) {
	for _, offline := range []bool{false, true} {
		dsn := storetest.URL(t)
		s, _ := tokenSite(t, dsn, func(c *Config) { c.Providers[0].Offline = offline })
		b := s.browser()
		b.get(b.answer("google", "1001"))
		if kept := len(strings.Fields(row(t, dsn))) == 2; kept != offline {
			t.Errorf("offline: %v, kept: %v", offline, kept)
		}
		csrf := b.csrf()
		end(t, dsn)
		if g := b.token(s, "google", csrf); (g.status == 200) != offline || !offline && g.Reason != "sign_in_again" {
			t.Errorf("offline: %v, once it is over: %+v", offline, g)
		}
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// A token that the provider's API does not take is refreshed whatever its time,
// once for everybody who says so, and not again at once.
func TestUpstreamTokenThatIsRejected(t *testing.T) {
	dsn := storetest.URL(t)
	s, f := tokenSite(t, dsn, nil)
	b := s.browser()
	b.get(b.answer("google", "1001"))
	csrf := b.csrf()
	storetest.SQL(t, dsn, "UPDATE accounts SET access_token_expires = NULL, updated_at = now() - interval '2 minutes'")
	old := b.token(s, "google", csrf)
	if old.status != 200 || old.Expires != "" || f.asked() != 0 {
		t.Fatalf("without a time: %+v", old)
	}
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			if g := b.token(s, "google", csrf, "rejected", old.AccessToken); g.status != 200 || g.AccessToken == old.AccessToken || g.AccessToken == "" {
				t.Errorf("%+v", g)
			}
		})
	}
	wg.Wait()
	fresh := b.token(s, "google", csrf)
	if g := b.token(s, "google", csrf, "rejected", fresh.AccessToken); g.AccessToken != fresh.AccessToken {
		t.Errorf("rejected at once: %+v", g)
	}
	if f.asked() != 1 {
		t.Errorf("%d refreshes", f.asked())
	}
}

// One person asks for tokens as often as an application may need them, and no
// more.
func TestUpstreamTokenLimit(t *testing.T) {
	s, _ := tokenSite(t, storetest.URL(t), nil)
	ada, grace := s.browser(), s.browser()
	ada.get(ada.answer("google", "1001"))
	grace.get(grace.answer("google", "1002"))
	csrf, limited, start := ada.csrf(), 0, time.Now()
	for range 800 {
		if g := ada.token(s, "google", csrf); g.status == 429 && g.Reason == "rate_limited" && g.retryAfter == "5" {
			limited++
		} else if g.status != 200 {
			t.Fatalf("%+v", g)
		}
	}
	if took := time.Since(start); limited > 200 || limited < 190-int(took/(50*time.Millisecond)) {
		t.Errorf("%d of 800 in %s were limited", limited, took)
	}
	if g := grace.token(s, "google", grace.csrf()); g.status != 200 {
		t.Errorf("somebody else: %+v", g)
	}
}

// Beside NextAuth v3 tokens are in clear text, as it keeps them, also after a
// refresh; what v3 stored, and never gave a time, is given out as it is.
func TestUpstreamTokenBesideNextAuth(t *testing.T) {
	s, v := beside(t, func(c *Config) {
		for i := range c.Providers {
			c.Providers[i].Tokens, c.Providers[i].Offline = true, true
		}
	})
	f := &refreshes{}
	s.provider = f.serve
	b := s.browser()
	b.get(b.answer("google", "1001"))
	csrf := b.csrf()
	first := b.token(s, "google", csrf)
	if tokens := strings.Fields(row(t, v.dsn)); len(tokens) != 2 || tokens[1] != first.AccessToken || !s.works("google", first.AccessToken) {
		t.Errorf("%+v, row %v", first, tokens)
	}
	end(t, v.dsn)
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			if g := b.token(s, "google", csrf); g.status != 200 || g.AccessToken == first.AccessToken {
				t.Errorf("%+v", g)
			}
		})
	}
	wg.Wait()
	second := b.token(s, "google", csrf)
	if tokens := strings.Fields(row(t, v.dsn)); f.asked() != 1 || len(tokens) != 2 || tokens[0] == f.tokens[0] || tokens[1] != second.AccessToken || !s.works("google", second.AccessToken) {
		t.Errorf("%d refreshes, %+v, row %v", f.asked(), second, tokens)
	}
	v.account(v.sql("SELECT user_id FROM accounts")[0], "github", "583231")
	if g := b.token(s, "github", csrf); g.status != 200 || g.AccessToken != "issued to v3" || g.Expires != "" || g.ProviderAccountID != "583231" {
		t.Errorf("of v3: %+v", g)
	}
}
