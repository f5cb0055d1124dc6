package app

import (
	"crypto/rand"
	"fmt"
	"html"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/gatepost/gatepost/store/storetest"
)

// noise cannot be made shorter.
func noise(n int) (s string) {
	for len(s) < n {
		s += rand.Text() + strings.ToLower(rand.Text())
	}
	return s[:n]
}

// cookieSize is the length of the Cookie header that b sends, and the longest
// cookie in it.
func (b *browser) cookieSize() (all, longest int) {
	u, _ := url.Parse(b.URL)
	for _, c := range b.http.Jar.Cookies(u) {
		all += len(c.Name) + len(c.Value) + len("=; ")
		longest = max(longest, len(c.Name)+len(c.Value))
	}
	return all, longest
}

// R-7, S-8: an address of any length and make ends a sign-in where it says, or at
// the default, and never in an error.
func TestReturnAddressesOfAnyLength(t *testing.T) {
	s := newSite(t, storetest.URL(t), func(c *Config) { c.Mail.ClientPerWindow = 1000 })
	for name, tt := range map[string]struct {
		target string
		kept   bool
	}{
		"short":             {s.URL + "/x", true},
		"1400 bytes":        {s.URL + "/" + noise(1400), true},
		"300 parameters":    {s.URL + "/?" + strings.Repeat("a=1&", 300), true},
		"1800 bytes":        {s.URL + "/" + noise(1800), true},
		"2040 bytes":        {s.URL + "/" + noise(2040-len(s.URL)), true},
		"escaped":           {s.URL + "/" + strings.Repeat("%C3%A9", 300), true},
		"escaped, 2000":     {s.URL + "/" + strings.Repeat("%C3%A9", 330), true},
		"quotes":            {s.URL + "/?" + strings.Repeat("'", 1900), true},
		"grows when parsed": {s.URL + "/" + strings.Repeat("\"", 1900), false},
		"3000 bytes":        {s.URL + "/" + noise(3000), false},
		"20000 bytes":       {s.URL + "/" + noise(20000), false},
	} {
		want := tt.target
		if !tt.kept {
			want = s.URL + "/"
		}
		b := s.browser()
		if p := b.get(b.answer("google", "1002", "callbackUrl", tt.target)); p.location != want {
			t.Errorf("%s: %d %.100s", name, p.status, p.location)
		}
		if _, longest := b.cookieSize(); longest > 4096 {
			t.Errorf("%s: a cookie of %d bytes", name, longest)
		}
		b = s.browser()
		address := fmt.Sprintf("%x@example.org", name)
		b.post("/auth/signin/email", "email", address, "callbackUrl", tt.target)
		if p := b.post("/auth/callback/email", "code", s.newMail(address, 1).Code()); p.location != want {
			t.Errorf("%s, by mail: %d %.100s", name, p.status, p.location)
		}
		if len(tt.target) < 10000 {
			if p := s.browser().get("/auth/signin?callbackUrl=" + url.QueryEscape(tt.target)); p.status != http.StatusOK {
				t.Errorf("%s: sign-in page %d", name, p.status)
			}
		}
	}
}

// O-40: five tabs, and all that a browser may have besides, stay under the 8 KiB
// that proxies take, and every tab ends signed in.
func TestFiveTabs(t *testing.T) {
	for _, length := range []int{20, 250, 700, 1400, 2000} {
		t.Run(fmt.Sprint(length), func(t *testing.T) {
			s := newSite(t, storetest.URL(t), nil)
			b := s.browser()
			b.get(b.answer("google", "1001"))
			b.post("/auth/signin/email", "email", strings.Repeat("long", 15)+"@"+strings.Repeat("example.", 20)+"org", "callbackUrl", s.URL+"/"+noise(length))
			var callbacks, targets []string
			for range 5 {
				targets = append(targets, s.URL+"/"+noise(length))
				callbacks = append(callbacks, b.answer("google", "1001", "callbackUrl", targets[len(targets)-1]))
				if all, longest := b.cookieSize(); all > 8000 || longest > 4096 {
					t.Errorf("%d bytes, the longest %d", all, longest)
				}
			}
			where := 0
			for i, callback := range callbacks {
				p := b.get(callback)
				if p.location == targets[i] {
					where++
				} else if p.location != s.URL+"/" {
					t.Errorf("tab %d: %d %.200s", i, p.status, p.location)
				}
			}
			if length <= 250 && where != 5 || where == 0 {
				t.Errorf("%d of 5 tabs ended where they wanted", where)
			}
			if noted := strings.Contains(s.log.String(), "too long to be kept"); noted != (where < 5) {
				t.Errorf("noted in the log: %v, with %d of 5 kept", noted, where)
			}
		})
	}
}

