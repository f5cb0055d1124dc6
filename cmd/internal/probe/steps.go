package probe

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
)

// mark is a value that only we send, and a host's name.
func (p *prober) mark() string { return "evil-" + strings.ToLower(p.secret) }

// lie is the value that a client's own header of that name has. Proxies throw
// away what is no address where one belongs.
func (p *prober) lie(name string) string {
	switch folded(name) {
	case "x-forwarded-for", "x-real-ip":
		return p.address
	case "forwarded":
		return "for=" + p.address + ";host=" + p.mark()
	}
	return p.mark()
}

// folded is a name as CGI, WSGI and PHP read it.
func folded(name string) string {
	return strings.ToLower(strings.NewReplacer("_", "-", ".", "-").Replace(name))
}

// marked is the header that some application believes with a lie of ours in it:
// that of the name, in whatever spelling, or another that the proxy made of it.
func (p *prober) marked(h http.Header, name string) (as string, found bool) {
	for _, other := range slices.Sorted(maps.Keys(h)) {
		if !believed[folded(other)] || !slices.ContainsFunc(h[other], func(v string) bool { return strings.Contains(v, p.mark()) || hasAddress(v, p.address) }) {
			continue
		}
		if as == "" || folded(other) == folded(name) {
			as = other
		}
	}
	return as, as != ""
}

// hasAddress reports address in a list as X-Forwarded-For or Forwarded have it.
func hasAddress(list, address string) bool {
	return slices.Contains(strings.FieldsFunc(list, func(r rune) bool { return strings.ContainsRune(` ,;="`, r) }), address)
}

// guarded asks for what only somebody signed in may have.
func (p *prober) guarded(ctx context.Context) (bool, error) {
	a, err := p.send(ctx, request{path: closedPath})
	if err != nil {
		return false, err
	}
	var found []finding
	if a.arrived != nil {
		found = append(found, finding{text: p.Prefix + closedPath + " arrives though nobody is signed in: Gatepost is not asked, or not listened to"})
	}
	p.report(guard, found)
	return len(found) == 0, nil
}

// everywhere sends a request on behalf of nobody, and of somebody.
func (p *prober) everywhere(ctx context.Context, r request, look func(arrived)) error {
	r.path, r.who = openPath, false
	a, err := p.send(ctx, r)
	if err != nil {
		return err
	}
	if a.arrived != nil {
		look(*a.arrived)
	}
	if p.who == nil {
		return nil
	}
	r.path, r.who = closedPath, true
	if a, err = p.send(ctx, r); err == nil && a.arrived != nil {
		look(*a.arrived)
	}
	return err
}

// smuggled sends each of names with our value, in a spelling of it.
func (p *prober) smuggled(ctx context.Context, names []string, spell func(string) string) ([]finding, error) {
	var found []finding
	for _, name := range names {
		sent, as := spell(name), ""
		err := p.everywhere(ctx, request{header: []string{sent, p.lie(name)}}, func(a arrived) {
			if found, ok := p.marked(a.header, name); ok {
				as = found
			}
		})
		if err != nil {
			return nil, err
		}
		if as != "" {
			found = append(found, finding{sent, fmt.Sprintf("a client's %s arrives as %s", sent, as)})
		}
	}
	return found, nil
}

func asIs(s string) string { return s }

func (p *prober) spoofs(ctx context.Context) error {
	found, err := p.smuggled(ctx, append(identity, others...), asIs)
	if err == nil {
		p.report(spoof, found)
	}
	return err
}

func (p *prober) aliases(ctx context.Context) error {
	var all []finding
	for _, spell := range []func(string) string{
		func(s string) string { return strings.ReplaceAll(s, "-", "_") },
		func(s string) string { return strings.ReplaceAll(s, "-", ".") },
		func(s string) string { return strings.Replace(s, "-", "_", 1) },
	} {
		found, err := p.smuggled(ctx, append(identity, others...), spell)
		if err != nil {
			return err
		}
		for _, f := range found { // Remote_User is both spellings with _
			if !slices.Contains(all, f) {
				all = append(all, f)
			}
		}
	}
	p.report(alias, all)
	return nil
}

func (p *prober) forwards(ctx context.Context) error {
	found, err := p.smuggled(ctx, routed, asIs)
	if err == nil {
		p.report(forward, found)
	}
	return err
}

// hops has the proxy drop, by Connection, what Gatepost and it add.
func (p *prober) hops(ctx context.Context) error {
	if p.who == nil {
		return nil
	}
	usual, err := p.send(ctx, request{path: closedPath, who: true})
	if err != nil || usual.arrived == nil {
		return err
	}
	var found []finding
	for _, name := range append(identity, "X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host") {
		if usual.arrived.header.Get(name) == "" {
			continue
		}
		a, err := p.send(ctx, request{path: closedPath, who: true, header: []string{"Connection", "close, " + name}})
		if err != nil {
			return err
		}
		if a.arrived != nil && a.arrived.header.Get(name) == "" {
			found = append(found, finding{name, "«Connection: close, " + name + "» has the proxy's own " + name + " dropped"})
		}
	}
	p.report(hop, found)
	return nil
}

