package store

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// A VerificationRequest is a sign-in mail about to be sent.
type VerificationRequest struct {
	Identifier string // the address, as it is written where nobody has it
	// Addresses are spellings of Identifier. Whoever has one is written to under
	// theirs, by which NextAuth too finds them when the link is opened there.
	Addresses  []string
	Token      string // of the link, as stored: without a colon
	CodeID     string // of the code; its hash is stored
	TTL        time.Duration
	CodeTries  int
	AddressKey string // keyed hashes that limits are counted by; "" is no limit
	ClientKey  string
	Limits     MailLimits
}

// MailLimits bound how many mails are sent; 0 is no limit.
type MailLimits struct {
	AddressPerWindow int
	AddressPerDay    int
	ClientPerWindow  int
	Window           time.Duration
}

// The tables have no index on verification_tokens.identifier, and nobody must read
// all that was mailed to find what was mailed to one address. So the row of each
// code, of which there is one to a mail, begins with a hash of its address and
// names the mail's link,
//
//	code:<24 digits of the identifier's hash>x<hash of the code's id>:<link>:<tries>
//
// and the unique index on token leads from an address to what was mailed to it from
// here. Links that NextAuth mailed are not found by it; it leaves them alone too.

// addressHash is what tokens of codes that were mailed to the address in column
// have behind code:. It has digits alone, which every collation has in one order:
// in Danish aa comes after z. Two addresses may have the same.
func addressHash(column string) string {
	return "translate(left(encode(sha256(convert_to(" + column + ", 'UTF8')), 'hex'), 24), 'abcdef', '012345')"
}

// digitsOf is addressHash of an address.
func digitsOf(address string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' {
			return r - 'a' + '0'
		}
		return r
	}, hexHash(address)[:24])
}

// sentTo are CTEs of the rows of codes that were mailed to the addresses in to, a
// relation with the column identifier, and sent, the ids of both these and their
// links. LIMIT and OFFSET keep Postgres from guessing that there are many and reading
// the whole table.
func sentTo(to string) string {
	return `, codes AS (
		SELECT c.id, c.identifier, split_part(c.token, ':', 3) AS link
		FROM (SELECT identifier, ` + addressHash("identifier") + ` AS hash FROM ` + to + ` a) a CROSS JOIN LATERAL (
			SELECT id, identifier, token FROM (
				SELECT id, identifier, token FROM verification_tokens
				WHERE token >= 'code:' || a.hash AND token < 'code:' || lpad((a.hash::numeric + 1)::text, 24, '0')
				ORDER BY token LIMIT 1000
			) r WHERE r.identifier = a.identifier
		) c
	), sent AS (
		SELECT id FROM codes UNION ALL SELECT l.id FROM codes CROSS JOIN LATERAL (
			SELECT id FROM verification_tokens WHERE token = codes.link AND identifier = codes.identifier OFFSET 0
		) l
	)`
}

// RequestVerification stores the link's and the code's tokens for identifier,
// unless a limit is reached (granted is false then, and nothing is written).
//
// Limits are rows too, so that they hold on every replica, after a restart, and
// after the tokens are spent: each mail takes a free slot of each of its limits,
// "limit:<key>:<window>:<slot>", and the unique index on token settles who gets
// it. Which one is chance, so that those who ask at once seldom want the same;
// who loses one tries another, since only rows may refuse a mail, never a race.
// Of links for one address the newest three live.
func (s *Store) RequestVerification(ctx context.Context, r VerificationRequest) (identifier string, granted bool, err error) {
	err = s.do(ctx, "request verification", func(ctx context.Context) error {
		for {
			err := s.takeSlots(ctx, r, &identifier, &granted)
			if code(err) != "23505" {
				return err
			}
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(rand.N(10 * time.Millisecond)):
			}
		}
	})
	return identifier, granted, err
}

