package web

import (
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/gatepost/gatepost/flows"
	"github.com/gatepost/gatepost/flows/locale"
)

// newTestServer has pages and cookies and no database: whoever gets past the
// cookies without our keys is met by a panic.
func newTestServer(t testing.TB) (http.Handler, *cookies) {
	t.Helper()
	keys, err := flows.NewKeys([][]byte{[]byte(strings.Repeat("k", flows.MinSecret)), []byte(strings.Repeat("old", flows.MinSecret))})
	if err != nil {
		t.Fatal(err)
	}
	returnTo, err := flows.NewReturnTo("https://auth.example.org", nil)
	if err != nil {
		t.Fatal(err)
	}
	words, err := locale.Load("", nil)
	if err != nil {
		t.Fatal(err)
	}
	h, err := New(Config{
		PublicURL: "https://auth.example.org", BasePath: "/auth", Languages: words, Keys: keys, ReturnTo: returnTo,
		OAuth: &flows.OAuth{Now: time.Now}, Sessions: &flows.Sessions{Dialect: flows.Own(keys)},
		MagicLink:   &flows.MagicLink{Keys: keys, Sessions: &flows.Sessions{Dialect: flows.Own(keys)}, TTL: 10 * time.Minute, Tries: 5, Now: time.Now},
		MailHealthy: func() error { return nil }, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	return h, newCookies(keys, true, "", nil, nil)
}

func contextWith(cookie string) echo.Context {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header.Set("Cookie", cookie)
	return echo.New().NewContext(r, httptest.NewRecorder())
}

// sealed gives a cookie as another server, or we, would have written it.
func sealed(t testing.TB, k *cookies, write func(echo.Context) error) string {
	t.Helper()
	c := contextWith("")
	if err := write(c); err != nil {
		t.Fatal(err)
	}
	written := c.Response().Writer.(*httptest.ResponseRecorder).Result().Cookies()
	if len(written) != 1 {
		t.Fatalf("%d cookies", len(written))
	}
	return written[0].Value
}

// S-11: whatever somebody puts into our cookies, nobody is signed in, nothing
// panics, and no page fails.
func FuzzSealedCookies(f *testing.F) {
	h, k := newTestServer(f)
	foreignKeys, _ := flows.NewKeys([][]byte{[]byte(strings.Repeat("x", flows.MinSecret))})
	foreign := newCookies(foreignKeys, true, "", nil, nil)
	token := flows.SessionToken(strings.Repeat("A", 43))
	later := time.Now().Add(time.Hour)
	ours := sealed(f, k, func(c echo.Context) error { return k.setSession(c, token, later) })
	for _, value := range []string{
		"", "x", "%", "=", `""`, strings.Repeat("B", 43), strings.Repeat("A", 5000), ours[:len(ours)-4], ours + "A", strings.ToUpper(ours), "MTc|" + ours,
		sealed(f, foreign, func(c echo.Context) error { return foreign.setSession(c, token, later) }),
		sealed(f, k, func(c echo.Context) error { return k.keepTyped(c, string(token)) }), // the same value for another purpose
		sealed(f, k, func(c echo.Context) error {
			return k.keepMailAttempt(c, flows.MailAttempt{ID: "1", Email: "a@b.org", StartedAt: time.Now()}, time.Hour)
		}),
	} {
		for which := range byte(11) {
			f.Add(which, value)
		}
	}
	f.Fuzz(func(t *testing.T, which byte, value string) {
		names := []string{sessionCookie, csrfCookie, returnToCookie, attemptName(attemptCookie, "s"), attemptName(answerCookie, "s"), mailCookie, pendingCookie, typedCookie, crossingCookie, bouncesCookie, carriedCode}
		base := names[int(which)%len(names)]
		header := k.name(base) + "=" + value
		opened := k.session(contextWith(header))
		if opened != "" && opened != token {
			t.Fatalf("%q opens as %q", header, opened)
		}
		if opened == token {
			return // ours, written in another way
		}
		for _, target := range []string{"/auth/session", "/auth/signin?error=OAuthAccountNotLinked", "/auth/verify-request", "/auth/account", "/auth/signout", "/auth/callback/x?state=s", "/auth/csrf"} {
			r := httptest.NewRequest(http.MethodGet, target, nil)
			r.Header.Set("Cookie", header)
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			body := w.Body.String()
			if w.Code >= 500 {
				t.Errorf("%s with %q: %d", target, header, w.Code)
			}
			if target == "/auth/session" && body != "{}" || target == "/auth/account" && w.Code != http.StatusFound || strings.Contains(body, "You are signed in as") {
				t.Errorf("%s with %q signs somebody in: %d %s", target, header, w.Code, body)
			}
			for _, c := range w.Result().Cookies() {
				if c.Name == k.name(sessionCookie) && c.Value != "" {
					t.Errorf("%s with %q gives a session", target, header)
				}
			}
			if u, err := url.Parse(w.Header().Get("Location")); err != nil || u.Host != "" && u.Host != "auth.example.org" {
				t.Errorf("%s with %q leads to %v", target, header, u)
			}
		}
	})
}

// C-2: a form is ours only with the token of a cookie that we wrote; whatever
// else the cookie says, a new one is given.
func FuzzCSRFCookie(f *testing.F) {
	_, k := newTestServer(f)
	pair := sealed(f, k, func(c echo.Context) error { k.renewCSRF(c); return nil })
	token, mac, _ := strings.Cut(pair, "%7C")
	for _, seed := range [][2]string{
		{pair, token}, {pair, ""}, {"", ""}, {"|", ""}, {"%7C", ""}, {"|" + mac, ""}, {token, token}, {token + "%7C", token}, {token + "|" + mac, token},
		{token + "%7C" + mac + "%7C", token}, {"x%7C" + mac, "x"}, {token + "%7C" + strings.ToUpper(mac), token}, {pair + "; " + k.name(csrfCookie) + "=" + pair, token}, {"%zz", "%zz"},
	} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, value, submitted string) {
		c := contextWith(k.name(csrfCookie) + "=" + value)
		if k.csrfMatches(c, submitted) {
			raw, _ := k.get(c, csrfCookie)
			plain, _ := url.PathUnescape(raw)
			ours := slices.ContainsFunc(k.csrfHashes(submitted), func(hash string) bool { return plain == submitted+"|"+hash })
			if submitted == "" || !ours {
				t.Errorf("%q matches %q", value, submitted)
			}
		}
		if given := k.csrfToken(c); given == "" || submitted == "" && k.csrfMatches(c, "") {
			t.Errorf("%q gives the token %q", value, given)
		}
	})
}

