package store

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"
)

// S-5: a session that is ready under both of its tokens is forgotten under both,
// whichever of them has had to make room.
func TestForgetFindsBothTokens(t *testing.T) {
	c := &Cache{cold: remembered{most: 10}}
	c.trust(true)
	now := time.Now()
	ready := func(by Token, n int) {
		checked := someone(n)
		checked.Session.SessionToken, checked.Session.AccessToken = fmt.Sprint("s", n), fmt.Sprint("a", n)
		token := checked.Session.SessionToken
		if by == AccessToken {
			token = checked.Session.AccessToken
		}
		e := &Entry{Checked: checked, cache: c, generation: c.generation.Load(), until: now.Add(maxTrust)}
		c.keep(&flight{key: keyOf(by, token), by: by, token: token, entry: e, started: now}, e.generation, now)
	}
	const both = maxHot / 2
	for n := range both {
		ready(AccessToken, n)
		ready(SessionToken, n)
	}
	for n := range both {
		ready(SessionToken, both+n)
	}
	for n := range both {
		c.Forget(fmt.Sprint("s", n))
		for _, key := range []cacheKey{keyOf(SessionToken, fmt.Sprint("s", n)), keyOf(AccessToken, fmt.Sprint("a", n))} {
			if e := c.hot[key]; e != nil && e.Live(now) {
				t.Fatalf("session %d is believed after its end", n)
			}
		}
	}
}

// An entry in one piece says what the row did, also what is empty or missing.
func TestPackedSaysTheSame(t *testing.T) {
	bare, empty := Checked{}, someone(2)
	empty.User.Name, empty.User.Image, empty.Providers = "", "", []string{"", "github", ""}
	c := &Cache{}
	for _, want := range []Checked{someone(1), bare, empty} {
		if got := c.newEntry(want, 1, time.Time{}).Checked; !reflect.DeepEqual(got, want) {
			t.Errorf("got %+v\nwant %+v", got, want)
		}
	}
}

// As many as there is room for stay ready, however often their time is over and
// they come back in another order.
func TestThoseWhoFitStayReady(t *testing.T) {
	c := &Cache{cold: remembered{most: 10}}
	c.trust(true)
	now := time.Now()
	for range 10 {
		for _, n := range rand.Perm(maxHot) {
			checked := someone(n)
			checked.Session.SessionToken = fmt.Sprint(n)
			e := c.newEntry(checked, c.generation.Load(), now.Add(maxTrust))
			c.keep(&flight{key: keyOf(SessionToken, fmt.Sprint(n)), token: fmt.Sprint(n), entry: e, started: now}, e.generation, now)
		}
		for n := range maxHot {
			if e := c.hot[keyOf(SessionToken, fmt.Sprint(n))]; e == nil || !e.Live(now) {
				t.Fatalf("%d of %d is not ready", n, maxHot)
			}
		}
		now = now.Add(maxTrust + time.Second)
	}
}

// What nobody asks for any more is not held on to.
func TestSweptWhenItsTimeIsOver(t *testing.T) {
	c := &Cache{cold: remembered{most: 10}}
	c.trust(true)
	now := time.Now()
	remember := func(by Token, token string, at time.Time) {
		checked := someone(1)
		checked.Session.SessionToken, checked.Session.AccessToken = "s"+token, token
		e := c.newEntry(checked, c.generation.Load(), at.Add(maxTrust))
		c.keep(&flight{key: keyOf(by, token), by: by, token: token, entry: e, started: at}, e.generation, at)
	}
	remember(AccessToken, "early", now)
	remember(SessionToken, "late", now.Add(2*time.Second))
	if len(c.hot) != 2 || len(c.bearers) != 1 {
		t.Fatalf("%d and %d are held", len(c.hot), len(c.bearers))
	}
	remember(SessionToken, "latest", now.Add(maxTrust+time.Second))
	if c.hot[keyOf(SessionToken, "late")] == nil || len(c.hot) != 2 || len(c.bearers) != 0 {
		t.Errorf("%d and %d are held", len(c.hot), len(c.bearers))
	}
}
