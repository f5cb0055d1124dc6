package web

import (
	"net/http"
	"net/netip"

	"github.com/gatepost/gatepost/flows/gate"
)

// forward is what Traefik, Caddy, HAProxy and Apache send: X-Forwarded-Method,
// -Proto, -Host and -Uri, which they set themselves.
var forward = source{name: "forward", read: readForward, refuse: redirecting, tells: ownHeaders, pages: true}

func readForward(r *http.Request) (gate.Request, error) {
	h := r.Header
	if err := aliased(h, "X-Forwarded-Method", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Forwarded-Uri"); err != nil {
		return gate.Request{}, err
	}
	uri, err := one(h, "X-Forwarded-Uri")
	if err != nil {
		return gate.Request{}, hint(err, h, "X-Original-Url", "nginx")
	}
	method, err := one(h, "X-Forwarded-Method")
	if err != nil {
		return gate.Request{}, err
	}
	proto, err := one(h, "X-Forwarded-Proto")
	if err != nil {
		return gate.Request{}, err
	}
	host, err := one(h, "X-Forwarded-Host")
	if err != nil {
		return gate.Request{}, err
	}
	return gate.NewRequest(method, proto, host, uri, netip.Addr{})
}
