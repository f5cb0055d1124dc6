package proxies

import (
	"os"
	"path/filepath"
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
	site.SignIn = site.Hosts[0]
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
		s.BasePath, s.SignIn = tt.base, tt.signIn
		if got := s.Checks(); got != tt.want {
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

// The texts in YAML are YAML, with several hosts and a wildcard, too.
func TestTextsAreYAML(t *testing.T) {
	s := Example
	s.Hosts = []string{"a.example.com", "*.b.example.com"}
	yamlAre(t, s)
	s.SignIn = "a.example.com"
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
		"a line":       func(s *Site) { s.SignIn = "auth.example.com\nroot /" },
		"a variable":   func(s *Site) { s.Hosts = []string{"$http_host"} },
		"a block":      func(s *Site) { s.Certificate = "/a{b}" },
		"a URL":        func(s *Site) { s.Upstream = "http://127.0.0.1:3000" },
		"no port":      func(s *Site) { s.Gatepost = "127.0.0.1" },
		"no host":      func(s *Site) { s.Hosts = nil },
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
