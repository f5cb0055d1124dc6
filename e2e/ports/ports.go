// Package ports finds places for the servers of tests and benchmarks that are told
// where to listen, and cannot take a port that the system chooses.
package ports

import (
	"fmt"
	"math/rand/v2"
	"net"
)

// Free is the first of n ports in a row on 127.0.0.1 that nobody listens on. They
// lie below 32768, from where systems take ports for outgoing connections: one of
// those could have it before the server does. It panics where there are none.
func Free(n int) int {
	for range 100 {
		first := 12000 + rand.IntN(20000)
		if free(first, n) {
			return first
		}
	}
	panic(fmt.Sprintf("no %d free ports in a row", n))
}

// FreeAddr is host:port where nobody listens, as Free has it.
func FreeAddr() string { return fmt.Sprintf("127.0.0.1:%d", Free(1)) }

func free(first, n int) bool {
	for port := first; port < first+n; port++ {
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			return false
		}
		l.Close()
	}
	return true
}
