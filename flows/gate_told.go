package flows

import (
	"crypto/sha256"
	"encoding/binary"
	"maps"
	"sync"
	"time"

	"github.com/gatepost/gatepost/flows/gate"
)

// assertionReuse is how long one assertion is sent again: signing costs more
// than all the rest of a check.
const assertionReuse = time.Minute

// fresh reports that an assertion issued then (UnixNano) is still sent. It goes by
// the wall clock, as the application's look at it does, and anew where that was
// set back.
func fresh(issued int64, now time.Time) bool {
	age := time.Duration(now.UnixNano() - issued)
	return age >= 0 && age < assertionReuse
}

// told is what the application at host is told of a person, with an assertion
// that was issued then (UnixNano): 120 bytes, two lines of the processor's cache.
type told struct {
	host       string
	issued     int64
	attributes gate.Attributes
}

// Attributes are what the application at host is told of p, a signed assertion
// among them. They are shared: nobody may change them.
func (g *Gate) Attributes(p *Person, host string) (*gate.Attributes, error) {
	now := g.Now()
	if t := p.told.Load(); t != nil && t.host == host && fresh(t.issued, now) {
		return &t.attributes, nil
	}
	key := assertionKeyOf(host, p.Identity)
	token, issued, known := g.assertions.get(key, now)
	if !known {
		var err error
		if token, err = g.Signer.Sign(host, p.Identity, now); err != nil {
			return nil, err
		}
		issued = now.UnixNano()
		g.assertions.put(key, token, now)
	}
	a := p.Identity.Attributes()
	a[gate.AttributeAssertion] = token
	t := &told{host, issued, a.Packed()}
	p.told.Store(t)
	return &t.attributes, nil
}

const (
	maxAssertions   = 8192
	assertionsBytes = maxAssertions * 320 // of about 400 each
)

// assertions are kept longer than the session cache believes of a person, which
// is asked anew every few seconds: the last few thousand, in a ring that the
// garbage collector need not walk.
type assertions struct {
	mu   sync.Mutex
	kept map[assertionKey]keptAssertion
	ring []byte
	next int64 // where the next begins, counted from the first ever written
}

// keptAssertion is where one begins, on that count.
type keptAssertion struct {
	begins, size int64
	issued       int64 // UnixNano
}

// assertionKey is a hash of everything that an assertion says but its times, so
// that a person who was renamed or left a group is never described by an old one.
type assertionKey [16]byte

func assertionKeyOf(host string, id gate.Identity) assertionKey {
	said := binary.AppendVarint(make([]byte, 0, 256), int64(id.UserID)) // not on the heap, as a rule
	for _, s := range [...]string{host, id.Email, id.Name} {
		said = append(binary.AppendUvarint(said, uint64(len(s))), s...)
	}
	for _, s := range id.Groups {
		said = append(binary.AppendUvarint(said, uint64(len(s))), s...)
	}
	sum := sha256.Sum256(said)
	return assertionKey(sum[:])
}

func (a *assertions) get(key assertionKey, now time.Time) (token string, issued int64, ok bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	k, ok := a.kept[key]
	if !ok || a.gone(k, now) {
		return "", 0, false
	}
	at := k.begins % assertionsBytes
	return string(a.ring[at : at+k.size]), k.issued, true
}

// gone is called with mu held.
func (a *assertions) gone(k keptAssertion, now time.Time) bool {
	return a.next-k.begins > assertionsBytes || !fresh(k.issued, now)
}

func (a *assertions) put(key assertionKey, token string, now time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.ring == nil {
		a.ring, a.kept = make([]byte, assertionsBytes), map[assertionKey]keptAssertion{}
	}
	size := int64(len(token))
	if left := assertionsBytes - a.next%assertionsBytes; left < size {
		a.next += left // none is in two pieces
	}
	if len(a.kept) >= maxAssertions {
		maps.DeleteFunc(a.kept, func(_ assertionKey, k keptAssertion) bool { return a.gone(k, now) })
		if len(a.kept) >= maxAssertions {
			clear(a.kept)
		}
	}
	copy(a.ring[a.next%assertionsBytes:], token)
	a.kept[key] = keptAssertion{a.next, size, now.UnixNano()}
	a.next += size
}
