package providers

import "fmt"

// A ConfigError is an operator's mistake in one provider. Key is what it is
// about, as it is written beside id; "" is the provider as a whole.
type ConfigError struct{ Provider, Key, Text string }

func (e *ConfigError) Error() string {
	if e.Key == "" {
		return fmt.Sprintf("provider %s: %s", e.Provider, e.Text)
	}
	return fmt.Sprintf("provider %s: %s: %s", e.Provider, e.Key, e.Text)
}

func (c Config) wrong(key, format string, args ...any) error {
	return &ConfigError{c.ID, key, fmt.Sprintf(format, args...)}
}

// Reason says why a provider's answer signs nobody in. The list is closed and
// the values are stable.
type Reason string

const (
	ReasonProviderUnavailable Reason = "provider_unavailable" // no answer, too late, 5xx
	ReasonProviderRefused     Reason = "provider_refused"     // the person said no
	ReasonClientRejected      Reason = "client_rejected"      // wrong client id or secret
	ReasonCodeRejected        Reason = "code_rejected"        // or the refresh token
	ReasonStateMismatch       Reason = "state_mismatch"
	ReasonAnswerInvalid       Reason = "answer_invalid"
	ReasonIssuerMismatch      Reason = "issuer_mismatch"
	ReasonIDTokenInvalid      Reason = "id_token_invalid"
	ReasonClockSkew           Reason = "clock_skew"
	ReasonNoSubject           Reason = "no_subject"
	ReasonAccountInactive     Reason = "account_inactive"
	ReasonUserinfoMismatch    Reason = "userinfo_mismatch"
	ReasonNotAllowed          Reason = "not_allowed" // who, not whether: domain, tenant, group
	ReasonMisconfigured       Reason = "misconfigured"
)

// Error is a refusal. Detail is for the log: our words, at most 200 characters,
// never a body, a code or a token (security O-31, O-32).
type Error struct {
	Reason   Reason
	Provider string
	Detail   string
}

func (e *Error) Error() string {
	return fmt.Sprintf("provider %s: %s: %s", e.Provider, e.Reason, e.Detail)
}

func (c *Client) refuse(r Reason, format string, args ...any) *Error {
	detail := fmt.Sprintf(format, args...)
	if len(detail) > 200 {
		detail = detail[:200]
	}
	return &Error{r, c.id, printable(detail)}
}
