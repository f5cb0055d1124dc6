// Package devpg runs a private Postgres for development and tests from the
// server binaries that the machine has. It listens on a Unix socket only, works
// as root (by becoming postgres or nobody) and as a user, stops with its parent,
// repairs what a kill -9 left, and never deletes data. One process at a time has
// a folder.
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

// ErrInUse means that another process runs the Postgres of that folder.
var ErrInUse = errors.New("is in use by another process")

// A Server is a running Postgres.
type Server struct {
	socket  string
	data    string
	remove  string   // "" when the data is kept
	claim   *os.File // locked for as long as the folder is ours; the kernel lets go of it with us
	process *os.Process
	said    tail
	exited  chan struct{} // closed when our child is gone
}

// URL is the DSN of the database postgres, as the superuser gatepost.
func (s *Server) URL() string {
	return "postgres:///postgres?user=gatepost&port=" + port + "&host=" + s.socket
}

// Done is closed when the server has ended, whoever ended it.
func (s *Server) Done() <-chan struct{} { return s.exited }

// port names the socket; nothing listens on TCP.
const port = "5432"

// Start runs the cluster, creating it first where there is none.
func Start(ctx context.Context, o Options) (*Server, error) {
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
	if err := s.start(ctx, owner, o); err != nil {
		s.cleanUp()
		return nil, err
	}
	return s, nil
}

func (s *Server) start(ctx context.Context, owner account, o Options) error {
	dir, err := filepath.Abs(o.Dir)
	if err != nil {
		return err
	}
	if err := owner.mkdir(dir, 0o755); err != nil {
		return err
	}
	if err := owner.reaches(dir); err != nil {
		return err
	}
	if err := s.take(dir); err != nil {
		return err
	}
	if dir, err = filepath.EvalSymlinks(dir); err != nil { // as the kernel names it
		return err
	}
	s.data = filepath.Join(dir, "data")
	if moved, err := filepath.EvalSymlinks(s.data); err == nil {
		s.data = moved
	}
	s.socket = socketDir(s.data)
	if err := owner.mkdir(s.socket, 0o700); err != nil {
		return err
	}
	bin, err := binariesFor(s.data)
	if err != nil {
		return err
	}
	if err := s.initialise(ctx, bin, owner, o.Ephemeral); err != nil {
		return err
	}
	return s.run(ctx, bin, owner, o)
}

// take claims the folder for this process.
func (s *Server) take(dir string) error {
	file, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		file.Close()
		return fmt.Errorf("%s %w", dir, ErrInUse)
	}
	s.claim = file
	return nil
}

// initialise makes the cluster beside its place and moves it there when it is
// whole: initdb that was killed leaves something that never starts.
func (s *Server) initialise(ctx context.Context, bin string, owner account, ephemeral bool) error {
	if _, err := os.Stat(filepath.Join(s.data, "PG_VERSION")); err == nil {
		return nil
	}
	unfinished := s.data + ".new"
	if err := os.RemoveAll(unfinished); err != nil {
		return err
	}
	locale := "C"
	if runtime.GOOS == "linux" {
		locale = "C.UTF-8"
	}
	args := []string{"-D", unfinished, "-U", "gatepost", "-A", "trust", "-E", "UTF8", "--locale=" + locale, "--no-instructions"}
	if ephemeral {
		args = append(args, "--no-sync")
	}
	cmd := exec.CommandContext(ctx, filepath.Join(bin, "initdb"), args...)
	cmd.Dir, cmd.Env, cmd.SysProcAttr = "/", environment(), owner.attr()
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb in %s: %w: %s", unfinished, err, strings.TrimSpace(string(out)))
	}
	return os.Rename(unfinished, s.data)
}

// environment is ours without what changes Postgres: a locale that is not
// installed, another port.
func environment() []string {
	env := slices.DeleteFunc(os.Environ(), func(e string) bool {
		return strings.HasPrefix(e, "PG") || strings.HasPrefix(e, "LC_") || strings.HasPrefix(e, "LANG")
	})
	return append(env, "LC_ALL=C")
}

