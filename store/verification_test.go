package store_test

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatepost/gatepost/store"
	"github.com/gatepost/gatepost/store/storetest"
)

// G-2, M-5: a hundred uses of one link at once; the identity is the row's.
func TestOneLinkSignsInOnce(t *testing.T) {
	url := storetest.URL(t)
	s := storetest.OpenWith(t, store.Options{URL: url, MaxConns: 30, Timeout: 20 * time.Second})
	request(t, s, "ada@example.org", "t")
	var won, lost atomic.Int32
	var wg sync.WaitGroup
	for i := range 100 {
		wg.Go(func() {
			in, err := s.SignInByVerification(t.Context(), store.Proof{Tokens: []string{"t"}}, newSession(fmt.Sprint(i)))
			switch {
			case err == nil && in.User.Email == "ada@example.org" && in.User.EmailVerified != nil:
				won.Add(1)
			case errors.Is(err, store.ErrNotFound):
				lost.Add(1)
			default:
				t.Errorf("%+v, %v", in, err)
			}
		})
	}
	wg.Wait()
	if won.Load() != 1 || lost.Load() != 99 {
		t.Errorf("%d won and %d lost", won.Load(), lost.Load())
	}
	if n := query[int](t, url, "SELECT count(*) FROM sessions"); n != 1 {
		t.Errorf("%d sessions, want 1", n)
	}
}

