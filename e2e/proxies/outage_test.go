//go:build e2e

package proxies_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatepost/gatepost/store/devpg"
)

// relay stands between the proxies and Gatepost and can hold back what they ask.
type relay struct {
	net.Listener
	delay atomic.Int64
}

func startRelay(t *testing.T, to string) *relay {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	r := &relay{Listener: l}
	go func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			go r.carry(in, to)
		}
	}()
	return r
}

func (r *relay) carry(in net.Conn, to string) {
	defer in.Close()
	out, err := net.Dial("tcp", to)
	if err != nil {
		return // as Gatepost's own port would answer
	}
	defer out.Close()
	go func() { io.Copy(in, out); in.Close() }()
	buf := make([]byte, 64<<10)
	for {
		n, err := in.Read(buf)
		if err != nil {
			return
		}
		time.Sleep(time.Duration(r.delay.Load()))
		if _, err := out.Write(buf[:n]); err != nil {
			return
		}
	}
}

// A world that breaks: whatever is down or slow, nothing passes, nobody is
// signed out, and all is well when it is back.
func TestOutages(t *testing.T) {
	w := anotherWorld(t, "outage", authHost, otherAuth)
	r := startRelay(t, w.addr)
	var all []*proxy
	for _, kind := range kinds() {
		site := w.site()
		site.Gatepost = r.Addr().String()
		all = append(all, w.changed(t, kind, site, func(s string) string { return s }))
	}
	ada := all[0].browser(t)
	ada.enter("https://"+appHost+"/x", "1001")
	cookie := ada.cookie()

	everywhere := func(what string, check func(t *testing.T, p *proxy)) {
		t.Helper()
		var wg sync.WaitGroup
		for _, p := range all {
			wg.Go(func() { check(t, p) })
		}
		wg.Wait()
		if t.Failed() {
			t.Fatalf("while %s", what)
		}
	}
	well := func(t *testing.T, p *proxy) {
		t.Helper()
		var a answer
		for end := time.Now().Add(15 * time.Second); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
			if a, _ = p.try(page("/x", "Cookie", cookie)); a.passed {
				return
			}
		}
		t.Errorf("%s: not well: %d %s", p.kind, a.status, a.body)
	}
	closed := func(status func(kind string) int, requests ...request) func(*testing.T, *proxy) {
		return func(t *testing.T, p *proxy) {
			t.Helper()
			for _, r := range requests {
				began := time.Now()
				a, err := p.try(r)
				if err != nil || a.passed || a.status != status(p.kind) || a.header.Get("Set-Cookie") != "" || a.header.Get("Location") != "" {
					t.Errorf("%s: %s: %v, passed %v, %d %v", p.kind, or(r.target, "/x"), err, a.passed, a.status, a.header)
				}
				if took := time.Since(began); took > 8*time.Second {
					t.Errorf("%s: took %v", p.kind, took)
				}
			}
		}
	}
	asked := []request{page("/x", "Cookie", cookie), page("/x"), page("/open"), {method: "POST", target: "/x", body: "a=1", header: []string{"Cookie", cookie}}}

	everywhere("all is well", well)

	r.delay.Store(int64(8 * time.Second))
	everywhere("Gatepost needs 8 s", func(t *testing.T, p *proxy) {
		if patient[p.kind] {
			well(t, p)
			return
		}
		closed(func(kind string) int { return or0(slow[kind], 503) }, asked[0])(t, p)
	})
	r.delay.Store(0)
	everywhere("Gatepost is quick again", well)

	w.postgres.Stop()
	everywhere("the database is stopped", func(t *testing.T, p *proxy) {
		var a answer
		for end := time.Now().Add(3 * time.Second); a.status != http.StatusServiceUnavailable && time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
			var err error
			if a, err = p.try(asked[0]); err != nil {
				t.Errorf("%s: %v", p.kind, err)
			}
		}
		closed(func(string) int { return 503 }, asked[0], asked[3])(t, p)
		if a := p.send(t, asked[1]); a.passed {
			t.Errorf("%s: lets nobody pass", p.kind)
		}
	})
	var err error
	if w.postgres, err = devpg.Start(context.Background(), devpg.Options{Dir: filepath.Join(w.dir, "postgres")}); err != nil {
		t.Fatal(err)
	}
	everywhere("the database is back", well)

	w.gatepost.stop()
	everywhere("Gatepost is stopped", closed(func(kind string) int { return or0(stopped[kind], 503) }, asked...))
	if err := w.serve(); err != nil {
		t.Fatal(err)
	}
	everywhere("Gatepost is back", well)
}

// The status that a proxy gives when Gatepost does not answer in time, or not
// at all, where it is not 503.
var (
	slow    = map[string]int{"caddy": 504}
	stopped = map[string]int{"caddy": 502, "traefik": 500}
	patient = map[string]bool{"traefik": true} // waits 30 s
)

func or0(n, otherwise int) int {
	if n == 0 {
		return otherwise
	}
	return n
}

// Fifty requests at once on a session that is over are fifty refusals, and no
// cookie piles up.
func TestFiftyOnAnExpiredSession(t *testing.T) {
	each(t, func(t *testing.T, p *proxy) {
		b := p.browser(t)
		b.enter("https://"+appHost+"/x", "1001")
		p.world.sql(t, "UPDATE sessions SET expires = now() - interval '1 hour' WHERE id = (SELECT max(id) FROM sessions)")
		cookie := b.cookie()
		var wg sync.WaitGroup
		for i := range 50 {
			wg.Go(func() {
				r, want := page("/x", "Cookie", cookie), 302
				if i%2 == 1 {
					r, want = request{header: []string{"Cookie", cookie, "Sec-Fetch-Mode", "cors"}}, 401
				}
				a, err := p.try(r)
				if err != nil || a.passed || a.status != want || len(a.header["Set-Cookie"]) > 0 {
					t.Errorf("%v %d %v", err, a.status, a.header)
				}
			})
		}
		wg.Wait()
	})
}

// A script that fails lets nothing pass: HAProxy by itself would go on.
func TestBrokenScript(t *testing.T) {
	for _, kind := range kinds() {
		for name, breakAt := range map[string]string{"at once": begins[kind], "when all is decided": ends[kind]} {
			if breakAt == "" {
				continue
			}
			t.Run(kind+"/"+name, func(t *testing.T) {
				broken := false
				p := the.changed(t, kind, the.site(), func(s string) string {
					broken = broken || strings.Contains(s, breakAt)
					return strings.Replace(s, breakAt, breakAt+"\n  error(\"broken\")\n", 1)
				})
				if !broken {
					t.Fatalf("the script has no %q", breakAt)
				}
				for _, target := range []string{"/open", "/x"} {
					if a := p.send(t, page(target)); a.passed || a.status < 500 && a.status != 302 {
						t.Errorf("%s: passed %v, %d", target, a.passed, a.status)
					}
				}
			})
		}
	}
}

// Where the scripts begin, and where they have decided to let pass.
var (
	begins = map[string]string{"haproxy": `{ "http-req" }, function(txn, url)`, "apache": `function check(r)`}
	ends   = map[string]string{"haproxy": `  for _, name in ipairs(IDENTITY) do`, "apache": `  for _, name in ipairs(IDENTITY) do`}
)
