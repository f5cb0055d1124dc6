package measure

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// A Request is what to send and what must come back.
type Request struct {
	Raw    []byte
	Status string // "200"
	Has    []byte // that the answer's head must contain; nil for nothing
}

// Connections is how many clients there are at once.
const Connections = 32

// Load sends next's requests over keep-alive connections until the time is
// over, and reports how many were answered. The first wrong answer ends it.
func Load(ctx context.Context, addr string, d time.Duration, next func(n uint64) *Request) (uint64, error) {
	var n atomic.Uint64
	end := time.Now().Add(d)
	err := Parallel(Connections, func() error {
		c, err := Dial(addr)
		if err != nil {
			return err
		}
		defer c.Close()
		for time.Now().Before(end) && ctx.Err() == nil {
			if err := c.Ask(next(n.Add(1) - 1)); err != nil {
				return err
			}
		}
		return ctx.Err()
	})
	return n.Load(), err
}

// Each sends every request once.
func Each(ctx context.Context, addr string, requests []Request) error {
	var n atomic.Uint64
	return Parallel(Connections, func() error {
		c, err := Dial(addr)
		if err != nil {
			return err
		}
		defer c.Close()
		for i := n.Add(1) - 1; i < uint64(len(requests)) && ctx.Err() == nil; i = n.Add(1) - 1 {
			if err := c.Ask(&requests[i]); err != nil {
				return err
			}
		}
		return ctx.Err()
	})
}

// Parallel runs work so many times at once and returns the first error.
func Parallel(workers int, work func() error) error {
	errs := make(chan error, workers)
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() { errs <- work() })
	}
	wg.Wait()
	close(errs)
	for err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// Paced sends perSecond requests a second, whether answers come or not, and
// returns how long each took from the moment it was due.
func Paced(ctx context.Context, addr string, perSecond int, d time.Duration, next func(n uint64) *Request) ([]time.Duration, error) {
	total := int(d.Seconds() * float64(perSecond))
	took := make([]time.Duration, total)
	start := time.Now().Add(10 * time.Millisecond)
	var n atomic.Uint64
	err := Parallel(Connections, func() error {
		c, err := Dial(addr)
		if err != nil {
			return err
		}
		defer c.Close()
		for i := int(n.Add(1) - 1); i < total && ctx.Err() == nil; i = int(n.Add(1) - 1) {
			due := start.Add(time.Duration(i) * time.Second / time.Duration(perSecond))
			time.Sleep(time.Until(due))
			if late := time.Since(due); late > 0 {
				due = due.Add(min(late, 200*time.Microsecond)) // the sleep's, not the server's
			}
			if err := c.Ask(next(uint64(i))); err != nil {
				return err
			}
			took[i] = time.Since(due)
		}
		return ctx.Err()
	})
	slices.Sort(took)
	return took, err
}

// Quantile is the value that so many of the sorted ones do not exceed.
func Quantile(sorted []time.Duration, q float64) time.Duration {
	return sorted[min(int(q*float64(len(sorted))), len(sorted)-1)]
}

// A Conn is one keep-alive connection with as little client as will do.
type Conn struct {
	net.Conn
	buf []byte
}

// Dial connects to addr, "127.0.0.1:8080".
func Dial(addr string) (*Conn, error) {
	c, err := net.Dial("tcp", addr)
	return &Conn{c, make([]byte, 64<<10)}, err
}

var (
	headEnd       = []byte("\r\n\r\n")
	contentLength = []byte("\r\nContent-Length: ")

	transferChunked = []byte("\r\nTransfer-Encoding: chunked")
	lastChunk       = []byte("\r\n0\r\n\r\n")
)

// Ask sends r and reads the answer, which must be the one wanted.
func (c *Conn) Ask(r *Request) error {
	answer, err := c.Exchange(r.Raw)
	if err == nil && (string(answer[9:12]) != r.Status || !bytes.Contains(answer, r.Has)) {
		err = fmt.Errorf("asked\n%s\nwant %s with %q, got\n%s", r.Raw, r.Status, r.Has, answer)
	}
	return err
}

// Exchange sends raw and returns the answer, head and body, until the next one.
func (c *Conn) Exchange(raw []byte) ([]byte, error) {
	if _, err := c.Write(raw); err != nil {
		return nil, err
	}
	for n, whole, chunked := 0, -1, false; ; {
		m, err := c.Read(c.buf[n:])
		if err != nil && (err != io.EOF || m == 0) {
			return nil, err
		}
		n += m
		if head := bytes.Index(c.buf[:n], headEnd); whole < 0 && head >= 0 {
			whole = head + len(headEnd)
			if i := bytes.Index(c.buf[:head], contentLength); i >= 0 {
				digits := c.buf[i+len(contentLength) : whole]
				length, err := strconv.Atoi(string(digits[:bytes.IndexByte(digits, '\r')]))
				if err != nil {
					return nil, err
				}
				whole += length
			}
			chunked = bytes.Contains(c.buf[:head], transferChunked)
		}
		switch answer := c.buf[:n]; {
		case whole >= 0 && (chunked && bytes.HasSuffix(answer, lastChunk) || !chunked && n == whole):
			return answer, nil
		case n == len(c.buf) || whole >= 0 && !chunked && n > whole:
			return nil, fmt.Errorf("asked\n%s\ngot more than an answer\n%s", raw, answer)
		}
	}
}
