package web

import (
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"
)

// contractCookies gives every answer under the base path the two cookies that
// NextAuth v3's has: the CSRF token, and the address to return to when it
// changed. One that leads nowhere is replaced, never refused: that went round in
// circles (nextauth-v3 §18 row 4).
func (s *server) contractCookies(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		path, ours := strings.CutPrefix(c.Request().URL.Path, s.BasePath)
		if ours && (path == "" || path[0] == '/') && !strings.HasPrefix(path, "/static/") && !s.withoutCookies(c) {
			fields, _ := form(c) // what cannot be read is told by the page
			s.cookies.csrfToken(c)
			s.cookies.setReturnTo(c, s.returnTo(c, fields))
		}
		return next(c)
	}
}

// withoutCookies reports a form that another site posted, as Apple posts its
// answer. It comes without our cookies, and the browser has them: new ones would
// take the place of those (nextauth-v3 §18 row 13).
func (s *server) withoutCookies(c echo.Context) bool {
	r := c.Request()
	return r.Method == http.MethodPost && (r.Header.Get("Sec-Fetch-Site") == "cross-site" || c.Path() == s.BasePath+"/callback/:provider")
}
