package store_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/gatepost/gatepost/store"
	"github.com/gatepost/gatepost/store/storetest"
)

// A lossyWire carries a store's connections to Postgres, until they fall silent.
type lossyWire struct {
	net.Listener
	mu     sync.Mutex
	open   []net.Conn
	silent []chan struct{} // of each connection; closed: no answer comes through
	mute   bool            // new connections are taken and never answered
}

func newLossyWire(t *testing.T, url string) (*lossyWire, string) {
	t.Helper()
	c, err := pgx.ParseConfig(url)
	if err != nil {
		t.Fatal(err)
	}
	w := &lossyWire{}
	if w.Listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Close() })
	network, address := "tcp", net.JoinHostPort(c.Host, strconv.Itoa(int(c.Port)))
	if filepath.IsAbs(c.Host) {
		network, address = "unix", filepath.Join(c.Host, fmt.Sprintf(".s.PGSQL.%d", c.Port))
	}
	go func() {
		for {
			conn, err := w.Accept()
			if err != nil {
				return
			}
			go w.carry(conn, network, address)
		}
	}()
	return w, fmt.Sprintf("host=127.0.0.1 port=%d user=%s dbname=%s sslmode=disable", w.Addr().(*net.TCPAddr).Port, c.User, c.Database)
}

func (w *lossyWire) carry(client net.Conn, network, address string) {
	defer client.Close()
	server, err := net.Dial(network, address)
	if err != nil {
		return
	}
	defer server.Close()
	silent := make(chan struct{})
	w.mu.Lock()
	w.open, w.silent = append(w.open, client, server), append(w.silent, silent)
	if w.mute {
		close(silent)
	}
	w.mu.Unlock()
	go func() {
		buf := make([]byte, 4096)
		for {
			n, err := server.Read(buf)
			if err != nil {
				client.Close()
				return
			}
			select {
			case <-silent:
			default:
				client.Write(buf[:n])
			}
		}
	}()
	io.Copy(server, client)
}

// fallSilent drops what Postgres says on all connections that there are.
func (w *lossyWire) fallSilent(newOnes bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.mute = newOnes
	for _, c := range w.silent {
		close(c)
	}
	w.silent = nil
}

// hangUp ends all connections, or closing a pool would wait for them.
func (w *lossyWire) hangUp() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range w.open {
		c.Close()
	}
}

// X-10, K-P5: a sign-in whose answer does not come ends within 3 s in all, and
// is known to have happened where it has.
func TestSignInWithoutAnswer(t *testing.T) {
	begin := map[string]func(context.Context, *store.Store) (store.SignedIn, error){
		"account": func(ctx context.Context, s *store.Store) (store.SignedIn, error) {
			in, _, err := s.SignInByAccount(ctx, answer("google", "2", "", "x"))
			return in, err
		},
		"linking": func(ctx context.Context, s *store.Store) (store.SignedIn, error) {
			return s.SignInByLinking(ctx, 1, nil, by("1", answer("github", "1", "", "x")))
		},
		"verification": func(ctx context.Context, s *store.Store) (store.SignedIn, error) {
			return s.SignInByVerification(ctx, store.Proof{Tokens: []string{"t"}}, newSession("x"))
		},
	}
	for _, tt := range []struct {
		name   string
		away   func(*testing.T, *lossyWire, string)
		signed bool
		within time.Duration
	}{
		{"the answer is lost", func(_ *testing.T, w *lossyWire, _ string) { w.fallSilent(false) }, true, 3 * time.Second},
		{"the table is locked", func(t *testing.T, _ *lossyWire, url string) { lock(t, url) }, false, 3 * time.Second},
		// Nothing was sent, so nothing is looked for.
		{"no connection", func(_ *testing.T, w *lossyWire, _ string) { time.Sleep(1100 * time.Millisecond); w.fallSilent(true) }, false, 2500 * time.Millisecond},
	} {
		for flow, do := range begin {
			t.Run(tt.name+", "+flow, func(t *testing.T) {
				t.Parallel()
				url := storetest.URL(t)
				w, through := newLossyWire(t, url)
				// A statement that is sent at once, and not after its plan.
				s := storetest.OpenWith(t, store.Options{URL: through, MaxConns: 2, ExecMode: "exec"})
				defer w.hangUp()
				if _, _, err := s.SignInByAccount(t.Context(), answer("google", "1", "", "1")); err != nil {
					t.Fatal(err)
				}
				request(t, s, "ada@example.org", "t")
				tt.away(t, w, url)
				start := time.Now()
				in, err := do(t.Context(), s)
				if took := time.Since(start); took > tt.within {
					t.Errorf("took %s", took)
				}
				if tt.signed && (err != nil || in.User.ID == 0 || in.Session.SessionToken != "session x") || !tt.signed && !errors.Is(err, store.ErrUnavailable) {
					t.Errorf("%+v, %v", in, err)
				}
			})
		}
	}
}

// lock keeps everybody from the sessions, until unlock or the end of the test.
func lock(t *testing.T, url string) (unlock func()) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	if _, err := conn.Exec(t.Context(), "BEGIN; LOCK TABLE sessions"); err != nil {
		t.Fatal(err)
	}
	return func() {
		t.Helper()
		if _, err := conn.Exec(t.Context(), "ROLLBACK"); err != nil {
			t.Fatal(err)
		}
	}
}
