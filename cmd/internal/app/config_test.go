package app

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"
)

const example = "../../../config.example.yaml"

// The example has every key, and the values are the defaults.
func TestExampleShowsEveryKeyAndDefault(t *testing.T) {
	raw, err := os.ReadFile(example)
	if err != nil {
		t.Fatal(err)
	}
	var shown map[string]any
	if err := yaml.Unmarshal(raw, &shown); err != nil {
		t.Fatal(err)
	}
	var missing func(prefix string, ty reflect.Type, m map[string]any)
	missing = func(prefix string, ty reflect.Type, m map[string]any) {
		for f := range ty.Fields() {
			key, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
			v, ok := m[key]
			if !ok {
				t.Errorf("%s%s is not in the example", prefix, key)
			}
			if inner, nested := v.(map[string]any); nested && f.Type.Kind() == reflect.Struct {
				missing(prefix+key+".", f.Type, inner)
			}
		}
	}
	missing("", reflect.TypeFor[Config](), shown)
	t.Setenv("GATEPOST_KEY", NewKey())
	t.Setenv("DATABASE_URL", "postgres://localhost/x")
	got, err := Load(example, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := Default()
	want.PublicURL, want.Keys, want.Database.URL = got.PublicURL, got.Keys, got.Database.URL
	want.TrustedProxies, want.ReturnTo, want.FormOrigins, want.Providers = []string{}, []string{}, []string{}, []ProviderConfig{}
	want.Compat = List{}
	want.Gate.Networks, want.Gate.Groups, want.Gate.Rules = map[string]List{}, map[string][]Who{}, []RuleConfig{}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

// what is wrong is said with its place and the next step, and no secret.
func TestMistakes(t *testing.T) {
	dir := t.TempDir()
	open := filepath.Join(dir, "open")
	if err := os.WriteFile(open, []byte(NewKey()), 0o644); err != nil {
		t.Fatal(err)
	}
	good := fmt.Sprintf("public_url: https://auth.example.org\nkeys: [%s]\ndatabase: {url: postgres://localhost/x}\n", NewKey())
	gateOn := "trusted_proxies: [127.0.0.1/32]\ngate: {rules: [{allow: signed-in}]}\n"
	for _, tt := range []struct{ name, yaml, want string }{
		{"nothing", "", "public_url: is missing"},
		{"unknown key", good + "lisen: x\n", `c.yaml:4:1: unknown key "lisen"; did you mean "listen"?`},
		{"unknown nested key", good + "mail:\n  form: x\n", `c.yaml:5:3: unknown key "form"; did you mean "from"?`},
		{"key twice", good + "linking: never\nlinking: never\n", "linking"},
		{"broken YAML", "a: [", "c.yaml"},
		{"clear text", strings.Replace(good, "https:", "http:", 1), "must be https"},
		{"short key", "public_url: https://a.example.org\nkeys: [hunter2]\ndatabase: {url: x}\n", "keys[0]: has 7 bytes, needs 32"},
		{"example key", "public_url: https://a.example.org\nkeys: [replace-me-replace-me-replace-me-replace-me]\ndatabase: {url: x}\n", "is the example"},
		{"missing variable", strings.Replace(good, "keys: [", "keys: [env:NO_SUCH_VARIABLE, ", 1), "no variable NO_SUCH_VARIABLE"},
		{"open file", strings.Replace(good, "keys: [", "keys: ['file:"+open+"', ", 1), "everybody may read"},
		{"path in public_url", strings.Replace(good, "example.org", "example.org/x", 1), "belong into base_path"},
		{"public suffix", good + "cookie: {domain: co.uk}\n", "public suffix"},
		{"foreign domain", good + "cookie: {domain: example.com}\n", "not inside"},
		{"duplicate provider", good + "providers: [{id: google, client_id: a}, {id: google, client_id: b}]\n", "used twice"},
		{"loose origin", good + "return_to: ['https://*']\n", "return_to"},
		{"bad duration", good + "drain: 5\nsession: {idle: soon}\n", "c.yaml"},
		{"unknown surface", good + gateOn + "compat: oauth2-porxy\n", `did you mean "oauth2-proxy"?`},
		{"unknown surface, like no other", good + gateOn + "compat: [vouch]\n", "known are authelia, oauth2-proxy"},
		{"two surfaces at one path", good + gateOn + "compat: [oauth2-proxy, oauth2-proxy-nginx]\n", "at the same paths"},
		{"surface without a gate", good + "compat: [authelia]\n", "needs the gate"},
		{"link lives too long", good + "mail: {host: 'x:25', link_ttl: 48h}\n", "1m to 24h"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(dir, "c.yaml")
			if err := os.WriteFile(path, []byte(tt.yaml), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := Load(path, nil)
			if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

func TestEnvironmentAlone(t *testing.T) {
	c, err := Load("", []string{"GATEPOST_PUBLIC_URL=https://auth.example.org", "GATEPOST_KEYS=" + NewKey() + "," + NewKey(), "DATABASE_URL=postgres://localhost/x",
		"GATEPOST_SESSION_IDLE=1h", "GATEPOST_SESSION_UPDATE=1m", "GATEPOST_MAIL_CODE_TRIES=3", "GATEPOST_PROVIDERS=[{id: google, client_id: a, client_secret: b, hosted_domain: example.org}]"})
	if err != nil || len(c.Keys) != 2 || c.Session.Idle.Hours() != 1 || c.Mail.CodeTries != 3 || c.Providers[0].Params["hosted_domain"] != "example.org" {
		t.Errorf("%+v, %v", c, err)
	}
	if s := fmt.Sprintf("%v %+v %#v", c.Keys, c.Database.URL, c.Keys[0]); strings.Contains(s, string(c.Keys[0])) {
		t.Errorf("a secret is printed: %s", s)
	}
	if _, err := Load("", []string{"GATEPOST_SESSION_IDLE=soon"}); err == nil || !strings.Contains(err.Error(), "GATEPOST_SESSION_IDLE") {
		t.Errorf("%v", err)
	}
}
