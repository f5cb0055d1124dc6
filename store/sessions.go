package store

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
)

// A Token says by which of its two tokens a session is looked up.
type Token int

const (
	SessionToken Token = iota // the browser's cookie; use moves the session's end
	AccessToken               // a bearer token of an API client
)

// A Checked is a live session and whose it is. A Cache that remembers it may drop
// Session.AccessToken; see Cache.KeepAccessTokens.
type Checked struct {
	User      User
	Session   Session
	Providers []string // of the user's accounts, sorted
	Blank     Blank    // told by Check alone
}

// Sliding moves the end of a session when a write is due. A session that is
// being ended is never brought back: the UPDATE finds no row then (security S-4).
const (
	slid = `
	WITH slid AS (
		UPDATE sessions
		SET expires = least(now() + $2::float8 * interval '1 second', created_at + $4::float8 * interval '1 second'), updated_at = now()
		WHERE session_token = ANY($1::varchar[]) AND expires > now() AND created_at + $4::float8 * interval '1 second' > now()
			AND least(now() + $2::float8 * interval '1 second', created_at + $4::float8 * interval '1 second') > expires + $3::float8 * interval '1 second'
		RETURNING id, expires, updated_at
	)`
	checked = `
	SELECT u.id, coalesce(u.name, ''), coalesce(u.email, ''), u.email_verified, coalesce(u.image, ''), u.created_at, u.updated_at,
		s.id, s.user_id, coalesce(slid.expires, s.expires), s.session_token, `
	whose = `, s.created_at, coalesce(slid.updated_at, s.updated_at),
		ARRAY(SELECT DISTINCT provider FROM accounts WHERE user_id = u.id ORDER BY provider),
		CASE WHEN u.name = '' THEN 1 ELSE 0 END + CASE WHEN u.email = '' THEN 2 ELSE 0 END + CASE WHEN u.image = '' THEN 4 ELSE 0 END
	FROM sessions s JOIN users u ON u.id = s.user_id `
	checkBySession = slid + checked + `s.access_token` + whose + `LEFT JOIN slid ON slid.id = s.id
	WHERE s.session_token = ANY($1::varchar[]) AND s.expires > now() AND s.created_at + $4::float8 * interval '1 second' > now()`
	checkByAccess = checked + `s.access_token` + whose + `LEFT JOIN (SELECT NULL::int, NULL::timestamptz, NULL::timestamptz WHERE false) slid (id, expires, updated_at) ON false
	WHERE s.access_token = ANY($1::varchar[]) AND s.expires > now()
		AND (s.session_token LIKE 'api:%' OR s.created_at + $2::float8 * interval '1 second' > now())`
)

// Check returns the live sessions that have one of the stored tokens, in one
// statement and in no order; those that are unknown or over, or whose user is
// gone, are left out (security S-3).
func (s *Store) Check(ctx context.Context, by Token, tokens []string, l Lifetimes) (found []Checked, err error) {
	sql, args := checkBySession, []any{tokens, l.Idle.Seconds(), l.Update.Seconds(), l.end()}
	if by == AccessToken {
		sql, args = checkByAccess, []any{tokens, l.end()}
	}
	err = s.do(ctx, "check sessions", func(ctx context.Context) error {
		found = make([]Checked, 0, len(tokens))
		rows, err := s.pool.Query(ctx, sql, args...)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var c Checked
			u, v := &c.User, &c.Session
			var verified *moment
			if err := rows.Scan(&u.ID, &u.Name, &u.Email, &verified, &u.Image, (*moment)(&u.CreatedAt), (*moment)(&u.UpdatedAt),
				&v.ID, &v.UserID, (*moment)(&v.Expires), &v.SessionToken, &v.AccessToken, (*moment)(&v.CreatedAt), (*moment)(&v.UpdatedAt), &c.Providers, &c.Blank); err != nil {
				return err
			}
			u.EmailVerified = (*time.Time)(verified)
			found = append(found, c)
		}
		return rows.Err()
	})
	return found, err
}

// Session returns the live session with that stored token and its user.
// ErrNotFound: there is none, it is over, or its user is gone.
func (s *Store) Session(ctx context.Context, sessionToken string, l Lifetimes) (User, Session, error) {
	found, err := s.Check(ctx, SessionToken, []string{sessionToken}, l)
	if err == nil && len(found) == 0 {
		err = wrap("session", ErrNotFound)
	}
	if err != nil {
		return User{}, Session{}, err
	}
	return found[0].User, found[0].Session, nil
}

// end deletes the sessions that where selects, which somebody wants to end, and
// tells every replica, in one statement (security S-5). It returns how many there were.
func (s *Store) end(ctx context.Context, op, where string, args ...any) (n int, err error) {
	var ended []string
	err = s.do(ctx, op, func(ctx context.Context) error {
		return s.pool.QueryRow(ctx, `
	WITH ended AS (DELETE FROM sessions WHERE `+where+` RETURNING session_token, id, user_id, expires, created_at)`+s.outbox.ended+`
	SELECT array_agg(session_token || pg_notify('gatepost_session', session_token)::text) FROM ended`, args...).Scan(&ended)
	})
	s.haveEnded(ended)
	s.outbox.written()
	return len(ended), err
}

// haveEnded counts sessions that this process ended, and has its own cache
// forget them before anybody is told so: it does not wait to be notified.
func (s *Store) haveEnded(tokens []string) {
	s.ended.Add(int64(len(tokens)))
	if c := s.cache.Load(); c != nil {
		for _, t := range tokens {
			c.Forget(t)
		}
	}
}

