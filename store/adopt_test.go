package store_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	osexec "os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/gatepost/gatepost/store"
	"github.com/gatepost/gatepost/store/storetest"
)

// database is a new one with these files of testdata/adopt.
func database(t *testing.T, files ...string) string {
	t.Helper()
	url := storetest.EmptyURL(t)
	for _, file := range files {
		raw, err := os.ReadFile(filepath.Join("testdata", "adopt", file+".sql"))
		if err != nil {
			t.Fatal(err)
		}
		exec(t, url, string(raw))
	}
	return url
}

func planned(t *testing.T, o store.AdoptOptions) store.Plan {
	t.Helper()
	p, err := store.PlanAdoption(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func adopted(t *testing.T, o store.AdoptOptions) store.Fingerprint {
	t.Helper()
	_, f, err := store.Adopt(t.Context(), o, func(store.Plan) error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	return f
}

const everyRow = `SELECT jsonb_build_object(
	'users', (SELECT jsonb_agg(to_jsonb(r) ORDER BY id) FROM users r),
	'accounts', (SELECT jsonb_agg(to_jsonb(r) - 'provider_id' - 'provider_type' - 'provider' - 'type' ORDER BY id) FROM accounts r),
	'sessions', (SELECT jsonb_agg(to_jsonb(r) ORDER BY id) FROM sessions r))::text`

// What v3 shipped, either way it comes, becomes the documented schema to the
// letter with every row as it was, and the way back leads back to the letter.
func TestAdoptShippedV3(t *testing.T) {
	t.Parallel()
	for _, schema := range []string{"v3_documented", "v3_synchronized"} {
		t.Run(schema, func(t *testing.T) {
			t.Parallel()
			url := database(t, schema, "v3_rows")
			o := store.AdoptOptions{URL: url}
			before, rows := dump(t, url), query[string](t, url, everyRow)
			saved, err := store.TakeFingerprint(t.Context(), url, "", nil)
			if err != nil {
				t.Fatal(err)
			}
			p := planned(t, o)
			if p.Dialect != store.DialectShipped || len(p.Blockers) > 0 {
				t.Fatalf("%+v", p)
			}
			if dump(t, url) != before {
				t.Error("planning changed something")
			}
			after := adopted(t, o)
			if err := store.CheckSchema(t.Context(), url, ""); err != nil {
				t.Error(err)
			}
			if got := query[string](t, url, everyRow); got != rows {
				t.Errorf("got\n%s\nwant\n%s", got, rows)
			}
			if diff := saved.Diff(after); len(diff) > 0 {
				t.Error(diff)
			}
			if query[string](t, url, "SELECT provider || type FROM accounts WHERE id = 1") != "googleoauth" || query[string](t, url, "SELECT identifier FROM verification_tokens") != "new@example.org" {
				t.Error("the renamed columns hold something else")
			}
			again := planned(t, o)
			if again.Dialect != store.DialectDocumented || again.Changes() || again.WayBack == "" {
				t.Errorf("a second time: %s, %d steps", again.Dialect, len(again.Steps))
			}
			if report, err := store.Migrate(t.Context(), url, ""); err != nil || len(report.Done) > 0 {
				t.Error(report, err)
			}
			exec(t, url, again.WayBack)
			if got := dump(t, url); got != before {
				t.Errorf("the way back leads elsewhere:\n%s", lineDiff(before, got))
			}
			if got := query[string](t, url, everyRow); got != rows {
				t.Error("the way back changed rows")
			}
			adopted(t, o)
		})
	}
}

func lineDiff(a, b string) string {
	var out []string
	for _, side := range [][3]string{{"-", a, b}, {"+", b, a}} {
		for line := range strings.Lines(side[1]) {
			if !strings.Contains(side[2], line) {
				out = append(out, side[0]+line)
			}
		}
	}
	return strings.Join(out, "")
}

// What the plan prints is what is done: psql makes the same of it.
func TestPlanIsTheScript(t *testing.T) {
	t.Parallel()
	admin := storetest.EmptyURL(t)
	role := "script_" + query[string](t, admin, "SELECT substr(current_database(), 10, 8)")
	exec(t, admin, "CREATE ROLE "+role)
	var used []string
	t.Cleanup(func() {
		conn, err := pgx.Connect(context.Background(), admin)
		if err != nil {
			return
		}
		defer conn.Close(context.Background())
		for _, name := range used {
			conn.Exec(context.Background(), "DROP DATABASE "+name+" WITH (FORCE)")
		}
		conn.Exec(context.Background(), "DROP ROLE "+role)
	})
	for _, tt := range []struct{ files, schema string }{{"v3_synchronized", ""}, {"v3_documented", ""}, {"prisma", ""}, {"typeorm", "sign_in"}} {
		by, self := database(t, tt.files), database(t, tt.files)
		used = append(used, query[string](t, by, "SELECT current_database()"), query[string](t, self, "SELECT current_database()"))
		script := planned(t, store.AdoptOptions{URL: by, Schema: tt.schema, Views: store.ViewsOptions{Make: strings.HasPrefix(tt.files, "v3"), Role: role}}).Script()
		cmd := osexec.Command("psql", "-v", "ON_ERROR_STOP=1", "-q", by)
		cmd.Stdin = strings.NewReader(script)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v %s\n%s", tt.files, err, out, script)
		}
		adopted(t, store.AdoptOptions{URL: self, Schema: tt.schema, Views: store.ViewsOptions{Make: strings.HasPrefix(tt.files, "v3"), Role: role}})
		if diff := lineDiff(dump(t, by), dump(t, self)); diff != "" {
			t.Errorf("%s: %s", tt.files, diff)
		}
	}
}

// The adapters' tables are copied and left alone; ids, tokens and moments
// arrive, and a second copy of the same rows comes out the same.
func TestAdoptByCopying(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ adapter, schema, users string }{
		{"pg_adapter", "sign_in", "7 ada@example.org, 9 bob@example.org, 12 -"},
		{"prisma", "public", "1 ada@example.org, 2 bob@example.org, 3 cy@example.org"},
		{"prisma", "sign_in", "1 ada@example.org, 2 bob@example.org, 3 cy@example.org"},
		{"v3_to_copy", "sign_in", "1 ada@example.org, 2 bob@example.org, 3 -"},
		{"prisma_mapped", "sign_in", "1 ada@example.org, 2 bob@example.org, 3 -"},
		{"typeorm", "Sign in", "1 ada@example.org, 2 bob@example.org, 3 -"},
	} {
		t.Run(tt.adapter+" to "+tt.schema, func(t *testing.T) {
			t.Parallel()
			url := database(t, tt.adapter)
			o := store.AdoptOptions{URL: url, Schema: tt.schema, From: "public"}
			before := dump(t, url)
			if p := planned(t, o); p.Dialect != store.DialectCamel || len(p.Blockers) > 0 {
				t.Fatalf("%s %v %s", p.Dialect, p.Blockers, p.Difference)
			}
			adopted(t, o)
			if err := store.CheckSchema(t.Context(), url, tt.schema); err != nil {
				t.Error(err)
			}
			for what, q := range map[string][2]string{
				"users":       {"SELECT string_agg(id || ' ' || coalesce(email, '-'), ', ' ORDER BY id) FROM users", tt.users},
				"verified":    {"SELECT string_agg(to_char(email_verified AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.MS'), ' ') FROM users", "2026-02-03 04:05:06.789"},
				"compound_id": {"SELECT compound_id FROM accounts WHERE provider = 'github'", "2db75fb4d7a8e3005aca09c643b4e6f40142ddcfc18c675509988c1b111d0dcf"},
				"account":     {"SELECT string_agg(concat_ws(' ', u.name, type, provider, provider_account_id, access_token, extract(epoch FROM access_token_expires)::bigint), ', ' ORDER BY a.id) FROM accounts a JOIN users u ON u.id = user_id", "Ada oauth github 12345 at 1770000000, Bob oidc google sub"},
				"sessions":    {"SELECT string_agg(concat_ws(' ', u.name, session_token, (expires AT TIME ZONE 'UTC')::date, length(s.access_token)), ', ' ORDER BY s.id) FROM sessions s JOIN users u ON u.id = user_id", "Ada token-of-ada 2099-01-01 64, Bob token-of-bob 2099-01-02 64"},
				"links":       {"SELECT concat_ws(' ', identifier, token, (expires AT TIME ZONE 'UTC')::date) FROM verification_tokens", "new@example.org hash 2099-01-01"},
				"next id":     {"SELECT (nextval('users_id_seq') > (SELECT max(id) FROM users))::text", "true"},
			} {
				if got := query[string](t, in(url, tt.schema), q[0]); got != q[1] {
					t.Errorf("%s: %q, want %q", what, got, q[1])
				}
			}
			if n := query[int](t, in(url, tt.schema), "SELECT count(DISTINCT access_token) FROM sessions"); n != 2 {
				t.Errorf("%d access tokens", n)
			}
			if p := planned(t, o); p.Dialect != store.DialectDocumented || p.Changes() {
				t.Errorf("a second time: %s", p.Script())
			}
			ids := "SELECT string_agg(source_id || '=' || user_id, ' ' ORDER BY user_id) FROM gatepost.adopted_users"
			first := query[string](t, url, ids)
			exec(t, url, planned(t, o).WayBack)
			if diff := lineDiff(before, strings.NewReplacer("CREATE SCHEMA sign_in;\n", "", "ALTER SCHEMA sign_in OWNER TO gatepost;\n", "", "CREATE SCHEMA \"Sign in\";\n", "", "ALTER SCHEMA \"Sign in\" OWNER TO gatepost;\n", "").Replace(dump(t, url))); diff != "" {
				t.Errorf("after the way back: %s", diff)
			}
			adopted(t, o)
			if again := query[string](t, url, ids); again != first {
				t.Errorf("ids %s, and then %s", first, again)
			}
		})
	}
}

// in is url with that search_path.
func in(url, schema string) string {
	return url + "&search_path=" + strings.ReplaceAll(`%22`+schema+`%22`, " ", "%20")
}

// Anything else is said and left alone.
func TestAdoptRefuses(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, files, sql string
		o                store.AdoptOptions
		dialect          store.Dialect
		want             string
	}{
		{"nothing", "", "", store.AdoptOptions{}, store.DialectNone, ""},
		{"a column more", "v3_documented", "ALTER TABLE users ADD admin boolean", store.AdoptOptions{}, store.DialectUnknown, "users: 8 columns, want 7"},
		{"a way out", "v3_documented", "ALTER TABLE users ADD admin boolean", store.AdoptOptions{}, store.DialectUnknown, "copy them, as they are, into another schema"},
		{"another type", "v3_documented", "ALTER TABLE users ALTER id TYPE bigint", store.AdoptOptions{}, store.DialectUnknown, "id is bigint, want integer"},
		{"a foreign key", "v3_documented", "ALTER TABLE sessions ADD CONSTRAINT fk FOREIGN KEY (user_id) REFERENCES users (id)", store.AdoptOptions{}, store.DialectUnknown, "constraint fk FOREIGN KEY"},
		{"an index more", "v3_documented", "CREATE INDEX mine ON sessions (expires)", store.AdoptOptions{}, store.DialectUnknown, "index mine"},
		{"a trigger", "v3_documented", "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN new; END'; CREATE TRIGGER mine BEFORE INSERT ON users FOR EACH ROW EXECUTE FUNCTION f()", store.AdoptOptions{}, store.DialectUnknown, "trigger mine"},
		{"both tables", "v3_documented", "CREATE TABLE verification_tokens (id int)", store.AdoptOptions{}, store.DialectUnknown, "there are both"},
		{"too long", "v3_synchronized", "INSERT INTO users (name) VALUES (repeat('x', 256))", store.AdoptOptions{}, store.DialectShipped, "users.name: 1 values are longer"},
		{"no room", "typeorm", "", store.AdoptOptions{}, store.DialectCamel, "GATEPOST_DATABASE_SCHEMA=sign_in gatepost adopt --from public"},
		{"an address twice", "pg_adapter", `INSERT INTO users (id, email) VALUES (70, 'bob@example.org')`, store.AdoptOptions{Schema: "sign_in"}, store.DialectCamel, "1 addresses that two users have"},
		{"an account twice", "pg_adapter", `INSERT INTO accounts ("userId", type, provider, "providerAccountId") VALUES (9, 'oauth', 'github', '12345')`, store.AdoptOptions{Schema: "sign_in"}, store.DialectCamel, "1 accounts that are there twice"},
		{"an account without an id", "pg_adapter", `ALTER TABLE accounts ALTER "providerAccountId" DROP NOT NULL; UPDATE accounts SET "providerAccountId" = NULL WHERE "userId" = 9`, store.AdoptOptions{Schema: "sign_in"}, store.DialectCamel, "1 accounts without a type, a provider or an id there"},
		{"a long provider", "pg_adapter", `ALTER TABLE accounts ALTER provider TYPE text; UPDATE accounts SET provider = repeat('a', 256) WHERE "userId" = 9`, store.AdoptOptions{Schema: "sign_in"}, store.DialectCamel, "1 accounts with a type or provider longer than 255"},
		{"a session without an end", "prisma", `ALTER TABLE "Session" ALTER expires DROP NOT NULL; UPDATE "Session" SET expires = NULL`, store.AdoptOptions{Schema: "sign_in"}, store.DialectCamel, "sessions without a token or an end"},
		{"a long token of a short address", "pg_adapter", `INSERT INTO verification_token VALUES ('z', '2099-01-01', repeat('a', 256))`, store.AdoptOptions{Schema: "sign_in"}, store.DialectCamel, "1 mailed links with an address or token longer than 255"},
		{"a mailed link without an end", "pg_adapter", `ALTER TABLE verification_token ALTER expires DROP NOT NULL; UPDATE verification_token SET expires = NULL`, store.AdoptOptions{Schema: "sign_in"}, store.DialectCamel, "1 mailed links without an address, a token or an end"},
		{"a user without an id", "pg_adapter", `ALTER TABLE users DROP CONSTRAINT users_pkey, ALTER id DROP NOT NULL; UPDATE users SET id = NULL WHERE id = 9`, store.AdoptOptions{Schema: "sign_in"}, store.DialectCamel, "1 users without an id"},
		{"a user's id twice", "pg_adapter", `ALTER TABLE users DROP CONSTRAINT users_pkey; INSERT INTO users (id) VALUES (7)`, store.AdoptOptions{Schema: "sign_in"}, store.DialectCamel, "1 users with an id that another has"},
		{"no such column", "prisma", `ALTER TABLE "Session" DROP expires`, store.AdoptOptions{Schema: "sign_in"}, store.DialectNone, "has no column like expires"},
		{"no twins", "v3_documented", "", store.AdoptOptions{Merge: []store.Merge{{User: 1, Into: 2}}}, store.DialectShipped, "do not have the same address"},
		{"our own role", "v3_documented", "", store.AdoptOptions{Views: store.ViewsOptions{Only: true, Role: "gatepost"}}, store.DialectShipped, "gatepost is the role of this connection"},
		{"somebody's schema", "v3_documented", "CREATE SCHEMA nextauth_v3", store.AdoptOptions{Views: store.ViewsOptions{Make: true}}, store.DialectShipped, "nextauth_v3 is there and not ours"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			url := storetest.EmptyURL(t)
			if tt.files != "" {
				url = database(t, tt.files)
			}
			exec(t, url, tt.sql)
			before := dump(t, url)
			tt.o.URL = url
			p := planned(t, tt.o)
			if said := strings.Join(append(append(p.Blockers, p.Notes...), p.Difference), "\n"); p.Dialect != tt.dialect || !strings.Contains(said, tt.want) {
				t.Errorf("%s: %s", p.Dialect, said)
			}
			if _, _, err := store.Adopt(t.Context(), tt.o, func(store.Plan) error { return nil }); !errors.Is(err, store.ErrNotAdoptable) {
				t.Errorf("adopted: %v", err)
			}
			if dump(t, url) != before {
				t.Error("something was changed")
			}
		})
	}
}

