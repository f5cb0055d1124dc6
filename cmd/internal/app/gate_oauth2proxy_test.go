package app

import (
	"net/http"
	"strings"
	"testing"
)

// Forward-auth §10.1, as Traefik and Caddy ask.
func TestOAuth2Proxy(t *testing.T) {
	s, ada, grace := compat(t, "oauth2-proxy")
	x, admin, open := forwarded("GET", "https://app.example.org/x?a=1"), forwarded("GET", "https://app.example.org/admin"), forwarded("GET", "https://app.example.org/open")
	s.try(t, ada, grace, []surfaceRow{
		{"no session", "/oauth2/auth", with(x, browses), 401, "", "Unauthorized"},
		{"no session, a script", "/oauth2/auth", x, 401, "", "Unauthorized"},
		{"session", "/oauth2/auth", with(x, []string{"ada"}), 200, "", "X-Auth-Request-Email: ada@example.org"},
		{"session, GAP-Auth", "/oauth2/auth", with(x, []string{"ada"}), 200, "", "Gap-Auth: ada@example.org"},
		{"session, user", "/oauth2/auth", with(x, []string{"ada"}), 200, "", "X-Auth-Request-User: 1"},
		{"session, groups", "/oauth2/auth", with(x, []string{"ada"}), 200, "", "X-Forwarded-Groups: admins"},
		{"session, name", "/oauth2/auth", with(x, []string{"ada"}), 200, "", "X-Auth-Request-Preferred-Username: Ada Lovelace"},
		{"session, POST", "POST /oauth2/auth", with(x, []string{"ada"}), 200, "", ""},
		{"session, HEAD", "HEAD /oauth2/auth", with(x, []string{"ada"}), 200, "", ""},
		{"rules decide", "/oauth2/auth", with(admin, []string{"grace"}), 403, "", "the back office"},
		{"public", "/oauth2/auth", open, 200, "", "X-Auth-Request-Email: "},
		{"allowed_groups", "/oauth2/auth?allowed_groups=x,admins", with(x, []string{"ada"}), 200, "", ""},
		{"allowed_groups, not in one", "/oauth2/auth?allowed_groups=x,admins", with(x, []string{"grace"}), 403, "", "allowed_groups"},
		{"allowed_groups, no session", "/oauth2/auth?allowed_groups=admins", with(x, browses), 401, "", ""},
		{"allowed_groups on what is public", "/oauth2/auth?allowed_groups=admins", with(open, []string{"grace"}), 200, "", ""},
		{"allowed_groups do not widen", "/oauth2/auth?allowed_emails=grace@example.org", with(admin, []string{"grace"}), 403, "", "the back office"},
		{"allowed_groups twice", "/oauth2/auth?allowed_groups=admins&allowed_groups=x", with(x, []string{"ada"}), 403, "", "allowed_groups"},
		{"allowed_groups with nothing in it", "/oauth2/auth?allowed_groups=", with(x, []string{"ada"}), 403, "", "allowed_groups"},
		{"allowed_groups that the standard library drops", "/oauth2/auth?allowed_groups=x;y", with(x, []string{"ada"}), 403, "", "allowed_groups"},
		{"allowed_groups by another spelling", "/oauth2/auth?allowed%5Fgroups=x", with(x, []string{"ada"}), 403, "", "allowed_groups"},
		{"allowed_groups that cannot be read", "/oauth2/auth?allowed_groups=%zz", with(x, []string{"ada"}), 400, "", "cannot be read"},
		{"allowed_emails", "/oauth2/auth?allowed_emails=Ada@example.org", with(x, []string{"ada"}), 200, "", ""},
		{"allowed_emails, another", "/oauth2/auth?allowed_emails=grace@example.org", with(x, []string{"ada"}), 403, "", "allowed_emails"},
		{"allowed_email_domains", "/oauth2/auth?allowed_email_domains=.example.org", with(x, []string{"ada"}), 200, "", ""},
		{"allowed_email_domains, another", "/oauth2/auth?allowed_email_domains=ample.org", with(x, []string{"ada"}), 403, "", "allowed_email_domains"},
		{"all conditions", "/oauth2/auth?allowed_groups=admins&allowed_emails=ada@example.org&allowed_email_domains=example.com", with(x, []string{"ada"}), 403, "", "allowed_email_domains"},
		{"of the client, by Caddy", "/oauth2/auth?a=1;b=2&rd=x", with(x, []string{"ada"}), 200, "", ""},
		{"a robot is nobody", "/oauth2/auth", with(forwarded("GET", "https://app.example.org/robots.txt"), []string{"User-Agent", "GoogleHC/1.0"}), 401, "", ""},
		{"as nginx asks", "/oauth2/auth", []string{"Host", "app.example.org", "X-Real-IP", "192.0.2.1", "X-Forwarded-Uri", "/x", "ada"}, 400, "", "oauth2-proxy-nginx"},
		{"two URIs", "/oauth2/auth", with(x, []string{"X-Forwarded-Uri", "/open"}), 400, "", "2 times"},
		{"X-Original-URL is not read", "/oauth2/auth", with(x, []string{"X-Original-URL", "https://app.example.org/open"}), 401, "", ""},

		{"/, no session", "/", with(x, browses), 302, "https://app.example.org/x?a=1", ""},
		{"/, no session, a form", "/", with(forwarded("POST", "https://app.example.org/x"), browses), 303, "https://app.example.org/", ""},
		{"/, no session, a script", "/", x, 401, "", ""},
		{"/, session", "/", with(x, []string{"ada"}), 200, "", "X-Auth-Request-Email: ada@example.org"},
		{"/, denied", "/", with(admin, browses, []string{"grace"}), 403, "", "You may not open this"},
		{"/, conditions", "/?allowed_groups=admins", with(x, []string{"grace"}), 403, "", "allowed_groups"},

		{"sign_in", "/oauth2/sign_in?rd=https%3A%2F%2Fapp.example.org%2Fx%3Fa%3D1%26b%3D2", nil, 302, "https://app.example.org/x?a=1&b=2", "Continue"},
		{"start", "/oauth2/start?rd=https%3A%2F%2Fapp.example.org%2Fx", nil, 302, "https://app.example.org/x", ""},
		{"sign_in, not escaped", "/oauth2/sign_in?rd=https://app.example.org/x?a=1&b=%26", nil, 302, "https://app.example.org/x?a=1&b=%26", ""},
		{"sign_in, a path", "/oauth2/sign_in?rd=/x%3Fa%3D1", []string{"X-Forwarded-Host", "app.example.org", "X-Forwarded-Proto", "https"}, 302, "https://app.example.org/x?a=1", ""},
		{"sign_in, by header", "/oauth2/sign_in", []string{"X-Forwarded-Host", "app.example.org", "X-Forwarded-Proto", "https", "X-Auth-Request-Redirect", "/x"}, 302, "https://app.example.org/x", ""},
		{"sign_in, rd before the header", "/oauth2/sign_in?rd=/y", []string{"X-Forwarded-Host", "app.example.org", "X-Forwarded-Proto", "https", "X-Auth-Request-Redirect", "/x"}, 302, "https://app.example.org/y", ""},
		{"sign_in, elsewhere", "/oauth2/sign_in?rd=https%3A%2F%2Fevil.example%2F", []string{"X-Forwarded-Host", "app.example.org", "X-Forwarded-Proto", "https"}, 302, "https://app.example.org/", ""},
		{"sign_in, elsewhere by host", "/oauth2/sign_in?rd=/x", []string{"X-Forwarded-Host", "evil.example", "X-Forwarded-Proto", "https"}, 302, "none", ""},
		{"sign_in, elsewhere by two slashes", "/oauth2/sign_in?rd=//evil.example/", nil, 302, s.URL + "/", ""},
		{"sign_in, elsewhere by userinfo", "/oauth2/sign_in?rd=https://app.example.org@evil.example/", nil, 302, s.URL + "/", ""},
		{"sign_in leads not to itself", "/oauth2/sign_in?rd=/oauth2/sign_in", []string{"X-Forwarded-Host", "app.example.org", "X-Forwarded-Proto", "https", "X-Auth-Request-Redirect", "/oauth2/sign_in?rd=/oauth2/sign_in"}, 302, "https://app.example.org/", ""},
		{"sign_in, a status over it", "/oauth2/sign_in?rd=https://app.example.org/x", nil, 302, "https://app.example.org/x", "Refresh: 0; url=" + s.signIn("https://app.example.org/x")},

		{"userinfo, no session", "/oauth2/userinfo", nil, 401, "", "Unauthorized"},
		{"userinfo", "/oauth2/userinfo", []string{"ada"}, 200, "", `{"user":"1","email":"ada@example.org","groups":["admins"],"preferredUsername":"Ada Lovelace"}`},
		{"ping", "/ping", nil, 200, "", "OK"},
		{"ready", "/ready", nil, 200, "", "OK"},
		{"robots", "/robots.txt", nil, 200, "", "Disallow"},
	})

	// No sign-out by GET (security C-4): a page asks.
	p := s.ask("GET", "/oauth2/sign_out?rd=https%3A%2F%2Fapp.example.org%2Fbye", "Cookie", ada)
	if p.status != http.StatusFound || p.location != s.URL+"/auth/signout?callbackUrl=https%3A%2F%2Fapp.example.org%2Fbye" || p.header.Get("Set-Cookie") != "" {
		t.Errorf("sign_out: %d %q %v", p.status, p.location, p.header)
	}
	if p := s.ask("GET", "/oauth2/auth", with(x, []string{"Cookie", ada})...); p.status != 200 {
		t.Errorf("sign_out by GET ended the session: %d", p.status)
	}
	// A browser at / wants a page, and that is no answer which lets pass.
	if p := s.ask("GET", "/", "Cookie", ada, "X-Forwarded-Host", "auth.example.org"); p.location != s.URL+"/auth/account" {
		t.Errorf("a browser at /: %d %q", p.status, p.location)
	}
	if p := s.ask("GET", "/oauth2/auth", with(x, []string{"Cookie", ada})...); strings.Contains(p.header.Get("Remote-User"), "ada") {
		t.Error("tells more than oauth2-proxy does")
	}
}

