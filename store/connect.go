package store

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// Probe connects once as the pool would. Its error is for an operator: where,
// why, and what to do about it.
func Probe(ctx context.Context, o Options) error {
	c, err := poolConfig(o)
	if err != nil {
		return err
	}
	conn, err := pgx.ConnectConfig(ctx, c.ConnConfig)
	if err != nil {
		return explain(c.ConnConfig, err)
	}
	return wrap("ping", errors.Join(conn.Ping(ctx), conn.Close(context.WithoutCancel(ctx))))
}

// explain says why a connection did not come up. It names host, role and
// database, never the password.
func explain(c *pgx.ConnConfig, err error) error {
	at := where(c)
	switch code(err) {
	case "28P01":
		return fmt.Errorf("%w: %s refuses the role %s or its password", ErrUnavailable, at, c.User)
	case "28000":
		return fmt.Errorf("%w: %s does not let the role %s in from here; its pg_hba.conf says who may, and whether TLS is wanted", ErrUnavailable, at, c.User)
	case "3D000":
		return fmt.Errorf("%w: %s has no database %s; make it (CREATE DATABASE), or name another in the URL", ErrUnavailable, at, c.Database)
	case "42501":
		return fmt.Errorf("%w: the role %s may not use the database %s at %s; GRANT CONNECT lets it", ErrUnavailable, c.User, c.Database, at)
	case "53300":
		return fmt.Errorf("%w: %s has no connection left; lower database.max_conns or raise its max_connections", ErrUnavailable, at)
	case "57P03":
		return fmt.Errorf("%w: %s is starting or stopping; try again", ErrUnavailable, at)
	case "08P01":
		return fmt.Errorf("%w: %s refuses the settings of the connection (08P01); if it is a pooler in transaction mode, %s", ErrUnavailable, at, setExecMode)
	case "":
	default:
		return fmt.Errorf("%w: %s answers with error %s", ErrUnavailable, at, code(err))
	}
	unknown, _ := errors.AsType[*net.DNSError](err)
	_, otherName := errors.AsType[x509.HostnameError](err)
	_, otherRoot := errors.AsType[x509.UnknownAuthorityError](err)
	timeout, _ := errors.AsType[net.Error](err)
	switch {
	case unknown != nil:
		return fmt.Errorf("%w: there is no host %s; is it spelt right in the URL, and does DNS work here?", ErrUnavailable, unknown.Name)
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("%w: nothing listens at %s; is Postgres running there, and is the port right?", ErrUnavailable, at)
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%w: there is no socket at %s; is Postgres running there?", ErrUnavailable, at)
	case otherName:
		return fmt.Errorf("%w: the certificate of %s is for another name; use the name it has", ErrUnavailable, at)
	case otherRoot:
		return fmt.Errorf("%w: the certificate of %s is of no authority known here; name its file by sslrootcert in the URL", ErrUnavailable, at)
	case strings.Contains(err.Error(), "server refused TLS"):
		return fmt.Errorf("%w: %s offers no TLS; turn it on there, or set sslmode=disable and database.insecure_tls", ErrUnavailable, at)
	case errors.Is(err, context.Canceled):
		return fmt.Errorf("%w (cancelled)", ErrUnavailable)
	case timeout != nil && timeout.Timeout(), pgconn.Timeout(err):
		return fmt.Errorf("%w: %s does not answer; is the address right, and does a firewall let us through?", ErrUnavailable, at)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET):
		return fmt.Errorf("%w: %s hangs up; is that Postgres?", ErrUnavailable, at)
	}
	return fmt.Errorf("%w: no connection to %s; is that Postgres, and one that takes writes?", ErrUnavailable, at)
}

// where lists the hosts of a configuration.
func where(c *pgx.ConnConfig) string {
	all := []string{address(c.Host, c.Port)}
	for _, f := range c.Fallbacks {
		if a := address(f.Host, f.Port); !slices.Contains(all, a) {
			all = append(all, a)
		}
	}
	return strings.Join(all, ", ")
}

func address(host string, port uint16) string {
	if strings.HasPrefix(host, "/") {
		return fmt.Sprintf("%s/.s.PGSQL.%d", host, port)
	}
	return net.JoinHostPort(host, strconv.Itoa(int(port)))
}

// CheckStatements reports whether statements work through the pool as it is set
// up: a pooler in transaction mode hands a second client the server connection
// on which the first has prepared the same statement.
func CheckStatements(ctx context.Context, o Options) error {
	for range 2 {
		s, err := Open(ctx, o)
		if err != nil {
			return err
		}
		_, _, err = s.Session(ctx, "nobody's", Lifetimes{})
		s.Close()
		if err != nil && !errors.Is(err, ErrNotFound) {
			return err
		}
	}
	return nil
}

// CheckAccess reports what the pool's role cannot do: find the tables in schema
// (behind a pooler, the role's own search_path counts), or work with them.
func (s *Store) CheckAccess(ctx context.Context, schema string) error {
	var role, found string
	var lacks []string
	err := s.do(ctx, "access", func(ctx context.Context) error {
		return s.pool.QueryRow(ctx, `
	WITH needed AS (
		SELECT t, to_regclass(t) AS at, p, p || ' ON TABLE ' || t AS what FROM unnest($1::text[]) t, unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) p
	), lacking AS (
		SELECT what FROM needed WHERE at IS NOT NULL AND NOT has_table_privilege(at, p)
		UNION ALL
		SELECT 'USAGE ON SEQUENCE ' || t || '_id_seq' FROM unnest($1::text[]) t WHERE to_regclass(t || '_id_seq') IS NOT NULL AND NOT has_sequence_privilege(t || '_id_seq', 'USAGE')
	)
	SELECT current_user, coalesce((SELECT n.nspname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = to_regclass('sessions')), ''),
		coalesce((SELECT array_agg(what) FROM lacking), '{}')`, tableNames).Scan(&role, &found, &lacks)
	})
	role = pgx.Identifier{role}.Sanitize()
	switch {
	case err != nil:
		return err
	case found == "":
		return fmt.Errorf("the role %s finds no table sessions; run «gatepost migrate» if there is none, else GRANT USAGE ON SCHEMA %s TO %s, and behind a pooler ALTER ROLE %s SET search_path = %s", role, orPublic(schema), role, role, orPublic(schema))
	case found != orPublic(schema):
		return fmt.Errorf("the role %s finds the table sessions in the schema %s; run ALTER ROLE %s SET search_path = %s", role, found, role, orPublic(schema))
	case len(lacks) > 0:
		return fmt.Errorf("the role %s lacks rights; run GRANT %s TO %s", role, strings.Join(lacks, " TO "+role+"; GRANT "), role)
	}
	return nil
}
