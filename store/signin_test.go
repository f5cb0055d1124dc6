package store_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/gatepost/gatepost/store"
	"github.com/gatepost/gatepost/store/storetest"
)

// L-10: one identity signing in for the first time a hundred times at once.
func TestConcurrentFirstSignIns(t *testing.T) {
	url := storetest.URL(t)
	s := storetest.OpenWith(t, store.Options{URL: url, MaxConns: 30, Timeout: 20 * time.Second})
	var wg sync.WaitGroup
	for i := range 100 {
		wg.Go(func() {
			in, _, err := s.SignInByAccount(t.Context(), answer("google", "1", "ada@example.org", fmt.Sprint(i)))
			if err != nil || in.User.ID == 0 {
				t.Errorf("sign-in %d: user %d, %v", i, in.User.ID, err)
			}
		})
	}
	wg.Wait()
	if got := query[string](t, url, "SELECT (SELECT count(*) FROM users) || ' ' || (SELECT count(*) FROM accounts)"); got != "1 1" {
		t.Errorf("users and accounts: %s, want 1 1", got)
	}
}

// An account whose user is gone locks nobody out: its person gets a new user,
// one however many sign-ins there are at once, or adds it to the user they have.
func TestAccountWithoutUser(t *testing.T) {
	for _, tt := range []struct {
		name  string
		asked int
		do    func(s *store.Store, session string) (store.SignedIn, error)
		want  string // users, accounts, and whose the account is
	}{
		{"signs in", 1, func(s *store.Store, session string) (store.SignedIn, error) {
			in, _, err := s.SignInByAccount(t.Context(), answer("google", "1", "ada@example.org", session))
			return in, err
		}, "1 1 true"},
		{"signs in fifty times at once", 50, func(s *store.Store, session string) (store.SignedIn, error) {
			in, _, err := s.SignInByAccount(t.Context(), answer("google", "1", "", session))
			return in, err
		}, "1 1 true"},
		{"is linked to another user", 1, func(s *store.Store, session string) (store.SignedIn, error) {
			bob, _, err := s.SignInByAccount(t.Context(), answer("github", "2", "bob@example.org", "bob"))
			if err != nil {
				return bob, err
			}
			return s.SignInByLinking(t.Context(), bob.User.ID, []string{"bob@example.org"}, answer("google", "1", "", session))
		}, "1 2 true"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			url := storetest.URL(t)
			var count statements
			s := storetest.OpenWith(t, store.Options{URL: url, MaxConns: 20, Timeout: 20 * time.Second, Tracer: &count})
			if _, _, err := s.SignInByAccount(t.Context(), answer("google", "1", "ada@example.org", "old")); err != nil {
				t.Fatal(err)
			}
			exec(t, url, "DELETE FROM users")
			count.n.Store(0)
			var wg sync.WaitGroup
			for i := range tt.asked {
				wg.Go(func() {
					if in, err := tt.do(s, fmt.Sprint(i)); err != nil || in.User.ID == 0 || in.User.ID == 1 {
						t.Errorf("user %d, %v", in.User.ID, err)
					}
				})
			}
			wg.Wait()
			if n := count.n.Load(); tt.name == "signs in" && n != 1 {
				t.Errorf("%d statements, want 1", n)
			}
			got := query[string](t, url, "SELECT (SELECT count(*) FROM users) || ' ' || (SELECT count(*) FROM accounts) || ' ' || (SELECT bool_and(user_id IN (SELECT id FROM users)) FROM accounts)")
			if got != tt.want {
				t.Errorf("left: %s, want %s", got, tt.want)
			}
		})
	}
}

// nextauth-v3 §18 row 2: no account, no user, so that nobody is locked out by a
// half of their own sign-in.
func TestNoUserWithoutAccount(t *testing.T) {
	url := storetest.URL(t)
	s := storetest.OpenWith(t, store.Options{URL: url})
	in := answer("google", "1", "ada@example.org", "x")
	in.Account.Provider = strings.Repeat("p", 256)
	if _, _, err := s.SignInByAccount(t.Context(), in); !errors.Is(err, store.ErrInvalid) {
		t.Errorf("%v", err)
	}
	if got := query[string](t, url, "SELECT (SELECT count(*) FROM users) || ' ' || (SELECT count(*) FROM sessions)"); got != "0 0" {
		t.Errorf("left: %s", got)
	}
}

