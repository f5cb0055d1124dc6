package app

import (
	"errors"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"

	"github.com/gatepost/gatepost/flows/gate"
)

const migration = "../../../docs/migrate-forward-auth.md"

var yamlBlock = regexp.MustCompile("(?s)```yaml\n# ([^\n]*)\n(.*?)```")

// Every example of the documentation says the same in both languages, for every
// request that is asked here and everybody who may ask.
func TestAutheliaRulesTranslate(t *testing.T) {
	raw, err := os.ReadFile(migration)
	if err != nil {
		t.Fatal(err)
	}
	var shared string
	var theirs []autheliaRules
	var ours []Config
	for _, block := range yamlBlock.FindAllStringSubmatch(string(raw), -1) {
		switch title, text := block[1], block[2]; title {
		case "Gatepost, for all examples":
			shared = text
		case "Authelia":
			var rules autheliaRules
			if err := yaml.Unmarshal([]byte(text), &rules); err != nil {
				t.Fatal(err)
			}
			theirs = append(theirs, rules)
		case "Gatepost":
			c := Default()
			for _, part := range []string{shared, text} {
				m := &mistakes{file: filepath.Base(migration)}
				if err := errors.Join(c.readBytes([]byte(part), m), m.err()); err != nil {
					t.Fatalf("example %d: %v", len(ours)+1, err)
				}
			}
			ours = append(ours, c)
		}
	}
	if len(ours) < 10 || len(ours) != len(theirs) {
		t.Fatalf("%d examples of Authelia's, %d of ours", len(theirs), len(ours))
	}
	wrong := map[int]int{} // by example: five of thousands will do
	for i, c := range ours {
		rules, mistakes := c.rules()
		if len(mistakes) > 0 {
			t.Fatalf("example %d: %v", i+1, mistakes)
		}
		seen := map[gate.Outcome]int{}
		everyQuestion(t, rules, func(r gate.Request, id gate.Identity) {
			want, got := theirs[i].decide(c, r, id), rules.Decide(r, id)
			seen[want]++
			if got.Outcome != want && wrong[i] < 5 {
				wrong[i]++
				t.Errorf("example %d: %s %s from %s for %q: %s by rule %d, Authelia says %s", i+1, r.Method, r.URL(), r.Client, id.Email, got.Outcome, got.Rule, want)
			}
		})
		if len(seen) < 2 {
			t.Errorf("example %d always says %v: nothing is asked that it is about", i+1, seen)
		}
	}
}

func everyQuestion(t *testing.T, rules *gate.Rules, ask func(gate.Request, gate.Identity)) {
	t.Helper()
	people := []gate.Identity{{}}
	for i, email := range []string{"ada@example.org", "grace@example.org", "john@example.org", "eve@example.org"} {
		id := gate.Identity{UserID: int32(i + 1), Email: email}
		id.Groups = rules.GroupsOf(id)
		people = append(people, id)
	}
	for _, host := range []string{"public", "app", "secure", "private", "dev", "singlefactor", "mx2.mail", "x.mail", "pub-data", "img-data", "xpub-data", "team-admins", "team-dev", "admins", "john", "other"} {
		for _, target := range []string{"/", "/api", "/api/x", "/apix", "/api?x=1", "/x?x=/api", "/groups/dev/a", "/groups/dev", "/users/john/a", "/users/ada/a", "/users/admins/a", "/hook", "/hook?token=abc123", "/hook?token=abc1234",
			"/?secure=1", "/?secure=1&insecure=1", "/?token=abc123", "/?token=abc123&random=1", "/?token=zyx789&random=12", "/?token=xabc123", "/?v=2", "/?v=2&draft=yes", "/?v=2&draft=no", "/?v=3"} {
			for _, method := range []string{"GET", "HEAD", "POST", "OPTIONS"} {
				for _, client := range []string{"10.10.0.1", "10.9.3.4", "192.168.1.9", "203.0.113.7", "203.0.113.8"} {
					r, err := gate.NewRequest(method, "https", host+".example.org", target, netip.MustParseAddr(client))
					if err != nil {
						t.Fatal(err)
					}
					for _, id := range people {
						ask(r, id)
					}
				}
			}
		}
	}
}

// autheliaRules is Authelia's access control as its documentation describes it:
// the yardstick that translations are held against.
type autheliaRules struct {
	Default string `yaml:"default_policy"`
	Rules   []struct {
		Domain      List     `yaml:"domain"`
		DomainRegex List     `yaml:"domain_regex"`
		Policy      string   `yaml:"policy"`
		Subject     levels   `yaml:"subject"`
		Networks    List     `yaml:"networks"`
		Methods     []string `yaml:"methods"`
		Resources   []string `yaml:"resources"`
		Query       [][]struct{ Operator, Key, Value string }
	} `yaml:"rules"`
}

