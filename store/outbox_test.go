package store_test

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/gatepost/gatepost/store"
	"github.com/gatepost/gatepost/store/storetest"
)

var (
	moments = regexp.MustCompile(`"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d\d\dZ"`)
	userID  = regexp.MustCompile(`"(?:userId|id)" : "(\d+)", "(?:name|expires)"`)
)

var allEvents = []store.Subscription{{Hook: "crm", Events: store.EventNames()}}

// texts keeps the statements that reach the server.
type texts struct {
	mu  sync.Mutex
	all []string
}

func (s *texts) TraceQueryStart(ctx context.Context, _ *pgx.Conn, d pgx.TraceQueryStartData) context.Context {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all = append(s.all, d.SQL)
	return ctx
}
func (s *texts) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

func (s *texts) TraceBatchStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceBatchStartData) context.Context {
	return ctx
}

func (s *texts) TraceBatchQuery(_ context.Context, _ *pgx.Conn, d pgx.TraceBatchQueryData) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all = append(s.all, d.SQL)
}
func (s *texts) TraceBatchEnd(context.Context, *pgx.Conn, pgx.TraceBatchEndData) {}

func (s *texts) take() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := s.all
	s.all = nil
	return all
}

// withOutbox is a store that writes events down.
func withOutbox(t *testing.T, o store.Options) *store.Store {
	t.Helper()
	if o.URL == "" {
		o.URL = storetest.URL(t)
	}
	if created, err := store.MigrateOutbox(t.Context(), o.URL); err != nil || !created {
		t.Fatal(created, err)
	}
	return storetest.OpenWith(t, o)
}

