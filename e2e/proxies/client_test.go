//go:build e2e

package proxies_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// clientAddr is where clients come from; proxies come from 127.0.0.1.
const clientAddr = "127.0.0.2"

var dialer = net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(clientAddr)}, Timeout: 5 * time.Second}

// request is what a client writes, byte by byte, so that nothing is tidied.
type request struct {
	method, target, proto string // GET, /x and HTTP/1.1 where empty
	host, sni             string // app.example.org; host "-" sends none
	header                []string
	body                  string
}

// answer is what came back.
type answer struct {
	status int
	header http.Header
	body   string
	passed bool     // the application saw the request
	app    *arrived // what it saw, where it could say so
}

var testID atomic.Int64

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

// text is the request with an id that the application notes.
func (r request) text(id string) string {
	var b strings.Builder
	proto := or(r.proto, "HTTP/1.1")
	fmt.Fprintf(&b, "%s %s %s\r\n", or(r.method, "GET"), or(r.target, "/x"), proto)
	if r.host != "-" {
		fmt.Fprintf(&b, "Host: %s\r\n", or(r.host, appHost))
	}
	fmt.Fprintf(&b, "X-Test-Id: %s\r\n", id)
	has := map[string]bool{}
	for i := 0; i+1 < len(r.header); i += 2 {
		has[strings.ToLower(r.header[i])] = true
		fmt.Fprintf(&b, "%s: %s\r\n", r.header[i], r.header[i+1])
	}
	if !has["connection"] && proto == "HTTP/1.1" {
		b.WriteString("Connection: close\r\n")
	}
	if (r.body != "" || r.method == "POST") && !has["transfer-encoding"] {
		fmt.Fprintf(&b, "Content-Length: %d\r\n", len(r.body))
	}
	return b.String() + "\r\n" + r.body
}

func (p *proxy) dial(sni string) (*tls.Conn, error) {
	conn, err := dialer.Dial("tcp", p.addr)
	if err != nil {
		return nil, err
	}
	conn.SetDeadline(time.Now().Add(30 * time.Second))
	name, _, _ := strings.Cut(or(sni, appHost), ":")
	return tls.Client(conn, &tls.Config{RootCAs: p.world.roots, ServerName: name}), nil
}

// try sends r; a connection that is cut is an error.
func (p *proxy) try(r request) (answer, error) {
	conn, err := p.dial(r.sni)
	if err != nil {
		return answer{}, err
	}
	defer conn.Close()
	id := strconv.FormatInt(testID.Add(1), 10)
	if _, err := io.WriteString(conn, r.text(id)); err != nil {
		return answer{}, err
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: or(r.method, "GET")})
	if err != nil {
		return answer{passed: p.world.app.saw(id)}, err
	}
	a, err := read(resp)
	a.passed = p.world.app.saw(id)
	return a, err
}

func read(resp *http.Response) (answer, error) {
	defer resp.Body.Close()
	a := answer{status: resp.StatusCode, header: resp.Header}
	if resp.StatusCode == http.StatusSwitchingProtocols {
		return a, nil
	}
	raw, err := io.ReadAll(resp.Body)
	a.body = string(raw)
	if a.header.Get("X-App") != "" && len(raw) > 0 {
		a.app = &arrived{}
		if err := json.Unmarshal(raw, a.app); err != nil {
			return a, err
		}
	}
	return a, err
}

func (p *proxy) send(t *testing.T, r request) answer {
	t.Helper()
	a, err := p.try(r)
	if err != nil {
		t.Fatalf("%s: %v", p.kind, err)
	}
	return a
}

// socket opens a WebSocket and reports the status; after 101 a frame must come
// back.
func (p *proxy) socket(t *testing.T, r request) answer {
	t.Helper()
	const key = "AAAAAAAAAAAAAAAAAAAAAA=="
	r.header = append([]string{"Connection", "Upgrade", "Upgrade", "websocket", "Sec-WebSocket-Version", "13", "Sec-WebSocket-Key", key, "Origin", "https://" + appHost}, r.header...)
	conn, err := p.dial(r.sni)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	id := strconv.FormatInt(testID.Add(1), 10)
	io.WriteString(conn, r.text(id))
	in := bufio.NewReader(conn)
	resp, err := http.ReadResponse(in, &http.Request{Method: "GET"})
	if err != nil {
		t.Fatal(err)
	}
	a := answer{status: resp.StatusCode, header: resp.Header, passed: p.world.app.saw(id)}
	if resp.StatusCode != http.StatusSwitchingProtocols {
		return a
	}
	if got := resp.Header.Get("Sec-WebSocket-Accept"); got != acceptKey(key) {
		t.Errorf("Sec-WebSocket-Accept is %q", got)
	}
	conn.Write([]byte{0x81, 0x80 | 4, 1, 2, 3, 4, 'p' ^ 1, 'i' ^ 2, 'n' ^ 3, 'g' ^ 4})
	if text, err := readFrame(in); err != nil || text != "ping" {
		t.Errorf("echo: %q %v", text, err)
	}
	return a
}

