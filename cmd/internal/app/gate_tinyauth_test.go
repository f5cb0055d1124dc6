package app

import "testing"

// Forward-auth §10.3, tinyauth's row.
func TestTinyauth(t *testing.T) {
	s, ada, grace := compat(t, "tinyauth")
	back := "https://app.example.org/x?a=1"
	x, admin := forwarded("GET", back), forwarded("GET", "https://app.example.org/admin")
	points := "X-Tinyauth-Location: " + s.signIn(back)
	nginx := func(uri string, header ...string) []string {
		return append([]string{"X-Forwarded-Proto", "https", "X-Forwarded-Host", "app.example.org", "X-Forwarded-Uri", uri}, header...)
	}
	var rows []surfaceRow
	for _, proxy := range []string{"traefik", "caddy"} {
		path := "/api/auth/" + proxy
		rows = append(rows,
			surfaceRow{proxy + ", nobody", path, with(x, browses), 302, back, ""},
			surfaceRow{proxy + ", nobody, a form", path, with(forwarded("POST", "https://app.example.org/x"), browses), 303, "https://app.example.org/", ""},
			surfaceRow{proxy + ", nobody, a script", path, x, 401, "", points},
			surfaceRow{proxy + ", nobody, a script, in JSON", path, x, 401, "", `"message":"Unauthorized"`},
			surfaceRow{proxy + ", a User-Agent is no browser", path, with(x, []string{"User-Agent", "Mozilla/5.0 Gecko Chrome"}), 401, "", points},
			surfaceRow{proxy + ", allowed", path, with(x, []string{"ada"}), 200, "", "Remote-User: ada@example.org"},
			surfaceRow{proxy + ", subject", path, with(x, []string{"ada"}), 200, "", "Remote-Sub: 1"},
			surfaceRow{proxy + ", an application's own password", path, with(x, []string{"ada", "Authorization", "Basic YTpi"}), 200, "", "Authorization: Basic YTpi"},
			surfaceRow{proxy + ", denied", path, with(admin, browses, []string{"grace"}), 403, "", "You may not open this"},
			surfaceRow{proxy + ", a client's X-Original-URL", path, with(x, []string{"X-Original-URL", "https://app.example.org/open"}), 401, "", points},
			surfaceRow{proxy + ", no URI", path, []string{"X-Forwarded-Method", "GET", "X-Forwarded-Host", "app.example.org", "X-Forwarded-Proto", "https"}, 400, "", "X-Forwarded-Uri"},
		)
	}
	s.try(t, ada, grace, append(rows, []surfaceRow{
		{"envoy, nobody", "/api/auth/envoy?path=/x?a=1", with([]string{"Host", "app.example.org", "X-Forwarded-Proto", "https"}, browses), 302, back, ""},
		{"envoy, nobody, a script", "/api/auth/envoy?path=/x?a=1", []string{"Host", "app.example.org"}, 401, "", points},
		{"envoy, allowed", "POST /api/auth/envoy?path=/x", []string{"Host", "app.example.org", "ada"}, 200, "", "Remote-Sub: 1"},
		{"envoy, denied", "/api/auth/envoy?path=/admin", []string{"Host", "app.example.org", "grace"}, 403, "", "the back office"},
		{"envoy, the client's query is the application's", "/api/auth/envoy?path=/admin&path=/open", []string{"Host", "app.example.org"}, 401, "", ""},
		{"envoy, an escaped path is the client's", "/api/auth/envoy?path=/%61dmin", []string{"Host", "app.example.org", "grace"}, 403, "", "the back office"},
		{"envoy, no path", "/api/auth/envoy", []string{"Host", "app.example.org"}, 400, "", "path_prefix"},
		{"envoy, another parameter first", "/api/auth/envoy?x=1&path=/open", []string{"Host", "app.example.org"}, 400, "", "path_prefix"},
		{"envoy, X-Forwarded-Uri is not read", "/api/auth/envoy?path=/admin", with(forwarded("GET", "https://app.example.org/open"), []string{"Host", "app.example.org"}), 401, "", ""},

		{"nginx, nobody", "/api/auth/nginx", with(nginx("/x?a=1"), browses), 401, "", points},
		{"nginx, nobody, by X-Original-URL", "/api/auth/nginx", with([]string{"X-Original-URL", back}, browses), 401, "", points},
		{"nginx, allowed", "/api/auth/nginx", nginx("/x", "ada"), 200, "", "Remote-User: ada@example.org"},
		{"nginx, allowed, by X-Original-URL", "/api/auth/nginx", []string{"X-Original-URL", back, "ada"}, 200, "", ""},
		{"nginx, denied", "/api/auth/nginx", nginx("/admin", "grace"), 403, "", "the back office"},
		{"nginx, a client's X-Original-URL", "/api/auth/nginx", nginx("/admin", "X-Original-URL", "https://app.example.org/open"), 400, "", "different targets"},
		{"nginx, a client's X-Forwarded-Uri", "/api/auth/nginx", []string{"X-Original-URL", "https://app.example.org/admin", "X-Forwarded-Uri", "/open"}, 400, "", "different targets"},
		{"nginx, a client's X-Forwarded-Host", "/api/auth/nginx", []string{"X-Original-URL", "https://app.example.org/x", "X-Forwarded-Host", "open.example.org"}, 400, "", "different targets"},
		{"nginx, a client's word on a preflight", "/api/auth/nginx", nginx("/api", "X-Forwarded-Method", "OPTIONS", "X-Original-Method", "OPTIONS", "Origin", "https://o.example", "Access-Control-Request-Method", "PUT"), 401, "", ""},
		{"nginx, no host", "/api/auth/nginx", []string{"X-Forwarded-Proto", "https", "X-Forwarded-Uri", "/x"}, 400, "", "X-Forwarded-Host"},

		{"login", "/login?redirect_uri=https%3A%2F%2Fapp.example.org%2Fx%3Fa%3D1&login_for=app", nil, 302, back, ""},
		{"login, not escaped", "/login?redirect_uri=https://app.example.org/x?a=1", nil, 302, back, ""},
		{"login, elsewhere", "/login?redirect_uri=https%3A%2F%2Fevil.example", nil, 302, "none", ""},
	}...))
}

// tinyauth's nginx example tells no address, so a client's own is not believed.
func TestTinyauthNginxKnowsNoNetwork(t *testing.T) {
	s := guarded(t, func(c *Config) {
		c.Compat = List{"tinyauth"}
		c.Gate.Rules = []RuleConfig{
			{Network: List{"192.0.2.0/24"}, Allow: &Who{Atom: "public"}},
			{Allow: &Who{Atom: "signed-in"}},
		}
	})
	asks := with(forwarded("GET", "https://app.example.org/x"), []string{"X-Forwarded-For", "192.0.2.9", "X-Real-IP", "192.0.2.9"})
	if p := s.ask("GET", "/api/auth/nginx", asks...); p.status != 401 {
		t.Errorf("nginx: %d", p.status)
	}
	if p := s.ask("GET", "/api/auth/traefik", asks...); p.status != 200 {
		t.Errorf("traefik: %d", p.status)
	}
}
