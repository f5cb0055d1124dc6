package web

import (
	"net/http"
	"net/url"

	"github.com/labstack/echo/v4"

	"github.com/gatepost/gatepost/flows/gate"
)

type deniedView struct {
	page
	Host, Path string // what was asked for
	Who        string // who is signed in; "" for nobody
	Needs      string // whom the rule lets pass
	Rule       string
	RequestID  string
	SignOut    string // page that ends the session and leads back
}

// deniedPage tells a person why they may not pass: what was asked, as whom, and
// by which rule, without naming whom it lets in.
func (p *checkpoint) deniedPage(c echo.Context, request gate.Request, id gate.Identity, d gate.Decision, requestID string) error {
	p.protect(c.Response().Header())
	view := deniedView{page: p.page("You may not open this"), Host: request.Host, Path: request.Path, Needs: d.Needs, Rule: ruleName(d),
		RequestID: requestID, SignOut: p.url("/signout", url.Values{"callbackUrl": {request.URL()}})}
	if id.UserID != 0 {
		view.Who = id.Attributes().User
	}
	c.Response().Header().Set("X-Request-Id", requestID)
	return p.show(c, http.StatusForbidden, "denied", view)
}
