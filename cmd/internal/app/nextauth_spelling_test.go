package app

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
)

// users are all addresses, in the order of their users.
func (v v3) users() string {
	v.t.Helper()
	return strings.Join(v.sql(`SELECT email FROM users ORDER BY id`), " ")
}

// L-11: whoever has a row of v3's is signed in as its user, however v3 wrote the
// address, and v3 still finds it: by mail that was asked for here or there, and by
// its code.
func TestMailFindsSpellingOfNextAuth(t *testing.T) {
	for _, tt := range []struct{ stored, typed, mailed string }{
		{"idn@bücher.test", "idn@bücher.test", "idn@xn--bcher-kva.test"},
		{"idn@bücher.test", "Idn@BÜCHER.test", "idn@xn--bcher-kva.test"},
		{"idn@bücher.test", "idn@xn--bcher-kva.test", "idn@xn--bcher-kva.test"},
		{"idn@xn--bcher-kva.test", "idn@bücher.test", "idn@xn--bcher-kva.test"},
		{"Ada@Example.test", "Ada@Example.test", "ada@example.test"},
		{"a..b@docomo.test", "a..b@docomo.test", "a..b@docomo.test"},
	} {
		t.Run(tt.stored+" "+tt.typed, func(t *testing.T) {
			s, site := beside(t, nil)
			id := site.user("The one", tt.stored)
			site.user("Another", "idn@bucher.test")
			before := site.users()
			for n, way := range []string{"link", "code", "link of v3's", "link at v3"} {
				b := s.browser()
				if way == "link of v3's" {
					if p := b.press(site.link(s.URL, tt.stored, fmt.Sprintf("%064x", n))); strings.Contains(p.location, "error") {
						t.Fatalf("%s: %d %s", way, p.status, p.location)
					}
				} else {
					site.sql(`DELETE FROM verification_tokens`) // limits among them
					b.post("/auth/signin/email", "email", tt.typed)
					sent := s.newMail(tt.mailed, map[string]int{"link": 1, "code": 2, "link at v3": 3}[way])
					link, err := url.Parse(sent.Links()[0])
					if err != nil || link.Query().Get("email") != tt.stored {
						t.Fatalf("%s: %v %s", way, err, link)
					}
					switch way {
					case "link":
						b.press(sent.Links()[0])
					case "code":
						b.post("/auth/callback/email", "code", sent.Code())
					case "link at v3": // it then looks for a user with the address of the link
						if !site.opens(tt.stored, link.Query().Get("token")) {
							t.Errorf("%s: it does not open", way)
						}
						continue
					}
				}
				if got := b.session(); got.User.Name != "The one" || got.User.Email != tt.stored {
					t.Errorf("%s: %+v", way, got)
				}
			}
			if n := len(site.sql(`SELECT id FROM sessions WHERE user_id = $1::int`, id)); n != 3 || site.users() != before {
				t.Errorf("%d sessions, users %s", n, site.users())
			}
		})
	}
}

// The address of a new user is written as v3 would have it, so that v3 finds them
// by what they type there; and once, however many ways in they take at once.
func TestNewUserIsWrittenAsByNextAuth(t *testing.T) {
	s, site := beside(t, nil)
	var wait sync.WaitGroup
	for i, typed := range []string{"ute@bücher.example", "ute@xn--bcher-kva.example"} {
		b := s.browser()
		b.post("/auth/signin/email", "email", typed)
		code := s.newMail("ute@xn--bcher-kva.example", i+1).Code()
		wait.Go(func() { b.post("/auth/callback/email", "code", code) })
	}
	for _, provider := range []string{"google", "github"} {
		b := s.browser()
		callback := b.answer(provider, "1005")
		wait.Go(func() { b.get(callback) })
	}
	wait.Wait()
	if got := site.users(); got != "ute@bücher.example" {
		t.Errorf("users: %s", got)
	}
}

// L-2: a provider's word on an address finds v3's user under the other spelling,
// and makes no second one; the way in that they had before proves it.
func TestAccountFindsSpellingOfNextAuth(t *testing.T) {
	s, site := beside(t, nil)
	id := site.user("Ute", "ute@bücher.example")
	site.account(id, "github", "1005")
	b := s.browser()
	if p := b.get(b.answer("google", "1005")); !strings.Contains(p.location, "error=OAuthAccountNotLinked") {
		t.Fatalf("%d %s", p.status, p.location)
	}
	if p := b.get(b.answer("github", "1005")); p.status != http.StatusFound || strings.Contains(p.location, "error") {
		t.Fatalf("%d %s", p.status, p.location)
	}
	if got := b.session(); got.User.Name != "Ute" || got.User.Email != "ute@bücher.example" {
		t.Errorf("%+v", got)
	}
	if got := strings.Join(site.sql(`SELECT provider || ' ' || user_id FROM accounts ORDER BY id`), ","); got != "github "+id+",google "+id || site.users() != "ute@bücher.example" {
		t.Errorf("accounts %s, users %s", got, site.users())
	}
}

// A database that was taken over and is Gatepost's own now has addresses of
// NextAuth's all the same.
func TestTakenOverSpelling(t *testing.T) {
	s, site := beside(t, func(c *Config) { c.Compat, c.NextAuth.Secret, c.Linking = nil, "", "verified" })
	site.user("The one", "ute@bücher.example")
	for n, typed := range []string{"ute@bücher.example", "ute@xn--bcher-kva.example"} {
		b := s.browser()
		b.post("/auth/signin/email", "email", typed)
		b.press(s.newMail("ute@xn--bcher-kva.example", n+1).Links()[0])
		if got := b.session(); got.User.Name != "The one" {
			t.Errorf("%s: %+v", typed, got)
		}
	}
	b := s.browser()
	b.get(b.answer("google", "1005"))
	if got := b.session(); got.User.Name != "The one" || site.users() != "ute@bücher.example" {
		t.Errorf("%+v, users %s", got, site.users())
	}
}

// L-12: who may sign in at all goes by the mailbox, however v3 stored it; what is
// not exactly one is at no domain, also with an account that signs in.
func TestSignInListsAndNextAuth(t *testing.T) {
	s, site := beside(t, func(c *Config) { c.SignIn = SignInConfig{Allow: atoms("@bücher.test", "@victim.test")} })
	for i, tt := range []struct {
		email string
		want  bool
	}{{"idn@bücher.test", true}, {"Idn@xn--bcher-kva.test", true}, {"e＠evil.test@victim.test", false}, {"idn@\uff42ücher.test", false}} {
		id, person := site.user("", tt.email), []string{"1001", "1002", "1003", "1005"}[i]
		site.sql(`UPDATE users SET email_verified = now() WHERE id = $1::int`, id)
		site.account(id, "github", person)
		b := s.browser()
		if p := b.get(b.answer("github", person)); strings.Contains(p.location, "error=AccessDenied") == tt.want {
			t.Errorf("%s: %d %s", tt.email, p.status, p.location)
		}
	}
}
