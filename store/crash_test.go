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
