package flows

import (
	"testing"
	"time"

	"github.com/gatepost/gatepost/store"
)

// L-1, L-2, L-6, L-7: the whole table.
func TestLink(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	recent, stale := now.Add(-time.Minute), now.Add(-11*time.Minute)
	for _, tt := range []struct {
		name    string
		facts   store.Facts
		linkTo  int32
		mayLink bool
		policy  Linking
		want    action
		reason  string
	}{
		{"stranger", store.Facts{}, 0, false, LinkVerified, actCreate, ""},
		{"stranger with a verified address", store.Facts{}, 0, true, LinkVerified, actCreate, ""},
		{"known account", store.Facts{Owner: 1}, 0, false, LinkVerified, actSignIn, ""},
		{"known account, address of another", store.Facts{Owner: 1, Namesake: 2, NamesakeVerified: true}, 0, true, LinkVerified, actSignIn, ""},
		{"known account, another signed in by a second tab", store.Facts{Owner: 1, Current: 2, CurrentSince: recent}, 0, false, LinkVerified, actSignIn, ""},
		{"stranger, somebody signed in by a second tab", store.Facts{Current: 2, CurrentSince: recent}, 0, false, LinkVerified, actCreate, ""},
		{"same address, verified on both sides", store.Facts{Namesake: 2, NamesakeVerified: true}, 0, true, LinkVerified, actLinkSame, ""},
		{"same address, policy never", store.Facts{Namesake: 2, NamesakeVerified: true}, 0, true, LinkNever, actRefuse, ReasonAddressInUse},
		{"same address, no policy", store.Facts{Namesake: 2, NamesakeVerified: true}, 0, true, "", actRefuse, ReasonAddressInUse},
		{"same address, user's unverified", store.Facts{Namesake: 2}, 0, true, LinkVerified, actRefuse, ReasonAddressInUse},
		{"same address, provider not trusted", store.Facts{Namesake: 2, NamesakeVerified: true}, 0, false, LinkVerified, actRefuse, ReasonAddressInUse},
		{"asks to link a free account", store.Facts{Current: 3, CurrentSince: recent}, 3, false, LinkVerified, actLink, ""},
		{"asks to link, address of another", store.Facts{Current: 3, CurrentSince: recent, Namesake: 2, NamesakeVerified: true}, 3, true, LinkVerified, actLink, ""},
		{"asks to link, already has it", store.Facts{Owner: 3, Current: 3, CurrentSince: stale}, 3, false, LinkVerified, actSignIn, ""},
		{"asks to link, somebody else has it", store.Facts{Owner: 1, Current: 3, CurrentSince: recent}, 3, false, LinkVerified, actRefuse, ReasonAccountTaken},
		{"asks to link, session too old", store.Facts{Current: 3, CurrentSince: stale}, 3, false, LinkVerified, actRefuse, ReasonSessionTooOld},
		{"asks to link, session gone", store.Facts{}, 3, false, LinkVerified, actRefuse, ReasonSessionChanged},
		{"asks to link, another signed in", store.Facts{Current: 4, CurrentSince: recent}, 3, false, LinkVerified, actRefuse, ReasonSessionChanged},
		{"asks to link, session without a time", store.Facts{Current: 3}, 3, false, LinkVerified, actRefuse, ReasonSessionTooOld},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, refusal := link(tt.facts, tt.linkTo, tt.mayLink, tt.policy, now)
			reason := ""
			if refusal != nil {
				reason = refusal.Reason
			}
			if got != tt.want || reason != tt.reason {
				t.Errorf("got %v %q, want %v %q", got, reason, tt.want, tt.reason)
			}
		})
	}
}

// O-4, O-5: a record takes the answer of its own provider, in time, or none.
func TestAttemptCheck(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	good := Attempt{StartedAt: now.Add(-time.Minute)}
	good.Request.State, good.Request.Provider = "s", "google"
	for _, tt := range []struct {
		name     string
		change   func(*Attempt)
		provider string
		want     string
	}{
		{"its own", func(*Attempt) {}, "google", ""},
		{"of another provider", func(*Attempt) {}, "github", "state_mismatch"},
		{"absent on both sides", func(a *Attempt) { *a = Attempt{} }, "", ReasonAttemptMissing},
		{"without a state", func(a *Attempt) { a.Request.State = "" }, "google", ReasonAttemptMissing},
		{"too late", func(a *Attempt) { a.StartedAt = now.Add(-AttemptTTL - time.Second) }, "google", ReasonAttemptExpired},
		{"from the future", func(a *Attempt) { a.StartedAt = now.Add(time.Hour) }, "google", ReasonAttemptExpired},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := good
			tt.change(&a)
			got := ""
			if err := a.check(tt.provider, now); err != nil {
				got = ErrorOf(err).Reason
			}
			if got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

// O-5: a second answer to one request is not asked about.
func TestAttemptIsClaimedOnce(t *testing.T) {
	var u usedAttempts
	now := time.Now()
	wins := make(chan bool, 50)
	for range 50 {
		go func() { wins <- u.claim("state", now.Add(time.Minute), now) }()
	}
	n := 0
	for range 50 {
		if <-wins {
			n++
		}
	}
	if n != 1 {
		t.Errorf("%d claims succeeded, want 1", n)
	}
}

func TestWait(t *testing.T) {
	now := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	asked := func(sent int, ago time.Duration) MailAttempt {
		return MailAttempt{Email: "a@b.org", Sent: sent, StartedAt: now.Add(-ago)}
	}
	for _, tt := range []struct {
		name    string
		a       MailAttempt
		address string
		want    time.Duration
	}{
		{"nothing asked for", MailAttempt{}, "a@b.org", 0},
		{"nothing for nobody", MailAttempt{StartedAt: now}, "", 0},
		{"just now", asked(1, 0), "a@b.org", 30 * time.Second},
		{"another address", asked(1, 0), "c@d.org", 0},
		{"half way", asked(1, 20*time.Second), "a@b.org", 10 * time.Second},
		{"long enough", asked(1, 30*time.Second), "a@b.org", 0},
		{"second time", asked(2, 0), "a@b.org", time.Minute},
		{"fourth time", asked(4, 0), "a@b.org", 4 * time.Minute},
		{"many times", asked(99, 0), "a@b.org", 5 * time.Minute},
		{"record without a count", asked(0, 0), "a@b.org", 30 * time.Second},
		{"from the future", asked(1, -time.Hour), "a@b.org", 0},
	} {
		if got := tt.a.Wait(tt.address, now); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
}

func TestDigits(t *testing.T) {
	for typed, want := range map[string]string{"012345": "012345", " 012 345\n": "012345", "012-345": "012345", "٠١٢\u200f ۳۴۵": "012345", "０１２３４５": "012345", "O12345": "O12345", "": ""} {
		if got := digits(typed); got != want {
			t.Errorf("%q: %q", typed, got)
		}
	}
}
