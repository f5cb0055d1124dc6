//go:build e2e

package app

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gatepost/gatepost/e2e/ports"
)

// The configurations that other projects document, with nothing changed but
// addresses, run by the proxies that they are for.

// upstream is an application that says what reached it.
func upstream(t *testing.T) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s %s %s\n", r.Method, r.RequestURI, body)
		r.Header.Write(w)
	}))
	t.Cleanup(s.Close)
	return strings.TrimPrefix(s.URL, "http://")
}

// a proxy in front of app.example.org.
type proxy struct {
	t      *testing.T
	origin string
	client *http.Client
}

func (p proxy) get(path string, header ...string) page { return p.send("GET", path, "", header...) }

func (p proxy) send(method, path, body string, header ...string) page {
	p.t.Helper()
	r, err := http.NewRequest(method, p.origin+path, strings.NewReader(body))
	if err != nil {
		p.t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	resp, err := p.client.Do(r)
	if err != nil {
		p.t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	return page{resp.StatusCode, resp.Header.Get("Location"), string(raw), resp.Header}
}

// follow asks the proxy where p leads, and returns where that leads.
func (p proxy) follow(from page) page {
	p.t.Helper()
	path, ok := strings.CutPrefix(from.location, p.origin)
	if !ok || from.status != http.StatusFound {
		p.t.Fatalf("%d leads to %q", from.status, from.location)
	}
	return p.get(path)
}

// run starts a proxy's program and waits for it to listen at address.
func run(t *testing.T, address, program string, args ...string) {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		if path, err = exec.LookPath("/usr/sbin/" + program); err != nil {
			t.Fatalf("%s is not on this machine; «make parts» installs it", program)
		}
	}
	var out syncBuffer
	cmd := exec.Command(path, args...)
	cmd.Dir = t.TempDir()
	cmd.Env = append(os.Environ(), "HOME="+cmd.Dir, "XDG_DATA_HOME="+cmd.Dir, "XDG_CONFIG_HOME="+cmd.Dir)
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { cmd.Wait(); close(ended) }()
	t.Cleanup(func() {
		cmd.Process.Kill()
		<-ended
		if t.Failed() {
			t.Log(out.String())
		}
	})
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		select {
		case <-ended:
			t.Fatalf("%s ended: %s", program, out.String())
		default:
		}
		if c, err := net.Dial("tcp", address); err == nil {
			c.Close()
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%s does not listen: %s", program, out.String())
		}
	}
}

// certificate writes one for app.example.org, and gives a client that believes
// it and finds every host at address.
func certificate(t *testing.T, dir, address string) *http.Client {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"app.example.org"}, NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{"cert.pem": {Type: "CERTIFICATE", Bytes: der}, "key.pem": {Type: "PRIVATE KEY", Bytes: private}} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	return clientOf(address, &tls.Config{RootCAs: roots})
}

func clientOf(address string, config *tls.Config) *http.Client {
	return &http.Client{
		Transport: &http.Transport{TLSClientConfig: config, DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, address)
		}},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// nginx runs the inside of one server block, with values for names in braces.
func nginx(t *testing.T, server string, values ...string) proxy {
	t.Helper()
	dir, address := t.TempDir(), ports.FreeAddr()
	client := certificate(t, dir, address)
	conf := strings.NewReplacer(append(values, "{dir}", dir, "{listen}", address, "{server}", strings.NewReplacer(values...).Replace(server))...).Replace(`
daemon off; master_process off; pid {dir}/pid; error_log stderr;
events {}
http {
  access_log off;
  client_body_temp_path {dir}/body; proxy_temp_path {dir}/proxy; fastcgi_temp_path {dir}/f; uwsgi_temp_path {dir}/u; scgi_temp_path {dir}/s;
  upstream backend { server {app}; }
  server {
    listen {listen} ssl;
    server_name app.example.org;
    ssl_certificate {dir}/cert.pem; ssl_certificate_key {dir}/key.pem;
{server}
  }
}`)
	if err := os.WriteFile(filepath.Join(dir, "nginx.conf"), []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, address, "nginx", "-p", dir, "-c", filepath.Join(dir, "nginx.conf"), "-e", "stderr")
	return proxy{t, "https://app.example.org", client}
}

