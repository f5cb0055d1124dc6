package store

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
)

// ViewsOptions are about the views that let an unmodified NextAuth v3 go on
// working on the documented tables.
type ViewsOptions struct {
	Make   bool
	Only   bool   // leave the tables in v3's dialect for now
	Drop   bool   // remove the views and the role that was made for them
	Schema string // "" is nextauth_v3
	Role   string // whom they are for; "" is the schema's name, made where it is missing
}

// viewsMark says that a schema or a role is ours to remove.
const viewsMark = "made by gatepost adopt --views"

type views struct {
	schema, role, database string
	exist                  bool // as ours
	taken                  bool // the schema is somebody else's
	roleExists, roleOurs   bool
	roleIsMine             bool // we are connected as it
}

func findViews(ctx context.Context, tx pgx.Tx, o ViewsOptions) (v views, err error) {
	v.schema = o.Schema
	if v.schema == "" {
		v.schema = "nextauth_v3"
	}
	v.role = o.Role
	var comment, granted *string
	rows, err := tx.Query(ctx, `
	SELECT current_database(), n.oid IS NOT NULL, obj_description(n.oid, 'pg_namespace'),
		(SELECT r.rolname FROM pg_roles r JOIN pg_db_role_setting s ON s.setrole = r.oid JOIN pg_database d ON d.oid = s.setdatabase
			WHERE d.datname = current_database() AND $2 = ANY(s.setconfig) ORDER BY r.rolname LIMIT 1)
	FROM (SELECT 1) one LEFT JOIN pg_namespace n ON n.nspname = $1`, v.schema, "search_path="+quotedSetting(v.schema))
	if err != nil {
		return v, err
	}
	if _, err := pgx.ForEachRow(rows, []any{&v.database, &v.taken, &comment, &granted}, func() error { return nil }); err != nil {
		return v, err
	}
	if comment != nil && *comment == viewsMark {
		v.exist, v.taken = true, false
	}
	if v.role == "" && granted != nil {
		v.role = *granted
	}
	if v.role == "" {
		v.role = v.schema
	}
	v.roleExists, err = one[bool](ctx, tx, "SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1)", v.role)
	if err != nil {
		return v, err
	}
	if v.roleIsMine, err = one[bool](ctx, tx, "SELECT current_user = $1", v.role); err != nil {
		return v, err
	}
	v.roleOurs, err = one[bool](ctx, tx, "SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1 AND shobj_description(oid, 'pg_authid') = $2)", v.role, viewsMark)
	return v, err
}

// quotedSetting is how Postgres keeps a search_path of one schema.
func quotedSetting(schema string) string {
	if plainName.MatchString(schema) {
		return schema
	}
	return quoted(schema)
}

// make is nothing where the views are there. Its way back is drop.
func (v views) make(base string, shipped bool, o ViewsOptions) (steps []Step, blocker string) {
	switch {
	case !o.Make && !o.Only, v.exist:
		return nil, ""
	case v.taken:
		return nil, fmt.Sprintf("the schema %s is there and not ours; name another by --views-schema", v.schema)
	case v.roleIsMine: // its search_path would lead Gatepost to the views too
		return nil, fmt.Sprintf("%s is the role of this connection; the views are for another: name the site's by --views-role", v.role)
	}
	schema, role := quoted(v.schema), quoted(v.role)
	n := documentedNames
	if shipped {
		n = shippedNames
	}
	as := func(have, want string) string {
		if have == want {
			return want
		}
		return have + " AS " + want
	}
	table := func(name string) string { return quoted(base, name) }
	view := func(name, columns, of string) {
		steps = append(steps, Step{
			SQL: fmt.Sprintf("CREATE VIEW %s AS SELECT %s FROM %s", quoted(v.schema, name), columns, table(of)),
		})
	}
	if !v.roleExists {
		steps = append(steps,
			Step{SQL: "CREATE ROLE " + role + " LOGIN"},
			Step{SQL: "COMMENT ON ROLE " + role + " IS " + literal(viewsMark)})
	}
	steps = append(steps,
		Step{SQL: "CREATE SCHEMA " + schema},
		Step{SQL: "COMMENT ON SCHEMA " + schema + " IS " + literal(viewsMark)})
	view("users", "id, name, email, email_verified, image, created_at, updated_at", "users")
	view("sessions", "id, user_id, expires, session_token, access_token, created_at, updated_at", "sessions")
	view("accounts", "id, compound_id, user_id, "+as(n.kind, "provider_type")+", "+as(n.provider, "provider_id")+", provider_account_id, refresh_token, access_token, access_token_expires, created_at, updated_at", "accounts")
	view(shippedTokens, "id, identifier, token, expires, created_at, updated_at", n.tokens)
	sequences := ""
	for i, t := range []string{"accounts", "sessions", "users", n.tokens} {
		if i > 0 {
			sequences += ", "
		}
		sequences += table(t + "_id_seq")
	}
	return append(steps,
		Step{SQL: "GRANT USAGE ON SCHEMA " + schema + " TO " + role},
		Step{SQL: "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA " + schema + " TO " + role},
		Step{SQL: "GRANT USAGE ON SEQUENCE " + sequences + " TO " + role},
		Step{SQL: fmt.Sprintf("ALTER ROLE %s IN DATABASE %s SET search_path = %s", role, quoted(v.database), schema)},
	), ""
}

// lock takes the views before their tables, as whoever reads them does: the
// other way round the two would wait for each other.
func (v views) lock() Step {
	var names []string
	for _, name := range []string{"accounts", "sessions", "users", shippedTokens} {
		names = append(names, quoted(v.schema, name))
	}
	return Step{SQL: "LOCK TABLE " + strings.Join(names, ", ") + " IN " + exclusive + " MODE"}
}

// dropViews makes room for changes to the columns that the views show.
func (v views) dropViews() (steps []Step) {
	for _, name := range []string{"users", "sessions", "accounts", shippedTokens} {
		steps = append(steps, Step{SQL: "DROP VIEW IF EXISTS " + quoted(v.schema, name)})
	}
	return append(steps, Step{SQL: "DROP SCHEMA " + quoted(v.schema)})
}

// drop is nothing where there are no views of ours. It never cascades, so that
// whatever somebody else put there stops it.
func (v views) drop(base string) (steps []Step) {
	if !v.exist {
		return nil
	}
	steps = v.dropViews()
	if !v.roleExists {
		return steps
	}
	role := quoted(v.role)
	steps = append(steps, Step{SQL: fmt.Sprintf("ALTER ROLE %s IN DATABASE %s RESET search_path", role, quoted(v.database))},
		Step{SQL: "REVOKE USAGE ON ALL SEQUENCES IN SCHEMA " + quoted(base) + " FROM " + role})
	if v.roleOurs {
		steps = append(steps, Step{SQL: "DROP ROLE " + role})
	}
	return steps
}
