package store_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/gatepost/gatepost/store"
	"github.com/gatepost/gatepost/store/storetest"
)

// preHijacked is a user of victim@example.org, who has not proven the address, with
// an account and a session of somebody else's, and a link in the mail.
func preHijacked(t *testing.T) (s *store.Store, url string) {
	t.Helper()
	url = storetest.URL(t)
	s = storetest.OpenWith(t, store.Options{URL: url, MaxConns: 20, Timeout: 20 * time.Second})
	exec(t, url, `INSERT INTO users (email) VALUES ('victim@example.org')`)
	exec(t, url, `INSERT INTO accounts (compound_id, user_id, type, provider, provider_account_id) VALUES ('evil:6', 1, 'oauth', 'evil', '6')`)
	exec(t, url, `INSERT INTO sessions (user_id, expires, session_token, access_token) VALUES (1, now() + interval '1 day', 'session theirs', 'theirs')`)
	request(t, s, "victim@example.org", "t")
	return s, url
}

// meanwhile runs do while a transaction has done before, and lets that go on with
// after once do waits for it.
func meanwhile(t *testing.T, url string, before, after []string, do func() error) error {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	run := func(statements ...string) {
		t.Helper()
		for _, sql := range statements {
			if _, err := conn.Exec(t.Context(), sql); err != nil {
				t.Fatal(err)
			}
		}
	}
	run("BEGIN")
	run(before...)
	done := make(chan error, 1)
	go func() { done <- do() }()
	eventually(t, "somebody waits", func() bool {
		return query[int](t, url, "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'") == 1
	})
	run(after...)
	run("COMMIT")
	return <-done
}

const proofOfVictim = "UPDATE users SET email_verified = now() WHERE id = 1"

// L-4: what somebody adds to an address, or begins, while its owner proves it for
// the first time, is gone when the owner is signed in.
func TestFirstProofAndWhoIsThere(t *testing.T) {
	taken := []string{proofOfVictim, "DELETE FROM accounts WHERE user_id = 1", "DELETE FROM sessions WHERE user_id = 1"}
	for name, run := range map[string]func(t *testing.T, s *store.Store, url string){
		"an account is linked before": func(t *testing.T, s *store.Store, url string) {
			err := meanwhile(t, url, []string{"SELECT FROM users WHERE id = 1 FOR UPDATE"}, []string{
				`INSERT INTO accounts (compound_id, user_id, type, provider, provider_account_id) VALUES ('evil:7', 1, 'oauth', 'evil', '7')`,
				`INSERT INTO sessions (user_id, expires, session_token, access_token) VALUES (1, now() + interval '1 day', 'session linked', 'linked')`,
			}, func() error {
				_, err := s.SignInByVerification(t.Context(), store.Proof{Tokens: []string{"t"}}, newSession("mine"))
				return err
			})
			if got := query[string](t, url, "SELECT string_agg(session_token, ',') FROM sessions"); err != nil || got != "session mine" {
				t.Errorf("%v, sessions %s", err, got)
			}
		},
		"the account signs in": func(t *testing.T, s *store.Store, url string) {
			var in store.SignedIn
			err := meanwhile(t, url, taken, nil, func() (err error) {
				in, _, err = s.SignInByAccount(t.Context(), answer("evil", "6", "", "late"))
				return err
			})
			if err != nil || in.User.ID != 0 {
				t.Errorf("%+v, %v", in, err)
			}
		},
		"the session makes an access token": func(t *testing.T, s *store.Store, url string) {
			err := meanwhile(t, url, taken, nil, func() error {
				_, err := s.CreateAccessToken(t.Context(), 1, "session theirs", "program", "stored", time.Hour, 10)
				return err
			})
			if !errors.Is(err, store.ErrNotFound) {
				t.Error(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			s, url := preHijacked(t)
			run(t, s, url)
			if got := query[string](t, url, "SELECT (SELECT count(*) FROM accounts) || ' accounts, ' || (SELECT count(*) FROM sessions WHERE session_token <> 'session mine') || ' sessions'"); got != "0 accounts, 0 sessions" {
				t.Errorf("left: %s", got)
			}
		})
	}
}

// L-4: the same where everybody does everything at once, and nobody is told of a
// fault of ours.
func TestFirstProofUnderAttack(t *testing.T) {
	for round := range 6 {
		s, url := preHijacked(t)
		var wait sync.WaitGroup
		proven := make(chan struct{})
		for i := range 8 {
			wait.Go(func() {
				for n := 0; ; n++ {
					in, _, err := s.SignInByAccount(t.Context(), answer("evil", "6", "", fmt.Sprint(i, "-", n)))
					if err == nil && in.User.ID == 1 && round%2 == 1 {
						_, err = s.SignInByLinking(t.Context(), 1, nil, by(fmt.Sprint(i, "-", n), answer("evil", fmt.Sprint(i, "-", n), "", fmt.Sprint("linked ", i, "-", n))))
					}
					if err != nil && !errors.Is(err, store.ErrConflict) {
						t.Error(err)
					}
					select {
					case <-proven:
						return
					default:
					}
				}
			})
		}
		time.Sleep(time.Duration(5*round) * time.Millisecond)
		in, err := s.SignInByVerification(t.Context(), store.Proof{Tokens: []string{"t"}}, newSession("mine"))
		close(proven)
		wait.Wait()
		if err != nil || in.User.ID != 1 {
			// A linking kills what was mailed, too (L-5).
			if !errors.Is(err, store.ErrNotFound) {
				t.Errorf("%+v, %v", in, err)
			}
			continue
		}
		if got := query[string](t, url, "SELECT (SELECT count(*) FROM accounts WHERE user_id = 1) || ' accounts, ' || (SELECT count(*) FROM sessions WHERE user_id = 1) || ' sessions'"); got != "0 accounts, 1 sessions" {
			t.Errorf("left: %s", got)
		}
	}
}
