package providers

import (
	"errors"
	"net/url"
	"strings"
)

// value fills in what only a request knows: $client_secret, $access_token, and
// the fields of the answer ($callback.x) and of the token answer ($token.x).
func (c *Client) value(v string, docs Documents, accessToken string) string {
	switch {
	case v == "$client_secret":
		return c.secret
	case v == "$access_token":
		return accessToken
	case strings.HasPrefix(v, "$"):
		return printed(look(docs, v))
	}
	return v
}

// form is fields with their values; an empty one stays, for the caller to drop.
func (c *Client) form(fields map[string]string, docs Documents, accessToken string) url.Values {
	out := url.Values{}
	for name, v := range fields {
		out.Set(name, c.value(v, docs, accessToken))
	}
	return out
}

// fillHoles puts fields of the token answer into a URL. Whatever they hold, they
// stay one segment or one query value; empty, dot and dot-dot go nowhere.
func fillHoles(raw string, docs Documents) (string, error) {
	path, query, hasQuery := strings.Cut(raw, "?")
	var bad bool
	fill := func(s string, escape func(string) string) string {
		return hole.ReplaceAllStringFunc(s, func(m string) string {
			v := filtered(docs, m[1:len(m)-1])
			bad = bad || v == "" || v == "." || v == ".."
			return escape(v)
		})
	}
	path = fill(path, url.PathEscape)
	if hasQuery {
		path += "?" + fill(query, url.QueryEscape)
	}
	if bad {
		return "", errors.New("the token answer lacks a field that the URL needs")
	}
	return path, nil
}
