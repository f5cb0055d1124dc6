package locale

import (
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/text/feature/plural"
)

func load(t *testing.T, dir string, offered ...string) *Languages {
	t.Helper()
	l, err := Load(dir, offered)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// Every language has every text, with the values that English has and a line
// for each plural form that it makes.
func TestLanguagesAreComplete(t *testing.T) {
	all := load(t, "")
	en := all.list[0]
	for _, l := range all.list {
		t.Run(l.Tag, func(t *testing.T) {
			for _, mistake := range en.mistakes(l.texts) {
				t.Error(mistake)
			}
			for key := range en.texts {
				base, _, plural := strings.Cut(key, "[")
				if !plural {
					if l.texts[key] == "" {
						t.Errorf("%s is missing", key)
					}
					continue
				}
				want, got := l.forms(), []string(nil)
				for _, form := range forms {
					if l.texts[base+"["+form+"]"] != "" {
						got = append(got, form)
					}
				}
				slices.Sort(got)
				if !slices.Equal(got, want) {
					t.Errorf("%s has the forms %v, wants %v", base, got, want)
				}
			}
			if n := len(strings.Split(l.texts["date.months"], ",")); n != 12 {
				t.Errorf("%d months", n)
			}
		})
	}
}

// forms are the plural forms that whole numbers take in a language.
func (l *Language) forms() []string {
	var found []string
	for n := range 200 {
		if form := forms[plural.Cardinal.MatchPlural(l.rules, n, 0, 0, 0, 0)]; !slices.Contains(found, form) {
			found = append(found, form)
		}
	}
	slices.Sort(found)
	return found
}

func TestMatch(t *testing.T) {
	own := t.TempDir()
	for name, text := range map[string]string{"cy.txt": "or: neu\n", "he.txt": "or: או\n", "en.txt": "mail.wrong: Mistyped?\n"} {
		if err := os.WriteFile(filepath.Join(own, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	all := load(t, own)
	few := load(t, own, "cy", "en")
	for _, tt := range []struct {
		name   string
		from   *Languages
		accept string
		tag    string
		dir    string
	}{
		{"nothing", all, "", "en", "ltr"},
		{"anything", all, "*", "en", "ltr"},
		{"not offered", all, "tlh", "en", "ltr"},
		{"region", all, "cy-GB", "cy", "ltr"},
		{"by preference", all, "tlh;q=1, he;q=0.5, cy;q=0.8", "cy", "ltr"},
		{"right to left", all, "he-IL,en;q=0.4", "he", "rtl"},
		{"stranger to a site that chose", few, "ja", "cy", "ltr"},
		{"broken", all, ";;;q=,,-", "en", "ltr"},
		{"oversized", all, strings.Repeat("he,", 200), "en", "ltr"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.from.Match(tt.accept); got.Tag != tt.tag || got.Dir != tt.dir {
				t.Errorf("%s %s", got.Tag, got.Dir)
			}
		})
	}
	cy := all.Named("cy")
	if cy.Text("or") != "neu" || cy.Text("mail.wrong") != "Mistyped?" || all.Named("xx").Tag != "en" {
		t.Errorf("%q %q", cy.Text("or"), cy.Text("mail.wrong"))
	}
}

func TestTextsOfTheirOwnThatCannotBeShown(t *testing.T) {
	for text, want := range map[string]string{
		"mail.look: ok":                         "mail.look: has [], want [{sender} {subject}]",
		"mail.look: {sender} {subject} {token}": "[{sender} {subject} {token}]",
		"mail.snet: x":                          "mail.snet: there is no such text",
		"mail.sent":                             "line 1: want",
		"or: a\n\nor: b":                        "line 3: or is there twice",
		"or: \xff":                              "line 1: want",
		"or[several]: x":                        "line 1: want",
	} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "de.txt"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Load(dir, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", text, err)
		}
	}
	if _, err := Load(filepath.Join(t.TempDir(), "none"), nil); err == nil {
		t.Error("a folder that is not there")
	}
}

func TestText(t *testing.T) {
	l := load(t, "").Match("")
	for _, tt := range []struct {
		key    string
		values []any
		want   string
	}{
		{"or", nil, "or"},
		{"mail.once", []any{"n", 1}, "Both work once, for 1 minute."},
		{"mail.once", []any{"n", 10}, "Both work once, for 10 minutes."},
		{"mail.once", nil, "Both work once, for {n} minutes."},
		{"account.unverified", []any{"email", "{email}{n}"}, "{email}{n} (not verified)"},
		{"no.such", nil, "no.such"},
	} {
		if got := l.Text(tt.key, tt.values...); got != tt.want {
			t.Errorf("%s %v: %q", tt.key, tt.values, got)
		}
	}
	got := l.Parts("mail.look", "sender", "Us", "subject", "Hello")
	want := []Part{{"Look for “", false}, {"Hello", true}, {"” from ", false}, {"Us", true}, {".", false}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%+v", got)
	}
	if got := load(t, "").Named("ar").Text("mail.subject", "site", "example.org"); !strings.HasSuffix(got, "\u2068example.org\u2069") {
		t.Errorf("%q", got)
	}
	if got := load(t, "").Named("ar").Text("account.since", "date", "4 مارس 2026"); strings.Contains(got, isolate) {
		t.Errorf("%q", got)
	}
	then := time.Date(2026, time.December, 4, 23, 6, 7, 0, time.FixedZone("", -3600))
	if got := l.Moment(then); got != "5 December 2026, 00:06 UTC" {
		t.Errorf("%q", got)
	}
}

// Whoever speaks to a browser says what a button shows, so its longer name has
// the same words (WCAG 2.5.3).
func TestNamesHaveTheirLabels(t *testing.T) {
	for _, l := range load(t, "").list {
		for _, key := range []string{"account.unlink", "account.end"} {
			label, name := strings.ToLower(l.Text(key)), strings.ToLower(l.Text(key+".name"))
			if !strings.Contains(name, label) {
				t.Errorf("%s: %q is not in %q", l.Tag, label, name)
			}
		}
	}
}
