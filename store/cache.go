package store

import (
	"context"
	"crypto/sha256"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const (
	maxTrust     = 5 * time.Second // what another program deleted without a word is noticed by then
	unknownTrust = time.Second     // how long a token that nobody has is remembered as that
	maxUnknown   = 10_000
	maxHot       = 2048 // entries that are ready to be handed out
	maxBatch     = 64   // checks that share a statement
	maxWorkers   = 2    // statements under way at once
	maxWaiting   = 10_000
	patience     = 2 * time.Second // of those who wait: every check is answered within 3 s (security X-10)
)

// Cache answers which session a token is of from memory. An entry dies when its
// session is ended on any replica (NOTIFY gatepost_session), when the session
// is over, and after five seconds at the latest. While the LISTEN connection is
// down nothing is remembered and every check asks the database.
//
// Checks that miss at the same time share a statement. Times are the process's
// own: they bound how long an answer is believed, never how long a session
// lives.
//
// A few thousand entries are kept ready, the others in a form that the garbage
// collector need not walk: at 100,000 sessions it would cost a check as much
// again as all the rest.
//
// A cache for no sessions remembers nothing: it is for tables that another
// program deletes from without a word. Checks that wait share a statement there
// too, but none joins one that has been sent, which may have read a session that
// is gone by now.
type Cache struct {
	Warn func(error) // told when endings are not heard, once a cause; may be nil

	store     *Store
	lifetimes Lifetimes

	generation atomic.Uint64 // changes with every loss of LISTEN; 0 while it is down
	last       uint64        // the last generation, under mu

	mu      sync.RWMutex
	hot     map[cacheKey]*Entry
	order   [maxHot]cacheKey      // of hot, as they came: who has been ready the longest makes room
	oldest  int                   // in order
	bearers map[cacheKey]cacheKey // by session token: the access token's entry, which is in hot only
	cold    remembered
	unknown map[cacheKey]time.Time
	flights map[cacheKey]*flight // that a check may join
	queue   [2][]*flight         // by Token
	workers int
	waiting int      // flights that have not landed, joinable or not
	ended   recently // sessions that ended while something was being read
	swept   time.Time

	hits, misses atomic.Uint64
}

// CacheStats are counts since the start, and what is held now.
type CacheStats struct {
	Hits, Misses uint64
	Held         int
	Trusted      bool
}

// A cacheKey is a hash of the token that a session is looked up by: nobody who
// does not have the token can find another with the same key.
type cacheKey [16]byte

func keyOf(by Token, token string) cacheKey {
	sum := sha256.Sum256(append(append(make([]byte, 0, 128), byte(by)), token...)) // not on the heap
	return cacheKey(sum[:])
}

// An Entry is a checked session for as long as it is remembered. It is shared:
// nothing but Memo may change.
type Entry struct {
	// What Live reads is in one line of the processor's cache.
	cache      *Cache
	generation uint64 // 0: never to be believed again
	until      time.Time
	dead       atomic.Bool

	Checked
	// Memo is what a caller derived from the entry; it is forgotten with it.
	Memo atomic.Value

	verified time.Time // where User.EmailVerified points to
	place    int       // in Cache.order, under its mu: one that left and came back has another
}

// newEntry has an entry of few pieces: the garbage collector walks each of them
// whenever it looks what is still used. checked.Providers is the entry's from now
// on.
func (c *Cache) newEntry(checked Checked, generation uint64, until time.Time) *Entry {
	e := &Entry{Checked: checked, cache: c, generation: generation, until: until}
	e.pack()
	if at := e.User.EmailVerified; at != nil {
		e.verified = *at
		e.User.EmailVerified = &e.verified
	}
	return e
}

// pack has all texts of c in one piece of memory.
func (c *Checked) pack() {
	texts := [...]*string{&c.User.Name, &c.User.Email, &c.User.Image, &c.Session.SessionToken, &c.Session.AccessToken}
	size := 0
	for _, t := range texts {
		size += len(*t)
	}
	for _, p := range c.Providers {
		size += len(p)
	}
	var piece strings.Builder
	piece.Grow(size)
	move := func(t *string) {
		at := piece.Len()
		piece.WriteString(*t)
		*t = piece.String()[at:]
	}
	for _, t := range texts {
		move(t)
	}
	for i := range c.Providers {
		move(&c.Providers[i])
	}
}

// Live reports whether the entry may be believed without asking: whoever keeps
// one asks before every use.
func (e *Entry) Live(now time.Time) bool {
	return e.generation != 0 && !e.dead.Load() && e.generation == e.cache.generation.Load() && now.Before(e.until)
}

// flight is a look-up under way, and those who wait for it.
type flight struct {
	key     cacheKey
	by      Token
	token   string
	done    chan struct{}
	entry   *Entry // nil: unknown
	err     error
	started time.Time
	since   time.Time // who waits began to, at the earliest
	landed  bool      // done is closed; under Cache.mu
}

// NewCache keeps up to most sessions, or none for 0. Nothing is remembered until
// Run hears of endings.
func NewCache(s *Store, most int, l Lifetimes) *Cache {
	c := &Cache{store: s, lifetimes: l, cold: remembered{most: most}}
	c.clear()
	s.cache.Store(c)
	return c
}

// KeepAccessTokens has answers from memory tell Session.AccessToken too. It is
// called before Run.
func (c *Cache) KeepAccessTokens() { c.cold.access = true }

// clear forgets everything. What is under way is not joined any more.
func (c *Cache) clear() {
	c.hot, c.bearers = map[cacheKey]*Entry{}, map[cacheKey]cacheKey{}
	c.unknown, c.flights = map[cacheKey]time.Time{}, map[cacheKey]*flight{}
	c.cold.clear()
}

// Check returns the live session that has the stored token, from memory when it
// is there. ErrNotFound: there is none. ErrUnavailable: it cannot be told.
func (c *Cache) Check(ctx context.Context, by Token, token string) (*Entry, error) {
	key, now := keyOf(by, token), time.Now()
	c.mu.RLock()
	e, known := c.hot[key]
	over, refused := c.unknown[key]
	c.mu.RUnlock()
	switch {
	case known && e.Live(now):
		c.hits.Add(1)
		return e, nil
	case refused && now.Before(over) && c.Trusted():
		c.hits.Add(1)
		return nil, wrap("check session", ErrNotFound)
	}
	e, f := c.recall(key, by, token, now)
	switch {
	case e != nil:
		c.hits.Add(1)
		return e, nil
	case f == nil:
		return nil, fmt.Errorf("check session: %w (too many are waiting)", ErrUnavailable)
	}
	select {
	case <-f.done: // within patience; see giveUpOn
	case <-ctx.Done():
		return nil, wrap("check session", ctx.Err())
	}
	if f.err == nil && f.entry == nil {
		return nil, wrap("check session", ErrNotFound)
	}
	return f.entry, f.err
}

// recall makes an entry ready that is remembered, or joins the look-up that is
// under way for key, or queues one. A look-up goes on when those who wait for it
// give up. Neither: too many are waiting.
func (c *Cache) recall(key cacheKey, by Token, token string, now time.Time) (*Entry, *flight) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e, ok := c.hot[key]; ok && e.Live(now) {
		return e, nil
	}
	if checked, until, ok := c.cold.find(key, now); ok && c.Trusted() {
		checked.Session.SessionToken = token // of which key is the hash, and only those are in cold
		e := c.newEntry(checked, c.generation.Load(), until)
		c.heat(key, e)
		return e, nil
	}
	f := c.flights[key]
	if f == nil {
		if c.waiting >= maxWaiting {
			return nil, nil
		}
		f = &flight{key: key, by: by, token: token, done: make(chan struct{}), started: now, since: now}
		c.flights[key] = f
		c.queue[by] = append(c.queue[by], f)
		c.waiting++
		c.misses.Add(1)
		if c.workers < maxWorkers {
			c.workers++
			go c.work()
		}
	}
	return nil, f
}