func (s *Store) takeSlots(ctx context.Context, r VerificationRequest, identifier *string, granted *bool) error {
	return s.pool.QueryRow(ctx, `
	WITH addressee AS (
		SELECT coalesce((SELECT email FROM users WHERE`+addressee("$12")+`), $1::varchar) AS identifier
	), limits (key, most, secs) AS (
		SELECT key, most, secs FROM (VALUES
			('a:' || $6::text, $8::int, $11::float8), ('d:' || $6::text, $9::int, 86400), ('c:' || $7::text, $10::int, $11::float8)
		) v (key, most, secs) WHERE most > 0 AND length(key) > 2
	), slots AS (
		SELECT l.key, 'limit:' || l.key || ':' || floor(extract(epoch FROM now()) / l.secs)::bigint || ':' || n AS token,
			to_timestamp((floor(extract(epoch FROM now()) / l.secs) + 1) * l.secs) AS expires
		FROM limits l, generate_series(1, l.most) n
	), free AS (
		SELECT DISTINCT ON (key) key, token, expires FROM slots
		WHERE NOT EXISTS (SELECT FROM verification_tokens v WHERE v.token = slots.token) ORDER BY key, random()
	), granted AS (
		SELECT (SELECT count(*) FROM free) = (SELECT count(*) FROM limits) AS ok
	), counted AS (
		INSERT INTO verification_tokens (identifier, token, expires) SELECT 'limit', token, expires FROM free, granted WHERE ok RETURNING 1
	), stored AS (
		INSERT INTO verification_tokens (identifier, token, expires)
		SELECT identifier, t, now() + $4::float8 * interval '1 second'
		FROM granted, addressee, unnest(ARRAY[$2::text, 'code:' || `+addressHash("identifier")+` || 'x' || $3::text || ':' || $2::text || ':' || $5::int]) t WHERE ok RETURNING 1
	)`+sentTo("addressee")+`, old AS (
		DELETE FROM verification_tokens WHERE id = ANY (ARRAY(
			SELECT l.id FROM granted, (SELECT link, identifier FROM codes ORDER BY id DESC OFFSET 2) o CROSS JOIN LATERAL (
				SELECT id FROM verification_tokens WHERE token = o.link AND identifier = o.identifier OFFSET 0
			) l WHERE ok
		)) RETURNING 1
	)
	SELECT identifier, ok FROM addressee, granted`,
		r.Identifier, r.Token, hexHash(r.CodeID), r.TTL.Seconds(), r.CodeTries, r.AddressKey, r.ClientKey,
		r.Limits.AddressPerWindow, r.Limits.AddressPerDay, r.Limits.ClientPerWindow, max(r.Limits.Window, time.Minute).Seconds(), r.Addresses).Scan(identifier, granted)
}

// A Proof is what is stored of something that was mailed.
type Proof struct {
	Tokens     []string // the forms that it may have
	Identifier string   // the address that it was mailed to; "" for whichever the row names
	// Addresses are spellings of the row's address, under which its user may be
	// stored. Those of another mailbox find nobody.
	Addresses []string
	// Believed are providers that only hand out addresses that they have proven.
	// Where accounts are of users whose addresses nobody marked as proven, as in
	// NextAuth, these stay when the address is proven for the first time, and so do
	// the sessions of whoever has no others. nil: nothing stays.
	Believed []string
	Keep     []int32 // accounts that stay too: whoever proves the address says that they are theirs
	// Ask spends nothing where an account is at stake, so that somebody can be
	// asked which to keep.
	Ask bool
}

// spellingsOf are those under which the user of a row's address may be stored:
// addresses, a Proof's, if they are of the same mailbox.
func spellingsOf(row, addresses string) string {
	return "CASE WHEN " + row + ".identifier = ANY(" + addresses + "::varchar[]) THEN " + addresses + "::varchar[] ELSE ARRAY[" + row + ".identifier] END"
}

