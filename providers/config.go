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
		return Provider{}, fmt.Errorf("provider id %q: want lower-case letters, digits and hyphens, and not «email»", c.ID)
	}
	kind := c.Type
	if kind == "" {
		kind = c.ID
	}
	p, ok := Lookup(kind)
	if !ok {
		return Provider{}, fmt.Errorf("provider %s: unknown type %q; known are %s. For any other use type: oidc or type: oauth2", c.ID, kind, known())
	}
	if len(c.Override) > 0 {
		// Into a copy of its own: decoding into the shared document would
		// change its maps for every other provider.
		p = reload(p.ID)
		raw, err := yaml.Marshal(c.Override)
		if err != nil {
			return Provider{}, fmt.Errorf("provider %s: %w", c.ID, err)
		}
		if err := decodeYAML(raw, &p); err != nil {
			return Provider{}, fmt.Errorf("provider %s: %w", c.ID, err)
		}
	}
	if c.ClientID == "" {
		return Provider{}, fmt.Errorf("provider %s: client_id is missing; register an application%s", c.ID, at(p.Console))
	}
	params, err := c.params(p)
	if err != nil {
		return Provider{}, err
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
		return Provider{}, fmt.Errorf("provider %s: trust_email %q: want claim, always or never", c.ID, c.TrustEmail)
	}
	if isGUID(params["tenant"]) {
		p.AnyTenantAssertsEmail = false // one tenant, the operator's own choice
	}
	if p.Name == "" || c.Name != "" {
		p.Name = c.Name
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
			return nil, fmt.Errorf("provider %s: %s is missing%s", c.ID, param.Name, hint)
		}
		params[param.Name] = v
	}
	for name, v := range c.Params {
		if _, known := params[name]; !known {
			return nil, fmt.Errorf("provider %s: there is no parameter %q", c.ID, name)
		}
		// An issuer is compared as it is; everything else is put into URLs.
		if strings.HasSuffix(name, "_url") {
			v = strings.TrimSuffix(v, "/")
		}
		params[name] = v
	}
	return params, nil
}

func (c Config) checkURLs(p Provider, dev bool) error {
	for name, raw := range map[string]string{"issuer": p.Issuer, "discovery": p.Discovery, "authorization": p.Authorization, "token": p.Token, "userinfo": p.Userinfo, "jwks": p.JWKS} {
		if raw == "" || strings.Contains(raw, "{claims.") {
			continue
		}
		u, err := url.Parse(raw)
		if err != nil || u.Host == "" || strings.ContainsAny(raw, "{}") {
			return fmt.Errorf("provider %s: %s %q is not a URL", c.ID, name, raw)
		}
		if !secureURL(u, dev || c.AllowPrivateNetwork) {
			return fmt.Errorf("provider %s: %s %q must be https", c.ID, name, raw)
		}
	}
	return nil
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
