// Package locale has every text that a person reads, one file a language, and
// picks the language of whoever reads.
//
// A file has lines «key: text». {name} stands for a value. A text that depends
// on the number {n} has a line for each plural form of its language,
// «key[one]: …», «key[other]: …», as Unicode's CLDR names them. English is
// complete; what another language lacks is shown in English.
package locale

import (
	"embed"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"

	"golang.org/x/text/feature/plural"
	"golang.org/x/text/language"
)

//go:embed *.txt
var builtIn embed.FS

const english = "en"

// maxHeader is more than any browser sends as Accept-Language.
const maxHeader = 300

// A Language is the texts of one language. It is safe for concurrent use.
type Language struct {
	Tag string // BCP 47, for the attribute lang
	Dir string // ltr or rtl

	rules language.Tag
	texts map[string]string
	base  *Language // nil for English
}

// Languages are those on offer, the one for strangers first.
type Languages struct {
	list    []*Language
	matcher language.Matcher
}

// Load gives the languages named in offered, or all there are with English
// first. Files in dir ("" for none) replace built-in texts one by one and add
// languages. A text that could not be shown as meant is an error.
func Load(dir string, offered []string) (*Languages, error) {
	all, err := readAll(builtIn)
	if err != nil {
		return nil, err
	}
	en := &Language{Tag: english, Dir: "ltr", rules: language.English, texts: all[english]}
	if dir != "" {
		if _, err := os.Stat(dir); err != nil {
			return nil, err
		}
		own, err := readAll(os.DirFS(dir))
		if err != nil {
			return nil, err
		}
		for name, texts := range own {
			if mistakes := en.mistakes(texts); len(mistakes) > 0 {
				return nil, fmt.Errorf("%s: %s", filepath.Join(dir, name+".txt"), strings.Join(mistakes, "; "))
			}
			if all[name] == nil {
				all[name] = map[string]string{}
			}
			for key, text := range texts {
				all[name][key] = text
			}
		}
	}
	return choose(en, all, offered)
}

func choose(en *Language, all map[string]map[string]string, offered []string) (*Languages, error) {
	if len(offered) == 0 {
		for name := range all {
			if name != english {
				offered = append(offered, name)
			}
		}
		slices.Sort(offered)
		offered = append([]string{english}, offered...)
	}
	l := &Languages{}
	var tags []language.Tag
	for _, name := range offered {
		tag, err := language.Parse(name)
		if err != nil || all[name] == nil {
			return nil, fmt.Errorf("no texts for the language %q", name)
		}
		chosen := en
		if name != english {
			chosen = &Language{Tag: tag.String(), Dir: direction(tag), rules: tag, texts: all[name], base: en}
		}
		l.list, tags = append(l.list, chosen), append(tags, tag)
	}
	l.matcher = language.NewMatcher(tags)
	return l, nil
}

func direction(tag language.Tag) string {
	script, _ := tag.Script()
	switch script.String() {
	case "Arab", "Hebr", "Syrc", "Thaa", "Nkoo", "Adlm":
		return "rtl"
	}
	return "ltr"
}

// Match picks the language for the header Accept-Language, the first on offer
// when none fits.
func (l *Languages) Match(accept string) *Language {
	if len(accept) > maxHeader {
		return l.list[0]
	}
	_, i := language.MatchStrings(l.matcher, accept)
	return l.list[i]
}

// Named gives the language of that tag, the first on offer if there is none.
func (l *Languages) Named(tag string) *Language {
	for _, one := range l.list {
		if one.Tag == tag {
			return one
		}
	}
	return l.list[0]
}

// Tags are the languages on offer.
func (l *Languages) Tags() []string {
	var tags []string
	for _, one := range l.list {
		tags = append(tags, one.Tag)
	}
	return tags
}

// A Part is a piece of a text: words of the language, or a value put in.
type Part struct {
	Text  string
	Value bool
}

