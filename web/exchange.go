package web

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/gatepost/gatepost/store"
)

// askAgain is how long a handler may wait for a database that did not answer a
// moment ago.
const askAgain = 100 * time.Millisecond

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
		if err == nil && token == presented {
			return next(c)
		}
		var session store.Session
		if err == nil {
			_, session, err = s.Sessions.Current(r.Context(), token)
		}
		if errors.Is(err, store.ErrUnavailable) {
			// The database has had its time: whoever waits for the handler is to
			// be told within 3 s (security X-10).
			ctx, cancel := context.WithTimeout(r.Context(), askAgain)
			defer cancel()
			c.SetRequest(r.WithContext(ctx))
		}
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
