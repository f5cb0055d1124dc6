package flows

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/url"
	"sync"
	"time"

	"github.com/gatepost/gatepost/providers"
	"github.com/gatepost/gatepost/store"
)

// AttemptTTL is how long a person may take at the provider (security O-5).
const AttemptTTL = 10 * time.Minute

// An Attempt is one sign-in on its way through a provider. Everything that its
// end depends on is in here, so that the answer of one provider, attempt or
// browser is never taken for that of another (security O-4).
type Attempt struct {
	Request   providers.AuthorizationRequest
	ReturnTo  string    // absolute, passed by ReturnTo.Resolve
	LinkTo    int32     // who asked to link another account; 0: a sign-in
	StartedAt time.Time // refused AttemptTTL later

	elsewhere bool // begun by the NextAuth site; no record that we sealed ever is
}

// A PendingLink is a provider account that waits for its person to prove the
// way in that they had before.
type PendingLink struct {
	UserID   int32 // whose sign-in completes it
	Provider string
	Subject  string
	Email    string // the address that stood in the way, proven by Provider; "" if none did
	ReturnTo string
	Since    time.Time // dropped AttemptTTL later
}

// A Conflict is the refusal that leads to a PendingLink: the error to show and
// what to keep for later.
type Conflict struct {
	Refusal *Error
	Pending PendingLink
}

func (c *Conflict) Error() string { return c.Refusal.Error() }
func (c *Conflict) Unwrap() error { return c.Refusal }

// OAuth signs people in with providers.
type OAuth struct {
	Providers []*providers.Client // in the order of the configuration
	Store     *store.Store
	Sessions  *Sessions
	Keys      Keys
	Linking   Linking
	Admission *Admission // nil lets everybody in
	// Believed are providers that only hand out addresses that they have proven;
	// see store.OAuthSignIn.
	Believed []string
	// Claims: an address that a provider does not vouch for, and that somebody
	// has, keeps a new user from being made, as in NextAuth (nextauth-v3 §12). It
	// tells whoever can claim addresses at a provider which of them are known.
	Claims bool
	Now    func() time.Time

	used usedAttempts
}

// Provider gives the configured provider of that id.
func (o *OAuth) Provider(id string) (*providers.Client, error) {
	for _, p := range o.Providers {
		if p.ID() == id {
			return p, nil
		}
	}
	return nil, refuse(OAuthSignin, ReasonUnknownProvider, "")
}

// Begin starts a sign-in: the record to keep in this browser and the URL to
// send it to. returnTo has passed ReturnTo.Resolve; linkTo is the user who is
// signed in, if this is to link another account. hints are parameters for the
// provider, of which only those that cannot change what is asked for are sent.
func (o *OAuth) Begin(ctx context.Context, providerID, redirectURI, returnTo string, linkTo int32, hints url.Values) (Attempt, string, error) {
	p, err := o.Provider(providerID)
	if err != nil {
		return Attempt{}, "", err
	}
	request, location, err := p.Begin(ctx, redirectURI, hints)
	if err != nil {
		refusal := *ErrorOf(err)
		if refusal.Code != Configuration {
			refusal.Code = OAuthSignin
		}
		return Attempt{}, "", &refusal
	}
	return Attempt{Request: request, ReturnTo: returnTo, LinkTo: linkTo, StartedAt: o.Now()}, location, nil
}

// Complete ends a sign-in with the provider's answer cb. current is the session
// that this browser has, "" for none; it is replaced. The error may be a
// *Conflict.
func (o *OAuth) Complete(ctx context.Context, a Attempt, providerID string, cb url.Values, current SessionToken) (SignedIn, error) {
	p, err := o.Provider(providerID)
	if err != nil {
		return SignedIn{}, err
	}
	if err := a.check(providerID, o.Now()); err != nil {
		return SignedIn{}, err
	}
	if !o.used.claim(a.once(cb), a.StartedAt.Add(AttemptTTL), o.Now()) {
		return SignedIn{}, refuse(OAuthCallback, ReasonAttemptUsed, "")
	}
	identity, err := p.Complete(ctx, a.Request, cb)
	if err != nil {
		return SignedIn{}, ErrorOf(err)
	}
	if !p.Offline() && !o.Sessions.Dialect.keepsRefreshTokens() {
		identity.RefreshToken = ""
	}
	return o.signIn(ctx, p.ID(), identity, a, current)
}

