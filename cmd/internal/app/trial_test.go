package app

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gatepost/gatepost/providers"
	"github.com/gatepost/gatepost/providers/devidp"
	"github.com/gatepost/gatepost/store/storetest"
)

// witness is the development provider, and all that it was told and told.
type witness struct {
	*httptest.Server
	idp     *devidp.Server
	mu      sync.Mutex
	heard   string
	tamper  func(path string, body []byte) (int, []byte) // of an answer; nil for none
	headers http.Header                                  // of every answer
}

func newWitness(t *testing.T) *witness {
	t.Helper()
	w := &witness{headers: http.Header{}}
	w.Server = httptest.NewServer(http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
		raw, _ := io.ReadAll(r.Body)
		r.Body = io.NopCloser(bytes.NewReader(raw))
		kept := httptest.NewRecorder()
		w.idp.ServeHTTP(kept, r)
		body := kept.Body.Bytes()
		status := kept.Code
		w.mu.Lock()
		tamper := w.tamper
		w.mu.Unlock()
		if tamper != nil {
			if s, b := tamper(r.URL.Path, body); s != 0 {
				status, body = s, b
			}
		}
		w.mu.Lock()
		w.heard += r.URL.RawQuery + "\n" + r.Header.Get("Authorization") + "\n" + string(raw) + "\n" + string(body) + "\n"
		w.mu.Unlock()
		for name, v := range kept.Header() {
			out.Header()[name] = v
		}
		for name, v := range w.headers {
			out.Header()[name] = v
		}
		out.WriteHeader(status)
		out.Write(body)
	}))
	t.Cleanup(w.Close)
	var err error
	if w.idp, err = devidp.New(w.URL); err != nil {
		t.Fatal(err)
	}
	return w
}

// config is one provider at w, and a database that does not answer.
func (w *witness) config(t *testing.T, p providers.Config, redirectURI string) Config {
	t.Helper()
	got, err := w.idp.Configure(p, redirectURI)
	if err != nil {
		t.Fatal(err)
	}
	params := map[string]Secret{}
	for name, v := range got.Params {
		params[name] = Secret(v)
	}
	c := Default()
	c.PublicURL, c.Dev, c.Keys, c.Database.URL = "https://auth.example.org", true, []Secret{Secret(NewKey())}, "postgres://127.0.0.1:1/none"
	c.Providers = []ProviderConfig{{ID: got.ID, Type: got.Type, ClientID: got.ClientID, ClientSecret: Secret(got.ClientSecret), Params: params, Override: got.Override, AllowPrivateNetwork: true}}
	return c
}

// operator reads what is printed, opens the address in it as person, and types
// what answer makes of where the browser ends.
type operator struct {
	person string
	answer func(landed string, posted url.Values) []string // lines to type; nil for what a person would
}

func (o operator) try(t *testing.T, c Config, trial Trial) (string, error) {
	t.Helper()
	var out syncBuffer
	typed, in := io.Pipe()
	trial.In = typed
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- TrySignIn(ctx, c, trial, &out) }()
	address := regexp.MustCompile(`(?m)^http\S+$`)
	for {
		select {
		case err := <-done:
			in.Close()
			return out.String(), err
		case <-time.After(2 * time.Millisecond):
		}
		location := address.FindString(out.String())
		if location == "" || !strings.Contains(out.String(), "paste the ") {
			continue
		}
		landed, posted := consent(t, location, o.person)
		answer := o.answer
		if answer == nil {
			answer = func(landed string, posted url.Values) []string {
				if posted != nil {
					return []string{posted.Encode()}
				}
				return []string{landed}
			}
		}
		for _, line := range answer(landed, posted) {
			fmt.Fprintln(in, line)
		}
		in.Close()
		return finished(t, &out, done)
	}
}

func finished(t *testing.T, out *syncBuffer, done <-chan error) (string, error) {
	t.Helper()
	err := <-done
	return out.String(), err
}

