package gate

import (
	"net/netip"
	"strings"
	"testing"
)

var (
	nobody = Identity{}
	ada    = Identity{UserID: 1, Email: "ada@example.org", Providers: []string{"google"}}
	bob    = Identity{UserID: 2, Email: "bob@example.com", Providers: []string{"github"}}
	eve    = Identity{UserID: 3} // no proven address
)

func atom(s string) *Who { return &Who{Atom: s} }

func anyOf(atoms ...string) *Who {
	w := &Who{Any: []Who{}}
	for _, a := range atoms {
		w.Any = append(w.Any, Who{Atom: a})
	}
	return w
}

func allOf(atoms ...string) *Who { return &Who{All: anyOf(atoms...).Any} }

func compile(t testing.TB, p Policy) *Rules {
	t.Helper()
	p.Providers = []string{"google", "github"}
	rules, mistakes := Compile(p)
	if len(mistakes) > 0 {
		t.Fatal(mistakes)
	}
	return rules
}

// ask judges «METHOD URL» for id with that client address.
func ask(t testing.TB, rules *Rules, what, client string, id Identity) Decision {
	t.Helper()
	method, url, _ := strings.Cut(what, " ")
	scheme, rest, _ := strings.Cut(url, "://")
	slash := strings.IndexByte(rest, '/')
	address, _ := netip.ParseAddr(client)
	request, err := NewRequest(method, scheme, rest[:slash], rest[slash:], address)
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	id.Groups = rules.GroupsOf(id)
	d := rules.Decide(request, id)
	if e, _ := rules.Explain(request, id); e != d {
		t.Errorf("%s: decided %+v, explained %+v", what, d, e)
	}
	return d
}

