package web

import (
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"

	"github.com/gatepost/gatepost/flows"
	"github.com/gatepost/gatepost/flows/gate"
)

// isNavigation reports whether somebody goes to a page, and may be sent
// elsewhere, or whether a script, a socket or a tool asks, and wants a status
// (forward-auth §4). All of it is the client's word, so it decides only the
// form of a refusal.
func isNavigation(h http.Header) bool {
	switch {
	case has(h, "Sec-Websocket-Key"), strings.EqualFold(first(h, "Upgrade"), "websocket"),
		strings.HasPrefix(first(h, "X-Forwarded-Proto"), "ws"):
		return false
	case strings.HasPrefix(first(h, "Content-Type"), "application/grpc"):
		return false
	case has(h, "Sec-Fetch-Mode"):
		return first(h, "Sec-Fetch-Mode") == "navigate"
	case first(h, "X-Requested-With") == "XMLHttpRequest":
		return false
	}
	return acceptsHTML(strings.Join(h["Accept"], ","))
}

func has(h http.Header, name string) bool { return len(h[name]) > 0 }

// first is h.Get for a name that is canonical already.
func first(h http.Header, name string) string {
	if v := h[name]; len(v) > 0 {
		return v[0]
	}
	return ""
}

func acceptsHTML(accept string) bool {
	if !strings.Contains(accept, "html") {
		return false
	}
	for part := range strings.SplitSeq(accept, ",") {
		if part == "text/html" { // as every browser begins
			return true
		}
		kind, params, err := mime.ParseMediaType(part)
		if err != nil || kind != "text/html" && kind != "application/xhtml+xml" {
			continue
		}
		q, err := strconv.ParseFloat(params["q"], 64)
		if params["q"] == "" || err == nil && q > 0 {
			return true
		}
	}
	return false
}

// isPreflight reports a browser's question about a request from another origin.
func isPreflight(h http.Header, method string) bool {
	return method == http.MethodOptions && has(h, "Origin") && has(h, "Access-Control-Request-Method")
}

// returnable remembers how a sign-in begins that leads back to an application,
// because deciding it anew costs as much as the rest of a refusal.
type returnable struct {
	rule   flows.ReturnTo
	signIn string                   // the page, for those that may not be led back to
	by     func(host string) string // a URL that ends in an empty parameter for the place to come back to

	mu     sync.RWMutex
	begins map[origin]string // by with the origin's address in it, "" for those that may not
}

type origin struct{ scheme, host, port string }

const maxOrigins = 10_000

// link is a URL with request's address in it as the place to come back to.
func (t *returnable) link(request gate.Request) string {
	from := origin{request.Scheme, request.Host, request.Port}
	t.mu.RLock()
	begin, known := t.begins[from]
	t.mu.RUnlock()
	if !known {
		begin = t.begin(from)
	}
	switch {
	case begin == "":
		return t.signIn
	case request.Plain():
		return begin + url.QueryEscape(request.Target())
	}
	return t.safe(t.by(request.Host), request.URL())
}

func (t *returnable) begin(from origin) (begin string) {
	root := gate.Request{Scheme: from.scheme, Host: from.host, Port: from.port, Path: "/"}.URL()
	if t.rule.Resolve(root) == root {
		begin = t.by(from.host) + url.QueryEscape(strings.TrimSuffix(root, "/"))
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.begins) < maxOrigins {
		t.begins[from] = begin
	}
	return begin
}

// safe is link for any address.
func (t *returnable) safe(by, target string) string {
	resolved := t.rule.Resolve(target)
	if resolved == t.rule.Default() && target != resolved {
		return t.signIn
	}
	return by + url.QueryEscape(resolved)
}
