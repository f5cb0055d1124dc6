package store

import (
	"context"
	"time"
)

// PutOnce stores token, already hashed with its purpose, to be taken once
// within life by any replica. kind is what it is for, in verification_tokens'
// column identifier, where it must not look like an address.
func (s *Store) PutOnce(ctx context.Context, kind, token string, life time.Duration) error {
	return s.do(ctx, "put once", func(ctx context.Context) error {
		_, err := s.pool.Exec(ctx, `
	INSERT INTO verification_tokens (identifier, token, expires) VALUES ($1::varchar, $2::varchar, now() + $3::float8 * interval '1 second')`,
			kind, token, life.Seconds())
		return err
	})
}

// TakeOnce deletes token. Of any number of callers one succeeds, for the others
// and after its life it is ErrNotFound.
func (s *Store) TakeOnce(ctx context.Context, kind string, tokens []string) error {
	return s.do(ctx, "take once", func(ctx context.Context) error {
		var id int32
		return s.pool.QueryRow(ctx, `
	DELETE FROM verification_tokens WHERE identifier = $1::varchar AND token = ANY($2::varchar[]) AND expires > now() RETURNING id`, kind, tokens).Scan(&id)
	})
}