func TestDecide(t *testing.T) {
	rules := compile(t, Policy{
		Networks: map[string][]string{"office": {"192.0.2.0/24", "2001:db8::/32"}},
		Groups:   map[string][]Who{"admins": {{Atom: "ada@example.org"}}, "coders": {{Atom: "provider:github"}}},
		Rules: []Rule{
			{Host: []string{"open.example.org"}, Allow: atom("public")},
			{Host: []string{"app.example.org"}, Path: []string{"/health"}, Method: []string{"GET"}, Allow: atom("public")},
			{Host: []string{"app.example.org"}, Path: []string{"/admin"}, Allow: atom("group:admins")},
			{Host: []string{"app.example.org"}, Path: []string{"=/exact", `~/items/\d+`}, Allow: atom("@example.com")},
			{Host: []string{"app.example.org"}, Network: []string{"office"}, Path: []string{"/intranet"}, Allow: atom("everyone")},
			{Host: []string{"app.example.org"}, Query: []Query{{Key: "share", Value: "42"}}, Allow: atom("public")},
			{Host: []string{"app.example.org"}, Deny: atom("user:3")},
			{Host: []string{"app.example.org"}, Path: []string{"/both"}, Allow: allOf("group:coders", "@example.com")},
			{Host: []string{"app.example.org"}, Path: []string{"/next"}, Allow: atom("user:2"), Next: true},
			{Host: []string{"app.example.org"}, Path: []string{"/next"}, Allow: atom("user:1")},
			{Host: []string{"app.example.org"}, Allow: atom("signed-in"), Preflight: true},
			{Host: []string{"*.wild.example.org"}, Allow: anyOf("@*.example.org", "provider:google")},
			{Host: []string{"{user}.own.example.org", "{group}.team.example.org"}, Allow: atom("signed-in")},
			{Host: []string{`~(?P<group>[a-z]+)\.re\.example\.org`}, Allow: atom("signed-in")},
			{Host: []string{`~(CAPS|Mixed)\.example\.org`}, Allow: atom("public")},
		},
	})
	for _, tt := range []struct {
		what, client string
		id           Identity
		want         Outcome
		rule         int
	}{
		{"GET https://open.example.org/x", "", nobody, Allow, 1},
		{"GET https://OPEN.example.org.:8443/x", "", nobody, Allow, 1},
		{"GET https://notopen.example.org/x", "", nobody, Deny, 0},
		{"GET https://caps.example.org/x", "", nobody, Allow, 15},
		{"GET https://MIXED.example.org/x", "", nobody, Allow, 15},
		{"GET https://open.example.org.evil.example/x", "", ada, Deny, 0},
		{"GET https://app.example.org/health", "", nobody, Allow, 2},
		{"HEAD https://app.example.org/health/deep", "", nobody, Allow, 2},
		{"POST https://app.example.org/health", "", nobody, SignIn, 11},
		{"GET https://app.example.org/healthy", "", nobody, SignIn, 11},
		{"GET https://app.example.org/admin", "", nobody, SignIn, 3},
		{"GET https://app.example.org/admin", "", ada, Allow, 3},
		{"GET https://app.example.org/admin/users", "", bob, Deny, 3},
		{"GET https://app.example.org/administrator", "", bob, Allow, 11},
		{"GET https://app.example.org/exact", "", bob, Allow, 4},
		{"GET https://app.example.org/exact", "", ada, Deny, 4},
		{"GET https://app.example.org/exact/not", "", ada, Allow, 11},
		{"GET https://app.example.org/items/7", "", ada, Deny, 4},
		{"GET https://app.example.org/items/7x", "", ada, Allow, 11},
		{"GET https://app.example.org/intranet", "192.0.2.7", nobody, Allow, 5},
		{"GET https://app.example.org/intranet", "2001:db8::1", nobody, Allow, 5},
		{"GET https://app.example.org/intranet", "::ffff:192.0.2.7", nobody, Allow, 5},
		{"GET https://app.example.org/intranet", "198.51.100.1", nobody, SignIn, 11},
		{"GET https://app.example.org/intranet", "", nobody, SignIn, 11}, // absent is in no network
		{"GET https://app.example.org/a?share=42", "", nobody, Allow, 6},
		{"GET https://app.example.org/a?share=4%32", "", nobody, Allow, 6},
		{"GET https://app.example.org/a?share=42&share=1", "", nobody, SignIn, 11},
		{"GET https://app.example.org/a?x=share=42", "", nobody, SignIn, 11},
		{"GET https://app.example.org/a", "", eve, Deny, 7},
		{"GET https://app.example.org/both", "", bob, Allow, 8},
		{"GET https://app.example.org/both", "", ada, Deny, 8},
		{"GET https://app.example.org/next", "", bob, Allow, 9},
		{"GET https://app.example.org/next", "", ada, Allow, 10},
		{"GET https://app.example.org/next", "", nobody, SignIn, 10},
		{"GET https://a.wild.example.org/", "", Identity{UserID: 9, Email: "x@sub.example.org"}, Allow, 12},
		{"GET https://a.wild.example.org/", "", Identity{UserID: 9, Email: "x@example.org"}, Deny, 12},
		{"GET https://a.b.wild.example.org/", "", ada, Allow, 12},
		{"GET https://wild.example.org/", "", ada, Deny, 0},
		{"GET https://1.own.example.org/", "", ada, Allow, 13},
		{"GET https://2.own.example.org/", "", ada, Deny, 0},
		{"GET https://2.own.example.org/", "", nobody, SignIn, 13},
		{"GET https://admins.team.example.org/", "", ada, Allow, 13},
		{"GET https://admins.team.example.org/", "", bob, Deny, 0},
		{"GET https://coders.re.example.org/", "", bob, Allow, 14},
		{"GET https://admins.re.example.org/", "", bob, Deny, 0},
	} {
		t.Run(tt.what, func(t *testing.T) {
			if d := ask(t, rules, tt.what, tt.client, tt.id); d.Outcome != tt.want || d.Rule != tt.rule {
				t.Errorf("user %d from %q: %s by rule %d, want %s by %d", tt.id.UserID, tt.client, d.Outcome, d.Rule, tt.want, tt.rule)
			}
		})
	}
	preflight, err := NewRequest("OPTIONS", "https", "app.example.org", "/api", netip.Addr{})
	if err != nil {
		t.Fatal(err)
	}
	if d := rules.Decide(preflight, nobody); d.Outcome != SignIn {
		t.Errorf("OPTIONS that is no preflight: %s", d.Outcome)
	}
	preflight.Preflight = true
	if d := rules.Decide(preflight, nobody); d.Outcome != Allow {
		t.Errorf("preflight: %s", d.Outcome)
	}
}

