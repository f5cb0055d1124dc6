package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// Names of what the outbox holds, which are NextAuth's (nextauth-v3 §14).
const (
	EventSignIn      = "signIn"
	EventSignOut     = "signOut"
	EventCreateUser  = "createUser"
	EventUpdateUser  = "updateUser"
	EventLinkAccount = "linkAccount"
)

// EventNames are all of them.
func EventNames() []string {
	return []string{EventSignIn, EventSignOut, EventCreateUser, EventUpdateUser, EventLinkAccount}
}

// A Subscription is a service that is told of events.
type Subscription struct {
	Hook   string   // its name, which the rows that wait for it have
	Events []string // of EventNames
}

// outbox writes what services are told into gatepost.outbox, in the statement of
// the flow that it is about, so that nothing is lost and nothing is told that
// did not happen. It is the one table that a statement names with its schema:
// the others are NextAuth's, and nothing of ours is beside them. Without
// subscriptions no statement of a flow knows of it.
type outbox struct {
	schema string // database.schema: several may share a database
	// Parts of statements, "" where nobody wants to know.
	byAccount, byLinking, byVerification, ended string

	wake map[string]chan struct{} // by hook
}

func newOutbox(schema string, subscriptions []Subscription) *outbox {
	if len(subscriptions) == 0 {
		return &outbox{schema: orPublic(schema)}
	}
	o := &outbox{schema: orPublic(schema), wake: map[string]chan struct{}{}}
	var wanted []string
	for _, s := range subscriptions {
		o.wake[s.Hook] = make(chan struct{}, 1)
		for _, e := range s.Events {
			wanted = append(wanted, "("+literal(s.Hook)+", "+literal(e)+")")
		}
	}
	write := func(events string) string {
		return `, outbox AS (
		INSERT INTO gatepost.outbox (schema, hook, message, event, user_id, data)
		SELECT ` + literal(o.schema) + `, w.hook, 'msg_' || replace(gen_random_uuid()::text, '-', ''), e.event, e.user_id, e.data
		FROM (` + events + `) e (n, event, user_id, data) JOIN (VALUES ` + strings.Join(wanted, ", ") + `) w (hook, event) ON w.event = e.event
		ORDER BY e.n, e.user_id
	)`
	}
	o.byAccount = write(`
			SELECT 1, 'createUser', m.id, ` + userJSON("m", "m.email_verified") + ` FROM made m
			UNION ALL SELECT 2, 'linkAccount', m.id, json_build_object('user', ` + userJSON("m", "m.email_verified") + `, 'providerAccount', ` + accountJSON + `) FROM made m, linked
			UNION ALL SELECT 2, 'updateUser', p.id, ` + userJSON("p", "p.email_verified") + ` FROM proven p
			UNION ALL SELECT 3, 'signIn', u.id, json_build_object('user', ` + userJSON("u", "u.email_verified") + `, 'account', ` + accountJSON + `, 'isNewUser', EXISTS (SELECT FROM made))
			FROM begun b JOIN (
				SELECT id, name, email, email_verified, image FROM made
				UNION ALL SELECT id, name, email, coalesce(email_verified, (SELECT email_verified FROM proven)), image FROM users WHERE id IN (SELECT user_id FROM begun)
			) u ON u.id = b.user_id`)
	o.byLinking = write(`
			SELECT 1, 'linkAccount', t.id, json_build_object('user', ` + userJSON("t", "t.email_verified") + `, 'providerAccount', ` + accountJSON + `) FROM target t JOIN linked l ON l.user_id = t.id
			UNION ALL SELECT 2, 'signIn', t.id, json_build_object('user', ` + userJSON("t", "t.email_verified") + `, 'account', ` + accountJSON + `, 'isNewUser', false) FROM target t JOIN begun b ON b.user_id = t.id`)
	o.byVerification = write(`
			SELECT 1, 'createUser', m.id, ` + userJSON("m", "m.email_verified") + ` FROM made m
			UNION ALL SELECT 2, 'updateUser', k.id, ` + userJSON("k", "p.email_verified") + ` FROM known k JOIN proven p ON p.id = k.id
			UNION ALL SELECT 3, 'signIn', u.id, json_build_object('user', ` + userJSON("u", "u.email_verified") + `,
				'account', json_build_object('id', 'email', 'type', 'email', 'provider', 'email', 'providerAccountId', u.email), 'isNewUser', EXISTS (SELECT FROM made))
			FROM begun b JOIN (
				SELECT id, name, email, email_verified, image FROM made
				UNION ALL SELECT k.id, k.name, k.email, coalesce(p.email_verified, k.email_verified), k.image FROM known k LEFT JOIN proven p ON p.id = k.id
			) u ON u.id = b.user_id`)
	o.ended = write(`
			SELECT 1, 'signOut', s.user_id, json_build_object('id', s.id::text, 'userId', s.user_id::text, 'expires', ` + momentJSON("s.expires") + `, 'createdAt', ` + momentJSON("s.created_at") + `)
			FROM ended s WHERE s.session_token NOT LIKE 'api:%'`)
	return o
}

