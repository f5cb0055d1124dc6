package providers

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"
)

// Documents are what a mapping reads: "" is the profile, others are named with
// a dollar sign: token, callback, param, and the extra requests.
type Documents map[string]any

// Exprs is a list of expressions of the mapping language; a single one needs no
// list. An expression is a path, a template with {paths}, {value, unless} or
// {hook}.
type Exprs []expr

type expr struct {
	text   string // a path with filters, or a template
	unless string // a path that, when true, empties the value
	hook   string
}

// UnmarshalYAML reads a string, a mapping, a list of both, or null, in place of
// what was there: an operator's word replaces the catalogue's.
func (e *Exprs) UnmarshalYAML(n *yaml.Node) error {
	*e = nil
	switch n.Kind {
	case yaml.SequenceNode:
		for _, item := range n.Content {
			var one Exprs
			if err := one.UnmarshalYAML(item); err != nil {
				return err
			}
			*e = append(*e, one...)
		}
		return nil
	case yaml.MappingNode:
		var m struct {
			Value  string `yaml:"value"`
			Unless string `yaml:"unless"`
			Hook   string `yaml:"hook"`
		}
		if err := n.Decode(&m); err != nil {
			return err
		}
		*e = append(*e, expr{m.Value, m.Unless, m.Hook})
		return nil
	}
	if n.Tag == "!!null" {
		return nil
	}
	var s string
	if err := n.Decode(&s); err != nil {
		return err
	}
	*e = append(*e, expr{text: s})
	return nil
}

// Value gives the first value that is not empty.
func (e Exprs) Value(docs Documents) string {
	for _, x := range e {
		if v := x.value(docs); v != "" {
			return v
		}
	}
	return ""
}

func (x expr) value(docs Documents) string {
	if x.hook != "" {
		return runHook(x.hook, docs)
	}
	if x.unless != "" && truthy(look(docs, x.unless)) {
		return ""
	}
	if !strings.Contains(x.text, "{") {
		return filtered(docs, x.text)
	}
	// A URL with a hole in it leads somewhere else, so it needs all its parts.
	needsAll := strings.Contains(x.text, "://")
	var b strings.Builder
	filled := false
	for rest := x.text; rest != ""; {
		before, after, found := strings.Cut(rest, "{")
		b.WriteString(before)
		if !found {
			break
		}
		path, tail, _ := strings.Cut(after, "}")
		v := filtered(docs, path)
		if v == "" && needsAll {
			return ""
		}
		filled = filled || v != ""
		b.WriteString(v)
		rest = tail
	}
	if !filled {
		return ""
	}
	return strings.TrimSpace(b.String())
}

// filtered evaluates path|strip('x')|replace('a','b')|before('x')|after_last('x').
func filtered(docs Documents, text string) string {
	parts := strings.Split(text, "|")
	v := printed(look(docs, strings.TrimSpace(parts[0])))
	for _, f := range parts[1:] {
		name, rest, _ := strings.Cut(strings.TrimSpace(f), "(")
		var args []string
		for _, a := range strings.Split(strings.TrimSuffix(rest, ")"), ",") {
			args = append(args, strings.Trim(strings.TrimSpace(a), `'"`))
		}
		switch {
		case name == "strip":
			v = strings.TrimPrefix(v, args[0])
		case name == "replace" && len(args) == 2:
			v = strings.ReplaceAll(v, args[0], args[1])
		case name == "before":
			v, _, _ = strings.Cut(v, args[0])
		case name == "after_last" && args[0] != "":
			if i := strings.LastIndex(v, args[0]); i >= 0 {
				v = v[i+len(args[0]):]
			}
		}
	}
	return v
}

// printed is the text of a string or a whole number; other values have none, so
// that neither an object nor a float becomes an id (security O-34, O-35).
func printed(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case json.Number:
		if strings.ContainsAny(v.String(), ".eE") {
			return ""
		}
		if v == "-0" { // or it would pass for an id that is not zero
			return "0"
		}
		return v.String()
	case int:
		return strconv.Itoa(v)
	case int64:
		return strconv.FormatInt(v, 10)
	case uint64:
		return strconv.FormatUint(v, 10)
	}
	return ""
}

// truthy is true, 1, "true" or "1": what providers send for a boolean. Nothing is
// proven by it; that takes Trust.says.
func truthy(v any) bool {
	if b, ok := v.(bool); ok {
		return b
	}
	p := printed(v)
	return p == "true" || p == "1"
}

