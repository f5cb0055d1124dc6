package app

import (
	"testing"
)

// traefik is what its ForwardAuth middleware sends to address, as recorded: the
// client's headers, its own in place of the client's, and Host of the address.
func traefik(method, target, address string, client ...string) []string {
	return with(forwarded(method, target), []string{"Host", address, "X-Forwarded-Port", "443", "X-Forwarded-Server", "edge", "X-Forwarded-For", "198.51.100.7", "X-Real-Ip", "198.51.100.7", "Accept-Encoding", "gzip"}, client)
}

// The documented configurations of Traefik, as the requests that it makes.
func TestTraefikAsRecorded(t *testing.T) {
	page := []string{"Accept", "text/html,*/*;q=0.8", "Sec-Fetch-Mode", "navigate", "User-Agent", "Mozilla/5.0"}
	script := []string{"Accept", "application/json", "User-Agent", "Go-http-client/1.1"}
	back := "https://app.example.org/x?a=1&b=2"
	for _, tt := range []struct{ name, address, path, location string }{
		{"oauth2-proxy", "oauth.example.org", "/oauth2/auth", ""},
		{"oauth2-proxy", "oauth.example.org", "/", back},
		{"oauth2-proxy", "oauth2-proxy:4180", "/", back},
		{"authelia", "authelia:9091", "/api/authz/forward-auth", back},
		{"authelia", "authelia:9091", "/api/authz/forward-auth?authelia_url=https%3A%2F%2Fauth.example.org%2F", back},
		{"authelia", "authelia:9091", "/api/verify?rd=https%3A%2F%2Fauth.example.org%2F", back},
		{"tinyauth", "tinyauth:3000", "/api/auth/traefik", back},
	} {
		t.Run(tt.name+tt.path, func(t *testing.T) {
			s, ada, grace := compat(t, tt.name)
			nobody := 302
			if tt.location == "" {
				nobody = 401
			}
			scripts := ""
			if tt.name == "authelia" {
				scripts = tt.location
			}
			asks := func(method, target string, client ...string) []string {
				return traefik(method, target, tt.address, client...)
			}
			s.try(t, ada, grace, []surfaceRow{
				{"nobody", tt.path, asks("GET", back, page...), nobody, tt.location, ""},
				{"nobody, a script", tt.path, asks("GET", back, script...), 401, scripts, ""},
				{"signed in", tt.path, asks("GET", back, with(page, []string{"ada"})...), 200, "", ""},
				{"signed in, a form", tt.path, asks("POST", back, with(page, []string{"ada"})...), 200, "", ""},
				{"signed in, a socket", tt.path, asks("GET", "wss://app.example.org/x", "ada", "Sec-WebSocket-Key", "x"), 200, "", ""},
				{"not in the group", tt.path, asks("GET", "https://app.example.org/admin", with(page, []string{"grace"})...), 403, "", ""},
				{"a client's X-Original-URL", tt.path, asks("GET", "https://app.example.org/admin", with(page, []string{"grace", "X-Original-Url", "https://app.example.org/admin", "X-Original-Method", "GET", "X-Original-Uri", "/open"})...), 403, "", ""},
				{"a client's underscores", tt.path, asks("GET", "https://app.example.org/admin", with(page, []string{"grace", "X_Forwarded_Uri", "/open"})...), 400, "", ""},
			})
		})
	}

	// The errors middleware asks for the page with the refused request's headers.
	s, _, _ := compat(t, "oauth2-proxy")
	p := s.ask("GET", "/oauth2/sign_in?rd=https%3A%2F%2Fapp.example.org%2Fx%3Fa%3D1%26b%3D2", with(page, []string{"Host", "app.example.org", "X-Forwarded-Host", "app.example.org", "X-Forwarded-Proto", "https"})...)
	if p.location != s.signIn(back) || p.header.Get("Refresh") != "0; url="+s.signIn(back) {
		t.Errorf("the page for 401: %d %v", p.status, p.header)
	}
}
