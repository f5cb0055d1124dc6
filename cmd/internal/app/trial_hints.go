package app

import (
	"errors"
	"fmt"
	"regexp"

	"github.com/gatepost/gatepost/providers"
)

// hints are what providers say in words of their own, and what to do about it.
// {at} stands for the redirect URI, {console} for where the application is
// registered.
var hints = []struct {
	said *regexp.Regexp
	next string
}{
	{regexp.MustCompile(`(?i)redirect_uri_mismatch|AADSTS50011|redirect[ _-]?ur[il][^.]{0,40}(match|mismatch|invalid|not registered|not allowed|wrong)|(invalid|unregistered|mismatching) redirect`),
		"register exactly {at} {console}: scheme, host, port, path and slashes count"},
	{regexp.MustCompile(`AADSTS7000215`), "client_secret is the id of the secret, or of another one: it has to be its value, which is shown once, when it is made"},
	{regexp.MustCompile(`AADSTS7000222|(?i)secret[^.]{0,20}expired`), "the client secret has expired: make a new one {console}"},
	{regexp.MustCompile(`AADSTS(65001|90094|650056)|(?i)admin[a-z_ ]*(consent|approval)`), "an administrator of the person's organisation has to approve the application {console}"},
	{regexp.MustCompile(`AADSTS(50020|50194)`), "the person is of another tenant: set tenant, or allow accounts of any organisation for the application"},
	{regexp.MustCompile(`(?i)invalid_scope|AADSTS70011|AADSTS650053|insufficient[_ ]scope|missing scope`), "allow the scopes that are asked for {console}, or name those that it may have in scopes"},
	{regexp.MustCompile(`(?i)code_verifier|code_challenge|pkce`), "the provider does not do PKCE as expected: allow it for the application {console}, or set override: {pkce: unsupported}"},
}

// byReason is the next step for whatever no hint knows.
var byReason = map[providers.Reason]string{
	providers.ReasonProviderUnavailable: "try again in a while; if it stays so, compare the address above with the provider's documentation, and ask whether a firewall or proxy stands between",
	providers.ReasonProviderRefused:     "the person or the provider said no: consent again; while the application is in testing, the person has to be a test user; an organisation may have to approve it {console}",
	providers.ReasonClientRejected:      "client_id or client_secret is wrong, expired, or of another environment: compare them, without a line end, with what is shown {console}; if they are right, the provider wants them in another place: override: {token_auth: basic} or {token_auth: post}",
	providers.ReasonCodeRejected:        "a code is good once and for a minute or so: begin again and paste at once; if it stays so, the redirect URI {at} is not the one that is registered {console}",
	providers.ReasonStateMismatch:       "paste the answer to the address above, and to no other",
	providers.ReasonAnswerInvalid:       "the provider did not answer as the catalogue expects; the answer above says more. Is the type right, and are the scopes allowed {console}?",
	providers.ReasonIssuerMismatch:      "issuer has to be what the provider calls itself, to the letter and the slash at its end; the value is above",
	providers.ReasonIDTokenInvalid:      "the failed check above names the claim; aud is another client_id, an algorithm goes into override: {id_token_alg: […]}",
	providers.ReasonClockSkew:           "run NTP on this machine, and compare the provider's Date above",
	providers.ReasonNoSubject:           "the profile above has no id where map.id looks: is a scope missing, or does override: {map: {id: …}} name another field?",
	providers.ReasonAccountInactive:     "the account is locked, not confirmed or left at the provider: confirm it there, or try another person",
	providers.ReasonUserinfoMismatch:    "the provider's userinfo is of another person than its ID token: a proxy or cache may mix them up",
	providers.ReasonNotAllowed:          "the provider works; this person is kept out by allowed_domains, allowed_tenants or require of the configuration",
	providers.ReasonMisconfigured:       "correct the provider's keys in the configuration",
}

// explained adds the next step to what a provider was refused for. Said is what
// the provider's last answer says.
func explained(err error, doc providers.Provider, at, said string) error {
	refusal, ok := errors.AsType[*providers.Error](err)
	if !ok {
		return hinted(err)
	}
	next := byReason[refusal.Reason]
	for _, h := range hints {
		if h.said.MatchString(refusal.Detail + " " + said) {
			next = h.next
			break
		}
	}
	console := "with the provider"
	if doc.Console != "" {
		console = "at " + doc.Console
	}
	next = placeholders.ReplaceAllStringFunc(next, func(name string) string {
		return map[string]string{"{at}": at, "{console}": console}[name]
	})
	return fmt.Errorf("%w\nNext: %s", err, next)
}

var placeholders = regexp.MustCompile(`\{(at|console)\}`)
