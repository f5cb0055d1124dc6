package providers

import (
	"encoding/json"
	"os"
	"testing"
)

// asSent turns a document written in YAML into what decodeJSON would give.
func asSent(t *testing.T, v any) any {
	t.Helper()
	raw, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	out, err := decodeJSON(raw)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func documents(t *testing.T, sample map[string]any) Documents {
	docs := Documents{}
	for name, doc := range sample {
		if name == "profile" {
			name = ""
		}
		docs[name] = asSent(t, doc)
	}
	return docs
}

func checkProfile(t *testing.T, p Provider, docs Documents, want Expected) {
	t.Helper()
	got, err := MapProfile(p, docs)
	if err != nil {
		t.Fatal(err)
	}
	if have := (Expected{got.Subject, got.Name, got.Email, got.EmailVerified, got.Image}); have != want {
		t.Errorf("got  %+v\nwant %+v", have, want)
	}
}

// O-22, O-34, O-35, L-1: what attackers and odd accounts send.
func TestVectors(t *testing.T) {
	raw, err := os.ReadFile("testdata/vectors.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Vectors []struct {
			Provider  string         `yaml:"provider"`
			Title     string         `yaml:"title"`
			Documents map[string]any `yaml:"documents"`
			Params    map[string]any `yaml:"params"`
			Expect    any            `yaml:"expect"`
			Reject    any            `yaml:"reject"`
		} `yaml:"vectors"`
	}
	if err := decodeYAML(raw, &file); err != nil {
		t.Fatal(err)
	}
	for _, v := range file.Vectors {
		t.Run(v.Provider+" "+v.Title, func(t *testing.T) {
			p, ok := Lookup(v.Provider)
			if !ok {
				t.Fatal("unknown provider")
			}
			docs := documents(t, v.Documents)
			want, ok := v.Expect.(map[string]any)
			if !ok || v.Reject != nil {
				_, err := MapProfile(p, docs)
				if err == nil && (p.Active == nil || p.Active.holds(docs)) && (p.Success == nil || p.Success.holds(docs)) {
					t.Error("accepted")
				}
				return
			}
			text := func(k string) string { s, _ := want[k].(string); return s }
			verified, _ := want["email_verified"].(bool)
			checkProfile(t, p, docs, Expected{text("id"), text("name"), text("email"), verified, text("image")})
		})
	}
}

// O-22: what says that an address is proven.
func TestVerified(t *testing.T) {
	for _, tt := range []struct {
		provider, doc string
		want          bool
	}{
		{"oidc", `"email_verified":true`, true},
		{"oidc", `"email_verified":false`, false},
		{"oidc", `"email_verified":"true"`, false},
		{"oidc", `"email_verified":1`, false},
		{"oidc", `"email_verified":"1"`, false},
		{"oidc", `"email_verified":[true]`, false},
		{"oidc", `"email_verified":null`, false},
		{"oidc", `"EMAIL_VERIFIED":true`, false},
		{"apple", `"email_verified":"true"`, true},
		{"apple", `"email_verified":"false"`, false},
		{"apple", `"email_verified":""`, false},
		{"apple", `"email_verified":1`, false},
		{"microsoft-entra-id", `"xms_edov":"1"`, true},
		{"microsoft-entra-id", `"xms_edov":1`, true},
		{"microsoft-entra-id", `"xms_edov":"0"`, false},
		{"microsoft-entra-id", `"email_verified":true`, false},
	} {
		p, _ := Lookup(tt.provider)
		v, err := decodeJSON([]byte(`{"sub":"s","oid":"s","email":"ada@example.org",` + tt.doc + `}`))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := MapProfile(p, Documents{"": v}); err != nil || got.EmailVerified != tt.want {
			t.Errorf("%s: %s is %v, %v", tt.provider, tt.doc, got.EmailVerified, err)
		}
	}
	p, _ := Lookup("github")
	for verified, want := range map[string]string{`true`: "ada@example.org", `"true"`: "", `1`: "", `false`: ""} {
		emails, err := decodeJSON([]byte(`[{"email":"ada@example.org","primary":true,"verified":` + verified + `}]`))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := MapProfile(p, Documents{"": map[string]any{"id": "1"}, "emails": emails}); err != nil || got.Email != want {
			t.Errorf("github: verified %s gives %q, %v", verified, got.Email, err)
		}
	}
}

// O-21: a member named twice, or in another case, is not the member.
func TestDecodeJSON(t *testing.T) {
	for _, raw := range []string{`{"sub":"a","sub":"b"}`, `{"a":{"x":1,"x":2}}`, `{`, ``, `{} {}`, `{"a":1} <p>`, `{"a":1}]`, `{"a":}`} {
		if v, err := decodeJSON([]byte(raw)); err == nil {
			t.Errorf("%s decoded to %v", raw, v)
		}
	}
	v, err := decodeJSON([]byte(`{"SUB":"me","ſub":"me","n":9007199254740993}`))
	if err != nil || printed(look(Documents{"": v}, "sub")) != "" || printed(look(Documents{"": v}, "n")) != "9007199254740993" {
		t.Errorf("%v, %v", v, err)
	}
}

// O-34: a zero is no id, however it is written.
func TestZeroID(t *testing.T) {
	for _, raw := range []string{`0`, `-0`, `0.0`, `-0e1`, `"0"`} {
		v, err := decodeJSON([]byte(`{"id":` + raw + `}`))
		if err != nil {
			t.Fatal(err)
		}
		if p, err := MapProfile(Provider{Map: Mapping{ID: Exprs{{text: "id"}}}}, Documents{"": v}); err != errNoSubject {
			t.Errorf("%s is the id of %+v, %v", raw, p, err)
		}
	}
}

// Whatever a provider sends, mapping ends, and gives only what columns take.
func FuzzUserinfo(f *testing.F) {
	for _, p := range Catalog() {
		raw, _ := json.Marshal(p.Sample["profile"])
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		doc, err := decodeJSON(raw)
		if err != nil {
			return
		}
		for _, p := range Catalog() {
			got, err := MapProfile(p, Documents{"": doc, "emails": doc})
			if err == nil && (!validSubject(got.Subject) || len([]rune(got.Name)) > 255 || got.MayLink && !got.EmailVerified) {
				t.Errorf("%s: %+v", p.ID, got)
			}
		}
	})
}

// No path, however written, breaks the evaluator.
func FuzzMapping(f *testing.F) {
	for _, s := range []string{"a.b[0].c", `["x"]`, "l[k=v,z=true].x", "{a} {b}", "a|strip('x')|after_last('/')", "$token.x", "[", "a|before(", "{"} {
		f.Add(s)
	}
	doc := map[string]any{"a": map[string]any{"b": []any{map[string]any{"c": "1"}}}, "l": []any{map[string]any{"k": "v", "z": true, "x": "y"}}}
	f.Fuzz(func(t *testing.T, s string) { Exprs{{text: s}}.Value(Documents{"": doc}) })
}
