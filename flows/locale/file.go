package locale

import (
	"fmt"
	"io/fs"
	"maps"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"
)

// readAll gives the texts of every file <language>.txt.
func readAll(dir fs.FS) (map[string]map[string]string, error) {
	names, err := fs.Glob(dir, "*.txt")
	if err != nil {
		return nil, err
	}
	all := map[string]map[string]string{}
	for _, name := range names {
		raw, err := fs.ReadFile(dir, name)
		if err != nil {
			return nil, err
		}
		if all[strings.TrimSuffix(name, ".txt")], err = parse(string(raw)); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	return all, nil
}

var keyForm = regexp.MustCompile(`^[A-Za-z0-9_.]+(\[(zero|one|two|few|many|other)\])?$`)

// parse reads lines «key: text»; those that begin with # are for translators.
func parse(file string) (map[string]string, error) {
	texts := map[string]string{}
	number := 0
	for line := range strings.Lines(file) {
		number++
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		key, text, ok := strings.Cut(line, ":")
		text = strings.TrimSpace(text)
		switch {
		case !ok || !keyForm.MatchString(key) || text == "" || !utf8.ValidString(text):
			return nil, fmt.Errorf("line %d: want «key: text»", number)
		case texts[key] != "":
			return nil, fmt.Errorf("line %d: %s is there twice", number, key)
		}
		texts[key] = text
	}
	return texts, nil
}

// mistakes says what of texts does not fit the English ones: keys that nothing
// shows, and values that a text lacks or invents.
func (l *Language) mistakes(texts map[string]string) []string {
	var found []string
	for _, key := range slices.Sorted(maps.Keys(texts)) {
		base, _, _ := strings.Cut(key, "[")
		text, ok := l.find(base, -1)
		if !ok {
			found = append(found, key+": there is no such text")
			continue
		}
		want, got := holes(text), holes(texts[key])
		if base != key { // «one» and «two» may be words
			want, got = slices.DeleteFunc(want, isCount), slices.DeleteFunc(got, isCount)
		}
		if !slices.Equal(want, got) {
			found = append(found, fmt.Sprintf("%s: has %v, want %v", key, got, want))
		}
	}
	return found
}

func isCount(hole string) bool { return hole == "{n}" }

func holes(text string) []string {
	found := placeholder.FindAllString(text, -1)
	slices.Sort(found)
	return slices.Compact(found)
}
