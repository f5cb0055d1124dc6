package flows

import (
	"context"
	"errors"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/gatepost/gatepost/flows/gate"
	"github.com/gatepost/gatepost/flows/hooks"
	"github.com/gatepost/gatepost/providers"
	"github.com/gatepost/gatepost/store"
)

// Admission decides who may sign in at all, before anything of a sign-in is
// written: NextAuth's callback signIn. A nil Admission lets everybody in.
type Admission struct {
	Lists    *gate.Admission // nil lets everybody in
	Hook     *hooks.Hook     // asked besides; nil for none
	ReturnTo ReturnTo        // where the hook may send people whom it refuses
	Store    *store.Store
	Now      func() time.Time

	allowed, refused, failed atomic.Int64
}

// AdmissionStats are counts of what the hook said since the start.
type AdmissionStats struct{ Allowed, Refused, Failed int64 }

// Stats says how the hook does.
func (a *Admission) Stats() AdmissionStats {
	return AdmissionStats{a.allowed.Load(), a.refused.Load(), a.failed.Load()}
}

// A Redirected is a refusal whose page is elsewhere.
type Redirected struct {
	Refusal *Error
	URL     string // absolute, passed by ReturnTo.Resolve
}

func (r *Redirected) Error() string { return r.Refusal.Error() }
func (r *Redirected) Unwrap() error { return r.Refusal }

// An applicant is who is about to sign in, and how. What a hook is told of them
// is in the words of NextAuth v3 (§14), without tokens.
type applicant struct {
	User                hookUser     `json:"user"`
	Account             hookAccount  `json:"account"`
	Profile             *hookProfile `json:"profile,omitempty"`
	VerificationRequest bool         `json:"verificationRequest,omitempty"` // a mail is asked for, nobody has clicked yet

	id gate.Identity
}

// hookUser is a user; who has none yet has no id.
type hookUser struct {
	ID            *string       `json:"id"`
	Name          *string       `json:"name"`
	Email         *string       `json:"email"` // proven
	EmailVerified *hooks.Moment `json:"emailVerified"`
	Image         *string       `json:"image"`
}

type hookAccount struct {
	ID                string `json:"id"`
	Type              string `json:"type"` // oauth or email
	Provider          string `json:"provider"`
	ProviderAccountID string `json:"providerAccountId"`
}

// hookProfile is what a provider says of somebody now.
type hookProfile struct {
	ID            string  `json:"id"`
	Name          *string `json:"name"`
	Email         *string `json:"email"`         // as the provider says
	EmailVerified bool    `json:"emailVerified"` // and somebody proved it
	Image         *string `json:"image"`
}

// account refuses, before anything is written, somebody who may not sign in with
// a provider. in is what would be written.
func (a *Admission) account(ctx context.Context, in store.OAuthSignIn, p providers.Profile) error {
	if a == nil {
		return nil
	}
	x, err := a.applicant(ctx, in, p.Subject)
	if err != nil {
		return err
	}
	x.Profile = &hookProfile{ID: p.Subject, Name: textOrNull(p.Name), Email: textOrNull(p.Email), EmailVerified: in.User.Email != "", Image: imageOrNull(p.Image)}
	if !a.admits(x.id) {
		return refuse(AccessDenied, ReasonSignInRefused, "sign_in does not let them in")
	}
	return a.ask(ctx, x)
}

func (a *Admission) applicant(ctx context.Context, in store.OAuthSignIn, subject string) (applicant, error) {
	user, err := a.user(ctx, in.Account.CompoundID, in.LinkTo, in.User, provenAddresses(in))
	if err != nil {
		return applicant{}, err
	}
	return newApplicant(user, in.User.Email, hookAccount{subject, in.Account.Type, in.Account.Provider, subject}), nil
}

// listed reports that the lists let somebody in. The hook is not asked: it may
// act on what it is told.
func (a *Admission) listed(ctx context.Context, in store.OAuthSignIn, subject string) (bool, error) {
	if a == nil {
		return true, nil
	}
	x, err := a.applicant(ctx, in, subject)
	return err == nil && a.admits(x.id), err
}

