package probe

import (
	"bufio"
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"syscall"
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
	status   int    // 0 where the connection was cut
	location string // where it leads
	arrived  *arrived
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

func dialer(target *url.URL, connect string, roots *x509.CertPool, patience time.Duration) func(context.Context) (net.Conn, error) {
	if connect == "" {
		port := target.Port()
		if port == "" {
			port = target.Scheme
		}
		connect = net.JoinHostPort(target.Hostname(), port)
	}
	plain := &net.Dialer{Timeout: patience}
	if target.Scheme == "http" {
		return func(ctx context.Context) (net.Conn, error) { return plain.DialContext(ctx, "tcp", connect) }
	}
	d := &tls.Dialer{NetDialer: plain, Config: &tls.Config{RootCAs: roots, ServerName: target.Hostname()}}
	return func(ctx context.Context) (net.Conn, error) { return d.DialContext(ctx, "tcp", connect) }
}

// String says what came back, for a sentence that begins with the address.
func (a answer) String() string {
	switch {
	case a.status == 0:
		return "has its connection closed without an answer"
	case a.location != "":
		return fmt.Sprintf("answers %d, which leads to %s", a.status, a.location)
	}
	return fmt.Sprintf("answers %d", a.status)
}

// send makes one request. One that does not arrive was refused, but where its
// answer may have another cause, others have to arrive still.
func (p *prober) send(ctx context.Context, r request) (answer, error) {
	a, err := p.exchange(ctx, r)
	if err == nil && a.arrived == nil && (a.status == 0 || a.status == http.StatusTooManyRequests || a.status >= 500) {
		err = p.alive(ctx)
	}
	return a, err
}

// exchange is send without the doubt. A connection that the proxy cuts is an
// answer; one that cannot be made, or on which nothing comes, is an error.
func (p *prober) exchange(ctx context.Context, r request) (answer, error) {
	conn, err := p.dialer(ctx)
	if err != nil {
		return answer{}, p.unreachable(ctx, err)
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	conn.SetDeadline(time.Now().Add(p.patience))
	id := p.echo.newID()
	a := answer{}
	_, err = io.WriteString(conn, p.text(r, id))
	in := bufio.NewReader(conn)
	for err == nil && a.status < 200 && a.status != http.StatusSwitchingProtocols { // 103 comes before the answer
		var resp *http.Response
		if resp, err = http.ReadResponse(in, nil); err == nil {
			a.status, a.location = resp.StatusCode, where(resp)
		}
	}
	a.arrived = p.echo.take(id)
	switch late := errors.Is(err, os.ErrDeadlineExceeded); {
	case ctx.Err() != nil:
		return a, ctx.Err()
	case late && a.arrived == nil:
		return a, fmt.Errorf("%s gives no answer within %v to «GET %s»: does the proxy wait for a Gatepost or an application that hangs?", p.target.Host, p.patience, p.targetOf(r))
	}
	return a, nil
}

// where an answer leads, without the query, which may carry what is secret.
func where(resp *http.Response) string {
	to, err := url.Parse(resp.Header.Get("Location"))
	if err != nil {
		return ""
	}
	return (&url.URL{Scheme: to.Scheme, Host: to.Host, Path: to.Path}).String()
}

// unreachable adds what to do about a connection that cannot be made.
func (p *prober) unreachable(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	_, otherRoot := errors.AsType[x509.UnknownAuthorityError](err)
	_, otherName := errors.AsType[x509.HostnameError](err)
	_, noTLS := errors.AsType[tls.RecordHeaderError](err)
	_, unknown := errors.AsType[*net.DNSError](err)
	timeout, late := errors.AsType[net.Error](err)
	hint := ""
	switch {
	case otherRoot:
		hint = "its certificate is of no authority known here; name the authority's file by --ca-file"
	case otherName:
		hint = "use the name that its certificate has, and --connect for where it is"
	case noTLS || errors.Is(err, io.EOF):
		hint = "no TLS is spoken there: is the address http://, or the port another?"
	case unknown:
		hint = "is the name spelt right, and does DNS work here? --connect says where the proxy is"
	case errors.Is(err, syscall.ECONNREFUSED):
		hint = "does the proxy run there, and is the port right? --connect says where it is"
	case late && timeout.Timeout():
		hint = "is the address right, and does a firewall let us through?"
	default:
		return fmt.Errorf("%s cannot be reached: %w", p.target.Host, err)
	}
	return fmt.Errorf("%s cannot be reached: %w\n%s", p.target.Host, err, hint)
}

// targetOf is the request target of r.
func (p *prober) targetOf(r request) string { return cmp.Or(r.target, p.Prefix+r.path) }

func (p *prober) text(r request, id string) string {
	lines := []string{"GET " + p.targetOf(r) + " HTTP/1.1", "Host: " + cmp.Or(r.host, p.target.Host), headerName + ": " + id}
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
