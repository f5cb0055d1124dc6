package providers

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
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
	offline  bool
	http     *http.Client
	now      func() time.Time
	watch    *watching // nil but for gatepost check --sign-in
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

	adopted bool // another program sent it, without a nonce
}

// Adopt is the request that another program sent in our name with that state and,
// unless it is "", a code challenge for verifier. It sent no nonce, so that none
// is wanted: an ID token with one is of another request.
func (c *Client) Adopt(redirectURI, state, verifier string) AuthorizationRequest {
	return AuthorizationRequest{Provider: c.id, Issuer: c.doc.Issuer, ClientID: c.clientID, RedirectURI: redirectURI, State: state, CodeVerifier: verifier, adopted: true}
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
		return nil, c.wrong("ca_file", "%v", err)
	}
	now := o.Now
	if now == nil {
		now = time.Now
	}
	cl := &Client{id: c.ID, doc: doc, clientID: c.ClientID, secret: c.ClientSecret, params: params, domains: c.AllowedDomains, tenant: params["tenant"],
		dev: o.Dev || c.AllowPrivateNetwork, offline: c.Offline, http: client, now: now}
	if o.Watch != nil {
		cl.watch = &watching{Watch: *o.Watch, masker: newMasker(doc, cl.secrets()...)}
		client.Transport = watched{client.Transport, cl.watch}
	}
	if doc.TokenAuth == "post_jwt" || doc.TokenAuth == "private_key_jwt" {
		if _, err := cl.signedSecret(doc.Token); err != nil {
			return nil, c.wrong("private_key", "%s", strings.TrimPrefix(err.Error(), "private_key "))
		}
	}
	return cl, nil
}

// secrets are those of the configuration.
func (c *Client) secrets() []string {
	all := []string{c.secret}
	for _, p := range c.doc.Params {
		if p.Secret {
			all = append(all, c.params[p.Name])
		}
	}
	return all
}

// ID is stored in accounts.provider.
func (c *Client) ID() string { return c.id }

// Name is the label of the provider's button.
func (c *Client) Name() string { return c.doc.Name }

// Brand is the provider's colour.
func (c *Client) Brand() string { return c.doc.Brand }

// FormPost reports that the provider posts its answer.
func (c *Client) FormPost() bool { return c.doc.ResponseMode == "form_post" }

// RefusesEmbedded reports that the provider signs nobody in inside another app's
// browser.
func (c *Client) RefusesEmbedded() bool { return c.doc.RefusesEmbedded }

// Offline reports that the operator wants refresh tokens.
func (c *Client) Offline() bool { return c.offline }

// TokenType is what stands before an access token in the header Authorization, ""
// where this provider wants it elsewhere.
func (c *Client) TokenType() string {
	switch scheme, style, _ := strings.Cut(c.doc.UserinfoAuth, ":"); scheme {
	case "", "bearer":
		return "Bearer"
	case "scheme":
		return style
	}
	return ""
}

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

// endpoint refuses a URL of a provider's metadata that is not https.
func (c *Client) endpoint(raw string) error {
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" || !secureURL(u, c.dev) {
		return errors.New("missing, or not an https URL")
	}
	return nil
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