// levels is «or» of «and», either of which may be left out.
type levels [][]string

func (l *levels) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind == yaml.ScalarNode {
		*l = levels{{n.Value}}
		return nil
	}
	for _, item := range n.Content {
		var and List
		if err := item.Decode(&and); err != nil {
			return err
		}
		*l = append(*l, and)
	}
	return nil
}

func (a autheliaRules) decide(c Config, r gate.Request, id gate.Identity) gate.Outcome {
	nobody := id.UserID == 0
	for _, rule := range a.Rules {
		host, personal := autheliaHost(rule.Domain, rule.DomainRegex, r.Host, id)
		path, personalPath := autheliaMatches(rule.Resources, strings.TrimSuffix(r.Path+"?"+r.Query, "?"), id)
		switch {
		case !host, len(rule.Resources) > 0 && !path,
			len(rule.Methods) > 0 && !slices.Contains(rule.Methods, r.Method),
			len(rule.Networks) > 0 && !autheliaNetwork(c, rule.Networks, r.Client),
			len(rule.Query) > 0 && !autheliaQuery(rule.Query, r.Query),
			len(rule.Subject) > 0 && !nobody && !autheliaSubject(rule.Subject, id):
			continue
		}
		return autheliaOutcome(rule.Policy, nobody, len(rule.Subject) > 0 || personal || personalPath)
	}
	return autheliaOutcome(a.Default, nobody, false)
}

func autheliaOutcome(policy string, nobody, subject bool) gate.Outcome {
	switch {
	case policy == "bypass":
		return gate.Allow
	case policy == "deny" && (!nobody || !subject):
		return gate.Deny
	case nobody:
		return gate.SignIn
	}
	return gate.Allow
}

func autheliaHost(domains, expressions []string, host string, id gate.Identity) (fits, personal bool) {
	for _, d := range domains {
		switch suffix, group := strings.CutPrefix(d, "{group}"); {
		case d == host, strings.HasPrefix(d, "*.") && strings.HasSuffix(host, d[1:]):
			return true, false
		case group && strings.HasSuffix(host, suffix):
			// Authelia takes several labels too, for somebody it does not know.
			name := strings.TrimSuffix(host, suffix)
			if slices.Contains(id.Groups, name) || id.UserID == 0 && !strings.Contains(name, ".") {
				return true, true
			}
		}
	}
	return autheliaMatches(expressions, host, id)
}

func autheliaMatches(expressions []string, text string, id gate.Identity) (fits, personal bool) {
	for _, e := range expressions {
		re := compiled(e)
		found := re.FindStringSubmatch(text)
		if found == nil {
			continue
		}
		i := re.SubexpIndex("Group")
		if i < 0 || id.UserID == 0 || slices.Contains(id.Groups, found[i]) {
			return true, i >= 0
		}
	}
	return false, false
}

var expressions = map[string]*regexp.Regexp{}

func compiled(expression string) *regexp.Regexp {
	if expressions[expression] == nil {
		expressions[expression] = regexp.MustCompile(expression)
	}
	return expressions[expression]
}

func autheliaNetwork(c Config, networks []string, client netip.Addr) bool {
	for _, n := range networks {
		named, ok := c.Gate.Networks[n]
		if !ok {
			named = List{n}
		}
		for _, text := range named {
			if !strings.Contains(text, "/") {
				text += "/32"
			}
			if netip.MustParsePrefix(text).Contains(client) {
				return true
			}
		}
	}
	return false
}

func autheliaQuery(lists [][]struct{ Operator, Key, Value string }, raw string) bool {
	query, _ := url.ParseQuery(raw)
	for _, list := range lists {
		all := true
		for _, q := range list {
			value, present := query.Get(q.Key), query.Has(q.Key)
			switch q.Operator {
			case "present":
				all = all && present
			case "absent":
				all = all && !present
			case "pattern", "not pattern":
				all = all && compiled(q.Value).MatchString(value) == (q.Operator == "pattern")
			default:
				all = all && (value == q.Value) == (q.Operator != "not equal")
			}
		}
		if all {
			return true
		}
	}
	return false
}

func autheliaSubject(subject levels, id gate.Identity) bool {
	return slices.ContainsFunc(subject, func(and []string) bool {
		return !slices.ContainsFunc(and, func(s string) bool {
			if name, ok := strings.CutPrefix(s, "user:"); ok {
				return !strings.HasPrefix(id.Email, name+"@")
			}
			return !slices.Contains(id.Groups, strings.TrimPrefix(s, "group:"))
		})
	})
}
