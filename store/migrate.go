package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/gatepost/gatepost/migrations"
)

// A SchemaError says how the live tables differ from the documented ones.
type SchemaError struct {
	Diff    string
	Missing bool // none of the four tables is there
}

func (e *SchemaError) Error() string {
	if e.Missing {
		return "the four tables are not there"
	}
	return "the tables are not the documented schema (- documented, + found):\n" + e.Diff
}

// A MigrateReport says what Migrate did, one line each; empty for nothing.
type MigrateReport struct{ Done []string }

const migrateLock = 7283460112344

// Migrate brings the schema to the newest migration, in one transaction and
// under a lock, so that replicas may all run it. Tables that are there already
// and are exactly the documented ones are accepted; others are refused with a
// *SchemaError and left as they are.
func Migrate(ctx context.Context, url, schema string) (report MigrateReport, err error) {
	conn, err := connect(ctx, url)
	if err != nil {
		return report, err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	err = pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		report, err = migrate(ctx, tx, orPublic(schema))
		return err
	})
	return report, describe("migrate", err)
}

func migrate(ctx context.Context, tx pgx.Tx, schema string) (report MigrateReport, err error) {
	quoted := pgx.Identifier{schema}.Sanitize()
	for _, sql := range []string{
		fmt.Sprintf("SELECT pg_advisory_xact_lock(%d)", migrateLock),
		"CREATE SCHEMA IF NOT EXISTS " + quoted,
		"CREATE SCHEMA IF NOT EXISTS gatepost",
		"CREATE TABLE IF NOT EXISTS gatepost.migrations (schema text NOT NULL, name text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now(), PRIMARY KEY (schema, name))",
		"SET LOCAL search_path = " + quoted,
	} {
		if _, err := tx.Exec(ctx, sql); err != nil {
			return report, err
		}
	}
	names, err := fs.Glob(migrations.Files, "*.sql")
	if err != nil {
		return report, err
	}
	slices.Sort(names)
	for _, name := range names {
		done, err := applyOnce(ctx, tx, schema, name)
		if err != nil {
			return report, err
		}
		if done != "" {
			report.Done = append(report.Done, done)
		}
	}
	return report, compareSchema(ctx, tx, schema)
}

func applyOnce(ctx context.Context, tx pgx.Tx, schema, name string) (done string, err error) {
	var applied, present bool
	err = tx.QueryRow(ctx, `
	SELECT EXISTS (SELECT FROM gatepost.migrations WHERE schema = $1 AND name = $2),
		EXISTS (SELECT FROM pg_tables WHERE schemaname = $1 AND tablename = ANY($3))`,
		schema, name, tableNames).Scan(&applied, &present)
	if err != nil || applied {
		return "", err
	}
	done = "accepted the tables that are there as " + name
	if !present {
		sql, err := migrations.Files.ReadFile(name)
		if err != nil {
			return "", err
		}
		if _, err := tx.Exec(ctx, string(sql)); err != nil {
			return "", err
		}
		done = "applied " + name
	}
	_, err = tx.Exec(ctx, "INSERT INTO gatepost.migrations (schema, name) VALUES ($1, $2)", schema, name)
	return done, err
}

// CheckSchema compares the live tables with the documented ones: columns in
// their order, types, defaults, nullability, keys, indexes, triggers. It needs
// no more than the right to read the catalogue.
func CheckSchema(ctx context.Context, url, schema string) error {
	conn, err := connect(ctx, url)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	return describe("check schema", compareSchema(ctx, conn, orPublic(schema)))
}

func connect(ctx context.Context, url string) (*pgx.Conn, error) {
	c, err := pgx.ParseConfig(url)
	if err != nil {
		return nil, errors.New("the database URL cannot be read; want postgres://user:password@host:5432/name")
	}
	c.ConnectTimeout = 3 * time.Second
	c.DefaultQueryExecMode = pgx.QueryExecModeCacheDescribe // behind a pooler too
	conn, err := pgx.ConnectConfig(ctx, c)
	if err != nil {
		return nil, explain(c, err)
	}
	return conn, nil
}

// describe keeps an operator's own mistakes readable and passes the rest
// through wrap.
func describe(op string, err error) error {
	if err == nil {
		return nil
	}
	if _, ok := errors.AsType[*SchemaError](err); ok {
		return err
	}
	if code(err) == "42501" {
		return fmt.Errorf("%s: this role may not do that; migrations need a role that may create tables (GRANT CREATE ON DATABASE and ON SCHEMA)", op)
	}
	return wrap(op, err)
}

func orPublic(schema string) string {
	if schema == "" {
		return "public"
	}
	return schema
}

var tableNames = []string{"accounts", "sessions", "users", "verification_tokens"}

type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

func compareSchema(ctx context.Context, q querier, schema string) error {
	found, err := describeTables(ctx, q, schema)
	if err != nil {
		return err
	}
	var diff strings.Builder
	for _, line := range documented {
		if !slices.Contains(found, line) {
			diff.WriteString("- " + line + "\n")
		}
	}
	for _, line := range found {
		if !slices.Contains(documented, line) {
			diff.WriteString("+ " + line + "\n")
		}
	}
	if diff.Len() > 0 {
		return &SchemaError{strings.TrimSuffix(diff.String(), "\n"), len(found) == 0}
	}
	return nil
}

// describeTables writes what stands in the catalogue about the four tables, one
// sorted line a thing.
func describeTables(ctx context.Context, q querier, schema string) ([]string, error) {
	rows, err := q.Query(ctx, `
	WITH t AS (SELECT c.oid, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE n.nspname = $1 AND c.relkind IN ('r', 'p', 'v', 'm', 'f') AND c.relname = ANY($2))
	SELECT line FROM (
		SELECT t.relname || ' column ' || a.attnum || ' ' || a.attname || ' ' || format_type(a.atttypid, a.atttypmod)
			|| CASE WHEN a.attnotnull THEN ' not null' ELSE '' END
			|| coalesce(' default ' || replace(pg_get_expr(d.adbin, d.adrelid), quote_ident($1) || '.', ''), '') AS line
		FROM t JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum > 0 AND NOT a.attisdropped
		LEFT JOIN pg_attrdef d ON d.adrelid = t.oid AND d.adnum = a.attnum
		UNION ALL
		SELECT t.relname || ' index ' || replace(pg_get_indexdef(i.indexrelid), quote_ident($1) || '.', '') FROM t JOIN pg_index i ON i.indrelid = t.oid
		UNION ALL
		SELECT t.relname || ' constraint ' || c.conname || ' ' || pg_get_constraintdef(c.oid) FROM t JOIN pg_constraint c ON c.conrelid = t.oid WHERE c.contype <> 'n'
		UNION ALL
		SELECT t.relname || ' trigger ' || g.tgname FROM t JOIN pg_trigger g ON g.tgrelid = t.oid WHERE NOT g.tgisinternal
	) lines ORDER BY line`, schema, tableNames)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}