// accountJSON reads the parameters that sign-ins with a provider share. No token
// is in it.
const accountJSON = `json_build_object('id', $10::varchar, 'type', $8::varchar, 'provider', $9::varchar, 'providerAccountId', $10::varchar)`

// userJSON is a user as services are told of them. A picture that is not an
// address but in the column itself is left out.
func userJSON(from, verified string) string {
	return strings.ReplaceAll(`json_build_object('id', @.id::text, 'name', @.name, 'email', @.email, 'emailVerified', `+momentJSON(verified)+`, 'image', CASE WHEN length(@.image) <= 2048 THEN @.image END)`, "@", from)
}

func momentJSON(of string) string {
	return `to_char(` + of + ` AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')`
}

// written wakes those who deliver.
func (o *outbox) written() {
	for _, c := range o.wake {
		select {
		case c <- struct{}{}:
		default:
		}
	}
}

// EventsWritten tells, soon after this process wrote some, that there may be
// events for hook. What others wrote is found by asking now and then.
func (s *Store) EventsWritten(hook string) <-chan struct{} { return s.outbox.wake[hook] }

// An Event is something that a service is to be told.
type Event struct {
	ID        int64
	Message   string // the same each time that it is tried
	Event     string
	Data      json.RawMessage
	CreatedAt time.Time
	Since     time.Time // when it was first to be told, or again by ReviveEvents
	Attempts  int       // this one included
}

// ClaimEvents returns up to most events that are due for hook, for this process
// alone: if it does not say what came of one within the time of lease, it is due
// again. Of one user's events only the oldest is due, so that what happened later
// is told later.
func (s *Store) ClaimEvents(ctx context.Context, hook string, most int, lease time.Duration) (events []Event, err error) {
	err = s.do(ctx, "claim events", func(ctx context.Context) error {
		rows, _ := s.pool.Query(ctx, `
	WITH due AS (
		SELECT o.id FROM gatepost.outbox o
		WHERE o.schema = $1 AND o.hook = $2 AND o.due <= now() AND NOT o.given_up
			AND NOT EXISTS (SELECT FROM gatepost.outbox e WHERE e.schema = $1 AND e.hook = $2 AND e.user_id = o.user_id AND e.id < o.id AND NOT e.given_up)
		ORDER BY o.due, o.id LIMIT $3 FOR UPDATE SKIP LOCKED
	)
	UPDATE gatepost.outbox o SET due = now() + $4::float8 * interval '1 second', attempts = o.attempts + 1
	FROM due WHERE o.id = due.id
	RETURNING o.id, o.message, o.event, o.data, o.created_at, o.since, o.attempts`, s.outbox.schema, hook, most, lease.Seconds())
		events, err = pgx.CollectRows(rows, pgx.RowToStructByPos[Event])
		return err
	})
	return events, err
}

