package devidp_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"testing"

	"github.com/gatepost/gatepost/providers"
	"github.com/gatepost/gatepost/providers/devidp"
)

const redirectURI = "http://127.0.0.1:1/callback"

type fixture struct {
	server *devidp.Server
	http   *http.Client
}

func start(t *testing.T) fixture {
	t.Helper()
	var s *devidp.Server
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.ServeHTTP(w, r) }))
	t.Cleanup(web.Close)
	s, err := devidp.New(web.URL)
	if err != nil {
		t.Fatal(err)
	}
	return fixture{s, &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
}

var hidden = regexp.MustCompile(`name="([a-z]+)" value="([^"]*)"`)

// consent answers the provider's page as person and returns what the browser
// would bring back.
func (f fixture) consent(t *testing.T, location, person string) url.Values {
	t.Helper()
	resp, err := f.http.PostForm(location, url.Values{"person": {person}})
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusFound {
		u, _ := resp.Location()
		return u.Query()
	}
	body := make([]byte, 1<<16)
	n, _ := resp.Body.Read(body)
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("%d %s", resp.StatusCode, body[:n])
	}
	answer := url.Values{}
	for _, m := range hidden.FindAllStringSubmatch(string(body[:n]), -1) {
		answer.Set(m[1], unescape(m[2]))
	}
	return answer
}

func unescape(s string) string {
	return regexp.MustCompile(`&#34;`).ReplaceAllString(regexp.MustCompile(`&amp;`).ReplaceAllString(s, "&"), `"`)
}

// Every provider of the catalogue signs Ada in, in its own dialect.
func TestEveryProvider(t *testing.T) {
	f := start(t)
	for _, doc := range providers.Catalog() {
		t.Run(doc.ID, func(t *testing.T) {
			client, err := providers.New(f.server.ProviderConfig(doc.ID, redirectURI), providers.HTTPOptions{Dev: true})
			if err != nil {
				t.Fatal(err)
			}
			request, location, err := client.Begin(t.Context(), redirectURI, nil)
			if err != nil {
				t.Fatal(err)
			}
			answer := f.consent(t, location, "1001")
			got, err := client.Complete(t.Context(), request, answer)
			if err != nil {
				t.Fatal(err)
			}
			trusted := doc.EmailVerified.Trust != "never" && doc.EmailVerified.Trust != "operator"
			if got.Subject != "1001" || got.Name != "Ada Lovelace" || got.Email != "ada@example.org" || got.EmailVerified != trusted || got.AccessToken == "" {
				t.Errorf("%+v", got.Profile)
			}
			// O-5, O-25: the code is spent.
			if _, err := client.Complete(t.Context(), request, answer); reason(err) != providers.ReasonCodeRejected {
				t.Errorf("a second use: %v", err)
			}
			// L-1: an unverified address is never taken for a verified one.
			request, location, _ = client.Begin(t.Context(), redirectURI, nil)
			got, err = client.Complete(t.Context(), request, f.consent(t, location, "1004"))
			if err != nil || got.EmailVerified || got.MayLink {
				t.Errorf("Mallory: %+v, %v", got.Profile, err)
			}
			// No address is no error.
			request, location, _ = client.Begin(t.Context(), redirectURI, nil)
			if got, err = client.Complete(t.Context(), request, f.consent(t, location, "1003")); err != nil || got.Email != "" {
				t.Errorf("no address: %+v, %v", got.Profile, err)
			}
		})
	}
}

func reason(err error) providers.Reason {
	if e, ok := errors.AsType[*providers.Error](err); ok {
		return e.Reason
	}
	return ""
}

// O-2, O-6, O-7, O-8, O-9: answers that are not to this request are refused, and
// the provider is not asked.
func TestAnswersThatDoNotBelong(t *testing.T) {
	f := start(t)
	client, err := providers.New(f.server.ProviderConfig("oidc", redirectURI), providers.HTTPOptions{Dev: true})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name   string
		change func(*providers.AuthorizationRequest, url.Values)
		want   providers.Reason
	}{
		{"another state", func(_ *providers.AuthorizationRequest, a url.Values) { a.Set("state", "x") }, providers.ReasonStateMismatch},
		{"no state", func(_ *providers.AuthorizationRequest, a url.Values) { a.Del("state") }, providers.ReasonStateMismatch},
		{"absent on both sides", func(r *providers.AuthorizationRequest, a url.Values) { r.State = ""; a.Del("state") }, providers.ReasonStateMismatch},
		{"state twice", func(_ *providers.AuthorizationRequest, a url.Values) { a.Add("state", a.Get("state")) }, providers.ReasonAnswerInvalid},
		{"code twice", func(_ *providers.AuthorizationRequest, a url.Values) { a.Add("code", "x") }, providers.ReasonAnswerInvalid},
		{"code and error", func(_ *providers.AuthorizationRequest, a url.Values) { a.Set("error", "access_denied") }, providers.ReasonAnswerInvalid},
		{"no code", func(_ *providers.AuthorizationRequest, a url.Values) { a.Del("code") }, providers.ReasonAnswerInvalid},
		{"another issuer", func(_ *providers.AuthorizationRequest, a url.Values) { a.Set("iss", "https://evil.example") }, providers.ReasonIssuerMismatch},
		{"no issuer", func(_ *providers.AuthorizationRequest, a url.Values) { a.Del("iss") }, providers.ReasonIssuerMismatch},
		{"declined", func(_ *providers.AuthorizationRequest, a url.Values) { a.Del("code"); a.Set("error", "access_denied") }, providers.ReasonProviderRefused},
		{"another provider's request", func(r *providers.AuthorizationRequest, _ url.Values) { r.Provider = "google" }, providers.ReasonStateMismatch},
		{"another nonce", func(r *providers.AuthorizationRequest, _ url.Values) { r.Nonce = "x" }, providers.ReasonIDTokenInvalid},
		{"another verifier", func(r *providers.AuthorizationRequest, _ url.Values) { r.CodeVerifier += "x" }, providers.ReasonCodeRejected},
		{"another redirect URI", func(r *providers.AuthorizationRequest, _ url.Values) { r.RedirectURI += "x" }, providers.ReasonCodeRejected},
	} {
		t.Run(tt.name, func(t *testing.T) {
			request, location, err := client.Begin(t.Context(), redirectURI, nil)
			if err != nil {
				t.Fatal(err)
			}
			answer := f.consent(t, location, "1001")
			tt.change(&request, answer)
			if _, err := client.Complete(t.Context(), request, answer); reason(err) != tt.want {
				t.Errorf("got %v, want %s", err, tt.want)
			}
		})
	}
}

// A wrong client secret is said to be that, for every way of authenticating.
func TestWrongSecret(t *testing.T) {
	f := start(t)
	for _, id := range []string{"google", "okta", "oidc", "github"} {
		config := f.server.ProviderConfig(id, redirectURI)
		config.ClientSecret = "wrong"
		client, err := providers.New(config, providers.HTTPOptions{Dev: true})
		if err != nil {
			t.Fatal(err)
		}
		request, location, _ := client.Begin(t.Context(), redirectURI, nil)
		if _, err := client.Complete(t.Context(), request, f.consent(t, location, "1001")); reason(err) != providers.ReasonClientRejected {
			t.Errorf("%s: %v", id, err)
		}
	}
}
