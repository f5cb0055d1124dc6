package main

import (
	"fmt"
	"io"
	"net"

	"github.com/gatepost/gatepost/cmd/internal/app"
	"github.com/gatepost/gatepost/docs/proxies"
)

type proxyConfig struct {
	Proxy       string `arg:"" help:"One of ${proxies}."`
	Part        string `arg:"" optional:"" help:"A further file of that proxy, as the first one names it."`
	Upstream    string `default:"127.0.0.1:3000" help:"The application's host:port."`
	Gatepost    string `help:"host:port where the proxy reaches Gatepost; listen by default."`
	Listen      string `default:"443" help:"Port, or address:port, of the proxy."`
	Certificate string `help:"PEM file with the certificate of all hosts (for HAProxy with the key in it)."`
	Key         string `help:"PEM file with its key."`
}

func (p proxyConfig) print(c app.Config, out io.Writer) error {
	gatepost := p.Gatepost
	if gatepost == "" {
		gatepost = reachable(c.Listen)
	}
	text, err := proxies.Part(p.Proxy, p.Part, proxies.Site{Hosts: c.GateHosts(), Pages: c.PageHosts(), BasePath: c.BasePath,
		Gatepost: gatepost, Upstream: p.Upstream, Listen: p.Listen, Certificate: p.Certificate, Key: p.Key})
	if err != nil {
		return err
	}
	_, err = fmt.Fprint(out, text)
	return err
}

// reachable is an address to connect to, from one to listen on.
func reachable(listen string) string {
	host, port, err := net.SplitHostPort(listen)
	if ip := net.ParseIP(host); err == nil && (host == "" || ip != nil && ip.IsUnspecified()) {
		return net.JoinHostPort("127.0.0.1", port)
	}
	return listen
}
