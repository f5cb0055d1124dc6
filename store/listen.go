package store

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
)

// Run listens for sessions that end anywhere, until ctx ends.
func (c *Cache) Run(ctx context.Context) {
	for wait := 50 * time.Millisecond; ctx.Err() == nil; wait = min(2*wait, 2*time.Second) {
		if c.listen(ctx) {
			wait = 50 * time.Millisecond
		}
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
	}
}

// listen runs one connection and reports whether it had come up.
func (c *Cache) listen(ctx context.Context) (up bool) {
	config, err := pgx.ParseConfig(c.url)
	if err != nil {
		return false
	}
	config.ConnectTimeout = 3 * time.Second
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return false
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if _, err := conn.Exec(ctx, "LISTEN gatepost_session"); err != nil {
		return false
	}
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
		case ctx.Err() != nil || waiting.Err() == nil:
			return true
		default:
			alive, cancel := context.WithTimeout(ctx, time.Second)
			err := conn.Ping(alive)
			cancel()
			if err != nil {
				return true
			}
		}
	}
}
