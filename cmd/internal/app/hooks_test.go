package app

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatepost/gatepost/store/storetest"
)

// receiver is a service of the operator's: it keeps what is well signed, and
// answers as it is told to.
type receiver struct {
	*httptest.Server
	secret string

	mu     sync.Mutex
	got    []received
	answer func(w http.ResponseWriter, r *http.Request, m received) // nil answers 204
}

type received struct {
	ID     string      `json:"-"` // webhook-id
	Raw    string      `json:"-"`
	Header http.Header `json:"-"`
	Type   string
	Data   map[string]any
	At     time.Time `json:"timestamp"`
}

func newReceiver(t *testing.T) *receiver {
	t.Helper()
	r := &receiver{secret: NewWebhookSecret()}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, _ := io.ReadAll(req.Body)
		m := received{ID: req.Header.Get("webhook-id"), Raw: string(body), Header: req.Header}
		if !slices.Contains(strings.Fields(req.Header.Get("webhook-signature")), r.sign(m.ID, req.Header.Get("webhook-timestamp"), m.Raw)) || json.Unmarshal(body, &m) != nil || m.At.IsZero() {
			t.Errorf("not signed, or not an envelope: %v %s", req.Header, body)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		r.mu.Lock()
		r.got = append(r.got, m)
		answer := r.answer
		r.mu.Unlock()
		if answer == nil {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		answer(w, req, m)
	}))
	t.Cleanup(r.Close)
	return r
}

// sign makes the signature that is due.
func (r *receiver) sign(id, timestamp, body string) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	key, _ := base64.StdEncoding.DecodeString(strings.TrimPrefix(r.secret, "whsec_"))
	mac := hmac.New(sha256.New, key)
	io.WriteString(mac, id+"."+timestamp+"."+body)
	return "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

func (r *receiver) config() HookConfig {
	return HookConfig{URL: r.URL + "/hook", Secrets: []Secret{Secret(r.secret)}}
}

func (r *receiver) answers(with func(w http.ResponseWriter, r *http.Request, m received)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answer = with
}

func (r *receiver) says(body string) {
	r.answers(func(w http.ResponseWriter, _ *http.Request, _ received) { io.WriteString(w, body) })
}

// take returns what came so far, and forgets it.
func (r *receiver) take() []received {
	r.mu.Lock()
	defer r.mu.Unlock()
	got := r.got
	r.got = nil
	return got
}

// nobodyIsThere reports users, which come before accounts and sessions.
func (s *site) nobodyIsThere(t *testing.T) {
	t.Helper()
	if users, err := s.parts.store.Users(t.Context(), "", 10); err != nil || len(users) > 0 {
		t.Errorf("somebody was written down: %+v %v", users, err)
	}
}

func atoms(names ...string) *Who {
	w := &Who{}
	for _, n := range names {
		w.Any = append(w.Any, plain([]Who{{Atom: n}})...)
	}
	return w
}

