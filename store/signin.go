package store

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Facts are what the rows say about a provider's answer. 0 is nobody.
type Facts struct {
	Owner            int32 // has the account
	Current          int32 // whom the replaced session signs in
	CurrentSince     time.Time
	Namesake         int32 // has the address, in one of its spellings
	NamesakeVerified bool
}

// An OAuthSignIn is a provider's answer, ready to be written.
type OAuthSignIn struct {
	Account Account
	User    User // Name, Image, and Email only when it is proven
	Session NewSession
	LinkTo  int32 // the user who asked to link the account; 0 is a sign-in
	// Believed are providers that only hand out addresses that they have proven.
	Believed []string
	// Addresses are spellings of User.Email, or else of an address that the provider
	// does not vouch for: whoever has one is a namesake. They are never written.
	Addresses []string
}

// addresses are never none where User.Email is one.
func (in OAuthSignIn) addresses() []string {
	if len(in.Addresses) == 0 && in.User.Email != "" {
		return []string{in.User.Email}
	}
	return in.Addresses
}

// The schema's only index on addresses is of their exact spelling, so whoever has
// a mailbox is looked for under all spellings that it may have been stored in. Of
// several users the first is who has proven it, and else by the order of
// spellings, the parameter p.
func addressee(p string) string {
	return " email = ANY(" + p + "::varchar[]) ORDER BY email_verified IS NULL, array_position(" + p + "::varchar[], email) LIMIT 1"
}

// The parts that every statement that begins a session shares. They read from
// a CTE who(user_id), and take the parameters $1 session_token, $2
// access_token, $3 replaced token, $4 idle s, $5 absolute s, $6 most sessions.
// Whatever ends a session tells all replicas in the same statement.
//
// The tables have no index on sessions.user_id, and a sign-in must not read all
// sessions to find one person's. So the access token of each session begun here
// starts with its user, ten digits in the place of random ones, and the unique
// index on it leads to them. Rows that others wrote are not found by it: they do
// not count towards the most that one person may have.
//
// What is to end is gathered by id first: with OR in the DELETE, Postgres reads
// the whole table. And it takes any range for a 200th of the table: without LIMIT
// it would compile the statement where there are millions of sessions, 200 ms
// each time, to read the few that there are.
const (
	begun = `, begun AS (
		INSERT INTO sessions (user_id, expires, session_token, access_token)
		SELECT user_id, now() + least($4::float8, $5::float8) * interval '1 second', $1::varchar, lpad(user_id::text, 10, '0') || substr($2::varchar, 11) FROM who
		RETURNING id, user_id, expires, session_token, access_token, created_at, updated_at
	)`
	surplus = `, replaced AS (
		SELECT s.id FROM who, sessions s WHERE $3::varchar <> '' AND s.session_token = $3::varchar
	), surplus AS (
		SELECT mine.id FROM who CROSS JOIN LATERAL (
			SELECT s.id FROM (
				SELECT id, user_id, session_token, created_at FROM sessions
				WHERE access_token >= lpad(who.user_id::text, 10, '0') AND access_token < lpad((who.user_id::bigint + 1)::text, 10, '0')
				ORDER BY access_token LIMIT 1000
			) s WHERE s.user_id = who.user_id AND s.session_token <> $3::varchar AND s.session_token NOT LIKE 'api:%'
			ORDER BY s.created_at DESC, s.id DESC OFFSET greatest($6::int - 1, 0)
		) mine WHERE $6::int > 0
	)`
	told = `, told AS (
		SELECT array_agg(session_token || pg_notify('gatepost_session', session_token)::text) AS tokens FROM ended
	)`
	endSurplus = `, ended AS (
		DELETE FROM sessions WHERE id = ANY (ARRAY(SELECT id FROM replaced UNION ALL SELECT id FROM surplus)) RETURNING session_token
	)`
	beginSession = begun + surplus + endSurplus + told
)

func sessionArgs(n NewSession) []any {
	return []any{n.SessionToken, n.AccessToken, n.Replaces, n.Idle.Seconds(), n.end(), n.MaxPerUser}
}

