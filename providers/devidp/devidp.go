// Package devidp is a development provider on loopback: it plays every document
// of the catalogue in that provider's own dialect and is as strict as a real
// server about redirect URIs, PKCE and client authentication. Anybody may sign
// in as anybody, so it is linked only into cmd/gatepost-dev and tests.
package devidp

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/gatepost/gatepost/providers"
)

// Person is somebody who can sign in.
type Person struct {
	ID       string // digits, so that it fits every provider
	Name     string
	Email    string // "" for none
	Verified bool
}

// People are enough to see every case.
var People = []Person{
	{"1001", "Ada Lovelace", "ada@example.org", true},
	{"1002", "Grace Hopper", "grace@example.org", true},
	{"1003", "Linus Pauling", "", false},
	{"1004", "Mallory", "ada@example.org", false},
}

const (
	clientSecret = "development-secret"
	tenant       = "0d1e2f3a-4b5c-4d6e-8f70-112233445566"
)

// Server is an http.Handler; everything of a provider is under /<id>/.
type Server struct {
	base      string
	signing   *rsa.PrivateKey
	apple     *ecdsa.PrivateKey
	mu        sync.Mutex
	redirects map[string][]string // by provider
	codes     map[string]*grant
	tokens    map[string]*grant
	consented map[string]bool // provider + person: Apple names a person once
}

type grant struct {
	provider, redirectURI, nonce, challenge string
	person                                  Person
	until                                   time.Time
	used                                    bool
	access                                  string
}

// New gives a server that is reached at base, such as http://127.0.0.1:9000.
func New(base string) (*Server, error) {
	signing, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, err
	}
	apple, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	return &Server{base: base, signing: signing, apple: apple, redirects: map[string][]string{}, codes: map[string]*grant{},
		tokens: map[string]*grant{}, consented: map[string]bool{}}, nil
}

// ProviderConfig registers a client of the catalogue's provider id, with one
// redirect URI, and returns the configuration that leads to this server.
func (s *Server) ProviderConfig(id, redirectURI string) providers.Config {
	doc, _ := providers.Lookup(id)
	s.mu.Lock()
	s.redirects[doc.ID] = append(s.redirects[doc.ID], redirectURI)
	s.mu.Unlock()
	at := s.base + "/" + doc.ID
	override := map[string]any{"authorization": at + "/authorize", "token": at + "/token"}
	if doc.Userinfo != "" || doc.Protocol == "oidc" && doc.ClaimsFrom != "id_token" {
		override["userinfo"] = at + "/userinfo"
	}
	if doc.Protocol == "oidc" {
		override["jwks"], override["issuer"], override["discovery"] = at+"/jwks", s.issuerOf(doc), at+"/.well-known/openid-configuration"
	}
	var extras []map[string]any
	for _, e := range doc.ExtraRequests {
		extras = append(extras, map[string]any{"name": e.Name, "url": at + "/extra/" + e.Name, "needs_scope": e.NeedsScope, "optional": e.Optional, "ignore_status": e.IgnoreStatus})
	}
	if extras != nil {
		override["extra_requests"] = extras
	}
	params := map[string]string{}
	for _, p := range doc.Params {
		if p.Required {
			params[p.Name] = "dev.example"
			if strings.HasSuffix(p.Name, "_url") || p.Name == "issuer" {
				params[p.Name] = at
			}
		}
	}
	if doc.ID == "apple" {
		der, _ := x509.MarshalPKCS8PrivateKey(s.apple)
		params = map[string]string{"team_id": "TEAM", "key_id": "KEY", "private_key": string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))}
	}
	return providers.Config{ID: doc.ID, ClientID: clientID(doc.ID), ClientSecret: clientSecret, Params: params, Override: override, AllowPrivateNetwork: true}
}

func clientID(id string) string { return "dev-" + id }

func (s *Server) issuerOf(doc providers.Provider) string {
	if strings.Contains(doc.Issuer, "{claims.tid}") {
		return s.base + "/" + doc.ID + "/{claims.tid}/v2.0"
	}
	return s.base + "/" + doc.ID
}

