// Command nextauth measures the real next-auth 3 and the product's server in
// compatibility mode beside each other, on one database with one secret and by
// the same requests: throughput, the CPU time of the server, and the statements
// that Postgres executes. The servers have one core, the load and Postgres the
// other; every answer is verified. It needs Linux, taskset, two cores and
// Node.js with npm: make bench-nextauth.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/gatepost/gatepost/bench/measure"
)

type options struct {
	rounds  int
	seconds float64
	row     string
	binary  string
}

func main() {
	var o options
	flag.IntVar(&o.rounds, "rounds", 5, "rounds; medians of them are printed")
	flag.Float64Var(&o.seconds, "seconds", 2, "of load per measurement")
	flag.StringVar(&o.row, "row", "", "only those rows whose name contains this")
	flag.StringVar(&o.binary, "binary", "", "measure this gatepost instead of building one")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o); err != nil && !errors.Is(err, context.Canceled) {
		fmt.Fprintln(os.Stderr, "bench/nextauth:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) error {
	if err := measure.OnLoadCore(); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "gatepost-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if o.binary == "" {
		o.binary = filepath.Join(dir, "gatepost")
		if err := measure.Build(ctx, o.binary, "-s -w"); err != nil {
			return err
		}
	}
	if err := install(ctx); err != nil {
		return err
	}
	pg, err := measure.StartPostgres(ctx)
	if err != nil {
		return err
	}
	defer pg.Stop()
	dsn, err := seed(ctx, pg)
	if err != nil {
		return err
	}
	idp, stopProvider, err := provider()
	if err != nil {
		return err
	}
	defer stopProvider()
	ours, err := startGatepost(ctx, o.binary, dir, dsn, idp)
	if err != nil {
		return err
	}
	defer ours.Stop()
	theirs, err := startNextAuth(ctx, dsn, idp)
	if err != nil {
		return err
	}
	defer theirs.Stop()
	fmt.Printf("%s, %s\n", time.Now().Format("2006-01-02"), measure.Machine())
	node, err := exec.CommandContext(ctx, "node", "--version").Output()
	if err != nil {
		return err
	}
	fmt.Printf("next-auth 3.29.10 on Node.js %s, without Next\n", strings.TrimSpace(string(node)))
	return compare(ctx, o, pg, ours, theirs, dsn)
}

// install puts the packages of the NextAuth site in their place.
func install(ctx context.Context) error {
	if _, err := os.Stat(filepath.Join(site, "node_modules", "next-auth")); err == nil {
		return nil
	}
	npm := exec.CommandContext(ctx, "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefix", site)
	npm.Stdout, npm.Stderr = os.Stderr, os.Stderr
	return npm.Run()
}

// A row is one line of the table; all of it in the order Gatepost, NextAuth.
type row struct {
	name    string
	prepare func(context.Context) (times int, err error) // before each batch of so many; nil for none
	do      [2]work

	costs      [2][]cost // by round
	statements [2]float64
}

// A cost is per time that a row's work was done, of the server and of Postgres.
type cost struct{ perSecond, micros, postgres float64 }

// work is one thing that a browser does, for the nth time.
type work func(c *measure.Conn, n int) error

func compare(ctx context.Context, o options, pg *measure.Postgres, ours, theirs *server, dsn string) error {
	rows := slices.DeleteFunc(works(dsn), func(r *row) bool { return !strings.Contains(r.name, o.row) })
	servers := [2]*server{ours, theirs}
	for _, r := range rows {
		for i, s := range servers { // also warms them up
			if err := s.count(ctx, pg, r, i); err != nil {
				return fmt.Errorf("%s, %s: %w", r.name, s.name, err)
			}
			if err := s.measure(ctx, pg, r, i, 2*time.Second); err != nil {
				return fmt.Errorf("%s, %s: %w", r.name, s.name, err)
			}
		}
	}
	for _, r := range rows {
		r.costs = [2][]cost{}
	}
	for range o.rounds {
		for _, r := range rows {
			for i, s := range servers {
				if err := s.measure(ctx, pg, r, i, time.Duration(o.seconds*float64(time.Second))); err != nil {
					return fmt.Errorf("%s, %s: %w", r.name, s.name, err)
				}
			}
		}
	}
	print(rows)
	return nil
}

func print(rows []*row) {
	fmt.Printf("\n| what, Gatepost and NextAuth v3 | a second | ratio | CPU µs | ratio | statements | Postgres µs |\n|---|---|---|---|---|---|---|\n")
	for _, r := range rows {
		ours, theirs := median(r.costs[0]), median(r.costs[1])
		fmt.Printf("| %s | %.0f, %.0f | %.1f × | %.0f, %.0f | %.3f × | %.1f, %.1f | %.0f, %.0f |\n", r.name,
			ours.perSecond, theirs.perSecond, ours.perSecond/theirs.perSecond, ours.micros, theirs.micros, ours.micros/theirs.micros,
			r.statements[0], r.statements[1], ours.postgres, theirs.postgres)
	}
}

func median(costs []cost) cost {
	of := func(figure func(cost) float64) float64 {
		var all []float64
		for _, c := range costs {
			all = append(all, figure(c))
		}
		slices.Sort(all)
		return all[len(all)/2]
	}
	return cost{of(func(c cost) float64 { return c.perSecond }), of(func(c cost) float64 { return c.micros }), of(func(c cost) float64 { return c.postgres })}
}

// count finds how many statements r takes, one time after the other.
func (s *server) count(ctx context.Context, pg *measure.Postgres, r *row, i int) error {
	if _, err := r.batch(ctx); err != nil {
		return err
	}
	c, err := measure.Dial(s.addr)
	if err != nil {
		return err
	}
	defer c.Close()
	once := func() error { s.n++; return r.do[i](c, s.n-1) }
	if err := once(); err != nil { // connects
		return err
	}
	const times = 20
	n, err := pg.Statements(ctx, func() error {
		for range times {
			if err := once(); err != nil {
				return err
			}
		}
		return nil
	})
	r.statements[i] = float64(n) / times
	return err
}

// batch prepares for as many times as it returns.
func (r *row) batch(ctx context.Context) (times int, err error) {
	if r.prepare == nil {
		return math.MaxInt, nil
	}
	return r.prepare(ctx)
}

// measure has r done until the server was at it for d.
func (s *server) measure(ctx context.Context, pg *measure.Postgres, r *row, i int, d time.Duration) error {
	var took, spent, database time.Duration
	first := s.n
	for took < d {
		times, err := r.batch(ctx)
		if err != nil {
			return err
		}
		pg0, err := pg.CPU()
		if err != nil {
			return err
		}
		cpu0, err := s.CPU()
		if err != nil {
			return err
		}
		start := time.Now()
		if err := s.load(ctx, d-took, times, r.do[i]); err != nil {
			return err
		}
		took += time.Since(start)
		cpu1, err := s.CPU()
		if err != nil {
			return err
		}
		pg1, err := pg.CPU()
		if err != nil {
			return err
		}
		spent, database = spent+cpu1-cpu0, database+pg1-pg0
	}
	n := float64(s.n - first)
	r.costs[i] = append(r.costs[i], cost{n / took.Seconds(), float64(spent) / 1e3 / n, float64(database) / 1e3 / n})
	return nil
}
