package app

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"

	"github.com/gatepost/gatepost/providers"
)

// unknownKeys lists the keys of a file that the configuration does not have,
// with their place and the nearest key that it has.
func unknownKeys(file string, root *yaml.Node) []string {
	if root.Kind != yaml.DocumentNode || len(root.Content) == 0 {
		return nil
	}
	var mistakes []string
	walkKeys(root.Content[0], reflect.TypeFor[Config](), func(key *yaml.Node, known []string) {
		m := fmt.Sprintf("%s:%d:%d: unknown key %q", file, key.Line, key.Column, key.Value)
		if near := nearest(key.Value, known); near != "" {
			m += fmt.Sprintf("; did you mean %q?", near)
		} else {
			m += "; known here are " + strings.Join(known, ", ")
		}
		mistakes = append(mistakes, m)
	})
	return mistakes
}

func walkKeys(n *yaml.Node, t reflect.Type, unknown func(*yaml.Node, []string)) {
	if t == reflect.TypeFor[Document]() {
		t = reflect.TypeFor[providers.Provider]()
	}
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch {
	case n.Kind == yaml.SequenceNode && t.Kind() == reflect.Slice:
		for _, item := range n.Content {
			walkKeys(item, t.Elem(), unknown)
		}
	case n.Kind == yaml.MappingNode && t.Kind() == reflect.Struct:
		fields, open := keysOf(t)
		for i := 0; i+1 < len(n.Content); i += 2 {
			field, ok := fields[n.Content[i].Value]
			switch {
			case ok:
				walkKeys(n.Content[i+1], field, unknown)
			case !open:
				unknown(n.Content[i], sortedKeys(fields))
			}
		}
	}
}

// keysOf gives the YAML keys of a struct; open means that it takes others too.
func keysOf(t reflect.Type) (fields map[string]reflect.Type, open bool) {
	fields = map[string]reflect.Type{}
	for f := range t.Fields() {
		name, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		if name == "" {
			open = true
			continue
		}
		fields[name] = f.Type
	}
	return fields, open
}

func sortedKeys(m map[string]reflect.Type) []string {
	var keys []string
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// nearest is the known word within two edits of s, or "".
func nearest(s string, known []string) string {
	best, distance := "", 3
	for _, k := range known {
		if d := edits(s, k); d < distance {
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

// readEnvironment sets every key that has a variable: GATEPOST_ and the key in
// capitals, dots as underscores; lists are separated by commas. DATABASE_URL is
// understood too.
func (c *Config) readEnvironment(environ []string) error {
	env := map[string]string{}
	for _, e := range environ {
		name, v, _ := strings.Cut(e, "=")
		env[name] = v
	}
	if v := env["DATABASE_URL"]; v != "" && c.Database.URL == "" {
		c.Database.URL = Secret(v)
	}
	return setFromEnvironment(reflect.ValueOf(c).Elem(), "GATEPOST", env)
}

func setFromEnvironment(v reflect.Value, prefix string, env map[string]string) error {
	for f, value := range v.Fields() {
		key, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		name := prefix + "_" + strings.ToUpper(key)
		if value.Kind() == reflect.Struct {
			if err := setFromEnvironment(value, name, env); err != nil {
				return err
			}
			continue
		}
		raw, set := env[name]
		if !set || key == "" {
			continue
		}
		if err := setValue(value, raw); err != nil {
			return fmt.Errorf("environment variable %s: %w", name, err)
		}
	}
	return nil
}

func setValue(v reflect.Value, raw string) error {
	switch {
	case v.Type() == reflect.TypeFor[time.Duration]():
		d, err := time.ParseDuration(raw)
		if err != nil {
			return fmt.Errorf("%q is not a duration such as 10m", raw)
		}
		v.SetInt(int64(d))
	case v.Kind() == reflect.String:
		v.SetString(raw)
	case v.Kind() == reflect.Bool:
		b, err := strconv.ParseBool(raw)
		if err != nil {
			return fmt.Errorf("%q is neither true nor false", raw)
		}
		v.SetBool(b)
	case v.CanInt():
		n, err := strconv.ParseInt(raw, 10, 32)
		if err != nil {
			return fmt.Errorf("%q is not a number", raw)
		}
		v.SetInt(n)
	case v.Kind() == reflect.Slice && v.Type().Elem().Kind() == reflect.String:
		list := reflect.MakeSlice(v.Type(), 0, 4)
		for part := range strings.SplitSeq(raw, ",") {
			list = reflect.Append(list, reflect.ValueOf(strings.TrimSpace(part)).Convert(v.Type().Elem()))
		}
		v.Set(list)
	default:
		// providers: the same YAML as in the file.
		if err := yaml.Unmarshal([]byte(raw), v.Addr().Interface()); err != nil {
			return fmt.Errorf("not YAML: %w", err)
		}
	}
	return nil
}
