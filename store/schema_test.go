package store_test

import (
	"os"
	osexec "os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gatepost/gatepost/migrations"
	"github.com/gatepost/gatepost/store"
	"github.com/gatepost/gatepost/store/devpg"
	"github.com/gatepost/gatepost/store/storetest"
)

// dump is the live DDL as pg_dump sees it, but for the schema of our own
// bookkeeping, comments, and the tokens that pg_dump makes up.
func dump(t *testing.T, url string) string {
	t.Helper()
	tool := "pg_dump"
	if bin, err := devpg.FindBinaries(); err == nil {
		if beside := filepath.Join(bin, "pg_dump"); osexec.Command(beside, "--version").Run() == nil {
			tool = beside // of the server's own version
		}
	}
	out, err := osexec.Command(tool, "--schema-only", "--exclude-schema=gatepost", url).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v: %s; it is in the package postgresql-client", tool, err, out)
	}
	var lines []string
	for line := range strings.Lines(string(out)) {
		if line = strings.TrimRight(line, "\n"); line != "" && !strings.HasPrefix(line, "--") && !strings.HasPrefix(line, `\restrict`) && !strings.HasPrefix(line, `\unrestrict`) {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "\n")
}

// The documentation's text is law: the migration is that text, and what it
// makes is what the text makes, also after use, in another schema, and where
// the tables were there before.
func TestLiveSchemaIsTheDocumentedOne(t *testing.T) {
	seed, err := os.ReadFile("testdata/schema.sql")
	if err != nil {
		t.Fatal(err)
	}
	if migration, err := migrations.Files.ReadFile("0001_four_tables.sql"); err != nil || string(migration) != string(seed) {
		t.Errorf("0001_four_tables.sql is not the documentation's text: %v", err)
	}
	plain := storetest.EmptyURL(t)
	exec(t, plain, string(seed))
	want := dump(t, plain)
	for _, thing := range []string{"CREATE TABLE public.verification_tokens", "CREATE UNIQUE INDEX token ON", "nextval('public.users_id_seq'", "accounts_pkey"} {
		if !strings.Contains(want, thing) {
			t.Fatalf("the dump has no %q:\n%s", thing, want)
		}
	}

	used, url := storetest.EmptyURL(t), storetest.EmptyURL(t)
	if _, err := store.Migrate(t.Context(), used, ""); err != nil {
		t.Fatal(err)
	}
	s := storetest.OpenWith(t, store.Options{URL: used})
	if err := everything(t.Context(), s, store.NewCache(s, 10, lifetimes), "ada"); err != nil {
		t.Error(err)
	}
	if got := dump(t, used); got != want {
		t.Errorf("after use:\n%s\nwant:\n%s", got, want)
	}

	if _, err := store.Migrate(t.Context(), url, "sign_in"); err != nil {
		t.Fatal(err)
	}
	elsewhere := strings.Replace(dump(t, url), "CREATE SCHEMA sign_in;\nALTER SCHEMA sign_in OWNER TO gatepost;\n", "", 1)
	if got := strings.ReplaceAll(elsewhere, "sign_in.", "public."); got != want {
		t.Errorf("in another schema:\n%s\nwant:\n%s", got, want)
	}

	if _, err := store.Migrate(t.Context(), plain, ""); err != nil {
		t.Fatal(err)
	}
	if got := dump(t, plain); got != want {
		t.Errorf("accepted tables were changed:\n%s\nwant:\n%s", got, want)
	}
	exec(t, plain, "ALTER TABLE users ALTER name SET DEFAULT ''")
	if dump(t, plain) == want {
		t.Error("a difference does not show")
	}
}