// Who is on no list does not get in, and nothing of them is written. The answer
// to a request for a mail is the same for everybody (M-11); v3's own words say
// it where somebody has proven who they are.
func TestSignInLists(t *testing.T) {
	dsn := storetest.URL(t)
	var keys []Secret
	s := newSite(t, dsn, func(c *Config) {
		c.SignIn = SignInConfig{Allow: atoms("@example.org", "mail@example.net"), Deny: atoms("grace@example.org")}
		keys = c.Keys
	})
	for person, reason := range map[string]string{"1002": "denied", "1003": "without an address", "1004": "with an address that nobody proved"} {
		b := s.browser()
		p := b.get(b.answer("google", person))
		if !strings.HasPrefix(p.location, s.URL+"/auth/error?error=AccessDenied") || !strings.Contains(p.location, "reason=sign_in_refused") {
			t.Errorf("%s: %d %s", reason, p.status, p.location)
		}
		if p = b.follow(p); p.status != http.StatusForbidden || !strings.Contains(p.body, "You do not have permission to sign in.") {
			t.Errorf("%s: %d %s", reason, p.status, p.body)
		}
	}
	ask := func(b *browser, address string) (answer string) {
		p := b.post("/auth/signin/email", "email", address, "json", "true")
		var cookies []string
		for _, c := range p.header.Values("Set-Cookie") {
			name, _, _ := strings.Cut(c, "=")
			cookies = append(cookies, name)
		}
		return p.body + strings.Join(cookies, " ")
	}
	stranger := s.browser()
	if yes, no := ask(s.browser(), "mail@example.net"), ask(stranger, "eve@example.net"); yes != no {
		t.Errorf("the answers differ:\n%s\n%s", yes, no)
	}
	code := s.newMail("mail@example.net", 1).Code()
	for _, m := range s.mail.Messages() {
		if m.To == "eve@example.net" {
			t.Error("somebody who may not sign in got a mail")
		}
	}
	if p := stranger.post("/auth/callback/email", "code", code); !strings.Contains(p.location, "reason=code_wrong") {
		t.Errorf("a code in place of none: %s", p.location)
	}
	s.nobodyIsThere(t)
	b := s.browser()
	if p := b.get(b.answer("google", "1001")); p.location != s.URL+"/" {
		t.Errorf("on the list: %s", p.location)
	}

	// Whoever was on the list when the mail was sent, and is not at the click.
	b = s.browser()
	ask(b, "mail@example.net")
	link := s.newMail("mail@example.net", 2).Links()[0]
	later := newSite(t, dsn, func(c *Config) { c.Keys, c.SignIn.Allow = keys, atoms("@example.org") })
	token := link[strings.Index(link, "token=")+len("token="):]
	c := later.browser()
	if p := c.post("/auth/callback/email", "token", token); !strings.Contains(p.location, "error=AccessDenied") {
		t.Errorf("at the click: %d %s", p.status, p.location)
	}
	if p := c.post("/auth/callback/email", "token", token); !strings.Contains(p.location, "reason=link_expired") {
		t.Errorf("the link outlives the refusal: %s", p.location)
	}
	if users, _ := s.parts.store.Users(t.Context(), "mail@example.net", 1); len(users) > 0 {
		t.Error("somebody was written down at the click")
	}
}

