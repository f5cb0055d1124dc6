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
		"a..b@docomo.example":              "a..b@docomo.example",
		".a.@docomo.example":               ".a.@docomo.example",
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
		"@r.org:a@b.org", "a@[127.0.0.1]", "a@[IPv6:::1]", "a@127.0.0.1", "a@1.2.3.4", ".@b.org", "..@b.org",
		`"a..b"@c.org`, "a@.b.org", "a@b..org", "a@b.org.", "a@-b.org", "a@b-.org", "a@b_c.org", "a@b.org/x",
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

// L-11: where one mailbox may be stored, in the order in which it is looked for.
func TestSpellings(t *testing.T) {
	var ours own
	var theirs shared
	for in, want := range map[string]struct {
		own, shared string // joined by spaces
		canonical   string // of the stored address in
	}{
		"ada@example.org":                 {"ada@example.org", "ada@example.org", "ada@example.org"},
		"Ada@Example.org":                 {"ada@example.org Ada@Example.org", "ada@example.org Ada@Example.org", "ada@example.org"},
		"idn@bücher.de":                   {"idn@xn--bcher-kva.de idn@bücher.de", "idn@bücher.de idn@xn--bcher-kva.de", "idn@xn--bcher-kva.de"},
		"idn@xn--bcher-kva.de":            {"idn@xn--bcher-kva.de idn@bücher.de", "idn@bücher.de idn@xn--bcher-kva.de", "idn@xn--bcher-kva.de"},
		"Idn@BÜCHER.de":                   {"idn@xn--bcher-kva.de idn@bücher.de Idn@BÜCHER.de", "idn@bücher.de idn@xn--bcher-kva.de Idn@BÜCHER.de", "idn@xn--bcher-kva.de"},
		"idn@faß.de":                      {"idn@xn--fa-hia.de idn@faß.de", "idn@faß.de idn@xn--fa-hia.de", "idn@xn--fa-hia.de"},
		" idn@bücher.de\n":                {"idn@xn--bcher-kva.de idn@bücher.de", "idn@bücher.de idn@xn--bcher-kva.de", "idn@xn--bcher-kva.de"},
		"a..b@docomo.example":             {"a..b@docomo.example", "a..b@docomo.example", "a..b@docomo.example"},
		"ada@\uff45xample.org":            {"ada@example.org", "ada@example.org", ""}, // e in full width
		"ada@o\ufb03ce.example":           {"ada@office.example", "ada@office.example", ""},
		"ada@example\u3002org":            {"ada@example.org", "ada@example.org", ""},
		"ada@\u0130x.example":             {"ada@xn--ix-rub.example ada@i\u0307x.example", "ada@i\u0307x.example ada@xn--ix-rub.example", ""},
		"e\uff20evil.test@victim.test":    {"", "", ""},
		`"e@evil.test"@victim.test`:       {"", "", ""},
		"ada@example.org,eve@evil.test":   {"", "", ""},
		"\u0130da@example.org":            {"", "", ""},
		"":                                {"", "", ""},
		"ada@example.org\x00":             {"", "", ""},
		"idn@xn--bcher-kva.de.evil\u200b": {"", "", ""},
	} {
		if got := strings.Join(ours.addresses(in), " "); got != want.own {
			t.Errorf("%q: %q, want %q", in, got, want.own)
		}
		if got := strings.Join(theirs.addresses(in), " "); got != want.shared {
			t.Errorf("%q beside NextAuth: %q, want %q", in, got, want.shared)
		}
		if got := canonicalOf(in); got != want.canonical {
			t.Errorf("%q stored: %q, want %q", in, got, want.canonical)
		}
	}
}

// L-11, M-2: never are two mailboxes taken for one, and all spellings of one have
// the same first.
func FuzzSpellings(f *testing.F) {
	for _, s := range []string{"Ada@Example.org", "idn@bücher.de", "a@xn--bcher-kva.de", "a@ＢÜCHER.de", "a@faß.de", "a@ΣΑΣ.gr", "a@\u0130.org", "\u212a@x.org", "a@Ꭰ.org", "e＠x.org@y.org", "a@b--c.org", "a.b+c@d-e.f1", "a@1.b.1"} {
		f.Add(s)
	}
	var ours own
	var theirs shared
	f.Fuzz(func(t *testing.T, raw string) {
		canonical, err := ParseAddress(raw)
		all, beside := ours.addresses(raw), theirs.addresses(raw)
		if (err == nil) != (len(all) > 0) || len(all) != len(beside) || len(all) > 3 {
			t.Fatalf("%q: %q, %q, %v", raw, all, beside, err)
		}
		for _, s := range all {
			if c := canonicalOf(s); c != canonical {
				t.Errorf("%q is stored as %q, which is %q", raw, s, c)
			}
			if ours.addresses(s)[0] != all[0] || theirs.addresses(s)[0] != beside[0] {
				t.Errorf("%q and %q are written in two ways", raw, s)
			}
		}
		if c := canonicalOf(raw); c != "" && c != canonical {
			t.Errorf("%q is %q", raw, c)
		}
	})
}
