package web

import (
	"strings"
	"testing"

	"github.com/gatepost/gatepost/flows"
)

// What we seal has the one length that is opened, whatever the cookie is called.
func TestSealedSessionHasOneLength(t *testing.T) {
	keys, err := flows.NewKeys([][]byte{[]byte(strings.Repeat("k", 32))})
	if err != nil {
		t.Fatal(err)
	}
	for _, secure := range []bool{false, true} {
		for _, domain := range []string{"", "example.org"} {
			k := newCookies(keys, secure, domain, nil, nil)
			token := flows.SessionToken(strings.Repeat("aZ0-_", 9)[:43])
			sealed, err := k.sealSession(token)
			if err != nil || len(sealed) != sealedSession {
				t.Fatalf("%v, %d bytes, want %d", err, len(sealed), sealedSession)
			}
			if opened, ok := k.openSession(sealed); !ok || opened != token {
				t.Errorf("opened %q", opened)
			}
			for _, wrong := range []string{"", "x.y", sealed[1:], sealed + "A", sealed[:20] + "AAAA" + sealed[24:]} {
				if opened, ok := k.openSession(wrong); ok {
					t.Errorf("%q opens as %q", wrong, opened)
				}
			}
		}
	}
}