// consent answers the provider's page, and gives the address that the browser is
// led to or the form that it posts.
func consent(t *testing.T, location, person string) (landed string, posted url.Values) {
	t.Helper()
	location, _, _ = strings.Cut(location, "#")
	browser := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := browser.PostForm(location, url.Values{"person": {person}})
	if err != nil {
		t.Error(err)
		return "", nil
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusFound {
		return resp.Header.Get("Location"), nil
	}
	raw, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Errorf("%d %v %s", resp.StatusCode, err, raw)
	}
	posted = url.Values{}
	for _, m := range hiddenField.FindAllStringSubmatch(string(raw), -1) {
		posted.Set(m[1], html.UnescapeString(m[2]))
	}
	return "", posted
}

// everyClient is every provider that people can sign in with, and its variants.
func everyClient() (all []providers.Config) {
	for _, p := range liveProviders() {
		all = append(all, providers.Config{ID: p.ID})
		for _, param := range p.Params {
			for _, choice := range param.Enum {
				if p.Variants[choice] != nil {
					all = append(all, providers.Config{ID: p.ID + "-" + strings.ReplaceAll(choice, "_", "-"), Type: p.ID, Params: map[string]string{param.Name: choice}})
				}
			}
		}
	}
	return all
}

var (
	issued = regexp.MustCompile(`"(?:access_token|refresh_token|id_token|AccessToken)":"([^"]+)"|(?:^|[&\n])(?:oauth_token_secret|oauth_verifier|code|assertion|client_assertion|client_secret|code_verifier|appsecret_proof|openid\.sig|hmac|secret|token|refresh_token)=([^&\n]+)|(?:Basic|Bearer|OAuth) ([A-Za-z0-9_.=/+-]+)\n|oauth_signature="([^"]+)"`)
	keyOf  = regexp.MustCompile(`(?m)^[A-Za-z0-9+/=]{40,}$`)
)

// K-O3, U-4: whatever a provider's dialect is, no secret of the configuration, no
// code and no token stands in what an operator is shown.
func TestNoSecretIsShown(t *testing.T) {
	w := newWitness(t)
	for _, p := range everyClient() {
		t.Run(p.ID, func(t *testing.T) {
			c := w.config(t, p, "https://auth.example.org/auth/callback/"+p.ID)
			w.mu.Lock()
			w.heard = ""
			w.mu.Unlock()
			shown, err := operator{person: "1001"}.try(t, c, Trial{Provider: p.ID})
			if err != nil {
				t.Fatalf("%v\n%s", err, shown)
			}
			secrets := []string{string(c.Providers[0].ClientSecret)}
			for _, doc := range liveProviders() {
				for _, param := range doc.Params {
					if v := string(c.Providers[0].Params[param.Name]); param.Secret && v != "" && (doc.ID == p.ID || doc.ID == p.Type) {
						secrets = append(secrets, keyOf.FindAllString(v, -1)...)
						if !strings.Contains(v, "\n") {
							secrets = append(secrets, v)
						}
					}
				}
			}
			for _, m := range issued.FindAllStringSubmatch(w.heard, -1) {
				raw := m[1] + m[2] + m[3] + m[4]
				plain, err := url.QueryUnescape(raw)
				if err != nil {
					t.Fatal(err)
				}
				secrets = append(secrets, raw, plain)
			}
			slices.Sort(secrets)
			secrets = slices.Compact(secrets)
			if len(secrets) < 3 {
				t.Errorf("only %d secrets are known to this test", len(secrets))
			}
			for _, secret := range secrets {
				if strings.Contains(shown, secret) || strings.Contains(shown, url.QueryEscape(secret)) {
					t.Errorf("%q is shown", secret)
				}
			}
			for _, want := range []string{"provider_account_id  ", "The profile\n", "< 200 OK after ", "  ok    answer state\n", "whether this account is known is left open"} {
				if !strings.Contains(shown, want) {
					t.Errorf("%q is missing", want)
				}
			}
			if t.Failed() {
				t.Log(shown)
			}
		})
	}
}