// SignInByAccount signs in the owner of in.Account, or a new user with it, in
// one statement. It acts only where nothing is left to decide: LinkTo is 0, and
// the account has an owner, or neither account nor address is known. Otherwise
// SignedIn.User.ID is 0 and Facts say what is known.
//
// A known account gets the new tokens and keeps its refresh token if none came.
// One whose user is gone belongs to nobody and gives way to a new one. Where the
// owner has User.Email and nobody had proven it, as in NextAuth, it counts as
// proven from now on: unless the user has an account of a provider that is not
// Believed, which may be somebody else's who named the address (security L-4).
// Of concurrent first sign-ins of one identity one creates the user, and the
// others, retried, sign in as its owner.
//
// Who signs in is read from the account as it is written, after whoever else is at
// its user and then at it: one that a proof of the address is taking off meanwhile
// opens nothing any more (L-4).
func (s *Store) SignInByAccount(ctx context.Context, in OAuthSignIn) (out SignedIn, f Facts, err error) {
	a := in.Account
	args := append(sessionArgs(in.Session), a.CompoundID, a.Type, a.Provider, a.ProviderAccountID,
		a.RefreshToken, a.AccessToken, a.AccessTokenExpires, in.User.Name, in.User.Email, in.User.Image, in.LinkTo, in.Believed, in.addresses())
	err = s.signIn(ctx, "sign in by account", in.Session, &out, func(ctx context.Context, conn *pgxpool.Conn) error {
		out, f = SignedIn{}, Facts{}
		var current, namesake, owner *int32
		var since *time.Time
		var verified, created *bool
		row := conn.QueryRow(ctx, `
	WITH owner AS (
		SELECT a.user_id AS id FROM accounts a JOIN users u ON u.id = a.user_id WHERE a.compound_id = $7::varchar
	), current AS (
		SELECT user_id AS id, created_at FROM sessions WHERE $3::varchar <> '' AND session_token = $3::varchar AND expires > now()
	), namesake AS (
		SELECT id, email_verified IS NOT NULL AS verified FROM users WHERE`+addressee("$19")+`
	), made AS (
		INSERT INTO users (name, email, email_verified, image)
		SELECT nullif($14::varchar, ''), nullif($15::varchar, ''), CASE WHEN $15::varchar <> '' THEN now() END, nullif($16::text, '')
		WHERE $17::int = 0 AND NOT EXISTS (SELECT FROM owner) AND NOT EXISTS (SELECT FROM namesake)
		RETURNING id, name, email, email_verified, image, created_at, updated_at
	), orphaned AS (
		DELETE FROM accounts USING made WHERE compound_id = $7::varchar RETURNING accounts.id
	), linked AS (
		INSERT INTO accounts (compound_id, user_id, type, provider, provider_account_id, refresh_token, access_token, access_token_expires)
		SELECT $7::varchar, id, $8::varchar, $9::varchar, $10::varchar, nullif($11::text, ''), nullif($12::text, ''), $13::timestamptz
		FROM made, (SELECT count(*) FROM orphaned) first
		RETURNING id
	), proven AS (
		UPDATE users u SET email_verified = now(), updated_at = now() FROM owner
		WHERE $17::int = 0 AND u.id = owner.id AND u.email_verified IS NULL AND $15::varchar <> '' AND u.email = ANY($19::varchar[])
			AND NOT EXISTS (SELECT FROM accounts a WHERE a.user_id = u.id AND a.compound_id <> $7::varchar AND a.provider <> ALL(coalesce($18::varchar[], '{}')))
		RETURNING u.id, u.name, u.email, u.email_verified, u.image, u.updated_at
	), refreshed AS (
		UPDATE accounts SET refresh_token = coalesce(nullif($11::text, ''), refresh_token), access_token = nullif($12::text, ''),
			access_token_expires = $13::timestamptz, updated_at = now()
		WHERE $17::int = 0 AND compound_id = $7::varchar AND EXISTS (SELECT FROM owner) AND (SELECT count(*) FROM proven) >= 0
		RETURNING id
	), who AS (
		SELECT id AS user_id FROM made UNION ALL SELECT owner.id FROM owner, refreshed
	)`+beginSession+s.outbox.byAccount+`
	SELECT (SELECT id FROM owner), (SELECT id FROM current), (SELECT created_at FROM current),
		(SELECT id FROM namesake), (SELECT verified FROM namesake), EXISTS (SELECT FROM made),
		u.*, b.*, (SELECT tokens FROM told)
	FROM (SELECT 1) one
	LEFT JOIN begun b ON true
	LEFT JOIN LATERAL (
		SELECT id, coalesce(name, ''), coalesce(email, ''), email_verified, coalesce(image, ''), created_at, updated_at FROM made
		UNION ALL
		SELECT id, coalesce(name, ''), coalesce(email, ''), coalesce(email_verified, (SELECT email_verified FROM proven)), coalesce(image, ''),
			created_at, coalesce((SELECT updated_at FROM proven), updated_at) FROM users WHERE id = b.user_id
	) u ON true`, args...)
		var n nullableSignedIn
		if err := row.Scan(append([]any{&owner, &current, &since, &namesake, &verified, &created}, n.into()...)...); err != nil {
			return err
		}
		f = Facts{Owner: deref(owner), Current: deref(current), CurrentSince: deref(since), Namesake: deref(namesake), NamesakeVerified: deref(verified)}
		out = n.signedIn()
		s.haveEnded(n.ended)
		out.NewUser = out.User.ID != 0 && deref(created)
		return nil
	})
	return out, f, err
}

