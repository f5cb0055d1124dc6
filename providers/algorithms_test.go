package providers

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"
)

var (
	p384Key, _      = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	_, edKey, _     = ed25519.GenerateKey(rand.Reader)
	_, edOther, _   = ed25519.GenerateKey(rand.Reader)
	allKeys         = []jose.JSONWebKey{public(rsaKey.Public(), "r"), public(ecKey.Public(), "e"), public(p384Key.Public(), "e3"), public(edKey.Public(), "ed")}
	edHeader        = `{"alg":"Ed25519","kid":"ed"}`
	edUnpublished   = func(c map[string]any) string { return signEd25519(edHeader, edOther, c) }
	fullySpecified  = func(c map[string]any) string { return signEd25519(edHeader, edKey, c) }
	hs256BySecret   = func(c map[string]any) string { return hs256(`{"alg":"HS256"}`, []byte("secret"), c) }
	hs256ByNoSecret = func(c map[string]any) string { return hs256(`{"alg":"HS256"}`, nil, c) }
)

func by(alg jose.SignatureAlgorithm, key any, kid string) func(map[string]any) string {
	return func(c map[string]any) string { return sign(alg, key, kid, c) }
}

// signEd25519 signs under the name that go-jose does not know.
func signEd25519(header string, key ed25519.PrivateKey, claims map[string]any) string {
	raw, _ := json.Marshal(claims)
	input := base64.RawURLEncoding.EncodeToString([]byte(header)) + "." + base64.RawURLEncoding.EncodeToString(raw)
	return input + "." + base64.RawURLEncoding.EncodeToString(ed25519.Sign(key, []byte(input)))
}

// O-12: an algorithm counts that the document names, else one that we know and the
// provider lists.
func TestAlgorithms(t *testing.T) {
	for _, tt := range []struct {
		name   string
		listed []string
		named  []string // override: id_token_alg
		sign   func(map[string]any) string
		ok     bool
	}{
		{"nothing listed, RS256", nil, nil, by(jose.RS256, rsaKey, "r"), true},
		{"nothing listed, ES256", nil, nil, by(jose.ES256, ecKey, "e"), true},
		{"nothing listed, PS256", nil, nil, by(jose.PS256, rsaKey, "r"), false},
		{"nothing listed, EdDSA", nil, nil, by(jose.EdDSA, edKey, "ed"), false},
		{"PS256", []string{"RS256", "PS256"}, nil, by(jose.PS256, rsaKey, "r"), true},
		{"ES384", []string{"ES384"}, nil, by(jose.ES384, p384Key, "e3"), true},
		{"EdDSA", []string{"EdDSA"}, nil, by(jose.EdDSA, edKey, "ed"), true},
		{"EdDSA, fully specified", []string{"EdDSA"}, nil, fullySpecified, true},
		{"Ed25519", []string{"Ed25519"}, nil, fullySpecified, true},
		{"Ed25519, under the old name", []string{"Ed25519"}, nil, by(jose.EdDSA, edKey, "ed"), true},
		{"Ed25519 that is not listed", []string{"RS256"}, nil, fullySpecified, false},
		{"not listed", []string{"ES256"}, nil, by(jose.RS256, rsaKey, "r"), false},
		{"HS256, listed", []string{"RS256", "HS256"}, nil, hs256BySecret, false},
		{"none, listed", []string{"RS256", "none"}, nil, func(c map[string]any) string {
			return strings.Replace(sign(jose.RS256, rsaKey, "r", c), base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"RS256"`)), base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none" `)), 1)
		}, false},
		{"nothing listed that we know", []string{"HS256", "none", "RS1"}, nil, by(jose.RS256, rsaKey, "r"), true},
		{"nothing listed that we know, HS256", []string{"HS256", "none", "RS1"}, nil, hs256BySecret, false},
		{"named", []string{"RS256"}, []string{"ES384"}, by(jose.ES384, p384Key, "e3"), true},
		{"listed, but another named", []string{"RS256"}, []string{"ES384"}, by(jose.RS256, rsaKey, "r"), false},
		{"Ed25519, named", nil, []string{"Ed25519"}, fullySpecified, true},
		{"a key of another kind", []string{"EdDSA"}, nil, func(c map[string]any) string { return signEd25519(`{"alg":"Ed25519","kid":"r"}`, edKey, c) }, false},
		{"a key that is not published", []string{"EdDSA"}, nil, edUnpublished, false},
		{"a signature of other claims", []string{"EdDSA"}, nil, func(c map[string]any) string {
			real, forged := strings.Split(fullySpecified(map[string]any{}), "."), strings.Split(fullySpecified(c), ".")
			return forged[0] + "." + forged[1] + "." + real[2]
		}, false},
		{"a critical header", []string{"EdDSA"}, nil, func(c map[string]any) string {
			return signEd25519(`{"alg":"Ed25519","kid":"ed","crit":["b64"],"b64":false}`, edKey, c)
		}, false},
		{"right at_hash", []string{"Ed25519"}, nil, func(c map[string]any) string {
			sum := sha512.Sum512([]byte("at"))
			c["at_hash"] = base64.RawURLEncoding.EncodeToString(sum[:32])
			return fullySpecified(c)
		}, true},
		{"O-18: wrong at_hash", []string{"Ed25519"}, nil, func(c map[string]any) string { c["at_hash"] = "x"; return fullySpecified(c) }, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := newOP(t)
			o.keys, o.idToken = allKeys, tt.sign
			if tt.listed != nil {
				o.metadata = func(m map[string]any) { m["id_token_signing_alg_values_supported"] = tt.listed }
			}
			var override map[string]any
			if tt.named != nil {
				override = map[string]any{"id_token_alg": tt.named}
			}
			want := ReasonIDTokenInvalid
			if tt.ok {
				want = ""
			}
			if _, err := o.signIn(t, o.client(t, override)); reasonOf(err) != want {
				t.Errorf("got %v, want %q", err, want)
			}
		})
	}
}

