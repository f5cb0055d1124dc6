package app

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"

	"github.com/gatepost/gatepost/flows"
	"github.com/gatepost/gatepost/flows/gate"
)

// GateConfig says who may pass the gate. It is on when there are rules.
type GateConfig struct {
	Networks map[string]List  `yaml:"networks"`
	Groups   map[string][]Who `yaml:"groups"`
	Rules    []RuleConfig     `yaml:"rules"`
	Default  string           `yaml:"default"`
	// AccessTokens are bearer tokens that people make for their programs.
	AccessTokens AccessTokensConfig `yaml:"access_tokens"`
}

// AccessTokensConfig says who may make access tokens, and what kind.
type AccessTokensConfig struct {
	Allow   *Who          `yaml:"allow"` // nobody by default
	MaxLife time.Duration `yaml:"max_life"`
	PerUser int           `yaml:"per_user"`
}

// RuleConfig is one rule; the first that speaks of a request decides.
type RuleConfig struct {
	Name      string  `yaml:"name"`
	Host      List    `yaml:"host"`
	Path      List    `yaml:"path"`
	Method    List    `yaml:"method"`
	Network   List    `yaml:"network"`
	Query     []Query `yaml:"query"`
	Allow     *Who    `yaml:"allow"`
	Deny      *Who    `yaml:"deny"`
	Else      string  `yaml:"else"` // deny or next
	Preflight string  `yaml:"preflight"`
}

// Query is a criterion on one parameter of a request's query.
type Query struct {
	Key    string `yaml:"key"`
	Value  string `yaml:"value"`
	Absent bool   `yaml:"absent"`
	Not    bool   `yaml:"not"`
}

// List is one string or several.
type List []string

// UnmarshalYAML reads a string or a list.
func (l *List) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind == yaml.ScalarNode {
		*l = List{n.Value}
		return nil
	}
	*l = List{}
	return n.Decode((*[]string)(l))
}

// Who is a name, a list of which one has to fit, or any: and all: of such.
type Who gate.Who

// UnmarshalYAML reads a string, a list, or a mapping with any or all.
func (w *Who) UnmarshalYAML(n *yaml.Node) error {
	var list []Who
	switch n.Kind {
	case yaml.ScalarNode:
		*w = Who{Atom: n.Value}
		return nil
	case yaml.SequenceNode:
		if err := n.Decode(&list); err != nil {
			return err
		}
		*w = Who{Any: plain(list)}
		return nil
	case yaml.MappingNode:
		if len(n.Content) == 2 && (n.Content[0].Value == "any" || n.Content[0].Value == "all") {
			if err := n.Content[1].Decode(&list); err != nil {
				return err
			}
			if *w = (Who{Any: plain(list)}); n.Content[0].Value == "all" {
				*w = Who{All: plain(list)}
			}
			return nil
		}
	}
	return fmt.Errorf("line %d: want a name such as group:admins, a list of them, or a mapping with any or all", n.Line)
}

func plain(list []Who) []gate.Who {
	out := make([]gate.Who, len(list))
	for i, w := range list {
		out[i] = gate.Who(w)
	}
	return out
}

// on reports whether there is a gate at all.
func (c GateConfig) on() bool { return len(c.Rules) > 0 }

// policy is c in the words of package gate.
func (c Config) policy() (gate.Policy, []gate.Mistake) {
	p := gate.Policy{Networks: map[string][]string{}, Groups: map[string][]gate.Who{}, Default: c.Gate.Default, Tokens: (*gate.Who)(c.Gate.AccessTokens.Allow)}
	for _, pc := range c.Providers {
		p.Providers = append(p.Providers, pc.ID)
	}
	for name, list := range c.Gate.Networks {
		p.Networks[name] = list
	}
	for name, list := range c.Gate.Groups {
		p.Groups[name] = plain(list)
	}
	var mistakes []gate.Mistake
	for i, r := range c.Gate.Rules {
		rule := gate.Rule{Name: r.Name, Host: r.Host, Path: r.Path, Method: r.Method, Network: r.Network, Allow: (*gate.Who)(r.Allow), Deny: (*gate.Who)(r.Deny)}
		for _, q := range r.Query {
			rule.Query = append(rule.Query, gate.Query(q))
		}
		switch r.Else {
		case "", "deny":
		case "next":
			rule.Next = true
		default:
			mistakes = append(mistakes, gate.Mistake{Key: fmt.Sprintf("rules[%d].else", i), Text: fmt.Sprintf("%q: want deny or next", r.Else)})
		}
		switch r.Preflight {
		case "", "deny":
		case "allow":
			rule.Preflight = true
		default:
			mistakes = append(mistakes, gate.Mistake{Key: fmt.Sprintf("rules[%d].preflight", i), Text: fmt.Sprintf("%q: want deny or allow", r.Preflight)})
		}
		p.Rules = append(p.Rules, rule)
	}
	return p, mistakes
}

