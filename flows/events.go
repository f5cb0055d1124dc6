package flows

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gatepost/gatepost/flows/hooks"
	"github.com/gatepost/gatepost/store"
)

// How events are told.
const (
	tellers       = 8                                 // requests at once to one service, from one process
	tellLease     = hooks.TellTimeout + 5*time.Second // after which another process takes over
	tellPoll      = 5 * time.Second                   // how often the outbox is asked when nobody says that there is something
	firstRetry    = 5 * time.Second                   // doubles
	longestRetry  = 15 * time.Minute
	giveUpAfter   = 72 * time.Hour
	keepEvents    = 30 * 24 * time.Hour // that were given up, or whose service is configured no more
	watchInterval = 30 * time.Second
)

// Events tells services of the operator's what happened: NextAuth's events. What
// they are told waits in the outbox, written by the statement that it is about,
// and is told at least once. Each service has its own requests, so that one that
// hangs holds up no other.
type Events struct {
	Store *store.Store
	Log   *slog.Logger

	couriers []*courier
	stop     chan struct{} // closed by Drain
	done     chan struct{} // closed when Run has ended
	once     sync.Once
	unknown  map[string]bool // services that were warned of
}

// NewEvents tells services, which each have a name of their own.
func NewEvents(s *store.Store, services []*hooks.Hook, log *slog.Logger) *Events {
	e := &Events{Store: s, Log: log, stop: make(chan struct{}), done: make(chan struct{}), unknown: map[string]bool{}}
	for _, h := range services {
		e.couriers = append(e.couriers, &courier{events: e, hook: h})
	}
	return e
}

// EventStats are counts of one service since the start, and what waits for it.
type EventStats struct {
	Hook                   string
	Told, Failed, GivenUp  int64 // Failed are attempts
	Waiting, WaitedSeconds int64 // how many, and how long the oldest; as last looked at
}

// Stats says how each service does.
func (e *Events) Stats() []EventStats {
	var all []EventStats
	for _, c := range e.couriers {
		all = append(all, EventStats{c.hook.Name(), c.told.Load(), c.failed.Load(), c.givenUp.Load(), c.waiting.Load(), c.oldest.Load()})
	}
	return all
}

// Run tells events until ctx ends, or Drain.
func (e *Events) Run(ctx context.Context) {
	defer close(e.done)
	var all sync.WaitGroup
	for _, c := range e.couriers {
		all.Go(func() { c.run(ctx) })
	}
	all.Go(func() { e.watch(ctx) })
	all.Wait()
}

// Drain begins no more requests and waits for those under way, or until ctx
// ends. What is not told then stays in the outbox. Run must be running.
func (e *Events) Drain(ctx context.Context) error {
	e.once.Do(func() { close(e.stop) })
	select {
	case <-e.done:
		return nil
	case <-ctx.Done():
		return errors.New("webhooks were still being told; they are told again")
	}
}

// watch looks now and then at what waits, and at what nobody delivers.
func (e *Events) watch(ctx context.Context) {
	for {
		held, err := e.Store.EventsHeld(ctx)
		if err == nil {
			e.note(held)
			_, err = e.Store.SweepEvents(ctx, keepEvents, 1000)
		}
		if err != nil && ctx.Err() == nil {
			e.Log.Warn("the outbox cannot be looked at", "err", err.Error())
		}
		select {
		case <-ctx.Done():
			return
		case <-e.stop:
			return
		case <-time.After(watchInterval):
		}
	}
}

func (e *Events) note(held []store.EventsHeld) {
	byName := map[string]store.EventsHeld{}
	for _, h := range held {
		byName[h.Hook] = h
	}
	for _, c := range e.couriers {
		h := byName[c.hook.Name()]
		c.waiting.Store(int64(h.Waiting))
		c.oldest.Store(0)
		if h.Oldest != nil {
			c.oldest.Store(int64(time.Since(*h.Oldest).Seconds()))
		}
		delete(byName, c.hook.Name())
	}
	for name, h := range byName {
		if h.Waiting > 0 && !e.unknown[name] {
			e.unknown[name] = true
			e.Log.Warn("events wait for a webhook that is configured no more; they are dropped after 30 days", "webhook", name, "events", h.Waiting)
		}
	}
}

