//go:build !unix

package app

import (
	"errors"
	"io/fs"
	"net"
)

var errNoSockets = errors.New("this system has no Unix sockets of the kind that Gatepost needs; name host:port")

func listenSocket(string, fs.FileMode) (net.Listener, error) { return nil, errNoSockets }

func checkSocket(string) error { return errNoSockets }