// look walks a path such as a.b[0].c, ["odd key"], list[k=v,x=true].c, starting
// in the document that $name names, or in the profile. Names are compared as
// they are: encoding/json would take SUB for sub (security O-21).
func look(docs Documents, path string) any {
	doc := docs[""]
	if strings.HasPrefix(path, "$") {
		end := strings.IndexAny(path, ".[")
		if end < 0 {
			end = len(path)
		}
		doc, path = docs[path[1:end]], path[end:]
	}
	for path != "" && doc != nil {
		var step string
		switch {
		case path[0] == '.':
			path = path[1:]
		case path[0] == '[':
			end := closing(path)
			if end < 0 {
				return nil
			}
			step, path = path[1:end], path[end+1:]
			doc = index(doc, step)
		default:
			end := strings.IndexAny(path, ".[")
			if end < 0 {
				end = len(path)
			}
			step, path = path[:end], path[end:]
			object, _ := doc.(map[string]any)
			doc = object[step]
		}
	}
	return doc
}

// closing is where the bracket at the start of s ends, minding quotes.
func closing(s string) int {
	quoted := false
	for i := range len(s) {
		switch {
		case s[i] == '"':
			quoted = !quoted
		case s[i] == ']' && !quoted:
			return i
		}
	}
	return -1
}

func index(doc any, step string) any {
	if key, ok := strings.CutPrefix(step, `"`); ok {
		object, _ := doc.(map[string]any)
		return object[strings.TrimSuffix(key, `"`)]
	}
	list, ok := doc.([]any)
	if !ok {
		return nil
	}
	if n, err := strconv.Atoi(step); err == nil {
		if n < 0 || n >= len(list) {
			return nil
		}
		return list[n]
	}
	for _, item := range list {
		object, ok := item.(map[string]any)
		if ok && matches(object, step) {
			return item
		}
	}
	return nil
}

func matches(object map[string]any, conditions string) bool {
	for c := range strings.SplitSeq(conditions, ",") {
		key, want, found := strings.Cut(c, "=")
		got, exists := object[strings.TrimSpace(key)]
		if !found || !exists {
			return false
		}
		want = strings.TrimSpace(want)
		if b, ok := got.(bool); ok {
			if fmt.Sprint(b) != want {
				return false
			}
		} else if printed(got) != want || want == "true" { // a text is no proof (security O-22)
			return false
		}
	}
	return true
}

// holds reports whether c is met; an absent value meets nothing but Absent.
func (c *Condition) holds(docs Documents) bool {
	if c.Absent != "" {
		return look(docs, c.Absent) == nil
	}
	switch v := look(docs, c.Path).(type) {
	case nil:
		return false
	case []any:
		return slices.ContainsFunc(v, c.met)
	default:
		return c.met(v)
	}
}

func (c *Condition) met(v any) bool {
	text := printed(v)
	if b, ok := v.(bool); ok {
		text = strconv.FormatBool(b)
	}
	if len(c.AnyOf) > 0 {
		return text != "" && slices.Contains(c.AnyOf, text)
	}
	return text != "" && c.Equals != nil && text == fmt.Sprint(c.Equals)
}

// decodeJSON reads one JSON value, numbers as they are written, and refuses
// objects that name a member twice: of {"sub":"me","sub":"you"} two readers see
// two people (security O-21).
func decodeJSON(raw []byte) (any, error) {
	d := json.NewDecoder(strings.NewReader(string(raw)))
	d.UseNumber()
	v, err := decodeValue(d, 0)
	if err != nil {
		return nil, err
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, fmt.Errorf("more than one JSON value")
	}
	return v, nil
}

func decodeValue(d *json.Decoder, depth int) (any, error) {
	if depth > 32 {
		return nil, fmt.Errorf("JSON nested deeper than 32")
	}
	t, err := d.Token()
	if err != nil {
		return nil, fmt.Errorf("not JSON")
	}
	switch t {
	case json.Delim('{'):
		object := map[string]any{}
		for d.More() {
			key, err := d.Token()
			if err != nil {
				return nil, fmt.Errorf("not JSON")
			}
			name, _ := key.(string)
			if _, twice := object[name]; twice {
				return nil, fmt.Errorf("an object names a member twice")
			}
			if object[name], err = decodeValue(d, depth+1); err != nil {
				return nil, err
			}
		}
		_, err = d.Token()
		return object, err
	case json.Delim('['):
		list := []any{}
		for d.More() {
			v, err := decodeValue(d, depth+1)
			if err != nil {
				return nil, err
			}
			list = append(list, v)
		}
		_, err = d.Token()
		return list, err
	}
	return t, nil
}

// Texts are the expressions as they are written, without hooks.
func (e Exprs) Texts() []string {
	var texts []string
	for _, x := range e {
		if x.text != "" {
			texts = append(texts, x.text)
		}
	}
	return texts
}
