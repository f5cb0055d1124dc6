package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gatepost/gatepost/e2e/ports"
)

type output struct {
	sync.Mutex
	bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.Lock()
	defer o.Unlock()
	return o.Buffer.Write(p)
}

func (o *output) String() string {
	o.Lock()
	defer o.Unlock()
	return o.Buffer.String()
}

// Everything is there, twice in a row on the same data, and on loopback alone
// unless it is told otherwise.
func TestTheWorld(t *testing.T) {
	dir, err := os.MkdirTemp("", "gatepost-world-")
	if err != nil {
		t.Fatal(err)
	}
	os.Chmod(dir, 0o755) // Postgres runs as another user when we are root
	t.Cleanup(func() { os.RemoveAll(dir) })
	t.Setenv("PGTZ", "nonsense")
	t.Setenv("PGOPTIONS", "-c nonsense=1")
	forgetOtherDatabases()
	for _, tt := range []struct {
		host string
		warn bool
	}{{"localhost", false}, {"0.0.0.0", true}} {
		port := ports.Free(4)
		ctx, stop := context.WithCancel(t.Context())
		var out output
		done := make(chan error, 1)
		go func() { done <- run(ctx, options{host: tt.host, port: port, dir: dir}, &out) }()
		for end := time.Now().Add(20 * time.Second); !strings.Contains(out.String(), "Ctrl-C") && time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		}
		for n, want := range []string{"Sign in", "Sign in", "Development mailbox", ""} {
			url := fmt.Sprintf("http://localhost:%d/", port+n)
			if n == 0 {
				url += "auth/signin"
			}
			resp, err := http.Get(url)
			if err != nil {
				t.Fatal(err)
			}
			body, _ := io.ReadAll(resp.Body)
			resp.Body.Close()
			if !strings.Contains(string(body), want) {
				t.Errorf("%s: %d %s", url, resp.StatusCode, body)
			}
		}
		if warned := strings.Contains(out.String(), "can sign in as anybody"); warned != tt.warn {
			t.Errorf("on %s: %s", tt.host, out.String())
		}
		if err := run(ctx, options{host: tt.host, port: port, dir: dir}, io.Discard); err == nil || !strings.Contains(err.Error(), "-port") {
			t.Errorf("a second one on the same ports: %v", err)
		}
		if err := run(ctx, options{host: tt.host, port: ports.Free(4), dir: dir}, io.Discard); err == nil || !strings.Contains(err.Error(), "-dir") {
			t.Errorf("a second one in the same folder: %v", err)
		}
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}
