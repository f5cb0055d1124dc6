package gate

import (
	"errors"
	"maps"
	"slices"
)

// An Admission says who may sign in at all. It does not change and is safe for
// concurrent use.
type Admission struct {
	allow, deny *people
	groups      *Rules // for GroupsOf alone
}

// ByMail is the way in of those who sign in by mail: in the policy of an Admission
// it is one of Providers.
const ByMail = "email"

// someNewcomer is the number of a person who has no user yet: somebody, and no
// user that a list could name.
const someNewcomer = -1

// CompileAdmission checks who may sign in: those whom deny does not name, and,
// unless allow is nil, whom allow names. Groups and providers are p's; in
// provider:google it is the way of this sign-in that counts.
func CompileAdmission(p Policy, allow, deny *Who) (*Admission, []Mistake) {
	c := compiler{names: names{groups: map[string]people{}, providers: p.Providers}}
	a := &Admission{groups: &Rules{groups: c.compileGroups(p.Groups)}}
	a.groups.names = slices.Sorted(maps.Keys(a.groups.groups))
	a.allow, a.deny = c.compileWho("allow", allow), c.compileWho("deny", deny)
	for key, who := range map[string]*people{"allow": a.allow, "deny": a.deny} {
		if who != nil && mentions(*who, whoSignedIn) {
			c.wrong(key, errors.New("nobody is signed in yet who signs in; everyone is everybody"))
		}
	}
	return a, c.mistakes
}

// Admits reports whether somebody may sign in. Of id.Providers the one of this
// sign-in is there and no other; UserID 0 is somebody who has no user yet. An
// address that nobody proved is none, and on no list.
func (a *Admission) Admits(id Identity) bool {
	if id.UserID == 0 {
		id.UserID = someNewcomer
	}
	id.Groups = a.groups.GroupsOf(id)
	if a.deny != nil && a.deny.include(&id) {
		return false
	}
	return a.allow == nil || a.allow.include(&id)
}