// questions has the proxy tell Gatepost of another request than the one made.
func (p *prober) questions(ctx context.Context) error {
	path, host := p.Prefix+openPath, p.target.Host
	address := p.target.Scheme + "://" + host + path
	var found []finding
	for _, header := range [][]string{
		{"X-Original-URL", address}, {"X-Original-URL", address, "X-Original-URL", address}, {"X-Original-URI", path}, {"X_Original_URL", address}, {"X.Original.URL", address},
		{"X-Original-Host", openHost}, {"X-Rewrite-URL", path}, {"X-Forwarded-Uri", path}, {"X-Forwarded-Uri", path, "X-Forwarded-Uri", path}, {"X_Forwarded_Uri", path}, {"X.Forwarded.Uri", path},
		{"X-Forwarded-Host", openHost}, {"X_Forwarded_Host", openHost}, {"X-Forwarded-Host", openHost, "X-Forwarded-Uri", "/", "X-Forwarded-Method", "GET", "X-Forwarded-Proto", "https"},
		{"Connection", "close, X-Forwarded-Uri, X-Forwarded-Host, X-Original-URL"},
	} {
		a, err := p.send(ctx, request{path: closedPath, header: header})
		if err != nil {
			return err
		}
		if a.arrived != nil {
			found = append(found, finding{header[0], "with a client's " + header[0] + ", " + p.Prefix + closedPath + " passes as another address"})
		}
	}
	p.report(question, found)
	return nil
}

// hosts asks one host's server under another's name.
func (p *prober) hosts(ctx context.Context) error {
	var found []finding
	usual, err := p.send(ctx, request{path: closedPath, host: openHost})
	if err != nil {
		return err
	}
	for _, scheme := range []string{"http", "https"} {
		a, err := p.send(ctx, request{target: scheme + "://" + p.target.Host + p.Prefix + closedPath, host: openHost})
		if err != nil {
			return err
		}
		// A proxy that goes by Host alone serves the other host, under its rules.
		if a.arrived != nil && (usual.arrived == nil || a.arrived.host != openHost) {
			found = append(found, finding{"Host", "«GET " + scheme + "://" + p.target.Host + "…» with another Host passes by the rules of that other host"})
			break
		}
	}
	p.report(hostTopic, found)
	return nil
}

// paths asks, as nobody, for what some application reads as the closed path.
func (p *prober) paths(ctx context.Context) error {
	o, c := p.Prefix+openPath, p.Prefix+closedPath
	name := strings.TrimPrefix(closedPath, "/")
	var found []finding
	for _, target := range []string{
		o + "/../" + name, o + "/./../" + name, o + "//../" + name, o + "/%2e%2e/" + name, o + "/.%2e/" + name, o + "/..%2f" + name, o + "%2f..%2f" + name, o + "/..;/" + name, o + ";x=1/../" + name,
		o + `/..\` + name, o + "/..%5c" + name, o + "/%252e%252e/" + name, o + "/..%252f" + name, o + "/..%00/" + name, strings.ToUpper(o) + "/../" + name,
		c + "/", c + "/x", strings.ToUpper(c), "/" + c, "/." + c, c + ";x=1", c + "%2f", c + "%00", c + "%3f" + o, c + "#" + o, c + "?" + o, strings.Replace(c, "/c", "/%63", 1), strings.Replace(c, "/c", "/%2563", 1),
	} {
		a, err := p.send(ctx, request{target: target})
		if err != nil {
			return err
		}
		if a.arrived != nil {
			found = append(found, finding{"", target + " passes, and arrives as " + a.arrived.target})
		}
	}
	p.report(path, found)
	return nil
}

// rewrites looks whether somebody's paths arrive as they were sent. It is a note
// and no leak: a proxy may clean the path before it asks.
func (p *prober) rewrites(ctx context.Context) error {
	if p.who == nil {
		return nil
	}
	for _, rest := range []string{"/a//b", "/a/../b", "/a/%2e%2e/b", "/a/..%2fb", "/a%2fb", "/a%252fb", "/a;x=1/b"} {
		target := p.Prefix + closedPath + rest
		a, err := p.send(ctx, request{target: target, who: true})
		if err != nil {
			return err
		}
		if a.arrived != nil && a.arrived.target != target {
			fmt.Fprintf(p.out, "note  path: %s arrives as %s; unless the proxy told Gatepost so too, the two judge different paths\n", target, a.arrived.target)
			if p.Proxy != "" {
				fmt.Fprintf(p.out, "      %s\n", rewrite.remedy(p.Proxy))
			}
		}
	}
	return nil
}
