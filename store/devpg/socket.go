package devpg

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"strconv"
)

// socketDir is a short folder that follows from the data's place, so that an
// orphan is found again.
func socketDir(data string) (string, error) {
	sum := sha256.Sum256([]byte(data))
	return filepath.Join(os.TempDir(), "gatepost-"+strconv.Itoa(os.Geteuid())+"-"+hex.EncodeToString(sum[:6])), nil
}