// Forward-auth §8.1: what is granted for one reading of a path is not granted
// when an application may see another; what is forbidden bites on any.
func TestPathsThatAreTwoThings(t *testing.T) {
	rules := compile(t, Policy{Rules: []Rule{
		{Path: []string{"/p", "=/"}, Allow: atom("public")},
		{Path: []string{"/admin"}, Allow: atom("user:1")},
		{Path: []string{"/Case"}, Allow: atom("user:1")},
		{Allow: atom("signed-in")},
	}})
	for path, want := range map[string][2]Outcome{ // for nobody, for bob
		"/p/a": {Allow, Allow}, "/p": {Allow, Allow}, "/p/": {Allow, Allow}, "/": {Allow, Allow},
		"/p/%61": {Allow, Allow}, "/p/a%20b": {Allow, Allow}, "/p/ä": {Allow, Allow},
		"/p/../admin": {SignIn, Deny}, "/p/%2e%2e/admin": {SignIn, Deny}, "/p/..%2fadmin": {SignIn, Deny}, "/p/%2e%2e%2fadmin": {SignIn, Deny},
		"/p/%252e%252e/admin": {SignIn, Deny}, "/p/..;/admin": {SignIn, Deny}, "/p/..;x=1/admin": {SignIn, Deny}, "/p//../admin": {SignIn, Deny},
		"/p/.//../../admin": {SignIn, Deny},
		"//admin":           {SignIn, Deny}, "/./admin": {SignIn, Deny}, "/%61dmin": {SignIn, Deny}, "/%2561dmin": {SignIn, Deny}, "/ADMIN": {SignIn, Deny},
		"/admin;x": {SignIn, Deny}, "/admin%3fq": {SignIn, Deny}, "/admin%23f": {SignIn, Deny}, "/admin%2fx": {SignIn, Deny}, "/x/..//admin": {SignIn, Deny},
		"/case": {SignIn, Deny}, "/CASE/x": {SignIn, Deny}, "/Case": {SignIn, Deny},
		"/p;x=1/a": {SignIn, Allow}, "/p/a%2fb": {SignIn, Allow}, "/p/a%23f": {SignIn, Allow}, "/P/A": {SignIn, Allow}, "/p/%ff": {SignIn, Allow},
		"/p/a//b": {SignIn, Allow},
	} {
		for i, id := range []Identity{nobody, bob} {
			if d := ask(t, rules, "GET https://app.example.org"+path, "", id); d.Outcome != want[i] {
				t.Errorf("%s for user %d: %s by rule %d, want %s", path, id.UserID, d.Outcome, d.Rule, want[i])
			}
		}
	}
}

