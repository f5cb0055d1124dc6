//go:build e2e

package proxies_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"
)

// identity are the headers that Gatepost sets, others those that some
// application believes and nobody here sets.
var (
	identity = []string{"Remote-User", "Remote-Email", "Remote-Name", "Remote-Groups",
		"X-Auth-Request-User", "X-Auth-Request-Email", "X-Auth-Request-Preferred-Username", "X-Auth-Request-Groups", "X-Gatepost-Assertion"}
	others = []string{"X-Auth-Request-Access-Token", "X-Forwarded-User", "X-Forwarded-Email", "X-Forwarded-Groups", "X-Forwarded-Preferred-Username", "X-Forwarded-Access-Token",
		"X-Original-URL", "X-Original-URI", "X-Original-Method", "X-Rewrite-URL", "X-Forwarded-Uri", "X-Forwarded-Method", "X-Forwarded-Prefix", "X-Forwarded-Port", "X-Forwarded-Host", "X-Forwarded-Proto",
		"X-Forwarded-For", "X-Real-IP", "Forwarded"}
)

var spellings = []func(string) string{
	func(s string) string { return s },
	strings.ToLower,
	func(s string) string { return strings.ReplaceAll(s, "-", "_") },
	func(s string) string { return strings.ReplaceAll(s, "-", ".") },
	func(s string) string { return strings.Replace(s, "-", "_", 1) },
	func(s string) string { return strings.Replace(s, "-", ".", 1) },
}

// folded is a name as CGI, WSGI and PHP read it.
func folded(name string) string {
	return strings.ToLower(strings.NewReplacer("_", "-", ".", "-").Replace(name))
}

const evil = "evil@example.net"

// leaks lists what of a client's own an application could believe.
func leaks(a answer) (names []string) {
	if a.app == nil {
		return nil
	}
	known := map[string]bool{}
	for _, n := range append(identity, others...) {
		known[folded(n)] = true
	}
	for name, values := range a.app.Header {
		if known[folded(name)] && slices.ContainsFunc(values, func(v string) bool { return strings.Contains(v, "evil") }) {
			names = append(names, name)
		}
	}
	return names
}

// Forward-auth §6: a client's own headers, in any spelling, signed in or not,
// never reach the application. Security F-3, F-4.
func TestSpoofedHeaders(t *testing.T) {
	each(t, func(t *testing.T, p *proxy) {
		ada := p.browser(t)
		ada.enter("https://"+appHost+"/x", "1001")
		for _, name := range append(identity, others...) {
			for _, spell := range spellings {
				spoof := []string{spell(name), evil}
				for target, cookie := range map[string]string{"/open": "", "/x": ada.cookie()} {
					a := p.send(t, withCookie(request{target: target, header: spoof}, cookie))
					if found := leaks(a); len(found) > 0 {
						t.Errorf("%s at %s reaches the application as %q", spoof[0], target, found)
					}
					if a.app == nil {
						// Refused is as good, but only for what is no honest name.
						if spell(name) == name {
							t.Errorf("%s at %s: %d", name, target, a.status)
						}
						continue
					}
					for name, want := range map[string]string{"Remote-User": "ada@example.org", "Remote-Groups": "admins"} {
						got := strings.Join(a.app.Header[name], "|")
						if cookie != "" && got != want || cookie == "" && got != "" {
							t.Errorf("%s at %s: %s is %q", spoof[0], target, name, got)
						}
					}
					if got := a.app.Header["X-Forwarded-For"]; len(got) != 1 || got[0] != clientAddr {
						t.Errorf("%s at %s: X-Forwarded-For is %q", spoof[0], target, got)
					}
				}
			}
		}
	})
}

