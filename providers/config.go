package providers

import (
	"errors"
	"log/slog"
	"maps"
	"net"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"
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
	Override            map[string]any // keys of a document that replace the catalogue's
	TrustEmail          string         // "", claim, always, never
	AllowPrivateNetwork bool
	CAFile              string
}

// HTTPOptions are the surroundings of all providers.
type HTTPOptions struct {
	Dev bool             // http and loopback are allowed
	Now func() time.Time // nil is time.Now
	Log *slog.Logger
}

var validID = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,62}$`)

// resolve makes the document that c describes, with every {param} filled in.
func (c Config) resolve(dev bool) (Provider, error) {
	if !validID.MatchString(c.ID) || c.ID == "email" {
		return Provider{}, c.wrong("id", "%q: want lower-case letters, digits and hyphens, and not «email»", c.ID)
	}
	kind := c.Type
	if kind == "" {
		kind = c.ID
	}
	p, ok := Lookup(kind)
	if !ok {
		return Provider{}, c.wrong("type", "%q is unknown; known are %s. For any other use type: oidc or type: oauth2", kind, known())
	}
	if len(c.Override) > 0 {
		// Into a copy of its own: decoding into the shared document would
		// change its maps for every other provider.
		p = reload(p.ID)
		raw, err := yaml.Marshal(c.Override)
		if err != nil {
			return Provider{}, c.wrong("override", "%v", err)
		}
		if err := decodeYAML(raw, &p); err != nil {
			return Provider{}, c.wrong("override", "%v", err)
		}
	}
	var mistakes []error
	if c.ClientID == "" {
		mistakes = append(mistakes, c.wrong("client_id", "is missing; register an application%s", at(p.Console)))
	}
	if c.ClientSecret == "" && slices.Contains([]string{"post", "basic", "discovery"}, p.TokenAuth) {
		mistakes = append(mistakes, c.wrong("client_secret", "is missing; it is shown%s", at(p.Console)))
	}
	params, err := c.params(p)
	if err != nil {
		mistakes = append(mistakes, err)
	}
	for _, field := range []*string{&p.Issuer, &p.Discovery, &p.Authorization, &p.Token, &p.Userinfo, &p.JWKS, &p.Revocation} {
		*field = expand(*field, params)
	}
	p.ExtraRequests = slices.Clone(p.ExtraRequests)
	for i := range p.ExtraRequests {
		p.ExtraRequests[i].URL = expand(p.ExtraRequests[i].URL, params)
	}
	if len(c.Scopes) > 0 {
		p.Scopes = c.Scopes
	}
	if p.Protocol == "oidc" && !slices.Contains(p.Scopes, "openid") {
		p.Scopes = append([]string{"openid"}, p.Scopes...)
	}
	auth := maps.Clone(p.AuthParams)
	if auth == nil {
		auth = map[string]string{}
	}
	maps.Copy(auth, c.AuthParams)
	for name, value := range auth {
		if param, ok := strings.CutPrefix(value, "$param."); ok {
			auth[name] = params[param]
		}
	}
	maps.DeleteFunc(auth, func(_, v string) bool { return v == "" })
	p.AuthParams = auth
	switch c.TrustEmail {
	case "", "claim":
	case "always":
		p.EmailVerified, p.AnyTenantAssertsEmail = Trust{Trust: "delivered"}, false
	case "never":
		p.EmailVerified = Trust{Trust: "never"}
	default:
		mistakes = append(mistakes, c.wrong("trust_email", "%q is unknown; want claim, always or never", c.TrustEmail))
	}
	if isGUID(params["tenant"]) {
		p.AnyTenantAssertsEmail = false // one tenant, the operator's own choice
	}
	if p.Name == "" || c.Name != "" {
		p.Name = c.Name
	}
	if len(mistakes) > 0 {
		return Provider{}, errors.Join(mistakes...)
	}
	return p, c.checkURLs(p, dev)
}

func at(console string) string {
	if console == "" {
		return " with the provider"
	}
	return " at " + console
}

func (c Config) params(p Provider) (map[string]string, error) {
	var mistakes []error
	params := map[string]string{"client_id": c.ClientID}
	for _, param := range p.Params {
		v, set := c.Params[param.Name]
		if !set {
			v = param.Default
		}
		if v == "" && param.Required {
			hint := ""
			if param.Example != "" {
				hint = ", as in " + param.Example
			}
			mistakes = append(mistakes, c.wrong(param.Name, "is missing%s", hint))
		}
		params[param.Name] = v
	}
	for name, v := range c.Params {
		if _, known := params[name]; !known {
			mistakes = append(mistakes, c.wrong(name, "this provider has no such key; it has %s", strings.Join(slices.Sorted(maps.Keys(params)), ", ")))
			continue
		}
		// An issuer is compared as it is; everything else is put into URLs.
		if strings.HasSuffix(name, "_url") {
			v = strings.TrimSuffix(v, "/")
		}
		params[name] = v
	}
	return params, errors.Join(mistakes...)
}

func (c Config) checkURLs(p Provider, dev bool) error {
	for _, field := range [][2]string{{"issuer", p.Issuer}, {"authorization", p.Authorization}, {"token", p.Token}, {"userinfo", p.Userinfo}, {"jwks", p.JWKS}, {"discovery", p.Discovery}} {
		name, raw := field[0], field[1]
		if raw == "" || strings.Contains(raw, "{claims.") {
			continue
		}
		u, err := url.Parse(raw)
		if err != nil || u.Host == "" || strings.ContainsAny(raw, "{}") {
			return c.wrong(c.source(name), "%s %q is not a URL", name, raw)
		}
		if !secureURL(u, dev || c.AllowPrivateNetwork) {
			return c.wrong(c.source(name), "%s %q must be https", name, raw)
		}
	}
	return nil
}

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

// secureURL allows http on loopback where that is wanted, and nowhere else.
func secureURL(u *url.URL, loopback bool) bool {
	ip := net.ParseIP(u.Hostname())
	local := u.Hostname() == "localhost" || ip != nil && ip.IsLoopback()
	return u.Scheme == "https" || u.Scheme == "http" && loopback && local
}

var (
	optional    = regexp.MustCompile(`\[([^\[\]]*\{[a-z_]+\}[^\[\]]*)\]`)
	placeholder = regexp.MustCompile(`\{([a-z_]+)\}`)
	guid        = regexp.MustCompile(`^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$`)
)

func isGUID(s string) bool { return guid.MatchString(s) }

// expand fills {x} in, and drops [..{x}..] where x is empty.
func expand(tmpl string, params map[string]string) string {
	fill := func(s string) (out string, complete bool) {
		complete = true
		out = placeholder.ReplaceAllStringFunc(s, func(m string) string {
			v, ok := params[m[1:len(m)-1]]
			if !ok {
				return m
			}
			complete = complete && v != ""
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
