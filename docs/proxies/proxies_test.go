package proxies

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"
)

// Every page shows the text that proxy-config prints, to the letter.
func TestPagesShowTheTexts(t *testing.T) {
	for _, kind := range Kinds {
		page, err := os.ReadFile(kind + ".md")
		if err != nil {
			t.Error(err)
			continue
		}
		for _, file := range parts[kind] {
			text, err := Part(kind, file, Example)
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(string(page), "\n```"+language(file)+"\n"+text+"```\n") {
				t.Errorf("%s.md does not show %s", kind, file)
				if os.Getenv("SHOW") != "" {
					t.Log(text)
				}
			}
		}
	}
}

// The page about one host shows parts of what is printed for one, each to the
// letter.
func TestOneHostPageShowsTheTexts(t *testing.T) {
	page, err := os.ReadFile("one-host.md")
	if err != nil {
		t.Fatal(err)
	}
	site := Example
	site.Pages = site.Hosts
	sections := strings.Split(string(page), "\n## ")[1:]
	shown := 0
	for _, section := range sections {
		name, rest, _ := strings.Cut(section, "\n")
		var all string
		for kind, files := range parts {
			if !strings.HasPrefix(strings.ToLower(name), kind) {
				continue
			}
			for _, file := range files {
				text, err := Part(kind, file, site)
				if err != nil {
					t.Fatal(err)
				}
				all += text
			}
		}
		for i, block := range strings.Split(rest, "```") {
			if i%2 == 0 || all == "" {
				continue
			}
			shown++
			_, block, _ = strings.Cut(block, "\n")
			if !strings.Contains(all, block) {
				t.Errorf("%s: is not printed:\n%s", name, block)
			}
		}
	}
	if shown < len(Kinds) {
		t.Errorf("shows %d parts", shown)
	}
}

// Where Gatepost is under a path, no check of its own is on the way to it, and
// no other path of the application is closed (security F-1).
func TestCheckPaths(t *testing.T) {
	for _, tt := range []struct {
		name, base, signIn, want string
	}{
		{"a host of its own", "/auth", "auth.example.com", "/auth/(nginx|forward|envoy)|/oauth2/auth|/api/(authz|verify)|/api/auth/(nginx|traefik|caddy|envoy)"},
		{"a path", "/auth", "app.example.com", "/auth/(nginx|forward|envoy)"},
		{"NextAuth's path", "/api/auth", "app.example.com", "/api/auth/(nginx|forward|envoy)|/api/auth/(nginx|traefik|caddy|envoy)"},
		{"above others'", "/api", "app.example.com", "/api/(nginx|forward|envoy)|/api/(authz|verify)|/api/auth/(nginx|traefik|caddy|envoy)"},
		{"beside others'", "/oauth", "app.example.com", "/oauth/(nginx|forward|envoy)"},
		{"a dot", "/a.b", "auth.example.com", "/a[.]b/(nginx|forward|envoy)|/oauth2/auth|/api/(authz|verify)|/api/auth/(nginx|traefik|caddy|envoy)"},
	} {
		s := Example
		s.BasePath, s.Pages = tt.base, []string{tt.signIn}
		if got := s.PageServers()[0].Checks(); got != tt.want {
			t.Errorf("%s: %s", tt.name, got)
		}
		for _, kind := range Kinds {
			text, err := Config(kind, s)
			if err != nil || kind != "caddy" && !strings.Contains(text, tt.want) || kind == "caddy" && !strings.Contains(text, "@checks path "+tt.base+"/nginx "+tt.base+"/nginx/* ") {
				t.Errorf("%s: %s does not close %s: %v\n%s", tt.name, kind, tt.want, err, text)
			}
		}
	}
}