// A lock that somebody holds is waited for no longer than asked, and nothing is
// half done.
func TestAdoptIsPolite(t *testing.T) {
	t.Parallel()
	url := database(t, "v3_synchronized", "v3_rows")
	before := dump(t, url)
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	for _, hold := range []string{"LOCK verification_requests IN ACCESS SHARE MODE", "SELECT pg_advisory_xact_lock(7283460112344)"} {
		if _, err := conn.Exec(t.Context(), "BEGIN; "+hold); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		_, _, err := store.Adopt(t.Context(), store.AdoptOptions{URL: url, LockTimeout: 100 * time.Millisecond}, func(store.Plan) error { return nil })
		if !errors.Is(err, store.ErrBusy) || time.Since(start) > 2*time.Second {
			t.Errorf("%s: %v after %s", hold, err, time.Since(start))
		}
		if _, err := conn.Exec(t.Context(), "ROLLBACK"); err != nil {
			t.Fatal(err)
		}
	}
	if dump(t, url) != before {
		t.Error("something was changed")
	}
}

// v3's own statements go on working through the views, before and after the
// tables change, with a role that may do nothing else.
func TestAdoptViews(t *testing.T) {
	t.Parallel()
	for _, schema := range []string{"v3_documented", "v3_synchronized"} {
		t.Run(schema, func(t *testing.T) {
			t.Parallel()
			url := database(t, schema, "v3_rows")
			role := "site_" + schema + "_" + query[string](t, url, "SELECT substr(current_database(), 10, 8)")
			o := store.AdoptOptions{URL: url, Views: store.ViewsOptions{Only: true, Schema: "old names", Role: role}}
			before := dump(t, url)
			site := strings.Replace(url, "user=gatepost", "user="+role, 1)
			signIn := func(n string) {
				t.Helper()
				exec(t, site, `INSERT INTO "users"("name", "email", "email_verified", "image", "created_at", "updated_at") VALUES ('`+n+`', '`+n+`@example.org', DEFAULT, NULL, DEFAULT, DEFAULT) RETURNING "id"`)
				exec(t, site, `INSERT INTO "accounts"("compound_id", "user_id", "provider_type", "provider_id", "provider_account_id", "created_at") SELECT '`+n+`', id, 'oauth', 'github', '`+n+`', CURRENT_TIMESTAMP FROM users WHERE name = '`+n+`'`)
				exec(t, site, `INSERT INTO verification_requests (identifier, token, expires) VALUES ('a', '`+n+`', now())`)
				exec(t, site, `UPDATE verification_requests SET expires = now() WHERE token = '`+n+`'; DELETE FROM verification_requests WHERE token = '`+n+`'`)
			}
			adopted(t, o)
			signIn("one")
			if p := planned(t, o); p.Changes() {
				t.Error("views are made twice")
			}
			o.Views.Only, o.Views.Role = false, ""
			adopted(t, o)
			if err := store.CheckSchema(t.Context(), url, ""); err != nil {
				t.Error(err)
			}
			signIn("two")
			if n := query[int](t, url, "SELECT count(*) FROM accounts WHERE provider = 'github' AND type = 'oauth'"); n != 2 {
				t.Errorf("%d accounts", n)
			}
			conn, err := pgx.Connect(t.Context(), site)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := conn.Exec(t.Context(), "SELECT FROM public.users"); err == nil {
				t.Error("the role reads the tables themselves")
			}
			conn.Close(t.Context())
			o.Views.Drop = true
			adopted(t, o)
			if query[bool](t, url, "SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1) OR to_regnamespace('\"old names\"') IS NOT NULL", role) {
				t.Error("views or role are left")
			}
			if planned(t, o).Changes() {
				t.Error("views are dropped twice")
			}
			exec(t, url, planned(t, store.AdoptOptions{URL: url}).WayBack)
			if got := dump(t, url); got != before {
				t.Error(lineDiff(before, got))
			}
		})
	}
}