func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	id, rest, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	doc, ok := providers.Lookup(id)
	if !ok {
		http.NotFound(w, r)
		return
	}
	switch {
	case rest == "authorize" && r.Method == http.MethodGet:
		s.choose(w, r, doc)
	case rest == "authorize" && r.Method == http.MethodPost:
		s.authorize(w, r, doc)
	case rest == "token" && r.Method == http.MethodPost:
		s.token(w, r, doc)
	case rest == "userinfo":
		s.userinfo(w, r, doc, "")
	case strings.HasPrefix(rest, "extra/"):
		s.userinfo(w, r, doc, strings.TrimPrefix(rest, "extra/"))
	case rest == "jwks":
		answer(w, http.StatusOK, jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: s.signing.Public(), KeyID: "dev", Algorithm: "RS256", Use: "sig"}}})
	case rest == ".well-known/openid-configuration" && doc.Protocol == "oidc":
		at := s.base + "/" + doc.ID
		answer(w, http.StatusOK, map[string]any{"issuer": s.issuerOf(doc), "authorization_endpoint": at + "/authorize", "token_endpoint": at + "/token",
			"userinfo_endpoint": at + "/userinfo", "jwks_uri": at + "/jwks", "response_types_supported": []string{"code"},
			"token_endpoint_auth_methods_supported": []string{"client_secret_basic"}, "code_challenge_methods_supported": []string{"S256"},
			"authorization_response_iss_parameter_supported": true})
	default:
		http.NotFound(w, r)
	}
}

// valid reports what is wrong with an authorization request, "" for nothing. A
// request with a wrong client or redirect URI must not be redirected.
func (s *Server) valid(q url.Values, doc providers.Provider) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case q.Get("client_id") != clientID(doc.ID):
		return "unknown client_id"
	case !slices.Contains(s.redirects[doc.ID], q.Get("redirect_uri")):
		return "redirect_uri is not registered"
	case q.Get("response_type") != "code":
		return "response_type must be code"
	case q.Get("state") == "":
		return "state is missing"
	case doc.PKCE != "unsupported" && (q.Get("code_challenge_method") != "S256" || len(q.Get("code_challenge")) != 43):
		return "PKCE with S256 is required"
	case doc.PKCE == "unsupported" && q.Has("code_challenge"):
		return "this provider does not know code_challenge"
	case doc.Protocol == "oidc" && !slices.Contains(strings.Fields(q.Get("scope")), "openid"):
		return "scope must hold openid"
	case doc.Nonce && q.Get("nonce") == "":
		return "nonce is missing"
	case doc.ResponseMode == "form_post" && q.Get("response_mode") != "form_post":
		return "response_mode must be form_post"
	}
	return ""
}

func (s *Server) authorize(w http.ResponseWriter, r *http.Request, doc providers.Provider) {
	q := r.URL.Query()
	if wrong := s.valid(q, doc); wrong != "" {
		http.Error(w, wrong, http.StatusBadRequest)
		return
	}
	out := url.Values{"state": {q.Get("state")}}
	if doc.Protocol == "oidc" && !strings.Contains(doc.Issuer, "{claims.tid}") {
		out.Set("iss", s.issuerOf(doc))
	}
	person, ok := personByID(r.PostFormValue("person"))
	if !ok {
		out.Set("error", "access_denied")
	} else {
		code := rand.Text()
		s.mu.Lock()
		s.codes[code] = &grant{provider: doc.ID, redirectURI: q.Get("redirect_uri"), nonce: q.Get("nonce"), challenge: q.Get("code_challenge"), person: person, until: time.Now().Add(time.Minute)}
		first := !s.consented[doc.ID+person.ID]
		s.consented[doc.ID+person.ID] = true
		s.mu.Unlock()
		out.Set("code", code)
		if doc.ID == "apple" && first {
			given, family, _ := strings.Cut(person.Name, " ")
			user, _ := json.Marshal(map[string]any{"name": map[string]string{"firstName": given, "lastName": family}, "email": person.Email})
			out.Set("user", string(user))
		}
	}
	if doc.ResponseMode == "form_post" {
		s.formPost(w, q.Get("redirect_uri"), out)
		return
	}
	http.Redirect(w, r, q.Get("redirect_uri")+"?"+out.Encode(), http.StatusFound)
}

func personByID(id string) (Person, bool) {
	for _, p := range People {
		if p.ID == id {
			return p, true
		}
	}
	return Person{}, false
}

