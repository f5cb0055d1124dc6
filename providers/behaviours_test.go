package providers

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
)

// The behaviours that providers need, in the order of a sign-in, and who needs
// them: the document must have the field, and that the field works is what the
// tests below, those of ID tokens and devidp show.
func TestWhoNeedsWhat(t *testing.T) {
	hasParam := func(p Provider) bool { return len(p.Params) > 0 }
	for _, row := range []struct {
		what string
		ids  string
		has  func(Provider) bool
	}{
		{"parameters in URLs", "okta gitlab github keycloak auth0 zoho mastodon", hasParam},
		{"variants", "battlenet vk wechat paypal lark hubspot", func(p Provider) bool { return len(p.Variants) > 0 }},
		{"discovery apart from the issuer", "asgardeo frontegg cognito fusionauth azure-ad-b2c", func(p Provider) bool { return p.Discovery != "" && p.Issuer != "" }},
		{"an issuer for each client", "kanidm cloudflare-access", func(p Provider) bool { return strings.Contains(p.Issuer, "{client_id}") }},
		{"an issuer for each application", "authentik", func(p Provider) bool { return strings.Contains(p.Issuer, "{application_slug}") }},
		{"a slash at the end of the issuer", "auth0 authentik roblox vipps logingov jumpcloud", func(p Provider) bool { return strings.HasSuffix(p.Issuer, "/") }},
		{"several issuers", "apple google eveonline", func(p Provider) bool { return len(p.IssuerAlso) > 0 }},
		{"an issuer with the tenant in it", "microsoft-entra-id", func(p Provider) bool { return containsTenant(p.Issuer) }},
		{"authorization parameters", "atlassian twitch slack workos boxyhq-saml logingov notion", func(p Provider) bool { return len(p.AuthParams) > 0 }},
		{"commas between scopes", "coinbase facebook instagram strava threads tiktok todoist pinterest shopify zoho linear", func(p Provider) bool { return p.ScopeSep == "," }},
		{"no scopes", "zoom netlify mailchimp bungie naver", func(p Provider) bool { return len(p.Scopes) == 0 }},
		{"renamed client id", "tiktok wechat", func(p Provider) bool { return p.ClientIDParam != "" }},
		{"fragment", "wechat", func(p Provider) bool { return p.AuthFragment != "" && p.ClientSecretParam != "" }},
		{"authorization URL with a query", "faceit", func(p Provider) bool { return strings.Contains(p.Authorization, "?") }},
		{"PKCE required", "twitter vk kick vercel lichess kanidm duende-identity-server6", func(p Provider) bool { return p.PKCE == "required" }},
		{"no PKCE", "bitbucket wechat linkedin basecamp", func(p Provider) bool { return p.PKCE == "unsupported" }},
		{"posted answer, JSON in it", "apple", func(p Provider) bool { return p.ResponseMode == "form_post" && len(p.CallbackJSON) > 0 }},
		{"answer fields for the token request", "vk naver", func(p Provider) bool { return strings.HasPrefix(p.TokenParams["state"], "$callback.") }},
		{"token host in the answer", "zoho", func(p Provider) bool { return p.TokenHost != nil && len(p.TokenHost.Allow) > 1 }},
		{"signed answer", "shopify", func(p Provider) bool { return p.Hook == "shopify_callback_hmac" && p.Params[0].Pattern != "" }},
		{"basic", "twitter reddit notion figma pinterest faceit eveonline", func(p Provider) bool { return p.TokenAuth == "basic" }},
		{"signed client secret", "apple", func(p Provider) bool { return p.TokenAuth == "post_jwt" && p.ClientSecretJWT.Alg == "ES256" }},
		{"private_key_jwt", "logingov", func(p Provider) bool { return p.TokenAuth == "private_key_jwt" && p.ClientSecretJWT.Alg == "RS256" }},
		{"token request by GET", "wechat", func(p Provider) bool { return p.TokenMethod == "GET" }},
		{"other grant fields", "azure-devops basecamp", func(p Provider) bool { return len(p.TokenParams) > 0 }},
		{"errors in a 200", "github slack wechat naver", func(p Provider) bool { return p.TokenAnswer.ErrorsIn200 }},
		{"scope as a list", "twitch", func(p Provider) bool { return p.TokenAnswer.ScopeList }},
		{"expires_in as text", "paypal naver", func(p Provider) bool { return p.TokenAnswer.ExpiresText }},
		{"no token_type", "shopify wechat", func(p Provider) bool { return slices.Contains(p.TokenAnswer.Types, "") }},
		{"claims of the ID token", "apple line", func(p Provider) bool { return p.ClaimsFrom == "id_token" }},
		{"claims of userinfo", "zitadel authelia vipps", func(p Provider) bool { return p.ClaimsFrom == "userinfo" }},
		{"claims of both", "oidc google", func(p Provider) bool { return p.ClaimsFrom == "id_token+userinfo" }},
		{"claims of the access token", "eveonline", func(p Provider) bool { return p.ClaimsFrom == "access_token" }},
		{"profile in the token answer", "workos shopify", func(p Provider) bool { return p.ProfileFrom != "" }},
		{"HS256", "line", func(p Provider) bool { return slices.Contains(p.IDTokenAlg, "HS256") }},
		{"userinfo by POST", "dropbox vk linear sourcehut hubspot", func(p Provider) bool { return p.UserinfoMethod == "POST" }},
		{"GraphQL", "linear sourcehut", func(p Provider) bool { return p.UserinfoJSON["query"] != nil }},
		{"form", "hubspot vk", func(p Provider) bool { return p.UserinfoForm != nil }},
		{"another scheme", "yandex mailchimp zoho click-up", func(p Provider) bool { return strings.HasPrefix(p.UserinfoAuth, "scheme:") }},
		{"token in the query", "mailru foursquare wechat stackexchange", func(p Provider) bool { return strings.HasPrefix(p.UserinfoAuth, "query:") }},
		{"headers", "bungie trakt notion nextcloud heroku coinbase github", func(p Provider) bool { return len(p.Headers) > 0 }},
		{"a name that says who asks", "reddit basecamp wikimedia", func(p Provider) bool { return strings.Contains(p.Headers["User-Agent"], "{contact}") }},
		{"userinfo URL from the token answer", "bungie wechat", func(p Provider) bool { return strings.Contains(p.Userinfo, "{$token.") }},
		{"request for addresses", "github bitbucket gitea forgejo codeberg gitee lichess", func(p Provider) bool { return len(p.ExtraRequests) > 0 && len(p.ExtraRequests[0].IgnoreStatus) > 0 }},
		{"success", "naver slack tiktok wechat lark cloudflare gumroad pipedrive hubspot bungie", func(p Provider) bool { return p.Success != nil }},
		{"active", "gitlab gitea box bitbucket salesforce zoom linear digitalocean nextcloud atlassian", func(p Provider) bool { return p.Active != nil }},
		{"computed picture", "discord", func(p Provider) bool { return p.Hook == "discord_avatar" }},
		{"fetched picture", "microsoft-entra-id", func(p Provider) bool { return p.Hook == "photo_to_data_uri" && p.ExtraRequests[0].Picture }},
		{"relative picture", "bungie huggingface", func(p Provider) bool { return p.ImageBase != "" }},
		{"refresh token by scope", "oidc twitter logto", func(p Provider) bool { return len(p.Offline.Scopes) > 0 }},
		{"refresh token by parameter", "google musicbrainz zoho reddit dropbox logto", func(p Provider) bool { return len(p.Offline.AuthParams) > 0 }},
		{"refreshed elsewhere", "figma wechat", func(p Provider) bool { return p.Offline.URL != "" }},
		{"refreshed otherwise", "basecamp", func(p Provider) bool { return len(p.Offline.Params) > 0 }},
	} {
		for id := range strings.FieldsSeq(row.ids) {
			p, ok := Lookup(id)
			if !ok || !row.has(p) {
				t.Errorf("%s: %s", row.what, id)
			}
		}
	}
}

