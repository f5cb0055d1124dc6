package flows

import (
	"errors"
	"fmt"

	"github.com/gatepost/gatepost/providers"
	"github.com/gatepost/gatepost/store"
)

// A Code is what NextAuth's clients read from the parameter error of a URL.
// The values are public and stable.
type Code string

// NextAuth v3's codes.
const (
	Configuration         Code = "Configuration"
	AccessDenied          Code = "AccessDenied"
	Verification          Code = "Verification"
	Signin                Code = "Signin"
	OAuthSignin           Code = "OAuthSignin"
	OAuthCallback         Code = "OAuthCallback"
	OAuthCreateAccount    Code = "OAuthCreateAccount"
	EmailCreateAccount    Code = "EmailCreateAccount"
	Callback              Code = "Callback"
	OAuthAccountNotLinked Code = "OAuthAccountNotLinked"
	EmailSignin           Code = "EmailSignin"
	SessionRequired       Code = "SessionRequired"
)

// Reasons are finer than codes: what went wrong, for the page's words, the log
// and whoever searches the documentation. Besides these, a refusal of a
// provider carries the providers.Reason as it is.
const (
	ReasonAttemptMissing  = "attempt_missing"  // no record of a sign-in in this browser
	ReasonBegunElsewhere  = "begun_elsewhere"  // at the NextAuth site, with too little to go by here
	ReasonAttemptExpired  = "attempt_expired"  // older than AttemptTTL
	ReasonAttemptUsed     = "attempt_used"     // a second answer to one request
	ReasonUnknownProvider = "unknown_provider" // not configured
	ReasonAddressInUse    = "address_in_use"   // another user has it: prove that way in first
	ReasonAccountTaken    = "account_taken"    // linked to somebody else
	ReasonSessionChanged  = "session_changed"  // another person than the one who asked to link
	ReasonSessionTooOld   = "session_too_old"  // linking needs a recent sign-in
	ReasonAddressInvalid  = "address_invalid"  // not exactly one mailbox
	ReasonLinkExpired     = "link_expired"     // used, expired or never issued: one answer for all
	ReasonOtherBrowser    = "other_browser"    // the link signs in only the browser that asked
	ReasonCodeWrong       = "code_wrong"
	ReasonCodeExhausted   = "code_exhausted"
	ReasonMailDown        = "mail_down"
	ReasonRateLimited     = "rate_limited"
	ReasonLastWayIn       = "last_way_in"
	ReasonTokensRefused   = "tokens_refused" // the rules let this person make none
	ReasonTooManyTokens   = "too_many_tokens"
	ReasonTokenInvalid    = "token_invalid"     // its name or its life
	ReasonTokenSignInOld  = "token_sign_in_old" // making one needs a recent sign-in
	ReasonAccountMissing  = "account_missing"   // this person has none at that provider
	ReasonSignInAgain     = "sign_in_again"     // what the provider let us have is over
	ReasonHandoverFailed  = "handover_failed"   // used, over, or of another browser
	ReasonSignInRefused   = "sign_in_refused"   // by the operator's lists or service
	ReasonSignInHookDown  = "sign_in_hook_down"
	ReasonDatabaseDown    = "database_down"
	ReasonInternal        = "internal"
)

// An Error is a refusal: a Code and a Reason that anybody may see, and a cause
// that only the log sees. An error that is not an Error is a fault of ours.
type Error struct {
	Code   Code
	Reason string
	Err    error // may be nil
}

func (e *Error) Error() string {
	if e.Err == nil {
		return fmt.Sprintf("%s (%s)", e.Code, e.Reason)
	}
	return fmt.Sprintf("%s (%s): %v", e.Code, e.Reason, e.Err)
}

func (e *Error) Unwrap() error { return e.Err }

func refuse(code Code, reason string, format string, args ...any) *Error {
	e := &Error{Code: code, Reason: reason}
	if format != "" {
		e.Err = fmt.Errorf(format, args...)
	}
	return e
}

// ErrorOf says what of err a person may see. Whatever is not a refusal is
// Configuration, NextAuth's word for "our fault".
func ErrorOf(err error) *Error {
	if refusal, ok := errors.AsType[*Error](err); ok {
		return refusal
	}
	if errors.Is(err, store.ErrUnavailable) {
		return &Error{Code: Configuration, Reason: ReasonDatabaseDown, Err: err}
	}
	if isConflict(err) { // a race for an account or an address, lost twice
		return &Error{Code: OAuthAccountNotLinked, Reason: ReasonAccountTaken, Err: err}
	}
	if p, ok := errors.AsType[*providers.Error](err); ok {
		return &Error{Code: codeOf(p.Reason), Reason: string(p.Reason), Err: err}
	}
	return &Error{Code: Configuration, Reason: ReasonInternal, Err: err}
}

// codeOf gives NextAuth's code for what a provider's answer was refused for
// (nextauth-v3 §13; a refusal by the person is AccessDenied, §18 row 21).
func codeOf(r providers.Reason) Code {
	switch r {
	case providers.ReasonProviderRefused, providers.ReasonNotAllowed:
		return AccessDenied
	case providers.ReasonStateMismatch, providers.ReasonIssuerMismatch, providers.ReasonIDTokenInvalid,
		providers.ReasonAnswerInvalid, providers.ReasonClockSkew:
		return OAuthCallback
	case providers.ReasonMisconfigured:
		return Configuration
	default:
		return Callback
	}
}
