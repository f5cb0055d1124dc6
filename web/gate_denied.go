package web

import (
	"net/http"
	"net/url"

	"github.com/labstack/echo/v4"

	"github.com/gatepost/gatepost/flows/gate"
)

type deniedView struct {
	page
	Place     string // host and path of what was asked for
	Who       string // who is signed in; "" for nobody
	Needs     string // whom the rule lets pass; "" for nobody
	Rule      string
	RequestID string
	SignOut   string // page that ends the session and leads back
}

var needs = map[gate.Needs]string{
	gate.NeedsSignedIn: "denied.needs.signedin", gate.NeedsGroup: "denied.needs.group", gate.NeedsProvider: "denied.needs.provider",
	gate.NeedsDomain: "denied.needs.domain", gate.NeedsPeople: "denied.needs.people",
}

// deniedPage tells a person why they may not pass: what was asked, as whom, and
// by which rule, without naming whom it lets in.
func (p *checkpoint) deniedPage(c echo.Context, request gate.Request, id gate.Identity, d gate.Decision, requestID string) error {
	p.protect(c.Response().Header())
	view := deniedView{Place: request.Host + request.Path, Rule: ruleName(d), RequestID: requestID, SignOut: p.url("/signout", url.Values{"callbackUrl": {request.URL()}})}
	view.page = p.page(c, "denied.title")
	if d.Needs != "" {
		view.Needs = view.words.Text(needs[d.Needs])
	}
	if id.UserID != 0 {
		view.Who = id.Attributes()[gate.AttributeUser]
	}
	c.Response().Header().Set("X-Request-Id", requestID)
	return p.show(c, http.StatusForbidden, "denied", view)
}
