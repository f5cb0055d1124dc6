package store_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/url"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatepost/gatepost/store"
	"github.com/gatepost/gatepost/store/storetest"
)

// A wire stands between a store and Postgres and may hold back what the server
// has already answered: the moment in which what was read goes stale.
type wire struct {
	listener net.Listener
	mu       sync.Mutex
	held     *sync.Cond
	hold     bool
	delay    time.Duration
	pending  atomic.Int64 // answers held back
}

// wired gives the DSN of the same database through a new wire.
func wired(t *testing.T, dsn string) (*wire, string) {
	t.Helper()
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{}
	w.held = sync.NewCond(&w.mu)
	if w.listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	network, server := "tcp", u.Host
	if dir := u.Query().Get("host"); dir != "" {
		network, server = "unix", dir+"/.s.PGSQL."+cmp.Or(u.Query().Get("port"), "5432")
	}
	go func() {
		for {
			client, err := w.listener.Accept()
			if err != nil {
				return
			}
			backend, err := net.Dial(network, server)
			if err != nil {
				client.Close()
				continue
			}
			go func() { io.Copy(backend, client); backend.Close() }()
			go w.answers(client, backend)
		}
	}()
	t.Cleanup(func() { w.listener.Close(); w.release() })
	q := u.Query()
	q.Del("host")
	q.Del("port")
	q.Set("sslmode", "disable")
	u.Host, u.RawQuery = w.listener.Addr().String(), q.Encode()
	return w, u.String()
}

func (w *wire) answers(client, backend net.Conn) {
	defer client.Close()
	buf := make([]byte, 64<<10)
	for {
		n, err := backend.Read(buf)
		if err != nil {
			return
		}
		w.mu.Lock()
		delay := w.delay
		w.pending.Add(1)
		for w.hold {
			w.held.Wait()
		}
		w.pending.Add(-1)
		w.mu.Unlock()
		if delay > 0 {
			time.Sleep(rand.N(delay))
		}
		if _, err := client.Write(buf[:n]); err != nil {
			return
		}
	}
}

func (w *wire) block() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.hold = true
}

func (w *wire) release() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.hold = false
	w.held.Broadcast()
}

// slowCache is a cache whose checks go over a wire, and a store that does not.
func slowCache(t *testing.T, sessions int) (w *wire, c *store.Cache, direct *store.Store, dsn string) {
	t.Helper()
	dsn = storetest.URL(t)
	w, slow := wired(t, dsn)
	direct = storetest.OpenWith(t, store.Options{URL: dsn})
	c = store.NewCache(storetest.OpenWith(t, store.Options{URL: slow, DirectURL: dsn}), 1000, lifetimes)
	c.Warn = func(err error) { t.Log(err) }
	ctx, stop := context.WithCancel(context.Background())
	t.Cleanup(stop)
	go c.Run(ctx)
	eventually(t, "LISTEN is up", c.Trusted)
	exec(t, dsn, "INSERT INTO users (name) VALUES ('Ada')")
	exec(t, dsn, fmt.Sprintf(`INSERT INTO sessions (user_id, expires, session_token, access_token)
		SELECT 1, now() + interval '30 days', 's' || i, 'a' || i FROM generate_series(0, %d) i`, sessions))
	return w, c, direct, dsn
}

// Beside a program that deletes sessions without a word: whoever asks after it
// did joins no look-up that may have read the session, and nothing is remembered.
func TestNothingRememberedIsNothingJoined(t *testing.T) {
	dsn := storetest.URL(t)
	w, slow := wired(t, dsn)
	c := store.NewCache(storetest.OpenWith(t, store.Options{URL: slow, DirectURL: dsn}), 0, lifetimes)
	c.Run(t.Context()) // returns at once
	exec(t, dsn, "INSERT INTO users (name) VALUES ('Ada')")
	exec(t, dsn, "INSERT INTO sessions (user_id, expires, session_token, access_token) VALUES (1, now() + interval '30 days', 's', 'a')")
	for range 3 {
		if _, err := c.Check(t.Context(), store.SessionToken, "s"); err != nil {
			t.Fatal(err)
		}
	}
	if stats := c.Stats(); stats.Misses != 3 || stats.Held != 0 || c.Remembers() {
		t.Errorf("%+v", stats)
	}
	w.block()
	early, late := make(chan error, 1), make(chan error, 1)
	go func() { _, err := c.Check(t.Context(), store.SessionToken, "s"); early <- err }()
	eventually(t, "the row was read", func() bool { return w.pending.Load() > 0 })
	exec(t, dsn, "DELETE FROM sessions")
	go func() { _, err := c.Check(t.Context(), store.SessionToken, "s"); late <- err }()
	eventually(t, "somebody else asks", func() bool { return c.Stats().Misses == 5 })
	w.release()
	if err := <-early; err != nil {
		t.Errorf("who asked before: %v", err)
	}
	if err := <-late; !errors.Is(err, store.ErrNotFound) {
		t.Errorf("who asked after: %v", err)
	}
}

