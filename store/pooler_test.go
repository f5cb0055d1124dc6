package store_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gatepost/gatepost/store"
	"github.com/gatepost/gatepost/store/storetest"
)

// K-P6: everything that the store does, from sixteen goroutines over three
// server connections of a PgBouncer in transaction mode. What ends a session is
// heard past it.
func TestBehindTransactionPooler(t *testing.T) {
	for _, mode := range []string{"cache_describe", "exec"} {
		t.Run(mode, func(t *testing.T) {
			direct := storetest.EmptyURL(t)
			pooled := storetest.Pooled(t, direct, 3)
			o := store.Options{URL: pooled, DirectURL: direct, Schema: "public", ExecMode: mode, MaxConns: 16, Timeout: 20 * time.Second}
			ctx := t.Context()
			if _, err := store.Migrate(ctx, pooled, "public"); err != nil {
				t.Fatalf("migrate: %v", err)
			}
			if err := store.CheckSchema(ctx, pooled, "public"); err != nil {
				t.Errorf("schema: %v", err)
			}
			s := storetest.OpenWith(t, o)
			for what, err := range map[string]error{"statements": store.CheckStatements(ctx, o), "access": s.CheckAccess(ctx, "public"), "listen": s.CheckListen(ctx)} {
				if err != nil {
					t.Errorf("%s: %v", what, err)
				}
			}
			cache := store.NewCache(s, 1000, lifetimes)
			running, stop := context.WithCancel(context.Background())
			t.Cleanup(stop)
			go cache.Run(running)
			eventually(t, "LISTEN is up", cache.Trusted)
			var wg sync.WaitGroup
			for worker := range 16 {
				wg.Go(func() {
					for n := range 5 {
						if err := everything(ctx, s, cache, fmt.Sprintf("%d-%d", worker, n)); err != nil {
							t.Errorf("worker %d: %v", worker, err)
							return
						}
					}
				})
			}
			wg.Wait()
			if _, _, err := s.Sweep(ctx, 0, 100); err != nil {
				t.Error(err)
			}
			if got := query[string](t, direct, "SELECT (SELECT count(*) FROM users) || ' ' || (SELECT count(*) FROM accounts) || ' ' || (SELECT count(*) FROM sessions)"); got != "80 80 0" {
				t.Errorf("users, accounts and sessions: %s, want 80 80 0", got)
			}
		})
	}
}

// everything is one person's life, each statement of the store at least once.
func everything(ctx context.Context, s *store.Store, cache *store.Cache, name string) error {
	address := name + "@example.org"
	in, _, err := s.SignInByAccount(ctx, answer("google", name, address, name))
	if err != nil || !in.NewUser {
		return fmt.Errorf("first sign-in: %+v, %w", in, err)
	}
	id := in.User.ID
	if in, _, err = s.SignInByAccount(ctx, answer("google", name, address, name+" again")); err != nil || in.User.ID != id {
		return fmt.Errorf("second sign-in: %+v, %w", in, err)
	}
	if _, f, err := s.SignInByAccount(ctx, answer("github", name, address, name+" other")); err != nil || f.Namesake != id {
		return fmt.Errorf("facts: %+v, %w", f, err)
	}
	if _, err := s.SignInByLinking(ctx, id, []string{address}, answer("github", name, "", name+" linked")); err != nil {
		return err
	}
	if u, _, err := s.Session(ctx, "session "+name+" linked", lifetimes); err != nil || u.ID != id {
		return fmt.Errorf("session: %+v, %w", u, err)
	}
	if e, err := cache.Check(ctx, store.SessionToken, "session "+name+" linked"); err != nil || e.User.ID != id {
		return fmt.Errorf("cached session: %+v, %w", e, err)
	}
	lease := store.Lease{Token: "refresh:" + name, Owner: name}
	a, _, err := s.UpstreamAccount(ctx, id, "google")
	if err != nil {
		return err
	}
	if state, _, err := s.TakeLease(ctx, lease, time.Minute); err != nil || state != store.LeaseTaken {
		return fmt.Errorf("lease: %v, %w", state, err)
	}
	old := a.RefreshToken
	a.RefreshToken = "rotated"
	if err := s.ReplaceTokens(ctx, a, old, lease); err != nil {
		return err
	}
	if err := s.PauseLease(ctx, lease, 0); err != nil {
		return err
	}
	for _, token := range []string{"revoked " + name, "kept " + name} {
		_, ok, err := s.RequestVerification(ctx, store.VerificationRequest{Identifier: address, Token: token, CodeID: token, TTL: time.Minute, CodeTries: 3,
			AddressKey: address, ClientKey: address, Limits: store.MailLimits{AddressPerWindow: 9, AddressPerDay: 9, ClientPerWindow: 9, Window: time.Hour}})
		if err != nil || !ok {
			return fmt.Errorf("request: %v, %w", ok, err)
		}
		if v, _, err := s.VerificationToken(ctx, store.Proof{Tokens: []string{token}}); err != nil || v.Identifier != address {
			return fmt.Errorf("look: %+v, %w", v, err)
		}
		if left, err := s.SpendCodeTry(ctx, codeOf(address, token)); err != nil || left != 2 {
			return fmt.Errorf("try: %d, %w", left, err)
		}
		if token[0] == 'r' {
			if err := s.RevokeVerification(ctx, store.Proof{Tokens: []string{token}}); err != nil {
				return err
			}
		}
	}
	if in, err := s.SignInByVerification(ctx, store.Proof{Tokens: []string{"kept " + name}}, newSession(name+" mail")); err != nil || in.User.ID != id {
		return fmt.Errorf("mail: %+v, %w", in, err)
	}
	accounts, err := s.AccountsOf(ctx, id)
	if err != nil || len(accounts) != 2 {
		return fmt.Errorf("accounts: %+v, %w", accounts, err)
	}
	if err := s.Unlink(ctx, id, accounts[1].ID, "session "+name+" mail"); err != nil {
		return err
	}
	deadline := time.Now().Add(3 * time.Second)
	for _, err = cache.Check(ctx, store.SessionToken, "session "+name+" linked"); !errors.Is(err, store.ErrNotFound); _, err = cache.Check(ctx, store.SessionToken, "session "+name+" linked") {
		if time.Now().After(deadline) {
			return fmt.Errorf("an ended session is still answered: %w", err)
		}
		time.Sleep(time.Millisecond)
	}
	if users, err := s.Users(ctx, address, 10); err != nil || len(users) != 1 {
		return fmt.Errorf("users: %+v, %w", users, err)
	}
	for i, end := range []func() error{
		func() error { return s.EndSession(ctx, "session "+name+" 0") },
		func() error {
			list, err := s.SessionsOf(ctx, id)
			if err != nil || len(list) != 2 {
				return fmt.Errorf("sessions: %+v, %w", list, err)
			}
			return s.EndSessionByID(ctx, id, list[0].ID)
		},
		func() error { _, err := s.EndOtherSessions(ctx, id, "session "+name+" 2"); return err },
		func() error { _, err := s.EndAllSessions(ctx, id); return err },
	} {
		if _, _, err := s.SignInByAccount(ctx, answer("google", name, address, fmt.Sprint(name, " ", i))); err != nil {
			return err
		}
		if err := end(); err != nil {
			return fmt.Errorf("end %d: %w", i, err)
		}
	}
	return s.Ready(ctx)
}

