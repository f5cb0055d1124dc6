package providers

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Config is a provider as an operator sets it up.
type Config struct {
	ID                  string // stored in accounts.provider; a-z 0-9 -
	Type                string // catalogue id; "" is ID
	Name                string
	ClientID            string
	ClientSecret        string
	Params              map[string]string
	Scopes              []string
	AuthParams          map[string]string
	Offline             bool           // ask for a refresh token
	Override            map[string]any // keys of a document that replace the catalogue's
	TrustEmail          string         // "", claim, always, never
	AllowedDomains      []string       // only people with a proven address in one of these
	AllowedTenants      []string       // only people of these tenants
	AllowPrivateNetwork bool
	CAFile              string
}

// HTTPOptions are the surroundings of all providers.
type HTTPOptions struct {
	Dev     bool             // http and loopback are allowed
	Contact string           // our public URL, for providers that want to know who asks
	Now     func() time.Time // nil is time.Now
	Log     *slog.Logger
	Watch   *Watch // told of everything, for a command; nil for none
}

// validID takes what NextAuth sites call their providers, too: the id is stored
// with every account, and part of a path.
var validID = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$`)

// resolve makes the document that c describes, with every parameter filled in.
func (c Config) resolve(o HTTPOptions) (Provider, map[string]string, error) {
	p, err := c.document()
	if err != nil {
		return p, nil, err
	}
	params, err := c.params(p, o.Contact)
	mistakes := []error{c.registered(p), err}
	p.fill(params)
	c.request(&p, params)
	mistakes = append(mistakes, c.trust(&p, params))
	if p.Name == "" || c.Name != "" {
		p.Name = c.Name
	}
	if err := errors.Join(append(mistakes, c.checkDocument(p))...); err != nil {
		return p, nil, err
	}
	return p, params, c.checkURLs(p, o.Dev)
}

// registered asks for what the operator got from registering an application.
func (c Config) registered(p Provider) error {
	var mistakes []error
	if c.ClientID == "" && p.Protocol != "openid2" {
		mistakes = append(mistakes, c.wrong("client_id", "is missing; register an application%s", at(p.Console)))
	}
	// Whether discovery allows clients without one is seen when it is read.
	seen := p.TokenAuth == "discovery" && p.Protocol == "oidc" && p.Discovery != ""
	if c.ClientSecret == "" && !seen && p.Protocol != "openid2" && !slices.Contains([]string{"none", "post_jwt", "private_key_jwt"}, p.TokenAuth) {
		mistakes = append(mistakes, c.wrong("client_secret", "is missing; it is shown%s", at(p.Console)))
	}
	return errors.Join(mistakes...)
}

// document finds the catalogue's document and lays the chosen variant and the
// operator's keys over a copy of it.
func (c Config) document() (Provider, error) {
	if !validID.MatchString(c.ID) || c.ID == "email" {
		return Provider{}, c.wrong("id", "%q: want letters, digits, hyphens, underscores and dots, and not «email»", c.ID)
	}
	kind := c.Type
	if kind == "" {
		kind = c.ID
	}
	found, ok := Lookup(kind)
	if !ok {
		return Provider{}, c.wrong("type", "%q is unknown; «gatepost providers» lists those that are known. For any other use type: oidc or type: oauth2", kind)
	}
	if found.Status == "dead" {
		return Provider{}, c.wrong("", "%s is gone: %s", found.Name, found.StatusNote)
	}
	p := reload(found.ID)
	for _, param := range p.Params {
		choice, set := c.Params[param.Name]
		if !set {
			choice = param.Default
		}
		if err := p.overlay(p.Variants[choice]); err != nil {
			return Provider{}, c.wrong(param.Name, "variant %s: %v", choice, err)
		}
	}
	if err := p.overlay(c.Override); err != nil {
		return Provider{}, c.wrong("override", "%v", err)
	}
	return p, nil
}

func at(console string) string {
	if console == "" {
		return " with the provider"
	}
	return " at " + console
}

// params are the values of the document's parameters, beside client_id and
// contact, which every document may use.
func (c Config) params(p Provider, contact string) (map[string]string, error) {
	params := map[string]string{"client_id": c.ClientID, "contact": contact}
	var mistakes []error
	for _, param := range p.Params {
		v, set := c.Params[param.Name]
		if !set || v == "" {
			v = expand(param.Default, params)
		}
		// An issuer is compared as it is; everything else is put into URLs.
		if strings.HasSuffix(param.Name, "_url") {
			v = strings.TrimSuffix(v, "/")
		}
		if err := param.check(v); err != nil {
			mistakes = append(mistakes, c.wrong(param.Name, "%v", err))
		}
		params[param.Name] = v
	}
	for name := range c.Params {
		if _, known := params[name]; !known || name == "contact" {
			mistakes = append(mistakes, c.wrong(name, "this provider has no such key"))
		}
	}
	return params, errors.Join(mistakes...)
}

func (p Param) check(v string) error {
	switch {
	case v == "" && !p.Required:
		return nil
	case v == "" && p.Example != "":
		return fmt.Errorf("is missing, as in %s", p.Example)
	case v == "":
		return errors.New("is missing")
	case len(p.Enum) > 0 && !slices.Contains(p.Enum, v):
		return fmt.Errorf("%q: want one of %s", v, strings.Join(p.Enum, ", "))
	case strings.Contains(v, "://") && p.Example != "" && !strings.Contains(p.Example, "://") && !p.Secret:
		return fmt.Errorf("%q: want it without https://, as in %s", v, p.Example)
	case p.Pattern == "":
		return nil
	}
	pattern, err := regexp.Compile(`^(?:` + p.Pattern + `)$`)
	if err != nil || !pattern.MatchString(v) {
		return fmt.Errorf("is not of the form %s", p.Pattern)
	}
	return nil
}

// fill puts the parameters into p, which nobody else may hold.
func (p *Provider) fill(params map[string]string) {
	for _, field := range []*string{&p.Console, &p.Issuer, &p.Discovery, &p.RequestToken, &p.Authorization, &p.Token, &p.Userinfo, &p.JWKS, &p.Revocation, &p.Offline.URL} {
		*field = expand(*field, params)
	}
	for _, list := range [][]string{p.IssuerAlso, p.ExtraAudiences} {
		for i := range list {
			list[i] = substitute(list[i], params)
		}
	}
	p.IssuerAlso = slices.DeleteFunc(p.IssuerAlso, func(s string) bool { return s == "" })
	for i := range p.ExtraRequests {
		p.ExtraRequests[i].URL = expand(p.ExtraRequests[i].URL, params)
	}
	filled := []map[string]string{p.AuthParams, p.TokenParams, p.UserinfoForm, p.Headers, p.Offline.AuthParams, p.Offline.Params}
	if p.ClientSecretJWT != nil {
		filled = append(filled, p.ClientSecretJWT.Header, p.ClientSecretJWT.Claims)
	}
	for _, m := range filled {
		for name, value := range m {
			m[name] = substitute(value, params)
		}
	}
}

// substitute fills the parameters into a value; what only a request knows stays.
func substitute(value string, params map[string]string) string {
	if name, ok := strings.CutPrefix(value, "$param."); ok {
		return params[name]
	}
	if value == "$client_id" {
		return params["client_id"]
	}
	return expand(value, params)
}

// request says what is asked for: scopes and parameters of the authorization URL.
func (c Config) request(p *Provider, params map[string]string) {
	if len(c.Scopes) > 0 {
		p.Scopes = c.Scopes
	}
	if p.AuthParams == nil {
		p.AuthParams = map[string]string{}
	}
	if c.Offline {
		p.Scopes = append(slices.Clone(p.Scopes), p.Offline.Scopes...)
		maps.Copy(p.AuthParams, p.Offline.AuthParams)
	}
	if p.Protocol == "oidc" && !slices.Contains(p.Scopes, "openid") {
		p.Scopes = append([]string{"openid"}, p.Scopes...)
	}
	for name, value := range c.AuthParams {
		p.AuthParams[name] = substitute(value, params)
	}
	for _, m := range []map[string]string{p.AuthParams, p.Headers} {
		maps.DeleteFunc(m, func(_, v string) bool { return v == "" })
	}
}

// trust applies the operator's word on addresses and on who may sign in.
func (c Config) trust(p *Provider, params map[string]string) error {
	switch c.TrustEmail {
	case "", "claim":
	case "always":
		p.EmailVerified, p.AnyTenantAssertsEmail = Trust{Trust: "delivered"}, false
	case "never":
		p.EmailVerified = Trust{Trust: "never"}
	default:
		return c.wrong("trust_email", "%q is unknown; want claim, always or never", c.TrustEmail)
	}
	if isGUID(params["tenant"]) {
		p.AnyTenantAssertsEmail = false // one tenant, the operator's own choice
	}
	if len(c.AllowedTenants) > 0 {
		if p.TenantPath == "" {
			return c.wrong("allowed_tenants", "this provider names no tenants; with override: tenant_path say where it does")
		}
		p.Require = append(p.Require, Condition{Path: p.TenantPath, AnyOf: c.AllowedTenants})
		p.AnyTenantAssertsEmail = false
	}
	return nil
}

// ownParams are what an authorization request has for its own answer to be
// known by; one fixed value for all of them would fail every sign-in.
var ownParams = []string{"client_id", "code_challenge", "code_challenge_method", "nonce", "redirect_uri", "response_type", "state"}

// checkDocument refuses documents that contradict themselves or a rule of ours.
func (c Config) checkDocument(p Provider) error {
	if d, err := time.ParseDuration(p.ClockSkew); p.ClockSkew != "" && (err != nil || d < 0 || d > leeway) {
		return c.wrong("override.clock_skew", "%q: want 0s to %s", p.ClockSkew, leeway)
	}
	if _, err := time.ParseDuration(p.MaxIatAge); p.MaxIatAge != "" && err != nil {
		return c.wrong("override.max_iat_age", "%q is not a duration such as 10m", p.MaxIatAge)
	}
	for _, alg := range p.IDTokenAlg {
		if !slices.Contains(verifiable, alg) {
			return c.wrong("override.id_token_alg", "%q is unknown; want one of %s", alg, strings.Join(verifiable, ", "))
		}
	}
	for name := range c.AuthParams {
		if slices.Contains(ownParams, name) {
			return c.wrong("auth_params."+name, "is Gatepost's own to say; leave it out")
		}
	}
	if len(p.Map.ID) == 0 {
		return c.wrong("override.map", "id is missing: where the provider says who somebody is")
	}
	if p.Hook != "" && !slices.Contains(hookNames, p.Hook) {
		return c.wrong("override.hook", "%q: want one of %s", p.Hook, strings.Join(hookNames, ", "))
	}
	for name, choice := range map[string]struct {
		value string
		of    []string
	}{
		"protocol":            {p.Protocol, []string{"oidc", "oauth2", "oauth1", "openid2"}},
		"pkce":                {p.PKCE, []string{"", "required", "supported", "accepted", "unknown", "unsupported"}},
		"response_mode":       {p.ResponseMode, []string{"", "query", "form_post"}},
		"claims_from":         {p.ClaimsFrom, []string{"", "id_token", "userinfo", "id_token+userinfo", "access_token"}},
		"token_method":        {p.TokenMethod, []string{"", "GET", "POST"}},
		"userinfo_method":     {p.UserinfoMethod, []string{"", "GET", "POST"}},
		"token_answer.format": {p.TokenAnswer.Format, []string{"", "text", "form"}},
		"email_verified":      {p.EmailVerified.Trust, []string{"claim", "all_claims", "not_null", "delivered", "operator", "never", "none"}},
		"token_auth":          {p.TokenAuth, []string{"post", "basic", "none", "assertion", "post_jwt", "private_key_jwt", "discovery"}},
	} {
		if !slices.Contains(choice.of, choice.value) && (name != "token_auth" || p.Protocol == "oidc" || p.Protocol == "oauth2") {
			return c.wrong("override."+name, "%q is unknown; want one of %s", choice.value, strings.Join(choice.of, ", "))
		}
	}
	if p.Protocol != "oidc" && (p.Authorization == "" || p.Token == "" && p.Protocol != "openid2") {
		return c.wrong("", "authorization and token endpoints are missing")
	}
	return nil
}

func (c Config) checkURLs(p Provider, dev bool) error {
	urls := map[string]string{"issuer": p.Issuer, "discovery": p.Discovery, "request_token": p.RequestToken, "authorization": p.Authorization,
		"token": p.Token, "userinfo": p.Userinfo, "jwks": p.JWKS, "revocation": p.Revocation, "offline.url": p.Offline.URL}
	for _, extra := range p.ExtraRequests {
		urls["extra_requests."+extra.Name] = extra.URL
	}
	// The issuer first: what is derived from it is wrong with it.
	names := append([]string{"issuer"}, slices.Sorted(maps.Keys(urls))...)
	for _, name := range names {
		raw := urls[name]
		if raw == "" || name == "issuer" && containsTenant(raw) {
			continue
		}
		whole := hole.ReplaceAllString(raw, "x")
		u, err := url.Parse(whole)
		if err != nil || u.Host == "" || strings.HasSuffix(u.Host, ":") || strings.ContainsAny(whole, "{}") || hole.MatchString(origin(raw)) {
			return c.wrong(c.source(name), "%s %q is not a URL", name, raw)
		}
		if name == "issuer" && strings.HasSuffix(u.Path, wellKnown) {
			return c.wrong(c.source(name), "%q is where the metadata is; the issuer is what stands before %s", raw, wellKnown)
		}
		if !secureURL(u, dev || c.AllowPrivateNetwork) {
			return c.wrong(c.source(name), "%s %q must be https", name, raw)
		}
	}
	return nil
}

// wellKnown is where an issuer has its metadata (OpenID Connect Discovery §4).
const wellKnown = "/.well-known/openid-configuration"

// source is the operator's key that a URL of the document comes from, where it
// is one.
func (c Config) source(field string) string {
	if _, ok := c.Override[field]; ok {
		return "override." + field
	}
	for _, name := range []string{field, field + "_url"} {
		if _, ok := c.Params[name]; ok {
			return name
		}
	}
	return ""
}

// origin is scheme and host of a URL that may have holes.
func origin(raw string) string {
	scheme, rest, _ := strings.Cut(raw, "://")
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		rest = rest[:i]
	}
	return scheme + "://" + rest
}

// secureURL allows http on loopback where that is wanted, and nowhere else.
func secureURL(u *url.URL, loopback bool) bool {
	ip := net.ParseIP(u.Hostname())
	local := u.Hostname() == "localhost" || ip != nil && ip.IsLoopback()
	return u.Scheme == "https" || u.Scheme == "http" && loopback && local
}

var (
	optional    = regexp.MustCompile(`\[([^\[\]]*\{[a-z_]+\}[^\[\]]*)\]`)
	placeholder = regexp.MustCompile(`\{([a-z_]+)\}/?`)
	hole        = regexp.MustCompile(`\{\$[^{}]*\}`)
	guid        = regexp.MustCompile(`^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$`)
)

func isGUID(s string) bool { return guid.MatchString(s) }

// expand fills {x} in, and drops [..{x}..] where x is empty. A value that ends
// with the slash that follows it gives one slash, not two (OpenID Connect
// Discovery §4.1).
func expand(tmpl string, params map[string]string) string {
	fill := func(s string) (out string, complete bool) {
		complete = true
		out = placeholder.ReplaceAllStringFunc(s, func(m string) string {
			name, slash := strings.CutSuffix(m, "/")
			v, ok := params[name[1:len(name)-1]]
			if !ok {
				return m
			}
			complete = complete && v != ""
			if slash {
				return strings.TrimSuffix(v, "/") + "/"
			}
			return v
		})
		return out, complete
	}
	tmpl = optional.ReplaceAllStringFunc(tmpl, func(m string) string {
		if out, complete := fill(m[1 : len(m)-1]); complete {
			return out
		}
		return ""
	})
	out, _ := fill(tmpl)
	return out
}
