//go:build linux

package main

import (
	"bytes"
	"debug/elf"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	osexec "os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/gatepost/gatepost/e2e/ports"
	"github.com/gatepost/gatepost/store/storetest"
)

// maxSize of the binary, which is all of the image but the certificates
// (security U-6).
const maxSize = 24 << 20

// TestProduct builds the binary as the Dockerfile does and runs it as the image
// does: in a folder with nothing else, and without root.
func TestProduct(t *testing.T) {
	root := t.TempDir()
	if err := os.Chmod(root, 0o755); err != nil {
		t.Fatal(err)
	}
	dockerfile, err := os.ReadFile("../../Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`go build -trimpath -ldflags "([^"]*)" -o /out/`).FindSubmatch(dockerfile)
	if m == nil {
		t.Fatal("the Dockerfile builds otherwise")
	}
	build := osexec.Command("go", "build", "-trimpath", "-ldflags", strings.ReplaceAll(string(m[1]), "$VERSION", "v1.2.3"), "-o", filepath.Join(root, "gatepost"), ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	i := image{root}
	t.Run("version", i.version)
	t.Run("static and small", i.staticAndSmall)
	t.Run("from nothing to ready", i.fromNothing)
	t.Run("drain", i.drain)
	t.Run("second signal", i.secondSignal)
	t.Run("port is taken", i.portIsTaken)
}

type image struct{ root string }

// command needs root to leave everything else behind.
func (i image) command(environ []string, args ...string) (*osexec.Cmd, *bytes.Buffer) {
	out := new(bytes.Buffer)
	cmd := osexec.Command(filepath.Join(i.root, "gatepost"), args...)
	cmd.Env, cmd.Stdout, cmd.Stderr, cmd.SysProcAttr = environ, out, out, &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if os.Geteuid() == 0 {
		cmd.Path, cmd.Dir = "/gatepost", "/"
		cmd.SysProcAttr.Chroot = i.root
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: 65532, Gid: 65532}
	}
	return cmd, out
}

// U-5: what --build-arg VERSION says is what the image answers.
func (i image) version(t *testing.T) {
	cmd, out := i.command(nil, "version")
	if err := cmd.Run(); err != nil || out.String() != "v1.2.3\n" {
		t.Errorf("%v: %s", err, out)
	}
}

// U-5, U-6
func (i image) staticAndSmall(t *testing.T) {
	file := filepath.Join(i.root, "gatepost")
	info, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	if info.Size() > maxSize {
		t.Errorf("%d bytes, want at most %d", info.Size(), maxSize)
	}
	binary, err := elf.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer binary.Close()
	for _, p := range binary.Progs {
		if p.Type == elf.PT_INTERP {
			t.Error("dynamically linked")
		}
	}
}

// A server runs until it is told to end.
type server struct {
	*osexec.Cmd
	out           *bytes.Buffer
	public, admin string
	exited        chan error
}

func (i image) serve(t *testing.T, url, drain string) *server {
	t.Helper()
	s := &server{public: ports.FreeAddr(), admin: ports.FreeAddr(), exited: make(chan error, 1)}
	s.Cmd, s.out = i.command(environ(url, "GATEPOST_DATABASE_EXEC_MODE=exec", "GATEPOST_LISTEN="+s.public, "GATEPOST_ADMIN_LISTEN="+s.admin, "GATEPOST_DRAIN="+drain), "serve")
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { s.exited <- s.Wait() }()
	t.Cleanup(func() { s.Process.Kill() })
	return s
}

func (s *server) status(address, path string) int {
	resp, err := http.Get("http://" + address + path)
	if err != nil {
		return 0
	}
	defer resp.Body.Close()
	io.Copy(io.Discard, resp.Body)
	return resp.StatusCode
}

func (s *server) waitReady(t *testing.T) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if s.status(s.admin, "/readyz") == http.StatusOK {
			return
		}
	}
	s.Process.Kill()
	<-s.exited
	t.Fatalf("not ready: %s", s.out)
}

func (s *server) wait(t *testing.T, within time.Duration) error {
	t.Helper()
	select {
	case err := <-s.exited:
		return err
	case <-time.After(within):
		t.Fatalf("still runs after %s", within)
		return nil
	}
}

// The commands of an image, one after the other. How soon it is ready is measured
// by bench/gate.
func (i image) fromNothing(t *testing.T) {
	// Over TCP, as from a container: a Unix socket is not in the empty root.
	url := storetest.Pooled(t, storetest.EmptyURL(t), 5)
	env := environ(url, "GATEPOST_DATABASE_EXEC_MODE=exec")
	migrate, out := i.command(env, "migrate")
	if err := migrate.Run(); err != nil || !strings.Contains(out.String(), "applied") {
		t.Fatalf("migrate: %v: %s", err, out)
	}
	s := i.serve(t, url, "0s")
	s.waitReady(t)
	health, out := i.command([]string{"GATEPOST_ADMIN_LISTEN=" + s.admin}, "health")
	if err := health.Run(); err != nil {
		t.Errorf("health: %v: %s", err, out)
	}
	s.Process.Signal(syscall.SIGTERM)
	if err := s.wait(t, 5*time.Second); err != nil {
		t.Errorf("%v: %s", err, s.out)
	}
}

// told to end, it says so on /readyz, and goes on answering until the proxy
// has noticed: no request fails, and it ends with 0.
func (i image) drain(t *testing.T) {
	s := i.serve(t, storetest.Pooled(t, storetest.URL(t), 5), "600ms")
	s.waitReady(t)
	var failed, answered atomic.Int32
	stop := make(chan struct{})
	var load sync.WaitGroup
	for range 4 {
		load.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if s.status(s.public, "/auth/csrf") != http.StatusOK {
					failed.Add(1)
				}
				answered.Add(1)
			}
		})
	}
	time.Sleep(100 * time.Millisecond)
	begin := time.Now()
	s.Process.Signal(syscall.SIGTERM)
	for s.status(s.admin, "/readyz") != http.StatusServiceUnavailable {
		if time.Since(begin) > 300*time.Millisecond {
			t.Fatal("/readyz does not say that it ends")
		}
	}
	// A request that is under way when the listener closes still gets its answer.
	slow, err := net.Dial("tcp", s.public)
	if err != nil {
		t.Fatal(err)
	}
	defer slow.Close()
	fmt.Fprint(slow, "POST /auth/_log HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\na")
	time.Sleep(300 * time.Millisecond)
	close(stop)
	load.Wait()
	if n := failed.Load(); n > 0 || answered.Load() == 0 {
		t.Errorf("%d of %d requests failed", n, answered.Load())
	}
	time.Sleep(time.Until(begin.Add(800 * time.Millisecond)))
	fmt.Fprint(slow, "b")
	slow.SetReadDeadline(time.Now().Add(3 * time.Second))
	if answer, _ := io.ReadAll(slow); !strings.HasPrefix(string(answer), "HTTP/1.1 200") {
		t.Errorf("the request under way got %q", answer)
	}
	if err := s.wait(t, 5*time.Second); err != nil {
		t.Errorf("%v: %s", err, s.out)
	}
}

// whoever cannot wait says it twice.
func (i image) secondSignal(t *testing.T) {
	s := i.serve(t, storetest.Pooled(t, storetest.URL(t), 5), "30s")
	s.waitReady(t)
	s.Process.Signal(os.Interrupt)
	time.Sleep(100 * time.Millisecond)
	s.Process.Signal(os.Interrupt)
	if err := s.wait(t, 2*time.Second); err == nil {
		t.Error("ended as if all were done")
	}
}

// A port that is taken is said by name, and nothing is left running.
func (i image) portIsTaken(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for _, name := range []string{"LISTEN", "ADMIN_LISTEN"} {
		cmd, out := i.command(environ("postgres://localhost/x", "GATEPOST_LISTEN=127.0.0.1:0", "GATEPOST_ADMIN_LISTEN=127.0.0.1:0", "GATEPOST_"+name+"="+l.Addr().String()), "serve")
		if err := cmd.Run(); err == nil || cmd.ProcessState.ExitCode() != 1 || !strings.Contains(out.String(), strings.ToLower(name)) || !strings.Contains(out.String(), "in use") {
			t.Errorf("%s: %v: %s", name, err, out)
		}
	}
}
