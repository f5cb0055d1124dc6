package app

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// mistakes gathers what is wrong with a configuration, so that all of it is said
// at once, each with the place where its value was written.
type mistakes struct {
	file     string           // "" without one
	variable string           // whose YAML is being read; "" for the file
	places   map[string]place // by key path: mail.link_ttl, providers[0].client_id
	found    []mistake
}

// place is where a value stands: in the file, or in a variable.
type place struct {
	line, column int    // 0 for a variable that is one value
	variable     string // "" for the file
	reference    string // env:NAME or file:/path that the value was taken from
}

type mistake struct {
	place
	key, text string
}

// wrong notes a mistake. What is wrong below a key that is wrong already only
// follows from it.
func (m *mistakes) wrong(key, format string, args ...any) {
	for _, f := range m.found {
		if f.key != "" && (key == f.key || inside(key, f.key)) {
			return
		}
	}
	m.add(key, format, args...)
}

// add notes one of several mistakes about key.
func (m *mistakes) add(key, format string, args ...any) {
	at, text := m.placeOf(key), fmt.Sprintf(format, args...)
	if at.reference != "" {
		text = at.reference + ": " + text
	}
	if key != "" {
		text = key + ": " + text
	}
	m.found = append(m.found, mistake{at, key, text})
}

// oneOf notes a mistake unless value is one of known.
func (m *mistakes) oneOf(key, value string, known ...string) {
	if !slices.Contains(known, value) {
		m.wrong(key, "%q is unknown%s", value, suggestion(value, known))
	}
}

// at notes a mistake that is told by its place alone.
func (m *mistakes) at(line, column int, key, format string, args ...any) {
	m.found = append(m.found, mistake{place{line: line, column: column, variable: m.variable}, key, fmt.Sprintf(format, args...)})
}

// has reports whether key or something below it is wrong.
func (m *mistakes) has(key string) bool {
	return slices.ContainsFunc(m.found, func(f mistake) bool { return f.key == key || inside(f.key, key) })
}

func inside(key, section string) bool {
	rest, ok := strings.CutPrefix(key, section)
	return ok && rest != "" && (rest[0] == '.' || rest[0] == '[')
}

// put says where key stands now, and forgets where parts of it stood before.
func (m *mistakes) put(key string, p place) {
	if m.places == nil {
		m.places = map[string]place{}
	}
	for k := range m.places {
		if inside(k, key) {
			delete(m.places, k)
		}
	}
	m.places[key] = p
}

// placeOf is where key stands or, when it is missing, what it is missing from.
func (m *mistakes) placeOf(key string) place {
	for {
		if p, ok := m.places[key]; ok {
			return p
		}
		end := strings.LastIndexAny(key, ".[")
		if end < 0 {
			return place{}
		}
		key = key[:end]
	}
}

// err lists everything, what stands in the file in its order first.
func (m *mistakes) err() error {
	if len(m.found) == 0 {
		return nil
	}
	slices.SortStableFunc(m.found, func(a, b mistake) int {
		if order := cmp.Compare(a.rank(), b.rank()); order != 0 || a.variable != "" {
			return order
		}
		return cmp.Or(cmp.Compare(a.line, b.line), cmp.Compare(a.column, b.column))
	})
	var lines []string
	for _, f := range m.found {
		lines = append(lines, m.where(f)+": "+f.text)
	}
	return errors.New(strings.Join(lines, "\n"))
}

// rank puts the file before variables, and what is missing last.
func (p place) rank() int {
	switch {
	case p.variable != "":
		return 1
	case p.line > 0:
		return 0
	}
	return 2
}

func (m *mistakes) where(f mistake) string {
	source := m.file
	switch {
	case f.variable != "":
		source = "environment variable " + f.variable
	case source == "" && plainKey.MatchString(f.key):
		source = "environment variable " + variable(f.key)
	case source == "":
		source = "configuration"
	}
	if f.line > 0 {
		return fmt.Sprintf("%s:%d:%d", source, f.line, f.column)
	}
	return source
}

// plainKey is one that has a variable of its own.
var plainKey = regexp.MustCompile(`^[a-z_]+(\.[a-z_]+)?$`)

// suggestion names the nearest known word, or all of them.
func suggestion(s string, known []string) string {
	if near := nearest(s, known); near != "" {
		return fmt.Sprintf("; did you mean %q?", near)
	}
	return "; want " + choice(known)
}

// choice writes a list as people say it.
func choice(words []string) string {
	if last := len(words) - 1; last > 0 {
		return strings.Join(words[:last], ", ") + " or " + words[last]
	}
	return strings.Join(words, "")
}

// nearest is the known word within two edits of s, and of half of it, or "".
func nearest(s string, known []string) string {
	best, distance := "", 3
	for _, k := range known {
		if d := edits(s, k); d < distance && 2*d <= len(s) {
			best, distance = k, d
		}
	}
	return best
}

// edits is the Levenshtein distance.
func edits(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		diagonal := row[0]
		row[0] = i
		for j := 1; j <= len(b); j++ {
			change := diagonal
			if a[i-1] != b[j-1] {
				change++
			}
			diagonal = row[j]
			row[j] = min(change, row[j]+1, row[j-1]+1)
		}
	}
	return row[len(b)]
}
