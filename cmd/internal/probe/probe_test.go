package probe

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gatepost/gatepost/e2e/ports"
)

// probed runs the probe against url as somebody signed in, but for what change
// makes of it, and has no patience.
func probed(t *testing.T, url, echo string, change func(*prober)) (out string, leaks int, err error) {
	t.Helper()
	var b strings.Builder
	p := newProber(Options{URL: url, Listen: echo, Prefix: "/gatepost-probe", Headers: []string{"Cookie: " + cookie}}, &b)
	p.patience = 30 * time.Second
	if change != nil {
		change(p)
	}
	err = p.run(t.Context())
	if err != nil {
		b.WriteString(err.Error() + "\n")
	}
	for _, secret := range []string{"ada-secret", "state"} {
		if strings.Contains(b.String(), secret) {
			t.Errorf("%q is printed:\n%s", secret, b.String())
		}
	}
	return b.String(), p.leaks, err
}

// What is clean is called so, for somebody signed in and for nobody, and by any
// address of the machine.
func TestCleanProxy(t *testing.T) {
	for _, listen := range []string{"127.0.0.1:0", "[::1]:0"} {
		echo := ports.FreeAddr()
		p := startProxy(t, echo, listen, nil, "hints")
		out, leaks, err := probed(t, "http://"+p.Addr().String(), echo, nil)
		if err != nil || leaks != 0 || strings.Count(out, "ok    ") != 8 || !strings.HasSuffix(out, "no leaks\n") || strings.Contains(out, "note") {
			t.Errorf("%s: %d leaks, %v\n%s", listen, leaks, err, out)
		}
		out, leaks, err = probed(t, "http://"+p.Addr().String()+"/", echo, func(p *prober) { p.Headers = nil })
		if err != nil || leaks != 0 || strings.Count(out, "ok    ") != 7 || !strings.Contains(out, "?     nobody is signed in") {
			t.Errorf("%s, nobody: %d leaks, %v\n%s", listen, leaks, err, out)
		}
	}
}

// Each weakness is found, alone, and comes with the line for each proxy.
func TestEachLeakIsFound(t *testing.T) {
	for _, tt := range []struct {
		weak  string
		what  topic
		leaks int
		want  string
		name  string // in the remedy
	}{
		{"guard", guard, 1, "LEAK  guard: /gatepost-probe/closed arrives though nobody is signed in", ""},
		{"identity", spoof, 1, "LEAK  identity: a client's Remote-Groups arrives as Remote-Groups", "Remote-Groups"},
		{"underscores", alias, -1, "LEAK  alias: a client's Remote_User arrives as Remote_user", "Remote_User"},
		{"dots", alias, -1, "LEAK  alias: a client's Remote.User arrives as Remote.user", "Remote.User"},
		{"forwarded", forward, 1, "LEAK  forwarded: a client's X-Forwarded-For arrives as X-Forwarded-For", "X-Forwarded-For"},
		{"real ip", forward, 1, "LEAK  forwarded: a client's X-Real-IP arrives as X-Forwarded-For", "X-Real-IP"},
		{"hop", hop, 4, "LEAK  hop-by-hop: «Connection: close, Remote-User» has the proxy's own Remote-User dropped", "Remote-User"},
		{"question", question, 1, "LEAK  question: with a client's X-Forwarded-Uri, /gatepost-probe/closed passes as another address", "X-Forwarded-Uri"},
		{"host", hostTopic, 1, "LEAK  host: «GET http://127.0.0.1:", "Host"},
		{"path", path, -1, "LEAK  path: /gatepost-probe/open/../closed passes, and arrives as /gatepost-probe/open/../closed", ""},
	} {
		t.Run(tt.weak, func(t *testing.T) {
			t.Parallel()
			echo := ports.FreeAddr()
			p := startProxy(t, echo, "127.0.0.1:0", nil, tt.weak)
			out, leaks, err := probed(t, "http://"+p.Addr().String(), echo, nil)
			if err != nil || leaks != strings.Count(out, "LEAK") || tt.leaks >= 0 && leaks != tt.leaks || leaks == 0 {
				t.Errorf("%d leaks, %v\n%s", leaks, err, out)
			}
			if leaks != strings.Count(out, "LEAK  "+tt.what.name+":") || !strings.Contains(out, tt.want) || strings.Contains(out, "no leaks") {
				t.Errorf("want only %q:\n%s", tt.want, out)
			}
			for _, kind := range kinds {
				if want := "      " + kind + ":"; !strings.Contains(out, want) {
					t.Errorf("does not say %q:\n%s", want, out)
				}
				var b strings.Builder
				said := newProber(Options{Proxy: kind}, &b)
				said.report(tt.what, []finding{{tt.name, tt.want}})
				if want := "\n      " + strings.ReplaceAll(tt.what.remedy(kind), "{name}", tt.name) + "\n"; !strings.HasSuffix(b.String(), want) {
					t.Errorf("%s: does not say %q:\n%s", kind, want, b.String())
				}
			}
		})
	}
}

