package providers

import (
	"fmt"
	"slices"
	"strings"
)

// ProtocolName is the protocol in words.
func (p Provider) ProtocolName() string {
	return map[string]string{"oidc": "OpenID Connect", "oauth2": "OAuth 2.0", "oauth1": "OAuth 1.0a", "openid2": "OpenID 2.0"}[p.Protocol]
}

// Needs lists the parameters beside client id and secret, optional ones in
// brackets.
func (p Provider) Needs() []string {
	var needs []string
	for _, param := range p.Params {
		if param.Required {
			needs = append(needs, param.Name)
		} else {
			needs = append(needs, "["+param.Name+"]")
		}
	}
	return needs
}

// RegisterAt is where an operator registers an application, as far as the
// defaults of the parameters say.
func (p Provider) RegisterAt() string {
	params := map[string]string{}
	for _, param := range p.Params {
		params[param.Name] = param.Default
		if param.Default == "" {
			params[param.Name] = "<" + param.Name + ">"
		}
	}
	return expand(p.Console, params)
}

// Snippet is the configuration of p, ready to be filled in.
func (p Provider) Snippet() string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	secret := strings.ToUpper(strings.ReplaceAll(p.ID, "-", "_")) + "_SECRET"
	line("providers:")
	line("  - id: %s # stored with people's accounts: choose it once", p.ID)
	if p.Protocol != "openid2" {
		line("    client_id: …")
	}
	if p.takesSecret() {
		line("    client_secret: env:%s", secret)
	}
	for _, param := range p.Params {
		value, comment := "…", param.Help
		switch {
		case param.Secret:
			value = "file:/run/secrets/" + p.ID
		case param.Default != "":
			value = param.Default
		case param.Example != "":
			value = param.Example
		}
		if len(param.Enum) > 0 {
			comment = "one of " + strings.Join(param.Enum, ", ")
		}
		if comment != "" {
			comment = " # " + comment
		}
		mark := ""
		if !param.Required {
			mark = "# "
		}
		line("    %s%s: %s%s", mark, param.Name, value, comment)
	}
	return b.String()
}

func (p Provider) takesSecret() bool {
	return p.Protocol != "openid2" && !slices.Contains([]string{"none", "post_jwt", "private_key_jwt"}, p.TokenAuth)
}

// TrustInWords says when an address of p's counts.
func (p Provider) TrustInWords() string {
	says := map[string]string{
		"claim":      "An address counts as proven when " + p.EmailVerified.Path + " says so.",
		"all_claims": "An address counts as proven when all of " + strings.Join(p.EmailVerified.Paths, ", ") + " say so.",
		"not_null":   "An address counts as proven when " + p.EmailVerified.Path + " has a value.",
		"delivered":  "Only confirmed addresses come from here, so each counts as proven.",
		"operator":   "Nothing says whether an address is proven: it does not count unless you vouch for it with trust_email: always.",
		"never":      "Nothing says whether an address is proven, so it does not count.",
		"none":       "No address comes from here.",
	}[p.EmailVerified.Trust]
	switch {
	case !p.AnyTenantAssertsEmail || slices.Contains([]string{"never", "none"}, p.EmailVerified.Trust):
	case p.TenantPath != "":
		says += " An administrator of any tenant can assert any address, so it opens no existing user unless allowed_tenants names yours."
	default:
		says += " An administrator can assert any address, so it opens no existing user."
	}
	return says
}

// Quirks is what p does otherwise than the standard, in words.
func (p Provider) Quirks() []string {
	var all []string
	say := func(does bool, format string, args ...any) {
		if does {
			all = append(all, fmt.Sprintf(format, args...))
		}
	}
	scheme, style, _ := strings.Cut(p.UserinfoAuth, ":")
	say(p.ResponseMode == "form_post", "It posts its answer.")
	say(p.PKCE == "unsupported", "It breaks on PKCE or ignores it, so none is sent.")
	say(p.PKCE == "required", "It requires PKCE, which is always sent.")
	say(p.Protocol == "oidc" && !p.Nonce, "It does not echo a nonce, so none is sent.")
	say(p.ScopeSep != "", "Scopes are separated by %q.", p.ScopeSep)
	say(p.ClientIDParam != "", "The client id is called %s.", p.ClientIDParam)
	say(p.TokenMethod == "GET", "The token request is a GET, with the secret in the URL.")
	say(p.TokenAuth == "basic", "The client proves itself by HTTP Basic.")
	say(p.TokenAuth == "none", "There is no client secret.")
	say(p.ClientSecretJWT != nil && p.TokenAuth != "discovery", "The client signs with its key instead of sending a secret.")
	say(len(p.TokenParams) > 0, "The token request has further fields.")
	say(p.TokenHost != nil, "The answer names the data centre to ask; only listed ones are asked.")
	say(p.TokenAnswer.ErrorsIn200, "Failures come with status 200.")
	say(slices.Contains(p.TokenAnswer.Types, ""), "The token answer may lack token_type.")
	say(p.ClaimsFrom == "access_token", "The profile is the signed access token.")
	say(p.ProfileFrom != "", "The profile comes with the token.")
	say(slices.Contains(p.IDTokenAlg, "HS256"), "The ID token is signed with the client secret.")
	say(p.UserinfoMethod == "POST", "The profile is asked for by POST.")
	say(scheme == "query", "The access token is in the URL of the profile request.")
	say(scheme == "scheme", "The access token is sent as %q.", strings.TrimSpace("Authorization: "+style+" …"))
	say(len(p.ExtraRequests) > 0, "Further requests ask for %s.", names(p.ExtraRequests))
	say(p.Active != nil, "The account must be active there.")
	say(p.Hook != "", "Code of ours: %s.", p.Hook)
	return all
}

func names(requests []ExtraRequest) string {
	var all []string
	for _, r := range requests {
		all = append(all, r.Name)
	}
	return strings.Join(all, ", ")
}
