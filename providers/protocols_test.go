package providers

import (
	"net/url"
	"testing"
	"time"
)

// RFC 5849 §3.4.2 on the example that X (Twitter) publishes.
//
// Source: https://docs.x.com/fundamentals/authentication/oauth-1-0a/creating-a-signature
func TestOAuth1Signature(t *testing.T) {
	u, err := url.Parse("https://api.twitter.com/1.1/statuses/update.json?include_entities=true&status=Hello%20Ladies%20%2B%20Gentlemen%2C%20a%20signed%20OAuth%20request%21")
	if err != nil {
		t.Fatal(err)
	}
	got := signOAuth1("POST", u, map[string]string{"oauth_consumer_key": "xvz1evFS4wEEPTGEFPHBog", "oauth_nonce": "kYjzVBB8Y0ZFabxSWbWovY3uYSQ2pTgmZeNu2VS4cg",
		"oauth_signature_method": "HMAC-SHA1", "oauth_timestamp": "1318622958", "oauth_token": "370773112-GmHxMAgYyLbNEtIKZeRNFsMKPR9EyMZeS9weJAEb", "oauth_version": "1.0"},
		"kAcSOqF21Fu85e7zjz7ZN2U4ZRhfV3WpwPAoE3Z7kBw", "LswwdoUaIvS8ltyTt5jkRh4J50vUPVVHtR2YPi5kE")
	if got != "hCtSmYh+iHYCEqBWrE7C7hYmtUk=" {
		t.Error(got)
	}
}

// An answer to somebody else's request, and one that nobody was asked for.
func TestOAuth1Answers(t *testing.T) {
	c, err := New(Config{ID: "twitter-oauth1", ClientID: "c", ClientSecret: "s"}, HTTPOptions{})
	if err != nil {
		t.Fatal(err)
	}
	right := func() (AuthorizationRequest, url.Values) {
		return AuthorizationRequest{Provider: "twitter-oauth1", ClientID: "c", State: "st", RequestToken: "rt", RequestSecret: "rs"},
			url.Values{"state": {"st"}, "oauth_token": {"rt"}, "oauth_verifier": {"v"}}
	}
	for _, tt := range []struct {
		name   string
		change func(*AuthorizationRequest, url.Values)
		want   Reason
	}{
		{"another state", func(_ *AuthorizationRequest, cb url.Values) { cb.Set("state", "x") }, ReasonStateMismatch},
		{"another token", func(_ *AuthorizationRequest, cb url.Values) { cb.Set("oauth_token", "x") }, ReasonStateMismatch},
		{"absent on both sides", func(r *AuthorizationRequest, cb url.Values) { r.RequestToken = ""; cb.Del("oauth_token") }, ReasonStateMismatch},
		{"token twice", func(_ *AuthorizationRequest, cb url.Values) { cb.Add("oauth_token", "x") }, ReasonAnswerInvalid},
		{"no verifier", func(_ *AuthorizationRequest, cb url.Values) { cb.Del("oauth_verifier") }, ReasonAnswerInvalid},
		{"declined", func(_ *AuthorizationRequest, cb url.Values) { cb.Set("denied", "rt") }, ReasonProviderRefused},
	} {
		r, cb := right()
		tt.change(&r, cb)
		if _, err := c.Complete(t.Context(), r, cb); reasonOf(err) != tt.want {
			t.Errorf("%s: %v, want %s", tt.name, err, tt.want)
		}
	}
}

// What anybody could send as a positive assertion of OpenID 2.0.
func TestOpenID2Assertions(t *testing.T) {
	now := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	c, err := New(Config{ID: "steam", Params: map[string]string{"api_key": "k"}}, HTTPOptions{Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	r := AuthorizationRequest{Provider: "steam", Issuer: c.doc.Issuer, RedirectURI: "https://a.example/callback/steam", State: "st"}
	const id = "https://steamcommunity.com/openid/id/76561198012345678"
	right := func() url.Values {
		return url.Values{"state": {"st"}, "openid.ns": {openID2}, "openid.mode": {"id_res"}, "openid.op_endpoint": {"https://steamcommunity.com/openid/login"},
			"openid.claimed_id": {id}, "openid.identity": {id}, "openid.return_to": {"https://a.example/callback/steam?state=st"}, "openid.assoc_handle": {"1"},
			"openid.response_nonce": {"2026-11-24T11:59:00Zabc"}, "openid.signed": {"signed,op_endpoint,claimed_id,identity,return_to,response_nonce,assoc_handle"}, "openid.sig": {"x"}}
	}
	if refusal := c.checkAssertion(r, right()); refusal != nil {
		t.Fatal(refusal)
	}
	both := func(v string) func(url.Values) {
		return func(cb url.Values) { cb.Set("openid.claimed_id", v); cb.Set("openid.identity", v) }
	}
	for _, tt := range []struct {
		name   string
		change func(url.Values)
		want   Reason
	}{
		{"another provider", func(cb url.Values) { cb.Set("openid.op_endpoint", "https://evil.example/") }, ReasonIssuerMismatch},
		{"another provider's id", both("https://evil.example/openid/id/76561198012345678"), ReasonIssuerMismatch},
		{"in clear text", both("http://steamcommunity.com/openid/id/76561198012345678"), ReasonIssuerMismatch},
		{"no digits", both("https://steamcommunity.com/openid/id/gabe"), ReasonIssuerMismatch},
		{"a path behind the id", both(id + "/x"), ReasonIssuerMismatch},
		{"no id", both("https://steamcommunity.com/openid/id/"), ReasonIssuerMismatch},
		{"two ids", func(cb url.Values) { cb.Set("openid.identity", id+"0") }, ReasonIssuerMismatch},
		{"return_to of another sign-in", func(cb url.Values) { cb.Set("openid.return_to", "https://a.example/callback/steam?state=x") }, ReasonStateMismatch},
		{"return_to of another site", func(cb url.Values) { cb.Set("openid.return_to", "https://b.example/callback/steam?state=st") }, ReasonStateMismatch},
		{"claimed_id not signed", func(cb url.Values) {
			cb.Set("openid.signed", "signed,op_endpoint,identity,return_to,response_nonce,assoc_handle")
		}, ReasonAnswerInvalid},
		{"nothing signed", func(cb url.Values) { cb.Del("openid.signed") }, ReasonAnswerInvalid},
		{"id twice", func(cb url.Values) { cb.Add("openid.claimed_id", id) }, ReasonAnswerInvalid},
		{"another mode", func(cb url.Values) { cb.Set("openid.mode", "setup_needed") }, ReasonAnswerInvalid},
		{"declined", func(cb url.Values) { cb.Set("openid.mode", "cancel") }, ReasonProviderRefused},
		{"old", func(cb url.Values) { cb.Set("openid.response_nonce", "2026-11-24T10:59:00Zabc") }, ReasonClockSkew},
		{"no nonce", func(cb url.Values) { cb.Del("openid.response_nonce") }, ReasonAnswerInvalid},
	} {
		cb := right()
		tt.change(cb)
		if refusal := c.checkAssertion(r, cb); refusal == nil || refusal.Reason != tt.want {
			t.Errorf("%s: %v, want %s", tt.name, refusal, tt.want)
		}
	}
	cb := right()
	cb.Set("state", "x")
	if _, err := c.Complete(t.Context(), r, cb); reasonOf(err) != ReasonStateMismatch {
		t.Errorf("another state: %v", err)
	}
}
