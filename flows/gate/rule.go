package gate

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"
)

// A Rule is a line of the operator's access control as it is written. Criteria
// that are not given hold for every request; of a list one has to hold.
type Rule struct {
	Name    string   // for people to recognise it by
	Host    []string // exact, *.example.org, * or ~regular expression; may contain {user} or {group}, (?P<user>…) or (?P<group>…)
	Path    []string // /prefix, =/exact or ~regular expression, in which the groups user and group are as in Host
	Method  []string // GET includes HEAD
	Network []string // CIDR, address, or the name of a network
	Query   []Query  // every one has to hold

	Allow *Who // may pass; whoever is not one of them is refused, or goes on to the next rule
	Deny  *Who // may not pass; whoever is not one of them goes on to the next rule
	Next  bool // whoever Allow does not include goes on to the next rule

	Preflight bool // lets CORS preflights pass, which carry no cookie
}

// A Query is a criterion on one parameter of the query.
type Query struct {
	Key    string
	Value  string // equal to it; or ~regular expression
	Absent bool
	Not    bool // turns it around
}

// Policy is everything that an operator says about who may pass.
type Policy struct {
	Networks map[string][]string
	Groups   map[string][]Who
	Rules    []Rule
	Default  string // deny, signed-in or public, for what no rule speaks of; "" is deny
	Tokens   *Who   // who may make access tokens; nil is nobody
	// Providers are the ids that are configured.
	Providers []string
}

// Rules are a policy that has been checked. They do not change and are safe for
// concurrent use.
type Rules struct {
	groups map[string]people
	names  []string // of groups, sorted
	rules  []rule
	last   rule // the default
	tokens *people
	// What readings a decision has to tell apart.
	usesPath, usesQuery, usesCase bool
	methods                       []string // that rules name
}

type rule struct {
	Rule
	hosts       []host
	paths       []pathPattern
	networks    []netip.Prefix
	queries     []queryPattern
	allow, deny *people
}

type host struct {
	text   string // exact, or a suffix that begins with a dot; "" for any
	exact  bool
	regex  *regexp.Regexp
	marked bool // contains {user} or {group}
}

type pathPattern struct {
	exact          string
	prefix         string // without a slash at the end; "" with exact "" and no regex is /
	regex, foldedR *regexp.Regexp
}

type queryPattern struct {
	Query
	regex *regexp.Regexp
}

// A Mistake is something wrong in a Policy: Key is where, as in rules[2].host[0].
type Mistake struct{ Key, Text string }

// Compile checks p. It refuses what could only be a mistake: an unknown group or
// provider, a rule that can never match, a pattern that is none.
func Compile(p Policy) (*Rules, []Mistake) {
	c := compiler{networks: map[string][]netip.Prefix{}, names: names{groups: map[string]people{}, providers: p.Providers}}
	for _, name := range slices.Sorted(maps.Keys(p.Networks)) {
		for i, text := range p.Networks[name] {
			prefix, err := parseNetwork(text)
			if err != nil {
				c.wrong(fmt.Sprintf("networks.%s[%d]", name, i), err)
				continue
			}
			c.networks[name] = append(c.networks[name], prefix)
		}
	}
	rules := &Rules{groups: c.compileGroups(p.Groups)}
	rules.names = slices.Sorted(maps.Keys(rules.groups))
	wrong := make([]bool, len(p.Rules)) // what such a rule hides is not known
	for i, r := range p.Rules {
		before := len(c.mistakes)
		rules.rules = append(rules.rules, c.compileRule(fmt.Sprintf("rules[%d]", i), r))
		wrong[i] = len(c.mistakes) > before
	}
	rules.last = c.compileDefault(p.Default)
	rules.tokens = c.compileWho("access_tokens.allow", p.Tokens)
	for i, later := range rules.rules {
		for j, earlier := range rules.rules[:i] {
			if !wrong[j] && earlier.hides(later) {
				c.wrong(fmt.Sprintf("rules[%d]", i), fmt.Errorf("can never match: rule %d stands before it and takes all its requests", j+1))
				break
			}
		}
		rules.usesPath = rules.usesPath || len(later.paths) > 0
		rules.usesQuery = rules.usesQuery || len(later.queries) > 0
		rules.methods = append(rules.methods, later.Method...)
		for _, text := range later.Path {
			rules.usesCase = rules.usesCase || strings.ToLower(text) != text
		}
	}
	slices.Sort(rules.methods)
	rules.methods = slices.Compact(rules.methods)
	return rules, c.mistakes
}