// What is wrong is named with the next step, whatever the provider calls it.
func TestTrialsThatFail(t *testing.T) {
	w := newWitness(t)
	github := func() Config {
		return w.config(t, providers.Config{ID: "github"}, "https://auth.example.org/auth/callback/github")
	}
	oidc := func() Config {
		return w.config(t, providers.Config{ID: "oidc"}, "https://auth.example.org/auth/callback/oidc")
	}
	answering := func(at string, status int, body string) func(string, []byte) (int, []byte) {
		return func(path string, _ []byte) (int, []byte) {
			if strings.HasSuffix(path, at) {
				return status, []byte(body)
			}
			return 0, nil
		}
	}
	for _, tt := range []struct {
		name   string
		config Config
		change func(*Config)
		person string
		answer func(string, url.Values) []string
		tamper func(string, []byte) (int, []byte)
		want   []string
	}{
		{"wrong secret", github(), func(c *Config) { c.Providers[0].ClientSecret = "another-secret-than-theirs" }, "1001", nil, nil,
			[]string{"client_rejected", "Next: client_id or client_secret is wrong", "at http"}},
		{"secret's id instead of its value", oidc(), nil, "1001", nil, answering("/token", 401, `{"error":"invalid_client","error_description":"AADSTS7000215: Invalid client secret provided."}`),
			[]string{"Next: client_secret is the id of the secret", "AADSTS7000215"}},
		{"secret is over", oidc(), nil, "1001", nil, answering("/token", 401, `{"error":"invalid_client","error_description":"AADSTS7000222: The provided client secret keys are expired."}`), []string{"Next: the client secret has expired"}},
		{"redirect URI at the token endpoint", github(), nil, "1001", nil, answering("/token", 200, `{"error":"redirect_uri_mismatch","error_description":"The redirect_uri MUST match the registered callback URL for this application."}`),
			[]string{"Next: register exactly https://auth.example.org/auth/callback/github at http"}},
		{"redirect URI in the answer", github(), nil, "1001", func(landed string, _ url.Values) []string {
			u, _ := url.Parse(landed)
			return []string{"https://auth.example.org/auth/callback/github?error=redirect_uri_mismatch&state=" + u.Query().Get("state")}
		}, nil, []string{"Next: register exactly https://auth.example.org/auth/callback/github"}},
		{"declined", github(), nil, "", nil, nil, []string{"provider_refused", "has to be a test user"}},
		{"scope", github(), nil, "1001", func(landed string, _ url.Values) []string {
			u, _ := url.Parse(landed)
			return []string{"error=invalid_scope&state=" + u.Query().Get("state")}
		}, nil, []string{"Next: allow the scopes"}},
		{"code used before", github(), nil, "1001", func(landed string, _ url.Values) []string {
			return []string{strings.Replace(landed, "code=", "code=x", 1)}
		}, nil,
			[]string{"code_rejected", "Next: a code is good once"}},
		{"code used before, with a redirect URI", oidc(), nil, "1001", nil, answering("/token", 400, `{"error":"invalid_grant"}`), []string{"code_rejected", "is not the one that is registered"}},
		{"scope of the profile", oidc(), nil, "1001", nil, answering("/userinfo", 403, `{"error":"insufficient_scope"}`), []string{"userinfo answered 403", "Next: allow the scopes"}},
		{"no address", github(), nil, "1003", nil, nil, nil},
		{"provider is down", oidc(), nil, "1001", nil, answering("/token", 503, `busy`), []string{"provider_unavailable", "Next: try again in a while"}},
		{"no answer, after metadata that speaks of code_challenge", oidc(), nil, "1001", nil, func(path string, _ []byte) (int, []byte) {
			if strings.HasSuffix(path, "/token") {
				panic(http.ErrAbortHandler)
			}
			return 0, nil
		}, []string{"< nothing after", "Next: try again in a while"}},
		{"keys are others", oidc(), nil, "1001", nil, answering("/jwks", 200, `{"keys":[]}`), []string{"FAIL  id_token signature: alg RS256, kid dev", "publishes no usable key"}},
		{"another audience", oidc(), func(c *Config) { c.Providers[0].Override["extra_audiences"] = []string{"more"} }, "1001", nil, nil, nil},
		{"an inactive account", oidc(), func(c *Config) { c.Providers[0].Override["active"] = map[string]any{"path": "no.such"} }, "1001", nil, nil, []string{"account_inactive", "Next: the account is locked"}},
		{"not of the domain", oidc(), func(c *Config) { c.Providers[0].AllowedDomains = []string{"example.net"} }, "1001", nil, nil, []string{"not_allowed", "Next: the provider works; this person is kept out"}},
		{"another issuer", oidc(), func(c *Config) { c.Providers[0].Override["issuer"] = w.URL + "/oidc/" }, "1001", nil, nil, []string{"they must be the same to the letter"}},
		{"input ends", oidc(), nil, "1001", func(string, url.Values) []string { return nil }, nil, []string{"the input ended before an answer came"}},
		{"everything but an answer", github(), nil, "1001", func(landed string, _ url.Values) []string {
			return []string{"", "https://auth.example.org/auth/signin?error=OAuthCallback&reason=attempt_missing", "https://auth.example.org/auth/callback/github", w.URL + "/github/authorization", "rubbish",
				strings.Replace(landed, "state=", "state=x", 1), "https://auth.example.org/auth/callback/github#access_token=x&state=y", "%zz=1", "@/no/such/file"}
		}, nil, []string{"that line is empty", "the site led on to /auth/signin", "has no state", "that is a page at", "the answer to another sign-in", "answered behind #", "was it cut?", "file cannot be read"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.change != nil {
				tt.change(&tt.config)
			}
			w.mu.Lock()
			w.tamper = tt.tamper
			w.mu.Unlock()
			shown, err := operator{tt.person, tt.answer}.try(t, tt.config, Trial{Provider: tt.config.Providers[0].ID})
			shown += fmt.Sprint(err)
			if (err != nil) != (tt.want != nil) {
				t.Errorf("%v\n%s", err, shown)
			}
			for _, want := range tt.want {
				if !strings.Contains(shown, want) {
					t.Errorf("%q is missing in\n%s", want, shown)
				}
			}
		})
	}
	for reason, next := range byReason {
		if next == "" {
			t.Errorf("%s has no next step", reason)
		}
	}
	if _, err := (operator{}).try(t, github(), Trial{Provider: "gitlab"}); !errors.Is(err, ErrUsage) || !strings.Contains(err.Error(), "there are: github") {
		t.Errorf("another provider: %v", err)
	}
}