// A body of any kind is fields or a refusal, and the query is never a field
// (security K-E11).
func FuzzForm(f *testing.F) {
	for _, seed := range [][2]string{
		{"application/x-www-form-urlencoded", "a=b&c=%zz"}, {"application/x-www-form-urlencoded;charset=UTF-8", "a=1&a=2"}, {"application/json", `{"a":"b","c":1,"d":null}`},
		{"application/json", `[{}]`}, {"application/json", `{"a":`}, {"application/json", "null"}, {"multipart/form-data; boundary=x", "--x\r\n"}, {"", "a=b"}, {";;", "x"}, {"text/plain", "csrfToken=x"},
	} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, kind, body string) {
		r := httptest.NewRequest(http.MethodPost, "/?queried=1", strings.NewReader(body))
		r.Header["Content-Type"] = []string{kind}
		fields, err := readForm(echo.New().NewContext(r, httptest.NewRecorder()))
		if err != nil {
			if he, ok := errors.AsType[*echo.HTTPError](err); !ok || he.Code < 400 || he.Code > 499 {
				t.Errorf("%q %q: %v", kind, body, err)
			}
			return
		}
		if len(fields) > maxFields || fields.Get("queried") != "" && !strings.Contains(body, "queried") {
			t.Errorf("%q %q: %v", kind, body, fields)
		}
	})
}

// A token of the JSON contract is one that forms take.
func TestCSRFOverHTTP(t *testing.T) {
	h, k := newTestServer(t)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/auth/csrf", nil))
	var got struct{ CSRFToken string }
	if err := json.NewDecoder(w.Body).Decode(&got); err != nil && !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	cookie := w.Result().Cookies()[0]
	if !k.csrfMatches(contextWith(cookie.Name+"="+cookie.Value), got.CSRFToken) || cookie.Name != "__Host-gatepost.csrf-token" || !cookie.Secure || !cookie.HttpOnly {
		t.Errorf("%+v %+v", got, cookie)
	}
}

// L-4: accounts are kept only by numbers in fields of the form, and a form that
// does not say that it asked decides nothing.
func FuzzChoice(f *testing.F) {
	for _, seed := range []string{"", "keep=1", "chosen=1", "chosen=1&keep=1&keep=2", "chosen=&keep=1", "chosen=1&keep=", "keep=0", "keep=-1", "keep=2147483648", "keep=1e3", "keep=+1", "keep=1,2", "keep[]=1", "Keep=1", "chosen=1&chosen="} {
		f.Add(seed, false)
		f.Add(seed, true)
	}
	f.Fuzz(func(t *testing.T, query string, program bool) {
		fields, _ := url.ParseQuery(query)
		choice, err := choiceOf(fields, program)
		if err != nil {
			if he, ok := errors.AsType[*echo.HTTPError](err); !ok || he.Code != http.StatusBadRequest || choice.Made || len(choice.Keep) > 0 {
				t.Errorf("%q: %+v, %v", query, choice, err)
			}
			return
		}
		if choice.Made != (program || fields.Get("chosen") != "") || len(choice.Keep) != len(fields["keep"]) {
			t.Errorf("%q: %+v", query, choice)
		}
		for _, id := range choice.Keep {
			if id <= 0 {
				t.Errorf("%q: %+v", query, choice)
			}
		}
	})
}