// While an event of a user waits to be tried again, the user's later ones are not
// due before it: whoever claims would read all of them again and again, and find
// that none may be told. When it is out of the way, the next is due at once.
const nextIsDue = `
	UPDATE gatepost.outbox o SET due = least(o.due, now()) FROM gone
	WHERE o.id = (SELECT min(id) FROM gatepost.outbox n WHERE n.schema = gone.schema AND n.hook = gone.hook AND n.user_id = gone.user_id AND n.id > gone.id AND NOT n.given_up)`

// EventTold forgets an event that has arrived.
func (s *Store) EventTold(ctx context.Context, id int64) error {
	return s.do(ctx, "event told", func(ctx context.Context) error {
		_, err := s.pool.Exec(ctx, `
	WITH gone AS (DELETE FROM gatepost.outbox WHERE id = $1 RETURNING id, schema, hook, user_id)`+nextIsDue, id)
		return err
	})
}

// EventNotTold has an event that has not arrived be tried again after wait. why
// is for whoever looks into it.
func (s *Store) EventNotTold(ctx context.Context, id int64, wait time.Duration, why string) error {
	return s.do(ctx, "event not told", func(ctx context.Context) error {
		_, err := s.pool.Exec(ctx, `
	WITH failed AS (
		UPDATE gatepost.outbox SET due = now() + $2::float8 * interval '1 second', failure = $3 WHERE id = $1 RETURNING id, schema, hook, user_id, due
	)
	UPDATE gatepost.outbox o SET due = failed.due FROM failed
	WHERE o.schema = failed.schema AND o.hook = failed.hook AND o.user_id = failed.user_id AND o.id > failed.id AND o.due < failed.due AND NOT o.given_up`,
			id, wait.Seconds(), why)
		return err
	})
}

// GiveUpEvent keeps an event that is not tried again, for whoever looks into it.
func (s *Store) GiveUpEvent(ctx context.Context, id int64, why string) error {
	return s.do(ctx, "give up event", func(ctx context.Context) error {
		_, err := s.pool.Exec(ctx, `
	WITH gone AS (UPDATE gatepost.outbox SET given_up = true, failure = $2 WHERE id = $1 RETURNING id, schema, hook, user_id)`+nextIsDue, id, why)
		return err
	})
}

// EventsHeld is what the outbox holds for one service.
type EventsHeld struct {
	Hook    string
	Waiting int
	GivenUp int
	Oldest  *time.Time // of those that wait
	Failure string     // of one that was tried in vain
}

// EventsHeld says what is held for each service, also for those that are
// configured no more.
func (s *Store) EventsHeld(ctx context.Context) (held []EventsHeld, err error) {
	err = s.do(ctx, "events held", func(ctx context.Context) error {
		rows, _ := s.pool.Query(ctx, `
	SELECT hook, count(*) FILTER (WHERE NOT given_up), count(*) FILTER (WHERE given_up), min(created_at) FILTER (WHERE NOT given_up),
		max(failure)
	FROM gatepost.outbox WHERE schema = $1 GROUP BY hook ORDER BY hook`, s.outbox.schema)
		held, err = pgx.CollectRows(rows, pgx.RowToStructByPos[EventsHeld])
		return err
	})
	return held, err
}

// ReviveEvents has what was given up be tried again, for one service or for all
// ("").
func (s *Store) ReviveEvents(ctx context.Context, hook string) (n int, err error) {
	err = s.do(ctx, "revive events", func(ctx context.Context) error {
		tag, err := s.pool.Exec(ctx, `
	UPDATE gatepost.outbox SET given_up = false, attempts = 0, since = now(), due = now() WHERE schema = $1 AND given_up AND ($2 = '' OR hook = $2)`, s.outbox.schema, hook)
		n = int(tag.RowsAffected())
		return err
	})
	return n, err
}