// caddy runs one site, whose name is {site}.
func caddy(t *testing.T, site string, values ...string) proxy {
	t.Helper()
	dir, address := t.TempDir(), ports.FreeAddr()
	_, port, _ := net.SplitHostPort(address)
	conf := "{\n\tadmin off\n\tauto_https off\n\tdefault_bind 127.0.0.1\n}\n" + strings.NewReplacer(append(values, "{site}", "http://app.example.org:"+port)...).Replace(site)
	if err := os.WriteFile(filepath.Join(dir, "Caddyfile"), []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, address, "caddy", "run", "--adapter", "caddyfile", "--config", filepath.Join(dir, "Caddyfile"))
	return proxy{t, "http://app.example.org:" + port, clientOf(address, nil)}
}

// passes are what every configuration has to do, whatever it looks like.
func (p proxy) passes(s *site, ada, grace, user string) {
	p.t.Helper()
	if got := p.get("/x?a=1", "Cookie", ada); got.status != 200 || !strings.Contains(got.body, "GET /x?a=1") || user != "" && !strings.Contains(got.body, "\n"+user+"\r\n") {
		p.t.Errorf("signed in: %d %s", got.status, got.body)
	}
	if got := p.get("/admin", "Cookie", grace); got.status != 403 {
		p.t.Errorf("not in the group: %d", got.status)
	}
	if got := p.get("/open"); got.status != 200 {
		p.t.Errorf("public: %d %s", got.status, got.body)
	}
	for _, forged := range [][]string{
		{"X-Forwarded-Uri", "/open"}, {"X-Original-Url", "https://app.example.org/open"}, {"X-Forwarded-Host", "open.example.org"},
		{"X-Forwarded-Method", "OPTIONS", "Origin", "https://o.example", "Access-Control-Request-Method", "PUT"},
		{"X-Original-Url", "https://app.example.org/open", "X-Original-Method", "GET", "X-Forwarded-Uri", "/open", "X-Forwarded-Host", "app.example.org", "X-Forwarded-Proto", "https", "X-Forwarded-Method", "GET"},
	} {
		if got := p.get("/admin", append(forged, "Cookie", grace)...); got.status == 200 {
			p.t.Errorf("with %v: %s", forged, got.body)
		}
		if got := p.get("/api", forged...); got.status == 200 {
			p.t.Errorf("with %v: %s", forged, got.body)
		}
	}
	if got := p.get("/open/../admin", "Cookie", grace); got.status == 200 {
		p.t.Errorf("dots: %s", got.body)
	}
}

func surface(t *testing.T, names ...string) (s *site, ada, grace string) {
	t.Helper()
	s = guarded(t, func(c *Config) {
		c.Compat = names
		c.ReturnTo = append(c.ReturnTo, "http://app.example.org")
		c.Gate.Rules = append(c.Gate.Rules, RuleConfig{Host: List{"open.example.org"}, Allow: &Who{Atom: "public"}})
	})
	a, g := s.browser(), s.browser()
	a.get(a.answer("google", "1001"))
	g.get(g.answer("google", "1002"))
	return s, a.cookie(), g.cookie()
}

func (s *site) address() string { return strings.TrimPrefix(s.URL, "http://") }

// inside is another name than the public URL has, as a proxy's upstream is:
// nginx makes addresses of its own of those that begin with proxy_pass.
func (s *site) inside() string { return strings.Replace(s.address(), "127.0.0.1", "localhost", 1) }

