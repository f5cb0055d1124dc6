package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// A Dialect is whose tables were found.
type Dialect string

const (
	DialectDocumented Dialect = "documented"   // ours, to the letter
	DialectShipped    Dialect = "next-auth v3" // what v3 made: three names and an index differ
	DialectCamel      Dialect = "Auth.js"      // an adapter of v4 or v5: no compound_id
	DialectUnknown    Dialect = "unknown"      // anything else
	DialectNone       Dialect = "no tables"    // none of them
)

// AdoptOptions say what is to be adopted and how.
type AdoptOptions struct {
	URL         string
	Schema      string        // where the documented tables are or shall be; "" is public
	From        string        // where an adapter's tables are; "" is public
	LockTimeout time.Duration // to wait for each lock; 0 is 3 s
	Views       ViewsOptions
	Merge       []Merge
	LowerCase   bool // write addresses in lower case where nobody else has them so
}

// A Merge puts everything that User has to Into, and removes User.
type Merge struct{ User, Into int32 }

// A Step is one statement of a plan.
type Step struct {
	SQL, Undo string // Undo is "" where nothing is to be undone
	Table     string // what it locks; "" for nothing that anybody waits for
	Lock      string
	Takes     time.Duration // estimated

	cost   cost
	people bool // changes rows, after they were compared
}

type cost int

const (
	costNothing cost = iota // touches the catalogue alone
	costIndex               // reads the table and writes an index
	costCopy                // reads one table and writes another with its indexes
	costRewrite             // writes the table and all its indexes again
)

const (
	exclusive = "ACCESS EXCLUSIVE" // nobody reads or writes
	share     = "SHARE"            // everybody reads, nobody writes
)

// A Plan is what Adopt would do, and what a person should know before.
type Plan struct {
	Dialect    Dialect
	Schema     string
	From       string
	Difference string // where Dialect is unknown
	Blockers   []string
	Notes      []string
	Steps      []Step
	Sizes      []Size
	Twins      []Twin
	Unverified Unverified
	WayBack    string // SQL, of an earlier adoption, as kept in gatepost.adoptions
	WayBackAt  time.Time

	source *source
}

// A Size is how much a table holds, as Postgres last counted.
type Size struct {
	Table        string
	Rows, Bytes  int64
	IndexesBytes int64
}

// Changes reports whether Adopt would do anything.
func (p Plan) Changes() bool { return len(p.Steps) > 0 }

// Script is the transaction that Adopt runs, but for its checks.
func (p Plan) Script() string {
	var b strings.Builder
	b.WriteString("BEGIN;\n")
	for _, s := range p.Steps {
		b.WriteString(strings.TrimRight(s.SQL, ";\n") + ";\n")
	}
	b.WriteString("COMMIT;\n")
	return b.String()
}

// Undo is the transaction that takes everything back.
func (p Plan) Undo() string {
	var b strings.Builder
	fmt.Fprintf(&b, "BEGIN;\nSET LOCAL search_path = %s;\n", quoted(p.Schema))
	for _, s := range slices.Backward(p.Steps) {
		if s.Undo != "" {
			b.WriteString(s.Undo + ";\n")
		}
	}
	fmt.Fprintf(&b, "COMMIT;\n")
	return b.String()
}

// Blocked is how long whoever uses the tables waits, from the first lock on.
func (p Plan) Blocked() (sum time.Duration) {
	for _, s := range p.Steps {
		sum += s.Takes
	}
	return sum
}

var (
	// ErrNotAdoptable means that nothing was done; the plan says why.
	ErrNotAdoptable = errors.New("these tables cannot be adopted as they are")
	// ErrBusy means that somebody held a lock for too long; nothing was done.
	ErrBusy = errors.New("somebody is using the tables, and the lock was not to be had in time; nothing was changed: try again, or with a longer --lock-timeout")
)

