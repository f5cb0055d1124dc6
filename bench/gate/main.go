// Command gate measures what a check at the gate costs: the CPU time that the
// product's own server takes for a request, as a ratio to a bare Echo handler
// that answers with the same headers, in one run and in turns. The servers have
// one core, the load and Postgres the other; every answer is verified. It needs
// Linux, taskset and two cores: make bench-gate.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/gatepost/gatepost/bench/measure"
)

type options struct {
	rounds  int
	seconds float64
	turns   int // that each measurement is cut in
	only    string
	rows    int
	row     string
	perf    string
	binary  string
}

func main() {
	var o options
	bare := flag.String("bare", "", "serve the bare Echo handler at this address (what this program starts itself)")
	flag.IntVar(&o.rounds, "rounds", 5, "rounds; medians of them are printed")
	flag.Float64Var(&o.seconds, "seconds", 4, "of load per measurement")
	flag.StringVar(&o.only, "only", "", "parts to measure, separated by commas: checks, memory, revocation, start, growth, latency; all when empty")
	flag.IntVar(&o.rows, "rows", 1_000_000, "sessions of the grown database; the budget speaks of 10000000")
	flag.StringVar(&o.row, "row", "", "of the checks, only those whose name contains this")
	flag.StringVar(&o.perf, "perf", "", "record the server with Linux perf into this file, and bare Echo into FILE.bare")
	flag.StringVar(&o.binary, "binary", "", "measure this gatepost instead of building one")
	flag.Parse()
	if o.turns = 4; o.perf != "" {
		o.turns = 1 // each would be recorded over the one before
	}
	measure := func() error {
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
		defer stop()
		return run(ctx, o)
	}
	if *bare != "" {
		measure = func() error { return serveBare(*bare) }
	}
	if err := measure(); err != nil && !errors.Is(err, context.Canceled) {
		fmt.Fprintln(os.Stderr, "bench/gate:", err)
		os.Exit(1)
	}
}

// A bench is what all parts share.
type bench struct {
	options
	dir, binary string
	keys        string
	pg          *measure.Postgres
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
	b := &bench{options: o, dir: dir, binary: o.binary, keys: strings.Repeat("bench-key-", 5)}
	if b.binary == "" {
		b.binary = filepath.Join(dir, "gatepost")
		flags := "-s -w"
		if o.perf != "" {
			flags = "" // perf needs the names
		}
		if err := measure.Build(ctx, b.binary, flags); err != nil {
			return err
		}
	}
	if b.pg, err = measure.StartPostgres(ctx); err != nil {
		return err
	}
	defer b.pg.Stop()
	fmt.Printf("%s, %s\n", time.Now().Format("2006-01-02"), measure.Machine())
	for _, part := range []struct {
		name string
		run  func(context.Context) error
	}{
		{"checks", b.checks}, {"memory", b.memory}, {"latency", b.latency}, {"revocation", b.revocation}, {"start", b.start}, {"growth", b.growth},
	} {
		if o.only != "" && !strings.Contains(","+o.only+",", ","+part.name+",") {
			continue
		}
		if err := part.run(ctx); err != nil {
			return fmt.Errorf("%s: %w", part.name, err)
		}
	}
	return nil
}
