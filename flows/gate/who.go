package gate

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// An Identity is who asks; the zero value is nobody in particular.
type Identity struct {
	UserID    int32
	Email     string   // proven, lower case; "" for none
	Name      string   // as the person chose it: never decides anything
	Providers []string // of the person's accounts
	Groups    []string // named groups that the person is in, sorted; see Rules.GroupsOf
}

func (id *Identity) signedIn() bool { return id.UserID != 0 }

// A Who describes people. Exactly one of its fields is set.
type Who struct {
	Atom string // everyone, signed-in, an address, @domain, user:42, provider:github, group:admins
	Any  []Who
	All  []Who
}

// Words for everybody, and for everybody who is signed in.
const (
	everyone = "everyone"
	public   = "public" // the same as everyone
	signedIn = "signed-in"
)

type kind int

const (
	whoEveryone kind = iota + 1
	whoSignedIn
	whoAddress
	whoDomain
	whoSubdomains
	whoUser
	whoProvider
	whoGroup
	whoAny
	whoAll
)

// people is a Who that has been checked.
type people struct {
	kind kind
	text string
	id   int32
	of   []people
}

// names are what a Who may refer to.
type names struct {
	groups    map[string]people
	providers []string
}

func (w Who) compile(n names) (people, error) {
	switch {
	case w.Atom != "" && w.Any == nil && w.All == nil:
		return compileAtom(w.Atom, n)
	case w.Any != nil && w.All == nil && w.Atom == "":
		return compileList(whoAny, w.Any, n)
	case w.All != nil && w.Any == nil && w.Atom == "":
		return compileList(whoAll, w.All, n)
	}
	return people{}, fmt.Errorf("want a name, a list, or a mapping with any or all")
}

// compileList refuses an empty list: «all of nothing» would be everybody.
func compileList(k kind, list []Who, n names) (people, error) {
	p := people{kind: k}
	for _, w := range list {
		one, err := w.compile(n)
		if err != nil {
			return people{}, err
		}
		p.of = append(p.of, one)
	}
	if len(p.of) == 0 {
		return people{}, fmt.Errorf("the list is empty")
	}
	return p, nil
}

func compileAtom(atom string, n names) (people, error) {
	kindOf, name, named := strings.Cut(atom, ":")
	switch {
	case atom == everyone || atom == public:
		return people{kind: whoEveryone}, nil
	case atom == signedIn:
		return people{kind: whoSignedIn}, nil
	case named && kindOf == "user":
		id, err := strconv.ParseInt(name, 10, 32)
		if err != nil || id <= 0 {
			return people{}, fmt.Errorf("%q: want the number of a user, as in user:42", atom)
		}
		return people{kind: whoUser, id: int32(id)}, nil
	case named && kindOf == "provider":
		if !slices.Contains(n.providers, name) {
			return people{}, fmt.Errorf("%q: no provider of that id is configured%s", atom, listed(n.providers))
		}
		return people{kind: whoProvider, text: name}, nil
	case named && kindOf == "group":
		if _, ok := n.groups[name]; !ok {
			return people{}, fmt.Errorf("%q: there is no group of that name", atom)
		}
		return people{kind: whoGroup, text: name}, nil
	case strings.HasPrefix(atom, "@*."):
		return domainPeople(whoSubdomains, atom, strings.TrimPrefix(atom, "@*."))
	case strings.HasPrefix(atom, "@"):
		return domainPeople(whoDomain, atom, strings.TrimPrefix(atom, "@"))
	case strings.Count(atom, "@") == 1 && !strings.ContainsAny(atom, " \t,;*<>\"") && !strings.HasSuffix(atom, "@"):
		return people{kind: whoAddress, text: canonicalAddress(atom)}, nil
	}
	return people{}, fmt.Errorf("%q: want everyone, signed-in, an address, @domain, user:42, provider:github or group:admins", atom)
}

// canonicalAddress writes the domain as the addresses of people have it.
func canonicalAddress(atom string) string {
	local, domain, _ := strings.Cut(strings.ToLower(atom), "@")
	if host, port, err := canonicalHost(domain); err == nil && port == "" {
		domain = host
	}
	return local + "@" + domain
}

func domainPeople(k kind, atom, domain string) (people, error) {
	host, port, err := canonicalHost(domain)
	if err != nil || port != "" || !strings.Contains(host, ".") {
		return people{}, fmt.Errorf("%q: want a domain, as in @example.org or @*.example.org", atom)
	}
	return people{kind: k, text: host}, nil
}

func listed(words []string) string {
	if len(words) == 0 {
		return ""
	}
	return "; there are " + strings.Join(words, ", ")
}

// include reports whether id is one of p. Nobody in particular is only one of
// everyone: an empty address is at no domain, and user 0 is no user.
func (p *people) include(id *Identity) bool {
	switch p.kind {
	case whoEveryone:
		return true
	case whoAny:
		for i := range p.of {
			if p.of[i].include(id) {
				return true
			}
		}
		return false
	case whoAll:
		for i := range p.of {
			if !p.of[i].include(id) {
				return false
			}
		}
		return len(p.of) > 0
	}
	if !id.signedIn() {
		return false
	}
	switch p.kind {
	case whoSignedIn:
		return true
	case whoUser:
		return id.UserID == p.id
	case whoProvider:
		return slices.Contains(id.Providers, p.text)
	case whoGroup:
		return slices.Contains(id.Groups, p.text)
	case whoAddress:
		return id.Email != "" && strings.EqualFold(id.Email, p.text)
	case whoDomain, whoSubdomains:
		// The exact domain behind the one @: a suffix match lets in
		// attacker@evil-example.org (GHSA-7cc2-r658-7xpf, CVE-2026-40574).
		if strings.Count(id.Email, "@") != 1 {
			return false
		}
		_, domain, _ := strings.Cut(id.Email, "@")
		if p.kind == whoDomain {
			return domain == p.text
		}
		return strings.HasSuffix(domain, "."+p.text) && len(domain) > len(p.text)+1
	}
	return false
}

// Needs says whom a rule lets pass by the kind of people, and never by name:
// whoever is refused must not learn who is not.
type Needs string

// The kinds of people.
const (
	NeedsSignedIn Needs = "signed-in"
	NeedsGroup    Needs = "group"
	NeedsProvider Needs = "provider"
	NeedsDomain   Needs = "domain"
	NeedsPeople   Needs = "people"
)

func (p people) needs() Needs {
	switch p.kind {
	case whoSignedIn:
		return NeedsSignedIn
	case whoGroup:
		return NeedsGroup
	case whoProvider:
		return NeedsProvider
	case whoDomain, whoSubdomains:
		return NeedsDomain
	}
	return NeedsPeople
}

// words write p for the operator, as in the configuration.
func (p people) words() string {
	switch p.kind {
	case whoEveryone:
		return everyone
	case whoSignedIn:
		return signedIn
	case whoUser:
		return "user:" + strconv.Itoa(int(p.id))
	case whoProvider:
		return "provider:" + p.text
	case whoGroup:
		return "group:" + p.text
	case whoDomain:
		return "@" + p.text
	case whoSubdomains:
		return "@*." + p.text
	case whoAddress:
		return p.text
	}
	var of []string
	for _, q := range p.of {
		of = append(of, q.words())
	}
	if p.kind == whoAll {
		return "all of (" + strings.Join(of, ", ") + ")"
	}
	return strings.Join(of, " or ")
}
