package store

import (
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgtype"
)

// A User is a person. An empty string stands for NULL.
type User struct {
	ID            int32
	Name          string
	Email         string // lower case, and proven: nothing unverified is stored
	EmailVerified *time.Time
	Image         string
	CreatedAt     time.Time
	UpdatedAt     time.Time
}

// Blank says which texts of a User are empty in the database and not NULL, as
// only NextAuth writes them.
type Blank int32

const (
	BlankName Blank = 1 << iota
	BlankEmail
	BlankImage
)

// A moment reads a column that another program may have set to infinity, which
// becomes the end of the years of four digits; -infinity becomes the beginning.
// An error would be one of everybody who shares the statement.
type moment time.Time

var firstMoment, lastMoment = time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(9999, 12, 31, 23, 59, 59, 999_999_000, time.UTC)

// ScanTimestamptz implements pgtype.TimestamptzScanner. NULL is the zero time.
func (m *moment) ScanTimestamptz(v pgtype.Timestamptz) error {
	switch t := v.Time; {
	case !v.Valid:
		*m = moment{}
	case v.InfinityModifier == pgtype.Infinity || v.InfinityModifier == pgtype.Finite && t.After(lastMoment):
		*m = moment(lastMoment)
	case v.InfinityModifier == pgtype.NegativeInfinity || t.Before(firstMoment):
		*m = moment(firstMoment)
	default:
		*m = moment(t)
	}
	return nil
}

// An Account is a person's identity at one provider.
type Account struct {
	ID                 int32
	CompoundID         string // hex SHA-256 of provider:provider_account_id
	UserID             int32
	Type               string // "oauth"
	Provider           string
	ProviderAccountID  string
	RefreshToken       string // sealed by flows, but in NextAuth's dialect
	AccessToken        string // the same
	AccessTokenExpires *time.Time
	CreatedAt          time.Time
	UpdatedAt          time.Time
}

// A Session is one signed-in browser.
type Session struct {
	ID           int32
	UserID       int32
	Expires      time.Time
	SessionToken string // as stored: a hash, or in NextAuth's dialect the token
	AccessToken  string // the same
	CreatedAt    time.Time
	UpdatedAt    time.Time
}

// tokenPrefix begins the session_token of an access token that a person made
// for an API client. No cookie can have it: what a cookie is looked up by is a
// hash in hex, or in NextAuth's dialect a token that does not begin so.
const tokenPrefix = "api:"

// AccessTokenName is the name of a session that is an access token made for an
// API client; ok reports whether it is one.
func (s Session) AccessTokenName() (name string, ok bool) {
	rest, ok := strings.CutPrefix(s.SessionToken, tokenPrefix)
	if !ok {
		return "", false
	}
	_, name, _ = strings.Cut(rest, ":")
	return name, true
}

// A VerificationToken lets whoever holds its secret sign in as Identifier.
type VerificationToken struct {
	Identifier string
	Token      string // as stored: a keyed hash
	Expires    time.Time
	CreatedAt  time.Time
}

// Lifetimes of a session. The database's clock decides.
type Lifetimes struct {
	Idle     time.Duration // until it ends without use
	Update   time.Duration // how often use is written down at most
	Absolute time.Duration // from its beginning, however much it is used; 0 for without end
}

// end is Absolute in seconds, or longer than anything lasts.
func (l Lifetimes) end() float64 {
	if l.Absolute == 0 {
		return 1000 * 365 * 24 * 60 * 60
	}
	return l.Absolute.Seconds()
}

// A NewSession is a session to begin.
type NewSession struct {
	SessionToken string // as stored
	AccessToken  string // as stored
	Replaces     string // stored token of the session this browser had; it ends
	Lifetimes
	MaxPerUser int // the oldest beyond it end; 0 is no limit
}

// SignedIn is what a sign-in made.
type SignedIn struct {
	User    User
	Session Session
	NewUser bool
	// Cleared: the user's address was proven for the first time, and all other
	// sessions have ended, since somebody else may have begun them.
	Cleared bool
}
