package flows

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"time"

	"github.com/gatepost/gatepost/store"
)

// A hand-over carries a sign-in to another root domain, whose hosts do not see
// the cookies of this one: the browser begins there (a Crossing), is known here
// (a Carried), and arrives there with the same session. So one sign-out ends it
// on all domains.

const (
	crossingTTL     = AttemptTTL       // a sign-in may lie in between
	carriedTTL      = 30 * time.Second // a redirect, and no more (security F-13)
	purposeHandover = "handover"
)

// A Crossing is a hand-over as the browser that began it keeps it.
type Crossing struct {
	Site     string // host of Gatepost on the other domain
	Secret   string // 256 bits that nobody else knows
	ReturnTo string // absolute, passed by ReturnTo.Resolve
	Since    time.Time
}

// A Carried is what goes back to the other domain, sealed.
type Carried struct {
	Site  string
	Bind  string // of the Crossing that asked for it
	ID    string // redeemed once
	Token SessionToken
	Since time.Time
}

// Handover carries sessions between root domains.
type Handover struct {
	Store    *store.Store
	Sessions *Sessions
	Keys     Keys
	Now      func() time.Time
}

// Begin starts a hand-over to site for one browser.
func (h *Handover) Begin(site, returnTo string) Crossing {
	return Crossing{Site: site, Secret: randomToken(), ReturnTo: returnTo, Since: h.Now()}
}

// Bind is what of c may be seen: it tells which hand-over a browser means, and
// not the secret that proves that it began it.
func (c Crossing) Bind() string {
	sum := sha256.Sum256([]byte(purposeHandover + "\x00" + c.Secret))
	return hex.EncodeToString(sum[:])
}

// Carry prepares the session of token for the browser at site that began the
// hand-over with that bind.
func (h *Handover) Carry(ctx context.Context, site, bind string, token SessionToken) (Carried, error) {
	c := Carried{Site: site, Bind: bind, ID: randomToken(), Token: token, Since: h.Now()}
	return c, h.Store.PutOnce(ctx, purposeHandover, h.Keys.MAC(purposeHandover, c.ID), carriedTTL)
}

// Arrive ends a hand-over in the browser that began it, once. What is refused is
// a Verification error; where it could not be told, store.ErrUnavailable.
func (h *Handover) Arrive(ctx context.Context, began Crossing, c Carried) (store.Session, error) {
	if err := began.answeredBy(c, h.Now()); err != nil {
		return store.Session{}, err
	}
	if err := h.Store.TakeOnce(ctx, purposeHandover, h.Keys.MACs(purposeHandover, c.ID)); err != nil {
		if errors.Is(err, store.ErrNotFound) {
			err = refuse(Verification, ReasonHandoverFailed, "used, or over")
		}
		return store.Session{}, err
	}
	_, session, err := h.Sessions.Current(ctx, c.Token)
	if errors.Is(err, ErrNoSession) {
		err = refuse(Verification, ReasonHandoverFailed, "the session has ended meanwhile")
	}
	return session, err
}

// answeredBy reports why c does not end this hand-over, or nil. Nothing matches
// nothing: without the record of this browser, a link that an attacker made from
// a session of his own would sign somebody in as him (login CSRF).
func (c Crossing) answeredBy(carried Carried, now time.Time) error {
	switch {
	case c.Secret == "" || carried.Bind == "" || carried.ID == "" || carried.Token == "":
		return refuse(Verification, ReasonHandoverFailed, "incomplete")
	case subtle.ConstantTimeCompare([]byte(c.Bind()), []byte(carried.Bind)) != 1 || c.Site != carried.Site:
		return refuse(Verification, ReasonHandoverFailed, "of another browser or site")
	case now.Sub(c.Since) > crossingTTL || now.Sub(carried.Since) > carriedTTL:
		return refuse(Verification, ReasonHandoverFailed, "too late")
	}
	return nil
}