// PlanAdoption looks at the tables and says what Adopt would do. It writes
// nothing and takes no lock that anybody waits for.
func PlanAdoption(ctx context.Context, o AdoptOptions) (p Plan, err error) {
	conn, err := connect(ctx, o.URL)
	if err != nil {
		return p, err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	err = pgx.BeginTxFunc(ctx, conn, pgx.TxOptions{AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		p, err = plan(ctx, tx, o)
		return err
	})
	return p, adoptError("plan", err)
}

// Adopt does what PlanAdoption says, in one transaction and under the
// migration's lock: all of it or nothing, however it is interrupted. It plans
// again under that lock, so what is done fits what is there; before and after
// are compared row by row, and any difference takes everything back.
//
// told is called before anything is changed, with the plan; an error from it
// ends the adoption. Adopt returns the fingerprint of what is there afterwards.
func Adopt(ctx context.Context, o AdoptOptions, told func(Plan) error) (p Plan, after Fingerprint, err error) {
	conn, err := connect(ctx, o.URL)
	if err != nil {
		return p, after, err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	err = pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		p, after, err = adopt(ctx, tx, o, told)
		return err
	})
	return p, after, adoptError("adopt", err)
}

func adopt(ctx context.Context, tx pgx.Tx, o AdoptOptions, told func(Plan) error) (p Plan, after Fingerprint, err error) {
	// A statement of a command that was killed ends within a second, where
	// Postgres can tell (14 and newer).
	for _, sql := range []string{lockTimeout(o), "SELECT set_config('client_connection_check_interval', '1s', true) FROM pg_settings WHERE name = 'client_connection_check_interval'", takeMigrateLock} {
		if _, err := tx.Exec(ctx, sql); err != nil {
			return p, after, err
		}
	}
	if p, err = plan(ctx, tx, o); err != nil {
		return p, after, err
	}
	if len(p.Blockers) > 0 || p.Dialect == DialectUnknown || p.Dialect == DialectNone {
		return p, after, ErrNotAdoptable
	}
	if err := told(p); err != nil || !p.Changes() {
		return p, after, err
	}
	var before Fingerprint
	compared := false
	for _, s := range p.Steps {
		if s.people && !compared {
			compared = true
			if err := p.confirm(ctx, tx, before); err != nil {
				return p, after, err
			}
		}
		if _, err := tx.Exec(ctx, s.SQL); err != nil {
			return p, after, fmt.Errorf("%w, by: %s", err, s.SQL)
		}
		if s.Lock != "" && before.Parts == nil { // the first lock holds everything still
			if before, err = p.fingerprint(ctx, tx); err != nil {
				return p, after, err
			}
		}
	}
	if !compared {
		if err := p.confirm(ctx, tx, before); err != nil {
			return p, after, err
		}
	}
	after, err = fingerprint(ctx, tx, p.Schema, p.namesAfter(), identities, nil)
	return p, after, err
}

// confirm compares the tables with what they should be now, and the rows with
// what they were.
func (p Plan) confirm(ctx context.Context, tx pgx.Tx, before Fingerprint) (err error) {
	names := p.namesAfter()
	if names == documentedNames {
		if err := compareSchema(ctx, tx, p.Schema); err != nil {
			return err
		}
	}
	if p.source != nil {
		if before, err = p.source.fingerprint(ctx, tx, p.Schema); err != nil {
			return err
		}
	}
	now, err := fingerprint(ctx, tx, p.Schema, names, wholeRows, nil)
	if err != nil {
		return err
	}
	if diff := before.Diff(now); len(diff) > 0 {
		return fmt.Errorf("rows are not as before, so everything was taken back: %s", strings.Join(diff, "; "))
	}
	return nil
}

func lockTimeout(o AdoptOptions) string {
	wait := o.LockTimeout
	if wait == 0 {
		wait = 3 * time.Second
	}
	return fmt.Sprintf("SET LOCAL lock_timeout = '%dms'", wait.Milliseconds())
}

// adoptError keeps what a person can act on. The texts that Postgres has for
// changes of tables name things, and no values but those of a unique index,
// which are left out (security K-P10).
func adoptError(op string, err error) error {
	pg, ok := errors.AsType[*pgconn.PgError](err)
	switch {
	case err == nil:
		return nil
	case !ok:
		if pgconn.SafeToRetry(err) || pgconn.Timeout(err) || errors.Is(err, context.Canceled) {
			return wrap(op, err)
		}
		return err
	case pg.Code == "55P03", pg.Code == "40P01":
		return ErrBusy
	case pg.Code == "42501":
		return fmt.Errorf("%s: this role may not do that (%s); it needs to own the tables, or to read them and create a schema", op, pg.Message)
	}
	return fmt.Errorf("%s: Postgres refused, and everything was taken back: %s (%s)", op, pg.Message, pg.Code)
}
