package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"html"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync/atomic"

	"github.com/gatepost/gatepost/bench/measure"
)

// csrf is one token, which both servers take: its cookie has the hash that
// their secret makes.
var (
	csrf       = hash("a form")
	csrfCookie = "__Host-next-auth.csrf-token=" + csrf + "%7C" + hash(csrf+secret)
)

func works(dsn string) []*row {
	var link atomic.Int64 // the next that nobody has opened
	next := func() string {
		i := int(link.Add(1) - 1)
		return fmt.Sprintf("/callback/email?email=p%d%%40example.org&token=%s", i%people, token("link", i))
	}
	mail := func(ctx context.Context) (int, error) { return links, mailLinks(ctx, dsn, int(link.Load())) }
	return []*row{
		{name: "GET /api/auth/session", do: [2]work{check, check}},
		{name: "sign-in by a mailed link", prepare: mail, do: [2]work{
			func(c *measure.Conn, _ int) error { return confirmLink(c, next()) },
			func(c *measure.Conn, _ int) error { return openLink(c, next()) },
		}},
		{name: "sign-in by OAuth, begun and ended", do: [2]work{oauth, oauth}},
	}
}

func check(c *measure.Conn, n int) error {
	i := n % people
	return c.Ask(&measure.Request{
		Raw:    request("GET", "/session", "__Secure-next-auth.session-token="+token("session", i), nil),
		Status: "200", Has: fmt.Appendf(nil, `"email":"p%d@example.org"`, i),
	})
}

// openLink is NextAuth's way: whoever opens a link is signed in.
func openLink(c *measure.Conn, link string) error {
	_, err := ask(c, "GET", link, csrfCookie, nil, "302", true)
	return err
}

var (
	button = regexp.MustCompile(`<form method="post" action="([^"]*)">(.*)`)
	hidden = regexp.MustCompile(`<input type="hidden" name="([^"]*)" value="([^"]*)"`)
)

// confirmLink is Gatepost's way: the page of the link asks, and its first button
// signs in.
func confirmLink(c *measure.Conn, link string) error {
	page, err := ask(c, "GET", link, csrfCookie, nil, "200", false)
	if err != nil {
		return err
	}
	form := button.FindStringSubmatch(page.body)
	if form == nil {
		return fmt.Errorf("no form in %s", page.body)
	}
	fields := url.Values{}
	for _, field := range hidden.FindAllStringSubmatch(form[2], -1) {
		fields.Set(field[1], field[2])
	}
	_, action, _ := strings.Cut(html.UnescapeString(form[1]), "/api/auth")
	_, err = ask(c, "POST", action, csrfCookie, fields, "302", true)
	return err
}

// oauth signs in somebody who has been here before: off to the provider, and
// back with a code.
func oauth(c *measure.Conn, n int) error {
	begun, err := ask(c, "POST", "/signin/idp", csrfCookie, url.Values{"csrfToken": {csrf}, "callbackUrl": {origin + "/in"}}, "302", false)
	if err != nil {
		return err
	}
	u, err := url.Parse(begun.location)
	if err != nil {
		return err
	}
	back := url.Values{"code": {fmt.Sprintf("p%d", n%people)}, "state": {u.Query().Get("state")}}
	_, err = ask(c, "GET", "/callback/idp?"+back.Encode(), csrfCookie+"; "+begun.cookies, nil, "302", true)
	return err
}

type answer struct{ location, cookies, body string }

// ask is one request of a sign-in. The last one sets a session's cookie.
func ask(c *measure.Conn, method, path, cookies string, form url.Values, status string, signsIn bool) (a answer, err error) {
	raw, err := c.Exchange(request(method, path, cookies, form))
	if err != nil {
		return a, err
	}
	r, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(raw)), nil)
	if err != nil {
		return a, err
	}
	var set []string
	in := false
	for _, cookie := range r.Cookies() {
		set = append(set, cookie.Name+"="+cookie.Value)
		in = in || cookie.Name == "__Secure-next-auth.session-token" && len(cookie.Value) == 64
	}
	_, body, _ := strings.Cut(string(raw), "\r\n\r\n")
	if fmt.Sprint(r.StatusCode) != status || in != signsIn {
		return a, fmt.Errorf("%s %s: want %s, session %t, got\n%s", method, path, status, signsIn, raw)
	}
	return answer{r.Header.Get("Location"), strings.Join(set, "; "), body}, nil
}

func request(method, path, cookies string, form url.Values) []byte {
	body := form.Encode()
	kind := ""
	if form != nil {
		kind = fmt.Sprintf("Content-Type: application/x-www-form-urlencoded\r\nContent-Length: %d\r\nOrigin: %s\r\n", len(body), origin)
	}
	return []byte(method + " /api/auth" + path + " HTTP/1.1\r\nHost: site.example.org\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r\n" +
		"Accept: */*\r\nCookie: " + cookies + "\r\n" + kind + "\r\n" + body)
}
