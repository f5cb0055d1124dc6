//go:build e2e

package proxies_test

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

// each runs test for every proxy.
func each(t *testing.T, test func(t *testing.T, p *proxy)) {
	for _, kind := range kinds() {
		t.Run(kind, func(t *testing.T) { test(t, the.proxy(t, kind)) })
	}
}

const acceptHTML = "text/html,application/xhtml+xml,*/*;q=0.8"

// page is a request as a browser makes it that goes somewhere.
func page(target string, header ...string) request {
	return request{target: target, header: append([]string{"Accept", acceptHTML}, header...)}
}

// A browser is led from the page to sign-in and back to it, and the application
// learns who it is.
func TestSignInThroughProxy(t *testing.T) {
	each(t, func(t *testing.T, p *proxy) {
		b := p.browser(t)
		a := b.signIn("https://"+appHost+"/dashboard?tab=1&q=a%2Fb", "1001")
		if a.app == nil || a.app.Target != "/dashboard?tab=1&q=a%2Fb" {
			t.Fatalf("came back to %d %s", a.status, a.body)
		}
		for name, want := range map[string]string{"Remote-User": "ada@example.org", "Remote-Email": "ada@example.org", "Remote-Name": "Ada Lovelace", "Remote-Groups": "admins",
			"X-Auth-Request-Email": "ada@example.org", "X-Auth-Request-Preferred-Username": "Ada Lovelace", "X-Auth-Request-Groups": "admins", "X-Forwarded-Proto": "https", "X-Forwarded-For": clientAddr, "X-Forwarded-Host": appHost} {
			if got := a.app.Header[name]; len(got) != 1 || got[0] != want {
				t.Errorf("%s is %q, want %q", name, got, want)
			}
		}
		if a.app.Header.Get("X-Auth-Request-User") == "" || strings.Count(a.app.Header.Get("X-Gatepost-Assertion"), ".") != 2 {
			t.Errorf("headers %v", a.app.Header)
		}
		if got := a.header["Set-Cookie"]; fmt.Sprint(got) != "[theme=dark; Path=/; Priority=High lang=en; Path=/]" {
			t.Errorf("the application's cookies became %q", got)
		}
		for _, status := range []int{401, 403, 404, 500, 503} {
			a, _ := b.do("GET", fmt.Sprintf("https://%s/status/%d", appHost, status), nil)
			if a.status != status || a.app == nil {
				t.Errorf("the application's own %d became %d", status, a.status)
			}
		}
		b.signOut()
		if a, location := b.do("GET", "https://"+appHost+"/x", nil); location == nil || a.app != nil {
			t.Errorf("after signing out: %d", a.status)
		}
	})
}

// who asks, and what that makes of a request.
var whos = []string{"allowed", "refused", "expired", "revoked", "denied"}

// cookies makes a session cookie for each of whos.
func (p *proxy) cookies(t *testing.T) map[string]string {
	t.Helper()
	signedIn := func(person string) *browser {
		b := p.browser(t)
		b.enter("https://"+appHost+"/x", person)
		return b
	}
	expired := signedIn("1001")
	p.world.sql(t, "UPDATE sessions SET expires = now() - interval '1 hour' WHERE id = (SELECT max(id) FROM sessions)")
	ada, grace, revoked := signedIn("1001"), signedIn("1002"), signedIn("1001")
	cookies := map[string]string{"allowed": ada.cookie(), "refused": "", "expired": expired.cookie(), "revoked": revoked.cookie(), "denied": grace.cookie()}
	if a := p.send(t, page("/x", "Cookie", revoked.cookie())); !a.passed {
		t.Fatalf("before the sign-out: %d", a.status)
	}
	revoked.signOut()
	time.Sleep(time.Second)
	return cookies
}

// What a proxy cannot be made to do, or does in its own way: kind, who and form
// with the status that comes instead. Each is said in the proxy's page.
var exceptions = map[string]int{"apache/*/absolute form": 400}

