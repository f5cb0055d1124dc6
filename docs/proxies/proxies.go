// Package proxies is the configuration of each reverse proxy that these pages
// show: one text, which gatepost proxy-config prints for the operator's own
// hosts, and which the tests in e2e/proxies start.
package proxies

import (
	"embed"
	"errors"
	"fmt"
	"net"
	"regexp"
	"slices"
	"strings"
	"text/template"
)

// A Site is what the texts are filled with.
type Site struct {
	Hosts            []string // of the applications behind the gate
	Pages            []string // hosts of Gatepost's pages; under BasePath on one that is among Hosts, too
	BasePath         string   // Gatepost's, as /auth
	Gatepost         string   // host:port where it listens, or unix: and a path
	Upstream         string   // host:port of the application
	Listen           string   // of the proxy: a port, or address:port
	Certificate, Key string   // PEM files; "" where Caddy gets its own
}

// Example is the site that the pages show.
var Example = Site{
	Hosts: []string{"app.example.com"}, Pages: []string{"auth.example.com"}, BasePath: "/auth", Gatepost: "127.0.0.1:8080", Upstream: "127.0.0.1:3000",
	Listen: "443",
}

//go:embed nginx.conf Caddyfile haproxy.cfg haproxy.lua apache.conf apache.lua traefik.yaml traefik-static.yaml envoy.yaml
var files embed.FS

// parts are the files of each proxy; the first is the main one.
var parts = map[string][]string{
	"nginx":   {"nginx.conf"},
	"caddy":   {"Caddyfile"},
	"haproxy": {"haproxy.cfg", "haproxy.lua"},
	"apache":  {"apache.conf", "apache.lua"},
	"traefik": {"traefik.yaml", "traefik-static.yaml"},
	"envoy":   {"envoy.yaml"},
}

// Kinds are the proxies that there are texts for.
var Kinds = []string{"nginx", "caddy", "haproxy", "apache", "traefik", "envoy"}

// Config is the main text for a proxy.
func Config(kind string, s Site) (string, error) { return Part(kind, "", s) }

// Part is the text of one of a proxy's files; "" is the main one.
func Part(kind, name string, s Site) (string, error) {
	files := parts[kind]
	if len(files) == 0 {
		return "", fmt.Errorf("%q: want one of %s", kind, strings.Join(Kinds, ", "))
	}
	if name == "" {
		name = files[0]
	}
	if name == "gatepost.lua" {
		name = kind + ".lua"
	}
	if slices.Contains(files, name) {
		return render(name, s)
	}
	return "", fmt.Errorf("%s has no part %q", kind, name)
}

// socketFiles can lead to a Gatepost on a Unix socket.
var socketFiles = []string{"nginx.conf", "Caddyfile", "haproxy.cfg", "haproxy.lua"}

func render(file string, s Site) (string, error) {
	if s.Certificate == "" && file != "Caddyfile" {
		s.Certificate, s.Key = "/etc/ssl/certs/example.com.pem", "/etc/ssl/private/example.com.key"
	}
	if err := s.validate(); err != nil {
		return "", err
	}
	if s.Socket() != "" && !slices.Contains(socketFiles, file) {
		return "", fmt.Errorf("%s asks over TCP: have Gatepost listen on host:port, and name it by --gatepost", file)
	}
	t, err := template.New(file).Delims("<<", ">>").Funcs(funcs).ParseFS(files, file)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	err = t.Execute(&b, s)
	return b.String(), err
}

var funcs = template.FuncMap{
	"join": strings.Join, "traefik": traefikRule, "literal": literal,
	"one": func(hosts []string) string {
		if len(hosts) == 1 {
			return traefikRule(hosts)
		}
		return "(" + traefikRule(hosts) + ")" // && binds more closely than ||
	},
	"quoted": func(hosts []string) string { return `"` + strings.Join(hosts, `", "`) + `"` },
	"host":   func(addr string) string { host, _, _ := net.SplitHostPort(addr); return host },
	"port":   func(addr string) string { _, port, _ := net.SplitHostPort(addr); return port },
}