// transport reaches the hosts of both domains through the proxy.
func (p *proxy) transport() *http.Transport {
	return &http.Transport{ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{RootCAs: p.world.roots},
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			if host, _, _ := strings.Cut(addr, ":"); strings.HasSuffix(host, ".example.org") || strings.HasSuffix(host, ".example.net") {
				addr = p.addr
			}
			return dialer.DialContext(ctx, network, addr)
		}}
}

// browser keeps cookies and follows nothing by itself.
type browser struct {
	t    *testing.T
	home string // of the sign-in pages
	http *http.Client
}

func (p *proxy) browser(t *testing.T) *browser {
	jar, _ := cookiejar.New(nil)
	tr := p.transport()
	t.Cleanup(tr.CloseIdleConnections)
	return &browser{t, p.world.home(), &http.Client{Jar: jar, Transport: tr, Timeout: 30 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
}

func (b *browser) do(method, target string, form url.Values) (answer, *url.URL) {
	b.t.Helper()
	var body io.Reader
	if form != nil {
		body = strings.NewReader(form.Encode())
	}
	r, err := http.NewRequest(method, target, body)
	if err != nil {
		b.t.Fatal(err)
	}
	r.Header.Set("Accept", "text/html,*/*;q=0.8")
	r.Header.Set("Sec-Fetch-Mode", "navigate")
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Origin", r.URL.Scheme+"://"+r.URL.Host)
	}
	resp, err := b.http.Do(r)
	if err != nil {
		b.t.Fatal(err)
	}
	a, err := read(resp)
	if err != nil {
		b.t.Fatal(err)
	}
	location, err := resp.Location()
	if err != nil {
		location = nil
	}
	return a, location
}

// signIn goes from a page of the application to the provider, as person, and
// back to the page.
func (b *browser) signIn(page, person string) answer {
	b.t.Helper()
	a, location := b.do("GET", page, nil)
	if location == nil {
		b.t.Fatalf("%s leads nowhere: %d %s", page, a.status, a.body)
	}
	back := location.Query().Get("callbackUrl")
	if a, _ := b.do("GET", location.String(), nil); a.status != http.StatusOK {
		b.t.Fatalf("sign-in page: %d %s", a.status, a.body)
	}
	a, location = b.enter(back, person)
	if location != nil {
		a, _ = b.do("GET", location.String(), nil)
	}
	return a
}

// enter signs in without asking the application for anything yet.
func (b *browser) enter(back, person string) (answer, *url.URL) {
	b.t.Helper()
	a, location := b.do("POST", b.home+"/signin/google", url.Values{"csrfToken": {b.csrf()}, "callbackUrl": {back}})
	for range 6 {
		switch {
		case location == nil || location.Hostname() == appHost && !strings.HasPrefix(location.Path, "/auth/"):
			return a, location
		case strings.HasPrefix(location.Host, "127.0.0.1"): // the provider's page
			a, location = b.do("POST", location.String(), url.Values{"person": {person}})
		default:
			a, location = b.do("GET", location.String(), nil)
		}
	}
	b.t.Fatal("too many redirects")
	return a, nil
}

func (b *browser) csrf() string {
	b.t.Helper()
	a, _ := b.do("GET", b.home+"/csrf", nil)
	var out struct{ CSRFToken string }
	if err := json.Unmarshal([]byte(a.body), &out); err != nil {
		b.t.Fatalf("csrf: %v %s", err, a.body)
	}
	return out.CSRFToken
}

func (b *browser) signOut() {
	b.t.Helper()
	if a, _ := b.do("POST", b.home+"/signout", url.Values{"csrfToken": {b.csrf()}}); a.status >= 400 {
		b.t.Fatalf("sign out: %d %s", a.status, a.body)
	}
}

// cookie is the session cookie as a header's value.
func (b *browser) cookie() string {
	b.t.Helper()
	for _, c := range b.http.Jar.Cookies(&url.URL{Scheme: "https", Host: appHost, Path: "/"}) {
		if c.Name == "__Secure-gatepost.session-token" {
			return c.Name + "=" + c.Value
		}
	}
	b.t.Fatal("no session cookie")
	return ""
}
