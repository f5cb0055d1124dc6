package flows

import (
	"bytes"
	"strings"
	"testing"
)

func testKeys(t testing.TB, fill ...byte) Keys {
	var secrets [][]byte
	for _, b := range fill {
		secrets = append(secrets, bytes.Repeat([]byte{b}, 32))
	}
	k, err := NewKeys(secrets)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// no key, or a short one, is refused.
func TestNewKeysRefusesWeakSecrets(t *testing.T) {
	for _, secrets := range [][][]byte{nil, {}, {nil}, {make([]byte, 31)}, {make([]byte, 32), make([]byte, 8)}} {
		if _, err := NewKeys(secrets); err == nil {
			t.Errorf("%d secrets were accepted", len(secrets))
		}
	}
}

// G-1: what is made for one purpose means nothing for another.
func TestKeysSeparatePurposes(t *testing.T) {
	k := testKeys(t, 'a')
	if k.MAC(purposeLink, "x") == k.MAC(purposeCode, "x") {
		t.Error("two purposes give one hash")
	}
}

// X-2, O-38: the first key seals, every key opens, a removed one does not; a
// value moved to another row does not open.
func TestSealUpstream(t *testing.T) {
	before, during, after := testKeys(t, 'a'), testKeys(t, 'b', 'a'), testKeys(t, 'b')
	sealed := before.sealUpstream("ya29.secret", "row 1")
	if strings.Contains(sealed, "secret") {
		t.Fatal("the token is readable")
	}
	if got, err := during.openUpstream(sealed, "row 1"); err != nil || got != "ya29.secret" {
		t.Errorf("during rotation: %q, %v", got, err)
	}
	for name, open := range map[string]func() (string, error){
		"removed key": func() (string, error) { return after.openUpstream(sealed, "row 1") },
		"other row":   func() (string, error) { return before.openUpstream(sealed, "row 2") },
		"plain text":  func() (string, error) { return before.openUpstream("ya29.secret", "row 1") },
		"cut short":   func() (string, error) { return before.openUpstream(sealed[:len(sealed)-4], "row 1") },
		"no body":     func() (string, error) { return before.openUpstream("gp1."+sealed[4:12]+".", "row 1") },
	} {
		if got, err := open(); err == nil {
			t.Errorf("%s: opened to %q", name, got)
		}
	}
	if before.sealUpstream("", "row") != "" {
		t.Error("no token must stay no token")
	}
}

// Whatever stands in the row opens to what was sealed for it, or not at all.
func FuzzOpenUpstream(f *testing.F) {
	k := testKeys(f, 'a', 'b')
	f.Add(k.sealUpstream("ya29.secret", "row"))
	for _, s := range []string{"", "gp1.", "gp1..", "gp1.00000000.AAAA", "ya29.secret", "gp1." + keyID(k.Derive("upstream token", 32)[0]) + "."} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, sealed string) {
		if token, err := k.openUpstream(sealed, "row"); token != "" && token != "ya29.secret" || err == nil && token == "" && sealed != "" {
			t.Errorf("%q opens to %q, %v", sealed, token, err)
		}
	})
}
