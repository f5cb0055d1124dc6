package store_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/gatepost/gatepost/store"
	"github.com/gatepost/gatepost/store/storetest"
)

// L-4: whoever attached something to an address they had not proven loses it
// when its owner proves it. S-6: the sessions end too.
func TestFirstProofDetaches(t *testing.T) {
	url := storetest.URL(t)
	s := storetest.OpenWith(t, store.Options{URL: url})
	exec(t, url, `INSERT INTO users (email) VALUES ('victim@example.org')`)
	exec(t, url, `INSERT INTO accounts (compound_id, user_id, type, provider, provider_account_id) VALUES ('x', 1, 'oauth', 'evil', '6')`)
	exec(t, url, `INSERT INTO sessions (user_id, expires, session_token, access_token) VALUES (1, now() + interval '1 day', 'theirs', 'theirs')`)
	request(t, s, "victim@example.org", "t")
	in, err := s.SignInByVerification(t.Context(), store.Proof{Tokens: []string{"t"}}, newSession("mine"))
	if err != nil || in.User.ID != 1 || in.NewUser || in.User.EmailVerified == nil {
		t.Fatalf("%+v, %v", in, err)
	}
	if got := query[string](t, url, "SELECT (SELECT count(*) FROM accounts) || ' ' || (SELECT string_agg(session_token, ',') FROM sessions)"); got != "0 session mine" {
		t.Errorf("left: %s", got)
	}
}

// L-4: the first proof leaves accounts of providers that hand out proven addresses
// alone, as beside NextAuth, and of the user's others those that are named.
// Sessions stay only of whoever has no others.
func TestFirstProofKeeps(t *testing.T) {
	for name, tt := range map[string]struct {
		believed []string
		keep     []int32
		want     string
	}{
		"nobody":                          {nil, nil, "0 ; mine"},
		"none":                            {[]string{}, []int32{}, "0 ; mine"},
		"one of two":                      {[]string{"steady"}, nil, "1 steady; mine"},
		"both":                            {[]string{"steady", "evil"}, nil, "2 evil,steady; mine,theirs"},
		"named":                           {nil, []int32{2}, "1 steady; mine"},
		"named beside NextAuth":           {[]string{}, []int32{1}, "1 evil; mine"},
		"the other one named":             {[]string{"steady"}, []int32{1}, "2 evil,steady; mine"},
		"both named":                      {nil, []int32{1, 2}, "2 evil,steady; mine"},
		"somebody else's named":           {nil, []int32{3}, "0 ; mine"},
		"what is nowhere":                 {[]string{}, []int32{4, 0, -1, math.MaxInt32}, "0 ; mine"},
		"believed ones need not be named": {[]string{"steady"}, []int32{2}, "1 steady; mine"},
	} {
		t.Run(name, func(t *testing.T) {
			url := storetest.URL(t)
			s := storetest.OpenWith(t, store.Options{URL: url})
			exec(t, url, `INSERT INTO users (email) VALUES ('victim@example.org'), ('bob@example.org')`)
			exec(t, url, `INSERT INTO accounts (compound_id, user_id, type, provider, provider_account_id) VALUES ('x', 1, 'oauth', 'evil', '6'), ('y', 1, 'oauth', 'steady', '7'), ('z', 2, 'oauth', 'evil', '8')`)
			exec(t, url, `INSERT INTO sessions (user_id, expires, session_token, access_token) VALUES (1, now() + interval '1 day', 'theirs', 'theirs')`)
			request(t, s, "victim@example.org", "t")
			if _, err := s.SignInByVerification(t.Context(), store.Proof{Tokens: []string{"t"}, Identifier: "other@example.org", Believed: tt.believed, Keep: tt.keep}, newSession("other")); !errors.Is(err, store.ErrNotFound) {
				t.Fatalf("for another address: %v", err)
			}
			if _, err := s.SignInByVerification(t.Context(), store.Proof{Tokens: []string{"t"}, Identifier: "victim@example.org", Believed: tt.believed, Keep: tt.keep}, newSession("mine")); err != nil {
				t.Fatal(err)
			}
			if got := query[string](t, url, "SELECT string_agg(id || ' ' || compound_id, ',') FROM accounts WHERE user_id = 2"); got != "3 z" {
				t.Errorf("somebody else has: %s", got)
			}
			if got := query[string](t, url, "SELECT (SELECT count(*) || ' ' || coalesce(string_agg(provider, ',' ORDER BY provider), '') FROM accounts WHERE user_id = 1) || '; ' || (SELECT string_agg(replace(session_token, 'session ', ''), ',' ORDER BY session_token) FROM sessions)"); got != tt.want {
				t.Errorf("left: %s, want %s", got, tt.want)
			}
		})
	}
}

// L-4: a session of a user without accounts was begun with one that was unlinked
// since, or in a way that proved no address.
func TestFirstProofEndsSessionsWithoutAccount(t *testing.T) {
	url := storetest.URL(t)
	s := storetest.OpenWith(t, store.Options{URL: url})
	exec(t, url, `INSERT INTO users (email) VALUES ('victim@example.org')`)
	exec(t, url, `INSERT INTO sessions (user_id, expires, session_token, access_token) VALUES (1, now() + interval '1 day', 'theirs', 'theirs')`)
	request(t, s, "victim@example.org", "t")
	in, err := s.SignInByVerification(t.Context(), store.Proof{Tokens: []string{"t"}, Believed: []string{"steady"}, Ask: true}, newSession("mine"))
	if err != nil || !in.Cleared {
		t.Fatalf("%+v, %v", in, err)
	}
	if got := query[string](t, url, "SELECT string_agg(session_token, ',') FROM sessions"); got != "session mine" {
		t.Errorf("left: %s", got)
	}
}