// traefikRule matches one of hosts; a wildcard is an expression there.
func traefikRule(hosts []string) string {
	var all []string
	for _, h := range hosts {
		if rest, wild := strings.CutPrefix(h, "*"); wild {
			all = append(all, "HostRegexp(`^[a-z0-9.-]+"+strings.ReplaceAll(rest, ".", "[.]")+"$`)")
		} else {
			all = append(all, "Host(`"+h+"`)")
		}
	}
	return strings.Join(all, " || ")
}

// Socket is the path of the Unix socket that Gatepost listens on, "" for none.
func (s Site) Socket() string {
	path, _ := strings.CutPrefix(s.Gatepost, "unix:")
	if path == s.Gatepost || !strings.HasPrefix(path, "/") {
		return ""
	}
	return path
}

// Dial is Gatepost's address as a proxy writes it, which puts prefix before the
// path of a socket.
func (s Site) Dial(prefix string) string {
	if path := s.Socket(); path != "" {
		return prefix + path
	}
	return s.Gatepost
}

// Authority is what stands in Gatepost's URL where the address is given apart.
func (s Site) Authority() string {
	if s.Socket() != "" {
		return "gatepost"
	}
	return s.Gatepost
}

// A Server is hosts that are configured alike.
type Server struct {
	Hosts    []string
	App      bool // an application, behind the gate
	Pages    bool // Gatepost's pages: under basePath beside an application, else everywhere
	basePath string
}

// Servers are all hosts: those of applications, those that share theirs with the
// pages, and those of the pages alone. A wildcard comes last, since Apache takes
// the first server that a host fits.
func (s Site) Servers() (all []Server) {
	var apps, shared, wild, alone []string
	for _, h := range s.Hosts {
		switch {
		case slices.Contains(s.Pages, h):
			shared = append(shared, h)
		case strings.HasPrefix(h, "*"):
			wild = append(wild, h)
		default:
			apps = append(apps, h)
		}
	}
	for _, h := range s.Pages {
		if !slices.Contains(s.Hosts, h) {
			alone = append(alone, h)
		}
	}
	for _, server := range []Server{{apps, true, false, s.BasePath}, {shared, true, true, s.BasePath}, {alone, false, true, s.BasePath}, {wild, true, false, s.BasePath}} {
		if len(server.Hosts) > 0 {
			all = append(all, server)
		}
	}
	return all
}

// PageServers are the servers with Gatepost's pages.
func (s Site) PageServers() []Server {
	return slices.DeleteFunc(s.Servers(), func(server Server) bool { return !server.Pages })
}

// Apps are the hosts of applications alone.
func (s Site) Apps() []string {
	return slices.DeleteFunc(slices.Clone(s.Hosts), func(h string) bool { return slices.Contains(s.Pages, h) })
}

// Shared reports that pages are on the host of an application.
func (s Site) Shared() bool {
	return slices.ContainsFunc(s.PageServers(), func(server Server) bool { return server.App })
}

// Wild reports that a host of an application is a wildcard, which may fit a host
// of the pages.
func (s Site) Wild() bool {
	return slices.ContainsFunc(s.Hosts, func(h string) bool { return strings.HasPrefix(h, "*") })
}

// Name is the first name of a server. Apache takes no wildcard there: then it is
// one that nobody has.
func (s Server) Name() string {
	if strings.HasPrefix(s.Hosts[0], "*") {
		return "gatepost.invalid"
	}
	return s.Hosts[0]
}

// Aliases are the hosts without Name.
func (s Server) Aliases() []string {
	return slices.DeleteFunc(slices.Clone(s.Hosts), func(h string) bool { return h == s.Name() })
}

