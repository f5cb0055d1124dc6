package flows

import (
	"time"

	"github.com/gatepost/gatepost/store"
)

// Linking says when a verified address alone may open somebody's user.
type Linking string

const (
	// LinkVerified links when the catalogue trusts the provider's word on the
	// address and the user's own address was verified too. The default.
	LinkVerified Linking = "verified"
	// LinkNever always asks for the existing way in first.
	LinkNever Linking = "never"
)

// LinkingTTL is how recent the session must be that another provider account is
// added to (security L-6): a browser left open is not a proof of identity.
const LinkingTTL = 10 * time.Minute

// An action is what a provider's answer leads to.
type action int

const (
	actRefuse   action = iota
	actSignIn          // the account's owner
	actCreate          // a new user with this account
	actLink            // add the account to the user who asked for it
	actLinkSame        // add the account to the user who has the same verified address
)

// link decides whom a provider's answer signs in. f is what the database knows;
// linkTo is the user who asked to link another account when the attempt began,
// 0 if nobody was signed in then; mayLink says that the provider's word on the
// address suffices.
//
// Who is signed in now decides nothing unless the attempt began as a link: a
// second tab finishes as it would have alone, and never merges two people.
func link(f store.Facts, linkTo int32, mayLink bool, policy Linking, now time.Time) (action, *Error) {
	if linkTo != 0 {
		switch {
		case f.Current != linkTo:
			return actRefuse, refuse(OAuthAccountNotLinked, ReasonSessionChanged, "user %d asked, user %d is signed in", linkTo, f.Current)
		case f.Owner == linkTo:
			return actSignIn, nil
		case f.Owner != 0:
			return actRefuse, refuse(OAuthAccountNotLinked, ReasonAccountTaken, "account belongs to user %d, not %d", f.Owner, linkTo)
		case now.Sub(f.CurrentSince) > LinkingTTL:
			return actRefuse, refuse(OAuthAccountNotLinked, ReasonSessionTooOld, "signed in at %s", f.CurrentSince.UTC().Format(time.RFC3339))
		default:
			return actLink, nil
		}
	}
	switch {
	case f.Owner != 0:
		return actSignIn, nil
	case f.Namesake == 0:
		return actCreate, nil
	case mayLink && f.NamesakeVerified && policy == LinkVerified:
		return actLinkSame, nil
	default:
		return actRefuse, refuse(OAuthAccountNotLinked, ReasonAddressInUse, "user %d has the address", f.Namesake)
	}
}
