package web

import (
	"net/http"
	"time"

	"github.com/labstack/echo/v4"
)

type loopView struct {
	page
	Host, Again string
}

// loopPage ends a browser's way back and forth with an explanation.
func (s *server) loopPage(c echo.Context, host, target string) error {
	entryOf(c).note = "sign-in goes round in circles for " + host
	view := loopView{page: s.page(c, "loop.title"), Host: host, Again: target}
	return s.show(c, http.StatusLoopDetected, "loop", view)
}

// A third arrival for one host within this time is a circle (security F-12).
const (
	circleTime  = 10 * time.Second
	circleTimes = 3
)

// goesRound counts arrivals of this browser for host, and reports that they are
// a circle.
func (s *server) goesRound(c echo.Context, host string) bool {
	b := s.cookies.bounces(c)
	now := time.Now()
	if b.Host != host || now.Sub(b.Since) > circleTime {
		b = bounces{Host: host, Since: now}
	}
	b.Times++
	s.cookies.keepBounces(c, b)
	return b.Times >= circleTimes
}

// bounces are arrivals of one browser that was sent to sign in.
type bounces struct {
	Host  string
	Times int
	Since time.Time
}

func (k *cookies) keepBounces(c echo.Context, b bounces) {
	// What cannot be sealed is not counted; nothing else depends on it.
	_ = k.seal(c, bouncesCookie, bouncesCookie, b, b.Since.Add(circleTime))
}

func (k *cookies) bounces(c echo.Context) (b bounces) {
	k.open(c, bouncesCookie, bouncesCookie, &b)
	return b
}
