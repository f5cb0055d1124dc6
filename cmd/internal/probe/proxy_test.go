package probe

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/textproto"
	"net/url"
	pathpkg "path"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
)

// proxy is a small reverse proxy with a gate of its own, which does right but
// for the weaknesses that a test gives it.
type proxy struct {
	net.Listener
	upstream string
	scheme   string
	weak     map[string]bool
	taken    atomic.Int64 // requests
	limit    int64        // then come refusals; 0 is never
}

const cookie = "session=ada-secret"

// startProxy serves on a loopback address, with TLS if there is a certificate.
func startProxy(t *testing.T, upstream, listen string, cert *tls.Certificate, weak ...string) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", listen)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	p := &proxy{Listener: l, upstream: upstream, scheme: "http", weak: map[string]bool{}}
	if cert != nil {
		p.Listener, p.scheme = tls.NewListener(l, &tls.Config{Certificates: []tls.Certificate{*cert}}), "https"
	}
	for _, w := range weak {
		p.weak[w] = true
	}
	go func() {
		for {
			conn, err := p.Accept()
			if err != nil {
				return
			}
			go p.serve(conn)
		}
	}()
	return p
}

func (p *proxy) serve(conn net.Conn) {
	defer conn.Close()
	in := textproto.NewReader(bufio.NewReader(conn))
	line, err := in.ReadLine()
	if err != nil {
		return
	}
	parts := strings.Split(line, " ")
	h, err := in.ReadMIMEHeader()
	if err != nil || len(parts) != 3 {
		return
	}
	if n := p.taken.Add(1); p.limit > 0 && n > p.limit {
		reply(conn, "429 Too Many Requests", "")
		return
	}
	header := http.Header(h)
	target, host := parts[1], header.Get("Host")
	if u, err := url.Parse(target); err == nil && u.IsAbs() { // RFC 9112 §3.2.2
		target = u.RequestURI()
		if !p.weak["host"] {
			host = u.Host
		} else {
			header.Set("Served", u.Host)
		}
	}
	header.Set("Host", host)
	person := header.Get("Cookie") == cookie
	if !p.passes(header, host, target, person) {
		reply(conn, "302 Found", "Location: https://auth.example.com/auth/signin?secret=state\r\n")
		return
	}
	if p.weak["hints"] {
		io.WriteString(conn, "HTTP/1.1 103 Early Hints\r\nLink: </style.css>\r\n\r\n")
	}
	p.pass(conn, header, target, person)
}

func reply(w io.Writer, status, header string) {
	io.WriteString(w, "HTTP/1.1 "+status+"\r\n"+header+"Content-Length: 0\r\nConnection: close\r\n\r\n")
}

// passes is the gate. A closed path stays closed in every reading of it.
func (p *proxy) passes(h http.Header, host, target string, person bool) bool {
	if v := h.Get("X-Forwarded-Uri"); v != "" && p.weak["question"] {
		target = v
	}
	switch {
	case p.weak["guard"] || person || host == openHost:
		return true
	case p.weak["path"]:
		return strings.HasPrefix(target, "/gatepost-probe/open")
	}
	reading, _, _ := strings.Cut(target, "?")
	for range 2 {
		if decoded, err := url.PathUnescape(reading); err == nil {
			reading = decoded
		}
	}
	reading = strings.ToLower(strings.ReplaceAll(reading, `\`, "/"))
	return strings.HasPrefix(pathpkg.Clean(reading), "/gatepost-probe/open") && !strings.ContainsAny(reading, ";\x00#")
}

// pass forwards, without what is a client's to say no more than anybody's.
func (p *proxy) pass(conn net.Conn, h http.Header, target string, person bool) {
	client, _, _ := net.SplitHostPort(conn.RemoteAddr().String())
	named := strings.Split(h.Get("Connection"), ",")
	for name := range maps.Clone(h) {
		if p.drops(name) {
			delete(h, name)
		}
	}
	h.Del("Connection")
	h.Set("X-Forwarded-Proto", p.scheme)
	if p.weak["forwarded"] {
		h.Set("X-Forwarded-For", strings.TrimPrefix(h.Get("X-Forwarded-For")+", "+client, ", "))
	} else {
		h.Set("X-Forwarded-For", client)
	}
	if addr := h.Get("X-Forwarded-For"); p.weak["real ip"] && h.Get("X-Real-Ip") != "" && net.ParseIP(h.Get("X-Real-Ip")) != nil {
		h.Set("X-Forwarded-For", h.Get("X-Real-Ip"))
		h.Set("X-Real-Ip", addr)
	}
	if person {
		h.Set("Remote-User", "ada@example.com")
		h.Set("X-Auth-Request-User", "1")
	}
	if p.weak["hop"] {
		for _, name := range named {
			h.Del(strings.TrimSpace(name))
		}
	}
	if p.weak["rewrite"] {
		target = pathpkg.Clean(target)
	}
	if served := h.Get("Served"); served != "" {
		h.Set("Host", served)
	}
	out, err := net.Dial("tcp", p.upstream)
	if err != nil {
		reply(conn, "502 Bad Gateway", "")
		return
	}
	defer out.Close()
	var b strings.Builder
	fmt.Fprintf(&b, "GET %s HTTP/1.1\r\nConnection: close\r\n", target)
	for name, values := range h {
		for _, v := range values {
			fmt.Fprintf(&b, "%s: %s\r\n", name, v)
		}
	}
	io.WriteString(out, b.String()+"\r\n")
	io.Copy(conn, out)
}

// drops reports a header that no client may send.
func (p *proxy) drops(name string) bool {
	lower := strings.ToLower(name)
	switch {
	case strings.Contains(lower, "_"):
		return !p.weak["underscores"]
	case strings.Contains(lower, "."):
		return !p.weak["dots"]
	case lower == "remote-groups":
		return !p.weak["identity"]
	case lower == "x-forwarded-for":
		return !p.weak["forwarded"]
	case lower == "x-real-ip":
		return !p.weak["real ip"]
	}
	return lower == "forwarded" || slices.ContainsFunc([]string{"remote-", "x-auth-request-", "x-gatepost-", "x-original-", "x-forwarded-", "x-rewrite-"},
		func(prefix string) bool { return strings.HasPrefix(lower, prefix) })
}
