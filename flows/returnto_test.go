package flows

import (
	"net/url"
	"strings"
	"testing"
)

func newTestReturnTo(t testing.TB) ReturnTo {
	r, err := NewReturnTo("https://auth.example.org", []string{"https://app.example.net", "https://*.example.com", "https://port.example.net:8443"})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

//
func TestReturnToResolve(t *testing.T) {
	r := newTestReturnTo(t)
	for in, want := range map[string]string{
		"/":                                 "https://auth.example.org/",
		"/x?y=1#z":                          "https://auth.example.org/x?y=1#z",
		"/a/b/":                             "https://auth.example.org/a/b/",
		"/a b":                              r.Default(),
		"/caf%C3%A9":                        "https://auth.example.org/caf%C3%A9",
		"https://auth.example.org/x":        "https://auth.example.org/x",
		"https://AUTH.example.org/x":        "https://auth.example.org/x",
		"https://app.example.net/p?q=a%20b": "https://app.example.net/p?q=a%20b",
		"https://grafana.example.com/d/1":   "https://grafana.example.com/d/1",
		"https://a.b.example.com/":          "https://a.b.example.com/",
		"https://port.example.net:8443/":    "https://port.example.net:8443/",
	} {
		if got := r.Resolve(in); got != want {
			t.Errorf("Resolve(%q) = %q, want %q", in, got, want)
		}
	}
	for _, in := range hostileTargets {
		if got := r.Resolve(in); got != r.Default() {
			t.Errorf("Resolve(%q) = %q, want the default", in, got)
		}
	}
}

var hostileTargets = []string{
	"", "foo", "//evil.test", `/\evil.test`, `\\evil.test`, `/\/evil.test`, "///evil.test", "https:evil.test", "https:/evil.test",
	"http:evil.test", "%2f%2fevil.test", "/%2fevil.test", "/%5cevil.test", "/%252fevil.test", "https://auth.example.org@evil.test/",
	"https://auth.example.org:pw@evil.test/", "https://user@auth.example.org/", `https://evil.test\@auth.example.org/`, "/\tevil", "/\r\nevil",
	"/\x00", "/\x7f", " /x", "/x ", "/\u200b", "/\u2028", "javascript:alert(1)", "JaVaScript:alert(1)", "data:text/html,x", "vbscript:x",
	"blob:https://auth.example.org/x", "file:///etc/passwd", "\x01javascript:alert(1)", "https://evil。test/", "https://auth.example.org.evil.test/",
	"https://evilauth.example.org/", "https://auth.example.org%00.evil.test/", "https://auth.example.org./", "https://auth.example.org:443@evil.test",
	"https://evil.test/auth.example.org", "https://evil.test?auth.example.org", "https://evil.test#auth.example.org", "https://evil.test;auth.example.org",
	"/..//evil.test", `/./\evil.test`, "/a/../..//evil.test", "https://0x7f.1/", "https://[::1]/", "https://auth.example.org:8443/", "https://auth.example.org:/",
	"http://auth.example.org/", "https://example.com/", "https://evilexample.com/", "https://.example.com/", "https://app.example.net:444/",
	"ftp://auth.example.org/", "https://", "https:///x", "\xff\xfe", "/" + strings.Repeat("a", 2050), "?x", "#x", "*", "/%00", "/%0d%0aSet-Cookie:x",
}

// wherever a browser takes the answer, it stays on an allowed origin.
func FuzzReturnTo(f *testing.F) {
	for _, s := range hostileTargets {
		f.Add(s)
	}
	r := newTestReturnTo(f)
	site, _ := url.Parse("https://auth.example.org")
	f.Fuzz(func(t *testing.T, raw string) {
		got := r.Resolve(raw)
		// Browsers treat \ as / and drop tabs and newlines (WHATWG URL §4.4).
		browser := strings.NewReplacer(`\`, "/", "\t", "", "\n", "", "\r", "").Replace(got)
		if browser != got {
			t.Errorf("Resolve(%q) = %q, which a browser rewrites", raw, got)
		}
		u, err := site.Parse(browser)
		if err != nil || u.Scheme != "https" || u.User != nil {
			t.Fatalf("Resolve(%q) = %q leads to %v (%v)", raw, got, u, err)
		}
		host := u.Host
		if host != "auth.example.org" && host != "app.example.net" && host != "port.example.net:8443" && !strings.HasSuffix(host, ".example.com") {
			t.Errorf("Resolve(%q) = %q leads to %q", raw, got, host)
		}
		if again := r.Resolve(got); len(raw) < 500 && again != got {
			t.Errorf("Resolve(%q) = %q, and of that %q", raw, got, again)
		}
	})
}

func TestReturnToRefusesLooseOrigins(t *testing.T) {
	for _, origin := range []string{"*", "https://*", "https://*.org", "https://a.*.org", "app.example.org", "https://app.example.org/path", "https://u@app.example.org", "javascript://x"} {
		if _, err := NewReturnTo("https://auth.example.org", []string{origin}); err == nil {
			t.Errorf("origin %q was accepted", origin)
		}
	}
}
