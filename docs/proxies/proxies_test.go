package proxies

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
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

func language(file string) string {
	switch filepath.Ext(file) {
	case ".yaml":
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