// A path that arrives otherwise than it was sent is a note and no leak.
func TestRewrittenPathIsANote(t *testing.T) {
	echo := ports.FreeAddr()
	p := startProxy(t, echo, "127.0.0.1:0", nil, "rewrite")
	out, leaks, err := probed(t, "http://"+p.Addr().String(), echo, func(p *prober) { p.Proxy = "nginx" })
	if err != nil || leaks != 0 || !strings.Contains(out, "note  path: /gatepost-probe/closed/a//b arrives as /gatepost-probe/closed/a/b") || !strings.Contains(out, "without a slash or path behind it") {
		t.Errorf("%d leaks, %v\n%s", leaks, err, out)
	}
}

// Every topic has a line for the proxy that the tables of forward-auth §6 and §8
// found weak in it, and {name} stands only where there is a name.
func TestRemedies(t *testing.T) {
	for name, tt := range map[string]struct {
		what  topic
		kinds string
	}{
		"guard": {guard, "nginx caddy haproxy apache traefik envoy"}, "spoof": {spoof, "nginx caddy haproxy apache traefik envoy"}, "alias": {alias, "nginx caddy haproxy apache traefik envoy"},
		"forward": {forward, "nginx caddy haproxy apache traefik envoy"}, "question": {question, "nginx caddy haproxy apache traefik envoy"}, "path": {path, "nginx caddy haproxy apache traefik envoy"},
		"hop": {hop, "nginx caddy haproxy apache"}, "host": {hostTopic, "nginx caddy haproxy apache traefik"}, "rewrite": {rewrite, "nginx caddy haproxy apache traefik"},
	} {
		for _, kind := range kinds {
			line := tt.what.remedy(kind)
			if strings.Contains(tt.kinds, kind) == (line == "see docs/proxies/"+kind+".md") {
				t.Errorf("%s: %s: %q", name, kind, line)
			}
			if (name == "guard" || name == "path" || name == "rewrite") && strings.Contains(line, "{name}") {
				t.Errorf("%s: %s: whose name? %q", name, kind, line)
			}
		}
	}
}

