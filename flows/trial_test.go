package flows

import (
	"strings"
	"testing"
	"time"

	"github.com/gatepost/gatepost/store"
)

// Only an operator who has the keys makes a state that the site shows the answer
// to, and only for a while.
func TestTrialState(t *testing.T) {
	now := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	keys, _ := NewKeys([][]byte{[]byte(strings.Repeat("n", 32)), []byte(strings.Repeat("k", 32))})
	old, _ := NewKeys([][]byte{[]byte(strings.Repeat("k", 32))})
	others, _ := NewKeys([][]byte{[]byte(strings.Repeat("x", 32))})
	state := keys.TrialState(now)
	if len(state) != len(randomToken()) || state == keys.TrialState(now) {
		t.Errorf("%q", state)
	}
	flipped := "B" + state[1:]
	if state[0] == 'B' {
		flipped = "C" + state[1:]
	}
	for _, tt := range []struct {
		name, state string
		keys        Keys
		after       time.Duration
		want        bool
	}{
		{"ours", state, keys, 0, true},
		{"at the end", state, keys, AttemptTTL, true},
		{"over", state, keys, AttemptTTL + time.Second, false},
		{"by an older key", old.TrialState(now), keys, 0, true},
		{"by another's key", state, others, 0, false},
		{"with another end", flipped, keys, 0, false},
		{"an ordinary one", randomToken(), keys, 0, false},
		{"short", state[:20], keys, 0, false},
		{"none", "", keys, 0, false},
		{"absent on both sides", "", Keys{}, 0, false},
		{"without keys", state, Keys{}, 0, false},
	} {
		if got := tt.keys.IsTrial(tt.state, now.Add(tt.after)); got != tt.want {
			t.Errorf("%s: %v", tt.name, got)
		}
	}
}

func TestForecast(t *testing.T) {
	for _, tt := range []struct {
		name   string
		facts  store.Facts
		email  string
		policy Linking
		want   Forecast
		reason string
	}{
		{"nobody yet", store.Facts{}, "a@example.org", LinkVerified, Forecast{Email: "a@example.org"}, ""},
		{"nobody yet, no proven address", store.Facts{}, "", LinkVerified, Forecast{}, ""},
		{"known account", store.Facts{Owner: 7, Namesake: 8, NamesakeVerified: true}, "a@example.org", LinkVerified, Forecast{User: 7}, ""},
		{"known address", store.Facts{Namesake: 8, NamesakeVerified: true}, "a@example.org", LinkVerified, Forecast{User: 8, Linked: true, Email: "a@example.org"}, ""},
		{"known address, not proven there", store.Facts{Namesake: 8}, "a@example.org", LinkVerified, Forecast{User: 8, Email: "a@example.org"}, ReasonAddressInUse},
		{"known address, never linked", store.Facts{Namesake: 8, NamesakeVerified: true}, "a@example.org", LinkNever, Forecast{User: 8, Email: "a@example.org"}, ReasonAddressInUse},
	} {
		got := forecast(tt.facts, tt.email, tt.policy, time.Now())
		reason := ""
		if got.Refusal != nil {
			reason, got.Refusal = got.Refusal.Reason, nil
		}
		if got != tt.want || reason != tt.reason {
			t.Errorf("%s: %+v %q", tt.name, got, reason)
		}
	}
}
