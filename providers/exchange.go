package providers

import (
	"cmp"
	"context"
	"crypto/ecdsa"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"golang.org/x/oauth2"
)

// exchange trades the code for tokens (RFC 6749 §4.1.3), once. The way of
// authenticating is always said: x/oauth2's guess would send a single-use code
// twice (security K-O1).
func (c *Client) exchange(ctx context.Context, r AuthorizationRequest, code string, m metadata) (Tokens, map[string]any, *Error) {
	config := oauth2.Config{ClientID: c.clientID, ClientSecret: c.secret, RedirectURL: r.RedirectURI,
		Endpoint: oauth2.Endpoint{TokenURL: m.token, AuthStyle: oauth2.AuthStyleInParams}}
	switch c.doc.TokenAuth {
	case "basic":
		config.Endpoint.AuthStyle = oauth2.AuthStyleInHeader
	case "discovery":
		// OpenID Connect Discovery §3: without a statement it is basic.
		switch {
		case m.noneOnly || c.secret == "":
			config.ClientSecret = ""
		case !m.postOnly:
			config.Endpoint.AuthStyle = oauth2.AuthStyleInHeader
		}
	case "none":
		config.ClientSecret = ""
	case "post_jwt_es256":
		secret, err := c.mintSecret()
		if err != nil {
			return Tokens{}, nil, c.refuse(ReasonMisconfigured, "%v", err)
		}
		config.ClientSecret = secret
	}
	var options []oauth2.AuthCodeOption
	if r.CodeVerifier != "" {
		options = append(options, oauth2.VerifierOption(r.CodeVerifier))
	}
	for name, value := range c.doc.TokenParams {
		options = append(options, oauth2.SetAuthURLParam(name, value))
	}
	client := c.withHeaders()
	answer := &tokenAnswer{RoundTripper: client.Transport}
	client.Transport = answer
	token, err := config.Exchange(context.WithValue(ctx, oauth2.HTTPClient, client), code, options...)
	if err != nil {
		return Tokens{}, nil, c.exchangeError(err, answer.fault)
	}
	raw := map[string]any{}
	for _, name := range []string{"id_token", "scope", "user_id", "id", "email", "token_type"} {
		if v := token.Extra(name); v != nil {
			raw[name] = v
		}
	}
	if !visibleASCII(token.AccessToken) {
		return Tokens{}, nil, c.refuse(ReasonAnswerInvalid, "the token answer has no usable access_token")
	}
	if token.TokenType != "" && !strings.EqualFold(token.TokenType, "bearer") {
		return Tokens{}, nil, c.refuse(ReasonAnswerInvalid, "the token answer has a token_type other than bearer")
	}
	return Tokens{token.AccessToken, token.RefreshToken, token.Expiry}, raw, nil
}

// withHeaders is our client with what this provider wants to be told.
func (c *Client) withHeaders() *http.Client {
	client := *c.http
	client.Transport = headered{c.http.Transport, c.doc.TokenAccept}
	return &client
}

type headered struct {
	http.RoundTripper
	accept string
}

func (h headered) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Accept", "application/json")
	r.Header.Set("User-Agent", "Gatepost")
	if h.accept != "" {
		r.Header.Set("Accept", h.accept)
	}
	return h.RoundTripper.RoundTrip(r)
}