// run starts the server, once nothing of an earlier one is left. A server that a
// killed parent left is stopped and not adopted: it may be stopping already, and
// would not stop with us.
func (s *Server) run(ctx context.Context, bin string, owner account, o Options) error {
	deadline := time.Now().Add(20 * time.Second)
	for stopped := 0; ; {
		pid, _ := s.lock()
		rest := s.processes()
		switch {
		case slices.Contains(rest, pid) && pid != stopped:
			stopped = pid
			syscall.Kill(pid, syscall.SIGINT)
		case len(rest) == 0:
			if pid != 0 { // of a process that is gone, or of another program by now
				s.removeLocks()
			}
			return s.spawn(ctx, bin, owner, o, deadline)
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("processes %v still work in %s", rest, s.data)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func (s *Server) spawn(ctx context.Context, bin string, owner account, o Options, deadline time.Time) error {
	args := []string{"-D", s.data, "-k", s.socket, "-p", port, "-c", "unix_socket_permissions=0700", "-c", "listen_addresses=", "-c", "max_connections=300"}
	if o.Ephemeral {
		args = append(args, "-c", "fsync=off", "-c", "synchronous_commit=off", "-c", "full_page_writes=off")
	}
	cmd := exec.Command(filepath.Join(bin, "postgres"), args...)
	cmd.Dir, cmd.Env, cmd.SysProcAttr = "/", environment(), owner.attr()
	s.said.to = o.Log
	cmd.Stdout, cmd.Stderr, cmd.WaitDelay = &s.said, &s.said, 2*time.Second
	exited, started := make(chan struct{}), make(chan error, 1)
	go func() {
		// The kernel sends Pdeathsig when the thread ends that started the
		// child, so that thread must live as long as the child.
		runtime.LockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			cmd.Wait()
		}
		close(exited)
	}()
	if err := <-started; err != nil {
		return err
	}
	s.exited, s.process = exited, cmd.Process
	for {
		if pid, ready := s.lock(); ready && pid == cmd.Process.Pid {
			return nil
		}
		select {
		case <-s.exited:
			return fmt.Errorf("postgres ended at once: %s: %s", cmd.ProcessState, s.said.last())
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

// tail passes on what Postgres says and keeps the end of it.
type tail struct {
	to   io.Writer
	kept []byte
}

func (t *tail) Write(p []byte) (int, error) {
	t.kept = append(t.kept, p...)
	t.kept = t.kept[max(0, len(t.kept)-1000):]
	if t.to != nil {
		return t.to.Write(p)
	}
	return len(p), nil
}

// last is what Postgres said last. It must have ended.
func (t *tail) last() string { return strings.TrimSpace(string(t.kept)) }

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

// Stop ends the server, politely first. An ephemeral cluster is removed.
func (s *Server) Stop() error {
	defer s.cleanUp()
	for _, signal := range []syscall.Signal{syscall.SIGINT, syscall.SIGQUIT, syscall.SIGKILL} {
		if s.process.Signal(signal) != nil {
			return nil
		}
		select {
		case <-s.exited:
			return nil
		case <-time.After(10 * time.Second):
		}
	}
	return fmt.Errorf("postgres (process %d) does not end", s.process.Pid)
}

func (s *Server) cleanUp() {
	os.Remove(s.socket) // if nothing is in it
	if s.remove != "" {
		os.RemoveAll(s.remove)
		os.RemoveAll(s.socket)
	}
	s.claim.Close()
}

// FindBinaries returns the folder of the newest initdb and postgres.
func FindBinaries() (string, error) {
	all := binaries()
	if len(all) == 0 {
		return "", ErrNoBinaries
	}
	return all[0], nil
}

// binariesFor picks the binaries that can read data, the newest for data that is
// not there yet: a server reads only what its own major version wrote.
func binariesFor(data string) (string, error) {
	raw, err := os.ReadFile(filepath.Join(data, "PG_VERSION"))
	if err != nil {
		return FindBinaries()
	}
	wanted := strings.TrimSpace(string(raw))
	all := binaries()
	for _, folder := range all {
		if out, err := exec.Command(filepath.Join(folder, "postgres"), "-V").Output(); err == nil && majorVersion(string(out)) == wanted {
			return folder, nil
		}
	}
	if len(all) == 0 {
		return "", ErrNoBinaries
	}
	return "", fmt.Errorf("the data in %s is of Postgres %s, which is not installed; install it, name the folder of its binaries in GATEPOST_PG_BIN, or remove the data", data, wanted)
}

// majorVersion reads "postgres (PostgreSQL) 15.18 (Debian 15.18-0)".
func majorVersion(v string) string {
	_, v, _ = strings.Cut(v, ") ")
	return v[:len(v)-len(strings.TrimLeft(v, "0123456789"))]
}

func binaries() (found []string) {
	var folders []string
	if own := os.Getenv("GATEPOST_PG_BIN"); own != "" {
		folders = append(folders, own)
	}
	for _, pattern := range []string{
		"/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/usr/libexec/postgresql*", "/opt/homebrew/opt/postgresql@*/bin",
		"/usr/local/opt/postgresql@*/bin", "/Applications/Postgres.app/Contents/Versions/*/bin", "/Library/PostgreSQL/*/bin", "/usr/local/pgsql/bin",
	} {
		matches, _ := filepath.Glob(pattern)
		slices.Sort(matches)
		slices.Reverse(matches)
		folders = append(folders, matches...)
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
			found = append(found, folder)
		}
	}
	return found
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

// mkdir makes a folder and hands it to the server's user. One that is there must
// be ours: in a temporary directory anybody could have put a link there that
// leads elsewhere, and have root give that away.
func (a account) mkdir(dir string, mode os.FileMode) error {
	if err := os.MkdirAll(dir, mode); err != nil {
		return err
	}
	link, err := os.Lstat(dir)
	if err != nil {
		return err
	}
	to, err := os.Stat(dir)
	if err != nil {
		return err
	}
	if !a.mayUse(link) || !a.mayUse(to) || !to.IsDir() {
		return fmt.Errorf("%s belongs to somebody else, or is no folder; remove it, or choose another place", dir)
	}
	if a.uid < 0 {
		return nil
	}
	return os.Chown(dir, a.uid, a.gid)
}

func (a account) mayUse(info os.FileInfo) bool {
	owner, ok := info.Sys().(*syscall.Stat_t)
	return ok && (int(owner.Uid) == os.Geteuid() || int(owner.Uid) == a.uid)
}

// reaches reports which folder above dir keeps the server's user out.
func (a account) reaches(dir string) error {
	for up := filepath.Dir(dir); a.uid >= 0; up = filepath.Dir(up) {
		info, err := os.Stat(up)
		if err != nil {
			return err
		}
		if owner := info.Sys().(*syscall.Stat_t); int(owner.Uid) != a.uid && info.Mode().Perm()&0o001 == 0 {
			return fmt.Errorf("%s: Postgres runs as another user than root, whom %s keeps out; choose another place", dir, up)
		}
		if up == filepath.Dir(up) {
			break
		}
	}
	return nil
}

// scratch is memory where there is enough of it.
func scratch() string {
	var fs syscall.Statfs_t
	if syscall.Statfs("/dev/shm", &fs) == nil && fs.Bavail*uint64(fs.Bsize) > 1<<30 {
		return "/dev/shm"
	}
	return ""
}
