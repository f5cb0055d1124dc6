package store_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/gatepost/gatepost/migrations"
	"github.com/gatepost/gatepost/store"
	"github.com/gatepost/gatepost/store/devpg"
	"github.com/gatepost/gatepost/store/storetest"
)

func TestMain(m *testing.M) { storetest.Main(m) }

var lifetimes = store.Lifetimes{Idle: 30 * 24 * time.Hour, Update: 24 * time.Hour, Absolute: 90 * 24 * time.Hour}

func newSession(name string) store.NewSession {
	return store.NewSession{SessionToken: "session " + name, AccessToken: "0123456789 access " + name, Lifetimes: lifetimes, MaxPerUser: 20}
}

func answer(provider, subject, email, session string) store.OAuthSignIn {
	return store.OAuthSignIn{
		Account: store.Account{CompoundID: provider + ":" + subject, Type: "oauth", Provider: provider, ProviderAccountID: subject, RefreshToken: "r1", AccessToken: "a1"},
		User:    store.User{Name: "Ada", Email: email},
		Session: newSession(session),
	}
}

// by is in as the browser sends it that has session.
func by(session string, in store.OAuthSignIn) store.OAuthSignIn {
	in.Session.Replaces = "session " + session
	return in
}

// statements counts what reaches the server.
type statements struct{ n atomic.Int32 }

func (s *statements) TraceQueryStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryStartData) context.Context {
	s.n.Add(1)
	return ctx
}
func (s *statements) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

func query[T any](t *testing.T, url, sql string, args ...any) (v T) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	if err := conn.QueryRow(t.Context(), sql, args...).Scan(&v); err != nil {
		t.Fatal(err)
	}
	return v
}

func exec(t *testing.T, url, sql string, args ...any) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	if _, err := conn.Exec(t.Context(), sql, args...); err != nil {
		t.Fatal(err)
	}
}

// Each flow costs one statement.
func TestStatementsPerFlow(t *testing.T) {
	var count statements
	s := storetest.OpenWith(t, store.Options{Tracer: &count})
	ctx := t.Context()
	steps := []struct {
		name string
		do   func() error
	}{
		{"new person", func() error {
			_, _, err := s.SignInByAccount(ctx, answer("google", "1", "ada@example.org", "1"))
			return err
		}},
		{"known account", func() error {
			_, _, err := s.SignInByAccount(ctx, answer("google", "1", "ada@example.org", "2"))
			return err
		}},
		{"session", func() error { _, _, err := s.Session(ctx, "session 2", lifetimes); return err }},
		{"link", func() error {
			_, err := s.SignInByLinking(ctx, 1, nil, by("2", answer("github", "1", "", "3")))
			return err
		}},
		{"mail request", func() error {
			_, _, err := s.RequestVerification(ctx, store.VerificationRequest{Identifier: "ada@example.org", Token: "t", CodeID: "c", TTL: time.Minute, CodeTries: 5})
			return err
		}},
		{"mail link's page", func() error {
			_, _, err := s.VerificationToken(ctx, store.Proof{Tokens: []string{"t"}})
			return err
		}},
		{"mail link", func() error {
			_, err := s.SignInByVerification(ctx, store.Proof{Tokens: []string{"t"}, Keep: []int32{1}, Ask: true}, newSession("4"))
			return err
		}},
		{"upstream token", func() error { _, _, err := s.UpstreamAccount(ctx, 1, "google"); return err }},
		{"lease", func() error {
			_, _, err := s.TakeLease(ctx, store.Lease{Token: "refresh:1", Owner: "x"}, time.Minute)
			return err
		}},
		{"refreshed tokens", func() error {
			return s.ReplaceTokens(ctx, store.Account{ID: 1, RefreshToken: "r2"}, "r1", store.Lease{Token: "refresh:1", Owner: "x"})
		}},
		{"sign out", func() error { return s.EndSession(ctx, "session 4") }},
	}
	for _, step := range steps {
		count.n.Store(0)
		if err := step.do(); err != nil {
			t.Fatalf("%s: %v", step.name, err)
		}
		if n := count.n.Load(); n != 1 {
			t.Errorf("%s took %d statements, want 1", step.name, n)
		}
	}
}

