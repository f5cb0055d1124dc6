package providers

import (
	"context"
	"crypto/subtle"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"golang.org/x/net/idna"
)

// Complete turns the provider's answer cb into an identity. It checks that the
// answer is to r before it asks anybody anything, and makes exactly one token
// request (security O-6…O-9, O-25). All errors are *Error.
func (c *Client) Complete(ctx context.Context, r AuthorizationRequest, cb url.Values) (Identity, error) {
	c.watch.callback(cb)
	identity, refusal := c.complete(ctx, r, cb)
	if refusal != nil {
		return Identity{}, c.watch.masked(refusal)
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
	refusal := c.checkRequest(r, cb)
	c.watch.check(inCallback, "state", "", refusal)
	if refusal != nil {
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
	refusal = c.checkAnswer(cb, m.returnsIss)
	c.watch.check(inCallback, "iss, code", "", refusal)
	if refusal != nil {
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

// inCallback is of what a check is that looks at the answer itself.
const inCallback = "answer"

// identify decides whom docs describe and whether they may come in.
func (c *Client) identify(tokens Tokens, docs Documents) (Identity, *Error) {
	profile, err := MapProfile(c.doc, docs)
	c.watch.profile(c.doc, docs, profile)
	if c.doc.Active != nil && !c.doc.Active.holds(docs) {
		return Identity{}, c.refuse(ReasonAccountInactive, "the provider says that the account is not active")
	}
	for _, condition := range c.doc.Require {
		if !condition.holds(docs) {
			return Identity{}, c.refuse(ReasonNotAllowed, "%s is not as the configuration requires", condition.Path)
		}
	}
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
	return p.MayLink && at >= 0 && slices.ContainsFunc(domains, func(d string) bool { return d != "" && inASCII(d) == inASCII(p.Email[at+1:]) })
}

// inASCII writes a domain in lower case and A-labels. What IDNA would map to it,
// such as full-width letters, stays as it is: mail to that goes elsewhere.
func inASCII(domain string) string {
	domain = strings.ToLower(domain)
	if ascii, err := idna.Registration.ToASCII(domain); err == nil {
		return ascii
	}
	return domain
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
