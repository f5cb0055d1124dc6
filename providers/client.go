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
	domains  []string
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
	Provider      string
	Issuer        string
	ClientID      string
	RedirectURI   string
	State         string // 43 characters, 256 bits
	Nonce         string // "" for OAuth 2.0
	CodeVerifier  string // RFC 7636 §4.1; "" where the provider breaks on it
	RequestToken  string // OAuth 1.0a
	RequestSecret string // OAuth 1.0a
}

// Tokens are the provider's, for its own APIs.
type Tokens struct {
	AccessToken  string
	RefreshToken string    // "" if none came; the token secret of OAuth 1.0a
	Expires      time.Time // zero if not said
}

// Identity is the outcome of a sign-in at a provider.
type Identity struct {
	Profile
	Tokens
}

// New checks c against the catalogue. It asks nothing of the network.
func New(c Config, o HTTPOptions) (*Client, error) {
	doc, params, err := c.resolve(o)
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
	cl := &Client{id: c.ID, doc: doc, clientID: c.ClientID, secret: c.ClientSecret, params: params, domains: c.AllowedDomains, tenant: params["tenant"],
		dev: o.Dev || c.AllowPrivateNetwork, http: client, now: now}
	switch doc.TokenAuth {
	case "post_jwt", "private_key_jwt":
		if _, err := cl.signedSecret(doc.Token); err != nil {
			return nil, fmt.Errorf("provider %s: %w", c.ID, err)
		}
	case "none":
	default:
		if c.ClientSecret == "" && doc.Protocol != "openid2" {
			return nil, fmt.Errorf("provider %s: client_secret is missing; it is shown%s", c.ID, at(doc.Console))
		}
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
		c.metadata.mu.Lock()
		raw = c.metadata.value.authorization
		c.metadata.mu.Unlock()
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

// Begin makes the authorization request and its URL. Of extra only login_hint
// and prompt are sent.
func (c *Client) Begin(ctx context.Context, redirectURI string, extra url.Values) (AuthorizationRequest, string, error) {
	m, err := c.discover(ctx)
	if err != nil {
		return AuthorizationRequest{}, "", c.refuse(ReasonProviderUnavailable, "%v", err)
	}
	r := AuthorizationRequest{Provider: c.id, Issuer: c.doc.Issuer, ClientID: c.clientID, RedirectURI: redirectURI, State: randomText()}
	switch c.doc.Protocol {
	case "oauth1":
		return c.beginOAuth1(ctx, r)
	case "openid2":
		return r, c.beginOpenID2(r), nil
	}
	location := c.authorizationURL(&r, m.authorization, extra)
	return r, location, nil
}

// authorizationURL is RFC 6749 §4.1.1, RFC 7636 §4.3, OpenID Connect Core
// §3.1.2.1, in the provider's dialect. It chooses nonce and verifier of r.
func (c *Client) authorizationURL(r *AuthorizationRequest, endpoint string, extra url.Values) string {
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
	if scopes := strings.Join(c.doc.Scopes, c.doc.scopeSep()); scopes != "" {
		set("scope", scopes)
	}
	config := oauth2.Config{ClientID: c.clientID, RedirectURL: r.RedirectURI, Endpoint: oauth2.Endpoint{AuthURL: endpoint}}
	return c.doc.respell(config.AuthCodeURL(r.State, options...))
}

// respell writes an authorization URL as this provider reads it.
func (p Provider) respell(location string) string {
	if p.ClientIDParam != "" {
		path, query, _ := strings.Cut(location, "?")
		if fields, err := url.ParseQuery(query); err == nil {
			fields[p.ClientIDParam] = fields["client_id"]
			fields.Del("client_id")
			location = path + "?" + fields.Encode()
		}
	}
	if p.AuthFragment != "" {
		location += "#" + p.AuthFragment
	}
	return location
}

func (p Provider) scopeSep() string {
	if p.ScopeSep == "" {
		return " "
	}
	return p.ScopeSep
}

// Complete turns the provider's answer cb into an identity. It checks that the
// answer is to r before it asks anybody anything, and makes exactly one token
// request (security O-6…O-9, O-25). All errors are *Error.
func (c *Client) Complete(ctx context.Context, r AuthorizationRequest, cb url.Values) (Identity, error) {
	identity, refusal := c.complete(ctx, r, cb)
	if refusal != nil {
		return Identity{}, refusal
	}
	return identity, nil
}

func (c *Client) complete(ctx context.Context, r AuthorizationRequest, cb url.Values) (Identity, *Error) {
	ctx, cancel := context.WithTimeout(ctx, callbackTime)
	defer cancel()
	m, err := c.discover(ctx)
	if err != nil {
		return Identity{}, c.refuse(ReasonProviderUnavailable, "%v", err)
	}
	if refusal := c.checkRequest(r, cb); refusal != nil {
		return Identity{}, refusal
	}
	docs, refusal := c.answerDocuments(cb)
	if refusal != nil {
		return Identity{}, refusal
	}
	switch c.doc.Protocol {
	case "oauth1":
		return c.completeOAuth1(ctx, r, cb, docs)
	case "openid2":
		return c.completeOpenID2(ctx, r, cb, docs)
	}
	if refusal := c.checkAnswer(cb, m.returnsIss); refusal != nil {
		return Identity{}, refusal
	}
	if m, err = c.dataCentre(m, cb); err != nil {
		return Identity{}, c.refuse(ReasonAnswerInvalid, "%v", err)
	}
	tokens, refusal := c.exchange(ctx, r, cb.Get("code"), m, docs)
	if refusal != nil {
		return Identity{}, refusal
	}
	if refusal := c.collect(ctx, r, m, tokens, docs); refusal != nil {
		return Identity{}, refusal
	}
	return c.identify(tokens, docs)
}

// identify decides whom docs describe and whether they may come in.
func (c *Client) identify(tokens Tokens, docs Documents) (Identity, *Error) {
	if c.doc.Active != nil && !c.doc.Active.holds(docs) {
		return Identity{}, c.refuse(ReasonAccountInactive, "the provider says that the account is not active")
	}
	for _, condition := range c.doc.Require {
		if !condition.holds(docs) {
			return Identity{}, c.refuse(ReasonNotAllowed, "%s is not as the configuration requires", condition.Path)
		}
	}
	profile, err := MapProfile(c.doc, docs)
	if err != nil {
		return Identity{}, c.refuse(ReasonNoSubject, "%v", err)
	}
	if !domainAllowed(c.domains, profile) {
		return Identity{}, c.refuse(ReasonNotAllowed, "no proven address in an allowed domain")
	}
	return Identity{profile, tokens}, nil
}

// domainAllowed wants an address of one of the domains that only its owner can
// have proven: anybody can claim one, and the administrator of a foreign tenant
// can assert one.
func domainAllowed(domains []string, p Profile) bool {
	if len(domains) == 0 {
		return true
	}
	at := strings.LastIndex(p.Email, "@")
	return p.MayLink && at >= 0 && slices.ContainsFunc(domains, func(d string) bool { return d != "" && strings.EqualFold(d, p.Email[at+1:]) })
}

// checkRequest decides whether cb is an answer to r, of this browser and client.
func (c *Client) checkRequest(r AuthorizationRequest, cb url.Values) *Error {
	if v := cb["state"]; len(v) > 1 {
		return c.refuse(ReasonAnswerInvalid, "state is sent twice")
	}
	state := cb.Get("state")
	switch {
	case r.Provider != c.id || r.ClientID != c.clientID || r.Issuer != c.doc.Issuer:
		return c.refuse(ReasonStateMismatch, "the request was made for another client")
	case r.State == "" || state == "" || subtle.ConstantTimeCompare([]byte(r.State), []byte(state)) != 1:
		return c.refuse(ReasonStateMismatch, "state is not that of the request")
	}
	return nil
}

// checkAnswer decides whether cb is the one answer that a code may be taken from.
func (c *Client) checkAnswer(cb url.Values, returnsIss bool) *Error {
	for _, name := range []string{"code", "iss", "error"} {
		if v, sent := cb[name]; sent && (len(v) != 1 || v[0] == "") {
			return c.refuse(ReasonAnswerInvalid, "%s is empty or sent twice", name)
		}
	}
	code, iss := cb.Get("code"), cb.Get("iss")
	switch {
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
	if c.doc.Hook == "shopify_callback_hmac" {
		if err := shopifyHMAC(cb, c.secret, c.params["shop"]); err != nil {
			return c.refuse(ReasonAnswerInvalid, "%v", err)
		}
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

// dataCentre moves the endpoints to where the answer says that the person is.
// The answer comes through the browser, so only listed origins count: any other
// would be handed code and secret.
func (c *Client) dataCentre(m metadata, cb url.Values) (metadata, error) {
	if c.doc.TokenHost == nil || !cb.Has(c.doc.TokenHost.Callback) {
		return m, nil
	}
	where := strings.TrimSuffix(cb.Get(c.doc.TokenHost.Callback), "/")
	if where == "" || len(cb[c.doc.TokenHost.Callback]) != 1 || !slices.Contains(c.doc.TokenHost.Allow, where) {
		return m, fmt.Errorf("%s names a host that is not in the list", c.doc.TokenHost.Callback)
	}
	m.token = where + strings.TrimPrefix(m.token, origin(m.token))
	m.userinfo = where + strings.TrimPrefix(m.userinfo, origin(m.userinfo))
	return m, nil
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
	if err == nil && c.verifiesTokens() {
		_, err := c.fetchKeys(ctx, m.jwks)
		results = append(results, CheckResult{"signing keys", err})
	}
	return results
}

// verifiesTokens reports that this provider's word is a signed token.
func (c *Client) verifiesTokens() bool {
	return c.doc.Protocol == "oidc" || c.doc.ClaimsFrom == "access_token"
}

func randomText() string {
	var b [32]byte
	rand.Read(b[:])
	return base64.RawURLEncoding.EncodeToString(b[:])
}
