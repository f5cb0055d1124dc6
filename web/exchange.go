package web

import (
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"
)

// exchanged gives a browser that comes with a signed cookie of the NextAuth site
// the session that it stands for, and its cookie. Where that fails the handler
// comes upon the same and says so: nobody is signed in, or it cannot be told.
func (s *server) exchanged(next echo.HandlerFunc) echo.HandlerFunc {
	signOut := s.BasePath + "/signout"
	return func(c echo.Context) error {
		r := c.Request()
		path := strings.TrimPrefix(c.Path(), s.BasePath)
		if path == c.Path() || strings.HasPrefix(path, "/static/") || r.Method == http.MethodPost && c.Path() == signOut {
			return next(c)
		}
		presented := s.cookies.session(c)
		token, err := s.Sessions.Exchange(r.Context(), presented)
		if err != nil || token == presented {
			return next(c)
		}
		_, session, err := s.Sessions.Current(r.Context(), token)
		if err != nil {
			return next(c)
		}
		if err := s.cookies.setSession(c, token, session.Expires); err != nil {
			return err
		}
		c.Set(sessionCookie, token) // instead of what the browser sent
		entryOf(c).note = "signed cookie exchanged"
		return next(c)
	}
}
