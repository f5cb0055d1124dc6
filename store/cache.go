package store

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

const (
	maxTrust     = 5 * time.Second // what another program deleted without a word is noticed by then
	unknownTrust = time.Second     // how long a token that nobody has is remembered as that
	maxUnknown   = 10_000
	maxBatch     = 64 // checks that share a statement
	maxWorkers   = 2  // statements under way at once
)

// Cache answers which session a token is of from memory. An entry dies when its
// session is ended on any replica (NOTIFY gatepost_session), when the session
// is over, and after five seconds at the latest. While the LISTEN connection is
// down nothing is remembered and every check asks the database.
//
// Checks that miss at the same time share a statement. Times are the process's
// own: they bound how long an answer is believed, never how long a session
// lives.
type Cache struct {
	Warn func(error) // told when endings are not heard, once a cause; may be nil

	store     *Store
	most      int
	lifetimes Lifetimes

	generation atomic.Uint64 // changes with every loss of LISTEN; 0 while it is down
	last       uint64        // the last generation, under mu

	mu      sync.RWMutex
	entries map[cacheKey]*Entry
	bearers map[string]cacheKey // by session token: the access token's entry
	unknown map[cacheKey]time.Time
	flights map[cacheKey]*flight
	queue   []*flight
	workers int
	ended   recently // session tokens that ended while something was being read

	hits, misses atomic.Uint64
}

// CacheStats are counts since the start, and what is held now.
type CacheStats struct {
	Hits, Misses uint64
	Held         int
	Trusted      bool
}

type cacheKey struct {
	by    Token
	token string
}

// An Entry is a checked session for as long as it is remembered. It is shared:
// nothing but Memo may change.
type Entry struct {
	Checked
	// Memo is what a caller derived from the entry; it is forgotten with it.
	Memo atomic.Value

	cache      *Cache
	generation uint64 // 0: never to be believed again
	until      time.Time
	dead       atomic.Bool
}

// Live reports whether the entry may be believed without asking: whoever keeps
// one asks before every use.
func (e *Entry) Live(now time.Time) bool {
	return e.generation != 0 && !e.dead.Load() && e.generation == e.cache.generation.Load() && now.Before(e.until)
}

// flight is a look-up under way, and those who wait for it.
type flight struct {
	key     cacheKey
	done    chan struct{}
	entry   *Entry // nil: unknown
	err     error
	started time.Time
}

// NewCache keeps up to most sessions. Nothing is remembered until Run hears of
// endings.
func NewCache(s *Store, most int, l Lifetimes) *Cache {
	c := &Cache{store: s, most: most, lifetimes: l, entries: map[cacheKey]*Entry{}, bearers: map[string]cacheKey{},
		unknown: map[cacheKey]time.Time{}, flights: map[cacheKey]*flight{}}
	s.cache.Store(c)
	return c
}

// Check returns the live session that has the stored token, from memory when it
// is there. ErrNotFound: there is none. ErrUnavailable: it cannot be told.
func (c *Cache) Check(ctx context.Context, by Token, token string) (*Entry, error) {
	key := cacheKey{by, token}
	now := time.Now()
	c.mu.RLock()
	e, known := c.entries[key]
	refused, isRefused := c.unknown[key]
	c.mu.RUnlock()
	if known && e.Live(now) {
		c.hits.Add(1)
		return e, nil
	}
	if isRefused && now.Before(refused) && c.Trusted() {
		c.hits.Add(1)
		return nil, wrap("check session", ErrNotFound)
	}
	return c.load(ctx, key)
}

// load joins the look-up that is under way for key, or queues one. A look-up
// goes on when those who wait for it give up.
func (c *Cache) load(ctx context.Context, key cacheKey) (*Entry, error) {
	c.mu.Lock()
	f := c.flights[key]
	if f == nil {
		f = &flight{key: key, done: make(chan struct{}), started: time.Now()}
		c.flights[key] = f
		c.queue = append(c.queue, f)
		c.misses.Add(1)
		if c.workers < maxWorkers {
			c.workers++
			go c.work(context.WithoutCancel(ctx))
		}
	}
	c.mu.Unlock()
	select {
	case <-f.done:
	case <-ctx.Done():
		return nil, wrap("check session", ctx.Err())
	}
	if f.err == nil && f.entry == nil {
		return nil, wrap("check session", ErrNotFound)
	}
	return f.entry, f.err
}

// work asks for what is queued, a batch at a time, until nothing is.
func (c *Cache) work(ctx context.Context) {
	for {
		batch, by := c.take()
		if len(batch) == 0 {
			return
		}
		tokens := make([]string, len(batch))
		for i, f := range batch {
			tokens[i] = f.key.token
		}
		generation := c.generation.Load()
		found, err := c.store.Check(ctx, by, tokens, c.lifetimes)
		c.land(batch, by, found, err, generation)
	}
}

