//go:build e2e

package proxies_test

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// process is a server that a test started and stops by its id.
type process struct {
	name string
	log  string
	cmd  *exec.Cmd
	done chan struct{} // closed when it is gone
}

// nobody is whom proxies run as where the tests are root's.
func nobody() (uid, gid int, ok bool) {
	if os.Geteuid() != 0 {
		return 0, 0, false
	}
	u, err := user.Lookup("nobody")
	if err != nil {
		return 0, 0, false
	}
	uid, errU := strconv.Atoi(u.Uid)
	gid, errG := strconv.Atoi(u.Gid)
	return uid, gid, errU == nil && errG == nil
}

// handOver gives a folder with all in it to whom proxies run as.
func handOver(dir string) error {
	uid, gid, ok := nobody()
	if !ok {
		return nil
	}
	return filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		return errors.Join(err, os.Chown(path, uid, gid))
	})
}

// start runs a program in dir, its output in <name>.log there. It ends with the
// test process, even with a killed one.
func start(name, dir string, unprivileged bool, argv ...string) (*process, error) {
	path, err := find(argv[0])
	if err != nil {
		return nil, err
	}
	p := &process{name: name, log: filepath.Join(dir, name+".log"), done: make(chan struct{})}
	out, err := os.OpenFile(p.log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	p.cmd = exec.Command(path, argv[1:]...)
	p.cmd.Dir, p.cmd.Stdout, p.cmd.Stderr = dir, out, out
	p.cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "XDG_DATA_HOME=" + dir, "XDG_CONFIG_HOME=" + dir}
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	if uid, gid, ok := nobody(); ok && unprivileged {
		p.cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
		if err := out.Chown(uid, gid); err != nil { // Apache opens it by name
			return nil, err
		}
	}
	started := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // Pdeathsig is sent when this thread ends
		err := p.cmd.Start()
		started <- err
		if err == nil {
			p.cmd.Wait()
		}
		close(p.done)
	}()
	return p, <-started
}

// find looks where distributions put servers, too. GATEPOST_E2E_CADDY and its
// like name another binary than the distribution's.
func find(program string) (string, error) {
	if path := os.Getenv("GATEPOST_E2E_" + strings.ToUpper(program)); path != "" {
		return reachable(path)
	}
	if path, err := exec.LookPath(program); err == nil {
		return path, nil
	}
	for _, dir := range []string{"/usr/sbin", "/usr/local/sbin", "/sbin", "/opt/homebrew/bin"} {
		if path, err := exec.LookPath(filepath.Join(dir, program)); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("%s is not on this machine; «make parts» installs it", program)
}

var copies sync.Mutex

// reachable is a copy of a program where nobody may run it.
func reachable(path string) (string, error) {
	copies.Lock()
	defer copies.Unlock()
	to := filepath.Join(filepath.Dir(binary), filepath.Base(path))
	if _, err := os.Stat(to); err == nil {
		return to, nil
	}
	if os.Link(path, to) == nil {
		return to, nil
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	return to, os.WriteFile(to, raw, 0o755)
}

func (p *process) gone() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// stop ends the process, politely first.
func (p *process) stop() {
	for _, s := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		p.cmd.Process.Signal(s)
		select {
		case <-p.done:
			return
		case <-time.After(5 * time.Second):
		}
	}
}

// listening waits until p accepts connections on addr.
func (p *process) listening(addr string) error {
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end) && !p.gone(); time.Sleep(10 * time.Millisecond) {
		network := "tcp"
		path, ok := strings.CutPrefix(addr, "unix:") // or all of it
		if ok {
			network = "unix"
		}
		if conn, err := net.Dial(network, path); err == nil {
			conn.Close()
			return nil
		}
	}
	return fmt.Errorf("%s does not listen on %s:\n%s", p.name, addr, p.tail())
}

// tail is the end of the log.
func (p *process) tail() string {
	raw, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	return string(raw[max(0, len(raw)-4000):])
}

// shownOnFailure prints the end of the log when t failed.
func (p *process) shownOnFailure(t *testing.T) {
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("%s: %s", p.log, p.tail())
		}
	})
}
