package flows

import (
	"context"
	"errors"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/gatepost/gatepost/store"
)

// AccessTokens lets people make bearer tokens for programs of theirs.
type AccessTokens struct {
	MaxLife time.Duration // the longest that one may live
	PerUser int           // how many one person may have
}

// AccessTokenPrefix marks the bearer tokens that Gatepost made, so that an
// application's own never cost a look-up.
const AccessTokenPrefix = "gp_"

// maxTokenName is how long the name of a token may be, in runes.
const maxTokenName = 60

// MayMakeTokens reports whether the rules let p make access tokens.
func (g *Gate) MayMakeTokens(p *Person) bool { return g.Rules.MayMakeTokens(p.Identity) }

// MakeToken gives p a bearer token that lives for life. It is returned this
// once: the database has only its hash. The person's sign-in must be recent,
// because a browser left open must not become a key for months.
func (g *Gate) MakeToken(ctx context.Context, p *Person, name string, life time.Duration) (token string, made store.Session, err error) {
	name = strings.TrimSpace(name)
	switch {
	case !g.MayMakeTokens(p):
		return "", made, refuse(AccessDenied, ReasonTokensRefused, "user %d", p.UserID)
	case g.Now().Sub(p.entry.Session.CreatedAt) > LinkingTTL:
		return "", made, refuse(AccessDenied, ReasonTokenSignInOld, "signed in at %s", p.entry.Session.CreatedAt.UTC().Format(time.RFC3339))
	case name == "" || utf8.RuneCountInString(name) > maxTokenName || !utf8.ValidString(name) || strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) }):
		return "", made, refuse(AccessDenied, ReasonTokenInvalid, "its name")
	case life < time.Minute || life > g.Tokens.MaxLife:
		return "", made, refuse(AccessDenied, ReasonTokenInvalid, "a life of %s", life)
	}
	token = AccessTokenPrefix + g.Sessions.Dialect.newToken()
	made, err = g.Sessions.Store.CreateAccessToken(ctx, p.UserID, p.entry.Session.SessionToken, name, g.Sessions.Dialect.stored(token), life, g.Tokens.PerUser)
	switch {
	case errors.Is(err, store.ErrTooMany):
		err = refuse(AccessDenied, ReasonTooManyTokens, "user %d", p.UserID)
	case errors.Is(err, store.ErrNotFound):
		err = refuse(SessionRequired, "session_required", "user %d, the session has ended meanwhile", p.UserID)
	}
	return token, made, err
}
