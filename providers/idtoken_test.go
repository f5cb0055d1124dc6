package providers

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// op is an OpenID provider that answers with whatever a test makes it.
type op struct {
	*httptest.Server
	mu        sync.Mutex
	keys      []jose.JSONWebKey
	idToken   func(claims map[string]any) string
	userinfo  func() (int, string)
	token     func(idToken string) (int, string, string) // status, content type, body; nil is the usual
	metadata  func(map[string]any)
	nonce     string
	now       func() time.Time
	tokenHits atomic.Int32
	keyHits   atomic.Int32
}

var (
	rsaKey, _   = rsa.GenerateKey(rand.Reader, 2048)
	otherKey, _ = rsa.GenerateKey(rand.Reader, 2048)
	smallKey, _ = rsa.GenerateKey(rand.Reader, 1024)
	ecKey, _    = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
)

func sign(alg jose.SignatureAlgorithm, key any, kid string, claims any) string {
	options := &jose.SignerOptions{}
	if kid != "" {
		options.WithHeader("kid", kid)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: key}, options)
	if err != nil {
		panic(err)
	}
	payload, ok := claims.(string)
	if !ok {
		raw, _ := json.Marshal(claims)
		payload = string(raw)
	}
	signed, err := signer.Sign([]byte(payload))
	if err != nil {
		panic(err)
	}
	compact, _ := signed.CompactSerialize()
	return compact
}

func public(key any, kid string) jose.JSONWebKey {
	return jose.JSONWebKey{Key: key, KeyID: kid, Use: "sig"}
}

func newOP(t *testing.T) *op {
	t.Helper()
	o := &op{keys: []jose.JSONWebKey{public(rsaKey.Public(), "k1")}, now: time.Now}
	o.idToken = func(c map[string]any) string { return sign(jose.RS256, rsaKey, "k1", c) }
	o.userinfo = func() (int, string) {
		return 200, `{"sub":"248289","name":"Ada","email":"ada@example.org","email_verified":true}`
	}
	o.Server = httptest.NewServer(o)
	t.Cleanup(o.Close)
	return o
}

func (o *op) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	o.mu.Lock()
	defer o.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	switch r.URL.Path {
	case "/.well-known/openid-configuration":
		m := map[string]any{"issuer": o.URL, "authorization_endpoint": o.URL + "/a", "token_endpoint": o.URL + "/t", "jwks_uri": o.URL + "/k", "userinfo_endpoint": o.URL + "/u"}
		if o.metadata != nil {
			o.metadata(m)
		}
		json.NewEncoder(w).Encode(m)
	case "/k":
		o.keyHits.Add(1)
		json.NewEncoder(w).Encode(jose.JSONWebKeySet{Keys: o.keys})
	case "/t":
		o.tokenHits.Add(1)
		now := o.now().Unix()
		id := o.idToken(map[string]any{"iss": o.URL, "sub": "248289", "aud": "client", "exp": now + 300, "iat": now, "nonce": o.nonce})
		if o.token != nil {
			status, kind, body := o.token(id)
			w.Header().Set("Content-Type", kind)
			w.WriteHeader(status)
			fmt.Fprint(w, body)
			return
		}
		json.NewEncoder(w).Encode(map[string]any{"access_token": "at", "token_type": "Bearer", "id_token": id})
	case "/u":
		if r.Header.Get("Authorization") != "Bearer at" || r.URL.RawQuery != "" { // oidcc-client-test-userinfo-bearer-header
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		status, body := o.userinfo()
		w.WriteHeader(status)
		fmt.Fprint(w, body)
	default:
		http.NotFound(w, r)
	}
}

