package app

import (
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"
)

// environment is what a process was started with, by name.
type environment map[string]string

func newEnvironment(environ []string) environment {
	env := environment{}
	for _, e := range environ {
		name, v, _ := strings.Cut(e, "=")
		env[name] = v
	}
	return env
}

// variable is the environment's name of a key: database.url is
// GATEPOST_DATABASE_URL.
func variable(key string) string {
	return "GATEPOST_" + strings.ToUpper(strings.ReplaceAll(key, ".", "_"))
}

// readEnvironment sets every key that has a variable; lists are separated by
// commas. DATABASE_URL is understood too.
func (c *Config) readEnvironment(env environment, m *mistakes) {
	if v := env["DATABASE_URL"]; v != "" && c.Database.URL == "" {
		c.Database.URL = Secret(v)
		m.put("database.url", place{variable: "DATABASE_URL"})
	}
	eachKey(reflect.ValueOf(c).Elem(), "", func(key string, v reflect.Value) {
		name := variable(key)
		raw, set := env[name]
		if !set {
			return
		}
		m.put(key, place{variable: name})
		m.fillFromText(v, key, raw)
	})
}

// eachKey visits every key that has a variable.
func eachKey(v reflect.Value, prefix string, visit func(key string, v reflect.Value)) {
	for f, value := range v.Fields() {
		key := prefix + f.Tag.Get("yaml")
		if value.Kind() == reflect.Struct {
			eachKey(value, key+".", visit)
			continue
		}
		visit(key, value)
	}
}

// elsewhere are variables that other programs of ours read.
var elsewhere = []string{"GATEPOST_PG_BIN", "GATEPOST_TEST_DATABASE_URL"}

// injected are the names that Kubernetes gives to the containers beside a
// service that is called gatepost, or gatepost-something.
var injected = regexp.MustCompile(`^GATEPOST_(\w+_)?(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_\d+_(TCP|UDP|SCTP)(_(ADDR|PORT|PROTO))?)$`)

// checkNames finds variables that were meant for us and that nothing reads: a
// setting that is misspelt must not be left out in silence. referred are the
// names that secrets were taken from.
func (c *Config) checkNames(env environment, referred []string, m *mistakes) {
	var known []string
	eachKey(reflect.ValueOf(c).Elem(), "", func(key string, _ reflect.Value) { known = append(known, variable(key)) })
	for _, name := range sorted(env) {
		switch {
		case !strings.HasPrefix(name, "GATEPOST_"), slices.Contains(known, name), slices.Contains(elsewhere, name), slices.Contains(referred, name):
		case injected.MatchString(name), strings.HasSuffix(name, "_PORT") && strings.Contains(env[name], "://"):
		default:
			near := nearest(name, known)
			switch {
			case near != "":
				near = fmt.Sprintf("; did you mean %s?", near)
			case strings.HasPrefix(name, "GATEPOST_PROVIDER"):
				near = "; providers are the YAML list GATEPOST_PROVIDERS, as in [{id: github, client_id: …, client_secret: env:GITHUB_SECRET}]"
			}
			m.found = append(m.found, mistake{place{variable: name}, "", "no key has this name, and no secret refers to it" + near})
		}
	}
}

// fillFromText sets v from the variable of key.
func (m *mistakes) fillFromText(v reflect.Value, key, raw string) {
	switch t := v.Type(); {
	case isScalar(t):
		if err := setText(v, raw); err != nil {
			m.wrong(key, "%v", err)
		}
	case isScalar(t.Elem()):
		list := reflect.MakeSlice(t, 0, 4)
		for part := range strings.SplitSeq(raw, ",") {
			if part = strings.TrimSpace(part); part != "" {
				list = reflect.Append(list, reflect.ValueOf(part).Convert(t.Elem()))
			}
		}
		v.Set(list)
	default: // providers: the same YAML as in the file
		var doc yaml.Node
		if err := yaml.Unmarshal([]byte(raw), &doc); err != nil {
			m.wrong(key, "not YAML: %s", strings.TrimPrefix(err.Error(), "yaml: "))
		} else if doc.Kind == yaml.DocumentNode {
			m.variable = variable(key)
			m.fill(v, doc.Content[0], key)
			m.variable = ""
		}
	}
}

// isScalar reports whether a value of type t is written as one text.
func isScalar(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.String, reflect.Bool, reflect.Int, reflect.Int32, reflect.Int64:
		return true
	}
	return false
}

// setText sets a scalar from how it is written, in the file and in a variable.
func setText(v reflect.Value, raw string) error {
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
	default:
		n, err := strconv.ParseInt(raw, 10, 32)
		if err != nil {
			return fmt.Errorf("%q is not a number", raw)
		}
		v.SetInt(n)
	}
	return nil
}

// kindOf says what a key takes.
func kindOf(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Struct, reflect.Map:
		return "keys and their values"
	case reflect.Slice:
		return "a list"
	case reflect.Bool:
		return "true or false"
	case reflect.String:
		return "text"
	}
	if t == reflect.TypeFor[time.Duration]() {
		return "a duration such as 10m"
	}
	return "a number"
}
