package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/gatepost/gatepost/bench/measure"
	"github.com/gatepost/gatepost/store"
)

const mebibyte = 1 << 20

// memory prints what the server holds when idle and with 100,000 sessions.
func (b *bench) memory(ctx context.Context) error {
	const many = 100_000
	dsn, err := b.seed(ctx, many, many)
	if err != nil {
		return err
	}
	s, err := b.gatepost(ctx, dsn, "")
	if err != nil {
		return err
	}
	defer s.Stop()
	all, err := b.sessions(many, many)
	if err != nil {
		return err
	}
	time.Sleep(time.Second)
	idle, err := s.RSS()
	if err != nil {
		return err
	}
	most := 0
	for range 3 {
		if err := measure.Each(ctx, s.addr, all); err != nil {
			return err
		}
		held, err := s.RSS()
		if err != nil {
			return err
		}
		most = max(most, held)
	}
	mib := func(n int) float64 { return float64(n) / mebibyte }
	fmt.Printf("\n| memory | MiB | budget |\n|---|---|---|\n")
	fmt.Printf("| idle | %.1f | %s |\n", mib(idle), against(mib(idle), 30, "%.0f MiB"))
	fmt.Printf("| more after 100,000 sessions asked three times in turn | %.1f | %s |\n", mib(most-idle), against(mib(most-idle), 40, "%.0f MiB"))
	return nil
}

// latency prints how long a check takes at 2,000 a second, beside the limit.
func (b *bench) latency(ctx context.Context) error {
	dsn, err := b.seed(ctx, 1000, 1000)
	if err != nil {
		return err
	}
	s, err := b.gatepost(ctx, dsn, "")
	if err != nil {
		return err
	}
	defer s.Stop()
	limit, err := b.bare(ctx)
	if err != nil {
		return err
	}
	defer limit.Stop()
	ours, err := b.sessions(1000, 1000)
	if err != nil {
		return err
	}
	plain := measure.Request{Raw: asked("/200", "/some/page?a=1", page, "x"), Status: "200"}
	var p50, p99 [2][]float64
	for range b.rounds {
		for i, p := range []*process{s, limit} {
			took, err := measure.Paced(ctx, p.addr, 2000, 3*time.Second, func(n uint64) *measure.Request {
				if p == limit {
					return &plain
				}
				return &ours[n%1000]
			})
			if err != nil {
				return err
			}
			p50[i] = append(p50[i], measure.Quantile(took, 0.50).Seconds()*1e3)
			p99[i] = append(p99[i], measure.Quantile(took, 0.99).Seconds()*1e3)
		}
	}
	fmt.Printf("\n| 2,000 checks a second | p50 ms | p99 ms |\n|---|---|---|\n")
	fmt.Printf("| gate | %.2f | %.2f |\n| bare Echo | %.2f | %.2f |\n", median(p50[0]), median(p99[0]), median(p50[1]), median(p99[1]))
	return nil
}

// revocation prints how long three replicas believe in a session after the
// statement that ended it has returned.
func (b *bench) revocation(ctx context.Context) error {
	const times = 1000
	dsn, err := b.seed(ctx, times, times)
	if err != nil {
		return err
	}
	var replicas [3]*measure.Conn
	for i := range replicas {
		p, err := b.gatepost(ctx, dsn, "")
		if err != nil {
			return err
		}
		defer p.Stop()
		if replicas[i], err = measure.Dial(p.addr); err != nil {
			return err
		}
		defer replicas[i].Close()
	}
	s, err := store.Open(ctx, store.Options{URL: dsn})
	if err != nil {
		return err
	}
	defer s.Close()
	all, err := b.sessions(times, times)
	if err != nil {
		return err
	}
	var took []time.Duration
	for i := range all {
		for _, r := range replicas {
			if err := r.Ask(&all[i]); err != nil {
				return err
			}
		}
		if _, err := s.EndAllSessions(ctx, int32(i+1)); err != nil {
			return err
		}
		ended := time.Now()
		over := measure.Request{Raw: all[i].Raw, Status: "302"}
		for _, r := range replicas {
			for r.Ask(&over) != nil {
				if time.Since(ended) > 10*time.Second {
					return errors.New("a session outlives its end by 10 s")
				}
			}
			took = append(took, time.Since(ended))
		}
	}
	slices.Sort(took)
	ms := func(q float64) float64 { return measure.Quantile(took, q).Seconds() * 1e3 }
	fmt.Printf("\n| 1,000 sessions ended, three replicas | ms | budget |\n|---|---|---|\n")
	fmt.Printf("| p50 | %.2f | – |\n| p99 | %.2f | %s |\n| the longest | %.2f | – |\n", ms(0.50), ms(0.99), against(ms(0.99), 50, "%.0f ms"), ms(1))
	return nil
}

