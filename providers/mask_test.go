package providers

import (
	"encoding/base64"
	"encoding/json"
	"net/url"
	"strings"
	"testing"
)

const testSecret = "s3cr3t/of=the+client &more"

func testMasker(id string, secrets ...string) *masker {
	p, _ := Lookup(id)
	return newMasker(p, append([]string{testSecret}, secrets...)...)
}

func TestMask(t *testing.T) {
	for _, tt := range []struct {
		at                place
		name, value, want string
	}{
		{inRequest, "client_secret", "another-secret-than-ours", "anot…(24)"},
		{inRequest, "client_secret", "short", "…(5)"},
		{inRequest, "client_secret", "fifteen-letters", "…(15)"},
		{inRequest, "client_id", "Iv1.0123456789abcdef", "Iv1.0123456789abcdef"},
		{inRequest, "code", "0123456789abcdef0123", "0123…(20)"},
		{inRequest, "code_verifier", strings.Repeat("v", 43), "vvvv…(43)"},
		{inRequest, "code_challenge", strings.Repeat("c", 43), strings.Repeat("c", 43)},
		{inRequest, "grant_type", "authorization_code", "authorization_code"},
		{inRequest, "client_assertion_type", assertionType, assertionType},
		{inRequest, "client_assertion", "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJ4In0.c2ln", "eyJh…(41)"},
		{inRequest, "assertion", "0123456789abcdef0123", "0123…(20)"},
		{inRequest, "token_type_hint", "access_token", "access_token"},
		{inRequest, "appsecret_proof", strings.Repeat("0a", 32), "0a0a…(64)"},
		{inRequest, "openid.sig", "0123456789abcdef0123", "0123…(20)"},
		{inRequest, "openid.signed", "signed,op_endpoint", "signed,op_endpoint"},
		{inRequest, "oauth_signature", "0123456789abcdef0123=", "0123…(21)"},
		{inRequest, "oauth_signature_method", "HMAC-SHA1", "HMAC-SHA1"},
		{inRequest, "X-API-Key", "0123456789abcdef0123", "0123…(20)"},
		{inRequest, "redirect_uri", "https://auth.example.org/auth/callback/github", "https://auth.example.org/auth/callback/github"},
		{inRequest, "harmless", "before " + testSecret + " behind", "before s3cr…(26) behind"},
		{inRequest, "harmless", url.QueryEscape(testSecret), "s3cr…(34)"},
		{inToken, "access_token", "gho_0123456789abcdef", "gho_…(20)"},
		{inToken, "AccessToken", "gho_0123456789abcdef", "gho_…(20)"},
		{inToken, "token_type", "bearer", "bearer"},
		{inToken, "scope", "read:user user:email", "read:user user:email"},
		{inToken, "error_description", "the secret " + testSecret + " is wrong", "the secret s3cr…(26) is wrong"},
		{inToken, "error", "invalid_client", "invalid_client"},
		{inToken, "unheard_of", "0123456789abcdef0123", "0123…(20)"},
		{inToken, "unheard_of", "x", "…(1)"},
		{inAnswer, "email", "ada@example.org", "ada@example.org"},
		{inAnswer, "code", "InvalidAuthenticationToken", "InvalidAuthenticationToken"},
		{inAnswer, "token", "0123456789abcdef0123", "0123…(20)"},
		{inAnswer, "", "a token eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJ4In0.c2ln in an error", "a token eyJh…(41) in an error"},
		{inAnswer, "name", "", ""},
		{inPublic, "token_endpoint", "https://idp.example/token", "https://idp.example/token"},
		{inPublic, "kid", testSecret, "s3cr…(26)"},
	} {
		if got := testMasker("github").mask(tt.at, tt.name, tt.value); got != tt.want {
			t.Errorf("%d %s=%q: %q, want %q", tt.at, tt.name, tt.value, got, tt.want)
		}
	}
}

