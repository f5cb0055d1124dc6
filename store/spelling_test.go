package store_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/gatepost/gatepost/store"
	"github.com/gatepost/gatepost/store/storetest"
)

// spelled is an address alone, nil for none.
func spelled(address string) []string {
	if address == "" {
		return nil
	}
	return []string{address}
}

const (
	ascii   = "idn@xn--bcher-kva.de"
	unicode = "idn@bücher.de"
)

var spellings = []string{ascii, unicode}

// requestFor asks for a mail to one of spellings and says to which it went.
func requestFor(t *testing.T, s *store.Store, token string) string {
	t.Helper()
	identifier, ok, err := s.RequestVerification(t.Context(), store.VerificationRequest{
		Identifier: ascii, Addresses: spellings, Token: token, CodeID: token, TTL: time.Minute, CodeTries: 5})
	if err != nil || !ok {
		t.Fatalf("%v, %v", ok, err)
	}
	return identifier
}

// L-11: whoever NextAuth stored in another spelling is found by every flow, and
// keeps it, by which NextAuth finds them.
func TestOtherSpelling(t *testing.T) {
	vouched := func(subject, session string) store.OAuthSignIn {
		in := answer("google", subject, ascii, session)
		in.Addresses = spellings
		return in
	}
	for _, tt := range []struct {
		name string
		do   func(t *testing.T, s *store.Store) (store.User, error)
	}{
		{"link", func(t *testing.T, s *store.Store) (store.User, error) {
			if got := requestFor(t, s, "t"); got != unicode {
				t.Errorf("mailed for %s", got)
			}
			in, err := s.SignInByVerification(t.Context(), store.Proof{Tokens: []string{"t"}}, newSession("x"))
			return in.User, err
		}},
		{"code", func(t *testing.T, s *store.Store) (store.User, error) {
			requestFor(t, s, "t")
			in, err := s.SignInByVerification(t.Context(), store.Proof{Tokens: codeOf(unicode, "t").Tokens(5), Addresses: spellings}, newSession("x"))
			return in.User, err
		}},
		{"link of NextAuth's in the other spelling", func(t *testing.T, s *store.Store) (store.User, error) {
			request(t, s, ascii, "t")
			in, err := s.SignInByVerification(t.Context(), store.Proof{Tokens: []string{"t"}, Identifier: ascii, Addresses: spellings}, newSession("x"))
			return in.User, err
		}},
		{"account", func(t *testing.T, s *store.Store) (store.User, error) {
			in, _, err := s.SignInByAccount(t.Context(), vouched("1", "x"))
			return in.User, err
		}},
		{"namesake", func(t *testing.T, s *store.Store) (store.User, error) {
			in, f, err := s.SignInByAccount(t.Context(), vouched("2", "x"))
			if in.User.ID != 0 {
				t.Errorf("signed in as %d", in.User.ID)
			}
			return store.User{ID: f.Namesake, Email: unicode}, err
		}},
		{"facts", func(t *testing.T, s *store.Store) (store.User, error) {
			f, err := s.FactsOf(t.Context(), "", spellings)
			return store.User{ID: f.Namesake, Email: unicode}, err
		}},
		{"applicant", func(t *testing.T, s *store.Store) (store.User, error) {
			return s.Applicant(t.Context(), "", 0, spellings)
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			url := storetest.URL(t)
			s := storetest.OpenWith(t, store.Options{URL: url})
			exec(t, url, "INSERT INTO users (email) VALUES ('eve@xn--bcher-kva.de'), ($1)", unicode)
			exec(t, url, "INSERT INTO accounts (compound_id, user_id, type, provider, provider_account_id) VALUES ('google:1', 2, 'oauth', 'google', '1')")
			if user, err := tt.do(t, s); err != nil || user.ID != 2 || user.Email != unicode {
				t.Errorf("%+v, %v", user, err)
			}
			if got := query[string](t, url, "SELECT string_agg(email, ' ' ORDER BY id) FROM users"); got != "eve@xn--bcher-kva.de "+unicode {
				t.Errorf("users: %s", got)
			}
		})
	}
}

// L-2, L-4: an address that is vouched for in one spelling is proven, and links,
// in the other; one of nobody's links nothing.
func TestOtherSpellingIsProven(t *testing.T) {
	url := storetest.URL(t)
	s := storetest.OpenWith(t, store.Options{URL: url})
	exec(t, url, "INSERT INTO users (email) VALUES ($1)", unicode)
	exec(t, url, "INSERT INTO accounts (compound_id, user_id, type, provider, provider_account_id) VALUES ('google:1', 1, 'oauth', 'google', '1')")
	for _, tt := range []struct {
		email     string
		addresses []string
		proven    bool
	}{{"", nil, false}, {"", spellings, false}, {"eve@example.org", []string{"eve@example.org"}, false}, {ascii, nil, false}, {ascii, spellings, true}} {
		in := answer("google", "1", tt.email, fmt.Sprint(tt))
		in.Addresses = tt.addresses
		out, _, err := s.SignInByAccount(t.Context(), in)
		if err != nil || (out.User.EmailVerified != nil) != tt.proven {
			t.Errorf("%+v: %+v, %v", tt, out.User, err)
		}
	}
	for _, tt := range []struct {
		required []string
		want     error
	}{{[]string{}, store.ErrConflict}, {[]string{ascii}, store.ErrConflict}, {spellings, nil}} {
		if _, err := s.SignInByLinking(t.Context(), 1, tt.required, answer("github", "1", "", fmt.Sprint("link", tt.required))); !errors.Is(err, tt.want) {
			t.Errorf("%q: %v, want %v", tt.required, err, tt.want)
		}
	}
}

