package store

import (
	"context"
	"crypto/rand"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/singleflight"
)

const (
	maxTrust     = 5 * time.Second // what another program deleted without a word is noticed by then
	unknownTrust = time.Second     // how long a token that nobody has is remembered as that
)

// Cache answers Session from memory. An entry dies when its session is ended on
// any replica (NOTIFY gatepost_session), when the session is over, and after
// five seconds at the latest. While the LISTEN connection is down nothing is
// remembered and every check asks the database.
//
// Times are the process's own: they bound how long an answer is believed, never
// how long a session lives.
type Cache struct {
	Warn func(error) // told when endings are not heard, once a cause; may be nil

	store *Store
	most  int

	hits, misses atomic.Int64

	flights singleflight.Group
	mu      sync.RWMutex
	trusted bool // LISTEN is up
	epoch   uint64
	entries map[string]entry
}

type entry struct {
	user    User
	session Session
	unknown bool
	until   time.Time
}

// NewCache keeps up to most sessions. Nothing is trusted until Run hears of
// endings.
func NewCache(s *Store, most int) *Cache {
	return &Cache{store: s, most: most, entries: map[string]entry{}}
}

// Session is Store.Session: without a statement when the answer is in memory,
// and with one for all who wait for the same session at the same time.
func (c *Cache) Session(ctx context.Context, token string, l Lifetimes) (User, Session, error) {
	c.mu.RLock()
	e, ok := c.entries[token]
	ok = ok && c.trusted && time.Now().Before(e.until)
	c.mu.RUnlock()
	if ok {
		c.hits.Add(1)
	} else {
		c.misses.Add(1)
		var err error
		if e, err = c.load(ctx, token, l); err != nil {
			return User{}, Session{}, err
		}
	}
	if e.unknown {
		return User{}, Session{}, wrap("session", ErrNotFound)
	}
	return e.user, e.session, nil
}

func (c *Cache) load(ctx context.Context, token string, l Lifetimes) (entry, error) {
	// The flight goes on when the first of those who wait for it gives up.
	flight := c.flights.DoChan(token, func() (any, error) {
		c.mu.RLock()
		epoch := c.epoch
		c.mu.RUnlock()
		user, session, err := c.store.Session(context.WithoutCancel(ctx), token, l)
		e := entry{user: user, session: session, until: time.Now().Add(maxTrust)}
		switch {
		case errors.Is(err, ErrNotFound):
			e = entry{unknown: true, until: time.Now().Add(unknownTrust)}
		case err != nil:
			return entry{}, err
		case session.Expires.Before(e.until):
			e.until = session.Expires
		}
		c.keep(token, e, epoch)
		return e, nil
	})
	select {
	case r := <-flight:
		if r.Err != nil {
			return entry{}, r.Err
		}
		return r.Val.(entry), nil
	case <-ctx.Done():
		return entry{}, wrap("session", ctx.Err())
	}
}

// keep remembers e unless something was ended since epoch: what was read before
// a sign-out must not be remembered after it.
func (c *Cache) keep(token string, e entry, epoch uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.trusted || c.epoch != epoch {
		return
	}
	if len(c.entries) >= c.most {
		c.makeRoom()
	}
	c.entries[token] = e
}

// makeRoom drops what is over, and if that is not enough anything.
func (c *Cache) makeRoom() {
	now := time.Now()
	for t, e := range c.entries {
		if now.After(e.until) {
			delete(c.entries, t)
		}
	}
	for t := range c.entries {
		if len(c.entries) < c.most {
			return
		}
		delete(c.entries, t)
	}
}

// Forget drops a session that this replica has just ended.
func (c *Cache) Forget(token string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.epoch++
	delete(c.entries, token)
	c.flights.Forget(token)
}

// Run listens for sessions that end anywhere, until ctx ends.
func (c *Cache) Run(ctx context.Context) {
	said := ""
	for wait := 50 * time.Millisecond; ctx.Err() == nil; wait = min(2*wait, 2*time.Second) {
		up, err := c.listen(ctx)
		if up {
			wait, said = 50*time.Millisecond, ""
		}
		if err != nil && ctx.Err() == nil && err.Error() != said && c.Warn != nil {
			said = err.Error() // once, however often it is tried again
			c.Warn(err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
	}
}

// ErrNotHeard means that LISTEN succeeded and nothing is ever heard.
var ErrNotHeard = errors.New("nothing is heard: the connection for LISTEN leads through a pooler in transaction mode, or to another database; set database.direct_url to Postgres itself")

// CheckListen reports whether this process would hear of sessions that end.
func (s *Store) CheckListen(ctx context.Context) error {
	conn, err := s.listen(ctx)
	if err == nil {
		conn.Close(context.WithoutCancel(ctx))
	}
	return err
}

// listen connects past the pooler and hears what the pool's connections say. That is
// tried, because a pooler in transaction mode takes LISTEN and delivers nothing;
// from another connection, because a server connection that both share would
// answer the one that speaks.
func (s *Store) listen(ctx context.Context) (*pgx.Conn, error) {
	conn, err := connect(ctx, s.direct)
	if err != nil {
		return nil, err
	}
	if err = s.hears(ctx, conn); err != nil {
		conn.Close(context.WithoutCancel(ctx))
		return nil, err
	}
	return conn, nil
}

func (s *Store) hears(ctx context.Context, conn *pgx.Conn) error {
	if _, err := conn.Exec(ctx, "LISTEN gatepost_session"); err != nil {
		return wrap("listen", err)
	}
	word := "probe " + rand.Text()
	err := s.do(ctx, "notify", func(ctx context.Context) error {
		_, err := s.pool.Exec(ctx, "SELECT pg_notify('gatepost_session', $1)", word)
		return err
	})
	if err != nil {
		return err
	}
	waiting, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	for {
		heard, err := conn.WaitForNotification(waiting)
		switch {
		case err == nil && heard.Payload == word:
			return nil
		case err != nil && waiting.Err() != nil && ctx.Err() == nil:
			return ErrNotHeard
		case err != nil:
			return wrap("listen", err)
		}
	}
}

// listen runs one connection and reports whether it had come up.
func (c *Cache) listen(ctx context.Context) (up bool, err error) {
	conn, err := c.store.listen(ctx)
	if err != nil {
		return false, err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	c.trust(true)
	defer c.trust(false)
	for {
		// A connection that died without a word must not be trusted: it is
		// asked for a sign of life when nothing came for a while.
		waiting, cancel := context.WithTimeout(ctx, 2*time.Second)
		notification, err := conn.WaitForNotification(waiting)
		cancel()
		switch {
		case err == nil:
			c.Forget(notification.Payload)
		case ctx.Err() != nil:
			return true, nil
		case waiting.Err() == nil:
			return true, wrap("listen", err)
		default:
			alive, cancel := context.WithTimeout(ctx, time.Second)
			err := conn.Ping(alive)
			cancel()
			if err != nil {
				return true, wrap("listen", err)
			}
		}
	}
}

func (c *Cache) trust(up bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.trusted = up
	c.epoch++
	clear(c.entries)
}

// CacheStats are counts since the start, and how things are now.
type CacheStats struct {
	Hits, Misses int64
	Size         int
	Trusted      bool
}

// Stats says how much is answered from memory.
func (c *Cache) Stats() CacheStats {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return CacheStats{c.hits.Load(), c.misses.Load(), len(c.entries), c.trusted}
}

// Trusted reports whether answers may come from memory.
func (c *Cache) Trusted() bool {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.trusted
}
