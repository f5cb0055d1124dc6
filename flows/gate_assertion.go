package flows

import (
	"sync"
	"time"
)

// assertionReuse is how long one assertion is sent again: signing costs more
// than all the rest of a check.
const assertionReuse = time.Minute

// maxAssertions are kept, about 600 bytes each.
const maxAssertions = 8192

// An assertion is a token of gate.Signer, for what was known of a person.
type assertion struct {
	assertionKey
	token string
	until time.Time
}

// assertionKey is everything that an assertion says but its times, so that a
// person who was renamed or left a group is never described by an old one.
type assertionKey struct {
	host                string
	userID              int32
	email, name, groups string
}

// assertions outlive what the session cache believes of a person, which is asked
// anew every few seconds.
type assertions struct {
	mu   sync.Mutex
	kept map[assertionKey]*assertion
}

func (a *assertions) get(k assertionKey) *assertion {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.kept[k]
}

func (a *assertions) put(one *assertion) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.kept == nil {
		a.kept = map[assertionKey]*assertion{}
	}
	if len(a.kept) >= maxAssertions {
		for any := range a.kept {
			delete(a.kept, any)
			break
		}
	}
	a.kept[one.assertionKey] = one
}

// Assertion is the signed statement for the application at host that p asks.
func (g *Gate) Assertion(p *Person, host string) (string, error) {
	now := g.Now()
	if a := p.asserted.Load(); a != nil && a.host == host && now.Before(a.until) {
		return a.token, nil
	}
	key := assertionKey{host, p.UserID, p.Identity.Email, p.Identity.Name, p.Attributes.Groups}
	a := g.asserted.get(key)
	if a == nil || !now.Before(a.until) {
		token, err := g.Signer.Sign(host, p.Identity, now)
		if err != nil {
			return "", err
		}
		a = &assertion{key, token, now.Add(assertionReuse)}
		g.asserted.put(a)
	}
	p.asserted.Store(a)
	return a.token, nil
}
