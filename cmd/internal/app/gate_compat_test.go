package app

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// surfacePaths are where the surfaces answer.
var surfacePaths = map[string][]string{
	"oauth2-proxy": {"/oauth2/auth", "/oauth2/start", "/oauth2/sign_in", "/oauth2/sign_out", "/oauth2/userinfo", "/ping", "/ready", "/robots.txt"},
	"authelia":     {"/api/authz/forward-auth", "/api/authz/auth-request", "/api/authz/ext-authz", "/api/authz/ext-authz/x", "/api/verify"},
	"tinyauth":     {"/api/auth/traefik", "/api/auth/caddy", "/api/auth/envoy", "/api/auth/nginx", "/login"},
}

// No second parser is reachable when the switch is off, nor that of another
// surface than the named one (security F-2).
func TestSurfacesAreOff(t *testing.T) {
	for _, on := range []string{"", "oauth2-proxy", "authelia", "tinyauth"} {
		s := guarded(t, func(c *Config) {
			if on != "" {
				c.Compat = List{on}
			}
		})
		_, everything := question("forward", "GET", "https://app.example.org/open", "X-Original-URL", "https://app.example.org/open", "X-Original-Method", "GET")
		for surface, paths := range surfacePaths {
			for _, path := range paths {
				p := s.ask("GET", path, everything...)
				if (p.status == http.StatusNotFound) != (surface != on) {
					t.Errorf("compat %q: %s answers %d", on, path, p.status)
				}
			}
		}
		for surface, says := range map[string]string{"oauth2-proxy": "/oauth2/auth", "authelia": "/api/authz", "tinyauth": "/api/auth/traefik"} {
			if told := strings.Contains(s.log.String(), `"path":"`+says+`"`); told != (surface != on) {
				t.Errorf("compat %q: the log tells of %s: %t", on, says, told)
			}
		}
		if p := s.ask("GET", "/", everything...); (p.status == http.StatusOK) != (on == "oauth2-proxy") {
			t.Errorf("compat %q: / answers a question with %d", on, p.status)
		}
		if p := s.ask("GET", "/?rd=https://app.example.org/x"); (p.location == s.signIn("https://app.example.org/x")) != (on == "authelia") {
			t.Errorf("compat %q: /?rd= leads to %q", on, p.location)
		}
	}
}

// Who has another base_path than the proxy is told so, and nobody else can write
// that into the log.
func TestQuestionsThatGoAstray(t *testing.T) {
	s := guarded(t, nil)
	_, forwarded := question("forward", "GET", "https://app.example.org/secret")
	_, original := question("nginx", "GET", "https://app.example.org/secret")
	for _, tt := range []struct {
		path   string
		header []string
		says   string // "" for nothing
	}{
		{"/api/auth2/forward", forwarded, "have the proxy ask /auth/forward: base_path is /auth"},
		{"/nginx", original, "have the proxy ask /auth/nginx: base_path is /auth"},
		{"/sso/envoy/secret", forwarded, "have the proxy ask /auth/envoy: base_path is /auth"},
		{"/oauth2/auth", original, "name oauth2-proxy under compat, or have the proxy ask below /auth"},
		{"/api/auth/caddy", forwarded, "name tinyauth under compat"},
		{"/api/auth/secret", forwarded, ""},
		{"/forward", nil, ""},
		{"/wp-admin/secret", forwarded, ""},
	} {
		before := len(s.log.String())
		if p := s.ask("GET", tt.path, tt.header...); p.status != http.StatusNotFound {
			t.Errorf("%s: %d", tt.path, p.status)
		}
		log := s.log.String()[before:]
		if told := strings.Contains(log, "a proxy asks where no check is"); told != (tt.says != "") || !strings.Contains(log, tt.says) || strings.Contains(log, "secret") {
			t.Errorf("%s: %s", tt.path, log)
		}
	}
	client := guarded(t, func(c *Config) { c.TrustedProxies = []string{"192.0.2.1/32"} })
	client.ask("GET", "/nginx", original...)
	if strings.Contains(client.log.String(), "no check is") {
		t.Error("a peer that is no proxy wrote into the log")
	}
}

// signIn is the sign-in page that leads back to target.
func (s *site) signIn(target string) string {
	if target == "" {
		return s.URL + "/auth/signin"
	}
	return s.URL + "/auth/signin?callbackUrl=" + url.QueryEscape(target)
}

// compat is guarded with surfaces, and somebody in the group and somebody not.
func compat(t *testing.T, names ...string) (s *site, ada, grace string) {
	t.Helper()
	s = guarded(t, func(c *Config) { c.Compat = names })
	a, g := s.browser(), s.browser()
	a.get(a.answer("google", "1001"))
	g.get(g.answer("google", "1002"))
	return s, a.cookie(), g.cookie()
}

// a surfaceRow is one question and its answer.
type surfaceRow struct {
	name, path string
	header     []string // «ada» and «grace» stand for Cookie and the value
	status     int
	location   string // for a sign-in page, where it leads back to
	has        string // in the answer: «Header: value», or a text in the body
}

func (s *site) try(t *testing.T, ada, grace string, rows []surfaceRow) {
	t.Helper()
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			var header []string
			for i := 0; i < len(row.header); i++ {
				switch row.header[i] {
				case "ada":
					header = append(header, "Cookie", ada)
				case "grace":
					header = append(header, "Cookie", grace)
				default:
					header = append(header, row.header[i], row.header[i+1])
					i++
				}
			}
			method, path, ok := strings.Cut(row.path, " ")
			if !ok {
				method, path = "GET", row.path
			}
			p := s.ask(method, path, header...)
			if p.status != row.status {
				t.Fatalf("%d %s, want %d", p.status, p.body, row.status)
			}
			want := ""
			if row.location != "" {
				want = s.signIn(strings.TrimPrefix(row.location, "none"))
			}
			if p.location != want {
				t.Errorf("Location %q, want %q", p.location, want)
			}
			if name, value, header := strings.Cut(row.has, ": "); header && p.header.Get(name) != value || !strings.Contains(row.has, ": ") && !strings.Contains(p.body, row.has) {
				t.Errorf("no %q in %v %s", row.has, p.header, p.body)
			}
			if p.header.Get("Set-Cookie") != "" || p.header.Get("Cache-Control") == "" {
				t.Errorf("headers %v", p.header)
			}
			for name, values := range p.header {
				if len(values) != 1 {
					t.Errorf("%s is there %d times", name, len(values))
				}
			}
		})
	}
}

var browses = []string{"Accept", "text/html"}

func with(header ...[]string) (all []string) {
	for _, h := range header {
		all = append(all, h...)
	}
	return all
}

// forwarded is what Traefik and Caddy say of a request.
func forwarded(method, target string) []string {
	_, h := question("forward", method, target)
	return h
}
