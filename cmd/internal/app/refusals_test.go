package app

import (
	"bytes"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/gatepost/gatepost/store/storetest"
)

// M-9: people behind one address who have the right link are never told to
// wait; wrong answers are limited for all of them.
func TestOnlyWrongAnswersAreLimited(t *testing.T) {
	s := newSite(t, storetest.URL(t), func(c *Config) { c.Mail.ClientPerWindow = 1000 })
	for i := range 15 {
		address := fmt.Sprintf("p%d@example.org", i)
		b := s.browser()
		b.post("/auth/signin/email", "email", address)
		link, _ := url.Parse(s.newMail(address, 1).Links()[0])
		if p := b.post("/auth/callback/email", "token", link.Query().Get("token")); p.location != s.URL+"/" {
			t.Fatalf("person %d: %s", i, p.location)
		}
	}
	b := s.browser()
	for range 10 {
		if p := b.post("/auth/callback/email", "token", strings.Repeat("x", 43)); !strings.Contains(p.location, "reason=link_expired") {
			t.Fatal(p.location)
		}
	}
	if p := b.post("/auth/callback/email", "token", strings.Repeat("x", 43)); !strings.Contains(p.location, "reason=rate_limited") {
		t.Errorf("the eleventh guess: %s", p.location)
	}
}

// M-11: the code form says the same whether a mail was sent or a limit kept it
// from being sent, also to whoever puts an old cookie back.
func TestCodeFormTellsNoLimit(t *testing.T) {
	s := newSite(t, storetest.URL(t), func(c *Config) { c.Mail.AddressPerWindow, c.TrustedProxies = 1, []string{"127.0.0.0/8"} })
	var said [2][]string
	for i := range said {
		b := s.browser()
		b.post("/auth/signin/email", "email", "ada@example.org")
		u, _ := url.Parse(s.URL)
		kept := b.http.Jar.Cookies(u)
		guess := func() string {
			form := url.Values{"csrfToken": {b.csrf()}, "code": {"x"}}
			return b.send("POST", "/auth/callback/email", form, "X-Forwarded-For", fmt.Sprintf("192.0.2.%d", i)).location
		}
		for range 6 {
			said[i] = append(said[i], guess())
		}
		b.http.Jar.SetCookies(u, kept)
		said[i] = append(said[i], guess())
	}
	for i, want := range []string{"code_wrong", "code_wrong", "code_wrong", "code_wrong", "code_exhausted", "code_exhausted", "code_wrong"} {
		for k, attempt := range []string{"sent", "not sent"} {
			if !strings.Contains(said[k][i], "reason="+want) {
				t.Errorf("%s, answer %d: %s, want %s", attempt, i+1, said[k][i], want)
			}
		}
	}
	if n := len(s.mail.Messages()); n != 1 {
		t.Errorf("%d mails", n)
	}
}

// An account page that is out of date ends what is still there, and is no fault
// of ours where it asks for what is gone.
func TestStaleAccountPage(t *testing.T) {
	s := newSite(t, storetest.URL(t), nil)
	b, other := s.browser(), s.browser()
	b.get(b.answer("google", "1001"))
	other.get(other.answer("google", "1001"))
	b.get(b.answer("github", "1002", "callbackUrl", "/auth/account")) // ends the other session
	for _, form := range [][]string{{"/auth/account/end", "id", "2"}, {"/auth/account/end", "id", "999"}, {"/auth/account/unlink", "id", "2"}, {"/auth/account/unlink", "id", "2"}} {
		if p := b.post(form[0], form[1:]...); !strings.HasPrefix(p.location, s.URL+"/auth/account?done=") {
			t.Errorf("%v: %d %s", form, p.status, p.location)
		}
	}
	if p := b.get("/auth/account"); strings.Count(p.body, ">Unlink<") != 1 || b.session().User.ID != "1" {
		t.Errorf("afterwards: %s", p.body)
	}
}

// nobody writes into the log by a path or a method.
func TestLogTakesNoPaths(t *testing.T) {
	s := newSite(t, storetest.URL(t), nil)
	b := s.browser()
	b.post("/auth/signin/eve@example.org")
	b.get("/auth/callback/" + strings.Repeat("long", 2000))
	b.send(strings.Repeat("M", 5000), "/auth/session", nil)
	b.get("/auth/callback/google?state=x")
	for line := range strings.SplitSeq(s.log.String(), "\n") {
		if len(line) > 1000 || strings.Contains(line, "eve@") || strings.Contains(line, "longlong") {
			t.Errorf("%.300s", line)
		}
	}
	if !strings.Contains(s.log.String(), `"provider":"google"`) {
		t.Error("a configured provider is not in the log")
	}
}

//
func TestLogTimesAreUTC(t *testing.T) {
	before := time.Local
	time.Local = time.FixedZone("Apia", 13*60*60)
	defer func() { time.Local = before }()
	for _, format := range []string{"json", "text"} {
		var b bytes.Buffer
		NewLogger(LogConfig{Level: "info", Format: format}, &b).Info("x")
		if !strings.Contains(b.String(), "Z") || strings.Contains(b.String(), "+13:00") {
			t.Errorf("%s", b.String())
		}
	}
}
