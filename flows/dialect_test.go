package flows

import (
	"errors"
	"strings"
	"testing"

	"github.com/gatepost/gatepost/flows/nextauth"
)

func dialects(t *testing.T) (own, shared Dialect) {
	t.Helper()
	keys, err := NewKeys([][]byte{[]byte(strings.Repeat("k", MinSecret))})
	if err != nil {
		t.Fatal(err)
	}
	return Own(keys), NextAuth(keys, "oracle-secret-not-for-production")
}

// S-11: what is looked up at all.
func TestWellFormedTokens(t *testing.T) {
	own, shared := dialects(t)
	ours, theirs := own.newToken(), shared.newToken()
	for _, tt := range []struct {
		token                       string
		own, shared, bearer, theirs bool // as a session of each, as an access token of each
	}{
		{"", false, false, false, false},
		{ours, true, true, false, false},
		{theirs, false, true, false, true},
		{strings.ToUpper(theirs) + "A", false, true, false, false},
		{AccessTokenPrefix + ours, false, true, true, false},
		{AccessTokenPrefix + theirs, false, true, false, true},
		{"with spaces and ~", false, true, false, false},
		{strings.Repeat("x", 255), false, true, false, false},
		{strings.Repeat("x", 256), false, false, false, false},
		{"api:", false, false, false, false}, // begins the rows of access tokens
		{"api:" + ours, false, false, false, false},
		{"a\x00b", false, false, false, false},
		{"a\tb", false, false, false, false},
		{"a\x7fb", false, false, false, false},
		{"é", false, false, false, false},
	} {
		if own.wellFormed(tt.token) != tt.own || shared.wellFormed(tt.token) != tt.shared || own.bearer(tt.token) != tt.bearer || shared.bearer(tt.token) != tt.theirs {
			t.Errorf("%q", tt.token)
		}
	}
	if own.stored("") != "" || shared.stored("") != "" || own.stored(ours) == ours || shared.stored(theirs) != theirs {
		t.Error("stored forms")
	}
}

// CVE-2021-21310, CVE-2026-73420: beside NextAuth no link without its address.
func TestLinkProofs(t *testing.T) {
	own, shared := dialects(t)
	ours, theirs := own.newToken(), shared.newToken()
	for _, tt := range []struct {
		address, token string
		own, shared    bool
	}{
		{"", "", false, false},
		{"", ours, true, false},
		{"a@b.test", "", false, false},
		{"a@b.test", ours, true, true},
		{"a@b.test", theirs, false, true},
		{"A@b.test", theirs, false, true}, // of a row that has it so
		{" a@b.test", theirs, false, false},
		{"idn@bücher.de", theirs, false, true},
		{"idn@xn--bcher-kva.de", theirs, false, true},
		{"idn@\uff42ücher.de", theirs, false, false}, // mailed elsewhere by NextAuth
		{"a..b@c.test", theirs, false, true},
		{"a@b", theirs, false, false},
		{"e＠evil.test@victim.test", theirs, false, false},
		{"limit", theirs, false, false},
	} {
		p, q := own.link(tt.address, tt.token), shared.link(tt.address, tt.token)
		if len(p.Tokens) > 0 != tt.own || p.Identifier != "" || len(q.Tokens) > 0 != tt.shared || tt.shared != (q.Identifier == tt.address && tt.address != "") {
			t.Errorf("%q %q: %+v %+v", tt.address, tt.token, p, q)
		}
	}
}

// O-38: what is in clear opens only beside NextAuth, and what was sealed before
// opens there too, but not in another row.
func TestUpstreamTokensOfBothDialects(t *testing.T) {
	own, shared := dialects(t)
	sealed := own.upstream("ya29", "row 1")
	for _, tt := range []struct {
		dialect       Dialect
		stored, owner string
		want          string
		err           error
	}{
		{own, "", "row 1", "", nil}, {shared, "", "row 1", "", nil},
		{own, sealed, "row 1", "ya29", nil}, {shared, sealed, "row 1", "ya29", nil},
		{own, "ya29", "row 1", "", errNotSealed}, {shared, "ya29", "row 1", "ya29", nil},
		{own, sealed, "row 2", "", errNotSealed}, {shared, sealed, "row 2", "", errNotSealed},
	} {
		if got, err := tt.dialect.openUpstream(tt.stored, tt.owner); got != tt.want || !errors.Is(err, tt.err) {
			t.Errorf("%T %q: %q, %v", tt.dialect, tt.stored, got, err)
		}
	}
	if shared.upstream("ya29", "row 1") != "ya29" || own.upstream("ya29", "row 1") == "ya29" {
		t.Error("stored forms")
	}
}

// O-7: nothing answers nothing.
func TestAnsweredElsewhere(t *testing.T) {
	state := nextauth.State("token")
	for _, tt := range []struct {
		token, state string
		want         bool
	}{
		{"token", state, true}, {"", "", false}, {"", nextauth.State(""), false}, {"token", "", false}, {"other", state, false}, {"token", state[:63], false},
	} {
		if (BegunElsewhere{CSRFToken: tt.token}).AnsweredBy(tt.state) != tt.want {
			t.Errorf("%q %q", tt.token, tt.state)
		}
	}
	for _, tt := range []struct {
		runs        bool
		state, want string
	}{
		{true, "", ReasonBegunElsewhere}, {true, state, ReasonBegunElsewhere},
		{true, randomToken(), ReasonAttemptMissing}, {true, state[:63], ReasonAttemptMissing}, {true, strings.ToUpper(state), ReasonAttemptMissing},
		{false, "", ReasonAttemptMissing}, {false, state, ReasonAttemptMissing},
	} {
		if got := (BegunElsewhere{Runs: tt.runs}).Refusal(tt.state); got.Code != OAuthCallback || got.Reason != tt.want {
			t.Errorf("%v %q: %+v", tt.runs, tt.state, got)
		}
	}
}

// CVE-2026-73419: what was begun elsewhere adds no account to anybody.
func TestElsewhereNeverLinks(t *testing.T) {
	for _, tt := range []struct {
		elsewhere     bool
		linkTo, owner int32
		want          bool
	}{
		{false, 0, 0, false}, {false, 7, 0, false}, {true, 0, 0, false}, {true, 0, 7, false}, {true, 7, 7, false}, {true, 7, 8, false}, {true, 7, 0, true},
	} {
		if (Attempt{elsewhere: tt.elsewhere, LinkTo: tt.linkTo}).wouldLink(tt.owner) != tt.want {
			t.Errorf("%+v", tt)
		}
	}
}