// O-39: what a provider posts is carried over up to 4 KiB, and refused with its
// reason in the log beyond.
func TestLongFormPost(t *testing.T) {
	s := newSite(t, storetest.URL(t), nil)
	for _, extra := range []int{0, 1500, 2300, 3000, 3800, 4096, 20000} {
		b := s.browser()
		start := b.post("/auth/signin/apple")
		chosen := b.send(http.MethodPost, start.location, url.Values{"person": {"1002"}})
		form := url.Values{"id_token": {noise(extra)}}
		for _, m := range hiddenField.FindAllStringSubmatch(chosen.body, -1) {
			form.Set(m[1], html.UnescapeString(m[2]))
		}
		posted := b.send(http.MethodPost, "/auth/callback/apple", form, "Sec-Fetch-Site", "cross-site")
		if extra > 3900 {
			if !strings.Contains(posted.location, "reason=answer_invalid") || !strings.Contains(s.log.String(), "can be carried over") {
				t.Errorf("%d more: %d %.200s", extra, posted.status, posted.location)
			}
			continue
		}
		if all, longest := b.cookieSize(); posted.status != http.StatusSeeOther || all > 8000 || longest > 4096 {
			t.Errorf("%d more: %d, cookies of %d bytes, the longest %d", extra, posted.status, all, longest)
		}
		if p := b.get(posted.location); p.location != s.URL+"/" {
			t.Errorf("%d more: %d %.200s", extra, p.status, p.location)
		}
		u, _ := url.Parse(s.URL)
		if slices.ContainsFunc(b.http.Jar.Cookies(u), func(c *http.Cookie) bool {
			return strings.Contains(c.Name, "answer") || strings.Contains(c.Name, "attempt-")
		}) {
			t.Errorf("%d more: a cookie of the attempt is left", extra)
		}
	}
}

// S-9: a session cookie of another Domain, from before cookie.domain was changed
// or planted by a sibling host, keeps nobody from signing in or out for longer
// than once.
func TestCookiesOfOtherDomains(t *testing.T) {
	const host = "auth.int.site.localhost"
	for _, tt := range []struct{ now, other string }{{"site.localhost", "int.site.localhost"}, {"int.site.localhost", "site.localhost"}, {"site.localhost", host}} {
		t.Run(tt.other+" before "+tt.now, func(t *testing.T) {
			s := newSiteAt(t, storetest.URL(t), host, func(c *Config) { c.Cookie.Domain = tt.now })
			u, _ := url.Parse(s.URL)
			b := s.browser()
			plant := func() {
				b.http.Jar.SetCookies(u, []*http.Cookie{{Name: "gatepost.session-token", Value: "other", Domain: tt.other, Path: "/"}})
			}
			held := func() (n int) {
				for _, c := range b.http.Jar.Cookies(u) {
					if c.Name == "gatepost.session-token" {
						n++
					}
				}
				return n
			}
			b.get(b.answer("google", "1002"))
			plant()
			if b.get(b.answer("google", "1002")); held() != 1 || b.session().User.Email != "grace@example.org" {
				t.Errorf("signed in again with %d session cookies", held())
			}
			plant()
			if b.session(); held() != 0 {
				t.Errorf("%d session cookies left that count as none", held())
			}
			b.get(b.answer("google", "1002"))
			plant()
			if b.post("/auth/signout"); held() != 0 {
				t.Errorf("signed out with %d session cookies left", held())
			}
		})
	}
}
