package providers

import (
	"context"
	"crypto/hmac"
	"crypto/sha1"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// OAuth 1.0a (RFC 5849), for applications that were registered for it. Three
// signed requests; the secret of the first stays in the AuthorizationRequest.

func (c *Client) beginOAuth1(ctx context.Context, r AuthorizationRequest) (AuthorizationRequest, string, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	// There is no state in this protocol; ours travels in the callback.
	callback := r.RedirectURI + "?" + url.Values{"state": {r.State}}.Encode()
	answer, refusal := c.oauth1Form(ctx, c.doc.RequestToken, map[string]string{"oauth_callback": callback}, "")
	if refusal != nil {
		return AuthorizationRequest{}, "", refusal
	}
	if answer["oauth_callback_confirmed"] != "true" {
		return AuthorizationRequest{}, "", c.refuse(ReasonAnswerInvalid, "the callback is not confirmed: this is not OAuth 1.0a")
	}
	r.RequestToken, _ = answer["oauth_token"].(string)
	r.RequestSecret, _ = answer["oauth_token_secret"].(string)
	if r.RequestToken == "" || r.RequestSecret == "" {
		return AuthorizationRequest{}, "", c.refuse(ReasonAnswerInvalid, "no request token")
	}
	return r, c.doc.Authorization + "?" + url.Values{"oauth_token": {r.RequestToken}}.Encode(), nil
}

func (c *Client) completeOAuth1(ctx context.Context, r AuthorizationRequest, cb url.Values, docs Documents) (Identity, *Error) {
	for name, v := range cb {
		if len(v) != 1 || v[0] == "" {
			return Identity{}, c.refuse(ReasonAnswerInvalid, "%s is empty or sent twice", clip(name))
		}
	}
	token, verifier := cb.Get("oauth_token"), cb.Get("oauth_verifier")
	switch {
	case cb.Has("denied"):
		return Identity{}, c.refuse(ReasonProviderRefused, "the person said no")
	// Session fixation of OAuth 1.0: an answer to somebody else's request.
	case r.RequestToken == "" || subtle.ConstantTimeCompare([]byte(token), []byte(r.RequestToken)) != 1:
		return Identity{}, c.refuse(ReasonStateMismatch, "oauth_token is not that of the request")
	case verifier == "":
		return Identity{}, c.refuse(ReasonAnswerInvalid, "no oauth_verifier")
	}
	answer, refusal := c.oauth1Form(ctx, c.doc.Token, map[string]string{"oauth_token": token, "oauth_verifier": verifier}, r.RequestSecret)
	if refusal != nil {
		return Identity{}, refusal
	}
	access, _ := answer["oauth_token"].(string)
	secret, _ := answer["oauth_token_secret"].(string)
	if !visibleASCII(access) || !visibleASCII(secret) {
		return Identity{}, c.refuse(ReasonAnswerInvalid, "no access token")
	}
	docs["token"] = answer
	body, refusal := c.oauth1(asking(ctx, forUserinfo), http.MethodGet, c.doc.Userinfo, map[string]string{"oauth_token": access}, secret)
	if refusal != nil {
		return Identity{}, refusal
	}
	profile, err := decodeJSON(body)
	if err != nil {
		return Identity{}, c.refuse(ReasonAnswerInvalid, "userinfo: %v", err)
	}
	docs[""] = profile
	return c.identify(Tokens{AccessToken: access, RefreshToken: secret}, docs)
}

func (c *Client) oauth1Form(ctx context.Context, at string, fields map[string]string, secret string) (map[string]any, *Error) {
	purpose := forToken
	if at == c.doc.RequestToken {
		purpose = forRequestToken
	}
	body, refusal := c.oauth1(asking(ctx, purpose), http.MethodPost, at, fields, secret)
	if refusal != nil {
		return nil, refusal
	}
	answer, err := formDocument(string(body))
	if err != nil {
		return nil, c.refuse(ReasonAnswerInvalid, "the token answer: %v", err)
	}
	return answer, nil
}

// oauth1 makes one signed request.
func (c *Client) oauth1(ctx context.Context, method, at string, fields map[string]string, secret string) ([]byte, *Error) {
	r, err := http.NewRequest(method, at, nil)
	if err != nil {
		return nil, c.refuse(ReasonMisconfigured, "not a URL")
	}
	oauth := map[string]string{"oauth_consumer_key": c.clientID, "oauth_nonce": randomText(), "oauth_signature_method": "HMAC-SHA1",
		"oauth_timestamp": strconv.FormatInt(c.now().Unix(), 10), "oauth_version": "1.0"}
	for name, v := range fields {
		oauth[name] = v
	}
	oauth["oauth_signature"] = signOAuth1(method, r.URL, oauth, c.secret, secret)
	var header []string
	for name, v := range oauth {
		header = append(header, fmt.Sprintf(`%s="%s"`, escape3986(name), escape3986(v)))
	}
	slices.Sort(header)
	r.Header.Set("Authorization", "OAuth "+strings.Join(header, ", "))
	r.Header.Set("User-Agent", c.doc.userAgent())
	status, body, err := c.fetch(ctx, r, maxAnswer)
	switch {
	case err != nil:
		return nil, c.refuse(ReasonProviderUnavailable, "token request: %v", networkCause(err))
	case status == http.StatusUnauthorized:
		return nil, c.refuse(ReasonClientRejected, "%s answered 401: check client_id, client_secret and the clock", r.URL.Path)
	case status >= 500 || status == http.StatusTooManyRequests:
		return nil, c.refuse(ReasonProviderUnavailable, "%s answered %d", r.URL.Path, status)
	case status != http.StatusOK:
		return nil, c.refuse(ReasonAnswerInvalid, "%s answered %d", r.URL.Path, status)
	}
	return body, nil
}

// signOAuth1 is RFC 5849 §3.4.2 over a request without a body.
func signOAuth1(method string, u *url.URL, oauth map[string]string, clientSecret, tokenSecret string) string {
	var pairs []string
	for name, v := range oauth {
		pairs = append(pairs, escape3986(name)+"="+escape3986(v))
	}
	for name, values := range u.Query() {
		for _, v := range values {
			pairs = append(pairs, escape3986(name)+"="+escape3986(v))
		}
	}
	slices.Sort(pairs)
	base := *u
	base.RawQuery, base.Fragment = "", ""
	h := hmac.New(sha1.New, []byte(escape3986(clientSecret)+"&"+escape3986(tokenSecret)))
	h.Write([]byte(method + "&" + escape3986(base.String()) + "&" + escape3986(strings.Join(pairs, "&"))))
	return base64.StdEncoding.EncodeToString(h.Sum(nil))
}

// escape3986 is RFC 5849 §3.6.
func escape3986(s string) string {
	return strings.ReplaceAll(url.QueryEscape(s), "+", "%20")
}
