//go:build e2e

package proxies_test

import (
	"net/http"
	"strings"
	"testing"
)

// lies are what a client says who would like to be believed as the proxy is: that
// /office is asked for, from the network that it is open to.
var lies = []string{"X-Forwarded-Uri", "/office", "X-Forwarded-Host", appHost, "X-Forwarded-Proto", "https", "X-Forwarded-Method", "GET", "X-Forwarded-For", "192.0.2.1", "X-Real-Ip", "192.0.2.1",
	"X-Original-Url", "https://" + appHost + "/office", "X-Original-Method", "GET", "Sec-Fetch-Mode", "cors"}

// answersCheck reports an answer that only a proxy should get.
func answersCheck(a answer) bool {
	_, told := a.header["Remote-User"]
	_, told2 := a.header["X-Auth-Request-User"]
	return told || told2 || a.status == http.StatusOK && a.body == "" || strings.Contains(a.body, "rule")
}

// noChecks reports what of the check endpoints, under whatever name, a client can
// ask on a host that is the pages' alone.
func (p *proxy) noChecks(t *testing.T, host string) {
	t.Helper()
	for _, target := range []string{"/auth/nginx", "/auth/forward", "/auth/envoy", "/auth/envoy/office", "/auth/%66orward", "/auth/forward?x", "/oauth2/auth", "/oauth2/auth?allowed_groups=", "/oauth2/%61uth",
		"/api/authz/forward-auth", "/api/authz/auth-request", "/api/authz/ext-authz", "/api/authz/ext-authz/office", "/api/verify", "/api/verify?rd=x", "/api/auth/nginx", "/api/auth/traefik", "/api/auth/caddy", "/api/auth/envoy?path=/office"} {
		a := p.send(t, request{target: target, host: host, sni: host, header: lies})
		if a.status != http.StatusNotFound && a.status != http.StatusForbidden || answersCheck(a) || a.passed {
			t.Errorf("%s%s: %d %v %s", host, target, a.status, a.header, a.body)
		}
	}
	for _, target := range []string{"//auth/forward", "/x/../auth/forward", "/auth/./forward", "/auth//forward", "/auth/x/../forward", "/auth%2fforward", "/AUTH/forward", "/auth/forward/", "/auth/forward;x", "/auth/envoy;/office",
		"//oauth2/auth", "/oauth2/../oauth2/auth", "/OAuth2/auth", "/", "/?x", "//"} {
		if a, err := p.try(request{target: target, host: host, sni: host, header: lies}); a.passed || err == nil && (answersCheck(a) || a.status == http.StatusUnauthorized) {
			t.Errorf("%s%s: %d %v %s", host, target, a.status, a.header, a.body)
		}
	}
}

// The check endpoints are the proxy's alone; what browsers need of other
// projects' paths stays. Security F-1.
func TestChecksAreNotPublic(t *testing.T) {
	each(t, func(t *testing.T, p *proxy) {
		p.noChecks(t, authHost)
		p.noChecks(t, otherAuth)
		for target, want := range map[string]string{"/oauth2/sign_in?rd=https://" + appHost + "/x": signInURL + "/signin?", "/oauth2/start?rd=https://" + appHost + "/x": signInURL + "/signin?", "/oauth2/sign_out": signInURL + "/signout?",
			"/?rd=https://" + appHost + "/x": signInURL + "/signin?", "/login?redirect_uri=https://" + appHost + "/x": signInURL + "/signin?", "/": signInURL + "/account", "/auth": signInURL + "/account",
			"/auth/callback/google": signInURL + "/", "/auth/signin": "", "/auth/session": "", "/ping": ""} {
			a := p.send(t, request{target: target, host: authHost, sni: authHost, header: []string{"Accept", acceptHTML}})
			if location := a.header.Get("Location"); want == "" && a.status != http.StatusOK || !strings.HasPrefix(location, want) {
				t.Errorf("%s: %d to %q", target, a.status, location)
			}
		}
	})
}

// Hosts in spellings that Gatepost might read as a host of its own, or as an
// open one, and the proxy as none: nothing passes to the first application.
func TestSpellingsOfHosts(t *testing.T) {
	each(t, func(t *testing.T, p *proxy) {
		for _, host := range []string{authHost + ".", "AUTH.example.org.", authHost + ".:443", "\uff41uth.example.org", "auth\u3002example.org", "\uff4fpen.example.org"} {
			for _, target := range []string{"/auth/x", "/auth", "/x"} {
				if a, err := p.try(request{target: target, host: host}); a.passed {
					t.Errorf("%s at %q passes: %v %+v", target, host, err, a.app)
				}
			}
		}
	})
}

