package web

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/labstack/echo/v4"
)

const (
	maxBody    = 64 << 10
	maxCookies = 200 // browsers keep up to 180 of one site, whoever set them
)

// harden wraps every answer, also those that no route gives: the headers, the
// request id, the limits, one log line, and an end to panics (security P-2,
// P-3, P-9, X-5, X-12). It stands outside Echo's router on purpose.
func (s *server) harden(e *echo.Echo) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		entry := &logEntry{id: rand.Text()}
		r = r.WithContext(context.WithValue(r.Context(), logKey{}, entry))
		s.protect(w.Header())
		w.Header().Set("X-Request-Id", entry.id)
		rec := &recorder{ResponseWriter: w}
		defer func() {
			if p := recover(); p != nil {
				if p == http.ErrAbortHandler {
					panic(p)
				}
				entry.panicked, entry.err = true, fmt.Errorf("panic: %v", p)
				s.Log.Error("panic", "request_id", entry.id, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
				if rec.status == 0 {
					http.Error(rec, "Something went wrong here.\nCode: internal\nRequest id: "+entry.id, http.StatusInternalServerError)
				}
			}
			took := time.Since(start)
			s.logRequest(r, rec, entry, took)
			if s.Observe != nil {
				s.Observe(Observation{entry.route, rec.status, entry.code, entry.reason, entry.provider, entry.signedIn, entry.panicked, took})
			}
		}()
		r.Body = http.MaxBytesReader(rec, r.Body, maxBody)
		e.ServeHTTP(rec, r)
	})
}

// boundCookies refuses a browser that has more cookies than are worth reading
// (security X-5).
func boundCookies(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		if strings.Count(strings.Join(c.Request().Header["Cookie"], ";"), ";") >= maxCookies {
			return echo.NewHTTPError(http.StatusRequestHeaderFieldsTooLarge)
		}
		return next(c)
	}
}

func (s *server) protect(h http.Header) {
	h.Set("Content-Security-Policy", s.policy())
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "strict-origin")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Permissions-Policy", "accelerometer=(), camera=(), geolocation=(), gyroscope=(), microphone=(), payment=(), usb=()")
	h.Set("Cache-Control", "private, no-cache, no-store")
	if s.public.Scheme == "https" {
		h.Set("Strict-Transport-Security", "max-age=31536000")
	}
}

// policy allows forms to lead where sign-ins lead, as far as that is known:
// browsers apply form-action to every redirect that follows a form. Those that
// say what a request is for need none of it; see leadsAway.
func (s *server) policy() string {
	forms := []string{"'self'"}
	for _, p := range s.OAuth.Providers {
		if o := p.AuthorizationOrigin(); o != "" && !slices.Contains(forms, o) {
			forms = append(forms, o)
		}
	}
	forms = append(forms, s.FormOrigins...)
	return "default-src 'none'; style-src 'self'; img-src 'self' data:; form-action " + strings.Join(forms, " ") +
		"; base-uri 'none'; frame-ancestors 'none'"
}

type logKey struct{}

// logEntry gathers what the one line about a request says.
type logEntry struct {
	id       string
	route    string
	code     string
	reason   string
	provider string
	user     int32
	note     string
	err      error
	signedIn bool
	panicked bool
}

func entryOf(c echo.Context) *logEntry {
	entry, ok := c.Request().Context().Value(logKey{}).(*logEntry)
	if !ok {
		return &logEntry{}
	}
	if entry.route == "" {
		entry.route = c.Path()
	}
	return entry
}

// logRequest writes the one line of a request. It has the route, never the path
// or the query, which carry codes and tokens (security ).
func (s *server) logRequest(r *http.Request, rec *recorder, entry *logEntry, took time.Duration) {
	level := slog.LevelInfo
	if rec.status >= 500 {
		level = slog.LevelError
	}
	attrs := []any{"request_id", entry.id, "method", cut(r.Method), "route", entry.route, "status", rec.status, "ms", took.Milliseconds()}
	add := func(key, value string) {
		if value != "" {
			attrs = append(attrs, key, value)
		}
	}
	add("code", entry.code)
	add("reason", entry.reason)
	add("provider", entry.provider)
	add("note", entry.note)
	if entry.user != 0 {
		attrs = append(attrs, "user", entry.user)
	}
	if entry.err != nil {
		attrs = append(attrs, "err", entry.err.Error())
	}
	s.Log.Log(r.Context(), level, "request", attrs...)
}

// cut shortens what a client may make as long as it likes.
func cut(s string) string { return s[:min(len(s), 20)] }

type recorder struct {
	http.ResponseWriter
	status int
}

func (r *recorder) WriteHeader(status int) {
	if r.status == 0 {
		r.status = status
	}
	r.ResponseWriter.WriteHeader(status)
}

func (r *recorder) Write(b []byte) (int, error) {
	if r.status == 0 {
		r.status = http.StatusOK
	}
	return r.ResponseWriter.Write(b)
}

// redirect is the one way a Location is written: absolute, and free of bytes
// that browsers drop (security R-5; Echo writes any string).
func (s *server) redirect(c echo.Context, target string) error {
	if _, err := safeTarget(target); err != nil {
		return err
	}
	c.Response().Header().Set("Location", target)
	return c.NoContent(http.StatusFound)
}

func safeTarget(target string) (*url.URL, error) {
	u, err := url.Parse(target)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || strings.ContainsFunc(target, func(r rune) bool { return r <= ' ' || r == 0x7f || r == '\\' }) {
		return nil, errors.New("redirect to an unsafe target")
	}
	return u, nil
}
