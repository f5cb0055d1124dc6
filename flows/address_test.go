package flows

import (
	"strings"
	"testing"
)

// M-1, M-2: exactly one mailbox, in one form.
func TestParseAddress(t *testing.T) {
	for in, want := range map[string]string{
		"ada@example.org":                  "ada@example.org",
		"  Ada@Example.ORG \n":             "ada@example.org",
		"a+b.c@example.org":                "a+b.c@example.org",
		"ada@bücher.example":               "ada@xn--bcher-kva.example",
		"ada@BÜCHER.example":               "ada@xn--bcher-kva.example",
		"ada@example。org":                  "ada@example.org", // U+3002, as browsers read it
		"o'brien@example.org":              "o'brien@example.org",
		"x@a.b.c.example":                  "x@a.b.c.example",
		strings.Repeat("a", 64) + "@x.org": strings.Repeat("a", 64) + "@x.org",
	} {
		if got, err := ParseAddress(in); err != nil || got != want {
			t.Errorf("ParseAddress(%q) = %q, %v; want %q", in, got, err, want)
		}
	}
	for _, in := range []string{
		"", " ", "@", "a", "a@", "@b.org", "a@b", "a@@b.org", "a@b@c.org", "a@b.org,c@d.org", "a@b.org;c@d.org",
		"a@b.org c@d.org", "a@b.org\r\nBcc: c@d.org", "a\x00@b.org", "a@b.org\x00", `"a@evil.org"@victim.org`,
		`"a b"@c.org`, `a\@b@c.org`, "<a@b.org>", "Ada <a@b.org>", "a@b.org (x)", "(x)a@b.org", "g:a@b.org;",
		"@r.org:a@b.org", "a@[127.0.0.1]", "a@[IPv6:::1]", "a@127.0.0.1", "a@1.2.3.4", ".a@b.org", "a.@b.org",
		"a..b@c.org", "a@.b.org", "a@b..org", "a@b.org.", "a@-b.org", "a@b-.org", "a@b_c.org", "a@b.org/x",
		"a@b.123", "e\uff20evil.org@victim.org", "a@evil\uff20victim.org", "a@b\u200b.org", "a\u200b@b.org",
		"ä@b.org", "a\u00a0@b.org", "a@b.org\u202e", "a@xn--.org", "a@" + strings.Repeat("x", 64) + ".org",
		strings.Repeat("a", 65) + "@b.org", "a@" + strings.Repeat("x.", 126) + "org", "a%40b.org", "a@b,c.org",
		"a@b.o rg", "a@b\t.org", "mailto:a@b.org", "a@b.org?cc=c@d.org", "a@b.org#x", "\xff@b.org", "a@\xff.org",
	} {
		if got, err := ParseAddress(in); err == nil {
			t.Errorf("ParseAddress(%q) = %q, want a refusal", in, got)
		}
	}
}

// M-1, M-2, L-11: what is accepted is one addr-spec, and normalising it again
// changes nothing.
func FuzzParseAddress(f *testing.F) {
	for _, s := range []string{"ada@example.org", `"a@b"@c.org`, "a@b,c.org", "e＠x.org@y.org", "ADA@BÜCHER.example"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		got, err := ParseAddress(raw)
		if err != nil {
			return
		}
		if again, err := ParseAddress(got); err != nil || again != got {
			t.Errorf("ParseAddress(%q) = %q, and of that %q, %v", raw, got, again, err)
		}
		if len(got) > 254 || strings.Count(got, "@") != 1 || got != strings.ToLower(got) || strings.ContainsAny(got, " \t\r\n\x00,;:<>()[]\"\\") {
			t.Errorf("ParseAddress(%q) = %q", raw, got)
		}
	})
}