// Unicode's marks around a piece whose direction is its own: a host name in an
// Arabic sentence must not drag the words beside it along.
const isolate, endIsolate = "\u2068", "\u2069"

// Text is the text of key with values put in for the names they follow:
// Text("mail.sent", "email", address). A key without a text is its own text.
func (l *Language) Text(key string, values ...any) string {
	var b strings.Builder
	for _, p := range l.Parts(key, values...) {
		if p.Value && l.Dir == "rtl" && strings.ContainsFunc(p.Text, leftToRight) {
			p.Text = isolate + p.Text + endIsolate
		}
		b.WriteString(p.Text)
	}
	return b.String()
}

// leftToRight reports a letter of the scripts before Hebrew, where those written
// from right to left begin.
func leftToRight(r rune) bool { return unicode.IsLetter(r) && r < 0x590 }

// Has reports whether key has a text.
func (l *Language) Has(key string) bool {
	_, ok := l.find(key, -1)
	return ok
}

var placeholder = regexp.MustCompile(`\{[a-z]+\}`)

// Parts is Text in pieces, so that a page can set values apart from words.
// Values are never read for placeholders themselves.
func (l *Language) Parts(key string, values ...any) []Part {
	named, n := map[string]string{}, -1
	for i := 0; i+1 < len(values); i += 2 {
		name := fmt.Sprint(values[i])
		named["{"+name+"}"] = fmt.Sprint(values[i+1])
		if count, ok := values[i+1].(int); ok && name == "n" {
			n = count
		}
	}
	text, ok := l.find(key, n)
	if !ok {
		return []Part{{Text: key}}
	}
	var parts []Part
	at := 0
	for _, hole := range placeholder.FindAllStringIndex(text, -1) {
		value, known := named[text[hole[0]:hole[1]]]
		if !known {
			continue
		}
		if hole[0] > at {
			parts = append(parts, Part{Text: text[at:hole[0]]})
		}
		parts = append(parts, Part{Text: value, Value: true})
		at = hole[1]
	}
	if at < len(text) {
		parts = append(parts, Part{Text: text[at:]})
	}
	return parts
}

// find gives the text of key, in the plural form for n if it has forms.
func (l *Language) find(key string, n int) (string, bool) {
	if text, ok := l.texts[key]; ok {
		return text, true
	}
	if text, ok := l.texts[key+"["+l.form(n)+"]"]; ok {
		return text, true
	}
	if text, ok := l.texts[key+"[other]"]; ok {
		return text, true
	}
	if l.base == nil {
		return "", false
	}
	return l.base.find(key, n)
}

var forms = map[plural.Form]string{plural.Zero: "zero", plural.One: "one", plural.Two: "two", plural.Few: "few", plural.Many: "many", plural.Other: "other"}

func (l *Language) form(n int) string {
	if n < 0 {
		return "other"
	}
	return forms[plural.Cardinal.MatchPlural(l.rules, n, 0, 0, 0, 0)]
}

// Date is a day in words, in UTC.
func (l *Language) Date(t time.Time) string {
	t = t.UTC()
	months := strings.Split(l.Text("date.months"), ",")
	return l.Text("date.day", "day", t.Day(), "month", strings.TrimSpace(months[(int(t.Month())-1)%len(months)]), "year", t.Year())
}

// Moment is a day and a time of day, in UTC.
func (l *Language) Moment(t time.Time) string {
	return l.Text("date.moment", "day", l.Date(t), "time", t.UTC().Format("15:04"))
}

// Ago says how long before now t was.
func (l *Language) Ago(t, now time.Time) string {
	switch past := now.Sub(t); {
	case past < time.Minute:
		return l.Text("ago.now")
	case past < time.Hour:
		return l.Text("ago.minutes", "n", int(past/time.Minute))
	default:
		return l.Text("ago.hours", "n", int(past/time.Hour))
	}
}
