package store

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/gatepost/gatepost/migrations"
)

// plan recognises the tables and says what is to be done with them.
func plan(ctx context.Context, tx pgx.Tx, o AdoptOptions) (p Plan, err error) {
	p = Plan{Schema: orPublic(o.Schema), From: orPublic(o.From)}
	found, err := describeTables(ctx, tx, p.Schema, append([]string{shippedTokens}, tableNames...))
	if err != nil {
		return p, err
	}
	steps, odd := reshape(found)
	switch p.Difference = differences(documented, found); {
	case p.Difference == "":
		p.Dialect = DialectDocumented
	case len(odd) == 0:
		p.Dialect, p.Difference = DialectShipped, ""
	}
	if p.source, err = p.findSource(ctx, tx, o, found); err != nil {
		return p, err
	}
	switch {
	case p.source != nil:
		p.Dialect, p.Difference = DialectCamel, ""
	case p.Dialect == "" && len(found) == 0:
		p.Dialect, p.Difference = DialectNone, ""
	case p.Dialect == "":
		p.Dialect = DialectUnknown
		p.Notes = append(odd, p.Notes...)
		return p, nil
	}
	if p.Dialect == DialectNone {
		return p, nil
	}
	return p, p.fill(ctx, tx, o, steps)
}

// fill makes the plan for a dialect that is known.
func (p *Plan) fill(ctx context.Context, tx pgx.Tx, o AdoptOptions, steps []Step) (err error) {
	if err := p.remember(ctx, tx); err != nil {
		return err
	}
	users := peopleIn{quoted(p.Schema, "users"), "id", "email", "email_verified"}
	accounts := peopleIn{table: quoted(p.Schema, "accounts"), id: "user_id"}
	sessions := peopleIn{table: quoted(p.Schema, "sessions"), id: "user_id"}
	var tables []string
	switch p.Dialect {
	case DialectShipped:
		tables = []string{"accounts", "sessions", "users", shippedTokens}
		if err := p.measure(ctx, tx, p.Schema, tables); err != nil {
			return err
		}
		if err := p.checkLengths(ctx, tx); err != nil {
			return err
		}
		if err := p.noteOtherIDs(ctx, tx, "provider_id"); err != nil {
			return err
		}
	case DialectDocumented:
		tables = tableNames
		if err := p.measure(ctx, tx, p.Schema, tables); err != nil {
			return err
		}
		if err := p.noteOtherIDs(ctx, tx, "provider"); err != nil {
			return err
		}
	case DialectCamel:
		users, accounts, sessions = p.source.people()
		if err := p.measure(ctx, tx, p.source.schema, p.source.tables()); err != nil {
			return err
		}
	}
	if err := p.findPeople(ctx, tx, users, accounts, sessions); err != nil {
		return err
	}
	views, err := findViews(ctx, tx, o.Views)
	if err != nil {
		return err
	}
	extra, err := p.changePeople(ctx, tx, o)
	if err != nil {
		return err
	}
	switch {
	case p.Dialect == DialectCamel:
		if err := p.source.check(ctx, tx, p); err != nil {
			return err
		}
		if o.Views.Make || len(o.Merge) > 0 || o.LowerCase {
			p.Blockers = append(p.Blockers, "copying comes first; name --views, --merge and --lower-case in a second call")
		}
		p.Steps = append(p.preamble(o, true), p.source.copy(p.Schema)...)
		p.record()
	case o.Views.Drop:
		if dropped := views.drop(p.Schema); len(dropped) > 0 {
			p.Steps = append(p.preamble(o, false), dropped...)
		}
	case o.Views.Only, p.Dialect == DialectDocumented:
		p.Steps = nil
		made, blocker := views.make(p.Schema, p.Dialect == DialectShipped, o.Views)
		if blocker != "" {
			p.Blockers = append(p.Blockers, blocker)
		}
		if len(made)+len(extra) > 0 {
			p.Steps = append(p.preamble(o, len(extra) > 0), append(made, extra...)...)
		}
		if len(extra) > 0 {
			p.record()
		}
	case p.Dialect == DialectShipped:
		p.Steps = p.preamble(o, true)
		if views.exist {
			p.Steps = slices.Insert(p.Steps, len(p.Steps)-1, views.lock())
			p.Steps = append(p.Steps, views.dropViews()...)
			o.Views.Make, o.Views.Role, views.exist = true, views.role, false
		}
		p.Steps = append(p.Steps, steps...)
		p.Steps = append(p.Steps, accept(p.Schema))
		made, blocker := views.make(p.Schema, false, o.Views)
		if blocker != "" {
			p.Blockers = append(p.Blockers, blocker)
		}
		p.Steps = append(append(p.Steps, made...), extra...)
		p.record()
	}
	p.estimate()
	return nil
}