// check reports why this record cannot take an answer for providerID now, or
// nil. The provider's own part of the record is checked by providers.
func (a Attempt) check(providerID string, now time.Time) error {
	switch {
	case a.Request.State == "" || a.StartedAt.IsZero():
		return refuse(OAuthCallback, ReasonAttemptMissing, "")
	case a.Request.Provider != providerID:
		// The mix-up of CVE-2026-73419: a record of one provider must not
		// vouch for the answer of another.
		return refuse(OAuthCallback, string(providers.ReasonStateMismatch), "record of %q at the callback of %q", a.Request.Provider, providerID)
	case now.Sub(a.StartedAt) > AttemptTTL || a.StartedAt.Sub(now) > time.Minute:
		return refuse(OAuthCallback, ReasonAttemptExpired, "started %s ago", now.Sub(a.StartedAt).Round(time.Second))
	}
	return nil
}

// addresses are the spellings of p's address, nil if it is of no account here, and
// the one to write, "" unless the catalogue trusts this provider to vouch for it:
// only such an address is ever written to users.email (security G-3). One that
// nobody vouches for stands in the way with Claims alone.
func (o *OAuth) addresses(p providers.Profile) (write string, all []string) {
	all = o.Sessions.Dialect.addresses(p.Email)
	vouched := p.EmailVerified && p.MayLink
	switch {
	case len(all) == 0 || !vouched && !o.Claims:
		return "", nil
	case !vouched:
		return "", all
	}
	return all[0], all
}

func (o *OAuth) signIn(ctx context.Context, providerID string, id providers.Identity, a Attempt, current SessionToken) (SignedIn, error) {
	token, session := o.Sessions.begin(current)
	in := store.OAuthSignIn{
		Account: o.account(providerID, id),
		User:    store.User{Name: id.Name, Image: id.Image},
		Session: session,
		LinkTo:  a.LinkTo, Believed: o.Believed,
	}
	in.User.Email, in.Addresses = o.addresses(id.Profile)
	if err := o.Admission.account(ctx, in, id.Profile); err != nil {
		return SignedIn{}, err
	}
	signedIn, facts, err := o.Store.SignInByAccount(ctx, in)
	if err != nil {
		return SignedIn{}, err
	}
	if signedIn.User.ID == 0 {
		signedIn, err = o.resolve(ctx, in, facts, a)
	}
	if err != nil {
		return SignedIn{}, err
	}
	return SignedIn{SignedIn: signedIn, Token: token, ReturnTo: a.ReturnTo}, nil
}

// resolve acts on the cases that one statement does not settle by itself.
func (o *OAuth) resolve(ctx context.Context, in store.OAuthSignIn, f store.Facts, a Attempt) (store.SignedIn, error) {
	if a.wouldLink(f.Owner) {
		return store.SignedIn{}, refuse(OAuthCallback, ReasonBegunElsewhere, "by user %d, to link another account", a.LinkTo)
	}
	act, refusal := link(f, a.LinkTo, in.User.Email != "", o.Linking, o.Now())
	switch act {
	case actSignIn, actCreate:
		in.LinkTo = 0
		signedIn, f, err := o.Store.SignInByAccount(ctx, in)
		if err == nil && signedIn.User.ID == 0 {
			// The rows changed between the two statements.
			err = refuse(OAuthAccountNotLinked, ReasonAccountTaken, "facts changed: %+v", f)
		}
		return signedIn, err
	case actLink:
		return o.linked(ctx, a.LinkTo, nil, in)
	case actLinkSame:
		return o.linked(ctx, f.Namesake, in.Addresses, in)
	}
	if refusal.Reason != ReasonAddressInUse && refusal.Reason != ReasonSessionTooOld {
		return store.SignedIn{}, refusal
	}
	if a.LinkTo == 0 && in.User.Email == "" {
		// Nothing waits to be linked: whoever claims an address and leaves the
		// browser to its owner would get into their user by the owner's sign-in.
		return store.SignedIn{}, refuse(OAuthAccountNotLinked, "", "user %d has the address, which the provider does not vouch for", f.Namesake)
	}
	pending := PendingLink{Provider: in.Account.Provider, Subject: in.Account.ProviderAccountID, ReturnTo: a.ReturnTo, Since: o.Now()}
	if a.LinkTo != 0 {
		pending.UserID = a.LinkTo
	} else {
		pending.UserID, pending.Email = f.Namesake, in.User.Email
	}
	return store.SignedIn{}, &Conflict{refusal, pending}
}

