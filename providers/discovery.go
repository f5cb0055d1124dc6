package providers

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// metadata is what of a provider's discovery document we use.
type metadata struct {
	authorization, token, userinfo, jwks string
	returnsIss                           bool
	postOnly                             bool
}

// cached is a value fetched over the network: one flight at a time, kept for
// ttl, not asked for again within pause of a failure, and the last good one
// used for grace beyond ttl (security O-23, O-30).
type cached[T any] struct {
	mu      sync.Mutex
	value   T
	good    time.Time
	tried   time.Time
	forced  time.Time // the last time a caller asked for newer than cached
	lastErr error
}

func (c *cached[T]) get(now time.Time, ttl, pause, grace time.Duration, fetch func() (T, error)) (T, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.good.IsZero() && now.Sub(c.good) < ttl {
		return c.value, nil
	}
	if c.tried.IsZero() || now.Sub(c.tried) >= pause {
		c.refresh(now, fetch)
	}
	if c.lastErr != nil && (c.good.IsZero() || now.Sub(c.good) >= ttl+grace) {
		var none T
		return none, c.lastErr
	}
	return c.value, nil
}

func (c *cached[T]) refresh(now time.Time, fetch func() (T, error)) {
	c.tried = now
	v, err := fetch()
	if c.lastErr = err; err == nil {
		c.value, c.good = v, now
	}
}

// discover gives the endpoints: the document's own, and where it has none the
// provider's metadata.
func (c *Client) discover(ctx context.Context) (metadata, error) {
	own := metadata{c.doc.Authorization, c.doc.Token, c.doc.Userinfo, c.doc.JWKS, c.doc.ReturnsIss, false}
	complete := own.authorization != "" && own.token != "" && (!c.verifiesTokens() || own.jwks != "") && c.doc.TokenAuth != "discovery"
	if complete || c.doc.Protocol != "oidc" || c.doc.Discovery == "" {
		return own, nil
	}
	found, err := c.metadata.get(c.now(), 24*time.Hour, 5*time.Second, 24*time.Hour, func() (metadata, error) { return c.fetchMetadata(ctx) })
	if err != nil {
		return metadata{}, err
	}
	pick := func(own, found string) string {
		if own != "" {
			return own
		}
		return found
	}
	found.authorization, found.token = pick(own.authorization, found.authorization), pick(own.token, found.token)
	found.userinfo, found.jwks = pick(own.userinfo, found.userinfo), pick(own.jwks, found.jwks)
	found.returnsIss = found.returnsIss || own.returnsIss
	return found, nil
}

func (c *Client) fetchMetadata(ctx context.Context) (metadata, error) {
	doc, err := c.getJSON(ctx, c.doc.Discovery)
	if err != nil {
		return metadata{}, err
	}
	text := func(key string) string { s, _ := doc[key].(string); return s }
	// Byte for byte: a trailing slash makes another issuer (security O-30).
	if issuer := text("issuer"); issuer != c.doc.Issuer && !containsTenant(c.doc.Issuer) {
		return metadata{}, fmt.Errorf("discovery: the document is of issuer %q, configured is %q; they must be the same to the letter", issuer, c.doc.Issuer)
	}
	m := metadata{authorization: text("authorization_endpoint"), token: text("token_endpoint"), userinfo: text("userinfo_endpoint"), jwks: text("jwks_uri")}
	m.returnsIss, _ = doc["authorization_response_iss_parameter_supported"].(bool)
	if methods, ok := doc["token_endpoint_auth_methods_supported"].([]any); ok {
		basic, post := false, false
		for _, method := range methods {
			basic = basic || method == "client_secret_basic"
			post = post || method == "client_secret_post"
		}
		m.postOnly = post && !basic
	}
	for name, raw := range map[string]string{"authorization_endpoint": m.authorization, "token_endpoint": m.token, "jwks_uri": m.jwks} {
		if err := c.endpoint(raw); err != nil {
			return metadata{}, fmt.Errorf("discovery: %s: %w", name, err)
		}
	}
	if m.userinfo != "" {
		if err := c.endpoint(m.userinfo); err != nil {
			return metadata{}, fmt.Errorf("discovery: userinfo_endpoint: %w", err)
		}
	}
	return m, nil
}

func (c *Client) getJSON(ctx context.Context, from string) (map[string]any, error) {
	r, err := http.NewRequest(http.MethodGet, from, nil)
	if err != nil {
		return nil, err
	}
	r.Header.Set("Accept", "application/json")
	r.Header.Set("User-Agent", c.doc.userAgent())
	status, body, err := c.fetch(ctx, r, maxMetadata)
	if u, ok := errors.AsType[*url.Error](err); ok {
		err = u.Err // without the URL, which stands in front already
	}
	if err != nil {
		return nil, fmt.Errorf("GET %s: %w", r.URL.Host, err)
	}
	if status != http.StatusOK {
		return nil, fmt.Errorf("GET %s%s answered %d", r.URL.Host, r.URL.Path, status)
	}
	v, err := decodeJSON(body)
	object, ok := v.(map[string]any)
	if err != nil || !ok {
		return nil, fmt.Errorf("GET %s%s did not answer with a JSON object", r.URL.Host, r.URL.Path)
	}
	return object, nil
}

var errNoKey = errors.New("signed with a key that the provider does not publish")

// key finds the key for an ID token. Only jwks_uri is ever asked; an unknown kid
// may be a rotation, so the set is fetched again, at most every 30 s however
// many such tokens come (security O-13, O-23, O-24).
func (c *Client) key(ctx context.Context, uri, kid, alg string) (any, error) {
	fetch := func() (jose.JSONWebKeySet, error) { return c.fetchKeys(ctx, uri) }
	set, err := c.keys.get(c.now(), 24*time.Hour, 5*time.Second, time.Hour, fetch)
	if err != nil {
		return nil, err
	}
	if k, err := pickKey(set, kid, alg); err == nil {
		return k, nil
	}
	c.keys.mu.Lock()
	if now := c.now(); now.Sub(c.keys.forced) >= 30*time.Second {
		c.keys.forced = now
		c.keys.refresh(now, fetch)
	}
	set = c.keys.value
	c.keys.mu.Unlock()
	return pickKey(set, kid, alg)
}

func (c *Client) fetchKeys(ctx context.Context, uri string) (set jose.JSONWebKeySet, err error) {
	doc, err := c.getJSON(ctx, uri)
	if err != nil {
		return set, err
	}
	list, _ := doc["keys"].([]any)
	for _, item := range list {
		raw, err := encodeJSON(item)
		if err != nil {
			continue
		}
		var k jose.JSONWebKey
		if k.UnmarshalJSON(raw) == nil && k.IsPublic() { // unknown kinds of keys are no error
			set.Keys = append(set.Keys, k)
		}
	}
	if len(set.Keys) == 0 {
		return set, errors.New("the provider publishes no usable key")
	}
	return set, nil
}