// SweepEvents deletes up to batch events that nobody has delivered since before.
func (s *Store) SweepEvents(ctx context.Context, older time.Duration, batch int) (n int, err error) {
	err = s.do(ctx, "sweep events", func(ctx context.Context) error {
		tag, err := s.pool.Exec(ctx, `
	DELETE FROM gatepost.outbox WHERE id IN (
		SELECT id FROM gatepost.outbox WHERE schema = $1 AND since < now() - $2::float8 * interval '1 second' LIMIT $3 FOR UPDATE SKIP LOCKED
	)`, s.outbox.schema, older.Seconds(), batch)
		n = int(tag.RowsAffected())
		return err
	})
	return n, err
}

// outboxDDL makes the one table of ours, in the schema that is ours.
const outboxDDL = `
	CREATE TABLE IF NOT EXISTS gatepost.outbox (
		id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
		schema text NOT NULL,
		hook text NOT NULL,
		message text NOT NULL,
		event text NOT NULL,
		user_id integer NOT NULL,
		data json NOT NULL,
		created_at timestamptz NOT NULL DEFAULT now(),
		since timestamptz NOT NULL DEFAULT now(),
		due timestamptz NOT NULL DEFAULT now(),
		attempts integer NOT NULL DEFAULT 0,
		given_up boolean NOT NULL DEFAULT false,
		failure text NOT NULL DEFAULT ''
	);
	CREATE INDEX IF NOT EXISTS outbox_due ON gatepost.outbox (schema, hook, due, id) WHERE NOT given_up;
	CREATE INDEX IF NOT EXISTS outbox_order ON gatepost.outbox (schema, hook, user_id, id) WHERE NOT given_up`

// MigrateOutbox creates the table that events wait in, if it is not there, and
// reports whether it did.
func MigrateOutbox(ctx context.Context, url string) (created bool, err error) {
	conn, err := connect(ctx, url)
	if err != nil {
		return false, err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	err = pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, takeMigrateLock); err != nil {
			return err
		}
		if err := tx.QueryRow(ctx, "SELECT NOT EXISTS ("+findOutbox+")").Scan(&created); err != nil || !created {
			return err
		}
		for _, sql := range append([]string{"CREATE SCHEMA IF NOT EXISTS gatepost"}, strings.Split(outboxDDL, ";")...) {
			if _, err := tx.Exec(ctx, sql); err != nil {
				return err
			}
		}
		return nil
	})
	return created && err == nil, describe("migrate the outbox", err)
}

const findOutbox = "SELECT c.oid FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = 'gatepost' AND c.relname = 'outbox'"

// ErrNoOutbox means that the table that events wait in is not there, or not for
// this role.
var ErrNoOutbox = errors.New("events have no table to wait in")

// CheckOutbox reports what keeps the pool's role from writing events down: an
// ErrNoOutbox that says what to do, or ErrUnavailable.
func (s *Store) CheckOutbox(ctx context.Context) error {
	var role string
	var there bool
	var lacks []string
	err := s.do(ctx, "check outbox", func(ctx context.Context) error {
		return s.pool.QueryRow(ctx, `
	WITH outbox AS (`+findOutbox+`)
	SELECT current_user, EXISTS (SELECT FROM outbox), ARRAY(
		SELECT 'USAGE ON SCHEMA gatepost' FROM outbox WHERE NOT has_schema_privilege('gatepost', 'USAGE')
		UNION ALL
		SELECT p || ' ON TABLE gatepost.outbox' FROM outbox, unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) p WHERE NOT has_table_privilege(oid, p)
	)`).Scan(&role, &there, &lacks)
	})
	role = pgx.Identifier{role}.Sanitize()
	switch {
	case err != nil:
		return err
	case !there:
		return fmt.Errorf("%w: there is no gatepost.outbox; run «gatepost migrate», which creates it where webhooks.events is set", ErrNoOutbox)
	case len(lacks) > 0:
		return fmt.Errorf("%w: the role %s lacks rights; run GRANT %s TO %s", ErrNoOutbox, role, strings.Join(lacks, " TO "+role+"; GRANT "), role)
	}
	return nil
}
