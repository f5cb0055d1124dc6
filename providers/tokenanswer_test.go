package providers

import (
	"strings"
	"testing"
	"time"
)

// K-O5: a lifetime is a hint, and no reason to refuse anybody.
func TestTokenLifetimes(t *testing.T) {
	for _, tt := range []struct {
		expiresIn string
		want      time.Duration // 0 is not said
	}{
		{`3600`, time.Hour}, {`"3600"`, time.Hour}, {`3600.0`, time.Hour}, {`3600.9`, time.Hour}, {`"3600.5"`, time.Hour}, {`3.6e3`, time.Hour},
		{`""`, 0}, {`null`, 0}, {`"soon"`, 0}, {`true`, 0}, {`{}`, 0}, {`[3600]`, 0}, {`0`, 0}, {`-1`, 0}, {`"NaN"`, 0}, {`1e99`, 1 << 31 * time.Second},
	} {
		t.Run(tt.expiresIn, func(t *testing.T) {
			o := newOP(t)
			o.token = func(id string) (int, string, string) {
				return 200, "application/json", `{"access_token":"at","token_type":"Bearer","refresh_token":"<rt>","expires_in":` + tt.expiresIn + `,"id_token":"` + id + `"}`
			}
			got, err := o.signIn(t, o.client(t, nil))
			if err != nil || got.RefreshToken != "<rt>" {
				t.Fatalf("%+v, %v", got.Tokens, err)
			}
			if left := time.Until(got.Expires); tt.want == 0 && !got.Expires.IsZero() || tt.want != 0 && (left-tt.want).Abs() > time.Minute {
				t.Errorf("expires %v", got.Expires)
			}
		})
	}
}

// O-21: x/oauth2 reads names in any case, and of two the last.
func TestTokenNamesInAnotherCase(t *testing.T) {
	o := newOP(t)
	o.token = func(id string) (int, string, string) {
		return 200, "application/json", `{"access_token":"at","token_type":"Bearer","refresh_token":"rt","id_token":"` + id + `","ACCESS_TOKEN":"other","Refresh_Token":"other","EXPIRES_IN":60,"Error":"invalid_grant"}`
	}
	got, err := o.signIn(t, o.client(t, nil))
	if err != nil || got.AccessToken != "at" || got.RefreshToken != "rt" || !got.Expires.IsZero() {
		t.Errorf("%+v, %v", got.Tokens, err)
	}
}

// O-32: the log says why an answer cannot be read, and nothing of what it holds.
func TestUnreadableTokenAnswers(t *testing.T) {
	for _, tt := range []struct{ name, kind, body, want string }{
		{"a page", "text/html", `<p>upstream-secret`, "not JSON"},
		{"a list", "application/json", `["upstream-secret"]`, "not a JSON object"},
		{"nothing", "application/json", ``, "not JSON"},
		{"a number for a token", "application/json", `{"access_token":123456789}`, "access_token is not text"},
		{"a list for a type", "application/json", `{"access_token":"upstream-secret","token_type":["upstream-secret"]}`, "token_type is not text"},
		{"no token", "application/json", `{"x":"upstream-secret"}`, "access_token is missing"},
		{"an empty token", "application/json", `{"access_token":"","x":"upstream-secret"}`, "access_token is missing"},
		{"a name in another case", "application/json", `{"Access_Token":"upstream-secret","token_type":"Bearer"}`, "access_token is missing"},
		{"a name twice", "application/json", `{"access_token":"upstream-secret","access_token":"b","token_type":"Bearer"}`, "names a member twice"},
		{"a page behind it", "application/json", `{"access_token":"upstream-secret","token_type":"Bearer"} <p>`, "more than one JSON value"},
		{"a form", "application/x-www-form-urlencoded", `access_token=upstream-secret&token_type=bearer`, "a form, not JSON; if that is right, say so in token_answer: format"},
		{"JSON called text", "text/plain", `{"access_token":"upstream-secret"}`, `token_type ""`},
		{"too large", "application/json", `{"x":"` + strings.Repeat("x", 2<<20) + `"}`, "larger than allowed"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := newOP(t)
			o.token = func(string) (int, string, string) { return 200, tt.kind, tt.body }
			_, err := o.signIn(t, o.client(t, nil))
			if reasonOf(err) != ReasonAnswerInvalid || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "upstream-secret") || strings.Contains(err.Error(), "123456789") {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}
