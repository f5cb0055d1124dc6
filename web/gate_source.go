package web

import (
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/textproto"
	"strings"
	"sync/atomic"
	"time"
)

const logInterval = 10 * time.Second

// trusts reports whether the peer is a proxy of the operator's. An empty list
// is nobody (security F-1; CVE-2026-76835). On a socket a peer may call itself by
// any name, an address for one, and is believed by the operator's word alone.
func (p *checkpoint) trusts(remoteAddr string) bool {
	if p.Socket {
		return p.TrustSocket
	}
	return p.peers.trusted(remoteAddr, func() bool {
		peer, err := netip.ParseAddrPort(remoteAddr)
		return err == nil && inAny(p.trusted, peer.Addr())
	})
}

// peers remembers who is trusted by the address that net/http gives to all
// requests of a connection: few proxies ask, on few connections. Where two of
// them share a place they take turns in it.
type peers [1024]atomic.Pointer[peer]

type peer struct {
	remoteAddr string
	trusted    bool
}

func (all *peers) trusted(remoteAddr string, judge func() bool) bool {
	n := len(remoteAddr)
	if n < 3 {
		return judge()
	}
	port := int(remoteAddr[n-1]) + 10*int(remoteAddr[n-2]) + 100*int(remoteAddr[n-3])
	place := &all[port%len(all)]
	known := place.Load()
	if known == nil || known.remoteAddr != remoteAddr {
		known = &peer{remoteAddr, judge()}
		place.Store(known)
	}
	return known.trusted
}

func inAny(prefixes []netip.Prefix, a netip.Addr) bool {
	a = a.Unmap()
	for _, prefix := range prefixes {
		if prefix.Contains(a) {
			return true
		}
	}
	return false
}

func (p *checkpoint) clientOf(r *http.Request, from source) (netip.Addr, error) {
	if from.client != nil {
		return from.client(r)
	}
	return forwardedFor(r.Header, p.trusted), nil
}

// forwardedFor is who asked the proxy: X-Forwarded-For from the right, past our
// own proxies. Without the header it is not known, and no network rule holds.
func forwardedFor(h http.Header, trusted []netip.Prefix) netip.Addr {
	lines := h["X-Forwarded-For"]
	if len(lines) == 0 {
		return netip.Addr{}
	}
	list := lines[0]
	if len(lines) > 1 {
		list = strings.Join(lines, ",")
	}
	var last netip.Addr
	for list != "" {
		rest, hop := "", list
		if i := strings.LastIndexByte(list, ','); i >= 0 {
			rest, hop = list[:i], list[i+1:]
		}
		a, err := parseHop(strings.TrimSpace(hop))
		if err != nil {
			// What stands left of it cannot be believed either.
			return last
		}
		if last = a; !inAny(trusted, a) {
			return a
		}
		list = rest
	}
	return last
}

func parseHop(s string) (netip.Addr, error) {
	if a, err := netip.ParseAddr(s); err == nil {
		return a.Unmap(), nil
	}
	ap, err := netip.ParseAddrPort(s)
	return ap.Addr().Unmap(), err
}

// one returns the value of a header that a decision rests on: there exactly
// once. A proxy that lets the client's own copy through sends two (security F-3).
func one(h http.Header, name string) (string, error) {
	switch v := h[name]; {
	case len(v) == 0:
		return "", missing(name)
	case len(v) > 1:
		return "", fmt.Errorf("the header %s came %d times; the proxy must replace the client's", name, len(v))
	default:
		return v[0], nil
	}
}

type missing string

func (m missing) Error() string { return "the header " + string(m) + " is missing" }

// aliased reports headers that are another spelling of one of names, with _ or
// . for -: what stands behind may read them as the same (CVE-2026-39858,
// CVE-2025-64484).
func aliased(h http.Header, names ...string) error {
	for name := range h {
		if strings.IndexByte(name, '_') < 0 && strings.IndexByte(name, '.') < 0 {
			continue
		}
		plain := textproto.CanonicalMIMEHeaderKey(strings.NewReplacer("_", "-", ".", "-").Replace(name))
		for _, n := range append(names, "X-Forwarded-For", "Cookie", "Authorization") {
			if plain == n {
				return fmt.Errorf("the header %s is another spelling of %s; the proxy must drop it", name, n)
			}
		}
	}
	return nil
}

// hint adds to a missing header that those of another family are there.
func hint(err error, h http.Header, other, endpoint string) error {
	var m missing
	if errors.As(err, &m) && len(h[other]) > 0 {
		return fmt.Errorf("%w, and %s is there: this proxy wants the endpoint %s", err, other, endpoint)
	}
	return err
}
