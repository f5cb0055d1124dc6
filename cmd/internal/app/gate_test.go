package app

import (
	"bufio"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/gatepost/gatepost/flows/gate"
	"github.com/gatepost/gatepost/store/storetest"
)

// guarded is a site whose gate stands before app.example.org.
func guarded(t *testing.T, change func(*Config)) *site {
	t.Helper()
	return newSite(t, storetest.URL(t), func(c *Config) {
		c.TrustedProxies = []string{"127.0.0.1/32", "::1/128"}
		c.ReturnTo = []string{"https://app.example.org"}
		c.Gate.Groups = map[string][]Who{"admins": {{Atom: "ada@example.org"}}}
		c.Gate.Rules = []RuleConfig{
			{Host: List{"app.example.org"}, Path: List{"/open"}, Allow: &Who{Atom: "public"}},
			{Name: "the back office", Host: List{"app.example.org"}, Path: List{"/admin"}, Allow: &Who{Atom: "group:admins"}},
			{Host: List{"app.example.org"}, Path: List{"/api"}, Allow: &Who{Atom: "signed-in"}, Preflight: "allow"},
			{Host: List{"app.example.org"}, Allow: &Who{Atom: "signed-in"}},
		}
		if change != nil {
			change(c)
		}
	})
}

// cookie is the session cookie of a browser, as a proxy passes it on.
func (b *browser) cookie() string { return b.cookieAt(b.URL) }

// cookieAt is the session cookie that a browser sends to that address.
func (b *browser) cookieAt(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		b.t.Fatal(err)
	}
	for _, c := range b.http.Jar.Cookies(u) {
		if c.Name == "gatepost.session-token" {
			return c.Name + "=" + c.Value
		}
	}
	b.t.Fatal("no session cookie")
	return ""
}

// question is what a family's proxy asks about a request.
func question(family, method, target string, header ...string) (path string, h []string) {
	scheme, rest, _ := strings.Cut(target, "://")
	slash := strings.IndexByte(rest, '/')
	host, uri := rest[:slash], rest[slash:]
	switch family {
	case "nginx":
		return "/auth/nginx", append(header, "X-Original-URL", target, "X-Original-Method", method)
	case "forward":
		return "/auth/forward", append(header, "X-Forwarded-Method", method, "X-Forwarded-Proto", scheme, "X-Forwarded-Host", host, "X-Forwarded-Uri", uri)
	}
	return "/auth/envoy" + uri, append(header, "X-Forwarded-Proto", scheme, "Host", host)
}

func (s *site) check(family, method, target string, header ...string) page {
	s.t.Helper()
	path, h := question(family, method, target, header...)
	sent := http.MethodGet
	if family == "envoy" {
		sent = method
	}
	return s.ask(sent, path, h...)
}

// ask sends one request of a proxy, with Host where the headers say so.
func (s *site) ask(method, path string, header ...string) page {
	s.t.Helper()
	u, err := url.Parse(s.URL)
	if err != nil {
		s.t.Fatal(err)
	}
	r := &http.Request{Method: method, URL: &url.URL{Scheme: u.Scheme, Host: s.listens, Opaque: path}, Header: http.Header{}}
	for i := 0; i+1 < len(header); i += 2 {
		if header[i] == "Host" {
			r.Host = header[i+1]
		} else {
			r.Header[http.CanonicalHeaderKey(header[i])] = append(r.Header[http.CanonicalHeaderKey(header[i])], header[i+1])
		}
	}
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return page{resp.StatusCode, resp.Header.Get("Location"), string(body), resp.Header}
}

var families = []string{"nginx", "forward", "envoy"}