// Whoever reads through the views all the while, each statement parsed anew as
// TypeORM's are, and whoever writes, gets every answer and no other: what waits
// for the change finds the new views by their names.
func TestAdoptUnderReaders(t *testing.T) {
	t.Parallel()
	for _, schema := range []string{"v3_documented", "v3_synchronized"} {
		t.Run(schema, func(t *testing.T) {
			t.Parallel()
			url := database(t, schema, "v3_rows")
			role := "site_" + schema + "_" + query[string](t, url, "SELECT substr(current_database(), 10, 8)")
			o := store.AdoptOptions{URL: url, Views: store.ViewsOptions{Only: true, Schema: "old names", Role: role}}
			adopted(t, o)
			token := query[string](t, url, "SELECT session_token FROM sessions WHERE id = 1")
			over, asked := make(chan struct{}), atomic.Int32{}
			var wg sync.WaitGroup
			for i := range 8 {
				config, err := pgx.ParseConfig(strings.Replace(url, "user=gatepost", "user="+role, 1))
				if err != nil {
					t.Fatal(err)
				}
				config.DefaultQueryExecMode = pgx.QueryExecModeExec
				conn, err := pgx.ConnectConfig(t.Context(), config)
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { conn.Close(context.Background()) })
				session := func(ctx context.Context) (err error) {
					var user, email string
					if err = conn.QueryRow(ctx, `SELECT "Session"."user_id" AS "Session_user_id" FROM "sessions" "Session" WHERE "Session"."session_token" = $1 LIMIT 1`, token).Scan(&user); err == nil {
						err = conn.QueryRow(ctx, `SELECT "User"."email" AS "User_email" FROM "users" "User" WHERE "User"."id" IN ($1)`, user).Scan(&email)
					}
					return err
				}
				signIn := func(ctx context.Context) error {
					n := fmt.Sprintf("%d %d", i, asked.Load())
					for _, sql := range []string{
						"START TRANSACTION", `INSERT INTO "accounts"("compound_id", "user_id", "provider_type", "provider_id", "provider_account_id", "created_at") VALUES ('` + n + `', 1, 'oauth', 'github', '` + n + `', CURRENT_TIMESTAMP) RETURNING "id"`, "COMMIT",
						`DELETE FROM "accounts" WHERE "compound_id" = '` + n + `'`,
						"START TRANSACTION", `UPDATE "sessions" SET "expires" = "expires", "updated_at" = CURRENT_TIMESTAMP WHERE "id" IN (1)`, "COMMIT",
						`SELECT FROM "verification_requests" WHERE "identifier" = 'x' AND "token" = 'y' LIMIT 1`,
					} {
						if _, err := conn.Exec(ctx, sql); err != nil {
							return fmt.Errorf("%s: %w", sql, err)
						}
					}
					return nil
				}
				wg.Go(func() {
					for {
						select {
						case <-over:
							return
						default:
						}
						ask := session
						if i%4 == 3 {
							ask = signIn
						}
						if err := ask(t.Context()); err != nil {
							t.Errorf("reader %d: %v", i, err)
							return
						}
						asked.Add(1)
					}
				})
			}
			o.Views.Only, o.Views.Role = false, ""
			eventually(t, "they ask", func() bool { return asked.Load() > 50 })
			adopted(t, o)
			after := asked.Load()
			eventually(t, "they ask on", func() bool { return asked.Load() > after+50 })
			close(over)
			wg.Wait()
			if err := store.CheckSchema(t.Context(), url, ""); err != nil {
				t.Error(err)
			}
		})
	}
}

