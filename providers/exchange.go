package providers

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"golang.org/x/oauth2"
)

// exchange trades the code for tokens (RFC 6749 §4.1.3), once. The whole answer
// becomes the document $token.
func (c *Client) exchange(ctx context.Context, r AuthorizationRequest, code string, m metadata, docs Documents) (Tokens, *Error) {
	config, d, err := c.tokenEndpoint(m, m.token, c.form(c.doc.TokenParams, docs, ""))
	if err != nil {
		return Tokens{}, c.refuse(ReasonMisconfigured, "%v", err)
	}
	config.RedirectURL = r.RedirectURI
	var options []oauth2.AuthCodeOption
	if r.CodeVerifier != "" {
		options = append(options, oauth2.VerifierOption(r.CodeVerifier))
	}
	token, err := config.Exchange(c.through(ctx, d), code, options...)
	tokens, refusal := c.granted(token, err, d, docs)
	if refusal == nil && c.watch != nil {
		c.watch.check(forToken, "scope", c.grantedScopes(token), nil)
	}
	return tokens, refusal
}

// grantedScopes compares in words what was asked for with what the answer names.
// Some providers have other names for scopes there, so that nothing follows from
// it but a hint.
func (c *Client) grantedScopes(token *oauth2.Token) string {
	granted, ok := token.Extra("scope").(string)
	if !ok || granted == "" {
		return "the answer does not say which were granted"
	}
	names := strings.FieldsFunc(granted, func(r rune) bool { return r == ' ' || r == ',' })
	missing := slices.DeleteFunc(slices.Clone(c.doc.Scopes), func(s string) bool { return slices.Contains(names, s) })
	if len(missing) == 0 {
		return "all that were asked for"
	}
	return "the answer does not name " + strings.Join(missing, ", ")
}

// Refresh gets new tokens for a refresh token (RFC 6749 §6), which may be spent
// then: a provider that rotates them ends all of a grant when one is used again.
// If no new refresh token comes, the one given stays good. All errors are *Error;
// ReasonCodeRejected means that the person has to sign in again.
func (c *Client) Refresh(ctx context.Context, refreshToken string) (Tokens, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	m, err := c.discover(ctx)
	if err != nil {
		return Tokens{}, c.refuse(ReasonProviderUnavailable, "%v", err)
	}
	if refreshToken == "" || c.doc.Protocol == "oauth1" || c.doc.Protocol == "openid2" {
		return Tokens{}, c.refuse(ReasonMisconfigured, "there is nothing to refresh")
	}
	at := c.doc.Offline.URL
	if at == "" {
		at = m.token
	}
	config, d, err := c.tokenEndpoint(m, at, c.form(c.doc.Offline.Params, Documents{}, ""))
	if err != nil {
		return Tokens{}, c.refuse(ReasonMisconfigured, "%v", err)
	}
	token, err := config.TokenSource(c.through(ctx, d), &oauth2.Token{RefreshToken: refreshToken}).Token()
	tokens, refusal := c.granted(token, err, d, Documents{})
	if refusal != nil {
		return Tokens{}, refusal
	}
	return tokens, nil
}

// tokenEndpoint is the endpoint at with our way of proving who asks, which is
// always said: x/oauth2's guess would send a single-use code twice (security
// K-O1).
func (c *Client) tokenEndpoint(m metadata, at string, fields url.Values) (oauth2.Config, *dialect, error) {
	config := oauth2.Config{ClientID: c.clientID, ClientSecret: c.secret, Endpoint: oauth2.Endpoint{TokenURL: at, AuthStyle: oauth2.AuthStyleInParams}}
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
	case "post_jwt", "private_key_jwt":
		signed, err := c.signedSecret(at)
		if err != nil {
			return config, nil, err
		}
		config.ClientSecret = signed
		if c.doc.TokenAuth == "private_key_jwt" {
			config.ClientSecret = ""
			fields.Set("client_assertion_type", assertionType)
			fields.Set("client_assertion", signed)
		}
	case "assertion":
		config.ClientID, config.ClientSecret = "", ""
		fields.Set("client_assertion_type", assertionType)
		fields.Set("client_assertion", c.secret)
	}
	return config, &dialect{RoundTripper: c.http.Transport, doc: c.doc, fields: fields}, nil
}

// granted takes the tokens out of an answer that is one.
func (c *Client) granted(token *oauth2.Token, err error, d *dialect, docs Documents) (Tokens, *Error) {
	raw, decodeErr := d.answer()
	field := c.doc.TokenAnswer.ErrorField
	if _, failed := raw[field]; failed && field != "" {
		return Tokens{}, c.refuse(ReasonAnswerInvalid, "the token answer has %s", field)
	}
	if err != nil {
		return Tokens{}, c.exchangeError(err, d.fault)
	}
	if decodeErr != nil {
		return Tokens{}, c.refuse(ReasonAnswerInvalid, "the token answer cannot be read: %s", cmp.Or(d.fault, decodeErr.Error()))
	}
	if !visibleASCII(token.AccessToken) {
		return Tokens{}, c.refuse(ReasonAnswerInvalid, "the token answer has no usable access_token")
	}
	types := c.doc.TokenAnswer.Types
	if len(types) == 0 {
		types = []string{"bearer"}
	}
	kind, _ := raw["token_type"].(string)
	if !slices.ContainsFunc(types, func(t string) bool { return strings.EqualFold(t, kind) }) {
		return Tokens{}, c.refuse(ReasonAnswerInvalid, "the token answer has token_type %q, expected %q; if that is right, say so in token_answer: types", clip(kind), types)
	}
	docs["token"] = raw
	return Tokens{token.AccessToken, token.RefreshToken, token.Expiry}, nil
}

