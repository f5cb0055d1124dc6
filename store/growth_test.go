package store_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/gatepost/gatepost/store"
	"github.com/gatepost/gatepost/store/storetest"
)

// many fills the tables with users that have an account and an address each,
// with sessions of theirs, and with as many mails to them and limits.
func many(t *testing.T, url string, sessions int) {
	t.Helper()
	exec(t, url, "INSERT INTO users (email, email_verified) SELECT n || '@example.org', now() FROM generate_series(1, $1::int) n", sessions)
	exec(t, url, "INSERT INTO accounts (compound_id, user_id, type, provider, provider_account_id) SELECT 'google:' || n, n, 'oauth', 'google', n FROM generate_series(1, $1::int) n", sessions)
	exec(t, url, `INSERT INTO sessions (user_id, expires, session_token, access_token)
		SELECT 1 + n % 1000, now() + interval '1 day', md5(n::text), md5('a' || n) FROM generate_series(1, $1::int) n`, sessions)
	exec(t, url, `INSERT INTO verification_tokens (identifier, token, expires)
		SELECT i, CASE n % 3 WHEN 0 THEN md5(n::text) WHEN 1 THEN 'code:' || translate(left(encode(sha256(convert_to(i, 'UTF8')), 'hex'), 24), 'abcdef', '012345') || 'x' || repeat('a', 64) || ':' || md5((n - 1)::text) || ':5' ELSE 'limit:' || n END, now() + interval '1 day'
		FROM (SELECT n, CASE n % 3 WHEN 2 THEN 'limit' ELSE n / 3 || '@example.com' END AS i FROM generate_series(1, $1::int) n) r`, sessions)
	exec(t, url, "ANALYZE")
}

// A sign-in costs the same however many sessions, users and mails there are:
// nothing that begins one reads them all. To end all of a person's sessions those
// of everybody are read.
func TestSignInReadsNoOtherSessions(t *testing.T) {
	url := storetest.URL(t)
	many(t, url, 50_000)
	var s *store.Store
	// A server process counts what it read when it ends.
	scanned := func(table string) int {
		t.Helper()
		eventually(t, "the store's connections ended", func() bool {
			return query[int](t, url, "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()") == 0
		})
		return query[int](t, url, "SELECT seq_tup_read FROM pg_stat_user_tables WHERE relname = $1", table)
	}
	all := []string{"sessions", "users", "verification_tokens"}
	for _, tt := range []struct {
		name   string
		tables []string
		do     func(i int) error
	}{
		{"known account", all, func(i int) error {
			again := answer("google", "7", "", fmt.Sprint("known", i))
			if i > 0 {
				again.Session.Replaces = "session " + fmt.Sprint("known", i-1)
			}
			again.Session.MaxPerUser = 3
			_, _, err := s.SignInByAccount(t.Context(), again)
			return err
		}},
		{"new person", all, func(i int) error {
			_, _, err := s.SignInByAccount(t.Context(), answer("google", fmt.Sprint("new", i), "", fmt.Sprint("new", i)))
			return err
		}},
		{"mail", all, func(i int) error {
			request(t, s, "9@example.org", fmt.Sprint("mail", i))
			_, err := s.SignInByVerification(t.Context(), store.Proof{Tokens: []string{fmt.Sprint("mail", i)}}, newSession(fmt.Sprint("mail", i)))
			return err
		}},
		{"mail beside NextAuth, in another spelling", all, func(i int) error {
			requestFor(t, s, fmt.Sprint("idn", i))
			_, err := s.SignInByVerification(t.Context(), store.Proof{Tokens: []string{fmt.Sprint("idn", i)}, Identifier: ascii, Addresses: spellings}, newSession(fmt.Sprint("idn", i)))
			return err
		}},
		{"code", all, func(i int) error {
			request(t, s, "10@example.org", fmt.Sprint("code", i))
			code := codeOf("10@example.org", fmt.Sprint("code", i))
			if _, err := s.SpendCodeTry(t.Context(), code); err != nil {
				return err
			}
			_, err := s.SignInByVerification(t.Context(), store.Proof{Tokens: code.Tokens(5)}, newSession(fmt.Sprint("code", i)))
			return err
		}},
		{"mail that is revoked", all, func(i int) error {
			request(t, s, "11@example.org", fmt.Sprint("not me", i))
			return s.RevokeVerification(t.Context(), store.Proof{Tokens: []string{fmt.Sprint("not me", i)}})
		}},
		{"linking", all[1:], func(i int) error {
			_, err := s.SignInByLinking(t.Context(), 12, spelled("12@example.org"), answer("github", fmt.Sprint("linked", i), "", fmt.Sprint("linked", i)))
			return err
		}},
		{"unlinking", all[1:], func(i int) error {
			accounts, err := s.AccountsOf(t.Context(), 12)
			if err != nil {
				return err
			}
			return s.Unlink(t.Context(), 12, accounts[0].ID, "")
		}},
		{"check", all, func(i int) error {
			_, _, err := s.Session(t.Context(), "session new0", lifetimes)
			return err
		}},
		{"sign-out", all, func(i int) error { return s.EndSession(t.Context(), fmt.Sprint("session new", i)) }},
	} {
		before := map[string]int{}
		for _, table := range tt.tables {
			before[table] = scanned(table)
		}
		s = storetest.OpenWith(t, store.Options{URL: url})
		for i := range 8 { // beyond what is planned for one set of values
			if err := tt.do(i); err != nil {
				t.Fatalf("%s: %v", tt.name, err)
			}
		}
		s.Close()
		for _, table := range tt.tables {
			if n := scanned(table) - before[table]; n > 0 {
				t.Errorf("%s: read %d rows of %s to find its own", tt.name, n, table)
			}
		}
	}
	if n := query[int](t, url, "SELECT count(*) FROM sessions WHERE user_id = 7 AND session_token LIKE 'session known%'"); n != 1 {
		t.Errorf("%d sessions of one browser, want 1", n)
	}
}

