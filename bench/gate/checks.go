package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gatepost/gatepost/bench/measure"
)

// A row is one line of the table of checks.
type row struct {
	name   string
	budget float64 // 0 for none
	server func(context.Context) (*process, error)
	warm   []measure.Request // sent once before each measurement
	next   func(n uint64) *measure.Request

	ratios, perSecond, micros, bare, postgres []float64 // by round
}

// checks prints what a check costs against the bare handler.
func (b *bench) checks(ctx context.Context) error {
	rows, err := b.checkRows(ctx)
	if err != nil {
		return err
	}
	rows = slices.DeleteFunc(rows, func(r *row) bool { return !strings.Contains(r.name, b.row) })
	for range b.rounds {
		for _, r := range rows {
			if err := b.round(ctx, r); err != nil {
				return fmt.Errorf("%s: %w", r.name, err)
			}
		}
	}
	fmt.Printf("\n| check | requests/s | CPU µs | of bare Echo | ratio | budget | Postgres µs |\n|---|---|---|---|---|---|---|\n")
	for _, r := range rows {
		ratio := median(r.ratios)
		fmt.Printf("| %s | %.0f | %.1f | %.1f | %.2f × | %s | %.1f |\n",
			r.name, median(r.perSecond), median(r.micros), median(r.bare), ratio, against(ratio, r.budget, "%.2f ×"), median(r.postgres))
	}
	return nil
}

// against says what the budget is, and where it is missed.
func against(got, budget float64, format string) string {
	if budget == 0 {
		return "–"
	}
	s := "≤ " + fmt.Sprintf(format, budget)
	if got > budget {
		s += " **over**"
	}
	return s
}

func median(v []float64) float64 {
	v = slices.Sorted(slices.Values(v))
	return v[len(v)/2]
}

// checkRows makes the databases and says what to ask their servers.
func (b *bench) checkRows(ctx context.Context) ([]*row, error) {
	on := func(dsn, direct string) func(context.Context) (*process, error) {
		return func(ctx context.Context) (*process, error) { return b.gatepost(ctx, dsn, direct) }
	}
	const many = 100_000
	all, err := b.sessions(many, many)
	if err != nil {
		return nil, err
	}
	var rows []*row
	var dsn string
	for _, n := range []int{1, 1000, many} {
		if dsn, err = b.seed(ctx, n, n); err != nil {
			return nil, err
		}
		asking := min(n, 1000)
		r := &row{name: fmt.Sprintf("signed in, cached, %d sessions", n), budget: 1.15, server: on(dsn, ""), warm: all[:n],
			next: func(i uint64) *measure.Request { return &all[i%uint64(asking)] }}
		if n == many {
			r.name += ", 1000 of them asking"
			r.warm = slices.Concat(all, all[:asking]) // the others are remembered, and these were the last to ask
		}
		rows = append(rows, r)
	}
	// As many sessions as the limit of sessions for each person allows.
	const people = many / 20
	few, err := b.sessions(many, people)
	if err != nil {
		return nil, err
	}
	fewDSN, err := b.seed(ctx, many, people)
	if err != nil {
		return nil, err
	}
	big, crowd := on(dsn, ""), on(fewDSN, "")
	deaf := on(dsn, "postgres://nobody@127.0.0.1:1/nowhere") // no LISTEN, no trust: every check asks the database
	forged := []byte(strings.Clone(string(all[0].Raw)))
	at := strings.Index(string(forged), cookieName) + len(cookieName) + 20
	copy(forged[at:], "forged")
	always := func(endpoint, path, accept, cookie, status, has string) func(uint64) *measure.Request {
		r := measure.Request{Raw: asked(endpoint, path, accept, cookie), Status: status, Has: []byte(has)}
		return func(uint64) *measure.Request { return &r }
	}
	seal, err := b.sealer()
	if err != nil {
		return nil, err
	}
	const forwardAuth = "/auth/forward"
	return append(rows,
		&row{name: "not signed in, API", budget: 1.10, server: big, next: always(forwardAuth, "/some/page?a=1", api, "", "401", "\r\nWww-Authenticate: Bearer")},
		&row{name: "not signed in, page", budget: 1.10, server: big, next: always(forwardAuth, "/some/page?a=1", page, "", "302", "callbackUrl=https%3A%2F%2Fapp.example.org%2Fsome%2Fpage%3Fa%3D1\r\n")},
		&row{name: "garbage cookie, forged", budget: 1.40, server: big, next: func(uint64) *measure.Request { return &measure.Request{Raw: forged, Status: "302"} }},
		&row{name: "garbage cookie, shapeless", budget: 1.40, server: big, next: always(forwardAuth, "/some/page?a=1", page, "x.y", "302", "")},
		&row{name: "signed in, forbidden, API", server: big, next: always(forwardAuth, "/admin", api, seal(token(1)), "403", "the back office")},
		&row{name: "uncached, without LISTEN, 1000 sessions", budget: 1.90, server: deaf, next: func(i uint64) *measure.Request { return &all[i%1000] }},
		// Each person has been here a moment ago, by a session that is not asked again while it is remembered.
		&row{name: "uncached, 100000 sessions of 5000 people in turn", budget: 1.90, server: crowd, warm: few[:people], next: func(i uint64) *measure.Request { return &few[(i+people)%many] }},
		&row{name: "the same of 100000 people: each gets an assertion signed", server: big, next: func(i uint64) *measure.Request { return &all[i%many] }},
		&row{name: "100000 sessions at random", server: big, next: func(uint64) *measure.Request { return &all[rand.IntN(many)] }},
	), nil
}