// L-10: one identity signing in for the first time a hundred times at once.
func TestConcurrentFirstSignIns(t *testing.T) {
	url := storetest.URL(t)
	s := storetest.OpenWith(t, store.Options{URL: url, MaxConns: 30, Timeout: 20 * time.Second})
	var wg sync.WaitGroup
	for i := range 100 {
		wg.Go(func() {
			in, _, err := s.SignInByAccount(t.Context(), answer("google", "1", "ada@example.org", fmt.Sprint(i)))
			if err != nil || in.User.ID == 0 {
				t.Errorf("sign-in %d: user %d, %v", i, in.User.ID, err)
			}
		})
	}
	wg.Wait()
	if got := query[string](t, url, "SELECT (SELECT count(*) FROM users) || ' ' || (SELECT count(*) FROM accounts)"); got != "1 1" {
		t.Errorf("users and accounts: %s, want 1 1", got)
	}
}

// An account whose user is gone locks nobody out: its person gets a new user,
// one however many sign-ins there are at once, or adds it to the user they have.
func TestAccountWithoutUser(t *testing.T) {
	for _, tt := range []struct {
		name  string
		asked int
		do    func(s *store.Store, session string) (store.SignedIn, error)
		want  string // users, accounts, and whose the account is
	}{
		{"signs in", 1, func(s *store.Store, session string) (store.SignedIn, error) {
			in, _, err := s.SignInByAccount(t.Context(), answer("google", "1", "ada@example.org", session))
			return in, err
		}, "1 1 true"},
		{"signs in fifty times at once", 50, func(s *store.Store, session string) (store.SignedIn, error) {
			in, _, err := s.SignInByAccount(t.Context(), answer("google", "1", "", session))
			return in, err
		}, "1 1 true"},
		{"is linked to another user", 1, func(s *store.Store, session string) (store.SignedIn, error) {
			bob, _, err := s.SignInByAccount(t.Context(), answer("github", "2", "bob@example.org", "bob"))
			if err != nil {
				return bob, err
			}
			return s.SignInByLinking(t.Context(), bob.User.ID, []string{"bob@example.org"}, answer("google", "1", "", session))
		}, "1 2 true"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			url := storetest.URL(t)
			var count statements
			s := storetest.OpenWith(t, store.Options{URL: url, MaxConns: 20, Timeout: 20 * time.Second, Tracer: &count})
			if _, _, err := s.SignInByAccount(t.Context(), answer("google", "1", "ada@example.org", "old")); err != nil {
				t.Fatal(err)
			}
			exec(t, url, "DELETE FROM users")
			count.n.Store(0)
			var wg sync.WaitGroup
			for i := range tt.asked {
				wg.Go(func() {
					if in, err := tt.do(s, fmt.Sprint(i)); err != nil || in.User.ID == 0 || in.User.ID == 1 {
						t.Errorf("user %d, %v", in.User.ID, err)
					}
				})
			}
			wg.Wait()
			if n := count.n.Load(); tt.name == "signs in" && n != 1 {
				t.Errorf("%d statements, want 1", n)
			}
			got := query[string](t, url, "SELECT (SELECT count(*) FROM users) || ' ' || (SELECT count(*) FROM accounts) || ' ' || (SELECT bool_and(user_id IN (SELECT id FROM users)) FROM accounts)")
			if got != tt.want {
				t.Errorf("left: %s, want %s", got, tt.want)
			}
		})
	}
}

// G-2, M-5: a hundred uses of one link at once; the identity is the row's.
func TestOneLinkSignsInOnce(t *testing.T) {
	url := storetest.URL(t)
	s := storetest.OpenWith(t, store.Options{URL: url, MaxConns: 30, Timeout: 20 * time.Second})
	request(t, s, "ada@example.org", "t")
	var won, lost atomic.Int32
	var wg sync.WaitGroup
	for i := range 100 {
		wg.Go(func() {
			in, err := s.SignInByVerification(t.Context(), store.Proof{Tokens: []string{"t"}}, newSession(fmt.Sprint(i)))
			switch {
			case err == nil && in.User.Email == "ada@example.org" && in.User.EmailVerified != nil:
				won.Add(1)
			case errors.Is(err, store.ErrNotFound):
				lost.Add(1)
			default:
				t.Errorf("%+v, %v", in, err)
			}
		})
	}
	wg.Wait()
	if won.Load() != 1 || lost.Load() != 99 {
		t.Errorf("%d won and %d lost", won.Load(), lost.Load())
	}
	if n := query[int](t, url, "SELECT count(*) FROM sessions"); n != 1 {
		t.Errorf("%d sessions, want 1", n)
	}
}

