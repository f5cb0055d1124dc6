package web

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"github.com/gatepost/gatepost/flows/gate"
)

// envoy is ext_authz over HTTP (Envoy, Istio, Envoy Gateway, Gateway API): the
// request line behind base, and Host.
func envoy(base string) source {
	return source{name: "envoy", refuse: redirecting, tells: ownHeaders, pages: true, envoy: true, read: func(r *http.Request) (gate.Request, error) {
		target := strings.TrimPrefix(r.RequestURI, base)
		if target == "" || target[0] == '?' {
			target = "/" + target
		}
		return readEnvoy(r, target)
	}}
}

// readEnvoy takes method and host from the request itself. Only the scheme is a
// header, since nothing else carries it; it decides nothing but where a browser
// returns to.
func readEnvoy(r *http.Request, target string) (gate.Request, error) {
	if err := aliased(r.Header, "X-Forwarded-Proto"); err != nil {
		return gate.Request{}, err
	}
	scheme := "https"
	if len(r.Header["X-Forwarded-Proto"]) > 0 {
		var err error
		if scheme, err = one(r.Header, "X-Forwarded-Proto"); err != nil {
			return gate.Request{}, err
		}
	}
	return gate.NewRequest(r.Method, scheme, r.Host, target, netip.Addr{})
}

// envoyHeaders are all by which Envoy's endpoints tell who asks.
var envoyHeaders = slices.Concat(ownHeaders, []told{{remoteSub, gate.AttributeID}})

// toRemove names every identity header that an answer does not set, and the
// spellings that CGI and WSGI read as the same, so that a client's own never
// reaches the application, whatever the operator configured.
func toRemove(answer http.Header) string {
	var list []string
	for _, t := range envoyHeaders {
		name := strings.ToLower(t.header)
		if len(answer[t.header]) == 0 {
			list = append(list, name)
		}
		list = append(list, strings.ReplaceAll(name, "-", "_"))
	}
	return strings.Join(list, ",")
}