func (s *Server) token(w http.ResponseWriter, r *http.Request, doc providers.Provider) {
	fail := func(status int, code string) {
		if doc.ID == "github" {
			status = http.StatusOK // as the real one does
		}
		answer(w, status, map[string]string{"error": code})
	}
	if r.ParseForm() != nil || r.PostForm.Get("grant_type") != "authorization_code" {
		fail(http.StatusBadRequest, "unsupported_grant_type")
		return
	}
	if !s.authenticated(r, doc) {
		fail(http.StatusUnauthorized, "invalid_client")
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	g := s.codes[r.PostForm.Get("code")]
	if g != nil && g.used {
		delete(s.tokens, g.access) // RFC 6749 §4.1.2: a second use revokes
	}
	sum := sha256.Sum256([]byte(r.PostForm.Get("code_verifier")))
	proven := g != nil && (g.challenge == "" || subtle.ConstantTimeCompare([]byte(base64.RawURLEncoding.EncodeToString(sum[:])), []byte(g.challenge)) == 1)
	if g == nil || g.used || g.provider != doc.ID || time.Now().After(g.until) || g.redirectURI != r.PostForm.Get("redirect_uri") || !proven {
		fail(http.StatusBadRequest, "invalid_grant")
		return
	}
	g.used, g.access = true, "access-"+rand.Text()
	s.tokens[g.access] = g
	out := map[string]any{"access_token": g.access, "token_type": "Bearer", "expires_in": 3600, "refresh_token": "refresh-" + rand.Text()}
	if doc.ID == "twitch" {
		out["scope"], out["token_type"] = doc.Scopes, "bearer"
	}
	if doc.Protocol == "oidc" {
		idToken, err := s.idToken(doc, g)
		if err != nil {
			fail(http.StatusInternalServerError, "server_error")
			return
		}
		out["id_token"] = idToken
	}
	answer(w, http.StatusOK, out)
}

// authenticated accepts the one way that the document names.
func (s *Server) authenticated(r *http.Request, doc providers.Provider) bool {
	id, secret, basic := r.BasicAuth()
	if unescaped, err := url.QueryUnescape(secret); err == nil {
		secret = unescaped
	}
	switch doc.TokenAuth {
	case "basic", "discovery":
		return basic && id == clientID(doc.ID) && secret == clientSecret && !r.PostForm.Has("client_secret")
	case "post":
		return !basic && r.PostForm.Get("client_id") == clientID(doc.ID) && r.PostForm.Get("client_secret") == clientSecret
	case "post_jwt_es256":
		signed, err := jose.ParseSignedCompact(r.PostForm.Get("client_secret"), []jose.SignatureAlgorithm{jose.ES256})
		if err != nil || basic || r.PostForm.Get("client_id") != clientID(doc.ID) {
			return false
		}
		payload, err := signed.Verify(s.apple.Public())
		var claims struct {
			Iss, Sub, Aud string
			Exp           int64
		}
		return err == nil && json.Unmarshal(payload, &claims) == nil && claims.Iss == "TEAM" && claims.Sub == clientID(doc.ID) &&
			claims.Aud == "https://appleid.apple.com" && claims.Exp > time.Now().Unix() && signed.Signatures[0].Header.KeyID == "KEY"
	}
	return false
}

func (s *Server) idToken(doc providers.Provider, g *grant) (string, error) {
	claims, _ := profileOf(doc, g.person, "profile").(map[string]any)
	claims["iss"] = strings.ReplaceAll(s.issuerOf(doc), "{claims.tid}", tenant)
	claims["tid"], claims["aud"], claims["sub"] = tenant, clientID(doc.ID), g.person.ID
	claims["iat"], claims["exp"], claims["nonce"] = time.Now().Unix(), time.Now().Add(time.Hour).Unix(), g.nonce
	delete(claims, "azp")
	payload, err := json.Marshal(claims)
	if err != nil {
		return "", err
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: s.signing}, (&jose.SignerOptions{}).WithHeader("kid", "dev"))
	if err != nil {
		return "", err
	}
	signed, err := signer.Sign(payload)
	if err != nil {
		return "", err
	}
	return signed.CompactSerialize()
}

func (s *Server) userinfo(w http.ResponseWriter, r *http.Request, doc providers.Provider, extra string) {
	token, bearer := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	s.mu.Lock()
	g := s.tokens[token]
	s.mu.Unlock()
	switch {
	case !bearer || g == nil || g.provider != doc.ID:
		answer(w, http.StatusUnauthorized, map[string]string{"error": "invalid_token"})
		return
	case doc.ID == "github" && r.UserAgent() == "":
		answer(w, http.StatusForbidden, map[string]string{"message": "a User-Agent is required"})
		return
	}
	name := extra
	if name == "" {
		name = "profile"
	}
	profile := profileOf(doc, g.person, name)
	if object, ok := profile.(map[string]any); ok && doc.Protocol == "oidc" {
		object["sub"] = g.person.ID
	}
	answer(w, http.StatusOK, profile)
}

func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(v)
}
