package store

import (
	"encoding/binary"
	"time"
)

// remembered keeps what session tokens were answered with as bytes: no pointer
// for the collector to follow, about 130 bytes each, without the session token,
// which whoever asks has. They are written one after the other and never
// changed; the older half goes as one when there are too many or when all of it
// is past maxTrust, so that nothing is ever searched for what to drop.
type remembered struct {
	most        int
	access      bool // keep access tokens, about 70 bytes more
	now, before half
	turned      time.Time
	epoch       time.Time // moments of this process count from it: its clock cannot be set
	record      []byte    // the last that was written, whose memory the next takes
}

// A half is an index of records in chunks.
type half struct {
	at     map[cacheKey]place
	chunks [][]byte
}

type place struct{ chunk, offset uint16 }

const (
	chunkSize = 1 << 16
	maxRecord = 4 << 10 // a longer one is read anew each time
)

func (r *remembered) clear() {
	r.now, r.before, r.epoch = half{at: map[cacheKey]place{}}, half{}, time.Now()
}

func (r *remembered) held() int { return len(r.now.at) + len(r.before.at) }

func (r *remembered) forget(key cacheKey) {
	delete(r.now.at, key)
	delete(r.before.at, key)
}

// keep remembers c until then. The caller drops what must not be believed.
func (r *remembered) keep(key cacheKey, c Checked, until, now time.Time) {
	if len(r.now.at) >= max(r.most/2, 1) || len(r.now.chunks) > 1<<15 || now.Sub(r.turned) > maxTrust {
		r.now, r.before, r.turned = half{at: map[cacheKey]place{}}, r.now, now
	}
	delete(r.before.at, key)
	if !r.access {
		c.Session.AccessToken = ""
	}
	record := appendChecked(binary.AppendVarint(r.record[:0], int64(until.Sub(r.epoch))), c)
	r.record = record
	if len(record) > maxRecord {
		r.record = nil
		delete(r.now.at, key)
		return
	}
	h := &r.now
	last := len(h.chunks) - 1
	if last < 0 || len(h.chunks[last])+len(record) > chunkSize {
		h.chunks = append(h.chunks, make([]byte, 0, chunkSize))
		last++
	}
	h.at[key] = place{uint16(last), uint16(len(h.chunks[last]))}
	h.chunks[last] = append(h.chunks[last], record...)
}

// find is without a result for what is past its time.
func (r *remembered) find(key cacheKey, now time.Time) (c Checked, until time.Time, ok bool) {
	h := &r.now
	p, ok := h.at[key]
	if !ok {
		h = &r.before
		if p, ok = h.at[key]; !ok {
			return c, until, false
		}
	}
	in := fields(h.chunks[p.chunk][p.offset:])
	if until = r.epoch.Add(time.Duration(in.number())); !now.Before(until) {
		return c, until, false
	}
	return in.checked(), until, true
}

// appendChecked writes c without its session token. Moments are written as what lies between them.
func appendChecked(b []byte, c Checked) []byte {
	u, s := c.User, c.Session
	base := u.CreatedAt.UnixMicro()
	moment := func(t time.Time) { b = binary.AppendVarint(b, t.UnixMicro()-base) }
	text := func(t string) { b = append(binary.AppendUvarint(b, uint64(len(t))), t...) }
	for _, n := range []int64{int64(u.ID), int64(c.Blank), int64(s.ID), int64(s.UserID), base} {
		b = binary.AppendVarint(b, n)
	}
	for _, t := range []string{u.Name, u.Email, u.Image, s.AccessToken} {
		text(t)
	}
	for _, t := range []time.Time{u.UpdatedAt, s.CreatedAt, s.UpdatedAt, s.Expires} {
		moment(t)
	}
	if u.EmailVerified == nil {
		b = append(b, 0)
	} else {
		b = append(b, 1)
		moment(*u.EmailVerified)
	}
	b = binary.AppendUvarint(b, uint64(len(c.Providers)))
	for _, p := range c.Providers {
		text(p)
	}
	return b
}

// fields reads what appendChecked wrote, and nothing else.
type fields []byte

func (f *fields) number() int64 {
	v, n := binary.Varint(*f)
	*f = (*f)[n:]
	return v
}

func (f *fields) count() int {
	v, n := binary.Uvarint(*f)
	*f = (*f)[n:]
	return int(v)
}

func (f *fields) take(n int) string {
	taken := string((*f)[:n])
	*f = (*f)[n:]
	return taken
}

func (f *fields) text() string { return f.take(f.count()) }

func (f *fields) checked() (c Checked) {
	u, s := &c.User, &c.Session
	u.ID, c.Blank, s.ID, s.UserID = int32(f.number()), Blank(f.number()), int32(f.number()), int32(f.number())
	base := f.number()
	moment := func() time.Time { return time.UnixMicro(base + f.number()) }
	u.CreatedAt = time.UnixMicro(base)
	u.Name, u.Email, u.Image, s.AccessToken = f.text(), f.text(), f.text(), f.text()
	u.UpdatedAt, s.CreatedAt, s.UpdatedAt, s.Expires = moment(), moment(), moment(), moment()
	if f.take(1) == "\x01" {
		verified := moment()
		u.EmailVerified = &verified
	}
	c.Providers = make([]string, f.count())
	for i := range c.Providers {
		c.Providers[i] = f.text()
	}
	return c
}
