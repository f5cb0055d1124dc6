package devidp_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
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
	answer, status := f.ask(t, location, person)
	if status != http.StatusOK && status != http.StatusFound {
		t.Fatalf("%d at %s", status, location)
	}
	return answer
}

func (f fixture) ask(t *testing.T, location, person string) (url.Values, int) {
	t.Helper()
	location, _, _ = strings.Cut(location, "#")
	resp, err := f.http.PostForm(location, url.Values{"person": {person}})
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusFound {
		u, _ := resp.Location()
		return u.Query(), resp.StatusCode
	}
	body := make([]byte, 1<<16)
	n, _ := resp.Body.Read(body)
	answer := url.Values{}
	for _, m := range hidden.FindAllStringSubmatch(string(body[:n]), -1) {
		answer.Set(m[1], unescape(m[2]))
	}
	return answer, resp.StatusCode
}

func unescape(s string) string {
	return regexp.MustCompile(`&#34;`).ReplaceAllString(regexp.MustCompile(`&amp;`).ReplaceAllString(s, "&"), `"`)
}

// live is every entry that somebody can sign in with, and its variants.
func live() []providers.Config {
	var all []providers.Config
	for _, doc := range providers.Catalog() {
		if doc.Status == "dead" {
			continue
		}
		all = append(all, providers.Config{ID: doc.ID})
		for _, param := range doc.Params {
			for _, choice := range param.Enum {
				if doc.Variants[choice] != nil {
					all = append(all, providers.Config{ID: doc.ID + "-" + strings.ReplaceAll(choice, "_", "-"), Type: doc.ID, Params: map[string]string{param.Name: choice}})
				}
			}
		}
	}
	return all
}