// What the whole of a request or an answer looks like.
func TestMaskedDocuments(t *testing.T) {
	basic := base64.StdEncoding.EncodeToString([]byte("client:" + url.QueryEscape(testSecret)))
	m := testMasker("bungie", "abc")
	for _, tt := range []struct{ name, got, want string }{
		{"Basic", m.authorization("Basic " + basic), "Basic base64(client:s3cr…(34))"},
		{"Bearer", m.authorization("Bearer 0123456789abcdef"), "Bearer 0123…(16)"},
		{"bare", m.authorization("0123456789abcdef"), "0123…(16)"},
		{"OAuth 1.0a", m.authorization(`OAuth oauth_consumer_key="client", oauth_signature="0123456789abcdef%3D", oauth_token="0123456789abcdef"`),
			`OAuth oauth_consumer_key="client", oauth_signature="0123…(17)", oauth_token="0123…(16)"`},
		{"a scheme of its own", m.authorization("OAuth 0123456789abcdef"), "OAuth 0123…(16)"},
		{"a token in a query", m.url("https://api.example/me?access_token=0123456789abcdef&x=a+b#f"), "https://api.example/me?access_token=0123…(16)&x=a+b"},
		{"a token in a path", m.url("https://api.example/tokens/0123456789abcdef/me"), "https://api.example/tokens/0123…(16)/me"},
		{"a password in a URL", m.url("https://ada:hunter2@api.example/"), "https://api.example/"},
		{"a short secret is a word of its own", m.text("abc abcd xabc a-abc abc,"), "…(3) abcd xabc a-abc …(3),"},
		{"what the document reads", strings.Join(m.answerBody(forToken, 200, []byte(`{"access_token":"aaaabbbbccccdddd","membership_id":"20418833","x":{"y":"zzzz"}}`)), ""),
			`{  "access_token": "aaaa…(16)",  "membership_id": "20418833",  "x": {    "y": "…(4)"  }}`},
		{"a form", strings.Join(m.answerBody(forToken, 200, []byte("oauth_token=aaaabbbbccccdddd&oauth_callback_confirmed=true")), " "), "oauth_callback_confirmed=true oauth_token=aaaa…(16)"},
		{"neither", strings.Join(m.answerBody(forToken, 200, []byte("<b>aaaabbbbcccceeee</b>")), ""), "(23 bytes that are neither JSON nor a form; not shown, since they may hold tokens)"},
		{"a page", strings.Join(m.answerBody(forUserinfo, 200, []byte("<b>\nlast\x1b[31m")), "|"), "<b>|last·[31m"},
		{"echoed", strings.Join(m.answerBody(forUserinfo, 400, []byte(`{"message":"0123456789abcdef is no good"}`)), ""), `{  "message": "0123…(16) is no good"}`},
	} {
		if tt.got != tt.want {
			t.Errorf("%s: %s\nwant %s", tt.name, tt.got, tt.want)
		}
	}
}

// No secret is shown, wherever it stands and however it is written.
func FuzzMask(f *testing.F) {
	f.Add(testSecret, "token", "before", "behind")
	f.Add("aaaaaaaa", "x", "aaaa", "aaaa")
	f.Add(")\"\\\u2028<&>'", "error_description", "…(", ")")
	f.Add("(20)…(20)", "name", "…(20)", "x")
	f.Add("0123456789abcdef\nfedcba98", "a", "01234567", "89abcdef")
	f.Fuzz(func(t *testing.T, secret, name, before, behind string) {
		if len(strings.TrimSpace(secret)) < shortSecret || strings.Contains(secret, "-----") {
			return // what cannot be a secret is nothing to mask
		}
		m := newMasker(Provider{}, secret)
		hidden := func(where, shown string) {
			t.Helper()
			for _, spelt := range append(spellings(secret), secret) {
				if len(spelt) >= shortSecret && strings.Contains(shown, spelt) {
					t.Errorf("%s: %q is in %q", where, spelt, shown)
				}
			}
		}
		hidden("value", m.mask(inAnswer, name, before+secret+behind))
		hidden("line", m.line(name, before+secret+behind))
		hidden("URL", m.line("", m.url("https://idp.example/"+url.PathEscape(secret)+"?"+url.Values{name: {before + secret + behind}}.Encode())))
		hidden("form", strings.Join(m.requestBody("application/x-www-form-urlencoded", []byte(url.Values{name: {before + secret + behind}, secret: {"x"}}.Encode())), "\n"))
		raw, err := json.Marshal(map[string]any{name: []string{before + secret + behind}, "deep": map[string]string{secret: "x"}})
		if err != nil {
			t.Fatal(err)
		}
		for _, purpose := range []string{forToken, forUserinfo, forKeys, "emails"} {
			hidden(purpose, strings.Join(m.answerBody(purpose, 200, raw), "\n"))
			hidden(purpose+" as text", strings.Join(m.answerBody(purpose, 500, []byte(before+secret+behind)), "\n"))
		}
		hidden("header", m.line("", m.authorization(before+" "+secret)))
	})
}
