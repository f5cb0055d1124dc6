package web

import (
	"net/http"
	"net/netip"
	"strings"

	"github.com/gatepost/gatepost/flows/gate"
)

// envoy is ext_authz over HTTP (Envoy, Istio, Envoy Gateway, Gateway API): the
// request line behind base, and Host. Only the scheme is a header, since
// nothing else carries it; it decides nothing but where a browser returns to.
func envoy(base string) source {
	return source{name: "envoy", redirects: true, envoy: true, read: func(r *http.Request) (gate.Request, error) {
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
		target := strings.TrimPrefix(r.RequestURI, base)
		if target == "" || target[0] == '?' {
			target = "/" + target
		}
		return gate.NewRequest(r.Method, scheme, r.Host, target, netip.Addr{})
	}}
}

// identityHeaders as Envoy compares them, with the spellings that CGI and WSGI
// read as the same.
var identityHeaders = []string{remoteUser, remoteEmail, remoteName, remoteGroups, authUser, authEmail, authName, authGroups, assertionHeader}

// toRemove names every identity header that this answer does not set, so that a
// client's own never reaches the application, whatever the operator configured.
func toRemove(a gate.Attributes, assertion string) string {
	empty := map[string]bool{remoteUser: a.User == "", remoteEmail: a.Email == "", remoteName: a.Name == "", remoteGroups: a.Groups == "",
		authUser: a.ID == "", authEmail: a.Email == "", authName: a.Name == "", authGroups: a.Groups == "", assertionHeader: assertion == ""}
	var list []string
	for _, name := range identityHeaders {
		name = strings.ToLower(name)
		if empty[http.CanonicalHeaderKey(name)] {
			list = append(list, name)
		}
		list = append(list, strings.ReplaceAll(name, "-", "_"))
	}
	return strings.Join(list, ",")
}
