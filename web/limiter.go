package web

import (
	"container/list"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// limiter slows down guessing, per client and in this process: ten wrong
// answers at once, then one every six seconds (security M-9). Right answers cost
// nothing, since many people may share one address. Its memory is bounded: the
// client that guessed longest ago is forgotten first, so that guesses from many
// addresses keep nobody else out.
type limiter struct {
	mu      sync.Mutex
	clients map[string]*list.Element // of *guesser
	recent  *list.List               // the last to guess in front
}

type guesser struct {
	client string
	left   *rate.Limiter
}

const maxLimited = 10_000

func newLimiter() *limiter {
	return &limiter{clients: map[string]*list.Element{}, recent: list.New()}
}

// allows reports whether client may answer.
func (l *limiter) allows(client string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	e, known := l.clients[client]
	return !known || e.Value.(*guesser).left.Tokens() >= 1
}

// charge counts a wrong answer.
func (l *limiter) charge(client string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e, known := l.clients[client]
	if !known {
		if l.recent.Len() >= maxLimited {
			oldest := l.recent.Back()
			delete(l.clients, l.recent.Remove(oldest).(*guesser).client)
		}
		e = l.recent.PushFront(&guesser{client, rate.NewLimiter(rate.Every(6*time.Second), 10)})
		l.clients[client] = e
	}
	l.recent.MoveToFront(e)
	e.Value.(*guesser).left.Allow()
}
