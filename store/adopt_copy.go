package store

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
)

// A source is an adapter's four tables, which are read and never written.
// Adapters differ in the case of names, in types, and in what they leave out:
// @auth/pg-adapter has integer ids and no unique indexes, Prisma's ids are text
// and its newer accounts have none, TypeORM writes moments as milliseconds in
// text, and a site with sessions in JWTs may have no sessions at all.
type source struct {
	schema                            string
	users, accounts, sessions, tokens sourceTable
}

type sourceTable struct {
	name    string // "" where there is none
	columns map[string]sourceColumn
}

type sourceColumn struct{ name, kind string }

// plainly is how names compare: "userId", user_id and userid are one.
func plainly(name string) string { return strings.ToLower(strings.ReplaceAll(name, "_", "")) }

func (t sourceTable) has(columns ...string) bool {
	return !slices.ContainsFunc(columns, func(c string) bool { return t.columns[c].name == "" })
}

// first is the column by the first of these names that is there, "" for none.
func (t sourceTable) first(names ...string) string {
	for _, name := range names {
		if c := t.columns[name]; c.name != "" {
			return quoted(c.name)
		}
	}
	return ""
}

// roles are what tables are called, and what they must have.
var sourceRoles = []struct {
	names    []string
	must     [][]string // of each, one
	optional bool
}{
	{[]string{"users", "user"}, [][]string{{"id"}, {"email"}, {"name"}, {"image"}, {"emailverified"}}, false},
	{[]string{"accounts", "account"}, [][]string{{"userid"}, {"provider", "providerid"}, {"provideraccountid"}, {"type", "providertype"}}, false},
	{[]string{"sessions", "session"}, [][]string{{"userid"}, {"sessiontoken"}, {"expires"}}, true},
	{[]string{"verificationtokens", "verificationtoken", "verificationrequests", "verificationrequest"}, [][]string{{"identifier"}, {"token"}, {"expires"}}, true},
}

// findSource looks for an adapter's tables, unless what is in the target says
// that there is nothing to copy, or no room for it.
func (p *Plan) findSource(ctx context.Context, tx pgx.Tx, o AdoptOptions, found []string) (*source, error) {
	if p.Dialect == DialectShipped || p.Dialect == DialectDocumented && (o.From == "" || p.From == p.Schema) {
		return nil, nil
	}
	if p.Dialect == DialectDocumented {
		// Made by «migrate» and unused: there is room.
		used, err := one[bool](ctx, tx, fmt.Sprintf("SELECT EXISTS (SELECT FROM %s) OR EXISTS (SELECT FROM %s) OR EXISTS (SELECT FROM %s)", quoted(p.Schema, "users"), quoted(p.Schema, "accounts"), quoted(p.Schema, "sessions")))
		if err != nil || used {
			return nil, err
		}
	}
	rows, err := tx.Query(ctx, `
	SELECT c.relname, a.attname, format_type(a.atttypid, NULL) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
	JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
	WHERE n.nspname = $1 AND c.relkind IN ('r', 'p') ORDER BY c.relname, a.attnum`, p.From)
	if err != nil {
		return nil, err
	}
	tables := map[string]map[string]sourceColumn{}
	var table, column, kind string
	if _, err := pgx.ForEachRow(rows, []any{&table, &column, &kind}, func() error {
		if tables[table] == nil {
			tables[table] = map[string]sourceColumn{}
		}
		tables[table][plainly(column)] = sourceColumn{column, kind}
		return nil
	}); err != nil {
		return nil, err
	}
	s, missing := recogniseSource(p.From, tables)
	if len(missing) > 0 {
		if len(tables) > 0 {
			p.Notes = append(p.Notes, missing...)
		}
		return nil, nil
	}
	if len(found) == 0 || p.Dialect == DialectDocumented {
		return s, nil
	}
	const elsewhere = "copy them, as they are, into another schema by database.schema, as in GATEPOST_DATABASE_SCHEMA=sign_in gatepost adopt --from %s"
	if s.accounts.has("compoundid") { // v3's, with something that does not fit
		p.Notes = append(p.Notes, fmt.Sprintf("or "+elsewhere, p.From))
		return nil, nil
	}
	p.Blockers = append(p.Blockers, fmt.Sprintf("the schema %s has tables by these names already, which stay as they are; "+elsewhere, p.Schema, p.From))
	return s, nil
}

