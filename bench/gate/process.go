package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
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

// A process is a server under measurement.
type process struct {
	*exec.Cmd
	addr, admin string
	ready       time.Duration // from its start
}

// serve starts command on the servers' core and waits until url answers 200.
func serve(ctx context.Context, url string, command ...string) (*process, error) {
	p := &process{Cmd: exec.CommandContext(ctx, "taskset", append([]string{"-c", serverCore}, command...)...)}
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
	for ctx.Err() == nil && time.Since(start) < 10*time.Second {
		if resp, err := http.Get(url); err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				p.ready = time.Since(start)
				return p, nil
			}
		}
		time.Sleep(time.Millisecond)
	}
	p.stop()
	said, _ := os.ReadFile(fmt.Sprintf("/proc/self/fd/%d", log.Fd()))
	return nil, fmt.Errorf("%s does not answer: %s", url, said)
}

func (p *process) stop() {
	p.Process.Signal(syscall.SIGTERM)
	p.Wait()
}

// cpu is the time that the process has spent, utime + stime.
func (p *process) cpu() (time.Duration, error) {
	spent, _, err := stat(p.Process.Pid)
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

// rss is the resident memory, in bytes.
func (p *process) rss() (int, error) {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", p.Process.Pid))
	if err != nil {
		return 0, err
	}
	pages, err := strconv.Atoi(strings.Fields(string(raw))[1])
	return pages * os.Getpagesize(), err
}

func freeAddr() string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return ""
	}
	defer l.Close()
	return l.Addr().String()
}

// gatepost starts the product on a database. direct is where it listens for
// sessions that end; "" is the same database.
func (b *bench) gatepost(ctx context.Context, database, direct string) (*process, error) {
	addr, admin := freeAddr(), freeAddr()
	file := filepath.Join(b.dir, "gatepost-"+strings.ReplaceAll(addr, ":", "-")+".yaml")
	err := os.WriteFile(file, []byte(`
public_url: https://auth.example.org
cookie: {domain: example.org}
listen: `+addr+`
admin_listen: `+admin+`
drain: 0s
keys: ["`+b.keys+`"]
trusted_proxies: [127.0.0.1/32]
database: {url: "`+database+`", direct_url: "`+direct+`"}
gate:
  groups: {admins: [ada@example.org]}
  rules:
    - {name: the back office, host: app.example.org, path: /admin, allow: group:admins}
    - {host: app.example.org, path: /open, allow: public}
    - {host: app.example.org, allow: signed-in}
`), 0o600)
	if err != nil {
		return nil, err
	}
	p, err := serve(ctx, "http://"+admin+"/readyz", b.binary, "serve", "--config", file)
	if err == nil {
		p.addr, p.admin = addr, admin
	}
	return p, err
}

func (b *bench) bare(ctx context.Context) (*process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	addr := freeAddr()
	p, err := serve(ctx, "http://"+addr+"/200", self, "-bare", addr)
	if err == nil {
		p.addr = addr
	}
	return p, err
}

// machine says what was measured on.
func machine() string {
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