// Where a proxy does not tell the method, what is granted holds for every method
// and what is forbidden bites on any (forward-auth §8.2 rule 7).
func TestUnknownMethodIsTheStrictest(t *testing.T) {
	rules := compile(t, Policy{Rules: []Rule{
		{Path: []string{"/read"}, Method: []string{"GET"}, Allow: atom("public")},
		{Path: []string{"/write"}, Method: []string{"POST", "PUT"}, Allow: atom("user:1")},
		{Path: []string{"/frozen"}, Method: []string{"DELETE"}, Deny: atom("everyone")},
		{Path: []string{"/open"}, Allow: atom("public")},
		{Allow: atom("signed-in")},
	}})
	for path, want := range map[string][3]Outcome{ // for nobody, for ada, for bob
		"/read": {SignIn, Allow, Allow}, "/write": {SignIn, Allow, Deny}, "/frozen": {Deny, Deny, Deny},
		"/open": {Allow, Allow, Allow}, "/": {SignIn, Allow, Allow},
	} {
		for i, id := range []Identity{nobody, ada, bob} {
			if d := ask(t, rules, "* https://app.example.org"+path, "", id); d.Outcome != want[i] {
				t.Errorf("%s for user %d: %s by rule %d, want %s", path, id.UserID, d.Outcome, d.Rule, want[i])
			}
		}
	}
}

// A path may name whose it is, as a host may.
func TestPathsThatNameSomebody(t *testing.T) {
	rules := compile(t, Policy{
		Groups: map[string][]Who{"admins": {{Atom: "ada@example.org"}}, "coders": {{Atom: "provider:github"}}},
		Rules: []Rule{
			{Path: []string{`~/teams/(?P<group>[a-z]+)(/.*)?`, `~/people/(?P<User>\d+)`}, Allow: atom("signed-in")},
			{Host: []string{"{group}.example.org"}, Path: []string{`~/mine/(?P<user>\d+)`, "=/mine"}, Allow: atom("signed-in")},
		},
	})
	for _, tt := range []struct {
		what string
		id   Identity
		want Outcome
	}{
		{"GET https://app.example.org/teams/admins/x", ada, Allow},
		{"GET https://app.example.org/teams/admins/x", bob, Deny},
		{"GET https://app.example.org/teams/coders", bob, Allow},
		{"GET https://app.example.org/teams/coders", nobody, SignIn},
		{"GET https://app.example.org/teams/admins/../coders", ada, Deny},
		{"GET https://app.example.org/teams/admins%2f..%2fcoders", bob, Deny},
		{"GET https://app.example.org/people/1", ada, Allow},
		{"GET https://app.example.org/people/1", bob, Deny},
		{"GET https://admins.example.org/mine/1", ada, Allow},
		{"GET https://admins.example.org/mine/2", ada, Deny},
		{"GET https://admins.example.org/mine", ada, Allow},
		{"GET https://coders.example.org/mine", ada, Deny},
		{"GET https://coders.example.org/mine", nobody, SignIn}, // the host is not known yet, though the path is
	} {
		if d := ask(t, rules, tt.what, "", tt.id); d.Outcome != tt.want {
			t.Errorf("%s for user %d: %s by rule %d, want %s", tt.what, tt.id.UserID, d.Outcome, d.Rule, tt.want)
		}
	}
}

// What a question adds only takes away; a list that is there and empty admits
// nobody.
func TestNarrowing(t *testing.T) {
	one := Identity{UserID: 1, Email: "ada@example.org", Groups: []string{"admins", "staff"}}
	for _, tt := range []struct {
		name string
		n    Narrowing
		id   Identity
		want bool
	}{
		{"nothing is said", Narrowing{}, one, true},
		{"nobody", Narrowing{}, nobody, false},
		{"one of the groups", Narrowing{Groups: []string{"x", "staff"}}, one, true},
		{"another group", Narrowing{Groups: []string{"x"}}, one, false},
		{"empty list of groups", Narrowing{Groups: []string{}}, one, false},
		{"the address", Narrowing{Emails: []string{"Ada@Example.org"}}, one, true},
		{"another address", Narrowing{Emails: []string{"bob@example.org"}}, one, false},
		{"no address on both sides", Narrowing{Emails: []string{""}}, eve, false},
		{"empty list of addresses", Narrowing{Emails: []string{}}, one, false},
		{"the domain", Narrowing{Domains: []string{"example.org"}}, one, true},
		{"a suffix of the domain", Narrowing{Domains: []string{"ample.org"}}, one, false},
		{"below, and itself", Narrowing{Domains: []string{".example.org"}}, one, true},
		{"below", Narrowing{Domains: []string{"*.org"}}, one, true},
		{"no domain on both sides", Narrowing{Domains: []string{""}}, eve, false},
		{"a lone dot", Narrowing{Domains: []string{"."}}, eve, false},
		{"empty list of domains", Narrowing{Domains: []string{}}, one, false},
		{"all conditions", Narrowing{Groups: []string{"staff"}, Emails: []string{"ada@example.org"}, Domains: []string{"example.org"}}, one, true},
		{"all but one condition", Narrowing{Groups: []string{"staff"}, Emails: []string{"ada@example.org"}, Domains: []string{"example.com"}}, one, false},
	} {
		if got := tt.n.Admits(tt.id); got != tt.want {
			t.Errorf("%s: %t", tt.name, got)
		}
	}
}

