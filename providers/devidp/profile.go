package devidp

import (
	"encoding/json"
	"strconv"
	"strings"

	"github.com/gatepost/gatepost/providers"
)

// play is every document that the provider would send of person: its samples
// with what the mapping reads replaced, found by walking the mapping backwards.
func play(doc providers.Provider, person Person) providers.Documents {
	docs := providers.Documents{}
	for name, sample := range doc.Sample {
		d := json.NewDecoder(strings.NewReader(encode(sample)))
		d.UseNumber()
		var v any
		if d.Decode(&v) != nil {
			continue
		}
		docs[name] = v
	}
	name, email, id := chosen(doc.Map.Name, docs), chosen(doc.Map.Email, docs), chosen(doc.Map.ID, docs)
	for _, other := range doc.Map.Email.Texts() {
		put(docs, other, nil)
	}
	if name != email { // where the address is the name, nobody without one has a name
		put(docs, name, person.Name)
	}
	if profile, ok := docs["profile"].(map[string]any); ok && doc.Protocol == "oidc" {
		profile["sub"] = person.ID
	}
	put(docs, id, person.ID)
	vouch(docs, doc, email, person)
	return docs
}

// chosen is the expression that gives the sample its value, or the first.
func chosen(e providers.Exprs, docs providers.Documents) string {
	read := providers.Documents{"": docs["profile"]}
	for name, v := range docs {
		read[name] = v
	}
	for i := range e {
		if e[i:i+1].Value(read) != "" {
			return strings.Join(e[i:i+1].Texts(), "")
		}
	}
	return strings.Join(e[:min(1, len(e))].Texts(), "")
}

// vouch writes the address and the provider's word on it.
func vouch(docs providers.Documents, doc providers.Provider, email string, person Person) {
	trust := doc.EmailVerified
	if person.Email != "" {
		put(docs, email, person.Email)
	}
	switch trust.Trust {
	case "claim":
		put(docs, trust.Path, person.Verified)
	case "all_claims":
		for _, path := range trust.Paths {
			put(docs, path, person.Verified)
		}
	case "not_null":
		var at any
		if person.Verified {
			at = "2024-05-02T07:11:00.000Z"
		}
		put(docs, trust.Path, at)
	case "delivered": // such a provider yields only confirmed addresses
		if !person.Verified {
			put(docs, email, nil)
		}
	}
}

// put writes value where the expression reads it. Two names in a template get a
// first and a last name.
func put(docs providers.Documents, expression string, value any) {
	if !strings.Contains(expression, "{") {
		path, filters, _ := strings.Cut(expression, "|")
		if prefix, ok := strings.CutPrefix(filters, "strip('"); ok && value != nil {
			value = strings.TrimSuffix(prefix, "')") + value.(string)
		}
		name := "profile"
		if rest, ok := strings.CutPrefix(path, "$"); ok {
			end := strings.IndexAny(rest, ".[")
			name, path = rest[:end], strings.TrimPrefix(rest[end:], ".")
		}
		set(docs[name], path, value)
		return
	}
	text, _ := value.(string)
	parts := strings.Split(expression, "{")[1:]
	for i, part := range parts {
		inner, _, _ := strings.Cut(part, "}")
		word := text
		if i < len(parts)-1 {
			word, text, _ = strings.Cut(text, " ")
		}
		put(docs, inner, word)
	}
}

// set writes value at a path; a number stays a number and a flag of text is text.
func set(at any, path string, value any) {
	step, rest := next(path)
	switch at := at.(type) {
	case map[string]any:
		if rest == "" {
			at[step] = alike(at[step], value)
			return
		}
		if at[step] == nil && value != nil {
			at[step] = map[string]any{}
		}
		set(at[step], rest, value)
	case []any:
		if n, err := strconv.Atoi(step); err == nil && n < len(at) {
			if rest == "" {
				at[n] = value
				return
			}
			set(at[n], rest, value)
			return
		}
		for _, item := range at {
			if object, ok := item.(map[string]any); ok && matches(object, step) {
				set(object, rest, value)
				return
			}
		}
	}
}

// next splits the first step off a path such as a.b, list[0].c, ["odd key"].
func next(path string) (step, rest string) {
	if quoted, ok := strings.CutPrefix(path, `["`); ok {
		step, rest, _ = strings.Cut(quoted, `"]`)
		return step, strings.TrimPrefix(rest, ".")
	}
	if inside, ok := strings.CutPrefix(path, "["); ok {
		step, rest, _ = strings.Cut(inside, "]")
		return step, strings.TrimPrefix(rest, ".")
	}
	end := strings.IndexAny(path, ".[")
	if end < 0 {
		return path, ""
	}
	return path[:end], strings.TrimPrefix(path[end:], ".")
}

func matches(object map[string]any, conditions string) bool {
	for c := range strings.SplitSeq(conditions, ",") {
		key, want, _ := strings.Cut(c, "=")
		if v, ok := object[key]; !ok || strings.Trim(encode(v), `"`) != want {
			return false
		}
	}
	return true
}

func alike(old, value any) any {
	switch v := value.(type) {
	case string:
		if _, number := old.(json.Number); number {
			if _, err := strconv.Atoi(v); err == nil {
				return json.Number(v)
			}
		}
	case bool:
		switch old.(type) {
		case string:
			return strconv.FormatBool(v)
		case json.Number:
			return map[bool]json.Number{true: "1", false: "0"}[v]
		}
	}
	return value
}