// The operator's service decides after the lists. What it does not clearly allow
// is refused, within its two seconds.
func TestSignInHook(t *testing.T) {
	r := newReceiver(t)
	s := newSite(t, storetest.URL(t), func(c *Config) {
		c.Webhooks.SignIn, c.ReturnTo = r.config(), []string{"https://app.example.org"}
	})
	for _, tt := range []struct {
		name, says string
		answer     func(w http.ResponseWriter, r *http.Request, m received)
		want       string // in the location, or else on the page
	}{
		{name: "no", says: `{"allow":false}`, want: "error=AccessDenied"},
		{name: "elsewhere", says: `{"allow":false,"redirect":"https://app.example.org/wait?x=1"}`, want: "https://app.example.org/wait?x=1"},
		{name: "a page here", says: `{"allow":false,"redirect":"/wait"}`, want: s.URL + "/wait"},
		{name: "where nobody may be sent", says: `{"allow":false,"redirect":"https://evil.example/"}`, want: "error=AccessDenied"},
		{name: "no word", says: `{}`, want: "does not answer"},
		{name: "null", says: `null`, want: "does not answer"},
		{name: "text", says: `{"allow":"true"}`, want: "does not answer"},
		{name: "500 that says yes", want: "does not answer", answer: func(w http.ResponseWriter, _ *http.Request, _ received) {
			w.WriteHeader(500)
			io.WriteString(w, `{"allow":true}`)
		}},
		{name: "hangs", want: "does not answer", answer: func(_ http.ResponseWriter, r *http.Request, _ received) { <-r.Context().Done() }},
	} {
		r.says(tt.says)
		if tt.answer != nil {
			r.answers(tt.answer)
		}
		r.take()
		b := s.browser()
		callback := b.answer("google", "1001")
		begin := time.Now()
		p := b.get(callback)
		if took := time.Since(begin); took > 3*time.Second {
			t.Errorf("%s: took %s", tt.name, took)
		}
		if got := p.location + p.body; !strings.Contains(got, tt.want) || p.location == s.URL+"/" {
			t.Errorf("%s: %d %s", tt.name, p.status, got)
		}
		if p.location == "" && p.status != http.StatusServiceUnavailable {
			t.Errorf("%s: %d", tt.name, p.status)
		}
		if n := len(r.take()); n != 1 {
			t.Errorf("%s: asked %d times", tt.name, n)
		}
	}
	s.nobodyIsThere(t)

	r.says(`{"allow":true,"redirect":"https://app.example.org/"}`)
	b := s.browser()
	if p := b.get(b.answer("google", "1001")); p.location != s.URL+"/" {
		t.Errorf("yes: %s", p.location)
	}
	b.get(b.answer("google", "1001"))
	c := s.browser()
	c.post("/auth/signin/email", "email", "new@example.org")
	c.post("/auth/callback/email", "code", s.newMail("new@example.org", 1).Code())
	got := r.take()
	if len(got) != 4 {
		t.Fatalf("asked %d times", len(got))
	}
	for i, want := range []string{
		`{"user":{"id":null,"name":"Ada Lovelace","email":"ada@example.org",`,
		`{"user":{"id":"1","name":"Ada Lovelace","email":"ada@example.org",`,
		`{"user":{"id":null,"name":null,"email":"new@example.org","emailVerified":null,"image":null},"account":{"id":"email","type":"email","provider":"email","providerAccountId":"new@example.org"},"verificationRequest":true}`,
		`{"user":{"id":null,"name":null,"email":"new@example.org","emailVerified":null,"image":null},"account":{"id":"email","type":"email","provider":"email","providerAccountId":"new@example.org"}}`,
	} {
		if !strings.Contains(got[i].Raw, `"type":"sign_in"`) || !strings.Contains(got[i].Raw, `"data":`+want) {
			t.Errorf("question %d: %s", i+1, got[i].Raw)
		}
	}
	for _, secret := range []string{"token", "secret"} {
		if strings.Contains(strings.ToLower(got[0].Raw), secret) {
			t.Errorf("a %s is told: %s", secret, got[0].Raw)
		}
	}
	if got := s.log.String(); strings.Contains(got, "example.org/") || strings.Contains(got, r.secret) {
		t.Errorf("the log tells too much: %s", got)
	}
}

// M-11: who is on the lists does not show in whether the hook is asked, and when
// it does not answer everybody is told so alike.
func TestMailRequestTellsNobodyWhoMaySignIn(t *testing.T) {
	r := newReceiver(t)
	s := newSite(t, storetest.URL(t), func(c *Config) {
		c.Webhooks.SignIn, c.SignIn.Allow = r.config(), atoms("@example.org")
	})
	for _, says := range []string{`{"allow":true}`, `{"allow":false}`, `{}`} {
		r.says(says)
		var answers []string
		for _, address := range []string{"ada@example.org", "eve@example.net"} {
			r.take()
			p := s.browser().post("/auth/signin/email", "email", address)
			body, _, _ := strings.Cut(p.body, "Request id")
			answers = append(answers, p.location+body)
			if n := len(r.take()); n != 1 {
				t.Errorf("%s, %s: asked %d times", says, address, n)
			}
		}
		if answers[0] != answers[1] {
			t.Errorf("%s: the answers differ:\n%s\n%s", says, answers[0], answers[1])
		}
	}
	r.says(`{"allow":true}`)
	r.take()
	b := s.browser()
	if p := b.get(b.answer("google", "1003")); !strings.Contains(p.location, "error=AccessDenied") || len(r.take()) != 0 {
		t.Errorf("the hook is asked about somebody whom the lists refuse: %s", p.location)
	}
	s.newMail("ada@example.org", 1)
	if n := len(s.mail.Messages()); n != 1 {
		t.Errorf("%d mails", n)
	}
}