func TestNewRequestRefuses(t *testing.T) {
	for _, tt := range []struct{ method, scheme, host, target string }{
		{"get", "https", "a.example.org", "/"}, {"", "https", "a.example.org", "/"}, {"GE T", "https", "a.example.org", "/"},
		{"GET", "ftp", "a.example.org", "/"}, {"GET", "", "a.example.org", "/"},
		{"GET", "https", "", "/"}, {"GET", "https", "a b", "/"}, {"GET", "https", "u@a.example.org", "/"}, {"GET", "https", "a..example.org", "/"},
		{"GET", "https", ".example.org", "/"}, {"GET", "https", "a%2e.example.org", "/"}, {"GET", "https", "a.example.org:x", "/"},
		{"GET", "https", "[::1", "/"}, {"GET", "https", "[fe80::1%25eth0]", "/"}, {"GET", "https", "a.example.org, b.example.org", "/"},
		{"GET", "https", "bücher.example.org", "/"}, {"GET", "https", "\uff41.example.org", "/"}, {"GET", "https", "a\u3002example.org", "/"}, {"GET", "https", "a\xff.example.org", "/"},
		{"GET", "https", "a.example.org", ""}, {"GET", "https", "a.example.org", "x"}, {"GET", "https", "a.example.org", "http://b.example.org/"},
		{"GET", "https", "a.example.org", "/a#b"}, {"GET", "https", "a.example.org", "/a b"}, {"GET", "https", "a.example.org", "/a\x00"},
		{"GET", "https", "a.example.org", `/a\b`}, {"GET", "https", "a.example.org", "/a%5cb"}, {"GET", "https", "a.example.org", "/a%255Cb"},
		{"GET", "https", "a.example.org", "/a%00"}, {"GET", "https", "a.example.org", "/a%2500"}, {"GET", "https", "a.example.org", "/a%0d%0ab"},
		{"GET", "https", "a.example.org", "/a%zz"}, {"GET", "https", "a.example.org", "/a%"}, {"GET", "https", "a.example.org", "/a?b#c"},
		{"GET", "https", "a.example.org", "/a?b\r\nc"},
	} {
		if r, err := NewRequest(tt.method, tt.scheme, tt.host, tt.target, netip.Addr{}); err == nil {
			t.Errorf("%q %q %q %q became %+v", tt.method, tt.scheme, tt.host, tt.target, r)
		}
	}
}

// What a proxy may have taken for another host is not plain (security F-6).
func TestPlain(t *testing.T) {
	for host, want := range map[string]bool{"a.example.org": true, "A.example.org:443": true, "a.example.org.": false, "a.example.org.:443": false, "a.example.org.:8443": false, "[::1]:8443": true} {
		if r, err := NewRequest("GET", "https", host, "/x", netip.Addr{}); err != nil || r.Plain() != want {
			t.Errorf("%s: %v %v", host, r.Plain(), err)
		}
	}
}