// As nginx's auth_request asks: Host, X-Real-IP and X-Forwarded-Uri are the
// proxy's, and whatever else a client sends comes through.
func TestOAuth2ProxyNginx(t *testing.T) {
	s := guarded(t, func(c *Config) {
		c.Compat = List{"oauth2-proxy-nginx"}
		c.Gate.Rules = []RuleConfig{
			{Host: List{"app.example.org"}, Path: List{"/read"}, Method: List{"GET"}, Allow: &Who{Atom: "public"}},
			{Host: List{"app.example.org"}, Path: List{"/intranet"}, Network: List{"192.0.2.0/24"}, Allow: &Who{Atom: "public"}},
			{Host: List{"app.example.org"}, Path: List{"/write"}, Method: List{"POST"}, Allow: &Who{Atom: "group:admins"}},
			{Host: List{"app.example.org"}, Path: List{"/api"}, Allow: &Who{Atom: "signed-in"}, Preflight: "allow"},
			{Host: List{"open.example.org"}, Allow: &Who{Atom: "public"}},
			{Host: List{"app.example.org"}, Allow: &Who{Atom: "signed-in"}},
		}
	})
	a, g := s.browser(), s.browser()
	a.get(a.answer("google", "1001"))
	g.get(g.answer("google", "1002"))
	asks := func(uri string, header ...string) []string {
		return append([]string{"Host", "app.example.org", "X-Real-IP", "198.51.100.7", "X-Forwarded-Uri", uri}, header...)
	}
	s.try(t, a.cookie(), g.cookie(), []surfaceRow{
		{"no session", "/oauth2/auth", asks("/x", browses...), 401, "", "Unauthorized"},
		{"session", "/oauth2/auth", asks("/x", "ada"), 200, "", "X-Auth-Request-User: 1"},
		{"the host is that of Host", "/oauth2/auth", []string{"Host", "open.example.org", "X-Forwarded-Uri", "/x"}, 200, "", ""},
		{"a client's X-Forwarded-Host", "/oauth2/auth", asks("/x", "X-Forwarded-Host", "open.example.org"), 400, "", "X-Forwarded-Host"},
		{"the same X-Forwarded-Host, from a proxy before", "/oauth2/auth", asks("/x", "X-Forwarded-Host", "APP.example.org:443", "ada"), 200, "", ""},
		{"two X-Forwarded-Hosts", "/oauth2/auth", asks("/x", "X-Forwarded-Host", "app.example.org", "X-Forwarded-Host", "app.example.org"), 400, "", ""},
		{"a client's X-Original-URL", "/oauth2/auth", asks("/x", "X-Original-URL", "https://open.example.org/x"), 401, "", ""},
		{"an alias", "/oauth2/auth", asks("/x", "X_Forwarded_Uri", "/open"), 400, "", "another spelling"},
		{"no URI, as examples before 7.6", "/oauth2/auth", []string{"Host", "app.example.org", "X-Real-IP", "198.51.100.7", "ada"}, 400, "", "proxy_set_header X-Forwarded-Uri"},
		{"unknown method, granted for one", "/oauth2/auth", asks("/read"), 401, "", ""},
		{"a client's word on the method", "/oauth2/auth", asks("/read", "X-Forwarded-Method", "GET"), 401, "", ""},
		{"unknown method, restricted for one", "/oauth2/auth", asks("/write", "grace"), 403, "", "rule 3"},
		{"unknown method, in the group", "/oauth2/auth", asks("/write", "ada"), 200, "", ""},
		{"a client's word on a preflight", "/oauth2/auth", asks("/api", "Origin", "https://o.example", "Access-Control-Request-Method", "PUT", "X-Forwarded-Method", "OPTIONS"), 401, "", ""},
		{"from the network", "/oauth2/auth", []string{"Host", "app.example.org", "X-Real-IP", "192.0.2.9", "X-Forwarded-Uri", "/intranet"}, 200, "", ""},
		{"a client's X-Forwarded-For", "/oauth2/auth", asks("/intranet", "X-Forwarded-For", "192.0.2.9"), 401, "", ""},
		{"two addresses", "/oauth2/auth", asks("/intranet", "X-Real-IP", "192.0.2.9"), 400, "", "2 times"},
		{"an address that is none", "/oauth2/auth", []string{"Host", "app.example.org", "X-Real-IP", "x", "X-Forwarded-Uri", "/x"}, 400, "", "no address"},
		{"conditions", "/oauth2/auth?allowed_groups=admins", asks("/x", "grace"), 403, "", "allowed_groups"},
		{"sign_in by error_page, where the URI is the application's", "/oauth2/sign_in", []string{"Host", "app.example.org", "X-Forwarded-Proto", "https", "X-Auth-Request-Redirect", "/x?a=1"}, 302, "https://app.example.org/x?a=1", "Continue"},
	})
	if p := s.ask("GET", "/", asks("/x", "Cookie", a.cookie())...); p.status != http.StatusFound {
		t.Errorf("/ is a check: %d", p.status)
	}
}