// A client cannot have the proxy tell Gatepost of another request than its own.
func TestSpoofedQuestion(t *testing.T) {
	each(t, func(t *testing.T, p *proxy) {
		open := "https://" + appHost + "/open"
		for name, r := range map[string]request{
			"X-Original-URL":                  {header: []string{"X-Original-URL", open}},
			"X-Original-URL twice":            {header: []string{"X-Original-URL", open, "X-Original-URL", open}},
			"X-Original-URI":                  {header: []string{"X-Original-URI", "/open"}},
			"X_Original_URL":                  {header: []string{"X_Original_URL", open}},
			"X-Forwarded-Uri":                 {header: []string{"X-Forwarded-Uri", "/open"}},
			"X-Forwarded-Uri twice":           {header: []string{"X-Forwarded-Uri", "/open", "X-Forwarded-Uri", "/open"}},
			"X_Forwarded_Uri":                 {header: []string{"X_Forwarded_Uri", "/open"}},
			"X.Forwarded.Uri":                 {header: []string{"X.Forwarded.Uri", "/open"}},
			"X-Forwarded-Host":                {header: []string{"X-Forwarded-Host", openHost}},
			"both":                            {header: []string{"X-Forwarded-Host", openHost, "X-Forwarded-Uri", "/open", "X-Forwarded-Method", "GET", "X-Forwarded-Proto", "https"}},
			"the method of a preflight":       {target: "/api/x", header: []string{"X-Forwarded-Method", "OPTIONS", "X-Original-Method", "OPTIONS", "Origin", "https://o.example", "Access-Control-Request-Method", "PUT"}},
			"another network":                 {target: "/office", header: []string{"X-Forwarded-For", "192.0.2.1"}},
			"another network twice":           {target: "/office", header: []string{"X-Forwarded-For", "192.0.2.1", "X-Forwarded-For", "192.0.2.2"}},
			"another network by X-Real-IP":    {target: "/office", header: []string{"X-Real-IP", "192.0.2.1"}},
			"another network by Forwarded":    {target: "/office", header: []string{"Forwarded", "for=192.0.2.1"}},
			"another network by an alias":     {target: "/office", header: []string{"X_Forwarded_For", "192.0.2.1"}},
			"hop-by-hop question":             {header: []string{"Connection", "close, X-Forwarded-Uri, X-Forwarded-Host, X-Forwarded-Method, X-Original-URL, X-Original-Method"}},
			"hop-by-hop client":               {target: "/office", header: []string{"Connection", "close, X-Forwarded-For", "X-Forwarded-For", "192.0.2.1"}},
			"another host by the target":      {target: "https://" + openHost + "/x", host: appHost},
			"another host by Host":            {target: "https://" + appHost + "/x", host: openHost},
			"another host, absolute and http": {target: "http://" + appHost + "/x", host: openHost},
			"two hosts":                       {host: openHost, header: []string{"Host", appHost}},
			"two hosts, the other way":        {host: appHost, header: []string{"Host", openHost}},
			"capitals":                        {host: "APP.example.org"},
			"a dot":                           {host: "app.example.org."},
			"a port":                          {host: "app.example.org:443"},
			"another port":                    {host: "app.example.org:80"},
			"userinfo":                        {host: openHost + "@" + appHost},
			"no host":                         {host: "-"},
			"no host, HTTP/1.0":               {host: "-", proto: "HTTP/1.0"},
			"an unknown host":                 {host: "other.example.org"},
			"lower case":                      {method: "get"},
			"a fragment":                      {target: "/x#/open"},
			"a query like a path":             {target: "/x?/open"},
			"a query for the check":           {target: "/x?rd=/open&allowed_groups=&auth=basic"},
		} {
			t.Run(name, func(t *testing.T) {
				a, err := p.try(r)
				if err != nil && !a.passed {
					return // cut off
				}
				// A proxy that takes the host from elsewhere is right as long as
				// the application is asked under the host that Gatepost judged.
				if a.passed && !(a.app != nil && a.app.Host == openHost) {
					t.Errorf("passes: %d %+v", a.status, a.app)
				}
			})
		}
		a := p.send(t, page("/x", "X-Auth-Request-Redirect", "https://evil.example/", "Referer", "https://evil.example/"))
		if strings.Contains(a.header.Get("Location"), "evil") {
			t.Errorf("leads to %s", a.header.Get("Location"))
		}
		if a := p.send(t, request{target: "/local"}); !a.passed {
			t.Errorf("the client's own network does not count: %d", a.status)
		}
	})
}

// Security F-15: a client cannot have the proxy drop what Gatepost says.
func TestHopByHop(t *testing.T) {
	each(t, func(t *testing.T, p *proxy) {
		ada := p.browser(t)
		ada.enter("https://"+appHost+"/x", "1001")
		for _, name := range append(identity, "X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host") {
			a := p.send(t, withCookie(request{header: []string{"Connection", "close, " + name}}, ada.cookie()))
			if a.app == nil || a.app.Header.Get(name) == "" {
				t.Errorf("%s: %d %+v", name, a.status, a.app)
			}
		}
		a := p.socket(t, withCookie(request{header: []string{"Connection", "Remote-User"}}, ada.cookie()))
		if a.status != http.StatusSwitchingProtocols && a.passed {
			t.Errorf("a socket: %d", a.status)
		}
		if a := p.send(t, withCookie(request{header: []string{"Connection", "close, Cookie, Authorization"}}, ada.cookie())); a.passed && (a.app == nil || a.app.Header.Get("Remote-User") != "ada@example.org") {
			t.Errorf("without a cookie: %d %+v", a.status, a.app)
		}
	})
}
