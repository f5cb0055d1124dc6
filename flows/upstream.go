package flows

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/gatepost/gatepost/providers"
	"github.com/gatepost/gatepost/store"
)

const (
	upstreamPatience = 12 * time.Second // of whoever asks; a provider has ten seconds
	fetchPatience    = 11 * time.Second // with another replica that refreshes
	leaseLife        = 30 * time.Second // a refresh, and a database that comes back after it
	keepTime         = 2 * time.Minute  // how long new tokens are tried to be written
	rejectedPause    = time.Minute      // between refreshes for tokens that an API does not take

	// UpstreamPause is how long a provider that failed to refresh somebody's
	// token is not asked to again.
	UpstreamPause = 5 * time.Second
)

// An UpstreamToken is a person's access token at a provider.
type UpstreamToken struct {
	Provider  string
	AccountID string    // who the person is there
	Token     string    // opaque
	Type      string    // what stands before it in the header Authorization, "" if the provider wants it elsewhere
	Expires   time.Time // zero if the provider did not say
}

// Upstream gives applications the access tokens of people at providers, and
// refreshes those that are over: one refresh at a time for each refresh token, on
// all replicas, since a provider that rotates refresh tokens takes a second use
// for a theft and ends them all.
//
// Within a process callers join one look-up. Across replicas a lease settles who
// asks the provider (store.Lease); the others look until the row has what came of
// it. The new tokens are written only over those that they came of.
//
// Between the provider's answer and the write a rotated refresh token is nowhere
// but here. The write comes first of all and is repeated while the database is
// away; a process that is killed right then loses the token, and its person is
// asked to sign in again.
type Upstream struct {
	Providers []*providers.Client // whose tokens applications may have
	Store     *store.Store
	Dialect   Dialect
	Warn      func(error) // told when new tokens could not be written; may be nil

	mu      sync.Mutex
	fetches map[fetchKey]*fetch
	under   sync.WaitGroup // fetches
}

type fetchKey struct {
	userID             int32
	provider, rejected string
}

// fetch is a look-up under way, and what those who wait for it get.
type fetch struct {
	done  chan struct{}
	token UpstreamToken
	err   error
}

// Provider gives the provider of that id if its tokens are handed out.
func (u *Upstream) Provider(id string) (*providers.Client, bool) {
	for _, p := range u.Providers {
		if p.ID() == id {
			return p, true
		}
	}
	return nil, false
}

// Token gives the access token of userID at p, valid for a little while at least.
// rejected is one that the provider's API did not take: it is refreshed whatever
// its time, unless that was done a moment ago; "" for none.
//
// The error is ReasonAccountMissing, ReasonSignInAgain, store.ErrUnavailable, or
// what the provider could not do, after which it is asked again.
func (u *Upstream) Token(ctx context.Context, userID int32, p *providers.Client, rejected string) (UpstreamToken, error) {
	f := u.join(fetchKey{userID, p.ID(), rejected}, p)
	ctx, cancel := context.WithTimeout(ctx, upstreamPatience)
	defer cancel()
	select {
	case <-f.done:
		return f.token, f.err
	case <-ctx.Done():
		// The provider may have answered, and what it said waits to be written.
		if err := u.Store.Ready(context.Background()); err != nil {
			return UpstreamToken{}, err
		}
		return UpstreamToken{}, refuse(Callback, string(providers.ReasonProviderUnavailable), "no token in time")
	}
}

// join gives the look-up that is under way for key, or a new one. It goes on when
// those who wait give up: somebody who leaves must not cost a refresh token.
func (u *Upstream) join(key fetchKey, p *providers.Client) *fetch {
	u.mu.Lock()
	defer u.mu.Unlock()
	f := u.fetches[key]
	if f != nil {
		return f
	}
	if u.fetches == nil {
		u.fetches = map[fetchKey]*fetch{}
	}
	f = &fetch{done: make(chan struct{})}
	u.fetches[key] = f
	u.under.Go(func() {
		defer func() {
			if crash := recover(); crash != nil { // of a request that nobody else would catch it for
				f.err = fmt.Errorf("panic: %v", crash)
			}
			u.mu.Lock()
			delete(u.fetches, key)
			u.mu.Unlock()
			close(f.done)
		}()
		f.token, f.err = u.fetch(context.Background(), key, p)
	})
	return f
}