// recogniseSource is pure; missing says what no table had.
func recogniseSource(schema string, tables map[string]map[string]sourceColumn) (s *source, missing []string) {
	s = &source{schema: schema}
	into := []*sourceTable{&s.users, &s.accounts, &s.sessions, &s.tokens}
	for i, role := range sourceRoles {
		best := []string{fmt.Sprintf("the schema %s has no table like %s", schema, role.names[0])}
		for _, name := range role.names {
			for have, columns := range tables {
				if plainly(have) != name || into[i].name != "" {
					continue
				}
				t := sourceTable{have, columns}
				if lacks := t.lacks(role.must); len(lacks) > 0 {
					best = []string{fmt.Sprintf("%s.%s has no column like %s", schema, have, strings.Join(lacks, ", "))}
				} else {
					*into[i] = t
				}
			}
		}
		if into[i].name == "" && !(role.optional && strings.Contains(best[0], "no table")) {
			missing = append(missing, best...)
		}
	}
	return s, missing
}

func (t sourceTable) lacks(must [][]string) (lacks []string) {
	for _, names := range must {
		if t.first(names...) == "" {
			lacks = append(lacks, names[0])
		}
	}
	return lacks
}

func (s *source) tables() (names []string) {
	for _, t := range []sourceTable{s.accounts, s.sessions, s.users, s.tokens} {
		if t.name != "" {
			names = append(names, t.name)
		}
	}
	return names
}

func (s *source) table(t sourceTable) string { return quoted(s.schema, t.name) }

func (s *source) people() (users, accounts, sessions peopleIn) {
	users = peopleIn{s.table(s.users), s.users.first("id"), s.users.first("email"), s.users.moment("", "emailverified")}
	accounts = peopleIn{table: s.table(s.accounts), id: s.accounts.first("userid")}
	if s.sessions.name != "" {
		sessions = peopleIn{table: s.table(s.sessions), id: s.sessions.first("userid")}
	}
	return users, accounts, sessions
}

var integerKind = regexp.MustCompile(`^(integer|smallint|bigint)$`)

// moment is a column as a timestamptz. Prisma and Drizzle write UTC without
// saying so; TypeORM writes milliseconds; expires_at is in seconds. An instant
// in milliseconds and one in seconds cannot be taken for each other.
func (t sourceTable) moment(alias string, names ...string) string {
	for _, name := range names {
		c, ok := t.columns[name]
		if !ok {
			continue
		}
		q := alias + quoted(c.name)
		epoch := func(number string) string {
			return fmt.Sprintf("to_timestamp(CASE WHEN %s > 100000000000 THEN %s / 1000 ELSE %s END)", number, number, number)
		}
		switch {
		case c.kind == "timestamp with time zone":
			return q
		case c.kind == "timestamp without time zone":
			return "(" + q + " AT TIME ZONE 'UTC')"
		case integerKind.MatchString(c.kind), c.kind == "numeric", c.kind == "double precision":
			return epoch(q + "::double precision")
		case c.kind == "text", c.kind == "character varying":
			text := "nullif(" + q + ", '')"
			return fmt.Sprintf("(CASE WHEN %s ~ '^[0-9]+$' THEN %s ELSE %s::timestamptz END)", q, epoch(text+"::double precision"), text)
		default:
			return q + "::timestamptz"
		}
	}
	return "NULL::timestamptz"
}

// The parts of the copy that are also what it is checked against.
const (
	adoptedUsers = "gatepost.adopted_users"
	compoundID   = "encode(sha256(convert_to(%s || ':' || %s, 'UTF8')), 'hex')"
)