// Whatever is pasted, only an answer to the request is taken for one.
func FuzzParseAnswer(f *testing.F) {
	r := providers.AuthorizationRequest{RedirectURI: "https://auth.example.org/auth/callback/github", State: strings.Repeat("s", 43)}
	for _, line := range []string{"", "?", "#", "@", "code=x&state=" + r.State, r.RedirectURI + "?code=x&state=" + r.State + "#_=_", "<" + r.RedirectURI + "?state=" + r.State + ">", r.RedirectURI + "#state=" + r.State, "https://[::1", "%zz", "state=" + r.State + "&state=x"} {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		if strings.Contains(line, "@") {
			return // names a file
		}
		answer, err := parseAnswer(line, r)
		if (err == nil) != (answer.Get("state") == r.State) || err == nil && !strings.Contains(line, "state=") && !strings.Contains(line, "%") {
			t.Errorf("%q: %v, %v", line, answer, err)
		}
		if _, err := parseAnswer(line, providers.AuthorizationRequest{RedirectURI: r.RedirectURI}); err == nil {
			t.Errorf("%q answers a request without state", line)
		}
	})
}

// A provider's clock that is another is named before it spoils an ID token.
func TestTrialSeesTheClock(t *testing.T) {
	w := newWitness(t)
	w.headers.Set("Date", time.Now().Add(95*time.Second).UTC().Format(http.TimeFormat))
	shown, err := operator{person: "1001"}.try(t, w.config(t, providers.Config{ID: "oidc"}, "https://auth.example.org/auth/callback/oidc"), Trial{Provider: "oidc"})
	if err != nil || strings.Count(shown, "the provider's clock is 1m3") != 1 {
		t.Errorf("%v\n%s", err, shown)
	}
}