// linked adds in's account to userID. A lost race means that somebody else has
// the account by now.
func (o *OAuth) linked(ctx context.Context, userID int32, requireVerified []string, in store.OAuthSignIn) (store.SignedIn, error) {
	s, err := o.Store.SignInByLinking(ctx, userID, requireVerified, in)
	switch {
	case isConflict(err):
		return s, refuse(OAuthAccountNotLinked, ReasonAccountTaken, "%w", err)
	case err != nil:
		return s, err
	}
	return s, o.Sessions.onlySession(ctx, s)
}

// FinishLink adds the account of p to the user who has just signed in with
// token, if that is the user it waited for; done says whether. The session is
// replaced again, since what it may do has grown (security S-1).
func (o *OAuth) FinishLink(ctx context.Context, p PendingLink, userID int32, token SessionToken) (in SignedIn, done bool, err error) {
	if p.UserID == 0 || p.UserID != userID || o.Now().Sub(p.Since) > AttemptTTL {
		return SignedIn{}, false, nil
	}
	if _, err := o.Provider(p.Provider); err != nil {
		return SignedIn{}, false, nil
	}
	fresh, session := o.Sessions.begin(token)
	account := o.account(p.Provider, providers.Identity{Profile: providers.Profile{Subject: p.Subject}})
	signedIn, err := o.linked(ctx, userID, nil, store.OAuthSignIn{Account: account, Session: session})
	if err != nil {
		return SignedIn{}, false, err
	}
	return SignedIn{SignedIn: signedIn, Token: fresh, ReturnTo: p.ReturnTo}, true, nil
}

// CompoundID is accounts.compound_id by NextAuth's formula, 64 hex digits; a
// provider's id cannot contain the colon (security O-36).
func CompoundID(providerID, subject string) string {
	sum := sha256.Sum256([]byte(providerID + ":" + subject))
	return hex.EncodeToString(sum[:])
}

// account is the row for id.
func (o *OAuth) account(providerID string, id providers.Identity) store.Account {
	return sealTokens(o.Sessions.Dialect, store.Account{
		CompoundID:        CompoundID(providerID, id.Subject),
		Type:              "oauth",
		Provider:          providerID,
		ProviderAccountID: id.Subject,
	}, id.Tokens)
}

// usedAttempts remembers which attempts have had their answer until they expire
// anyway. It holds for this process; across replicas the browser's record is
// deleted with the first answer, and the provider's code is single use.
type usedAttempts struct {
	mu    sync.Mutex
	until map[string]time.Time // by state
}

// claim reports whether state is answered for the first time.
func (u *usedAttempts) claim(state string, until, now time.Time) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.until == nil {
		u.until = make(map[string]time.Time)
	}
	if _, used := u.until[state]; used {
		return false
	}
	if len(u.until) >= 4096 {
		for s, t := range u.until {
			if now.After(t) {
				delete(u.until, s)
			}
		}
	}
	u.until[state] = until
	return true
}

func isConflict(err error) bool { return errors.Is(err, store.ErrConflict) }
