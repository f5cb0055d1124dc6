package app

import (
	"fmt"
	"net/url"
	"strings"
	"testing"

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