// preamble is what every plan begins with: limits, locks in one go, bookkeeping.
func (p *Plan) preamble(o AdoptOptions, lock bool) (steps []Step) {
	for _, sql := range append([]string{lockTimeout(o), takeMigrateLock}, bookkeeping(p.Schema)...) {
		steps = append(steps, Step{SQL: sql})
	}
	if !lock {
		return steps
	}
	mode, tables := exclusive, "accounts, sessions, users, "+shippedTokens
	switch p.Dialect {
	case DialectDocumented:
		tables = strings.Join(tableNames, ", ")
	case DialectCamel:
		var all []string
		for _, t := range p.source.tables() {
			all = append(all, quoted(p.source.schema, t))
		}
		mode, tables = share, strings.Join(all, ", ")
	}
	return append(steps, Step{SQL: "LOCK TABLE " + tables + " IN " + mode + " MODE", Table: tables, Lock: mode})
}

const firstMigration = "0001_four_tables.sql"

func accept(schema string) Step {
	return Step{
		SQL:  fmt.Sprintf("INSERT INTO gatepost.migrations (schema, name) VALUES (%s, '%s') ON CONFLICT DO NOTHING", literal(schema), firstMigration),
		Undo: fmt.Sprintf("DELETE FROM gatepost.migrations WHERE schema = %s", literal(schema)),
	}
}