// oauth2-proxy 7.15, «Configuring for use with the Nginx auth_request directive».
const oauth2ProxyNginxServer = `
  location /oauth2/ {
    proxy_pass       http://{gatepost};
    proxy_set_header Host                    $host;
    proxy_set_header X-Real-IP               $remote_addr;
    proxy_set_header X-Auth-Request-Redirect $request_uri;
  }
  location = /oauth2/auth {
    proxy_pass       http://{gatepost};
    proxy_set_header Host             $host;
    proxy_set_header X-Real-IP        $remote_addr;
    proxy_set_header X-Forwarded-Uri  $request_uri;
    proxy_set_header Content-Length   "";
    proxy_pass_request_body           off;
  }
  location / {
    auth_request /oauth2/auth;
    {error_page}
    auth_request_set $user   $upstream_http_x_auth_request_user;
    auth_request_set $email  $upstream_http_x_auth_request_email;
    proxy_set_header X-User  $user;
    proxy_set_header X-Email $email;
    auth_request_set $token  $upstream_http_x_auth_request_access_token;
    proxy_set_header X-Access-Token $token;
    auth_request_set $auth_cookie $upstream_http_set_cookie;
    add_header Set-Cookie $auth_cookie;
    auth_request_set $auth_cookie_name_upstream_1 $upstream_cookie_auth_cookie_name_1;
    if ($auth_cookie ~* "(; .*)") {
        set $auth_cookie_name_0 $auth_cookie;
        set $auth_cookie_name_1 "auth_cookie_name_1=$auth_cookie_name_upstream_1$1";
    }
    if ($auth_cookie_name_upstream_1) {
        add_header Set-Cookie $auth_cookie_name_0;
        add_header Set-Cookie $auth_cookie_name_1;
    }
    proxy_pass http://backend/;
  }
  location @oauth2_signin {
    return 302 /oauth2/sign_in?rd=$scheme://$host$request_uri;
  }
`

func TestRealNginxOAuth2Proxy(t *testing.T) {
	s, ada, grace := surface(t, "oauth2-proxy-nginx")
	values := []string{"{gatepost}", s.inside(), "{app}", upstream(t)}
	p := nginx(t, oauth2ProxyNginxServer, append(values, "{error_page}", "error_page 401 = @oauth2_signin;")...)
	p.passes(s, ada, grace, "X-Email: ada@example.org")
	if got := p.follow(p.get("/x?a=1&b=%26", browses...)); got.location != s.signIn("https://app.example.org/x?a=1&b=%26") {
		t.Errorf("nobody is led to %q", got.location)
	}
	if got := p.send("POST", "/x", "a=1", "Cookie", ada); !strings.HasPrefix(got.body, "POST /x a=1") {
		t.Errorf("a form: %d %s", got.status, got.body)
	}
	if got := p.get("/open", "X-Email", "root@example.org", "X-User", "root"); strings.Contains(got.body, "root") {
		t.Errorf("a client's own identity: %s", got.body)
	}
	if got := p.get("/oauth2/sign_out?rd=/", "Cookie", ada); !strings.HasPrefix(got.location, s.URL+"/auth/signout?") {
		t.Errorf("sign_out leads to %q", got.location)
	}
	if got := p.get("/oauth2/userinfo", "Cookie", ada); !strings.Contains(got.body, `"email":"ada@example.org"`) {
		t.Errorf("userinfo: %s", got.body)
	}

	// Until 7.14: the sign-in page under the application's own URL, with 403
	// over it, so that nobody follows Location.
	old := nginx(t, oauth2ProxyNginxServer, append(values, "{error_page}", "error_page 401 =403 /oauth2/sign_in;")...)
	got := old.get("/x?a=1", browses...)
	want := s.signIn("http://app.example.org/x?a=1") // the scheme of the public URL, since nothing tells it
	if got.status != 403 || got.header.Get("Refresh") != "0; url="+want || !strings.Contains(got.body, `href="`+strings.ReplaceAll(want, "+", "&#43;")) {
		t.Errorf("%d %v %s", got.status, got.header, got.body)
	}
	s.Close()
	if got := p.get("/x", "Cookie", ada); got.status != 500 {
		t.Errorf("without Gatepost: %d", got.status)
	}
}

// With Gatepost's pages below /oauth2 the location that is there serves them.
func TestRealNginxOAuth2ProxyBasePath(t *testing.T) {
	s := guarded(t, func(c *Config) { c.Compat, c.BasePath = List{"oauth2-proxy-nginx"}, "/oauth2" })
	p := nginx(t, oauth2ProxyNginxServer, "{gatepost}", s.inside(), "{app}", upstream(t), "{error_page}", "error_page 401 = @oauth2_signin;")
	got := p.follow(p.get("/x", browses...))
	path, ok := strings.CutPrefix(got.location, s.URL)
	if !ok || !strings.HasPrefix(path, "/oauth2/signin?") {
		t.Fatalf("leads to %q", got.location)
	}
	if got := p.get(path); got.status != 200 || !strings.Contains(got.body, "Sign in with GitHub") {
		t.Errorf("%d %s", got.status, got.body)
	}
}

