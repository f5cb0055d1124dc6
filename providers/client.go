package providers

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"golang.org/x/oauth2"
)

// Client is Gatepost as the client of one configured provider. It does not
// change after New and is safe for concurrent use: nothing of one sign-in is
// ever kept in it (security G-4).
type Client struct {
	id       string
	doc      Provider
	clientID string
	secret   string
	params   map[string]string
	tenant   string
	dev      bool
	http     *http.Client
	now      func() time.Time
	metadata cached[metadata]
	keys     cached[jose.JSONWebKeySet]
}

// AuthorizationRequest is what of a request must be known when its answer comes
// (security O-4). Whoever keeps it must keep it secret and unchanged.
type AuthorizationRequest struct {
	Provider     string
	Issuer       string
	ClientID     string
	RedirectURI  string
	State        string // 43 characters, 256 bits
	Nonce        string // "" for OAuth 2.0
	CodeVerifier string // RFC 7636 §4.1; "" where the provider breaks on it
}

// Tokens are the provider's, for its own APIs.
type Tokens struct {
	AccessToken  string
	RefreshToken string    // "" if none came
	Expires      time.Time // zero if not said
}

// Identity is the outcome of a sign-in at a provider.
type Identity struct {
	Profile
	Tokens
}

// New checks c against the catalogue. It asks nothing of the network.
func New(c Config, o HTTPOptions) (*Client, error) {
	doc, err := c.resolve(o.Dev)
	if err != nil {
		return nil, err
	}
	params, err := c.params(doc)
	if err != nil {
		return nil, err
	}
	client, err := newHTTPClient(c.AllowPrivateNetwork || o.Dev, c.CAFile)
	if err != nil {
		return nil, fmt.Errorf("provider %s: %w", c.ID, err)
	}
	now := o.Now
	if now == nil {
		now = time.Now
	}
	cl := &Client{id: c.ID, doc: doc, clientID: c.ClientID, secret: c.ClientSecret, params: params, tenant: params["tenant"],
		dev: o.Dev || c.AllowPrivateNetwork, http: client, now: now}
	switch doc.TokenAuth {
	case "post", "basic", "discovery":
		// Whether discovery allows clients without one is seen when it is read.
		if c.ClientSecret == "" && !(doc.TokenAuth == "discovery" && doc.Protocol == "oidc" && doc.Discovery != "") {
			return nil, fmt.Errorf("provider %s: client_secret is missing; it is shown%s", c.ID, at(doc.Console))
		}
	case "post_jwt_es256":
		if _, err := cl.mintSecret(); err != nil {
			return nil, fmt.Errorf("provider %s: %w", c.ID, err)
		}
	case "none":
	default:
		return nil, fmt.Errorf("provider %s: token_auth %q: want post, basic or none", c.ID, doc.TokenAuth)
	}
	if doc.Protocol != "oidc" && (doc.Authorization == "" || doc.Token == "") {
		return nil, fmt.Errorf("provider %s: authorization and token endpoints are missing", c.ID)
	}
	return cl, nil
}

// ID is stored in accounts.provider.
func (c *Client) ID() string { return c.id }

// Name is the label of the provider's button.
func (c *Client) Name() string { return c.doc.Name }

// Brand is the provider's colour.
func (c *Client) Brand() string { return c.doc.Brand }

// FormPost reports that the provider posts its answer.
func (c *Client) FormPost() bool { return c.doc.ResponseMode == "form_post" }

// Document is the catalogue's entry, with this configuration applied.
func (c *Client) Document() Provider { return c.doc }

// AuthorizationOrigin is where sign-ins lead, for a page's policy. Before a
// provider's metadata is known it is that of the issuer.
func (c *Client) AuthorizationOrigin() string {
	raw := c.doc.Authorization
	if raw == "" {
		raw = c.metadata.known().authorization
	}
	if raw == "" {
		raw = c.doc.Issuer
	}
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" {
		return ""
	}
	return u.Scheme + "://" + u.Host
}

