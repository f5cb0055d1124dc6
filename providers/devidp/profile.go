package devidp

import (
	"encoding/json"
	"strconv"
	"strings"

	"github.com/gatepost/gatepost/providers"
)

// profileOf is the document that the provider would send of person: its sample
// with the fields that the mapping reads replaced.
func profileOf(doc providers.Provider, person Person, name string) any {
	raw, err := json.Marshal(doc.Sample[name])
	var out any
	if err != nil || json.Unmarshal(raw, &out) != nil {
		return map[string]any{}
	}
	if doc.ID == "github" && name == "emails" {
		if person.Email == "" {
			return []any{}
		}
		return []any{map[string]any{"email": person.Email, "primary": true, "verified": person.Verified, "visibility": nil}}
	}
	put := func(paths []string, value any) {
		for _, p := range paths {
			set(out, p, value)
		}
	}
	put(doc.Map.ID.Paths(), person.ID)
	put(doc.Map.Name.Paths(), person.Name)
	var address any
	if person.Email != "" {
		address = person.Email
	}
	if doc.EmailVerified.Trust == "delivered" && !person.Verified {
		address = nil // such a provider yields only confirmed addresses
	}
	put(doc.Map.Email.Paths(), address)
	switch doc.EmailVerified.Trust {
	case "claim":
		set(out, doc.EmailVerified.Path, person.Verified)
	case "not_null":
		var at any
		if person.Verified {
			at = "2024-05-02T07:11:00.000Z"
		}
		set(out, doc.EmailVerified.Path, at)
	}
	return out
}

// set writes value at a path of object names; a number stays a number.
func set(doc any, path string, value any) {
	object, ok := doc.(map[string]any)
	if !ok || path == "" || strings.HasPrefix(path, "$") {
		return
	}
	if key, quoted := strings.CutPrefix(path, `["`); quoted {
		object[strings.TrimSuffix(key, `"]`)] = value
		return
	}
	head, rest, nested := strings.Cut(path, ".")
	if nested {
		set(object[head], rest, value)
		return
	}
	if _, number := object[head].(float64); number {
		if n, err := strconv.Atoi(value.(string)); err == nil {
			object[head] = n
			return
		}
	}
	object[head] = value
}
