// Package probe plays a hostile client against an operator's own reverse proxy,
// and the application behind it: it sends what spoofs, confuses and smuggles,
// and looks at what arrives.
package probe

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"slices"
	"strings"
)

// Options say what to probe.
type Options struct {
	URL     string   // of the application, as browsers reach it
	Listen  string   // where the application's part is played
	Prefix  string   // path that the proxy leads there
	Headers []string // "Name: value" of somebody signed in, or @file with it
	Connect string   // host:port to connect to; "" is the URL's
	CAFile  string   // further certificates to trust
	Proxy   string   // whose remedies to print; "" is all
}

// Path and host that the operator opens for the time of the probe.
const (
	openPath, closedPath = "/open", "/closed"
	openHost             = "gatepost-probe.invalid"
)

// identity are the headers that Gatepost sets; others are believed by some
// applications, and a client may send neither.
var (
	identity = []string{"Remote-User", "Remote-Email", "Remote-Name", "Remote-Groups",
		"X-Auth-Request-User", "X-Auth-Request-Email", "X-Auth-Request-Preferred-Username", "X-Auth-Request-Groups", "X-Gatepost-Assertion"}
	others = []string{"X-Auth-Request-Access-Token", "X-Forwarded-User", "X-Forwarded-Email", "X-Forwarded-Groups", "X-Forwarded-Preferred-Username", "X-Forwarded-Access-Token"}
	routed = []string{"X-Original-URL", "X-Original-URI", "X-Original-Method", "X-Rewrite-URL", "X-Forwarded-Uri", "X-Forwarded-Method", "X-Forwarded-Prefix", "X-Forwarded-Port",
		"X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-For", "X-Real-IP", "Forwarded"}
)

// prober is one run.
type prober struct {
	Options
	target *url.URL
	dialer func(ctx context.Context) (net.Conn, error)
	who    []string // header lines of somebody signed in
	secret string   // begins every id, so that nobody else's requests count
	echo   *echo
	out    io.Writer
	leaks  int
}

// Run probes and writes a line for each thing tried. It returns how many let
// something through; an error means that nothing could be told.
func Run(ctx context.Context, o Options, out io.Writer) (leaks int, err error) {
	p := &prober{Options: o, secret: rand.Text(), out: out}
	if err := p.prepare(); err != nil {
		return 0, err
	}
	if p.echo, err = startEcho(o.Listen, p.secret); err != nil {
		return 0, err
	}
	defer p.echo.stop()
	if err := p.baseline(ctx); err != nil {
		return 0, err
	}
	steps := []func(context.Context) error{p.spoofs, p.aliases, p.forwards, p.hops, p.rewrites}
	guarded, err := p.guarded(ctx)
	if err != nil {
		return p.leaks, err
	}
	if guarded { // or everything passes, and no trick proves anything
		steps = append(steps, p.questions, p.hosts, p.paths)
	}
	for _, step := range steps {
		if err := step(ctx); err != nil {
			return p.leaks, err
		}
	}
	if p.leaks == 0 {
		fmt.Fprintln(out, "no leaks")
	}
	return p.leaks, nil
}

func (p *prober) prepare() (err error) {
	p.target, err = url.Parse(p.URL)
	if err != nil || p.target.Host == "" || p.target.Scheme != "https" && p.target.Scheme != "http" {
		return fmt.Errorf("%q: want an address such as https://app.example.com", p.URL)
	}
	if !slices.Contains(append(kinds, ""), p.Proxy) {
		return fmt.Errorf("%q: want one of %s", p.Proxy, strings.Join(kinds, ", "))
	}
	if !strings.HasPrefix(p.Prefix, "/") || strings.HasSuffix(p.Prefix, "/") {
		return fmt.Errorf("%q: want a path such as /gatepost-probe", p.Prefix)
	}
	for _, h := range p.Headers {
		if path, ok := strings.CutPrefix(h, "@"); ok {
			raw, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			h = strings.TrimSpace(string(raw))
		}
		if name, _, ok := strings.Cut(h, ":"); !ok || name == "" || strings.ContainsAny(h, "\r\n") {
			return errors.New("a header is one line, as in Cookie: name=value")
		}
		p.who = append(p.who, h)
	}
	roots, err := x509.SystemCertPool()
	if err != nil {
		roots = x509.NewCertPool()
	}
	if p.CAFile != "" {
		raw, err := os.ReadFile(p.CAFile)
		if err != nil {
			return err
		}
		if !roots.AppendCertsFromPEM(raw) {
			return fmt.Errorf("%s has no certificate in it", p.CAFile)
		}
	}
	p.dialer = dialer(p.target, p.Connect, roots)
	return nil
}

// baseline makes sure that the proxy leads here, and Gatepost lets pass what it
// has to: without that, nothing that does not arrive would mean anything.
func (p *prober) baseline(ctx context.Context) error {
	a, err := p.send(ctx, request{path: openPath})
	if err != nil {
		return err
	}
	if a.arrived == nil {
		return fmt.Errorf("%s%s%s answers %d and does not arrive here.\nFor the time of the probe, have the proxy lead %s/ to %s, and let these rules be Gatepost's first:\n%s",
			p.URL, p.Prefix, openPath, a.status, p.Prefix, p.echo.addr(), p.rules())
	}
	if p.who == nil {
		fmt.Fprintln(p.out, "?     nobody is signed in: give the Cookie or Authorization of somebody by --header, and more can be tried")
		return nil
	}
	a, err = p.send(ctx, request{path: closedPath, who: true})
	if err == nil && a.arrived == nil {
		err = fmt.Errorf("%s%s%s answers %d: --header does not sign in, or Gatepost lacks the rules\n%s", p.URL, p.Prefix, closedPath, a.status, p.rules())
	}
	return err
}

// rules are what the operator puts in front of all others.
func (p *prober) rules() string {
	host := p.target.Hostname()
	return fmt.Sprintf("  - {host: %s, path: %s%s, allow: public}\n  - {host: %s, path: %s, allow: signed-in}\n  - {host: %s, allow: public}\n", host, p.Prefix, openPath, host, p.Prefix, openHost)
}

// report writes what became of one kind of attempt, and what closes it.
func (p *prober) report(what topic, found []finding) {
	if len(found) == 0 {
		fmt.Fprintf(p.out, "ok    %s\n", what.fine)
		return
	}
	for _, f := range found {
		p.leaks++
		fmt.Fprintf(p.out, "LEAK  %s: %s\n", what.name, f.text)
	}
	if p.Proxy == "" {
		for _, kind := range kinds {
			fmt.Fprintf(p.out, "      %-8s %s\n", kind+":", strings.ReplaceAll(what.remedy(kind), "{name}", "<name>"))
		}
		return
	}
	for _, line := range remedies(what.remedy(p.Proxy), found) {
		fmt.Fprintf(p.out, "      %s\n", line)
	}
}

// remedies are the lines for each header found, or one for them all.
func remedies(line string, found []finding) (lines []string) {
	for _, f := range found {
		if l := strings.ReplaceAll(line, "{name}", f.name); !slices.Contains(lines, l) {
			lines = append(lines, l)
		}
	}
	if len(lines) > 4 {
		return []string{strings.ReplaceAll(line, "{name}", "<name>") + "   for each <name>"}
	}
	return lines
}

// finding is one leak; name is the header that it is about.
type finding struct{ name, text string }