// S-5, F-9: a check that begins after Forget has returned never succeeds by an
// answer that was read before, whichever token it asks by, and whatever else was
// forgotten meanwhile.
func TestForgetBeatsAnswersOnTheWay(t *testing.T) {
	w, c, _, dsn := slowCache(t, 40)
	ctx := t.Context()
	n := 0
	for _, tt := range []struct {
		name   string
		by     store.Token
		before func() // that session's end
	}{
		{"by session token", store.SessionToken, func() {}},
		{"by access token", store.AccessToken, func() {}},
		{"by session token, after another ended", store.SessionToken, func() { c.Forget("somebody else's") }},
		{"by access token, after another ended", store.AccessToken, func() { c.Forget("somebody else's") }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for range 5 {
				n++
				session, token := fmt.Sprint("s", n), fmt.Sprint("s", n)
				if tt.by == store.AccessToken {
					token = fmt.Sprint("a", n)
				}
				w.block()
				asked := make(chan error, 2)
				go func() { _, err := c.Check(ctx, tt.by, token); asked <- err }()
				eventually(t, "the row was read", func() bool { return w.pending.Load() > 0 })
				tt.before()
				exec(t, dsn, "DELETE FROM sessions WHERE session_token = '"+session+"'") // and no word but ours
				c.Forget(session)
				late := make(chan error, 1)
				go func() { _, err := c.Check(ctx, tt.by, token); late <- err }()
				time.Sleep(time.Millisecond)
				w.release()
				if err := <-asked; err != nil && !errors.Is(err, store.ErrNotFound) {
					t.Errorf("who asked before: %v", err)
				}
				if err := <-late; !errors.Is(err, store.ErrNotFound) {
					t.Errorf("who asked after: %v", err)
				}
				if e, err := c.Check(ctx, tt.by, token); !errors.Is(err, store.ErrNotFound) {
					t.Errorf("who asked when all had landed: %+v, %v", e, err)
				}
			}
		})
	}
}

// The same with nobody keeping order, and with entries that callers hold.
func TestForgetBeatsEverybody(t *testing.T) {
	const sessions = 300
	w, c, direct, _ := slowCache(t, sessions)
	w.delay = 3 * time.Millisecond
	ctx := t.Context()
	var over [sessions]atomic.Bool // set after Forget returned
	var held [sessions]atomic.Pointer[store.Entry]
	var wg sync.WaitGroup
	stop := make(chan struct{})
	for range 16 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				i, by, prefix := rand.IntN(sessions), store.SessionToken, "s"
				if rand.IntN(3) == 0 {
					by, prefix = store.AccessToken, "a"
				}
				wasOver := over[i].Load()
				if e := held[i].Load(); e != nil && e.Live(time.Now()) && wasOver {
					t.Errorf("session %d: an entry is live after its end", i)
				}
				e, err := c.Check(ctx, by, fmt.Sprint(prefix, i))
				switch {
				case err == nil && wasOver:
					t.Errorf("session %d passes after its end", i)
				case err == nil:
					held[i].Store(e)
				case !errors.Is(err, store.ErrNotFound):
					t.Errorf("session %d: %v", i, err)
				}
			}
		})
	}
	for i := range sessions {
		if err := direct.EndSession(ctx, fmt.Sprint("s", i)); err != nil {
			t.Error(err)
		}
		c.Forget(fmt.Sprint("s", i))
		over[i].Store(true)
		time.Sleep(time.Millisecond)
	}
	time.Sleep(50 * time.Millisecond)
	close(stop)
	wg.Wait()
}