// Authelia 4.39, snippets authelia-location.conf and authelia-authrequest.conf,
// and the headers of proxy.conf.
const autheliaNginxServer = `
  set $upstream_authelia http://{gatepost}/api/authz/auth-request;
  location /internal/authelia/authz {
    internal;
    proxy_pass $upstream_authelia;
    proxy_set_header X-Original-Method $request_method;
    proxy_set_header X-Original-URL $scheme://$host$request_uri;
    proxy_set_header X-Forwarded-For $remote_addr;
    proxy_set_header Content-Length "";
    proxy_set_header Connection "";
    proxy_pass_request_body off;
    proxy_next_upstream error timeout invalid_header http_500 http_502 http_503;
    proxy_redirect http:// $scheme://;
    proxy_http_version 1.1;
    proxy_cache_bypass $cookie_session;
    proxy_no_cache $cookie_session;
    proxy_buffers 4 32k;
    client_body_buffer_size 128k;
    send_timeout 5m;
    proxy_read_timeout 240;
    proxy_send_timeout 240;
    proxy_connect_timeout 240;
  }
  set $upstream http://{app};
  location / {
    proxy_set_header Host $host;
    proxy_set_header X-Original-URL $scheme://$host$request_uri;
    proxy_set_header X-Forwarded-Proto $scheme;
    proxy_set_header X-Forwarded-Host $host;
    proxy_set_header X-Forwarded-URI $request_uri;
    proxy_set_header X-Forwarded-Ssl on;
    proxy_set_header X-Forwarded-For $remote_addr;
    auth_request /internal/authelia/authz;
    auth_request_set $user $upstream_http_remote_user;
    auth_request_set $groups $upstream_http_remote_groups;
    auth_request_set $name $upstream_http_remote_name;
    auth_request_set $email $upstream_http_remote_email;
    proxy_set_header Remote-User $user;
    proxy_set_header Remote-Groups $groups;
    proxy_set_header Remote-Email $email;
    proxy_set_header Remote-Name $name;
    {redirect}
    proxy_pass $upstream;
  }
`

func TestRealNginxAuthelia(t *testing.T) {
	s, ada, grace := surface(t, "authelia")
	values := []string{"{gatepost}", s.address(), "{app}", upstream(t)}
	p := nginx(t, autheliaNginxServer, append(values, "{redirect}", "auth_request_set $redirection_url $upstream_http_location; error_page 401 =302 $redirection_url;")...)
	p.passes(s, ada, grace, "Remote-User: ada@example.org")
	// «proxy_redirect http:// $scheme://» makes https of the test's own URL.
	if got := p.get("/x?a=1&b=2", browses...); got.status != 302 || strings.Replace(got.location, "https:", "http:", 1) != s.signIn("https://app.example.org/x?a=1&b=2") {
		t.Errorf("nobody: %d %q", got.status, got.location)
	}
	if got := p.get("/open", "Remote-User", "root"); strings.Contains(got.body, "root") {
		t.Errorf("a client's own identity: %s", got.body)
	}
	if got := p.send("POST", "/x", "a=1", "Cookie", ada); !strings.HasPrefix(got.body, "POST /x a=1") {
		t.Errorf("a form: %d %s", got.status, got.body)
	}

	legacy := nginx(t, autheliaNginxServer, append(values, "{redirect}", "set $target_url $scheme://$host$request_uri; error_page 401 =302 "+s.URL+"/?rd=$target_url;")...)
	got := legacy.get("/x?a=1&b=2", browses...)
	path, ok := strings.CutPrefix(got.location, s.URL)
	if !ok {
		t.Fatalf("nobody: %d %q", got.status, got.location)
	}
	if got := s.ask("GET", path); got.location != s.signIn("https://app.example.org/x?a=1&b=2") {
		t.Errorf("the portal leads to %q", got.location)
	}
}

// Authelia's snippets until 4.37, which ask /api/verify.
func TestRealNginxAutheliaVerify(t *testing.T) {
	s, ada, grace := surface(t, "authelia")
	p := nginx(t, strings.ReplaceAll(autheliaNginxServer, "/api/authz/auth-request", "/api/verify"), "{gatepost}", s.address(), "{app}", upstream(t),
		"{redirect}", "set $target_url $scheme://$host$request_uri; error_page 401 =302 "+s.URL+"/?rd=$target_url;")
	p.passes(s, ada, grace, "Remote-User: ada@example.org")
}