// FactsOf reads what SignInByAccount would go by for an account and the spellings
// of an address, proven or claimed, nil for none, with nobody signed in.
func (s *Store) FactsOf(ctx context.Context, compoundID string, addresses []string) (f Facts, err error) {
	err = s.do(ctx, "facts", func(ctx context.Context) error {
		return s.pool.QueryRow(ctx, `
	SELECT coalesce((SELECT a.user_id FROM accounts a JOIN users u ON u.id = a.user_id WHERE a.compound_id = $1::varchar), 0),
		coalesce(n.id, 0), n.email_verified IS NOT NULL
	FROM (SELECT 1) one LEFT JOIN (SELECT id, email_verified FROM users WHERE`+addressee("$2")+`) n ON true`, compoundID, addresses).Scan(&f.Owner, &f.Namesake, &f.NamesakeVerified)
	})
	return f, err
}

// SignInByLinking adds in.Account to userID and begins a session, in one
// statement. All other sessions of that user end, and links mailed to them die
// (security L-5). The user's own columns stay as they are (L-3).
//
// It returns ErrConflict when somebody has the account, or when requireVerified is
// not nil and the user's verified address is not among it. Where it is nil, it is
// the session which is replaced that may do this, as long as it is the user's: it
// is looked at once more, because a proof of the address may be ending what
// somebody else began, and their account must not come after it (L-6).
func (s *Store) SignInByLinking(ctx context.Context, userID int32, requireVerified []string, in OAuthSignIn) (out SignedIn, err error) {
	a := in.Account
	args := append(sessionArgs(in.Session), a.CompoundID, a.Type, a.Provider, a.ProviderAccountID,
		a.RefreshToken, a.AccessToken, a.AccessTokenExpires, userID, requireVerified)
	err = s.signIn(ctx, "sign in by linking", in.Session, &out, func(ctx context.Context, conn *pgxpool.Conn) error {
		var n nullableSignedIn
		row := conn.QueryRow(ctx, `
	WITH target AS (
		SELECT id, name, email, email_verified, image, created_at, updated_at FROM users
		WHERE id = $14::int AND ($15::varchar[] IS NULL OR email = ANY($15::varchar[]) AND email_verified IS NOT NULL)
		FOR UPDATE
	), asking AS (
		SELECT s.id FROM target JOIN sessions s ON s.user_id = target.id
		WHERE $3::varchar <> '' AND s.session_token = $3::varchar AND s.expires > now()
		FOR UPDATE OF s
	), owner AS (
		SELECT a.user_id AS id FROM accounts a JOIN users u ON u.id = a.user_id WHERE a.compound_id = $7::varchar
	), orphaned AS (
		DELETE FROM accounts USING target WHERE compound_id = $7::varchar AND NOT EXISTS (SELECT FROM owner) RETURNING accounts.id
	), linked AS (
		INSERT INTO accounts (compound_id, user_id, type, provider, provider_account_id, refresh_token, access_token, access_token_expires)
		SELECT $7::varchar, id, $8::varchar, $9::varchar, $10::varchar, nullif($11::text, ''), nullif($12::text, ''), $13::timestamptz
		FROM target, (SELECT count(*) FROM orphaned) first
		WHERE NOT EXISTS (SELECT FROM owner) AND ($15::varchar[] IS NOT NULL OR EXISTS (SELECT FROM asking))
		RETURNING user_id
	), who AS (
		SELECT user_id FROM linked
	)`+begun+`, ended AS (
		DELETE FROM sessions s USING who
		WHERE s.user_id = who.user_id OR $3::varchar <> '' AND s.session_token = $3::varchar
		RETURNING s.session_token
	), told AS (
		SELECT array_agg(session_token || pg_notify('gatepost_session', session_token)::text) AS tokens FROM ended WHERE $6::int >= 0
	)`+sentTo("(SELECT email AS identifier FROM target, who)")+`, forgotten AS (
		DELETE FROM verification_tokens WHERE id = ANY (ARRAY(SELECT id FROM sent)) RETURNING id
	)`+s.outbox.byLinking+`
	SELECT t.id, coalesce(t.name, ''), coalesce(t.email, ''), t.email_verified, coalesce(t.image, ''), t.created_at, t.updated_at, b.*, (SELECT tokens FROM told)
	FROM begun b JOIN target t ON t.id = b.user_id`, args...)
		err := row.Scan(n.into()...)
		if errors.Is(err, pgx.ErrNoRows) {
			return ErrConflict
		}
		out = n.signedIn()
		s.haveEnded(n.ended)
		return err
	})
	return out, err
}

