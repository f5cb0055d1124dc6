package devpg

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// attr has the kernel stop Postgres when we are killed, keeps the terminal's
// Ctrl-C from it, and makes it the other user where needed.
func (a account) attr() *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGINT}
	if a.uid >= 0 {
		attr.Credential = &syscall.Credential{Uid: uint32(a.uid), Gid: uint32(a.gid)}
	}
	return attr
}

// processes are the live ones of a Postgres on our data: the server, and what
// may be left of it for a moment when it was killed. Number and name alone would
// take the machine's own Postgres for ours; a process that works in our folder
// is. A zombie works nowhere.
func (s *Server) processes() (pids []int) {
	all, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	for _, entry := range all {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		if at, err := os.Readlink(filepath.Join("/proc", entry.Name(), "cwd")); err != nil || at != s.data {
			continue
		}
		if name, err := os.ReadFile(filepath.Join("/proc", entry.Name(), "comm")); err == nil && strings.TrimSpace(string(name)) == "postgres" {
			pids = append(pids, pid)
		}
	}
	slices.Sort(pids)
	return pids
}