func (o *op) client(t *testing.T, override map[string]any) *Client {
	t.Helper()
	c, err := New(Config{ID: "oidc", ClientID: "client", ClientSecret: "secret", Params: map[string]string{"issuer": o.URL}, Override: override}, HTTPOptions{Dev: true, Now: func() time.Time { return o.now() }})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func (o *op) signIn(t *testing.T, c *Client) (Identity, error) {
	t.Helper()
	r, _, err := c.Begin(t.Context(), "https://client.example/callback", nil)
	if err != nil {
		return Identity{}, err
	}
	o.nonce = r.Nonce
	return c.Complete(t.Context(), r, url.Values{"state": {r.State}, "code": {"c"}})
}

func hs256(header string, key []byte, claims map[string]any) string {
	raw, _ := json.Marshal(claims)
	signing := base64.RawURLEncoding.EncodeToString([]byte(header)) + "." + base64.RawURLEncoding.EncodeToString(raw)
	h := hmac.New(sha256.New, key)
	h.Write([]byte(signing))
	return signing + "." + base64.RawURLEncoding.EncodeToString(h.Sum(nil))
}

// The names are those of the OpenID Foundation's relying party plans.
func TestIDTokenMatrix(t *testing.T) {
	with := func(change func(map[string]any)) func(map[string]any) string {
		return func(c map[string]any) string { change(c); return sign(jose.RS256, rsaKey, "k1", c) }
	}
	without := func(name string) func(map[string]any) string {
		return with(func(c map[string]any) { delete(c, name) })
	}
	at := func(name string, d time.Duration) func(map[string]any) string {
		return with(func(c map[string]any) { c[name] = time.Now().Add(d).Unix() })
	}
	set := func(name string, v any) func(map[string]any) string {
		return with(func(c map[string]any) { c[name] = v })
	}
	raw := func(s string) func(map[string]any) string { return func(map[string]any) string { return s } }
	const bad, skew = ReasonIDTokenInvalid, ReasonClockSkew
	for _, tt := range []struct {
		name string
		id   string // requirement
		make func(map[string]any) string
		want Reason
	}{
		{"oidcc-client-test", "", with(func(map[string]any) {}), ""},
		{"oidcc-client-test-invalid-iss", "O-14", set("iss", "https://evil.example"), ReasonIssuerMismatch},
		{"issuer with a slash more", "O-14", with(func(c map[string]any) { c["iss"] = c["iss"].(string) + "/" }), ReasonIssuerMismatch},
		{"missing iss", "O-14", without("iss"), ReasonIssuerMismatch},
		{"oidcc-client-test-missing-sub", "O-19", without("sub"), ReasonNoSubject},
		{"empty sub", "O-19", set("sub", ""), ReasonNoSubject},
		{"blank sub", "O-19", set("sub", "  "), ReasonNoSubject},
		{"number as sub", "O-19", set("sub", 7), ReasonNoSubject},
		{"sub of 256 bytes", "O-19", set("sub", strings.Repeat("x", 256)), ReasonNoSubject},
		{"sub with NUL", "O-19", set("sub", "a\x00b"), ReasonNoSubject},
		{"oidcc-client-test-invalid-aud", "O-15", set("aud", "another"), bad},
		{"oidcc-client-test-missing-aud", "O-15", without("aud"), bad},
		{"aud as a list of us", "O-15", set("aud", []string{"client"}), ""},
		{"second audience", "O-15", with(func(c map[string]any) { c["aud"], c["azp"] = []string{"client", "other"}, "client" }), bad},
		{"foreign azp", "O-15", set("azp", "other"), bad},
		{"our azp", "O-15", set("azp", "client"), ""},
		{"oidcc-client-test-missing-iat", "O-16", without("iat"), bad},
		{"missing exp", "O-16", without("exp"), bad},
		{"exp as text", "O-16", set("exp", "9999999999"), bad},
		{"expired", "O-16", at("exp", -2*time.Minute), skew},
		{"expired within the leeway", "O-16", at("exp", -30*time.Second), ""},
		{"issued in the future", "O-16", at("iat", 2*time.Minute), skew},
		{"issued long ago", "O-16", at("iat", -time.Hour), skew},
		{"not valid yet", "O-16", at("nbf", 2*time.Minute), skew},
		{"oidcc-client-test-nonce-invalid", "O-17", set("nonce", "x"), bad},
		{"missing nonce", "O-17", without("nonce"), bad},
		{"nonce of another type", "O-17", set("nonce", 1), bad},
		{"oidcc-client-test-invalid-athash", "O-18", set("at_hash", "x"), bad},
		{"right at_hash", "O-18", func(c map[string]any) string {
			sum := sha256.Sum256([]byte("at"))
			c["at_hash"] = base64.RawURLEncoding.EncodeToString(sum[:16])
			return sign(jose.RS256, rsaKey, "k1", c)
		}, ""},
		{"oidcc-client-test-idtoken-sig-none", "O-12", func(c map[string]any) string {
			raw, _ := json.Marshal(c)
			return base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none"}`)) + "." + base64.RawURLEncoding.EncodeToString(raw) + "."
		}, bad},
		{"public key as HMAC secret", "O-12", func(c map[string]any) string { return hs256(`{"alg":"HS256","kid":"k1"}`, rsaKey.N.Bytes(), c) }, bad},
		{"oidcc-client-test-invalid-sig-hs256", "O-12", func(c map[string]any) string { return hs256(`{"alg":"HS256"}`, []byte("secret"), c) }, bad},
		{"oidcc-client-test-invalid-sig-rs256", "", func(c map[string]any) string { return sign(jose.RS256, otherKey, "k1", c) }, bad},
		{"algorithm that is not listed", "O-12", func(c map[string]any) string { return sign(jose.PS256, rsaKey, "k1", c) }, bad},
		{"key in the header", "O-13", func(c map[string]any) string {
			signer, _ := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: otherKey}, &jose.SignerOptions{EmbedJWK: true})
			raw, _ := json.Marshal(c)
			signed, _ := signer.Sign(raw)
			compact, _ := signed.CompactSerialize()
			return compact
		}, bad},
		{"oidcc-client-test-kid-absent-single-jwks", "O-13", func(c map[string]any) string { return sign(jose.RS256, rsaKey, "", c) }, ""},
		{"unknown kid", "O-13", func(c map[string]any) string { return sign(jose.RS256, rsaKey, "k9", c) }, bad},
		{"JSON serialisation", "O-11", raw(`{"payload":"e30","signatures":[]}`), bad},
		{"with white space", "O-11", func(c map[string]any) string { return sign(jose.RS256, rsaKey, "k1", c) + "\n" }, bad},
		{"missing", "O-11", raw(""), bad},
		{"larger than 64 KiB", "O-11", set("x", strings.Repeat("x", 70<<10)), bad},
		{"a name twice", "O-21", func(c map[string]any) string {
			raw, _ := json.Marshal(c)
			return sign(jose.RS256, rsaKey, "k1", strings.Replace(string(raw), `"sub":`, `"sub":"victim","sub":`, 1))
		}, bad},
		{"SUB beside sub", "O-21", set("SUB", "victim"), ""},
	} {
		t.Run(tt.id+" "+tt.name, func(t *testing.T) {
			o := newOP(t)
			o.idToken = tt.make
			got, err := o.signIn(t, o.client(t, nil))
			if reasonOf(err) != tt.want {
				t.Fatalf("got %v, want %q", err, tt.want)
			}
			if tt.want == "" && got.Subject != "248289" {
				t.Errorf("%+v", got)
			}
			if n := o.tokenHits.Load(); n != 1 { // O-25
				t.Errorf("%d token requests", n)
			}
		})
	}
}

