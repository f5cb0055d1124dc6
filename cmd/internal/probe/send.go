package probe

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

const headerName = "Gatepost-Probe"

// request is written byte by byte, so that nothing is tidied.
type request struct {
	path   string // below the prefix
	target string // instead of it
	host   string // instead of the URL's
	who    bool   // by somebody signed in
	header []string
}

// answer is what came back; arrived is what the application would have seen, nil
// for nothing.
type answer struct {
	status  int
	arrived *arrived
}

type arrived struct {
	target, host string
	header       http.Header
}

// echo plays the application.
type echo struct {
	listener net.Listener
	server   *http.Server
	secret   string

	mu   sync.Mutex
	seen map[string]*arrived
	sent int
}

func startEcho(listen, secret string) (*echo, error) {
	l, err := net.Listen("tcp", listen)
	if err != nil {
		return nil, err
	}
	e := &echo{listener: l, secret: secret, seen: map[string]*arrived{}}
	e.server = &http.Server{Handler: e, ReadHeaderTimeout: 5 * time.Second}
	go e.server.Serve(l)
	return e, nil
}

func (e *echo) addr() string { return e.listener.Addr().String() }
func (e *echo) stop()        { e.server.Close() }

// ServeHTTP notes the probe's own requests, and tells nobody what is in them.
func (e *echo) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	id := r.Header.Get(headerName)
	if !strings.HasPrefix(id, e.secret) {
		http.NotFound(w, r)
		return
	}
	e.mu.Lock()
	e.seen[id] = &arrived{r.RequestURI, r.Host, r.Header}
	e.mu.Unlock()
	io.WriteString(w, "arrived\n")
}

func (e *echo) newID() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.sent++
	return fmt.Sprintf("%s-%d", e.secret, e.sent)
}

func (e *echo) take(id string) *arrived {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.seen[id]
}

func dialer(target *url.URL, connect string, roots *x509.CertPool) func(context.Context) (net.Conn, error) {
	if connect == "" {
		port := target.Port()
		if port == "" {
			port = target.Scheme
		}
		connect = net.JoinHostPort(target.Hostname(), port)
	}
	plain := &net.Dialer{Timeout: 10 * time.Second}
	if target.Scheme == "http" {
		return func(ctx context.Context) (net.Conn, error) { return plain.DialContext(ctx, "tcp", connect) }
	}
	d := &tls.Dialer{NetDialer: plain, Config: &tls.Config{RootCAs: roots, ServerName: target.Hostname()}}
	return func(ctx context.Context) (net.Conn, error) { return d.DialContext(ctx, "tcp", connect) }
}

// send makes one request. A connection that the proxy cuts is a refusal; one
// that cannot be made is an error.
func (p *prober) send(ctx context.Context, r request) (answer, error) {
	conn, err := p.dialer(ctx)
	if err != nil {
		return answer{}, err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(15 * time.Second))
	id := p.echo.newID()
	if _, err := io.WriteString(conn, p.text(r, id)); err != nil {
		return answer{}, err
	}
	a := answer{}
	if resp, err := http.ReadResponse(bufio.NewReader(conn), nil); err == nil {
		a.status = resp.StatusCode
		resp.Body.Close()
	}
	a.arrived = p.echo.take(id)
	return a, ctx.Err()
}

func (p *prober) text(r request, id string) string {
	target, host := r.target, r.host
	if target == "" {
		target = p.Prefix + r.path
	}
	if host == "" {
		host = p.target.Host
	}
	lines := []string{"GET " + target + " HTTP/1.1", "Host: " + host, headerName + ": " + id}
	connection := "Connection: close"
	for i := 0; i+1 < len(r.header); i += 2 {
		if r.header[i] == "Connection" {
			connection = ""
		}
		lines = append(lines, r.header[i]+": "+r.header[i+1])
	}
	if r.who {
		lines = append(lines, p.who...)
	}
	if connection != "" {
		lines = append(lines, connection)
	}
	return strings.Join(lines, "\r\n") + "\r\n\r\n"
}
