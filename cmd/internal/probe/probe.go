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
	"regexp"
	"slices"
	"strings"
	"time"
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
	believed = func() map[string]bool {
		all := map[string]bool{}
		for _, name := range slices.Concat(identity, others, routed) {
			all[folded(name)] = true
		}
		return all
	}()
)

// patience is how long an answer may take.
const patience = 15 * time.Second

// prober is one run.
type prober struct {
	Options
	target   *url.URL
	dialer   func(ctx context.Context) (net.Conn, error)
	patience time.Duration
	who      []string // header lines of somebody signed in
	secret   string   // begins every id, so that nobody else's requests count
	address  string   // that a client claims to come from
	echo     *echo
	out      io.Writer
	leaks    int
}

func newProber(o Options, out io.Writer) *prober {
	secret := rand.Text()
	// 192.0.2.0/24 is nobody's (RFC 5737).
	return &prober{Options: o, patience: patience, secret: secret, address: fmt.Sprintf("192.0.2.%d", 1+secret[0]), out: out}
}

// Run probes and writes a line for each thing tried. It returns how many let
// something through; an error means that nothing, or nothing more, could be told.
func Run(ctx context.Context, o Options, out io.Writer) (leaks int, err error) {
	p := newProber(o, out)
	err = p.run(ctx)
	return p.leaks, err
}

func (p *prober) run(ctx context.Context) (err error) {
	if err := p.Check(); err != nil {
		return err
	}
	if err := p.prepare(); err != nil {
		return err
	}
	if p.echo, err = startEcho(p.Listen, p.secret); err != nil {
		return fmt.Errorf("%w\nThe application's part is played there: name another host:port by --listen, and to the proxy", err)
	}
	defer p.echo.stop()
	if err := p.baseline(ctx); err != nil {
		return err
	}
	steps := []func(context.Context) error{p.spoofs, p.aliases, p.forwards, p.hops, p.rewrites}
	guarded, err := p.guarded(ctx)
	if err != nil {
		return err
	}
	if guarded { // or everything passes, and no trick proves anything
		steps = append(steps, p.questions, p.hosts, p.paths)
	}
	for _, step := range steps {
		if err := step(ctx); err != nil {
			return err
		}
		if err := p.alive(ctx); err != nil {
			return err
		}
	}
	if p.leaks == 0 {
		fmt.Fprintln(p.out, "no leaks")
	}
	return nil
}

// A host and a path that a request's head can be written with.
var (
	hostPattern   = regexp.MustCompile(`\A([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]+)?\z`)
	prefixPattern = regexp.MustCompile(`\A(/[A-Za-z0-9._~-]+)+\z`)
)

// Check reports what is wrong with o by itself. It repeats no part of an address
// that may be a password.
func (o Options) Check() error {
	target, err := url.Parse(o.URL)
	switch {
	case err != nil || target.Scheme != "https" && target.Scheme != "http" || target.User == nil && !hostPattern.MatchString(target.Host):
		return errors.New("the address: want the application's, such as https://app.example.com, its name in ASCII")
	case target.User != nil:
		return errors.New("the address: nobody signs in by a name and password in it; give what a browser sends by --header")
	case strings.Trim(target.Path, "/") != "" || target.RawQuery != "" || target.Fragment != "":
		return errors.New("the address: want no path; the one that the proxy leads to the probe is --prefix")
	case !slices.Contains(append(kinds, ""), o.Proxy):
		return fmt.Errorf("--proxy %q: want one of %s", o.Proxy, strings.Join(kinds, ", "))
	case !prefixPattern.MatchString(o.Prefix):
		return fmt.Errorf("--prefix %q: want a path such as /gatepost-probe", o.Prefix)
	}
	for name, address := range map[string]string{"--listen": o.Listen, "--connect": o.Connect} {
		if _, port, err := net.SplitHostPort(address); address != "" && (err != nil || port == "") {
			return fmt.Errorf("%s %q: want host:port, such as 127.0.0.1:9999 or [::1]:9999", name, address)
		}
	}
	return nil
}

// headerLine is a header as it is written.
var headerLine = regexp.MustCompile(`\A[A-Za-z0-9!#$%&'*+.^_|~-]+:[^\x00-\x08\x0a-\x1f\x7f]*\z`)

func (p *prober) prepare() (err error) {
	if p.target, err = url.Parse(p.URL); err != nil {
		return err
	}
	for _, h := range p.Headers {
		from := "--header"
		if path, ok := strings.CutPrefix(h, "@"); ok {
			raw, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			from, h = path, strings.TrimSpace(string(raw))
		}
		if !headerLine.MatchString(h) {
			return fmt.Errorf("%s: a header is one line, as in Cookie: name=value", from)
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
	p.dialer = dialer(p.target, p.Connect, roots, p.patience)
	return nil
}

// baseline makes sure that the proxy leads here, and Gatepost lets pass what it
// has to: without that, nothing that does not arrive would mean anything.
func (p *prober) baseline(ctx context.Context) error {
	a, err := p.exchange(ctx, request{path: openPath})
	if err != nil {
		return err
	}
	if a.arrived == nil {
		return fmt.Errorf("%s %s, and the request does not arrive here.\nFor the time of the probe, have the proxy lead %s/ to %s, and let these rules be Gatepost's first:\n%s",
			p.shown(openPath), a, p.Prefix, p.echo.addr(), p.rules())
	}
	if p.who == nil {
		fmt.Fprintln(p.out, "?     nobody is signed in: give the Cookie or Authorization of somebody by --header, and more can be tried")
		return nil
	}
	a, err = p.exchange(ctx, request{path: closedPath, who: true})
	if err == nil && a.arrived == nil {
		err = fmt.Errorf("%s %s: --header does not sign in, or Gatepost lacks the rules\n%s", p.shown(closedPath), a, p.rules())
	}
	return err
}

// alive makes sure that what arrived at first still does. A proxy that limits
// requests or bans the client would seem to refuse every trick.
func (p *prober) alive(ctx context.Context) error {
	a, err := p.exchange(ctx, request{path: openPath})
	if err == nil && a.arrived == nil {
		err = fmt.Errorf("%s %s by now, so what else does not arrive proves nothing: does something limit or ban clients? Let the probe pass it, and try again", p.shown(openPath), a)
	}
	return err
}

// shown is the address of a path below the prefix.
func (p *prober) shown(path string) string {
	return p.target.Scheme + "://" + p.target.Host + p.Prefix + path
}

// rules are what the operator puts in front of all others.
func (p *prober) rules() string {
	host := p.target.Hostname()
	if strings.Contains(host, ":") {
		host = `"[` + host + `]"`
	}
	return fmt.Sprintf("  - {host: %s, path: %s%s, allow: public}\n  - {host: %s, path: %s, allow: signed-in}\n  - {host: %s, allow: public}\n", host, p.Prefix, openPath, host, p.Prefix, openHost)
}

// report writes what became of one kind of attempt, and what closes it.
func (p *prober) report(what topic, found []finding) {
	if len(found) == 0 {
		fmt.Fprintf(p.out, "ok    %s\n", what.fine)
		return
	}
	said := map[string]bool{}
	for _, f := range found {
		if said[f.text] {
			continue
		}
		said[f.text] = true
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
