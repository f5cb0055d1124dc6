package app

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"

	"github.com/gatepost/gatepost/providers"
)

// readFile sets what the file at path says.
func (c *Config) readFile(path string, m *mistakes) error {
	raw, err := os.ReadFile(path)
	switch {
	case errors.Is(err, syscall.EISDIR):
		return fmt.Errorf("%s: is a folder; name the file in it", path)
	case err != nil:
		return fmt.Errorf("%s: %s", path, cause(err))
	}
	return c.readBytes(raw, m)
}

func (c *Config) readBytes(raw []byte, m *mistakes) error {
	root, err := parse(raw, m)
	if err != nil {
		return err
	}
	m.fill(reflect.ValueOf(c).Elem(), root, "")
	return nil
}

// parse gives the one mapping that the file holds; no more is read
// of one that cannot be understood.
func parse(raw []byte, m *mistakes) (*yaml.Node, error) {
	if !utf8.Valid(raw) {
		line, column := 1, 1
		for len(raw) > 0 {
			r, size := utf8.DecodeRune(raw)
			if r == utf8.RuneError && size == 1 {
				break
			}
			if column++; r == '\n' {
				line, column = line+1, 1
			}
			raw = raw[size:]
		}
		m.at(line, column, "", "is not UTF-8 from here on; save the file as UTF-8 text")
		return nil, m.err()
	}
	var documents []*yaml.Node
	for d := yaml.NewDecoder(bytes.NewReader(raw)); ; {
		var doc yaml.Node
		err := d.Decode(&doc)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			if at, ok := errors.AsType[*yaml.LoadError](err); ok && at.Mark.Line > 0 {
				m.at(at.Mark.Line, at.Mark.Column, "", "not YAML: %s", at.Message)
				return nil, m.err()
			}
			return nil, fmt.Errorf("%s: not YAML: %s", m.file, strings.TrimPrefix(err.Error(), "yaml: "))
		}
		documents = append(documents, &doc)
	}
	switch {
	case len(documents) == 0:
		return nil, fmt.Errorf("%s: holds no keys; config.example.yaml shows them all", m.file)
	case len(documents) > 1:
		m.at(documents[1].Line, documents[1].Column, "", "a second YAML document begins here; the configuration is one")
	}
	root := documents[0].Content[0]
	if root.Kind != yaml.MappingNode {
		m.at(root.Line, root.Column, "", "want keys and their values, as in public_url: https://auth.example.org")
		return nil, m.err()
	}
	return root, nil
}

// fill sets v from n, which stands at key, and notes the place of every value.
// What is null is left as it was.
func (m *mistakes) fill(v reflect.Value, n *yaml.Node, key string) {
	m.put(key, place{line: n.Line, column: n.Column, variable: m.variable})
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" {
		return
	}
	_, reads := v.Addr().Interface().(yaml.Unmarshaler)
	switch t := v.Type(); {
	case t == reflect.TypeFor[Document]():
		// Read as a document of the catalogue for its mistakes, and kept as it is.
		m.fill(reflect.New(reflect.TypeFor[providers.Provider]()).Elem(), n, key)
		m.decode(v, n, key)
	case reads || t.Kind() == reflect.Interface || t == reflect.TypeFor[map[string]any]():
		m.decode(v, n, key)
	case t.Kind() == reflect.Pointer:
		v.Set(reflect.New(t.Elem()))
		m.fill(v.Elem(), n, key)
	case t.Kind() == reflect.Struct && n.Kind == yaml.MappingNode:
		m.fillStruct(v, n, key)
	case t.Kind() == reflect.Map && n.Kind == yaml.MappingNode:
		v.Set(reflect.MakeMap(t))
		m.pairs(n, key, func(name, value *yaml.Node, at string) { m.fillEntry(v, name.Value, value, at) })
	case t.Kind() == reflect.Slice && n.Kind == yaml.SequenceNode:
		v.Set(reflect.MakeSlice(t, len(n.Content), len(n.Content)))
		for i, item := range n.Content {
			m.fill(v.Index(i), item, fmt.Sprintf("%s[%d]", key, i))
		}
	case isScalar(t) && n.Kind == yaml.ScalarNode:
		if err := setText(v, n.Value); err != nil {
			m.wrong(key, "%v", err)
		}
	default:
		m.wrong(key, "want %s", kindOf(t))
	}
}

func (m *mistakes) fillStruct(v reflect.Value, n *yaml.Node, key string) {
	fields := map[string]reflect.Value{}
	var others reflect.Value // the inline map, which takes every other key
	for f, value := range v.Fields() {
		switch name, _, _ := strings.Cut(f.Tag.Get("yaml"), ","); name {
		case "":
			others = value
		default:
			fields[name] = value
		}
	}
	m.pairs(n, key, func(name, value *yaml.Node, at string) {
		field, known := fields[name.Value]
		switch {
		case known:
			m.fill(field, value, at)
		case others.IsValid():
			if others.IsNil() {
				others.Set(reflect.MakeMap(others.Type()))
			}
			m.fillEntry(others, name.Value, value, at)
		default:
			m.at(name.Line, name.Column, at, "unknown key %q%s", name.Value, suggestion(name.Value, sorted(fields)))
		}
	})
}

// fillEntry sets one entry of a map.
func (m *mistakes) fillEntry(v reflect.Value, name string, value *yaml.Node, at string) {
	entry := reflect.New(v.Type().Elem()).Elem()
	m.fill(entry, value, at)
	v.SetMapIndex(reflect.ValueOf(name), entry)
}

// pairs calls each for the keys of a mapping; a key that is there twice is a
// mistake, since only one of the two can count.
func (m *mistakes) pairs(n *yaml.Node, key string, each func(name, value *yaml.Node, at string)) {
	first := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		name, value := n.Content[i], n.Content[i+1]
		if line, twice := first[name.Value]; twice {
			m.at(name.Line, name.Column, "", "the key %q is in line %d already", name.Value, line)
			continue
		}
		first[name.Value] = name.Line
		at := name.Value
		if key != "" {
			at = key + "." + name.Value
		}
		each(name, value, at)
	}
}

func (m *mistakes) decode(v reflect.Value, n *yaml.Node, key string) {
	if err := n.Decode(v.Addr().Interface()); err != nil {
		m.wrong(key, "%s", strings.TrimPrefix(err.Error(), "yaml: "))
	}
}

func sorted[T any](m map[string]T) []string {
	var keys []string
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