func (s *source) joined(t sourceTable, target string) string {
	return fmt.Sprintf("%s r JOIN %s m ON m.schema = %s AND m.source_id = r.%s::text", s.table(t), adoptedUsers, literal(target), t.first("userid", "id"))
}

func (t sourceTable) text(names ...string) string {
	if c := t.first(names...); c != "" {
		return "r." + c + "::text"
	}
	return "NULL::text"
}

// id is the number that a row gets: the one it has, or its place in an order
// that comes out the same whenever the same rows are copied.
func (t sourceTable) id(order string) string {
	if integerKind.MatchString(t.columns["id"].kind) {
		return "r." + quoted(t.columns["id"].name)
	}
	return "row_number() OVER (ORDER BY " + order + ")"
}

func c(text string) string { return text + ` COLLATE "C"` }

// copy is the steps from an adapter's tables to the documented ones in target.
func (s *source) copy(target string) []Step {
	in := func(table string) string { return quoted(target, table) }
	into := func(sql string, of sourceTable) Step {
		return Step{SQL: sql, Table: of.name, Lock: share, cost: costCopy}
	}
	createdAt := s.users.moment("r.", "createdat", "created")
	dates := func(t sourceTable) string {
		return fmt.Sprintf("coalesce(%s, CURRENT_TIMESTAMP), coalesce(%s, CURRENT_TIMESTAMP)", t.moment("r.", "createdat", "created"), t.moment("r.", "updatedat", "updated"))
	}
	var undo []string
	for _, t := range tableNames {
		undo = append(undo, in(t))
	}
	steps := []Step{
		{SQL: migrationTables(), Undo: "DROP TABLE " + strings.Join(undo, ", ")},
		accept(target),
		{SQL: "CREATE TABLE IF NOT EXISTS " + adoptedUsers + " (schema text NOT NULL, source_id text NOT NULL, user_id integer NOT NULL, PRIMARY KEY (schema, source_id), UNIQUE (schema, user_id))"},
		into(fmt.Sprintf("INSERT INTO %s (schema, source_id, user_id) SELECT %s, %s, %s FROM %s r", adoptedUsers, literal(target), s.users.text("id"),
			s.users.id(createdAt+" NULLS FIRST, "+c(s.users.text("id"))), s.table(s.users)), s.users),
		into(fmt.Sprintf(`INSERT INTO users (id, name, email, email_verified, image, created_at, updated_at) SELECT user_id, left(name, 255), CASE WHEN alike > 1 THEN email ELSE lower(email) END, verified, image, created, updated FROM (SELECT m.user_id, %s AS name, %s AS email, count(*) OVER (PARTITION BY lower(%s)) AS alike, %s AS verified, %s AS image, %s FROM %s) r`,
			s.users.text("name"), s.email(), s.email(), s.users.moment("r.", "emailverified"), s.users.text("image"),
			strings.Replace(dates(s.users), "), coalesce", ") AS created, coalesce", 1)+" AS updated", s.joined(s.users, target)), s.users),
		into(fmt.Sprintf(`INSERT INTO accounts (id, compound_id, user_id, type, provider, provider_account_id, refresh_token, access_token, access_token_expires, created_at, updated_at) SELECT %s, %s, m.user_id, %s, %s, %s, %s, %s, %s, %s FROM %s`,
			s.accounts.id("m.user_id, "+c(s.provider())+", "+c(s.accounts.text("provideraccountid"))), fmt.Sprintf(compoundID, s.provider(), s.accounts.text("provideraccountid")),
			s.accounts.text("type", "providertype"), s.provider(), s.accounts.text("provideraccountid"), s.accounts.text("refreshtoken"), s.accounts.text("accesstoken"),
			s.accounts.moment("r.", "expiresat", "accesstokenexpires"), dates(s.accounts), s.joined(s.accounts, target)), s.accounts),
	}
	steps[3].Undo = fmt.Sprintf("DELETE FROM %s WHERE schema = %s", adoptedUsers, literal(target))
	if s.sessions.name != "" {
		random := "replace(gen_random_uuid()::text || gen_random_uuid()::text, '-', '')"
		if s.sessions.has("accesstoken") {
			random = "coalesce(" + s.sessions.text("accesstoken") + ", " + random + ")"
		}
		steps = append(steps, into(fmt.Sprintf(`INSERT INTO sessions (id, user_id, expires, session_token, access_token, created_at, updated_at) SELECT %s, m.user_id, %s, %s, %s, %s FROM %s`,
			s.sessions.id("m.user_id, "+c(s.sessions.text("sessiontoken"))), s.sessions.moment("r.", "expires"), s.sessions.text("sessiontoken"), random, dates(s.sessions), s.joined(s.sessions, target)), s.sessions))
	}
	if s.tokens.name != "" {
		steps = append(steps, into(fmt.Sprintf(`INSERT INTO verification_tokens (identifier, token, expires) SELECT %s, %s, %s FROM %s r ORDER BY 3, 1, 2`,
			s.tokens.text("identifier"), s.tokens.text("token"), s.tokens.moment("r.", "expires"), s.table(s.tokens)), s.tokens))
	}
	for _, t := range []string{"accounts", "sessions", "users"} {
		steps = append(steps, Step{SQL: fmt.Sprintf("SELECT setval('%s_id_seq', (SELECT coalesce(max(id), 0) + 1 FROM %s), false)", t, t)})
	}
	return steps
}