// What an operator may write for a parameter.
func TestParameters(t *testing.T) {
	for _, tt := range []struct {
		id, name, value, want string // want is in the error, or in the token endpoint
	}{
		{"okta", "domain", "", "domain: is missing, as in acme.okta.com"},
		{"okta", "domain", "acme.okta.com", "https://acme.okta.com/oauth2/v1/token"},
		{"zoho", "region", "eu", "https://accounts.zoho.eu/"},
		{"zoho", "region", "evil.example", "want one of com, eu"},
		{"shopify", "shop", "acme.myshopify.com", "https://acme.myshopify.com/"},
		{"shopify", "shop", "evil.example/.myshopify.com", "not of the form"},
		{"shopify", "shop", "evil.example#acme.myshopify.com", "not of the form"},
		{"gitlab", "base_url", "https://git.example/", "https://git.example/oauth/token"},
		{"gitlab", "base_url", "http://git.example", "must be https"},
		{"gitlab", "base_url", "git.example", "not a URL"},
		{"gitlab", "no_such", "x", "this provider has no such key"},
		{"gitlab", "contact", "x", "this provider has no such key"},
		{"battlenet", "region", "cn", "https://oauth.battlenet.com.cn/token"},
		{"paypal", "environment", "sandbox", "https://api-m.sandbox.paypal.com/"},
		{"descope", "project_id", "P1", "https://api.descope.com/"},
	} {
		p, _ := Lookup(tt.id)
		c := example(p)
		c.Params[tt.name] = tt.value
		doc, _, err := c.resolve(HTTPOptions{})
		if got := fmt.Sprint(doc.Token, err); !strings.Contains(got, tt.want) {
			t.Errorf("%s %s=%q: %s, want %s", tt.id, tt.name, tt.value, got, tt.want)
		}
	}
	doc, _, err := Config{ID: "descope", ClientID: "c", ClientSecret: "s", Params: map[string]string{"project_id": "P1"}}.resolve(HTTPOptions{})
	if err != nil || doc.Issuer != "https://api.descope.com/P1" {
		t.Errorf("a default of another parameter: %q, %v", doc.Issuer, err)
	}
	doc, _, err = Config{ID: "oidc", ClientID: "c", ClientSecret: "s", Params: map[string]string{"issuer": "https://idp.example/"}}.resolve(HTTPOptions{})
	if err != nil || doc.Issuer != "https://idp.example/" || doc.Discovery != "https://idp.example/.well-known/openid-configuration" {
		t.Errorf("an issuer with a slash: %q %q %v", doc.Issuer, doc.Discovery, err)
	}
}