func literal(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

// record keeps the way back where the rows are.
func (p *Plan) record() {
	p.Steps = append(p.Steps,
		Step{SQL: "CREATE TABLE IF NOT EXISTS gatepost.adoptions (schema text NOT NULL, at timestamptz NOT NULL DEFAULT clock_timestamp(), dialect text NOT NULL, way_back text NOT NULL, PRIMARY KEY (schema, at))"},
		Step{Undo: fmt.Sprintf("DELETE FROM gatepost.adoptions a WHERE schema = %s AND at = (SELECT max(at) FROM gatepost.adoptions b WHERE b.schema = a.schema)", literal(p.Schema))})
	p.Steps[len(p.Steps)-1].SQL = fmt.Sprintf("INSERT INTO gatepost.adoptions (schema, dialect, way_back) VALUES (%s, %s, $way_back$%s$way_back$)", literal(p.Schema), literal(string(p.Dialect)), p.Undo())
}

// remember finds the way back of an earlier adoption.
func (p *Plan) remember(ctx context.Context, tx pgx.Tx) error {
	there, err := one[bool](ctx, tx, "SELECT to_regclass('gatepost.adoptions') IS NOT NULL")
	if err != nil || !there {
		return err
	}
	rows, err := tx.Query(ctx, "SELECT at, way_back FROM gatepost.adoptions WHERE schema = $1 ORDER BY at DESC LIMIT 1", p.Schema)
	if err != nil {
		return err
	}
	_, err = pgx.ForEachRow(rows, []any{&p.WayBackAt, &p.WayBack}, func() error { return nil })
	return err
}

// namesAfter are the dialect's once p is done.
func (p Plan) namesAfter() dialectNames {
	done := slices.ContainsFunc(p.Steps, func(s Step) bool { return s.SQL == accept(p.Schema).SQL })
	if p.Dialect == DialectShipped && !done {
		return shippedNames
	}
	return documentedNames
}

// measure asks Postgres what it last counted; nothing is read for it.
func (p *Plan) measure(ctx context.Context, tx pgx.Tx, schema string, tables []string) error {
	rows, err := tx.Query(ctx, `
	SELECT c.relname, greatest(c.reltuples::bigint, coalesce(s.n_live_tup, 0), 0), pg_table_size(c.oid), pg_indexes_size(c.oid)
	FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace LEFT JOIN pg_stat_all_tables s ON s.relid = c.oid
	WHERE n.nspname = $1 AND c.relname = ANY($2) ORDER BY c.relname`, schema, tables)
	if err != nil {
		return err
	}
	p.Sizes, err = pgx.CollectRows(rows, pgx.RowToStructByPos[Size])
	return err
}

// What a small machine does in a second; a plan should err on the slow side.
const (
	bytesWritten = 20 << 20
	bytesRead    = 100 << 20
	rowsIndexed  = 300_000
	rowsCopied   = 20_000
)

// estimate says how long each step takes, from the sizes of its table.
func (p *Plan) estimate() {
	for i := range p.Steps {
		s := &p.Steps[i]
		if s.Lock == "" {
			continue
		}
		size := p.sizeOf(s.Table)
		seconds := 0.0
		switch s.cost {
		case costRewrite:
			seconds = float64(size.Bytes+size.IndexesBytes) / bytesWritten
		case costIndex:
			seconds = float64(size.Bytes)/bytesRead + float64(size.Rows)/rowsIndexed
		case costCopy:
			seconds = float64(size.Rows) / rowsCopied
		}
		s.Takes = time.Millisecond + time.Duration(seconds*float64(time.Second)).Round(time.Millisecond)
	}
}

func (p *Plan) sizeOf(table string) Size {
	for _, s := range p.Sizes {
		if s.Table == table || table == "verification_tokens" && s.Table == shippedTokens {
			return s
		}
	}
	return Size{}
}

// checkLengths finds what would not fit the documented columns.
func (p *Plan) checkLengths(ctx context.Context, tx pgx.Tx) error {
	for _, t := range []struct {
		table   string
		columns []string
	}{
		{"users", []string{"name", "email"}},
		{"accounts", []string{"compound_id", "provider_type", "provider_id", "provider_account_id"}},
		{"sessions", []string{"session_token", "access_token"}},
		{shippedTokens, []string{"identifier", "token"}},
	} {
		for _, column := range t.columns {
			if n, err := one[int64](ctx, tx, fmt.Sprintf("SELECT count(*) FROM %s WHERE length(%s) > 255", quoted(p.Schema, t.table), column)); err != nil {
				return err
			} else if n > 0 {
				p.Blockers = append(p.Blockers, fmt.Sprintf("%s.%s: %d values are longer than the 255 characters that fit; find them by SELECT id FROM %s WHERE length(%s) > 255", t.table, column, n, quoted(p.Schema, t.table), column))
			}
		}
	}
	return nil
}

// noteOtherIDs counts accounts that NextAuth finds, by their provider and id, and
// we do not, by their compound_id: another program has written them.
func (p *Plan) noteOtherIDs(ctx context.Context, tx pgx.Tx, provider string) error {
	accounts, right := quoted(p.Schema, "accounts"), fmt.Sprintf(compoundID, provider, "provider_account_id")
	n, err := one[int64](ctx, tx, fmt.Sprintf("SELECT count(*) FROM %s WHERE compound_id <> %s", accounts, right))
	if err == nil && n > 0 {
		p.Notes = append(p.Notes, fmt.Sprintf("%d accounts have a compound_id that is not the SHA-256 of provider and id, by which Gatepost finds them: their people cannot sign in by them, or are somebody new. NextAuth reads no compound_id; this makes it right for both: UPDATE %s SET compound_id = %s WHERE compound_id <> %s", n, accounts, right, right))
	}
	return err
}

// changePeople is the SQL of the merges that were asked for, and of lower case.
func (p *Plan) changePeople(ctx context.Context, tx pgx.Tx, o AdoptOptions) (steps []Step, err error) {
	for _, m := range o.Merge {
		if !p.areTwins(m) {
			p.Blockers = append(p.Blockers, fmt.Sprintf("users %d and %d do not have the same address; only such users are merged", m.User, m.Into))
		}
		steps = append(steps, m.Steps(p.Schema)...)
	}
	if p.Dialect == DialectCamel || !o.LowerCase {
		return people(steps), nil
	}
	const mixed = "email <> lower(email) AND NOT EXISTS (SELECT FROM users t WHERE t.id <> u.id AND lower(t.email) = lower(u.email))"
	n, err := one[int64](ctx, tx, "SELECT count(*) FROM "+quoted(p.Schema, "users")+" WHERE email <> lower(email)")
	if err != nil || n == 0 {
		return people(steps), err
	}
	return people(append(steps,
		Step{SQL: "CREATE TABLE IF NOT EXISTS gatepost.lowered_emails (schema text NOT NULL, user_id integer NOT NULL, email text NOT NULL, PRIMARY KEY (schema, user_id))"},
		Step{SQL: fmt.Sprintf("INSERT INTO gatepost.lowered_emails SELECT %s, id, email FROM users u WHERE %s ON CONFLICT (schema, user_id) DO UPDATE SET email = excluded.email", literal(p.Schema), mixed),
			Undo: fmt.Sprintf("DELETE FROM gatepost.lowered_emails WHERE schema = %s", literal(p.Schema))},
		Step{SQL: "UPDATE users u SET email = lower(email), updated_at = now() WHERE " + mixed, Table: "users", Lock: exclusive,
			Undo: fmt.Sprintf("UPDATE users u SET email = l.email, updated_at = now() FROM gatepost.lowered_emails l WHERE l.schema = %s AND l.user_id = u.id", literal(p.Schema))})), nil
}

func people(steps []Step) []Step {
	for i := range steps {
		steps[i].people = true
	}
	return steps
}

func (p *Plan) areTwins(m Merge) bool {
	for _, t := range p.Twins {
		has := func(id int32) bool {
			return slices.ContainsFunc(t.Users, func(u TwinUser) bool { return u.ID == fmt.Sprint(id) })
		}
		if has(m.User) && has(m.Into) && m.User != m.Into {
			return true
		}
	}
	return false
}

// Steps are the SQL of a merge. Accounts move; sessions end, because a session
// never changes its person; the address stays as proven as it was.
func (m Merge) Steps(schema string) []Step {
	gone := fmt.Sprintf("FROM gatepost.merged_users g WHERE g.schema = %s AND g.user_id = %d", literal(schema), m.User)
	step := func(table, do, undo string) Step { return Step{SQL: do, Undo: undo, Table: table, Lock: exclusive} }
	return []Step{
		{SQL: "CREATE TABLE IF NOT EXISTS gatepost.merged_users (schema text NOT NULL, user_id integer NOT NULL, into_id integer NOT NULL, name text, email text, email_verified timestamptz, image text, created_at timestamptz, updated_at timestamptz, accounts integer[] NOT NULL, into_email text, PRIMARY KEY (schema, user_id))"},
		{SQL: fmt.Sprintf("INSERT INTO gatepost.merged_users SELECT %s, id, %d, name, email, email_verified, image, created_at, updated_at, ARRAY(SELECT id FROM accounts WHERE user_id = u.id), (SELECT email FROM users WHERE id = %d) FROM users u WHERE id = %d", literal(schema), m.Into, m.Into, m.User),
			Undo: "DELETE " + strings.Replace(gone, "g WHERE g.schema", "g WHERE schema", 1)},
		step("accounts", fmt.Sprintf("UPDATE accounts SET user_id = %d, updated_at = now() WHERE user_id = %d", m.Into, m.User),
			fmt.Sprintf("UPDATE accounts SET user_id = %d WHERE id IN (SELECT unnest(g.accounts) %s)", m.User, gone)),
		step("sessions", fmt.Sprintf("WITH ended AS (DELETE FROM sessions WHERE user_id = %d RETURNING session_token) SELECT count(pg_notify('gatepost_session', session_token)::text) FROM ended", m.User), ""),
		step("users", fmt.Sprintf("DELETE FROM users WHERE id = %d", m.User),
			"INSERT INTO users (id, name, email, email_verified, image, created_at, updated_at) SELECT g.user_id, g.name, g.email, g.email_verified, g.image, g.created_at, g.updated_at "+gone),
		step("users", fmt.Sprintf("UPDATE users u SET email = lower(u.email), name = coalesce(u.name, g.name), image = coalesce(u.image, g.image), updated_at = now() %s AND u.id = %d AND NOT EXISTS (SELECT FROM users t WHERE t.id <> u.id AND t.email = lower(u.email))", gone, m.Into),
			fmt.Sprintf("UPDATE users u SET email = g.into_email %s AND u.id = %d", gone, m.Into)),
	}
}

func migrationText() string {
	raw, err := migrations.Files.ReadFile(firstMigration)
	if err != nil {
		panic(err) // embedded
	}
	return string(raw)
}
