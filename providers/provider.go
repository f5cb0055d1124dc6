// Package providers is the ways in which somebody else vouches for a person:
// OAuth 2.0 and OpenID Connect, and for two old doors OAuth 1.0a and OpenID 2.0.
// A provider is a document (catalog/*.yaml); this package reads it and speaks
// with the server it describes. It knows nothing of our users, cookies or
// database.
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

// Provider is one document of the catalogue. A quirk is a field, so that one
// provider's oddity opens nothing for the others.
//
// In URLs and headers {x} is the parameter x and [..{x}..] is left out when x is
// empty. A value that starts with a dollar sign is filled in: $param.x and
// $client_id everywhere; at the token endpoint also $client_secret and
// $callback.x; in userinfo requests $access_token, $client_secret and $token.x.
type Provider struct {
	ID         string   `yaml:"id"`
	Name       string   `yaml:"name"`
	Aliases    []string `yaml:"aliases"`
	Status     string   `yaml:"status"`      // live, restricted, legacy, dead
	StatusNote string   `yaml:"status_note"` // why it is not live, since when, and what to use instead
	Protocol   string   `yaml:"protocol"`    // oidc, oauth2, oauth1, openid2
	Docs       string   `yaml:"docs"`
	Read       string   `yaml:"read"`    // the day on which its facts were last looked over
	Console    string   `yaml:"console"` // where an operator registers an application; may name parameters
	Brand      string   `yaml:"brand"`   // colour
	Notes      []string `yaml:"notes"`   // what an operator has to know
	Params     []Param  `yaml:"params"`
	// Variants are documents over this one; a parameter whose value is the name
	// of one chooses it.
	Variants map[string]map[string]any `yaml:"variants"`

	Issuer        string   `yaml:"issuer"`      // exactly what iss must be; {claims.tid} is the tenant that the token names
	IssuerAlso    []string `yaml:"issuer_also"` // further accepted values
	Discovery     string   `yaml:"discovery"`
	RequestToken  string   `yaml:"request_token"` // OAuth 1.0a
	Authorization string   `yaml:"authorization"`
	Token         string   `yaml:"token"`
	Userinfo      string   `yaml:"userinfo"` // {$token.x} is a field of the token answer
	JWKS          string   `yaml:"jwks"`
	Revocation    string   `yaml:"revocation"`
	ReturnsIss    bool     `yaml:"returns_iss"` // RFC 9207

	Scopes       []string          `yaml:"scopes"`
	ScopeSep     string            `yaml:"scope_sep"` // "" is a space
	AuthParams   map[string]string `yaml:"auth_params"`
	AuthFragment string            `yaml:"auth_fragment"` // after # of the authorization URL
	PKCE         string            `yaml:"pkce"`          // required, supported, accepted, unknown (sent all the same), unsupported
	Nonce        bool              `yaml:"nonce"`
	ResponseMode string            `yaml:"response_mode"` // query, form_post
	CallbackJSON []string          `yaml:"callback_json"` // answer fields that are JSON
	// RefusesEmbedded: signs nobody in inside another app's browser.
	RefusesEmbedded bool `yaml:"refuses_embedded"`

	ClientIDParam     string            `yaml:"client_id_param"`
	ClientSecretParam string            `yaml:"client_secret_param"`
	TokenAuth         string            `yaml:"token_auth"` // post, basic, none, assertion, post_jwt, private_key_jwt, discovery
	ClientSecretJWT   *ClientJWT        `yaml:"client_secret_jwt"`
	TokenMethod       string            `yaml:"token_method"` // "" is POST
	TokenAccept       string            `yaml:"token_accept"`
	TokenParams       map[string]string `yaml:"token_params"` // further fields; an empty one is not sent
	TokenHost         *TokenHost        `yaml:"token_host"`
	TokenAnswer       TokenAnswer       `yaml:"token_answer"`
	Offline           Offline           `yaml:"offline"`

	ClaimsFrom     string            `yaml:"claims_from"`  // id_token, userinfo, id_token+userinfo, access_token (a JWT)
	ProfileFrom    string            `yaml:"profile_from"` // path of the profile in the token answer, as $token.user
	IDTokenAlg     []string          `yaml:"id_token_alg"` // default what discovery lists of those we know, or RS256, ES256
	ExtraAudiences []string          `yaml:"extra_audiences"`
	MaxIatAge      string            `yaml:"max_iat_age"` // Go duration; default 10m
	ClockSkew      string            `yaml:"clock_skew"`  // Go duration; default and maximum 60s
	UserinfoMethod string            `yaml:"userinfo_method"`
	UserinfoAuth   string            `yaml:"userinfo_auth"` // bearer, scheme:X, query:name, none
	UserinfoJSON   map[string]any    `yaml:"userinfo_json"` // a body, such as a GraphQL query
	UserinfoForm   map[string]string `yaml:"userinfo_form"`
	Headers        map[string]string `yaml:"headers"` // of userinfo and extra requests; User-Agent of token requests too
	ExtraRequests  []ExtraRequest    `yaml:"extra_requests"`
	Success        *Condition        `yaml:"success"` // of the userinfo answer
	Active         *Condition        `yaml:"active"`
	Require        []Condition       `yaml:"require"`     // further conditions of the operator's
	TenantPath     string            `yaml:"tenant_path"` // where the person's tenant is said
	ImageBase      string            `yaml:"image_base"`  // what a relative picture is relative to
	Hook           string            `yaml:"hook"`

	Map                   Mapping `yaml:"map"`
	EmailVerified         Trust   `yaml:"email_verified"`
	AnyTenantAssertsEmail bool    `yaml:"any_tenant_asserts_email"`
	V3                    *V3     `yaml:"v3"`

	Sample map[string]any `yaml:"sample"` // the documents as the provider sends them
	Expect *Expected      `yaml:"expect"` // what MapProfile makes of the sample
}

