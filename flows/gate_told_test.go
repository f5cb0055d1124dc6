package flows

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/gatepost/gatepost/flows/gate"
)

// However often the ring goes round, whoever asks gets their own assertion or
// none, and the last ones are there.
func TestAssertionsAreTheirOwn(t *testing.T) {
	var a assertions
	now := time.Unix(1_800_000_000, 0)
	key := func(i int) assertionKey {
		return assertionKeyOf("app.example.org", gate.Identity{UserID: int32(i)})
	}
	token := func(i int) string { return strings.Repeat(fmt.Sprintf("%d.", i), 60+i%500) }
	const most = 30_000
	for i := range most {
		a.put(key(i), token(i), now)
		for _, j := range []int{i, i - 100, i - 1000, i - 10_000, i / 2} {
			got, issued, ok := a.get(key(j), now)
			if j < 0 && ok || ok && (got != token(j) || issued != now.UnixNano()) {
				t.Fatalf("after %d, %d has %.40s… of %d", i, j, got, issued)
			}
			if !ok && j >= 0 && j >= i-100 {
				t.Fatalf("after %d, %d is gone", i, j)
			}
		}
		if len(a.kept) > maxAssertions {
			t.Fatalf("%d are kept", len(a.kept))
		}
	}
	for _, at := range []time.Time{now.Add(assertionReuse), now.Add(-time.Second)} { // the clock may be set back
		if _, _, ok := a.get(key(most-1), at); ok {
			t.Errorf("one of %s is sent at %s", now, at)
		}
	}
}

// Who was renamed, moved, or left a group is described anew, and nobody by what
// is said of another.
func TestAssertionKeys(t *testing.T) {
	seen := map[assertionKey]string{}
	for _, id := range []gate.Identity{
		{}, {UserID: 1}, {UserID: 2}, {UserID: 1, Email: "a"}, {UserID: 1, Name: "a"}, {UserID: 1, Groups: []string{"a"}},
		{UserID: 1, Groups: []string{"a", "b"}}, {UserID: 1, Groups: []string{"a,b"}}, {UserID: 1, Groups: []string{"ab"}},
		{UserID: 1, Email: "a", Name: "b"}, {UserID: 1, Email: "ab"}, {UserID: 1, Name: "ab"},
	} {
		for _, host := range []string{"", "a", "app.example.org"} {
			k, of := assertionKeyOf(host, id), fmt.Sprintf("%q %+v", host, id)
			if other, ok := seen[k]; ok {
				t.Errorf("%s and %s have one key", of, other)
			}
			seen[k] = of
		}
	}
}
