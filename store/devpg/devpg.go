// Package devpg runs a private Postgres for development and tests from the
// server binaries that the machine has. It listens on a Unix socket only, works
// as root (by becoming postgres or nobody) and as a user, stops with its parent,
// takes over or repairs what a kill -9 left, and never deletes data.
package devpg

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// ErrNoBinaries means that no Postgres server is installed. The message says
// how to install one.
var ErrNoBinaries = errors.New(`no Postgres server found on this machine; install one:
  Debian, Ubuntu   apt-get install postgresql
  Fedora           dnf install postgresql-server
  Alpine           apk add postgresql
  macOS            brew install postgresql
or name the folder of initdb and postgres in GATEPOST_PG_BIN`)

// Options say where the cluster lives.
type Options struct {
	Dir       string    // kept between runs; every ancestor must be searchable by others when run as root
	Ephemeral bool      // a folder of its own in memory or the temporary directory, removed by Stop; fsync off
	Log       io.Writer // the server's stderr; nil drops it
}

// A Server is a running Postgres.
type Server struct {
	socket  string
	data    string
	remove  string // "" when the data is kept
	process *os.Process
	exited  chan struct{} // closed when our child is gone; nil for an adopted one
}

// URL is the DSN of the database postgres, as the superuser gatepost.
func (s *Server) URL() string {
	return "postgres:///postgres?user=gatepost&host=" + s.socket
}

// Start runs the cluster, creating it first where there is none.
func Start(ctx context.Context, o Options) (*Server, error) {
	bin, err := FindBinaries()
	if err != nil {
		return nil, err
	}
	owner, err := serverUser()
	if err != nil {
		return nil, err
	}
	s := &Server{}
	if o.Ephemeral {
		if o.Dir, err = os.MkdirTemp(scratch(), "gatepost-pg-"); err != nil {
			return nil, err
		}
		s.remove = o.Dir
	}
	if o.Dir, err = filepath.Abs(o.Dir); err != nil {
		return nil, err
	}
	s.data = filepath.Join(o.Dir, "data")
	if err := owner.mkdir(o.Dir, 0o755); err != nil {
		return nil, err
	}
	// Socket paths are limited to 107 bytes, so they cannot follow Dir.
	if s.socket, err = socketDir(s.data); err != nil {
		return nil, err
	}
	if err := owner.mkdir(s.socket, 0o700); err != nil {
		return nil, err
	}
	if err := s.initialise(ctx, bin, owner, o.Ephemeral); err != nil {
		return nil, err
	}
	if err := s.run(ctx, bin, owner, o); err != nil {
		s.cleanUp()
		return nil, err
	}
	return s, nil
}

func (s *Server) initialise(ctx context.Context, bin string, owner account, ephemeral bool) error {
	if _, err := os.Stat(filepath.Join(s.data, "PG_VERSION")); err == nil {
		return nil
	}
	args := []string{"-D", s.data, "-U", "gatepost", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-instructions"}
	if ephemeral {
		args = append(args, "--no-sync")
	}
	cmd := exec.CommandContext(ctx, filepath.Join(bin, "initdb"), args...)
	cmd.Dir, cmd.SysProcAttr = "/", owner.attr()
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb in %s: %w: %s", s.data, err, strings.TrimSpace(string(out)))
	}
	return nil
}

