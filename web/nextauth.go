package web

import (
	"net/http"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/gatepost/gatepost/flows"
	"github.com/gatepost/gatepost/flows/nextauth"
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

// begunElsewhere is the attempt of a sign-in that the NextAuth site began in this
// browser: its state follows from the CSRF token, its code verifier is in a
// cookie of 15 minutes, and where it leads is in another. An answer to something
// else leaves the cookies to the sign-in that they are of. A site that is gone
// begins none.
func (s *server) begunElsewhere(c echo.Context, provider, state string) (flows.Attempt, error) {
	begun := flows.BegunElsewhere{Runs: s.NextAuth != nil && s.NextAuth.Shared}
	if begun.Runs {
		begun.CSRFToken, _ = s.cookies.csrfFromCookie(c)
	}
	if begun.AnsweredBy(state) {
		begun.ReturnTo = s.returnTo(c, nil)
		var err error
		if begun.Verifier, err = s.verifier(c); err != nil {
			return flows.Attempt{}, err
		}
		if begun.LinkTo, err = s.linkingUser(c); err != nil {
			return flows.Attempt{}, err
		}
	}
	return s.OAuth.Adopt(begun, provider, s.url("/callback/"+provider, nil), state)
}

// verifier takes the site's code verifier from this browser, "" where there is
// none.
func (s *server) verifier(c echo.Context) (string, error) {
	sealed, ok := s.cookies.get(c, verifierCookie)
	if !ok {
		return "", nil
	}
	s.cookies.clear(c, verifierCookie)
	verifier, err := s.NextAuth.Tokens.DecodeVerifier(nextauth.DecodeURIComponent(sealed), time.Now())
	if err != nil {
		return "", &flows.Error{Code: flows.OAuthCallback, Reason: flows.ReasonAttemptExpired, Err: err}
	}
	return verifier, nil
}

// codeAnyCase reads those codes in any case that NextAuth's error page does.
func codeAnyCase(code string) string {
	for _, known := range []flows.Code{flows.Configuration, flows.AccessDenied, flows.Verification} {
		if strings.EqualFold(code, string(known)) {
			return string(known)
		}
	}
	return code
}
