package devpg

import "syscall"

// attr has the kernel stop Postgres when we are killed, keeps the terminal's
// Ctrl-C from it, and makes it the other user where needed.
func (a account) attr() *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGINT}
	if a.uid >= 0 {
		attr.Credential = &syscall.Credential{Uid: uint32(a.uid), Gid: uint32(a.gid)}
	}
	return attr
}
