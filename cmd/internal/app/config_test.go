package app

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
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
	got, err := Load(example, []string{"GATEPOST_KEY=" + NewKey(), "DATABASE_URL=postgres://localhost/x"})
	if err != nil {
		t.Fatal(err)
	}
	want := Default()
	want.PublicURL, want.Keys, want.Database.URL = got.PublicURL, got.Keys, got.Database.URL
	want.TrustedProxies, want.ReturnTo, want.FormOrigins, want.Providers = []string{}, []string{}, []string{}, []ProviderConfig{}
	want.Cookie.Sites = []SiteConfig{}
	want.Compat = List{}
	want.Gate.Networks, want.Gate.Groups, want.Gate.Rules = map[string]List{}, map[string][]Who{}, []RuleConfig{}
	want.Pages.Languages = []string{}
	want.Session.Fields, want.Webhooks.Session.Secrets, want.Webhooks.Session.Fields = []string{}, []Secret{}, []string{}
	want.Webhooks.SignIn.Secrets, want.Webhooks.Events = []Secret{}, []EventHookConfig{}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

// The example has every key of a provider, as a comment.
func TestExampleShowsEveryKeyOfProviders(t *testing.T) {
	raw, err := os.ReadFile(example)
	if err != nil {
		t.Fatal(err)
	}
	for f := range reflect.TypeFor[ProviderConfig]().Fields() {
		key, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		if key != "" && !strings.Contains(string(raw), "\n#    "+key+": ") && !strings.Contains(string(raw), "\n#  - "+key+": ") {
			t.Errorf("%s is not in the example", key)
		}
	}
}