// Where nothing can be told, nothing is called clean.
func TestNothingCanBeTold(t *testing.T) {
	cert, file := certificate(t, "app.example.com", "127.0.0.1")
	for name, tt := range map[string]struct {
		serve  func(net.Conn) // instead of the proxy
		change func(*prober)
		want   []string
	}{
		"closes":            {serve: func(c net.Conn) { bufio.NewReader(c).ReadString('\n'); c.Close() }, want: []string{"/gatepost-probe/open has its connection closed without an answer", "does not arrive here", "have the proxy lead /gatepost-probe/ to {echo}"}},
		"no HTTP":           {serve: func(c net.Conn) { io.WriteString(c, "220 mail.example.com ESMTP\r\n"); c.Close() }, want: []string{"closed without an answer"}},
		"silent":            {serve: func(c net.Conn) { io.Copy(io.Discard, c) }, want: []string{"gives no answer within 200ms to «GET /gatepost-probe/open»"}, change: impatient},
		"half an answer":    {serve: func(c net.Conn) { io.WriteString(c, "HTTP/1.1 200 OK\r\nX:"); io.Copy(io.Discard, c) }, want: []string{"gives no answer within 200ms"}, change: impatient},
		"hints and no more": {serve: func(c net.Conn) { io.WriteString(c, "HTTP/1.1 103 Early Hints\r\n\r\n"); io.Copy(io.Discard, c) }, want: []string{"gives no answer within 200ms"}, change: impatient},
		"redirects":         {serve: fixed("HTTP/1.1 301 Moved\r\nLocation: https://ada:state@www.example.com/gatepost-probe/open?token=state#state\r\n\r\n"), want: []string{"answers 301, which leads to https://www.example.com/gatepost-probe/open, and"}},
		"redirects nowhere": {serve: fixed("HTTP/1.1 302 Found\r\nLocation: ://\r\n\r\n"), want: []string{"/open answers 302, and"}},
		"a path":            {serve: fixed("HTTP/1.1 302 Found\r\nLocation: /login?state\r\n\r\n"), want: []string{"leads to /login, and"}},
		"an endless body": {serve: func(c net.Conn) {
			io.WriteString(c, "HTTP/1.1 404 Not Found\r\n\r\n")
			for _, err := c.Write([]byte("x")); err == nil; _, err = c.Write([]byte("x")) {
			}
		}, want: []string{"/open answers 404, and"}},
		"forged":            {serve: fixed("HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\narrived\n"), want: []string{"answers 200, and the request does not arrive here"}},
		"not signed in":     {change: func(p *prober) { p.Headers = []string{"Cookie: session=wrong"} }, want: []string{"/gatepost-probe/closed answers 302", "--header does not sign in", "path: /gatepost-probe, allow: signed-in"}},
		"nobody there":      {change: func(p *prober) { p.Connect = ports.FreeAddr() }, want: []string{"connection refused\ndoes the proxy run there"}},
		"unknown":           {change: func(p *prober) { p.URL = "http://nowhere.invalid" }, want: []string{"nowhere.invalid cannot be reached", "is the name spelt right"}},
		"no TLS":            {serve: func(c net.Conn) { io.WriteString(c, "HTTP/1.0 400 Bad Request\r\n\r\n"); io.Copy(io.Discard, c) }, change: func(p *prober) { p.URL = strings.Replace(p.URL, "http:", "https:", 1) }, want: []string{"first record does not look like a TLS handshake\nno TLS is spoken there"}},
		"no handshake":      {serve: func(c net.Conn) { io.Copy(io.Discard, c) }, change: func(p *prober) { impatient(p); p.URL = strings.Replace(p.URL, "http:", "https:", 1) }, want: []string{"does a firewall let us through?"}},
		"handshake cut":     {serve: func(c net.Conn) { c.Read(make([]byte, 4096)); c.Close() }, change: func(p *prober) { p.URL = strings.Replace(p.URL, "http:", "https:", 1) }, want: []string{"cannot be reached: ", "no TLS is spoken there"}},
		"unknown authority": {serve: secure(cert), change: func(p *prober) { p.URL = strings.Replace(p.URL, "http:", "https:", 1) }, want: []string{"name the authority's file by --ca-file"}},
		"another's": {serve: secure(cert), change: func(p *prober) {
			p.Connect = strings.TrimPrefix(p.URL, "http://")
			p.URL, p.CAFile = "https://other.example.com", file
		}, want: []string{"use the name that its certificate has"}},
		"no certificate":     {change: func(p *prober) { p.CAFile = os.DevNull }, want: []string{"/dev/null has no certificate in it"}},
		"no file":            {change: func(p *prober) { p.Headers = []string{"@/no/such/cookie"} }, want: []string{"/no/such/cookie: no such file"}},
		"a file of nothing":  {change: func(p *prober) { p.Headers = []string{"@" + os.DevNull} }, want: []string{"/dev/null: a header is one line"}},
		"a value alone":      {change: func(p *prober) { p.Headers = []string{"ada-secret"} }, want: []string{"--header: a header is one line"}},
		"two lines":          {change: func(p *prober) { p.Headers = []string{"Cookie: a=ada-secret\r\nRemote-User: x"} }, want: []string{"a header is one line"}},
		"a space":            {change: func(p *prober) { p.Headers = []string{"Cookie : a=ada-secret"} }, want: []string{"a header is one line"}},
		"the echo's address": {change: func(p *prober) { p.Listen = strings.TrimPrefix(p.URL, "http://") }, want: []string{"address already in use\nThe application's part"}},
	} {
		t.Run(name, func(t *testing.T) {
			echo := ports.FreeAddr()
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			addr := l.Addr().String()
			if tt.serve == nil {
				l.Close()
				startProxy(t, echo, addr, nil)
			} else {
				go func() {
					for {
						c, err := l.Accept()
						if err != nil {
							return
						}
						go func() { defer c.Close(); tt.serve(c) }()
					}
				}()
			}
			out, leaks, err := probed(t, "http://"+addr, echo, tt.change)
			if err == nil || leaks != 0 || strings.Contains(out, "no leaks") || strings.Contains(out, "\x1b") {
				t.Errorf("%d leaks, %v\n%s", leaks, err, out)
			}
			for _, want := range tt.want {
				want = strings.ReplaceAll(want, "{echo}", echo)
				if !strings.Contains(out, want) {
					t.Errorf("does not say %q:\n%s", want, out)
				}
			}
		})
	}
}

func impatient(p *prober) { p.patience = 200 * time.Millisecond }

func fixed(text string) func(net.Conn) {
	return func(c net.Conn) {
		http.ReadRequest(bufio.NewReader(c))
		io.WriteString(c, text)
	}
}

func secure(cert tls.Certificate) func(net.Conn) {
	return func(c net.Conn) { tls.Server(c, &tls.Config{Certificates: []tls.Certificate{cert}}).Handshake() }
}

// A proxy that stops answering in the middle is not one that refuses everything.
func TestLimitedProxy(t *testing.T) {
	for _, limit := range []int64{2, 10, 40, 100, 150} {
		echo := ports.FreeAddr()
		p := startProxy(t, echo, "127.0.0.1:0", nil, "identity")
		p.limit = limit
		out, _, err := probed(t, "http://"+p.Addr().String(), echo, nil)
		if err == nil || !strings.Contains(out, "answers 429 by now") || strings.Contains(out, "no leaks") {
			t.Errorf("after %d: %v\n%s", limit, err, out)
		}
	}
}

