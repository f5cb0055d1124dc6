package web

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"

	"github.com/labstack/echo/v4"

	"github.com/gatepost/gatepost/flows"
	"github.com/gatepost/gatepost/flows/nextauth"
	"github.com/gatepost/gatepost/store"
)

// sessionUser is NextAuth's user, and the id that applications key their rows
// by. No token is ever in it (security S-13).
type sessionUser struct {
	Name  *string `json:"name"`
	Email *string `json:"email"`
	Image *string `json:"image"`
	ID    string  `json:"id"`
}

type sessionJSON struct {
	User    json.RawMessage `json:"user"` // a sessionUser, and what Fields adds
	Expires string          `json:"expires"`
}

// session answers GET /session: {} when nobody is signed in. When the database
// cannot be asked it is 503 and the cookies stay: an outage signs nobody out.
func (s *server) session(c echo.Context) error {
	c.Response().Header().Set("Vary", "Cookie")
	token := s.cookies.session(c)
	known, err := s.Sessions.Known(c.Request().Context(), token)
	switch {
	case errors.Is(err, flows.ErrNoSession):
		if token != "" || s.cookies.tossed(c, sessionCookie) {
			s.cookies.clear(c, sessionCookie)
		}
		return c.JSONBlob(http.StatusOK, []byte("{}"))
	case err != nil:
		return err
	}
	user, session := known.User, known.Session
	if err := s.cookies.setSession(c, token, session.Expires); err != nil {
		return err
	}
	entryOf(c).user = user.ID
	further := s.Fields.Of(c.Request().Context(), known)
	if s.NextAuth != nil {
		// With the token, since pages of the site may use it: the exception from S-13.
		return c.JSONBlob(http.StatusOK, nextauth.Session{
			Name: orBlank(user.Name, known.Blank&store.BlankName), Email: orBlank(user.Email, known.Blank&store.BlankEmail), Image: orBlank(user.Image, known.Blank&store.BlankImage), AccessToken: session.AccessToken, Expires: session.Expires, Further: further,
		}.JSON())
	}
	told, err := json.Marshal(sessionUser{orNull(user.Name), orNull(user.Email), orNull(user.Image), strconv.Itoa(int(user.ID))})
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, sessionJSON{
		User:    append(append(told[:len(told)-1], further...), '}'),
		Expires: session.Expires.UTC().Format(nextauth.SessionTime),
	})
}

// askSessionAnew answers POST /session, by which update() of next-auth/react asks
// what GET does. What it would have written into the session is dropped: pages do
// not say who somebody is. Without the token of this browser it is 400, as there.
func (s *server) askSessionAnew(c echo.Context) error {
	switch _, err := s.guarded(c); {
	case errors.Is(err, errCSRF), errors.Is(err, errCrossOrigin):
		return badRequest(err.Error())
	case err != nil:
		return err
	}
	return s.session(c)
}

func orNull(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// orBlank is s as NextAuth tells it, who knows an empty text from none.
func orBlank(s string, blank store.Blank) *string {
	if blank != 0 {
		return &s
	}
	return orNull(s)
}

// csrf answers GET /csrf.
func (s *server) csrf(c echo.Context) error {
	return c.JSONBlob(http.StatusOK, nextauth.Object("csrfToken", s.cookies.csrfToken(c)))
}

// providers answers GET /providers: an object keyed by id, in the order of the
// configuration.
func (s *server) providers(c echo.Context) error {
	b := []byte{'{'}
	add := func(id, name, kind string) {
		if len(b) > 1 {
			b = append(b, ',')
		}
		b = append(nextauth.AppendText(b, id), ':')
		b = append(b, nextauth.Object("id", id, "name", name, "type", kind, "signinUrl", s.url("/signin/"+id, nil), "callbackUrl", s.url("/callback/"+id, nil))...)
	}
	for _, p := range s.OAuth.Providers {
		add(p.ID(), p.Name(), "oauth")
	}
	if s.MagicLink != nil {
		add("email", "Email", "email")
	}
	return c.JSONBlob(http.StatusOK, append(b, '}'))
}

// signOutPage answers GET /signout with a button: no link can sign somebody out
// (security C-4).
func (s *server) signOutPage(c echo.Context) error {
	view := signOutView{page: s.page(c, "signout.title"), CSRF: s.cookies.csrfToken(c), Action: s.url("/signout", nil), ReturnTo: s.returnTo(c, nil), SignedInAs: s.signedInAs(c)}
	view.Alert = s.alert(c)
	return s.show(c, http.StatusOK, "signout", view)
}

// signOut answers POST /signout: the row first, then the cookies, so that a
// database that is away leaves the browser as it was.
func (s *server) signOut(c echo.Context) error {
	fields, err := s.guarded(c)
	if err != nil {
		return err
	}
	target := s.returnTo(c, fields)
	if err := s.Sessions.End(c.Request().Context(), s.cookies.session(c)); err != nil {
		return err
	}
	s.cookies.clearSignedIn(c)
	if !wantsJSON(fields) && fields.Get("callbackUrl") == "" && s.NextAuth == nil {
		return s.show(c, http.StatusOK, "signed-out", signedOutView{page: s.page(c, "signedout.title"), What: s.language(c).Text("signedout.what"), SignIn: s.url("/signin", nil)})
	}
	return s.answer(c, fields, target)
}

// clientLog answers POST /_log, where next-auth/client reports its errors. They
// are read and dropped: anybody may write anything there.
func (s *server) clientLog(c echo.Context) error {
	io.Copy(io.Discard, c.Request().Body)
	return c.NoContent(http.StatusOK)
}