// signIn runs the statement that begins a session. When it was sent and no
// answer came, its outcome is unknown: then the session's token, which is ours
// alone, is looked for, since a row that has it proves that the statement was
// committed (security K-P5). Both together end within 7/5 of the time of a call,
// so that a person who waits for a frozen database is told soon.
func (s *Store) signIn(ctx context.Context, op string, begins NewSession, out *SignedIn, fn func(context.Context, *pgxpool.Conn) error) error {
	ctx, cancel := context.WithTimeout(ctx, s.timeout*7/5)
	defer cancel()
	unknown := false
	err := s.do(ctx, op, func(ctx context.Context) error {
		conn, err := s.pool.Acquire(ctx)
		if err != nil {
			return err
		}
		defer conn.Release()
		err = fn(ctx, conn)
		s.outbox.written()
		unknown = err != nil && code(err) == "" && !pgconn.SafeToRetry(err)
		return err
	})
	if unknown && errors.Is(err, ErrUnavailable) {
		user, session, lost := s.Session(ctx, begins.SessionToken, Lifetimes{Idle: time.Hour, Update: 10 * time.Hour, Absolute: 24 * time.Hour})
		if lost == nil {
			*out = SignedIn{User: user, Session: session}
			return nil
		}
	}
	return err
}

// nullableSignedIn scans a user and a session that may both be absent.
type nullableSignedIn struct {
	userID, sessionID, sessionUser    *int32
	name, email, image, token, access *string
	verified, made, changed           *time.Time
	expires, begun, touched           *time.Time
	ended                             []string // stored session tokens
}

func (n *nullableSignedIn) into() []any {
	return []any{&n.userID, &n.name, &n.email, &n.verified, &n.image, &n.made, &n.changed,
		&n.sessionID, &n.sessionUser, &n.expires, &n.token, &n.access, &n.begun, &n.touched, &n.ended}
}

func (n *nullableSignedIn) signedIn() SignedIn {
	if n.userID == nil || n.sessionID == nil {
		return SignedIn{}
	}
	return SignedIn{
		User:    User{*n.userID, deref(n.name), deref(n.email), n.verified, deref(n.image), deref(n.made), deref(n.changed)},
		Session: Session{*n.sessionID, deref(n.sessionUser), deref(n.expires), deref(n.token), deref(n.access), deref(n.begun), deref(n.touched)},
	}
}

func deref[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}