// Where the redirect URI is on this machine and nothing listens there, the
// answer is waited for; whatever else comes there spoils nothing.
func TestTrialListens(t *testing.T) {
	for _, id := range []string{"github", "apple"} {
		w := newWitness(t)
		free := httptest.NewServer(nil)
		at := free.URL + "/back"
		free.Close()
		c := w.config(t, providers.Config{ID: id}, at)
		var out syncBuffer
		done := make(chan error, 1)
		go func() {
			done <- TrySignIn(t.Context(), c, Trial{Provider: id, RedirectURI: at, In: strings.NewReader("")}, &out)
		}()
		var location string
		for deadline := time.Now().Add(10 * time.Second); location == "" || !strings.Contains(out.String(), "Waiting at 127.0.0.1:"); time.Sleep(2 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatal(out.String())
			}
			location = regexp.MustCompile(`(?m)^http\S+$`).FindString(out.String())
		}
		for _, stray := range []string{at + "?code=x&state=y", at + "?code=x", strings.Replace(at, "/back", "/favicon.ico", 1)} {
			resp, err := http.Get(stray)
			if err != nil || resp.StatusCode != http.StatusBadRequest {
				t.Fatalf("%s: %v %v", stray, resp, err)
			}
			resp.Body.Close()
		}
		landed, posted := consent(t, location, "1002")
		resp, err := http.DefaultClient.PostForm(at, posted)
		if posted == nil {
			resp, err = http.Get(landed)
		}
		if err != nil {
			t.Fatal(err)
		}
		page, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err := <-done; err != nil || !strings.Contains(string(page), "Go on in the terminal") || !strings.Contains(out.String(), "provider_account_id  1002\n") {
			t.Errorf("%s: %v %s\n%s", id, err, page, out.String())
		}
	}
}

// The running site shows the answer and takes nothing of it: the code is good
// afterwards, nobody is signed in, and no row is written.
func TestTrialBesideTheSite(t *testing.T) {
	dsn := storetest.URL(t)
	var c Config
	s := newSite(t, dsn, func(made *Config) { c = *made })
	rows := func() string {
		users, err := s.parts.store.Users(t.Context(), "", 10)
		if err != nil {
			t.Fatal(err)
		}
		sessions, err := s.parts.store.SessionsOf(t.Context(), 1)
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprint(users, sessions)
	}
	for _, tt := range []struct{ provider, person, before, want string }{
		{"github", "1002", "", "A sign-in would make a new user with the address grace@example.org."},
		{"apple", "1002", "", "A sign-in would make a new user with the address grace@example.org."},
		{"google", "1004", "", "A sign-in would make a new user without an address: the one above does not count."},
		{"google", "1003", "", "A sign-in would make a new user without an address.\n"},
		{"github", "1002", "github", "A sign-in would sign in user 1, who has this account."},
		{"google", "1002", "github", "A sign-in would sign in user 1, who has the same proven address grace@example.org, and add this account to them."},
	} {
		t.Run(tt.provider+" "+tt.person+" "+tt.before, func(t *testing.T) {
			b := s.browser()
			if tt.before != "" {
				b.get(b.answer(tt.before, "1002"))
			}
			was := rows()
			stranger := s.browser()
			o := operator{tt.person, func(landed string, posted url.Values) []string {
				var p page
				if posted == nil {
					p = stranger.get(landed)
				} else {
					p = stranger.send(http.MethodPost, "/auth/callback/"+tt.provider, posted, "Sec-Fetch-Site", "cross-site")
				}
				_, line, found := strings.Cut(p.body, "\n\n")
				if p.status != http.StatusOK || !found || !strings.HasPrefix(p.header.Get("Content-Type"), "text/plain") || p.header.Get("Set-Cookie") != "" || p.header.Get("Referrer-Policy") != "no-referrer" {
					t.Errorf("the site answers %d %v %s", p.status, p.header, p.body)
				}
				return []string{strings.TrimSpace(line)}
			}}
			shown, err := o.try(t, c, Trial{Provider: tt.provider})
			if err != nil || !strings.Contains(shown+"\n", tt.want) {
				t.Errorf("%v\n%s", err, shown)
			}
			if stranger.session().User.ID != "" || rows() != was {
				t.Errorf("something was written: %s, before %s", rows(), was)
			}
		})
	}
	// What somebody else made up is not shown: it leads to the page as ever.
	if p := s.browser().get("/auth/callback/github?code=x&state=" + strings.Repeat("x", 43)); !strings.Contains(p.location, "reason=attempt_missing") {
		t.Errorf("%d %s %s", p.status, p.location, p.body)
	}
	if strings.Contains(s.log.String(), "code=") || !strings.Contains(s.log.String(), "answer of gatepost check --sign-in") {
		t.Errorf("the log is %s", s.log)
	}
}

