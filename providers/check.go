package providers

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/go-jose/go-jose/v4"
)

// CheckResult is one line of what an operator is told. Notes are what differs
// from the provider's own word and may be meant.
type CheckResult struct {
	Name  string
	Err   error
	Notes []string
}

// Check asks the provider for its metadata and keys, whether somebody answers at
// each endpoint, and where its metadata says otherwise than the document.
func (c *Client) Check(ctx context.Context) []CheckResult {
	m, err := c.discover(ctx)
	if err == nil {
		err = c.reachable(ctx, m)
	}
	results := []CheckResult{{Name: "endpoints", Err: err}}
	if err == nil && c.verifiesTokens() && m.jwks != "" {
		_, err := c.fetchKeys(ctx, m.jwks)
		results = append(results, CheckResult{Name: "signing keys", Err: err})
	}
	if err == nil && c.doc.Protocol == "oidc" && c.doc.Discovery != "" {
		notes, err := c.compareMetadata(ctx, m)
		results = append(results, CheckResult{"metadata", err, notes})
	}
	return results
}

// reachable asks once at every endpoint of a sign-in.
func (c *Client) reachable(ctx context.Context, m metadata) error {
	all := []string{c.doc.RequestToken, m.authorization, m.token, m.userinfo}
	for _, extra := range c.doc.ExtraRequests {
		all = append(all, extra.URL)
	}
	var failed []error
	asked := map[string]bool{}
	for _, endpoint := range all {
		if endpoint == "" || asked[origin(endpoint)] { // one speaks for its host
			continue
		}
		asked[origin(endpoint)] = true
		if hole.MatchString(endpoint) {
			endpoint = origin(endpoint)
		}
		failed = append(failed, c.answers(ctx, endpoint))
	}
	return errors.Join(failed...)
}

// answers reports whether there is a server at endpoint. What it says to a
// request that is none does not matter.
func (c *Client) answers(ctx context.Context, endpoint string) error {
	r, err := http.NewRequest(http.MethodGet, endpoint, nil)
	if err != nil {
		return err
	}
	_, _, err = c.fetch(ctx, r, maxAnswer)
	if u, ok := errors.AsType[*url.Error](err); ok {
		return fmt.Errorf("GET %s: %w", r.URL.Host, u.Err)
	}
	if errors.Is(err, errTooLarge) {
		return nil
	}
	return err
}

// compareMetadata says where the live metadata is otherwise than what m and the
// document have. Another issuer is a mistake; all else may be meant.
func (c *Client) compareMetadata(ctx context.Context, m metadata) (notes []string, err error) {
	live, err := c.getJSON(asking(ctx, forMetadata), c.doc.Discovery)
	if err != nil {
		return nil, err
	}
	if _, err := c.readMetadata(live); err != nil {
		return nil, err
	}
	note := func(format string, args ...any) { notes = append(notes, printable(fmt.Sprintf(format, args...))) }
	for _, e := range []struct{ key, ours string }{{"authorization_endpoint", m.authorization}, {"token_endpoint", m.token}, {"userinfo_endpoint", m.userinfo}, {"jwks_uri", m.jwks}} {
		theirs, _ := live[e.key].(string)
		if theirs != "" && e.ours != "" && withoutQuery(theirs) != withoutQuery(e.ours) {
			note("%s is %s there; used is %s", e.key, theirs, e.ours)
		}
	}
	lacks := func(key string, want ...string) {
		listed, ok := live[key].([]any)
		missing := slices.DeleteFunc(want, func(w string) bool { return w == "" || slices.Contains(listed, any(w)) })
		if ok && len(missing) > 0 {
			note("%s does not list %s", key, strings.Join(missing, ", "))
		}
	}
	lacks("scopes_supported", slices.Clone(c.doc.Scopes)...)
	lacks("response_types_supported", "code")
	if c.doc.PKCE != "unsupported" {
		lacks("code_challenge_methods_supported", "S256")
	}
	if c.FormPost() {
		lacks("response_modes_supported", "form_post")
	}
	lacks("token_endpoint_auth_methods_supported", map[string]string{"post": "client_secret_post", "basic": "client_secret_basic", "post_jwt": "client_secret_post", "private_key_jwt": "private_key_jwt", "none": "none"}[c.doc.TokenAuth])
	if methods, ok := live["token_endpoint_auth_methods_supported"].([]any); ok && c.doc.TokenAuth == "discovery" && !slices.ContainsFunc([]any{"client_secret_basic", "client_secret_post", "none"}, func(ours any) bool { return slices.Contains(methods, ours) }) {
		note("token_endpoint_auth_methods_supported lists none that a client_secret goes with; with a key of your own set override: {token_auth: private_key_jwt}")
	}
	if algs, ok := live["id_token_signing_alg_values_supported"].([]any); ok && !slices.ContainsFunc(c.algorithms(), func(a jose.SignatureAlgorithm) bool { return slices.Contains(algs, any(string(a))) }) {
		note("id_token_signing_alg_values_supported lists none of %v (id_token_alg)", c.algorithms())
	}
	return notes, nil
}

func withoutQuery(raw string) string {
	raw, _, _ = strings.Cut(raw, "?")
	return raw
}
