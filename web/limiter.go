package web

import (
	"container/list"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// limiter slows down what somebody does too often, in this process: a number of
// times at once, then one every while. Of guesses (security M-9) only the wrong
// ones are charged, since many people may share one address. Its memory is
// bounded: who was charged longest ago is forgotten first, so that guesses from
// many addresses keep nobody else out.
type limiter struct {
	every   time.Duration
	burst   int
	mu      sync.Mutex
	clients map[string]*list.Element // of *charged
	recent  *list.List               // the last to be charged in front
}

type charged struct {
	client string
	left   *rate.Limiter
}

const maxLimited = 10_000

func newLimiter(every time.Duration, burst int) *limiter {
	return &limiter{every: every, burst: burst, clients: map[string]*list.Element{}, recent: list.New()}
}

// allows reports whether client may go on.
func (l *limiter) allows(client string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	e, known := l.clients[client]
	return !known || e.Value.(*charged).left.Tokens() >= 1
}

// charge counts once more.
func (l *limiter) charge(client string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e, known := l.clients[client]
	if !known {
		if l.recent.Len() >= maxLimited {
			oldest := l.recent.Back()
			delete(l.clients, l.recent.Remove(oldest).(*charged).client)
		}
		e = l.recent.PushFront(&charged{client, rate.NewLimiter(rate.Every(l.every), l.burst)})
		l.clients[client] = e
	}
	l.recent.MoveToFront(e)
	e.Value.(*charged).left.Allow()
}
