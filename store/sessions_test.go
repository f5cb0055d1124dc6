package store_test

import (
	"errors"
	"testing"
	"time"

	"github.com/gatepost/gatepost/store"
	"github.com/gatepost/gatepost/store/storetest"
)

// Without an absolute end a session lives as long as it is used.
func TestSessionsWithoutEnd(t *testing.T) {
	url := storetest.URL(t)
	s := storetest.OpenWith(t, store.Options{URL: url})
	exec(t, url, `INSERT INTO users (name) VALUES ('Ada')`)
	exec(t, url, `INSERT INTO sessions (user_id, expires, session_token, access_token, created_at) VALUES (1, now() + interval '1 day', 's', 'a', now() - interval '20 years')`)
	endless := store.Lifetimes{Idle: lifetimes.Idle, Update: lifetimes.Update}
	_, session, err := s.Session(t.Context(), "s", endless)
	if err != nil || time.Until(session.Expires) < endless.Idle-time.Minute || session.AccessToken != "a" {
		t.Errorf("%+v, %v", session, err)
	}
	if found, err := s.Check(t.Context(), store.AccessToken, []string{"a"}, endless); err != nil || len(found) != 1 {
		t.Errorf("%v, %v", found, err)
	}
	if _, _, err := s.Session(t.Context(), "s", lifetimes); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("with one: %v", err)
	}
}

// S-3, S-4: what the database's clock says.
func TestSessionSlides(t *testing.T) {
	url := storetest.URL(t)
	s := storetest.OpenWith(t, store.Options{URL: url})
	for _, tt := range []struct {
		name, expires, created string
		found                  bool
		slides                 bool
	}{
		{"fresh", "30 days", "0", true, false},
		{"23 hours used", "29 days 1 hour", "-23 hours", true, false},
		{"25 hours used", "28 days 23 hours", "-25 hours", true, true},
		{"last second", "1 minute", "-30 days", true, true},
		{"over", "-1 second", "-30 days", false, false},
		{"past the absolute end", "10 days", "-90 days -1 second", false, false},
		{"at the absolute end", "1 hour", "-89 days -23 hours", true, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			exec(t, url, "TRUNCATE sessions, users RESTART IDENTITY")
			exec(t, url, "INSERT INTO users (name) VALUES ('Ada')")
			exec(t, url, "INSERT INTO sessions (user_id, expires, created_at, session_token, access_token) VALUES (1, now() + $1::interval, now() + $2::interval, 's', 'a')", tt.expires, tt.created)
			before := query[time.Time](t, url, "SELECT expires FROM sessions")
			_, ses, err := s.Session(t.Context(), "s", lifetimes)
			if !tt.found {
				if !errors.Is(err, store.ErrNotFound) {
					t.Errorf("got %v, want not found", err)
				}
				return
			}
			after := query[time.Time](t, url, "SELECT expires FROM sessions")
			if err != nil || ses.UserID != 1 || after.After(before) != tt.slides || !ses.Expires.Equal(after) {
				t.Errorf("%v: before %v, after %v, answered %v", err, before, after, ses.Expires)
			}
			if end := query[bool](t, url, "SELECT expires <= created_at + interval '90 days' FROM sessions"); !end {
				t.Error("lives beyond the absolute end")
			}
		})
	}
}
