package web

import (
	"encoding/json"
	"errors"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/gatepost/gatepost/flows/nextauth"
)

var (
	errCSRF        = errors.New("the form does not come from a page of this browser")
	errCrossOrigin = errors.New("posted from another site")
)

const maxFields = 100

// form is the body, urlencoded or JSON, and nothing else: path and query never
// stand in for a field (security K-E11). It is read once and kept, because an
// error is answered in the form that was asked for.
func form(c echo.Context) (url.Values, error) {
	f, read := c.Get("form").(body)
	if !read {
		f.fields, f.err = readForm(c)
		c.Set("form", f)
	}
	return f.fields, f.err
}

type body struct {
	fields url.Values
	err    error
}

func readForm(c echo.Context) (url.Values, error) {
	kind, _, err := mime.ParseMediaType(c.Request().Header.Get(echo.HeaderContentType))
	if err != nil && c.Request().ContentLength != 0 {
		return nil, badRequest("the body has no content type; send application/x-www-form-urlencoded or application/json")
	}
	var fields url.Values
	switch kind {
	case "application/json":
		if fields, err = jsonFields(c.Request()); err != nil {
			return nil, err
		}
	case "application/x-www-form-urlencoded":
		if err := c.Request().ParseForm(); err != nil {
			return nil, bodyError(err)
		}
		fields = c.Request().PostForm
	default:
		return url.Values{}, nil // no fields: the CSRF token is missing, as in NextAuth
	}
	if len(fields) > maxFields {
		return nil, badRequest("too many fields")
	}
	return fields, nil
}

// jsonFields accepts an object of strings; other values count as absent, but for
// keep, of which a form may have several.
func jsonFields(r *http.Request) (url.Values, error) {
	var object map[string]any
	if err := json.NewDecoder(r.Body).Decode(&object); err != nil {
		return nil, bodyError(err)
	}
	fields := url.Values{}
	for name, value := range object {
		if s, ok := value.(string); ok {
			fields.Set(name, s)
		} else if name == "keep" {
			fields[name] = listed(value)
		}
	}
	return fields, nil
}

// listed is a list of strings or numbers as the fields of a form that it stands
// for. What is neither is "", which no form has: an account whose id cannot be read
// must not count as one that is not to be kept.
func listed(value any) []string {
	switch v := value.(type) {
	case nil:
		return nil
	case string:
		return []string{v}
	case float64:
		return []string{strconv.FormatFloat(v, 'f', -1, 64)}
	case []any:
		var all []string
		for _, one := range v {
			all = append(all, listed(one)...)
		}
		return all
	}
	return []string{""}
}

func bodyError(err error) error {
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return echo.NewHTTPError(http.StatusRequestEntityTooLarge, "the body is larger than 64 KiB")
	}
	return badRequest("the body cannot be read as what its content type says")
}

func badRequest(why string) error { return echo.NewHTTPError(http.StatusBadRequest, why) }

// guarded reads a form that changes something: posted by our own page, with the
// token of this browser (security C-2). Browsers say where a form comes from in
// Sec-Fetch-Site, older ones in Origin; what says neither is not a browser that
// somebody could misuse, and needs the token alone.
func (s *server) guarded(c echo.Context) (url.Values, error) {
	fields, err := form(c)
	if err != nil {
		return nil, err
	}
	if !s.sameSite(c.Request().Header, c.Path() == s.BasePath+"/callback/email" || c.Path() == s.BasePath+"/callback/email/revoke") {
		return fields, errCrossOrigin
	}
	if !s.cookies.csrfMatches(c, fields.Get("csrfToken")) {
		return fields, errCSRF
	}
	return fields, nil
}

// sameSite reads where a form comes from. noReferrer says that the form's page
// has the policy no-referrer (security M-16), under which browsers send no origin
// but null, also to ourselves: they say nothing then, and the token decides.
func (s *server) sameSite(h http.Header, noReferrer bool) bool {
	if site := h.Get("Sec-Fetch-Site"); site != "" {
		return site == "same-origin" || site == "none"
	}
	if origin, sent := h["Origin"]; sent {
		return len(origin) == 1 && (noReferrer && origin[0] == "null" || origin[0] == s.public.Scheme+"://"+s.public.Host)
	}
	return true
}

// readsJSON reports that whoever asks reads JSON and no page: NextAuth's client
// says json=true, others say it by what they send or accept. It decides the form
// of every refusal.
func (s *server) readsJSON(c echo.Context) bool {
	h := c.Request().Header
	fields, _ := form(c)
	kind, _, _ := mime.ParseMediaType(h.Get(echo.HeaderContentType))
	return wantsJSON(fields) || kind == "application/json" || prefersJSON(strings.Join(h["Accept"], ",")) ||
		c.Path() == s.BasePath+"/session" && c.Request().Method == http.MethodGet || s.givesToken(c)
}

// prefersJSON reports that accept names JSON, and HTML less or not at all.
func prefersJSON(accept string) bool {
	best := map[string]float64{}
	for part := range strings.SplitSeq(accept, ",") {
		kind, params, err := mime.ParseMediaType(part)
		if err != nil {
			continue
		}
		q := 1.0
		if weight, err := strconv.ParseFloat(params["q"], 64); err == nil {
			q = weight
		}
		best[kind] = max(best[kind], q)
	}
	return best["application/json"] > max(best["text/html"], best["application/xhtml+xml"])
}

func wantsJSON(fields url.Values) bool { return fields.Get("json") == "true" }

// answer sends the browser to target, or tells a script to go there.
func (s *server) answer(c echo.Context, fields url.Values, target string) error {
	if wantsJSON(fields) {
		return c.JSONBlob(http.StatusOK, nextauth.Object("url", target))
	}
	if s.leadsAway(c, target) {
		return s.onwardPage(c, target)
	}
	return s.redirect(c, target)
}

// returnTo decides where a flow ends: what the form says, else the query, else
// what this browser said before, else the public URL (nextauth-v3 §6).
func (s *server) returnTo(c echo.Context, fields url.Values) string {
	for _, raw := range []string{fields.Get("callbackUrl"), c.QueryParam("callbackUrl"), s.cookies.returnTo(c)} {
		if raw != "" {
			return s.ReturnTo.Resolve(raw)
		}
	}
	return s.ReturnTo.Default()
}