// G-2: of a link and the code of the same mail, used at the same moment, one signs
// in, and the other is over.
func TestLinkAndCodeAtOnce(t *testing.T) {
	url := storetest.URL(t)
	s := storetest.OpenWith(t, store.Options{URL: url, MaxConns: 20})
	for round := range 20 {
		token := fmt.Sprint("t", round)
		request(t, s, "ada@example.org", token)
		var won, lost atomic.Int32
		var wg sync.WaitGroup
		for i, tokens := range [][]string{{token}, codeOf("ada@example.org", token).Tokens(5), {token}, codeOf("ada@example.org", token).Tokens(5)} {
			wg.Go(func() {
				_, err := s.SignInByVerification(t.Context(), store.Proof{Tokens: tokens}, newSession(fmt.Sprint(round, " ", i)))
				switch {
				case err == nil:
					won.Add(1)
				case errors.Is(err, store.ErrNotFound):
					lost.Add(1)
				default:
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if won.Load() != 1 || lost.Load() != 3 {
			t.Errorf("%d won and %d lost", won.Load(), lost.Load())
		}
	}
}

// M-8: what was mailed to an address is found by it, whatever the order of letters
// is in the database.
func TestMailsInEveryCollation(t *testing.T) {
	for _, collation := range []string{"C", "und-x-icu", "da-x-icu", "cs-x-icu", "sv-x-icu", "et-x-icu", "lt-x-icu"} {
		t.Run(collation, func(t *testing.T) {
			url := storetest.URL(t)
			if !query[bool](t, url, "SELECT EXISTS (SELECT FROM pg_collation WHERE collname = $1)", collation) {
				t.Log("this Postgres is built without it")
				return
			}
			exec(t, url, `ALTER TABLE verification_tokens ALTER token TYPE varchar(255) COLLATE "`+collation+`"`)
			s := storetest.OpenWith(t, store.Options{URL: url})
			for i := range 200 {
				address := fmt.Sprint(i, "@example.org")
				request(t, s, address, fmt.Sprint("kept ", i))
				request(t, s, address, fmt.Sprint("t", i))
				if _, err := s.SignInByVerification(t.Context(), store.Proof{Tokens: []string{fmt.Sprint("t", i)}}, newSession(fmt.Sprint(i))); err != nil {
					t.Fatal(err)
				}
			}
			if n := query[int](t, url, "SELECT count(*) FROM verification_tokens"); n != 0 {
				t.Errorf("%d rows are left", n)
			}
		})
	}
}

// codeOf is the code of a mail that was requested with token.
func codeOf(address, token string) store.MailedCode {
	return store.MailedCode{Identifier: address, ID: token, Link: token}
}

func request(t *testing.T, s *store.Store, address, token string) {
	t.Helper()
	_, ok, err := s.RequestVerification(t.Context(), store.VerificationRequest{Identifier: address, Token: token, CodeID: token, TTL: time.Minute, CodeTries: 5})
	if err != nil || !ok {
		t.Fatalf("request: %v, %v", ok, err)
	}
}

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

// nextauth-v3 §18 row 2: no account, no user, so that nobody is locked out by a
// half of their own sign-in.
func TestNoUserWithoutAccount(t *testing.T) {
	url := storetest.URL(t)
	s := storetest.OpenWith(t, store.Options{URL: url})
	in := answer("google", "1", "ada@example.org", "x")
	in.Account.Provider = strings.Repeat("p", 256)
	if _, _, err := s.SignInByAccount(t.Context(), in); !errors.Is(err, store.ErrInvalid) {
		t.Errorf("%v", err)
	}
	if got := query[string](t, url, "SELECT (SELECT count(*) FROM users) || ' ' || (SELECT count(*) FROM sessions)"); got != "0 0" {
		t.Errorf("left: %s", got)
	}
}

// L-2, L-3, L-7: what may be linked, and what linking leaves alone.
func TestLinking(t *testing.T) {
	url := storetest.URL(t)
	s := storetest.OpenWith(t, store.Options{URL: url})
	ctx := t.Context()
	ada, _, err := s.SignInByAccount(ctx, answer("google", "1", "ada@example.org", "ada"))
	if err != nil || !ada.NewUser {
		t.Fatal(ada, err)
	}
	if _, f, err := s.SignInByAccount(ctx, answer("github", "1", "ada@example.org", "x")); err != nil || f.Namesake != ada.User.ID || !f.NamesakeVerified || f.Owner != 0 {
		t.Errorf("same address: %+v, %v", f, err)
	}
	if _, err := s.SignInByLinking(ctx, ada.User.ID, []string{"bob@example.org"}, answer("github", "1", "", "x")); !errors.Is(err, store.ErrConflict) {
		t.Errorf("address of another: %v", err)
	}
	if _, err := s.SignInByLinking(ctx, ada.User.ID, nil, by("ada", answer("google", "1", "", "x"))); !errors.Is(err, store.ErrConflict) {
		t.Errorf("account that is taken: %v", err)
	}
	other := answer("github", "1", "new@example.org", "x")
	other.User.Name = "Eve"
	in, err := s.SignInByLinking(ctx, ada.User.ID, []string{"ada@example.org"}, other)
	if err != nil || in.User.Name != "Ada" || in.User.Email != "ada@example.org" {
		t.Errorf("%+v, %v", in, err)
	}
	if _, _, err := s.Session(ctx, "session ada", lifetimes); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("L-5: the other session: %v", err)
	}
	// L-9
	accounts, err := s.AccountsOf(ctx, ada.User.ID)
	if err != nil || len(accounts) != 2 {
		t.Fatal(accounts, err)
	}
	exec(t, url, "UPDATE users SET email_verified = NULL")
	if err := s.Unlink(ctx, ada.User.ID, accounts[0].ID, "session x"); err != nil {
		t.Error(err)
	}
	if err := s.Unlink(ctx, ada.User.ID, accounts[1].ID, "session x"); !errors.Is(err, store.ErrLastWayIn) {
		t.Errorf("last way in: %v", err)
	}
	if err := s.Unlink(ctx, 99, accounts[1].ID, ""); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("somebody else's account: %v", err)
	}
}

// FactsOf says what SignInByAccount would go by, and writes nothing.
func TestFacts(t *testing.T) {
	url := storetest.URL(t)
	s := storetest.OpenWith(t, store.Options{URL: url})
	ctx := t.Context()
	for _, who := range []store.OAuthSignIn{answer("google", "1", "ada@example.org", "ada"), answer("github", "2", "", "eve")} {
		if _, _, err := s.SignInByAccount(ctx, who); err != nil {
			t.Fatal(err)
		}
	}
	exec(t, url, "INSERT INTO users (email) VALUES ('bob@example.org')")
	exec(t, url, "INSERT INTO accounts (compound_id, user_id, type, provider, provider_account_id) VALUES ('gitlab:9', 99, 'oauth', 'gitlab', '9')")
	for _, tt := range []struct {
		account, email string
		want           store.Facts
	}{
		{"google:1", "ada@example.org", store.Facts{Owner: 1, Namesake: 1, NamesakeVerified: true}},
		{"google:1", "", store.Facts{Owner: 1}},
		{"google:2", "ada@example.org", store.Facts{Namesake: 1, NamesakeVerified: true}},
		{"google:2", "bob@example.org", store.Facts{Namesake: 3}},
		{"google:2", "", store.Facts{}}, // a user without an address is nobody's namesake
		{"gitlab:9", "", store.Facts{}}, // its user is gone
		{"", "", store.Facts{}},
	} {
		if got, err := s.FactsOf(ctx, tt.account, spelled(tt.email)); err != nil || got != tt.want {
			t.Errorf("%q %q: %+v, %v", tt.account, tt.email, got, err)
		}
	}
	if n := query[int](t, url, "SELECT count(*) FROM sessions"); n != 2 {
		t.Errorf("%d sessions", n)
	}
}

// L-4 at a provider that vouches for the address of a user that nobody had
// proven, as all of NextAuth's are: it is proven from now on, unless somebody else
// may have named it. Nothing is taken away.
func TestAccountProvesAddress(t *testing.T) {
	for _, tt := range []struct {
		name, column, vouched, other string
		believed                     []string
		proven                       bool
	}{
		{"its only account", "ada@example.org", "ada@example.org", "", nil, true},
		{"another account", "ada@example.org", "ada@example.org", "elsewhere", []string{"github"}, false},
		{"another account, nobody is believed", "ada@example.org", "ada@example.org", "github", nil, false},
		{"another account, of a believed provider", "ada@example.org", "ada@example.org", "github", []string{"github"}, true},
		{"nothing vouched for", "ada@example.org", "", "", nil, false},
		{"another address", "ada@example.org", "eve@example.org", "", nil, false},
		{"absent on both sides", "", "", "", nil, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			url := storetest.URL(t)
			s := storetest.OpenWith(t, store.Options{URL: url})
			exec(t, url, "INSERT INTO users (name, email) VALUES ('Ada', nullif($1, ''))", tt.column)
			exec(t, url, "INSERT INTO accounts (compound_id, user_id, type, provider, provider_account_id) VALUES ('google:1', 1, 'oauth', 'google', '1')")
			if tt.other != "" {
				exec(t, url, "INSERT INTO accounts (compound_id, user_id, type, provider, provider_account_id) VALUES ('other:2', 1, 'oauth', $1, '2')", tt.other)
			}
			exec(t, url, "INSERT INTO sessions (user_id, expires, session_token, access_token) VALUES (1, now() + interval '1 day', 'before', 'before')")
			accounts := query[int](t, url, "SELECT count(*) FROM accounts")
			in := answer("google", "1", tt.vouched, "new")
			in.Believed = tt.believed
			out, _, err := s.SignInByAccount(t.Context(), in)
			if err != nil || out.User.ID != 1 || (out.User.EmailVerified != nil) != tt.proven {
				t.Fatalf("%+v, %v", out, err)
			}
			if got := query[bool](t, url, "SELECT email_verified IS NOT NULL FROM users"); got != tt.proven {
				t.Errorf("proven in its row: %v", got)
			}
			if n := query[int](t, url, "SELECT count(*) FROM accounts"); n != accounts {
				t.Errorf("%d accounts are left of %d", n, accounts)
			}
			if n := query[int](t, url, "SELECT count(*) FROM sessions"); n != 2 {
				t.Errorf("%d sessions, want 2", n)
			}
		})
	}
}

// The refresh token of an earlier consent stays when none came; S-1: the old
// session of the browser ends; S-14: so do the oldest beyond the limit.
func TestKnownAccount(t *testing.T) {
	url := storetest.URL(t)
	s := storetest.OpenWith(t, store.Options{URL: url})
	ctx := t.Context()
	if _, _, err := s.SignInByAccount(ctx, answer("google", "1", "", "1")); err != nil {
		t.Fatal(err)
	}
	again := answer("google", "1", "", "2")
	again.Account.RefreshToken, again.Account.AccessToken, again.Session.Replaces = "", "a2", "session 1"
	in, f, err := s.SignInByAccount(ctx, again)
	if err != nil || in.NewUser || f.Current != in.User.ID {
		t.Fatal(in, f, err)
	}
	if got := query[string](t, url, "SELECT refresh_token || ' ' || access_token || ' ' || (SELECT string_agg(session_token, ',') FROM sessions) FROM accounts"); got != "r1 a2 session 2" {
		t.Error(got)
	}
	for i := range 5 {
		more := answer("google", "1", "", fmt.Sprint("more", i))
		more.Session.MaxPerUser = 3
		if _, _, err := s.SignInByAccount(ctx, more); err != nil {
			t.Fatal(err)
		}
	}
	if n := query[int](t, url, "SELECT count(*) FROM sessions"); n != 3 {
		t.Errorf("%d sessions, want 3", n)
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

// M-8, M-12: limits hold and outlive the tokens; of links three live.
func TestMailLimits(t *testing.T) {
	url := storetest.URL(t)
	s := storetest.OpenWith(t, store.Options{URL: url, MaxConns: 20, Timeout: 20 * time.Second})
	ask := func(n int, address, client string) bool {
		_, ok, err := s.RequestVerification(t.Context(), store.VerificationRequest{
			Identifier: address, Token: fmt.Sprint(address, n), CodeID: fmt.Sprint(address, n), TTL: time.Minute, CodeTries: 5,
			AddressKey: address, ClientKey: client, Limits: store.MailLimits{AddressPerWindow: 3, AddressPerDay: 10, ClientPerWindow: 5, Window: 24 * time.Hour}})
		if err != nil {
			t.Error(err)
		}
		return ok
	}
	var granted atomic.Int32
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			if ask(i, "ada@example.org", "c1") {
				granted.Add(1)
			}
		})
	}
	wg.Wait()
	if n := granted.Load(); n != 3 {
		t.Errorf("%d of 20 at once granted, want 3", n)
	}
	exec(t, url, "DELETE FROM verification_tokens WHERE identifier <> 'limit'")
	for i := range 4 {
		ask(100+i, "ada@example.org", "c1")
	}
	if ask(200, "ada@example.org", "c2") {
		t.Error("the limit of an address is forgotten with its tokens")
	}
	for i := range 6 {
		ask(i, fmt.Sprintf("%d@example.org", i), "c3")
	}
	if ask(9, "9@example.org", "c3") {
		t.Error("a client's limit does not hold over addresses")
	}
}

