package store

import (
	"context"
	"crypto/rand"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
)

// ErrTooMany means that a user has as many access tokens as one may have.
var ErrTooMany = errors.New("too many")

// CreateAccessToken adds a session that is an access token for an API client:
// accessToken is its stored form, name what its owner calls it. It ends after
// life, however much it is used. ErrTooMany: the user has most of them.
//
// by is the stored token of the session that asks. It is looked at once more,
// because somebody may be ending all that the user has begun, and no token must
// come after it (security L-4). ErrNotFound: it is gone, or another user's.
func (s *Store) CreateAccessToken(ctx context.Context, userID int32, by, name, accessToken string, life time.Duration, most int) (made Session, err error) {
	sessionToken := tokenPrefix + rand.Text() + ":" + name
	err = s.do(ctx, "create access token", func(ctx context.Context) error {
		var asked bool
		var id *int32
		var expires, created *time.Time
		err := s.pool.QueryRow(ctx, `
	WITH owner AS (
		SELECT id FROM users WHERE id = $1::int FOR UPDATE
	), asking AS (
		SELECT s.user_id AS id FROM owner JOIN sessions s ON s.user_id = owner.id
		WHERE s.session_token = $6::varchar AND s.expires > now()
		FOR UPDATE OF s
	), made AS (
		INSERT INTO sessions (user_id, expires, session_token, access_token)
		SELECT id, now() + $4::float8 * interval '1 second', $2::varchar, $3::varchar FROM asking
		WHERE (SELECT count(*) FROM sessions WHERE user_id = $1::int AND session_token LIKE 'api:%' AND expires > now()) < $5::int
		RETURNING id, expires, created_at
	)
	SELECT EXISTS (SELECT FROM asking), made.id, made.expires, made.created_at FROM (SELECT 1) one LEFT JOIN made ON true`,
			userID, sessionToken, accessToken, life.Seconds(), most, by).Scan(&asked, &id, &expires, &created)
		switch {
		case err != nil:
			return err
		case !asked:
			return pgx.ErrNoRows
		case id == nil:
			return ErrTooMany
		}
		made = Session{ID: *id, UserID: userID, Expires: *expires, SessionToken: sessionToken, AccessToken: accessToken, CreatedAt: *created, UpdatedAt: *created}
		return nil
	})
	return made, err
}

// SessionByID returns a session, live or not, and its user.
func (s *Store) SessionByID(ctx context.Context, id int32) (c Checked, live bool, err error) {
	err = s.do(ctx, "session by id", func(ctx context.Context) error {
		u, v := &c.User, &c.Session
		return s.pool.QueryRow(ctx, `
	SELECT u.id, coalesce(u.name, ''), coalesce(u.email, ''), u.email_verified, coalesce(u.image, ''), u.created_at, u.updated_at,
		s.id, s.user_id, s.expires, s.session_token, s.access_token, s.created_at, s.updated_at,
		ARRAY(SELECT DISTINCT provider FROM accounts WHERE user_id = u.id ORDER BY provider), s.expires > now()
	FROM sessions s JOIN users u ON u.id = s.user_id WHERE s.id = $1`, id).Scan(
			&u.ID, &u.Name, &u.Email, &u.EmailVerified, &u.Image, &u.CreatedAt, &u.UpdatedAt,
			&v.ID, &v.UserID, &v.Expires, &v.SessionToken, &v.AccessToken, &v.CreatedAt, &v.UpdatedAt, &c.Providers, &live)
	})
	return c, live, err
}
