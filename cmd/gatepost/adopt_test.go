package main

import (
	"fmt"
	"os"
	osexec "os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gatepost/gatepost/store"
	"github.com/gatepost/gatepost/store/storetest"
)

func site(t *testing.T, files ...string) string {
	t.Helper()
	url := storetest.EmptyURL(t)
	for _, file := range files {
		raw, err := os.ReadFile(filepath.Join("..", "..", "store", "testdata", "adopt", file+".sql"))
		if err != nil {
			t.Fatal(err)
		}
		exec(t, url, string(raw))
	}
	return url
}

// What the command says and how it ends, from the plan to the way back.
func TestAdopt(t *testing.T) {
	t.Parallel()
	v3, prisma, typeorm, odd := site(t, "v3_synchronized", "v3_rows"), site(t, "prisma"), site(t, "typeorm"), site(t, "v3_documented")
	exec(t, v3, "INSERT INTO users (name, email) VALUES ('Ada', 'ADA@example.org')")
	exec(t, odd, "ALTER TABLE users ADD admin boolean")
	file := filepath.Join(t.TempDir(), "before.json")
	role := "role_" + strings.ToLower(v3[strings.Index(v3, "gatepost_")+9:][:8])
	for _, tt := range []struct {
		url, args string
		status    int
		want      []string
	}{
		{storetest.EmptyURL(t), "", 0, []string{"nothing to adopt in public; «gatepost migrate»"}},
		{storetest.URL(t), "", 0, []string{"The tables in public are the documented ones."}},
		{odd, "", 1, []string{"users: 8 columns, want 7", "+ users column 8 admin boolean", "cannot be adopted as they are"}},
		{odd, "--apply", 1, []string{"users: 8 columns, want 7"}},
		{v3, "--fingerprint " + file, 0, []string{"are NextAuth v3's", "ALTER TABLE accounts RENAME COLUMN provider_type TO type;", "-- ACCESS EXCLUSIVE on accounts", "The risk: ", "The way back", "RENAME TO verification_requests;", "2 users have an address that nobody proved", "--merge 4=1 moves 0 accounts", "Nothing was changed"}},
		{v3, "--verify " + file, 0, []string{"the same as"}},
		{v3, "--apply --views --views-role " + role, 0, []string{"gatepost adopt --drop-views --apply", "Done, in one transaction.", "  4 users\n  2 accounts\n  3 sessions\n"}},
		{v3, "--verify " + file, 0, []string{"the same as"}},
		{v3, "--apply", 0, []string{"are the documented ones", "The way back of the adoption"}},
		{v3, "--drop-views --apply", 0, []string{"DROP ROLE", "Done"}},
		{v3, "--merge 4=2 --apply", 1, []string{"users 4 and 2 do not have the same address"}},
		{v3, "--merge 4=1 --apply", 0, []string{"DELETE FROM users WHERE id = 4;", "Done"}},
		{v3, "--verify " + file, 1, []string{"users: 4 rows before, 3 now", "not those of the fingerprint"}},
		{v3, "--verify /no/such", 1, []string{"no such file"}},
		{v3, "--merge x=1", 2, []string{"--merge"}},
		{prisma, "--apply", 0, []string{"are an Auth.js adapter's", "INSERT INTO users", "-- SHARE on User", "Done"}},
		{prisma, "", 0, []string{"are the documented ones"}},
		{typeorm, "", 1, []string{"GATEPOST_DATABASE_SCHEMA=sign_in gatepost adopt --from public"}},
	} {
		status, out := call(t, environ(tt.url), strings.Fields("adopt "+tt.args)...)
		for _, want := range tt.want {
			if status != tt.status || !strings.Contains(out, want) {
				t.Errorf("gatepost adopt %s: status %d, want %d; said\n%s\nwant %q", tt.args, status, tt.status, out, want)
			}
		}
	}
}

// The command is killed at any moment: nothing is half done, and done again it
// goes through.
func TestAdoptKilled(t *testing.T) {
	t.Parallel()
	url := site(t, "v3_synchronized")
	exec(t, url, "INSERT INTO users (name, email) SELECT 'n', n || '@example.org' FROM generate_series(1, 3000) n; INSERT INTO sessions (user_id, expires, session_token, access_token) SELECT n, now(), n, n FROM generate_series(1, 3000) n")
	before, err := store.TakeFingerprint(t.Context(), url, "", nil)
	if err != nil {
		t.Fatal(err)
	}
	command := func() *osexec.Cmd {
		cmd := osexec.Command(os.Args[0], "adopt", "--apply")
		cmd.Env = append(environ(url), "GATEPOST_AS_COMMAND=1", "PATH="+os.Getenv("PATH"))
		return cmd
	}
	back := func() {
		t.Helper()
		p, err := store.PlanAdoption(t.Context(), store.AdoptOptions{URL: url})
		if err != nil || p.WayBack == "" {
			t.Fatal(err, p.Dialect)
		}
		exec(t, url, p.WayBack)
	}
	start := time.Now()
	if out, err := command().CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	took := time.Since(start)
	back()
	outcomes := map[store.Dialect]int{}
	const rounds = 8
	for round := range rounds {
		cmd := command()
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(took * time.Duration(round) / 4) // the last are too late
		cmd.Process.Kill()
		cmd.Wait()
		// Whatever the server still does ends within the check interval.
		status, out := call(t, environ(url), "adopt", "--lock-timeout=20s", "--apply")
		if status != 0 {
			t.Fatalf("round %d: status %d: %s", round, status, out)
		}
		if strings.Contains(out, "Done") {
			outcomes[store.DialectShipped]++
		} else {
			outcomes[store.DialectDocumented]++
		}
		now, err := store.TakeFingerprint(t.Context(), url, "", nil)
		if err != nil {
			t.Fatal(err)
		}
		if diff := before.Diff(now); len(diff) > 0 {
			t.Fatal(fmt.Sprint(round, diff))
		}
		if err := store.CheckSchema(t.Context(), url, ""); err != nil {
			t.Fatal(err)
		}
		back()
	}
	if outcomes[store.DialectShipped] == 0 {
		t.Error("the command was never killed in time")
	}
	t.Logf("a command takes %s; found after the kill: %v", took, outcomes)
}
