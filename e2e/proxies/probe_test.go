//go:build e2e

package proxies_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/gatepost/gatepost/e2e/ports"
)

// probe runs gatepost probe through p and returns what it says.
func (p *proxy) probe(t *testing.T, listen, cookie string) (out string, code int) {
	t.Helper()
	args := []string{"probe", "--listen", listen, "--connect", p.addr, "--ca-file", p.world.pem(), "--proxy", p.kind, "https://" + appHost}
	if cookie != "" {
		file := filepath.Join(t.TempDir(), "cookie")
		if err := os.WriteFile(file, []byte("Cookie: "+cookie+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		args = append(args, "--header", "@"+file)
	}
	cmd := exec.Command(binary, args...)
	raw, err := cmd.CombinedOutput()
	if err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return string(raw), cmd.ProcessState.ExitCode()
}

// Our own configurations are clean, for somebody signed in and for nobody.
func TestProbeFindsNothing(t *testing.T) {
	for _, kind := range kinds() {
		t.Run(kind, func(t *testing.T) {
			site := the.site()
			site.Upstream = ports.FreeAddr()
			p := the.changed(t, kind, site, func(s string) string { return s })
			ada := p.browser(t)
			ada.enter("https://"+appHost+"/x", "1001")
			out, code := p.probe(t, site.Upstream, ada.cookie())
			if code != 0 || strings.Count(out, "ok    ") != 8 || !strings.Contains(out, "no leaks") || strings.Contains(out, "note") != (rewritten[kind] != nil) {
				t.Errorf("%d\n%s", code, out)
			}
			if out, code := p.probe(t, site.Upstream, ""); code != 0 || !strings.Contains(out, "nobody is signed in") || strings.Count(out, "ok    ") != 7 {
				t.Errorf("%d\n%s", code, out)
			}
			if out, code := p.probe(t, site.Upstream, "wrong=1"); code != 1 || !strings.Contains(out, "does not sign in") {
				t.Errorf("%d\n%s", code, out)
			}
			if out, code := p.probe(t, ports.FreeAddr(), ""); code != 1 || !strings.Contains(out, "let these rules be Gatepost's first") {
				t.Errorf("%d\n%s", code, out)
			}
		})
	}
}

// Each weakness is found, with the line that closes it.
func TestProbeFindsWhatIsWeak(t *testing.T) {
	for _, tt := range []struct {
		kind, name string
		change     []string // old, new, …
		want       []string
	}{
		{"nginx", "a header forgotten", []string{"proxy_set_header Remote-Groups ", "# "}, []string{"LEAK  identity: a client's Remote-Groups arrives", `proxy_set_header Remote-Groups "";`}},
		{"nginx", "all forgotten in a location", []string{"proxy_pass http://$UPSTREAM; #", "proxy_set_header Host $gatepost_host; proxy_pass http://$UPSTREAM; #"}, []string{"identity: a client's Remote-User arrives", "identity: a client's X-Gatepost-Assertion arrives", "forwarded: a client's X-Forwarded-For arrives"}},
		{"nginx", "underscores", []string{"underscores_in_headers off", "underscores_in_headers on"}, []string{"alias: a client's Remote_User arrives", "underscores_in_headers off;"}},
		{"nginx", "dots", []string{"ignore_invalid_headers on", "ignore_invalid_headers off"}, []string{"alias: a client's Remote.User arrives"}},
		{"nginx", "the client's X-Forwarded-For", []string{"X-Forwarded-For                $remote_addr", "X-Forwarded-For $proxy_add_x_forwarded_for"}, []string{"forwarded: a client's X-Forwarded-For arrives"}},
		{"nginx", "$http_host", []string{"$scheme://$gatepost_host$request_uri", "$scheme://$http_host$request_uri"}, []string{"LEAK  host: ", "not $http_host"}},
		{"nginx", "a slash", []string{"proxy_pass http://$UPSTREAM;", "proxy_pass http://$UPSTREAM/;"}, []string{"note  path: ", "without a slash"}},
		{"nginx", "an open server", []string{"auth_request     /_gatepost;", ""}, []string{"LEAK  guard: ", "auth_request /_gatepost;"}},
		{"nginx", "a return before the check", []string{"location / {", "location /gatepost-probe/closed { auth_request off; proxy_pass http://$UPSTREAM; }\nlocation / {"}, []string{"LEAK  guard: "}},
		{"nginx", "a location that is open, by a pattern", []string{"location / {", "location ~ ^/gatepost-probe/open { auth_request off; proxy_pass http://$UPSTREAM; }\nlocation / {"}, []string{"LEAK  path: /gatepost-probe/open/..;/closed passes", "auth_request for the whole server"}},
		{"nginx", "the wrong endpoint", []string{"/nginx;", "/forward;", "X-Original-Method $request_method;", "X-Forwarded-Method GET;\nproxy_set_header X-Forwarded-Proto $scheme;", "X-Original-URL    $scheme://$gatepost_host$request_uri;", "X-Forwarded-Host $host;"},
			[]string{"does not arrive here"}},
		{"caddy", "identity", []string{"request_header -Remote-*", "", "copy_headers Remote-User Remote-Email Remote-Name Remote-Groups", "copy_headers Remote-User"}, []string{"identity: a client's Remote-Groups arrives", "request_header -Remote-Groups"}},
		{"caddy", "underscores", []string{"request_header -*_*", ""}, []string{"alias: a client's Remote_User arrives", "request_header -*_*"}},
		{"caddy", "dots", []string{"request_header -*.*", ""}, []string{"alias: a client's Remote.User arrives"}},
		{"caddy", "Connection", []string{"request_header -Connection", ""}, []string{"hop-by-hop: ", "request_header -Connection"}},
		{"caddy", "X-Original", []string{"request_header -X-Original-*", ""}, []string{"forwarded: a client's X-Original-URL arrives"}},
		{"caddy", "the client's question", []string{"request_header -X-Forwarded-*", "request_header X-Gone 1", "header_up -Upgrade", "header_up X-Forwarded-Uri {header.X-Forwarded-Uri}"}, []string{"does not arrive here"}},
		{"caddy", "the client's question, if there is one", []string{"request_header -X-Forwarded-*", "@asked header X-Forwarded-Host *\nrequest_header @asked X-Told {header.X-Forwarded-Host}\n@told not header X-Told *\nrequest_header @told X-Told {host}", "header_up -Upgrade", "header_up X-Forwarded-Host {header.X-Told}"},
			[]string{"LEAK  question: with a client's X-Forwarded-Host", "without a header_up"}},
		{"caddy", "no check", []string{"forward_auth", "@never path /never\nforward_auth @never"}, []string{"LEAK  guard: "}},
		{"haproxy", "identity", []string{`"remote-", `, "", `"remote-name", "remote-groups"`, `"remote-name"`}, []string{"identity: a client's Remote-Groups arrives", "del-header Remote-Groups"}},
		{"haproxy", "underscores", []string{`"[_.]"`, `"[.]"`}, []string{"alias: a client's Remote_User arrives"}},
		{"haproxy", "dots", []string{`"[_.]"`, `"_"`}, []string{"alias: a client's Remote.User arrives"}},
		{"haproxy", "X-Original", []string{`"x-original-", `, ""}, []string{"forwarded: a client's X-Original-URL arrives"}},
		{"haproxy", "a broken script", []string{`{ "http-req" }, function(txn, url)`, `{ "http-req" }, function(txn, url) error("broken")`, "http-request deny deny_status 503", "#"}, []string{"LEAK  guard: ", "deny_status 503"}},
		{"haproxy", "the client's question", []string{`ask["x-forwarded-uri"] = { txn.f:pathq() }`, `ask["x-forwarded-uri"] = { headers["x-forwarded-uri"] and headers["x-forwarded-uri"][0] or txn.f:pathq() }`}, []string{"LEAK  question: with a client's X-Forwarded-Uri"}},
		{"apache", "identity", []string{`"remote-", `, "", `"Remote-Name", "Remote-Groups"`, `"Remote-Name"`}, []string{"identity: a client's Remote-Groups arrives", "RequestHeader unset Remote-Groups early"}},
		{"apache", "underscores", []string{`"[_.]"`, `"[.]"`}, []string{"alias: a client's Remote_User arrives"}},
		{"apache", "Connection", []string{`r.headers_in["Connection"] = connection(r.headers_in)`, ""}, []string{"hop-by-hop: ", `connection(r.headers_in)`}},
		{"apache", "X-Forwarded", []string{`"x-forwarded-", `, ""}, []string{"forwarded: a client's X-Forwarded-For arrives"}},
		{"apache", "canonical paths", []string{" nocanon", ""}, []string{"note  path: ", "nocanon"}},
		{"apache", "a narrower location", []string{`<Location "/">`, `<Location "/gatepost-probe/open">`}, []string{"LEAK  guard: "}},
		{"traefik", "identity", []string{"remote-|", "", "(?i)^(", "(?i)^(remote-user$|"}, []string{"identity: a client's Remote-Groups arrives", "authResponseHeadersRegex"}},
		{"traefik", "underscores", []string{"[._]", "[.]", "underscoreHeadersStrategy: delete", "underscoreHeadersStrategy: keep"}, []string{"alias: a client's Remote_User arrives"}},
		{"traefik", "dots", []string{"[._]", "_"}, []string{"alias: a client's Remote.User arrives"}},
		{"traefik", "no check", []string{"middlewares: [gatepost]", ""}, []string{"LEAK  guard: ", "middlewares: [gatepost]"}},
		{"traefik", "the client's word", []string{"trustForwardHeader: false", "trustForwardHeader: true", "    http:\n      underscore", "    forwardedHeaders: {insecure: true}\n    http:\n      underscore"}, []string{"LEAK  question: with a client's X-Forwarded-Uri", "trustForwardHeader: false"}},
	} {
		if !slices.Contains(kinds(), tt.kind) {
			continue // Traefik, in runs without it
		}
		t.Run(tt.kind+"/"+tt.name, func(t *testing.T) {
			t.Parallel()
			site := the.site()
			site.Upstream = ports.FreeAddr()
			replaced := map[string]bool{}
			p := the.changed(t, tt.kind, site, func(s string) string {
				for i := 0; i+1 < len(tt.change); i += 2 {
					old := strings.ReplaceAll(tt.change[i], "$UPSTREAM", site.Upstream)
					replaced[tt.change[i]] = replaced[tt.change[i]] || strings.Contains(s, old)
					s = strings.ReplaceAll(s, old, strings.ReplaceAll(tt.change[i+1], "$UPSTREAM", site.Upstream))
				}
				return s
			})
			for old, done := range replaced {
				if !done {
					t.Fatalf("the configuration has no %q", old)
				}
			}
			ada := the.proxy(t, "nginx").browser(t)
			ada.enter("https://"+appHost+"/x", "1001")
			out, code := p.probe(t, site.Upstream, ada.cookie())
			for _, want := range tt.want {
				if !strings.Contains(out, want) {
					t.Errorf("does not say %q:\n%s", want, out)
				}
			}
			if leaks := strings.Count(out, "LEAK"); (code != 0) != (leaks > 0 || strings.Contains(out, "does not arrive")) {
				t.Errorf("exit status %d with %d leaks", code, leaks)
			}
		})
	}
}
