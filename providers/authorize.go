package providers

import (
	"context"
	"net/url"
	"strings"

	"golang.org/x/oauth2"
)

// Begin makes the authorization request and its URL. Of extra only login_hint
// and prompt are sent.
func (c *Client) Begin(ctx context.Context, redirectURI string, extra url.Values) (AuthorizationRequest, string, error) {
	m, err := c.discover(ctx)
	if err != nil {
		return AuthorizationRequest{}, "", c.refuse(ReasonProviderUnavailable, "%v", err)
	}
	r := AuthorizationRequest{Provider: c.id, Issuer: c.doc.Issuer, ClientID: c.clientID, RedirectURI: redirectURI, State: randomText()}
	if c.watch != nil && c.watch.State != nil {
		r.State = c.watch.State()
	}
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
		c.watch.learn(r.CodeVerifier)
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