// Begin makes the authorization request and its URL (RFC 6749 §4.1.1, RFC 7636,
// OpenID Connect Core §3.1.2.1). Of extra only login_hint and prompt are sent.
func (c *Client) Begin(ctx context.Context, redirectURI string, extra url.Values) (AuthorizationRequest, string, error) {
	m, err := c.discover(ctx)
	if err != nil {
		return AuthorizationRequest{}, "", c.refuse(ReasonProviderUnavailable, "%v", err)
	}
	r := AuthorizationRequest{Provider: c.id, Issuer: c.doc.Issuer, ClientID: c.clientID, RedirectURI: redirectURI, State: randomText()}
	var options []oauth2.AuthCodeOption
	set := func(name, value string) { options = append(options, oauth2.SetAuthURLParam(name, value)) }
	if c.doc.PKCE != "unsupported" {
		r.CodeVerifier = oauth2.GenerateVerifier()
		options = append(options, oauth2.S256ChallengeOption(r.CodeVerifier))
	}
	if c.doc.Protocol == "oidc" && c.doc.Nonce {
		r.Nonce = randomText()
		set("nonce", r.Nonce)
	}
	if c.FormPost() {
		set("response_mode", "form_post")
	}
	for name, value := range c.doc.AuthParams {
		set(name, value)
	}
	for _, hint := range []string{"login_hint", "prompt"} {
		if v := extra.Get(hint); v != "" && len(v) < 256 {
			set(hint, v)
		}
	}
	sep := c.doc.ScopeSep
	if sep == "" {
		sep = " "
	}
	if scopes := strings.Join(c.doc.Scopes, sep); scopes != "" {
		set("scope", scopes)
	}
	config := oauth2.Config{ClientID: c.clientID, RedirectURL: redirectURI, Endpoint: oauth2.Endpoint{AuthURL: m.authorization}}
	return r, config.AuthCodeURL(r.State, options...), nil
}

// Complete turns the provider's answer cb into an identity. It checks that the
// answer is to r before it asks anybody anything, and makes exactly one token
// request (security O-6…O-9, O-25). All errors are *Error.
func (c *Client) Complete(ctx context.Context, r AuthorizationRequest, cb url.Values) (Identity, error) {
	ctx, cancel := context.WithTimeout(ctx, callbackTime)
	defer cancel()
	m, err := c.discover(ctx)
	if err != nil {
		return Identity{}, c.refuse(ReasonProviderUnavailable, "%v", err)
	}
	if refusal := c.checkAnswer(r, cb, m.returnsIss); refusal != nil {
		return Identity{}, refusal
	}
	docs, refusal := c.answerDocuments(cb)
	if refusal != nil {
		return Identity{}, refusal
	}
	tokens, raw, refusal := c.exchange(ctx, r, cb.Get("code"), m)
	if refusal != nil {
		return Identity{}, refusal
	}
	docs["token"] = raw
	if refusal := c.collect(ctx, r, m, tokens, raw, docs); refusal != nil {
		return Identity{}, refusal
	}
	if c.doc.Success != nil && !c.doc.Success.holds(docs) {
		return Identity{}, c.refuse(ReasonAnswerInvalid, "the profile says that it failed")
	}
	if c.doc.Active != nil && !c.doc.Active.holds(docs) {
		return Identity{}, c.refuse(ReasonAccountInactive, "the provider says that the account is not active")
	}
	profile, err := MapProfile(c.doc, docs)
	if err != nil {
		return Identity{}, c.refuse(ReasonNoSubject, "%v", err)
	}
	return Identity{profile, tokens}, nil
}