// client registers c and gives the client that Gatepost makes of it.
func (f fixture) client(t *testing.T, c providers.Config) *providers.Client {
	t.Helper()
	c, err := f.server.Configure(c, redirectURI)
	if err != nil {
		t.Fatal(err)
	}
	client, err := providers.New(c, providers.HTTPOptions{Dev: true})
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// signIn is a whole sign-in as person.
func (f fixture) signIn(t *testing.T, client *providers.Client, person string) (providers.Identity, error) {
	t.Helper()
	request, location, err := client.Begin(t.Context(), redirectURI, nil)
	if err != nil {
		return providers.Identity{}, err
	}
	return client.Complete(t.Context(), request, f.consent(t, location, person))
}

// Every provider of the catalogue, and every variant, signs people in in its own
// dialect.
func TestEveryProvider(t *testing.T) {
	f := start(t)
	for _, config := range live() {
		t.Run(config.ID, func(t *testing.T) {
			client := f.client(t, config)
			doc := client.Document()
			request, location, err := client.Begin(t.Context(), redirectURI, nil)
			if err != nil {
				t.Fatal(err)
			}
			answer := f.consent(t, location, "1001")
			got, err := client.Complete(t.Context(), request, answer)
			if err != nil {
				t.Fatal(err)
			}
			want := expected(doc)
			if have := got.Profile; have.Subject != want.Subject || have.Name != want.Name || have.Email != want.Email || have.EmailVerified != want.EmailVerified {
				t.Errorf("got  %+v\nwant %+v", have, want)
			}
			if got.AccessToken == "" && doc.Protocol != "openid2" {
				t.Error("no access token")
			}
			// O-34: two people are two accounts; nobody is believed to have an address
			// that the provider did not prove; no address is no error.
			mallory, err := f.signIn(t, client, "1004")
			if err != nil || mallory.EmailVerified || mallory.MayLink || mallory.Subject == got.Subject {
				t.Errorf("Mallory: %+v, %v", mallory.Profile, err)
			}
			if nobody, err := f.signIn(t, client, "1003"); err != nil || nobody.Email != "" {
				t.Errorf("no address: %+v, %v", nobody.Profile, err)
			}
			if doc.Protocol == "oauth2" || doc.Protocol == "oidc" {
				fresh, err := client.Refresh(t.Context(), got.RefreshToken)
				if err != nil || fresh.AccessToken == "" || fresh.AccessToken == got.AccessToken {
					t.Errorf("refresh: %v", err)
				}
				// A second use of a refresh token ends what came of the first.
				for _, tt := range [][2]string{{"spent", got.RefreshToken}, {"its successor", fresh.RefreshToken}} {
					if _, err := client.Refresh(t.Context(), tt[1]); err == nil || doc.TokenAnswer.ErrorField == "" && reason(err) != providers.ReasonCodeRejected {
						t.Errorf("%s: %v", tt[0], err)
					}
				}
			}
			// O-5, O-25: the code is spent.
			if _, err := client.Complete(t.Context(), request, answer); err == nil {
				t.Error("a second use is accepted")
			}
		})
	}
}

// expected is Ada as doc's mapping can tell of her.
func expected(doc providers.Provider) providers.Profile {
	email, name := "", "Ada Lovelace"
	if len(doc.Map.Email) > 0 {
		email = "ada@example.org"
	}
	if reads := doc.Map.Name.Texts(); len(reads) == 0 || slices.Equal(reads, doc.Map.Email.Texts()) {
		name = email // this provider has nothing but the address
	}
	subject := "1001"
	if doc.Protocol == "openid2" {
		subject = "76561198000001001" // seventeen digits
	}
	proven := slices.Contains([]string{"claim", "all_claims", "not_null", "delivered"}, doc.EmailVerified.Trust)
	return providers.Profile{Subject: subject, Name: name, Email: email, EmailVerified: proven && email != ""}
}

// A provider refuses a client that speaks another dialect than its own. That the
// changes below are noticed is what makes TestEveryProvider say anything.
func TestStrangersAreRefused(t *testing.T) {
	f := start(t)
	for _, config := range live() {
		doc := f.client(t, config).Document()
		for name, change := range otherDialects(doc) {
			t.Run(config.ID+" "+name, func(t *testing.T) {
				c, err := f.server.Configure(config, redirectURI)
				if err != nil {
					t.Fatal(err)
				}
				for key, v := range change {
					c.Override[key] = v
				}
				if name == "wrong secret" {
					c.ClientSecret = "wrong"
				}
				client, err := providers.New(c, providers.HTTPOptions{Dev: true})
				if err != nil {
					t.Fatal(err)
				}
				request, location, err := client.Begin(t.Context(), redirectURI, nil)
				if err != nil {
					return // refused at once
				}
				answer, status := f.ask(t, location, "1001")
				if status != http.StatusOK && status != http.StatusFound {
					return // refused at the first door
				}
				got, err := client.Complete(t.Context(), request, answer)
				switch {
				case err == nil:
					t.Errorf("%+v came in", got.Profile)
				case name == "wrong secret" && reason(err) != providers.ReasonClientRejected && doc.TokenAnswer.ErrorField == "" && doc.Hook == "":
					t.Errorf("a wrong secret is %v", err)
				}
			})
		}
	}
}

// otherDialects are changes of doc that its real server would not take.
func otherDialects(doc providers.Provider) map[string]map[string]any {
	all := map[string]map[string]any{}
	if doc.Protocol == "openid2" {
		return all
	}
	if doc.TokenAuth != "none" && doc.TokenAuth != "post_jwt" && doc.TokenAuth != "private_key_jwt" {
		all["wrong secret"] = nil
	}
	if doc.Protocol == "oauth1" {
		return all
	}
	other := map[string]string{"basic": "post", "discovery": "post"}[doc.TokenAuth]
	if other == "" {
		other = "basic"
	}
	all["client authentication "+other] = map[string]any{"token_auth": other}
	if doc.PKCE == "unsupported" {
		all["PKCE where it breaks"] = map[string]any{"pkce": "supported"}
	} else {
		all["no PKCE"] = map[string]any{"pkce": "unsupported"}
	}
	if len(doc.Scopes) > 1 {
		sep := ","
		if doc.ScopeSep == "," {
			sep = " "
		}
		all["scope separator"] = map[string]any{"scope_sep": sep}
	}
	if doc.TokenMethod == "GET" {
		all["token request by POST"] = map[string]any{"token_method": "POST"}
	} else {
		all["token request by GET"] = map[string]any{"token_method": "GET"}
	}
	if doc.ClientIDParam != "" {
		all["client_id by its usual name"] = map[string]any{"client_id_param": ""}
	}
	for name, v := range doc.TokenParams {
		if v != "" {
			all["token field "+name] = map[string]any{"token_params": map[string]any{name: ""}}
		}
	}
	for name := range doc.AuthParams {
		all["authorization parameter "+name] = map[string]any{"auth_params": map[string]any{name: ""}}
	}
	delete(all, "authorization parameter prompt")
	delete(all, "authorization parameter login_hint")
	if len(doc.TokenAnswer.Types) > 0 {
		all["another token_type"] = map[string]any{"token_answer": map[string]any{"types": []string{"mac"}}}
	}
	for name, change := range otherProfiles(doc) {
		all[name] = change
	}
	return all
}

// otherProfiles are such changes of how the profile is asked for.
func otherProfiles(doc providers.Provider) map[string]map[string]any {
	all := map[string]map[string]any{}
	asks := doc.Userinfo != "" && doc.ClaimsFrom != "id_token" && doc.ProfileFrom == ""
	if !asks {
		return all
	}
	method := "POST"
	if doc.UserinfoMethod == "POST" {
		method = "GET"
	}
	all["userinfo by "+method] = map[string]any{"userinfo_method": method}
	if doc.UserinfoAuth == "" || doc.UserinfoAuth == "bearer" {
		all["token in the query"] = map[string]any{"userinfo_auth": "query:access_token"}
	} else {
		all["token as bearer"] = map[string]any{"userinfo_auth": "bearer"}
	}
	for name := range doc.Headers {
		if name != "Accept" {
			all["header "+name] = map[string]any{"headers": map[string]any{name: "another"}}
		}
	}
	for name := range doc.UserinfoForm {
		all["form field "+name] = map[string]any{"userinfo_form": map[string]any{name: ""}}
	}
	if doc.UserinfoJSON != nil {
		all["no body"] = map[string]any{"userinfo_json": nil}
	}
	if doc.Hook == "facebook_appsecret_proof" {
		all["no appsecret_proof"] = map[string]any{"hook": ""}
	}
	if doc.Success != nil {
		all["success"] = map[string]any{"success": map[string]any{"path": "no.such", "equals": "x", "absent": ""}}
	}
	if doc.Active != nil {
		all["active"] = map[string]any{"active": map[string]any{"path": "no.such"}}
	}
	return all
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

// What operators write for a provider of their own.
func TestProvidersOfOperators(t *testing.T) {
	f := start(t)
	for _, tt := range []struct {
		name   string
		config providers.Config
		want   providers.Profile
	}{
		{"signed client assertion", providers.Config{Type: "oidc", Override: map[string]any{"token_auth": "private_key_jwt"}},
			providers.Profile{Subject: "1001", Name: "Ada Lovelace", Email: "ada@example.org", EmailVerified: true, MayLink: true}},
		{"secret in the body, posted answer", providers.Config{Type: "oidc", Override: map[string]any{"token_auth": "post", "response_mode": "form_post"}},
			providers.Profile{Subject: "1001", Name: "Ada Lovelace", Email: "ada@example.org", EmailVerified: true, MayLink: true}},
		{"claims of userinfo", providers.Config{Type: "oidc", Override: map[string]any{"claims_from": "userinfo"}, TrustEmail: "never"},
			providers.Profile{Subject: "1001", Name: "Ada Lovelace", Email: "ada@example.org"}},
		{"OAuth 2.0 of its own", providers.Config{Type: "oauth2", Scopes: []string{"a", "b"}, AuthParams: map[string]string{"audience": "api"}, Offline: true, Override: map[string]any{
			"scope_sep": ",", "client_id_param": "app", "token_params": map[string]any{"device": "$client_id"}, "userinfo_auth": "scheme:Token", "headers": map[string]any{"X-App": "$client_id"},
			"offline": map[string]any{"scopes": []string{"off"}}, "map": map[string]any{"id": "user.no", "name": []string{"user.first"}, "email": "user.mail", "image": nil},
			"email_verified": map[string]any{"trust": "claim", "path": "user.confirmed", "accepts": []string{"yes", "true"}},
			"sample":         map[string]any{"profile": map[string]any{"user": map[string]any{"no": 7, "first": "x", "mail": "x", "confirmed": "yes"}}}}},
			providers.Profile{Subject: "1001", Name: "Ada Lovelace", Email: "ada@example.org", EmailVerified: true, MayLink: true}},
		{"the operator vouches", providers.Config{Type: "oauth2", TrustEmail: "always", AllowedDomains: []string{"example.org"}},
			providers.Profile{Subject: "1001", Name: "Ada Lovelace", Email: "ada@example.org", EmailVerified: true, MayLink: true}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.config.ID = "own-" + strings.ToLower(strings.NewReplacer(" ", "-", ",", "", ".", "").Replace(tt.name))
			got, err := f.signIn(t, f.client(t, tt.config), "1001")
			got.Image = ""
			if err != nil || got.Profile != tt.want {
				t.Errorf("got  %+v, %v\nwant %+v", got.Profile, err, tt.want)
			}
		})
	}
}

// OpenID 2.0: what the provider does not confirm is nobody.
func TestForgedAssertion(t *testing.T) {
	f := start(t)
	client := f.client(t, providers.Config{ID: "steam"})
	request, location, err := client.Begin(t.Context(), redirectURI, nil)
	if err != nil {
		t.Fatal(err)
	}
	answer := f.consent(t, location, "1001")
	id := strings.TrimSuffix(answer.Get("openid.claimed_id"), "1001") + "1002"
	answer.Set("openid.claimed_id", id)
	answer.Set("openid.identity", id)
	if got, err := client.Complete(t.Context(), request, answer); reason(err) != providers.ReasonCodeRejected {
		t.Errorf("%+v, %v", got.Profile, err)
	}
}