// Drain waits until no refresh is under way, or ctx ends.
func (u *Upstream) Drain(ctx context.Context) error {
	done := make(chan struct{})
	go func() { u.under.Wait(); close(done) }()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return errors.New("a token refresh was not finished")
	}
}

// fetch looks at the row until there is something to say about it.
func (u *Upstream) fetch(ctx context.Context, key fetchKey, p *providers.Client) (UpstreamToken, error) {
	for end := time.Now().Add(fetchPatience); time.Now().Before(end); {
		t, err := u.tokens(ctx, key)
		if err != nil {
			return UpstreamToken{}, err
		}
		switch t.judge(key.rejected) {
		case tokenGood:
			return t.upstream(p), nil
		case tokenOver:
			return UpstreamToken{}, &Error{OAuthSignin, ReasonSignInAgain, t.unreadable}
		}
		lease := t.lease()
		state, left, err := u.Store.TakeLease(ctx, lease, leaseLife)
		switch {
		case err != nil:
			return UpstreamToken{}, err
		case state == store.LeaseTaken:
			fresh, renewed, refusal := u.refresh(ctx, key, p, t, lease)
			if renewed {
				return fresh.upstream(p), nil
			}
			err = refusal
		case state == store.LeasePaused:
			err = refuse(Callback, string(providers.ReasonProviderUnavailable), "it failed a moment ago; asked again in %s", left.Round(time.Second))
		default:
			time.Sleep(50*time.Millisecond + rand.N(100*time.Millisecond))
		}
		if err != nil && t.valid() && t.access != key.rejected {
			return t.upstream(p), nil // there is a little left of it
		}
		if err != nil {
			return UpstreamToken{}, err
		}
	}
	return UpstreamToken{}, refuse(Callback, string(providers.ReasonProviderUnavailable), "another replica refreshes it")
}

// refresh uses the refresh token of t, whose lease is held, and writes what comes
// of it. If nothing was renewed and there is no error, the row says how it is.
// After an error the tokens are as before.
func (u *Upstream) refresh(ctx context.Context, key fetchKey, p *providers.Client, t upstreamTokens, lease store.Lease) (fresh upstreamTokens, renewed bool, err error) {
	// Somebody may have been done with it before the lease was taken: then the
	// row that t was read from is gone, and its refresh token spent.
	asked := time.Now()
	now, err := u.tokens(ctx, key)
	if err != nil || now.account.ID != t.account.ID || now.account.RefreshToken != t.account.RefreshToken {
		return fresh, false, errors.Join(err, u.Store.PauseLease(ctx, lease, 0))
	}
	got, err := p.Refresh(ctx, t.refresh)
	if err == nil {
		if !got.Expires.IsZero() {
			got.Expires = now.asOf.Add(got.Expires.Sub(asked)) // by the database's clock (security S-12)
		}
		fresh = upstreamTokens{account: sealTokens(u.Dialect, now.account, got), access: got.AccessToken}
		renewed, err = u.keep(ctx, fresh.account, t.account.RefreshToken, lease)
		return fresh, renewed, err
	}
	if refusal, ok := errors.AsType[*providers.Error](err); ok && refusal.Reason == providers.ReasonCodeRejected {
		// Remembered in the row, so that the provider is not asked again.
		a := now.account
		if a.RefreshToken = ""; !now.valid() || now.access == key.rejected {
			a.AccessToken, a.AccessTokenExpires = "", nil
		}
		_, err := u.keep(ctx, a, t.account.RefreshToken, lease)
		return fresh, false, err
	}
	return fresh, false, errors.Join(err, u.Store.PauseLease(ctx, lease, UpstreamPause))
}

// keep writes a over the tokens that came with the stored refresh token old, and
// tries for long: the provider may have ended those. If the row has others by
// now, of a sign-in, these stay.
func (u *Upstream) keep(ctx context.Context, a store.Account, old string, lease store.Lease) (written bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, keepTime)
	defer cancel()
	for pause := 20 * time.Millisecond; ; pause = min(2*pause, 500*time.Millisecond) {
		err := u.Store.ReplaceTokens(ctx, a, old, lease)
		switch {
		case err == nil:
			return true, nil
		case errors.Is(err, store.ErrConflict):
			return false, nil
		case !errors.Is(err, store.ErrUnavailable) || ctx.Err() != nil:
			err = fmt.Errorf("new tokens of account %d at %s are lost, and its person may have to sign in again: %w", a.ID, a.Provider, err)
			if u.Warn != nil {
				u.Warn(err)
			}
			return false, err
		}
		time.Sleep(pause)
	}
}

