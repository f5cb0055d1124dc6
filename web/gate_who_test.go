package web

import (
	"strconv"
	"testing"

	"github.com/gatepost/gatepost/flows"
)

// A flood of values that nobody sealed stays within bounds, and displaces nobody.
func TestRefusedCookiesDisplaceNobody(t *testing.T) {
	s, ada := newSeen(2), &flows.Person{}
	s.put(keyOf("ada"), ada)
	for i := range 3 * maxRefused {
		s.refuse(keyOf(strconv.Itoa(i)))
		if len(s.refused) > maxRefused {
			t.Fatalf("%d are remembered", len(s.refused))
		}
	}
	if p, refused := s.get(keyOf("ada")); p != ada || refused {
		t.Errorf("ada: %v, %t", p, refused)
	}
	if p, refused := s.get(keyOf(strconv.Itoa(3*maxRefused - 1))); p != nil || !refused {
		t.Errorf("the last: %v, %t", p, refused)
	}
	if p, refused := s.get(keyOf("unknown")); p != nil || refused {
		t.Errorf("unknown: %v, %t", p, refused)
	}
}
