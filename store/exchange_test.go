package store_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatepost/gatepost/store"
	"github.com/gatepost/gatepost/store/storetest"
)

// signed is a cookie of user 1 that was made an hour ago and ends in a month.
func signed(name string) store.SignedCookie {
	return store.SignedCookie{Mark: name, UserID: 1, Email: "ada@example.org", Issued: time.Now().Add(-time.Hour), Ends: time.Now().Add(30 * 24 * time.Hour), Since: time.Now().Add(-time.Hour)}
}

const ada = "INSERT INTO users (name, email) VALUES ('Ada', 'ada@example.org')"

// A hundred tabs present one cookie at once: one session, which is everybody's.
// When it has ended the cookie opens nothing any more, however often it comes.
func TestExchangeOnce(t *testing.T) {
	url := storetest.URL(t)
	s := storetest.OpenWith(t, store.Options{URL: url, MaxConns: 30, Timeout: 20 * time.Second})
	exec(t, url, ada)
	cookie, present := signed("cookie"), func() (store.SignedIn, error) {
		begins := newSession("of the cookie")
		begins.AccessToken = fmt.Sprint("access ", time.Now().UnixNano())
		return s.Exchange(t.Context(), signed("cookie"), begins)
	}
	var wg sync.WaitGroup
	var ids sync.Map
	for range 100 {
		wg.Go(func() {
			in, err := present()
			if err != nil || in.User.Email != "ada@example.org" || in.Session.SessionToken != "session of the cookie" {
				t.Errorf("%+v, %v", in, err)
			}
			ids.Store(in.Session.ID, true)
		})
	}
	wg.Wait()
	n := 0
	for range ids.Range {
		n++
	}
	if got := query[string](t, url, "SELECT (SELECT count(*) FROM sessions) || ' ' || (SELECT count(*) FROM verification_tokens)"); got != "1 1" || n != 1 {
		t.Fatalf("sessions and marks: %s, seen %d; want 1 1, 1", got, n)
	}
	left := query[time.Duration](t, url, "SELECT expires - now() FROM sessions")
	if left < lifetimes.Idle-time.Minute || left > lifetimes.Idle {
		t.Errorf("the session has %s, want %s", left, lifetimes.Idle)
	}
	if age := query[time.Duration](t, url, "SELECT now() - created_at FROM sessions"); age < time.Hour || age > time.Hour+time.Minute {
		t.Errorf("the session counts as begun %s ago", age)
	}
	if err := s.EndSession(t.Context(), "session of the cookie"); err != nil {
		t.Fatal(err)
	}
	for range 20 {
		wg.Go(func() {
			if in, err := present(); !errors.Is(err, store.ErrNotFound) || in.User.ID != 0 {
				t.Errorf("after the sign-out: %+v, %v", in, err)
			}
		})
	}
	wg.Wait()
	// The mark is there for longer than the cookie, whatever is swept.
	if _, _, err := s.Sweep(t.Context(), 0, 100); err != nil {
		t.Fatal(err)
	}
	if outlives := query[time.Duration](t, url, "SELECT expires - $1::timestamptz FROM verification_tokens", cookie.Ends); outlives < time.Hour {
		t.Errorf("the mark outlives the cookie by %s", outlives)
	}
	if mark := query[string](t, url, "SELECT identifier || ' ' || token FROM verification_tokens"); strings.Contains(mark, "@") {
		t.Errorf("a mark looks like an address: %s", mark)
	}
	if query[int](t, url, "SELECT count(*) FROM sessions") != 0 {
		t.Error("a session is back")
	}
}

// Whose a cookie is must be said twice: without a database, sub is an account's
// id at some provider, which may be anybody's users.id.
func TestExchangeTellsWhoseItIs(t *testing.T) {
	url := storetest.URL(t)
	s := storetest.OpenWith(t, store.Options{URL: url})
	exec(t, url, ada)
	exec(t, url, "INSERT INTO users (name, email) VALUES ('Mixed', 'Mix@example.org'), ('Nobody', NULL), ('Empty', '')")
	for i, tt := range []struct {
		name  string
		id    int32
		email string
		ends  time.Duration
		want  error
	}{
		{"the same address", 1, "ada@example.org", time.Hour, nil},
		{"in other case", 1, "Ada@Example.ORG", time.Hour, nil},
		{"a row in other case", 2, "mix@example.org", time.Hour, nil},
		{"another's id", 2, "ada@example.org", time.Hour, store.ErrNotFound},
		{"another's address", 1, "mix@example.org", time.Hour, store.ErrNotFound},
		{"no such user", 9, "ada@example.org", time.Hour, store.ErrNotFound},
		{"nobody", 0, "ada@example.org", time.Hour, store.ErrNotFound},
		{"no address in the cookie", 1, "", time.Hour, store.ErrNotFound},
		{"no address in the row", 3, "ada@example.org", time.Hour, store.ErrNotFound},
		{"absent on both sides", 3, "", time.Hour, store.ErrNotFound},
		{"empty on both sides", 4, "", time.Hour, store.ErrNotFound},
		{"part of the address", 1, "ada@example.or_", time.Hour, store.ErrNotFound},
		{"over by the database's clock", 1, "ada@example.org", -time.Second, store.ErrNotFound},
	} {
		c := store.SignedCookie{Mark: fmt.Sprint(i), UserID: tt.id, Email: tt.email, Issued: time.Now(), Ends: time.Now().Add(tt.ends), Since: time.Now()}
		in, err := s.Exchange(t.Context(), c, newSession(tt.name))
		if !errors.Is(err, tt.want) || (in.User.ID != 0) != (tt.want == nil) || tt.want == nil && in.User.ID != tt.id {
			t.Errorf("%s: user %d, %v; want %v", tt.name, in.User.ID, err, tt.want)
		}
	}
	if got := query[string](t, url, "SELECT (SELECT count(*) FROM sessions) || ' ' || (SELECT count(*) FROM verification_tokens)"); got != "3 3" {
		t.Errorf("sessions and marks: %s, want 3 3", got)
	}
}