// Where two users have one mailbox, whoever proved it is meant, and else the
// first spelling: nobody puts a user of their own before the one that its owner
// has.
func TestTwoUsersOfOneMailbox(t *testing.T) {
	for name, tt := range map[string]struct {
		ascii, unicode bool // have proven it
		want           int32
	}{"neither": {false, false, 1}, "the first": {true, false, 1}, "the second": {false, true, 2}, "both": {true, true, 1}} {
		t.Run(name, func(t *testing.T) {
			url := storetest.URL(t)
			s := storetest.OpenWith(t, store.Options{URL: url})
			exec(t, url, "INSERT INTO users (email, email_verified) VALUES ($1, CASE WHEN $2 THEN now() END), ($3, CASE WHEN $4 THEN now() END)", ascii, tt.ascii, unicode, tt.unicode)
			if f, err := s.FactsOf(t.Context(), "", spellings); err != nil || f.Namesake != tt.want || f.NamesakeVerified != (tt.ascii || tt.unicode) {
				t.Errorf("%+v, %v", f, err)
			}
			requestFor(t, s, "t")
			if in, err := s.SignInByVerification(t.Context(), store.Proof{Tokens: []string{"t"}}, newSession("x")); err != nil || in.User.ID != tt.want {
				t.Errorf("%+v, %v", in.User, err)
			}
		})
	}
}

// M-5: what spellings are given decides nothing about whose the row is.
func TestSpellingsOfAnotherMailbox(t *testing.T) {
	url := storetest.URL(t)
	s := storetest.OpenWith(t, store.Options{URL: url})
	exec(t, url, "INSERT INTO users (email, email_verified) VALUES ('victim@example.org', now())")
	request(t, s, "eve@example.org", "t")
	in, err := s.SignInByVerification(t.Context(), store.Proof{Tokens: []string{"t"}, Addresses: []string{"victim@example.org"}}, newSession("x"))
	if err != nil || in.User.Email != "eve@example.org" || !in.NewUser {
		t.Errorf("%+v, %v", in, err)
	}
}

// L-10: at the same moment by mail and at two providers, in every spelling: one
// user.
func TestConcurrentSpellings(t *testing.T) {
	url := storetest.URL(t)
	s := storetest.OpenWith(t, store.Options{URL: url, MaxConns: 30, Timeout: 20 * time.Second})
	var wg sync.WaitGroup
	for i := range 3 {
		exec(t, url, "INSERT INTO verification_tokens (identifier, token, expires) VALUES ($1, $2, now() + interval '1 hour')", ascii, fmt.Sprint("t", i))
	}
	for i := range 3 {
		wg.Go(func() {
			_, err := s.SignInByVerification(t.Context(), store.Proof{Tokens: []string{fmt.Sprint("t", i)}, Addresses: spellings}, newSession(fmt.Sprint("m", i)))
			if err != nil && !errors.Is(err, store.ErrNotFound) { // another sign-in has made all links void
				t.Error(err)
			}
		})
	}
	for i := range 40 {
		wg.Go(func() {
			in := answer([]string{"google", "github"}[i%2], fmt.Sprint(i), ascii, fmt.Sprint("o", i))
			in.Addresses = []string{spellings[i/2%2], spellings[1-i/2%2]}
			if _, _, err := s.SignInByAccount(t.Context(), in); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if got := query[string](t, url, "SELECT string_agg(email, ' ') FROM users"); got != ascii {
		t.Errorf("users: %s", got)
	}
}

// L-4: what somebody else attached to another spelling of the address is asked
// about, too.
func TestFirstProofAsksInOtherSpelling(t *testing.T) {
	for _, keep := range [][]int32{{1}, nil} {
		url := storetest.URL(t)
		s := storetest.OpenWith(t, store.Options{URL: url})
		exec(t, url, "INSERT INTO users (email) VALUES ($1)", unicode)
		exec(t, url, `INSERT INTO accounts (compound_id, user_id, type, provider, provider_account_id) VALUES ('x', 1, 'oauth', 'evil', '6')`)
		request(t, s, ascii, "t")
		p := store.Proof{Tokens: []string{"t"}, Addresses: spellings, Ask: true}
		if _, atStake, err := s.VerificationToken(t.Context(), p); err != nil || len(atStake) != 1 || atStake[0].ID != 1 {
			t.Errorf("%+v, %v", atStake, err)
		}
		if _, err := s.SignInByVerification(t.Context(), p, newSession("asks")); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("unasked: %v", err)
		}
		p.Ask, p.Keep = false, keep
		if in, err := s.SignInByVerification(t.Context(), p, newSession("chose")); err != nil || in.User.ID != 1 || !in.Cleared {
			t.Errorf("%+v, %v", in, err)
		}
		if n := query[int](t, url, "SELECT count(*) FROM accounts"); n != len(keep) {
			t.Errorf("%d accounts, want %d", n, len(keep))
		}
	}
}
