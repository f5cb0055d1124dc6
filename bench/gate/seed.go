package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/gorilla/securecookie"

	"github.com/gatepost/gatepost/bench/measure"
	"github.com/gatepost/gatepost/flows"
	"github.com/gatepost/gatepost/store"
)

// seed makes a database with n sessions of so many people.
func (b *bench) seed(ctx context.Context, n, people int) (dsn string, err error) {
	if dsn, err = b.pg.Database(ctx); err != nil {
		return "", err
	}
	if _, err := store.Migrate(ctx, dsn, ""); err != nil {
		return "", err
	}
	return dsn, errors.Join(
		measure.Execute(ctx, dsn, withoutIndexes+fmt.Sprintf(`
	INSERT INTO users (name, email, email_verified) SELECT 'Ada Lovelace ' || i, 'user' || i || '@example.org', now() FROM generate_series(1, %[2]d) i;
	INSERT INTO accounts (compound_id, user_id, type, provider, provider_account_id)
		SELECT encode(sha256(convert_to('google:' || i, 'UTF8')), 'hex'), i, 'oauth', 'google', i FROM generate_series(1, %[2]d) i;
	-- The token of session i is token(i), stored as flows stores it.
	INSERT INTO sessions (user_id, expires, session_token, access_token)
		SELECT 1 + (i - 1) %% %[2]d, now() + interval '30 days', encode(sha256(convert_to('bench' || lpad(i::text, 38, '0'), 'UTF8')), 'hex'), encode(sha256(convert_to('access' || i, 'UTF8')), 'hex')
		FROM generate_series(1, %[1]d) i;`, n, people)+indexesAgain),
		measure.Execute(ctx, dsn, "VACUUM ANALYZE"), measure.Execute(ctx, dsn, "CHECKPOINT"))
}

// Millions of rows are written in a tenth of the time where their indexes are
// made afterwards.
const (
	withoutIndexes = `DO $$
DECLARE
	made text[] := ARRAY(SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' AND indexname NOT LIKE '%\_pkey' ORDER BY indexname);
	one text;
BEGIN
	PERFORM set_config('maintenance_work_mem', '512MB', true);
	FOR one IN SELECT indexname FROM pg_indexes WHERE schemaname = 'public' AND indexname NOT LIKE '%\_pkey' LOOP
		EXECUTE 'DROP INDEX ' || quote_ident(one);
	END LOOP;`
	indexesAgain = `
	FOREACH one IN ARRAY made LOOP
		EXECUTE one;
	END LOOP;
END $$`
)

func token(i int) string { return fmt.Sprintf("bench%038d", i) }

const cookieName = "__Secure-gatepost.session-token"

// sealer makes session cookies as package web does: every answer that lets a
// sealed session pass proves that it still does.
func (b *bench) sealer() (func(token string) string, error) {
	keys, err := flows.NewKeys([][]byte{[]byte(b.keys)})
	if err != nil {
		return nil, err
	}
	codec := securecookie.New(keys.Derive("mac gatepost.session-token", 32)[0], keys.Derive("seal gatepost.session-token", 32)[0])
	codec.SetSerializer(securecookie.JSONEncoder{})
	return func(token string) string {
		sealed, err := codec.Encode(cookieName, token)
		if err != nil {
			panic(err) // the keys have the right length
		}
		return sealed
	}, nil
}

// asked is what Traefik asks about a page or, not of a browser, an API.
func asked(endpoint, path, accept, cookie string) []byte {
	if cookie != "" {
		cookie = "Cookie: theme=dark; " + cookieName + "=" + cookie + "\r\n"
	}
	return []byte("GET " + endpoint + " HTTP/1.1\r\nHost: gatepost:8080\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r\n" +
		"Accept: " + accept + "\r\n" + cookie +
		"X-Forwarded-For: 192.0.2.7\r\nX-Forwarded-Method: GET\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: app.example.org\r\nX-Forwarded-Uri: " + path + "\r\n\r\n")
}

const (
	page = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
	api  = "application/json"
)

// sessions are the checks of n signed-in browsers of so many people.
func (b *bench) sessions(n, people int) ([]measure.Request, error) {
	seal, err := b.sealer()
	if err != nil {
		return nil, err
	}
	list := make([]measure.Request, n)
	for i := range list {
		list[i] = measure.Request{Raw: asked("/auth/forward", "/some/page?a=1", page, seal(token(i+1))), Status: "200", Has: fmt.Appendf(nil, "\r\nRemote-Email: user%d@example.org\r\n", 1+i%people)}
	}
	return list, nil
}

// stored is what the database has of a token.
func stored(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:])
}
