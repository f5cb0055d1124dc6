package web

import "net/http"

// problem is an error as a person reads it: what happened, why, what to do.
type problem struct {
	Reason, Title, Cause, Next string
	RequestID                  string
	Action, ActionLabel        string
	Status                     int
}

// problemFor looks the words up in closed lists: the reason's, else the code's,
// else those for anything. Nothing of a query is ever repeated (security P-4).
func problemFor(code, reason string) problem {
	if p, ok := byReason[reason]; ok {
		p.Reason = reason
		return p
	}
	if p, ok := byCode[code]; ok {
		p.Reason = code
		return p
	}
	return problem{Title: "Something went wrong", Cause: "The sign-in did not finish.", Next: "Try again.", Status: http.StatusBadRequest}
}

const (
	again   = "Start the sign-in again."
	tell    = "Tell whoever runs this site, with the request id."
	another = "Try again, or sign in another way."
)

var byReason = map[string]problem{
	"provider_unavailable": {Title: "The provider does not answer", Cause: "We could not reach the service that you chose.", Next: "Try again in a moment, or sign in another way.", Status: 502},
	"provider_refused":     {Title: "You were not signed in", Cause: "The provider says that the request was declined.", Next: another, Status: 403},
	"client_rejected":      {Title: "The provider does not accept this site", Cause: "It refused the client id or secret that this site uses.", Next: tell, Status: 502},
	"code_rejected":        {Title: "The sign-in ran out", Cause: "The provider no longer accepts the answer that it gave.", Next: again, Status: 400},
	"state_mismatch":       {Title: "This answer belongs to another sign-in", Cause: "It does not match what this browser asked for.", Next: again, Status: 400},
	"answer_invalid":       {Title: "The provider’s answer makes no sense", Cause: "It was incomplete or contradicted itself.", Next: another, Status: 502},
	"issuer_mismatch":      {Title: "The answer came from somebody else", Cause: "It names another provider than the one you chose.", Next: another, Status: 400},
	"id_token_invalid":     {Title: "The provider’s answer could not be trusted", Cause: "Its proof of who you are did not hold.", Next: another, Status: 502},
	"clock_skew":           {Title: "The clocks disagree", Cause: "The provider’s answer is from another time than this server’s clock shows.", Next: "Try again; if it happens again, tell whoever runs this site to check the server’s clock.", Status: 502},
	"no_subject":           {Title: "The provider did not say who you are", Cause: "Its answer had no id for your account.", Next: another, Status: 502},
	"account_inactive":     {Title: "Your account there is not active", Cause: "The provider says that it is locked or not confirmed.", Next: "Sort that out with the provider, or sign in another way.", Status: 403},
	"userinfo_mismatch":    {Title: "The provider named two people", Cause: "Parts of its answer are about different accounts.", Next: another, Status: 502},
	"misconfigured":        {Title: "This way to sign in is not set up right", Cause: "Its configuration has a mistake.", Next: tell, Status: 500},
	"attempt_missing":      {Title: "This browser did not start this sign-in", Cause: "Its record is gone, was used already, or belongs to another browser.", Next: again, Status: 400},
	"attempt_expired":      {Title: "The sign-in took too long", Cause: "It has to be finished within ten minutes.", Next: again, Status: 400},
	"attempt_used":         {Title: "This sign-in was finished before", Cause: "The same answer came twice.", Next: again, Status: 400},
	"unknown_provider":     {Title: "There is no such way to sign in", Cause: "This site does not offer that provider.", Next: "Choose one of those shown.", Status: 404},
	"address_in_use":       {Title: "You have been here before", Cause: "Somebody signed in with this address in another way.", Next: "Sign in the way you did before; then this account is added.", Status: 409},
	"account_taken":        {Title: "That account is in use", Cause: "It belongs to another person here.", Next: "Sign out first if you want to use it.", Status: 409},
	"session_changed":      {Title: "Somebody else is signed in now", Cause: "The account was to be added to another session.", Next: "Sign in again and link it once more.", Status: 409},
	"session_too_old":      {Title: "Please sign in again first", Cause: "Adding an account needs a recent sign-in.", Next: "Sign in the way you did before; then it is added.", Status: 403},
	"address_invalid":      {Title: "That is not an email address", Cause: "Enter one address, such as name@example.org.", Next: "Correct it and try again.", Status: 400},
	"link_expired":         {Title: "The sign-in link is no longer valid", Cause: "It may have been used already or it may have expired.", Next: "Ask for a new one.", Status: 403},
	"code_wrong":           {Title: "That code is wrong", Cause: "That code is not the one in the newest mail. Check it and type it again.", Next: "Type it again.", Status: 403},
	"code_exhausted":       {Title: "The code is no longer valid", Cause: "It was typed wrong too often, was used, or has expired.", Next: "Open the link in the mail, or ask for a new one.", Status: 403},
	"mail_down":            {Title: "We cannot send mail right now", Cause: "The mail could not be handed over.", Next: "Try again in a few minutes, or sign in another way.", Status: 503},
	"rate_limited":         {Title: "Too many tries", Cause: "Too much came from here in a short time.", Next: "Wait a minute and try again.", Status: 429},
	"last_way_in":          {Title: "That is your only way in", Cause: "Without it you could not sign in again.", Next: "Link another account first.", Status: 409},
	"session_required":     {Title: "You are not signed in", Cause: "Your session has ended.", Next: "Sign in and try again.", Status: 401},
	"database_down":        {Title: "We cannot sign anybody in right now", Cause: "The database does not answer. You stay signed in.", Next: "Try again in a moment.", Status: 503},
	"internal":             {Title: "Something broke here", Cause: "It is our fault, not yours.", Next: tell, Status: 500},
	"csrf":                 {Title: "Please try that once more", Cause: "The page was open for too long, or cookies are blocked.", Next: "Press the button again; allow cookies for this site if it does not help.", Status: 403},
	"body_too_large":       {Title: "That was too much", Cause: "The request is larger than 64 KiB.", Next: "Send less.", Status: 413},
	"bad_request":          {Title: "That request cannot be read", Cause: "Its form is not what its content type says, or a field is missing.", Next: "Go back and try again.", Status: 400},
	"not_found":            {Title: "There is no such page", Cause: "The address may be mistyped.", Next: "Go to the sign-in page.", Status: 404},
}

