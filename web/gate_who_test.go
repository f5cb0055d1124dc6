package web

import (
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gatepost/gatepost/flows"
)

// A flood of values that nobody sealed stays within bounds, and displaces nobody.
func TestRefusedCookiesDisplaceNobody(t *testing.T) {
	s, ada := newSeen(2), &flows.Person{}
	s.put(keyOf("ada"), ada, time.Now())
	for i := range 3 * maxRefused {
		s.refuse(keyOf(strconv.Itoa(i)))
		if len(s.refused) > maxRefused {
			t.Fatalf("%d are remembered", len(s.refused))
		}
	}
	if p, refused := s.get(keyOf("ada")); p != ada || refused {
		t.Errorf("ada: %v, %t", p, refused)
	}
	if p, refused := s.get(keyOf(strconv.Itoa(3*maxRefused - 1))); p != nil || !refused {
		t.Errorf("the last: %v, %t", p, refused)
	}
	if p, refused := s.get(keyOf("unknown")); p != nil || refused {
		t.Errorf("unknown: %v, %t", p, refused)
	}
}

// Who comes takes the place of who came three before, if they are there still.
func TestSeenMakesRoom(t *testing.T) {
	s, now := newSeen(3), time.Now()
	s.swept = now
	person := map[string]*flows.Person{}
	for _, step := range []struct{ do, want string }{
		{"a", "a"}, {"b", "ab"}, {"a", "ab"}, {"c", "abc"}, {"d", "bcd"}, {"-c", "bd"}, {"c", "cd"}, {"e", "cde"}, {"d", "cde"}, {"f", "cef"}, {"-f", "ce"}, {"-e", "c"}, {"-c", ""}, {"g", "g"}, {"h", "gh"}, {"i", "ghi"},
	} {
		name := strings.TrimPrefix(step.do, "-")
		if name != step.do {
			s.forget(keyOf(name))
		} else {
			person[name] = &flows.Person{}
			s.put(keyOf(name), person[name], now)
		}
		got := ""
		for c := 'a'; c <= 'i'; c++ {
			if p, _ := s.get(keyOf(string(c))); p != nil {
				if got += string(c); p != person[string(c)] {
					t.Errorf("after %s: %c is somebody else", step.do, c)
				}
			}
		}
		if got != step.want {
			t.Errorf("after %s: %q, want %q", step.do, got, step.want)
		}
	}
}

// F-1: an address that shares its place with another is judged by itself.
func TestPeersThatShareAPlace(t *testing.T) {
	p := &checkpoint{trusted: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}, server: &server{}}
	for _, addr := range []string{"127.0.0.1:40001", "192.0.2.1:40001", "127.0.0.1:40001", "", "x", "127.0.0.1", "192.0.2.1:50001", "[::1]:40001", "[::ffff:127.0.0.1]:40001"} {
		want := addr == "127.0.0.1:40001" || addr == "[::ffff:127.0.0.1]:40001"
		for range 2 {
			if got := p.trusts(addr); got != want {
				t.Errorf("trusts(%q) = %t", addr, got)
			}
		}
	}
}

// An answer has the Date of its own second.
func TestDates(t *testing.T) {
	var d dates
	start := time.Date(2026, 11, 27, 23, 59, 59, 999_999_999, time.FixedZone("", 3600))
	for _, tt := range []struct {
		after time.Duration
		want  string
	}{
		{0, "Fri, 27 Nov 2026 22:59:59 GMT"}, {1, "Fri, 27 Nov 2026 23:00:00 GMT"}, {time.Second, "Fri, 27 Nov 2026 23:00:00 GMT"}, {2, "Fri, 27 Nov 2026 23:00:00 GMT"}, {-time.Hour, "Fri, 27 Nov 2026 21:59:59 GMT"},
	} {
		if got := d.at(start.Add(tt.after)); len(got) != 1 || got[0] != tt.want {
			t.Errorf("after %s: %q, want %q", tt.after, got, tt.want)
		}
	}
}
