// Package devidp is a development provider on loopback: it plays every document
// of the catalogue in that provider's own dialect and is as strict as a real
// server about redirect URIs, PKCE, client authentication, methods and headers.
// Anybody may sign in as anybody, so it is linked only into cmd/gatepost-dev and
// tests.
package devidp

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
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
	{"1004", "Mallory Moe", "ada@example.org", false},
	{"1005", "Ute Maler", "Ute@Bücher.example", true},
}

const (
	clientSecret = "development-secret-of-32-characters"
	tenant       = "0d1e2f3a-4b5c-4d6e-8f70-112233445566"
)

// Server is an http.Handler; everything of a provider is under /<id>/.
type Server struct {
	// Lenient also takes requests without a nonce or PKCE, as programs other than
	// ours send them.
	Lenient bool

	base      string
	signing   *rsa.PrivateKey
	elliptic  *ecdsa.PrivateKey
	mu        sync.Mutex
	clients   map[string]*client
	codes     map[string]*grant
	tokens    map[string]*grant // by access token
	refreshes map[string]*grant // by refresh token, the spent ones too
	consented map[string]bool   // provider + person: Apple names a person once
}

// client is one registered application: the document as Gatepost will use it.
type client struct {
	doc       providers.Provider
	redirects []string
}

type grant struct {
	provider, redirectURI, nonce, challenge string
	person                                  Person
	answer                                  url.Values // what the browser carried back
	until                                   time.Time
	used                                    bool
	access                                  string // the last one
	refresh                                 string // the one that is good; "" once the grant is revoked
	secret                                  string // OAuth 1.0a
}

// New gives a server that is reached at base, such as http://127.0.0.1:9000.
func New(base string) (*Server, error) {
	signing, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, err
	}
	curve, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	return &Server{base: base, signing: signing, elliptic: curve, clients: map[string]*client{}, codes: map[string]*grant{},
		tokens: map[string]*grant{}, refreshes: map[string]*grant{}, consented: map[string]bool{}}, nil
}

// ProviderConfig registers a client of the catalogue's provider id, with one
// redirect URI, and returns the configuration that leads to this server.
func (s *Server) ProviderConfig(id, redirectURI string) providers.Config {
	doc, _ := providers.Lookup(id)
	c, err := s.Configure(providers.Config{ID: doc.ID}, redirectURI)
	if err != nil {
		panic(err) // a document that a test refuses
	}
	return c
}