// An account with a compound_id of somebody's own is one that v3 finds and we do
// not: the plan says so, with the SQL that makes it right.
func TestAdoptTellsOfOtherCompoundIDs(t *testing.T) {
	t.Parallel()
	for _, documented := range []bool{false, true} {
		url := database(t, "v3_documented", "v3_rows")
		if documented {
			adopted(t, store.AdoptOptions{URL: url})
		}
		if notes := planned(t, store.AdoptOptions{URL: url}).Notes; len(notes) > 0 {
			t.Errorf("documented %v: %q", documented, notes)
		}
		right := query[string](t, url, "SELECT string_agg(compound_id, ' ' ORDER BY id) FROM accounts")
		exec(t, url, "UPDATE accounts SET compound_id = 'imported-1' WHERE id = 1")
		notes := planned(t, store.AdoptOptions{URL: url}).Notes
		if len(notes) != 1 || !strings.HasPrefix(notes[0], "1 accounts have a compound_id that is not") {
			t.Fatalf("documented %v: %q", documented, notes)
		}
		exec(t, url, notes[0][strings.Index(notes[0], "UPDATE "):])
		if got := query[string](t, url, "SELECT string_agg(compound_id, ' ' ORDER BY id) FROM accounts"); got != right {
			t.Errorf("documented %v: %s, want %s", documented, got, right)
		}
		if notes := planned(t, store.AdoptOptions{URL: url}).Notes; len(notes) > 0 {
			t.Errorf("documented %v: afterwards %q", documented, notes)
		}
	}
}

