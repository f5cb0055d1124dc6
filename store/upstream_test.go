package store_test

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatepost/gatepost/store"
	"github.com/gatepost/gatepost/store/storetest"
)

// Of any number who want a lease at once one gets it, also when it is over, and
// nobody ends that of another.
func TestLease(t *testing.T) {
	url := storetest.URL(t)
	s := storetest.OpenWith(t, store.Options{URL: url, MaxConns: 20, Timeout: 20 * time.Second})
	take := func(owner string, life time.Duration) (store.LeaseState, time.Duration) {
		t.Helper()
		state, left, err := s.TakeLease(t.Context(), store.Lease{Token: "refresh:x", Owner: owner}, life)
		if err != nil {
			t.Fatal(err)
		}
		return state, left
	}
	end := func(owner string, pause time.Duration) {
		t.Helper()
		if err := s.PauseLease(t.Context(), store.Lease{Token: "refresh:x", Owner: owner}, pause); err != nil {
			t.Fatal(err)
		}
	}
	for _, before := range []string{"never taken", "over", "paused, and that is over"} {
		var taken, busy atomic.Int32
		var wg sync.WaitGroup
		for i := range 60 {
			wg.Go(func() {
				state, _, err := s.TakeLease(t.Context(), store.Lease{Token: "refresh:x", Owner: fmt.Sprint(before, i)}, time.Minute)
				switch {
				case err != nil:
					t.Error(err)
				case state == store.LeaseTaken:
					taken.Add(1)
				case state == store.LeaseBusy:
					busy.Add(1)
				}
			})
		}
		wg.Wait()
		if taken.Load() != 1 || busy.Load() != 59 {
			t.Errorf("%s: %d took it, %d found it busy; want 1 and 59", before, taken.Load(), busy.Load())
		}
		exec(t, url, "UPDATE verification_tokens SET expires = now() - interval '1 second', identifier = CASE WHEN $1 = 'over' THEN 'lease paused' ELSE identifier END", before)
	}
	take("a", time.Minute)
	if state, _ := take("a", time.Minute); state != store.LeaseTaken {
		t.Errorf("its holder, again: %v", state)
	}
	for _, other := range []time.Duration{0, time.Minute} {
		end("b", other)
		if state, left := take("c", time.Minute); state != store.LeaseBusy || left < 50*time.Second {
			t.Errorf("after another ended it: %v, %s left", state, left)
		}
	}
	end("a", 0)
	if state, _ := take("b", time.Minute); state != store.LeaseTaken {
		t.Errorf("after its holder ended it: %v", state)
	}
	end("b", time.Minute)
	if state, left := take("c", time.Minute); state != store.LeasePaused || left < 50*time.Second {
		t.Errorf("paused: %v, %s left", state, left)
	}
	// It is nobody's mail: no link and no code opens it.
	if _, err := s.SignInByVerification(t.Context(), store.Proof{Tokens: []string{"refresh:x"}}, newSession("1")); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("signing in by a lease: %v", err)
	}
}

// Tokens are written only over those that they came of, again when nobody knows
// whether they were, and never over those of a sign-in.
func TestReplaceTokens(t *testing.T) {
	url := storetest.URL(t)
	s := storetest.OpenWith(t, store.Options{URL: url})
	lease := store.Lease{Token: "refresh:x", Owner: "a"}
	if _, _, err := s.SignInByAccount(t.Context(), answer("google", "1", "", "1")); err != nil {
		t.Fatal(err)
	}
	expires := time.Now().Add(time.Hour).Truncate(time.Microsecond)
	for _, tt := range []struct {
		name, refresh, access, old string
		want                       error
		row                        string
	}{
		{"rotated", "r2", "a2", "r1", nil, "r2 a2"},
		{"once more", "r2", "a2", "r1", nil, "r2 a2"},
		{"kept", "r2", "a3", "r2", nil, "r2 a3"},
		{"of tokens that are gone", "r9", "a9", "r1", store.ErrConflict, "r2 a3"},
		{"of none", "r9", "a9", "", store.ErrConflict, "r2 a3"},
		{"removed", "", "", "r2", nil, "- -"},
		{"of none, where there are none", "r9", "a9", "", store.ErrConflict, "- -"},
	} {
		if _, _, err := s.TakeLease(t.Context(), lease, time.Minute); err != nil {
			t.Fatal(err)
		}
		err := s.ReplaceTokens(t.Context(), store.Account{ID: 1, RefreshToken: tt.refresh, AccessToken: tt.access, AccessTokenExpires: &expires}, tt.old, lease)
		if !errors.Is(err, tt.want) || err != nil && tt.want == nil {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
		}
		if got := query[string](t, url, "SELECT coalesce(refresh_token, '-') || ' ' || coalesce(access_token, '-') FROM accounts"); got != tt.row {
			t.Errorf("%s: the row has %s, want %s", tt.name, got, tt.row)
		}
		if n := query[int](t, url, "SELECT count(*) FROM verification_tokens"); n != 0 {
			t.Errorf("%s: the lease is still there", tt.name)
		}
	}
}

// Of two accounts at one provider the one that was used last counts.
func TestUpstreamAccount(t *testing.T) {
	url := storetest.URL(t)
	s := storetest.OpenWith(t, store.Options{URL: url})
	if _, _, err := s.UpstreamAccount(t.Context(), 1, "google"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("nobody: %v", err)
	}
	for _, subject := range []string{"1", "2"} {
		if _, _, err := s.SignInByAccount(t.Context(), answer("google", subject, "", subject)); err != nil {
			t.Fatal(err)
		}
	}
	exec(t, url, "UPDATE accounts SET user_id = 1")
	for i, last := range []string{"1", "2", "1"} {
		if _, _, err := s.SignInByAccount(t.Context(), answer("google", last, "", fmt.Sprint("again ", i))); err != nil {
			t.Fatal(err)
		}
		a, now, err := s.UpstreamAccount(t.Context(), 1, "google")
		if err != nil || a.ProviderAccountID != last || a.AccessToken != "a1" || now.Sub(a.UpdatedAt) > time.Minute {
			t.Errorf("after %s: %+v as of %s, %v", last, a, now, err)
		}
		if _, _, err := s.UpstreamAccount(t.Context(), 1, "github"); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("at another provider: %v", err)
		}
		if _, _, err := s.UpstreamAccount(t.Context(), 2, "google"); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("somebody else: %v", err)
		}
	}
}
