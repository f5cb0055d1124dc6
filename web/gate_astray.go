package web

import (
	"net/http"
	"slices"
	"strings"
)

// foreignChecks are paths that end in a question without an answer: those of other
// projects' checks, by what is to be named under compat for them to be one here.
var foreignChecks = []struct{ path, compat string }{
	{"/oauth2/auth", "oauth2-proxy"}, {"/api/verify", "authelia"}, {"/api/authz", "authelia"},
	{"/api/auth/nginx", "tinyauth"}, {"/api/auth/traefik", "tinyauth"}, {"/api/auth/caddy", "tinyauth"}, {"/api/auth/envoy", "tinyauth"},
}

// astray tells the operator of a proxy that asks where no check is, because of
// another base_path or a forgotten compat: it answers everybody with an error of
// its own, and its log says nothing of why. Of the path only what we know is
// told.
func (p *checkpoint) astray(r *http.Request) {
	asks := has(r.Header, "X-Forwarded-Uri") || has(r.Header, "X-Original-Url") || has(r.Header, "X-Original-Uri")
	if !asks || !p.trusts(r.RemoteAddr) {
		return
	}
	say := func(path, next string) {
		p.warnAstray.Do(func() {
			p.Log.Warn("a proxy asks where no check is", "path", path, "peer", r.RemoteAddr, "next", next)
		})
	}
	for _, other := range foreignChecks {
		there := slices.ContainsFunc(p.Compat, func(name string) bool { return strings.HasPrefix(name, other.compat) })
		if !there && (r.URL.Path == other.path || strings.HasPrefix(r.URL.Path, other.path+"/")) {
			say(other.path, "name "+other.compat+" under compat, or have the proxy ask below "+p.BasePath)
			return
		}
	}
	for _, ours := range []string{"/nginx", "/forward", "/envoy"} {
		if strings.HasSuffix(r.URL.Path, ours) || ours == "/envoy" && strings.Contains(r.URL.Path, "/envoy/") {
			say("…"+ours, "have the proxy ask "+strings.TrimSuffix(p.BasePath, "/")+ours+": base_path is "+p.BasePath)
			return
		}
	}
}