// EndSession ends the session with that stored token, if there is one.
func (s *Store) EndSession(ctx context.Context, sessionToken string) error {
	_, err := s.end(ctx, "end session", "session_token = $1", sessionToken)
	return err
}

// EndSessionByID ends one session of a user; ErrNotFound when it is not theirs.
func (s *Store) EndSessionByID(ctx context.Context, userID, sessionID int32) error {
	n, err := s.end(ctx, "end session by id", "user_id = $1 AND id = $2", userID, sessionID)
	if err == nil && n == 0 {
		err = wrap("end session by id", ErrNotFound)
	}
	return err
}

// EndOtherSessions ends a user's sessions but the one with the stored token keep.
func (s *Store) EndOtherSessions(ctx context.Context, userID int32, keep string) (int, error) {
	return s.end(ctx, "end other sessions", "user_id = $1 AND session_token <> $2", userID, keep)
}

// EndAllSessions ends every session of a user.
func (s *Store) EndAllSessions(ctx context.Context, userID int32) (int, error) {
	return s.end(ctx, "end all sessions", "user_id = $1", userID)
}

// SessionsOf lists a user's live sessions, the newest first.
func (s *Store) SessionsOf(ctx context.Context, userID int32) (list []Session, err error) {
	err = s.do(ctx, "sessions of user", func(ctx context.Context) error {
		rows, _ := s.pool.Query(ctx, `
	SELECT id, user_id, least(expires, '9999-12-31 23:59:59Z'), session_token, access_token, created_at, updated_at FROM sessions
	WHERE user_id = $1 AND expires > now() ORDER BY created_at DESC, id DESC`, userID)
		list, err = pgx.CollectRows(rows, pgx.RowToStructByPos[Session])
		return err
	})
	return list, err
}

// AccountsOf lists the provider accounts of a user, the oldest first.
func (s *Store) AccountsOf(ctx context.Context, userID int32) (list []Account, err error) {
	err = s.do(ctx, "accounts of user", func(ctx context.Context) error {
		rows, _ := s.pool.Query(ctx, `
	SELECT id, compound_id, user_id, type, provider, provider_account_id, coalesce(refresh_token, ''), coalesce(access_token, ''), access_token_expires, created_at, updated_at
	FROM accounts WHERE user_id = $1 ORDER BY id`, userID)
		list, err = pgx.CollectRows(rows, pgx.RowToStructByPos[Account])
		return err
	})
	return list, err
}

// Unlink removes an account from its user, ends the user's sessions but
// keepSession, and kills links mailed to them (security L-5). ErrLastWayIn: no
// other account and no verified address would be left (L-9).
func (s *Store) Unlink(ctx context.Context, userID, accountID int32, keepSession string) error {
	return s.do(ctx, "unlink", func(ctx context.Context) error {
		var exists bool
		var removed int
		var ended []string
		err := s.pool.QueryRow(ctx, `
	WITH owner AS (
		SELECT id, email, email_verified FROM users WHERE id = $1 FOR UPDATE
	), mine AS (
		SELECT id FROM accounts WHERE id = $2 AND user_id = $1
	), removed AS (
		DELETE FROM accounts a USING owner, mine
		WHERE a.id = mine.id AND (owner.email_verified IS NOT NULL OR EXISTS (SELECT FROM accounts o WHERE o.user_id = $1 AND o.id <> $2))
		RETURNING a.id
	), ended AS (
		DELETE FROM sessions s USING removed WHERE s.user_id = $1 AND s.session_token <> $3 RETURNING s.session_token
	)`+sentTo("(SELECT email AS identifier FROM owner, removed)")+`, forgotten AS (
		DELETE FROM verification_tokens WHERE id = ANY (ARRAY(SELECT id FROM sent)) RETURNING id
	)
	SELECT EXISTS (SELECT FROM mine), (SELECT count(*) FROM removed), (SELECT array_agg(session_token || pg_notify('gatepost_session', session_token)::text) FROM ended)`,
			userID, accountID, keepSession).Scan(&exists, &removed, &ended)
		s.haveEnded(ended)
		switch {
		case err != nil:
			return err
		case !exists:
			return ErrNotFound
		case removed == 0:
			return ErrLastWayIn
		}
		return nil
	})
}

// Users lists the users with that address, or the newest ones for "".
func (s *Store) Users(ctx context.Context, email string, limit int) (list []User, err error) {
	err = s.do(ctx, "users", func(ctx context.Context) error {
		rows, _ := s.pool.Query(ctx, `
	SELECT id, coalesce(name, ''), coalesce(email, ''), email_verified, coalesce(image, ''), created_at, updated_at FROM users
	WHERE $1::varchar = '' OR lower(email) = lower($1::varchar) ORDER BY id DESC LIMIT $2`, email, limit)
		list, err = pgx.CollectRows(rows, pgx.RowToStructByPos[User])
		return err
	})
	return list, err
}

// User returns one user.
func (s *Store) User(ctx context.Context, id int32) (u User, err error) {
	err = s.do(ctx, "user", func(ctx context.Context) error {
		return s.pool.QueryRow(ctx, `
	SELECT id, coalesce(name, ''), coalesce(email, ''), email_verified, coalesce(image, ''), created_at, updated_at FROM users WHERE id = $1`, id).Scan(
			&u.ID, &u.Name, &u.Email, &u.EmailVerified, &u.Image, &u.CreatedAt, &u.UpdatedAt)
	})
	return u, err
}