// every mistake is said with its place and the next step, and no secret.
func TestMistakes(t *testing.T) {
	dir := t.TempDir()
	open, missing, broken, wrongField, misnamed, brokenMail := filepath.Join(dir, "open"), filepath.Join(dir, "missing"), filepath.Join(dir, "broken"), filepath.Join(dir, "field"), filepath.Join(dir, "misnamed"), filepath.Join(dir, "mail")
	for name, content := range map[string]string{open: NewKey(), broken + "/signin.html": "{{if}", wrongField + "/layout.html": `{{define "head"}}{{.Titel}}{{end}}{{define "foot"}}{{end}}{{define "alert"}}{{end}}{{define "text"}}{{end}}{{define "button"}}{{end}}`,
		misnamed + "/sign-in.html": "", brokenMail + "/link.txt": "{{.Url}}"} {
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	good := fmt.Sprintf("public_url: https://auth.example.org\nkeys: [%s]\ndatabase: {url: postgres://localhost/x}\n", NewKey())
	mail := good + "mail: {host: 'smtp.example.org:587', from: a@example.org%s}\n"
	gateOn := "trusted_proxies: [127.0.0.1/32]\ngate: {rules: [{allow: signed-in}]}\n"
	for _, tt := range []struct{ name, yaml, want string }{
		{"empty file", "", "c.yaml: holds no keys"},
		{"comments alone", "# nothing\n", "c.yaml: holds no keys"},
		{"no keys", "{}\n", "c.yaml: public_url: is missing\nc.yaml: keys: is missing\nc.yaml: database.url: is missing"},
		{"a list", "- a\n", "c.yaml:1:1: want keys"},
		{"not UTF-8", good + "log: {level: \xff}\n", "c.yaml:4:14: is not UTF-8"},
		{"UTF-16", "\xff\xfea\x00", "c.yaml:1:1: is not UTF-8"},
		{"second document", good + "---\ndev: true\n", "c.yaml:4:1: a second YAML document"},
		{"unknown key", good + "lisen: x\n", `c.yaml:4:1: unknown key "lisen"; did you mean "listen"?`},
		{"unknown nested key", good + "mail:\n  form: x\n", `c.yaml:5:3: unknown key "form"; did you mean "from"?`},
		{"key twice", good + "linking: never\nlinking: never\n", `c.yaml:5:1: the key "linking" is in line 4 already`},
		{"broken YAML", "a: [", "c.yaml:2:1: not YAML"},
		{"tab", "mail:\n\thost: x\n", "c.yaml:2:1: not YAML"},
		{"unknown anchor", "keys: *none\n", "c.yaml:1:7: not YAML"},
		{"no such port", strings.Replace(good, "auth.example.org", "auth.example.org:99999", 1), `c.yaml:1:13: public_url: "https://auth.example.org:99999": there is no port 99999`},
		{"clear text", strings.Replace(good, "https:", "http:", 1), "c.yaml:1:13: public_url: must be https"},
		{"short key", "public_url: https://a.example.org\nkeys: [hunter2]\ndatabase: {url: 'host=/x'}\n", "c.yaml:2:8: keys[0]: has 7 bytes, needs 32"},
		{"short key elsewhere", "public_url: https://a.example.org\nkeys: ['env:SHORT']\ndatabase: {url: 'host=/x'}\n", "c.yaml:2:8: keys[0]: env:SHORT: has 7 bytes, needs 32"},
		{"example key", "public_url: https://a.example.org\nkeys: [replace-me-replace-me-replace-me-replace-me]\ndatabase: {url: 'host=/x'}\n", "c.yaml:2:8: keys[0]: is the example"},
		{"missing variable", strings.Replace(good, "keys: [", "keys: [env:NO_SUCH_VARIABLE, ", 1), "c.yaml:2:8: keys[0]: env:NO_SUCH_VARIABLE: is not set"},
		{"missing file", good + "mail: {password: 'file:/no/such'}\n", "c.yaml:4:18: mail.password: file:/no/such: no such file or directory"},
		{"open file", strings.Replace(good, "keys: [", "keys: ['file:"+open+"', ", 1), "keys[0]: file:" + open + ": everybody may read"},
		{"database URL", strings.Replace(good, "postgres://localhost/x", "'postgres://u:hunter2@:bad/x'", 1), "c.yaml:3:17: database.url: cannot be read"},
		{"database root certificate", strings.Replace(good, "localhost/x", "db.example.org/x?sslmode=verify-full&sslrootcert=/no/such", 1), "database.url: open /no/such"},
		{"clear text to the database", strings.Replace(good, "localhost/x", "u:hunter2@db.example.org/x", 1), "database.url: the server db.example.org would not be verified"},
		{"clear text past the pooler", good[:len(good)-2] + ", direct_url: 'postgres://u:hunter2@db.example.org/x'}\n", "c.yaml:3:53: database.direct_url: the server db.example.org would not be verified"},
		{"unknown key of a document", good + "providers:\n  - id: forum\n    type: oauth2\n    override:\n      map: {id: id}\n      scope_seperator: ','\n", `c.yaml:9:7: unknown key "scope_seperator"`},
		{"unknown key inside a document", good + "providers:\n  - id: forum\n    type: oauth2\n    override:\n      active: {pth: x}\n", `c.yaml:8:16: unknown key "pth"; did you mean "path"?`},
		{"path in public_url", strings.Replace(good, "example.org", "example.org/x", 1), "belong into base_path"},
		{"site at public_url", good + "cookie: {domain: example.org, sites: [{url: \"https://AUTH.example.org:8443\", domain: example.org}]}\n", "c.yaml:4:45: cookie.sites[0].url: auth.example.org is named by public_url or another site"},
		{"two sites at one host", good + "cookie: {domain: example.org, sites: [{url: \"https://a.example.net\", domain: example.net}, {url: \"https://a.example.net\", domain: example.net}]}\n", "cookie.sites[1].url: a.example.net is named by public_url or another site"},
		{"public suffix", good + "cookie: {domain: co.uk}\n", "c.yaml:4:18: cookie.domain: \"co.uk\" is a public suffix"},
		{"foreign domain", good + "cookie: {domain: example.com}\n", "not inside"},
		{"a port alone", good + "listen: 8080\nadmin_listen: 127.0.0.1:http\n", "c.yaml:4:9: listen: \"8080\": want host:port\nc.yaml:5:15: admin_listen: \"127.0.0.1:http\": want host:port"},
		{"loose origin", good + "return_to: ['https://a.example', 'https://*']\n", "c.yaml:4:34: return_to[1]: \"https://*\" is no origin"},
		{"policy injection", good + "form_origins: ['https://a.example; script-src *']\n", "c.yaml:4:16: form_origins[0]"},
		{"socket nobody finds", good + "listen: unix:gatepost.sock\nadmin_listen: unix:/run/../x\n", "c.yaml:4:9: listen: \"unix:gatepost.sock\": want unix: and an absolute path, as in unix:/run/gatepost/gatepost.sock\nc.yaml:5:15: admin_listen: \"unix:/run/../x\": want unix: and an absolute path"},
		{"socket too long", good + "listen: unix:/" + strings.Repeat("x", 103) + "\n", "c.yaml:4:9: listen: the path has 104 bytes, and a socket's at most 103"},
		{"socket for nobody", good + "socket_mode: \"0066\"\n", "c.yaml:4:14: socket_mode: \"0066\": want octal digits from 0600 to 0777"},
		{"socket's mode in words", good + "socket_mode: rw\n", "c.yaml:4:14: socket_mode: \"rw\": want octal digits"},
		{"peers on no socket", good + "trusted_proxies: [unix]\n", "c.yaml:4:19: trusted_proxies[0]: unix stands for the peers on a socket, and listen is none"},
		{"socket that no proxy may ask on", good + gateOn + "listen: unix:/run/gatepost.sock\n", "c.yaml:4:18: trusted_proxies: has no unix, so no proxy on the socket of listen may ask the gate"},
		{"not a CIDR", good + "trusted_proxies: [10.0.0.1]\n", "c.yaml:4:19: trusted_proxies[0]"},
		{"bad durations", good + "drain: 5\nsession: {idle: soon, update: 800h}\n", "c.yaml:4:8: drain: \"5\" is not a duration such as 10m\nc.yaml:5:17: session.idle: \"soon\" is not a duration\nc.yaml:5:31: session.update: want less"},
		{"wrong kinds", good + "dev: maybe\nmail: [x]\nreturn_to: x\nproviders: {google: {}}\n", "c.yaml:4:6: dev: \"maybe\" is neither true nor false\nc.yaml:5:7: mail: want keys and their values\nc.yaml:6:12: return_to: want a list\nc.yaml:7:12: providers: want a list"},
		{"unknown words", good + "linking: verifed\nlog: {level: trace, format: jsn}\n", "c.yaml:4:10: linking: \"verifed\" is unknown; did you mean \"verified\"?\nc.yaml:5:14: log.level: \"trace\" is unknown; want debug, info, warn or error\nc.yaml:5:29: log.format: \"jsn\" is unknown; did you mean \"json\"?"},
		{"unknown exec_mode", good[:len(good)-2] + ", exec_mode: cache_statement}\n", "c.yaml:3:52: database.exec_mode: \"cache_statement\" is unknown; want cache_describe or exec"},
		{"no connections", good[:len(good)-2] + ", max_conns: 0}\n", "c.yaml:3:52: database.max_conns"},
		{"link lives too long", fmt.Sprintf(mail, ", link_ttl: 48h, code_tries: 99"), "c.yaml:4:69: mail.link_ttl: want 1m to 24h\nc.yaml:4:86: mail.code_tries: want 1 to 9"},
		{"mail in clear text", fmt.Sprintf(mail, ", tls: none"), "c.yaml:4:64: mail.tls: none: sign-in links would cross"},
		{"mail all wrong", good + "mail:\n  host: smtp.example.org\n  from: nobody\n  tls: startls\n  ca_file: /no/such\n  templates: " + missing + "\n",
			"c.yaml:5:9: mail.host: \"smtp.example.org\": want host:port\nc.yaml:6:9: mail.from: \"nobody\": want an address\nc.yaml:7:8: mail.tls: \"startls\" is unknown; did you mean \"starttls\"?\nc.yaml:8:12: mail.ca_file: open /no/such\nc.yaml:9:14: mail.templates: there is no folder " + missing},
		{"mail without sender", good + "mail: {host: 'smtp.example.org:587'}\n", "c.yaml:4:7: mail.from: is missing"},
		{"mail template", fmt.Sprintf(mail, ", templates: "+brokenMail), "c.yaml:4:70: mail.templates: template: link.txt:1:2"},
		{"no folder of pages", good + "pages: {templates: " + missing + "}\n", "c.yaml:4:20: pages.templates: there is no folder " + missing},
		{"a file for a folder", good + "pages: {templates: " + open + "}\n", "there is no folder " + open},
		{"broken page", good + "pages: {templates: " + broken + "}\n", "c.yaml:4:20: pages.templates: template: signin.html:1"},
		{"page with a wrong field", good + "pages: {templates: " + wrongField + "}\n", "c.yaml:4:20: pages.templates: template: layout.html:1:19"},
		{"page that replaces none", good + "pages: {templates: " + misnamed + "}\n", "sign-in.html replaces no page; the pages are account.html"},
		{"duplicate provider", good + "providers: [{id: google, client_id: a, client_secret: b}, {id: google, client_id: b, client_secret: b}]\n", "c.yaml:4:64: providers[1].id: the id \"google\" is used twice"},
		{"unknown provider", good + "providers:\n  - id: githb\n  - {id: work, type: oktta}\n  - {id: x}\n  - client_id: y\n",
			"c.yaml:5:9: providers[0].id: \"githb\" is not in the catalogue; did you mean \"github\"?\nc.yaml:6:22: providers[1].type: \"oktta\" is not in the catalogue; did you mean \"okta\"?\nc.yaml:7:10: providers[2].id: \"x\" is not in the catalogue; a provider that is not there is\nc.yaml:8:5: providers[3].id: is missing"},
		{"provider all wrong", good + "providers:\n  - id: okta\n    trust_email: alwys\n    domian: a.okta.com\n    ca_file: /no/such\n",
			"c.yaml:5:5: providers[0].client_id: is missing\nc.yaml:5:5: providers[0].client_secret: is missing\nc.yaml:5:5: providers[0].domain: is missing\nc.yaml:6:18: providers[0].trust_email: \"alwys\" is unknown; did you mean \"always\"?\nc.yaml:7:13: providers[0].domian: this provider has no such key; did you mean \"domain\"?"},
		{"provider in clear text", good + "providers: [{id: oidc, client_id: a, client_secret: b, issuer: 'http://id.example'}]\n", "c.yaml:4:64: providers[0].issuer: issuer \"http://id.example\" must be https"},
		{"provider's certificate", good + "providers: [{id: google, client_id: a, client_secret: b, ca_file: /no/such}]\n", "c.yaml:4:67: providers[0].ca_file: ca_file: open /no/such"},
		{"override", good + "providers:\n  - id: github\n    client_id: a\n    client_secret: hunter2\n    override:\n      scope: [x]\n      nonce: perhaps\n      map: {mail: x}\n", "c.yaml:9:7: unknown key \"scope\"; did you mean \"scopes\"?\nc.yaml:10:14: providers[0].override.nonce: \"perhaps\" is neither\nc.yaml:11:13: unknown key \"mail\"; did you mean \"email\"?"},
		{"secret that is no text", good + "providers: [{id: google, client_id: a, client_secret: [hunter2]}]\n", "c.yaml:4:55: providers[0].client_secret: want text"},
		{"several at once, in order", strings.Replace(good, "https:", "http:", 1) + "lisen: x\nlog: {level: loud}\n", "c.yaml:1:13: \nc.yaml:4:1: unknown\nc.yaml:5:14: log.level"},
		{"who may sign in", good + "gate: {groups: {staff: ['provider:githb']}}\nsign_in:\n  allow: [signed-in]\n  deny: 'provider:githb'\n", "c.yaml:4:24: gate.groups.staff: \"provider:githb\": no provider of that id\nc.yaml:6:10: sign_in.allow: nobody is signed in yet\nc.yaml:7:9: sign_in.deny: \"provider:githb\": no provider"},
		{"webhook in clear text", good + "webhooks:\n  sign_in:\n    url: http://crm.example.org/\n    secrets: [hunter2]\n", "c.yaml:6:10: webhooks.sign_in.url: must be https; http is for loopback\nc.yaml:7:15: webhooks.sign_in.secrets[0]: is not whsec_"},
		{"webhook without a secret", good + "webhooks: {sign_in: {url: 'https://crm.example.org/'}}\n", "c.yaml:4:21: webhooks.sign_in.secrets: is missing; «gatepost keys webhook» makes one"},
		{"webhook without a place", good + "webhooks: {sign_in: {secrets: [x]}}\n", "webhooks.sign_in.url: is missing"},
		{"fields of a session", good + "session: {fields: [groups, groups, rôle]}\nwebhooks:\n  session:\n    url: https://crm.example.org/\n    secrets: ['" + NewWebhookSecret() + "']\n    fields: [email, groups, a b, role, role]\n    cache: 0s\n",
			"c.yaml:4:28: session.fields[1]: \"groups\" is there twice\nc.yaml:4:36: session.fields[2]: \"rôle\" is unknown; want id, groups or providers\nc.yaml:9:14: webhooks.session.fields[0]: \"email\" is a field that Gatepost\nc.yaml:9:21: webhooks.session.fields[1]: \"groups\" is a field\nc.yaml:9:29: webhooks.session.fields[2]: \"a b\": want letters\nc.yaml:9:40: webhooks.session.fields[4]: \"role\" is there twice\nc.yaml:10:12: webhooks.session.cache: want 1s"},
		{"no fields of a session", good + "webhooks: {session: {url: 'https://crm.example.org/', secrets: ['" + NewWebhookSecret() + "']}}\n", "webhooks.session.fields: is missing"},
		{"events", good + "webhooks:\n  events:\n    - {url: 'https://crm.example.org/', secrets: ['" + NewWebhookSecret() + "']}\n    - {name: CRM, secrets: [hunter2], events: [signin]}\n",
			"c.yaml:6:7: webhooks.events[0].name: is missing\nc.yaml:7:7: webhooks.events[1].url: is missing\nc.yaml:7:14: webhooks.events[1].name: \"CRM\": want small letters\nc.yaml:7:48: webhooks.events[1].events[0]: \"signin\" is unknown; did you mean \"signIn\"?"},
		{"language nobody wrote", good + "pages: {languages: [en, tlh]}\n", "c.yaml:4:20: pages.languages: no texts for the language \"tlh\""},
		{"loose link", fmt.Sprintf(mail, ", bind: device"), "c.yaml:4:65: mail.bind: \"device\" is unknown; want ask or browser"},
		{"rule out of the cookie's reach", good + "trusted_proxies: [127.0.0.1/32]\ngate: {rules: [{host: a.example.com, allow: signed-in}]}\n", "c.yaml:5:23: gate.rules[0].host[0]: a.example.com does not see the sign-in's cookie"},
		{"rule with an unknown group", good + "trusted_proxies: [127.0.0.1/32]\ngate: {rules: [{allow: group:admins}]}\n", "c.yaml:5:24: gate.rules[0].allow: \"group:admins\": there is no group"},
		{"gate without proxy", good + "gate: {rules: [{allow: signed-in}]}\n", "c.yaml: trusted_proxies: is empty, so no proxy may ask the gate"},
		{"contact that is a script", good + "pages: {contact: 'javascript:alert(1)'}\n", "c.yaml:4:18: pages.contact: \"javascript:alert(1)\": want mailto:"},
		{"unknown surface", good + gateOn + "compat: oauth2-porxy\n", "c.yaml:6:9: compat[0]: \"oauth2-porxy\" is unknown; did you mean \"oauth2-proxy\"?"},
		{"unknown surface, like no other", good + gateOn + "compat: [vouch]\n", "c.yaml:6:9: compat[0]: \"vouch\" is unknown; want authelia, oauth2-proxy"},
		{"two surfaces at one path", good + gateOn + "compat: [oauth2-proxy, oauth2-proxy-nginx]\n", "c.yaml:6:9: compat: oauth2-proxy and oauth2-proxy-nginx answer at the same paths"},
		{"surface without a gate", good + "compat: [authelia]\n", "c.yaml:4:9: compat: needs the gate"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Chdir(dir)
			if err := os.WriteFile("c.yaml", []byte(tt.yaml), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := Load("c.yaml", []string{"SHORT=hunter2"})
			if err == nil {
				t.Fatal("accepted")
			}
			got, want := strings.Split(err.Error(), "\n"), strings.Split(tt.want, "\n")
			for i, w := range want {
				if i >= len(got) || !strings.Contains(got[i], w) && !strings.HasPrefix(got[i], w) {
					t.Errorf("line %d: want %q in\n%v", i, w, err)
				}
			}
			if len(got) != len(want) || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("%d mistakes, want %d:\n%v", len(got), len(want), err)
			}
		})
	}
	for path, want := range map[string]string{dir: "is a folder", missing: missing + ": no such file"} {
		if _, err := Load(path, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", path, err)
		}
	}
}

