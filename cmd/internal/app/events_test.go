package app

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gatepost/gatepost/store"
	"github.com/gatepost/gatepost/store/storetest"
)

// withEvents is the DSN of a database where events can wait.
func withEvents(t *testing.T) string {
	t.Helper()
	dsn := storetest.URL(t)
	if _, err := store.MigrateOutbox(t.Context(), dsn); err != nil {
		t.Fatal(err)
	}
	return dsn
}

func (r *receiver) subscribes(name string, events ...string) EventHookConfig {
	return EventHookConfig{Name: name, URL: r.URL, Secrets: []Secret{Secret(r.secret)}, Events: events}
}

// await returns the first n events, and fails when they do not come in time.
func (r *receiver) await(t *testing.T, n int, within time.Duration) []received {
	t.Helper()
	for end := time.Now().Add(within); ; time.Sleep(5 * time.Millisecond) {
		r.mu.Lock()
		got := slices.Clone(r.got)
		r.mu.Unlock()
		if len(got) >= n {
			return got
		}
		if time.Now().After(end) {
			t.Fatalf("%d events came, want %d: %v", len(got), n, types(got))
		}
	}
}

func types(got []received) (all []string) {
	for _, m := range got {
		all = append(all, m.Type)
	}
	return all
}

// waits is what the outbox still holds.
func (s *site) waits(t *testing.T) (waiting, givenUp int) {
	t.Helper()
	held, err := s.parts.store.EventsHeld(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range held {
		waiting, givenUp = waiting+h.Waiting, givenUp+h.GivenUp
	}
	return waiting, givenUp
}

// What people do through the pages and the command is told, in order, signed,
// and without a token.
func TestEventsOfAVisit(t *testing.T) {
	t.Run("ours", func(t *testing.T) { visit(t, nil) })
	t.Run("beside NextAuth", func(t *testing.T) {
		visit(t, func(c *Config) { c.Compat, c.NextAuth.Secret = List{nextAuthV3}, sharedSecret })
	})
}

func visit(t *testing.T, mode func(*Config)) {
	t.Helper()
	all, some := newReceiver(t), newReceiver(t)
	s := newSite(t, withEvents(t), func(c *Config) {
		c.Webhooks.Events = []EventHookConfig{all.subscribes("all"), some.subscribes("some", "signOut", "createUser")}
		if mode != nil {
			mode(c)
		}
	})
	b, other, third := s.browser(), s.browser(), s.browser()
	b.get(b.answer("google", "1001"))
	b.get(b.answer("oidc", "1003")) // links
	other.post("/auth/signin/email", "email", "ada@example.org")
	other.post("/auth/callback/email", "code", s.newMail("ada@example.org", 1).Code())
	third.get(third.answer("google", "1001"))
	sessions, err := s.parts.store.SessionsOf(t.Context(), 1)
	if err != nil || len(sessions) != 3 {
		t.Fatal(sessions, err)
	}
	b.post("/auth/account/end", "id", fmt.Sprint(sessions[1].ID)) // the mail's
	b.post("/auth/signout")
	if n, err := s.parts.store.EndAllSessions(t.Context(), 1); err != nil || n != 1 { // gatepost sessions end
		t.Fatal(n, err)
	}
	want := []string{"createUser", "linkAccount", "signIn", "linkAccount", "signIn", "signIn", "signIn", "signOut", "signOut", "signOut"}
	got := all.await(t, len(want), 10*time.Second)
	if !slices.Equal(types(got), want) {
		t.Errorf("%v\nwant %v", types(got), want)
	}
	if got := types(some.await(t, 4, 5*time.Second)); !slices.Equal(got, []string{"createUser", "signOut", "signOut", "signOut"}) {
		t.Errorf("who wants some got %v", got)
	}
	if got[0].Data["email"] != "ada@example.org" || got[0].Data["id"] != "1" || got[2].Data["isNewUser"] != true || got[4].Data["isNewUser"] != false {
		t.Errorf("%v", got)
	}
	ids := map[string]bool{}
	for _, m := range got {
		ids[m.ID] = true
		for _, secret := range []string{"token", "secret", "refresh"} {
			if strings.Contains(strings.ToLower(m.Raw), secret) {
				t.Errorf("a %s is told: %s", secret, m.Raw)
			}
		}
	}
	if len(ids) != len(want) {
		t.Errorf("%d ids for %d events", len(ids), len(want))
	}
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if n, _ := s.waits(t); n == 0 {
			break
		}
	}
	if waiting, givenUp := s.waits(t); waiting != 0 || givenUp != 0 {
		t.Errorf("%d wait, %d are given up", waiting, givenUp)
	}
	if log := s.log.String(); strings.Contains(log, "ada@") || strings.Contains(log, all.secret) {
		t.Errorf("the log tells too much: %s", log)
	}
}

