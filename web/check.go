package web

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"time"
)

// views are what each page is drawn from.
var views = map[string]any{
	"account": accountView{}, "check-mail": checkMailView{}, "confirm-link": confirmLinkView{}, "conflict": conflictView{},
	"error": errorView{}, "signed-out": signedOutView{}, "signin": signInView{}, "signout": signOutView{},
}

// CheckTemplates reports what is wrong with an operator's own pages, so that it
// is said at the start and not by the first visitor's error page: a folder that
// is not there, a file that replaces nothing, a template that cannot be read or
// names what no page has.
func CheckTemplates(dir string) error {
	p, err := newPages(dir)
	if err != nil || dir == "" {
		return err
	}
	mistakes, seen := []error{replacesNothing(dir)}, map[string]bool{}
	for _, name := range slices.Sorted(maps.Keys(views)) {
		// Once with nothing and once with everything, so that both sides of
		// every condition run.
		whole := reflect.New(reflect.TypeOf(views[name])).Elem()
		fillIn(whole)
		for _, view := range []any{views[name], whole.Interface()} {
			err := p.render(io.Discard, name, view)
			if err == nil {
				continue
			}
			if where, _, _ := strings.Cut(err.Error(), ": executing"); !seen[where] {
				mistakes, seen[where] = append(mistakes, err), true
			}
			break
		}
	}
	return errors.Join(mistakes...)
}

func replacesNothing(dir string) error {
	own, err := filepath.Glob(filepath.Join(dir, "*.html"))
	if err != nil {
		return err
	}
	ours, err := fs.Glob(builtInPages, "templates/*.html")
	if err != nil {
		return err
	}
	for _, file := range own {
		if !slices.Contains(ours, "templates/"+filepath.Base(file)) {
			return fmt.Errorf("%s replaces no page; the pages are %s", file, strings.ReplaceAll(strings.Join(ours, ", "), "templates/", ""))
		}
	}
	return nil
}

// fillIn gives every field of v some value.
func fillIn(v reflect.Value) {
	switch {
	case v.Type() == reflect.TypeFor[time.Time]():
		v.Set(reflect.ValueOf(time.Now()))
	case v.Kind() == reflect.Struct:
		for _, field := range v.Fields() {
			if field.CanSet() || field.Kind() == reflect.Struct {
				fillIn(field)
			}
		}
	case v.Kind() == reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fillIn(v.Elem())
	case v.Kind() == reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fillIn(v.Index(0))
	case v.Kind() == reflect.String:
		v.SetString("x")
	case v.Kind() == reflect.Bool:
		v.SetBool(true)
	case v.CanInt():
		v.SetInt(1)
	}
}
