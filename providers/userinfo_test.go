package providers

import (
	"encoding/base64"
	"encoding/json"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// OpenID Connect Core §5.3.2: a provider may sign its UserInfo.
func TestSignedUserinfo(t *testing.T) {
	usual := func(o *op) map[string]any {
		return map[string]any{"iss": o.URL, "aud": "client", "sub": "248289", "email": "ada@example.org", "email_verified": true}
	}
	with := func(name string, v any) func(*op) string {
		return func(o *op) string {
			c := usual(o)
			c[name] = v
			if v == nil {
				delete(c, name)
			}
			return sign(jose.RS256, rsaKey, "k1", c)
		}
	}
	for _, tt := range []struct {
		name string
		make func(*op) string
		want Reason
	}{
		{"for us", func(o *op) string { return sign(jose.RS256, rsaKey, "k1", usual(o)) }, ""},
		{"for us and others", with("aud", []string{"other", "client"}), ""},
		{"with a line's end", func(o *op) string { return sign(jose.RS256, rsaKey, "k1", usual(o)) + "\n" }, ""},
		{"not expired", with("exp", time.Now().Add(time.Hour).Unix()), ""},
		{"O-20: of somebody else", with("sub", "victim"), ReasonUserinfoMismatch},
		{"O-20: of nobody", with("sub", nil), ReasonUserinfoMismatch},
		{"O-14: of another issuer", with("iss", "https://evil.example"), ReasonIssuerMismatch},
		{"O-14: of no issuer", with("iss", nil), ReasonIssuerMismatch},
		{"O-15: for another client", with("aud", "other"), ReasonAnswerInvalid},
		{"O-15: for no client", with("aud", nil), ReasonAnswerInvalid},
		{"expired", with("exp", time.Now().Add(-time.Hour).Unix()), ReasonAnswerInvalid},
		{"exp as text", with("exp", "tomorrow"), ReasonAnswerInvalid},
		{"with another's key", func(o *op) string { return sign(jose.RS256, otherKey, "k1", usual(o)) }, ReasonAnswerInvalid},
		{"O-12: HMAC by the public key", func(o *op) string { return hs256(`{"alg":"HS256","kid":"k1"}`, rsaKey.N.Bytes(), usual(o)) }, ReasonAnswerInvalid},
		{"O-12: HMAC by our secret", func(o *op) string { return hs256(`{"alg":"HS256"}`, []byte("secret"), usual(o)) }, ReasonAnswerInvalid},
		{"O-12: alg none", func(o *op) string {
			raw, _ := json.Marshal(usual(o))
			return base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none"}`)) + "." + base64.RawURLEncoding.EncodeToString(raw) + "."
		}, ReasonAnswerInvalid},
		{"O-12: alg none, with something for a signature", func(o *op) string {
			raw, _ := json.Marshal(usual(o))
			return base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none"}`)) + "." + base64.RawURLEncoding.EncodeToString(raw) + ".AA"
		}, ReasonAnswerInvalid},
		{"O-21: a name twice", func(o *op) string {
			return sign(jose.RS256, rsaKey, "k1", `{"iss":"`+o.URL+`","aud":"client","sub":"victim","sub":"248289"}`)
		}, ReasonAnswerInvalid},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := newOP(t)
			body := tt.make(o)
			o.userinfo = func() (int, string) { return 200, body }
			got, err := o.signIn(t, o.client(t, nil))
			if reasonOf(err) != tt.want || err == nil && (got.Email != "ada@example.org" || !got.EmailVerified) {
				t.Errorf("got %+v, %v, want %q", got.Profile, err, tt.want)
			}
		})
	}
}