// A service that hangs, fails, resets or is gone keeps no other waiting and no
// sign-in from happening, and gets everything once it is well; only one that says
// that it is gone for good is believed.
func TestEventsForMisbehavingServices(t *testing.T) {
	t.Parallel()
	good, hangs, fails, resets, huge, gone := newReceiver(t), newReceiver(t), newReceiver(t), newReceiver(t), newReceiver(t), newReceiver(t)
	hangs.answers(func(_ http.ResponseWriter, r *http.Request, _ received) { <-r.Context().Done() })
	first := func(times int, wrong http.HandlerFunc) func(http.ResponseWriter, *http.Request, received) {
		return func(w http.ResponseWriter, r *http.Request, _ received) {
			if times--; times >= 0 {
				wrong(w, r)
			}
		}
	}
	fails.answers(first(1, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) }))
	resets.answers(first(1, func(w http.ResponseWriter, _ *http.Request) {
		if conn, _, err := w.(http.Hijacker).Hijack(); err == nil {
			conn.Close()
		}
	}))
	huge.answers(func(w http.ResponseWriter, _ *http.Request, _ received) {
		for range 100 {
			if _, err := w.Write(make([]byte, 1<<20)); err != nil {
				return
			}
		}
	})
	gone.answers(func(w http.ResponseWriter, _ *http.Request, _ received) { w.WriteHeader(http.StatusGone) })
	s := newSite(t, withEvents(t), func(c *Config) {
		for name, r := range map[string]*receiver{"good": good, "hangs": hangs, "fails": fails, "resets": resets, "huge": huge, "gone": gone} {
			c.Webhooks.Events = append(c.Webhooks.Events, r.subscribes(name, "signIn"))
		}
	})
	begin := time.Now()
	b := s.browser()
	if p := b.get(b.answer("google", "1001")); p.location != s.URL+"/" {
		t.Fatal(p.location)
	}
	good.await(t, 1, 2*time.Second)
	huge.await(t, 1, 2*time.Second)
	if took := time.Since(begin); took > 4*time.Second {
		t.Errorf("a good service waited %s", took)
	}
	for name, r := range map[string]*receiver{"fails": fails, "resets": resets} {
		if got := r.await(t, 2, 15*time.Second); got[0].ID != got[1].ID || got[0].Raw != got[1].Raw {
			t.Errorf("%s: told otherwise the second time: %v", name, got)
		}
	}
	// 11 s: the hanging request has ended, and is tried again, with the same id.
	hangs.await(t, 1, 2*time.Second)
	hangs.answers(nil)
	if got := hangs.await(t, 2, 30*time.Second); got[0].ID != got[1].ID {
		t.Errorf("%v", got)
	}
	if n := len(gone.take()); n != 1 {
		t.Errorf("who is gone was told %d times", n)
	}
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if n, _ := s.waits(t); n == 0 {
			break
		}
	}
	if waiting, givenUp := s.waits(t); waiting != 0 || givenUp != 1 {
		t.Errorf("%d wait, %d are given up", waiting, givenUp)
	}
	if log := s.log.String(); !strings.Contains(log, `"level":"ERROR","msg":"event given up`) || strings.Contains(log, "127.0.0.1") {
		t.Errorf("the log: %s", log)
	}
	if stats := fmt.Sprint(s.parts.events.Stats()); !strings.Contains(stats, "{gone 0 1 1 ") || !strings.Contains(stats, "{fails 1 1 0 ") {
		t.Errorf("%s", stats)
	}
	// Two days later somebody looks into it.
	gone.answers(nil)
	var out strings.Builder
	if err := ListEvents(t.Context(), s.parts.store, &out); err != nil || !strings.Contains(out.String(), "gone     0        -       1         it answered 410") {
		t.Errorf("%v: %s", err, out.String())
	}
	if err := RetryEvents(t.Context(), s.parts.store, "gone", &out); err != nil || !strings.Contains(out.String(), "tried again: 1\n") {
		t.Errorf("%v: %s", err, out.String())
	}
	gone.await(t, 1, 10*time.Second)
}