func TestEnvironmentAlone(t *testing.T) {
	c, err := Load("", []string{"GATEPOST_PUBLIC_URL=https://auth.example.org", "GATEPOST_KEYS=" + NewKey() + ",env:GATEPOST_OLD", "GATEPOST_OLD=" + NewKey(), "DATABASE_URL=postgres://localhost/x",
		"GATEPOST_SESSION_IDLE=1h", "GATEPOST_SESSION_UPDATE=1m", "GATEPOST_MAIL_CODE_TRIES=3", "GATEPOST_PROVIDERS=[{id: google, client_id: a, client_secret: b, hosted_domain: example.org}]",
		// Kubernetes beside a service of the name gatepost, and our own tools.
		"GATEPOST_SERVICE_HOST=10.0.0.1", "GATEPOST_SERVICE_PORT_HTTP=80", "GATEPOST_PORT=tcp://10.0.0.1:80", "GATEPOST_PORT_80_TCP_ADDR=10.0.0.1", "GATEPOST_ADMIN_SERVICE_PORT=81", "GATEPOST_PG_BIN=/x"})
	if err != nil || len(c.Keys) != 2 || len(c.Keys[1]) != 43 || c.Session.Idle.Hours() != 1 || c.Mail.CodeTries != 3 || c.Providers[0].Params["hosted_domain"] != "example.org" {
		t.Errorf("%+v, %v", c, err)
	}
	if s := fmt.Sprintf("%v %+v %#v", c.Keys, c.Database.URL, c.Keys[0]); strings.Contains(s, string(c.Keys[0])) {
		t.Errorf("a secret is printed: %s", s)
	}
}

