package web

import (
	"net/http"

	"github.com/gatepost/gatepost/flows/locale"
)

// problem is an error as a person reads it: what happened, why, what to do.
type problem struct {
	Reason, Title, Cause, Next string
	RequestID                  string
	Action, ActionLabel        string
	Status                     int
}

// message is p for who reads JSON. Titles have no full stop.
func (p problem) message() string { return p.Title + ": " + p.Cause + " " + p.Next }

// an outcome is the status of a problem and the text of what to do next, "" for
// one of its own.
type outcome struct {
	status int
	next   string
}

const (
	restart = "next.restart"
	tell    = "next.tell"
	another = "next.another"
)

// outcomes are the closed list of what an error page may say: the reasons of
// flows and providers, ours, and NextAuth's codes.
var outcomes = map[string]outcome{
	"provider_unavailable": {http.StatusBadGateway, ""},
	"provider_refused":     {http.StatusForbidden, another},
	"client_rejected":      {http.StatusBadGateway, tell},
	"code_rejected":        {http.StatusBadRequest, restart},
	"state_mismatch":       {http.StatusBadRequest, restart},
	"answer_invalid":       {http.StatusBadGateway, another},
	"issuer_mismatch":      {http.StatusBadRequest, another},
	"id_token_invalid":     {http.StatusBadGateway, another},
	"clock_skew":           {http.StatusBadGateway, ""},
	"no_subject":           {http.StatusBadGateway, another},
	"account_inactive":     {http.StatusForbidden, ""},
	"userinfo_mismatch":    {http.StatusBadGateway, another},
	"misconfigured":        {http.StatusInternalServerError, tell},
	"attempt_missing":      {http.StatusBadRequest, restart},
	"begun_elsewhere":      {http.StatusBadRequest, restart},
	"attempt_expired":      {http.StatusBadRequest, restart},
	"attempt_used":         {http.StatusBadRequest, restart},
	"unknown_provider":     {http.StatusNotFound, ""},
	"address_in_use":       {http.StatusConflict, ""},
	"account_taken":        {http.StatusConflict, ""},
	"session_changed":      {http.StatusConflict, ""},
	"session_too_old":      {http.StatusForbidden, ""},
	"address_invalid":      {http.StatusBadRequest, ""},
	"link_expired":         {http.StatusForbidden, ""},
	"other_browser":        {http.StatusForbidden, ""},
	"code_wrong":           {http.StatusForbidden, ""},
	"code_exhausted":       {http.StatusForbidden, ""},
	"mail_down":            {http.StatusServiceUnavailable, ""},
	"rate_limited":         {http.StatusTooManyRequests, ""},
	"last_way_in":          {http.StatusConflict, ""},
	"session_required":     {http.StatusUnauthorized, ""},
	"database_down":        {http.StatusServiceUnavailable, ""},
	"internal":             {http.StatusInternalServerError, tell},
	"not_allowed":          {http.StatusForbidden, ""},
	"tokens_refused":       {http.StatusForbidden, ""},
	"too_many_tokens":      {http.StatusConflict, ""},
	"token_invalid":        {http.StatusBadRequest, ""},
	"token_sign_in_old":    {http.StatusForbidden, ""},
	"sign_in_again":        {http.StatusForbidden, ""},
	"account_missing":      {http.StatusNotFound, ""},
	"handover_failed":      {http.StatusBadRequest, ""},
	"sign_in_refused":      {http.StatusForbidden, ""},
	"sign_in_hook_down":    {http.StatusServiceUnavailable, ""},
	"csrf":                 {http.StatusForbidden, ""},
	"method_not_allowed":   {http.StatusBadRequest, ""},
	"too_many_cookies":     {http.StatusRequestHeaderFieldsTooLarge, ""},
	"body_too_large":       {http.StatusRequestEntityTooLarge, ""},
	"bad_request":          {http.StatusBadRequest, ""},
	"not_found":            {http.StatusNotFound, ""},

	"Configuration":         {http.StatusInternalServerError, tell},
	"AccessDenied":          {http.StatusForbidden, ""},
	"Verification":          {http.StatusForbidden, ""},
	"Signin":                {http.StatusBadRequest, another},
	"OAuthSignin":           {http.StatusBadRequest, another},
	"OAuthCallback":         {http.StatusBadRequest, another},
	"OAuthCreateAccount":    {http.StatusBadRequest, another},
	"EmailCreateAccount":    {http.StatusBadRequest, another},
	"Callback":              {http.StatusBadRequest, another},
	"OAuthAccountNotLinked": {http.StatusConflict, ""},
	"EmailSignin":           {http.StatusBadRequest, ""},
	"CredentialsSignin":     {http.StatusUnauthorized, ""},
	"SessionRequired":       {http.StatusUnauthorized, ""},
	"Default":               {http.StatusBadRequest, another},
}

// problemFor finds the words: the reason's, else the code's, else those for
// anything. Nothing of a query is ever repeated (security P-4).
func problemFor(l *locale.Language, code, reason string) problem {
	key := reason
	o, known := outcomes[key]
	if !known {
		key = code
		o, known = outcomes[key]
	}
	p := problem{Reason: key}
	if !known {
		p.Reason, key, o = "", "unknown", outcome{http.StatusBadRequest, another}
	}
	if o.next == "" {
		o.next = "problem." + key + ".next"
	}
	p.Title, p.Cause, p.Next, p.Status = l.Text("problem."+key+".title"), l.Text("problem."+key+".cause"), l.Text(o.next), o.status
	return p
}
