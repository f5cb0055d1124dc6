package web

import (
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/gatepost/gatepost/flows"
	"github.com/gatepost/gatepost/flows/nextauth"
)

// upstreamTokenJSON is a person's access token at a provider, named as NextAuth
// names things.
type upstreamTokenJSON struct {
	Provider    string  `json:"provider"`
	AccountID   string  `json:"providerAccountId"`
	AccessToken string  `json:"accessToken"`
	TokenType   string  `json:"tokenType,omitempty"`
	Expires     *string `json:"expires"` // null: the provider did not say
}

// upstreamToken answers POST /token/:provider with the access token that the
// signed-in person has at a provider, which opens their account there. Whoever
// asks shows what a form of ours would (security C-2): the session's cookie and
// the token of the CSRF cookie, and from a browser our own origin. No other
// origin may read it, and an access token of ours is not enough: it was made to
// pass the gate.
func (s *server) upstreamToken(c echo.Context) error {
	fields, err := s.guarded(c)
	if err != nil {
		return err
	}
	id := c.Param("provider")
	entryOf(c).provider = s.known(id)
	p, given := s.Upstream.Provider(id)
	if !given {
		return echo.ErrNotFound
	}
	ctx := c.Request().Context()
	user, _, err := s.Sessions.Current(ctx, s.cookies.session(c))
	if errors.Is(err, flows.ErrNoSession) {
		return &flows.Error{Code: flows.SessionRequired, Reason: "session_required"}
	}
	if err != nil {
		return err
	}
	entryOf(c).user = user.ID
	who := strconv.Itoa(int(user.ID))
	if !s.fetches.allows(who) {
		return &flows.Error{Code: flows.AccessDenied, Reason: flows.ReasonRateLimited}
	}
	s.fetches.charge(who)
	token, err := s.Upstream.Token(ctx, user.ID, p, fields.Get("rejected"))
	if err != nil {
		return err
	}
	out := upstreamTokenJSON{Provider: token.Provider, AccountID: token.AccountID, AccessToken: token.Token, TokenType: token.Type}
	if !token.Expires.IsZero() {
		expires := token.Expires.UTC().Truncate(time.Millisecond).Format(nextauth.SessionTime)
		out.Expires = &expires
	}
	return c.JSON(http.StatusOK, out)
}

// givesToken reports that c asks for an upstream token, which is asked for by
// programs: its refusals are JSON with a status that means what it says.
func (s *server) givesToken(c echo.Context) bool {
	return c.Path() == s.BasePath+"/token/:provider"
}

// refuseToken answers a request for an upstream token that is refused. url is
// where to send the person, where they can do something about it.
func (s *server) refuseToken(c echo.Context, refusal *flows.Error) error {
	p := problemFor(s.language(c), string(refusal.Code), refusal.Reason)
	answer := map[string]string{"error": string(refusal.Code), "reason": p.Reason, "message": p.message(), "request_id": entryOf(c).id}
	if refusal.Reason == "csrf" { // its words are for a person at a form
		answer["message"] = "Send csrfToken of GET " + s.BasePath + "/csrf with its cookie and the session's. Of pages only those of " + s.public.Scheme + "://" + s.public.Host + " may ask."
	}
	query := url.Values{}
	fields, _ := form(c)
	if to := fields.Get("callbackUrl"); to != "" {
		query.Set("callbackUrl", s.ReturnTo.Resolve(to))
	}
	switch refusal.Reason {
	case "session_required":
		answer["url"] = s.url("/signin", query)
	case flows.ReasonSignInAgain, flows.ReasonAccountMissing:
		answer["url"] = s.url("/signin/"+c.Param("provider"), query)
	}
	if p.Status >= 500 || p.Status == http.StatusTooManyRequests {
		c.Response().Header().Set("Retry-After", strconv.Itoa(int(flows.UpstreamPause/time.Second)))
	}
	return c.JSON(p.Status, answer)
}
