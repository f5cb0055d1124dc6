package store_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/gatepost/gatepost/store"
	"github.com/gatepost/gatepost/store/devpg"
	"github.com/gatepost/gatepost/store/storetest"
)

// X-11, K-P5: Postgres is killed while people sign in for the first time. What
// was acknowledged is there; nothing is there by half.
func TestKilledWhileSigningIn(t *testing.T) {
	dir, err := os.MkdirTemp("", "gatepost-crash-")
	if err != nil {
		t.Fatal(err)
	}
	os.Chmod(dir, 0o755)
	t.Cleanup(func() { os.RemoveAll(dir) })
	pg, err := devpg.Start(t.Context(), devpg.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { pg.Stop() }()
	if _, err := store.Migrate(t.Context(), pg.URL(), ""); err != nil {
		t.Fatal(err)
	}
	s := storetest.OpenWith(t, store.Options{URL: pg.URL(), MaxConns: 16})
	var acknowledged sync.Map
	for round := range 3 {
		var wg sync.WaitGroup
		stop := make(chan struct{})
		for worker := range 16 {
			wg.Go(func() {
				for n := 0; ; n++ {
					select {
					case <-stop:
						return
					default:
					}
					id := fmt.Sprintf("%d-%d-%d", round, worker, n)
					if in, _, err := s.SignInByAccount(t.Context(), answer("google", id, id+"@example.org", id)); err == nil {
						acknowledged.Store("session "+id, in.User.ID)
					} else {
						time.Sleep(time.Millisecond)
					}
				}
			})
		}
		time.Sleep(300 * time.Millisecond)
		kill(t, dir)
		close(stop)
		wg.Wait()
		pg.Stop()
		if pg, err = devpg.Start(t.Context(), devpg.Options{Dir: dir}); err != nil {
			t.Fatal(err)
		}
	}
	url := pg.URL()
	for what, sql := range map[string]string{
		"users without an account":    "SELECT count(*) FROM users u WHERE NOT EXISTS (SELECT FROM accounts a WHERE a.user_id = u.id)",
		"accounts without a user":     "SELECT count(*) FROM accounts a WHERE NOT EXISTS (SELECT FROM users u WHERE u.id = a.user_id)",
		"users without their session": "SELECT count(*) FROM users u WHERE NOT EXISTS (SELECT FROM sessions s WHERE s.user_id = u.id)",
	} {
		if n := query[int](t, url, sql); n != 0 {
			t.Errorf("%d %s", n, what)
		}
	}
	n := 0
	acknowledged.Range(func(token, user any) bool {
		n++
		if got := query[int32](t, url, "SELECT coalesce((SELECT user_id FROM sessions WHERE session_token = $1), 0)", token); got != user {
			t.Errorf("%s of user %d was acknowledged and is of user %d", token, user, got)
		}
		return n < 300
	})
	if n == 0 {
		t.Error("nobody signed in")
	}
}

func kill(t *testing.T, dir string) {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(dir, "data", "postmaster.pid"))
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.SplitN(string(raw), "\n", 2)[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
}

// Postgres is killed while tables are adopted: they are as before or adopted,
// with every row, and never in between.
func TestKilledWhileAdopting(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ files, schema, rows string }{
		{"v3_synchronized", "public", `INSERT INTO users (name, email) SELECT 'n', n || '@example.org' FROM generate_series(1, 2000) n; INSERT INTO accounts (compound_id, user_id, provider_type, provider_id, provider_account_id) SELECT n, n, 'oauth', 'github', n FROM generate_series(1, 2000) n`},
		{"prisma", "sign_in", `INSERT INTO "User" (id, email, "updatedAt") SELECT n, n || '@example.org', now() FROM generate_series(1, 2000) n; INSERT INTO "Account" ("userId", type, provider, "providerAccountId") SELECT n, 'oauth', 'github', 'a' || n FROM generate_series(1, 2000) n`},
	} {
		t.Run(tt.files, func(t *testing.T) {
			t.Parallel()
			dir, err := os.MkdirTemp("", "gatepost-crash-")
			if err != nil {
				t.Fatal(err)
			}
			os.Chmod(dir, 0o755)
			t.Cleanup(func() { os.RemoveAll(dir) })
			pg, err := devpg.Start(t.Context(), devpg.Options{Dir: dir})
			if err != nil {
				t.Fatal(err)
			}
			defer func() { pg.Stop() }()
			schema, err := os.ReadFile(filepath.Join("testdata", "adopt", tt.files+".sql"))
			if err != nil {
				t.Fatal(err)
			}
			exec(t, pg.URL(), string(schema)+tt.rows)
			before := dump(t, pg.URL())
			o := store.AdoptOptions{URL: pg.URL(), Schema: tt.schema, From: "public"}
			start := time.Now()
			whole := adopted(t, o)
			took := time.Since(start)
			exec(t, pg.URL(), planned(t, o).WayBack)
			exec(t, pg.URL(), "DROP SCHEMA gatepost CASCADE; DROP SCHEMA IF EXISTS sign_in")
			outcomes := map[store.Dialect]int{}
			for round := range 3 {
				done := make(chan struct{})
				go func() {
					defer close(done)
					store.Adopt(t.Context(), o, func(store.Plan) error { return nil })
				}()
				time.Sleep(took * time.Duration(2*round+1) / 6)
				kill(t, dir)
				<-done
				pg.Stop()
				pg = startAgain(t, dir)
				p := planned(t, o)
				outcomes[p.Dialect]++
				if p.Dialect != store.DialectDocumented {
					if diff := lineDiff(before, dump(t, pg.URL())); diff != "" {
						t.Fatalf("half done: %s", diff)
					}
					continue
				}
				now, err := store.TakeFingerprint(t.Context(), pg.URL(), tt.schema, nil)
				if err != nil {
					t.Fatal(err)
				}
				if diff := whole.Diff(now); len(diff) > 0 {
					t.Fatal(diff)
				}
				exec(t, pg.URL(), p.WayBack)
				exec(t, pg.URL(), "DROP SCHEMA gatepost CASCADE; DROP SCHEMA IF EXISTS sign_in")
			}
			if outcomes[store.DialectDocumented] == 3 {
				t.Error("every adoption was done before Postgres was killed")
			}
			t.Logf("one takes %s; found afterwards: %v", took, outcomes)
		})
	}
}

// startAgain waits for what the killed server's processes still do: one in the
// middle of a statement holds the memory that the next server needs.
func startAgain(t *testing.T, dir string) *devpg.Server {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		pg, err := devpg.Start(t.Context(), devpg.Options{Dir: dir})
		if err == nil {
			return pg
		}
		if time.Now().After(end) {
			t.Fatal(err)
		}
	}
}