func clip(s string) string {
	if len(s) > 20 {
		return s[:20]
	}
	return s
}

func (c *Client) through(ctx context.Context, d *dialect) context.Context {
	client := *c.http
	client.Transport = d
	ctx = asking(ctx, forToken)
	return context.WithValue(ctx, oauth2.HTTPClient, &client)
}

// dialect turns the one request that x/oauth2 makes into the provider's way of
// asking, and keeps the answer. It is for one request.
type dialect struct {
	http.RoundTripper
	doc    Provider
	fields url.Values // set over those of the standard; an empty one is removed
	body   []byte
	fault  string // why x/oauth2 cannot read the answer, in our words
}

func (d *dialect) RoundTrip(r *http.Request) (*http.Response, error) {
	out, err := d.respell(r)
	if err != nil {
		return nil, err
	}
	resp, err := d.RoundTripper.RoundTrip(out)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if d.body, err = io.ReadAll(resp.Body); err != nil {
		return nil, err
	}
	// What it says it is decides nothing: JSON is read as JSON, and a form only
	// where a document expects one (security O-26).
	kind, plain := "application/json", d.body
	if d.doc.TokenAnswer.Format == "form" {
		kind = "application/x-www-form-urlencoded"
	} else {
		plain, d.fault = wholeLifetime(d.body)
	}
	resp.Header.Set("Content-Type", kind)
	resp.Body, resp.ContentLength = io.NopCloser(bytes.NewReader(plain)), int64(len(plain))
	return resp, nil
}

// respell is r with the fields, the method and the headers of this provider.
func (d *dialect) respell(r *http.Request) (*http.Request, error) {
	raw, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	form, err := url.ParseQuery(string(raw))
	if err != nil {
		return nil, err
	}
	d.speak(form)
	u, method, body, kind := *r.URL, http.MethodPost, form.Encode(), r.Header.Get("Content-Type")
	if d.doc.TokenMethod == http.MethodGet {
		query := u.Query()
		maps.Copy(query, form)
		u.RawQuery, method, body, kind = query.Encode(), http.MethodGet, "", ""
	}
	out, err := http.NewRequestWithContext(r.Context(), method, u.String(), strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	accept := d.doc.TokenAccept
	if accept == "" {
		accept = "application/json"
	}
	for name, v := range map[string]string{"Authorization": r.Header.Get("Authorization"), "Content-Type": kind, "Accept": accept, "User-Agent": d.doc.userAgent()} {
		if v != "" {
			out.Header.Set(name, v)
		}
	}
	return out, nil
}

// speak renames fields and sets those of the document.
func (d *dialect) speak(form url.Values) {
	for from, to := range map[string]string{"client_id": d.doc.ClientIDParam, "client_secret": d.doc.ClientSecretParam} {
		if v, sent := form[from]; sent && to != "" {
			form.Del(from)
			form[to] = v
		}
	}
	for name, v := range d.fields {
		if form[name] = v; v[0] == "" {
			form.Del(name)
		}
	}
}

// answer is what came back, as a document.
func (d *dialect) answer() (map[string]any, error) {
	if d.doc.TokenAnswer.Format == "form" {
		return formDocument(string(d.body))
	}
	v, err := decodeJSON(d.body)
	object, ok := v.(map[string]any)
	if err != nil || !ok {
		return nil, errors.New("not one JSON object")
	}
	return object, nil
}

// formDocument reads a form in which each name comes once.
func formDocument(raw string) (map[string]any, error) {
	form, err := url.ParseQuery(raw)
	out := map[string]any{}
	for name, values := range form {
		if len(values) != 1 {
			return nil, errors.New("a name comes twice")
		}
		out[name] = values[0]
	}
	return out, err
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
	case slices.Contains(spentGrant, code):
		return c.refuse(ReasonCodeRejected, "token request answered %d %s", status, standardError(code))
	case status >= 500 || status == http.StatusTooManyRequests:
		return c.refuse(ReasonProviderUnavailable, "token request answered %d", status)
	case status >= 300 && status < 400:
		return c.refuse(ReasonAnswerInvalid, "token request was redirected; redirects are not followed")
	}
	return c.refuse(ReasonAnswerInvalid, "token request answered %d %s", status, standardError(code))
}

// spentGrant are the codes that say that a code or a refresh token is no good any
// more: the standard's, and those of GitHub and Slack.
var spentGrant = []string{"invalid_grant", "bad_verification_code", "bad_refresh_token", "invalid_refresh_token"}

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
