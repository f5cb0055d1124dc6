package app

import "testing"

// Forward-auth §10.2.
func TestAuthelia(t *testing.T) {
	s, ada, grace := compat(t, "authelia")
	x, admin := forwarded("GET", "https://app.example.org/x?a=1"), forwarded("GET", "https://app.example.org/admin")
	original := func(method, target string) []string {
		return []string{"X-Original-URL", target, "X-Original-Method", method}
	}
	back := "https://app.example.org/x?a=1"
	s.try(t, ada, grace, []surfaceRow{
		{"forward-auth, nobody", "/api/authz/forward-auth", with(x, browses), 302, back, ""},
		{"forward-auth, nobody, HEAD asked by HAProxy", "HEAD /api/authz/forward-auth", with(x, browses), 302, back, ""},
		{"forward-auth, nobody, OPTIONS", "/api/authz/forward-auth", with(forwarded("OPTIONS", "https://app.example.org/x"), browses), 302, "https://app.example.org/", ""},
		{"forward-auth, nobody, a form", "/api/authz/forward-auth", with(forwarded("POST", "https://app.example.org/x"), browses, []string{"Referer", "https://app.example.org/f"}), 303, "https://app.example.org/f", ""},
		{"forward-auth, nobody, a script", "/api/authz/forward-auth", x, 401, back, "Www-Authenticate: Bearer realm=\"gatepost\""},
		{"forward-auth, nobody, XHR", "/api/authz/forward-auth", with(x, browses, []string{"X-Requested-With", "XMLHttpRequest"}), 401, back, ""},
		{"forward-auth, a password", "/api/authz/forward-auth", with(x, browses, []string{"Authorization", "Basic YTpi"}), 401, back, "Www-Authenticate: Bearer realm=\"gatepost\""},
		{"forward-auth, an unknown token", "/api/authz/forward-auth", with(x, browses, []string{"Authorization", "Bearer x"}), 401, back, ""},
		{"forward-auth, allowed", "/api/authz/forward-auth", with(x, []string{"ada"}), 200, "", "Remote-User: ada@example.org"},
		{"forward-auth, groups", "/api/authz/forward-auth", with(x, []string{"ada"}), 200, "", "Remote-Groups: admins"},
		{"forward-auth, public", "/api/authz/forward-auth", forwarded("GET", "https://app.example.org/open"), 200, "", "Remote-User: "},
		{"forward-auth, denied", "/api/authz/forward-auth", with(admin, browses, []string{"grace"}), 403, "", "You may not open this"},
		{"forward-auth, the portal is ours", "/api/authz/forward-auth?authelia_url=https%3A%2F%2Fevil.example%2F", with(x, browses), 302, back, ""},
		{"forward-auth, no method", "/api/authz/forward-auth", []string{"X-Forwarded-Proto", "https", "X-Forwarded-Host", "app.example.org", "X-Forwarded-Uri", "/x"}, 400, "", "X-Forwarded-Method"},
		{"forward-auth, of nginx", "/api/authz/forward-auth", original("GET", back), 400, "", "endpoint nginx"},

		{"auth-request, nobody", "/api/authz/auth-request", with(original("GET", back), browses), 401, back, ""},
		{"auth-request, nobody, a script", "/api/authz/auth-request", original("GET", back), 401, back, ""},
		{"auth-request, allowed", "/api/authz/auth-request", with(original("GET", back), []string{"ada"}), 200, "", "Remote-Email: ada@example.org"},
		{"auth-request, denied", "/api/authz/auth-request", with(original("GET", "https://app.example.org/admin"), browses, []string{"grace"}), 403, "", "the back office"},
		{"auth-request, no method", "/api/authz/auth-request", []string{"X-Original-URL", back}, 400, "", "X-Original-Method"},
		{"auth-request, of Traefik", "/api/authz/auth-request", x, 400, "", "endpoint forward"},

		{"ext-authz, nobody", "/api/authz/ext-authz/x?a=1", with([]string{"Host", "app.example.org", "X-Forwarded-Proto", "https"}, browses), 302, back, ""},
		{"ext-authz, nobody, a form", "POST /api/authz/ext-authz/x", with([]string{"Host", "app.example.org", "X-Forwarded-Proto", "https"}, browses), 303, "https://app.example.org/", ""},
		{"ext-authz, a script", "/api/authz/ext-authz/x?a=1", []string{"Host", "app.example.org"}, 401, back, ""},
		{"ext-authz, allowed", "/api/authz/ext-authz/x", []string{"Host", "app.example.org", "ada"}, 200, "", "Remote-Name: Ada Lovelace"},
		{"ext-authz, denied", "/api/authz/ext-authz/admin", []string{"Host", "app.example.org", "grace"}, 403, "", "the back office"},
		{"ext-authz, the root", "/api/authz/ext-authz/", []string{"Host", "app.example.org", "ada"}, 200, "", ""},
		{"ext-authz, the portal is ours", "/api/authz/ext-authz/x?a=1", with([]string{"Host", "app.example.org", "X-Authelia-URL", "https://evil.example/"}, browses), 302, back, ""},
		{"ext-authz does not read X-Forwarded-Uri", "/api/authz/ext-authz/admin", []string{"Host", "app.example.org", "X-Forwarded-Uri", "/open", "X-Forwarded-Host", "app.example.org"}, 401, "https://app.example.org/admin", ""},

		{"verify, nobody", "/api/verify", with(x, browses), 401, "", ""},
		{"verify, nobody, rd", "/api/verify?rd=https%3A%2F%2Fauth.example.org%2F", with(x, browses), 302, back, ""},
		{"verify, rd is no place to go", "/api/verify?rd=https%3A%2F%2Fevil.example%2F", with(x, browses), 302, back, ""},
		{"verify, nobody, rd, a script", "/api/verify?rd=https%3A%2F%2Fauth.example.org%2F", x, 401, back, ""},
		{"verify, allowed, of Traefik", "/api/verify", with(x, []string{"ada"}), 200, "", "Remote-User: ada@example.org"},
		{"verify, allowed, of nginx", "/api/verify", with(original("GET", back), []string{"ada"}), 200, "", ""},
		{"verify, both as nginx's example", "/api/verify", with(original("GET", back), x, []string{"ada"}), 200, "", ""},
		{"verify, nginx with X-Forwarded-Method only", "/api/verify", []string{"X-Original-URL", back, "X-Forwarded-Method", "GET", "ada"}, 200, "", ""},
		{"verify, denied", "/api/verify", with(admin, []string{"grace"}), 403, "", ""},
		{"verify, a client's X-Original-URL", "/api/verify", with(admin, []string{"X-Original-URL", "https://app.example.org/open"}), 400, "", "different targets"},
		{"verify, a client's X-Original-URL with another host", "/api/verify", with(admin, []string{"X-Original-URL", "https://open.example.org/admin"}), 400, "", "different targets"},
		{"verify, a client's X-Forwarded-Uri", "/api/verify", with(original("GET", "https://app.example.org/admin"), []string{"X-Forwarded-Uri", "/open"}), 400, "", "different targets"},
		{"verify, a client's method", "/api/verify", with(forwarded("POST", "https://app.example.org/x"), original("GET", "https://app.example.org/x")), 400, "", "differ"},
		{"verify, no method", "/api/verify", []string{"X-Original-URL", back}, 400, "", "X-Original-Method"},
		{"verify, passwords", "/api/verify?auth=basic", with(x, []string{"ada"}), 400, "", "no passwords"},

		{"the portal", "/?rd=https%3A%2F%2Fapp.example.org%2Fx%3Fa%3D1&rm=GET", nil, 302, back, ""},
		{"the portal, not escaped", "/?rd=https://app.example.org/x?a=1", nil, 302, back, ""},
		{"the portal, elsewhere", "/?rd=https%3A%2F%2Fevil.example%2F", nil, 302, "none", ""},
	})
}