// M-12: whoever asks at the same time as others is refused by a limit alone,
// never by a race, and all of them together never get more than it allows.
func TestMailLimitsUnderConcurrency(t *testing.T) {
	for _, tt := range []struct {
		name           string
		address        string // one for all; "" for one each
		limits         store.MailLimits
		asked, granted int32
	}{
		{"below every limit", "", store.MailLimits{AddressPerWindow: 3, AddressPerDay: 10, ClientPerWindow: 1000}, 100, 100},
		{"one client", "", store.MailLimits{ClientPerWindow: 3}, 100, 3},
		{"one address", "ada@example.org", store.MailLimits{AddressPerWindow: 3, AddressPerDay: 10, ClientPerWindow: 1000}, 100, 3},
		{"exactly all", "", store.MailLimits{ClientPerWindow: 20}, 20, 20},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.limits.Window = 24 * time.Hour
			s := storetest.OpenWith(t, store.Options{URL: storetest.URL(t), MaxConns: 30, Timeout: 20 * time.Second})
			var granted atomic.Int32
			var wg sync.WaitGroup
			for i := range tt.asked {
				wg.Go(func() {
					address := tt.address
					if address == "" {
						address = fmt.Sprintf("%d@example.org", i)
					}
					_, ok, err := s.RequestVerification(t.Context(), store.VerificationRequest{
						Identifier: address, Token: fmt.Sprint("t", i), CodeID: fmt.Sprint(i), TTL: time.Minute, CodeTries: 5,
						AddressKey: address, ClientKey: "c", Limits: tt.limits})
					if err != nil {
						t.Error(err)
					} else if ok {
						granted.Add(1)
					}
				})
			}
			wg.Wait()
			if n := granted.Load(); n != tt.granted {
				t.Errorf("%d of %d granted, want %d", n, tt.asked, tt.granted)
			}
		})
	}
}