// L-4: what there is to ask about, and that nothing is spent before it is.
func TestFirstProofAsks(t *testing.T) {
	for _, tt := range []struct {
		name     string
		verified string
		accounts string // of the user: providers
		believed []string
		atStake  string // of accounts
	}{
		{"two", "NULL", "evil steady", nil, "1 evil 2 steady"},
		{"one is believed", "NULL", "evil steady", []string{"steady"}, "1 evil"},
		{"all are believed", "NULL", "evil steady", []string{"steady", "evil"}, ""},
		{"the address was proven", "now()", "evil steady", nil, ""},
		{"no accounts", "NULL", "", nil, ""},
		{"nobody has it", "", "", nil, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			url := storetest.URL(t)
			s := storetest.OpenWith(t, store.Options{URL: url})
			if tt.verified != "" {
				exec(t, url, `INSERT INTO users (email, email_verified) VALUES ('ada@example.org', `+tt.verified+`)`)
			}
			for i, provider := range strings.Fields(tt.accounts) {
				exec(t, url, `INSERT INTO accounts (compound_id, user_id, type, provider, provider_account_id) VALUES ($1, 1, 'oauth', $2, $1)`, fmt.Sprint(i), provider)
			}
			exec(t, url, `INSERT INTO users (id, email) VALUES (99, 'bob@example.org')`)
			exec(t, url, `INSERT INTO accounts (compound_id, user_id, type, provider, provider_account_id) VALUES ('b', 99, 'oauth', 'evil', 'b')`)
			request(t, s, "ada@example.org", "t")
			state := `SELECT concat_ws(' ', (SELECT count(*) FROM accounts), (SELECT count(*) FROM sessions), (SELECT count(email_verified) FROM users), (SELECT string_agg(token, ',' ORDER BY token) FROM verification_tokens))`
			before := query[string](t, url, state)

			p := store.Proof{Tokens: []string{"t"}, Believed: tt.believed, Ask: true}
			_, atStake, err := s.VerificationToken(t.Context(), p)
			var named []string
			for _, a := range atStake {
				if named = append(named, fmt.Sprint(a.ID), a.Provider); time.Since(a.CreatedAt) > time.Hour || a.CompoundID != "" {
					t.Errorf("%+v", a)
				}
			}
			if got := strings.Join(named, " "); err != nil || got != tt.atStake {
				t.Errorf("at stake: %q, %v", got, err)
			}
			for name, wrong := range map[string]store.Proof{"another token": {Tokens: []string{"u"}}, "none": {}, "another address": {Tokens: []string{"t"}, Identifier: "bob@example.org"}} {
				if _, atStake, err := s.VerificationToken(t.Context(), wrong); !errors.Is(err, store.ErrNotFound) || len(atStake) > 0 {
					t.Errorf("%s: %v, %v", name, atStake, err)
				}
			}
			if got := query[string](t, url, state); got != before {
				t.Errorf("looked at: %s, was %s", got, before)
			}

			_, err = s.SignInByVerification(t.Context(), p, newSession("asks"))
			if tt.atStake == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if got := query[string](t, url, state); !errors.Is(err, store.ErrNotFound) || got != before {
				t.Fatalf("to be asked: %v, %s, was %s", err, got, before)
			}
			exec(t, url, `UPDATE verification_tokens SET expires = now()`)
			if _, atStake, err := s.VerificationToken(t.Context(), p); !errors.Is(err, store.ErrNotFound) || len(atStake) > 0 {
				t.Errorf("over: %v, %v", atStake, err)
			}
		})
	}
}

// L-4, G-2: of two tabs that keep different accounts, of a link and the code of
// the same mail, one decides; what the other keeps is not kept.
func TestConcurrentChoices(t *testing.T) {
	url := storetest.URL(t)
	s := storetest.OpenWith(t, store.Options{URL: url, MaxConns: 20, Timeout: 20 * time.Second})
	for round := range 8 {
		id := query[int32](t, url, `INSERT INTO users (email) VALUES ($1) RETURNING id`, fmt.Sprintf("p%d@example.org", round))
		var accounts [2]int32
		for i := range accounts {
			accounts[i] = query[int32](t, url, `INSERT INTO accounts (compound_id, user_id, type, provider, provider_account_id) VALUES ($1, $2, 'oauth', 'evil', $1) RETURNING id`, fmt.Sprint(round, i), id)
		}
		token := fmt.Sprint("t", round)
		request(t, s, fmt.Sprintf("p%d@example.org", round), token)
		var wg sync.WaitGroup
		var winner atomic.Int32
		for i := range 10 {
			wg.Go(func() {
				proof := store.Proof{Tokens: []string{token}, Keep: accounts[i%2 : i%2+1], Ask: i%3 == 0}
				if i >= 6 {
					proof.Tokens = codeOf(fmt.Sprintf("p%d@example.org", round), token).Tokens(5)
				}
				in, err := s.SignInByVerification(t.Context(), proof, newSession(fmt.Sprint(round, " ", i)))
				switch {
				case err == nil && in.Cleared && proof.Ask:
					t.Error("was to ask, and signed in")
				case err == nil && in.Cleared:
					if !winner.CompareAndSwap(0, proof.Keep[0]) {
						t.Error("two proved the address")
					}
				case err != nil && !errors.Is(err, store.ErrNotFound):
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if kept := query[string](t, url, `SELECT coalesce(string_agg(id::text, ','), '') FROM accounts WHERE user_id = $1`, id); kept != fmt.Sprint(winner.Load()) {
			t.Errorf("kept %s, chosen was %d", kept, winner.Load())
		}
		if n := query[int](t, url, `SELECT count(*) FROM sessions WHERE user_id = $1`, id); n != 1 {
			t.Errorf("%d sessions, want 1", n)
		}
	}
}

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
