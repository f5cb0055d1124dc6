package web

import (
	"crypto/sha256"
	"errors"
	"maps"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/gatepost/gatepost/flows"
)

// seen remembers whom a sealed cookie value belongs to, because unsealing costs
// more than the rest of a check: for as many as the session cache keeps ready,
// and while they go on asking, since the collector walks all of them. The key is
// a hash of the value as received: nobody who does not have the value can find
// another with the same key.
//
// What is sealed by nobody is remembered apart from it, so that no flood of it
// displaces a person: a browser goes on sending what it has. Our keys stay what
// they are while we run, and so does the verdict.
type seen struct {
	mu      sync.RWMutex
	who     map[sealedKey]known
	order   []sealedKey // of who, as they came: the one that came first makes room
	oldest  int         // in order
	refused map[sealedKey]struct{}
	swept   time.Time
}

type known struct {
	person *flows.Person
	place  int // in seen.order: one that left and came back has another
}

type sealedKey [16]byte

const (
	maxSeen    = 2048
	maxRefused = 1024
	sweepEvery = 10 * time.Second
)

func newSeen(most int) *seen {
	return &seen{who: map[sealedKey]known{}, order: make([]sealedKey, most), refused: map[sealedKey]struct{}{}}
}

func keyOf(sealed string) sealedKey {
	sum := sha256.Sum256(append(make([]byte, 0, sealedSession), sealed...)) // not on the heap
	return sealedKey(sum[:16])
}

// get is nil for whom nobody knows; refused means that it will stay so.
func (s *seen) get(k sealedKey) (p *flows.Person, refused bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if p = s.who[k].person; p == nil {
		_, refused = s.refused[k]
	}
	return p, refused
}

func (s *seen) refuse(k sealedKey) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.refused) >= maxRefused {
		clear(s.refused)
	}
	s.refused[k] = struct{}{}
}

func (s *seen) put(k sealedKey, p *flows.Person, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now.Sub(s.swept) > sweepEvery {
		s.swept = now
		maps.DeleteFunc(s.who, func(_ sealedKey, old known) bool { return !old.person.Live(now) })
	}
	if old, there := s.who[k]; there {
		s.who[k] = known{p, old.place}
		return
	}
	first := s.order[s.oldest]
	if old, there := s.who[first]; there && old.place == s.oldest {
		delete(s.who, first)
	}
	s.who[k], s.order[s.oldest] = known{p, s.oldest}, k
	s.oldest = (s.oldest + 1) % len(s.order)
}

func (s *seen) forget(k sealedKey) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.who, k)
}

// whoAsks finds out who sent the request: by a bearer token of ours, else by
// the session cookie. nil with ErrNoSession is nobody.
func (p *checkpoint) whoAsks(r *http.Request) (*flows.Person, error) {
	if auth := r.Header["Authorization"]; len(auth) == 1 {
		scheme, token, _ := strings.Cut(auth[0], " ")
		if ours := strings.HasPrefix(token, flows.AccessTokenPrefix); strings.EqualFold(scheme, "Bearer") && (ours || p.NextAuth != nil) {
			// One of NextAuth's looks like an application's own may.
			if person, err := p.Gate.Bearer(r.Context(), token); ours || !errors.Is(err, flows.ErrNoSession) {
				return person, err
			}
		}
	}
	sealed := oneCookie(r.Header["Cookie"], p.session, p.cookies.beside)
	if sealed == "" {
		return nil, flows.ErrNoSession
	}
	if p.NextAuth != nil { // there is nothing to unseal
		token, _ := p.cookies.openSession(sealed)
		return p.Gate.Person(r.Context(), token)
	}
	key := keyOf(sealed)
	person, refused := p.seen.get(key)
	var err error
	switch {
	case refused:
		return nil, flows.ErrNoSession
	case person == nil:
		token, ok := p.cookies.openSession(sealed)
		if !ok {
			p.seen.refuse(key)
			return nil, flows.ErrNoSession
		}
		person, err = p.Gate.Person(r.Context(), token)
	case person.Live(time.Now()):
		return person, nil
	default:
		person, err = p.Gate.Again(r.Context(), person)
	}
	if err != nil {
		if errors.Is(err, flows.ErrNoSession) {
			p.seen.forget(key)
		}
		return nil, err
	}
	p.seen.put(key, person, time.Now())
	return person, nil
}

// oneCookie returns the value of the cookie of that name, "" for none. Two of
// them are none: a sibling host has planted one (security S-9). orSame takes two
// that are the same for one, as cookies.get does.
func oneCookie(lines []string, name string, orSame bool) string {
	found, known := "", false
	for _, line := range lines {
		for line != "" {
			var pair string
			if i := strings.IndexByte(line, ';'); i >= 0 {
				pair, line = line[:i], line[i+1:]
			} else {
				pair, line = line, ""
			}
			for pair != "" && (pair[0] == ' ' || pair[0] == '\t') {
				pair = pair[1:]
			}
			if len(pair) > len(name) && pair[len(name)] == '=' && pair[:len(name)] == name {
				value := strings.Trim(pair[len(name)+1:], " \t\"")
				if known && (!orSame || value != found) {
					return ""
				}
				found, known = value, true
			}
		}
	}
	return found
}