// What a service says of people is told under the names that it may fill in, and
// is asked for once in a while; one that fails takes nothing away, and no time
// from those who come after.
func TestSessionFields(t *testing.T) {
	t.Parallel()
	r := newReceiver(t)
	var count atomic.Int32
	dsn := storetest.URL(t)
	change := func(c *Config) {
		c.Webhooks.Session = SessionHookConfig{URL: r.URL, Secrets: []Secret{Secret(r.secret)}, Fields: []string{"role", "plan"}, Cache: time.Minute}
		c.Session.Fields, c.Gate.Groups = []string{"groups", "providers"}, map[string][]Who{"staff": {{Atom: "ada@example.org"}}}
	}
	s := newSite(t, dsn, change)
	r.answers(func(w http.ResponseWriter, _ *http.Request, _ received) {
		count.Add(1)
		time.Sleep(50 * time.Millisecond)
		io.WriteString(w, `{"role":"</script>","plan":{"seats":3},"name":"Eve","email":"eve@example.org","expires":"never","Role":"admin","other":1}`)
	})
	b := s.browser()
	b.get(b.answer("google", "1001"))
	const want = `{"user":{"name":"Ada Lovelace","email":"ada@example.org","image":"https://lh3.googleusercontent.com/a/abc=s96-c","id":"1","groups":["staff"],"providers":["google"],"role":"\u003c/script\u003e","plan":{"seats":3}},"expires":`
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			if p := b.get("/auth/session"); !strings.HasPrefix(p.body, want) {
				t.Errorf("%s\nwant %s", p.body, want)
			}
		})
	}
	all.Wait()
	if n := count.Load(); n != 1 {
		t.Errorf("asked %d times", n)
	}
	other := s.browser()
	if p := other.get("/auth/session"); p.body != "{}" || count.Load() != 1 {
		t.Errorf("nobody: %s", p.body)
	}
	for name, answer := range map[string]func(w http.ResponseWriter, r *http.Request, m received){
		"500":    func(w http.ResponseWriter, _ *http.Request, _ received) { w.WriteHeader(500) },
		"hangs":  func(_ http.ResponseWriter, r *http.Request, _ received) { <-r.Context().Done() },
		"a list": func(w http.ResponseWriter, _ *http.Request, _ received) { io.WriteString(w, `["role"]`) },
		"too big": func(w http.ResponseWriter, _ *http.Request, _ received) {
			io.WriteString(w, `{"role":"`+strings.Repeat("x", 3000)+`"}`)
		},
	} {
		r.answers(answer)
		r.take()
		s := newSite(t, dsn, change) // which remembers nothing
		b := s.browser()
		b.get(b.answer("google", "1001"))
		begin := time.Now()
		for range 3 {
			if got := b.session(); got.User.ID != "1" {
				t.Errorf("%s: looks signed out: %+v", name, got)
			}
		}
		if p := b.get("/auth/session"); strings.Contains(p.body, "role") || !strings.Contains(p.body, `"groups":["staff"]`) {
			t.Errorf("%s: %s", name, p.body)
		}
		if took, n := time.Since(begin), len(r.take()); took > 3*time.Second || n != 1 {
			t.Errorf("%s: asked %d times in %s", name, n, took)
		}
	}
	// With NextAuth's wire format too, where an id is told only if that is wanted.
	r.says(`{"role":"editor"}`)
	next := newSite(t, dsn, func(c *Config) {
		change(c)
		c.Session.Fields, c.Compat, c.NextAuth.Secret = []string{"id"}, List{nextAuthV3}, sharedSecret
	})
	b = next.browser()
	b.get(b.answer("google", "1001"))
	if p := b.get("/auth/session"); !strings.HasPrefix(p.body, `{"user":{"name":"Ada Lovelace","email":"ada@example.org","image":"https://lh3.googleusercontent.com/a/abc=s96-c","id":"1","role":"editor"},"accessToken":"`) {
		t.Errorf("%s", p.body)
	}
}
