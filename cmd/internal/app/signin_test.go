package app

import (
	"bytes"
	"context"
	"encoding/json"
	"html"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gatepost/gatepost/flows/mail/devmail"
	"github.com/gatepost/gatepost/providers/devidp"
	"github.com/gatepost/gatepost/store/devpg"
	"github.com/gatepost/gatepost/store/storetest"
)

func TestMain(m *testing.M) { storetest.Main(m) }

// site is Gatepost with a database, a mailbox and a provider of its own.
type site struct {
	*httptest.Server
	t     *testing.T
	mail  *devmail.Server
	idp   *devidp.Server
	log   *syncBuffer
	keys  []Secret
	parts *parts
	// config is what the site was built of, for replicas of it.
	config Config
	// provider answers for every provider; provided is what it would.
	provider func(w http.ResponseWriter, r *http.Request, provided http.Handler)
	// listens is where the site does, whatever it is called.
	listens string
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func newSite(t *testing.T, dsn string, change func(*Config)) *site {
	t.Helper()
	return newSiteWith(t, dsn, "", []string{"google", "github", "apple", "oidc"}, change)
}

// newSiteAt is newSite under a name of its own below localhost.
func newSiteAt(t *testing.T, dsn, host string, change func(*Config)) *site {
	t.Helper()
	return newSiteWith(t, dsn, host, []string{"google", "github", "apple", "oidc"}, change)
}

func newSiteWith(t *testing.T, dsn, host string, ids []string, change func(*Config)) *site {
	t.Helper()
	s := &site{t: t, log: &syncBuffer{}}
	s.provider = func(w http.ResponseWriter, r *http.Request, provided http.Handler) { provided.ServeHTTP(w, r) }
	s.listen()
	if host != "" {
		_, port, _ := net.SplitHostPort(s.listens)
		s.URL = "http://" + net.JoinHostPort(host, port)
	}
	var idp *devidp.Server
	provider := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.provider(w, r, idp) }))
	t.Cleanup(provider.Close)
	var err error
	if idp, err = devidp.New(provider.URL); err != nil {
		t.Fatal(err)
	}
	s.idp = idp
	if s.mail, err = devmail.Start("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.mail.Stop)
	c := Default()
	c.PublicURL, c.Dev, c.Keys, c.Database.URL = s.URL, true, []Secret{Secret(NewKey())}, Secret(dsn)
	c.Mail.Host, c.Mail.TLS, c.Mail.From = s.mail.Addr(), "none", "Gatepost <sign-in@gatepost.example>"
	for _, id := range ids {
		p := idp.ProviderConfig(id, s.URL+"/auth/callback/"+id)
		params := map[string]Secret{}
		for name, v := range p.Params {
			params[name] = Secret(v)
		}
		c.Providers = append(c.Providers, ProviderConfig{ID: id, ClientID: p.ClientID, ClientSecret: Secret(p.ClientSecret), Params: params, Override: p.Override, AllowPrivateNetwork: true})
	}
	if change != nil {
		change(&c)
	}
	var m mistakes
	c.validate(&m)
	if err := m.err(); err != nil {
		t.Fatal(err)
	}
	s.keys = c.Keys
	s.build(c)
	return s
}

// listen has the site listen where no other does. It answers once it is built.
func (s *site) listen() {
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.parts.handler.ServeHTTP(w, r) }))
	s.t.Cleanup(s.Close)
	s.listens = s.Listener.Addr().String()
}

func (s *site) build(c Config) {
	s.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	s.t.Cleanup(cancel)
	p, err := build(ctx, c, slog.New(slog.NewJSONHandler(s.log, nil)))
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(p.store.Close)
	if p.mailer != nil {
		go p.mailer.Run(ctx)
	}
	if p.events != nil {
		go p.events.Run(ctx)
	}
	go p.cache.Run(ctx)
	s.parts, s.config = p, c
}

// replica is another process of the same site: same configuration, database,
// mailbox and providers.
func (s *site) replica(change func(*Config)) *site {
	s.t.Helper()
	r := &site{t: s.t, mail: s.mail, log: s.log, keys: s.keys}
	r.listen()
	c := s.config
	if change != nil {
		change(&c)
	}
	r.build(c)
	return r
}

