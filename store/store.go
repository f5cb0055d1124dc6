// Package store keeps users, accounts, sessions and verification tokens in
// Postgres. It knows the four tables and one statement per flow, never why.
//
// Every call ends within Options.Timeout. No statement names a schema, but for
// the outbox, which is ours: the connection's search_path does. Errors name the
// operation, never a value.
package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

var (
	ErrNotFound    = errors.New("not found")
	ErrConflict    = errors.New("belongs to somebody else")
	ErrLastWayIn   = errors.New("the last way to sign in")
	ErrUnavailable = errors.New("the database cannot be asked")
	ErrInvalid     = errors.New("a value does not fit its column")
)

// Options say how to reach the database.
type Options struct {
	URL         string
	DirectURL   string         // past a transaction pooler, for LISTEN and locks; "" is URL
	Schema      string         // search_path; "" leaves the role's own
	MaxConns    int32          // 0 is 10
	ExecMode    string         // pgx's default_query_exec_mode; behind PgBouncer cache_describe or exec
	Timeout     time.Duration  // of one call; 0 is 2 s
	InsecureTLS bool           // allows a remote server without verified TLS
	Events      []Subscription // what is written down for services; needs MigrateOutbox
	Tracer      pgx.QueryTracer
}

// Store is safe for concurrent use.
type Store struct {
	pool    *pgxpool.Pool
	direct  string // Options.DirectURL or URL
	timeout time.Duration
	outbox  *outbox
	ended   atomic.Int64
	cache   atomic.Pointer[Cache] // told what this process ends; nil for none
}

// Open prepares a pool. It does not connect, so that a database that is away
// delays nothing but the calls that need it.
func Open(ctx context.Context, o Options) (*Store, error) {
	c, err := poolConfig(o)
	if err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	pool, err := pgxpool.NewWithConfig(ctx, c)
	if err != nil {
		return nil, errors.New("open store: the pool was refused")
	}
	timeout := o.Timeout
	if timeout == 0 {
		timeout = 2 * time.Second
	}
	direct := o.DirectURL
	if direct == "" {
		direct = o.URL
	}
	return &Store{pool: pool, direct: direct, timeout: timeout, outbox: newOutbox(o.Schema, o.Events)}, nil
}

// Check reports what is wrong with o that shows without connecting.
func (o Options) Check() error {
	_, err := poolConfig(o)
	return err
}

func poolConfig(o Options) (*pgxpool.Config, error) {
	c, err := pgxpool.ParseConfig(o.URL)
	if err != nil {
		// ParseConfig's error repeats the URL with its password (security
		// K-P10); a file that it names, as in sslrootcert, may be said.
		if file, ok := errors.AsType[*fs.PathError](err); ok {
			return nil, file
		}
		return nil, errors.New("cannot be read; want postgres://user:password@host:5432/name")
	}
	if err := verifyTLS(c.ConnConfig, o.InsecureTLS); err != nil {
		return nil, err
	}
	c.MaxConns = 10
	if o.MaxConns > 0 {
		c.MaxConns = o.MaxConns
	}
	c.MaxConnLifetime, c.MaxConnLifetimeJitter = time.Hour, 10*time.Minute
	c.MaxConnIdleTime, c.HealthCheckPeriod, c.PingTimeout = 5*time.Minute, 30*time.Second, time.Second
	configure(c.ConnConfig, o)
	return c, nil
}

func configure(c *pgx.ConnConfig, o Options) {
	c.ConnectTimeout = 3 * time.Second
	c.Tracer = o.Tracer
	switch o.ExecMode {
	case "exec":
		c.DefaultQueryExecMode = pgx.QueryExecModeExec
	case "cache_describe":
		c.DefaultQueryExecMode = pgx.QueryExecModeCacheDescribe
	default:
		// A pooler in transaction mode refuses startup parameters it does not
		// know, so these are set only on direct connections. CheckSearchPath
		// finds a role whose own search_path does not do.
		if o.Schema != "" {
			c.RuntimeParams["search_path"] = pgx.Identifier{o.Schema}.Sanitize()
		}
		// A statement reads the same few rows by the same indexes whatever it is
		// asked. To compile it, or to plan it anew each time, which Postgres takes
		// for cheaper than it is, costs more than to run it.
		c.RuntimeParams["jit"], c.RuntimeParams["plan_cache_mode"] = "off", "force_generic_plan"
		c.RuntimeParams["statement_timeout"] = "5000"
		c.RuntimeParams["lock_timeout"] = "3000"
		c.RuntimeParams["idle_in_transaction_session_timeout"] = "10000"
	}
}

// verifyTLS refuses a connection over a network whose server proves nothing:
// pgx's default quietly falls back to clear text (security K-P7).
func verifyTLS(c *pgx.ConnConfig, insecure bool) error {
	if insecure || isLocal(c.Host) {
		return nil
	}
	if c.TLSConfig == nil || c.TLSConfig.InsecureSkipVerify || len(c.Fallbacks) > 0 && c.Fallbacks[0].TLSConfig == nil {
		return fmt.Errorf("the server %s would not be verified; add sslmode=verify-full, or set database.insecure_tls", c.Host)
	}
	return nil
}