func reasonOf(err error) Reason {
	if e, ok := err.(*Error); ok {
		return e.Reason
	}
	return ""
}

// O-13: several keys, and what may be used of them.
func TestKeys(t *testing.T) {
	for _, tt := range []struct {
		name string
		keys []jose.JSONWebKey
		sign func(map[string]any) string
		want Reason
	}{
		{"oidcc-client-test-kid-absent-multiple-jwks", []jose.JSONWebKey{public(rsaKey.Public(), "a"), public(otherKey.Public(), "b")},
			func(c map[string]any) string { return sign(jose.RS256, rsaKey, "", c) }, ReasonIDTokenInvalid},
		{"key for encryption", []jose.JSONWebKey{{Key: rsaKey.Public(), KeyID: "k1", Use: "enc"}},
			func(c map[string]any) string { return sign(jose.RS256, rsaKey, "k1", c) }, ReasonIDTokenInvalid},
		{"RSA of 1024 bits", []jose.JSONWebKey{public(smallKey.Public(), "k1")},
			func(c map[string]any) string { return sign(jose.RS256, smallKey, "k1", c) }, ReasonIDTokenInvalid},
		{"elliptic curve", []jose.JSONWebKey{public(ecKey.Public(), "k1"), public(rsaKey.Public(), "k2")},
			func(c map[string]any) string { return sign(jose.ES256, ecKey, "k1", c) }, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := newOP(t)
			o.keys, o.idToken = tt.keys, tt.sign
			if _, err := o.signIn(t, o.client(t, nil)); reasonOf(err) != tt.want {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

// O-23, O-24: a rotation just before signing works; unknown keys cost one look.
func TestKeyRotation(t *testing.T) {
	o := newOP(t)
	var skip time.Duration
	o.now = func() time.Time { return time.Now().Add(skip) }
	c := o.client(t, nil)
	if _, err := o.signIn(t, c); err != nil {
		t.Fatal(err)
	}
	o.keys = []jose.JSONWebKey{public(otherKey.Public(), "k2")}
	o.idToken = func(c map[string]any) string { return sign(jose.RS256, otherKey, "k2", c) }
	if _, err := o.signIn(t, c); err != nil {
		t.Errorf("after the rotation: %v", err)
	}
	o.idToken = func(c map[string]any) string { return sign(jose.RS256, rsaKey, "forged", c) }
	before := o.keyHits.Load()
	for range 20 {
		o.signIn(t, c)
	}
	if n := o.keyHits.Load() - before; n != 0 {
		t.Errorf("%d fetches for forged key ids within 30 s", n)
	}
	skip = 25 * time.Hour
	o.keys = []jose.JSONWebKey{public(rsaKey.Public(), "k1")}
	o.idToken = func(c map[string]any) string { return sign(jose.RS256, otherKey, "k2", c) }
	if _, err := o.signIn(t, c); reasonOf(err) != ReasonIDTokenInvalid {
		t.Errorf("a removed key lives on: %v", err)
	}
}

// O-20
func TestUserinfo(t *testing.T) {
	for _, tt := range []struct {
		name   string
		status int
		body   string
		want   Reason
	}{
		{"oidcc-client-test-userinfo-invalid-sub", 200, `{"sub":"victim"}`, ReasonUserinfoMismatch},
		{"no sub", 200, `{"email":"victim@example.org"}`, ReasonUserinfoMismatch},
		{"SUB", 200, `{"SUB":"248289"}`, ReasonUserinfoMismatch},
		{"not JSON", 200, `<html>`, ReasonAnswerInvalid},
		{"a list", 200, `[]`, ReasonAnswerInvalid},
		{"500", 500, `{}`, ReasonProviderUnavailable},
		{"401", 401, `{}`, ReasonAnswerInvalid},
		{"larger than 1 MiB", 200, `{"sub":"248289","x":"` + strings.Repeat("x", 1<<20) + `"}`, ReasonProviderUnavailable},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := newOP(t)
			o.userinfo = func() (int, string) { return tt.status, tt.body }
			if _, err := o.signIn(t, o.client(t, nil)); reasonOf(err) != tt.want {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

// An address and the word on it come from one document.
func TestVerifiedFlagOfAnotherDocument(t *testing.T) {
	o := newOP(t)
	o.idToken = func(c map[string]any) string {
		c["email"], c["email_verified"] = "mine@example.org", true
		return sign(jose.RS256, rsaKey, "k1", c)
	}
	o.userinfo = func() (int, string) { return 200, `{"sub":"248289","email":"victim@example.org"}` }
	if got, err := o.signIn(t, o.client(t, nil)); err != nil || got.EmailVerified {
		t.Errorf("%+v, %v", got.Profile, err)
	}
}

// O-26, O-27, O-28, O-32, K-O4: what a token endpoint may say.
func TestTokenAnswers(t *testing.T) {
	second := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("O-27: a redirect was followed") }))
	defer second.Close()
	const secret = "upstream-secret-text"
	for _, tt := range []struct {
		name string
		make func(id string) (int, string, string)
		want Reason
	}{
		{"token_type in another case", func(id string) (int, string, string) {
			return 200, "application/json", `{"access_token":"at","token_type":"BEARER","id_token":"` + id + `"}`
		}, ""},
		{"no expires_in", func(id string) (int, string, string) {
			return 200, "application/json", `{"access_token":"at","token_type":"Bearer","id_token":"` + id + `"}`
		}, ""},
		{"another token_type", func(id string) (int, string, string) {
			return 200, "application/json", `{"access_token":"at","token_type":"mac","id_token":"` + id + `"}`
		}, ReasonAnswerInvalid},
		{"blank token", func(id string) (int, string, string) {
			return 200, "application/json", `{"access_token":" ","token_type":"Bearer","id_token":"` + id + `"}`
		}, ReasonAnswerInvalid},
		{"no token", func(id string) (int, string, string) { return 200, "application/json", `{"token_type":"Bearer"}` }, ReasonAnswerInvalid},
		{"error in a 200", func(string) (int, string, string) {
			return 200, "application/json", `{"error":"invalid_grant","error_description":"` + secret + `"}`
		}, ReasonCodeRejected},
		{"wrong secret", func(string) (int, string, string) {
			return 401, "application/json", `{"error":"invalid_client","error_description":"` + secret + `"}`
		}, ReasonClientRejected},
		{"broken", func(string) (int, string, string) { return 200, "application/json", `{"access_token":` }, ReasonAnswerInvalid},
		{"500", func(string) (int, string, string) { return 500, "text/html", secret }, ReasonProviderUnavailable},
		{"redirect", func(string) (int, string, string) { return 307, "text/plain", "" }, ReasonAnswerInvalid},
		{"larger than 1 MiB", func(string) (int, string, string) {
			return 200, "application/json", `{"x":"` + strings.Repeat("x", 2<<20) + `"}`
		}, ReasonAnswerInvalid},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := newOP(t)
			o.token = tt.make
			_, err := o.signIn(t, o.client(t, nil))
			if reasonOf(err) != tt.want {
				t.Errorf("got %v, want %q", err, tt.want)
			}
			if err != nil && strings.Contains(err.Error(), secret) {
				t.Errorf("O-32: the provider's text is in the error: %v", err)
			}
			if n := o.tokenHits.Load(); n != 1 {
				t.Errorf("%d token requests", n)
			}
		})
	}
}

// O-8, O-30: oidcc-client-test-discovery-issuer-mismatch and its like.
func TestDiscovery(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(map[string]any)
	}{
		{"issuer mismatch", func(m map[string]any) { m["issuer"] = "https://evil.example" }},
		{"issuer with a slash more", func(m map[string]any) { m["issuer"] = m["issuer"].(string) + "/" }},
		{"token endpoint in clear text", func(m map[string]any) { m["token_endpoint"] = "http://evil.example/t" }},
		{"no keys", func(m map[string]any) { delete(m, "jwks_uri") }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := newOP(t)
			o.metadata = tt.change
			if _, err := o.signIn(t, o.client(t, nil)); reasonOf(err) != ReasonProviderUnavailable {
				t.Errorf("got %v", err)
			}
		})
	}
	o := newOP(t)
	o.metadata = func(m map[string]any) { m["authorization_response_iss_parameter_supported"] = true }
	if _, err := o.signIn(t, o.client(t, nil)); reasonOf(err) != ReasonIssuerMismatch || o.tokenHits.Load() != 0 {
		t.Errorf("O-8: iss is missing: %v", err)
	}
}

