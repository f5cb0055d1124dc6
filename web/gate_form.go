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
	case has(h, "Sec-Websocket-Key"), strings.EqualFold(h.Get("Upgrade"), "websocket"),
		strings.HasPrefix(h.Get("X-Forwarded-Proto"), "ws"):
		return false
	case strings.HasPrefix(h.Get("Content-Type"), "application/grpc"):
		return false
	case has(h, "Sec-Fetch-Mode"):
		return h.Get("Sec-Fetch-Mode") == "navigate"
	case h.Get("X-Requested-With") == "XMLHttpRequest":
		return false
	}
	return acceptsHTML(strings.Join(h["Accept"], ","))
}

func has(h http.Header, name string) bool { return len(h[name]) > 0 }

func acceptsHTML(accept string) bool {
	if !strings.Contains(accept, "html") {
		return false
	}
	for part := range strings.SplitSeq(accept, ",") {
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

// returnable remembers which origins of applications a sign-in may lead back to,
// because deciding it anew costs as much as the rest of a refusal.
type returnable struct {
	rule    flows.ReturnTo
	signIn  string   // the page, for those that may not be led back to
	origins sync.Map // gate.Request with only the origin → bool
	held    struct {
		sync.Mutex
		n int
	}
}

const maxOrigins = 10_000

// link is by, a URL that ends in an empty parameter, with request's address in
// it as the place to come back to.
func (t *returnable) link(by string, request gate.Request) string {
	origin := request.Scheme + "://" + request.Host + ":" + request.Port
	allowed, known := t.origins.Load(origin)
	if !known {
		root := gate.Request{Scheme: request.Scheme, Host: request.Host, Port: request.Port, Path: "/"}.URL()
		allowed = t.rule.Resolve(root) == root
		t.held.Lock()
		if t.held.n < maxOrigins {
			t.held.n++
			t.origins.Store(origin, allowed)
		}
		t.held.Unlock()
	}
	if allowed == false {
		return t.signIn
	}
	if request.Plain() {
		return by + url.QueryEscape(request.URL())
	}
	return t.safe(by, request.URL())
}

// safe is link for any address.
func (t *returnable) safe(by, target string) string {
	resolved := t.rule.Resolve(target)
	if resolved == t.rule.Default() && target != resolved {
		return t.signIn
	}
	return by + url.QueryEscape(resolved)
}