func isLocal(host string) bool {
	ip := net.ParseIP(host)
	return strings.HasPrefix(host, "/") || host == "localhost" || ip != nil && ip.IsLoopback()
}

// Close ends all connections.
func (s *Store) Close() { s.pool.Close() }

// Stats are counts since the start, and how the pool is now.
type Stats struct {
	SessionsEnded                       int64 // by this process, before their time
	MaxConns, Conns, IdleConns          int32
	Acquires, WaitedAcquires, Cancelled int64 // of connections; waited for one, gave up waiting
	AcquireTime                         time.Duration
}

// Stats says how the pool does.
func (s *Store) Stats() Stats {
	p := s.pool.Stat()
	return Stats{s.ended.Load(), p.MaxConns(), p.TotalConns(), p.IdleConns(), p.AcquireCount(), p.EmptyAcquireCount(), p.CanceledAcquireCount(), p.AcquireDuration()}
}

// Drift is how far the database's clock is ahead of ours, to within the time of
// one question (security S-12).
func (s *Store) Drift(ctx context.Context) (ahead time.Duration, err error) {
	err = s.do(ctx, "clock", func(ctx context.Context) error {
		var theirs time.Time
		asked := time.Now()
		if err := s.pool.QueryRow(ctx, "SELECT clock_timestamp()").Scan(&theirs); err != nil {
			return err
		}
		ahead = theirs.Sub(asked.Add(time.Since(asked) / 2))
		return nil
	})
	return ahead, err
}

// Ready reports whether the database answers within a second.
func (s *Store) Ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	return wrap("ping", s.pool.Ping(ctx))
}

// do runs fn under the deadline of one call, and once more when the server is
// known not to have acted or has only lost a plan (security K-P4, K-P6, K-P8).
func (s *Store) do(ctx context.Context, op string, fn func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	err := fn(ctx)
	if err != nil && ctx.Err() == nil && retryable(err) {
		err = fn(ctx)
	}
	return wrap(op, err)
}

func retryable(err error) bool {
	switch code(err) {
	case "0A000", "26000", "25006", "23505", "57P01", "40001", "40P01":
		return true
	}
	return pgconn.SafeToRetry(err)
}

func code(err error) string {
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok {
		return pg.Code
	}
	return ""
}

// Prepared statements that another client made or dropped, and startup
// parameters that are refused, come from a pooler (security K-P6).
const (
	setExecMode  = "set database.exec_mode: cache_describe"
	behindPooler = "database.url leads through a pooler in transaction mode; " + setExecMode
)

// wrap names the operation and the kind of fault. Postgres's own texts may
// contain values, so only code and constraint remain (security K-P10).
func wrap(op string, err error) error {
	if err == nil {
		return nil
	}
	for _, known := range []error{ErrNotFound, ErrConflict, ErrLastWayIn, ErrTooMany} {
		if errors.Is(err, known) {
			return fmt.Errorf("%s: %w", op, known)
		}
	}
	pg, ok := errors.AsType[*pgconn.PgError](err)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return fmt.Errorf("%s: %w", op, ErrNotFound)
	case !ok: // no answer: refused, reset, out of time
		kind := "no connection"
		if errors.Is(err, context.DeadlineExceeded) {
			kind = "out of time"
		} else if errors.Is(err, context.Canceled) {
			kind = "cancelled"
		}
		return fmt.Errorf("%s: %w (%s)", op, ErrUnavailable, kind)
	case pg.Code == "22001", pg.Code == "22021":
		return fmt.Errorf("%s: %w (%s)", op, ErrInvalid, pg.Code)
	case pg.Code == "23505":
		return fmt.Errorf("%s: %w (%s)", op, ErrConflict, pg.ConstraintName)
	case pg.Code == "42P05", pg.Code == "26000":
		return fmt.Errorf("%s: %w (%s): %s", op, ErrUnavailable, pg.Code, behindPooler)
	case pg.Code == "42P01":
		return fmt.Errorf("%s: %w (42P01): a table is not there; run «gatepost migrate»", op, ErrUnavailable)
	case pg.Code == "42501":
		return fmt.Errorf("%s: %w (42501): the role lacks a right; «gatepost check» says which", op, ErrUnavailable)
	case strings.HasPrefix(pg.Code, "28"), pg.Code == "3D000":
		return fmt.Errorf("%s: %w (%s): Postgres lets nobody in with this role, password and database", op, ErrUnavailable, pg.Code)
	case pg.Code == "08P01":
		return fmt.Errorf("%s: %w (%s): if this is a pooler in transaction mode, %s", op, ErrUnavailable, pg.Code, setExecMode)
	case strings.HasPrefix(pg.Code, "08"), strings.HasPrefix(pg.Code, "53"), strings.HasPrefix(pg.Code, "57"), pg.Code == "55P03", pg.Code == "25006":
		return fmt.Errorf("%s: %w (%s)", op, ErrUnavailable, pg.Code)
	}
	return fmt.Errorf("%s: Postgres error %s %s", op, pg.Code, pg.ConstraintName)
}