// Configure is ProviderConfig for a client with parameters, scopes or a type of
// its own.
func (s *Server) Configure(c providers.Config, redirectURI string) (providers.Config, error) {
	c.ClientID, c.ClientSecret, c.AllowPrivateNetwork = clientID(c.ID), clientSecret, true
	c.Params = s.params(c)
	real, err := providers.New(c, providers.HTTPOptions{Dev: true})
	if err != nil {
		return c, err
	}
	c.Override = s.override(c, real.Document())
	ours, err := providers.New(c, providers.HTTPOptions{Dev: true})
	if err != nil {
		return c, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	known := s.clients[c.ID]
	if known == nil {
		known = &client{}
		s.clients[c.ID] = known
	}
	known.doc, known.redirects = ours.Document(), append(known.redirects, redirectURI)
	return c, nil
}

func clientID(id string) string { return "dev-" + id }

// params invents what an operator has to set.
func (s *Server) params(c providers.Config) map[string]string {
	kind := c.Type
	if kind == "" {
		kind = c.ID
	}
	doc, _ := providers.Lookup(kind)
	params := map[string]string{}
	for _, p := range doc.Params {
		switch {
		case p.Name == "private_key":
			params[p.Name] = s.clientKey(doc)
		case !p.Required:
		case p.Example != "":
			params[p.Name] = p.Example
		case p.Name == "issuer" || strings.HasSuffix(p.Name, "_url"):
			params[p.Name] = s.base + "/" + c.ID
		default:
			params[p.Name] = "dev.example"
		}
	}
	for name, v := range c.Params {
		params[name] = v
	}
	return params
}

func (s *Server) clientKey(doc providers.Provider) string {
	var key any = s.signing
	if doc.ClientSecretJWT != nil && doc.ClientSecretJWT.Alg == "ES256" {
		key = s.elliptic
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		panic(err) // a key that we have just made
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

// override leads every endpoint of doc here and leaves all else as it is: what a
// document does not name is found by discovery, and queries stay.
func (s *Server) override(c providers.Config, doc providers.Provider) map[string]any {
	at := s.base + "/" + c.ID
	out := map[string]any{}
	for name, v := range map[string]string{"authorization": doc.Authorization, "token": doc.Token, "userinfo": doc.Userinfo, "jwks": doc.JWKS, "request_token": doc.RequestToken} {
		if v != "" {
			out[name] = at + "/" + name + rest(v)
		}
	}
	if doc.Offline.URL != "" {
		out["offline"] = map[string]any{"url": at + "/token"}
	}
	switch {
	case doc.Protocol == "openid2":
		out["issuer"] = at + "/openid/id/"
	case doc.Issuer != "":
		out["issuer"], out["discovery"] = issuer(at, doc), at+"/.well-known/openid-configuration"
	}
	var extras []map[string]any
	for _, e := range doc.ExtraRequests {
		extras = append(extras, map[string]any{"name": e.Name, "url": at + "/extra/" + e.Name, "needs_scope": e.NeedsScope, "ignore_status": e.IgnoreStatus, "picture": e.Picture})
	}
	if extras != nil {
		out["extra_requests"] = extras
	}
	if doc.TokenHost != nil {
		out["token_host"] = map[string]any{"allow": []string{s.base}}
	}
	for name, v := range c.Override {
		out[name] = v
	}
	return out
}

// rest is what of a URL has to stay: its query, and a path that is filled in.
func rest(raw string) string {
	path, query, has := strings.Cut(raw, "?")
	out := ""
	if i := strings.Index(path, "{$"); i >= 0 {
		out = "/" + path[i:]
	}
	if has {
		out += "?" + query
	}
	return out
}

func issuer(at string, doc providers.Provider) string {
	if strings.Contains(doc.Issuer, "{claims.tid}") {
		return at + "/{claims.tid}/v2.0"
	}
	return at
}

func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	id, at, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	s.mu.Lock()
	c := s.clients[id]
	s.mu.Unlock()
	if c == nil {
		http.NotFound(w, r)
		return
	}
	endpoint, _, _ := strings.Cut(at, "/")
	switch {
	case endpoint == "authorization" && r.PostFormValue("openid.mode") != "":
		s.checkAuthentication(w, r)
	case endpoint == "authorization":
		s.authorize(w, r, id, c)
	case endpoint == "request_token":
		s.requestToken(w, r, id, c)
	case endpoint == "token" && c.doc.Protocol == "oauth1":
		s.accessToken(w, r, id, c)
	case endpoint == "token":
		s.token(w, r, id, c.doc)
	case endpoint == "userinfo":
		s.userinfo(w, r, id, c.doc)
	case endpoint == "extra":
		s.extra(w, r, id, c.doc, strings.TrimPrefix(at, "extra/"))
	case endpoint == "jwks":
		answer(w, http.StatusOK, jose.JSONWebKeySet{Keys: []jose.JSONWebKey{
			{Key: s.signing.Public(), KeyID: "dev", Algorithm: "RS256", Use: "sig"}, {Key: s.elliptic.Public(), KeyID: "dev-ec", Algorithm: "ES256", Use: "sig"}}})
	case at == ".well-known/openid-configuration" && c.doc.Protocol == "oidc":
		s.metadata(w, id, c.doc)
	default:
		http.NotFound(w, r)
	}
}

func (s *Server) metadata(w http.ResponseWriter, id string, doc providers.Provider) {
	at := s.base + "/" + id
	answer(w, http.StatusOK, map[string]any{"issuer": issuer(at, doc), "authorization_endpoint": at + "/authorization", "token_endpoint": at + "/token",
		"userinfo_endpoint": at + "/userinfo", "jwks_uri": at + "/jwks", "response_types_supported": []string{"code"},
		"token_endpoint_auth_methods_supported": []string{"client_secret_basic"}, "code_challenge_methods_supported": []string{"S256"},
		"authorization_response_iss_parameter_supported": true})
}

// authorize shows who can sign in, and answers as the chosen person.
func (s *Server) authorize(w http.ResponseWriter, r *http.Request, id string, c *client) {
	q := r.URL.Query()
	switch c.doc.Protocol {
	case "oauth1":
		if !s.knowsRequest(q.Get("oauth_token"), id) {
			http.Error(w, "unknown oauth_token", http.StatusBadRequest)
			return
		}
	case "openid2":
		if wrong := validOpenID2(q, c); wrong != "" {
			http.Error(w, wrong, http.StatusBadRequest)
			return
		}
	default:
		if wrong := s.valid(q, id, c); wrong != "" {
			http.Error(w, wrong, http.StatusBadRequest)
			return
		}
	}
	if r.Method != http.MethodPost {
		s.choose(w, r, c.doc)
		return
	}
	person, agreed := personByID(r.PostFormValue("person"))
	switch {
	case c.doc.Protocol == "oauth1":
		s.answerOAuth1(w, r, q.Get("oauth_token"), person, agreed)
	case c.doc.Protocol == "openid2":
		s.answerOpenID2(w, r, q, id, c.doc, person, agreed)
	default:
		s.answerCode(w, r, q, id, c.doc, person, agreed)
	}
}

// valid reports what is wrong with an authorization request, "" for nothing. A
// request with a wrong client or redirect URI must not be redirected.
func (s *Server) valid(q url.Values, id string, c *client) string {
	doc := c.doc
	name, responseType := "client_id", "code"
	if doc.ClientIDParam != "" {
		name = doc.ClientIDParam
	}
	if v := doc.AuthParams["response_type"]; v != "" {
		responseType = v
	}
	scope, scoped := q["scope"]
	switch {
	case q.Get(name) != clientID(id) || name != "client_id" && q.Has("client_id"):
		return "unknown " + name
	case !slices.Contains(c.redirects, q.Get("redirect_uri")):
		return "redirect_uri is not registered"
	case q.Get("response_type") != responseType:
		return "response_type must be " + responseType
	case q.Get("state") == "":
		return "state is missing"
	case s.Lenient && !q.Has("code_challenge"):
	case doc.PKCE != "unsupported" && (q.Get("code_challenge_method") != "S256" || len(q.Get("code_challenge")) != 43):
		return "PKCE with S256 is required"
	case doc.PKCE == "unsupported" && q.Has("code_challenge"):
		return "this provider does not know code_challenge"
	case scoped != (len(doc.Scopes) > 0) || scoped && scope[0] != strings.Join(doc.Scopes, separator(doc)):
		return fmt.Sprintf("scope is %q", scope)
	case doc.Protocol == "oidc" && doc.Nonce && q.Get("nonce") == "" && !s.Lenient:
		return "nonce is missing"
	case doc.ResponseMode == "form_post" && q.Get("response_mode") != "form_post":
		return "response_mode must be form_post"
	}
	for name, v := range doc.AuthParams {
		if q.Get(name) != v && name != "prompt" && name != "login_hint" {
			return name + " is missing"
		}
	}
	return ""
}

func separator(doc providers.Provider) string {
	if doc.ScopeSep == "" {
		return " "
	}
	return doc.ScopeSep
}

func (s *Server) answerCode(w http.ResponseWriter, r *http.Request, q url.Values, id string, doc providers.Provider, person Person, agreed bool) {
	out := url.Values{"state": {q.Get("state")}}
	if doc.Protocol == "oidc" && !strings.Contains(doc.Issuer, "{claims.tid}") {
		out.Set("iss", doc.Issuer)
	}
	if agreed {
		out.Set("code", rand.Text())
		s.carry(out, id, doc, person)
		s.mu.Lock()
		s.codes[out.Get("code")] = &grant{provider: id, redirectURI: q.Get("redirect_uri"), nonce: q.Get("nonce"), challenge: q.Get("code_challenge"),
			person: person, answer: out, until: time.Now().Add(time.Minute)}
		s.mu.Unlock()
	} else {
		out.Set("error", "access_denied")
	}
	if doc.Hook == "shopify_callback_hmac" {
		signShopify(out, s.params(providers.Config{ID: id, Type: doc.ID})["shop"])
	}
	if doc.ResponseMode == "form_post" {
		s.formPost(w, q.Get("redirect_uri"), out)
		return
	}
	http.Redirect(w, r, q.Get("redirect_uri")+"?"+out.Encode(), http.StatusFound)
}

// carry adds what this provider's answers have beside code and state. A field
// that is JSON comes with the first consent only.
func (s *Server) carry(out url.Values, id string, doc providers.Provider, person Person) {
	s.mu.Lock()
	first := !s.consented[id+person.ID]
	s.consented[id+person.ID] = true
	s.mu.Unlock()
	fields, _ := play(doc, person)["callback"].(map[string]any)
	for name, v := range fields {
		switch {
		case out.Has(name):
		case doc.TokenHost != nil && name == doc.TokenHost.Callback:
			out.Set(name, s.base)
		case !slices.Contains(doc.CallbackJSON, name):
			out.Set(name, fmt.Sprint(v))
		case first:
			out.Set(name, encode(v))
		}
	}
}

func personByID(id string) (Person, bool) {
	for _, p := range People {
		if p.ID == id {
			return p, true
		}
	}
	return Person{}, false
}
