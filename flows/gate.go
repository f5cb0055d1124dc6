package flows

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"time"

	"github.com/gatepost/gatepost/flows/gate"
	"github.com/gatepost/gatepost/store"
)

// Gate answers who asks for something, and whether they may have it.
type Gate struct {
	Sessions *Sessions
	Rules    *gate.Rules
	Signer   *gate.Signer
	Tokens   AccessTokens
	Now      func() time.Time

	assertions assertions
}

// A Person is who a live session or access token is of.
type Person struct {
	entry *store.Entry         // every check reads both, so they come first
	told  atomic.Pointer[told] // the last: most people ask for one host at a time

	gate.Identity
}

// Session is the session that p came by.
func (p *Person) Session() store.Session { return p.entry.Session }

// Live reports whether p may be believed without asking again.
func (p *Person) Live(now time.Time) bool { return p.entry.Live(now) }

// Person says whose session token is: ErrNoSession, store.ErrUnavailable.
func (g *Gate) Person(ctx context.Context, token SessionToken) (*Person, error) {
	token, err := g.Sessions.Exchange(ctx, token)
	if err != nil {
		return nil, err
	}
	if !g.Sessions.Dialect.wellFormed(string(token)) {
		return nil, ErrNoSession
	}
	return g.person(ctx, store.SessionToken, g.Sessions.Dialect.stored(string(token)), nil)
}

// Again asks again about somebody who is no longer Live.
func (g *Gate) Again(ctx context.Context, p *Person) (*Person, error) {
	return g.person(ctx, store.SessionToken, p.entry.Session.SessionToken, p)
}

// Bearer says whose access token is. ErrNoSession: it is none of ours, unknown,
// or over.
func (g *Gate) Bearer(ctx context.Context, token string) (*Person, error) {
	if !g.Sessions.Dialect.bearer(token) {
		return nil, ErrNoSession
	}
	return g.person(ctx, store.AccessToken, g.Sessions.Dialect.stored(token), nil)
}

// person looks up who has the stored token. What was derived of them before, nil
// for nothing, is taken over where it still holds.
func (g *Gate) person(ctx context.Context, by store.Token, stored string, before *Person) (*Person, error) {
	entry, err := g.Sessions.Cache.Check(ctx, by, stored)
	if errors.Is(err, store.ErrNotFound) {
		return nil, ErrNoSession
	}
	if err != nil {
		return nil, err
	}
	if p, ok := entry.Memo.Load().(*Person); ok {
		return p, nil
	}
	p := &Person{entry: entry}
	if before != nil && same(before.entry.Checked, entry.Checked) {
		p.Identity = before.Identity
		// The texts are the same, but of what the collector walks anyway.
		p.Name, p.Providers = entry.User.Name, entry.Providers
		if p.Email == entry.User.Email {
			p.Email = entry.User.Email
		}
		p.told.Store(before.told.Load())
	} else {
		p.Identity = IdentityOf(g.Rules, entry.Checked)
	}
	entry.Memo.Store(p)
	return p, nil
}

// same reports that IdentityOf has the same to say of both.
func same(a, b store.Checked) bool {
	return a.User.ID == b.User.ID && a.User.Name == b.User.Name && a.User.Email == b.User.Email &&
		(a.User.EmailVerified == nil) == (b.User.EmailVerified == nil) && slices.Equal(a.Providers, b.Providers)
}

// IdentityOf is what rules know of somebody.
func IdentityOf(rules *gate.Rules, c store.Checked) gate.Identity {
	id := gate.Identity{UserID: c.User.ID, Name: c.User.Name, Providers: c.Providers, Email: provenAddress(c.User)}
	id.Groups = rules.GroupsOf(id)
	return id
}

// provenAddress is the address that u has proven, in the canonical form however
// it is stored, "" for none.
func provenAddress(u store.User) string {
	if u.EmailVerified == nil {
		return ""
	}
	return canonicalOf(u.Email)
}
