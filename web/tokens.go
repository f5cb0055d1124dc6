package web

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/gatepost/gatepost/flows"
	"github.com/gatepost/gatepost/flows/nextauth"
)

type tokensView struct {
	page
	CSRF, Action, End, Account string
	Tokens                     []tokenRow
	Lives                      []tokenLife
	Made                       string // the token, once; "" otherwise
	MayMake                    bool
}

type tokenRow struct {
	ID    int32
	Name  string
	Until time.Time
}

type tokenLife struct {
	Days  int
	Label string
}

// person is who asks for a page, for the rules.
func (s *server) person(c echo.Context) (*flows.Person, error) {
	return s.Gate.Person(c.Request().Context(), s.cookies.session(c))
}

// tokens answers GET /account/tokens: the access tokens that somebody has, and
// a form for another.
func (s *server) tokens(c echo.Context) error {
	person, err := s.person(c)
	if errors.Is(err, flows.ErrNoSession) {
		return s.redirect(c, s.url("/signin", url.Values{"callbackUrl": {s.url("/account/tokens", nil)}}))
	}
	if err != nil {
		return err
	}
	return s.showTokens(c, person, "")
}

func (s *server) showTokens(c echo.Context, person *flows.Person, made string) error {
	sessions, err := s.Sessions.List(c.Request().Context(), person.UserID)
	if err != nil {
		return err
	}
	entryOf(c).user = person.UserID
	view := tokensView{page: s.page(c, "tokens.title"), CSRF: s.cookies.csrfToken(c), Action: s.url("/account/tokens", nil), End: s.url("/account/end", nil),
		Account: s.url("/account", nil), Made: made, MayMake: s.Gate.MayMakeTokens(person)}
	view.Alert = s.alert(c)
	for _, v := range sessions {
		if name, ok := v.AccessTokenName(); ok {
			view.Tokens = append(view.Tokens, tokenRow{v.ID, name, v.Expires})
		}
	}
	for _, days := range tokenLives(s.Gate.Tokens.MaxLife) {
		view.Lives = append(view.Lives, tokenLife{days, view.words.Text("tokens.days", "n", days)})
	}
	return s.show(c, http.StatusOK, "tokens", view)
}

// tokenLives are the lives offered, in days: a few that people choose, and the
// longest there may be.
func tokenLives(most time.Duration) []int {
	longest := int(most / (24 * time.Hour))
	lives := slices.DeleteFunc([]int{1, 7, 30, 90, 365}, func(days int) bool { return days > longest })
	if longest > 0 && !slices.Contains(lives, longest) {
		lives = append(lives, longest)
	}
	return lives
}

// makeToken answers POST /account/tokens with the page that shows the new token.
// It is no redirect, because the token is to be nowhere but on that page.
func (s *server) makeToken(c echo.Context) error {
	fields, err := s.guarded(c)
	if err != nil {
		return err
	}
	person, err := s.person(c)
	if errors.Is(err, flows.ErrNoSession) {
		return &flows.Error{Code: flows.SessionRequired, Reason: "session_required"}
	}
	if err != nil {
		return err
	}
	days, err := strconv.Atoi(fields.Get("days"))
	if err != nil || days > 3650 {
		days = 0 // no life that is allowed
	}
	token, made, err := s.Gate.MakeToken(c.Request().Context(), person, fields.Get("name"), time.Duration(days)*24*time.Hour)
	if err != nil {
		return err
	}
	entryOf(c).note = "access token made, session " + strconv.Itoa(int(made.ID))
	if wantsJSON(fields) {
		return c.JSON(http.StatusOK, map[string]string{"token": token, "expires": made.Expires.UTC().Format(nextauth.SessionTime)})
	}
	return s.showTokens(c, person, token)
}
