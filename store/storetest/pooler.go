package storetest

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/gatepost/gatepost/e2e/ports"
)

// Pooled is the DSN of the same database through a PgBouncer in transaction
// mode, with size connections to the server and further lines of configuration.
func Pooled(t testing.TB, url string, size int, lines ...string) string {
	t.Helper()
	binary, err := exec.LookPath("pgbouncer")
	if err != nil {
		if binary = "/usr/sbin/pgbouncer"; exec.Command(binary, "--version").Run() != nil {
			t.Fatal("no PgBouncer on this machine; install the package pgbouncer")
		}
	}
	to, err := pgx.ParseConfig(url)
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "gatepost-pooler-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	port := ports.Free(1)
	password := ""
	if to.Password != "" {
		password = " password=" + to.Password
	}
	config := fmt.Sprintf(`[databases]
* = host=%s port=%d user=%s%s
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = %d
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = %d
%s
`, to.Host, to.Port, to.User, password, port, size, strings.Join(lines, "\n"))
	file := filepath.Join(dir, "pgbouncer.ini")
	if err := os.WriteFile(file, []byte(config), 0o644); err != nil {
		t.Fatal(err)
	}
	os.Chmod(dir, 0o755)
	var out bytes.Buffer
	cmd := exec.Command(binary, file)
	cmd.Dir, cmd.Stdout, cmd.Stderr, cmd.SysProcAttr = "/", &out, &out, unprivileged(to.Host)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { cmd.Wait(); close(done) }()
	t.Cleanup(func() { cmd.Process.Signal(syscall.SIGTERM); <-done })
	pooled := fmt.Sprintf("postgres://%s@127.0.0.1:%d/%s?sslmode=disable", to.User, port, to.Database)
	for range 500 {
		var conn *pgx.Conn
		if conn, err = pgx.Connect(context.Background(), pooled); err == nil {
			conn.Close(context.Background())
			return pooled
		}
		select {
		case <-done:
			t.Fatalf("pgbouncer ended: %s", out.String())
		case <-time.After(10 * time.Millisecond):
		}
	}
	t.Fatalf("pgbouncer does not answer: %v: %s", err, out.String())
	return ""
}

// unprivileged runs it as whoever has the socket, since it refuses to be root.
func unprivileged(socket string) *syscall.SysProcAttr {
	attr := endsWithUs()
	if os.Geteuid() != 0 {
		return attr
	}
	attr.Credential = &syscall.Credential{Uid: 65534, Gid: 65534}
	if info, err := os.Stat(socket); err == nil {
		owner := info.Sys().(*syscall.Stat_t)
		attr.Credential = &syscall.Credential{Uid: owner.Uid, Gid: owner.Gid}
	}
	return attr
}