// heat keeps e ready, in place of what came maxHot entries ago. Whoever holds one
// that is dropped here asks again.
func (c *Cache) heat(key cacheKey, e *Entry) {
	if old, ok := c.hot[key]; ok {
		old.dead.Store(true)
		e.place = old.place
	} else {
		longest := c.order[c.oldest]
		if old, ok := c.hot[longest]; ok && old.place == c.oldest {
			c.cool(longest, old)
		}
		e.place, c.order[c.oldest], c.oldest = c.oldest, key, (c.oldest+1)%maxHot
	}
	c.hot[key] = e
}

// sweep drops now and then what is past its time: nobody has asked for it since.
func (c *Cache) sweep(now time.Time) {
	if now.Sub(c.swept) < maxTrust {
		return
	}
	c.swept = now
	for key, e := range c.hot {
		if !e.Live(now) {
			c.cool(key, e)
		}
	}
}

// cool drops e, which is ready under key. The session may be there under its
// other token too, by which Forget must go on finding it.
func (c *Cache) cool(key cacheKey, e *Entry) {
	e.dead.Store(true)
	delete(c.hot, key)
	if len(c.bearers) == 0 {
		return
	}
	if session := keyOf(SessionToken, e.Session.SessionToken); c.bearers[session] == key {
		delete(c.bearers, session)
	}
}