// The acceptance matrix of forward-auth §9.
func TestMatrix(t *testing.T) {
	big := "junk=" + strings.Repeat("j", 15<<10)
	form := request{method: "POST", body: "a=1&b=2", header: []string{"Accept", acceptHTML, "Content-Type", "application/x-www-form-urlencoded", "Referer", "https://" + appHost + "/form"}}
	forms := []struct {
		name    string
		request request
		refusal int // of somebody who could sign in
	}{
		{"GET html", page(""), 302},
		{"GET json", request{header: []string{"Accept", "application/json"}}, 401},
		{"*/*", request{header: []string{"Accept", "*/*"}}, 401},
		{"no Accept", request{}, 401},
		{"XHR", page("", "X-Requested-With", "XMLHttpRequest"), 401},
		{"fetch", page("", "Sec-Fetch-Mode", "cors"), 401},
		{"POST form", form, 303},
		{"POST chunked", request{method: "POST", header: []string{"Accept", acceptHTML, "Transfer-Encoding", "chunked"}, body: "3\r\na=1\r\n0\r\n\r\n"}, 303},
		{"HEAD", request{method: "HEAD", header: []string{"Accept", acceptHTML}}, 302},
		{"QUERY", request{method: "QUERY", header: []string{"Accept", acceptHTML}}, 303},
		{"preflight", request{method: "OPTIONS", header: []string{"Origin", "https://other.example", "Access-Control-Request-Method", "PUT"}}, 401},
		{"WebSocket", request{}, 401},
		{"gRPC", request{method: "POST", header: []string{"Content-Type", "application/grpc+proto", "TE", "trailers"}, body: "x"}, 401},
		{"absolute form", page("https://" + appHost + "/x"), 302},
		{"15 KB of cookies", page("", "Cookie", big), 302},
		{"two Cookie lines", page("", "Cookie", "other=1"), 302},
		{"HTTP/1.0", request{proto: "HTTP/1.0", header: []string{"Accept", acceptHTML}}, 302},
		{"HTTP/2", page("", "Cookie", "other=1"), 302},
	}
	each(t, func(t *testing.T, p *proxy) {
		cookies := p.cookies(t)
		for _, who := range whos {
			for _, f := range forms {
				t.Run(who+"/"+f.name, func(t *testing.T) {
					r := f.request
					if who == "denied" {
						r.target = strings.Replace(or(r.target, "/x"), "/x", "/admin", 1)
					}
					want := map[string]int{"allowed": 200, "denied": 403}[who]
					if want == 0 {
						want = f.refusal
					}
					var a answer
					switch {
					case f.name == "WebSocket":
						if who == "allowed" {
							want = http.StatusSwitchingProtocols
						}
						a = p.socket(t, withCookie(r, cookies[who]))
					case f.name == "HTTP/2":
						a = p.http2(t, r, cookies[who])
					case f.name == "15 KB of cookies" && cookies[who] != "":
						a = p.send(t, page(r.target, "Cookie", big+"; "+cookies[who]))
					default:
						a = p.send(t, withCookie(r, cookies[who]))
					}
					if other, ok := exceptions[p.kind+"/"+who+"/"+f.name]; ok {
						want = other
					}
					if other, ok := exceptions[p.kind+"/*/"+f.name]; ok {
						want = other
					}
					p.judge(t, r, a, want)
				})
			}
		}
	})
}

func withCookie(r request, cookie string) request {
	if cookie == "" {
		return r
	}
	return request{r.method, r.target, r.proto, r.host, r.sni, append(r.header[:len(r.header):len(r.header)], "Cookie", cookie), r.body}
}

// judge holds an answer against the status wanted, and what goes with it.
func (p *proxy) judge(t *testing.T, r request, a answer, want int) {
	t.Helper()
	if a.status != want {
		t.Fatalf("%d %s %v, want %d", a.status, a.body, a.header, want)
	}
	if let := want == 200 || want == 101; a.passed != let {
		t.Errorf("reached the application: %v", a.passed)
	}
	location, html := a.header.Get("Location"), strings.Contains(a.header.Get("Content-Type"), "text/html")
	switch want {
	case 200:
		if a.app != nil && (a.app.Header.Get("Remote-User") != "ada@example.org" || a.app.Method != or(r.method, "GET")) {
			t.Errorf("the application saw %+v", a.app)
		}
		if r.method == "POST" && !strings.Contains("a=1&b=2 x a=1", a.app.Body) {
			t.Errorf("body %q", a.app.Body)
		}
	case 302:
		if want := signInURL + "/signin?callbackUrl=" + url.QueryEscape("https://"+appHost+"/x"); location != want {
			t.Errorf("Location %q, want %q", location, want)
		}
	case 303:
		if !strings.HasPrefix(location, signInURL+"/signin?callbackUrl="+url.QueryEscape("https://"+appHost+"/")) {
			t.Errorf("Location %q", location)
		}
	case 401:
		if location != "" || a.header.Get("WWW-Authenticate") == "" {
			t.Errorf("headers %v", a.header)
		}
	case 403:
		if location != "" {
			t.Errorf("Location %q", location)
		}
		if isPage := strings.Contains(a.body, "grace@example.org"); html && r.method != "HEAD" && !isPage {
			t.Errorf("the page does not say as whom: %s", a.body)
		}
	}
	if want != 200 && want != 101 {
		if a.header.Get("Set-Cookie") != "" {
			t.Errorf("a refusal sets cookies: %v", a.header)
		}
		if want != 400 && !strings.Contains(a.header.Get("Cache-Control"), "no-store") {
			t.Errorf("a refusal may be kept: %v", a.header)
		}
	}
}

// http2 sends r over HTTP/2, where each cookie is a header of its own.
func (p *proxy) http2(t *testing.T, r request, cookie string) answer {
	t.Helper()
	tr := p.transport()
	defer tr.CloseIdleConnections()
	req, err := http.NewRequest(or(r.method, "GET"), "https://"+appHost+or(r.target, "/x"), nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(r.header); i += 2 {
		req.Header.Add(r.header[i], r.header[i+1])
	}
	if cookie != "" {
		req.Header.Set("Cookie", req.Header.Get("Cookie")+"; "+cookie)
	}
	id := fmt.Sprint(testID.Add(1))
	req.Header.Set("X-Test-Id", id)
	resp, err := tr.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	if resp.ProtoMajor != 2 {
		io.Copy(io.Discard, resp.Body)
		t.Fatalf("spoke %s", resp.Proto)
	}
	a, err := read(resp)
	if err != nil {
		t.Fatal(err)
	}
	a.passed = p.world.app.saw(id)
	return a
}