// What an operator leaves empty is not sent, and a refresh token
// is asked for only on demand (O-37).
func TestAuthorizationParameters(t *testing.T) {
	for _, tt := range []struct {
		id      string
		params  map[string]string
		offline bool
		want    string // name=value, or -name
	}{
		{"slack", nil, false, "-team"},
		{"slack", map[string]string{"team": "T1"}, false, "team=T1"},
		{"google", nil, false, "-access_type"},
		{"google", nil, true, "access_type=offline"},
		{"dropbox", nil, true, "token_access_type=offline"},
		{"reddit", nil, true, "duration=permanent"},
		{"okta", nil, false, "scope=openid email profile"},
		{"okta", nil, true, "scope=openid email profile offline_access"},
		{"tiktok", nil, false, "client_key=client"},
		{"faceit", nil, false, "redirect_popup=true"},
	} {
		p, _ := Lookup(tt.id)
		c := example(p)
		c.Offline = tt.offline
		if p.Protocol == "oidc" {
			c.Override = map[string]any{"jwks": "https://idp.example/keys"} // nothing is left to discover
		}
		for name, v := range tt.params {
			c.Params[name] = v
		}
		client, err := New(c, HTTPOptions{})
		if err != nil {
			t.Fatal(err)
		}
		_, location, err := client.Begin(t.Context(), "https://client.example/callback", nil)
		if err != nil {
			t.Fatal(err)
		}
		u, _ := url.Parse(location)
		name, v, has := strings.Cut(strings.TrimPrefix(tt.want, "-"), "=")
		if u.Query().Get(name) != v || u.Query().Has(name) != has {
			t.Errorf("%s: %s, want %s", tt.id, location, tt.want)
		}
	}
}

// peer is a server of an OAuth 2.0 provider whose answers a test chooses.
type peer struct {
	*httptest.Server
	token, userinfo string
	asked           []string // method, path with query, body
}

func newPeer(t *testing.T) *peer {
	p := &peer{token: `{"access_token":"at","token_type":"bearer"}`, userinfo: `{"id":1}`}
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		p.asked = append(p.asked, r.Method+" "+r.URL.RequestURI()+" "+string(body))
		if strings.HasPrefix(r.URL.Path, "/t") {
			w.Header().Set("Content-Type", "text/plain")
			io.WriteString(w, p.token)
			return
		}
		io.WriteString(w, p.userinfo)
	}))
	t.Cleanup(p.Close)
	return p
}

// signIn is a sign-in with a plain provider at p, changed by override.
func (p *peer) signIn(t *testing.T, c Config, more url.Values) (Identity, error) {
	t.Helper()
	override := map[string]any{"token": p.URL + "/t", "userinfo": p.URL + "/u"}
	for name, v := range c.Override {
		override[name] = v
	}
	c.ID, c.ClientID, c.ClientSecret, c.Override = "x", "client", "secret", override
	if c.Type == "" {
		c.Type = "oauth2"
		c.Params = map[string]string{"authorization_url": "https://a.example/", "token_url": p.URL, "userinfo_url": p.URL}
	}
	client, err := New(c, HTTPOptions{Dev: true})
	if err != nil {
		t.Fatal(err)
	}
	r, _, err := client.Begin(t.Context(), "https://client.example/callback", nil)
	if err != nil {
		t.Fatal(err)
	}
	answer := url.Values{"state": {r.State}, "code": {"c"}}
	for name, v := range more {
		answer[name] = v
	}
	return client.Complete(t.Context(), r, answer)
}