// What a session cookie does not reach is 400, as in Authelia.
func TestAutheliaHosts(t *testing.T) {
	s := guarded(t, func(c *Config) {
		c.PublicURL, c.Dev, c.Cookie.Domain = "https://auth.example.org", false, "example.org"
		c.Compat = List{"authelia"}
		c.Gate.Rules = []RuleConfig{{Allow: &Who{Atom: "public"}}}
	})
	for _, tt := range []struct {
		target, want string
		status       int
	}{
		{"https://app.example.org/", "", 200},
		{"https://example.org/", "", 200},
		{"wss://app.example.org/", "", 200},
		{"http://app.example.org/", "not https", 400},
		{"ws://app.example.org/", "not https", 400},
		{"https://app.example.com/", "outside cookie.domain", 400},
		{"https://evil-example.org/", "outside cookie.domain", 400},
	} {
		s.try(t, "", "", []surfaceRow{
			{"forward-auth " + tt.target, "/api/authz/forward-auth", forwarded("GET", tt.target), tt.status, "", tt.want},
			{"auth-request " + tt.target, "/api/authz/auth-request", []string{"X-Original-URL", tt.target, "X-Original-Method", "GET"}, tt.status, "", tt.want},
			{"verify " + tt.target, "/api/verify", forwarded("GET", tt.target), tt.status, "", tt.want},
		})
	}
}