// Signing out and being exchanged at the same moment: whoever comes first, the
// cookie opens nothing afterwards.
func TestEndExchangedAtTheSameTime(t *testing.T) {
	url := storetest.URL(t)
	s := storetest.OpenWith(t, store.Options{URL: url, MaxConns: 20, Timeout: 20 * time.Second})
	exec(t, url, ada)
	for i := range 40 {
		c, begins := signed(fmt.Sprint(i)), newSession(fmt.Sprint(i))
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				if _, err := s.Exchange(t.Context(), c, begins); err != nil && !errors.Is(err, store.ErrNotFound) {
					t.Error(err)
				}
			})
		}
		wg.Go(func() {
			if err := s.EndExchanged(t.Context(), c, begins.SessionToken); err != nil {
				t.Error(err)
			}
		})
		wg.Wait()
		if _, err := s.Exchange(t.Context(), c, begins); !errors.Is(err, store.ErrNotFound) {
			t.Fatalf("signed out, and exchanged: %v", err)
		}
	}
	if n := query[int](t, url, "SELECT count(*) FROM sessions"); n != 0 {
		t.Errorf("%d sessions have outlived their sign-out", n)
	}
}

// What a user's browsers hold is void when all of their sessions are ended, and
// a cookie of later is not.
func TestVoidSignedCookies(t *testing.T) {
	url := storetest.URL(t)
	s := storetest.OpenWith(t, store.Options{URL: url, MaxConns: 20, Timeout: 20 * time.Second})
	exec(t, url, ada)
	var served atomic.Int32
	var wg sync.WaitGroup
	for i := range 40 {
		wg.Go(func() {
			if _, err := s.Exchange(t.Context(), signed(fmt.Sprint(i)), newSession(fmt.Sprint(i))); err == nil {
				served.Add(1)
			} else if !errors.Is(err, store.ErrNotFound) {
				t.Error(err)
			}
		})
		if i == 20 {
			wg.Go(func() {
				if err := s.VoidSignedCookies(t.Context(), 1, time.Hour); err != nil {
					t.Error(err)
				}
				if _, err := s.EndAllSessions(t.Context(), 1); err != nil {
					t.Error(err)
				}
			})
		}
	}
	wg.Wait()
	if n := query[int](t, url, "SELECT count(*) FROM sessions"); n != 0 {
		t.Errorf("%d sessions of void cookies, of %d that were begun", n, served.Load())
	}
	if _, err := s.Exchange(t.Context(), signed("never seen"), newSession("never seen")); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("a void cookie: %v", err)
	}
	later := signed("later")
	later.Issued = time.Now().Add(time.Minute)
	if in, err := s.Exchange(t.Context(), later, newSession("later")); err != nil || in.User.ID != 1 {
		t.Errorf("a cookie of later: %+v, %v", in, err)
	}
	if err := s.VoidSignedCookies(t.Context(), 1, time.Hour); err != nil {
		t.Fatal(err)
	}
	if n := query[int](t, url, "SELECT count(*) FROM verification_tokens WHERE token LIKE '%user:%'"); n != 1 {
		t.Errorf("%d rows void one user's cookies", n)
	}
}

// The absolute end counts from when the session is said to have begun.
func TestExchangeEndsAbsolutely(t *testing.T) {
	url := storetest.URL(t)
	s := storetest.OpenWith(t, store.Options{URL: url})
	exec(t, url, ada)
	c := signed("old")
	c.Since = time.Now().Add(-89 * 24 * time.Hour)
	if in, err := s.Exchange(t.Context(), c, newSession("old")); err != nil || time.Until(in.Session.Expires) > 24*time.Hour {
		t.Errorf("%v, until %s", err, in.Session.Expires)
	}
	c = signed("older")
	c.Since = time.Now().Add(-91 * 24 * time.Hour)
	if in, err := s.Exchange(t.Context(), c, newSession("older")); err == nil && time.Until(in.Session.Expires) > 0 {
		t.Errorf("it lives until %s", in.Session.Expires)
	}
}
