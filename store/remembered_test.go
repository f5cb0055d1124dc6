package store

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"
)

func someone(n int) Checked {
	at := time.UnixMicro(1_764_000_000_123_456)
	verified := at.Add(-time.Hour)
	return Checked{
		User:      User{ID: int32(n), Name: "Ada, the first", Email: fmt.Sprintf("ada%d@example.org", n), EmailVerified: &verified, Image: "https://example.org/ä.png", CreatedAt: at, UpdatedAt: at.Add(time.Second)},
		Session:   Session{ID: int32(n), UserID: int32(n), Expires: at.Add(720 * time.Hour), CreatedAt: at.Add(time.Minute), UpdatedAt: at.Add(time.Hour)},
		Providers: []string{"github", "google"},
	}
}

// What comes back is what was kept, also what no sign-in of ours would write.
func TestRememberedComesBack(t *testing.T) {
	bare := someone(2)
	bare.User.EmailVerified, bare.User.Name, bare.User.Email, bare.User.Image, bare.Providers, bare.Blank = nil, "", "", "", []string{}, BlankName|BlankImage
	odd := someone(3)
	odd.User.Name, odd.Providers = strings.Repeat("\x00,\x01", 500), []string{"a,b", ""}
	told := someone(5)
	told.Session.AccessToken = "opaque"
	ancient := someone(4)
	ancient.User.CreatedAt, ancient.Session.Expires = time.UnixMicro(-1<<60), time.UnixMicro(1<<62)
	for name, want := range map[string]Checked{"everything": someone(1), "nothing": bare, "odd texts": odd, "an access token": told, "odd moments": ancient} {
		t.Run(name, func(t *testing.T) {
			for _, access := range []bool{true, false} {
				r := remembered{most: 10, access: access}
				r.clear()
				now := time.Now()
				r.keep(cacheKey{1}, want, now.Add(time.Second), now)
				got, until, ok := r.find(cacheKey{1}, now)
				if !access {
					want.Session.AccessToken = ""
				}
				if !ok || !reflect.DeepEqual(got, want) || !until.Equal(now.Add(time.Second)) {
					t.Errorf("got %+v until %v, %v", got, until, ok)
				}
			}
		})
	}
}

func TestRememberedIsBounded(t *testing.T) {
	r := remembered{most: 20_000}
	r.clear()
	now := time.Now()
	key := func(n int) cacheKey { return cacheKey{byte(n), byte(n >> 8), byte(n >> 16)} }
	for n := range 50_000 {
		r.keep(key(n), someone(n), now.Add(maxTrust), now)
		if r.held() > r.most {
			t.Fatalf("%d held", r.held())
		}
	}
	for n := 40_001; n < 50_000; n++ {
		if got, _, ok := r.find(key(n), now); !ok || got.User.ID != int32(n) {
			t.Fatalf("session %d: %+v, %v", n, got, ok)
		}
	}
	if _, _, ok := r.find(key(1), now); ok {
		t.Error("the oldest is still there")
	}
	// Forgotten is forgotten in either half, and a newer answer hides an older one.
	for _, n := range []int{49_999, 41_000} {
		r.forget(key(n))
		if _, _, ok := r.find(key(n), now); ok {
			t.Errorf("session %d was forgotten", n)
		}
	}
	r.keep(key(41_001), someone(7), now.Add(maxTrust), now)
	if got, _, _ := r.find(key(41_001), now); got.User.ID != 7 {
		t.Errorf("got the answer of before: %+v", got)
	}
	// One that does not fit hides what was known, too.
	big := someone(8)
	big.User.Image = strings.Repeat("x", maxRecord)
	r.keep(key(41_001), big, now.Add(maxTrust), now)
	if _, _, ok := r.find(key(41_001), now); ok {
		t.Error("the answer of before is back")
	}
	later := now.Add(maxTrust + time.Second)
	r.keep(key(1), someone(1), later, later)
	r.keep(key(2), someone(2), later.Add(maxTrust), later.Add(maxTrust+time.Second))
	if r.held() != 2 {
		t.Errorf("%d held after all others were over", r.held())
	}
}