// O-26: token answers as some send them, each only where it is expected.
func TestTokenAnswerFormats(t *testing.T) {
	for _, tt := range []struct {
		name, body string
		answer     map[string]any
		want       Reason
	}{
		{"JSON that is said to be text", `{"access_token":"at","token_type":"bearer"}`, nil, ""},
		{"a form unasked", "access_token=at&token_type=bearer", nil, ReasonAnswerInvalid},
		{"a form", "access_token=at&token_type=bearer", map[string]any{"format": "form"}, ""},
		{"a form that names a field twice", "access_token=at&token_type=bearer&x=1&x=2", map[string]any{"format": "form"}, ReasonAnswerInvalid},
		{"an error in a form", "error=bad_verification_code", map[string]any{"format": "form"}, ReasonCodeRejected},
		{"a name twice", `{"access_token":"at","access_token":"other","token_type":"bearer"}`, nil, ReasonAnswerInvalid},
		{"no token_type unasked", `{"access_token":"at"}`, nil, ReasonAnswerInvalid},
		{"no token_type", `{"access_token":"at"}`, map[string]any{"types": []string{""}}, ""},
		{"jwt-bearer", `{"access_token":"at","token_type":"jwt-bearer"}`, map[string]any{"types": []string{"jwt-bearer"}}, ""},
		{"scope as a list", `{"access_token":"at","token_type":"bearer","scope":["a","b"]}`, nil, ""},
		{"expires_in as text", `{"access_token":"at","token_type":"bearer","expires_in":"3600"}`, nil, ""},
		{"errcode", `{"errcode":40029,"errmsg":"x"}`, map[string]any{"error_field": "errcode"}, ReasonAnswerInvalid},
		{"errcode beside a token", `{"errcode":1,"access_token":"at","token_type":"bearer"}`, map[string]any{"error_field": "errcode"}, ReasonAnswerInvalid},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := newPeer(t)
			p.token = tt.body
			override := map[string]any{}
			if tt.answer != nil {
				override["token_answer"] = tt.answer
			}
			_, err := p.signIn(t, Config{Override: override}, nil)
			if reasonOf(err) != tt.want {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

// The token host that an answer names comes through the browser.
func TestDataCentre(t *testing.T) {
	for _, tt := range []struct {
		name   string
		server []string
		want   Reason
	}{
		{"listed", []string{"LISTED"}, ""},
		{"listed, with a slash", []string{"LISTED/"}, ""},
		{"not said", nil, ""},
		{"another host", []string{"https://evil.example"}, ReasonAnswerInvalid},
		{"listed as a prefix", []string{"LISTED.evil.example"}, ReasonAnswerInvalid},
		{"listed as user", []string{"LISTED@evil.example"}, ReasonAnswerInvalid},
		{"with a path", []string{"LISTED/x"}, ReasonAnswerInvalid},
		{"empty", []string{""}, ReasonAnswerInvalid},
		{"twice", []string{"LISTED", "https://evil.example"}, ReasonAnswerInvalid},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p, other := newPeer(t), newPeer(t)
			answer := url.Values{}
			for _, s := range tt.server {
				answer.Add("accounts-server", strings.ReplaceAll(s, "LISTED", other.URL))
			}
			_, err := p.signIn(t, Config{Override: map[string]any{"token_host": map[string]any{"callback": "accounts-server", "allow": []string{other.URL}}}}, answer)
			if reasonOf(err) != tt.want {
				t.Errorf("got %v, want %q", err, tt.want)
			}
			if tt.want != "" && len(p.asked)+len(other.asked) > 0 {
				t.Errorf("asked %v %v", p.asked, other.asked)
			}
			if strings.HasPrefix(tt.name, "listed") && tt.want == "" && len(other.asked) != 2 {
				t.Errorf("token and userinfo were not asked there: %v", other.asked)
			}
		})
	}
}

// An answer that Shopify did not sign, or signed for another shop.
func TestShopifyAnswer(t *testing.T) {
	sign := func(cb url.Values, secret string) string {
		var fields []string
		for name, v := range cb {
			fields = append(fields, name+"="+v[0])
		}
		slices.Sort(fields)
		h := hmac.New(sha256.New, []byte(secret))
		h.Write([]byte(strings.Join(fields, "&")))
		return hex.EncodeToString(h.Sum(nil))
	}
	for _, tt := range []struct {
		name         string
		secret, shop string
		change       func(url.Values)
		ok           bool
	}{
		{"right", "secret", "acme.myshopify.com", func(url.Values) {}, true},
		{"another secret", "wrong", "acme.myshopify.com", func(url.Values) {}, false},
		{"another shop, signed", "secret", "evil.myshopify.com", func(url.Values) {}, false},
		{"code changed", "secret", "acme.myshopify.com", func(cb url.Values) { cb.Set("code", "x") }, false},
		{"no hmac", "secret", "acme.myshopify.com", func(cb url.Values) { cb.Del("hmac") }, false},
		{"no shop", "secret", "acme.myshopify.com", func(cb url.Values) { cb.Del("shop") }, false},
		{"hmac twice", "secret", "acme.myshopify.com", func(cb url.Values) { cb.Add("hmac", cb.Get("hmac")) }, false},
		{"hmac empty", "secret", "acme.myshopify.com", func(cb url.Values) { cb.Set("hmac", "") }, false},
	} {
		cb := url.Values{"code": {"c"}, "shop": {tt.shop}, "state": {"s"}, "timestamp": {"1"}}
		cb.Set("hmac", sign(cb, tt.secret))
		tt.change(cb)
		if err := shopifyHMAC(cb, "secret", "acme.myshopify.com"); (err == nil) != tt.ok {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
	if shopifyHMAC(url.Values{"hmac": {sign(url.Values{"shop": {""}}, "")}, "shop": {""}}, "", "") == nil {
		t.Error("absent on both sides")
	}
}

// Fields of the token answer stay in their place in the URL.
func TestHolesInURLs(t *testing.T) {
	for _, tt := range []struct{ field, want string }{
		{"7", "GET /u/7/x?q=7 "},
		{"a/../b", "GET /u/a%2F..%2Fb/x?q=a%2F..%2Fb "},
		{"a?b#c&d", "GET /u/a%3Fb%23c&d/x?q=a%3Fb%23c%26d "},
		{"", ""}, {"..", ""}, {".", ""},
	} {
		p := newPeer(t)
		p.token = fmt.Sprintf(`{"access_token":"at","token_type":"bearer","m":%q}`, tt.field)
		_, err := p.signIn(t, Config{Override: map[string]any{"userinfo": p.URL + "/u/{$token.m}/x?q={$token.m}"}}, nil)
		if tt.want == "" {
			if reasonOf(err) != ReasonAnswerInvalid || len(p.asked) != 1 {
				t.Errorf("%q: %v, asked %v", tt.field, err, p.asked)
			}
			continue
		}
		if err != nil || len(p.asked) != 2 || p.asked[1] != tt.want {
			t.Errorf("%q: %v, asked %q, want %q", tt.field, err, p.asked, tt.want)
		}
	}
	if _, err := New(Config{ID: "x", Type: "oauth2", ClientID: "c", ClientSecret: "s", Params: map[string]string{
		"authorization_url": "https://a.example", "token_url": "https://a.example", "userinfo_url": "https://{$token.host}/u"}}, HTTPOptions{}); err == nil {
		t.Error("the token answer may name the host")
	}
}

// What is asked, to the letter.
func TestRequests(t *testing.T) {
	p := newPeer(t)
	_, err := p.signIn(t, Config{Override: map[string]any{
		"token_method": "GET", "client_id_param": "appid", "client_secret_param": "key", "pkce": "unsupported",
		"token_params":  map[string]any{"device": "$callback.device", "grant_type": "", "redirect_uri": ""},
		"userinfo_auth": "none", "userinfo_method": "POST", "userinfo_form": map[string]any{"t": "$access_token", "c": "$client_id", "s": "$client_secret"},
	}}, url.Values{"device": {"d&1"}})
	want := []string{"GET /t?appid=client&code=c&device=d%261&key=secret ", "POST /u c=client&s=secret&t=at"}
	if err != nil || !slices.Equal(p.asked, want) {
		t.Errorf("%v\ngot  %q\nwant %q", err, p.asked, want)
	}
	p.asked = nil
	_, err = p.signIn(t, Config{Override: map[string]any{"pkce": "unsupported", "token_auth": "assertion", "userinfo_method": "POST",
		"userinfo_json": map[string]any{"query": "{ me { id } }"}, "token_params": map[string]any{"assertion": "$callback.code", "code": ""}}}, nil)
	want = []string{"POST /t assertion=c&client_assertion=secret&client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer" +
		"&grant_type=authorization_code&redirect_uri=https%3A%2F%2Fclient.example%2Fcallback", `POST /u {"query":"{ me { id } }"}`}
	if err != nil || !slices.Equal(p.asked, want) {
		t.Errorf("%v\ngot  %q\nwant %q", err, p.asked, want)
	}
}

// Success, active and the operator's own conditions: who is refused.
func TestConditions(t *testing.T) {
	for _, tt := range []struct {
		name, userinfo string
		config         Config
		want           Reason
	}{
		{"success", `{"id":1,"ok":true}`, Config{Override: map[string]any{"success": map[string]any{"path": "ok", "equals": true}}}, ""},
		{"failure in a 200", `{"id":1,"ok":false}`, Config{Override: map[string]any{"success": map[string]any{"path": "ok", "equals": true}}}, ReasonAnswerInvalid},
		{"success absent", `{"id":1}`, Config{Override: map[string]any{"success": map[string]any{"path": "ok", "equals": true}}}, ReasonAnswerInvalid},
		{"errcode", `{"id":1,"errcode":0}`, Config{Override: map[string]any{"success": map[string]any{"absent": "errcode"}}}, ReasonAnswerInvalid},
		{"blocked", `{"id":1,"state":"blocked"}`, Config{Override: map[string]any{"active": map[string]any{"path": "state", "equals": "active"}}}, ReasonAccountInactive},
		{"one of the groups", `{"id":1,"groups":["staff","ops"]}`, Config{Override: require("groups", "ops")}, ""},
		{"none of the groups", `{"id":1,"groups":["staff"]}`, Config{Override: require("groups", "ops")}, ReasonNotAllowed},
		{"no groups", `{"id":1}`, Config{Override: require("groups", "ops")}, ReasonNotAllowed},
		{"tenant", `{"id":1,"t":42}`, Config{AllowedTenants: []string{"42"}, Override: map[string]any{"tenant_path": "t"}}, ""},
		{"another tenant", `{"id":1,"t":43}`, Config{AllowedTenants: []string{"42"}, Override: map[string]any{"tenant_path": "t"}}, ReasonNotAllowed},
		{"no tenant", `{"id":1,"t":""}`, Config{AllowedTenants: []string{""}, Override: map[string]any{"tenant_path": "t"}}, ReasonNotAllowed},
		{"domain", `{"id":1,"email":"a@Example.org","v":true}`, domain("example.org", nil), ""},
		{"domain, in A-labels", `{"id":1,"email":"a@xn--bcher-kva.example","v":true}`, domain("Bücher.example", nil), ""},
		{"domain, in Unicode", `{"id":1,"email":"a@bücher.example","v":true}`, domain("xn--bcher-kva.example", nil), ""},
		{"domain, in letters that only look like it", `{"id":1,"email":"a@ｅxample.org","v":true}`, domain("example.org", nil), ReasonNotAllowed},
		{"another domain", `{"id":1,"email":"a@example.org.evil.example","v":true}`, domain("example.org", nil), ReasonNotAllowed},
		{"domain, unproven", `{"id":1,"email":"a@example.org","v":false}`, domain("example.org", nil), ReasonNotAllowed},
		{"domain, asserted by any tenant", `{"id":1,"email":"a@example.org","v":true}`, domain("example.org", map[string]any{"any_tenant_asserts_email": true}), ReasonNotAllowed},
		{"no address", `{"id":1}`, domain("", nil), ReasonNotAllowed},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := newPeer(t)
			p.userinfo = tt.userinfo
			if _, err := p.signIn(t, tt.config, nil); reasonOf(err) != tt.want {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
	if _, err := New(Config{ID: "github", ClientID: "c", ClientSecret: "s", AllowedTenants: []string{"x"}}, HTTPOptions{}); err == nil {
		t.Error("allowed_tenants where there are none")
	}
}

func require(path, value string) map[string]any {
	return map[string]any{"require": []any{map[string]any{"path": path, "any_of": []string{value}}}}
}

func domain(d string, more map[string]any) Config {
	override := map[string]any{"email_verified": map[string]any{"trust": "claim", "path": "v"}}
	for name, v := range more {
		override[name] = v
	}
	return Config{AllowedDomains: []string{d}, Override: override}
}

// O-22: what counts as a yes to an address.
func TestTrust(t *testing.T) {
	for _, tt := range []struct {
		id, verified string
		want         bool
	}{
		{"google", `true`, true}, {"google", `"true"`, false}, {"google", `1`, false}, {"google", `"1"`, false}, {"google", `[true]`, false},
		{"google", `{"x":true}`, false}, {"google", `null`, false}, {"google", `false`, false},
		{"apple", `"true"`, true}, {"apple", `true`, true}, {"apple", `"false"`, false}, {"apple", `1`, false}, {"apple", `"True"`, false},
	} {
		doc, err := decodeJSON([]byte(`{"sub":"1","email":"a@example.org","email_verified":` + tt.verified + `}`))
		if err != nil {
			t.Fatal(err)
		}
		p, _ := Lookup(tt.id)
		if got, err := MapProfile(p, Documents{"": doc}); err != nil || got.EmailVerified != tt.want {
			t.Errorf("%s %s: %v, %v", tt.id, tt.verified, got.EmailVerified, err)
		}
	}
}

// A trial says why a text that reads like yes is none (O-22).
func TestTrustInATrial(t *testing.T) {
	docs := Documents{"": map[string]any{"yes": true, "text": "true", "one": json.Number("1")}}
	for _, tt := range []struct {
		trust Trust
		want  string
	}{
		{Trust{Trust: "claim", Path: "yes"}, "claim yes: true"},
		{Trust{Trust: "claim", Path: "text"}, `claim text: "true", a text that email_verified: accepts does not list`},
		{Trust{Trust: "claim", Path: "text", Accepts: []string{"true"}}, "claim text: true"},
		{Trust{Trust: "all_claims", Paths: []string{"yes", "text"}}, `all_claims yes: true, text: "true", a text that email_verified: accepts does not list`},
		{Trust{Trust: "claim", Path: "one"}, "claim one: 1"},
		{Trust{Trust: "claim", Path: "none"}, "claim none: is not there"},
	} {
		if got := tt.trust.seen(docs); got != tt.want {
			t.Errorf("got %s, want %s", got, tt.want)
		}
	}
}

// Pictures that are relative, or fetched.
func TestPictures(t *testing.T) {
	p := Provider{Map: Mapping{ID: Exprs{{text: "id"}}, Image: Exprs{{text: "p"}}}, ImageBase: "https://img.example/a/"}
	for in, want := range map[string]string{"/x.png": "https://img.example/x.png", "x.png": "https://img.example/a/x.png", "https://o.example/y": "https://o.example/y",
		"": "", "javascript:alert(1)": "", "data:image/png;base64,AA": "", "http://o.example/y": "", "//o.example/z": "https://o.example/z"} {
		got, err := MapProfile(p, Documents{"": map[string]any{"id": "1", "p": in}})
		if err != nil || got.Image != want {
			t.Errorf("%q: %q, %v", in, got.Image, err)
		}
	}
	entra, _ := Lookup("microsoft-entra-id")
	png, err := dataURL([]byte("\x89PNG\r\n\x1a\nxx"))
	if err != nil {
		t.Fatal(err)
	}
	got, err := MapProfile(entra, Documents{"": map[string]any{"oid": "1"}, "photo": png})
	if err != nil || got.Image != png {
		t.Errorf("photo: %q, %v", got.Image, err)
	}
	for _, body := range []string{"", "<svg onload=alert(1)>", "GIF89a", "\xff\xd8\xff" + strings.Repeat("x", maxPhoto)} {
		if s, err := dataURL([]byte(body)); err == nil {
			t.Errorf("%.20q became %.40q", body, s)
		}
	}
}

// An override replaces what it names and leaves the rest, for this client only.
func TestOverrideReplaces(t *testing.T) {
	c := Config{ID: "github", ClientID: "c", ClientSecret: "s", Override: map[string]any{"map": map[string]any{"name": "login"}, "headers": map[string]any{"X-A": "1"}}}
	doc, _, err := c.resolve(HTTPOptions{})
	if err != nil || !slices.Equal(doc.Map.Name.Texts(), []string{"login"}) || len(doc.Map.ID) != 1 || doc.Headers["X-A"] != "1" || doc.Headers["Accept"] == "" {
		t.Errorf("%v, %v, %v", doc.Map, doc.Headers, err)
	}
	if p, _ := Lookup("github"); len(p.Map.Name) != 2 || p.Headers["X-A"] != "" {
		t.Error("the catalogue changed")
	}
}

// Keys that do not fit, durations, hooks.
func TestMistakesInDocuments(t *testing.T) {
	for _, tt := range []struct {
		name   string
		config Config
		want   string
	}{
		{"no key", Config{Type: "logingov", Params: map[string]string{"private_key": "x"}}, "not PEM"},
		{"wrong kind of key", Config{Type: "logingov", Params: map[string]string{"private_key": testKeyPEM("ES256")}}, "not of the kind"},
		{"wrong kind of key", Config{Type: "apple", Params: map[string]string{"team_id": "T", "key_id": "K", "private_key": testKeyPEM("RS256")}}, "not of the kind"},
		{"clock skew", Config{Type: "google", Override: map[string]any{"clock_skew": "5m"}}, "0s to 1m0s"},
		{"hook", Config{Type: "github", Override: map[string]any{"hook": "rm"}}, "hook"},
		{"pkce", Config{Type: "github", Override: map[string]any{"pkce": "plain"}}, "pkce"},
		{"trust", Config{Type: "github", TrustEmail: "sure"}, "trust_email"},
		{"token_auth", Config{Type: "github", Override: map[string]any{"token_auth": "guess"}}, "token_auth"},
		{"extra request in clear text", Config{Type: "github", Override: map[string]any{"extra_requests": []any{map[string]any{"name": "emails", "url": "http://evil.example"}}}}, "must be https"},
		{"age", Config{Type: "google", Override: map[string]any{"max_iat_age": "forever"}}, "duration"},
		{"no algorithm", Config{Type: "google", Override: map[string]any{"id_token_alg": []any{"none"}}}, "id_token_alg"},
		{"unknown algorithm", Config{Type: "google", Override: map[string]any{"id_token_alg": []any{"RS256", "SHA1"}}}, "id_token_alg"},
		{"no id", Config{Type: "github", Override: map[string]any{"map": map[string]any{"id": nil}}}, "id is missing"},
		{"a state for all", Config{Type: "github", AuthParams: map[string]string{"state": "x"}}, "auth_params.state"},
		{"metadata for issuer", Config{Type: "oidc", Params: map[string]string{"issuer": "https://sso.example.org/.well-known/openid-configuration"}}, "the issuer is what stands before"},
		{"URL for a host", Config{Type: "okta", Params: map[string]string{"domain": "https://acme.okta.com"}}, "without https://, as in acme.okta.com"},
		{"URL for a host without an example", Config{Type: "onelogin", Params: map[string]string{"subdomain": "https://acme"}}, "not a URL"},
		{"dead", Config{Type: "medium"}, "is gone"},
		{"unknown", Config{Type: "goggle"}, "is unknown"},
	} {
		tt.config.ID, tt.config.ClientID, tt.config.ClientSecret = "x", "c", "s"
		if _, err := New(tt.config, HTTPOptions{}); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %s", tt.name, err, tt.want)
		}
	}
}

// Tokens are refreshed once, at the right place, in the right words.
func TestRefresh(t *testing.T) {
	for _, tt := range []struct {
		name, given, body string
		offline           map[string]any
		want              Reason
		keeps, asked      string
	}{
		{"no new refresh token", "rt", `{"access_token":"new","token_type":"bearer"}`, nil, "", "rt", "POST /t client_id=client&client_secret=secret&grant_type=refresh_token&refresh_token=rt"},
		{"rotated", "rt", `{"access_token":"new","token_type":"bearer","refresh_token":"r2"}`, nil, "", "r2", "POST /t client_id=client&client_secret=secret&grant_type=refresh_token&refresh_token=rt"},
		{"elsewhere, otherwise", "rt", `{"access_token":"new","token_type":"bearer"}`, map[string]any{"url": "URL/t/refresh", "params": map[string]any{"type": "refresh", "grant_type": ""}}, "", "rt",
			"POST /t/refresh client_id=client&client_secret=secret&refresh_token=rt&type=refresh"},
		{"revoked", "rt", `{"error":"invalid_grant"}`, nil, ReasonCodeRejected, "", "POST /t client_id=client&client_secret=secret&grant_type=refresh_token&refresh_token=rt"},
		{"revoked, as GitHub says it", "rt", `{"error":"bad_refresh_token"}`, nil, ReasonCodeRejected, "", "POST /t client_id=client&client_secret=secret&grant_type=refresh_token&refresh_token=rt"},
		{"none", "", ``, nil, ReasonMisconfigured, "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := newPeer(t)
			p.token = tt.body
			override := map[string]any{}
			if tt.offline != nil {
				tt.offline["url"] = p.URL + "/t/refresh"
				override["offline"] = tt.offline
			}
			c, err := New(Config{ID: "x", Type: "oauth2", ClientID: "client", ClientSecret: "secret", Override: override,
				Params: map[string]string{"authorization_url": "https://a.example", "token_url": p.URL + "/t", "userinfo_url": p.URL + "/u"}}, HTTPOptions{Dev: true})
			if err != nil {
				t.Fatal(err)
			}
			got, err := c.Refresh(t.Context(), tt.given)
			if reasonOf(err) != tt.want || got.RefreshToken != tt.keeps || strings.Join(p.asked, "|") != tt.asked {
				t.Errorf("%+v, %v, asked %q", got, err, p.asked)
			}
		})
	}
}
