package store

import (
	"context"
	"crypto/rand"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
)

// Run listens for sessions that end anywhere, until ctx ends. A cache that
// remembers nothing need not know.
func (c *Cache) Run(ctx context.Context) {
	if !c.Remembers() {
		return
	}
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