// browser follows redirects only when told to, and keeps cookies.
type browser struct {
	*site
	http *http.Client
}

func (s *site) browser() *browser {
	jar, _ := cookiejar.New(nil)
	transport := &http.Transport{DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
		if strings.Contains(address, ".localhost:") {
			address = s.listens
		}
		return new(net.Dialer).DialContext(ctx, network, address)
	}}
	s.t.Cleanup(transport.CloseIdleConnections)
	return &browser{s, &http.Client{Transport: transport, Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
}

type page struct {
	status   int
	location string
	body     string
	header   http.Header
}

func (b *browser) send(method, target string, form url.Values, header ...string) page {
	b.t.Helper()
	if strings.HasPrefix(target, "/") {
		target = b.URL + target
	}
	var body io.Reader
	if form != nil {
		body = strings.NewReader(form.Encode())
	}
	r, err := http.NewRequest(method, target, body)
	if err != nil {
		b.t.Fatal(err)
	}
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	resp, err := b.http.Do(r)
	if err != nil {
		b.t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return page{resp.StatusCode, resp.Header.Get("Location"), string(raw), resp.Header}
}

func (b *browser) get(target string) page { return b.send(http.MethodGet, target, nil) }

// follow goes where p leads until there is a page.
func (b *browser) follow(p page) page {
	b.t.Helper()
	for range 10 {
		if p.location == "" {
			return p
		}
		p = b.get(p.location)
	}
	b.t.Fatal("too many redirects")
	return p
}

func (b *browser) csrf() string {
	b.t.Helper()
	var out struct{ CSRFToken string }
	if err := json.Unmarshal([]byte(b.get("/auth/csrf").body), &out); err != nil || len(out.CSRFToken) != 64 {
		b.t.Fatalf("csrf: %v %v", out, err)
	}
	return out.CSRFToken
}

func (b *browser) post(path string, fields ...string) page {
	b.t.Helper()
	form := url.Values{"csrfToken": {b.csrf()}}
	for i := 0; i+1 < len(fields); i += 2 {
		form.Set(fields[i], fields[i+1])
	}
	return b.send(http.MethodPost, path, form)
}

var hiddenField = regexp.MustCompile(`name="(\w+)" value="([^"]*)"`)

// answer starts a sign-in with a provider, answers its page as person, and
// returns where the provider sends the browser.
func (b *browser) answer(provider, person string, fields ...string) string {
	b.t.Helper()
	start := b.post("/auth/signin/"+provider, fields...)
	if start.status != http.StatusFound {
		b.t.Fatalf("start: %d %s", start.status, start.body)
	}
	chosen := b.send(http.MethodPost, start.location, url.Values{"person": {person}})
	if chosen.location != "" {
		return chosen.location
	}
	// A form_post, as another site's page sends it: without our cookies.
	form := url.Values{}
	for _, m := range hiddenField.FindAllStringSubmatch(chosen.body, -1) {
		form.Set(m[1], html.UnescapeString(m[2]))
	}
	posted := b.send(http.MethodPost, "/auth/callback/"+provider, form, "Sec-Fetch-Site", "cross-site")
	if posted.status != http.StatusSeeOther {
		b.t.Fatalf("form_post: %d %s", posted.status, posted.body)
	}
	return posted.location
}

type session struct {
	User    struct{ Name, Email, Image, ID string }
	Expires string
}

func (b *browser) session() (s session) {
	b.t.Helper()
	p := b.get("/auth/session")
	if err := json.Unmarshal([]byte(p.body), &s); err != nil || p.status != http.StatusOK {
		b.t.Fatalf("session: %d %s", p.status, p.body)
	}
	return s
}

// newMail waits for the n-th mail to an address.
func (s *site) newMail(to string, n int) devmail.Message {
	s.t.Helper()
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		var found []devmail.Message
		for _, m := range s.mail.Messages() {
			if m.To == to {
				found = append(found, m)
			}
		}
		if len(found) >= n {
			return found[0]
		}
	}
	s.t.Fatalf("no mail %d to %s", n, to)
	return devmail.Message{}
}

// Every provider of the catalogue, through cookies, redirects and database: two
// people are two users, and the one who comes back is the one who was there.
func TestSignInWithEveryProvider(t *testing.T) {
	var ids []string
	for _, p := range liveProviders() {
		ids = append(ids, p.ID)
	}
	s := newSiteWith(t, storetest.URL(t), "", ids, func(c *Config) { c.Linking = "never" })
	for _, provider := range ids {
		t.Run(provider, func(t *testing.T) {
			users := map[string]string{}
			for _, person := range []string{"1003", "1003", "1002"} {
				b := s.browser()
				b.site = &site{Server: s.Server, t: t, mail: s.mail, log: s.log}
				done := b.get(b.answer(provider, person, "callbackUrl", s.URL+"/inside"))
				if person == "1002" && strings.Contains(done.location, "error=OAuthAccountNotLinked") {
					return // her address is that of the first provider's user
				}
				if done.location != s.URL+"/inside" {
					t.Fatalf("%s: %d %s %s", person, done.status, done.location, done.body)
				}
				id := b.session().User.ID
				if was := users[person]; id == "" || was != "" && was != id {
					t.Errorf("%s is user %q, was %q", person, id, was)
				}
				users[person] = id
			}
			if users["1002"] == users["1003"] {
				t.Errorf("two people are one user: %v", users)
			}
		})
	}
}

func TestSignInWithProviders(t *testing.T) {
	s := newSite(t, storetest.URL(t), nil)
	for _, provider := range []string{"google", "github", "apple", "oidc"} {
		t.Run(provider, func(t *testing.T) {
			b := s.browser()
			callback := b.answer(provider, "1002", "callbackUrl", s.URL+"/inside?x=1#y")
			done := b.get(callback)
			if done.status != http.StatusFound || done.location != s.URL+"/inside?x=1#y" {
				t.Fatalf("%d %s %s", done.status, done.location, done.body)
			}
			if got := b.session(); got.User.Email != "grace@example.org" || got.User.ID != "1" || got.Expires == "" {
				t.Errorf("%+v", got)
			}
			// O-5: replayed, in this browser and in another.
			for _, again := range []*browser{b, s.browser()} {
				if p := again.get(callback); !strings.Contains(p.location, "error=OAuthCallback&") || !strings.Contains(p.location, "reason=attempt_missing") {
					t.Errorf("replay: %d %s", p.status, p.location)
				}
			}
			if p := b.follow(b.get(callback)); p.status != http.StatusOK || !strings.Contains(p.body, "did not start this sign-in") || !strings.Contains(p.body, "Request id") {
				t.Errorf("replay page: %d", p.status)
			}
			if p := b.get("/auth/account"); p.status != http.StatusOK || !strings.Contains(p.body, "grace@example.org") {
				t.Errorf("account: %d", p.status)
			}
			if p := b.post("/auth/signout", "callbackUrl", s.URL+"/", "json", "true"); p.body != `{"url":"`+s.URL+`/"}` {
				t.Errorf("sign-out: %s", p.body)
			}
			if got := b.session(); got.User.ID != "" {
				t.Error("still signed in")
			}
		})
	}
	// the log tells what happened and nothing that opens anything.
	for _, secret := range []string{"grace@example.org", "access-", "refresh-", "code=", "csrfToken", "development-secret"} {
		if strings.Contains(s.log.String(), secret) {
			t.Errorf("the log has %q", secret)
		}
	}
}

// M-3, M-6, M-7, M-17, M-18: opening the link changes nothing, pressing the
// button signs in once.
func TestSignInByMail(t *testing.T) {
	s := newSite(t, storetest.URL(t), nil)
	b := s.browser()
	if p := b.post("/auth/signin/email", "email", " Ada@Example.ORG ", "callbackUrl", s.URL+"/inside"); p.location != s.URL+"/auth/verify-request?provider=email&type=email" {
		t.Fatalf("%d %s", p.status, p.location)
	}
	if p := b.get("/auth/verify-request"); !strings.Contains(p.body, "ada@example.org") {
		t.Error("the page does not name the address")
	}
	m := s.newMail("ada@example.org", 1)
	links := m.Links()
	if len(links) != 1 || !strings.Contains(m.HTML, html.EscapeString(links[0])) || strings.Contains(links[0], "ada") || len(m.Code()) != 6 {
		t.Fatalf("%v %q", links, m.Text)
	}
	for range 5 {
		if p := s.browser().get(links[0]); p.status != http.StatusOK || !strings.Contains(p.body, "did not ask for the link") || p.header.Get("Referrer-Policy") != "no-referrer" {
			t.Fatalf("another browser: %d %s", p.status, p.body)
		}
		s.browser().send(http.MethodHead, links[0], nil)
	}
	if p := b.get(links[0]); strings.Contains(p.body, "did not ask for the link") {
		t.Error("the browser that asked is not recognised")
	}
	u, _ := url.Parse(links[0])
	token := u.Query().Get("token")
	if p := b.post("/auth/callback/email", "token", token); p.location != s.URL+"/inside" {
		t.Fatalf("%d %s", p.status, p.location)
	}
	if got := b.session(); got.User.Email != "ada@example.org" {
		t.Errorf("%+v", got)
	}
	if p := s.browser().post("/auth/callback/email", "token", token); !strings.Contains(p.location, "error=Verification&") {
		t.Errorf("a second use: %s", p.location)
	}
	if p := s.browser().follow(s.browser().get(links[0])); p.status != http.StatusForbidden || !strings.Contains(p.body, "no longer valid") {
		t.Errorf("the used link: %d", p.status)
	}
}

func TestSignInByCode(t *testing.T) {
	s := newSite(t, storetest.URL(t), nil)
	b := s.browser()
	b.post("/auth/signin/email", "email", "ada@example.org")
	code := s.newMail("ada@example.org", 1).Code()
	wrong := "000000"
	if code == wrong {
		wrong = "000001"
	}
	if p := b.post("/auth/callback/email", "code", wrong); !strings.Contains(p.location, "/auth/verify-request?error=Verification&") || !strings.Contains(p.location, "reason=code_wrong") {
		t.Errorf("wrong code: %s", p.location)
	}
	if p := s.browser().post("/auth/callback/email", "code", code); !strings.Contains(p.location, "reason=link_expired") {
		t.Errorf("the code in a browser that did not ask: %s", p.location)
	}
	if p := b.post("/auth/callback/email", "code", code[:3]+" "+code[3:]); p.location != s.URL+"/" {
		t.Fatalf("%d %s", p.status, p.location)
	}
	if got := b.session(); got.User.Email != "ada@example.org" {
		t.Errorf("%+v", got)
	}
	c := s.browser()
	c.post("/auth/signin/email", "email", "ada@example.org")
	code = s.newMail("ada@example.org", 2).Code()
	for range 5 {
		c.post("/auth/callback/email", "code", wrong)
	}
	if p := c.post("/auth/callback/email", "code", code); p.location == s.URL+"/" {
		t.Error("a code survived five wrong tries")
	}
}

// L-2: an address alone opens nobody's user; proving the old way in links.
func TestConflictLeadsToLinking(t *testing.T) {
	s := newSite(t, storetest.URL(t), func(c *Config) { c.Linking = "never" })
	b := s.browser()
	b.get(b.answer("google", "1001"))
	b.post("/auth/signout")
	second := b.get(b.answer("github", "1001", "callbackUrl", s.URL+"/there"))
	if !strings.Contains(second.location, "error=OAuthAccountNotLinked") {
		t.Fatal(second.location)
	}
	if p := b.follow(second); !strings.Contains(p.body, "You have been here before") || !strings.Contains(p.body, "Sign in with Google") || strings.Contains(p.body, "Sign in with GitHub") {
		t.Fatalf("%s", p.body)
	} else if strings.Contains(p.body, "Sign in with Apple") || !strings.Contains(p.body, "You signed in with <strong><bdi>Google") || !strings.Contains(p.body, `value="ada@example.org"`) {
		t.Errorf("the page does not name the way in: %s", p.body)
	}
	// C-2: a form of that page whose token is not this browser's leads to it again.
	stale := b.send(http.MethodPost, s.URL+"/auth/signin/google", url.Values{"csrfToken": {"stale"}, "from": {"conflict"}})
	if p := b.follow(stale); !strings.Contains(p.body, "You have been here before") || !strings.Contains(p.body, "<code>csrf</code>") {
		t.Errorf("a form without a token: %s %s", stale.location, p.body)
	}
	if p := b.get(b.answer("google", "1001")); p.location != s.URL+"/there" {
		t.Errorf("after the proof: %s", p.location)
	}
	b.post("/auth/signout")
	b.get(b.answer("github", "1001"))
	if got := b.session(); got.User.ID != "1" {
		t.Errorf("GitHub is not linked: %+v", got)
	}
	// Mallory asserts the address without proof, and gets a user of her own.
	m := s.browser()
	m.get(m.answer("google", "1004"))
	if got := m.session(); got.User.ID == "1" || got.User.Email != "" {
		t.Errorf("Mallory is %+v", got)
	}
}

// L-6, O-40: linking from the account page; two tabs finish in any order.
func TestLinkingAndTwoTabs(t *testing.T) {
	s := newSite(t, storetest.URL(t), nil)
	b := s.browser()
	one, two := b.answer("google", "1001"), b.answer("github", "1002")
	if p := b.get(two); p.location != s.URL+"/" {
		t.Fatalf("second tab: %s", p.location)
	}
	if p := b.get(one); p.location != s.URL+"/" {
		t.Fatalf("first tab: %s", p.location)
	}
	if got := b.session(); got.User.Email != "ada@example.org" {
		t.Errorf("%+v", got)
	}
	if p := b.get(b.answer("oidc", "1003", "callbackUrl", s.URL+"/auth/account")); p.location != s.URL+"/auth/account" {
		t.Fatalf("link: %s", p.location)
	}
	if p := b.get("/auth/account"); strings.Count(p.body, ">Unlink<") != 2 {
		t.Errorf("account page: %s", p.body)
	}
	if p := b.get(b.answer("github", "1002")); !strings.Contains(p.location, "reason=account_taken") {
		t.Errorf("L-7: %s", p.location)
	}
}

// C-1, C-2, C-6, C-7, P-2, P-3, P-9, S-9, X-5
func TestDoorsThatStayShut(t *testing.T) {
	s := newSite(t, storetest.URL(t), nil)
	b := s.browser()
	token := b.csrf()
	form := url.Values{"csrfToken": {token}}
	for _, tt := range []struct {
		name   string
		got    page
		status int
		want   string
	}{
		{"no token", b.send("POST", "/auth/signin/google", url.Values{}), 302, "/auth/signin?csrf=true"},
		{"another's token", b.send("POST", "/auth/signin/google", url.Values{"csrfToken": {strings.Repeat("0", 64)}}), 302, "/auth/signin?csrf=true"},
		{"from another site", b.send("POST", "/auth/signin/google", form, "Sec-Fetch-Site", "cross-site"), 302, "/auth/signin?csrf=true"},
		{"from another origin", b.send("POST", "/auth/signin/google", form, "Origin", "https://evil.example"), 302, "/auth/signin?csrf=true"},
		{"sign-out without token", b.send("POST", "/auth/signout", url.Values{}), 302, "/auth/signout?csrf=true"},
		{"token in the query", b.send("POST", "/auth/signout?csrfToken="+token, url.Values{}), 302, "/auth/signout?csrf=true"},
		{"unknown provider", b.send("POST", "/auth/signin/nobody", form), 302, "reason=unknown_provider"},
		{"not an address", b.send("POST", "/auth/signin/email", url.Values{"csrfToken": {token}, "email": {"a@b.org,c@d.org"}}), 302, "reason=address_invalid"},
		{"oversized body", b.send("POST", "/auth/signin/google", url.Values{"x": {strings.Repeat("x", 70<<10)}}), 413, "64 KiB"},
		{"method override", b.send("POST", "/auth/csrf", url.Values{"_method": {"GET"}}), 400, "not supported by NextAuth.js"},
		{"another method", b.send("PUT", "/auth/session", nil), 400, "HTTP PUT is not supported"},
		{"unknown page", b.get("/auth/nothing"), 404, "no such page"},
		{"markup in the error", b.get("/auth/error?error=<script>&reason=<b>&id=<i>"), 400, "Something went wrong"},
		{"hostile return-to", b.send("POST", "/auth/signout", url.Values{"csrfToken": {token}, "callbackUrl": {"https://evil.example/"}, "json": {"true"}}), 200, `{"url":"` + s.URL + `/"}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.got.status != tt.status || !strings.Contains(tt.got.location+tt.got.body, tt.want) || strings.Contains(tt.got.body, "<script>") {
				t.Errorf("%d %s %s", tt.got.status, tt.got.location, tt.got.body)
			}
			for name, want := range map[string]string{"X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Cache-Control": "private, no-cache, no-store"} {
				if got := tt.got.header.Get(name); got != want {
					t.Errorf("%s: %q", name, got)
				}
			}
			if policy := tt.got.header.Get("Content-Security-Policy"); !strings.Contains(policy, "default-src 'none'") || strings.Contains(policy, "unsafe") {
				t.Errorf("policy %q", policy)
			}
		})
	}
	// JSON bodies, as the contract has them; what fails is answered as JSON too.
	token = b.csrf() // C-5: the sign-out above has renewed it
	for body, want := range map[string]string{
		`{"csrfToken":"` + token + `","email":"not one","json":"true"}`:   "reason=address_invalid",
		`{"email":"ada@example.org","json":"true"}`:                       "/auth/signin?csrf=true",
		`{"csrfToken":"` + token + `","email":["a@b.org"],"json":"true"}`: "reason=address_invalid",
	} {
		r, _ := http.NewRequest("POST", s.URL+"/auth/signin/email", strings.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		resp, err := b.http.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		var answer struct{ URL string }
		if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil || resp.StatusCode != 200 || !strings.Contains(answer.URL, want) {
			t.Errorf("%s: %d %v", body, resp.StatusCode, answer)
		}
		resp.Body.Close()
	}
	for _, body := range []string{"null", "[]", "{", ""} {
		r, _ := http.NewRequest("POST", s.URL+"/auth/signin/email", strings.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		resp, err := b.http.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != 400 && resp.StatusCode != 302 {
			t.Errorf("JSON %q: %d", body, resp.StatusCode)
		}
	}
	b.get(b.answer("google", "1001"))
	u, _ := url.Parse(s.URL)
	var cookie string
	for _, c := range b.http.Jar.Cookies(u) {
		if c.Name == "gatepost.session-token" {
			cookie = c.Name + "=" + c.Value
		}
	}
	for name, header := range map[string]string{"twice": cookie + "; " + cookie, "cut": cookie[:len(cookie)-3], "mangled": strings.ToUpper(cookie), "empty": "gatepost.session-token="} {
		if p := s.browser().send("GET", "/auth/session", nil, "Cookie", header); p.status != 200 || p.body != "{}" {
			t.Errorf("%s cookie: %d %s", name, p.status, p.body)
		}
	}
	if p := s.browser().send("GET", "/auth/session", nil, "Cookie", cookie); !strings.Contains(p.body, "ada@example.org") {
		t.Errorf("the cookie itself: %s", p.body)
	}
}

// without the database everything answers, nobody is let in, nobody
// is signed out, and it works again as soon as it is back.
func TestDatabaseAway(t *testing.T) {
	dir, pg := ownPostgres(t)
	s := newSite(t, pg.URL(), nil)
	b := s.browser()
	b.get(b.answer("google", "1001"))
	late := b.answer("github", "1002")
	if err := pg.Stop(); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/auth/session", "/auth/account", late} {
		start := time.Now()
		p := b.get(path)
		if p.status != 503 || p.header.Get("Retry-After") == "" || time.Since(start) > 3*time.Second {
			t.Errorf("%s: %d after %s", path, p.status, time.Since(start))
		}
	}
	if p := b.get("/auth/signin"); p.status != 200 {
		t.Errorf("sign-in page: %d", p.status)
	}
	if p := b.post("/auth/signout"); p.status != 503 {
		t.Errorf("sign-out: %d", p.status)
	}
	// NextAuth's client reads JSON, and the error in its url.
	p := b.post("/auth/signin/email", "email", "ada@example.org", "json", "true")
	var refused struct{ Error, URL string }
	if err := json.Unmarshal([]byte(p.body), &refused); err != nil || p.status != 503 || refused.Error != "Configuration" || !strings.Contains(refused.URL, "/auth/error?error=Configuration&") {
		t.Errorf("json=true: %d %s", p.status, p.body)
	}
	pg, err := devpg.Start(t.Context(), devpg.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer pg.Stop()
	if got := b.session(); got.User.Email != "ada@example.org" {
		t.Errorf("after the outage: %+v", got)
	}
}