// O-28: a provider that does not answer is given up, and asked nothing more.
func TestMuteProvider(t *testing.T) {
	o := newOP(t)
	c := o.client(t, nil)
	r, _, err := c.Begin(t.Context(), "https://client.example/callback", nil)
	if err != nil {
		t.Fatal(err)
	}
	o.token = func(string) (int, string, string) {
		time.Sleep(300 * time.Millisecond)
		return 200, "application/json", "{}"
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := c.Complete(ctx, r, url.Values{"state": {r.State}, "code": {"c"}}); reasonOf(err) != ReasonProviderUnavailable {
		t.Errorf("got %v", err)
	}
}

// O-29: names that lead inside are refused at the time of connecting.
func TestPeers(t *testing.T) {
	for address, private := range map[string]bool{"127.0.0.1:443": true, "10.1.2.3:443": true, "192.168.0.1:443": true, "169.254.169.254:80": true, "100.64.0.1:443": true,
		"[::1]:443": true, "[fe80::1]:443": true, "[fd00::1]:443": true, "[::ffff:10.0.0.1]:443": true, "0.0.0.0:443": true, "93.184.216.34:443": false, "[2606:2800::1]:443": false} {
		if got := checkPeer(address, false) != nil; got != private {
			t.Errorf("%s: refused %v", address, got)
		}
		if checkPeer(address, true) != nil {
			t.Errorf("%s is refused although allowed", address)
		}
	}
}

// O-1, O-3, O-37: every provider's authorization URL.
func TestAuthorizationURLs(t *testing.T) {
	seen := map[string]bool{}
	for _, p := range live() {
		if p.Protocol == "oauth1" || p.Protocol == "openid2" {
			continue // no code, no PKCE; each has a test of its own
		}
		config := example(p)
		config.Override = map[string]any{}
		for name, v := range map[string]string{"authorization": p.Authorization, "token": p.Token, "jwks": p.JWKS} {
			if v == "" {
				config.Override[name] = "https://idp.example/x"
			}
		}
		if p.TokenAuth == "discovery" {
			config.Override["token_auth"] = "post"
		}
		c, err := New(config, HTTPOptions{})
		if err != nil {
			t.Fatal(err)
		}
		r, location, err := c.Begin(t.Context(), "https://client.example/callback/"+p.ID, url.Values{"scope": {"admin"}, "state": {"x"}, "redirect_uri": {"https://evil.example"}, "login_hint": {"ada"}})
		if err != nil {
			t.Fatal(err)
		}
		u, _ := url.Parse(location)
		q := u.Query()
		clientID, responseType := "client_id", "code"
		if p.ClientIDParam != "" {
			clientID = p.ClientIDParam
		}
		if v := p.AuthParams["response_type"]; v != "" {
			responseType = v
		}
		if p.ClientIDParam != "" && q.Has("client_id") || u.Fragment != p.AuthFragment {
			t.Errorf("%s: %s", p.ID, location)
		}
		for name, want := range map[string]string{"response_type": responseType, clientID: "client", "redirect_uri": "https://client.example/callback/" + p.ID, "state": r.State, "login_hint": "ada"} {
			if v := q[name]; len(v) != 1 || v[0] != want {
				t.Errorf("%s: %s is %q", p.ID, name, v)
			}
		}
		if u.Scheme != "https" || strings.Contains(u.RawQuery, "admin") || len(r.State) != 43 || seen[r.State] {
			t.Errorf("%s: %s", p.ID, location)
		}
		seen[r.State] = true
		if scope := strings.Join(c.Document().Scopes, c.Document().scopeSep()); q.Get("scope") != scope || q.Has("scope") != (scope != "") {
			t.Errorf("%s: scope %q", p.ID, q.Get("scope"))
		}
		if pkce := p.PKCE != "unsupported"; pkce != (q.Get("code_challenge_method") == "S256") || pkce != (len(r.CodeVerifier) == 43) {
			t.Errorf("%s: PKCE %s, %q", p.ID, p.PKCE, q.Get("code_challenge_method"))
		}
		if strings.Contains(location, r.CodeVerifier) && r.CodeVerifier != "" || p.Nonce != (q.Get("nonce") != "") {
			t.Errorf("%s: verifier or nonce", p.ID)
		}
	}
}

// An access token that is the profile (EVE Online) is checked like an ID token.
func TestSignedAccessToken(t *testing.T) {
	claims := func(change func(map[string]any)) map[string]any {
		now := time.Now().Unix()
		c := map[string]any{"iss": "https://login.eveonline.com", "sub": "CHARACTER:EVE:7", "aud": []string{"client", "EVE Online"}, "azp": "client",
			"iat": now, "exp": now + 1200, "name": "Orin"}
		change(c)
		return c
	}
	for _, tt := range []struct {
		name   string
		key    any
		change func(map[string]any)
		want   Reason
	}{
		{"right", rsaKey, func(map[string]any) {}, ""},
		{"its other issuer", rsaKey, func(c map[string]any) { c["iss"] = "login.eveonline.com" }, ""},
		{"another issuer", rsaKey, func(c map[string]any) { c["iss"] = "https://evil.example" }, ReasonIssuerMismatch},
		{"of another client", rsaKey, func(c map[string]any) { c["aud"], c["azp"] = []string{"other", "EVE Online"}, "other" }, ReasonIDTokenInvalid},
		{"of a further client", rsaKey, func(c map[string]any) { c["aud"] = []string{"client", "EVE Online", "other"} }, ReasonIDTokenInvalid},
		{"signed by another", otherKey, func(map[string]any) {}, ReasonIDTokenInvalid},
		{"expired", rsaKey, func(c map[string]any) { c["exp"] = time.Now().Add(-time.Hour).Unix() }, ReasonClockSkew},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := newOP(t)
			o.token = func(string) (int, string, string) {
				return 200, "application/json", `{"token_type":"Bearer","access_token":"` + sign(jose.RS256, tt.key, "k1", claims(tt.change)) + `"}`
			}
			c, err := New(Config{ID: "eveonline", ClientID: "client", ClientSecret: "secret", Override: map[string]any{"token": o.URL + "/t", "jwks": o.URL + "/k"}}, HTTPOptions{Dev: true})
			if err != nil {
				t.Fatal(err)
			}
			got, err := o.signIn(t, c)
			if reasonOf(err) != tt.want || tt.want == "" && got.Subject != "7" {
				t.Errorf("%+v, %v, want %q", got.Profile, err, tt.want)
			}
		})
	}
}