// Gatepost under a path of the application's host: its pages are there, its
// checks are not, and all else is the application's, behind the gate.
func TestUnderOnePath(t *testing.T) {
	w := anotherWorld(t, "path", appHost, otherAuth)
	for _, kind := range kinds() {
		t.Run(kind, func(t *testing.T) {
			p := w.proxy(t, kind)
			if text, err := w.command("proxy-config", kind); err != nil || !strings.Contains(text, appHost) || strings.Contains(text, authHost) {
				t.Errorf("proxy-config: %v %s", err, text)
			}
			ada := p.browser(t)
			if a := ada.signIn("https://"+appHost+"/dashboard?tab=1", "1001"); a.app == nil || a.app.Target != "/dashboard?tab=1" || a.app.Header.Get("Remote-User") != "ada@example.org" {
				t.Fatalf("came back to %d %s", a.status, a.body)
			}
			grace := p.browser(t)
			grace.enter("https://"+appHost+"/x", "1002")
			p.handsOver(t)
			p.noChecks(t, otherAuth) // which is no application's

			for _, target := range []string{"/auth/nginx", "/auth/forward", "/auth/envoy", "/auth/envoy/office", "/auth/%66orward", "/auth/forward?x"} {
				for _, cookie := range []string{"", ada.cookie()} {
					a := p.send(t, withCookie(request{target: target, header: lies}, cookie))
					if a.status != http.StatusNotFound && a.status != http.StatusForbidden || answersCheck(a) || a.passed && cookie == "" {
						t.Errorf("%s: %d %v %s", target, a.status, a.header, a.body)
					}
				}
			}
			for _, target := range []string{"//auth/forward", "/x/../auth/forward", "/auth/./forward", "/auth//forward", "/auth%2fforward", "/AUTH/forward", "/auth/forward/", "/auth/forward;x",
				"/oauth2/auth", "/api/authz/forward-auth", "/api/authz/ext-authz/office", "/api/verify", "/api/auth/traefik", "/", "/authority", "/auth2", "/auth;x/y", "/%61uth/x", "/x/../auth/x", "//auth/x", "/auth/../admin", "/auth/..%2fadmin", "/auth%2f..%2fadmin",
				"/auth/..;/admin", "/auth/%2e%2e/admin", "/AUTH/../admin", `/auth/..\admin`} {
				if a, err := p.try(request{target: target, header: lies}); a.passed || err == nil && answersCheck(a) {
					t.Errorf("nobody: %s: %d %v %s", target, a.status, a.header, a.body)
				}
				if !strings.Contains(target, "admin") {
					continue
				}
				if a, _ := p.try(withCookie(request{target: target, header: lies}, grace.cookie())); a.passed {
					t.Errorf("no admin: %s: %d %v %s", target, a.status, a.header, a.body)
				}
			}
			for _, target := range []string{"/", "/authority", "/auth2", "/oauth2/auth", "/oauth2/sign_in", "/api/verify", "/api/authz/forward-auth", "/login"} {
				if a := p.send(t, withCookie(request{target: target}, ada.cookie())); a.app == nil || a.app.Target != target {
					t.Errorf("%s is not the application's: %d", target, a.status)
				}
			}
			for target, want := range map[string]string{"/auth": w.home() + "/account", "/auth/": w.home() + "/account", "/auth/account": w.home() + "/signin", "/auth/signin": "", "/auth/session": "", "/auth/.well-known/jwks.json": ""} {
				a := p.send(t, page(target))
				if location := a.header.Get("Location"); a.passed || want == "" && a.status != http.StatusOK || !strings.HasPrefix(location, want) {
					t.Errorf("%s: %d to %q", target, a.status, location)
				}
			}
			// The other application's paths are its own.
			if a := p.send(t, request{target: "/auth/signin", host: openHost, sni: openHost}); a.app == nil {
				t.Errorf("%s/auth/signin is not the application's: %d", openHost, a.status)
			}
			for _, host := range []string{appHost + ".", "\uff41pp.example.org"} {
				for _, target := range []string{"/auth/x", "/x"} {
					if a, err := p.try(request{target: target, host: host}); a.passed {
						t.Errorf("%s at %q passes: %v %+v", target, host, err, a.app)
					}
				}
			}
			ada.signOut()
			if a, location := ada.do("GET", "https://"+appHost+"/x", nil); location == nil || a.app != nil {
				t.Errorf("after signing out: %d", a.status)
			}
		})
	}
}
