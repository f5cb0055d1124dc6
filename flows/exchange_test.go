package flows

import (
	"strconv"
	"testing"
	"time"

	"github.com/gatepost/gatepost/flows/nextauth"
)

func TestClaimant(t *testing.T) {
	address, none, zero := "ada@example.org", "", "ada@example.org\x00"
	for name, tt := range map[string]struct {
		sub   string
		email *string
		id    int32
	}{
		"a row's id":                 {"7", &address, 7},
		"the largest":                {"2147483647", &address, 2147483647},
		"absent on both sides":       {"", nil, 0},
		"no address":                 {"7", nil, 0},
		"an empty address":           {"7", &none, 0},
		"no text of Postgres's":      {"7", &zero, 0},
		"no sub":                     {"", &address, 0},
		"a provider's account":       {"110169484474386276334", &address, 0},
		"beyond a row's id":          {"2147483648", &address, 0},
		"a UUID":                     {"0b9bd6f2-5c1c-4b0e-9d5c-6c3c4f5c0d1e", &address, 0},
		"a name":                     {"alice", &address, 0},
		"zero":                       {"0", &address, 0},
		"negative":                   {"-7", &address, 0},
		"with a sign":                {"+7", &address, 0},
		"zeros before it":            {"007", &address, 0},
		"blanks":                     {" 7", &address, 0},
		"a number as Node prints it": {"7.0", &address, 0},
		"hexadecimal":                {"0x7", &address, 0},
	} {
		id, email, ok := claimant(nextauth.SessionClaims{Sub: tt.sub, Email: tt.email})
		if id != tt.id || ok != (tt.id != 0) || ok && email != address || !ok && email != "" {
			t.Errorf("%s: %d %q %v", name, id, email, ok)
		}
	}
}

// What is remembered of cookies has a bound, and ends with them.
func TestSignedSessionsForget(t *testing.T) {
	now := time.Now()
	g := SignedSessions{Now: func() time.Time { return now }}
	key := func(i int) cookieKey { return cookieKey{byte(i), byte(i >> 8)} }
	for i := range maxKnown + 100 {
		g.learn(key(i), knownCookie{SessionToken(strconv.Itoa(i)), now.Add(time.Minute)})
	}
	if len(g.known) != maxKnown {
		t.Errorf("%d are remembered", len(g.known))
	}
	last := key(maxKnown + 99)
	if token, ok := g.recall(last); !ok || token != SessionToken(strconv.Itoa(maxKnown+99)) {
		t.Errorf("the last one: %q, %v", token, ok)
	}
	now = now.Add(time.Minute)
	if _, ok := g.recall(last); ok {
		t.Error("a cookie that is over is still known")
	}
}
