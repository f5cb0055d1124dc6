//go:build e2e

package proxies_test

import (
	"encoding/json"
	"flag"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

var record = flag.Bool("record", false, "write down what the real Traefik asks")

// asked is one question of Traefik's, and who it came from.
type asked struct {
	Name   string
	Method string
	Target string
	Header http.Header
	Nobody int // the status without a session
	Ada    int // and with one
}

const traefikAsks = "testdata/traefik.json"

// What Traefik asked once is answered as it has to be, in runs that have no
// Traefik too. «make e2e-traefik» writes the file anew.
func TestTraefikAsks(t *testing.T) {
	if *record {
		recordTraefik(t)
	}
	raw, err := os.ReadFile(traefikAsks)
	if err != nil {
		t.Fatal(err)
	}
	var all []asked
	if err := json.Unmarshal(raw, &all); err != nil || len(all) == 0 {
		t.Fatal(len(all), err)
	}
	ada := the.proxy(t, "nginx").browser(t)
	ada.enter("https://"+appHost+"/x", "1001")
	for _, q := range all {
		for cookie, want := range map[string]int{"": q.Nobody, ada.cookie(): q.Ada} {
			r, err := http.NewRequest(q.Method, "http://"+the.addr+q.Target, nil)
			if err != nil {
				t.Fatal(err)
			}
			r.Header = q.Header.Clone()
			if cookie != "" {
				r.Header.Add("Cookie", cookie)
			}
			resp, err := http.DefaultTransport.RoundTrip(r)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if resp.StatusCode != want {
				t.Errorf("%s, signed in %v: %d, want %d", q.Name, cookie != "", resp.StatusCode, want)
			}
			if location := resp.Header.Get("Location"); (resp.StatusCode/100 == 3) != strings.HasPrefix(location, signInURL+"/signin?callbackUrl=") {
				t.Errorf("%s: Location %q", q.Name, location)
			}
		}
	}
}

// recordTraefik has the real Traefik ask about each kind of request.
func recordTraefik(t *testing.T) {
	if os.Getenv("GATEPOST_E2E_TRAEFIK") == "" {
		t.Fatal("-record needs a Traefik; run «make e2e-traefik»")
	}
	var mu sync.Mutex
	var last asked
	auth := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		last = asked{Method: r.Method, Target: r.RequestURI, Header: r.Header}
		last.Header.Del("X-Test-Id")
		w.WriteHeader(http.StatusForbidden)
	}))
	defer auth.Close()
	site := the.site()
	site.Gatepost = strings.TrimPrefix(auth.URL, "http://")
	p := the.changed(t, "traefik", site, func(s string) string { return s })
	time.Sleep(time.Second)
	html := []string{"Accept", acceptHTML}
	socket := []string{"Connection", "Upgrade", "Upgrade", "websocket", "Sec-WebSocket-Version", "13", "Sec-WebSocket-Key", "AAAAAAAAAAAAAAAAAAAAAA=="}
	var all []asked
	for _, tt := range []struct {
		name        string
		r           request
		nobody, ada int
	}{
		{"a page", page("/x?a=1&b=2"), 302, 200},
		{"a script", request{header: []string{"Accept", "application/json"}}, 401, 200},
		{"fetch", page("/x", "Sec-Fetch-Mode", "cors"), 401, 200},
		{"a form", request{method: "POST", header: html, body: "a=1"}, 303, 200},
		{"HEAD", request{method: "HEAD", header: html}, 302, 200},
		{"preflight", request{method: "OPTIONS", target: "/api/x", header: []string{"Origin", "https://other.example", "Access-Control-Request-Method", "PUT"}}, 200, 200},
		{"a socket", request{header: socket}, 401, 200},
		{"gRPC", request{method: "POST", header: []string{"Content-Type", "application/grpc"}, body: "x"}, 401, 200},
		{"dots", page("/open/../admin"), 302, 200},
		{"an encoded slash", page("/open/..%2fadmin"), 302, 200},
		{"spoofed", page("/x", "X-Forwarded-Uri", "/open", "X-Forwarded-Host", openHost, "X-Original-Url", "https://"+appHost+"/open", "Remote-User", evil), 302, 200},
		{"an alias", page("/x", "X_Forwarded_Uri", "/open"), 302, 200},
	} {
		p.send(t, tt.r)
		mu.Lock()
		last.Name, last.Nobody, last.Ada = tt.name, tt.nobody, tt.ada
		all = append(all, last)
		last = asked{}
		mu.Unlock()
	}
	raw, err := json.MarshalIndent(all, "", "\t")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Dir(traefikAsks), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(traefikAsks, append(raw, '\n'), 0o644); err != nil {
		t.Fatal(err)
	}
}
