package flows

import (
	"crypto/subtle"
	"net/url"

	"github.com/gatepost/gatepost/flows/nextauth"
)

// A BegunElsewhere is a sign-in that the NextAuth site began, as far as this
// browser's cookies tell.
type BegunElsewhere struct {
	Runs      bool   // the site, and may begin one
	CSRFToken string // of a cookie that the site's secret vouches for; "" for none
	Verifier  string // of PKCE; "" where the site used none
	ReturnTo  string // absolute, passed by ReturnTo.Resolve
	LinkTo    int32  // who is signed in, 0 for nobody
}

// Adopt makes an attempt of b, whose answer state came with. Its record is this
// browser's cookies alone, so that it says less than one of ours: no provider
// and no nonce.
func (o *OAuth) Adopt(b BegunElsewhere, providerID, redirectURI, state string) (Attempt, error) {
	p, err := o.Provider(providerID)
	if err != nil {
		return Attempt{}, err
	}
	if !b.AnsweredBy(state) {
		return Attempt{}, b.Refusal(state)
	}
	return Attempt{Request: p.Adopt(redirectURI, state, b.Verifier), ReturnTo: b.ReturnTo, LinkTo: b.LinkTo, StartedAt: o.Now(), elsewhere: true}, nil
}

// Refusal is that of an answer to nothing that this browser's cookies vouch for.
// Where the state may be the site's, or is none, as Apple and OAuth 1 get from
// it, the person has likely done nothing wrong and is asked once more.
func (b BegunElsewhere) Refusal(state string) *Error {
	if b.Runs && (state == "" || nextauth.IsState(state)) {
		return refuse(OAuthCallback, ReasonBegunElsewhere, "")
	}
	return refuse(OAuthCallback, ReasonAttemptMissing, "")
}

// AnsweredBy reports whether the site sent state from this browser. Nothing
// answers nothing: an answer that somebody else asked for would sign this
// browser in as them (login CSRF, security O-7).
func (b BegunElsewhere) AnsweredBy(state string) bool {
	return b.CSRFToken != "" && state != "" && subtle.ConstantTimeCompare([]byte(nextauth.State(b.CSRFToken)), []byte(state)) == 1
}

// once names what an attempt takes one answer of. The state of one that was
// begun elsewhere is the same for all of a browser's (nextauth-v3 §18 row 12).
func (a Attempt) once(cb url.Values) string {
	if a.elsewhere {
		return a.Request.State + " " + cb.Get("code")
	}
	return a.Request.State
}

// wouldLink reports that an attempt begun elsewhere would add an account to
// whoever is signed in. Its state is not bound to a provider, so that one
// provider's answer can be brought in for another's, with an account of the
// attacker's (CVE-2026-73419).
func (a Attempt) wouldLink(owner int32) bool { return a.elsewhere && a.LinkTo != 0 && owner == 0 }