// L-2, L-3, L-7: what may be linked, and what linking leaves alone.
func TestLinking(t *testing.T) {
	url := storetest.URL(t)
	s := storetest.OpenWith(t, store.Options{URL: url})
	ctx := t.Context()
	ada, _, err := s.SignInByAccount(ctx, answer("google", "1", "ada@example.org", "ada"))
	if err != nil || !ada.NewUser {
		t.Fatal(ada, err)
	}
	if _, f, err := s.SignInByAccount(ctx, answer("github", "1", "ada@example.org", "x")); err != nil || f.Namesake != ada.User.ID || !f.NamesakeVerified || f.Owner != 0 {
		t.Errorf("same address: %+v, %v", f, err)
	}
	if _, err := s.SignInByLinking(ctx, ada.User.ID, []string{"bob@example.org"}, answer("github", "1", "", "x")); !errors.Is(err, store.ErrConflict) {
		t.Errorf("address of another: %v", err)
	}
	if _, err := s.SignInByLinking(ctx, ada.User.ID, nil, by("ada", answer("google", "1", "", "x"))); !errors.Is(err, store.ErrConflict) {
		t.Errorf("account that is taken: %v", err)
	}
	other := answer("github", "1", "new@example.org", "x")
	other.User.Name = "Eve"
	in, err := s.SignInByLinking(ctx, ada.User.ID, []string{"ada@example.org"}, other)
	if err != nil || in.User.Name != "Ada" || in.User.Email != "ada@example.org" {
		t.Errorf("%+v, %v", in, err)
	}
	if _, _, err := s.Session(ctx, "session ada", lifetimes); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("L-5: the other session: %v", err)
	}
	// L-9
	accounts, err := s.AccountsOf(ctx, ada.User.ID)
	if err != nil || len(accounts) != 2 {
		t.Fatal(accounts, err)
	}
	exec(t, url, "UPDATE users SET email_verified = NULL")
	if err := s.Unlink(ctx, ada.User.ID, accounts[0].ID, "session x"); err != nil {
		t.Error(err)
	}
	if err := s.Unlink(ctx, ada.User.ID, accounts[1].ID, "session x"); !errors.Is(err, store.ErrLastWayIn) {
		t.Errorf("last way in: %v", err)
	}
	if err := s.Unlink(ctx, 99, accounts[1].ID, ""); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("somebody else's account: %v", err)
	}
}

// FactsOf says what SignInByAccount would go by, and writes nothing.
func TestFacts(t *testing.T) {
	url := storetest.URL(t)
	s := storetest.OpenWith(t, store.Options{URL: url})
	ctx := t.Context()
	for _, who := range []store.OAuthSignIn{answer("google", "1", "ada@example.org", "ada"), answer("github", "2", "", "eve")} {
		if _, _, err := s.SignInByAccount(ctx, who); err != nil {
			t.Fatal(err)
		}
	}
	exec(t, url, "INSERT INTO users (email) VALUES ('bob@example.org')")
	exec(t, url, "INSERT INTO accounts (compound_id, user_id, type, provider, provider_account_id) VALUES ('gitlab:9', 99, 'oauth', 'gitlab', '9')")
	for _, tt := range []struct {
		account, email string
		want           store.Facts
	}{
		{"google:1", "ada@example.org", store.Facts{Owner: 1, Namesake: 1, NamesakeVerified: true}},
		{"google:1", "", store.Facts{Owner: 1}},
		{"google:2", "ada@example.org", store.Facts{Namesake: 1, NamesakeVerified: true}},
		{"google:2", "bob@example.org", store.Facts{Namesake: 3}},
		{"google:2", "", store.Facts{}}, // a user without an address is nobody's namesake
		{"gitlab:9", "", store.Facts{}}, // its user is gone
		{"", "", store.Facts{}},
	} {
		if got, err := s.FactsOf(ctx, tt.account, spelled(tt.email)); err != nil || got != tt.want {
			t.Errorf("%q %q: %+v, %v", tt.account, tt.email, got, err)
		}
	}
	if n := query[int](t, url, "SELECT count(*) FROM sessions"); n != 2 {
		t.Errorf("%d sessions", n)
	}
}