// Who may not sign in at all is said, and the operator's service is told nothing.
func TestTrialAsksTheLists(t *testing.T) {
	var c Config
	service := newReceiver(t)
	newSite(t, storetest.URL(t), func(made *Config) {
		made.SignIn, made.Webhooks.SignIn = SignInConfig{Allow: atoms("@example.org"), Deny: atoms("grace@example.org")}, service.config()
		c = *made
	})
	shown, err := operator{person: "1001"}.try(t, c, Trial{Provider: "google"})
	if err != nil || !strings.Contains(shown, "A sign-in would make a new user with the address ada@example.org.\nThe service of webhooks.sign_in would be asked first.") {
		t.Errorf("%v\n%s", err, shown)
	}
	for _, person := range []string{"1002", "1003"} {
		if shown, err := (operator{person: person}).try(t, c, Trial{Provider: "google"}); err == nil || !strings.Contains(err.Error(), "kept out by sign_in") {
			t.Errorf("%s: %v\n%s", person, err, shown)
		}
	}
	if told := service.take(); len(told) != 0 {
		t.Errorf("the service was told %v", told)
	}
}

// The page shows what a trial with GitHub prints, but for what is random.
func TestTranscriptIsUpToDate(t *testing.T) {
	w := newWitness(t)
	c := w.config(t, providers.Config{ID: "github"}, "https://auth.example.org/auth/callback/github")
	file := filepath.Join(t.TempDir(), "answer")
	shown, err := operator{"1001", func(landed string, _ url.Values) []string {
		if err := os.WriteFile(file, []byte(landed+"\n"), 0o600); err != nil {
			t.Error(err)
		}
		return []string{"@" + file}
	}}.try(t, c, Trial{Provider: "github"})
	if err != nil {
		t.Fatal(err)
	}
	shown, _, _ = strings.Cut(shown, "\nThe database cannot be read")
	for _, r := range []struct{ pattern, with string }{
		{regexp.QuoteMeta(w.URL) + `/github/(authorization|token)`, "https://github.com/login/oauth/$1"},
		{regexp.QuoteMeta(w.URL) + `/github/userinfo`, "https://api.github.com/user"},
		{regexp.QuoteMeta(w.URL) + `/github/extra/emails`, "https://api.github.com/user/emails"},
		{`login/oauth/authorization`, "login/oauth/authorize"}, {`login/oauth/token`, "login/oauth/access_token"},
		{`(< .*) after [0-9a-zµ.]+`, "$1 after 180ms"}, {`Date: [^\n]*`, "Date: Thu, 26 Nov 2026 12:00:00 GMT"},
		{`(code_challenge=|state=)[A-Za-z0-9_-]{43}`, "${1}fT0wQ6m9cX2uYb5nRk8vJs1hLz4pDg7eAi3oWq0xUyM"},
		{`(?m)^(  (?:code_challenge|state) +)[A-Za-z0-9_-]{43}`, "${1}fT0wQ6m9cX2uYb5nRk8vJs1hLz4pDg7eAi3oWq0xUyM"},
		{`[A-Za-z0-9_-]{4}…\(`, "x3Tq…("},
	} {
		shown = regexp.MustCompile(r.pattern).ReplaceAllString(shown, r.with)
	}
	page, err := os.ReadFile(providersPage)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(page), "```\n"+strings.TrimSpace(shown)+"\n") {
		t.Errorf("the page does not have\n%s", shown)
	}
}