// By TLS, under the name in the certificate and at another address.
func TestProbeByTLS(t *testing.T) {
	cert, file := certificate(t, "app.example.com")
	echo := ports.FreeAddr()
	p := startProxy(t, echo, "127.0.0.1:0", &cert)
	out, leaks, err := probed(t, "https://app.example.com", echo, func(o *prober) { o.Connect, o.CAFile = p.Addr().String(), file })
	if err != nil || leaks != 0 || !strings.Contains(out, "no leaks") {
		t.Errorf("%d leaks, %v\n%s", leaks, err, out)
	}
}

// Whoever interrupts does not wait for an answer.
func TestInterrupted(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	began := time.Now()
	_, err = Run(ctx, Options{URL: "http://" + l.Addr().String(), Listen: "127.0.0.1:0", Prefix: "/p"}, io.Discard)
	if !errors.Is(err, context.DeadlineExceeded) || time.Since(began) > 5*time.Second {
		t.Errorf("%v after %v", err, time.Since(began))
	}
}

// The probe answers its own requests and tells others nothing.
func TestEchoAnswersItsOwn(t *testing.T) {
	e, err := startEcho("127.0.0.1:0", "secret")
	if err != nil {
		t.Fatal(err)
	}
	defer e.stop()
	for _, id := range []string{"", "x", "secre"} {
		r, _ := http.NewRequest("GET", "http://"+e.addr()+"/", nil)
		r.Header.Set(headerName, id)
		resp, err := http.DefaultClient.Do(r)
		if err != nil || resp.StatusCode != http.StatusNotFound {
			t.Errorf("%q: %v %v", id, resp, err)
		}
		resp.Body.Close()
	}
	if len(e.seen) != 0 {
		t.Errorf("noted %v", e.seen)
	}
}

func TestOptions(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(*Options)
		want   string // "" is none
	}{
		"https":         {func(*Options) {}, ""},
		"http":          {func(o *Options) { o.URL = "http://127.0.0.1:8080/" }, ""},
		"IPv6":          {func(o *Options) { o.URL, o.Listen, o.Connect = "https://[2001:db8::1]:8443", "[::1]:9999", "[::1]:443" }, ""},
		"all addresses": {func(o *Options) { o.Listen = ":9999" }, ""},
		"no scheme":     {func(o *Options) { o.URL = "app.example.com" }, "such as https://app.example.com"},
		"no host":       {func(o *Options) { o.URL = "https://:443" }, "such as https://app.example.com"},
		"another one":   {func(o *Options) { o.URL = "ftp://app.example.com" }, "such as https://app.example.com"},
		"not ASCII":     {func(o *Options) { o.URL = "https://bücher.example" }, "in ASCII"},
		"a zone":        {func(o *Options) { o.URL = "https://[fe80::1%25eth0]" }, "such as"},
		"a password":    {func(o *Options) { o.URL = "https://ada:secret@app.example.com" }, "by --header"},
		"a broken one":  {func(o *Options) { o.URL = "https://ada:secret%zz@app.example.com" }, "such as"},
		"a path":        {func(o *Options) { o.URL = "https://app.example.com/x?token=secret" }, "is --prefix"},
		"a query":       {func(o *Options) { o.URL = "https://app.example.com?token=secret" }, "want no path"},
		"a fragment":    {func(o *Options) { o.URL = "https://app.example.com/#secret" }, "want no path"},
		"no proxy":      {func(o *Options) { o.Proxy = "squid" }, `"squid": want one of nginx, caddy`},
		"all paths":     {func(o *Options) { o.Prefix = "/" }, "such as /gatepost-probe"},
		"a slash":       {func(o *Options) { o.Prefix = "/x/" }, "such as /gatepost-probe"},
		"a line":        {func(o *Options) { o.Prefix = "/x HTTP/1.1\r\nRemote-User: x" }, "such as /gatepost-probe"},
		"no port":       {func(o *Options) { o.Listen = "127.0.0.1" }, "--listen \"127.0.0.1\": want host:port"},
		"bare IPv6":     {func(o *Options) { o.Connect = "::1" }, "--connect \"::1\": want host:port"},
	} {
		o := Options{URL: "https://app.example.com", Listen: "127.0.0.1:9999", Prefix: "/gatepost-probe", Proxy: "nginx"}
		tt.change(&o)
		err := o.Check()
		if (err == nil) != (tt.want == "") || err != nil && (!strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "secret")) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// certificate makes one for names, and a file with it.
func certificate(t *testing.T, names ...string) (tls.Certificate, string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	for _, name := range names {
		if ip := net.ParseIP(name); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, name)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, file
}