// While both ends know two secrets either will do, so that no event is lost in
// between.
func TestSecretsRotate(t *testing.T) {
	r := newReceiver(t)
	was, is := r.secret, NewWebhookSecret()
	s := newSite(t, withEvents(t), func(c *Config) {
		c.Webhooks.Events = []EventHookConfig{{Name: "crm", URL: r.URL, Secrets: []Secret{Secret(is), Secret(was)}, Events: []string{"signIn"}}}
	})
	for _, secret := range []string{was, is} {
		r.mu.Lock()
		r.secret = secret
		r.mu.Unlock()
		b := s.browser()
		b.get(b.answer("google", "1001"))
		r.await(t, 1, 5*time.Second)
		r.take()
	}
}

// Two replicas share the work: every event comes, and once.
func TestTwoReplicasTellOnce(t *testing.T) {
	r := newReceiver(t)
	dsn := withEvents(t)
	change := func(c *Config) { c.Webhooks.Events = []EventHookConfig{r.subscribes("crm", "signIn", "signOut")} }
	one, two := newSite(t, dsn, change), newSite(t, dsn, change)
	const rounds = 10
	for range rounds {
		for _, s := range []*site{one, two} {
			b := s.browser()
			b.get(b.answer("google", "1002"))
			b.post("/auth/signout")
		}
	}
	got := r.await(t, 4*rounds, 20*time.Second)
	time.Sleep(300 * time.Millisecond)
	got = r.await(t, len(got), 0)
	ids := map[string]bool{}
	for i, m := range got {
		ids[m.ID] = true
		if want := []string{"signIn", "signOut"}[i%2]; m.Type != want {
			t.Errorf("event %d is %s: one person's come in another order", i, m.Type)
		}
	}
	if len(got) != 4*rounds || len(ids) != len(got) {
		t.Errorf("%d events with %d ids, want %d", len(got), len(ids), 4*rounds)
	}
	if told := one.parts.events.Stats()[0].Told + two.parts.events.Stats()[0].Told; told != 4*rounds {
		t.Errorf("%d told", told)
	}
}

// Nothing starts without the table; what to do is said, and then it starts.
func TestStartNeedsTheOutbox(t *testing.T) {
	r := newReceiver(t)
	c := Default()
	c.PublicURL, c.Keys, c.Listen, c.AdminListen, c.Drain = "https://auth.example.org", []Secret{Secret(NewKey())}, "127.0.0.1:0", "", 0
	c.Database.URL = Secret(storetest.URL(t))
	c.Webhooks.Events = []EventHookConfig{r.subscribes("crm")}
	log := slog.New(slog.DiscardHandler)
	if err := Run(t.Context(), c, log); err == nil || !strings.Contains(err.Error(), "webhooks.events: events have no table to wait in: there is no gatepost.outbox; run «gatepost migrate»") {
		t.Fatal(err)
	}
	var out strings.Builder
	if Check(t.Context(), c, &out) == 0 || !strings.Contains(out.String(), "FAIL  outbox: ") || !strings.Contains(out.String(), "ok    webhooks.events[0]\n") {
		t.Error(out.String())
	}
	if got := r.take(); len(got) != 1 || got[0].Type != "ping" {
		t.Errorf("%v", got)
	}
	out.Reset()
	if err := Migrate(t.Context(), c, &out); err != nil || !strings.Contains(out.String(), "created gatepost.outbox") {
		t.Fatal(err, out.String())
	}
	out.Reset()
	if err := Migrate(t.Context(), c, &out); err != nil || !strings.HasPrefix(out.String(), "nothing to do") {
		t.Fatal(err, out.String())
	}
	r.answers(func(w http.ResponseWriter, _ *http.Request, _ received) { w.WriteHeader(http.StatusUnauthorized) })
	out.Reset()
	Check(t.Context(), c, &out)
	if !strings.Contains(out.String(), "ok    outbox\n") || !strings.Contains(out.String(), "FAIL  webhooks.events[0]: it answered 401\n      does it know one of the secrets") {
		t.Error(out.String())
	}
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if err := Run(ctx, c, log); err != nil {
		t.Errorf("with the table: %v", err)
	}
	// A database that is away is no mistake.
	c.Database.URL = "postgres://127.0.0.1:1/none"
	ctx, cancel = context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if err := Run(ctx, c, slog.New(slog.NewTextHandler(io.Discard, nil))); err != nil {
		t.Errorf("without a database: %v", err)
	}
}