// exchangeError keeps of x/oauth2's error, which carries the whole answer, only
// status and standard code (security O-32, K-O3). The fault is why the answer
// cannot be read, if it cannot.
func (c *Client) exchangeError(err error, fault string) *Error {
	answer, ok := errors.AsType[*oauth2.RetrieveError](err)
	if !ok {
		if errors.Is(err, errTooLarge) {
			return c.refuse(ReasonAnswerInvalid, "the token answer cannot be read: %v", errTooLarge)
		}
		if _, network := errors.AsType[*url.Error](err); network || errors.Is(err, context.DeadlineExceeded) {
			return c.refuse(ReasonProviderUnavailable, "token request: %v", networkCause(err))
		}
		return c.refuse(ReasonAnswerInvalid, "the token answer cannot be read: %s", cmp.Or(fault, "access_token is missing"))
	}
	status := 0
	if answer.Response != nil {
		status = answer.Response.StatusCode
	}
	code := answer.ErrorCode
	switch {
	case code == "invalid_client" || code == "unauthorized_client" || code == "incorrect_client_credentials" || status == http.StatusUnauthorized && code == "":
		return c.refuse(ReasonClientRejected, "token request answered %d %s: check client_id and client_secret", status, standardError(code))
	case code == "invalid_grant" || code == "bad_verification_code":
		return c.refuse(ReasonCodeRejected, "token request answered %d %s", status, standardError(code))
	case status >= 500 || status == http.StatusTooManyRequests:
		return c.refuse(ReasonProviderUnavailable, "token request answered %d", status)
	case status >= 300 && status < 400:
		return c.refuse(ReasonAnswerInvalid, "token request was redirected; redirects are not followed")
	}
	return c.refuse(ReasonAnswerInvalid, "token request answered %d %s", status, standardError(code))
}

// networkCause says what failed without the URL and its query.
func networkCause(err error) string {
	if u, ok := errors.AsType[*url.Error](err); ok {
		if u.Timeout() {
			return "no answer in time"
		}
		return u.Err.Error()
	}
	return err.Error()
}

func visibleASCII(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' })
}

// collect gathers what the mapping reads: the claims of the ID token, the
// userinfo, the extra requests.
func (c *Client) collect(ctx context.Context, r AuthorizationRequest, m metadata, t Tokens, token map[string]any, docs Documents) *Error {
	profile := map[string]any{}
	if c.doc.Protocol == "oidc" {
		raw, _ := token["id_token"].(string)
		claims, refusal := c.verifyIDToken(ctx, raw, m.jwks, r.Nonce, t.AccessToken)
		if refusal != nil {
			return refusal
		}
		profile = claims
	}
	if m.userinfo != "" && c.doc.ClaimsFrom != "id_token" {
		info, refusal := c.userinfo(ctx, m.userinfo, t.AccessToken, nil)
		if refusal != nil {
			return refusal
		}
		if signed, ok := info.(signedAnswer); ok {
			if info, refusal = c.verifyUserinfo(ctx, string(signed), m.jwks); refusal != nil {
				return refusal
			}
		}
		object, ok := info.(map[string]any)
		if !ok {
			return c.refuse(ReasonAnswerInvalid, "userinfo is not an object")
		}
		if c.doc.Protocol == "oidc" {
			// Another person's userinfo must not decorate this one's token (O-20).
			sub, _ := object["sub"].(string)
			if sub == "" || sub != profile["sub"] {
				return c.refuse(ReasonUserinfoMismatch, "userinfo is of another subject")
			}
			profile = merge(profile, object)
		} else {
			profile = object
		}
	}
	docs[""] = profile
	for _, extra := range c.doc.ExtraRequests {
		if extra.NeedsScope != "" && !slices.Contains(c.doc.Scopes, extra.NeedsScope) {
			continue
		}
		doc, refusal := c.userinfo(ctx, extra.URL, t.AccessToken, extra.IgnoreStatus)
		if refusal != nil {
			return refusal
		}
		docs[extra.Name] = doc
	}
	return nil
}

// merge lets userinfo add to the claims. An address and the word on it come from
// one document or not at all: mixed, one source's flag would vouch for the
// other's address.
func merge(claims, info map[string]any) map[string]any {
	out := map[string]any{}
	for k, v := range info {
		out[k] = v
	}
	_, infoHasEmail := info["email"]
	for k, v := range claims {
		if infoHasEmail && (k == "email" || k == "email_verified") {
			continue
		}
		out[k] = v
	}
	if _, has := claims["email"]; has && !infoHasEmail {
		out["email_verified"] = claims["email_verified"]
	}
	return out
}

// signedAnswer is a document as a JWT, not yet verified. No JSON value looks like
// one, whatever its Content-Type says.
type signedAnswer string