// accountsAtStake selects from the accounts a that the first proof of a row's
// address takes from its user, if none is kept: somebody else may have attached
// them before (security L-4).
func accountsAtStake(row, addresses, believed string) string {
	return `
		FROM (SELECT id, email_verified FROM users WHERE` + addressee("("+spellingsOf(row, addresses)+")") + `) u JOIN accounts a ON a.user_id = u.id
		WHERE u.email_verified IS NULL AND a.provider <> ALL(coalesce(` + believed + `::varchar[], '{}'))`
}

// VerificationToken returns the live row of p, and leaves it. At stake are the
// accounts that the first proof of its address takes from its user unless p.Keep
// has them; of each there are ID, Provider and CreatedAt.
func (s *Store) VerificationToken(ctx context.Context, p Proof) (v VerificationToken, atStake []Account, err error) {
	err = s.do(ctx, "verification token", func(ctx context.Context) error {
		rows, err := s.pool.Query(ctx, `
	SELECT v.identifier, v.token, v.expires, v.created_at, coalesce(a.id, 0), coalesce(a.provider, ''), a.created_at
	FROM (
		SELECT identifier, token, expires, created_at FROM verification_tokens
		WHERE token = ANY($1) AND expires > now() AND identifier LIKE '%@%' AND ($2::varchar = '' OR identifier = $2::varchar) LIMIT 1
	) v
	LEFT JOIN LATERAL (SELECT a.id, a.provider, a.created_at`+accountsAtStake("v", "$4", "$3")+`) a ON true
	ORDER BY a.id`, p.Tokens, p.Identifier, p.Believed, p.Addresses)
		if err != nil {
			return err
		}
		defer rows.Close()
		found := false
		atStake = nil
		for rows.Next() {
			var a Account
			if err := rows.Scan(&v.Identifier, &v.Token, &v.Expires, &v.CreatedAt, &a.ID, &a.Provider, (*moment)(&a.CreatedAt)); err != nil {
				return err
			}
			if found = true; a.ID != 0 {
				atStake = append(atStake, a)
			}
		}
		if err := rows.Err(); err != nil || found {
			return err
		}
		return ErrNotFound
	})
	return v, atStake, err
}

// A MailedCode is what names the row of a code.
type MailedCode struct {
	Identifier string // that it was mailed to, as RequestVerification gave it
	ID         string // as requested
	Link       string // of the same mail, as stored
}

// token is that of c's row, without the count of tries.
func (c MailedCode) token() string {
	return "code:" + digitsOf(c.Identifier) + "x" + hexHash(c.ID) + ":" + c.Link
}

func hexHash(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}

// Tokens are the forms under which c may still be spent.
func (c MailedCode) Tokens(tries int) []string {
	forms := make([]string, tries)
	for i := range forms {
		forms[i] = c.token() + ":" + strconv.Itoa(i+1)
	}
	return forms
}

// maxTries is more than any configuration allows.
const maxTries = 9

// SpendCodeTry takes one try from a code and returns how many are left.
// ErrNotFound: the code is spent, over, or out of tries. The row is locked while
// it changes, so that parallel guesses each cost one.
func (s *Store) SpendCodeTry(ctx context.Context, c MailedCode) (left int, err error) {
	err = s.do(ctx, "spend code try", func(ctx context.Context) error {
		return s.pool.QueryRow(ctx, `
	UPDATE verification_tokens
	SET token = $1::text || ':' || (split_part(token, ':', 4)::int - 1), updated_at = now()
	WHERE token = ANY($2) AND expires > now()
	RETURNING split_part(token, ':', 4)::int`, c.token(), c.Tokens(maxTries)).Scan(&left)
	})
	return left, err
}