type compiler struct {
	names    names
	networks map[string][]netip.Prefix
	mistakes []Mistake
}

func (c *compiler) wrong(key string, err error) {
	c.mistakes = append(c.mistakes, Mistake{key, err.Error()})
}

var groupName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

// maxGroups bounds what Remote-Groups can become, in bytes (forward-auth rule 9).
const maxGroups = 400

func (c *compiler) compileGroups(groups map[string][]Who) map[string]people {
	length := 0
	for _, name := range slices.Sorted(maps.Keys(groups)) {
		if !groupName.MatchString(name) {
			c.wrong("groups."+name, errors.New("want a name of letters, digits, dots, hyphens and underscores, at most 64"))
		}
		if length += len(name) + 1; length > maxGroups {
			c.wrong("groups."+name, fmt.Errorf("the names of all groups together are longer than %d bytes, which no header should be", maxGroups))
		}
	}
	compiled := map[string]people{}
	for _, name := range slices.Sorted(maps.Keys(groups)) {
		p, err := compileList(whoAny, groups[name], c.names)
		switch {
		case err != nil:
			c.wrong("groups."+name, err)
		case mentions(p, whoEveryone):
			c.wrong("groups."+name, errors.New("everyone is in no group; use signed-in"))
		}
		compiled[name] = p
	}
	c.names.groups = compiled
	return compiled
}

func mentions(p people, k kind) bool {
	return p.kind == k || slices.ContainsFunc(p.of, func(q people) bool { return mentions(q, k) })
}

func (c *compiler) compileDefault(text string) rule {
	all := people{kind: whoEveryone}
	switch text {
	case "", "deny":
		return rule{deny: &all}
	case signedIn:
		return rule{allow: &people{kind: whoSignedIn}}
	case public, everyone:
		return rule{allow: &all}
	}
	c.wrong("default", fmt.Errorf("%q: want deny, signed-in or public", text))
	return rule{deny: &all}
}

func (c *compiler) compileRule(key string, r Rule) rule {
	out := rule{Rule: r}
	for i, text := range r.Host {
		h, err := compileHost(text)
		if err != nil {
			c.wrong(fmt.Sprintf("%s.host[%d]", key, i), err)
		}
		out.hosts = append(out.hosts, h)
	}
	for i, text := range r.Path {
		p, err := compilePath(text)
		if err != nil {
			c.wrong(fmt.Sprintf("%s.path[%d]", key, i), err)
		}
		out.paths = append(out.paths, p)
	}
	for i, text := range r.Method {
		if !upperCase(text) {
			c.wrong(fmt.Sprintf("%s.method[%d]", key, i), fmt.Errorf("%q: want a method in upper case, as in GET; several are a list", text))
		}
	}
	for i, text := range r.Network {
		prefixes, named := c.networks[text]
		if !named {
			prefix, err := parseNetwork(text)
			if err != nil {
				c.wrong(fmt.Sprintf("%s.network[%d]", key, i), err)
			}
			prefixes = []netip.Prefix{prefix}
		}
		out.networks = append(out.networks, prefixes...)
	}
	for i, q := range r.Query {
		p, err := compileQuery(q)
		if err != nil {
			c.wrong(fmt.Sprintf("%s.query[%d]", key, i), err)
		}
		out.queries = append(out.queries, p)
	}
	for name, list := range map[string]*[]string{"host": &r.Host, "path": &r.Path, "method": &r.Method, "network": &r.Network} {
		if *list != nil && len(*list) == 0 {
			c.wrong(key+"."+name, errors.New("the list is empty, so the rule can never match; leave the key out for any"))
		}
	}
	out.allow, out.deny = c.compileWho(key+".allow", r.Allow), c.compileWho(key+".deny", r.Deny)
	switch {
	case r.Allow == nil && r.Deny == nil:
		c.wrong(key, errors.New("says neither allow nor deny"))
	case r.Allow != nil && r.Deny != nil:
		c.wrong(key, errors.New("says both allow and deny; write two rules, the deny first"))
	case r.Deny != nil && r.Next:
		c.wrong(key+".else", errors.New("whom a deny does not name goes on to the next rule anyway; leave it out"))
	}
	return out
}