func TestCodeTries(t *testing.T) {
	url := storetest.URL(t)
	s := storetest.OpenWith(t, store.Options{URL: url, MaxConns: 20, Timeout: 20 * time.Second})
	request(t, s, "ada@example.org", "t")
	var left, none atomic.Int32
	var wg sync.WaitGroup
	for range 30 {
		wg.Go(func() {
			if _, err := s.SpendCodeTry(t.Context(), codeOf("ada@example.org", "t")); errors.Is(err, store.ErrNotFound) {
				none.Add(1)
			} else if err == nil {
				left.Add(1)
			} else {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if left.Load() != 5 || none.Load() != 25 {
		t.Errorf("%d guesses were taken, want 5", left.Load())
	}
	if _, err := s.SignInByVerification(t.Context(), store.Proof{Tokens: codeOf("ada@example.org", "t").Tokens(5)}, newSession("x")); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("an exhausted code: %v", err)
	}
	if _, err := s.SignInByVerification(t.Context(), store.Proof{Tokens: []string{"t"}}, newSession("y")); err != nil {
		t.Errorf("the link must survive wrong codes: %v", err)
	}
}

func TestMigrate(t *testing.T) {
	seed, err := migrations.Files.ReadFile("0001_four_tables.sql")
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	for _, tt := range []struct {
		name, before, want string
	}{
		{"empty database", "", ""},
		{"the documented tables are there", string(seed), ""},
		{"a further column", string(seed) + "ALTER TABLE users ADD note text", "+ users column 8 note text"},
		{"another default", string(seed) + "ALTER TABLE sessions ALTER updated_at SET DEFAULT '2020-01-01'", "- sessions column 7 updated_at"},
		{"an index missing", string(seed) + "DROP INDEX email", "- users index CREATE UNIQUE INDEX email ON users"},
		{"a trigger", string(seed) + "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'; CREATE TRIGGER g BEFORE INSERT ON users FOR EACH ROW EXECUTE FUNCTION f()", "+ users trigger g"},
		{"what NextAuth 3 shipped", strings.NewReplacer("verification_tokens", "verification_requests", " type VARCHAR", " provider_type VARCHAR", " provider VARCHAR", " provider_id VARCHAR").Replace(string(seed)), "- accounts column 4 type"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			url := storetest.EmptyURL(t)
			if tt.before != "" {
				exec(t, url, tt.before)
			}
			_, err := store.Migrate(ctx, url, "")
			if tt.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				if again, err := store.Migrate(ctx, url, ""); err != nil || len(again.Done) != 0 {
					t.Errorf("second run: %v, %v", again, err)
				}
				if err := store.CheckSchema(ctx, url, ""); err != nil {
					t.Error(err)
				}
				return
			}
			differs, ok := errors.AsType[*store.SchemaError](err)
			if !ok || differs.Missing || !strings.Contains(differs.Diff, tt.want) {
				t.Errorf("got %v, want %q in the difference", err, tt.want)
			}
			if query[bool](t, url, "SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = 'gatepost')") {
				t.Error("the refusal left something behind")
			}
		})
	}
}

func TestMigrateConcurrentlyAndElsewhere(t *testing.T) {
	url := storetest.EmptyURL(t)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if _, err := store.Migrate(t.Context(), url, "sign_in"); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	s := storetest.OpenWith(t, store.Options{URL: url, Schema: "sign_in"})
	if _, _, err := s.SignInByAccount(t.Context(), answer("google", "1", "", "1")); err != nil {
		t.Error(err)
	}
	if n := query[int](t, url, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"); n != 0 {
		t.Errorf("%d tables in public", n)
	}
}

// serving needs DML on four tables and nothing else. K-P6: the modes for
// transaction poolers work.
func TestRestrictedRoleAndExecModes(t *testing.T) {
	url := storetest.URL(t)
	role := fmt.Sprintf("r%d", time.Now().UnixNano())
	exec(t, url, "CREATE ROLE "+role+" LOGIN")
	t.Cleanup(func() {
		conn, err := pgx.Connect(context.Background(), url)
		if err == nil {
			conn.Exec(context.Background(), "DROP OWNED BY "+role+"; DROP ROLE "+role)
			conn.Close(context.Background())
		}
	})
	restricted := strings.Replace(url, "user=gatepost", "user="+role, 1)
	access := func() error {
		return storetest.OpenWith(t, store.Options{URL: restricted}).CheckAccess(t.Context(), "public")
	}
	if err := access(); err == nil || !strings.Contains(err.Error(), "DELETE ON TABLE users") || !strings.Contains(err.Error(), "USAGE ON SEQUENCE sessions_id_seq") {
		t.Errorf("without any right: %v", err)
	}
	exec(t, url, "GRANT SELECT, INSERT, UPDATE, DELETE ON accounts, sessions, users, verification_tokens TO "+role+"; GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO "+role)
	if err := access(); err != nil {
		t.Errorf("with the rights it needs: %v", err)
	}
	for i, mode := range []string{"", "exec", "cache_describe"} {
		s := storetest.OpenWith(t, store.Options{URL: restricted, ExecMode: mode})
		name := fmt.Sprint("m", i)
		if _, _, err := s.SignInByAccount(t.Context(), answer("google", name, "", name)); err != nil {
			t.Errorf("mode %q: %v", mode, err)
		}
		request(t, s, name+"@example.org", name)
		if _, err := s.SignInByVerification(t.Context(), store.Proof{Tokens: []string{name}}, newSession("v"+name)); err != nil {
			t.Errorf("mode %q: %v", mode, err)
		}
		if _, _, err := s.Session(t.Context(), "session "+name, lifetimes); err != nil {
			t.Errorf("mode %q: %v", mode, err)
		}
		if _, _, err := s.Sweep(t.Context(), 0, 10); err != nil {
			t.Errorf("mode %q: %v", mode, err)
		}
	}
}

// X-10, K-P4: a database that stops is ErrUnavailable at once, and is used again
// when it is back.
func TestDatabaseStopsAndStarts(t *testing.T) {
	dir, err := os.MkdirTemp("", "gatepost-store-")
	if err != nil {
		t.Fatal(err)
	}
	os.Chmod(dir, 0o755)
	t.Cleanup(func() { os.RemoveAll(dir) })
	pg, err := devpg.Start(t.Context(), devpg.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := store.Migrate(t.Context(), pg.URL(), ""); err != nil {
		t.Fatal(err)
	}
	s := storetest.OpenWith(t, store.Options{URL: pg.URL()})
	if _, _, err := s.SignInByAccount(t.Context(), answer("google", "1", "", "1")); err != nil {
		t.Fatal(err)
	}
	if err := pg.Stop(); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.Session(t.Context(), "session 1", lifetimes); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("stopped: %v", err)
	}
	if pg, err = devpg.Start(t.Context(), devpg.Options{Dir: dir}); err != nil {
		t.Fatal(err)
	}
	defer pg.Stop()
	if _, _, err := s.Session(t.Context(), "session 1", lifetimes); err != nil {
		t.Errorf("back: %v", err)
	}
}

// K-P7, K-P10: no clear text over a network, no password in an error.
func TestOpenRefuses(t *testing.T) {
	for _, url := range []string{"postgres://u:hunter2@db.example.org/x", "postgres://u:hunter2@db.example.org/x?sslmode=require", "postgres://u:hunter2@db.example.org:bad/x"} {
		_, err := store.Open(t.Context(), store.Options{URL: url})
		if err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%v", err)
		}
	}
}

