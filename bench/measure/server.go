// Package measure is what the benchmarks share that compare servers with each
// other: servers on one core, the load and Postgres on the other, and what each
// of them has spent. It needs Linux, taskset and two cores.
package measure

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const serverCore, loadCore = "0", "1"

// A Server is a process under measurement.
type Server struct {
	*exec.Cmd
	Ready time.Duration // from its start
}

// Serve starts command on the servers' core and waits until url answers 200.
func Serve(ctx context.Context, url string, command ...string) (*Server, error) {
	p := &Server{Cmd: exec.CommandContext(ctx, "taskset", append([]string{"-c", serverCore}, command...)...)}
	log, err := os.CreateTemp("", "gatepost-bench-*.log")
	if err != nil {
		return nil, err
	}
	defer os.Remove(log.Name()) // stays open
	p.Stdout, p.Stderr = log, log
	p.Cancel = func() error { return p.Process.Signal(syscall.SIGTERM) }
	start := time.Now()
	if err := p.Start(); err != nil {
		return nil, err
	}
	for ctx.Err() == nil && time.Since(start) < 30*time.Second {
		if resp, err := http.Get(url); err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				p.Ready = time.Since(start)
				return p, nil
			}
		}
		time.Sleep(time.Millisecond)
	}
	p.Stop()
	said, _ := os.ReadFile(fmt.Sprintf("/proc/self/fd/%d", log.Fd()))
	return nil, fmt.Errorf("%s does not answer: %s", url, said)
}

// Stop ends the server and waits for it.
func (p *Server) Stop() {
	p.Process.Signal(syscall.SIGTERM)
	p.Wait()
}

// CPU is the time that the process's threads have spent, user's and system's, as
// the scheduler counts it: in nanoseconds, where utime and stime have hundredths
// of a second.
func (p *Server) CPU() (spent time.Duration, err error) {
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", p.Process.Pid))
	for _, thread := range threads {
		raw, err := os.ReadFile(thread)
		if err != nil {
			return 0, err
		}
		ns, _, _ := strings.Cut(string(raw), " ")
		n, err := strconv.ParseInt(ns, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("%s: %w", thread, err)
		}
		spent += time.Duration(n)
	}
	return spent, err
}

// stat reads a process's time and its parent.
func stat(pid int) (spent time.Duration, parent int, err error) {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, 0, err
	}
	fields := strings.Fields(string(raw[bytes.LastIndexByte(raw, ')')+1:]))
	parent, errP := strconv.Atoi(fields[1])
	user, errU := strconv.Atoi(fields[11])
	system, errS := strconv.Atoi(fields[12])
	return time.Duration(user+system) * 10 * time.Millisecond, parent, errors.Join(errP, errU, errS)
}

// RSS is the resident memory, in bytes.
func (p *Server) RSS() (int, error) {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", p.Process.Pid))
	if err != nil {
		return 0, err
	}
	pages, err := strconv.Atoi(strings.Fields(string(raw))[1])
	return pages * os.Getpagesize(), err
}

// OnLoadCore moves this process and what it starts to the load's core; Serve
// moves servers to theirs.
func OnLoadCore() error {
	if out, err := exec.Command("taskset", "-acp", loadCore, strconv.Itoa(os.Getpid())).CombinedOutput(); err != nil {
		return fmt.Errorf("taskset: %w: %s", err, out)
	}
	return nil
}

// Build builds the product's server from the repository's root into binary.
func Build(ctx context.Context, binary, ldflags string) error {
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", ldflags, "-o", binary, "./cmd/gatepost")
	build.Env, build.Stderr = append(os.Environ(), "CGO_ENABLED=0"), os.Stderr
	if err := build.Run(); err != nil {
		return fmt.Errorf("build the server (from the repository's root): %w", err)
	}
	return nil
}

// Machine says what was measured on.
func Machine() string {
	model := runtime.GOARCH
	raw, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(raw)) {
		if name, ok := strings.CutPrefix(line, "model name\t: "); ok {
			model = strings.TrimSpace(name)
			break
		}
	}
	return fmt.Sprintf("%s, %s; servers on core %s, load and Postgres on core %s", model, runtime.Version(), serverCore, loadCore)
}
