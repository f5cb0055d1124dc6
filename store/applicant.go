package store

import "context"

// Applicant returns who would be signed in: the owner of the account with that
// compound id ("" for none), else the user who asked to link it (0 for none),
// else whoever has the proven address of these spellings (nil for none).
// ErrNotFound: a new user would be.
func (s *Store) Applicant(ctx context.Context, compoundID string, linkTo int32, addresses []string) (u User, err error) {
	err = s.do(ctx, "applicant", func(ctx context.Context) error {
		return s.pool.QueryRow(ctx, `
	SELECT u.id, coalesce(u.name, ''), coalesce(u.email, ''), u.email_verified, coalesce(u.image, ''), u.created_at, u.updated_at
	FROM (
		SELECT user_id AS id, 1 AS rank FROM accounts WHERE $1::varchar <> '' AND compound_id = $1::varchar
		UNION ALL SELECT $2::int, 2
		UNION ALL (SELECT id, 3 FROM users WHERE`+addressee("$3")+`)
	) w JOIN users u ON u.id = w.id ORDER BY w.rank LIMIT 1`, compoundID, linkTo, addresses).Scan(
			&u.ID, &u.Name, &u.Email, &u.EmailVerified, &u.Image, &u.CreatedAt, &u.UpdatedAt)
	})
	return u, err
}
