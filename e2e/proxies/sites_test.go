//go:build e2e

package proxies_test

import (
	"net/url"
	"slices"
	"strings"
	"testing"
)

// handsOver has somebody who is signed in on one root domain carried to an
// application on another, and signed out of both (security F-13).
func (p *proxy) handsOver(t *testing.T) {
	t.Helper()
	b := p.browser(t)
	appHost, otherApp := appHost+p.world.port(), otherApp+p.world.port()
	if a := b.signIn("https://"+appHost+"/x", "1001"); a.app == nil || a.app.Host != appHost {
		t.Fatalf("%s: came back to %d %s", appHost, a.status, a.body)
	}
	target := "https://" + otherApp + "/dashboard?tab=1&q=a%2Fb"
	a, location := b.do("GET", target, nil)
	if want := "https://" + p.world.other + "/auth/handover?to=" + url.QueryEscape(target); location == nil || location.String() != want {
		t.Fatalf("%s leads to %v, want %s: %d %s", target, location, want, a.status, a.body)
	}
	var by []string
	for location != nil && len(by) < 5 {
		by = append(by, location.Host+location.Path)
		a, location = b.do("GET", location.String(), nil)
	}
	if want := []string{p.world.other + "/auth/handover", p.world.signIn + "/auth/handover/from", p.world.other + "/auth/handover/to", otherApp + "/dashboard"}; !slices.Equal(by, want) {
		t.Errorf("by way of %q, want %q", by, want)
	}
	if a.app == nil || a.app.Host != otherApp || a.app.Target != "/dashboard?tab=1&q=a%2Fb" || a.app.Header.Get("Remote-User") != "ada@example.org" {
		t.Fatalf("arrived at %d %s", a.status, a.body)
	}
	b.signOut()
	if a, location := b.do("GET", target, nil); location == nil || a.app != nil {
		t.Errorf("after signing out: %d", a.status)
	}
}

// The pages have hosts of their own on both domains, which a wildcard may fit.
func TestSeveralRootDomains(t *testing.T) {
	each(t, func(t *testing.T, p *proxy) {
		p.handsOver(t)
		for target, want := range map[string]string{"/auth/signin": signInURL + "/signin", "/auth/account": signInURL + "/account", "/auth/handover/to": signInURL + "/"} {
			a := p.send(t, request{target: target, host: otherAuth, sni: otherAuth, header: []string{"Accept", acceptHTML}})
			if location := a.header.Get("Location"); !strings.HasPrefix(location, want) {
				t.Errorf("%s: %d to %q", target, a.status, location)
			}
		}
		site := p.world.site()
		site.Hosts = []string{"*.example.net", "*.example.org"}
		wild := p.world.changed(t, p.kind, site, func(s string) string { return s })
		wild.handsOver(t)
		wild.noChecks(t, authHost)
		wild.noChecks(t, otherAuth)
	})
}

// The pages share the host of an application on both domains.
func TestUnderPathsOfSeveralRootDomains(t *testing.T) {
	w := anotherWorld(t, "paths", appHost, otherApp)
	for _, kind := range kinds() {
		t.Run(kind, func(t *testing.T) {
			p := w.proxy(t, kind)
			p.handsOver(t)
			ada := p.browser(t)
			ada.enter("https://"+appHost+"/x", "1001")
			for _, host := range []string{appHost, otherApp} {
				for _, target := range []string{"/auth/nginx", "/auth/forward", "/auth/envoy/office", "/auth/%66orward", "/auth/forward?x", "//auth/forward", "/auth/./forward", "/auth//forward", "/auth%2fforward", "/oauth2/auth", "/api/verify", "/auth2", "/x/../auth/x", "/"} {
					if a, err := p.try(request{target: target, host: host, sni: host, header: lies}); a.passed || err == nil && answersCheck(a) {
						t.Errorf("%s%s: %d %v %s", host, target, a.status, a.header, a.body)
					}
				}
			}
			for _, target := range []string{"/", "/oauth2/auth", "/api/verify", "/login"} {
				if a := p.send(t, withCookie(request{target: target}, ada.cookie())); a.app == nil || a.app.Target != target {
					t.Errorf("%s is not the application's: %d", target, a.status)
				}
			}
			if a := p.send(t, request{target: "/auth/signin", host: otherApp, sni: otherApp}); a.header.Get("Location") != w.home()+"/signin" {
				t.Errorf("%s/auth/signin: %d to %q", otherApp, a.status, a.header.Get("Location"))
			}
		})
	}
}

// Where browsers see a port, nobody gets lost without it: neither on the way back
// to an application, nor between root domains, nor do applications that write
// their own address.
func TestOnAnotherPort(t *testing.T) {
	w := anotherWorld(t, "port", authHost+":8443", otherAuth+":8443")
	for _, kind := range kinds() {
		t.Run(kind, func(t *testing.T) {
			p := w.proxy(t, kind)
			p.handsOver(t)
			a := p.send(t, request{target: "/open", host: appHost + ":8443"})
			if a.app == nil || a.app.Host != appHost+":8443" || a.app.Header.Get("X-Forwarded-Host") != appHost+":8443" {
				t.Errorf("the application was told %+v", a.app)
			}
			p.noChecks(t, authHost+":8443")
		})
	}
}