// work asks for what is queued, a batch at a time, until nothing is.
func (c *Cache) work() {
	for {
		runtime.Gosched() // whoever is about to ask joins the batch
		batch, by := c.take()
		if len(batch) == 0 {
			return
		}
		tokens := make([]string, len(batch))
		for i, f := range batch {
			tokens[i] = f.token
		}
		generation, asked := c.generation.Load(), time.Now()
		landed := c.giveUpOn(batch, asked)
		found, err := c.store.Check(context.Background(), by, tokens, c.lifetimes)
		landed()
		c.land(batch, by, found, err, generation, asked)
	}
}

// giveUpOn answers, while batch is under way, whoever has waited for patience, in
// the batch or in the queue: that is there only behind batches, and what is in it
// is younger. They share a timer, because one for each would cost more than to wait
// does.
func (c *Cache) giveUpOn(batch []*flight, now time.Time) (landed func()) {
	const again = patience / 20
	var late *time.Timer
	underWay := true
	c.mu.Lock() // it may go off at once
	defer c.mu.Unlock()
	late = time.AfterFunc(batch[0].started.Add(patience).Sub(now), func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if !underWay {
			return
		}
		now := time.Now()
		tooOld := now.Add(-patience)
		for i, f := range batch {
			if f.since.After(tooOld) {
				continue
			}
			// The look-up goes on, for whoever asks from now on: a slow database is
			// not asked the same again and again.
			next := &flight{key: f.key, by: f.by, token: f.token, done: make(chan struct{}), started: f.started, since: now}
			if c.flights[f.key] == f {
				c.flights[f.key] = next
			}
			c.waiting++
			c.tooLate(f)
			batch[i] = next
		}
		for _, waiting := range c.queue {
			for _, f := range waiting {
				if !f.landed && !f.started.After(tooOld) {
					c.tooLate(f)
				}
			}
		}
		late.Reset(again)
	})
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		underWay = false
		late.Stop()
	}
}

func (c *Cache) tooLate(f *flight) {
	f.err = fmt.Errorf("check session: %w (out of time)", ErrUnavailable)
	c.done(f)
}

// take removes up to maxBatch look-ups of one kind from the queue. Those that
// nobody waits for any more are not made: a database that comes back is asked
// what people want to know now.
func (c *Cache) take() (batch []*flight, by Token) {
	c.mu.Lock()
	defer c.mu.Unlock()
	tooOld := time.Now().Add(-patience)
	// Who has waited longest goes first, or many of one kind could keep the other out.
	kinds := [...]Token{SessionToken, AccessToken}
	if s, a := c.queue[SessionToken], c.queue[AccessToken]; len(s) > 0 && len(a) > 0 && a[0].started.Before(s[0].started) {
		kinds = [...]Token{AccessToken, SessionToken}
	}
	for _, by := range kinds {
		batch = make([]*flight, 0, min(len(c.queue[by]), maxBatch))
		for len(c.queue[by]) > 0 && len(batch) < maxBatch {
			f := c.queue[by][0]
			c.queue[by][0], c.queue[by] = nil, c.queue[by][1:]
			if f.landed {
				continue
			}
			if f.started.Before(tooOld) {
				c.tooLate(f)
				continue
			}
			if !c.Trusted() && c.flights[f.key] == f {
				delete(c.flights, f.key)
			}
			batch = append(batch, f)
		}
		if len(batch) > 0 {
			return batch, by
		}
	}
	c.workers--
	return nil, 0
}

