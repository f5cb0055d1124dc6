package store

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// A SignedCookie says by its signature alone that a user is signed in, until it
// ends. It is exchanged for a session once: a row of verification_tokens with
// its Mark keeps it from being exchanged again, whatever became of the session.
type SignedCookie struct {
	Mark         string // a keyed hash
	UserID       int32
	Email        string // which that user must have
	Issued, Ends time.Time
	Since        time.Time // when the session counts as begun
}

// exchanged is what rows that mark cookies have as identifier. It is no address,
// so that none of them is ever taken for a mailed link.
const exchanged = "signed-cookie"

// afterEnd is how long a mark outlives its cookie: the database's clock sweeps
// the one, and ours says when the other ends.
const afterEnd = 24 * time.Hour

// Exchange begins the session of c, or returns the one that c was exchanged for,
// in one statement; of any number of callers one begins it, and the others ask
// once more. ErrNotFound: there is no such user with that address, c is over, it
// was exchanged for a session that has ended, or all of the user's were voided.
//
// begins.SessionToken derives from c, so that everybody who presents c means the
// same session.
func (s *Store) Exchange(ctx context.Context, c SignedCookie, begins NewSession) (out SignedIn, err error) {
	args := append(sessionArgs(begins), exchanged+":"+c.Mark, c.UserID, c.Email, c.Issued, c.Ends, afterEnd.Seconds(), exchanged, voidToken(c.UserID), c.Since)
	err = s.signIn(ctx, "exchange", begins, &out, func(ctx context.Context, conn *pgxpool.Conn) error {
		var n nullableSignedIn
		err := conn.QueryRow(ctx, `
	WITH claimed AS (
		SELECT id FROM users
		WHERE id = $8::int AND $9::varchar <> '' AND lower(email) = lower($9::varchar) AND $11::timestamptz > now()
			AND NOT EXISTS (SELECT FROM verification_tokens WHERE token = $14::varchar AND updated_at >= $10::timestamptz)
			AND NOT EXISTS (SELECT FROM verification_tokens WHERE token = $7::varchar)
			AND NOT EXISTS (SELECT FROM sessions WHERE session_token = $1::varchar)
	), marked AS (
		INSERT INTO verification_tokens (identifier, token, expires)
		SELECT $13::varchar, $7::varchar, $11::timestamptz + $12::float8 * interval '1 second' FROM claimed
		ON CONFLICT (token) DO NOTHING RETURNING id
	), who AS (
		SELECT claimed.id AS user_id FROM claimed, marked
	), begun AS (
		INSERT INTO sessions (user_id, expires, session_token, access_token, created_at)
		SELECT user_id, least(now() + $4::float8 * interval '1 second', $15::timestamptz + $5::float8 * interval '1 second'),
			$1::varchar, lpad(user_id::text, 10, '0') || substr($2::varchar, 11), $15::timestamptz FROM who
		RETURNING id, user_id, expires, session_token, access_token, created_at, updated_at
	)`+surplus+endSurplus+told+`
	SELECT u.id, coalesce(u.name, ''), coalesce(u.email, ''), u.email_verified, coalesce(u.image, ''), u.created_at, u.updated_at, b.*, (SELECT tokens FROM told)
	FROM begun b JOIN users u ON u.id = b.user_id`, args...).Scan(n.into()...)
		out = n.signedIn()
		s.haveEnded(n.ended)
		return err
	})
	switch {
	case errors.Is(err, ErrNotFound): // or somebody was faster
		user, session, err := s.Session(ctx, begins.SessionToken, begins.Lifetimes)
		return SignedIn{User: user, Session: session}, err
	case err != nil:
		return SignedIn{}, err
	}
	// Whoever voided the user's cookies while this one was being exchanged could
	// not see its session.
	voided, err := s.end(ctx, "exchange", "session_token = $1 AND EXISTS (SELECT FROM verification_tokens WHERE token = $2 AND updated_at >= $3)",
		begins.SessionToken, voidToken(c.UserID), c.Issued)
	if err == nil && voided > 0 {
		err = wrap("exchange", pgx.ErrNoRows)
	}
	if err != nil {
		return SignedIn{}, err
	}
	return out, nil
}

// EndExchanged ends what c stands for, exchanged or not. It is marked first: an
// exchange under way has then either lost, or has begun what is deleted here.
func (s *Store) EndExchanged(ctx context.Context, c SignedCookie, sessionToken string) error {
	err := s.do(ctx, "end exchanged", func(ctx context.Context) error {
		_, err := s.pool.Exec(ctx, `
	INSERT INTO verification_tokens (identifier, token, expires)
	SELECT $1::varchar, $2::varchar, $3::timestamptz + $4::float8 * interval '1 second'
	WHERE NOT EXISTS (SELECT FROM verification_tokens WHERE token = $2::varchar)
	ON CONFLICT (token) DO NOTHING`, exchanged, exchanged+":"+c.Mark, c.Ends, afterEnd.Seconds())
		return err
	})
	if err != nil {
		return err
	}
	return s.EndSession(ctx, sessionToken)
}

// VoidSignedCookies keeps the cookies that userID has by now, which live for up
// to life, from being exchanged. Sessions that some were exchanged for go on:
// end them after it.
func (s *Store) VoidSignedCookies(ctx context.Context, userID int32, life time.Duration) error {
	return s.do(ctx, "void signed cookies", func(ctx context.Context) error {
		_, err := s.pool.Exec(ctx, `
	INSERT INTO verification_tokens (identifier, token, expires) VALUES ($1::varchar, $2::varchar, now() + $3::float8 * interval '1 second')
	ON CONFLICT (token) DO UPDATE SET updated_at = now(), expires = greatest(verification_tokens.expires, excluded.expires)`,
			exchanged, voidToken(userID), (life + afterEnd).Seconds())
		return err
	})
}

// voidToken is the token of the row that voids a user's cookies up to its
// updated_at. It is no mark, which is a hash.
func voidToken(userID int32) string { return exchanged + ":user:" + strconv.Itoa(int(userID)) }
