package app

import (
	"errors"
	"net"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// punctual wraps what a listener accepts in connections that keep net/http's
// deadlines, six for each request, without moving a timer for each: together
// they cost a check at the gate 4 % of its time. They also save a tenth of it by
// letting others go first; see Read.
type punctual struct{ net.Listener }

func (l punctual) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &punctualConn{Conn: conn, read: deadline{arm: conn.SetReadDeadline}, write: deadline{arm: conn.SetWriteDeadline}}, nil
}

// A punctualConn is written to by one goroutine at a time, as net/http does: two
// could mix what they write where the peer takes it slowly.
type punctualConn struct {
	net.Conn
	read, write deadline
	answered    atomic.Bool // and not read from since
}

func (c *punctualConn) SetReadDeadline(t time.Time) error  { return c.read.set(t) }
func (c *punctualConn) SetWriteDeadline(t time.Time) error { return c.write.set(t) }
func (c *punctualConn) SetDeadline(t time.Time) error {
	return errors.Join(c.read.set(t), c.write.set(t))
}

// Read lets other connections go first where the peer has just been answered. It
// cannot have asked again yet: to look would be a call in vain, and then to sleep
// and be woken. Once those who had asked by now have their answers, it has.
//
// One byte is what net/http reads while it waits for a handler, to notice who
// hangs up. Else only a header of thousands of bytes may end in such a read, and
// waits for it a moment.
func (c *punctualConn) Read(p []byte) (n int, err error) {
	if len(p) == 1 && !c.read.linger() {
		return 0, os.ErrDeadlineExceeded
	}
	for c.read.enter() {
		if c.answered.Load() {
			c.answered.Store(false)
			runtime.Gosched()
		}
		n, err = c.Conn.Read(p)
		if c.read.leave(); n > 0 || !c.read.early(err) {
			return n, err
		}
	}
	return 0, os.ErrDeadlineExceeded
}

func (c *punctualConn) Write(p []byte) (n int, err error) {
	for c.write.enter() {
		c.answered.Store(true)
		m, err := c.Conn.Write(p[n:])
		c.write.leave()
		if n += m; !c.write.early(err) {
			return n, err
		}
	}
	return n, os.ErrDeadlineExceeded
}

// checkAfter is how long after it was armed a timer looks whether the deadline is
// reached. It goes off that often where nothing moves.
const checkAfter = 5 * time.Second

// A deadline is kept by a timer that goes off no later than it. Once armed, the
// timer is left alone until it has gone off, or somebody waits for an earlier
// deadline: net/http sets one in the past and takes it back after each request.
type deadline struct {
	arm func(time.Time) error // the connection's own

	mu      sync.Mutex
	until   time.Time // zero: none
	armed   time.Time // zero: never, or it has gone off
	late    bool      // the timer may go off after until
	moment  time.Time // when the timer was last armed: what is before it is over
	waiting int       // in Read or Write of the connection

	lingers, seen chan struct{} // of who lingers, and who did when nudge went off; nil: nobody
	nudge         *time.Timer   // nil: it goes off when somebody lingers again
}

func (d *deadline) set(t time.Time) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.until = t
	if !t.IsZero() {
		d.hurry()
	}
	d.late = d.armed.IsZero() || !t.IsZero() && t.Before(d.armed)
	if !d.late || d.waiting == 0 {
		return nil
	}
	return d.rearm(time.Now())
}

// enter is called before something that waits; false says that the deadline is
// over.
func (d *deadline) enter() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.late {
		if d.over(d.moment) { // without a look at the clock
			return false
		}
		now := time.Now()
		if d.over(now) {
			return false
		}
		d.rearm(now) // fails for what is closed, which the connection says itself
	}
	d.waiting++
	return true
}

// hangUpsAfter is how long nobody looks whether the client is still there, or
// twice as long.
const hangUpsAfter = 100 * time.Millisecond

// linger is called before a look whether the client is still there, and returns
// after a moment: most handlers are done by then, and spare the look, which is two
// calls of the kernel. false says that the deadline is over.
func (d *deadline) linger() bool {
	d.mu.Lock()
	now := d.moment
	if !d.over(now) {
		now = time.Now()
	}
	if d.over(now) || !d.until.IsZero() && d.until.Sub(now) < 2*hangUpsAfter {
		defer d.mu.Unlock()
		return !d.over(now)
	}
	end := make(chan struct{})
	d.lingers = end
	if d.nudge == nil {
		d.nudge = time.AfterFunc(hangUpsAfter, d.nudged)
	}
	d.mu.Unlock()
	<-end
	d.mu.Lock()
	defer d.mu.Unlock()
	return !d.over(now)
}

// nudged ends the wait of whoever has lingered since it was last called.
func (d *deadline) nudged() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.lingers == d.seen {
		d.hurry()
	}
	if d.seen = d.lingers; d.seen == nil {
		d.nudge = nil
		return
	}
	d.nudge.Reset(hangUpsAfter)
}

// hurry is called with mu held.
func (d *deadline) hurry() {
	if d.lingers != nil {
		close(d.lingers)
		d.lingers = nil
	}
}

func (d *deadline) leave() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.waiting--
}

func (d *deadline) over(now time.Time) bool { return !d.until.IsZero() && !now.Before(d.until) }

// rearm is called with mu held.
func (d *deadline) rearm(now time.Time) error {
	at := now.Add(checkAfter)
	d.armed, d.late, d.moment = at, false, now
	if !d.until.IsZero() && d.until.Before(at) {
		at, d.armed = d.until, d.until
		if !at.After(now) {
			d.armed = time.Time{} // it goes off at once, to wake who waits
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
	return !d.over(now) && d.rearm(now) == nil
}