// A courier tells one service.
type courier struct {
	events *Events
	hook   *hooks.Hook

	told, failed, givenUp, waiting, oldest atomic.Int64
}

// run claims what is due and tells it. Whenever something has been told it claims
// again: it may have held back what the same user did later.
func (c *courier) run(ctx context.Context) {
	ended, written := make(chan struct{}, tellers), c.events.Store.EventsWritten(c.hook.Name())
	said := ""
	for under := 0; ; {
		if !c.stopped(ctx) {
			claimed, err := c.events.Store.ClaimEvents(ctx, c.hook.Name(), tellers-under, tellLease)
			if err != nil && ctx.Err() == nil && err.Error() != said {
				said = err.Error() // once, however often it is tried again
				c.events.Log.Warn("events cannot be read", "webhook", c.hook.Name(), "err", said)
			} else if err == nil {
				said = ""
			}
			for _, event := range claimed {
				under++
				go func() {
					defer func() { ended <- struct{}{} }()
					c.tell(ctx, event)
				}()
			}
		} else if under == 0 {
			return
		}
		if under == tellers {
			<-ended
			under--
			continue
		}
		stop := c.events.stop
		if c.stopped(ctx) {
			stop, written = nil, nil // only what is under way is waited for
		}
		select {
		case <-ended:
			under--
		case <-written:
		case <-stop:
		case <-ctx.Done():
		case <-time.After(tellPoll):
		}
	}
}

func (c *courier) stopped(ctx context.Context) bool {
	select {
	case <-c.events.stop:
		return true
	default:
		return ctx.Err() != nil
	}
}

// tell tries once, and notes what came of it. What cannot be noted is told again
// after its lease.
func (c *courier) tell(ctx context.Context, e store.Event) {
	body, err := json.Marshal(hooks.Message{Type: e.Event, Timestamp: hooks.Moment(e.CreatedAt), Data: e.Data})
	if err == nil {
		err = c.hook.Tell(ctx, e.Message, body)
	}
	if err == nil {
		c.told.Add(1)
		err = c.events.Store.EventTold(ctx, e.ID)
	} else if ctx.Err() == nil {
		c.failed.Add(1)
		err = c.notTold(ctx, e, err)
	}
	if err != nil && ctx.Err() == nil {
		c.events.Log.Warn("what came of an event is not noted; it may be told again", "webhook", c.hook.Name(), "id", e.Message, "err", err.Error())
	}
}

// notTold has an event tried again later, or gives it up: after three days, or at
// once where the service says that it is gone for good.
func (c *courier) notTold(ctx context.Context, e store.Event, why error) error {
	status, _ := errors.AsType[*hooks.StatusError](why)
	givenUp := time.Since(e.Since) > giveUpAfter || status != nil && status.Status == http.StatusGone
	attrs := []any{"webhook", c.hook.Name(), "event", e.Event, "id", e.Message, "attempt", e.Attempts, "err", why.Error()}
	if givenUp {
		c.givenUp.Add(1)
		c.events.Log.Error("event given up; «gatepost webhooks retry» has it tried again", attrs...)
		return c.events.Store.GiveUpEvent(ctx, e.ID, shortened(why))
	}
	c.events.Log.Warn("event not told", attrs...)
	return c.events.Store.EventNotTold(ctx, e.ID, retryAfter(e.Attempts), shortened(why))
}

// retryAfter is how long to wait after so many attempts: twice as long each time,
// and not the same for all that failed at once.
func retryAfter(attempts int) time.Duration {
	wait := longestRetry
	if n := max(attempts, 1) - 1; n < 20 {
		wait = min(firstRetry<<n, longestRetry)
	}
	return wait - rand.N(wait/5)
}

func shortened(err error) string {
	text := err.Error()
	return strings.ToValidUTF8(text[:min(len(text), 200)], "")
}