// What is wrong in a variable is said with its name, and what is missing with
// the name that it would have.
func TestMistakesInTheEnvironment(t *testing.T) {
	_, err := Load("", []string{"GATEPOST_KEYS=" + NewKey() + ",hunter2", "DATABASE_URL=env:NO_SUCH", "GATEPOST_SESSION_IDLE=soon", "GATEPOST_MAIL_HOST=smtp.example.org",
		"GATEPOST_MAIL_TSL=tls", "GATEPOST_PORT=8080", "GATEPOST_X=1", "GATEPOST_PROVIDERS_GITHUB_CLIENT_ID=x", "GATEPOST_PROVIDERS=[{id: githb}, {id: google, client_id: a}]"})
	if err == nil {
		t.Fatal("accepted")
	}
	want := []string{
		"environment variable GATEPOST_SESSION_IDLE: session.idle: \"soon\" is not a duration such as 10m",
		"environment variable DATABASE_URL: database.url: env:NO_SUCH: is not set",
		"environment variable GATEPOST_MAIL_TSL: no key has this name, and no secret refers to it; did you mean GATEPOST_MAIL_TLS?",
		"environment variable GATEPOST_PORT: no key has this name, and no secret refers to it",
		"environment variable GATEPOST_PROVIDERS_GITHUB_CLIENT_ID: no key has this name, and no secret refers to it; providers are the YAML list GATEPOST_PROVIDERS",
		"environment variable GATEPOST_X: no key has this name, and no secret refers to it",
		"environment variable GATEPOST_KEYS: keys[1]: has 7 bytes, needs 32; «gatepost keys new» makes one",
		"environment variable GATEPOST_MAIL_HOST: mail.host: \"smtp.example.org\": want host:port, as in smtp.example.org:587",
		"environment variable GATEPOST_PROVIDERS:1:7: providers[0].id: \"githb\" is not in the catalogue; did you mean \"github\"?",
		"environment variable GATEPOST_PROVIDERS:1:15: providers[1].client_secret: is missing; it is shown at",
		"environment variable GATEPOST_PUBLIC_URL: public_url: is missing; set it to where browsers reach Gatepost, as in https://auth.example.org",
		"environment variable GATEPOST_MAIL_FROM: mail.from: is missing; want an address such as «Example <sign-in@example.org>»",
	}
	got := strings.Split(err.Error(), "\n")
	if !slices.EqualFunc(got, want, strings.HasPrefix) {
		t.Errorf("got\n%v\nwant\n%s", err, strings.Join(want, "\n"))
	}
}

