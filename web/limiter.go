package web

import (
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// limiter slows down guessing, per client and in this process: ten tries at
// once, then one every six seconds (security M-9). Its memory is bounded.
type limiter struct {
	mu      sync.Mutex
	clients map[string]*rate.Limiter
}

const maxLimited = 10_000

func newLimiter() *limiter { return &limiter{clients: map[string]*rate.Limiter{}} }

func (l *limiter) allow(client string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	limit, ok := l.clients[client]
	if !ok {
		if len(l.clients) >= maxLimited {
			for c, old := range l.clients {
				if old.Tokens() >= float64(old.Burst()) {
					delete(l.clients, c)
				}
			}
			if len(l.clients) >= maxLimited {
				return false
			}
		}
		limit = rate.NewLimiter(rate.Every(6*time.Second), 10)
		l.clients[client] = limit
	}
	return limit.Allow()
}
