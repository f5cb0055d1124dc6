package web

import (
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/gatepost/gatepost/flows/gate"
)

// surfaces are other projects' check and sign-in endpoints, at their own paths,
// so that a proxy's configuration stays when the image behind it changes. Each
// is one file, and not there unless the operator names it: a parser that nobody
// needs is one that somebody may fool (security F-2).
var surfaces = map[string]func(p *checkpoint, pages *echo.Echo){
	"oauth2-proxy":               openOAuth2Proxy,
	"oauth2-proxy-nginx":         openOAuth2ProxyNginx,
	"oauth2-proxy-ingress-nginx": openOAuth2ProxyIngress,
	"authelia":                   openAuthelia,
	"tinyauth":                   openTinyauth,
}

// Surfaces are the names that Config.Compat may have, sorted.
func Surfaces() []string {
	var names []string
	for name := range surfaces {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// open adds the surfaces of those names, and returns what answers /.
func (p *checkpoint) open(pages *echo.Echo, names []string) echo.HandlerFunc {
	for _, name := range names {
		if open, ok := surfaces[name]; ok {
			open(p, pages)
		}
	}
	if slices.Contains(names, "authelia") {
		return p.autheliaPortal
	}
	return p.root
}

// alias makes path a check.
func (p *checkpoint) alias(path string, from source) {
	p.aliases[path] = true
	anyMethod(p.checks, path, p.check(from))
}

// aliasBelow makes path and all below it a check.
func (p *checkpoint) aliasBelow(path string, from source) {
	p.alias(path, from)
	p.below = append(p.below, path+"/")
	anyMethod(p.checks, path+"/*", p.check(from))
}

// ownsAlias is owns for the paths of surfaces. A question at / is one only when
// a proxy says so: a browser that comes to / wants a page, and that is never an
// answer which lets pass.
func (p *checkpoint) ownsAlias(r *http.Request) bool {
	if p.aliases[r.URL.Path] {
		return r.URL.Path != "/" || has(r.Header, "X-Forwarded-Uri")
	}
	return slices.ContainsFunc(p.below, func(prefix string) bool { return strings.HasPrefix(r.URL.Path, prefix) })
}

// agrees reports a question whose headers name two targets. Where a project
// reads the first header that is there, a client sends that one through a proxy
// which sets another, and is judged for what it does not get (CVE-2026-40575).
// So of two that are there, both have to say the same; what a proxy sets, a
// client can then only repeat.
func agrees(h http.Header, request gate.Request, target string) error {
	differ := errors.New("X-Original-URL and X-Forwarded-Host or -Uri name different targets; the proxy must drop the client's")
	if has(h, "X-Forwarded-Uri") {
		if uri, err := one(h, "X-Forwarded-Uri"); err != nil {
			return err
		} else if uri != target {
			return differ
		}
	}
	if has(h, "X-Forwarded-Host") {
		host, err := one(h, "X-Forwarded-Host")
		if err != nil {
			return err
		}
		other, err := gate.NewRequest(request.Method, request.Scheme, host, target, netip.Addr{})
		if err != nil {
			return err
		}
		if other.Host != request.Host {
			return differ
		}
	}
	return nil
}

// narrowed takes an allowed request away from those whom the question itself
// does not admit. What is public stays so: nobody is asked there who they are.
func (p *checkpoint) narrowed(r *http.Request, request gate.Request, id gate.Identity, d gate.Decision) (gate.Decision, error) {
	conditions, err := conditionsOf(r.URL.RawQuery)
	if err != nil || len(conditions) == 0 || p.Gate.Rules.Decide(request, gate.Identity{}).Outcome == gate.Allow {
		return d, err
	}
	for _, one := range conditions {
		if !one.Admits(id) {
			return gate.Decision{Outcome: gate.Deny, Name: one.name, Needs: gate.NeedsPeople}, nil
		}
	}
	return d, nil
}

type condition struct {
	name string
	gate.Narrowing
}

// conditionsOf reads allowed_groups, allowed_emails and allowed_email_domains, by
// hand: what the standard library cannot parse it leaves out, and a condition
// left out is a door left open. Each that is repeated has to hold, since a proxy
// may append the client's query (forward-auth rule 14).
func conditionsOf(rawQuery string) ([]condition, error) {
	var found []condition
	for rawQuery != "" {
		var pair string
		pair, rawQuery, _ = strings.Cut(rawQuery, "&")
		key, raw, _ := strings.Cut(pair, "=")
		if unescaped, err := url.QueryUnescape(key); err == nil {
			key = unescaped
		}
		if !strings.HasPrefix(key, "allowed_") {
			continue
		}
		value, err := url.QueryUnescape(raw)
		if err != nil {
			return nil, fmt.Errorf("%s cannot be read", key)
		}
		list := slices.DeleteFunc(strings.Split(value, ","), func(s string) bool { return s == "" })
		switch key {
		case "allowed_groups":
			found = append(found, condition{key, gate.Narrowing{Groups: list}})
		case "allowed_emails":
			found = append(found, condition{key, gate.Narrowing{Emails: list}})
		case "allowed_email_domains":
			found = append(found, condition{key, gate.Narrowing{Domains: list}})
		}
	}
	return found, nil
}

// lead sends a browser to a page of ours. Proxies put another status over this
// answer (nginx's «error_page 401 =403», Traefik's errors middleware), and then
// nobody follows Location: so the page behind it leads there too.
func (s *server) lead(c echo.Context, title, target string) error {
	h := c.Response().Header()
	h.Set("Location", target)
	h.Set("Refresh", "0; url="+target)
	return s.show(c, http.StatusFound, "lead", leadView{page: s.page(c, title), URL: target})
}

// leadToSignIn leads to the sign-in page, with wanted as the place to come back
// to if it may be one.
func (p *checkpoint) leadToSignIn(c echo.Context, wanted string) error {
	return p.lead(c, "signin.title", p.returnTo.safe(p.backFrom(hostOf(wanted)), wanted))
}

func hostOf(target string) string {
	u, err := url.Parse(target)
	if err != nil {
		return ""
	}
	return u.Hostname()
}

// returnParam reads where to return to from a query. nginx cannot escape, and
// Caddy's redir does not: behind rd=https:// everything is the address.
func returnParam(rawQuery, name string) string {
	rest, ok := strings.CutPrefix(rawQuery, name+"=")
	if ok && (strings.HasPrefix(rest, "https://") || strings.HasPrefix(rest, "http://")) {
		return rest
	}
	query, _ := url.ParseQuery(rawQuery)
	return query.Get(name)
}

// origin is the one that a browser sees, by what the proxy in front says. It is
// no reason to trust it: where a browser may go is ReturnTo's to say.
func (p *checkpoint) origin(r *http.Request) string {
	scheme, host := p.public.Scheme, r.Host
	if p.trusts(r.RemoteAddr) {
		if h := r.Header["X-Forwarded-Host"]; len(h) == 1 {
			host = h[0]
		}
		if proto := r.Header["X-Forwarded-Proto"]; len(proto) == 1 && (proto[0] == "http" || proto[0] == "https") {
			scheme = proto[0]
		}
	}
	return scheme + "://" + host
}