// checkAnswer decides whether cb is the one answer to r.
func (c *Client) checkAnswer(r AuthorizationRequest, cb url.Values, returnsIss bool) *Error {
	for _, name := range []string{"state", "code", "iss", "error"} {
		if v, sent := cb[name]; sent && (len(v) != 1 || v[0] == "") {
			return c.refuse(ReasonAnswerInvalid, "%s is empty or sent twice", name)
		}
	}
	state, code, iss := cb.Get("state"), cb.Get("code"), cb.Get("iss")
	switch {
	case r.Provider != c.id || r.ClientID != c.clientID || r.Issuer != c.doc.Issuer:
		return c.refuse(ReasonStateMismatch, "the request was made for another client")
	case r.State == "" || state == "" || subtle.ConstantTimeCompare([]byte(r.State), []byte(state)) != 1:
		return c.refuse(ReasonStateMismatch, "state is not that of the request")
	// The mix-up attack: another provider's answer at our door (RFC 9207).
	case iss == "" && returnsIss:
		return c.refuse(ReasonIssuerMismatch, "iss is missing from the answer")
	case iss != "" && c.doc.Issuer != "" && !containsTenant(c.doc.Issuer) && iss != c.doc.Issuer && !slices.Contains(c.doc.IssuerAlso, iss):
		return c.refuse(ReasonIssuerMismatch, "iss of the answer is %q", iss)
	case cb.Get("error") != "" && code != "":
		return c.refuse(ReasonAnswerInvalid, "both code and error")
	case cb.Get("error") != "":
		return c.refuse(answerReason(cb.Get("error")), "the provider answered %q", standardError(cb.Get("error")))
	case code == "":
		return c.refuse(ReasonAnswerInvalid, "no code")
	}
	return nil
}

func answerReason(code string) Reason {
	switch code {
	case "access_denied", "consent_required", "user_cancelled_login", "user_cancelled_authorize", "login_required", "interaction_required":
		return ReasonProviderRefused
	case "temporarily_unavailable", "server_error":
		return ReasonProviderUnavailable
	case "unauthorized_client", "invalid_client", "invalid_scope", "unsupported_response_type", "invalid_request":
		return ReasonClientRejected
	}
	return ReasonAnswerInvalid
}

// standardError passes on error codes of the standards (RFC 6749 §4.1.2.1, §5.2), and
// no other text of a provider.
func standardError(code string) string {
	if slices.Contains([]string{"access_denied", "consent_required", "login_required", "interaction_required", "temporarily_unavailable", "server_error",
		"unauthorized_client", "invalid_client", "invalid_scope", "unsupported_response_type", "invalid_request", "invalid_grant", "unsupported_grant_type"}, code) {
		return code
	}
	return "an error of its own"
}

// answerDocuments reads what the answer itself tells (Apple's user).
func (c *Client) answerDocuments(cb url.Values) (Documents, *Error) {
	callback := map[string]any{}
	for name := range cb {
		callback[name] = cb.Get(name)
	}
	for _, name := range c.doc.CallbackJSON {
		if raw := cb.Get(name); raw != "" {
			v, err := decodeJSON([]byte(raw))
			if err != nil {
				return nil, c.refuse(ReasonAnswerInvalid, "%s is not JSON", name)
			}
			callback[name] = v
		}
	}
	param := map[string]any{}
	for _, p := range c.doc.Params {
		if !p.Secret {
			param[p.Name] = c.params[p.Name]
		}
	}
	return Documents{"callback": callback, "param": param}, nil
}

// endpoint refuses a URL of a provider's metadata that is not https.
func (c *Client) endpoint(raw string) error {
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" || !secureURL(u, c.dev) {
		return errors.New("missing, or not an https URL")
	}
	return nil
}

// CheckResult is one line of what an operator is told.
type CheckResult struct {
	Name string
	Err  error
}

// Check asks the provider for its metadata and keys.
func (c *Client) Check(ctx context.Context) []CheckResult {
	m, err := c.discover(ctx)
	results := []CheckResult{{"endpoints", err}}
	if err == nil && c.doc.Protocol == "oidc" {
		_, err := c.fetchKeys(ctx, m.jwks)
		results = append(results, CheckResult{"signing keys", err})
	}
	return results
}

func randomText() string {
	var b [32]byte
	rand.Read(b[:])
	return base64.RawURLEncoding.EncodeToString(b[:])
}
