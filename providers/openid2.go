package providers

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// OpenID Authentication 2.0 without associations: the provider is asked about
// each answer. The issuer of such a document is what its identifiers start with.

const (
	openID2           = "http://specs.openid.net/auth/2.0"
	identifierSelect  = openID2 + "/identifier_select"
	maxIdentifierLife = 10 * time.Minute
)

// beginOpenID2 makes the request (§9.1). There is no state in this protocol;
// ours travels in return_to, which the provider signs.
func (c *Client) beginOpenID2(r AuthorizationRequest) string {
	return c.doc.Authorization + "?" + url.Values{
		"openid.ns": {openID2}, "openid.mode": {"checkid_setup"}, "openid.identity": {identifierSelect}, "openid.claimed_id": {identifierSelect},
		"openid.realm": {origin(r.RedirectURI)}, "openid.return_to": {returnTo(r)},
	}.Encode()
}

func returnTo(r AuthorizationRequest) string {
	return r.RedirectURI + "?" + url.Values{"state": {r.State}}.Encode()
}

func (c *Client) completeOpenID2(ctx context.Context, r AuthorizationRequest, cb url.Values, docs Documents) (Identity, *Error) {
	if refusal := c.checkAssertion(r, cb); refusal != nil {
		return Identity{}, refusal
	}
	if refusal := c.confirm(ctx, cb); refusal != nil {
		return Identity{}, refusal
	}
	docs[""] = map[string]any{}
	if c.doc.Userinfo != "" {
		profile, refusal := c.profile(ctx, metadata{userinfo: c.doc.Userinfo}, "", docs)
		if refusal != nil {
			return Identity{}, refusal
		}
		docs[""] = profile
	}
	return c.identify(Tokens{}, docs)
}

// checkAssertion is §11.1 to §11.3, on an answer that anybody could have made up.
func (c *Client) checkAssertion(r AuthorizationRequest, cb url.Values) *Error {
	for name, v := range cb {
		if len(v) != 1 || v[0] == "" {
			return c.refuse(ReasonAnswerInvalid, "%s is empty or sent twice", clip(name))
		}
	}
	get := func(name string) string { return cb.Get("openid." + name) }
	if get("mode") == "cancel" {
		return c.refuse(ReasonProviderRefused, "the person said no")
	}
	id, ours := strings.CutPrefix(get("claimed_id"), c.doc.Issuer)
	signed := strings.Split(get("signed"), ",")
	unsigned := slices.ContainsFunc([]string{"op_endpoint", "claimed_id", "identity", "return_to", "response_nonce", "assoc_handle"},
		func(name string) bool { return !slices.Contains(signed, name) || get(name) == "" })
	at, _, _ := strings.Cut(get("response_nonce"), "Z")
	made, err := time.Parse("2006-01-02T15:04:05", at)
	switch {
	case get("ns") != openID2 || get("mode") != "id_res":
		return c.refuse(ReasonAnswerInvalid, "not a positive assertion of OpenID 2.0")
	case get("op_endpoint") != c.doc.Authorization:
		return c.refuse(ReasonIssuerMismatch, "the assertion is of another provider")
	case get("return_to") != returnTo(r):
		return c.refuse(ReasonStateMismatch, "return_to is not that of the request")
	case c.doc.Issuer == "" || !ours || get("identity") != get("claimed_id") || id == "" || len(id) > 20 || strings.Trim(id, "0123456789") != "":
		return c.refuse(ReasonIssuerMismatch, "claimed_id is not this provider's")
	// What is not signed, anybody on the way may have written.
	case unsigned:
		return c.refuse(ReasonAnswerInvalid, "the assertion leaves something unsigned")
	case err != nil || c.now().Sub(made).Abs() > maxIdentifierLife:
		return c.refuse(ReasonClockSkew, "response_nonce is not of now")
	}
	return nil
}

// confirm asks the provider whether it made this assertion; it says yes once
// (§11.4.2).
func (c *Client) confirm(ctx context.Context, cb url.Values) *Error {
	form := url.Values{}
	for name := range cb {
		if strings.HasPrefix(name, "openid.") {
			form.Set(name, cb.Get(name))
		}
	}
	form.Set("openid.mode", "check_authentication")
	r, err := http.NewRequest(http.MethodPost, c.doc.Authorization, strings.NewReader(form.Encode()))
	if err != nil {
		return c.refuse(ReasonMisconfigured, "authorization is not a URL")
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("User-Agent", c.doc.userAgent())
	body, refusal := c.ask(asking(ctx, forConfirmation), r, nil)
	if refusal != nil {
		return refusal
	}
	if !slices.Contains(strings.Split(string(body), "\n"), "is_valid:true") {
		return c.refuse(ReasonCodeRejected, "the provider does not confirm the assertion")
	}
	return nil
}
