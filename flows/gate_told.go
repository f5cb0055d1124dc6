package flows

import (
	"strings"
	"sync"
	"time"

	"github.com/gatepost/gatepost/flows/gate"
)

// assertionReuse is how long one assertion is sent again: signing costs more
// than all the rest of a check.
const assertionReuse = time.Minute

// maxTold are kept, about 700 bytes each.
const maxTold = 6000

// told is what the application at host is told of a person, with an assertion
// that is sent until then.
type told struct {
	host       string
	until      time.Time
	attributes gate.Attributes
}

// toldKey is everything that is told but the assertion's times, so that a person
// who was renamed or left a group is never described by an old one.
type toldKey struct {
	host                string
	userID              int32
	email, name, groups string
}

// attributed keeps what was told longer than the session cache believes of a
// person, which is asked anew every few seconds.
type attributed struct {
	mu   sync.Mutex
	kept map[toldKey]*told
}

func (a *attributed) get(k toldKey) *told {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.kept[k]
}

func (a *attributed) put(k toldKey, t *told) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.kept == nil {
		a.kept = map[toldKey]*told{}
	}
	if len(a.kept) >= maxTold {
		for any := range a.kept {
			delete(a.kept, any)
			break
		}
	}
	a.kept[k] = t
}

// Attributes are what the application at host is told of p, a signed assertion
// among them. They are shared: nobody may change them.
func (g *Gate) Attributes(p *Person, host string) (*gate.Attributes, error) {
	now := g.Now()
	if t := p.told.Load(); t != nil && t.host == host && now.Before(t.until) {
		return &t.attributes, nil
	}
	key := toldKey{host, p.UserID, p.Email, p.Name, strings.Join(p.Groups, ",")}
	t := g.told.get(key)
	if t == nil || !now.Before(t.until) {
		a := p.Identity.Attributes()
		var err error
		if a[gate.AttributeAssertion], err = g.Signer.Sign(host, p.Identity, now); err != nil {
			return nil, err
		}
		t = &told{host, now.Add(assertionReuse), a.Packed()}
		g.told.put(key, t)
	}
	p.told.Store(t)
	return &t.attributes, nil
}
