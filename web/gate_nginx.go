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
var nginx = source{name: "nginx", read: readNginx, refuse: pointing, tells: ownHeaders}

func readNginx(r *http.Request) (gate.Request, error) {
	if err := aliased(r.Header, "X-Original-Url", "X-Original-Method"); err != nil {
		return gate.Request{}, err
	}
	scheme, authority, target, err := originalURL(r.Header)
	if err != nil {
		return gate.Request{}, hint(err, r.Header, "X-Forwarded-Uri", "forward")
	}
	method, err := one(r.Header, "X-Original-Method")
	if err != nil {
		return gate.Request{}, err
	}
	return gate.NewRequest(method, scheme, authority, target, netip.Addr{})
}

func originalURL(h http.Header) (scheme, authority, target string, err error) {
	url, err := one(h, "X-Original-Url")
	if err != nil {
		return "", "", "", err
	}
	scheme, rest, ok := strings.Cut(url, "://")
	end := strings.IndexByte(rest, '/')
	if !ok || end < 0 {
		return "", "", "", errors.New("X-Original-URL is no absolute URL; set it to $scheme://$host$request_uri")
	}
	return scheme, rest[:end], rest[end:], nil
}
