package devpg

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gatepost/gatepost/store"
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

func start(t *testing.T, dir string) *Server {
	t.Helper()
	s, err := Start(t.Context(), Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Stop() })
	return s
}

func ready(t *testing.T, s *Server) {
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

func write(t *testing.T, name, content string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// The data survives whatever ends the server: a stop, a parent that is gone with
// the server still running, the server killed, both killed.
func TestKeepsData(t *testing.T) {
	dir := folder(t)
	s := start(t, dir)
	if _, err := store.Migrate(t.Context(), s.URL(), ""); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		end  func()
	}{
		{"stopped", func() { s.Stop() }},
		{"the parent is gone", func() { s.claim.Close() }},
		{"the server was killed", func() { s.process.Kill(); s.Stop() }},
		{"both are gone", func() { s.process.Kill(); s.claim.Close() }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.end()
			s = start(t, dir)
			ready(t, s)
			if err := store.CheckSchema(t.Context(), s.URL(), ""); err != nil {
				t.Error(err)
			}
		})
	}
	if err := s.Stop(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(s.socket); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket's folder is left: %v", err)
	}
}

// Two processes never share a folder: the second would stop the other's server.
func TestFolderIsInUse(t *testing.T) {
	dir := folder(t)
	s := start(t, dir)
	if _, err := Start(t.Context(), Options{Dir: dir}); !errors.Is(err, ErrInUse) {
		t.Errorf("got %v", err)
	}
	ready(t, s)
}

// A lock names a process. It may be another program by now, one that nobody
// waits for, or the Postgres of somebody else, which must be left alone.
func TestStaleLocks(t *testing.T) {
	dir := folder(t)
	start(t, dir).Stop()
	program := exec.Command("sleep", "60")
	if err := program.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { program.Process.Kill(); program.Wait() }()
	zombie := exec.Command("true")
	if err := zombie.Start(); err != nil {
		t.Fatal(err)
	}
	defer zombie.Wait()
	other := start(t, folder(t))
	for name, pid := range map[string]int{"nobody": 1 << 22, "another program": program.Process.Pid, "a zombie": zombie.Process.Pid, "another Postgres": other.process.Pid} {
		t.Run(name, func(t *testing.T) {
			write(t, filepath.Join(dir, "data", "postmaster.pid"), strconv.Itoa(pid)+"\n"+filepath.Join(dir, "data")+"\n1700000000\n5432\n/tmp\n\n  0 0\nready   \n")
			s := start(t, dir)
			ready(t, s)
			if err := s.Stop(); err != nil {
				t.Error(err)
			}
		})
	}
	ready(t, other)
	if err := program.Process.Signal(syscall.Signal(0)); err != nil {
		t.Error("the other program was ended")
	}
}

// Nothing in the environment changes where and how it runs.
func TestOddEnvironment(t *testing.T) {
	far := filepath.Join(folder(t), strings.Repeat("t", 90))
	if err := os.Mkdir(far, 0o777); err != nil {
		t.Fatal(err)
	}
	dir := folder(t)
	for name, v := range map[string]string{"LC_ALL": "xx_YY.UTF-8", "LANG": "nonsense", "PGPORT": "1", "PGDATA": "/nope", "PGSSLMODE": "verify-full", "TMPDIR": far} {
		t.Setenv(name, v)
	}
	for range 2 {
		s := start(t, dir)
		ready(t, s)
		s.Stop()
	}
}

// initdb that was killed leaves nothing that is taken for a cluster.
func TestKilledWhileCreating(t *testing.T) {
	dir := folder(t)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if s, err := Start(ctx, Options{Dir: dir}); err == nil {
		s.Stop()
		t.Fatal("initdb took less than 50 ms")
	}
	ready(t, start(t, dir))
}

func TestRefusals(t *testing.T) {
	for _, tt := range []struct {
		name    string
		prepare func(dir string) string // gives the folder to start in
		want    string
	}{
		{"data of another version", func(dir string) string {
			os.Mkdir(filepath.Join(dir, "data"), 0o700)
			write(t, filepath.Join(dir, "data", "PG_VERSION"), "9\n")
			return dir
		}, "of Postgres 9, which is not installed"},
		{"something else in its place", func(dir string) string {
			os.Mkdir(filepath.Join(dir, "data"), 0o700)
			write(t, filepath.Join(dir, "data", "letter.txt"), "dear")
			return dir
		}, "data"},
		{"a broken cluster", func(dir string) string {
			start(t, dir).Stop()
			os.Remove(filepath.Join(dir, "data", "global", "pg_control"))
			return dir
		}, "pg_control"},
		{"a file", func(dir string) string {
			write(t, filepath.Join(dir, "x"), "")
			return filepath.Join(dir, "x")
		}, "not a directory"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, err := Start(t.Context(), Options{Dir: tt.prepare(folder(t))})
			if err == nil {
				s.Stop()
				t.Fatal("started")
			}
			if !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

// A link that somebody else put in our way is not followed: root would give
// away what it leads to. What is ours may be a link.
func TestLinksInTheWay(t *testing.T) {
	dir := folder(t)
	link := filepath.Join(dir, "link")
	if err := os.Symlink(dir, link); err != nil {
		t.Fatal(err)
	}
	us := account{-1, -1}
	if err := us.mkdir(link, 0o755); err != nil {
		t.Errorf("our own: %v", err)
	}
	if os.Geteuid() != 0 {
		if err := us.mkdir("/proc/1/cwd", 0o755); err == nil {
			t.Error("root's is taken for ours")
		}
		return
	}
	if err := os.Lchown(link, 65534, 65534); err != nil {
		t.Fatal(err)
	}
	if err := us.mkdir(link, 0o755); err == nil || !strings.Contains(err.Error(), "somebody else") {
		t.Errorf("another's link: %v", err)
	}
	secret := filepath.Join(dir, "secret")
	os.Mkdir(secret, 0o700)
	if err := (account{65534, 65534}).reaches(filepath.Join(secret, "db")); err == nil || !strings.Contains(err.Error(), secret) {
		t.Errorf("a folder that the server's user cannot enter: %v", err)
	}
}

func TestEphemeralLeavesNothing(t *testing.T) {
	s, err := Start(t.Context(), Options{Ephemeral: true})
	if err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	ready(t, s)
	if err := s.Stop(); err != nil || time.Since(begin) > 15*time.Second {
		t.Error(err)
	}
	for _, left := range []string{s.remove, s.socket} {
		if _, err := os.Stat(left); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is left: %v", left, err)
		}
	}
}

func TestMajorVersion(t *testing.T) {
	for v, want := range map[string]string{"postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n": "15", "postgres (PostgreSQL) 18.4\n": "18", "postgres (PostgreSQL) 19beta1\n": "19", "nonsense": ""} {
		if got := majorVersion(v); got != want {
			t.Errorf("%q: %q, want %q", v, got, want)
		}
	}
}
