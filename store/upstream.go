package store

import (
	"context"
	"time"
)

// UpstreamAccount returns the account of userID at provider, and the database's
// time. Of several it is the one last signed in with or refreshed. ErrNotFound:
// there is none.
func (s *Store) UpstreamAccount(ctx context.Context, userID int32, provider string) (a Account, now time.Time, err error) {
	err = s.do(ctx, "upstream account", func(ctx context.Context) error {
		return s.pool.QueryRow(ctx, `
	SELECT id, compound_id, user_id, type, provider, provider_account_id, coalesce(refresh_token, ''), coalesce(access_token, ''), access_token_expires, created_at, updated_at, now()
	FROM accounts WHERE user_id = $1::int AND provider = $2::varchar ORDER BY updated_at DESC, id DESC LIMIT 1`, userID, provider).Scan(
			&a.ID, &a.CompoundID, &a.UserID, &a.Type, &a.Provider, &a.ProviderAccountID, &a.RefreshToken, &a.AccessToken, &a.AccessTokenExpires, &a.CreatedAt, &a.UpdatedAt, &now)
	})
	return a, now, err
}

// A Lease is the sole right, on all replicas, to use one refresh token. It is a
// row of verification_tokens, whose unique index settles who has it, and ends by
// itself when its holder is gone. A lock of Postgres would hold a connection, and
// behind a pooler a transaction, for as long as a provider takes.
type Lease struct {
	Token string // what is leased: a hash, at most 255 bytes
	Owner string // random; at most 200 bytes
}

// A lease in the column identifier, where mailed links have an address.
const (
	leaseHeld   = "lease:"       // and its owner
	leasePaused = "lease paused" // nobody's: not to be tried again before it ends
)

// LeaseState is what an attempt to take a lease found.
type LeaseState int

const (
	LeaseTaken  LeaseState = iota // by this call
	LeaseBusy                     // somebody else has it
	LeasePaused                   // the last holder failed a moment ago
)

// TakeLease takes l for life unless somebody has it. left is how long it still is
// somebody else's. A holder whose call is cut short has it all the same.
func (s *Store) TakeLease(ctx context.Context, l Lease, life time.Duration) (state LeaseState, left time.Duration, err error) {
	err = s.do(ctx, "take lease", func(ctx context.Context) error {
		var ours bool
		var held string
		var seconds float64
		err := s.pool.QueryRow(ctx, `
	WITH known AS (
		SELECT identifier, expires FROM verification_tokens WHERE token = $1::varchar
	), made AS (
		INSERT INTO verification_tokens (identifier, token, expires)
		SELECT $2::varchar, $1::varchar, now() + $3::float8 * interval '1 second' WHERE NOT EXISTS (SELECT FROM known)
		ON CONFLICT (token) DO NOTHING RETURNING 1
	), taken AS (
		UPDATE verification_tokens SET identifier = $2::varchar, expires = now() + $3::float8 * interval '1 second', updated_at = now()
		WHERE token = $1::varchar AND (expires <= now() OR identifier = $2::varchar) RETURNING 1
	)
	SELECT EXISTS (SELECT FROM made) OR EXISTS (SELECT FROM taken),
		coalesce((SELECT identifier FROM known), ''), greatest(coalesce((SELECT extract(epoch FROM expires - now()) FROM known), 0), 0)::float8`,
			l.Token, leaseHeld+l.Owner, life.Seconds()).Scan(&ours, &held, &seconds)
		left = time.Duration(seconds * float64(time.Second))
		switch {
		case ours:
			state = LeaseTaken
		case held == leasePaused && left > 0:
			state = LeasePaused
		default:
			state = LeaseBusy
		}
		return err
	})
	return state, left, err
}

// PauseLease ends l and keeps everybody from taking it for life; 0 just ends it.
func (s *Store) PauseLease(ctx context.Context, l Lease, life time.Duration) error {
	return s.do(ctx, "pause lease", func(ctx context.Context) error {
		_, err := s.pool.Exec(ctx, `
	WITH ended AS (
		DELETE FROM verification_tokens WHERE token = $1::varchar AND identifier = $2::varchar AND $4::float8 <= 0
	)
	UPDATE verification_tokens SET identifier = $3::varchar, expires = now() + $4::float8 * interval '1 second', updated_at = now()
	WHERE token = $1::varchar AND identifier = $2::varchar AND $4::float8 > 0`, l.Token, leaseHeld+l.Owner, leasePaused, life.Seconds())
		return err
	})
}

// ReplaceTokens writes a's tokens in place of those that came with the stored
// refresh token old, and ends l, in one statement. ErrConflict: the row has
// another refresh token, or is gone; l is ended all the same. It may be repeated
// when its outcome is unknown.
func (s *Store) ReplaceTokens(ctx context.Context, a Account, old string, l Lease) error {
	return s.do(ctx, "replace tokens", func(ctx context.Context) error {
		var written bool
		err := s.pool.QueryRow(ctx, `
	WITH written AS (
		UPDATE accounts SET refresh_token = nullif($2::text, ''), access_token = nullif($3::text, ''), access_token_expires = $4::timestamptz, updated_at = now()
		WHERE id = $1::int AND refresh_token IN ($5::text, nullif($2::text, '')) RETURNING 1
	), ended AS (
		DELETE FROM verification_tokens WHERE token = $6::varchar AND identifier = $7::varchar
	)
	SELECT EXISTS (SELECT FROM written)`, a.ID, a.RefreshToken, a.AccessToken, a.AccessTokenExpires, old, l.Token, leaseHeld+l.Owner).Scan(&written)
		if err == nil && !written {
			return ErrConflict
		}
		return err
	})
}
