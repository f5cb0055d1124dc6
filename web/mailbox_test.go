package web

import (
	"net/url"
	"testing"
)

func TestMailbox(t *testing.T) {
	seen := map[string]bool{}
	for _, h := range mailHosts {
		if u, err := url.Parse(h.url); err != nil || u.Scheme != "https" || u.Host == "" {
			t.Errorf("%s: %s", h.name, h.url)
		}
		for _, d := range h.domains {
			if seen[d] {
				t.Errorf("%s is there twice", d)
			}
			seen[d] = true
		}
	}
	for _, tt := range []struct{ address, name, link string }{
		{"ada@example.org", "", ""},
		{"", "", ""},
		{"ada@gmail.com.example.org", "", ""},
		{"ada@icloud.com", "iCloud Mail", "https://www.icloud.com/mail/"},
		{"a&b=c@gmail.com", "Gmail", "https://mail.google.com/mail/?authuser=a%26b%3Dc%40gmail.com#search/from:%28us@example.org%29%20in:anywhere%20newer_than:1h"},
	} {
		if name, link := mailbox(tt.address, addressOf("Us <us@example.org>")); name != tt.name || link != tt.link {
			t.Errorf("%s: %q %q", tt.address, name, link)
		}
	}
}
