package providers

import (
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

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
	client, err := newHTTPClient(true, "")
	if err != nil {
		t.Fatal(err)
	}
	resp, err := client.Post(srv.URL, "text/plain", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if kept := <-over; kept < time.Second || kept > 5*time.Second {
		t.Errorf("kept for %v", kept)
	}
}