// L-4 at a provider that vouches for the address of a user that nobody had
// proven, as all of NextAuth's are: it is proven from now on, unless somebody else
// may have named it. Nothing is taken away.
func TestAccountProvesAddress(t *testing.T) {
	for _, tt := range []struct {
		name, column, vouched, other string
		believed                     []string
		proven                       bool
	}{
		{"its only account", "ada@example.org", "ada@example.org", "", nil, true},
		{"another account", "ada@example.org", "ada@example.org", "elsewhere", []string{"github"}, false},
		{"another account, nobody is believed", "ada@example.org", "ada@example.org", "github", nil, false},
		{"another account, of a believed provider", "ada@example.org", "ada@example.org", "github", []string{"github"}, true},
		{"nothing vouched for", "ada@example.org", "", "", nil, false},
		{"another address", "ada@example.org", "eve@example.org", "", nil, false},
		{"absent on both sides", "", "", "", nil, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			url := storetest.URL(t)
			s := storetest.OpenWith(t, store.Options{URL: url})
			exec(t, url, "INSERT INTO users (name, email) VALUES ('Ada', nullif($1, ''))", tt.column)
			exec(t, url, "INSERT INTO accounts (compound_id, user_id, type, provider, provider_account_id) VALUES ('google:1', 1, 'oauth', 'google', '1')")
			if tt.other != "" {
				exec(t, url, "INSERT INTO accounts (compound_id, user_id, type, provider, provider_account_id) VALUES ('other:2', 1, 'oauth', $1, '2')", tt.other)
			}
			exec(t, url, "INSERT INTO sessions (user_id, expires, session_token, access_token) VALUES (1, now() + interval '1 day', 'before', 'before')")
			accounts := query[int](t, url, "SELECT count(*) FROM accounts")
			in := answer("google", "1", tt.vouched, "new")
			in.Believed = tt.believed
			out, _, err := s.SignInByAccount(t.Context(), in)
			if err != nil || out.User.ID != 1 || (out.User.EmailVerified != nil) != tt.proven {
				t.Fatalf("%+v, %v", out, err)
			}
			if got := query[bool](t, url, "SELECT email_verified IS NOT NULL FROM users"); got != tt.proven {
				t.Errorf("proven in its row: %v", got)
			}
			if n := query[int](t, url, "SELECT count(*) FROM accounts"); n != accounts {
				t.Errorf("%d accounts are left of %d", n, accounts)
			}
			if n := query[int](t, url, "SELECT count(*) FROM sessions"); n != 2 {
				t.Errorf("%d sessions, want 2", n)
			}
		})
	}
}

// The refresh token of an earlier consent stays when none came; S-1: the old
// session of the browser ends; S-14: so do the oldest beyond the limit.
func TestKnownAccount(t *testing.T) {
	url := storetest.URL(t)
	s := storetest.OpenWith(t, store.Options{URL: url})
	ctx := t.Context()
	if _, _, err := s.SignInByAccount(ctx, answer("google", "1", "", "1")); err != nil {
		t.Fatal(err)
	}
	again := answer("google", "1", "", "2")
	again.Account.RefreshToken, again.Account.AccessToken, again.Session.Replaces = "", "a2", "session 1"
	in, f, err := s.SignInByAccount(ctx, again)
	if err != nil || in.NewUser || f.Current != in.User.ID {
		t.Fatal(in, f, err)
	}
	if got := query[string](t, url, "SELECT refresh_token || ' ' || access_token || ' ' || (SELECT string_agg(session_token, ',') FROM sessions) FROM accounts"); got != "r1 a2 session 2" {
		t.Error(got)
	}
	for i := range 5 {
		more := answer("google", "1", "", fmt.Sprint("more", i))
		more.Session.MaxPerUser = 3
		if _, _, err := s.SignInByAccount(ctx, more); err != nil {
			t.Fatal(err)
		}
	}
	if n := query[int](t, url, "SELECT count(*) FROM sessions"); n != 3 {
		t.Errorf("%d sessions, want 3", n)
	}
}

// L-6: a session that is gone, or another user's, links nothing; nor does one that
// the first proof of the address is ending meanwhile.
func TestLinkingBySessionThatIsGone(t *testing.T) {
	url := storetest.URL(t)
	s := storetest.OpenWith(t, store.Options{URL: url})
	for _, id := range []string{"1", "2"} {
		if _, _, err := s.SignInByAccount(t.Context(), answer("google", id, id+"@example.org", id)); err != nil {
			t.Fatal(err)
		}
	}
	for _, session := range []string{"", "unknown", "2"} {
		if _, err := s.SignInByLinking(t.Context(), 1, nil, by(session, answer("github", "1", "", "x"+session))); !errors.Is(err, store.ErrConflict) {
			t.Errorf("by session %q: %v", session, err)
		}
	}
	proof, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer proof.Close(context.Background())
	for _, sql := range []string{"BEGIN", "UPDATE users SET email_verified = now() WHERE id = 1", "DELETE FROM sessions WHERE user_id = 1"} {
		if _, err := proof.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	linked := make(chan error)
	go func() {
		_, err := s.SignInByLinking(t.Context(), 1, nil, by("1", answer("github", "1", "", "late")))
		linked <- err
	}()
	eventually(t, "the linking waits", func() bool {
		return query[int](t, url, "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'") == 1
	})
	if _, err := proof.Exec(t.Context(), "COMMIT"); err != nil {
		t.Fatal(err)
	}
	if err := <-linked; !errors.Is(err, store.ErrConflict) {
		t.Errorf("after the proof: %v", err)
	}
	if n := query[int](t, url, "SELECT count(*) FROM accounts WHERE provider = 'github'"); n != 0 {
		t.Errorf("%d accounts were linked", n)
	}
}
