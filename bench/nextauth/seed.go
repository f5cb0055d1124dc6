package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/gatepost/gatepost/bench/measure"
	"github.com/gatepost/gatepost/store"
)

const (
	people = 10_000 // each with one session and one account
	links  = 500    // in people's mailboxes at once
)

// seed makes a database as a NextAuth site has it.
func seed(ctx context.Context, pg *measure.Postgres) (dsn string, err error) {
	if dsn, err = pg.Database(ctx); err != nil {
		return "", err
	}
	if _, err := store.Migrate(ctx, dsn, ""); err != nil {
		return "", err
	}
	return dsn, errors.Join(
		measure.Execute(ctx, dsn, `INSERT INTO users (name, email, email_verified) SELECT 'Ada Lovelace', 'p' || i || '@example.org', now() FROM generate_series(0, $1::int - 1) i`, people),
		measure.Execute(ctx, dsn, `INSERT INTO accounts (compound_id, user_id, type, provider, provider_account_id)
			SELECT encode(sha256(convert_to('idp:p' || i, 'UTF8')), 'hex'), i + 1, 'oauth', 'idp', 'p' || i FROM generate_series(0, $1::int - 1) i`, people),
		measure.Execute(ctx, dsn, `INSERT INTO sessions (user_id, expires, session_token, access_token)
			SELECT i + 1, now() + interval '30 days', encode(sha256(convert_to('session ' || i, 'UTF8')), 'hex'), encode(sha256(convert_to('access ' || i, 'UTF8')), 'hex')
			FROM generate_series(0, $1::int - 1) i`, people),
		measure.Execute(ctx, dsn, "VACUUM ANALYZE"), measure.Execute(ctx, dsn, "CHECKPOINT"))
}

// mailLinks has new links in people's mailboxes, beginning with the one given.
func mailLinks(ctx context.Context, dsn string, first int) error {
	return errors.Join(measure.Execute(ctx, dsn, "DELETE FROM verification_tokens"),
		measure.Execute(ctx, dsn, `INSERT INTO verification_tokens (identifier, token, expires)
			SELECT 'p' || i % $3::int || '@example.org', encode(sha256(convert_to(encode(sha256(convert_to('link ' || i, 'UTF8')), 'hex') || $4::text, 'UTF8')), 'hex'), now() + interval '24 hours'
			FROM generate_series($1::int, $1::int + $2::int - 1) i`, first, links, people, secret))
}

// token is what the statements above make of kind and i.
func token(kind string, i int) string { return hash(fmt.Sprint(kind, " ", i)) }

func hash(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}