// a database that hangs is an answer within 3 s, also to each of 10,000
// checks at once, for which the machine may need a while longer; it leaves nothing
// behind, and is asked again as soon as it is back.
func TestCacheOfADatabaseThatHangs(t *testing.T) {
	w, c, _, _ := slowCache(t, 10)
	ctx := t.Context()
	if _, err := c.Check(ctx, store.SessionToken, "s1"); err != nil {
		t.Fatal(err)
	}
	before := runtime.NumGoroutine()
	w.block()
	alone := time.Now()
	if _, err := c.Check(ctx, store.SessionToken, "made up"); !errors.Is(err, store.ErrUnavailable) || time.Since(alone) > 3*time.Second {
		t.Errorf("one check: %v after %v", err, time.Since(alone))
	}
	for wave := range 2 {
		var wg sync.WaitGroup
		var longest atomic.Int64
		for i := range 12_000 {
			wg.Go(func() {
				start := time.Now()
				if _, err := c.Check(ctx, store.SessionToken, fmt.Sprint("made up ", wave, " ", i)); !errors.Is(err, store.ErrUnavailable) {
					t.Errorf("got %v", err)
				}
				for took := int64(time.Since(start)); ; {
					if old := longest.Load(); took <= old || longest.CompareAndSwap(old, took) {
						return
					}
				}
			})
		}
		wg.Wait()
		if took := time.Duration(longest.Load()); took > 10*time.Second {
			t.Errorf("wave %d: somebody waited %v", wave, took)
		}
	}
	w.release()
	back := time.Now()
	for {
		_, err := c.Check(ctx, store.SessionToken, "s2")
		if err == nil {
			break
		}
		if time.Since(back) > 5*time.Second {
			t.Fatal(err)
		}
	}
	if took := time.Since(back); took > 2*time.Second {
		t.Errorf("answers came %v after the database was back", took)
	}
	eventually(t, "everybody has gone", func() bool { return runtime.NumGoroutine() < before+20 })
}

// who waits behind a statement that hangs, in its batch or in the queue, is
// answered when their own time is over, also where the statement goes on.
func TestNobodyWaitsForAStatementThatHangs(t *testing.T) {
	t.Parallel()
	url := storetest.URL(t)
	_, c := newCache(t, url, store.Options{Timeout: 20 * time.Second, MaxConns: 4})
	unlock := lock(t, url)
	var wg sync.WaitGroup
	for i := range 300 {
		time.Sleep(10 * time.Millisecond)
		wg.Go(func() {
			start := time.Now()
			_, err := c.Check(t.Context(), store.SessionToken, fmt.Sprint("made up ", i))
			if took := time.Since(start); !errors.Is(err, store.ErrUnavailable) || took < time.Second || took > 3*time.Second {
				t.Errorf("check %d: %v after %v", i, err, took)
			}
		})
	}
	wg.Wait()
	unlock()
	eventually(t, "checks are answered again", func() bool {
		_, err := c.Check(t.Context(), store.SessionToken, "made up")
		return errors.Is(err, store.ErrNotFound)
	})
}

// many who ask by the one token keep nobody out who asks by the other.
func TestEachKindOfTokenHasItsTurn(t *testing.T) {
	w, c, _, _ := slowCache(t, 10)
	ctx, stop := context.WithCancel(t.Context())
	w.mu.Lock()
	w.delay = 100 * time.Millisecond
	w.mu.Unlock()
	var wg sync.WaitGroup
	for i := range 300 {
		wg.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				c.Check(ctx, store.SessionToken, fmt.Sprint("made up ", i, " ", n))
			}
		})
	}
	time.Sleep(200 * time.Millisecond)
	for range 10 {
		start := time.Now()
		waiting, cancel := context.WithTimeout(ctx, 10*time.Second)
		if _, err := c.Check(waiting, store.AccessToken, "nobody's"); !errors.Is(err, store.ErrNotFound) || time.Since(start) > 3*time.Second {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		cancel()
		c.Forget("nobody's")
	}
	stop()
	wg.Wait()
}

// What a statement finds after those who waited have given up is remembered for
// whoever asks again.
func TestLateAnswersAreRemembered(t *testing.T) {
	t.Parallel()
	url := storetest.URL(t)
	s, c := newCache(t, url, store.Options{Timeout: 20 * time.Second})
	if _, _, err := s.SignInByAccount(t.Context(), answer("google", "1", "", "1")); err != nil {
		t.Fatal(err)
	}
	unlock := lock(t, url)
	if _, err := c.Check(t.Context(), store.SessionToken, "session 1"); !errors.Is(err, store.ErrUnavailable) {
		t.Fatal(err)
	}
	joined := make(chan error)
	go func() {
		_, err := c.Check(t.Context(), store.SessionToken, "session 1")
		joined <- err
	}()
	time.Sleep(100 * time.Millisecond)
	unlock()
	if err := <-joined; err != nil {
		t.Errorf("who asked again: %v", err)
	}
	if _, err := c.Check(t.Context(), store.SessionToken, "session 1"); err != nil || c.Stats().Misses != 1 {
		t.Errorf("%v, and %d statements for one session", err, c.Stats().Misses)
	}
}
