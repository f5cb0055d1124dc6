package web

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/labstack/echo/v4"
)

//go:embed static
var static embed.FS

// maxOwn bounds an operator's own logo and style sheet.
const maxOwn = 256 << 10

var mimes = map[string]string{".css": "text/css; charset=utf-8", ".svg": "image/svg+xml", ".png": "image/png", ".jpg": "image/jpeg", ".webp": "image/webp"}

// assets are the files that pages load, by their path under the base path.
type assets map[string][]byte

// loadAssets reads the embedded files and the operator's own logo and style
// sheet, "" for none.
func loadAssets(logo, stylesheet string) (assets, error) {
	a := assets{}
	err := fs.WalkDir(static, "static", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		a["/"+name], err = static.ReadFile(name)
		return err
	})
	if err != nil {
		return nil, err
	}
	for name, file := range map[string]string{logoPath(logo): logo, ownStyle: stylesheet} {
		if file == "" {
			continue
		}
		if a[name], err = os.ReadFile(file); err != nil {
			return nil, err
		}
		if mimes[filepath.Ext(name)] == "" || len(a[name]) > maxOwn {
			return nil, fmt.Errorf("%s: want css, svg, png, jpg or webp of at most %d KiB", file, maxOwn>>10)
		}
	}
	return a, nil
}

const (
	ourStyle = "/static/gatepost.css"
	ownStyle = "/static/own.css"
)

func logoPath(file string) string { return "/static/own-logo" + strings.ToLower(filepath.Ext(file)) }

// url is where a page finds an asset, "" if there is none. It changes with the
// content, so that browsers may keep what they have for ever.
func (a assets) url(basePath, name string) string {
	body, ok := a[name]
	if !ok {
		return ""
	}
	return basePath + name + "?v=" + version(body)
}

func version(body []byte) string {
	sum := sha256.Sum256(body)
	return hex.EncodeToString(sum[:4])
}

// styles are the style sheets of every page, ours first.
func (a assets) styles(basePath string) []string {
	urls := []string{a.url(basePath, ourStyle), a.url(basePath, ownStyle)}
	return slices.DeleteFunc(urls, func(u string) bool { return u == "" })
}

// serve gives each asset a route of its own: no wildcard reaches a file system
// (security K-E4).
func (a assets) serve(g *echo.Group) {
	for name, body := range a {
		g.Match([]string{http.MethodGet, http.MethodHead}, name, func(c echo.Context) error {
			cache := "public, max-age=3600"
			if c.QueryParam("v") == version(body) {
				cache = "public, max-age=31536000, immutable"
			}
			c.Response().Header().Set("Cache-Control", cache)
			return c.Blob(http.StatusOK, mimes[filepath.Ext(name)], body)
		})
	}
}