// claimed are the events that are due, in order, each forgotten once it is taken.
func claimed(t *testing.T, s *store.Store, hook string) (got []string) {
	t.Helper()
	for {
		events, err := s.ClaimEvents(t.Context(), hook, 1, time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		if len(events) == 0 {
			return got
		}
		for _, e := range events {
			if !strings.HasPrefix(e.Message, "msg_") || len(e.Message) != 36 || e.Attempts != 1 || time.Since(e.CreatedAt) > time.Minute {
				t.Errorf("%+v", e)
			}
			got = append(got, e.Event+" "+string(e.Data))
			if err := s.EventTold(t.Context(), e.ID); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// Every flow writes what happened, in its one statement and in NextAuth's order;
// without subscriptions no statement knows of an outbox.
func TestFlowsWriteEvents(t *testing.T) {
	const account = `{"id" : "1", "type" : "oauth", "provider" : "google", "providerAccountId" : "1"}`
	ada := func(verified string) string {
		return `{"id" : "1", "name" : "Ada", "email" : "ada@example.org", "emailVerified" : ` + verified + `, "image" : null}`
	}
	out := `signOut {"id" : "4", "userId" : "1", "expires" : MOMENT, "createdAt" : MOMENT}`
	steps := []struct {
		name string
		do   func(s *store.Store) error
		want []string
	}{
		{"new person", func(s *store.Store) error {
			_, _, err := s.SignInByAccount(t.Context(), answer("google", "1", "ada@example.org", "1"))
			return err
		}, []string{"createUser " + ada("MOMENT"), `linkAccount {"user" : ` + ada("MOMENT") + `, "providerAccount" : ` + account + `}`, `signIn {"user" : ` + ada("MOMENT") + `, "account" : ` + account + `, "isNewUser" : true}`}},
		{"known account", func(s *store.Store) error {
			_, _, err := s.SignInByAccount(t.Context(), answer("google", "1", "ada@example.org", "2"))
			return err
		}, []string{`signIn {"user" : ` + ada("MOMENT") + `, "account" : ` + account + `, "isNewUser" : false}`}},
		{"nothing to act on", func(s *store.Store) error {
			_, _, err := s.SignInByAccount(t.Context(), answer("github", "1", "ada@example.org", "3"))
			return err
		}, nil},
		{"link", func(s *store.Store) error {
			_, err := s.SignInByLinking(t.Context(), 1, nil, by("2", answer("github", "1", "", "3")))
			return err
		}, []string{`linkAccount {"user" : ` + ada("MOMENT") + `, "providerAccount" : ` + strings.ReplaceAll(account, "google", "github") + `}`, `signIn {"user" : ` + ada("MOMENT") + `, "account" : ` + strings.ReplaceAll(account, "google", "github") + `, "isNewUser" : false}`}},
		{"mail link", func(s *store.Store) error {
			_, err := s.SignInByVerification(t.Context(), store.Proof{Tokens: []string{"t"}}, newSession("4"))
			return err
		},
			[]string{`signIn {"user" : ` + ada("MOMENT") + `, "account" : {"id" : "email", "type" : "email", "provider" : "email", "providerAccountId" : "ada@example.org"}, "isNewUser" : false}`}},
		{"sign out", func(s *store.Store) error { return s.EndSession(t.Context(), "session 4") }, []string{out}},
		{"sign out again", func(s *store.Store) error { return s.EndSession(t.Context(), "session 4") }, nil},
		{"mail link of somebody new", func(s *store.Store) error {
			_, err := s.SignInByVerification(t.Context(), store.Proof{Tokens: []string{"n"}}, newSession("5"))
			return err
		},
			[]string{`createUser {"id" : "2", "name" : null, "email" : "new@example.org", "emailVerified" : MOMENT, "image" : null}`, `signIn {"user" : {"id" : "2", "name" : null, "email" : "new@example.org", "emailVerified" : MOMENT, "image" : null}, "account" : {"id" : "email", "type" : "email", "provider" : "email", "providerAccountId" : "new@example.org"}, "isNewUser" : true}`}},
		{"one of mine", func(s *store.Store) error { return s.EndSessionByID(t.Context(), 2, 5) }, []string{strings.NewReplacer(`"4"`, `"5"`, `"1"`, `"2"`).Replace(out)}},
		{"first proof of an address", func(s *store.Store) error {
			_, err := s.SignInByVerification(t.Context(), store.Proof{Tokens: []string{"u"}}, newSession("6"))
			return err
		},
			[]string{`updateUser {"id" : "9", "name" : "Old", "email" : "old@example.org", "emailVerified" : MOMENT, "image" : null}`, `signIn {"user" : {"id" : "9", "name" : "Old", "email" : "old@example.org", "emailVerified" : MOMENT, "image" : null}, "account" : {"id" : "email", "type" : "email", "provider" : "email", "providerAccountId" : "old@example.org"}, "isNewUser" : false}`}},
		{"everywhere, with an access token", func(s *store.Store) error { _, err := s.EndAllSessions(t.Context(), 9); return err },
			[]string{strings.NewReplacer(`"4"`, `"6"`, `"1"`, `"9"`).Replace(out)}},
	}
	for _, on := range []bool{true, false} {
		var sent texts
		url := storetest.URL(t)
		var s *store.Store
		if on {
			s = withOutbox(t, store.Options{URL: url, Events: allEvents, Tracer: &sent})
		} else {
			s = storetest.OpenWith(t, store.Options{URL: url, Tracer: &sent})
		}
		exec(t, url, `INSERT INTO verification_tokens (identifier, token, expires) VALUES ('ada@example.org', 't', 'infinity'), ('new@example.org', 'n', 'infinity'), ('old@example.org', 'u', 'infinity')`)
		exec(t, url, `INSERT INTO users (id, name, email, image) VALUES (9, 'Old', 'old@example.org', repeat('x', 5000))`)
		exec(t, url, `INSERT INTO sessions (id, user_id, expires, session_token, access_token) VALUES (99, 9, 'infinity', 'api:x:y', 'z')`)
		for _, step := range steps {
			if step.name == "link" {
				// Linking kills what was mailed, and the next step spends it.
				exec(t, url, `UPDATE verification_tokens SET identifier = 'x@x' WHERE token = 't'`)
			} else if step.name == "mail link" {
				exec(t, url, `UPDATE verification_tokens SET identifier = 'ada@example.org' WHERE token = 't'`)
			}
			sent.take()
			if err := step.do(s); err != nil {
				t.Fatalf("%s: %v", step.name, err)
			}
			statements := sent.take()
			want := 1
			if step.name == "first proof of an address" {
				want = 3 // which wait for whoever links, and look for what began meanwhile
			}
			if len(statements) != want {
				t.Errorf("%s took %d statements, want %d", step.name, len(statements), want)
			}
			if !on {
				if strings.Contains(statements[0], "outbox") {
					t.Errorf("%s: a statement knows of an outbox that there is not", step.name)
				}
				continue
			}
			got := claimed(t, s, "crm")
			for i, g := range got {
				got[i] = moments.ReplaceAllString(g, "MOMENT")
			}
			if !slices.Equal(got, step.want) {
				t.Errorf("%s:\n got %s\nwant %s", step.name, strings.Join(got, "\n     "), strings.Join(step.want, "\n     "))
			}
		}
	}
}

// Of many who claim at once each event is claimed by one; those of one user come
// in order, and one that is not told holds the user's later ones back and nobody
// else's.
func TestClaimingEvents(t *testing.T) {
	url := storetest.URL(t)
	s := withOutbox(t, store.Options{URL: url, Events: append(allEvents, store.Subscription{Hook: "audit", Events: []string{store.EventSignOut}}), MaxConns: 20})
	const users, each = 20, 5
	for n := range users * each {
		if _, _, err := s.SignInByAccount(t.Context(), answer("google", fmt.Sprint(n%users), "", fmt.Sprint(n))); err != nil {
			t.Fatal(err)
		}
	}
	want := users * (each + 2)
	var mu sync.Mutex
	seen, perUser := map[string]int{}, map[string][]string{}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for {
				events, err := s.ClaimEvents(t.Context(), "crm", 3, time.Minute)
				if err != nil {
					t.Error(err)
					return
				}
				for _, e := range events {
					var user string
					mu.Lock()
					seen[e.Message]++
					if err := pick(e, &user); err != nil {
						t.Error(err)
					}
					perUser[user] = append(perUser[user], e.Event)
					mu.Unlock()
					if err := s.EventTold(t.Context(), e.ID); err != nil {
						t.Error(err)
					}
				}
				mu.Lock()
				all := len(seen)
				mu.Unlock()
				if all >= want || t.Failed() {
					return
				}
			}
		})
	}
	wg.Wait()
	for message, n := range seen {
		if n != 1 {
			t.Errorf("%s was claimed %d times", message, n)
		}
	}
	if len(seen) != want || len(perUser) != users {
		t.Errorf("%d events of %d users, want %d of %d", len(seen), len(perUser), want, users)
	}
	for user, got := range perUser {
		if want := []string{"createUser", "linkAccount", "signIn", "signIn", "signIn", "signIn", "signIn"}; !slices.Equal(got, want) {
			t.Errorf("user %s: %v", user, got)
		}
	}

	// A claim that nobody ends is over with its lease.
	one, two := "session 0", "session 1"
	for _, token := range []string{one, two} {
		if err := s.EndSession(t.Context(), token); err != nil {
			t.Fatal(err)
		}
	}
	first, err := s.ClaimEvents(t.Context(), "crm", 10, 300*time.Millisecond)
	if err != nil || len(first) != 2 {
		t.Fatal(first, err)
	}
	if again, err := s.ClaimEvents(t.Context(), "crm", 10, time.Minute); err != nil || len(again) != 0 {
		t.Errorf("claimed twice: %v %v", again, err)
	}
	if other := claimed(t, s, "audit"); len(other) != 2 {
		t.Errorf("another service waits for the first: %v", other)
	}
	time.Sleep(350 * time.Millisecond)
	second, err := s.ClaimEvents(t.Context(), "crm", 10, time.Minute)
	if err != nil || len(second) != 2 || second[0].Message != first[0].Message || second[0].Attempts != 2 {
		t.Errorf("after the lease: %+v %v", second, err)
	}

	// One that has not arrived holds back the same user's, and no other's.
	if err := errors.Join(s.EventNotTold(t.Context(), second[0].ID, time.Hour, "it answered 500"), s.EventTold(t.Context(), second[1].ID)); err != nil {
		t.Fatal(err)
	}
	for n := range users {
		if err := s.EndSession(t.Context(), fmt.Sprintf("session %d", users+n)); err != nil {
			t.Fatal(err)
		}
	}
	if got := claimed(t, s, "crm"); len(got) != users-1 {
		t.Errorf("%d events are due, want those of all users but one", len(got))
	}
	held, err := s.EventsHeld(t.Context())
	if err != nil || len(held) != 2 || held[1].Hook != "crm" || held[1].Waiting != 2 || held[1].GivenUp != 0 || held[1].Failure != "it answered 500" || held[1].Oldest == nil {
		t.Errorf("%+v %v", held, err)
	}
	// Given up, it lets the later ones go.
	if err := s.GiveUpEvent(t.Context(), second[0].ID, "it answered 410"); err != nil {
		t.Fatal(err)
	}
	if got := claimed(t, s, "crm"); len(got) != 1 {
		t.Errorf("after giving up: %v", got)
	}
	if n, err := s.ReviveEvents(t.Context(), "audit"); err != nil || n != 0 {
		t.Error(n, err)
	}
	if n, err := s.ReviveEvents(t.Context(), ""); err != nil || n != 1 {
		t.Error(n, err)
	}
	if got := claimed(t, s, "crm"); len(got) != 1 {
		t.Errorf("revived: %v", got)
	}
	exec(t, url, "UPDATE gatepost.outbox SET since = now() - interval '31 days'")
	if n, err := s.SweepEvents(t.Context(), 30*24*time.Hour, 1000); err != nil || n != users {
		t.Errorf("swept %d, %v", n, err)
	}
}

// A service that is down for long does not make claiming slow, and what waited
// for a user's first event is told right after it.
func TestClaimingFromABacklog(t *testing.T) {
	url := storetest.URL(t)
	s := withOutbox(t, store.Options{URL: url, Events: allEvents})
	const users, each = 200, 200
	exec(t, url, `INSERT INTO gatepost.outbox (schema, hook, message, event, user_id, data, due)
		SELECT 'public', 'crm', 'msg_' || n, 'signIn', n % $1::int, '{}', now() - interval '1 minute' FROM generate_series(0, $1::int * $2::int - 1) n`, users, each)
	exec(t, url, "ANALYZE gatepost.outbox")
	heads := map[int64]bool{}
	var first store.Event
	for len(heads) < users {
		events, err := s.ClaimEvents(t.Context(), "crm", 8, time.Minute)
		if err != nil || len(events) == 0 {
			t.Fatal(len(heads), err)
		}
		for _, e := range events {
			if first.ID == 0 {
				first = e
			}
			heads[e.ID] = true
			if err := s.EventNotTold(t.Context(), e.ID, time.Hour, "it answered 500"); err != nil {
				t.Fatal(err)
			}
		}
	}
	begin := time.Now()
	for range 20 {
		if events, err := s.ClaimEvents(t.Context(), "crm", 8, time.Minute); err != nil || len(events) > 0 {
			t.Fatal(events, err)
		}
	}
	if took := time.Since(begin) / 20; took > 30*time.Millisecond {
		t.Errorf("claiming nothing of %d events takes %s", users*each, took)
	}
	for n := range 3 {
		if err := s.EventTold(t.Context(), first.ID); err != nil {
			t.Fatal(err)
		}
		next, err := s.ClaimEvents(t.Context(), "crm", 8, time.Minute)
		if err != nil || len(next) != 1 || next[0].ID != first.ID+users {
			t.Fatalf("after %d: %v %v", n+1, next, err)
		}
		first = next[0]
	}
}

// pick is whose event it is.
func pick(e store.Event, user *string) error {
	m := userID.FindStringSubmatch(string(e.Data))
	if m == nil {
		return fmt.Errorf("no user in %s", e.Data)
	}
	*user = m[1]
	return nil
}

// Two schemas of one database do not take each other's.
func TestOutboxOfTwoSchemas(t *testing.T) {
	url := storetest.URL(t)
	if _, err := store.Migrate(t.Context(), url, `o'ther`); err != nil {
		t.Fatal(err)
	}
	s := withOutbox(t, store.Options{URL: url, Events: allEvents})
	other := storetest.OpenWith(t, store.Options{URL: url, Schema: `o'ther`, Events: allEvents})
	if _, _, err := other.SignInByAccount(t.Context(), answer("google", "1", "", "1")); err != nil {
		t.Fatal(err)
	}
	if got := claimed(t, s, "crm"); len(got) != 0 {
		t.Error(got)
	}
	if got := claimed(t, other, "crm"); len(got) != 3 {
		t.Error(got)
	}
}

// what is missing is said with the statement that helps.
func TestCheckOutbox(t *testing.T) {
	url := storetest.URL(t)
	s := storetest.OpenWith(t, store.Options{URL: url, Events: allEvents})
	if err := s.CheckOutbox(t.Context()); !errors.Is(err, store.ErrNoOutbox) || !strings.Contains(err.Error(), "«gatepost migrate»") {
		t.Error(err)
	}
	if _, _, err := s.SignInByAccount(t.Context(), answer("google", "1", "", "1")); !errors.Is(err, store.ErrUnavailable) || !strings.Contains(err.Error(), "«gatepost migrate»") {
		t.Errorf("a sign-in without the table: %v", err)
	}
	if created, err := store.MigrateOutbox(t.Context(), url); err != nil || !created {
		t.Fatal(created, err)
	}
	if created, err := store.MigrateOutbox(t.Context(), url); err != nil || created {
		t.Fatal(created, err)
	}
	if err := s.CheckOutbox(t.Context()); err != nil {
		t.Error(err)
	}
	role := "outbox_" + strings.ToLower(fmt.Sprint(time.Now().UnixNano()))
	exec(t, url, "CREATE ROLE "+role+" LOGIN; GRANT SELECT, INSERT, UPDATE, DELETE ON accounts, sessions, users, verification_tokens TO "+role+"; GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO "+role)
	t.Cleanup(func() {
		conn, err := pgx.Connect(context.Background(), url)
		if err == nil {
			conn.Exec(context.Background(), "DROP OWNED BY "+role+"; DROP ROLE "+role)
			conn.Close(context.Background())
		}
	})
	limited := storetest.OpenWith(t, store.Options{URL: strings.Replace(url, "user=gatepost", "user="+role, 1), Events: allEvents})
	err := limited.CheckOutbox(t.Context())
	if !errors.Is(err, store.ErrNoOutbox) {
		t.Fatal(err)
	}
	_, grants, _ := strings.Cut(err.Error(), "run ")
	exec(t, url, grants)
	if err := limited.CheckOutbox(t.Context()); err != nil {
		t.Error(err)
	}
	if _, _, err := limited.SignInByAccount(t.Context(), answer("google", "1", "", "1")); err != nil {
		t.Error(err)
	}
	if got := claimed(t, limited, "crm"); len(got) != 3 {
		t.Error(got)
	}
}
