//go:build !linux

package devpg

import "syscall"

// attr keeps the terminal's Ctrl-C from Postgres. A server left by a killed
// parent is adopted at the next start.
func (a account) attr() *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{Setpgid: true}
	if a.uid >= 0 {
		attr.Credential = &syscall.Credential{Uid: uint32(a.uid), Gid: uint32(a.gid)}
	}
	return attr
}