// Pages on several root domains: whether a host is an application's, too, is a
// matter of that host. One of the pages alone has no check open, whatever the
// others are (security F-1).
func TestSeveralPageHosts(t *testing.T) {
	const all, under = "^(/auth/(nginx|forward|envoy)|/oauth2/auth|/api/(authz|verify)|/api/auth/(nginx|traefik|caddy|envoy))", "^(/auth/(nginx|forward|envoy))"
	gate := map[string]string{"nginx": "auth_request     /_gatepost;", "caddy": "import gatepost ", "apache": "LuaHookAccessChecker"}
	const app1, app2, page1, page2 = "app.example.com", "app.example.net", "auth.example.com", "auth.example.net"
	for _, tt := range []struct {
		name         string
		hosts, pages []string
		want         string // one server after the other
	}{
		{"alone", []string{app1, app2}, []string{page1, page2}, app1 + " " + app2 + " gate, " + page1 + " " + page2 + " pages"},
		{"shared and alone", []string{app1, app2}, []string{app1, page2}, app2 + " gate, " + app1 + " gate pages, " + page2 + " pages"},
		{"alone and shared", []string{app1, app2}, []string{page1, app2}, app1 + " gate, " + app2 + " gate pages, " + page1 + " pages"},
		{"shared", []string{app1, app2}, []string{app1, app2}, app1 + " " + app2 + " gate pages"},
		{"beside wildcards", []string{"*.example.com", "*.example.net", app1}, []string{app1, page2}, app1 + " gate pages, " + page2 + " pages, *.example.com *.example.net gate"},
	} {
		s := Example
		s.Hosts, s.Pages = tt.hosts, tt.pages
		var servers, closed []string
		for _, server := range s.Servers() {
			text, checks := strings.Join(server.Hosts, " "), all
			if server.App {
				text, checks = text+" gate", under
			}
			if server.Pages {
				text += " pages"
				closed = append(closed, checks)
			}
			servers = append(servers, text)
		}
		if got := strings.Join(servers, ", "); got != tt.want {
			t.Errorf("%s: %s", tt.name, got)
		}
		for kind := range gate {
			text, err := Config(kind, s)
			if err != nil {
				t.Fatal(err)
			}
			parts := serversIn(kind, text)
			if len(parts) != len(s.Servers()) {
				t.Fatalf("%s: %s: %d servers in\n%s", tt.name, kind, len(parts), text)
			}
			for i, server := range s.Servers() {
				checks := []string{all, under}
				if kind == "caddy" {
					checks = []string{"@checks path /auth/nginx /auth/nginx/* /auth/forward /auth/forward/* /auth/envoy /auth/envoy/* /oauth2/auth /oauth2/auth/* /api/authz /api/authz/* /api/verify /api/verify/* " +
						"/api/auth/nginx /api/auth/nginx/* /api/auth/traefik /api/auth/traefik/* /api/auth/caddy /api/auth/caddy/* /api/auth/envoy /api/auth/envoy/*\n", "@checks path /auth/nginx /auth/nginx/* /auth/forward /auth/forward/* /auth/envoy /auth/envoy/*\n"}
				}
				for _, host := range server.Hosts {
					if !strings.Contains(parts[i], host) {
						t.Errorf("%s: %s has no %s in\n%s", tt.name, kind, host, parts[i])
					}
				}
				if strings.Contains(parts[i], gate[kind]) != server.App || strings.Contains(parts[i], checks[0]) != !server.App || strings.Contains(parts[i], checks[1]) != (server.App && server.Pages) {
					t.Errorf("%s: %s: %v is\n%s", tt.name, kind, server, parts[i])
				}
			}
		}
		for _, kind := range []string{"haproxy", "traefik", "envoy"} { // one frontend or one list for all
			text, err := Config(kind, s)
			if err != nil {
				t.Fatal(err)
			}
			for _, checks := range closed {
				if !strings.Contains(text, strings.TrimPrefix(checks, "^")) {
					t.Errorf("%s: %s does not close %s:\n%s", tt.name, kind, checks, text)
				}
			}
			if strings.Contains(text, strings.TrimPrefix(all, "^")) != slices.Contains(closed, all) {
				t.Errorf("%s: %s closes paths of an application:\n%s", tt.name, kind, text)
			}
		}
		yamlAre(t, s)
	}
}

