package app

import (
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"
)

// a deadline ends a read or a write at its moment and no earlier, however
// often the timer behind it goes off and whatever moves it meanwhile.
func TestDeadlinesOfConnections(t *testing.T) {
	pair := func(t *testing.T) (c, peer net.Conn, counted *countingConn) {
		a, b := net.Pipe()
		t.Cleanup(func() { a.Close(); b.Close() })
		counted = &countingConn{Conn: a}
		accepted, err := punctual{oneConn{counted}}.Accept()
		if err != nil {
			t.Fatal(err)
		}
		return accepted, b, counted
	}
	ended := func(t *testing.T, err error, start time.Time, after time.Duration) {
		t.Helper()
		if took := time.Since(start); !errors.Is(err, os.ErrDeadlineExceeded) || took != after {
			t.Errorf("%v after %s, want the deadline after %s", err, took, after)
		}
	}
	for _, test := range []struct {
		name string
		run  func(t *testing.T, c, peer net.Conn)
	}{
		{"a read waits for its whole time", func(t *testing.T, c, peer net.Conn) {
			start := time.Now()
			c.SetReadDeadline(start.Add(time.Minute))
			_, err := c.Read(make([]byte, 1))
			ended(t, err, start, time.Minute)
		}},
		{"what comes late in that time is read", func(t *testing.T, c, peer net.Conn) {
			c.SetReadDeadline(time.Now().Add(time.Minute))
			time.AfterFunc(59*time.Second, func() { peer.Write([]byte("x")) })
			if n, err := c.Read(make([]byte, 1)); n != 1 || err != nil {
				t.Errorf("%d, %v", n, err)
			}
		}},
		{"an earlier deadline wakes who reads", func(t *testing.T, c, peer net.Conn) {
			start := time.Now()
			c.SetReadDeadline(start.Add(time.Minute))
			time.AfterFunc(7*time.Second, func() { c.SetReadDeadline(time.Unix(1, 0)) })
			_, err := c.Read(make([]byte, 1))
			ended(t, err, start, 7*time.Second)
			c.SetDeadline(time.Time{})
			time.AfterFunc(time.Hour, func() { peer.Write([]byte("x")) })
			if n, err := c.Read(make([]byte, 1)); n != 1 || err != nil {
				t.Errorf("without a deadline: %d, %v", n, err)
			}
		}},
		{"a later deadline holds for who reads already", func(t *testing.T, c, peer net.Conn) {
			start := time.Now()
			c.SetReadDeadline(start.Add(3 * time.Second))
			time.AfterFunc(2*time.Second, func() { c.SetReadDeadline(start.Add(20 * time.Second)) })
			_, err := c.Read(make([]byte, 1))
			ended(t, err, start, 20*time.Second)
		}},
		{"one that is over ends the next read at once", func(t *testing.T, c, peer net.Conn) {
			start := time.Now()
			c.SetReadDeadline(start.Add(time.Minute))
			c.SetReadDeadline(start.Add(time.Second))
			time.Sleep(time.Hour)
			_, err := c.Read(make([]byte, 1))
			ended(t, err, start, time.Hour)
		}},
		{"a write waits for its whole time and says how far it came", func(t *testing.T, c, peer net.Conn) {
			start := time.Now()
			c.SetWriteDeadline(start.Add(30 * time.Second))
			time.AfterFunc(12*time.Second, func() { io.ReadFull(peer, make([]byte, 3)) })
			n, err := c.Write([]byte("answer"))
			ended(t, err, start, 30*time.Second)
			if n != 3 {
				t.Errorf("%d bytes of 3 were written", n)
			}
		}},
		{"what a slow peer takes late comes once and in order", func(t *testing.T, c, peer net.Conn) {
			c.SetWriteDeadline(time.Now().Add(30 * time.Second))
			took := make(chan string)
			go func() {
				var all []byte
				for range 6 {
					time.Sleep(4 * time.Second)
					b := make([]byte, 1)
					peer.Read(b)
					all = append(all, b...)
				}
				took <- string(all)
			}()
			n, err := c.Write([]byte("answer"))
			if got := <-took; n != 6 || err != nil || got != "answer" {
				t.Errorf("%d, %v, %q", n, err, got)
			}
		}},
		{"no deadline is none", func(t *testing.T, c, peer net.Conn) {
			c.SetDeadline(time.Now().Add(time.Second))
			c.SetDeadline(time.Time{})
			time.AfterFunc(time.Hour, func() { peer.Read(make([]byte, 1)) })
			if n, err := c.Write([]byte("x")); n != 1 || err != nil {
				t.Errorf("%d, %v", n, err)
			}
		}},
		{"a closed connection ends a read", func(t *testing.T, c, peer net.Conn) {
			c.SetReadDeadline(time.Now().Add(time.Hour))
			time.AfterFunc(61*time.Second, func() { c.Close() })
			if _, err := c.Read(make([]byte, 1)); !errors.Is(err, io.ErrClosedPipe) {
				t.Error(err)
			}
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, peer, _ := pair(t)
				test.run(t, c, peer)
			})
		})
	}
	t.Run("a busy connection seldom moves its timers", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c, peer, counted := pair(t)
			go io.Copy(io.Discard, peer)
			for range 1000 { // as net/http does for each request, in 10 s
				now := time.Now()
				for _, d := range []time.Duration{60 * time.Second, 0, 5 * time.Second, 15 * time.Second} {
					if d == 0 {
						c.SetReadDeadline(time.Time{})
					} else {
						c.SetReadDeadline(now.Add(d))
					}
				}
				c.SetReadDeadline(time.Unix(1, 0)) // ends what looks whether the client is still there
				if _, err := c.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
					t.Fatal(err)
				}
				c.SetReadDeadline(time.Time{})
				c.SetWriteDeadline(now.Add(30 * time.Second))
				c.Write([]byte("x"))
				time.Sleep(10 * time.Millisecond)
			}
			if counted.armed > 10 {
				t.Errorf("timers were moved %d times", counted.armed)
			}
		})
	})
	t.Run("nobody looks whether the client is still there while an answer is soon ready", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c, peer, counted := pair(t)
			for i := range 100 {
				start, took := time.Now(), time.Duration(i)*time.Millisecond
				c.SetReadDeadline(start.Add(15 * time.Second))
				time.AfterFunc(took, func() { c.SetReadDeadline(time.Unix(1, 0)) })
				_, err := c.Read(make([]byte, 1))
				ended(t, err, start, took)
			}
			if counted.reads > 0 {
				t.Errorf("%d looks", counted.reads)
			}
			c.SetReadDeadline(time.Time{})
			start := time.Now()
			peer.Close()
			if _, err := c.Read(make([]byte, 1)); err != io.EOF || time.Since(start) > 2*hangUpsAfter {
				t.Errorf("%v after %s", err, time.Since(start))
			}
			if synctest.Wait(); c.(*punctualConn).read.nudge != nil {
				t.Error("the timer goes on with nobody there")
			}
		})
	})
}

type oneConn struct{ conn net.Conn }

func (o oneConn) Accept() (net.Conn, error) { return o.conn, nil }
func (oneConn) Close() error                { return nil }
func (oneConn) Addr() net.Addr              { return nil }

type countingConn struct {
	net.Conn
	armed, reads int
}

func (c *countingConn) Read(p []byte) (int, error) {
	c.reads++
	return c.Conn.Read(p)
}

func (c *countingConn) SetReadDeadline(t time.Time) error {
	c.armed++
	return c.Conn.SetReadDeadline(t)
}

func (c *countingConn) SetWriteDeadline(t time.Time) error {
	c.armed++
	return c.Conn.SetWriteDeadline(t)
}
