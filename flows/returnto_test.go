package flows

import (
	"net/url"
	"slices"
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
		// Applications' own addresses stay as they are.
		"/a/b%2Fc%2Fd":                         "https://auth.example.org/a/b%2Fc%2Fd",
		"/x%25y":                               "https://auth.example.org/x%25y",
		"/a%252Cb":                             "https://auth.example.org/a%252Cb",
		"/a//b//":                              "https://auth.example.org/a//b//",
		"/100%25/x":                            "https://auth.example.org/100%25/x",
		"/a,b;c=d/(e)@f:g":                     "https://auth.example.org/a,b;c=d/(e)@f:g",
		"/p/%2e%2ecd/...":                      "https://auth.example.org/p/%2e%2ecd/...",
		"https://app.example.net/r/a%2Fb?x#/y": "https://app.example.net/r/a%2Fb?x#/y",
		"https://app.example.net?q=1#a%2Fb":    "https://app.example.net/?q=1#a%2Fb",
		`/x#/y?a={"b":[1]}|c^d#e`:              `https://auth.example.org/x#/y?a={"b":[1]}|c^d#e`,
		"/x#50%":                               "https://auth.example.org/x#50%25",
		"/x#%zz%4":                             "https://auth.example.org/x#%25zz%254",
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

// NextAuth's pages give addresses as people write them, and browsers escape them.
func TestReturnToOfNextAuth(t *testing.T) {
	r := newTestReturnTo(t).Bare()
	const origin = "https://auth.example.org"
	for in, want := range map[string]string{
		"/straße/日本?q=é b#ü":                    origin + "/stra%C3%9Fe/%E6%97%A5%E6%9C%AC?q=%C3%A9%20b#%C3%BC",
		origin + "/a b":                         origin + "/a%20b",
		origin + "?q=ü":                         origin + "/?q=%C3%BC",
		"/caf%C3%A9":                            origin + "/caf%C3%A9",
		"/\u00a0x":                              origin,
		"/%":                                    origin,
		"/é/../..//evil.test":                   origin + "/",
		"/é\\evil.test":                         origin,
		"https://auth.example.org é.evil.test/": origin,
		"https://auth。example.org/":             origin,
	} {
		if got := r.Resolve(in); got != want {
			t.Errorf("Resolve(%q) = %q, want %q", in, got, want)
		}
	}
	for _, in := range hostileTargets {
		if got := strings.TrimSuffix(r.Resolve(in), "/"); got != origin {
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
	"/a%2Fb/c", "/%2F/evil.test", "/%25252fevil.test", "/%5c/evil.test", "/%255cevil.test", "/a/%255c", "/a/%2e%2e/b", "/a/%252e%252e/b", "/a/x%2F..%2Fy", "/a/x%252f.%252fy",
	"/a/%2e", "/a/%00", "/a/%250a", "/a/%257f", "/%2525252e%2525252e/a", "/%c0%af%2fevil.test", "//", "/%2f", "/" + strings.Repeat("%22", 600) + strings.Repeat("'", 300) + strings.Repeat("\"", 400),
}

// wherever a browser takes the answer, it stays on an allowed origin.
func FuzzReturnTo(f *testing.F) {
	for _, s := range append(hostileTargets, "/a/b%2Fc", "/x%25y", "/a//b", "/a/%252e", "https://app.example.net/a%2525#%2F", "/a#%{#%2") {
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
		// also to whoever decodes it first, up to four times.
		path := u.EscapedPath()
		for range 4 {
			if strings.HasPrefix(path, "//") || strings.ContainsAny(path, "\\\t\r\n\x00") || slices.ContainsFunc(strings.Split(path, "/"), func(s string) bool { return s == "." || s == ".." }) {
				t.Errorf("Resolve(%q) = %q, which decoded is %q", raw, got, path)
			}
			path, _ = url.PathUnescape(path)
		}
		if len(got) > maxReturnTo {
			t.Errorf("Resolve(%q) has %d bytes", raw, len(got))
		}
		if again := r.Resolve(got); again != got {
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