// address refuses somebody who may not sign in by mail to a mailbox, of which
// these are spellings. When a mail is asked for,
// the hook is asked also about those whom the lists refuse, so that the time of
// the answer does not tell who is on them (security M-11).
func (a *Admission) address(ctx context.Context, addresses []string, requested bool) error {
	if a == nil {
		return nil
	}
	if len(addresses) == 0 {
		return refuse(AccessDenied, ReasonSignInRefused, "no mailbox")
	}
	address := canonicalOf(addresses[0])
	user, err := a.user(ctx, "", 0, store.User{Email: address}, addresses)
	if err != nil {
		return err
	}
	x := newApplicant(user, address, hookAccount{gate.ByMail, "email", gate.ByMail, address})
	x.VerificationRequest = requested
	listed := a.admits(x.id)
	if listed || requested {
		err = a.ask(ctx, x)
	}
	if !listed && (err == nil || isRefusal(err)) {
		err = refuse(AccessDenied, ReasonSignInRefused, "sign_in does not let them in")
	}
	return err
}

// user is who would be signed in: newcomer, if they have no user yet.
func (a *Admission) user(ctx context.Context, compoundID string, linkTo int32, newcomer store.User, addresses []string) (store.User, error) {
	user, err := a.Store.Applicant(ctx, compoundID, linkTo, addresses)
	if errors.Is(err, store.ErrNotFound) {
		return newcomer, nil
	}
	return user, err
}

// provenAddresses are spellings of the address that in proves, nil for none.
func provenAddresses(in store.OAuthSignIn) []string {
	if in.User.Email == "" {
		return nil
	}
	return in.Addresses
}

// newApplicant is user signing in by way of account. The address that counts is
// the user's own, or that of this sign-in for who has none; both are proven, and
// in the canonical form.
func newApplicant(user store.User, proven string, account hookAccount) applicant {
	x := applicant{Account: account, id: gate.Identity{UserID: user.ID, Name: user.Name, Email: canonicalOf(proven), Providers: []string{account.Provider}}}
	if own := provenAddress(user); user.ID != 0 && own != "" {
		x.id.Email = own
	}
	x.User = hookUserOf(user)
	x.User.Email = textOrNull(x.id.Email)
	return x
}

func hookUserOf(user store.User) hookUser {
	u := hookUser{Name: textOrNull(user.Name), Email: textOrNull(user.Email), EmailVerified: (*hooks.Moment)(user.EmailVerified), Image: imageOrNull(user.Image)}
	if user.ID != 0 {
		id := strconv.Itoa(int(user.ID))
		u.ID = &id
	}
	return u
}

func (a *Admission) admits(id gate.Identity) bool { return a.Lists == nil || a.Lists.Admits(id) }

// ask has the operator's service decide. An answer that does not say true lets
// nobody in, and neither does none at all.
func (a *Admission) ask(ctx context.Context, x applicant) error {
	if a.Hook == nil {
		return nil
	}
	var answer struct {
		Allow    *bool
		Redirect string
	}
	err := a.Hook.Ask(ctx, hooks.Message{Type: "sign_in", Timestamp: hooks.Moment(a.Now()), Data: x}, &answer)
	if err == nil && answer.Allow == nil {
		err = errors.New("its answer does not say allow")
	}
	switch {
	case err != nil:
		a.failed.Add(1)
		return refuse(Configuration, ReasonSignInHookDown, "webhooks.sign_in: %w", err)
	case *answer.Allow:
		a.allowed.Add(1)
		return nil
	}
	a.refused.Add(1)
	refusal := refuse(AccessDenied, ReasonSignInRefused, "webhooks.sign_in does not let them in")
	if url := a.ReturnTo.Resolve(answer.Redirect); answer.Redirect != "" && url != a.ReturnTo.Default() {
		return &Redirected{refusal, url}
	}
	return refusal
}

// isRefusal tells that somebody is not let in from a hook that does not answer.
func isRefusal(err error) bool {
	refusal, ok := errors.AsType[*Error](err)
	return ok && refusal.Reason == ReasonSignInRefused
}

// QuietlyRefused reports that a mail was not sent because whoever has the
// address may not sign in. Whoever asks is not told: that would say who may
// (security M-11).
func QuietlyRefused(err error) bool {
	_, elsewhere := errors.AsType[*Redirected](err)
	return isRefusal(err) && !elsewhere
}

func textOrNull(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// maxHookImage is how long the address of a picture may be that is told; longer
// ones are pictures themselves.
const maxHookImage = 2048

func imageOrNull(s string) *string {
	if len(s) > maxHookImage {
		return nil
	}
	return textOrNull(s)
}