// The forms of an answer, for every family: forward-auth rules 1, 2, 3, 12, 13
// and §4; security F-8, F-9, F-11.
func TestGateAnswers(t *testing.T) {
	s := guarded(t, nil)
	ada, grace := s.browser(), s.browser()
	ada.get(ada.answer("google", "1001"))
	grace.get(grace.answer("google", "1002"))
	html := []string{"Accept", "text/html,application/xhtml+xml,*/*;q=0.8"}
	for _, tt := range []struct {
		name, method, target string
		who                  *browser
		header               []string
		status               map[string]int // nginx's where it differs
		location             string
	}{
		{"signed in", "GET", "https://app.example.org/x?a=1", ada, html, map[string]int{"": 200}, ""},
		{"in the group", "GET", "https://app.example.org/admin", ada, html, map[string]int{"": 200}, ""},
		{"not in the group", "GET", "https://app.example.org/admin", grace, html, map[string]int{"": 403}, ""},
		{"not in the group, by a script", "GET", "https://app.example.org/admin", grace, []string{"Accept", "application/json"}, map[string]int{"": 403}, ""},
		{"public", "GET", "https://app.example.org/open/a", nil, html, map[string]int{"": 200}, ""},
		{"Gatepost's own sign-in page", "GET", "OWN/auth/signin", nil, html, map[string]int{"": 200}, ""},
		{"beside it", "GET", "OWN/authority", nil, html, map[string]int{"": 403}, ""},
		{"host without a rule", "GET", "https://other.example.org/", nil, html, map[string]int{"": 403}, ""},
		{"nobody, a page", "GET", "https://app.example.org/x?a=1&b=2", nil, html, map[string]int{"": 302, "nginx": 401}, "https://app.example.org/x?a=1&b=2"},
		{"nobody, a page by Sec-Fetch-Mode", "GET", "https://app.example.org/x", nil, []string{"Sec-Fetch-Mode", "navigate"}, map[string]int{"": 302, "nginx": 401}, "https://app.example.org/x"},
		{"nobody, a HEAD", "HEAD", "https://app.example.org/x", nil, html, map[string]int{"": 302, "nginx": 401}, "https://app.example.org/x"},
		{"nobody, a form", "POST", "https://app.example.org/x", nil, append([]string{"Referer", "https://app.example.org/form?q=1"}, html...), map[string]int{"": 303, "nginx": 401}, "https://app.example.org/form?q=1"},
		{"nobody, a form with a foreign referer", "POST", "https://app.example.org/x", nil, append([]string{"Referer", "https://app.example.org.evil.example/"}, html...), map[string]int{"": 303, "nginx": 401}, "https://app.example.org/"},
		{"nobody, a script", "GET", "https://app.example.org/x", nil, []string{"Sec-Fetch-Mode", "cors", "Accept", "text/html"}, map[string]int{"": 401}, ""},
		{"nobody, XHR", "GET", "https://app.example.org/x", nil, append([]string{"X-Requested-With", "XMLHttpRequest"}, html...), map[string]int{"": 401}, ""},
		{"nobody, curl", "GET", "https://app.example.org/x", nil, []string{"Accept", "*/*"}, map[string]int{"": 401}, ""},
		{"nobody, says nothing", "GET", "https://app.example.org/x", nil, nil, map[string]int{"": 401}, ""},
		{"nobody, html refused", "GET", "https://app.example.org/x", nil, []string{"Accept", "text/html;q=0, */*"}, map[string]int{"": 401}, ""},
		{"nobody, a socket", "GET", "https://app.example.org/x", nil, append([]string{"Sec-WebSocket-Key", "x"}, html...), map[string]int{"": 401}, ""},
		{"nobody, gRPC", "POST", "https://app.example.org/x", nil, append([]string{"Content-Type", "application/grpc+proto"}, html...), map[string]int{"": 401}, ""},
		{"preflight where it is allowed", "OPTIONS", "https://app.example.org/api/a", nil, []string{"Origin", "https://o.example", "Access-Control-Request-Method", "PUT"}, map[string]int{"": 200}, ""},
		{"preflight where it is not", "OPTIONS", "https://app.example.org/x", nil, []string{"Origin", "https://o.example", "Access-Control-Request-Method", "PUT"}, map[string]int{"": 401}, ""},
		{"unknown method", "QUERY", "https://app.example.org/x", ada, html, map[string]int{"": 200}, ""},
		{"two cookie lines", "GET", "https://app.example.org/x", ada, append([]string{"Cookie", "other=1"}, html...), map[string]int{"": 200}, ""},
		{"the cookie twice", "GET", "https://app.example.org/x", ada, []string{"Cookie", ada.cookie()}, map[string]int{"": 401}, ""},
		{"a mangled cookie", "GET", "https://app.example.org/x", nil, []string{"Cookie", ada.cookie() + "x"}, map[string]int{"": 401}, ""},
		{"an application's own bearer token", "GET", "https://app.example.org/x", ada, []string{"Authorization", "Bearer xyz"}, map[string]int{"": 200}, ""},
		{"a bearer token that is not known", "GET", "https://app.example.org/x", ada, []string{"Authorization", "Bearer gp_" + strings.Repeat("a", 43)}, map[string]int{"": 401}, ""},
	} {
		for _, family := range families {
			t.Run(tt.name+"/"+family, func(t *testing.T) {
				header := append([]string{}, tt.header...)
				if tt.who != nil {
					header = append(header, "Cookie", tt.who.cookie())
				}
				want, ok := tt.status[family]
				if !ok {
					want = tt.status[""]
				}
				p := s.check(family, tt.method, strings.Replace(tt.target, "OWN", s.URL, 1), header...)
				if p.status != want {
					t.Fatalf("%d %s, want %d", p.status, p.body, want)
				}
				location := ""
				if tt.location != "" {
					location = s.URL + "/auth/signin?callbackUrl=" + url.QueryEscape(tt.location)
				}
				if p.location != location {
					t.Errorf("Location %q, want %q", p.location, location)
				}
				if p.header.Get("Cache-Control") == "" || p.header.Get("Set-Cookie") != "" {
					t.Errorf("headers %v", p.header)
				}
				if want == 401 && p.header.Get("WWW-Authenticate") == "" {
					t.Error("no WWW-Authenticate")
				}
			})
		}
	}
}

