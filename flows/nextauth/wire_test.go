package nextauth

import (
	"testing"
	"time"
)

func TestHashes(t *testing.T) {
	const token = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
	if got := Secret(secret).Hash(token); got != "dfed7848cb95dc7c2b2ee26d291cbc93b17aceb3b5e251c40824bc5e7d16ca3f" {
		t.Errorf("hash %s", got)
	}
	if got := State(token); got != "2a8abfa8cb9906290437854193ca6bca41d4d4e26d1d454bd66a35158095e737" {
		t.Errorf("state %s", got)
	}
}

func TestParseURL(t *testing.T) {
	for raw, want := range map[string][2]string{
		"https://site.example":               {"https://site.example", "/api/auth"},
		"https://site.example/":              {"https://site.example", "/api/auth"},
		"https://site.example/api/auth":      {"https://site.example", "/api/auth"},
		"https://site.example/sub/api/auth/": {"https://site.example", "/sub/api/auth"},
		"http://localhost:3000":              {"http://localhost:3000", "/api/auth"},
		"site.example":                       {"https://site.example", "/api/auth"},
		"site.example/x":                     {"https://site.example", "/x"},
	} {
		if origin, path := ParseURL(raw); origin != want[0] || path != want[1] {
			t.Errorf("%s: %s %s, want %v", raw, origin, path, want)
		}
	}
}

func TestEncodeURIComponent(t *testing.T) {
	for plain, want := range map[string]string{
		"a|b":                      "a%7Cb",
		"a b+c":                    "a%20b%2Bc",
		"http://x.test:1/y?z=1#é~": "http%3A%2F%2Fx.test%3A1%2Fy%3Fz%3D1%23%C3%A9~",
		"-_.!~*'()":                "-_.!~*'()",
	} {
		if got := EncodeURIComponent(plain); got != want || DecodeURIComponent(got) != plain {
			t.Errorf("%q: %q, back %q", plain, got, DecodeURIComponent(got))
		}
	}
	for _, broken := range []string{"%zz", "%", "%ff"} {
		if got := DecodeURIComponent(broken); got != broken {
			t.Errorf("%q becomes %q", broken, got)
		}
	}
}

// JSON.stringify escapes less than Go's encoder, and Date.toJSON cuts.
func TestSessionJSON(t *testing.T) {
	name, email := "<Ada> \"A\" & \\ \u2028\u007f é\x00\b\n\x1f", "a@example.test"
	got := string(Session{Name: &name, Email: &email, AccessToken: "bf3619cb76400", Expires: time.Date(2026, 12, 23, 8, 22, 30, 726999999, time.FixedZone("", 3600))}.JSON())
	want := `{"user":{"name":"<Ada> \"A\" & \\ ` + "\u2028\u007f" + ` é\u0000\b\n\u001f","email":"a@example.test","image":null},"accessToken":"bf3619cb76400","expires":"2026-12-23T07:22:30.726Z"}`
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}
