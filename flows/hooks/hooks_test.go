package hooks

import (
	"context"
	"encoding/base64"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// The example of Standard Webhooks' own specification.
func TestSignature(t *testing.T) {
	secret, err := parseSecret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
	if err != nil {
		t.Fatal(err)
	}
	got := sign([][]byte{secret}, "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", []byte(`{"test": 2432232314}`))
	if want := "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if got := sign([][]byte{secret, secret}, "a", "1", nil); strings.Count(got, "v1,") != 2 || len(strings.Fields(got)) != 2 {
		t.Errorf("two secrets: %s", got)
	}
}

func TestConfig(t *testing.T) {
	good := NewSecret()
	for _, tt := range []struct{ name, url, secret, want string }{
		{"https", "https://hooks.example.org/x?y=1", good, ""},
		{"loopback", "http://127.0.0.1:8080/x", good, ""},
		{"loopback of IPv6", "http://[::1]:8080/x", good, ""},
		{"private network", "https://10.0.0.7/x", good, ""},
		{"clear text", "http://hooks.example.org/x", good, "url: must be https; http"},
		{"clear text in a private network", "http://10.0.0.7/x", good, "url: must be https; http"},
		{"a name that looks like loopback", "http://localhost.example.org/x", good, "url: must be https; http"},
		{"nothing", "", good, "url: want https"},
		{"another scheme", "ftp://hooks.example.org/x", good, "url: must be https"},
		{"password", "https://u:p@hooks.example.org/x", good, "url: holds a user"},
		{"no secret", "https://hooks.example.org", "", "secrets[0]: is not whsec_"},
		{"secret without its mark", "https://hooks.example.org", strings.TrimPrefix(good, "whsec_"), "secrets[0]: is not whsec_"},
		{"short secret", "https://hooks.example.org", "whsec_" + base64.StdEncoding.EncodeToString(make([]byte, 23)), "secrets[0]: is not whsec_"},
	} {
		_, err := New(Config{URL: tt.url, Secrets: []string{tt.secret}})
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.HasPrefix(err.Error(), tt.want)) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
	}
	if _, err := New(Config{URL: "https://hooks.example.org"}); err == nil || err.Error() != "secrets: is missing; «gatepost keys webhook» makes one" {
		t.Errorf("no secrets: %v", err)
	}
}

// serve is a hook that behaves as handler does.
func serve(t *testing.T, handler http.HandlerFunc) *Hook {
	t.Helper()
	s := httptest.NewServer(handler)
	t.Cleanup(s.Close)
	h, err := New(Config{Name: "x", URL: s.URL + "/hook?token=hunter2", Secrets: []string{NewSecret()}})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// What a receiver does wrong is an error that names it, within the time that
// there is, and never the address.
func TestMisbehavingReceivers(t *testing.T) {
	var elsewhere atomic.Int32
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { elsewhere.Add(1) }))
	t.Cleanup(other.Close)
	hang := func(_ http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body) // only then the server notices that the client is gone
		<-r.Context().Done()
	}
	for _, tt := range []struct {
		name      string
		handler   http.HandlerFunc
		ask, tell string // what the error says; "" for none
	}{
		{"good", func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, `{"allow":true}`) }, "", ""},
		{"500", func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(500) }, "it answered 500", "it answered 500"},
		{"410", func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(410) }, "it answered 410", "it answered 410"},
		{"redirect", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, other.URL, http.StatusTemporaryRedirect)
		}, "it answered 307", "it answered 307"},
		{"reset", func(w http.ResponseWriter, r *http.Request) {
			conn, _, _ := w.(http.Hijacker).Hijack()
			conn.(*net.TCPConn).SetLinger(0)
			conn.Close()
		}, "reset by peer", "reset by peer"},
		{"hangs", hang, "does not answer in time", "does not answer in time"},
		{"hangs in the middle", func(w http.ResponseWriter, r *http.Request) {
			io.WriteString(w, `{"allow":`)
			w.(http.Flusher).Flush()
			hang(w, r)
		}, "does not answer in time", ""},
		{"huge", func(w http.ResponseWriter, r *http.Request) {
			for range 1000 {
				if _, err := w.Write(make([]byte, 1<<20)); err != nil {
					return
				}
			}
		}, "larger than 16384", ""},
		{"not JSON", func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, `<html>hunter2`) }, "not the JSON", ""},
		{"nothing", func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(204) }, "not the JSON", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			h := serve(t, tt.handler)
			ctx, cancel := context.WithTimeout(t.Context(), AskTimeout)
			defer cancel()
			var answer struct{ Allow bool }
			begin := time.Now()
			check(t, "ask", h.Ask(ctx, Message{Type: "t"}, &answer), tt.ask)
			ctx, cancel = context.WithTimeout(t.Context(), AskTimeout)
			defer cancel()
			check(t, "tell", h.Tell(ctx, "msg_1", []byte("{}")), tt.tell)
			if took := time.Since(begin); took > 2*AskTimeout+2*time.Second {
				t.Errorf("took %s", took)
			}
		})
	}
	t.Cleanup(func() {
		if elsewhere.Load() != 0 {
			t.Error("a redirect was followed")
		}
	})
}

func check(t *testing.T, what string, err error, want string) {
	t.Helper()
	if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
		t.Errorf("%s: %v, want %q", what, err, want)
	}
	if err != nil && strings.Contains(err.Error(), "hunter2") {
		t.Errorf("%s: the error tells a secret: %v", what, err)
	}
}

// Clear text stays on this machine although a name that was loopback leads
// elsewhere by now.
func TestClearTextStaysOnThisMachine(t *testing.T) {
	client := newHTTPClient(true)
	_, err := client.Get("http://192.0.2.1/")
	if err == nil || !strings.Contains(err.Error(), "leads off this machine") {
		t.Errorf("%v", err)
	}
}

// A kept connection is ended before the other side would: Node and Apache hang
// up after 5 s, and what is on its way then is lost.
func TestKeptConnections(t *testing.T) {
	t.Parallel()
	var idle time.Time
	over := make(chan time.Duration, 1)
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	srv.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		switch s {
		case http.StateIdle:
			idle = time.Now()
		case http.StateClosed:
			over <- time.Since(idle)
		}
	}
	srv.Start()
	defer srv.Close()
	client := newHTTPClient(true)
	resp, err := client.Post(srv.URL, "text/plain", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if kept := <-over; kept < time.Second || kept > 5*time.Second {
		t.Errorf("kept for %v", kept)
	}
}

// Each attempt has the same id and a time of its own, and the signature is over
// what arrives.
func TestRequest(t *testing.T) {
	var got *http.Request
	var body []byte
	h := serve(t, func(w http.ResponseWriter, r *http.Request) { got = r; body, _ = io.ReadAll(r.Body) })
	if err := h.Tell(t.Context(), "msg_1", []byte(`{"a":1}`)); err != nil {
		t.Fatal(err)
	}
	stamp := got.Header.Get("webhook-timestamp")
	at, err := strconv.ParseInt(stamp, 10, 64)
	if err != nil || time.Since(time.Unix(at, 0)) > time.Minute || got.Header.Get("webhook-id") != "msg_1" || got.Header.Get("webhook-signature") != sign(h.secrets, "msg_1", stamp, body) {
		t.Errorf("%v: %v", err, got.Header)
	}
	if got.Method != http.MethodPost || got.Header.Get("Content-Type") != "application/json" || string(body) != `{"a":1}` {
		t.Errorf("%s %s %s", got.Method, got.Header.Get("Content-Type"), body)
	}
}
