// Package providers is the ways in which somebody else vouches for a person:
// OAuth 2.0 and OpenID Connect. A provider is a document (catalog/*.yaml); this
// package reads it and speaks with the server it describes. It knows nothing of
// our users, cookies or database.
package providers

import (
	"bytes"
	"embed"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"sync"

	"go.yaml.in/yaml/v4"
)

// Provider is one document of the catalogue. In URLs {x} is the parameter x and
// [..{x}..] is left out when x is empty. A quirk is a field, so that one
// provider's oddity opens nothing for the others.
type Provider struct {
	ID       string   `yaml:"id"`
	Name     string   `yaml:"name"`
	Aliases  []string `yaml:"aliases"`
	Status   string   `yaml:"status"`   // live, restricted, legacy
	Protocol string   `yaml:"protocol"` // oidc, oauth2
	Docs     string   `yaml:"docs"`
	Console  string   `yaml:"console"` // where an operator registers an application
	Brand    string   `yaml:"brand"`   // colour
	Params   []Param  `yaml:"params"`

	Issuer        string   `yaml:"issuer"`      // exactly what iss must be; {claims.tid} is the tenant that the token names
	IssuerAlso    []string `yaml:"issuer_also"` // further accepted values
	Discovery     string   `yaml:"discovery"`
	Authorization string   `yaml:"authorization"`
	Token         string   `yaml:"token"`
	Userinfo      string   `yaml:"userinfo"`
	JWKS          string   `yaml:"jwks"`
	Revocation    string   `yaml:"revocation"`
	ReturnsIss    bool     `yaml:"returns_iss"` // RFC 9207

	TokenAuth       string            `yaml:"token_auth"` // post, basic, none, post_jwt_es256, discovery
	ClientSecretJWT map[string]any    `yaml:"client_secret_jwt"`
	TokenAccept     string            `yaml:"token_accept"`
	TokenParams     map[string]string `yaml:"token_params"`
	Scopes          []string          `yaml:"scopes"`
	ScopeSep        string            `yaml:"scope_sep"` // "" is a space
	AuthParams      map[string]string `yaml:"auth_params"`
	PKCE            string            `yaml:"pkce"` // required, supported, accepted, unknown (sent all the same), unsupported
	Nonce           bool              `yaml:"nonce"`
	ResponseMode    string            `yaml:"response_mode"` // query, form_post
	CallbackJSON    []string          `yaml:"callback_json"` // answer fields that are JSON

	ClaimsFrom     string            `yaml:"claims_from"`  // id_token, userinfo, id_token+userinfo
	IDTokenAlg     []string          `yaml:"id_token_alg"` // default what discovery lists of those we know, or RS256, ES256
	ExtraAudiences []string          `yaml:"extra_audiences"`
	MaxIatAge      string            `yaml:"max_iat_age"` // Go duration; default 10m
	UserinfoMethod string            `yaml:"userinfo_method"`
	UserinfoAuth   string            `yaml:"userinfo_auth"` // bearer, scheme:X, query:name
	UserinfoBody   string            `yaml:"userinfo_body"`
	Headers        map[string]string `yaml:"headers"`
	ExtraRequests  []ExtraRequest    `yaml:"extra_requests"`
	Success        *Condition        `yaml:"success"`
	Active         *Condition        `yaml:"active"`
	Hook           string            `yaml:"hook"`

	Map                   Mapping `yaml:"map"`
	EmailVerified         Trust   `yaml:"email_verified"`
	AnyTenantAssertsEmail bool    `yaml:"any_tenant_asserts_email"`

	Sample map[string]any `yaml:"sample"` // the documents as the provider sends them
	Expect *Expected      `yaml:"expect"` // what MapProfile makes of the sample
}

// Param is what the operator sets for a provider.
type Param struct {
	Name     string `yaml:"name"`
	Required bool   `yaml:"required"`
	Default  string `yaml:"default"`
	Secret   bool   `yaml:"secret"`
	Example  string `yaml:"example"`
	Help     string `yaml:"help"`
}

// ExtraRequest is a further GET whose document the mapping sees as $name.
type ExtraRequest struct {
	Name         string `yaml:"name"`
	URL          string `yaml:"url"`
	NeedsScope   string `yaml:"needs_scope"`
	Optional     bool   `yaml:"optional"`
	IgnoreStatus []int  `yaml:"ignore_status"`
}

// Condition holds when the value at Path prints as Equals.
type Condition struct {
	Path   string `yaml:"path"`
	Equals any    `yaml:"equals"`
}

// Mapping says where a profile's fields are; the first that is not empty wins.
type Mapping struct {
	ID    Exprs `yaml:"id"`
	Name  Exprs `yaml:"name"`
	Email Exprs `yaml:"email"`
	Image Exprs `yaml:"image"`
}

// Trust says when an address is proven: claim (Path is true), all_claims,
// not_null (Path has a value), delivered (always), operator, never, none.
type Trust struct {
	Trust   string   `yaml:"trust"`
	Path    string   `yaml:"path"`
	Paths   []string `yaml:"paths"`
	Accepts []string `yaml:"accepts"` // what means yes beside true: "true", "1"
}

// Expected is the profile that a sample gives.
type Expected struct {
	ID            string `yaml:"id"`
	Name          string `yaml:"name"`
	Email         string `yaml:"email"`
	EmailVerified bool   `yaml:"email_verified"`
	Image         string `yaml:"image"`
}

//go:embed catalog/*.yaml
var catalogFiles embed.FS

var catalog = sync.OnceValue(func() []Provider {
	names, _ := fs.Glob(catalogFiles, "catalog/*.yaml")
	slices.Sort(names)
	var all []Provider
	for _, name := range names {
		raw, err := catalogFiles.ReadFile(name)
		if err != nil {
			panic(err)
		}
		var p Provider
		if err := decodeYAML(raw, &p); err != nil {
			panic(fmt.Sprintf("%s: %v", name, err)) // a mistake of ours, which a test finds
		}
		all = append(all, p)
	}
	return all
})

func decodeYAML(raw []byte, into any) error {
	d := yaml.NewDecoder(bytes.NewReader(raw))
	d.KnownFields(true)
	return d.Decode(into)
}

// Catalog is every provider that we know, by id.
func Catalog() []Provider { return slices.Clone(catalog()) }

// Lookup finds a provider by id or alias.
func Lookup(id string) (Provider, bool) {
	for _, p := range catalog() {
		if p.ID == id || slices.Contains(p.Aliases, id) {
			return p, true
		}
	}
	return Provider{}, false
}

// reload reads a document of the catalogue anew.
func reload(id string) (p Provider) {
	raw, err := catalogFiles.ReadFile("catalog/" + id + ".yaml")
	if err == nil {
		err = decodeYAML(raw, &p)
	}
	if err != nil {
		panic(err) // catalog has read the same file
	}
	return p
}

// known lists the ids, for messages.
func known() string {
	var ids []string
	for _, p := range catalog() {
		ids = append(ids, p.ID)
	}
	return strings.Join(ids, ", ")
}