// G-2: of a link and the code of the same mail, used at the same moment, one signs
// in, and the other is over.
func TestLinkAndCodeAtOnce(t *testing.T) {
	url := storetest.URL(t)
	s := storetest.OpenWith(t, store.Options{URL: url, MaxConns: 20})
	for round := range 20 {
		token := fmt.Sprint("t", round)
		request(t, s, "ada@example.org", token)
		var won, lost atomic.Int32
		var wg sync.WaitGroup
		for i, tokens := range [][]string{{token}, codeOf("ada@example.org", token).Tokens(5), {token}, codeOf("ada@example.org", token).Tokens(5)} {
			wg.Go(func() {
				_, err := s.SignInByVerification(t.Context(), store.Proof{Tokens: tokens}, newSession(fmt.Sprint(round, " ", i)))
				switch {
				case err == nil:
					won.Add(1)
				case errors.Is(err, store.ErrNotFound):
					lost.Add(1)
				default:
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if won.Load() != 1 || lost.Load() != 3 {
			t.Errorf("%d won and %d lost", won.Load(), lost.Load())
		}
	}
}

// M-8: what was mailed to an address is found by it, whatever the order of letters
// is in the database.
func TestMailsInEveryCollation(t *testing.T) {
	for _, collation := range []string{"C", "und-x-icu", "da-x-icu", "cs-x-icu", "sv-x-icu", "et-x-icu", "lt-x-icu"} {
		t.Run(collation, func(t *testing.T) {
			url := storetest.URL(t)
			if !query[bool](t, url, "SELECT EXISTS (SELECT FROM pg_collation WHERE collname = $1)", collation) {
				t.Log("this Postgres is built without it")
				return
			}
			exec(t, url, `ALTER TABLE verification_tokens ALTER token TYPE varchar(255) COLLATE "`+collation+`"`)
			s := storetest.OpenWith(t, store.Options{URL: url})
			for i := range 200 {
				address := fmt.Sprint(i, "@example.org")
				request(t, s, address, fmt.Sprint("kept ", i))
				request(t, s, address, fmt.Sprint("t", i))
				if _, err := s.SignInByVerification(t.Context(), store.Proof{Tokens: []string{fmt.Sprint("t", i)}}, newSession(fmt.Sprint(i))); err != nil {
					t.Fatal(err)
				}
			}
			if n := query[int](t, url, "SELECT count(*) FROM verification_tokens"); n != 0 {
				t.Errorf("%d rows are left", n)
			}
		})
	}
}

// codeOf is the code of a mail that was requested with token.
func codeOf(address, token string) store.MailedCode {
	return store.MailedCode{Identifier: address, ID: token, Link: token}
}

func request(t *testing.T, s *store.Store, address, token string) {
	t.Helper()
	_, ok, err := s.RequestVerification(t.Context(), store.VerificationRequest{Identifier: address, Token: token, CodeID: token, TTL: time.Minute, CodeTries: 5})
	if err != nil || !ok {
		t.Fatalf("request: %v, %v", ok, err)
	}
}

// M-8, M-12: limits hold and outlive the tokens; of links three live.
func TestMailLimits(t *testing.T) {
	url := storetest.URL(t)
	s := storetest.OpenWith(t, store.Options{URL: url, MaxConns: 20, Timeout: 20 * time.Second})
	ask := func(n int, address, client string) bool {
		_, ok, err := s.RequestVerification(t.Context(), store.VerificationRequest{
			Identifier: address, Token: fmt.Sprint(address, n), CodeID: fmt.Sprint(address, n), TTL: time.Minute, CodeTries: 5,
			AddressKey: address, ClientKey: client, Limits: store.MailLimits{AddressPerWindow: 3, AddressPerDay: 10, ClientPerWindow: 5, Window: 24 * time.Hour}})
		if err != nil {
			t.Error(err)
		}
		return ok
	}
	var granted atomic.Int32
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			if ask(i, "ada@example.org", "c1") {
				granted.Add(1)
			}
		})
	}
	wg.Wait()
	if n := granted.Load(); n != 3 {
		t.Errorf("%d of 20 at once granted, want 3", n)
	}
	exec(t, url, "DELETE FROM verification_tokens WHERE identifier <> 'limit'")
	for i := range 4 {
		ask(100+i, "ada@example.org", "c1")
	}
	if ask(200, "ada@example.org", "c2") {
		t.Error("the limit of an address is forgotten with its tokens")
	}
	for i := range 6 {
		ask(i, fmt.Sprintf("%d@example.org", i), "c3")
	}
	if ask(9, "9@example.org", "c3") {
		t.Error("a client's limit does not hold over addresses")
	}
}

// M-12: whoever asks at the same time as others is refused by a limit alone,
// never by a race, and all of them together never get more than it allows.
func TestMailLimitsUnderConcurrency(t *testing.T) {
	for _, tt := range []struct {
		name           string
		address        string // one for all; "" for one each
		limits         store.MailLimits
		asked, granted int32
	}{
		{"below every limit", "", store.MailLimits{AddressPerWindow: 3, AddressPerDay: 10, ClientPerWindow: 1000}, 100, 100},
		{"one client", "", store.MailLimits{ClientPerWindow: 3}, 100, 3},
		{"one address", "ada@example.org", store.MailLimits{AddressPerWindow: 3, AddressPerDay: 10, ClientPerWindow: 1000}, 100, 3},
		{"exactly all", "", store.MailLimits{ClientPerWindow: 20}, 20, 20},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.limits.Window = 24 * time.Hour
			s := storetest.OpenWith(t, store.Options{URL: storetest.URL(t), MaxConns: 30, Timeout: 20 * time.Second})
			var granted atomic.Int32
			var wg sync.WaitGroup
			for i := range tt.asked {
				wg.Go(func() {
					address := tt.address
					if address == "" {
						address = fmt.Sprintf("%d@example.org", i)
					}
					_, ok, err := s.RequestVerification(t.Context(), store.VerificationRequest{
						Identifier: address, Token: fmt.Sprint("t", i), CodeID: fmt.Sprint(i), TTL: time.Minute, CodeTries: 5,
						AddressKey: address, ClientKey: "c", Limits: tt.limits})
					if err != nil {
						t.Error(err)
					} else if ok {
						granted.Add(1)
					}
				})
			}
			wg.Wait()
			if n := granted.Load(); n != tt.granted {
				t.Errorf("%d of %d granted, want %d", n, tt.asked, tt.granted)
			}
		})
	}
}

func TestCodeTries(t *testing.T) {
	url := storetest.URL(t)
	s := storetest.OpenWith(t, store.Options{URL: url, MaxConns: 20, Timeout: 20 * time.Second})
	request(t, s, "ada@example.org", "t")
	var left, none atomic.Int32
	var wg sync.WaitGroup
	for range 30 {
		wg.Go(func() {
			if _, err := s.SpendCodeTry(t.Context(), codeOf("ada@example.org", "t")); errors.Is(err, store.ErrNotFound) {
				none.Add(1)
			} else if err == nil {
				left.Add(1)
			} else {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if left.Load() != 5 || none.Load() != 25 {
		t.Errorf("%d guesses were taken, want 5", left.Load())
	}
	if _, err := s.SignInByVerification(t.Context(), store.Proof{Tokens: codeOf("ada@example.org", "t").Tokens(5)}, newSession("x")); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("an exhausted code: %v", err)
	}
	if _, err := s.SignInByVerification(t.Context(), store.Proof{Tokens: []string{"t"}}, newSession("y")); err != nil {
		t.Errorf("the link must survive wrong codes: %v", err)
	}
}