// As ingress-nginx asks, by X-Original-URL and -Method; the Host is ours then.
func TestOAuth2ProxyIngress(t *testing.T) {
	s, ada, grace := compat(t, "oauth2-proxy-ingress-nginx")
	asks := func(target string, header ...string) []string {
		return append([]string{"Host", "oauth2-proxy.auth.svc", "X-Original-URL", target, "X-Original-Method", "GET", "X-Real-IP", "198.51.100.7", "X-Forwarded-For", "198.51.100.7", "X-Auth-Request-Redirect", "/x"}, header...)
	}
	s.try(t, ada, grace, []surfaceRow{
		{"no session", "/oauth2/auth", asks("https://app.example.org/x", browses...), 401, "", "Unauthorized"},
		{"session", "/oauth2/auth", asks("https://app.example.org/x", "ada"), 200, "", "X-Auth-Request-Email: ada@example.org"},
		{"denied", "/oauth2/auth?allowed_groups=admins", asks("https://app.example.org/x", "grace"), 403, "", "allowed_groups"},
		{"a client's X-Forwarded-Uri", "/oauth2/auth", asks("https://app.example.org/x", "X-Forwarded-Uri", "/open", "X-Forwarded-Host", "app.example.org"), 401, "", ""},
		{"auth-signin", "/oauth2/start?rd=%2Fx%3Fa%3D1", []string{"Host", "app.example.org", "X-Forwarded-Proto", "https", "X-Forwarded-Host", "app.example.org"}, 302, "https://app.example.org/x?a=1", ""},
	})
}