func (c *Client) userinfo(ctx context.Context, from, accessToken string, ignore []int) (any, *Error) {
	u, err := url.Parse(from)
	if err != nil {
		return nil, c.refuse(ReasonMisconfigured, "userinfo is not a URL")
	}
	query := u.Query()
	if c.doc.Hook == "facebook_appsecret_proof" {
		h := hmac.New(sha256.New, []byte(c.secret))
		h.Write([]byte(accessToken))
		query.Set("appsecret_proof", hex.EncodeToString(h.Sum(nil)))
		u.RawQuery = query.Encode()
	}
	scheme, style, _ := strings.Cut(c.doc.UserinfoAuth, ":")
	if scheme == "query" {
		query.Set(style, accessToken)
		u.RawQuery = query.Encode()
	}
	method := c.doc.UserinfoMethod
	if method == "" {
		method = http.MethodGet
	}
	r, err := http.NewRequest(method, u.String(), strings.NewReader(c.doc.UserinfoBody))
	if err != nil {
		return nil, c.refuse(ReasonMisconfigured, "userinfo request")
	}
	r.Header.Set("Accept", "application/json")
	r.Header.Set("User-Agent", "Gatepost")
	switch scheme {
	case "", "bearer":
		r.Header.Set("Authorization", "Bearer "+accessToken)
	case "scheme":
		r.Header.Set("Authorization", strings.TrimSpace(style+" "+accessToken))
	}
	for name, value := range c.doc.Headers {
		if value == "client_id" {
			value = c.clientID
		}
		if param, ok := strings.CutPrefix(value, "$param."); ok {
			value = c.params[param]
		}
		r.Header.Set(name, value)
	}
	status, body, err := c.fetch(ctx, r, maxAnswer)
	switch {
	case err != nil:
		return nil, c.refuse(ReasonProviderUnavailable, "userinfo: %v", networkCause(err))
	case slices.Contains(ignore, status):
		return nil, nil
	case status >= 500 || status == http.StatusTooManyRequests:
		return nil, c.refuse(ReasonProviderUnavailable, "userinfo answered %d", status)
	case status < 200 || status > 299:
		return nil, c.refuse(ReasonAnswerInvalid, "userinfo answered %d", status)
	}
	if text := strings.TrimSpace(string(body)); c.doc.Protocol == "oidc" && compactJWS.MatchString(text) {
		return signedAnswer(text), nil
	}
	doc, err := decodeJSON(body)
	if err != nil {
		return nil, c.refuse(ReasonAnswerInvalid, "userinfo: %v", err)
	}
	return doc, nil
}

// mintSecret signs the client secret that Apple wants: a JWT of five minutes by
// the operator's key, so that nothing has to be renewed every six months.
//
// Source: https://developer.apple.com/documentation/accountorganizationaldatasharing/creating-a-client-secret
func (c *Client) mintSecret() (string, error) {
	block, _ := pem.Decode([]byte(strings.ReplaceAll(c.params["private_key"], `\n`, "\n")))
	if block == nil {
		return "", errors.New("private_key is not PEM; it is the content of the .p8 file")
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	key, ok := parsed.(*ecdsa.PrivateKey)
	if err != nil || !ok {
		return "", errors.New("private_key is not an EC key in PKCS#8")
	}
	audience, _ := c.doc.ClientSecretJWT["audience"].(string)
	if claims, ok := c.doc.ClientSecretJWT["claims"].(map[string]any); ok && audience == "" {
		audience, _ = claims["aud"].(string)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: key}, (&jose.SignerOptions{}).WithHeader("kid", c.params["key_id"]))
	if err != nil {
		return "", errors.New("private_key does not sign ES256")
	}
	now := c.now()
	payload, err := json.Marshal(map[string]any{"iss": c.params["team_id"], "sub": c.clientID, "aud": audience, "iat": now.Unix(), "exp": now.Add(5 * time.Minute).Unix()})
	if err != nil {
		return "", err
	}
	signed, err := signer.Sign(payload)
	if err != nil {
		return "", errors.New("private_key does not sign ES256")
	}
	return signed.CompactSerialize()
}
