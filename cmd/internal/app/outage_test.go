package app

import (
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatepost/gatepost/store"
	"github.com/gatepost/gatepost/store/devpg"
	"github.com/gatepost/gatepost/store/storetest"
)

// ownPostgres is a cluster that a test may stop.
func ownPostgres(t *testing.T) (dir string, pg *devpg.Server) {
	t.Helper()
	dir, err := os.MkdirTemp("", "gatepost-app-")
	if err != nil {
		t.Fatal(err)
	}
	os.Chmod(dir, 0o755)
	t.Cleanup(func() { os.RemoveAll(dir) })
	if pg, err = devpg.Start(t.Context(), devpg.Options{Dir: dir}); err != nil {
		t.Fatal(err)
	}
	if _, err := store.Migrate(t.Context(), pg.URL(), ""); err != nil {
		t.Fatal(err)
	}
	return dir, pg
}

// Forward-auth rule 4, security X-10: the database is away for ten seconds while
// three replicas are asked all the time. Nobody who should not is let in, nobody
// is told to sign in who has, nothing hangs, and it is over within two seconds
// of the database's return.
func TestGateWithoutDatabase(t *testing.T) {
	dir, pg := ownPostgres(t)
	one := newSite(t, pg.URL(), gateOf)
	sites := []*site{one}
	for range 2 {
		sites = append(sites, newSite(t, pg.URL(), func(c *Config) { gateOf(c); c.Keys = one.keys }))
	}
	ada, gone := one.browserOf("1001"), one.browserOf("1002")
	cookie, ended := ada.cookie(), gone.cookie()
	gone.post("/auth/signout")
	ask := func(s *site, cookie string) (status int, took time.Duration) {
		start := time.Now()
		return s.check("forward", "GET", "https://app.example.org/x", "Cookie", cookie).status, time.Since(start)
	}
	time.Sleep(100 * time.Millisecond) // the sign-out has reached all replicas
	var away, stop atomic.Bool
	var slowest atomic.Int64
	var wg sync.WaitGroup
	for _, s := range sites {
		for range 4 {
			wg.Go(func() {
				for !stop.Load() {
					wasAway := away.Load()
					status, took := ask(s, cookie)
					if status != 200 && status != 503 || status == 503 && !wasAway && !away.Load() {
						t.Errorf("signed in: %d", status)
						return
					}
					slowest.Store(max(slowest.Load(), int64(took)))
					if status, _ := ask(s, ended); status != 401 && status != 503 {
						t.Errorf("signed out: %d", status)
						return
					}
				}
			})
		}
	}
	time.Sleep(500 * time.Millisecond)
	away.Store(true)
	if err := pg.Stop(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(10 * time.Second)
	if status, _ := ask(one, cookie); status != 503 {
		t.Errorf("away: %d", status)
	}
	pg, err := devpg.Start(t.Context(), devpg.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer pg.Stop()
	back := time.Now()
	for _, s := range sites {
		for status := 0; status != 200; status, _ = ask(s, cookie) {
			if time.Since(back) > 2*time.Second {
				t.Fatalf("still %d two seconds after the database's return", status)
			}
		}
	}
	time.Sleep(time.Second)
	stop.Store(true)
	wg.Wait()
	if took := time.Duration(slowest.Load()); took > 3*time.Second {
		t.Errorf("the slowest check took %s", took)
	}
}

// Three replicas: an end on one is a refusal on the others, at once.
func TestRevocationReachesReplicas(t *testing.T) {
	dsn := storetest.URL(t)
	one := newSite(t, dsn, gateOf)
	sites := []*site{one}
	for range 2 {
		sites = append(sites, newSite(t, dsn, func(c *Config) { gateOf(c); c.Keys = one.keys }))
	}
	var took []time.Duration
	for range 50 {
		b := one.browserOf("1001")
		cookie := b.cookie()
		for _, s := range sites {
			if p := s.check("forward", "GET", "https://app.example.org/x", "Cookie", cookie); p.status != 200 {
				t.Fatalf("signed in: %d", p.status)
			}
		}
		b.post("/auth/signout")
		start := time.Now()
		for _, s := range sites {
			for s.check("forward", "GET", "https://app.example.org/x", "Cookie", cookie).status != 401 {
				if time.Since(start) > 5*time.Second {
					t.Fatal("still signed in after five seconds")
				}
			}
		}
		took = append(took, time.Since(start))
	}
	slices.Sort(took)
	t.Logf("from the sign-out's answer to a refusal on all three: median %s, slowest %s", took[len(took)/2], took[len(took)-1])
}
