package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/gatepost/gatepost/bench/measure"
	"github.com/gatepost/gatepost/e2e/ports"
)

const (
	site   = "e2e/nextauth"             // the NextAuth site of the end-to-end tests
	origin = "https://site.example.org" // where browsers reach either
	secret = "the secret that both of them have, 32 bytes and more"
)

// A server is one of the two.
type server struct {
	*measure.Server
	name, addr string
	n          int // what was asked of it so far
}

// load does work so many times over keep-alive connections, or until the time is
// over.
func (s *server) load(ctx context.Context, d time.Duration, times int, do work) error {
	first, end := s.n, time.Now().Add(d)
	var begun, done atomic.Int64
	defer func() { s.n = first + int(done.Load()) }()
	return measure.Parallel(measure.Connections, func() error {
		c, err := measure.Dial(s.addr)
		if err != nil {
			return err
		}
		defer c.Close()
		for time.Now().Before(end) && ctx.Err() == nil {
			n := int(begun.Add(1) - 1)
			if n >= times {
				return nil
			}
			if err := do(c, first+n); err != nil {
				return err
			}
			done.Add(1)
		}
		return ctx.Err()
	})
}

// startGatepost starts the product in compatibility mode. It may have as many
// connections to Postgres as NextAuth has, which is Node's default.
func startGatepost(ctx context.Context, binary, dir, dsn, idp string) (*server, error) {
	addr, admin := ports.FreeAddr(), ports.FreeAddr()
	file := filepath.Join(dir, "gatepost.yaml")
	err := os.WriteFile(file, []byte(`
public_url: `+origin+`
base_path: /api/auth
compat: nextauth-v3
nextauth: {secret: "`+secret+`"}
listen: `+addr+`
admin_listen: `+admin+`
drain: 0s
dev: true
keys: [bench-key-bench-key-bench-key-bench-key-]
database: {url: "`+dsn+`", max_conns: 10}
mail: {host: "127.0.0.1:25", tls: none, from: site@example.org}
providers:
  - {id: idp, type: oauth2, name: Provider, authorization_url: "`+idp+`/authorize", token_url: "`+idp+`/token", userinfo_url: "`+idp+`/profile", client_id: site, client_secret: a-secret-of-some-length, override: {map: {id: id, name: name, email: email}}}
`), 0o600)
	if err != nil {
		return nil, err
	}
	p, err := measure.Serve(ctx, "http://"+admin+"/readyz", binary, "serve", "--config", file)
	return &server{Server: p, name: "Gatepost", addr: addr}, err
}

// startNextAuth starts the site as it is run in production, on the documented
// tables by the models that NextAuth lets a site define.
func startNextAuth(ctx context.Context, dsn, idp string) (*server, error) {
	addr := ports.FreeAddr()
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	u, err := url.Parse(dsn)
	if err != nil {
		return nil, err
	}
	database, err := json.Marshal(map[string]any{"type": "postgres", "host": u.Query().Get("host"), "port": 5432, "username": "gatepost", "database": u.Path[1:]})
	if err != nil {
		return nil, err
	}
	p, err := measure.Serve(ctx, "http://"+addr+"/", "env", "NODE_ENV=production", "PORT="+port, "ORIGIN="+origin, "SECRET="+secret, "TABLES=documented",
		"DATABASE="+string(database), "IDP="+idp, "node", filepath.Join(site, "site.mjs"))
	return &server{Server: p, name: "NextAuth", addr: addr}, err
}

// provider is an OAuth provider that lets the person in whom the code names.
func provider() (address string, stop func() error, err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /token", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"access_token":%q,"token_type":"bearer"}`, r.PostFormValue("code"))
	})
	mux.HandleFunc("GET /profile", func(w http.ResponseWriter, r *http.Request) {
		who := r.Header.Get("Authorization")[len("Bearer "):]
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"id":%q,"name":"Ada Lovelace","email":"%s@example.org"}`, who, who)
	})
	s := &http.Server{Handler: mux}
	go s.Serve(l)
	return "http://" + l.Addr().String(), s.Close, nil
}