// What cannot work through such a pooler is found and explained: statements that
// two clients prepare on one server connection, and LISTEN, which it takes and
// never delivers. A cache that hears nothing believes nothing from memory.
func TestPoolerIsExplained(t *testing.T) {
	direct := storetest.URL(t)
	pooled := storetest.Pooled(t, direct, 1)
	ctx := t.Context()
	o := store.Options{URL: pooled, ExecMode: "cache_describe"}
	s := storetest.OpenWith(t, o)
	if err := s.CheckListen(ctx); !errors.Is(err, store.ErrNotHeard) {
		t.Errorf("LISTEN through the pooler: %v", err)
	}
	said := make(chan error, 10)
	cache := store.NewCache(s, 10, lifetimes)
	cache.Warn = func(err error) { said <- err }
	running, stop := context.WithCancel(context.Background())
	t.Cleanup(stop)
	go cache.Run(running)
	select {
	case err := <-said:
		if !errors.Is(err, store.ErrNotHeard) || cache.Trusted() {
			t.Errorf("%v, trusted %v", err, cache.Trusted())
		}
	case <-time.After(10 * time.Second):
		t.Error("the cache does not say that it hears nothing")
	}
	elsewhere := storetest.OpenWith(t, store.Options{URL: pooled, DirectURL: storetest.URL(t), ExecMode: "exec"})
	if err := elsewhere.CheckListen(ctx); !errors.Is(err, store.ErrNotHeard) {
		t.Errorf("LISTEN in another database: %v", err)
	}
	// Without exec_mode the parameters are refused; where the pooler was told
	// to ignore them, the statements are.
	if err := store.CheckStatements(ctx, store.Options{URL: pooled}); err == nil || !strings.Contains(err.Error(), "08P01") || !strings.Contains(err.Error(), "exec_mode") {
		t.Errorf("startup parameters: %v", err)
	}
	ignoring := storetest.Pooled(t, direct, 1, "ignore_startup_parameters = statement_timeout, lock_timeout, idle_in_transaction_session_timeout, search_path, jit, plan_cache_mode")
	if err := store.CheckStatements(ctx, store.Options{URL: ignoring, Schema: "public"}); err == nil || !strings.Contains(err.Error(), "42P05") || !strings.Contains(err.Error(), "exec_mode") {
		t.Errorf("prepared statements: %v", err)
	}
	if err := store.CheckStatements(ctx, store.Options{URL: ignoring, ExecMode: "exec"}); err != nil {
		t.Errorf("exec: %v", err)
	}
}

// Behind a pooler the role's own search_path counts.
func TestSearchPathBehindPooler(t *testing.T) {
	direct := storetest.EmptyURL(t)
	if _, err := store.Migrate(t.Context(), direct, "sign_in"); err != nil {
		t.Fatal(err)
	}
	s := storetest.OpenWith(t, store.Options{URL: storetest.Pooled(t, direct, 1), Schema: "sign_in", ExecMode: "exec"})
	if err := s.CheckAccess(t.Context(), "sign_in"); err == nil || !strings.Contains(err.Error(), "SET search_path = sign_in") {
		t.Errorf("%v", err)
	}
	exec(t, direct, "ALTER DATABASE "+query[string](t, direct, "SELECT quote_ident(current_database())")+" SET search_path = sign_in")
	s = storetest.OpenWith(t, store.Options{URL: storetest.Pooled(t, direct, 1), Schema: "sign_in", ExecMode: "exec"})
	if err := s.CheckAccess(t.Context(), "sign_in"); err != nil {
		t.Errorf("%v", err)
	}
}