// upstreamTokens is a row of accounts with its tokens in clear text.
type upstreamTokens struct {
	account         store.Account
	access, refresh string
	unreadable      error     // why there are none, though the row has some
	asOf            time.Time // by the database's clock
}

func (u *Upstream) tokens(ctx context.Context, key fetchKey) (t upstreamTokens, err error) {
	t.account, t.asOf, err = u.Store.UpstreamAccount(ctx, key.userID, key.provider)
	if errors.Is(err, store.ErrNotFound) {
		return t, refuse(OAuthAccountNotLinked, ReasonAccountMissing, "user %d at %s", key.userID, key.provider)
	}
	if err == nil {
		t.access, t.refresh, t.unreadable = openTokens(u.Dialect, t.account)
	}
	return t, err
}

// sealTokens is a with the tokens t, as they are stored in its row.
func sealTokens(d Dialect, a store.Account, t providers.Tokens) store.Account {
	a.RefreshToken, a.AccessToken = d.upstream(t.RefreshToken, a.CompoundID+" refresh_token"), d.upstream(t.AccessToken, a.CompoundID+" access_token")
	a.AccessTokenExpires = nil
	if !t.Expires.IsZero() {
		a.AccessTokenExpires = &t.Expires
	}
	return a
}

// openTokens reverses sealTokens. A token that does not open is "".
func openTokens(d Dialect, a store.Account) (access, refresh string, err error) {
	access, accessErr := d.openUpstream(a.AccessToken, a.CompoundID+" access_token")
	refresh, refreshErr := d.openUpstream(a.RefreshToken, a.CompoundID+" refresh_token")
	return access, refresh, errors.Join(accessErr, refreshErr)
}

type tokenState int

const (
	tokenOver  tokenState = iota // there is none, and nothing to refresh it with
	tokenStale                   // to be refreshed
	tokenGood
)

// judge decides what is to be done about the access token. It is refreshed a
// little before its end, since clocks differ and whoever gets it has to use it
// too.
func (t upstreamTokens) judge(rejected string) tokenState {
	refused := rejected != "" && t.access == rejected
	if refused && t.asOf.Sub(t.account.UpdatedAt) < rejectedPause {
		refused = false // it is new: another would fare no better
	}
	switch {
	case !refused && t.valid() && !t.ending():
		return tokenGood
	case t.refresh != "":
		return tokenStale
	case !refused && t.valid():
		return tokenGood
	}
	return tokenOver
}

// valid reports that there is an access token whose time is not over, or that has
// none.
func (t upstreamTokens) valid() bool {
	return t.access != "" && (t.account.AccessTokenExpires == nil || t.asOf.Before(*t.account.AccessTokenExpires))
}

// ending reports that the last minute has begun, or the last quarter of a token
// that lives for less than four.
func (t upstreamTokens) ending() bool {
	if t.account.AccessTokenExpires == nil {
		return false
	}
	life := t.account.AccessTokenExpires.Sub(t.account.UpdatedAt)
	return t.account.AccessTokenExpires.Sub(t.asOf) <= min(life/4, time.Minute)
}

// lease is that of t's refresh token as it is stored: whoever reads the same row
// asks for the same lease, whatever key they sign with. The hash is of random
// bits that are in the row beside it.
func (t upstreamTokens) lease() store.Lease {
	sum := sha256.Sum256(fmt.Appendf(nil, "refresh token\x00%d\x00%s", t.account.ID, t.account.RefreshToken))
	return store.Lease{Token: "refresh:" + hex.EncodeToString(sum[:]), Owner: randomToken()}
}

func (t upstreamTokens) upstream(p *providers.Client) UpstreamToken {
	out := UpstreamToken{Provider: t.account.Provider, AccountID: t.account.ProviderAccountID, Token: t.access, Type: p.TokenType()}
	if t.account.AccessTokenExpires != nil {
		out.Expires = *t.account.AccessTokenExpires
	}
	return out
}