// take removes up to maxBatch look-ups of one kind from the queue.
func (c *Cache) take() (batch []*flight, by Token) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.queue) == 0 {
		c.workers--
		return nil, 0
	}
	by = c.queue[0].key.by
	rest := c.queue[:0]
	for _, f := range c.queue {
		if f.key.by == by && len(batch) < maxBatch {
			batch = append(batch, f)
		} else {
			rest = append(rest, f)
		}
	}
	clear(c.queue[len(rest):])
	c.queue = rest
	return batch, by
}

// land gives a batch its answers, and remembers them where nothing has ended
// since they were read: what was read before a sign-out must not be believed
// after it.
func (c *Cache) land(batch []*flight, by Token, found []Checked, err error, generation uint64) {
	now := time.Now()
	byToken := make(map[string]*Entry, len(found))
	for _, checked := range found {
		e := &Entry{Checked: checked, cache: c, generation: generation, until: now.Add(maxTrust)}
		if checked.Session.Expires.Before(e.until) {
			e.until = checked.Session.Expires
		}
		token := checked.Session.SessionToken
		if by == AccessToken {
			token = checked.Session.AccessToken
		}
		byToken[token] = e
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, f := range batch {
		f.entry, f.err = byToken[f.key.token], err
		if err == nil {
			c.keep(f, generation, now)
		}
		if c.flights[f.key] == f {
			delete(c.flights, f.key)
		}
		close(f.done)
	}
}

// keep remembers the answer to f. An answer that must not be remembered is
// still one for those who asked before the session ended.
func (c *Cache) keep(f *flight, generation uint64, now time.Time) {
	switch {
	case generation == 0 || generation != c.generation.Load():
	case f.entry == nil:
		if len(c.unknown) >= maxUnknown {
			clear(c.unknown)
		}
		c.unknown[f.key] = now.Add(unknownTrust)
		return
	case c.ended.since(f.entry.Session.SessionToken, f.started):
	default:
		if len(c.entries) >= c.most {
			c.makeRoom(now)
		}
		c.entries[f.key] = f.entry
		if f.key.by == AccessToken {
			c.bearers[f.entry.Session.SessionToken] = f.key
		}
		return
	}
	if f.entry != nil {
		f.entry.dead.Store(true)
	}
}

// makeRoom drops what is over, and if that is not enough anything.
func (c *Cache) makeRoom(now time.Time) {
	for key, e := range c.entries {
		if !e.Live(now) {
			c.drop(key, e)
		}
	}
	for key, e := range c.entries {
		if len(c.entries) < c.most {
			return
		}
		c.drop(key, e)
	}
}

func (c *Cache) drop(key cacheKey, e *Entry) {
	e.dead.Store(true)
	delete(c.entries, key)
	if key.by == AccessToken {
		delete(c.bearers, e.Session.SessionToken)
	}
}

// Forget drops a session that has ended, by its stored session token.
func (c *Cache) Forget(sessionToken string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, key := range []cacheKey{{SessionToken, sessionToken}, c.bearers[sessionToken]} {
		if e, ok := c.entries[key]; ok {
			c.drop(key, e)
		}
	}
	if len(c.flights) == 0 {
		return
	}
	c.ended.note(sessionToken, time.Now())
	// Whoever asks from now on must not join a look-up that may have read the
	// row before it went. Which access token it had is not known here.
	delete(c.flights, cacheKey{SessionToken, sessionToken})
	for key := range c.flights {
		if key.by == AccessToken {
			delete(c.flights, key)
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
	clear(c.entries)
	clear(c.bearers)
	clear(c.unknown)
	clear(c.flights)
}

// Trusted reports whether answers may come from memory.
func (c *Cache) Trusted() bool { return c.generation.Load() != 0 }

// Stats say how the cache does.
func (c *Cache) Stats() CacheStats {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return CacheStats{Hits: c.hits.Load(), Misses: c.misses.Load(), Held: len(c.entries), Trusted: c.Trusted()}
}

// recently remembers session tokens for longer than any statement may take.
type recently struct {
	now, before map[string]time.Time
	turned      time.Time
}

func (r *recently) note(token string, at time.Time) {
	if at.Sub(r.turned) > 10*time.Second {
		r.now, r.before, r.turned = map[string]time.Time{}, r.now, at
	}
	r.now[token] = at
}

func (r *recently) since(token string, start time.Time) bool {
	return !r.now[token].Before(start) && !r.now[token].IsZero() || !r.before[token].Before(start) && !r.before[token].IsZero()
}
