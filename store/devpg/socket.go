package devpg

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"strconv"
)

// mostSocket is how long a socket's path may be, on the systems that are the
// strictest (104 bytes with the final zero).
const mostSocket = 103

// socketDir is a short folder that follows from the data's place. It cannot be
// in it, since paths of sockets are limited; nor in a temporary directory of
// root's own, which the server's user may not enter.
func socketDir(data string) string {
	sum := sha256.Sum256([]byte(data))
	name := "gatepost-" + strconv.Itoa(os.Geteuid()) + "-" + hex.EncodeToString(sum[:6])
	dir := filepath.Join(os.TempDir(), name)
	if os.Geteuid() == 0 || len(dir)+len("/.s.PGSQL."+port) > mostSocket {
		dir = filepath.Join("/tmp", name)
	}
	return dir
}