// A key may say for which algorithm it is, under either name.
func TestEd25519KeyNames(t *testing.T) {
	for _, name := range []string{"", "EdDSA", "Ed25519", "RS256"} {
		o := newOP(t)
		o.keys = []jose.JSONWebKey{{Key: edKey.Public(), KeyID: "ed", Algorithm: name}}
		o.metadata = func(m map[string]any) { m["id_token_signing_alg_values_supported"] = []string{"EdDSA"} }
		for _, token := range []func(map[string]any) string{fullySpecified, by(jose.EdDSA, edKey, "ed")} {
			o.idToken = token
			if _, err := o.signIn(t, o.client(t, nil)); (err == nil) != (name != "RS256") {
				t.Errorf("%q: %v", name, err)
			}
		}
	}
}

// A client without a secret says who it is in the form, and its PKCE proves it.
func TestPublicClients(t *testing.T) {
	const basic, form, public, refused = "basic", "form", "public", "refused"
	for _, tt := range []struct {
		name    string
		methods any
		secret  string
		auth    string // override: token_auth
		want    string
	}{
		{"nothing said", nil, "secret", "", basic},
		{"basic and none", []string{"client_secret_basic", "none"}, "secret", "", basic},
		{"post", []string{"client_secret_post"}, "secret", "", form},
		{"only none", []string{"none"}, "secret", "", public},
		{"only none, no secret", []string{"none"}, "", "", public},
		{"none among others, no secret", []string{"client_secret_basic", "none"}, "", "", public},
		{"no secret where one is wanted", []string{"client_secret_basic"}, "", "", refused},
		{"no secret where nothing is said", nil, "", "", refused},
		{"no secret, so configured", nil, "", "none", public},
		{"a secret that is not to be sent", []string{"client_secret_basic"}, "secret", "none", public},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := newOP(t)
			if tt.methods != nil {
				o.metadata = func(m map[string]any) { m["token_endpoint_auth_methods_supported"] = tt.methods }
			}
			got := refused
			o.before("/t", func(_ http.ResponseWriter, r *http.Request) bool {
				id, secret, header := r.BasicAuth()
				r.ParseForm()
				switch {
				case header && id == "client" && secret == "secret" && !r.PostForm.Has("client_secret"):
					got = basic
				case !header && r.PostForm.Get("client_id") == "client" && r.PostForm.Get("client_secret") == "secret":
					got = form
				case !header && r.PostForm.Get("client_id") == "client" && !r.PostForm.Has("client_secret") && r.PostForm.Get("code_verifier") != "":
					got = public
				}
				return false
			})
			config := Config{ID: "oidc", ClientID: "client", ClientSecret: tt.secret, Params: map[string]string{"issuer": o.URL}}
			if tt.auth != "" {
				config.Override = map[string]any{"token_auth": tt.auth}
			}
			c, err := New(config, HTTPOptions{Dev: true})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := o.signIn(t, c); got != tt.want || (err != nil) != (tt.want == refused) {
				t.Errorf("got %s, %v; want %s", got, err, tt.want)
			}
			if err := c.Check(t.Context())[0].Err; (err != nil) != (tt.want == refused) {
				t.Errorf("check says %v", err)
			}
		})
	}
}

// Where nothing is discovered, a missing secret is seen at start; and it is no
// key that anybody could sign with.
func TestMissingSecret(t *testing.T) {
	for _, override := range []map[string]any{{"token_auth": "post"}, {"token_auth": "basic"}, {"discovery": ""}} {
		c := Config{ID: "oidc", ClientID: "client", Params: map[string]string{"issuer": "https://idp.example"}, Override: override}
		if _, err := New(c, HTTPOptions{}); err == nil || !strings.Contains(err.Error(), "client_secret: is missing") {
			t.Errorf("%v: %v", override, err)
		}
	}
	o := newOP(t)
	o.idToken = hs256ByNoSecret
	c, err := New(Config{ID: "oidc", ClientID: "client", Params: map[string]string{"issuer": o.URL}, Override: map[string]any{"token_auth": "none", "id_token_alg": []string{"HS256"}}}, HTTPOptions{Dev: true})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := o.signIn(t, c); reasonOf(err) != ReasonIDTokenInvalid || !strings.Contains(err.Error(), "signature") {
		t.Errorf("a token signed with no secret: %v", err)
	}
}
