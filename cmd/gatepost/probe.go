package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/gatepost/gatepost/cmd/internal/probe"
)

type probeProxy struct {
	URL     string   `arg:"" help:"The application's address, as browsers reach it."`
	Listen  string   `default:"127.0.0.1:9999" help:"host:port where the proxy finds the probe in the application's place."`
	Prefix  string   `default:"/gatepost-probe" help:"Path that the proxy leads there."`
	Header  []string `short:"H" sep:"none" help:"Header of somebody signed in, as «Cookie: …»; @file reads it from a file."`
	Connect string   `help:"host:port to connect to instead of the address's own."`
	CAFile  string   `name:"ca-file" help:"PEM file of further certificates to trust."`
	Proxy   string   `help:"Kind of the proxy, for the line that closes a leak: ${proxies}."`
}

func (p probeProxy) options() probe.Options {
	return probe.Options{URL: p.URL, Listen: p.Listen, Prefix: p.Prefix, Headers: p.Header, Connect: p.Connect, CAFile: p.CAFile, Proxy: p.Proxy}
}

// Validate is kong's: a mistake here is one of usage.
func (p probeProxy) Validate() error { return p.options().Check() }

func (p probeProxy) run(ctx context.Context, out io.Writer) error {
	leaks, err := probe.Run(ctx, p.options(), out)
	if leaks > 0 {
		err = errors.Join(fmt.Errorf("%d leaks", leaks), err)
	}
	return err
}
