package store_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/gatepost/gatepost/store"
	"github.com/gatepost/gatepost/store/storetest"
)

func newCache(t *testing.T, url string, o store.Options) (*store.Store, *store.Cache) {
	t.Helper()
	o.URL = url
	s := storetest.OpenWith(t, o)
	c := store.NewCache(s, 100, lifetimes)
	ctx, stop := context.WithCancel(context.Background())
	t.Cleanup(stop)
	go c.Run(ctx)
	eventually(t, "LISTEN is up", c.Trusted)
	return s, c
}

func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if holds() {
			return
		}
	}
	t.Fatalf("not within 5 s: %s", what)
}

// What another program wrote into one row fails no check of another session that
// shares the statement.
func TestCheckOfOddMoments(t *testing.T) {
	url := storetest.URL(t)
	s, _ := newCache(t, url, store.Options{})
	storetest.SQL(t, url, `INSERT INTO users (id, name, email, email_verified, created_at) VALUES (1, 'Ada', '', NULL, now()), (2, '', NULL, 'infinity', '-infinity')`)
	storetest.SQL(t, url, `INSERT INTO sessions (user_id, expires, session_token, access_token) VALUES
		(1, '2999-01-02 03:04:05.678901Z', 'usual', 'a'), (2, 'infinity', 'infinite', 'b'), (2, '10000-01-01', 'late', 'c'), (2, '-infinity', 'over', 'd')`)
	found, err := s.Check(t.Context(), store.SessionToken, []string{"usual", "infinite", "late", "over"}, lifetimes)
	if err != nil || len(found) != 3 {
		t.Fatalf("%+v, %v", found, err)
	}
	last := time.Date(9999, 12, 31, 23, 59, 59, 999_999_000, time.UTC)
	for _, c := range found {
		want, blank := last, store.BlankName
		if c.Session.SessionToken == "usual" {
			want, blank = time.Date(2999, 1, 2, 3, 4, 5, 678_901_000, time.UTC), store.BlankEmail
			if c.User.EmailVerified != nil {
				t.Errorf("verified %v", c.User.EmailVerified)
			}
		} else if c.User.EmailVerified == nil || !c.User.EmailVerified.Equal(last) || c.User.CreatedAt.Year() != 1 {
			t.Errorf("%+v", c.User)
		}
		if !c.Session.Expires.Equal(want) || c.Blank != blank {
			t.Errorf("%s: until %v, blank %b", c.Session.SessionToken, c.Session.Expires, c.Blank)
		}
	}
	if list, err := s.SessionsOf(t.Context(), 2); err != nil || len(list) != 2 || list[0].Expires.Year() != 9999 {
		t.Errorf("%+v, %v", list, err)
	}
}

// A check costs nothing when cached, and one statement for all who wait; what
// ends on one replica is over on the others.
func TestCache(t *testing.T) {
	url := storetest.URL(t)
	var count statements
	s, c := newCache(t, url, store.Options{Tracer: &count, Timeout: 20 * time.Second})
	other, _ := newCache(t, url, store.Options{})
	ctx := t.Context()
	if _, _, err := s.SignInByAccount(ctx, answer("google", "1", "ada@example.org", "1")); err != nil {
		t.Fatal(err)
	}
	count.n.Store(0)
	var wg sync.WaitGroup
	for range 100 {
		wg.Go(func() {
			if e, err := c.Check(ctx, store.SessionToken, "session 1"); err != nil || e.User.Email != "ada@example.org" || !slices.Equal(e.Providers, []string{"google"}) {
				t.Errorf("%+v, %v", e, err)
			}
		})
	}
	wg.Wait()
	before := count.n.Load()
	for range 100 {
		c.Check(ctx, store.SessionToken, "session 1")
	}
	if n := count.n.Load(); n != before || before > 10 {
		t.Errorf("%d statements, then %d more", before, n-before)
	}
	if err := other.EndSession(ctx, "session 1"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the session is over here too", func() bool {
		_, err := c.Check(ctx, store.SessionToken, "session 1")
		return errors.Is(err, store.ErrNotFound)
	})
	count.n.Store(0)
	for range 50 {
		c.Check(ctx, store.SessionToken, "nobody's")
	}
	if n := count.n.Load(); n != 1 {
		t.Errorf("%d statements for one unknown token", n)
	}
	for i := range 500 {
		c.Check(ctx, store.SessionToken, fmt.Sprint("made up ", i))
	}
}

// A replica that cannot hear of endings believes nothing from memory.
func TestCacheWithoutListen(t *testing.T) {
	url := storetest.URL(t)
	s, c := newCache(t, url, store.Options{})
	ctx := t.Context()
	if _, _, err := s.SignInByAccount(ctx, answer("google", "1", "", "1")); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Check(ctx, store.SessionToken, "session 1"); err != nil {
		t.Fatal(err)
	}
	exec(t, url, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query = 'LISTEN gatepost_session' AND datname = current_database()")
	exec(t, url, "DELETE FROM sessions") // by somebody who tells nobody
	eventually(t, "the cut is noticed", func() bool {
		_, err := c.Check(ctx, store.SessionToken, "session 1")
		return errors.Is(err, store.ErrNotFound)
	})
	eventually(t, "LISTEN is up again", c.Trusted)
}
