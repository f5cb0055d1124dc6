package store_test

import (
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/gatepost/gatepost/migrations"
	"github.com/gatepost/gatepost/store"
	"github.com/gatepost/gatepost/store/storetest"
)

func TestMigrate(t *testing.T) {
	seed, err := migrations.Files.ReadFile("0001_four_tables.sql")
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	for _, tt := range []struct {
		name, before, want string
	}{
		{"empty database", "", ""},
		{"the documented tables are there", string(seed), ""},
		{"a further column", string(seed) + "ALTER TABLE users ADD note text", "+ users column 8 note text"},
		{"another default", string(seed) + "ALTER TABLE sessions ALTER updated_at SET DEFAULT '2020-01-01'", "- sessions column 7 updated_at"},
		{"an index missing", string(seed) + "DROP INDEX email", "- users index CREATE UNIQUE INDEX email ON users"},
		{"a trigger", string(seed) + "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'; CREATE TRIGGER g BEFORE INSERT ON users FOR EACH ROW EXECUTE FUNCTION f()", "+ users trigger g"},
		{"what NextAuth 3 shipped", strings.NewReplacer("verification_tokens", "verification_requests", " type VARCHAR", " provider_type VARCHAR", " provider VARCHAR", " provider_id VARCHAR").Replace(string(seed)), "- accounts column 4 type"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			url := storetest.EmptyURL(t)
			if tt.before != "" {
				exec(t, url, tt.before)
			}
			_, err := store.Migrate(ctx, url, "")
			if tt.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				if again, err := store.Migrate(ctx, url, ""); err != nil || len(again.Done) != 0 {
					t.Errorf("second run: %v, %v", again, err)
				}
				if err := store.CheckSchema(ctx, url, ""); err != nil {
					t.Error(err)
				}
				return
			}
			differs, ok := errors.AsType[*store.SchemaError](err)
			if !ok || differs.Missing || !strings.Contains(differs.Diff, tt.want) {
				t.Errorf("got %v, want %q in the difference", err, tt.want)
			}
			if query[bool](t, url, "SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = 'gatepost')") {
				t.Error("the refusal left something behind")
			}
		})
	}
}

func TestMigrateConcurrentlyAndElsewhere(t *testing.T) {
	url := storetest.EmptyURL(t)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if _, err := store.Migrate(t.Context(), url, "sign_in"); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	s := storetest.OpenWith(t, store.Options{URL: url, Schema: "sign_in"})
	if _, _, err := s.SignInByAccount(t.Context(), answer("google", "1", "", "1")); err != nil {
		t.Error(err)
	}
	if n := query[int](t, url, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"); n != 0 {
		t.Errorf("%d tables in public", n)
	}
}
