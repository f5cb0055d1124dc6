package app

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gatepost/gatepost/store/storetest"
)

// Every configuration that a page shows is one that works.
func TestDocumentedConfigurations(t *testing.T) {
	const rest = "public_url: https://auth.example.com\nkeys: [" + "kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk" + "]\ndatabase: {url: postgres://localhost/x}\n"
	for _, page := range []string{"gate.md", "nextauth-jwt.md", "webhooks.md", "upstream-tokens.md"} {
		raw, err := os.ReadFile(filepath.Join("..", "..", "..", "docs", page))
		if err != nil {
			t.Fatal(err)
		}
		for i, block := range strings.Split(string(raw), "```yaml\n")[1:] {
			block, _, _ = strings.Cut(block, "\n```")
			file := filepath.Join(t.TempDir(), "gatepost.yaml")
			if err := os.WriteFile(file, []byte(rest+block), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := Load(file, []string{"CRM_SECRET=" + NewWebhookSecret(), "NEXTAUTH_SECRET=" + NewKey()}); err != nil {
				t.Errorf("%s, block %d: %v", page, i+1, err)
			}
		}
	}
}

// snippet is the first block of a documentation page in that language.
func snippet(t *testing.T, page, language string) string {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("..", "..", "..", "docs", page))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(raw), "```"+language+"\n")
	code, _, closed := strings.Cut(rest, "\n```")
	if !found || !closed {
		t.Fatalf("%s has no block of %s", page, language)
	}
	return code
}

// What docs/gate.md tells applications to do verifies an assertion, and refuses
// one for another host, by another key, or changed.
func TestDocumentedVerification(t *testing.T) {
	s := guarded(t, nil)
	b := s.browser()
	b.get(b.answer("google", "1001"))
	token := s.check("forward", "GET", "https://app.example.org/x", "Cookie", b.cookie()).header.Get("X-Gatepost-Assertion")
	stranger := guarded(t, nil)
	parts := strings.Split(token, ".")
	dir := t.TempDir()
	for file, language := range map[string]string{"verify.go": "go", "verify.mjs": "js"} {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(snippet(t, "gate.md", language)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	binary := filepath.Join(dir, "verify")
	if out, err := exec.Command("go", "build", "-o", binary, filepath.Join(dir, "verify.go")).CombinedOutput(); err != nil {
		t.Fatalf("%v %s", err, out)
	}
	commands := map[string][]string{"go": {binary}, "js": {"node", filepath.Join(dir, "verify.mjs")}}
	if _, err := exec.LookPath("node"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("no Node.js on this machine, so the JavaScript of docs/gate.md is not tried")
		}
		t.Log("NO NODE.JS ON THIS MACHINE: the JavaScript of docs/gate.md is not tried")
		delete(commands, "js")
	}
	for language, command := range commands {
		for name, tt := range map[string]struct {
			token, host, jwks string
			good              bool
		}{
			"good":         {token, "app.example.org", s.URL, true},
			"another host": {token, "other.example.org", s.URL, false},
			"another key":  {token, "app.example.org", stranger.URL, false},
			"changed":      {parts[0] + "." + parts[1][:len(parts[1])-2] + "AA." + parts[2], "app.example.org", s.URL, false},
		} {
			t.Run(language+"/"+name, func(t *testing.T) {
				out, err := exec.Command(command[0], append(command[1:], tt.token, tt.host, tt.jwks+"/auth/.well-known/jwks.json")...).CombinedOutput()
				if (err == nil) != tt.good || tt.good && string(out) != "user 1\n" {
					t.Errorf("%v: %s", err, out)
				}
			})
		}
	}
}

// What docs/upstream-tokens.md tells applications to do gets a token that the
// provider knows, and says where to send whoever is not signed in.
func TestDocumentedTokens(t *testing.T) {
	s := newSite(t, storetest.URL(t), func(c *Config) {
		for i := range c.Providers {
			c.Providers[i].Tokens = true
		}
	})
	b := s.browser()
	b.get(b.answer("github", "1001"))
	session := b.cookie()
	dir := t.TempDir()
	run := func(name, file, code string, command ...string) string {
		t.Helper()
		if _, err := exec.LookPath(command[0]); err != nil {
			if os.Getenv("CI") == "true" {
				t.Fatalf("no %s on this machine, so the %s of docs/upstream-tokens.md is not tried", command[0], name)
			}
			t.Logf("NO %s ON THIS MACHINE: the %s of docs/upstream-tokens.md is not tried", strings.ToUpper(command[0]), name)
			return ""
		}
		if err := os.WriteFile(filepath.Join(dir, file), []byte(code), 0o600); err != nil {
			t.Fatal(err)
		}
		c := exec.Command(command[0], command[1:]...)
		c.Dir, c.Env = dir, append(os.Environ(), "AUTH="+s.URL+"/auth", "SESSION="+session)
		out, err := c.CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v %s", name, err, out)
		}
		return string(out)
	}
	if out := run("curl", "token.sh", snippet(t, "upstream-tokens.md", "sh"), "sh", "token.sh"); out != "" {
		var got, shown map[string]any
		if err := json.Unmarshal([]byte(out), &got); err != nil || !s.works("github", fmt.Sprint(got["accessToken"])) {
			t.Errorf("curl: %s", out)
		}
		if err := json.Unmarshal([]byte(snippet(t, "upstream-tokens.md", "json")), &shown); err != nil {
			t.Fatal(err)
		}
		if a, b := slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(shown)); !slices.Equal(a, b) {
			t.Errorf("the answer has %v, the page shows %v", a, b)
		}
	}
	out := run("JavaScript", "token.mjs", snippet(t, "upstream-tokens.md", "js")+`
const { SESSION } = process.env;
const token = await upstreamToken('theme=dark; ' + SESSION + '; a=b', 'github');
const again = await upstreamToken(SESSION, 'github');
const refused = await upstreamToken('theme=dark', 'github', 'https://evil.example/').catch((err) => err);
console.log([token, again === token, refused.status, refused.reason, refused.url].join(' '));
`, "node", "token.mjs")
	token, rest, _ := strings.Cut(strings.TrimSpace(out), " ")
	if out != "" && (!s.works("github", token) || rest != "true 401 session_required "+s.URL+"/auth/signin?callbackUrl="+url.QueryEscape(s.URL+"/")) {
		t.Errorf("JavaScript: %s", out)
	}
}

// The configuration of the way from NextAuth needs nothing but its variables.
func TestDocumentedNextAuth(t *testing.T) {
	file := filepath.Join(t.TempDir(), "gatepost.yaml")
	if err := os.WriteFile(file, []byte(snippet(t, "nextauth.md", "yaml")), 0o600); err != nil {
		t.Fatal(err)
	}
	secret := strings.Repeat("k", 40)
	c, err := Load(file, []string{"NEXTAUTH_SECRET=" + secret, "GATEPOST_KEY=" + secret, "DATABASE_URL=postgres://localhost/x", "SMTP_PASSWORD=x", "GITHUB_SECRET=x"})
	if err != nil || !c.nextAuth() || c.BasePath != "/api/auth" || c.Mail.LinkTTL != 24*time.Hour {
		t.Errorf("%+v, %v", c, err)
	}
}
