//go:build unix

package app

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// socket is a listener on a path that is this process's for as long as it holds
// the lock beside it.
type socket struct {
	net.Listener
	path string
	made os.FileInfo
	lock *os.File
}

// listenSocket makes a socket with that mode. One that a Gatepost left behind is
// replaced; whatever else is there stays, and is an error.
func listenSocket(path string, mode fs.FileMode) (net.Listener, error) {
	lock, err := os.OpenFile(path+".lock", os.O_CREATE|os.O_RDWR|syscall.O_NOFOLLOW, 0o600)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("there is no folder %s; make it, owned by the user that Gatepost runs as", filepath.Dir(path))
	}
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		lock.Close()
		return nil, fmt.Errorf("another Gatepost serves on %s; stop it, or name another path", path)
	}
	s := &socket{path: path, lock: lock}
	if err := s.open(mode); err != nil {
		lock.Close()
		return nil, err
	}
	return s, nil
}

func (s *socket) open(mode fs.FileMode) error {
	there, err := ourSocket(s.path)
	if err != nil {
		return err
	}
	if there {
		if err := s.removeStale(); err != nil {
			return err
		}
	}
	old := syscall.Umask(int(0o777 &^ mode)) // or it is open to others until a chmod
	s.Listener, err = net.Listen("unix", s.path)
	syscall.Umask(old)
	if err != nil {
		return err
	}
	s.Listener.(*net.UnixListener).SetUnlinkOnClose(false)
	s.made, err = os.Lstat(s.path)
	return err
}

// removeStale removes a socket that nobody listens on.
func (s *socket) removeStale() error {
	conn, err := net.DialTimeout("unix", s.path, time.Second)
	if err == nil {
		conn.Close()
		return fmt.Errorf("another program listens on %s; stop it, or name another path", s.path)
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return err
	}
	return os.Remove(s.path)
}

// Close removes the socket, unless another stands in its place.
func (s *socket) Close() error {
	err := s.Listener.Close()
	if now, statErr := os.Lstat(s.path); statErr == nil && os.SameFile(now, s.made) {
		err = errors.Join(err, os.Remove(s.path))
	}
	s.lock.Close()
	return err
}

// ourSocket reports whether a socket of this user is at path. Anything else
// there is an error: a path that was mistyped must not cost anybody a file.
func ourSocket(path string) (bool, error) {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if info.Mode()&fs.ModeSocket == 0 {
		return false, fmt.Errorf("%s is there and is no socket; remove it, or name another path", path)
	}
	if stat, ok := info.Sys().(*syscall.Stat_t); !ok || int(stat.Uid) != os.Geteuid() {
		return false, fmt.Errorf("the socket %s is another user's; remove it, or name another path", path)
	}
	return true, nil
}

// checkSocket says what listenSocket would fail for, and changes nothing. A
// Gatepost that serves there now is well.
func checkSocket(path string) error {
	if _, err := ourSocket(path); err != nil {
		return err
	}
	dir := filepath.Dir(path)
	const writable = 2
	if err := syscall.Access(dir, writable); err != nil {
		return fmt.Errorf("the folder %s: %w; make it, and give it to the user that serves", dir, err)
	}
	return nil
}
