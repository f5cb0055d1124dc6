package store

import "context"

// Sweep deletes the sessions that are over among the next most of them after
// the one with that id, and up to most tokens that are over, unless another
// replica is at it (security S-15). next is where to go on, 0 when all have
// been looked at.
//
// No index leads to what is over, and a look at all sessions at once would
// outlast a statement's time where there are many.
func (s *Store) Sweep(ctx context.Context, after int32, most int) (next int32, n int, err error) {
	err = s.do(ctx, "sweep", func(ctx context.Context) error {
		return s.pool.QueryRow(ctx, `
	WITH turn AS (
		SELECT WHERE pg_try_advisory_xact_lock(7283460112345)
	), stretch AS (
		SELECT s.id FROM turn, LATERAL (SELECT id FROM sessions WHERE id > $1 ORDER BY id LIMIT $2) s
	), swept AS (
		DELETE FROM sessions WHERE id = ANY (ARRAY(
			SELECT id FROM sessions WHERE id > $1 AND id <= (SELECT max(id) FROM stretch) AND expires < now() FOR UPDATE SKIP LOCKED
		)) RETURNING 1
	), v AS (
		DELETE FROM verification_tokens WHERE id = ANY (ARRAY(
			SELECT v.id FROM verification_tokens v, turn WHERE v.expires < now() LIMIT $2 FOR UPDATE OF v SKIP LOCKED
		)) RETURNING 1
	)
	SELECT CASE WHEN (SELECT count(*) FROM stretch) = $2 THEN (SELECT max(id) FROM stretch) ELSE 0 END,
		(SELECT count(*) FROM swept) + (SELECT count(*) FROM v)`, after, most).Scan(&next, &n)
	})
	return next, n, err
}
