package web

import (
	"fmt"
	"testing"
	"time"
)

// M-9, X-7: wrong answers count, per client, in bounded memory, and whoever
// guesses from many addresses locks out nobody.
func TestLimiter(t *testing.T) {
	l := newLimiter(6*time.Second, 10)
	for range 100 {
		if !l.allows("honest") {
			t.Fatal("right answers count")
		}
	}
	for i := range 10 {
		if !l.allows("guesser") {
			t.Fatalf("refused after %d wrong answers", i)
		}
		l.charge("guesser")
	}
	if l.allows("guesser") || !l.allows("honest") {
		t.Error("ten wrong answers do not stop the one who gave them, and only them")
	}
	for i := range 2 * maxLimited {
		l.charge(fmt.Sprint("2001:db8::", i))
		if i%1000 == 0 {
			l.charge("guesser") // still at it, so still remembered
		}
	}
	if l.allows("guesser") {
		t.Error("who guesses on is forgotten")
	}
	if !l.allows("newcomer") {
		t.Error("a full table refuses a newcomer")
	}
	if len(l.clients) != maxLimited || l.recent.Len() != maxLimited {
		t.Errorf("%d and %d clients", len(l.clients), l.recent.Len())
	}
}
