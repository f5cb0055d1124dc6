package web

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/gatepost/gatepost/flows"
	"github.com/gatepost/gatepost/flows/locale"
	"github.com/gatepost/gatepost/flows/nextauth"
)

// besideNextAuth is newTestServer with NextAuth's dialect.
func besideNextAuth(t testing.TB) (http.Handler, *cookies) {
	t.Helper()
	const secret = "oracle-secret-not-for-production"
	tokens, err := nextauth.New(nextauth.Options{Secret: secret})
	if err != nil {
		t.Fatal(err)
	}
	site := &NextAuth{Secret: secret, Tokens: tokens}
	keys, err := flows.NewKeys([][]byte{[]byte(strings.Repeat("k", flows.MinSecret))})
	if err != nil {
		t.Fatal(err)
	}
	returnTo, err := flows.NewReturnTo("https://site.example", nil)
	if err != nil {
		t.Fatal(err)
	}
	words, err := locale.Load("", nil)
	if err != nil {
		t.Fatal(err)
	}
	sessions := &flows.Sessions{Dialect: flows.NextAuth(keys, secret)}
	h, err := New(Config{
		PublicURL: "https://site.example", BasePath: "/api/auth", Languages: words, Keys: keys, ReturnTo: returnTo.Bare(), NextAuth: site,
		OAuth: &flows.OAuth{Now: time.Now, Sessions: sessions}, Sessions: sessions, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	return h, newCookies(keys, true, "", nil, site)
}

// §18 rows 3 and 4: whatever the two cookies of every answer hold, each request is
// answered, nothing leads elsewhere, and what is set in their place is ours.
func FuzzNextAuthCookies(f *testing.F) {
	h, k := besideNextAuth(f)
	const token = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
	for _, csrf := range []string{"", "|", "%7C", "%zz", token, token + "%7C" + k.csrfHashes(token)[0], token + "%7C" + strings.Repeat("0", 64), "%7C" + k.csrfHashes("")[0]} {
		for _, to := range []string{"", "foo", "https%3A%2F%2Fsite.example", "https%3A%2F%2Fevil.test", "javascript%3Aalert(1)", "%2F%2Fevil.test", "%00", "https%3A%2F%2Fsite.example%2F..%2F%5C"} {
			f.Add(csrf, to)
		}
	}
	f.Fuzz(func(t *testing.T, csrf, to string) {
		header := k.name(csrfCookie) + "=" + csrf + "; " + k.name(returnToCookie) + "=" + to
		for _, target := range []string{"/api/auth/csrf", "/api/auth/providers", "/api/auth/signin", "/api/auth/error", "/api/auth/session", "/api/auth/callback/x?state=" + nextauth.State(csrf), "/api/auth/none"} {
			r := httptest.NewRequest(http.MethodGet, target, nil)
			r.Header.Set("Cookie", header)
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			if w.Code >= 500 {
				t.Errorf("%s with %q: %d", target, header, w.Code)
			}
			if u, err := url.Parse(w.Header().Get("Location")); err != nil || u.Host != "" && u.Host != "site.example" {
				t.Errorf("%s with %q leads to %v", target, header, u)
			}
			for _, c := range w.Result().Cookies() {
				plain := nextauth.DecodeURIComponent(c.Value)
				switch c.Name {
				case k.name(csrfCookie):
					if token, hash, _ := strings.Cut(plain, "|"); len(token) != 64 || hash != k.csrfHashes(token)[0] {
						t.Errorf("%s with %q sets %q", target, header, plain)
					}
				case k.name(returnToCookie):
					if plain != "" && plain != "https://site.example" && !strings.HasPrefix(plain, "https://site.example/") {
						t.Errorf("%s with %q sets %q", target, header, plain)
					}
				}
			}
		}
	})
}

// Whatever token a row has, the cookie brings it back, and holds nothing that
// would end it.
func FuzzNextAuthSessionCookie(f *testing.F) {
	_, k := besideNextAuth(f)
	for _, token := range []string{"", "0d9a68ebccc60e0f", "with spaces; and=more", "%zz", "é", "\x00", "a\r\nb"} {
		f.Add(token)
	}
	f.Fuzz(func(t *testing.T, token string) {
		c := contextWith("")
		if err := k.setSession(c, flows.SessionToken(token), time.Now().Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
		set := c.Response().Header().Get(echo.HeaderSetCookie)
		value, rest, _ := strings.Cut(strings.TrimPrefix(set, k.name(sessionCookie)+"="), ";")
		if strings.ContainsAny(value, " ,;\"\\\r\n") || !strings.HasPrefix(rest, " Path=/; Expires=") {
			t.Fatalf("%q", set)
		}
		if got := k.session(contextWith(k.name(sessionCookie) + "=" + value)); string(got) != token && strings.ToValidUTF8(token, "") == token {
			t.Errorf("%q comes back as %q", token, got)
		}
	})
}