// O-12: a shared secret signs only where a document says so (LINE), and only it.
func TestSharedSecretTokens(t *testing.T) {
	const secret = "0123456789abcdef0123456789abcdef"
	for _, tt := range []struct {
		name string
		make func(map[string]any) string
		want Reason
	}{
		{"right", func(c map[string]any) string { return hs256(`{"alg":"HS256"}`, []byte(secret), c) }, ""},
		{"another secret", func(c map[string]any) string { return hs256(`{"alg":"HS256"}`, []byte(secret[1:]+"0"), c) }, ReasonIDTokenInvalid},
		{"the public key as secret", func(c map[string]any) string { return hs256(`{"alg":"HS256","kid":"k1"}`, rsaKey.N.Bytes(), c) }, ReasonIDTokenInvalid},
		{"an algorithm that is not listed", func(c map[string]any) string { return sign(jose.RS256, rsaKey, "k1", c) }, ReasonIDTokenInvalid},
		{"its other algorithm", func(c map[string]any) string { return sign(jose.ES256, ecKey, "ec", c) }, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := newOP(t)
			o.keys = append(o.keys, public(ecKey.Public(), "ec"))
			o.idToken = tt.make
			c, err := New(Config{ID: "line", ClientID: "client", ClientSecret: secret, Override: map[string]any{"issuer": o.URL, "token": o.URL + "/t", "jwks": o.URL + "/k"}}, HTTPOptions{Dev: true})
			if err != nil {
				t.Fatal(err)
			}
			if got, err := o.signIn(t, c); reasonOf(err) != tt.want || tt.want == "" && got.Subject != "248289" {
				t.Errorf("%+v, %v, want %q", got.Profile, err, tt.want)
			}
		})
	}
}
