package app

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// a server on connections that are punctual gives up on slow clients at the
// moment that it gives up on them on plain ones.
func TestSlowClients(t *testing.T) {
	const get = "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
	send := func(c net.Conn, what string, every time.Duration) {
		for i := range what {
			if _, err := io.WriteString(c, what[i:i+1]); err != nil {
				return
			}
			time.Sleep(every)
		}
	}
	answer := func(t *testing.T, c net.Conn, r *bufio.Reader) {
		t.Helper()
		io.WriteString(c, get)
		resp, err := http.ReadResponse(r, nil)
		if err != nil || resp.StatusCode != http.StatusOK {
			t.Fatalf("%+v, %v", resp, err)
		}
		io.Copy(io.Discard, resp.Body)
	}
	for _, test := range []struct {
		name   string
		want   time.Duration // until the server has hung up
		client func(t *testing.T, c net.Conn, r *bufio.Reader)
	}{
		{"who says nothing", 5 * time.Second, func(*testing.T, net.Conn, *bufio.Reader) {}},
		{"who sends a byte now and then", 5 * time.Second, func(_ *testing.T, c net.Conn, _ *bufio.Reader) {
			go send(c, get, 900*time.Millisecond)
		}},
		{"who announces a body and sends none", 15 * time.Second, func(_ *testing.T, c net.Conn, _ *bufio.Reader) {
			io.WriteString(c, "POST /body HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n")
		}},
		{"who sends a body slowly", 15 * time.Second, func(_ *testing.T, c net.Conn, _ *bufio.Reader) {
			io.WriteString(c, "POST /body HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n")
			go send(c, strings.Repeat("x", 100), time.Second)
		}},
		{"who stays after an answer", 60 * time.Second, answer},
		{"who asks again and again, and stays", 55*time.Second + 7*time.Second + 60*time.Second, func(t *testing.T, c net.Conn, r *bufio.Reader) {
			answer(t, c, r)
			time.Sleep(55 * time.Second)
			for range 1000 {
				answer(t, c, r)
				time.Sleep(7 * time.Millisecond)
			}
			answer(t, c, r)
		}},
		{"who begins a second request and does not end it", 20*time.Second + 5*time.Second, func(t *testing.T, c net.Conn, r *bufio.Reader) {
			answer(t, c, r)
			time.Sleep(20 * time.Second)
			io.WriteString(c, "GET / HT")
		}},
		{"who does not read the answer", 30*time.Second + 1, func(_ *testing.T, c net.Conn, _ *bufio.Reader) {
			io.WriteString(c, "GET /long HTTP/1.1\r\nHost: a\r\n\r\n")
			time.Sleep(30*time.Second + 1) // in the same instant it could still read
		}},
		{"who waits for an answer that takes its time", 28*time.Second + 60*time.Second, func(t *testing.T, c net.Conn, r *bufio.Reader) {
			io.WriteString(c, "GET /wait HTTP/1.1\r\nHost: a\r\n\r\n")
			if resp, err := http.ReadResponse(r, nil); err != nil || resp.StatusCode != http.StatusNoContent {
				t.Errorf("%+v, %v", resp, err)
			}
		}},
		{"who leaves while waiting", 3 * time.Second, func(_ *testing.T, c net.Conn, _ *bufio.Reader) {
			io.WriteString(c, "GET /left HTTP/1.1\r\nHost: a\r\n\r\n")
			time.Sleep(3 * time.Second)
			c.Close()
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			for _, wrap := range []func(net.Listener) net.Listener{
				func(l net.Listener) net.Listener { return l },
				func(l net.Listener) net.Listener { return punctual{l} },
			} {
				synctest.Test(t, func(t *testing.T) {
					ours, c := net.Pipe()
					accepted := make(pipes, 1)
					accepted <- ours
					listener := wrap(accepted)
					left := make(chan time.Time, 1)
					s := newServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
						switch r.URL.Path {
						case "/body":
							io.Copy(io.Discard, r.Body)
						case "/long":
							io.WriteString(w, strings.Repeat("x", 1<<20))
						case "/wait":
							time.Sleep(28 * time.Second)
							w.WriteHeader(http.StatusNoContent)
						case "/left":
							<-r.Context().Done()
							left <- time.Now()
						}
					}))
					go s.Serve(listener)
					start := time.Now()
					r := bufio.NewReader(c)
					test.client(t, c, r)
					ended := start
					if strings.Contains(test.name, "leaves") {
						ended = <-left
					} else {
						io.Copy(io.Discard, r)
						ended = time.Now()
					}
					if took := ended.Sub(start); took != test.want {
						t.Errorf("%T: the server gave up after %s, want %s", listener, took, test.want)
					}
					c.Close()
					s.Close()
					time.Sleep(time.Minute) // until who still sends has noticed
				})
			}
		})
	}
}

// pipes are a listener's connections.
type pipes chan net.Conn

func (p pipes) Accept() (net.Conn, error) {
	c, ok := <-p
	if !ok {
		return nil, net.ErrClosed
	}
	return c, nil
}

func (p pipes) Close() error { close(p); return nil }
func (pipes) Addr() net.Addr { return &net.TCPAddr{} }
