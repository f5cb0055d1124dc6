package measure

import (
	"bytes"
	"context"
	"fmt"
	"net/url"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/gatepost/gatepost/store/devpg"
)

// Postgres is a cluster that lives as long as the benchmark, on its core.
type Postgres struct {
	*devpg.Server
	databases  int
	postmaster int // its process id
	said       statements
}

// StartPostgres starts it; Stop removes it.
func StartPostgres(ctx context.Context) (*Postgres, error) {
	p := &Postgres{}
	var err error
	if p.Server, err = devpg.Start(ctx, devpg.Options{Ephemeral: true, Log: &p.said}); err != nil {
		return nil, err
	}
	c, err := pgx.Connect(ctx, p.URL())
	if err == nil {
		defer c.Close(ctx)
		_, p.postmaster, err = stat(int(c.PgConn().PID()))
	}
	if err != nil {
		p.Stop()
		return nil, err
	}
	return p, nil
}

// Database makes an empty database and returns its DSN.
func (p *Postgres) Database(ctx context.Context) (dsn string, err error) {
	p.databases++
	name := fmt.Sprintf("bench_%d", p.databases)
	if err := Execute(ctx, p.URL(), "CREATE DATABASE "+name); err != nil {
		return "", err
	}
	u, err := url.Parse(p.URL())
	if err != nil {
		return "", err
	}
	u.Path = "/" + name
	return u.String(), nil
}

// Execute runs one statement on a connection of its own.
func Execute(ctx context.Context, dsn, sql string, args ...any) error {
	c, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return err
	}
	defer c.Close(ctx)
	_, err = c.Exec(ctx, sql, args...)
	return err
}

// CPU is what all backends have spent that still run: the children of the
// server process.
func (p *Postgres) CPU() (total time.Duration, err error) {
	all, err := filepath.Glob("/proc/[0-9]*")
	for _, dir := range all {
		pid, err := strconv.Atoi(filepath.Base(dir))
		if err != nil {
			return 0, err
		}
		if spent, parent, err := stat(pid); err == nil && parent == p.postmaster {
			total += spent
		}
	}
	return total, err
}

// Statements counts what do has Postgres execute, BEGIN and COMMIT among it, by
// the log of the server: not to be timed at once.
func (p *Postgres) Statements(ctx context.Context, do func() error) (n int, err error) {
	for _, log := range []string{"all", "none"} {
		for _, sql := range []string{"ALTER SYSTEM SET log_statement = '" + log + "'", "SELECT pg_reload_conf()"} {
			if err := Execute(ctx, p.URL(), sql); err != nil {
				return 0, err
			}
		}
		time.Sleep(500 * time.Millisecond) // until every backend has read it, and all is written
		if log == "all" {
			before := p.said.n.Load()
			err = do()
			time.Sleep(200 * time.Millisecond)
			n = int(p.said.n.Load() - before)
		}
	}
	return n, err
}

// statements counts the lines of the log that begin a statement.
type statements struct {
	n    atomic.Int64
	rest []byte
}

func (s *statements) Write(said []byte) (int, error) {
	s.rest = append(s.rest, said...)
	for {
		line, rest, whole := bytes.Cut(s.rest, []byte("\n"))
		if !whole {
			return len(said), nil
		}
		if bytes.Contains(line, []byte("LOG:  statement: ")) || bytes.Contains(line, []byte("LOG:  execute ")) {
			s.n.Add(1)
		}
		s.rest = rest
	}
}
