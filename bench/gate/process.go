package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"

	"github.com/gatepost/gatepost/bench/measure"
	"github.com/gatepost/gatepost/e2e/ports"
)

// A process is a server under measurement.
type process struct {
	*measure.Server
	addr, admin string
}

// gatepost starts the product on a database. direct is where it listens for
// sessions that end; "" is the same database.
func (b *bench) gatepost(ctx context.Context, database, direct string) (*process, error) {
	addr, admin := ports.FreeAddr(), ports.FreeAddr()
	file := filepath.Join(b.dir, "gatepost-"+strings.ReplaceAll(addr, ":", "-")+".yaml")
	err := os.WriteFile(file, []byte(`
public_url: https://auth.example.org
cookie: {domain: example.org}
listen: `+addr+`
admin_listen: `+admin+`
drain: 0s
keys: ["`+b.keys+`"]
trusted_proxies: [127.0.0.1/32]
database: {url: "`+database+`", direct_url: "`+direct+`"}
gate:
  groups: {admins: [ada@example.org]}
  rules:
    - {name: the back office, host: app.example.org, path: /admin, allow: group:admins}
    - {host: app.example.org, path: /open, allow: public}
    - {host: app.example.org, allow: signed-in}
`), 0o600)
	if err != nil {
		return nil, err
	}
	p, err := measure.Serve(ctx, "http://"+admin+"/readyz", b.binary, "serve", "--config", file)
	return &process{p, addr, admin}, err
}

func (b *bench) bare(ctx context.Context) (*process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	addr := ports.FreeAddr()
	p, err := measure.Serve(ctx, "http://"+addr+"/200", self, "-bare", addr)
	return &process{p, addr, ""}, err
}
