package gate

import (
	"strings"
	"testing"
)

// Who may sign in, by lists. Deny goes before allow, and nothing that is absent
// on both sides matches: no address is at no domain, and a newcomer is no user.
func TestAdmission(t *testing.T) {
	p := Policy{Providers: []string{"google", "github", ByMail}, Groups: map[string][]Who{"staff": {{Atom: "ada@example.org"}, {Atom: "user:7"}, {All: []Who{{Atom: "@example.com"}, {Atom: "provider:google"}}}}}}
	who := func(atoms ...string) *Who {
		w := &Who{}
		for _, a := range atoms {
			w.Any = append(w.Any, Who{Atom: a})
		}
		return w
	}
	ada := Identity{Email: "ada@example.org", Providers: []string{"google"}}
	nobody := Identity{Providers: []string{"github"}} // without a proven address
	mail := Identity{Email: "eve@example.net", Providers: []string{ByMail}}
	for _, tt := range []struct {
		name        string
		allow, deny *Who
		id          Identity
		want        bool
	}{
		{"no lists", nil, nil, nobody, true},
		{"address allowed", who("ada@example.org"), nil, ada, true},
		{"another address", who("ada@example.org"), nil, mail, false},
		{"no address, address allowed", who("ada@example.org"), nil, nobody, false},
		{"no address, domain allowed", who("@example.org"), nil, nobody, false},
		{"domain allowed", who("@example.org"), nil, ada, true},
		{"suffix of a domain", who("@example.org"), nil, Identity{Email: "eve@evil-example.org"}, false},
		{"two at signs", who("@example.org"), nil, Identity{Email: "eve@evil.test@example.org"}, false},
		{"subdomain", who("@*.example.org"), nil, Identity{Email: "eve@a.example.org"}, true},
		{"address denied", nil, who("ada@example.org"), ada, false},
		{"address denied, another", nil, who("ada@example.org"), mail, true},
		{"no address, address denied", nil, who("ada@example.org"), nobody, true},
		{"denied before allowed", who("@example.org"), who("ada@example.org"), ada, false},
		{"user", who("user:7"), nil, Identity{UserID: 7}, true},
		{"newcomer is no user", who("user:7"), nil, nobody, false},
		{"user denied", nil, who("user:7"), Identity{UserID: 7}, false},
		{"way in", who("provider:github"), nil, nobody, true},
		{"another way in", who("provider:github"), nil, ada, false},
		{"mail as way in", who("provider:email"), nil, mail, true},
		{"no way in", who("provider:email"), nil, Identity{}, false},
		{"group by address", who("group:staff"), nil, ada, true},
		{"group by user", who("group:staff"), nil, Identity{UserID: 7}, true},
		{"group by way in", who("group:staff"), nil, Identity{Email: "x@example.com", Providers: []string{"google"}}, true},
		{"group by another way in", who("group:staff"), nil, Identity{Email: "x@example.com", Providers: []string{ByMail}}, false},
		{"not in the group", who("group:staff"), nil, mail, false},
		{"claims a group", who("group:staff"), nil, Identity{Email: "eve@example.net", Groups: []string{"staff"}}, false},
		{"everyone", who("everyone"), nil, nobody, true},
		{"nobody", nil, who("everyone"), ada, false},
	} {
		a, mistakes := CompileAdmission(p, tt.allow, tt.deny)
		if len(mistakes) > 0 {
			t.Errorf("%s: %v", tt.name, mistakes)
		} else if got := a.Admits(tt.id); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
	for _, tt := range []struct {
		allow, deny *Who
		key, text   string
	}{
		{who("signed-in"), nil, "allow", "nobody is signed in yet"},
		{who("group:none"), nil, "allow", "there is no group"},
		{nil, who("provider:okta"), "deny", "no provider of that id"},
		{nil, &Who{Any: []Who{}}, "deny", "the list is empty"},
		{who("example.org"), nil, "allow", "want everyone"},
	} {
		_, mistakes := CompileAdmission(p, tt.allow, tt.deny)
		if len(mistakes) != 1 || mistakes[0].Key != tt.key || !strings.Contains(mistakes[0].Text, tt.text) {
			t.Errorf("%v, want %s: %s", mistakes, tt.key, tt.text)
		}
	}
}