// tinyauth's guide to Nginx Proxy Manager.
const tinyauthNginxServer = `
  location / {
    proxy_pass          http://backend;
    auth_request /tinyauth;
    error_page 401 = @tinyauth_login;
  }
  location /tinyauth {
    proxy_pass http://{gatepost}/api/auth/nginx;
    proxy_set_header x-forwarded-proto $scheme;
    proxy_set_header x-forwarded-host $http_host;
    proxy_set_header x-forwarded-uri $request_uri;
  }
  location @tinyauth_login {
    return 302 http://{gatepost}/login?redirect_uri=$scheme://$http_host$request_uri;
  }
`

func TestRealNginxTinyauth(t *testing.T) {
	s, ada, grace := surface(t, "tinyauth")
	p := nginx(t, tinyauthNginxServer, "{gatepost}", s.address(), "{app}", upstream(t))
	p.passes(s, ada, grace, "")
	got := p.get("/x?a=1&b=2", browses...)
	path, ok := strings.CutPrefix(got.location, s.URL)
	if !ok {
		t.Fatalf("nobody: %d %q", got.status, got.location)
	}
	// The example does not clear Content-Length.
	if got := p.send("POST", "/x", "a=1", "Cookie", ada); !strings.HasPrefix(got.body, "POST /x a=1") {
		t.Errorf("a form: %d %s", got.status, got.body)
	}
	if got := s.ask("GET", path); got.location != s.signIn("https://app.example.org/x?a=1&b=2") {
		t.Errorf("/login leads to %q", got.location)
	}
}

// oauth2-proxy 7.15, «Configuring for use with the Caddy (v2) forward_auth
// directive», with the line for headers that it has as a comment.
func TestRealCaddyOAuth2Proxy(t *testing.T) {
	s, ada, grace := surface(t, "oauth2-proxy")
	p := caddy(t, `{site} {
	handle /oauth2/* {
		reverse_proxy {gatepost} {
			header_up X-Real-IP {remote_host}
			header_up X-Forwarded-Uri {uri}
		}
	}
	handle {
		forward_auth {gatepost} {
			uri /oauth2/auth
			header_up X-Real-IP {remote_host}
			copy_headers X-Auth-Request-User X-Auth-Request-Email
			@error status 401
			handle_response @error {
				redir * /oauth2/sign_in?rd={scheme}://{host}{uri}
			}
		}
		reverse_proxy {app}
	}
}
`, "{gatepost}", s.address(), "{app}", upstream(t))
	p.passes(s, ada, grace, "X-Auth-Request-Email: ada@example.org")
	got := p.get("/x?a=1&b=2", browses...)
	if got.status != 302 || !strings.HasPrefix(got.location, "/oauth2/sign_in?rd=") {
		t.Fatalf("nobody: %d %q", got.status, got.location)
	}
	if got := p.get(got.location); got.location != s.signIn("http://app.example.org/x?a=1&b=2") {
		t.Errorf("nobody is led to %q", got.location)
	}
	if got := p.get("/x?allowed_groups=nobody", "Cookie", ada); got.status != 403 {
		t.Errorf("Caddy no longer sends the client's query, and the documentation says so: %d", got.status)
	}
}

// Authelia 4.39, the standard example for Caddy.
func TestRealCaddyAuthelia(t *testing.T) {
	s, ada, grace := surface(t, "authelia")
	p := caddy(t, `{site} {
        forward_auth {gatepost} {
                uri /api/authz/forward-auth
                copy_headers Remote-User Remote-Groups Remote-Email Remote-Name
        }
        reverse_proxy {app}
}
`, "{gatepost}", s.address(), "{app}", upstream(t))
	p.passes(s, ada, grace, "Remote-User: ada@example.org")
	got := p.get("/x?a=1&b=2", browses...)
	u, err := url.Parse(got.location)
	if err != nil || got.status != 302 || u.Path != "/auth/signin" {
		t.Errorf("nobody: %d %q", got.status, got.location)
	}
}