// S-14: who has many sessions keeps the newest, and nobody else loses any;
// access tokens of programs do not count.
func TestMostSessionsPerUser(t *testing.T) {
	url := storetest.URL(t)
	s := storetest.OpenWith(t, store.Options{URL: url})
	for _, id := range []string{"1", "2"} {
		for i := range 5 {
			if _, _, err := s.SignInByAccount(t.Context(), answer("google", id, "", fmt.Sprint(id, "-", i))); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := s.CreateAccessToken(t.Context(), 1, "session 1-4", "program", "stored "+id, lifetimes.Idle, 10); err != nil {
			t.Fatal(err)
		}
	}
	more := answer("google", "1", "", "last")
	more.Session.MaxPerUser = 3
	if _, _, err := s.SignInByAccount(t.Context(), more); err != nil {
		t.Fatal(err)
	}
	left := query[string](t, url, "SELECT string_agg(split_part(session_token, ' ', 2), ' ' ORDER BY id) FROM sessions WHERE session_token LIKE 'session %'")
	if want := "1-3 1-4 2-0 2-1 2-2 2-3 2-4 last"; left != want {
		t.Errorf("left %s, want %s", left, want)
	}
	if n := query[int](t, url, "SELECT count(*) FROM sessions WHERE session_token LIKE 'api:%'"); n != 2 {
		t.Errorf("%d access tokens, want 2", n)
	}
}

// S-15: what is over goes, a stretch at a time, and nothing else.
func TestSweep(t *testing.T) {
	url := storetest.URL(t)
	s := storetest.OpenWith(t, store.Options{URL: url})
	exec(t, url, `INSERT INTO sessions (user_id, expires, session_token, access_token)
		SELECT 1, now() + CASE WHEN n % 3 = 0 THEN -1 ELSE 1 END * interval '1 hour', 's' || n, 'a' || n FROM generate_series(1, 1000) n`)
	exec(t, url, `INSERT INTO verification_tokens (identifier, token, expires) VALUES ('a@b.c', 'over', now() - interval '1 second'), ('a@b.c', 'live', now() + interval '1 minute')`)
	var from int32
	swept, calls := 0, 0
	for {
		next, n, err := s.Sweep(t.Context(), from, 100)
		if err != nil {
			t.Fatal(err)
		}
		swept, calls = swept+n, calls+1
		if from = next; next == 0 {
			break
		}
	}
	if swept != 334 || calls != 11 {
		t.Errorf("%d rows in %d calls, want 334 in 11", swept, calls)
	}
	if n := query[int](t, url, "SELECT count(*) FROM sessions WHERE expires > now()"); n != 667 {
		t.Errorf("%d live sessions are left, want 667", n)
	}
	if got := query[string](t, url, "SELECT string_agg(token, ' ') FROM verification_tokens"); got != "live" {
		t.Errorf("left %s", got)
	}
	// Another replica is at it.
	exec(t, url, "UPDATE sessions SET expires = now() - interval '1 second'")
	release := locked(t, url, "SELECT pg_advisory_lock(7283460112345)")
	if next, n, err := s.Sweep(t.Context(), 0, 100); next != 0 || n != 0 || err != nil {
		t.Errorf("beside another: %d, %d, %v", next, n, err)
	}
	release()
}

// locked runs sql on a connection that stays until release is called.
func locked(t *testing.T, url, sql string) (release func()) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Exec(t.Context(), sql); err != nil {
		t.Fatal(err)
	}
	return func() { conn.Close(t.Context()) }
}

