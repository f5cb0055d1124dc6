//go:build unix

package app

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gatepost/gatepost/store/storetest"
)

// A socket that a Gatepost left is replaced, and nothing else that is there.
func TestListenSocket(t *testing.T) {
	for name, tt := range map[string]struct {
		before func(t *testing.T, path string)
		want   string // "" is no error
	}{
		"nothing there":   {func(*testing.T, string) {}, ""},
		"left behind":     {leaveSocket, ""},
		"served by us":    {func(t *testing.T, path string) { mustListen(t, path) }, "another Gatepost serves on"},
		"another program": {func(t *testing.T, path string) { l, _ := net.Listen("unix", path); t.Cleanup(func() { l.Close() }) }, "another program listens on"},
		"a file":          {func(t *testing.T, path string) { os.WriteFile(path, []byte("precious"), 0o600) }, "is there and is no socket"},
		"a folder":        {func(t *testing.T, path string) { os.Mkdir(path, 0o700) }, "is there and is no socket"},
		"a link":          {func(t *testing.T, path string) { leaveSocket(t, path+"2"); os.Symlink(path+"2", path) }, "is there and is no socket"},
		"no folder":       {func(t *testing.T, path string) { os.Remove(filepath.Dir(path)) }, "; make it, owned by"},
		"a linked lock":   {func(t *testing.T, path string) { os.Symlink(path+"2", path+".lock") }, "too many levels"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "s")
			tt.before(t, path)
			before, _ := os.Lstat(path)
			l, err := listenSocket(path, 0o640)
			if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("%v, want %q", err, tt.want)
			}
			if err != nil {
				if after, _ := os.Lstat(path); before != nil && !os.SameFile(before, after) {
					t.Error("what was there is gone")
				}
				return
			}
			info, err := os.Stat(path)
			if err != nil || info.Mode().Perm() != 0o640 {
				t.Errorf("mode %v, %v", info.Mode(), err)
			}
			if err := l.Close(); err != nil {
				t.Error(err)
			}
			if _, err := os.Lstat(path); !os.IsNotExist(err) {
				t.Errorf("is left behind: %v", err)
			}
			mustListen(t, path)
		})
	}
}

// Closing removes the listener's own socket alone.
func TestClosedSocketLeavesAnothers(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	l := mustListen(t, path)
	os.Remove(path)
	leaveSocket(t, path)
	l.Close()
	if _, err := os.Lstat(path); err != nil {
		t.Error(err)
	}
}

func mustListen(t *testing.T, path string) net.Listener {
	t.Helper()
	l, err := listenSocket(path, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// leaveSocket is what a killed server leaves.
func leaveSocket(t *testing.T, path string) {
	t.Helper()
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	l.Close()
}

func TestCheckSocket(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "s")
	if err := checkSocket(path); err != nil {
		t.Error(err)
	}
	mustListen(t, path)
	if err := checkSocket(path); err != nil {
		t.Errorf("while one serves: %v", err)
	}
	if err := checkSocket(filepath.Join(dir, "no", "s")); err == nil || !strings.Contains(err.Error(), "make it, and give it") {
		t.Error(err)
	}
	os.WriteFile(path+"2", nil, 0o600)
	if err := checkSocket(path + "2"); err == nil || !strings.Contains(err.Error(), "no socket") {
		t.Error(err)
	}
}

// Security F-1: whoever is on the socket is believed only where the operator
// says so, whatever address it calls itself by.
func TestPeersOnSocket(t *testing.T) {
	for _, trusted := range []bool{true, false} {
		s := guarded(t, func(c *Config) {
			c.Listen = "unix:/run/gatepost.sock"
			c.TrustedProxies = []string{"127.0.0.1/32", "unix"}
			c.Gate.Rules[0].Network = List{"192.0.2.0/24"} // what is open is so to them
		})
		if !trusted { // which no configuration with a gate may be
			s = guarded(t, nil)
			c := Default()
			c.Listen, c.PublicURL, c.Dev, c.Keys, c.Database.URL, c.TrustedProxies = "unix:/run/gatepost.sock", s.URL, true, s.keys, Secret(storetest.URL(t)), []string{"127.0.0.1/32"}
			c.Gate.Rules = []RuleConfig{{Host: List{"app.example.org"}, Allow: &Who{Atom: "public"}}}
			p, err := build(t.Context(), c, NewLogger(c.Log, io.Discard))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(p.store.Close)
			s.parts = p
		}
		dir := t.TempDir()
		path := filepath.Join(dir, "s")
		server := newServer(s.parts.handler)
		l := mustListen(t, path)
		go server.Serve(l)
		t.Cleanup(func() { server.Close() })
		for i, name := range []string{"", "@", filepath.Join(dir, "127.0.0.1:80"), "127.0.0.1:80"} {
			if i == 3 {
				t.Chdir(dir) // a name that reads as an address
				os.Remove(name)
			}
			for client, want := range map[string]int{"192.0.2.1": 200, "198.51.100.1": 401} {
				if !trusted {
					want = 400
				}
				status, err := askSocket(t.Context(), path, name, client)
				os.Remove(name)
				if err != nil || status != want {
					t.Errorf("trusted %v, peer %q, client %s: %d %v, want %d", trusted, name, client, status, err, want)
				}
			}
		}
	}
}

// askSocket asks, as a peer of that name, about a request of client's.
func askSocket(ctx context.Context, path, name, client string) (int, error) {
	dialer := net.Dialer{}
	if name != "" {
		dialer.LocalAddr = &net.UnixAddr{Name: name, Net: "unix"}
	}
	conn, err := dialer.DialContext(ctx, "unix", path)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	_, h := question("forward", "GET", "https://app.example.org/open/a")
	fmt.Fprintf(conn, "GET /auth/forward HTTP/1.1\r\nHost: gatepost\r\nConnection: close\r\nX-Forwarded-For: %s\r\n", client)
	for i := 0; i+1 < len(h); i += 2 {
		fmt.Fprintf(conn, "%s: %s\r\n", h[i], h[i+1])
	}
	io.WriteString(conn, "\r\n")
	raw, err := io.ReadAll(conn)
	status := 0
	fmt.Sscanf(string(raw), "HTTP/1.1 %d", &status)
	return status, err
}
