package web

import (
	"bytes"
	"flag"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/gatepost/gatepost/flows/locale"
)

func languages(t *testing.T) *locale.Languages {
	t.Helper()
	l, err := locale.Load("", nil)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// declared are the values of the string constants of a file that have a prefix
// or a type.
func declared(t *testing.T, path, prefix, ofType string) (values []string) {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || len(spec.Values) == 0 {
			return true
		}
		kind, _ := spec.Type.(*ast.Ident)
		literal, isLiteral := spec.Values[0].(*ast.BasicLit)
		if isLiteral && (prefix != "" && strings.HasPrefix(spec.Names[0].Name, prefix) || kind != nil && kind.Name == ofType) {
			value, _ := strconv.Unquote(literal.Value)
			values = append(values, value)
		}
		return true
	})
	return values
}

// P-4: every code and reason that can reach a page has words of its own, in
// every language, and a status; what is not on the list has none.
func TestEveryProblemHasAPage(t *testing.T) {
	reasons := append(declared(t, "../flows/errors.go", "Reason", ""), declared(t, "../providers/errors.go", "", "Reason")...)
	reasons = append(reasons, "csrf", "session_required", "not_found", "bad_request", "body_too_large", "method_not_allowed", "too_many_cookies")
	codes := append(declared(t, "../flows/errors.go", "", "Code"), "CredentialsSignin", "Default")
	if len(reasons) < 30 || len(codes) < 14 {
		t.Fatalf("found only %v and %v", reasons, codes)
	}
	all := append(reasons, codes...)
	for _, tag := range languages(t).Tags() {
		l := languages(t).Named(tag)
		seen := map[string]string{}
		for _, key := range all {
			p := problemFor(l, key, "")
			if p.Reason != key || p.Status < 400 || strings.Contains(p.Title+p.Cause+p.Next, "problem.") || strings.Contains(p.Next, "next.") {
				t.Errorf("%s: %s has no page: %+v", tag, key, p)
			}
			words := p.Title + p.Cause + p.Next
			if other := seen[words]; other != "" {
				t.Errorf("%s: %s and %s cannot be told apart", tag, key, other)
			}
			seen[words] = key
		}
	}
	if len(outcomes) != len(all) {
		t.Errorf("%d pages for %d problems", len(outcomes), len(all))
	}
	if p := problemFor(languages(t).Match(""), "<script>", "<b>"); p.Reason != "" || p.Title != "Something went wrong" {
		t.Errorf("%+v", p)
	}
}

var out = flag.String("pages", "", "folder to write every page in every state and language to, for a browser to look at")

// Every page in every state is whole in every language, small, and has one
// heading; nothing in it wants a script or another host (security P-1, P-8).
func TestPages(t *testing.T) {
	all := languages(t)
	p, err := newPages("", all)
	if err != nil {
		t.Fatal(err)
	}
	style, err := static.ReadFile("static/gatepost.css")
	if err != nil {
		t.Fatal(err)
	}
	forbidden := regexp.MustCompile(`(?i)<script|\son[a-z]+=|\sstyle=|<style|javascript:|src="(https?:)?//|<link[^>]*href="(https?:)?//|ZgotmplZ`)
	for _, tag := range all.Tags() {
		for _, s := range samples(all.Named(tag)) {
			var b bytes.Buffer
			if err := p.render(&b, s.page, s.view); err != nil {
				t.Errorf("%s, %s: %v", tag, s.name, err)
				continue
			}
			html := b.String()
			if n := strings.Count(html, "<h1"); n != 1 {
				t.Errorf("%s, %s: %d headings", tag, s.name, n)
			}
			if found := forbidden.FindString(html); found != "" {
				t.Errorf("%s, %s: has %q", tag, s.name, found)
			}
			if !strings.Contains(html, `<html lang="`+tag+`" dir="`+all.Named(tag).Dir+`">`) {
				t.Errorf("%s, %s: %s", tag, s.name, html[:100])
			}
			if n := len(html) + len(style); n > 14<<10 {
				t.Errorf("%s, %s: %d bytes with its style", tag, s.name, n)
			}
			if *out != "" {
				name := filepath.Join(*out, tag+"-"+strings.ReplaceAll(s.name, " ", "-")+".html")
				if err := os.WriteFile(name, b.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
}

// Every text is shown somewhere, and every page asks for texts that there are.
func TestTextsAreUsed(t *testing.T) {
	var source strings.Builder
	for _, pattern := range []string{"*.go", "templates/*.html", "../flows/mail/*.go", "../flows/mail/templates/*", "../flows/locale/locale.go"} {
		names, err := filepath.Glob(pattern)
		if err != nil || len(names) == 0 {
			t.Fatal(pattern, err)
		}
		for _, name := range names {
			if strings.HasSuffix(name, "_test.go") {
				continue
			}
			raw, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			source.Write(raw)
		}
	}
	raw, err := os.ReadFile("../flows/locale/en.txt")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile(`(?m)^([a-z][A-Za-z_.]*)(\[\w+\])?:`).FindAllStringSubmatch(string(raw), -1) {
		if key := m[1]; !strings.HasPrefix(key, "problem.") && !strings.Contains(source.String(), strconv.Quote(key)) {
			t.Errorf("nothing shows %s", key)
		}
	}
	en := languages(t).Match("")
	for _, m := range regexp.MustCompile(`Text\("([a-z]+\.[a-zA-Z.]+)"`).FindAllStringSubmatch(source.String(), -1) {
		if !en.Has(m[1]) {
			t.Errorf("there is no text %s", m[1])
		}
	}
}

// An operator's template replaces one page, and one that cannot work stops the
// start.
func TestTemplatesOfTheirOwn(t *testing.T) {
	for name, tt := range map[string]struct{ file, text, want string }{
		"one page":      {"signout.html", `{{template "head" .}}<h1>{{.Title}} {{.T "or"}}</h1>{{template "foot" .}}`, ""},
		"unknown field": {"signout.html", `{{.Password}}`, "Password"},
		"unknown text":  {"signout.html", `{{.T "no.such"}}`, "no.such"},
		"no template":   {"signin.html", `{{if}}`, "missing value"},
	} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, tt.file), []byte(tt.text), 0o600); err != nil {
			t.Fatal(err)
		}
		p, err := newPages(dir, languages(t))
		if tt.want != "" {
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		if err != nil {
			t.Fatal(name, err)
		}
		var b bytes.Buffer
		for _, s := range samples(languages(t).Match("")) {
			if s.page == "signout" {
				p.render(&b, s.page, s.view)
			}
		}
		if !strings.Contains(b.String(), "<h1>Example or</h1>") {
			t.Errorf("%s: %s", name, b.String())
		}
	}
}

// docs/pages.md names every field that a template may use.
func TestFieldsAreDocumented(t *testing.T) {
	raw, err := os.ReadFile("../docs/pages.md")
	if err != nil {
		t.Fatal(err)
	}
	var visit func(ty reflect.Type)
	visit = func(ty reflect.Type) {
		for ty.Kind() == reflect.Slice || ty.Kind() == reflect.Pointer {
			ty = ty.Elem()
		}
		if ty.Kind() != reflect.Struct || ty.PkgPath() != reflect.TypeFor[page]().PkgPath() {
			return
		}
		for f := range ty.Fields() {
			if f.IsExported() && !f.Anonymous && !strings.Contains(string(raw), "`"+f.Name+"`") {
				t.Errorf("%s.%s is not documented", ty.Name(), f.Name)
			}
			visit(f.Type)
		}
	}
	for _, s := range samples(languages(t).Match("")) {
		visit(reflect.TypeOf(s.view))
	}
}