// rules compiles the policy, and says everything that is wrong with it.
func (c Config) rules() (*gate.Rules, []gate.Mistake) {
	p, mistakes := c.policy()
	rules, more := gate.Compile(p)
	return rules, append(mistakes, more...)
}

// gate wires the gate.
func (c Config) gate(sessions *flows.Sessions, keys flows.Keys) (*flows.Gate, error) {
	rules, mistakes := c.rules()
	if len(mistakes) > 0 {
		return nil, fmt.Errorf("gate.%s: %s", mistakes[0].Key, mistakes[0].Text)
	}
	signer, err := gate.NewSigner(strings.TrimSuffix(c.PublicURL, "/"), keys.Derive("assertion", 32))
	if err != nil {
		return nil, err
	}
	return &flows.Gate{Sessions: sessions, Rules: rules, Signer: signer, Now: time.Now,
		Tokens: flows.AccessTokens{MaxLife: c.Gate.AccessTokens.MaxLife, PerUser: c.Gate.AccessTokens.PerUser}}, nil
}

// returnTo are the origins that a sign-in may lead to: the listed ones and the
// hosts that the gate stands before, on the port of https and on that of the pages.
// One proxy serves both.
func (c Config) returnTo() []string {
	origins := slices.Clone(c.ReturnTo)
	for _, r := range c.Gate.Rules {
		for _, host := range r.Host {
			if host == "*" || strings.ContainsAny(host, "~{") {
				continue
			}
			origins = append(origins, "https://"+host)
			if port := c.pagesPort(strings.ToLower(host)); port != "" {
				origins = append(origins, "https://"+host+":"+port)
			}
		}
	}
	slices.Sort(origins)
	return slices.Compact(origins)
}

// pagesPort is the port of the pages that the visitors of host sign in by, "" for
// that of https.
func (c Config) pagesPort(host string) string {
	pages := c.PublicURL
	for _, s := range c.Cookie.Sites {
		domain := strings.TrimPrefix(s.Domain, ".")
		if bare := strings.TrimPrefix(host, "*."); bare == domain || strings.HasSuffix(bare, "."+domain) {
			pages = s.URL
		}
	}
	u, err := url.Parse(pages)
	if err != nil || u.Scheme != "https" || u.Port() == "443" {
		return ""
	}
	return u.Port()
}

// GateHosts are the hosts behind the gate that a proxy can be told by name. One
// of the pages' is among them where a rule closes it: then an application is
// there, and the pages are under base_path. What is public alone is no reason to
// send a host's visitors to an application.
func (c Config) GateHosts() []string {
	var hosts []string
	pages := c.PageHosts()
	for _, r := range c.Gate.Rules {
		open := r.Allow != nil && (isEverybody(gate.Who(*r.Allow)) || slices.ContainsFunc(r.Allow.Any, isEverybody))
		for _, host := range r.Host {
			host = strings.ToLower(host)
			if host != "*" && !strings.ContainsAny(host, "~{") && !(open && slices.Contains(pages, host)) {
				hosts = append(hosts, host)
			}
		}
	}
	slices.Sort(hosts)
	return slices.Compact(hosts)
}

func isEverybody(w gate.Who) bool { return w.Atom == "public" || w.Atom == "everyone" }

// PageHosts are the hosts of Gatepost's pages: the sign-in's, then one on each
// further root domain.
func (c Config) PageHosts() []string {
	addresses := []string{c.PublicURL}
	for _, s := range c.Cookie.Sites {
		addresses = append(addresses, s.URL)
	}
	var hosts []string
	for _, address := range addresses {
		if u, err := url.Parse(address); err == nil {
			hosts = append(hosts, strings.ToLower(u.Hostname()))
		}
	}
	return hosts
}