func (s *source) provider() string { return s.accounts.text("provider", "providerid") }
func (s *source) email() string    { return "nullif(" + s.users.text("email") + ", '')" }

// migrationTables makes the four tables, unless they are there; they are known
// to be empty then.
func migrationTables() string {
	return strings.NewReplacer("CREATE TABLE", "CREATE TABLE IF NOT EXISTS", "CREATE INDEX", "CREATE INDEX IF NOT EXISTS", "CREATE UNIQUE INDEX", "CREATE UNIQUE INDEX IF NOT EXISTS").Replace(strings.TrimSpace(migrationText()))
}

// fingerprint is of the source, as the documented tables in target should be.
func (s *source) fingerprint(ctx context.Context, q querier, target string) (Fingerprint, error) {
	parts := []rowsOf{
		{"users", s.joined(s.users, target), "m.user_id", fmt.Sprintf("m.user_id, left(%s, 255)::varchar(255), lower(%s), %s, %s", s.users.text("name"), s.email(), s.users.text("image"), utc(s.users.moment("r.", "emailverified")))},
		{"accounts", s.joined(s.accounts, target), "m.user_id", fmt.Sprintf("%s, m.user_id, %s, %s, %s, %s, %s, %s", fmt.Sprintf(compoundID, s.provider(), s.accounts.text("provideraccountid")), s.accounts.text("type", "providertype"), s.provider(),
			s.accounts.text("provideraccountid"), s.accounts.text("refreshtoken"), s.accounts.text("accesstoken"), utc(s.accounts.moment("r.", "expiresat", "accesstokenexpires")))},
	}
	if s.sessions.name != "" {
		parts = append(parts, rowsOf{"sessions", s.joined(s.sessions, target), "m.user_id", fmt.Sprintf("m.user_id, %s, %s", s.sessions.text("sessiontoken"), utc(s.sessions.moment("r.", "expires")))})
	}
	if s.tokens.name != "" {
		parts = append(parts, rowsOf{"mailed links", s.table(s.tokens) + " r", "0", fmt.Sprintf("%s, %s, %s", s.tokens.text("identifier"), s.tokens.text("token"), utc(s.tokens.moment("r.", "expires")))})
	}
	return count(ctx, q, target, parts, nil)
}