// Users whose addresses differ by capitals are told apart, and merged only when
// somebody says so: accounts move, sessions end, and the way back knows both.
func TestAdoptTwins(t *testing.T) {
	t.Parallel()
	url := database(t, "v3_documented", "v3_rows")
	exec(t, url, "INSERT INTO users (name, email, email_verified) VALUES ('Ada too', 'Ada@Example.org', now()), ('Di', 'Di@example.org', NULL)")
	exec(t, url, "INSERT INTO sessions (user_id, expires, session_token, access_token) VALUES (4, '2099-01-01', 'fourth', 'fourth')")
	p := planned(t, store.AdoptOptions{URL: url})
	if len(p.Twins) != 1 || len(p.Twins[0].Users) != 2 || p.Twins[0].Users[0].ID != "4" || p.Twins[0].Users[1].Accounts != 1 || p.Unverified.Count != 2 {
		t.Errorf("%+v %+v", p.Twins, p.Unverified)
	}
	adopted(t, store.AdoptOptions{URL: url})
	people := "SELECT string_agg(concat_ws(' ', id, name, email), ', ' ORDER BY id) || '; ' || (SELECT string_agg(id || '>' || user_id, ' ' ORDER BY id) FROM accounts) FROM users"
	before := query[string](t, url, people)
	adopted(t, store.AdoptOptions{URL: url, Merge: []store.Merge{{User: 1, Into: 4}}, LowerCase: true})
	if got, want := query[string](t, url, people), "2 bob@example.org, 3 No address, 4 Ada too ada@example.org, 5 Di di@example.org; 1>4 2>3"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if n := query[int](t, url, "SELECT count(*) FROM sessions WHERE user_id IN (1, 4)"); n != 1 {
		t.Errorf("%d sessions", n)
	}
	exec(t, url, planned(t, store.AdoptOptions{URL: url}).WayBack)
	if got := query[string](t, url, people); got != before {
		t.Errorf("after the way back %s\nwant %s", got, before)
	}
}

// A fingerprint sees a changed row, and not those that came later.
func TestFingerprint(t *testing.T) {
	t.Parallel()
	url := database(t, "v3_documented", "v3_rows")
	file := filepath.Join(t.TempDir(), "before.json")
	f, err := store.TakeFingerprint(t.Context(), url, "", nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Save(file); err != nil {
		t.Fatal(err)
	}
	if f, err = store.LoadFingerprint(file); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ sql, want string }{
		{"INSERT INTO users (name) VALUES ('later')", ""},
		{"UPDATE sessions SET expires = now()", ""},
		{"UPDATE sessions SET session_token = 'x' WHERE id = 2", "sessions: 3 rows as before, but not the same"},
		{"DELETE FROM accounts WHERE id = 1", "accounts: 2 rows before, 1 now"},
	} {
		exec(t, url, tt.sql)
		now, err := store.TakeFingerprint(t.Context(), url, "", &f)
		if err != nil {
			t.Fatal(err)
		}
		if diff := strings.Join(f.Diff(now), "; "); !strings.Contains(diff, tt.want) || tt.want == "" && diff != "" {
			t.Errorf("%s: %q, want %q", tt.sql, diff, tt.want)
		}
	}
}
