package store

import (
	"fmt"
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