// round measures one row and, by the same requests, the limit. Both are started
// anew: a process is lucky with where its pages are, or not, by a tenth.
func (b *bench) round(ctx context.Context, r *row) error {
	server, err := r.server(ctx)
	if err != nil {
		return err
	}
	defer server.Stop()
	limit, err := b.bare(ctx)
	if err != nil {
		return err
	}
	defer limit.Stop()
	if err := measure.Each(ctx, server.addr, r.warm); err != nil {
		return err
	}
	same := make([]measure.Request, 64) // but for the path
	for i := range same {
		q := r.next(uint64(i))
		_, rest, _ := strings.Cut(string(q.Raw), " HTTP/1.1")
		same[i] = measure.Request{Raw: []byte("GET /" + q.Status + " HTTP/1.1" + rest), Status: q.Status}
	}
	// In short turns: on a shared machine a second may be twice as fast as the next.
	var ours, theirs cost
	for range b.turns {
		if err := b.spend(ctx, server, r.next, &ours); err != nil {
			return err
		}
		if err := b.spend(ctx, limit, func(n uint64) *measure.Request { return &same[n%64] }, &theirs); err != nil {
			return err
		}
	}
	r.ratios, r.perSecond = append(r.ratios, ours.each(ours.server)/theirs.each(theirs.server)), append(r.perSecond, float64(ours.requests)/ours.took.Seconds())
	r.micros, r.bare, r.postgres = append(r.micros, ours.each(ours.server)), append(r.bare, theirs.each(theirs.server)), append(r.postgres, ours.each(ours.postgres))
	return nil
}

// A cost is what requests have taken, of time and of CPU.
type cost struct {
	requests               uint64
	took, server, postgres time.Duration
}

// each is µs per request.
func (c cost) each(d time.Duration) float64 { return float64(d) / 1e3 / float64(c.requests) }

// spend adds to c what one turn costs.
func (b *bench) spend(ctx context.Context, p *process, next func(n uint64) *measure.Request, c *cost) error {
	if b.perf != "" {
		file := b.perf
		if p.admin == "" {
			file += ".bare"
		}
		record := exec.CommandContext(ctx, "perf", "record", "-q", "-g", "-F", "2999", "-o", file, "-p", strconv.Itoa(p.Process.Pid), "sleep", strconv.FormatFloat(b.seconds/float64(b.turns), 'f', 2, 64))
		if err := record.Start(); err != nil {
			return err
		}
		defer record.Wait()
	}
	database, err := b.pg.CPU()
	if err != nil {
		return err
	}
	before, err := p.CPU()
	if err != nil {
		return err
	}
	start := time.Now()
	n, err := measure.Load(ctx, p.addr, time.Duration(b.seconds/float64(b.turns)*float64(time.Second)), next)
	if err != nil {
		return err
	}
	c.took += time.Since(start)
	after, err := p.CPU()
	if err != nil {
		return err
	}
	later, err := b.pg.CPU()
	c.requests, c.server, c.postgres = c.requests+n, c.server+after-before, c.postgres+later-database
	return err
}
