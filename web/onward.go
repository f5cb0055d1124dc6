package web

import (
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"
)

// leadsAway reports that a browser posted a form and is to go to a page that is
// not ours. Browsers hold every redirect after a form against form-action, also
// those that follow elsewhere and that nobody can know before, and stop without
// a word: they get a page that goes on by itself, since what leads on from a
// page is no longer the form. Those that do not say what a request is for get
// the redirect, and the policy allows what is known.
func (s *server) leadsAway(c echo.Context, target string) bool {
	r := c.Request()
	return r.Method == http.MethodPost && r.Header.Get("Sec-Fetch-Dest") == "document" && !s.isOurs(target)
}

// isOurs reports whether target is a page that we answer and that leads nowhere
// else.
func (s *server) isOurs(target string) bool {
	path, ours := strings.CutPrefix(target, s.public.Scheme+"://"+s.public.Host)
	path, _, _ = strings.Cut(path, "?")
	return ours && path == "/" || ours && strings.HasPrefix(path, s.BasePath+"/") && !strings.HasPrefix(path, s.BasePath+"/handover")
}

// onwardPage leads to target from a page of ours, without a script.
func (s *server) onwardPage(c echo.Context, target string) error {
	u, err := safeTarget(target)
	if err != nil {
		return err
	}
	c.Response().Header().Set("Refresh", "0; url="+target)
	return s.show(c, http.StatusOK, "lead", leadView{page: s.page(c, "lead.title"), URL: target, Host: u.Host})
}
