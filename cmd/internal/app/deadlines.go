package app

import (
	"errors"
	"net"
	"os"
	"sync"
	"time"
)

// punctual wraps what a listener accepts in connections that keep net/http's
// deadlines, six for each request, without moving a timer for each: together
// they cost a check at the gate 4 % of its time.
type punctual struct{ net.Listener }

func (l punctual) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &punctualConn{Conn: conn, read: deadline{arm: conn.SetReadDeadline}, write: deadline{arm: conn.SetWriteDeadline}}, nil
}

type punctualConn struct {
	net.Conn
	read, write deadline
}

func (c *punctualConn) SetReadDeadline(t time.Time) error  { return c.read.set(t) }
func (c *punctualConn) SetWriteDeadline(t time.Time) error { return c.write.set(t) }
func (c *punctualConn) SetDeadline(t time.Time) error {
	return errors.Join(c.read.set(t), c.write.set(t))
}

func (c *punctualConn) Read(p []byte) (n int, err error) {
	for {
		n, err = c.Conn.Read(p)
		if n > 0 || !c.read.early(err) {
			return n, err
		}
	}
}

func (c *punctualConn) Write(p []byte) (n int, err error) {
	for {
		m, err := c.Conn.Write(p[n:])
		if n += m; !c.write.early(err) {
			return n, err
		}
	}
}

// checkAfter is how long after it was armed a timer looks whether the deadline is
// reached. It goes off that often where nothing moves.
const checkAfter = 5 * time.Second

// A deadline is kept by a timer that goes off no later than it. Once armed, the
// timer is left alone until it has gone off, or an earlier deadline is set.
type deadline struct {
	arm func(time.Time) error // the connection's own

	mu    sync.Mutex
	until time.Time // zero: none
	armed time.Time // zero: never, or it has gone off
}

func (d *deadline) set(t time.Time) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.until = t
	if !d.armed.IsZero() && (t.IsZero() || !t.Before(d.armed)) {
		return nil
	}
	return d.rearm(time.Now())
}

// rearm is called with mu held.
func (d *deadline) rearm(now time.Time) error {
	at := now.Add(checkAfter)
	d.armed = at
	if !d.until.IsZero() && d.until.Before(at) {
		at, d.armed = d.until, d.until
		if !at.After(now) {
			d.armed = time.Time{} // it goes off at once, to wake who reads
		}
	}
	return d.arm(at)
}

// early reports that err is the timer's and that the deadline is not reached, and
// arms it anew.
func (d *deadline) early(err error) bool {
	if err == nil || !errors.Is(err, os.ErrDeadlineExceeded) {
		return false
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	now := time.Now()
	return (d.until.IsZero() || now.Before(d.until)) && d.rearm(now) == nil
}
