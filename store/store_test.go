package store_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

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