// check finds what the documented tables would refuse, before anything is done.
func (s *source) check(ctx context.Context, tx pgx.Tx, p *Plan) error {
	users, accounts := s.table(s.users)+" r", s.table(s.accounts)+" r"
	type question struct{ blocker, sql string }
	repeated := func(what, from string, columns string) question {
		return question{what, fmt.Sprintf("SELECT count(*) FROM (SELECT FROM %s GROUP BY %s HAVING count(*) > 1) twice", from, columns)}
	}
	long := func(what, from string, columns ...string) question {
		return question{what + " longer than 255 characters", fmt.Sprintf("SELECT count(*) FROM %s WHERE greatest(length(%s)) > 255", from, strings.Join(columns, "), length("))}
	}
	lacking := func(what, from string, columns ...string) question {
		return question{what, fmt.Sprintf("SELECT count(*) FROM %s WHERE num_nulls(%s) > 0", from, strings.Join(columns, ", "))}
	}
	questions := []question{
		{"addresses that two users have, letter by letter (merge them where they are first; they are listed below)", fmt.Sprintf("SELECT count(*) FROM (SELECT FROM %s WHERE %s IS NOT NULL GROUP BY %s HAVING count(*) > 1) twice", users, s.email(), s.email())},
		long("addresses", users, s.users.text("email")),
		repeated("accounts that are there twice", accounts, s.provider()+", "+s.accounts.text("provideraccountid")),
		long("accounts with an id", accounts, s.accounts.text("provideraccountid")),
		long("accounts with a type or provider", accounts, s.accounts.text("type", "providertype"), s.provider()),
		lacking("accounts without a type, a provider or an id there", accounts, s.accounts.text("type", "providertype"), s.provider(), s.accounts.text("provideraccountid")),
		repeated("users with an id that another has", users, s.users.text("id")),
		lacking("users without an id", users, s.users.text("id")),
	}
	if integerKind.MatchString(s.users.columns["id"].kind) {
		questions = append(questions, question{"users with an id that is no positive 32 bit number", fmt.Sprintf("SELECT count(*) FROM %s WHERE %s NOT BETWEEN 1 AND 2147483647", users, s.users.first("id"))})
	}
	orphans := []question{}
	orphan := func(what string, t sourceTable) {
		orphans = append(orphans, question{what, fmt.Sprintf("SELECT count(*) FROM %s r WHERE NOT EXISTS (SELECT FROM %s u WHERE u.%s = r.%s)", s.table(t), s.table(s.users), s.users.first("id"), t.first("userid"))})
	}
	orphan("accounts of users who are gone stay behind", s.accounts)
	if s.sessions.name != "" {
		sessions := s.table(s.sessions) + " r"
		questions = append(questions, repeated("session tokens that are there twice", sessions, s.sessions.text("sessiontoken")), long("session tokens", sessions, s.sessions.text("sessiontoken")),
			lacking("sessions without a token or an end", sessions, s.sessions.text("sessiontoken"), s.sessions.moment("r.", "expires")))
		orphan("sessions of users who are gone stay behind", s.sessions)
	}
	if s.tokens.name != "" {
		tokens := s.table(s.tokens) + " r"
		questions = append(questions, repeated("mailed links that are there twice", tokens, s.tokens.text("token")), long("mailed links with an address or token", tokens, s.tokens.text("identifier"), s.tokens.text("token")),
			lacking("mailed links without an address, a token or an end", tokens, s.tokens.text("identifier"), s.tokens.text("token"), s.tokens.moment("r.", "expires")))
	}
	orphans = append(orphans, question{"names longer than 255 characters are cut", fmt.Sprintf("SELECT count(*) FROM %s WHERE length(%s) > 255", users, s.users.text("name"))})
	for i, list := range [][]question{questions, orphans} {
		for _, question := range list {
			n, err := one[int64](ctx, tx, question.sql)
			switch {
			case err != nil:
				return err
			case n > 0 && i == 0:
				p.Blockers = append(p.Blockers, fmt.Sprintf("%d %s", n, question.blocker))
			case n > 0:
				p.Notes = append(p.Notes, fmt.Sprintf("%d %s", n, question.blocker))
			}
		}
	}
	return nil
}