var byCode = map[string]problem{
	"Configuration":         {Title: "Server error", Cause: "There is a problem with the server configuration.", Next: tell, Status: 500},
	"AccessDenied":          {Title: "Access denied", Cause: "You do not have permission to sign in.", Next: "Sign in with another account.", Status: 403},
	"Verification":          {Title: "Unable to sign in", Cause: "The sign in link is no longer valid. It may have been used already or it may have expired.", Next: "Ask for a new one.", Status: 403},
	"Signin":                {Title: "The sign-in did not start", Cause: "Something kept it from starting.", Next: another, Status: 400},
	"OAuthSignin":           {Title: "The sign-in did not start", Cause: "The provider could not be asked.", Next: another, Status: 400},
	"OAuthCallback":         {Title: "The sign-in did not finish", Cause: "The provider’s answer could not be used.", Next: another, Status: 400},
	"OAuthCreateAccount":    {Title: "Your account could not be created", Cause: "The provider’s profile could not be stored.", Next: another, Status: 400},
	"EmailCreateAccount":    {Title: "Your account could not be created", Cause: "The address could not be stored.", Next: another, Status: 400},
	"Callback":              {Title: "The sign-in did not finish", Cause: "The provider’s answer could not be used.", Next: another, Status: 400},
	"OAuthAccountNotLinked": {Title: "You have been here before", Cause: "To confirm your identity, sign in with the same account you used originally.", Next: "Then this one can be added.", Status: 409},
	"EmailSignin":           {Title: "The mail could not be sent", Cause: "Check the address.", Next: "Try again.", Status: 400},
	"CredentialsSignin":     {Title: "Sign in failed", Cause: "Check the details you provided are correct.", Next: "Try again.", Status: 401},
	"SessionRequired":       {Title: "You are not signed in", Cause: "That page needs a session.", Next: "Sign in first.", Status: 401},
	"Default":               {Title: "Unable to sign in", Cause: "The sign-in did not finish.", Next: another, Status: 400},
}