// Forward-auth rules 5, 6, 7, 8, 9, 17; security F-1, F-2, F-3, F-4.
func TestGateSources(t *testing.T) {
	s := guarded(t, nil)
	b := s.browser()
	b.get(b.answer("google", "1001"))
	cookie := []string{"Cookie", b.cookie()}
	for name, tt := range map[string]struct {
		path   string
		header []string
		want   string
	}{
		"no source, nginx":       {"/auth/nginx", nil, "X-Original-Url is missing"},
		"no source, forward":     {"/auth/forward", nil, "X-Forwarded-Uri is missing"},
		"the other family":       {"/auth/nginx", []string{"X-Forwarded-Uri", "/", "X-Forwarded-Host", "app.example.org"}, "the endpoint forward"},
		"the other family too":   {"/auth/forward", []string{"X-Original-Url", "https://app.example.org/"}, "the endpoint nginx"},
		"method missing":         {"/auth/nginx", []string{"X-Original-Url", "https://app.example.org/"}, "X-Original-Method is missing"},
		"twice":                  {"/auth/nginx", []string{"X-Original-Url", "https://app.example.org/open", "X-Original-Url", "https://app.example.org/open", "X-Original-Method", "GET"}, "came 2 times"},
		"an alias":               {"/auth/forward", []string{"X-Forwarded-Uri", "/open", "X_Forwarded_Uri", "/open", "X-Forwarded-Host", "app.example.org", "X-Forwarded-Proto", "https", "X-Forwarded-Method", "GET"}, "another spelling"},
		"a dotted alias":         {"/auth/forward", []string{"X-Forwarded-Uri", "/open", "X.Forwarded.Host", "evil", "X-Forwarded-Host", "app.example.org", "X-Forwarded-Proto", "https", "X-Forwarded-Method", "GET"}, "another spelling"},
		"absolute form":          {"/auth/forward", []string{"X-Forwarded-Uri", "http://other.example/p", "X-Forwarded-Host", "app.example.org", "X-Forwarded-Proto", "https", "X-Forwarded-Method", "GET"}, "slash"},
		"a relative original":    {"/auth/nginx", []string{"X-Original-Url", "/open", "X-Original-Method", "GET"}, "no absolute URL"},
		"a fragment":             {"/auth/nginx", []string{"X-Original-Url", "https://app.example.org/admin#/open", "X-Original-Method", "GET"}, "no path has"},
		"a host that is no host": {"/auth/forward", []string{"X-Forwarded-Uri", "/open", "X-Forwarded-Host", "user@app.example.org", "X-Forwarded-Proto", "https", "X-Forwarded-Method", "GET"}, "host"},
	} {
		t.Run(name, func(t *testing.T) {
			if p := s.ask("GET", tt.path, append(tt.header, cookie...)...); p.status != 400 || !strings.Contains(p.body, tt.want) {
				t.Errorf("%d %s", p.status, p.body)
			}
		})
	}
	for _, family := range families {
		p := s.check(family, "GET", "https://app.example.org/x", cookie...)
		size := 0
		for name, values := range p.header {
			if len(values) != 1 {
				t.Errorf("%s: %s is there %d times", family, name, len(values))
			}
			size += len(name) + len(values[0]) + 4
		}
		for name, want := range map[string]string{"Remote-User": "ada@example.org", "Remote-Email": "ada@example.org", "Remote-Name": "Ada Lovelace", "Remote-Groups": "admins",
			"X-Auth-Request-User": "1", "X-Auth-Request-Email": "ada@example.org", "X-Auth-Request-Groups": "admins"} {
			if got := p.header.Get(name); got != want {
				t.Errorf("%s: %s is %q, want %q", family, name, got, want)
			}
		}
		if size > 3500 {
			t.Errorf("%s: the answer has %d bytes", family, size)
		}
		anonymous := s.check(family, "GET", "https://app.example.org/open", "Remote-User", "root")
		for _, name := range []string{"Remote-User", "Remote-Email", "X-Auth-Request-User", "X-Gatepost-Assertion"} {
			v, there := anonymous.header[name]
			if family == "envoy" {
				if there || !strings.Contains(anonymous.header.Get("X-Envoy-Auth-Headers-To-Remove"), strings.ToLower(name)) {
					t.Errorf("envoy does not remove %s", name)
				}
			} else if !there || v[0] != "" {
				t.Errorf("%s: %s is %v, want it empty", family, name, v)
			}
		}
	}
	distant := guarded(t, func(c *Config) { c.TrustedProxies = []string{"192.0.2.0/24"} })
	if p := distant.check("forward", "GET", "https://app.example.org/open"); p.status != 400 || !strings.Contains(p.body, "trusted_proxies") {
		t.Errorf("from a peer that is no proxy of ours: %d %s", p.status, p.body)
	}
}

