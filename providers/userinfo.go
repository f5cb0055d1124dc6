package providers

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// collect gathers what the mapping reads: signed claims, the token answer's own
// profile, the userinfo, the extra requests.
func (c *Client) collect(ctx context.Context, r AuthorizationRequest, m metadata, t Tokens, docs Documents) *Error {
	profile := map[string]any{}
	if c.verifiesTokens() {
		token, _ := docs["token"].(map[string]any)
		signed, _ := token["id_token"].(string)
		if c.doc.ClaimsFrom == "access_token" {
			signed = t.AccessToken
		}
		claims, refusal := c.verifyIDToken(ctx, signed, m.jwks, r, t.AccessToken)
		if refusal != nil {
			return refusal
		}
		profile = claims
	}
	switch {
	case c.doc.ProfileFrom != "":
		object, ok := look(docs, c.doc.ProfileFrom).(map[string]any)
		if !ok {
			return c.refuse(ReasonAnswerInvalid, "the token answer has no profile")
		}
		profile = object
	case m.userinfo != "" && c.doc.ClaimsFrom != "id_token" && c.doc.ClaimsFrom != "access_token":
		info, refusal := c.profile(ctx, m, t.AccessToken, docs)
		if refusal != nil {
			return refusal
		}
		if profile, refusal = c.combine(profile, info); refusal != nil {
			return refusal
		}
	}
	docs[""] = profile
	return c.extras(ctx, t.AccessToken, docs)
}

// profile asks the userinfo endpoint, which may say in a 200 that it failed.
func (c *Client) profile(ctx context.Context, m metadata, accessToken string, docs Documents) (map[string]any, *Error) {
	r, refusal := c.userinfoRequest(m.userinfo, accessToken, docs)
	if refusal != nil {
		return nil, refusal
	}
	body, refusal := c.ask(asking(ctx, forUserinfo), r, nil)
	if refusal != nil {
		return nil, refusal
	}
	// No JSON value looks like a signed token, whatever its Content-Type says.
	if text := strings.TrimSpace(string(body)); c.doc.Protocol == "oidc" && compactJWS.MatchString(text) {
		return c.verifyUserinfo(ctx, text, m.jwks)
	}
	info, err := decodeJSON(body)
	object, ok := info.(map[string]any)
	if err != nil || !ok {
		return nil, c.refuse(ReasonAnswerInvalid, "userinfo is not one JSON object with each name once")
	}
	if c.doc.Success != nil && !c.doc.Success.holds(Documents{"": object}) {
		return nil, c.refuse(ReasonAnswerInvalid, "userinfo says that it failed")
	}
	return object, nil
}

// combine puts claims and userinfo together as the document says.
func (c *Client) combine(claims, info map[string]any) (map[string]any, *Error) {
	if c.doc.Protocol != "oidc" {
		return info, nil
	}
	// Another person's userinfo must not decorate this one's token (O-20).
	sub, _ := info["sub"].(string)
	var refusal *Error
	if sub == "" || sub != claims["sub"] {
		refusal = c.refuse(ReasonUserinfoMismatch, "userinfo is of another subject")
	}
	c.watch.check(forUserinfo, "sub", sub, refusal)
	if refusal != nil {
		return nil, refusal
	}
	if c.doc.ClaimsFrom == "userinfo" {
		return info, nil
	}
	return merge(claims, info), nil
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

// extras makes the further requests whose scope was asked for.
func (c *Client) extras(ctx context.Context, accessToken string, docs Documents) *Error {
	for _, extra := range c.doc.ExtraRequests {
		if extra.NeedsScope != "" && !slices.Contains(c.doc.Scopes, extra.NeedsScope) {
			continue
		}
		r, refusal := c.apiRequest(http.MethodGet, extra.URL, nil, accessToken)
		if refusal != nil {
			return refusal
		}
		body, refusal := c.ask(asking(ctx, extra.Name), r, extra.IgnoreStatus)
		if refusal != nil {
			return refusal
		}
		var err error
		switch {
		case body == nil:
			docs[extra.Name] = nil
		case extra.Picture:
			docs[extra.Name], _ = dataURL(body)
		default:
			docs[extra.Name], err = decodeJSON(body)
		}
		if err != nil {
			return c.refuse(ReasonAnswerInvalid, "%s: %v", extra.Name, err)
		}
	}
	return nil
}

func (c *Client) userinfoRequest(from, accessToken string, docs Documents) (*http.Request, *Error) {
	from, err := fillHoles(from, docs)
	if err != nil {
		return nil, c.refuse(ReasonAnswerInvalid, "userinfo: %v", err)
	}
	var body io.Reader
	kind := ""
	switch {
	case c.doc.UserinfoJSON != nil:
		raw, err := json.Marshal(c.doc.UserinfoJSON)
		if err != nil {
			return nil, c.refuse(ReasonMisconfigured, "userinfo_json")
		}
		body, kind = strings.NewReader(string(raw)), "application/json"
	case c.doc.UserinfoForm != nil:
		body, kind = strings.NewReader(c.form(c.doc.UserinfoForm, docs, accessToken).Encode()), "application/x-www-form-urlencoded"
	}
	method := c.doc.UserinfoMethod
	if method == "" {
		method = http.MethodGet
	}
	r, refusal := c.apiRequest(method, from, body, accessToken)
	if refusal == nil && kind != "" {
		r.Header.Set("Content-Type", kind)
	}
	return r, refusal
}

// apiRequest is a request of the person's token, carried as the provider wants
// it. In the URL only where a document says so: URLs end up in logs (RFC 6750
// §2.3).
func (c *Client) apiRequest(method, to string, body io.Reader, accessToken string) (*http.Request, *Error) {
	u, err := url.Parse(to)
	if err != nil {
		return nil, c.refuse(ReasonMisconfigured, "userinfo is not a URL")
	}
	scheme, style, _ := strings.Cut(c.doc.UserinfoAuth, ":")
	query := u.Query()
	if scheme == "query" {
		query.Set(style, accessToken)
	}
	if c.doc.Hook == "facebook_appsecret_proof" {
		query.Set("appsecret_proof", appsecretProof(c.secret, accessToken))
	}
	if len(query) != len(u.Query()) {
		u.RawQuery = query.Encode()
	}
	r, err := http.NewRequest(method, u.String(), body)
	if err != nil {
		return nil, c.refuse(ReasonMisconfigured, "userinfo request")
	}
	r.Header.Set("Accept", "application/json")
	switch scheme {
	case "", "bearer":
		r.Header.Set("Authorization", "Bearer "+accessToken)
	case "scheme":
		r.Header.Set("Authorization", strings.TrimSpace(style+" "+accessToken))
	}
	for name, value := range c.doc.Headers {
		r.Header.Set(name, value)
	}
	r.Header.Set("User-Agent", c.doc.userAgent())
	return r, nil
}

// userAgent is how we name ourselves.
func (p Provider) userAgent() string {
	if agent := p.Headers["User-Agent"]; agent != "" {
		return agent
	}
	return "Gatepost"
}

// ask makes the request and gives the body, or nil for a status to ignore.
func (c *Client) ask(ctx context.Context, r *http.Request, ignore []int) ([]byte, *Error) {
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
	return body, nil
}