// Whatever the file holds, it is read or refused line by line with the file's
// name.
func FuzzFile(f *testing.F) {
	raw, err := os.ReadFile(example)
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range []string{string(raw), "? [x]\n: y\n", "providers: &a [*a]\n", "providers:\n- override: &a {scopes: *a}\n", "mail: &m {host: x}\nlog: *m\n", "keys: !!binary x\n",
		"providers: [{id: google, override: {map: {id: [a, {value: b}]}, success: {path: x, equals: 1}}}]\n", "<<: {dev: true}\n", "session: {idle: 9223372036854775807h}\n"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		c, m := Default(), &mistakes{file: "c.yaml"}
		if err := c.readBytes(raw, m); err == nil {
			c.resolveSecrets(environment{}, m)
			c.validate(m)
		} else if !strings.HasPrefix(err.Error(), "c.yaml:") {
			t.Errorf("%q: %v", raw, err)
		}
		for _, found := range m.found {
			if where := m.where(found); !strings.HasPrefix(where, "c.yaml") {
				t.Errorf("%q: %s: %s", raw, where, found.text)
			}
		}
	})
}

// The origin that everything is compared with is written as browsers write it.
func TestPublicURLIsCanonical(t *testing.T) {
	for raw, want := range map[string]string{
		"HTTPS://Auth.Example.org:443/": "https://auth.example.org",
		"https://auth.example.org:8443": "https://auth.example.org:8443",
		"https://auth.example.org:80":   "https://auth.example.org:80",
		"https://bücher.example/":       "https://xn--bcher-kva.example",
		"https://[::1]:443":             "https://[::1]",
		"http://my_host:80":             "http://my_host",
		"https://auth.example.org/x":    "https://auth.example.org/x", // refused
		"auth.example.org":              "auth.example.org",           // refused
	} {
		if got := canonicalURL(raw); got != want {
			t.Errorf("%s: %s, want %s", raw, got, want)
		}
	}
}

// a container may read the secrets that it was given.
func TestMountedSecrets(t *testing.T) {
	dir := t.TempDir()
	volume := filepath.Join(dir, "..2026_11_24_22_51_03.123")
	if err := errors.Join(os.Mkdir(volume, 0o755), os.WriteFile(filepath.Join(volume, "key"), []byte("secret\n"), 0o644),
		os.Symlink(volume, filepath.Join(dir, "..data")), os.Symlink("..data/key", filepath.Join(dir, "key"))); err != nil {
		t.Fatal(err)
	}
	if s, err := Secret("file:" + filepath.Join(dir, "key")).resolve(nil); err != nil || s != "secret" {
		t.Errorf("Kubernetes: %v", err)
	}
}