// asked keeps what is sent to the server.
type asked struct {
	mu  sync.Mutex
	sql []string
	n   []int // of parameters
	jit string
}

func (a *asked) TraceQueryStart(ctx context.Context, conn *pgx.Conn, data pgx.TraceQueryStartData) context.Context {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.sql, a.n, a.jit = append(a.sql, data.SQL), append(a.n, len(data.Args)), conn.Config().RuntimeParams["jit"]
	return ctx
}
func (a *asked) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

// Above a cost of 100,000, jit_above_cost, Postgres compiles a statement each time
// that it runs, which takes 200 ms. What it expects of a sign-in by an account and
// of a check does not grow with the tables. A mailed link may be the first proof of
// an address, which ends every session of a user and reads all to find them; that
// it is not compiled rests on the connection's own setting.
func TestSignInIsNotCompiled(t *testing.T) {
	url := storetest.URL(t)
	exec(t, url, "ALTER TABLE sessions SET (fillfactor = 10, autovacuum_enabled = false)") // as many pages as ten times the rows
	many(t, url, 50_000)
	exec(t, url, "UPDATE pg_class SET reltuples = 10000000 WHERE relname IN ('sessions', 'access_token', 'session_token', 'sessions_pkey')")
	var sent asked
	s := storetest.OpenWith(t, store.Options{URL: url, Tracer: &sent})
	for name, do := range map[string]func() error{
		"known account": func() error {
			_, _, err := s.SignInByAccount(t.Context(), answer("google", "7", "", "known"))
			return err
		},
		"check": func() error {
			_, _, err := s.Session(t.Context(), "session known", lifetimes)
			return err
		},
		"sign-out": func() error { return s.EndSession(t.Context(), "session known") },
	} {
		sent.sql, sent.n = nil, nil
		if err := do(); err != nil && !errors.Is(err, store.ErrNotFound) {
			t.Fatalf("%s: %v", name, err)
		}
		for i, sql := range sent.sql {
			if cost := expected(t, url, sql, sent.n[i]); cost > 10_000 {
				t.Errorf("%s: Postgres expects a cost of %.0f", name, cost)
			}
		}
		if sent.jit != "off" {
			t.Errorf("%s: jit is %q", name, sent.jit)
		}
	}
}

// expected is the cost that the server's planner expects of sql, whatever its n
// parameters are.
func expected(t *testing.T, url, sql string, n int) (cost float64) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	execute := "EXPLAIN (FORMAT JSON) EXECUTE p"
	if n > 0 {
		execute += "(NULL" + strings.Repeat(", NULL", n-1) + ")"
	}
	for _, step := range []string{"SET plan_cache_mode = force_generic_plan", "PREPARE p AS " + sql} {
		if _, err := conn.Exec(t.Context(), step); err != nil {
			t.Fatal(err)
		}
	}
	var plan []struct {
		Plan struct {
			TotalCost float64 `json:"Total Cost"`
		}
	}
	if err := conn.QueryRow(t.Context(), execute).Scan(&plan); err != nil {
		t.Fatal(err)
	}
	return plan[0].Plan.TotalCost
}