// land gives a batch its answers, and remembers them where nothing has ended
// since they were read: what was read before a sign-out must not be believed
// after it.
func (c *Cache) land(batch []*flight, by Token, found []Checked, err error, generation uint64, asked time.Time) {
	byToken := make(map[string]*Entry, len(found))
	for _, checked := range found {
		until := asked.Add(maxTrust)
		if checked.Session.Expires.Before(until) {
			until = checked.Session.Expires
		}
		e := c.newEntry(checked, generation, until)
		token := checked.Session.SessionToken
		if by == AccessToken {
			token = checked.Session.AccessToken
		}
		byToken[token] = e
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	for _, f := range batch {
		f.entry, f.err = byToken[f.token], err
		if err == nil {
			c.keep(f, generation, now)
		}
		c.done(f)
	}
}

// done answers those who wait for f.
func (c *Cache) done(f *flight) {
	if c.flights[f.key] == f {
		delete(c.flights, f.key)
	}
	c.waiting--
	f.landed = true
	close(f.done)
}

// keep remembers the answer to f. An answer that must not be remembered is
// still one for those who asked before the session ended.
func (c *Cache) keep(f *flight, generation uint64, now time.Time) {
	c.sweep(now)
	trusted := generation != 0 && generation == c.generation.Load()
	session := f.key
	if e := f.entry; e != nil && f.by == AccessToken {
		session = keyOf(SessionToken, e.Session.SessionToken)
	}
	switch e := f.entry; {
	case e == nil && trusted:
		if len(c.unknown) >= maxUnknown {
			clear(c.unknown)
		}
		c.unknown[f.key] = now.Add(unknownTrust)
	case e == nil:
	case !trusted || c.ended.since(session, f.started):
		e.dead.Store(true)
	case f.by == AccessToken:
		c.heat(f.key, e)
		c.bearers[session] = f.key
	default:
		c.heat(f.key, e)
		c.cold.keep(f.key, e.Checked, e.until, now)
	}
}

// Forget drops a session that has ended, by its stored session token.
func (c *Cache) Forget(sessionToken string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	key := keyOf(SessionToken, sessionToken)
	c.cold.forget(key)
	for _, k := range []cacheKey{key, c.bearers[key]} {
		if e, ok := c.hot[k]; ok {
			e.dead.Store(true)
			delete(c.hot, k)
		}
	}
	delete(c.bearers, key)
	if c.waiting == 0 {
		return
	}
	c.ended.note(key, time.Now())
	// Whoever asks from now on must not join a look-up that may have read the
	// row before it went. Which access token it had is not known here.
	delete(c.flights, key)
	for k, f := range c.flights {
		if f.by == AccessToken {
			delete(c.flights, k)
		}
	}
}

// trust starts a new generation, or ends the present one: with that all that is
// remembered is dead.
func (c *Cache) trust(up bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if up {
		c.last++
		c.generation.Store(c.last)
	} else {
		c.generation.Store(0)
	}
	c.clear()
}

// Remembers reports whether c is to keep anything.
func (c *Cache) Remembers() bool { return c.cold.most > 0 }

// Trusted reports whether answers may come from memory.
func (c *Cache) Trusted() bool { return c.generation.Load() != 0 }

// Stats say how the cache does.
func (c *Cache) Stats() CacheStats {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return CacheStats{Hits: c.hits.Load(), Misses: c.misses.Load(), Held: c.cold.held() + len(c.bearers), Trusted: c.Trusted()}
}

// recently remembers sessions for longer than any look-up may take.
type recently struct {
	now, before map[cacheKey]time.Time
	turned      time.Time
}

func (r *recently) note(key cacheKey, at time.Time) {
	if at.Sub(r.turned) > 10*time.Second {
		r.now, r.before, r.turned = map[cacheKey]time.Time{}, r.now, at
	}
	r.now[key] = at
}

func (r *recently) since(key cacheKey, start time.Time) bool {
	return !r.now[key].Before(start) && !r.now[key].IsZero() || !r.before[key].Before(start) && !r.before[key].IsZero()
}
