package providers

import (
	"encoding/json"
	"maps"
	"math"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// tokenTexts are the fields of a token answer that are text (RFC 6749 §5.1, §5.2).
var tokenTexts = []string{"access_token", "token_type", "refresh_token", "error", "error_description", "error_uri"}

// wholeLifetime makes expires_in whole seconds, and drops one that is no number:
// it is a hint (RFC 6749 §5.1), over which x/oauth2 would give up the whole
// sign-in (K-O5). Names that are the standard's but for their case go, which
// x/oauth2 would take for these (security O-21). An answer that it does not
// understand stays as it is; the fault says why.
func wholeLifetime(raw []byte) (out []byte, fault string) {
	v, err := decodeJSON(raw)
	if form, formErr := url.ParseQuery(string(raw)); err != nil && formErr == nil && form.Has("access_token") {
		return raw, "a form, not JSON; if that is right, say so in token_answer: format"
	}
	if err != nil {
		return raw, err.Error()
	}
	answer, ok := v.(map[string]any)
	if !ok {
		return raw, "not a JSON object"
	}
	maps.DeleteFunc(answer, func(name string, _ any) bool {
		return slices.ContainsFunc(append(tokenTexts, "expires_in"), func(ours string) bool { return name != ours && strings.EqualFold(name, ours) })
	})
	for _, name := range tokenTexts {
		if _, text := answer[name].(string); !text && answer[name] != nil {
			return raw, name + " is not text"
		}
	}
	if answer["access_token"] == nil {
		fault = "access_token is missing"
	}
	lifetime := answer["expires_in"]
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