// Param is what the operator sets for a provider.
type Param struct {
	Name     string   `yaml:"name"`
	Required bool     `yaml:"required"`
	Default  string   `yaml:"default"` // may name earlier parameters
	Enum     []string `yaml:"enum"`
	Pattern  string   `yaml:"pattern"` // a regular expression for all of it
	Secret   bool     `yaml:"secret"`
	Example  string   `yaml:"example"`
	Help     string   `yaml:"help"`
}

// ClientJWT says what a client signs to prove itself; it lives five minutes.
// Values may be $client_id, $token_url, $random and $param.x. The key is the
// parameter private_key.
type ClientJWT struct {
	Alg    string            `yaml:"alg"` // ES256, RS256
	Header map[string]string `yaml:"header"`
	Claims map[string]string `yaml:"claims"`
}

// TokenHost is for providers whose answer says which of their data centres has
// the person. Only the origins of Allow are ever asked.
type TokenHost struct {
	Callback string   `yaml:"callback"` // field of the answer
	Allow    []string `yaml:"allow"`
}

// TokenAnswer says how the token endpoint answers where that is not as RFC 6749
// §5.1 wants it.
type TokenAnswer struct {
	Format      string   `yaml:"format"`        // "" is JSON; text: JSON that is said to be text; form
	Types       []string `yaml:"types"`         // accepted token_type, "" for none; default bearer
	ErrorField  string   `yaml:"error_field"`   // a field whose presence means failure, beside error
	ErrorsIn200 bool     `yaml:"errors_in_200"` // failures come with status 200
	ScopeList   bool     `yaml:"scope_list"`    // scope is a list
	ExpiresText bool     `yaml:"expires_text"`  // expires_in is text
}

// Offline is what it takes to get a refresh token, asked for only where the
// operator sets offline, and how to use it.
type Offline struct {
	Scopes     []string          `yaml:"scopes"`
	AuthParams map[string]string `yaml:"auth_params"`
	URL        string            `yaml:"url"`    // "" is the token endpoint
	Params     map[string]string `yaml:"params"` // of the refresh request, as in token_params
}

// ExtraRequest is a further GET whose document the mapping sees as $name.
type ExtraRequest struct {
	Name         string `yaml:"name"`
	URL          string `yaml:"url"`
	NeedsScope   string `yaml:"needs_scope"`
	IgnoreStatus []int  `yaml:"ignore_status"` // of an answer that is simply not there
	Picture      bool   `yaml:"picture"`       // the answer is a JPEG or PNG, of which a data URL is made
}

// Condition holds when the value at Path prints as Equals or as one of AnyOf (a
// list: one of its items does), or when there is nothing at Absent.
type Condition struct {
	Path   string   `yaml:"path"`
	Equals any      `yaml:"equals"`
	AnyOf  []string `yaml:"any_of"`
	Absent string   `yaml:"absent"`
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

// V3 says what NextAuth v3 stored as account id, so that its users keep theirs.
type V3 struct {
	Compat   string         `yaml:"compat"`   // same, changed (Note says how to carry rows over), broken (there is nothing to carry over)
	ID       string         `yaml:"id"`       // the path that v3 read
	Document map[string]any `yaml:"document"` // what v3 read it in, for the person of the sample; default is the sample
	Note     string         `yaml:"note"`
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
		all = append(all, reload(strings.TrimSuffix(strings.TrimPrefix(name, "catalog/"), ".yaml")))
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

// reload reads a document of the catalogue anew: a copy that may be changed.
func reload(id string) (p Provider) {
	raw, err := catalogFiles.ReadFile("catalog/" + id + ".yaml")
	if err == nil {
		err = decodeYAML(raw, &p)
	}
	if err != nil {
		panic(fmt.Sprintf("catalog/%s.yaml: %v", id, err)) // a mistake of ours, which a test finds
	}
	return p
}

// overlay lays keys of a document over p.
func (p *Provider) overlay(keys map[string]any) error {
	if len(keys) == 0 {
		return nil
	}
	raw, err := yaml.Marshal(keys)
	if err != nil {
		return err
	}
	return decodeYAML(raw, p)
}
