package web

import (
	"bytes"
	"strings"
	"testing"

	"github.com/gorilla/securecookie"

	"github.com/gatepost/gatepost/flows"
)

// Cookies that were sealed as JSON open, and nothing else does.
func TestSessionTokensInQuotes(t *testing.T) {
	const token = "aZ0-_"
	want, err := securecookie.JSONEncoder{}.Serialize(token)
	if got, _ := (quoted{}).Serialize(token); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%q, want %q, %v", got, want, err)
	}
	var got string
	if err := (quoted{}).Deserialize(want, &got); err != nil || got != token {
		t.Errorf("%q, %v", got, err)
	}
	for _, wrong := range []string{"", `"`, "\"\n", `"a"`, "a\"\n", "\"a\n", "\"a\"\"\n", "\"\\u0061\"\n", "null\n"} {
		if err := (quoted{}).Deserialize([]byte(wrong), &got); err == nil {
			t.Errorf("%q is taken for %q", wrong, got)
		}
	}
}

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
