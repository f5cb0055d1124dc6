package providers

import (
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
}

var validID = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,62}$`)

// resolve makes the document that c describes, with every parameter filled in.
func (c Config) resolve(o HTTPOptions) (Provider, map[string]string, error) {
	p, err := c.document()
	if err != nil {
		return p, nil, err
	}
	params, err := c.params(p, o.Contact)
	if err != nil {
		return p, nil, err
	}
	p.fill(params)
	if c.ClientID == "" && p.Protocol != "openid2" {
		return p, nil, fmt.Errorf("provider %s: client_id is missing; register an application%s", c.ID, at(p.Console))
	}
	c.request(&p, params)
	if err := c.trust(&p, params); err != nil {
		return p, nil, err
	}
	if p.Name == "" || c.Name != "" {
		p.Name = c.Name
	}
	if err := p.check(); err != nil {
		return p, nil, fmt.Errorf("provider %s: %w", c.ID, err)
	}
	return p, params, c.checkURLs(p, o.Dev)
}

// document finds the catalogue's document and lays the chosen variant and the
// operator's keys over a copy of it.
func (c Config) document() (Provider, error) {
	if !validID.MatchString(c.ID) || c.ID == "email" {
		return Provider{}, fmt.Errorf("provider id %q: want lower-case letters, digits and hyphens, and not «email»", c.ID)
	}
	kind := c.Type
	if kind == "" {
		kind = c.ID
	}
	found, ok := Lookup(kind)
	if !ok {
		return Provider{}, fmt.Errorf("provider %s: unknown type %q; «gatepost providers» lists those that are known. For any other use type: oidc or type: oauth2", c.ID, kind)
	}
	if found.Status == "dead" {
		return Provider{}, fmt.Errorf("provider %s: %s is gone: %s", c.ID, found.Name, found.StatusNote)
	}
	p := reload(found.ID)
	for _, param := range p.Params {
		choice, set := c.Params[param.Name]
		if !set {
			choice = param.Default
		}
		if err := p.overlay(p.Variants[choice]); err != nil {
			return Provider{}, fmt.Errorf("provider %s: variant %s: %w", c.ID, choice, err)
		}
	}
	if err := p.overlay(c.Override); err != nil {
		return Provider{}, fmt.Errorf("provider %s: override: %w", c.ID, err)
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
			return nil, fmt.Errorf("provider %s: %w", c.ID, err)
		}
		params[param.Name] = v
	}
	for name := range c.Params {
		if _, known := params[name]; !known || name == "contact" {
			return nil, fmt.Errorf("provider %s: there is no parameter %q", c.ID, name)
		}
	}
	return params, nil
}

func (p Param) check(v string) error {
	switch {
	case v == "" && !p.Required:
		return nil
	case v == "" && p.Example != "":
		return fmt.Errorf("%s is missing, as in %s", p.Name, p.Example)
	case v == "":
		return fmt.Errorf("%s is missing", p.Name)
	case len(p.Enum) > 0 && !slices.Contains(p.Enum, v):
		return fmt.Errorf("%s %q: want one of %s", p.Name, v, strings.Join(p.Enum, ", "))
	case p.Pattern == "":
		return nil
	}
	pattern, err := regexp.Compile(`^(?:` + p.Pattern + `)$`)
	if err != nil || !pattern.MatchString(v) {
		return fmt.Errorf("%s is not of the form %s", p.Name, p.Pattern)
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
		return fmt.Errorf("provider %s: trust_email %q: want claim, always or never", c.ID, c.TrustEmail)
	}
	if isGUID(params["tenant"]) {
		p.AnyTenantAssertsEmail = false // one tenant, the operator's own choice
	}
	if len(c.AllowedTenants) > 0 {
		if p.TenantPath == "" {
			return fmt.Errorf("provider %s: allowed_tenants: this provider names no tenants; with override: tenant_path say where it does", c.ID)
		}
		p.Require = append(p.Require, Condition{Path: p.TenantPath, AnyOf: c.AllowedTenants})
		p.AnyTenantAssertsEmail = false
	}
	return nil
}

// check refuses documents that contradict themselves or a rule of ours.
func (p Provider) check() error {
	if d, err := time.ParseDuration(p.ClockSkew); p.ClockSkew != "" && (err != nil || d < 0 || d > leeway) {
		return fmt.Errorf("clock_skew %q: want 0s to %s", p.ClockSkew, leeway)
	}
	if p.Hook != "" && !slices.Contains(hookNames, p.Hook) {
		return fmt.Errorf("hook %q: want one of %s", p.Hook, strings.Join(hookNames, ", "))
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
			return fmt.Errorf("%s %q: want one of %s", name, choice.value, strings.Join(choice.of, ", "))
		}
	}
	if p.Protocol != "oidc" && (p.Authorization == "" || p.Token == "" && p.Protocol != "openid2") {
		return fmt.Errorf("authorization and token endpoints are missing")
	}
	return nil
}

func (c Config) checkURLs(p Provider, dev bool) error {
	urls := map[string]string{"issuer": p.Issuer, "discovery": p.Discovery, "request_token": p.RequestToken, "authorization": p.Authorization,
		"token": p.Token, "userinfo": p.Userinfo, "jwks": p.JWKS, "revocation": p.Revocation, "offline.url": p.Offline.URL}
	for _, extra := range p.ExtraRequests {
		urls["extra_requests."+extra.Name] = extra.URL
	}
	for name, raw := range urls {
		if raw == "" || name == "issuer" && containsTenant(raw) {
			continue
		}
		whole := hole.ReplaceAllString(raw, "x")
		u, err := url.Parse(whole)
		if err != nil || u.Host == "" || strings.ContainsAny(whole, "{}") || hole.MatchString(origin(raw)) {
			return fmt.Errorf("provider %s: %s %q is not a URL", c.ID, name, raw)
		}
		if !secureURL(u, dev || c.AllowPrivateNetwork) {
			return fmt.Errorf("provider %s: %s %q must be https", c.ID, name, raw)
		}
	}
	return nil
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
