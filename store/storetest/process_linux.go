package storetest

import "syscall"

// endsWithUs has the kernel stop a child when the tests are killed.
func endsWithUs() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM} }
