package probe

// kinds are the proxies that there are remedies for.
var kinds = []string{"nginx", "caddy", "haproxy", "apache", "traefik", "envoy"}

// topic is one kind of attempt: what is said when all is well, and the line that
// closes it, by proxy.
type topic struct {
	name, fine string
	lines      map[string]string
}

// remedy is the line for a proxy. {name} stands for the header's name.
func (t topic) remedy(kind string) string {
	if line := t.lines[kind]; line != "" {
		return line
	}
	return "see docs/proxies/" + kind + ".md"
}

var guard = topic{"guard", "nothing closed arrives for nobody", map[string]string{
	"nginx":   "auth_request /_gatepost;   at the level of the server, and no «auth_request off» or «return» below it",
	"caddy":   "forward_auth …   before every reverse_proxy, in one route",
	"haproxy": "http-request deny deny_status 503 unless sign_in || { var(txn.gatepost_passed) -m bool }   behind http-request lua.gatepost",
	"apache":  `<Location "/"> LuaHookAccessChecker /etc/apache2/gatepost.lua check early </Location>`,
	"traefik": "middlewares: [gatepost]   on this router",
	"envoy":   "failure_mode_allow: false   and no ExtAuthzPerRoute that disables the filter here",
}}

var spoof = topic{"identity", "no identity header of a client arrives", map[string]string{
	"nginx":   `proxy_set_header {name} "";   beside the others, in every location with a proxy_set_header of its own`,
	"caddy":   "request_header -{name}   in the route, before forward_auth",
	"haproxy": "http-request del-header {name}   before http-request lua.gatepost",
	"apache":  "RequestHeader unset {name} early",
	"traefik": `authResponseHeadersRegex: "(?i)^(remote-|x-auth-request-|x-gatepost-|…)"   with {name} in it`,
	"envoy":   "early_header_mutation_extensions: … { remove: {name} }   of the HTTP connection manager",
}}

var alias = topic{"alias", "no other spelling of one arrives", map[string]string{
	"nginx":   "underscores_in_headers off; ignore_invalid_headers on;   in the first server of that port",
	"caddy":   "request_header -*_*   and   request_header -*.*   in the route, before forward_auth",
	"haproxy": "http-request del-header _ -m sub   and   http-request del-header . -m sub",
	"apache":  `if … name:find("[_.]") then return true end   in dropped() of gatepost.lua, or: RequestHeader unset {name} early`,
	"traefik": `authResponseHeadersRegex: "(?i)^(…)|[._]"   and http.underscoreHeadersStrategy: delete on the entry point`,
	"envoy":   "headers_with_underscores_action: DROP_HEADER   of the HTTP connection manager",
}}

var forward = topic{"forwarded", "no routing header of a client arrives", map[string]string{
	"nginx":   `proxy_set_header {name} "";   ($remote_addr, $scheme or $host for the three that the application needs)`,
	"caddy":   "request_header -{name}   in the route, before forward_auth",
	"haproxy": "http-request del-header {name}   before http-request lua.gatepost",
	"apache":  "RequestHeader unset {name} early",
	"traefik": `forwardedHeaders.insecure: false   on the entry point, and {name} in authResponseHeadersRegex`,
	"envoy":   "use_remote_address: true   and early_header_mutation_extensions: … { remove: {name} }",
}}

var hop = topic{"hop-by-hop", "Connection drops nothing of ours", map[string]string{
	"nginx":   "proxy_set_header Connection $gatepost_connection;",
	"caddy":   "request_header -Connection   in the route, before forward_auth",
	"haproxy": "http-request del-header Connection   before http-request lua.gatepost",
	"apache":  `r.headers_in["Connection"] = connection(r.headers_in)   at the end of gatepost.lua`,
}}

var question = topic{"question", "no header makes another question of a request", map[string]string{
	"nginx":   "proxy_pass http://gatepost/auth/nginx;   with X-Original-URL and X-Original-Method set beside it, and nothing of the client's",
	"caddy":   "forward_auth …   without a header_up of X-Forwarded-Uri, -Host, -Method or -Proto",
	"haproxy": `ask["x-forwarded-uri"] = { txn.f:pathq() }   and its like, in gatepost.lua`,
	"apache":  `ask["X-Forwarded-Uri"] = r.unparsed_uri   and its like, in gatepost.lua`,
	"traefik": "trustForwardHeader: false",
	"envoy":   "path_prefix: /auth/envoy   and no path_override",
}}

var hostTopic = topic{"host", "no other host's rules apply", map[string]string{
	"nginx":   "proxy_set_header X-Original-URL $scheme://$host$request_uri;   $host, not $http_host",
	"haproxy": `ask["x-forwarded-host"]   from the Host that HAProxy compared with the target`,
	"apache":  `ask["X-Forwarded-Uri"] = r.unparsed_uri   absolute as it is: Gatepost refuses it`,
	"caddy":   "forward_auth …   without a header_up of Host or X-Forwarded-Host",
	"traefik": "trustForwardHeader: false",
}}

var path = topic{"path", "no spelling of a closed path passes", map[string]string{
	"nginx":   "proxy_set_header X-Original-URL $scheme://$host$request_uri;   not $uri, and auth_request for the whole server",
	"caddy":   "forward_auth …   for the whole route, without a path matcher",
	"haproxy": "http-request lua.gatepost …   unless sign_in, and by no path",
	"apache":  `<Location "/">   and no narrower one`,
	"traefik": "rule: Host(`…`)   with the middleware, and no router by path without it",
	"envoy":   "no ExtAuthzPerRoute that disables the filter on a route by path",
}}

var rewrite = topic{name: "path", lines: map[string]string{
	"nginx":   "proxy_pass http://127.0.0.1:3000;   without a slash or path behind it",
	"caddy":   "reverse_proxy …   without a rewrite, uri or handle_path before it",
	"haproxy": "no http-request normalize-uri or set-path behind http-request lua.gatepost",
	"apache":  `AllowEncodedSlashes NoDecode   and   ProxyPass "/" "http://…/" nocanon`,
	"traefik": "nothing to do: Traefik cleans the path before it asks",
}}