// run starts the server, or adopts the one that a killed parent left running on
// the same data.
func (s *Server) run(ctx context.Context, bin string, owner account, o Options) error {
	deadline := time.Now().Add(20 * time.Second)
	for {
		pid, ready := s.lock()
		switch {
		case pid == 0:
			return s.spawn(ctx, bin, owner, o, deadline)
		case !isPostgres(pid): // a lock of a process that is gone, or of another program by now
			s.removeLocks()
		case ready:
			process, err := os.FindProcess(pid)
			s.process = process
			return err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("process %d holds %s but does not accept connections", pid, s.data)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func (s *Server) spawn(ctx context.Context, bin string, owner account, o Options, deadline time.Time) error {
	args := []string{"-D", s.data, "-k", s.socket, "-c", "unix_socket_permissions=0700", "-c", "listen_addresses=", "-c", "max_connections=300"}
	if o.Ephemeral {
		args = append(args, "-c", "fsync=off", "-c", "synchronous_commit=off", "-c", "full_page_writes=off")
	}
	cmd := exec.Command(filepath.Join(bin, "postgres"), args...)
	cmd.Dir, cmd.SysProcAttr, cmd.Stdout, cmd.Stderr = "/", owner.attr(), o.Log, o.Log
	s.exited = make(chan struct{})
	started := make(chan error, 1)
	go func() {
		// The kernel sends Pdeathsig when the thread ends that started the
		// child, so that thread must live as long as the child.
		runtime.LockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			cmd.Wait()
		}
		close(s.exited)
	}()
	if err := <-started; err != nil {
		return err
	}
	s.process = cmd.Process
	for {
		if pid, ready := s.lock(); ready && pid == cmd.Process.Pid {
			return nil
		}
		select {
		case <-s.exited:
			return fmt.Errorf("postgres ended at once: %s", cmd.ProcessState)
		case <-ctx.Done():
			s.Stop()
			return ctx.Err()
		case <-time.After(10 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			s.Stop()
			return errors.New("postgres did not get ready within 20 s")
		}
	}
}

// lock reads postmaster.pid: whose it is and whether connections are accepted.
func (s *Server) lock() (pid int, ready bool) {
	raw, err := os.ReadFile(filepath.Join(s.data, "postmaster.pid"))
	if err != nil {
		return 0, false
	}
	lines := strings.Split(string(raw), "\n")
	pid, _ = strconv.Atoi(strings.TrimSpace(lines[0]))
	return pid, len(lines) > 7 && strings.TrimSpace(lines[7]) == "ready"
}

func (s *Server) removeLocks() {
	os.Remove(filepath.Join(s.data, "postmaster.pid"))
	for _, name := range []string{".s.PGSQL.5432", ".s.PGSQL.5432.lock"} {
		os.Remove(filepath.Join(s.socket, name))
	}
}

// isPostgres reports whether pid is a live postgres; a zombie is not.
func isPostgres(pid int) bool {
	if syscall.Kill(pid, 0) != nil && runtime.GOOS != "linux" {
		return false
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return runtime.GOOS != "linux" && syscall.Kill(pid, 0) == nil
	}
	_, rest, ok := strings.Cut(string(stat), "(postgres) ")
	return ok && !strings.HasPrefix(rest, "Z")
}

// Stop ends the server, politely first. An ephemeral cluster is removed.
func (s *Server) Stop() error {
	defer s.cleanUp()
	for _, signal := range []syscall.Signal{syscall.SIGINT, syscall.SIGQUIT, syscall.SIGKILL} {
		if s.process.Signal(signal) != nil || s.gone(10*time.Second) {
			return nil
		}
	}
	return fmt.Errorf("postgres (process %d) does not end", s.process.Pid)
}

func (s *Server) gone(within time.Duration) bool {
	for end := time.Now().Add(within); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if s.exited == nil && !isPostgres(s.process.Pid) {
			return true
		}
		select {
		case <-s.exited:
			return true
		default:
		}
	}
	return false
}

func (s *Server) cleanUp() {
	if s.remove != "" {
		os.RemoveAll(s.remove)
		os.RemoveAll(s.socket)
	}
}

// FindBinaries returns the folder of the newest initdb and postgres.
func FindBinaries() (string, error) {
	var folders []string
	if own := os.Getenv("GATEPOST_PG_BIN"); own != "" {
		folders = append(folders, own)
	}
	for _, pattern := range []string{
		"/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/usr/libexec/postgresql*", "/opt/homebrew/opt/postgresql@*/bin",
		"/usr/local/opt/postgresql@*/bin", "/Applications/Postgres.app/Contents/Versions/*/bin", "/Library/PostgreSQL/*/bin", "/usr/local/pgsql/bin",
	} {
		found, _ := filepath.Glob(pattern)
		slices.Sort(found)
		slices.Reverse(found)
		folders = append(folders, found...)
	}
	if path, err := exec.LookPath("postgres"); err == nil {
		// The server looks for its share folder beside its real path.
		if real, err := filepath.EvalSymlinks(path); err == nil {
			folders = append(folders, filepath.Dir(real))
		}
	}
	for _, folder := range folders {
		_, postgres := os.Stat(filepath.Join(folder, "postgres"))
		_, initdb := os.Stat(filepath.Join(folder, "initdb"))
		if postgres == nil && initdb == nil {
			return folder, nil
		}
	}
	return "", ErrNoBinaries
}

// account is whom the server runs as; uid -1 is ourselves.
type account struct{ uid, gid int }

// serverUser picks somebody else when we are root, whom Postgres refuses.
func serverUser() (account, error) {
	if os.Geteuid() != 0 {
		return account{-1, -1}, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, errU := strconv.Atoi(u.Uid)
		gid, errG := strconv.Atoi(u.Gid)
		if errU == nil && errG == nil {
			return account{uid, gid}, nil
		}
	}
	return account{}, errors.New("run as root, but there is neither a user postgres nor nobody to run Postgres as")
}

func (a account) mkdir(dir string, mode os.FileMode) error {
	if err := os.MkdirAll(dir, mode); err != nil {
		return err
	}
	if a.uid < 0 {
		return nil
	}
	return os.Chown(dir, a.uid, a.gid)
}

// scratch is memory where there is enough of it.
func scratch() string {
	var fs syscall.Statfs_t
	if syscall.Statfs("/dev/shm", &fs) == nil && fs.Bavail*uint64(fs.Bsize) > 1<<30 {
		return "/dev/shm"
	}
	return ""
}