func (c *compiler) compileWho(key string, w *Who) *people {
	if w == nil {
		return nil
	}
	p, err := w.compile(c.names)
	if err != nil {
		c.wrong(key, err)
	}
	return &p
}

func compileHost(text string) (host, error) {
	bad := fmt.Errorf("%q: want a host without scheme and port, such as app.example.org, *.example.org, * for any, or ~ and a regular expression", text)
	marked := strings.Contains(text, "{user}") || strings.Contains(text, "{group}")
	switch {
	case text == "*":
		return host{}, nil
	case strings.HasPrefix(text, "~"):
		re, err := compileWhole(text, "i", hostBegins, "a host, which begins with a letter or a digit")
		return host{regex: re}, err
	case marked:
		// A label of letters and digits in its place must make a host.
		probe := strings.NewReplacer("{user}", "1", "{group}", "g").Replace(text)
		if _, port, err := canonicalHost(probe); err != nil || port != "" || strings.Count(text, "{") > 1 {
			return host{}, bad
		}
		return host{text: strings.ToLower(text), marked: true}, nil
	}
	suffix, wild := strings.CutPrefix(text, "*.")
	h, port, err := canonicalHost(suffix)
	if err != nil || port != "" || wild && !strings.Contains(suffix, ".") && suffix != "localhost" {
		return host{}, bad
	}
	if wild {
		return host{text: "." + h}, nil
	}
	return host{text: h, exact: true}, nil
}

func compilePath(text string) (pathPattern, error) {
	switch {
	case strings.HasPrefix(text, "~"):
		re, err := compileWhole(text, "", "/", "a path, which begins with a slash")
		if err != nil {
			return pathPattern{}, err
		}
		return pathPattern{regex: re, foldedR: regexp.MustCompile(`(?i)` + re.String())}, nil
	case strings.HasPrefix(text, "=/"):
		return pathPattern{exact: text[1:]}, validPattern(text, text[1:])
	case strings.HasPrefix(text, "/"):
		return pathPattern{prefix: strings.TrimRight(text, "/")}, validPattern(text, text)
	}
	return pathPattern{}, fmt.Errorf("%q: want a prefix such as /admin, an exact path such as =/admin, or ~ and a regular expression", text)
}

// hostBegins are the bytes that the first of a host may be, as canonicalHost has
// them.
const hostBegins = "abcdefghijklmnopqrstuvwxyz0123456789-_["

// compileWhole compiles the expression behind the ~ of text for a whole value, with
// flags as in (?i). One that fits no first byte that values of the kind have, as
// ~\.php for a path, would never match, and leave what it closes to the rules
// behind it.
func compileWhole(text, flags, begins, kind string) (*regexp.Regexp, error) {
	// By itself first: it has to be whole before there is anything around it, and
	// the error is about what the operator wrote.
	parsed, err := syntax.Parse(text[1:], syntax.Perl|syntax.FoldCase)
	if err != nil {
		return nil, fmt.Errorf("%q: %v", text, err)
	}
	prog, err := syntax.Compile(parsed.Simplify())
	if err != nil {
		return nil, fmt.Errorf("%q: %v", text, err)
	}
	if !canBegin(prog, uint32(prog.Start), begins, map[uint32]bool{}) {
		return nil, fmt.Errorf("%q: can never match the whole of %s; write .* in front for whatever comes before", text, kind)
	}
	re, err := regexp.Compile(`\A(?` + flags + `:` + text[1:] + `)\z`)
	if err != nil {
		return nil, fmt.Errorf("%q: cannot stand within another expression: %v", text, err)
	}
	return re, nil
}

// canBegin reports whether what matches prog from pc on may begin with one of
// begins.
func canBegin(prog *syntax.Prog, pc uint32, begins string, seen map[uint32]bool) bool {
	if seen[pc] {
		return false
	}
	seen[pc] = true
	switch i := &prog.Inst[pc]; i.Op {
	case syntax.InstAlt, syntax.InstAltMatch:
		return canBegin(prog, i.Out, begins, seen) || canBegin(prog, i.Arg, begins, seen)
	case syntax.InstCapture, syntax.InstEmptyWidth, syntax.InstNop:
		return canBegin(prog, i.Out, begins, seen)
	case syntax.InstRune, syntax.InstRune1, syntax.InstRuneAny, syntax.InstRuneAnyNotNL:
		return strings.ContainsFunc(begins, i.MatchRune)
	}
	return false // the end, where nothing was matched, or a failure
}

