package main

import (
	"net/http"

	"github.com/labstack/echo/v4"
)

// What the gate answers, as constants: an assertion has 408 bytes.
var (
	bareIdentity = http.Header{
		"Remote-User": {"user1@example.org"}, "Remote-Email": {"user1@example.org"}, "Remote-Name": {"Ada Lovelace 1"}, "Remote-Groups": {""},
		"X-Auth-Request-User": {"1"}, "X-Auth-Request-Email": {"user1@example.org"}, "X-Auth-Request-Preferred-Username": {"Ada Lovelace 1"}, "X-Auth-Request-Groups": {""},
		"X-Gatepost-Assertion": {string(make408())}, "Cache-Control": {"no-store"}, "Vary": {"Cookie, Authorization"},
	}
	bareRefusal  = http.Header{"Cache-Control": {"no-store"}, "Vary": {"Cookie, Authorization"}, "Www-Authenticate": {`Bearer realm="gatepost"`}}
	bareRedirect = http.Header{"Cache-Control": {"no-store"}, "Vary": {"Cookie, Authorization"},
		"Location": {"https://auth.example.org/auth/signin?callbackUrl=https%3A%2F%2Fapp.example.org%2Fsome%2Fpage%3Fa%3D1"}}
	bareForbidden = http.Header{"Cache-Control": {"no-store"}, "Vary": {"Cookie, Authorization"}}
)

func make408() []byte {
	b := make([]byte, 408)
	for i := range b {
		b[i] = 'a'
	}
	return b
}

// serveBare is the limit: Echo's router and a handler that assigns headers made
// beforehand.
func serveBare(addr string) error {
	e := echo.New()
	e.HideBanner, e.HidePort = true, true
	answer := func(status int, headers http.Header, body []byte) echo.HandlerFunc {
		return func(c echo.Context) error {
			h := c.Response().Header()
			for name, values := range headers {
				h[name] = values
			}
			if body != nil {
				return c.JSONBlob(status, body)
			}
			return c.NoContent(status)
		}
	}
	e.Any("/200", answer(http.StatusOK, bareIdentity, nil))
	e.Any("/401", answer(http.StatusUnauthorized, bareRefusal, nil))
	e.Any("/302", answer(http.StatusFound, bareRedirect, nil))
	e.Any("/403", answer(http.StatusForbidden, bareForbidden, []byte(`{"error":"forbidden","request_id":"ABCDEFGHIJKLMNOPQRSTUVWXYZ","rule":"the back office"}`)))
	return e.Start(addr)
}