// CheckPaths are those under which Gatepost answers proxies, by whatever name
// (compat), on the way to its pages. A client who could ask there would be
// believed what the proxy is believed: who the client is, and what is asked for
// (security F-1). On the host of an application the other paths are that
// application's.
func (s Server) CheckPaths() (all []string) {
	for _, f := range s.checkFolders() {
		for _, name := range f.names {
			all = append(all, f.path+"/"+name)
		}
	}
	return all
}

// Checks is CheckPaths as alternatives of an expression.
func (s Server) Checks() string {
	var all []string
	for _, f := range s.checkFolders() {
		names := strings.Join(f.names, "|")
		if len(f.names) > 1 {
			names = "(" + names + ")"
		}
		all = append(all, literal(f.path)+"/"+names)
	}
	return strings.Join(all, "|")
}

type folder struct {
	path  string
	names []string
}

func (s Server) checkFolders() (all []folder) {
	for _, f := range []folder{{s.basePath, []string{"nginx", "forward", "envoy"}},
		{"/oauth2", []string{"auth"}}, {"/api", []string{"authz", "verify"}}, {"/api/auth", []string{"nginx", "traefik", "caddy", "envoy"}}} {
		ours := folder{path: f.path}
		for _, name := range f.names {
			if !s.App || strings.HasPrefix(f.path+"/"+name, s.basePath+"/") {
				ours.names = append(ours.names, name)
			}
		}
		if len(ours.names) > 0 {
			all = append(all, ours)
		}
	}
	return all
}

// literal keeps a dot from standing for any character. HAProxy and YAML have
// other uses for a backslash.
func literal(text string) string { return strings.ReplaceAll(text, ".", "[.]") }

// Stripped are the headers that a client may not send, where a proxy has to be
// told each.
func (s Site) Stripped() []string {
	return []string{"remote-user", "remote-email", "remote-name", "remote-groups", "x-auth-request-user", "x-auth-request-email", "x-auth-request-preferred-username", "x-auth-request-groups",
		"x-auth-request-access-token", "x-auth-request-redirect", "x-gatepost-assertion", "x-original-url", "x-original-uri", "x-original-method", "x-rewrite-url", "x-forwarded-uri", "x-forwarded-method", "x-forwarded-prefix",
		"x-forwarded-port", "x-forwarded-host", "x-forwarded-user", "x-forwarded-email", "x-forwarded-groups", "x-forwarded-preferred-username", "x-forwarded-access-token", "x-real-ip", "forwarded",
		"remote.user", "remote.email", "remote.name", "remote.groups", "x.auth.request.user", "x.auth.request.email", "x.auth.request.preferred.username", "x.auth.request.groups", "x.gatepost.assertion"}
}

// Port and Address are the two halves of Listen.
func (s Site) Port() string { return s.Listen[strings.LastIndexByte(s.Listen, ':')+1:] }

// Address is "" for all addresses.
func (s Site) Address() string {
	return strings.TrimSuffix(strings.TrimSuffix(s.Listen, s.Port()), ":")
}

// plain is what none of the six syntaxes reads as anything but a word.
var plain = regexp.MustCompile(`\A[A-Za-z0-9._/:*\[\]-]+\z`)

// validate keeps a value from becoming a directive.
func (s Site) validate() error {
	if len(s.Hosts) == 0 {
		return errors.New("there is no host behind the gate: gate.rules name none")
	}
	if len(s.Pages) == 0 {
		return errors.New("there is no host for Gatepost's pages: see public_url")
	}
	for _, v := range slices.Concat([]string{s.BasePath, s.Gatepost, s.Upstream, s.Listen, "/" + s.Certificate, "/" + s.Key}, s.Hosts, s.Pages) {
		if !plain.MatchString(v) {
			return fmt.Errorf("%q cannot be written into a proxy's configuration", v)
		}
	}
	for _, v := range []string{s.Gatepost, s.Upstream} {
		if v == s.Gatepost && s.Socket() != "" {
			continue
		}
		if host, port, err := net.SplitHostPort(v); err != nil || host == "" || port == "" {
			return fmt.Errorf("%q: want host:port", v)
		}
	}
	return nil
}
