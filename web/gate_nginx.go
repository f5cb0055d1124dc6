package web

import (
	"errors"
	"net/http"
	"net/netip"
	"strings"

	"github.com/gatepost/gatepost/flows/gate"
)

// nginx is auth_request: X-Original-Method and X-Original-URL, which the
// operator's configuration sets. Whatever else a client sent passes through
// nginx, so nothing else is read.
var nginx = source{name: "nginx", read: readNginx}

func readNginx(r *http.Request) (gate.Request, error) {
	if err := aliased(r.Header, "X-Original-Url", "X-Original-Method"); err != nil {
		return gate.Request{}, err
	}
	url, err := one(r.Header, "X-Original-Url")
	if err != nil {
		return gate.Request{}, hint(err, r.Header, "X-Forwarded-Uri", "forward")
	}
	method, err := one(r.Header, "X-Original-Method")
	if err != nil {
		return gate.Request{}, err
	}
	scheme, rest, ok := strings.Cut(url, "://")
	end := strings.IndexByte(rest, '/')
	if !ok || end < 0 {
		return gate.Request{}, errors.New("X-Original-URL is no absolute URL; set it to $scheme://$host$request_uri")
	}
	return gate.NewRequest(method, scheme, rest[:end], rest[end:], netip.Addr{})
}