func TestCompileRefuses(t *testing.T) {
	all := atom("signed-in")
	for _, tt := range []struct {
		name   string
		policy Policy
		key    string
	}{
		{"unknown group", Policy{Rules: []Rule{{Allow: atom("group:nobody")}}}, "rules[0].allow"},
		{"unknown provider", Policy{Rules: []Rule{{Allow: atom("provider:nobody")}}}, "rules[0].allow"},
		{"neither", Policy{Rules: []Rule{{}}}, "rules[0]"},
		{"both", Policy{Rules: []Rule{{Allow: all, Deny: all}}}, "rules[0]"},
		{"empty any", Policy{Rules: []Rule{{Allow: &Who{Any: []Who{}}}}}, "rules[0].allow"},
		{"empty all", Policy{Rules: []Rule{{Allow: &Who{All: []Who{}}}}}, "rules[0].allow"},
		{"empty host list", Policy{Rules: []Rule{{Host: []string{}, Allow: all}}}, "rules[0].host"},
		{"host with scheme", Policy{Rules: []Rule{{Host: []string{"https://a.example.org"}, Allow: all}}}, "rules[0].host[0]"},
		{"host with port", Policy{Rules: []Rule{{Host: []string{"a.example.org:8080"}, Allow: all}}}, "rules[0].host[0]"},
		{"wildcard over a top-level domain", Policy{Rules: []Rule{{Host: []string{"*.org"}, Allow: all}}}, "rules[0].host[0]"},
		{"broken expression", Policy{Rules: []Rule{{Path: []string{"~("}, Allow: all}}}, "rules[0].path[0]"},
		{"glob", Policy{Rules: []Rule{{Path: []string{"/a/*"}, Allow: all}}}, "rules[0].path[0]"},
		{"path without slash", Policy{Rules: []Rule{{Path: []string{"a"}, Allow: all}}}, "rules[0].path[0]"},
		{"path that no reading has", Policy{Rules: []Rule{{Path: []string{"/a/../b"}, Allow: all}}}, "rules[0].path[0]"},
		{"method", Policy{Rules: []Rule{{Method: []string{"get"}, Allow: all}}}, "rules[0].method[0]"},
		{"network", Policy{Rules: []Rule{{Network: []string{"ofice"}, Allow: all}}}, "rules[0].network[0]"},
		{"network with bits behind", Policy{Rules: []Rule{{Network: []string{"10.0.0.1/8"}, Allow: all}}}, "rules[0].network[0]"},
		{"not an address", Policy{Rules: []Rule{{Allow: atom("a,b@example.org")}}}, "rules[0].allow"},
		{"default", Policy{Rules: []Rule{{Allow: all}}, Default: "alow"}, "default"},
		{"group of everyone", Policy{Groups: map[string][]Who{"g": {{Atom: "everyone"}}}}, "groups.g"},
		{"group name with a comma", Policy{Groups: map[string][]Who{"a,b": {{Atom: "signed-in"}}}}, "groups.a,b"},
		{"behind a rule for all", Policy{Rules: []Rule{{Allow: all}, {Host: []string{"a.example.org"}, Allow: all}}}, "rules[1]"},
		{"behind its prefix", Policy{Rules: []Rule{{Host: []string{"*.example.org"}, Path: []string{"/a"}, Allow: all}, {Host: []string{"x.example.org"}, Path: []string{"/a/b"}, Method: []string{"GET"}, Allow: all}}}, "rules[1]"},
		{"path expression without slash", Policy{Rules: []Rule{{Path: []string{"~admin/.*"}, Allow: all}}}, "rules[0].path[0]"},
		{"path expression that is not anchored", Policy{Rules: []Rule{{Path: []string{`~(?i)\.(php|cgi)$`}, Allow: all}}}, "rules[0].path[0]"},
		{"path expression of alternatives", Policy{Rules: []Rule{{Path: []string{"~^(admin|api)?"}, Allow: all}}}, "rules[0].path[0]"},
		{"empty path expression", Policy{Rules: []Rule{{Path: []string{"~"}, Allow: all}}}, "rules[0].path[0]"},
		{"host expression that is not anchored", Policy{Rules: []Rule{{Host: []string{`~\.example\.org`}, Allow: all}}}, "rules[0].host[0]"},
		{"expression that ends the one around it", Policy{Rules: []Rule{{Path: []string{"~/a)|(?:.*"}, Allow: all}}}, "rules[0].path[0]"},
		{"expression that swallows the one around it", Policy{Rules: []Rule{{Path: []string{`~/a\Q`}, Allow: all}}}, "rules[0].path[0]"},
		{"nothing hidden by a mistake", Policy{Rules: []Rule{{Host: []string{"a.example.org:8080"}, Allow: all}, {Host: []string{"b.example.org"}, Allow: all}}}, "rules[0].host[0]"},
		{"query without key", Policy{Rules: []Rule{{Query: []Query{{Value: "1"}}, Allow: all}}}, "rules[0].query[0]"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, mistakes := Compile(tt.policy)
			if len(mistakes) != 1 || mistakes[0].Key != tt.key {
				t.Errorf("%v, want one at %s", mistakes, tt.key)
			}
		})
	}
	if _, mistakes := Compile(Policy{Rules: []Rule{
		{Host: []string{"a.example.org"}, Path: []string{"/x"}, Allow: all}, {Host: []string{"a.example.org"}, Allow: all},
		{Host: []string{"b.example.org"}, Deny: atom("user:1")}, {Host: []string{"b.example.org"}, Allow: all},
		{Host: []string{"c.example.org"}, Allow: all, Next: true}, {Host: []string{"c.example.org"}, Allow: atom("user:1")},
		{Host: []string{"d.example.org"}, Method: []string{"GET"}, Allow: all}, {Host: []string{"d.example.org"}, Allow: all},
		{Host: []string{"e.example.org"}, Network: []string{"10.0.0.0/8"}, Allow: all}, {Host: []string{"e.example.org"}, Allow: all},
		{Host: []string{"*.f.example.org"}, Allow: all}, {Host: []string{"f.example.org"}, Allow: all},
		{Host: []string{`~^(?:.*\.)?g\.example\.org$`, `~\w+\.g\.example\.org`}, Path: []string{`~.*\.php`, "~^/a$", "~(?s).", "~(x|/y)", "~[^a]+", "~()/?"}, Allow: all},
	}}); len(mistakes) != 0 {
		t.Errorf("rules that can match: %v", mistakes)
	}
}

// FuzzReadings: whatever a target is, what is public stays within the public
// prefix for every application that decodes, resolves or folds it.
func FuzzReadings(f *testing.F) {
	for _, seed := range []string{"/p/../admin", "/p/%2e%2e/admin", "/p/..%2fadmin", "/p/..;/admin", "/p//..//admin", "/P/%252e%252e/a", "/p/a%3F/../../admin", "/p/%c0%ae%c0%ae/admin"} {
		f.Add(seed)
	}
	rules, _ := Compile(Policy{Rules: []Rule{{Path: []string{"/p"}, Allow: atom("public")}}})
	f.Fuzz(func(t *testing.T, target string) {
		request, err := NewRequest("GET", "https", "a.example.org", target, netip.Addr{})
		if err != nil || rules.Decide(request, nobody).Outcome != Allow {
			return
		}
		for _, p := range pathReadings(request.Path) {
			for _, q := range []string{p, strings.ToLower(p)} {
				if !under(q, "/p") || strings.Contains(q, "/../") || strings.HasSuffix(q, "/..") {
					t.Errorf("%q is public and may be read as %q", target, q)
				}
			}
		}
	})
}
