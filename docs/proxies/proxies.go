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
	SignIn           string   // host of the sign-in pages
	BasePath         string   // Gatepost's, as /auth
	Gatepost         string   // host:port where it listens
	Upstream         string   // host:port of the application
	Listen           string   // of the proxy: a port, or address:port
	Certificate, Key string   // PEM files; "" where Caddy gets its own
}

// Example is the site that the pages show.
var Example = Site{
	Hosts: []string{"app.example.com"}, SignIn: "auth.example.com", BasePath: "/auth", Gatepost: "127.0.0.1:8080", Upstream: "127.0.0.1:3000",
	Listen: "443",
}

//go:embed nginx.conf Caddyfile haproxy.cfg haproxy.lua apache.conf apache.lua
var files embed.FS

// parts are the files of each proxy; the first is the main one.
var parts = map[string][]string{
	"nginx":   {"nginx.conf"},
	"caddy":   {"Caddyfile"},
	"haproxy": {"haproxy.cfg", "haproxy.lua"},
	"apache":  {"apache.conf", "apache.lua"},
}

// Kinds are the proxies that there are texts for.
var Kinds = []string{"nginx", "caddy", "haproxy", "apache"}

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

func render(file string, s Site) (string, error) {
	if s.Certificate == "" && file != "Caddyfile" {
		s.Certificate, s.Key = "/etc/ssl/certs/example.com.pem", "/etc/ssl/private/example.com.key"
	}
	if err := s.validate(); err != nil {
		return "", err
	}
	t, err := template.New(file).Delims("<<", ">>").Funcs(template.FuncMap{"join": strings.Join}).ParseFS(files, file)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	err = t.Execute(&b, s)
	return b.String(), err
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
	for _, v := range append([]string{s.SignIn, s.BasePath, s.Gatepost, s.Upstream, s.Listen, "/" + s.Certificate, "/" + s.Key}, s.Hosts...) {
		if !plain.MatchString(v) {
			return fmt.Errorf("%q cannot be written into a proxy's configuration", v)
		}
	}
	for _, v := range []string{s.Gatepost, s.Upstream} {
		if host, port, err := net.SplitHostPort(v); err != nil || host == "" || port == "" {
			return fmt.Errorf("%q: want host:port", v)
		}
	}
	return nil
}
