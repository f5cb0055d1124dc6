package gate

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"
)

// F-5: no name can forge a header or make the answer too long.
func TestAttributes(t *testing.T) {
	for _, tt := range []struct {
		name string
		id   Identity
		want Attributes
	}{
		{"nobody", Identity{Email: "x@example.org", Name: "X", Groups: []string{"admins"}}, Attributes{}},
		{"everything", Identity{UserID: 7, Email: "ada@example.org", Name: "Ada Lovelace", Groups: []string{"a", "b"}},
			Attributes{"ada@example.org", "7", "ada@example.org", "Ada Lovelace", "a,b", ""}},
		{"no address", Identity{UserID: 7, Name: " José 100%\r\nRemote-User: root "}, Attributes{"7", "7", "", "Jos%C3%A9 100%25%0D%0ARemote-User: root", "", ""}},
		{"broken UTF-8", Identity{UserID: 7, Name: "a\xffb"}, Attributes{"7", "7", "", "a%FFb", "", ""}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := tt.id.Attributes()
			if got != tt.want {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
			if packed := got.Packed(); packed != got {
				t.Errorf("packed %+v, want %+v", packed, got)
			}
		})
	}
}

// F-5, forward-auth rule 9: whatever people are called, the facts and the
// assertion about them leave nginx's 4 KiB room for the rest, and no address is
// ever cut.
func TestFactsFitAnAnswer(t *testing.T) {
	signer, err := NewSigner("https://"+strings.Repeat("a", 60)+".example.org", [][]byte{bytes.Repeat([]byte{1}, 32)})
	if err != nil {
		t.Fatal(err)
	}
	var groups []string
	for i := range 80 { // as many as maxGroups lets be
		groups = append(groups, fmt.Sprintf("g%03d", i))
	}
	for _, name := range []string{"", "Ada Lovelace", strings.Repeat("x", 5000), strings.Repeat("語", 5000), strings.Repeat("\r", 5000), strings.Repeat("<", 5000), strings.Repeat("\xff", 5000), strings.Repeat("%", 5000)} {
		for _, address := range []string{"", "ada@example.org", strings.Repeat("a", 64) + "@" + strings.Repeat("b", 185) + ".org", strings.Repeat("é", 120) + "@example.org"} {
			for _, groups := range [][]string{nil, groups} {
				id := Identity{UserID: 1 << 30, Email: address, Name: name, Groups: groups}
				token, err := signer.Sign(strings.Repeat("h", 200), id, time.Now())
				if err != nil {
					t.Fatal(err)
				}
				a := id.Attributes()
				user, number, email := a[AttributeUser], a[AttributeID], a[AttributeEmail]
				n := len(token) + len(user) + 2*(len(number)+len(email)+len(a[AttributeName])+len(a[AttributeGroups]))
				if n > 3200 || a[AttributeGroups] != strings.Join(groups, ",") || email != "" && email != printable(address) || email == "" && user != number {
					t.Errorf("%.9q, %.9q, %d groups: %d bytes: %+v", name, address, len(groups), n, a)
				}
			}
		}
	}
	if a := (Identity{UserID: 7, Email: "ada@example.org", Name: strings.Repeat("語", 255)}).Attributes(); len(a[AttributeName]) < 400 || a[AttributeEmail] == "" {
		t.Errorf("there is room for more: %+v", a)
	}
}

func TestAssertion(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	old, fresh := bytes.Repeat([]byte{1}, 32), bytes.Repeat([]byte{2}, 32)
	before, err := NewSigner("https://auth.example.org", [][]byte{old})
	if err != nil {
		t.Fatal(err)
	}
	after, err := NewSigner("https://auth.example.org", [][]byte{fresh, old})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []*Signer{before, after} {
		token, err := s.Sign("app.example.org", Identity{UserID: 7, Email: "ada@example.org", Groups: []string{"admins"}}, now)
		if err != nil {
			t.Fatal(err)
		}
		claims := verify(t, after.JWKS(), token) // rotation: the new set verifies both
		want := map[string]any{"iss": "https://auth.example.org", "aud": "app.example.org", "sub": "7", "email": "ada@example.org", "iat": 1.8e9, "exp": 1.8e9 + 300}
		for name, v := range want {
			if claims[name] != v {
				t.Errorf("%s is %v, want %v", name, claims[name], v)
			}
		}
		if id, _ := claims["jti"].(string); len(id) != 26 {
			t.Errorf("jti %q", id)
		}
	}
}

// verify is what an application does, from the published keys alone.
func verify(t *testing.T, jwks []byte, token string) (claims map[string]any) {
	t.Helper()
	var set struct {
		Keys []struct{ Kid, X, Alg, Crv string }
	}
	if err := json.Unmarshal(jwks, &set); err != nil {
		t.Fatal(err)
	}
	parts := strings.Split(token, ".")
	var header struct{ Alg, Kid string }
	if err := json.Unmarshal(decode(t, parts[0]), &header); err != nil || header.Alg != "EdDSA" {
		t.Fatalf("header %+v, %v", header, err)
	}
	for _, k := range set.Keys {
		if k.Kid == header.Kid && ed25519.Verify(decode(t, k.X), []byte(parts[0]+"."+parts[1]), decode(t, parts[2])) {
			if err := json.Unmarshal(decode(t, parts[1]), &claims); err != nil {
				t.Fatal(err)
			}
			return claims
		}
	}
	t.Fatal("no published key verifies the assertion")
	return nil
}

func decode(t *testing.T, s string) []byte {
	t.Helper()
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
