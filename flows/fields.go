package flows

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gatepost/gatepost/flows/gate"
	"github.com/gatepost/gatepost/flows/hooks"
	"github.com/gatepost/gatepost/store"
)

const (
	maxFields  = 2 << 10 // bytes of what a service says of one session
	maxKept    = 10_000  // sessions whose fields are remembered
	restsAfter = 5 * time.Second
)

// Fields are what GET /session tells of somebody besides NextAuth's own: its
// callback session. None of them can take the place of another. The gate knows
// nothing of them.
type Fields struct {
	Own   []string    // of OwnFields
	Rules *gate.Rules // for the groups
	Hook  *hooks.Hook // asked for further ones; nil for none
	Names []string    // those that Hook may fill in; others are dropped
	Keep  time.Duration
	Log   *slog.Logger
	Now   func() time.Time

	mu      sync.Mutex
	kept    map[int32]*hookFields // by session
	resting time.Time             // until then Hook is not asked

	answered, failed atomic.Int64
}

// OwnFields are the fields that need no service.
func OwnFields() []string { return []string{"id", "groups", "providers"} }

// TakenFields are names that no service may fill in.
func TakenFields() []string {
	return []string{"id", "name", "email", "image", "expires", "accessToken"}
}

// FieldStats are counts of the answers of the service.
type FieldStats struct{ Answered, Failed int64 }

// Stats says how the service does.
func (f *Fields) Stats() FieldStats { return FieldStats{f.answered.Load(), f.failed.Load()} }

// hookFields is what the service said of one session.
type hookFields struct {
	ready chan struct{} // closed when the rest is there
	until time.Time
	told  map[string]json.RawMessage
}

// Of gives the further members of a session's user as JSON, each with a comma in
// front; "" for none. What the service does not say in time is left out, so that
// nobody looks signed out because of it.
func (f *Fields) Of(ctx context.Context, c store.Checked) []byte {
	if f == nil {
		return nil
	}
	id := IdentityOf(f.Rules, c)
	var out []byte
	add := func(name string, value any) {
		if raw, err := json.Marshal(value); err == nil {
			out = fmt.Appendf(out, ",%q:%s", name, raw)
		}
	}
	for _, name := range f.Own {
		switch name {
		case "id":
			add(name, strconv.Itoa(int(c.User.ID)))
		case "groups":
			add(name, append([]string{}, id.Groups...))
		case "providers":
			add(name, append([]string{}, c.Providers...))
		}
	}
	if f.Hook == nil {
		return out
	}
	told := f.told(ctx, c, id)
	for _, name := range f.Names {
		if value, ok := told[name]; ok {
			add(name, value)
		}
	}
	return out
}

// told is what the service said of this session not longer than Keep ago. Those
// who ask at once share a question.
func (f *Fields) told(ctx context.Context, c store.Checked, id gate.Identity) map[string]json.RawMessage {
	now := f.Now()
	f.mu.Lock()
	if e := f.kept[c.Session.ID]; e != nil && (e.until.IsZero() || now.Before(e.until)) {
		f.mu.Unlock()
		select {
		case <-e.ready:
			return e.told
		case <-ctx.Done():
			return nil
		}
	}
	if now.Before(f.resting) {
		f.mu.Unlock()
		return nil
	}
	e := &hookFields{ready: make(chan struct{})}
	f.keep(c.Session.ID, e, now)
	f.mu.Unlock()
	told, err := f.ask(context.WithoutCancel(ctx), c, id)
	f.mu.Lock()
	defer f.mu.Unlock()
	defer close(e.ready)
	if err != nil {
		f.failed.Add(1)
		if f.kept[c.Session.ID] == e {
			delete(f.kept, c.Session.ID)
		}
		f.resting = f.Now().Add(restsAfter)
		f.Log.Warn("sessions lack fields", "webhook", f.Hook.Name(), "err", err.Error())
		return nil
	}
	f.answered.Add(1)
	e.told, e.until = told, now.Add(f.Keep)
	return told
}

// keep makes room for e. f.mu is held.
func (f *Fields) keep(session int32, e *hookFields, now time.Time) {
	if f.kept == nil {
		f.kept = map[int32]*hookFields{}
	}
	if len(f.kept) >= maxKept {
		for other, old := range f.kept {
			if !old.until.IsZero() && now.After(old.until) {
				delete(f.kept, other)
			}
		}
		for other := range f.kept { // none was over: any
			if len(f.kept) < maxKept {
				break
			}
			delete(f.kept, other)
		}
	}
	f.kept[session] = e
}

func (f *Fields) ask(ctx context.Context, c store.Checked, id gate.Identity) (map[string]json.RawMessage, error) {
	type session struct {
		ID        string       `json:"id"`
		Expires   hooks.Moment `json:"expires"`
		CreatedAt hooks.Moment `json:"createdAt"`
	}
	question := struct {
		User      hookUser `json:"user"`
		Session   session  `json:"session"`
		Groups    []string `json:"groups"`
		Providers []string `json:"providers"`
	}{
		hookUserOf(c.User), session{strconv.Itoa(int(c.Session.ID)), hooks.Moment(c.Session.Expires), hooks.Moment(c.Session.CreatedAt)},
		append([]string{}, id.Groups...), append([]string{}, c.Providers...),
	}
	var answer map[string]json.RawMessage
	if err := f.Hook.Ask(ctx, hooks.Message{Type: "session", Timestamp: hooks.Moment(f.Now()), Data: question}, &answer); err != nil {
		return nil, err
	}
	size := 0
	for name, value := range answer {
		if !slices.Contains(f.Names, name) {
			delete(answer, name)
		}
		size += len(name) + len(value)
	}
	if size > maxFields {
		return nil, fmt.Errorf("its answer is larger than %d bytes", maxFields)
	}
	return answer, nil
}