// Forward-auth §7.1 a: a body that is announced and does not come neither holds
// the answer up nor swallows the next request.
func TestGateWaitsForNoBody(t *testing.T) {
	s := guarded(t, nil)
	conn, err := net.Dial("tcp", strings.TrimPrefix(s.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		t.Fatal(err)
	}
	io.WriteString(conn, "GET /auth/nginx HTTP/1.1\r\nHost: x\r\nContent-Length: 60\r\nX-Original-URL: https://app.example.org/open\r\nX-Original-Method: POST\r\n\r\n")
	answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil || answer.StatusCode != 200 || !answer.Close {
		t.Errorf("%+v, %v: want an answer that ends the connection", answer, err)
	}
}

// The assertion verifies by the published keys, for this application alone.
func TestGateAssertion(t *testing.T) {
	s := guarded(t, nil)
	b := s.browser()
	b.get(b.answer("google", "1001"))
	token := s.check("forward", "GET", "https://app.example.org/x", "Cookie", b.cookie()).header.Get("X-Gatepost-Assertion")
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		t.Fatalf("assertion %q", token)
	}
	var set struct{ Keys []struct{ X string } }
	if err := json.Unmarshal([]byte(b.get("/auth/.well-known/jwks.json").body), &set); err != nil || len(set.Keys) != 1 {
		t.Fatal(set, err)
	}
	raw := func(s string) []byte {
		b, err := base64.RawURLEncoding.DecodeString(s)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	var claims struct {
		Aud, Sub, Email string
		Iat, Exp        int64
	}
	if err := json.Unmarshal(raw(parts[1]), &claims); err != nil {
		t.Fatal(err)
	}
	if !ed25519.Verify(raw(set.Keys[0].X), []byte(parts[0]+"."+parts[1]), raw(parts[2])) || claims.Aud != "app.example.org" || claims.Sub != "1" || claims.Exp-claims.Iat > int64(gate.AssertionTTL/time.Second) {
		t.Errorf("%+v", claims)
	}
}

// A sign-out, here or on another replica, holds on the next request.
func TestGateForgetsAtOnce(t *testing.T) {
	dsn := storetest.URL(t)
	one := newSite(t, dsn, gateOf)
	two := newSite(t, dsn, func(c *Config) { gateOf(c); c.Keys = one.keys })
	b := one.browser()
	b.get(b.answer("google", "1001"))
	cookie := b.cookie()
	for range 3 {
		for _, s := range []*site{one, two} {
			if p := s.check("forward", "GET", "https://app.example.org/x", "Cookie", cookie); p.status != 200 {
				t.Fatalf("signed in: %d", p.status)
			}
		}
	}
	b.post("/auth/signout")
	if p := one.check("forward", "GET", "https://app.example.org/x", "Cookie", cookie); p.status != 401 {
		t.Errorf("here: %d", p.status)
	}
	end := time.Now().Add(time.Second)
	for two.check("forward", "GET", "https://app.example.org/x", "Cookie", cookie).status != 401 {
		if time.Now().After(end) {
			t.Fatal("there: still signed in after a second")
		}
	}
}

func gateOf(c *Config) {
	c.TrustedProxies = []string{"127.0.0.1/32"}
	c.Gate.Rules = []RuleConfig{{Host: List{"app.example.org"}, Allow: &Who{Atom: "signed-in"}}}
}

// A proxy is told of a host of the pages as an application's only where a rule
// closes it: an application is there then.
func TestGateHosts(t *testing.T) {
	who := func(name string) *Who { return &Who{Atom: name} }
	for name, tt := range map[string]struct {
		rules []RuleConfig
		want  string
	}{
		"another":           {[]RuleConfig{{Host: List{"App.example.org", "*.example.org", "*", "~x", "{user}.example.org"}, Allow: who("signed-in")}}, "*.example.org app.example.org"},
		"an open one":       {[]RuleConfig{{Host: List{"auth.example.org", "app.example.org"}, Allow: who("public")}}, "app.example.org"},
		"a site's, open":    {[]RuleConfig{{Host: List{"Auth.example.net", "app.example.net"}, Allow: who("everyone")}}, "app.example.net"},
		"open in a list":    {[]RuleConfig{{Host: List{"auth.example.org", "app.example.org"}, Allow: &Who{Any: []gate.Who{{Atom: "public"}}}}}, "app.example.org"},
		"a closed one":      {[]RuleConfig{{Host: List{"AUTH.example.org"}, Path: List{"/x"}, Allow: who("public")}, {Host: List{"auth.example.org"}, Allow: who("signed-in")}}, "auth.example.org"},
		"a site's, closed":  {[]RuleConfig{{Host: List{"auth.example.org"}, Allow: who("public")}, {Host: List{"auth.example.net"}, Allow: who("signed-in")}}, "auth.example.net"},
		"closed to some":    {[]RuleConfig{{Host: List{"auth.example.org"}, Deny: who("@example.net")}}, "auth.example.org"},
		"closed for groups": {[]RuleConfig{{Host: List{"auth.example.org"}, Allow: &Who{Any: []gate.Who{{Atom: "group:a"}}}}}, "auth.example.org"},
	} {
		c := Config{PublicURL: "https://auth.example.org", Gate: GateConfig{Rules: tt.rules}}
		c.Cookie.Sites = []SiteConfig{{URL: "https://auth.example.net", Domain: "example.net"}}
		if got := strings.Join(c.GateHosts(), " "); got != tt.want {
			t.Errorf("%s: %s", name, got)
		}
	}
}

// A sign-in leads back to a host behind the gate on the port of the pages that
// its visitors sign in by, too: one proxy serves both.
func TestGateReturnsToThePagesPort(t *testing.T) {
	c, err := loadText(t, `
public_url: https://Auth.example.org:8443
cookie:
  domain: example.org
  sites:
  - {url: "https://AUTH.example.net:9443/", domain: example.net}
  - {url: "https://auth.example.com:443", domain: example.com}
return_to: ["https://Other.example.org:443/", "https://*.example.org:444"]
keys: [`+NewKey()+`]
database: {url: postgres://localhost/x}
trusted_proxies: [127.0.0.1/32]
gate:
  rules:
  - {host: [App.example.org, "*.example.net", example.net, app.example.com, "~x[.]example[.]org", "{group}.example.org"], allow: signed-in}
  - {host: [notexample.net, "*"], allow: public}
`)
	if err != nil {
		t.Fatal(err)
	}
	const want = "https://*.example.net https://*.example.net:9443 https://*.example.org:444 https://App.example.org https://App.example.org:8443 https://app.example.com " +
		"https://example.net https://example.net:9443 https://notexample.net https://notexample.net:8443 https://other.example.org"
	if got := strings.Join(c.returnTo(), " "); got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
	if a, b := c.Cookie.Sites[0].URL, c.Cookie.Sites[1].URL; a != "https://auth.example.net:9443" || b != "https://auth.example.com" {
		t.Errorf("sites at %s and %s, which no browser writes so", a, b)
	}
	if c.PublicURL = "https://auth.example.org"; c.pagesPort("app.example.org") != "" || c.pagesPort("") != "" {
		t.Error("another port than https's own")
	}
}

func TestPageHosts(t *testing.T) {
	c := Config{PublicURL: "https://Auth.example.org:8443"}
	c.Cookie.Sites = []SiteConfig{{URL: "https://auth.example.net"}, {URL: "https://AUTH.example.com"}}
	if got := strings.Join(c.PageHosts(), " "); got != "auth.example.org auth.example.net auth.example.com" {
		t.Error(got)
	}
}
