package devpg_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/gatepost/gatepost/store"
	"github.com/gatepost/gatepost/store/devpg"
)

// folder is one that another user's Postgres may reach.
func folder(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "gatepost-devpg-")
	if err != nil {
		t.Fatal(err)
	}
	os.Chmod(dir, 0o755)
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func start(t *testing.T, dir string) *devpg.Server {
	t.Helper()
	s, err := devpg.Start(t.Context(), devpg.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func ready(t *testing.T, s *devpg.Server) {
	t.Helper()
	db, err := store.Open(context.Background(), store.Options{URL: s.URL()})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.Ready(t.Context()); err != nil {
		t.Error(err)
	}
}

// The data survives a stop; a second Start takes over what still runs.
func TestKeepsAndAdopts(t *testing.T) {
	dir := folder(t)
	first := start(t, dir)
	if _, err := store.Migrate(t.Context(), first.URL(), ""); err != nil {
		t.Fatal(err)
	}
	second := start(t, dir)
	ready(t, second)
	if err := second.Stop(); err != nil {
		t.Fatal(err)
	}
	first.Stop()
	third := start(t, dir)
	defer third.Stop()
	if err := store.CheckSchema(t.Context(), third.URL(), ""); err != nil {
		t.Errorf("after a restart: %v", err)
	}
}

// A lock that names another program, as after a crash of the machine, is no
// obstacle.
func TestRepairsStaleLock(t *testing.T) {
	dir := folder(t)
	s := start(t, dir)
	s.Stop()
	other := exec.Command("sleep", "60")
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { other.Process.Kill(); other.Wait() }()
	lock := strconv.Itoa(other.Process.Pid) + "\n" + filepath.Join(dir, "data") + "\n1700000000\n5432\n/tmp\n\n  0 0\nready   \n"
	if err := os.WriteFile(filepath.Join(dir, "data", "postmaster.pid"), []byte(lock), 0o600); err != nil {
		t.Fatal(err)
	}
	s = start(t, dir)
	defer s.Stop()
	ready(t, s)
}

func TestEphemeralLeavesNothing(t *testing.T) {
	s, err := devpg.Start(t.Context(), devpg.Options{Ephemeral: true})
	if err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	ready(t, s)
	if err := s.Stop(); err != nil || time.Since(begin) > 15*time.Second {
		t.Error(err)
	}
}
