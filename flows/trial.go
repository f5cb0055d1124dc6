package flows

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"time"

	"github.com/gatepost/gatepost/providers"
	"github.com/gatepost/gatepost/store"
)

// A trial is a sign-in that an operator makes from the command line, to see what
// a provider says. Nothing of it is written, and it signs nobody in.

const trialPurpose = "trial sign-in"

// TrialState is the state of a trial, 43 characters as any other: the moment at
// which it ends, random bytes, and a MAC by which the site knows an answer that
// the operator waits for.
func (k Keys) TrialState(now time.Time) string {
	raw := make([]byte, 16, 32)
	rand.Read(raw[4:])
	binary.BigEndian.PutUint32(raw, uint32(now.Add(AttemptTTL).Unix()))
	mac, err := hex.DecodeString(k.MAC(trialPurpose, string(raw)))
	if err != nil {
		panic(err) // it is hex
	}
	return base64.RawURLEncoding.EncodeToString(append(raw, mac[:16]...))
}

// IsTrial reports that state is that of a trial which goes on. An answer that
// anybody else had asked for must not be shown: whoever sent a person here would
// have them read a code aloud.
func (k Keys) IsTrial(state string, now time.Time) bool {
	raw, err := base64.RawURLEncoding.DecodeString(state)
	if err != nil || len(raw) != 32 || now.Unix() > int64(binary.BigEndian.Uint32(raw)) {
		return false
	}
	for _, mac := range k.MACs(trialPurpose, string(raw[:16])) {
		if want, err := hex.DecodeString(mac); err == nil && hmac.Equal(want[:16], raw[16:]) {
			return true
		}
	}
	return false
}

// A Forecast is what a sign-in would come to. User is whom it would sign in; 0
// is a new one. Refusal says why it would not, of the user whom it names.
type Forecast struct {
	User     int32
	Linked   bool   // the account would be added to User, who has the same address
	Email    string // what a new user would have as address; "" for none
	Refusal  *Error
	AsksHook bool // whose answer decides too, and which was not asked
}

// Forecast reads what signing in with profile would do, with nobody signed in
// before. Nothing is written.
func (o *OAuth) Forecast(ctx context.Context, providerID string, profile providers.Profile) (Forecast, error) {
	email, addresses := o.addresses(profile)
	in := store.OAuthSignIn{
		Account: store.Account{CompoundID: CompoundID(providerID, profile.Subject), Type: "oauth", Provider: providerID},
		User:    store.User{Name: profile.Name, Email: email, Image: profile.Image}, Addresses: addresses,
	}
	f, err := o.Store.FactsOf(ctx, in.Account.CompoundID, addresses)
	if err != nil {
		return Forecast{}, err
	}
	out := forecast(f, email, o.Linking, o.Now())
	if out.Refusal != nil && len(addresses) > 0 {
		out.Email = addresses[0]
	}
	out.AsksHook = o.Admission != nil && o.Admission.Hook != nil
	listed, err := o.Admission.listed(ctx, in, profile.Subject)
	if err == nil && !listed {
		out.Refusal = refuse(AccessDenied, ReasonSignInRefused, "sign_in does not let them in")
	}
	return out, err
}

func forecast(f store.Facts, email string, policy Linking, now time.Time) Forecast {
	switch act, refusal := link(f, 0, email != "", policy, now); act {
	case actSignIn:
		return Forecast{User: f.Owner}
	case actCreate:
		return Forecast{Email: email}
	case actLinkSame:
		return Forecast{User: f.Namesake, Linked: true, Email: email}
	default:
		return Forecast{User: f.Namesake, Email: email, Refusal: refusal}
	}
}