// RevokeVerification deletes the rows of p, and everything else that was mailed
// from here to the same address.
func (s *Store) RevokeVerification(ctx context.Context, p Proof) error {
	return s.do(ctx, "revoke verification", func(ctx context.Context) error {
		_, err := s.pool.Exec(ctx, `
	WITH named AS (
		SELECT id, identifier FROM verification_tokens
		WHERE token = ANY($1) AND identifier LIKE '%@%' AND ($2::varchar = '' OR identifier = $2::varchar)
	)`+sentTo("(SELECT DISTINCT identifier FROM named)")+`
	DELETE FROM verification_tokens WHERE id = ANY (ARRAY(SELECT id FROM named UNION ALL SELECT id FROM sent))`, p.Tokens, p.Identifier)
		return err
	})
}

// SignInByVerification spends p and signs in the user of the address that the row
// names, in any of p.Addresses, or a new one, in one statement. Of any number of
// concurrent uses exactly one succeeds; for the others, for tokens that are over,
// and where p.Ask has something to ask, it is ErrNotFound (security G-2, M-5).
//
// The first proof of an address ends whatever was attached to its user before
// by somebody who had not proven it: provider accounts, but for those of
// p.Believed and p.Keep, and sessions (L-4). Sessions stay only where every
// account is of p.Believed. Who keeps an account says whose it is, and not who
// began a session: that may have been somebody with an account that was unlinked
// since. Where sessions end, another statement looks for what began meanwhile.
//
// The user is locked first, as by whoever links an account, and then what was mailed
// to the address from here, in the order of its ids, before any of it goes: so that
// who does this at the same moment, or uses a link and the code of its mail, does not
// wait for the other until Postgres refuses one. Accounts go before sessions, as they
// are written by whoever signs in with one.
func (s *Store) SignInByVerification(ctx context.Context, p Proof, session NewSession) (out SignedIn, err error) {
	err = s.signIn(ctx, "sign in by verification", session, &out, func(ctx context.Context, conn *pgxpool.Conn) error {
		var n nullableSignedIn
		var created, cleared bool
		err := conn.QueryRow(ctx, `
	WITH named AS (
		SELECT id, identifier FROM verification_tokens v
		WHERE token = ANY($7) AND expires > now() AND identifier LIKE '%@%' AND ($8::varchar = '' OR identifier = $8::varchar)
			AND NOT ($12::bool AND EXISTS (SELECT`+accountsAtStake("v", "$10", "$9")+`))
	), held AS (
		SELECT id FROM users WHERE id = (
			SELECT id FROM users WHERE`+addressee("(SELECT "+spellingsOf("named", "$10")+" FROM named LIMIT 1)")+`
		) FOR UPDATE
	)`+sentTo("(SELECT DISTINCT identifier FROM named)")+`, mailed AS (
		SELECT id, token FROM verification_tokens
		WHERE id = ANY(ARRAY(SELECT id FROM named UNION ALL SELECT id FROM sent)) AND (SELECT count(*) FROM held) >= 0
		ORDER BY id FOR UPDATE
	), spent AS (
		DELETE FROM verification_tokens WHERE id = ANY(ARRAY(SELECT id FROM mailed WHERE token = ANY($7))) RETURNING id, identifier
	), known AS (
		SELECT u.id, u.name, u.email, u.email_verified, u.image, u.created_at, u.updated_at
		FROM users u WHERE u.id = (
			SELECT id FROM users WHERE`+addressee("(SELECT "+spellingsOf("spent", "$10")+" FROM spent LIMIT 1)")+`
		)
	), made AS (
		INSERT INTO users (email, email_verified) SELECT DISTINCT identifier, now() FROM spent WHERE NOT EXISTS (SELECT FROM known)
		RETURNING id, name, email, email_verified, image, created_at, updated_at
	), proven AS (
		UPDATE users u SET email_verified = now(), updated_at = now() FROM known k WHERE u.id = k.id AND k.email_verified IS NULL
		RETURNING u.id, u.email_verified, u.updated_at
	), detached AS (
		DELETE FROM accounts a USING proven
		WHERE a.user_id = proven.id AND a.provider <> ALL(coalesce($9::varchar[], '{}')) AND a.id <> ALL(coalesce($11::int[], '{}'))
		RETURNING a.id
	), cleared AS (
		SELECT id FROM proven p WHERE (SELECT count(*) FROM detached) >= 0
			AND NOT coalesce((SELECT bool_and(a.provider = ANY($9::varchar[])) FROM accounts a WHERE a.user_id = p.id), false)
	), forgotten AS (
		DELETE FROM verification_tokens WHERE EXISTS (SELECT FROM spent) AND id = ANY(ARRAY(SELECT id FROM mailed WHERE token <> ALL($7))) RETURNING id
	), who AS (
		SELECT id AS user_id FROM made UNION ALL SELECT id FROM known
	)`+begun+surplus+`, unproven AS (
		SELECT s.id FROM cleared CROSS JOIN LATERAL (SELECT id FROM sessions WHERE user_id = cleared.id OFFSET 0) s
	), ended AS (
		DELETE FROM sessions WHERE id = ANY (ARRAY(SELECT id FROM replaced UNION ALL SELECT id FROM surplus UNION ALL SELECT id FROM unproven))
		RETURNING session_token
	)`+told+s.outbox.byVerification+`
	SELECT EXISTS (SELECT FROM made), EXISTS (SELECT FROM cleared), u.id, coalesce(u.name, ''), coalesce(u.email, ''), coalesce(p.email_verified, u.email_verified), coalesce(u.image, ''),
		u.created_at, coalesce(p.updated_at, u.updated_at), b.*, (SELECT tokens FROM told)
	FROM begun b JOIN (SELECT * FROM made UNION ALL SELECT * FROM known) u ON u.id = b.user_id LEFT JOIN proven p ON p.id = u.id`,
			append(sessionArgs(session), p.Tokens, p.Identifier, p.Believed, p.Addresses, p.Keep, p.Ask)...).Scan(append([]any{&created, &cleared}, n.into()...)...)
		out = n.signedIn()
		s.haveEnded(n.ended)
		out.NewUser, out.Cleared = created, cleared
		return err
	})
	if err == nil && out.Cleared {
		err = s.clearAgain(context.WithoutCancel(ctx), out, p)
	}
	return out, err
}

