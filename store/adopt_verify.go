package store

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// A Fingerprint says what rows there were, without holding any of them: counts,
// and sums of hashes that do not depend on the rows' order.
type Fingerprint struct {
	Schema string
	At     time.Time
	Parts  []Part
}

// A Part is the fingerprint of one kind of row. Rows with an id above LastID
// came later and are left out when it is compared.
type Part struct {
	Name   string
	Rows   int64
	LastID int64
	Sum    string
}

// Diff says in which parts other is not the same. A part that only one of them
// has is not compared.
func (f Fingerprint) Diff(other Fingerprint) (diff []string) {
	for _, a := range f.Parts {
		for _, b := range other.Parts {
			switch {
			case a.Name != b.Name:
			case a.Rows != b.Rows:
				diff = append(diff, fmt.Sprintf("%s: %d rows before, %d now", a.Name, a.Rows, b.Rows))
			case a.Sum != b.Sum:
				diff = append(diff, fmt.Sprintf("%s: %d rows as before, but not the same", a.Name, a.Rows))
			}
		}
	}
	return diff
}

// Save writes f to a new file, readable by its owner.
func (f Fingerprint) Save(file string) error {
	raw, err := json.MarshalIndent(f, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(file, append(raw, '\n'), 0o600)
}

// LoadFingerprint reads what Save wrote.
func LoadFingerprint(file string) (f Fingerprint, err error) {
	raw, err := os.ReadFile(file)
	if err != nil {
		return f, err
	}
	if err := json.Unmarshal(raw, &f); err != nil || len(f.Parts) == 0 {
		return f, fmt.Errorf("%s is no fingerprint", file)
	}
	return f, nil
}

// TakeFingerprint looks at tables that are documented or in v3's dialect, at
// what stays of each row while people use them: ids, addresses, accounts,
// session tokens. With since, rows that came later are left out.
func TakeFingerprint(ctx context.Context, url, schema string, since *Fingerprint) (f Fingerprint, err error) {
	conn, err := connect(ctx, url)
	if err != nil {
		return f, err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	err = pgx.BeginTxFunc(ctx, conn, pgx.TxOptions{AccessMode: pgx.ReadOnly, IsoLevel: pgx.RepeatableRead}, func(tx pgx.Tx) error {
		p, err := plan(ctx, tx, AdoptOptions{Schema: schema, From: schema})
		if err != nil {
			return err
		}
		names := documentedNames
		switch p.Dialect {
		case DialectShipped:
			names = shippedNames
		case DialectDocumented:
		default:
			return fmt.Errorf("%w: fingerprints are of documented tables, or of those of NextAuth v3", ErrNotAdoptable)
		}
		f, err = fingerprint(ctx, tx, orPublic(schema), names, identities, since)
		return err
	})
	return f, adoptError("fingerprint", err)
}

// dialectNames are what differs between the dialects.
type dialectNames struct{ tokens, kind, provider string }

var (
	documentedNames = dialectNames{"verification_tokens", "type", "provider"}
	shippedNames    = dialectNames{shippedTokens, "provider_type", "provider_id"}
)

// How much of a row counts.
const (
	identities = iota // what does not change while people use it
	wholeRows
)

// rowsOf is a part before it is counted: columns are expressions over from.
type rowsOf struct{ name, from, id, columns string }

func utc(expr string) string {
	return "to_char((" + expr + ") AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US')"
}

func fingerprint(ctx context.Context, q querier, schema string, n dialectNames, depth int, since *Fingerprint) (Fingerprint, error) {
	table := func(name string) string { return quoted(schema, name) + " r" }
	parts := []rowsOf{
		{"users", table("users"), "id", "id, lower(email)"},
		{"accounts", table("accounts"), "id", fmt.Sprintf("compound_id, user_id, %s, provider_account_id", n.provider)},
		{"sessions", table("sessions"), "id", "user_id, session_token"},
	}
	if depth == wholeRows {
		parts = []rowsOf{
			{"users", table("users"), "id", "id, name, lower(email), image, " + utc("email_verified")},
			{"accounts", table("accounts"), "id", fmt.Sprintf("compound_id, user_id, %s, %s, provider_account_id, refresh_token, access_token, %s", n.kind, n.provider, utc("access_token_expires"))},
			{"account ids", table("accounts"), "id", "id, compound_id"},
			{"sessions", table("sessions"), "id", "user_id, session_token, " + utc("expires")},
			{"session ids and access tokens", table("sessions"), "id", "id, session_token, access_token"},
			{"mailed links", table(n.tokens), "id", "identifier, token, " + utc("expires")},
			{"dates", table("users"), "id", "id, " + utc("created_at") + ", " + utc("updated_at")},
		}
	}
	return count(ctx, q, schema, parts, since)
}

// count sums 120 bits of each row's SHA-256 as two numbers, which needs no
// order and no memory.
func count(ctx context.Context, q querier, schema string, parts []rowsOf, since *Fingerprint) (f Fingerprint, err error) {
	f = Fingerprint{Schema: schema, At: time.Now().UTC().Truncate(time.Second)}
	for _, part := range parts {
		last := ""
		if since != nil {
			for _, p := range since.Parts {
				if p.Name == part.name {
					last = fmt.Sprintf(" WHERE %s <= %d", part.id, p.LastID)
				}
			}
		}
		rows, err := q.Query(ctx, fmt.Sprintf(`
	SELECT count(*), coalesce(max(id), 0)::bigint,
		coalesce(sum(('x' || substr(h, 1, 15))::bit(60)::bigint::numeric), 0) || '.' || coalesce(sum(('x' || substr(h, 16, 15))::bit(60)::bigint::numeric), 0)
	FROM (SELECT %s AS id, encode(sha256(convert_to(ROW(%s)::text, 'UTF8')), 'hex') AS h FROM %s%s) hashed`, part.id, part.columns, part.from, last))
		if err != nil {
			return f, err
		}
		p, err := pgx.CollectExactlyOneRow(rows, func(row pgx.CollectableRow) (p Part, err error) {
			p.Name = part.name
			return p, row.Scan(&p.Rows, &p.LastID, &p.Sum)
		})
		if err != nil {
			return f, err
		}
		f.Parts = append(f.Parts, p)
	}
	return f, nil
}

// fingerprint is of the tables as they are before p; of tables that are copied
// it is taken afterwards, from the same rows.
func (p Plan) fingerprint(ctx context.Context, q querier) (Fingerprint, error) {
	switch {
	case p.source != nil:
		return Fingerprint{Parts: []Part{}}, nil
	case p.Dialect == DialectShipped:
		return fingerprint(ctx, q, p.Schema, shippedNames, wholeRows, nil)
	}
	return fingerprint(ctx, q, p.Schema, documentedNames, wholeRows, nil)
}

// A Twin is an address that several users have, when capitals do not count.
type Twin struct {
	Email string // in lower case
	Users []TwinUser
}

// A TwinUser is one of them. The first of a Twin is the one to keep: verified
// before unverified, then with more accounts, then older.
type TwinUser struct {
	ID                 string
	Email              string
	Verified           bool
	Accounts, Sessions int64
}

// Unverified are users whose address nobody proved. Gatepost lets nobody in by
// such an address alone.
type Unverified struct {
	Count int64
	First []TwinUser
}

const mostShown = 20

// findPeople fills in who needs a person's eye. Its tables are aliased u, a, s.
func (p *Plan) findPeople(ctx context.Context, q querier, users, accounts, sessions peopleIn) error {
	// Each table is read once: user ids are compared as text, for which there is no
	// index.
	counted := func(of peopleIn) string {
		if of.table == "" {
			return "(SELECT NULL::text AS id, 0::bigint AS n)"
		}
		return fmt.Sprintf("(SELECT %s::text AS id, count(*) AS n FROM %s GROUP BY 1)", of.id, of.table)
	}
	people := fmt.Sprintf(`
	WITH all_users AS (SELECT coalesce(%s::text, '') AS id, %s::text AS email, %s IS NOT NULL AS verified FROM %s)
	, u AS (SELECT id, email, verified, count(*) OVER (PARTITION BY lower(email)) AS alike FROM all_users WHERE coalesce(email, '') <> '')
	SELECT u.id, u.email, u.verified, coalesce(a.n, 0) AS accounts, coalesce(s.n, 0) AS sessions
	FROM u LEFT JOIN %s a ON a.id = u.id LEFT JOIN %s s ON s.id = u.id`,
		users.id, users.email, users.verified, users.table, counted(accounts), counted(sessions))
	rows, err := q.Query(ctx, people+" WHERE alike > 1 ORDER BY lower(u.email), u.verified DESC, accounts DESC, length(u.id), u.id LIMIT 1000")
	if err != nil {
		return err
	}
	alike, err := pgx.CollectRows(rows, pgx.RowToStructByPos[TwinUser])
	if err != nil {
		return err
	}
	for _, u := range alike {
		email := strings.ToLower(u.Email)
		if n := len(p.Twins); n == 0 || p.Twins[n-1].Email != email {
			p.Twins = append(p.Twins, Twin{Email: email})
		}
		t := &p.Twins[len(p.Twins)-1]
		t.Users = append(t.Users, u)
	}
	rows, err = q.Query(ctx, fmt.Sprintf("%s WHERE NOT verified ORDER BY length(u.id), u.id LIMIT %d", people, mostShown))
	if err != nil {
		return err
	}
	if p.Unverified.First, err = pgx.CollectRows(rows, pgx.RowToStructByPos[TwinUser]); err != nil {
		return err
	}
	p.Unverified.Count, err = one[int64](ctx, q, fmt.Sprintf("SELECT count(*) FROM %s WHERE coalesce(%s::text, '') <> '' AND %s IS NULL", users.table, users.email, users.verified))
	return err
}

// peopleIn says where findPeople finds what; id is the user's.
type peopleIn struct{ table, id, email, verified string }

func one[T any](ctx context.Context, q querier, sql string, args ...any) (v T, err error) {
	rows, err := q.Query(ctx, sql, args...)
	if err != nil {
		return v, err
	}
	return pgx.CollectExactlyOneRow(rows, pgx.RowTo[T])
}
