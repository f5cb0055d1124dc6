package providers

import (
	"encoding/json"
	"math"
	"strconv"
)

// wholeLifetime makes expires_in whole seconds, and drops one that is no number:
// it is a hint (RFC 6749 §5.1), over which x/oauth2 would give up the whole
// sign-in (K-O5). An answer that it does not understand stays as it
// is; the fault says why.
func wholeLifetime(raw []byte) (out []byte, fault string) {
	v, err := decodeJSON(raw)
	if err != nil {
		return raw, err.Error()
	}
	answer, ok := v.(map[string]any)
	if !ok {
		return raw, "not a JSON object"
	}
	for _, name := range []string{"access_token", "token_type", "refresh_token", "error", "error_description", "error_uri"} {
		if _, text := answer[name].(string); !text && answer[name] != nil {
			return raw, name + " is not text"
		}
	}
	if answer["access_token"] == nil {
		fault = "access_token is missing"
	}
	lifetime, present := answer["expires_in"]
	if !present {
		return raw, fault
	}
	delete(answer, "expires_in")
	if seconds := wholeSeconds(lifetime); seconds > 0 {
		answer["expires_in"] = seconds
	}
	if out, err = encodeJSON(answer); err != nil {
		return raw, fault
	}
	return out, fault
}

// wholeSeconds is v rounded down, and 0 for what is no lifetime.
func wholeSeconds(v any) int32 {
	text, _ := v.(string)
	if n, ok := v.(json.Number); ok {
		text = n.String()
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || !(f > 0) {
		return 0
	}
	return int32(min(f, math.MaxInt32))
}