// clearAgain ends what was begun for in's user while p was spent: an account that
// was linked just before is in nobody's sight until then, and its session too
// (L-4). What SignInByLinking, SignInByAccount and CreateAccessToken go by is gone
// by now, or seen here: the first and the last of them hold the user, so they are
// waited for before anybody looks, in a statement of its own. Who signs in with an
// account that is taken off may have done so in between, and may have gone on from
// there, so this is repeated until there is nothing to end.
func (s *Store) clearAgain(ctx context.Context, in SignedIn, p Proof) error {
	for {
		var detached int
		var ended []string
		err := s.do(ctx, "sign in by verification", func(ctx context.Context) error {
			var both pgx.Batch // which is one transaction
			both.Queue("SELECT FROM users WHERE id = $1 FOR UPDATE", in.User.ID)
			both.Queue(`
	WITH detached AS (
		DELETE FROM accounts
		WHERE user_id = $1 AND provider <> ALL(coalesce($3::varchar[], '{}')) AND id <> ALL(coalesce($4::int[], '{}'))
		RETURNING id
	), ended AS (
		DELETE FROM sessions WHERE user_id = $1 AND session_token <> $2 AND (SELECT count(*) FROM detached) >= 0 RETURNING session_token
	)`+told+`
	SELECT (SELECT count(*) FROM detached), tokens FROM told`, in.User.ID, in.Session.SessionToken, p.Believed, p.Keep).QueryRow(func(row pgx.Row) error {
				return row.Scan(&detached, &ended)
			})
			return s.pool.SendBatch(ctx, &both).Close()
		})
		s.haveEnded(ended)
		if err != nil || detached+len(ended) == 0 {
			return err
		}
	}
}
