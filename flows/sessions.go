package flows

import (
	"context"
	"errors"

	"github.com/gatepost/gatepost/flows/nextauth"
	"github.com/gatepost/gatepost/store"
)

// A SessionToken is what the browser's cookie holds, of the form that the
// Dialect has.
type SessionToken string

// SignedIn is a session just begun.
type SignedIn struct {
	store.SignedIn
	Token    SessionToken
	ReturnTo string // absolute, passed by ReturnTo.Resolve
}

// ErrNoSession means that nobody is signed in: no token, an unknown one, or an
// expired one.
var ErrNoSession = errors.New("no session")

// Sessions looks after the sessions of people who have signed in.
type Sessions struct {
	Store      *store.Store
	Cache      *store.Cache // answers Current
	Lifetimes  store.Lifetimes
	Dialect    Dialect
	MaxPerUser int             // the oldest beyond it end when a new one begins; security S-14
	Signed     *SignedSessions // nil for none
}

// begin makes the tokens of a new session that replaces old in this browser
// (security S-1: signing in always changes the token).
func (s *Sessions) begin(old SessionToken) (SessionToken, store.NewSession) {
	token, replaces := s.Dialect.newToken(), ""
	if s.Dialect.wellFormed(string(old)) {
		replaces = s.Dialect.stored(string(old))
	}
	return SessionToken(token), store.NewSession{
		SessionToken: s.Dialect.stored(token),
		AccessToken:  s.Dialect.stored(s.Dialect.newToken()),
		Replaces:     replaces,
		Lifetimes:    s.Lifetimes,
		MaxPerUser:   s.MaxPerUser,
	}
}

// Current says who is signed in with token, and extends the session when that
// is due. It returns ErrNoSession, or store.ErrUnavailable when it cannot tell.
func (s *Sessions) Current(ctx context.Context, token SessionToken) (store.User, store.Session, error) {
	c, err := s.Known(ctx, token)
	return c.User, c.Session, err
}

// Known is Current with what else is known of who is signed in.
func (s *Sessions) Known(ctx context.Context, token SessionToken) (store.Checked, error) {
	token, err := s.Exchange(ctx, token)
	if err != nil {
		return store.Checked{}, err
	}
	if !s.Dialect.wellFormed(string(token)) {
		return store.Checked{}, ErrNoSession
	}
	entry, err := s.Cache.Check(ctx, store.SessionToken, s.Dialect.stored(string(token)))
	if errors.Is(err, store.ErrNotFound) {
		err = ErrNoSession
	}
	if err != nil {
		return store.Checked{}, err
	}
	return entry.Checked, nil
}

// End ends the session of token, if there is one.
func (s *Sessions) End(ctx context.Context, token SessionToken) error {
	if s.Signed != nil && nextauth.IsToken(string(token)) {
		return s.endSigned(ctx, token)
	}
	if !s.Dialect.wellFormed(string(token)) {
		return nil
	}
	return s.Store.EndSession(ctx, s.Dialect.stored(string(token)))
}

// EndOne ends one session of a user. One that is gone already is what was asked
// for: the page that showed it was old.
func (s *Sessions) EndOne(ctx context.Context, userID, sessionID int32) error {
	return unlessGone(s.Store.EndSessionByID(ctx, userID, sessionID))
}

func unlessGone(err error) error {
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	return err
}

// EndOthers ends every session of a user but that of token.
func (s *Sessions) EndOthers(ctx context.Context, userID int32, token SessionToken) (int, error) {
	if err := s.voidSigned(ctx, userID); err != nil {
		return 0, err
	}
	return s.Store.EndOtherSessions(ctx, userID, s.Dialect.stored(string(token)))
}

// EndAll ends every session of a user.
func (s *Sessions) EndAll(ctx context.Context, userID int32) (int, error) {
	if err := s.voidSigned(ctx, userID); err != nil {
		return 0, err
	}
	return s.Store.EndAllSessions(ctx, userID)
}

// List gives a user's live sessions.
func (s *Sessions) List(ctx context.Context, userID int32) ([]store.Session, error) {
	return s.Store.SessionsOf(ctx, userID)
}

// Accounts gives the provider accounts linked to a user.
func (s *Sessions) Accounts(ctx context.Context, userID int32) ([]store.Account, error) {
	return s.Store.AccountsOf(ctx, userID)
}

// Unlink removes a provider account from its user and ends the user's other
// sessions. The last way in cannot be removed (security L-9); one that is gone
// already is no error.
func (s *Sessions) Unlink(ctx context.Context, userID, accountID int32, token SessionToken) error {
	err := s.Store.Unlink(ctx, userID, accountID, s.Dialect.stored(string(token)))
	if errors.Is(err, store.ErrLastWayIn) {
		return refuse(OAuthAccountNotLinked, ReasonLastWayIn, "user %d, account %d", userID, accountID)
	}
	if err == nil && s.Signed != nil {
		_, err = s.EndOthers(ctx, userID, token)
	}
	return unlessGone(err)
}

// Ready reports whether the database answers.
func (s *Sessions) Ready(ctx context.Context) error { return s.Store.Ready(ctx) }
