//go:build !linux

package storetest

import "syscall"

func endsWithUs() *syscall.SysProcAttr { return &syscall.SysProcAttr{} }
