//go:build !linux

package devpg

import (
	"os/exec"
	"strconv"
	"strings"
	"syscall"
)

// attr keeps the terminal's Ctrl-C from Postgres. A server left by a killed
// parent is stopped at the next start.
func (a account) attr() *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{Setpgid: true}
	if a.uid >= 0 {
		attr.Credential = &syscall.Credential{Uid: uint32(a.uid), Gid: uint32(a.gid)}
	}
	return attr
}

// processes are the live servers on our data: the process of the lock, if its
// command line says so.
func (s *Server) processes() []int {
	pid, _ := s.lock()
	out, err := exec.Command("ps", "-o", "args=", "-p", strconv.Itoa(pid)).Output()
	if pid == 0 || err != nil || !strings.Contains(string(out), "-D "+s.data+" ") {
		return nil
	}
	return []int{pid}
}