// L-6: a session that is gone, or another user's, links nothing; nor does one that
// the first proof of the address is ending meanwhile.
func TestLinkingBySessionThatIsGone(t *testing.T) {
	url := storetest.URL(t)
	s := storetest.OpenWith(t, store.Options{URL: url})
	for _, id := range []string{"1", "2"} {
		if _, _, err := s.SignInByAccount(t.Context(), answer("google", id, id+"@example.org", id)); err != nil {
			t.Fatal(err)
		}
	}
	for _, session := range []string{"", "unknown", "2"} {
		if _, err := s.SignInByLinking(t.Context(), 1, nil, by(session, answer("github", "1", "", "x"+session))); !errors.Is(err, store.ErrConflict) {
			t.Errorf("by session %q: %v", session, err)
		}
	}
	proof, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer proof.Close(context.Background())
	for _, sql := range []string{"BEGIN", "UPDATE users SET email_verified = now() WHERE id = 1", "DELETE FROM sessions WHERE user_id = 1"} {
		if _, err := proof.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	linked := make(chan error)
	go func() {
		_, err := s.SignInByLinking(t.Context(), 1, nil, by("1", answer("github", "1", "", "late")))
		linked <- err
	}()
	eventually(t, "the linking waits", func() bool {
		return query[int](t, url, "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'") == 1
	})
	if _, err := proof.Exec(t.Context(), "COMMIT"); err != nil {
		t.Fatal(err)
	}
	if err := <-linked; !errors.Is(err, store.ErrConflict) {
		t.Errorf("after the proof: %v", err)
	}
	if n := query[int](t, url, "SELECT count(*) FROM accounts WHERE provider = 'github'"); n != 0 {
		t.Errorf("%d accounts were linked", n)
	}
}
