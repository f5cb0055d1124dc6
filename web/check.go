package web

import (
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"github.com/gatepost/gatepost/flows/locale"
)

// CheckTemplates reports what is wrong with an operator's own pages: a folder
// that is not there, a file that replaces nothing, a template that cannot be
// read or names what no page has.
func CheckTemplates(dir string, languages *locale.Languages) error {
	_, err := newPages(dir, languages)
	if err != nil || dir == "" {
		return err
	}
	return replacesNothing(dir)
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