// A wildcard may fit a host of the pages. Apache takes the first server that a
// host fits, and no wildcard for a ServerName; Traefik takes the longest rule.
func TestWildcardsTakeNoPages(t *testing.T) {
	s := Example
	s.Hosts, s.Pages = []string{"*.example.com", "*.example.net"}, []string{"auth.example.com", "auth.example.net"}
	apache, err := Config("apache", s)
	if want := "ServerName gatepost.invalid\n    ServerAlias *.example.com\n    ServerAlias *.example.net\n"; err != nil || strings.Index(apache, want) < strings.Index(apache, "ServerName auth.example.com\n    ServerAlias auth.example.net\n") {
		t.Errorf("%v\n%s", err, apache)
	}
	traefik, err := Config("traefik", s)
	if want := "      rule: \"(Host(`auth.example.com`) || Host(`auth.example.net`))\"\n      priority: 90000\n"; err != nil || !strings.Contains(traefik, want) {
		t.Errorf("%v\n%s", err, traefik)
	}
}

// serversIn are the parts of a text that configure one Server each.
func serversIn(kind, text string) (all []string) {
	begin := map[string]string{"nginx": `(?m)^server \{`, "caddy": `(?m)^[a-z*][^\n]*:443 \{`, "apache": `(?m)^<VirtualHost `}[kind]
	at := regexp.MustCompile(begin).FindAllStringIndex(text, -1)
	for i, from := range at {
		to := len(text)
		if i+1 < len(at) {
			to = at[i+1][0]
		}
		all = append(all, text[from[0]:to])
	}
	return all
}

// The texts in YAML are YAML, with several hosts and a wildcard, too.
func TestTextsAreYAML(t *testing.T) {
	s := Example
	s.Hosts = []string{"a.example.com", "*.b.example.com"}
	yamlAre(t, s)
	s.Pages = []string{"a.example.com"}
	yamlAre(t, s)
}

func yamlAre(t *testing.T, s Site) {
	t.Helper()
	for kind, files := range parts {
		for _, file := range files {
			if filepath.Ext(file) != ".yaml" {
				continue
			}
			text, err := Part(kind, file, s)
			var v any
			if err == nil {
				err = yaml.Unmarshal([]byte(text), &v)
			}
			if err != nil {
				t.Errorf("%s: %v", file, err)
			}
		}
	}
}

func language(file string) string {
	switch filepath.Ext(file) {
	case ".yaml":
		if file == "traefik-static.yaml" {
			return "yml"
		}
		return "yaml"
	case ".lua":
		return "lua"
	}
	if file == "Caddyfile" {
		return "caddyfile"
	}
	return strings.TrimSuffix(file, filepath.Ext(file))
}

// Whatever is filled in stays one word.
func TestValuesStayWords(t *testing.T) {
	for name, change := range map[string]func(*Site){
		"a directive":  func(s *Site) { s.Upstream = "127.0.0.1:1; return 200" },
		"a line":       func(s *Site) { s.Pages = []string{"auth.example.com\nroot /"} },
		"a variable":   func(s *Site) { s.Hosts = []string{"$http_host"} },
		"a block":      func(s *Site) { s.Certificate = "/a{b}" },
		"a URL":        func(s *Site) { s.Upstream = "http://127.0.0.1:3000" },
		"no port":      func(s *Site) { s.Gatepost = "127.0.0.1" },
		"no host":      func(s *Site) { s.Hosts = nil },
		"no pages":     func(s *Site) { s.Pages = nil },
		"a second one": func(s *Site) { s.Pages = []string{"auth.example.com", "auth.example.net;"} },
		"nothing":      func(s *Site) { s.BasePath = "" },
		"white space":  func(s *Site) { s.Hosts = []string{"a b"} },
		"an empty one": func(s *Site) { s.Hosts = []string{""} },
	} {
		s := Example
		change(&s)
		for _, kind := range Kinds {
			if text, err := Config(kind, s); err == nil {
				t.Errorf("%s: %s takes it:\n%s", name, kind, text)
			}
		}
	}
}