// start prints how long it takes from exec to ready.
func (b *bench) start(ctx context.Context) error {
	dsn, err := b.seed(ctx, 1, 1)
	if err != nil {
		return err
	}
	var took []float64
	for range 4 * b.rounds {
		p, err := b.gatepost(ctx, dsn, "")
		if err != nil {
			return err
		}
		p.Stop()
		took = append(took, p.Ready.Seconds()*1e3)
	}
	fmt.Printf("\n| start | ms | budget |\n|---|---|---|\n| exec to ready | %.0f | %s |\n| the longest of %d | %.0f | – |\n",
		median(took), against(median(took), 150, "%.0f ms"), len(took), slices.Max(took))
	return nil
}

// growth prints what more rows make of the two statements that matter.
func (b *bench) growth(ctx context.Context) error {
	sizes := []int{10_000, b.rows}
	var stores []*store.Store
	for _, n := range sizes {
		dsn, err := b.seed(ctx, n, n)
		if err != nil {
			return err
		}
		s, err := store.Open(ctx, store.Options{URL: dsn})
		if err != nil {
			return err
		}
		defer s.Close()
		stores = append(stores, s)
	}
	lifetimes := store.Lifetimes{Idle: 720 * time.Hour, Update: 24 * time.Hour, Absolute: 2160 * time.Hour}
	check := func(s *store.Store, i, n int) error {
		found, err := s.Check(ctx, store.SessionToken, []string{stored(token(1 + i*7919%n))}, lifetimes)
		if err == nil && len(found) != 1 {
			err = errors.New("a session is missing")
		}
		return err
	}
	signIn := func(s *store.Store, i, n int) error {
		id := fmt.Sprint(1 + i*7919%n)
		in, _, err := s.SignInByAccount(ctx, store.OAuthSignIn{
			Account: store.Account{CompoundID: stored("google:" + id), Type: "oauth", Provider: "google", ProviderAccountID: id, AccessToken: "t"},
			Session: store.NewSession{SessionToken: stored(fmt.Sprint("new", i)), AccessToken: stored(fmt.Sprint("newer", i)), Lifetimes: lifetimes, MaxPerUser: 20}})
		if err == nil && in.User.ID == 0 {
			err = errors.New("an account is missing")
		}
		return err
	}
	fmt.Printf("\n| statement | %d sessions, µs | %d sessions, µs | ratio | budget |\n|---|---|---|---|---|\n", sizes[0], sizes[1])
	// Whose pages Postgres has to fetch first, and who has been here before.
	checkAgain := func(s *store.Store, i, n int) error { return check(s, i%1000, n) }
	for _, what := range []struct {
		name  string
		do    func(*store.Store, int, int) error
		times int
	}{{"check, for the first time", check, 1000}, {"check, again", checkAgain, 3000}, {"sign in, known account", signIn, 3000}} {
		var took [2][]float64
		for i := range what.times {
			for k, s := range stores {
				start := time.Now()
				if err := what.do(s, i, sizes[k]); err != nil {
					return fmt.Errorf("%s: %w", what.name, err)
				}
				took[k] = append(took[k], float64(time.Since(start))/1e3)
			}
		}
		ratio := median(took[1]) / median(took[0])
		fmt.Printf("| %s | %.0f | %.0f | %.2f × | %s |\n", what.name, median(took[0]), median(took[1]), ratio, against(ratio, 1.2, "%.1f ×"))
	}
	return nil
}
