//go:build e2e

package proxies_test

import (
	"testing"
)

// Forward-auth §8: no spelling of a path that an application may read as /admin
// passes as something else, whatever the proxy makes of it.
func TestPathConfusion(t *testing.T) {
	each(t, func(t *testing.T, p *proxy) {
		grace := p.browser(t)
		grace.enter("https://"+appHost+"/x", "1002") // signed in, but no admin
		if a := p.send(t, withCookie(request{target: "/x"}, grace.cookie())); !a.passed {
			t.Fatalf("/x: %d", a.status)
		}
		if a := p.send(t, request{target: "/open/a"}); !a.passed {
			t.Fatalf("/open/a: %d", a.status)
		}
		for _, target := range []string{
			"/open/../admin", "/open//../admin", "/open/./../admin", "/open/../../admin", "/open/%2e%2e/admin", "/open/%2E./admin", "/open/.%2e/admin", "/open/..%2fadmin", "/open%2f..%2fadmin", "/open/..%2Fadmin",
			"/open/..;/admin", "/open;x=1/../admin", "/open/..;x=1/admin", `/open/..\admin`, "/open/..%5cadmin", "/open/%252e%252e/admin", "/open/%252e%252e%252fadmin", "/open/..%252fadmin",
			"/OPEN/../admin", "/Open/..%2fADMIN", "/open/..%00/admin", "/open/.%00./admin", "/open/%2e%2e%2f%2e%2e%2fadmin",
			"/admin", "/admin/", "/admin/x", "/ADMIN", "/Admin/x", "//admin", "///admin", "/./admin", "/x/../admin", "/x/..%2fadmin", "/x/%2e%2e/admin", "/%61dmin", "/%41DMIN", "/%2561dmin", "/admin;x=1", "/admin;x=1/y", "/;/admin",
			"/admin%2f", "/admin%2fx", "/admin%3f/open", "/admin%23/open", "/admin%00", "/admin%00/open", "/admin#/open", "/admin?/open", "/admin/.", "/admin/..;/admin", `/\admin`, "/%5cadmin", "/admin//..//open/../admin",
		} {
			for name, cookie := range map[string]string{"nobody": "", "somebody": grace.cookie()} {
				a, err := p.try(withCookie(request{target: target}, cookie))
				if a.passed {
					t.Errorf("%s passes for %s: %v %+v", target, name, err, a.app)
				}
			}
		}
		if a, _ := p.try(request{target: "/open/..%c0%afadmin"}); a.passed { // an overlong slash
			t.Errorf("what is not UTF-8 is public: %+v", a.app)
		}
	})
}

// What the application is asked, where somebody may ask everything: each proxy's
// page says it.
func TestPathsArriveAsSent(t *testing.T) {
	each(t, func(t *testing.T, p *proxy) {
		ada := p.browser(t)
		ada.enter("https://"+appHost+"/x", "1001")
		for _, target := range []string{
			"/p/a", "/p/a?u=/../b&v=%2f", "/p//a", "/p/./a", "/p/../admin", "/p/%2e%2e/admin", "/p/..%2fadmin", "/p%2fa", "/p;x=1/a", "/P/A", "/p/a%3Fq", "/p/a%23f", "/p/%252e%252e/a", "/p/%C3%A9", "/p/a+b%20c", "/p/a'(b)*!~@:=,$&", "/p/%7e", "/",
		} {
			want := target
			if other, ok := rewritten[p.kind][target]; ok {
				want = other
			}
			a, err := p.try(withCookie(request{target: target}, ada.cookie()))
			got := "nothing"
			if a.app != nil {
				got = a.app.Target
			}
			if err != nil || got != want {
				t.Errorf("%s arrives as %s, want %s (%d %v)", target, got, want, a.status, err)
			}
		}
	})
}

// rewritten is what a proxy makes of a target on its way to the application.
var rewritten = map[string]map[string]string{"traefik": {
	"/p//a": "/p/a", "/p/./a": "/p/a", "/p/../admin": "/admin", "/p/%2e%2e/admin": "/admin", "/p/..%2fadmin": "/p/..%2Fadmin", "/p%2fa": "/p%2Fa", "/p/%7e": "/p/~",
}}
