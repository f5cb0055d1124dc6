package flows

import (
	"context"
	"crypto/sha256"
	"errors"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/gatepost/gatepost/flows/nextauth"
	"github.com/gatepost/gatepost/store"
)

// A NextAuth v3 site with the option session.jwt has no session rows: its cookie
// says by its signature alone who is signed in. Whoever comes with one gets a
// session for it, once: the session's token derives from the cookie, so that all
// tabs of a browser get the same one, and a row marks the cookie, so that it
// opens nothing any more when that session has ended.

// SignedSessions reads the session cookies of such a site.
type SignedSessions struct {
	Tokens    nextauth.Tokens
	Encrypted bool          // its option jwt.encryption
	MaxAge    time.Duration // its option session.maxAge
	Now       func() time.Time

	mu    sync.RWMutex
	known map[cookieKey]knownCookie // cookies that were exchanged, or refused, here
}

// A cookieKey is a hash of a cookie as received.
type cookieKey [sha256.Size]byte

// A knownCookie is what a cookie means until it ends. Whether its session is
// alive is looked up each time.
type knownCookie struct {
	token SessionToken
	ends  time.Time
}

// maxKnown bounds what is remembered of cookies. One that is forgotten is read
// again, which costs as much as many checks, and a statement.
const maxKnown = 10_000

// longAgo is how long before its cookie's date an exchanged session counts as
// begun. When somebody signed in no cookie says: NextAuth dates it anew whenever
// a page asks for the session. It must not pass for a moment ago, which linking
// an account and making an access token want (LinkingTTL), or whoever found a
// cookie could make themselves a key for months of it.
const longAgo = 2 * LinkingTTL

// Purposes of what derives from a cookie.
const (
	purposeExchanged = "exchanged session" // its session token
	purposeMark      = "exchange mark"     // what says that it was exchanged
)

// read is whom cookie names and the token of the session that it stands for.
func (g *SignedSessions) read(cookie SessionToken) (c store.SignedCookie, token SessionToken, ok bool) {
	claims, signed, err := g.Tokens.DecodeSession(string(cookie), g.Encrypted, g.MaxAge, g.Now())
	if err != nil {
		return c, "", false
	}
	id, email, ok := claimant(claims)
	c = store.SignedCookie{Mark: g.Tokens.MAC(purposeMark, signed.Signed), UserID: id, Email: email, Issued: signed.IssuedAt, Ends: signed.Ends, Since: signed.IssuedAt.Add(-longAgo)}
	return c, SessionToken(g.Tokens.MAC(purposeExchanged, signed.Signed)), ok
}

// claimant is the user whom claims may be about: who has that id and that
// address, too. sub alone says nothing. A site without a database wrote the
// account's id at its provider there, and with it a stranger would be whoever has
// that number here. Nobody is nobody: without an address there is nothing to
// compare.
func claimant(claims nextauth.SessionClaims) (id int32, email string, ok bool) {
	n, err := strconv.ParseInt(claims.Sub, 10, 32)
	if err != nil || n <= 0 || strconv.FormatInt(n, 10) != claims.Sub || claims.Email == nil || *claims.Email == "" || len(*claims.Email) > 255 || strings.ContainsRune(*claims.Email, 0) {
		return 0, "", false
	}
	return int32(n), *claims.Email, true
}

// Exchange is the token of the session that a browser means by what it presents:
// the token itself, or the one that a signed cookie was exchanged for now or
// before. Whether that session is alive Current says. ErrNoSession: a signed
// cookie that is not the site's, is over, or names nobody here.
func (s *Sessions) Exchange(ctx context.Context, presented SessionToken) (SessionToken, error) {
	if s.Signed == nil || !nextauth.IsToken(string(presented)) {
		return presented, nil
	}
	key := cookieKey(sha256.Sum256([]byte(presented)))
	if token, ok := s.Signed.recall(key); ok {
		return token, nil
	}
	cookie, token, ok := s.Signed.read(presented)
	if !ok {
		return "", ErrNoSession
	}
	_, begins := s.begin("")
	begins.SessionToken = s.Dialect.stored(string(token))
	if _, err := s.Store.Exchange(ctx, cookie, begins); err != nil && !errors.Is(err, store.ErrNotFound) {
		return "", err
	}
	s.Signed.learn(key, knownCookie{token, cookie.Ends})
	return token, nil
}

// endSigned ends what a signed cookie stands for, exchanged or not.
func (s *Sessions) endSigned(ctx context.Context, presented SessionToken) error {
	cookie, token, ok := s.Signed.read(presented)
	if !ok {
		return nil
	}
	return s.Store.EndExchanged(ctx, cookie, s.Dialect.stored(string(token)))
}

// voidSigned keeps the cookies that userID's browsers hold from being exchanged;
// whoever ends a user's sessions ends these first.
func (s *Sessions) voidSigned(ctx context.Context, userID int32) error {
	if s.Signed == nil {
		return nil
	}
	return s.Store.VoidSignedCookies(ctx, userID, s.Signed.MaxAge)
}

// onlySession leaves a user the session that has just begun: with signed cookies
// about, what the statement that began it has ended is not all.
func (s *Sessions) onlySession(ctx context.Context, in store.SignedIn) error {
	if s.Signed == nil {
		return nil
	}
	if err := s.voidSigned(ctx, in.User.ID); err != nil {
		return err
	}
	_, err := s.Store.EndOtherSessions(ctx, in.User.ID, in.Session.SessionToken)
	return err
}

// recall is the token of the session that a cookie of that key was presented for
// before. What it was exchanged for then, if anything, is all that it ever opens.
func (g *SignedSessions) recall(key cookieKey) (SessionToken, bool) {
	g.mu.RLock()
	known, ok := g.known[key]
	g.mu.RUnlock()
	return known.token, ok && g.Now().Before(known.ends)
}

func (g *SignedSessions) learn(key cookieKey, known knownCookie) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.known == nil {
		g.known = map[cookieKey]knownCookie{}
	}
	if _, there := g.known[key]; !there && len(g.known) >= maxKnown {
		for old := range g.known {
			delete(g.known, old)
			break
		}
	}
	g.known[key] = known
}