// validPattern refuses what no request's path is compared with as it is written.
func validPattern(text, p string) error {
	if parent, ok := strings.CutSuffix(p, "/*"); ok {
		return fmt.Errorf("%q: a prefix includes what is below it; write %s/", text, parent)
	}
	plain, err := checkTarget(p, "")
	if err != nil || !plain || strings.ContainsAny(p, "?*") {
		return fmt.Errorf("%q: a path is written plainly: decoded, without ?, *, dots for folders or doubled slashes", text)
	}
	return nil
}

func parseNetwork(text string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(text); err == nil {
		a = a.Unmap()
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(text)
	if err != nil {
		return p, fmt.Errorf("%q: want an address, a CIDR such as 10.0.0.0/8, or the name of a network", text)
	}
	if p.Masked() != p {
		return p, fmt.Errorf("%q: bits are set behind the prefix; did you mean %s?", text, p.Masked())
	}
	return p, nil
}

func compileQuery(q Query) (queryPattern, error) {
	p := queryPattern{Query: q}
	switch {
	case q.Key == "":
		return p, errors.New("key is missing")
	case q.Absent && q.Value != "":
		return p, errors.New("says both a value and absent")
	}
	if text, ok := strings.CutPrefix(q.Value, "~"); ok {
		re, err := regexp.Compile(`\A(?:` + text + `)\z`)
		if err != nil {
			return p, fmt.Errorf("%q: %v", q.Value, err)
		}
		p.regex = re
	}
	return p, nil
}

// hides reports whether r takes every request and every person that other could
// speak of. It may miss some, and never says so wrongly.
func (r rule) hides(other rule) bool {
	final := r.allow != nil && (!r.Next || r.allow.kind == whoEveryone) || r.deny != nil && r.deny.kind == whoEveryone
	if !final || len(r.networks) > 0 || len(r.queries) > 0 || r.allow != nil && r.allow.kind == whoEveryone && len(r.paths) > 0 {
		return false
	}
	for _, m := range other.Method {
		if len(r.Method) > 0 && !methodIn(r.Method, m) {
			return false
		}
	}
	if len(r.Method) > 0 && len(other.Method) == 0 {
		return false
	}
	return coversAll(r.hosts, other.hosts, host.covers) && coversAll(r.paths, other.paths, pathPattern.covers)
}

// coversAll reports whether each of b is covered by one of a. No criterion
// covers everything.
func coversAll[T any](a, b []T, covers func(T, T) bool) bool {
	if len(a) == 0 {
		return true
	}
	for _, y := range b {
		if !slices.ContainsFunc(a, func(x T) bool { return covers(x, y) }) {
			return false
		}
	}
	return len(b) > 0
}

func (h host) any() bool { return h.text == "" && h.regex == nil }

func (h host) covers(o host) bool {
	switch {
	case h.any():
		return true
	case h.regex != nil || o.regex != nil || h.marked || o.marked || o.any():
		return h.regex != nil && o.regex != nil && h.regex.String() == o.regex.String()
	case h.exact:
		return o.exact && h.text == o.text
	}
	return o.text == h.text || strings.HasSuffix(o.text, h.text) && len(o.text) > len(h.text)
}

func (p pathPattern) covers(o pathPattern) bool {
	switch {
	case p.regex != nil || o.regex != nil:
		return p.regex != nil && o.regex != nil && p.regex.String() == o.regex.String()
	case p.exact != "":
		return o.exact == p.exact
	case o.exact != "":
		return under(o.exact, p.prefix)
	}
	return under(o.prefix, p.prefix)
}

func under(path, prefix string) bool {
	return path == prefix || strings.HasPrefix(path, prefix) && path[len(prefix)] == '/'
}

func methodIn(list []string, method string) bool {
	return slices.Contains(list, method) || method == "HEAD" && slices.Contains(list, "GET")
}

// GroupsOf says which named groups somebody is in, sorted. Groups list people,
// never other groups.
func (r *Rules) GroupsOf(id Identity) []string {
	var in []string
	for _, name := range r.names {
		if of := r.groups[name]; of.include(&id) {
			in = append(in, name)
		}
	}
	return in
}

// MayMakeTokens reports whether id may make access tokens.
func (r *Rules) MayMakeTokens(id Identity) bool {
	return r.tokens != nil && id.signedIn() && r.tokens.include(&id)
}
