//go:build e2e

package proxies_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Gatepost on a Unix socket, whose peers trusted_proxies name: the proxy is
// believed, and a client is not.
func TestGatepostOnSocket(t *testing.T) {
	w, err := (&world{dir: filepath.Join(the.dir, "socket"), signIn: authHost, other: otherAuth, socket: true}).begin()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.stop)
	if out, err := w.command("check"); !strings.Contains(out, "ok    listen\n") {
		t.Errorf("check: %v\n%s", err, out)
	}
	for _, kind := range []string{"nginx", "caddy", "haproxy"} {
		t.Run(kind, func(t *testing.T) {
			p := w.proxy(t, kind)
			ada := p.browser(t)
			a := ada.signIn("https://"+appHost+"/x", "1001")
			if a.app == nil || a.app.Header.Get("Remote-User") != "ada@example.org" {
				t.Fatalf("came back to %d %s", a.status, a.body)
			}
			if a := p.send(t, request{target: "/local"}); !a.passed {
				t.Errorf("the client's network does not count: %d", a.status)
			}
			if a := p.send(t, request{target: "/office", header: []string{"X-Forwarded-For", "192.0.2.1"}}); a.passed {
				t.Error("the client's word on its network counts")
			}
			if a := p.send(t, request{target: "/auth/forward", host: authHost, sni: authHost, header: lies}); a.status != 404 {
				t.Errorf("a check is public: %d", a.status)
			}
		})
	}
	for _, kind := range []string{"apache", "traefik", "envoy"} {
		if out, err := w.command("proxy-config", kind); err == nil || kind != "apache" && !strings.Contains(out, "host:port") {
			t.Errorf("%s: %v %s", kind, err, out)
		}
	}
	if out, err := w.command("serve"); err == nil || !strings.Contains(out, "another Gatepost serves on") {
		t.Errorf("a second one: %v %s", err, out)
	}
	path := strings.TrimPrefix(w.addr, "unix:")
	w.gatepost.cmd.Process.Kill()
	<-w.gatepost.done
	if _, err := os.Stat(path); err != nil {
		t.Fatal(err)
	}
	if err := w.serve(); err != nil {
		t.Fatalf("after kill -9: %v", err)
	}
	w.gatepost.stop()
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a stopped server leaves its socket: %v", err)
	}
}
