// Package bench measures what Gatepost adds to the SQL that it cannot do
// without, as ratios within one run: go test -run '^$' -bench . ./bench
package bench

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/gatepost/gatepost/store"
	"github.com/gatepost/gatepost/store/storetest"
)

func TestMain(m *testing.M) { storetest.Main(m) }

var lifetimes = store.Lifetimes{Idle: 720 * time.Hour, Update: 24 * time.Hour, Absolute: 2160 * time.Hour}

func session(i int) store.NewSession {
	return store.NewSession{SessionToken: fmt.Sprint("s", i), AccessToken: fmt.Sprint("0123456789a", i), Replaces: fmt.Sprint("s", i-1), Lifetimes: lifetimes, MaxPerUser: 20}
}

func signIn(i int) store.OAuthSignIn {
	return store.OAuthSignIn{Account: store.Account{CompoundID: "google:1", Type: "oauth", Provider: "google", ProviderAccountID: "1", AccessToken: "t"},
		User: store.User{Name: "Ada", Email: "ada@example.org"}, Session: session(i)}
}

// pair runs ours and the bare SQL in turns and reports their ratio. What
// prepare does is not measured.
func pair(b *testing.B, prepare, ours, bare func(i int) error) {
	var a, z time.Duration
	i := 0
	for b.Loop() {
		i++
		if err := prepare(i); err != nil {
			b.Fatal(err)
		}
		start := time.Now()
		if err := ours(i); err != nil {
			b.Fatal(err)
		}
		a += time.Since(start)
		start = time.Now()
		if err := bare(i); err != nil {
			b.Fatal(err)
		}
		z += time.Since(start)
	}
	b.ReportMetric(float64(a)/float64(z), "x_bare")
	b.ReportMetric(float64(a.Microseconds())/float64(i), "µs/ours")
	b.ReportMetric(float64(z.Microseconds())/float64(i), "µs/bare")
}

func nothing(int) error { return nil }

func open(b *testing.B) (*store.Store, *store.Cache, *pgxpool.Pool) {
	url := storetest.URL(b)
	s := storetest.OpenWith(b, store.Options{URL: url})
	pool, err := pgxpool.New(b.Context(), url)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(pool.Close)
	cache := store.NewCache(s, 1000, lifetimes)
	ctx, stop := context.WithCancel(context.Background())
	b.Cleanup(stop)
	go cache.Run(ctx)
	for !cache.Trusted() {
		time.Sleep(time.Millisecond)
	}
	if _, _, err := s.SignInByAccount(b.Context(), signIn(0)); err != nil {
		b.Fatal(err)
	}
	return s, cache, pool
}

// The least that signing in a known account needs: find it, insert a session.
func BenchmarkSignInKnownAccount(b *testing.B) {
	s, _, pool := open(b)
	pair(b, nothing, func(i int) error { _, _, err := s.SignInByAccount(b.Context(), signIn(i)); return err },
		func(i int) error {
			_, err := pool.Exec(b.Context(), `INSERT INTO sessions (user_id, expires, session_token, access_token)
				SELECT user_id, now() + interval '30 days', $1, $2 FROM accounts WHERE compound_id = $3`, fmt.Sprint("bare", i), fmt.Sprint("bare", i), "google:1")
			return err
		})
}

// The least that a mailed link needs: delete its row, insert a session.
func BenchmarkSignInByMail(b *testing.B) {
	s, _, pool := open(b)
	if _, err := pool.Exec(b.Context(), "INSERT INTO users (email) VALUES ('bare@example.org')"); err != nil {
		b.Fatal(err)
	}
	request := func(token string) error {
		address := map[byte]string{'t': "ada@example.org", 'b': "bare@example.org"}[token[0]]
		_, _, err := s.RequestVerification(b.Context(), store.VerificationRequest{Identifier: address, Token: token, CodeID: token, TTL: time.Minute, CodeTries: 5})
		return err
	}
	pair(b, func(i int) error {
		if err := request(fmt.Sprint("b", i)); err != nil {
			return err
		}
		return request(fmt.Sprint("t", i))
	}, func(i int) error {
		// Spending a link kills the other links of its address; the bare
		// statement's token is another person's.
		_, err := s.SignInByVerification(b.Context(), store.Proof{Tokens: []string{fmt.Sprint("t", i)}}, session(i))
		return err
	}, func(i int) error {
		_, err := pool.Exec(b.Context(), `WITH t AS (DELETE FROM verification_tokens WHERE token = $1 RETURNING identifier)
			INSERT INTO sessions (user_id, expires, session_token, access_token) SELECT id, now() + interval '30 days', $2, $2 FROM users JOIN t ON email = identifier`,
			fmt.Sprint("b", i), fmt.Sprint("bare", i))
		return err
	})
}

// A check in memory and one that asks, against one bare select.
func BenchmarkSessionCheck(b *testing.B) {
	s, cache, pool := open(b)
	bare := func(int) error {
		var id int
		var email string
		return pool.QueryRow(b.Context(), `SELECT u.id, u.email FROM sessions s JOIN users u ON u.id = s.user_id WHERE s.session_token = $1 AND s.expires > now()`, "s0").Scan(&id, &email)
	}
	b.Run("cached", func(b *testing.B) {
		pair(b, nothing, func(int) error { _, err := cache.Check(b.Context(), store.SessionToken, "s0"); return err }, bare)
	})
	b.Run("uncached", func(b *testing.B) {
		pair(b, nothing, func(int) error { _, _, err := s.Session(b.Context(), "s0", lifetimes); return err }, bare)
	})
}
