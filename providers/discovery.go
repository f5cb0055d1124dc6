package providers

import (
	"cmp"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// metadata is what of a provider's discovery document we use.
type metadata struct {
	authorization, token, userinfo, jwks string
	returnsIss                           bool
	postOnly                             bool
	noneOnly                             bool
	algorithms                           []string // of ID tokens
}

// cached is a value fetched over the network (security O-23, O-30). One fetch
// runs at a time, for everybody: outside the lock, since every page asks what is
// known so far, and in a context of its own, since whoever asked first may close
// the tab. A failure is remembered for a while.
type cached[T any] struct {
	mu     sync.Mutex // never held while fetching
	value  T
	good   time.Time     // when value was asked for
	err    error         // of the last fetch
	failed time.Time     // when the last failure came
	forced time.Time     // when a caller last asked for newer than cached
	flight chan struct{} // closed when the running fetch ends; nil when none runs
}

const (
	failurePause = 5 * time.Second
	forcedPause  = 30 * time.Second
)

// ages says what may be done with a value: younger than fresh it is used as it
// is, younger than stale also while a newer one is fetched, and younger than kept
// where that failed.
type ages struct{ fresh, stale, kept time.Duration }

var (
	metadataAges = ages{24 * time.Hour, 48 * time.Hour, 48 * time.Hour}
	keyAges      = ages{23 * time.Hour, 24 * time.Hour, 25 * time.Hour}
)

var errOutdated = errors.New("what is known of the provider is too old")

func (c *cached[T]) get(ctx context.Context, now func() time.Time, a ages, fetch func(context.Context) (T, error)) (T, error) {
	if err := await(ctx, c.refresh(now, a, fetch)); err != nil {
		var none T
		return none, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if now().Sub(c.good) >= a.kept {
		var none T
		return none, cmp.Or(c.err, errOutdated)
	}
	return c.value, nil
}

// refresh starts a fetch if it is time for one, and returns the running one if
// there is nothing to use before it ends.
func (c *cached[T]) refresh(now func() time.Time, a ages, fetch func(context.Context) (T, error)) <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	age := now().Sub(c.good)
	if age >= a.fresh && now().Sub(c.failed) >= failurePause {
		c.start(now, fetch)
	}
	if age < a.stale {
		return nil
	}
	return c.flight
}

// newer fetches for a caller whom the cached value does not serve, however many
// such callers come, at most every 30 s. The error is why the last fetch failed.
func (c *cached[T]) newer(ctx context.Context, now func() time.Time, fetch func(context.Context) (T, error)) (T, error) {
	c.mu.Lock()
	if c.flight == nil && now().Sub(c.forced) >= forcedPause {
		c.forced = now()
		c.start(now, fetch)
	}
	flight := c.flight
	c.mu.Unlock()
	err := await(ctx, flight)
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.value, cmp.Or(err, c.err)
}

// known is the value so far. It waits for nobody.
func (c *cached[T]) known() T {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.value
}

// start begins a fetch unless one runs. The caller holds the lock.
func (c *cached[T]) start(now func() time.Time, fetch func(context.Context) (T, error)) {
	if c.flight != nil {
		return
	}
	flight, asked := make(chan struct{}), now()
	c.flight = flight
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), requestTimeout)
		defer cancel()
		v, err := guarded(ctx, fetch)
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.err, c.flight = err, nil; err == nil {
			c.value, c.good = v, asked
		} else {
			c.failed = now()
		}
		close(flight)
	}()
}

// guarded makes a panic an error: no request's handler is below to catch it
// (security X-12).
func guarded[T any](ctx context.Context, fetch func(context.Context) (T, error)) (v T, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	return fetch(ctx)
}

// await waits for the end of flight, if there is one, as long as ctx lasts.
func await(ctx context.Context, flight <-chan struct{}) error {
	if flight == nil {
		return nil
	}
	select {
	case <-flight:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("waiting for the provider: %w", ctx.Err())
	}
}

// discover gives the endpoints: the document's own, and where it has none the
// provider's metadata.
func (c *Client) discover(ctx context.Context) (metadata, error) {
	own := metadata{authorization: c.doc.Authorization, token: c.doc.Token, userinfo: c.doc.Userinfo, jwks: c.doc.JWKS, returnsIss: c.doc.ReturnsIss}
	complete := own.authorization != "" && own.token != "" && (!c.verifiesTokens() || own.jwks != "") && c.doc.TokenAuth != "discovery"
	if complete || c.doc.Protocol != "oidc" || c.doc.Discovery == "" {
		return own, nil
	}
	found, err := c.metadata.get(ctx, c.now, metadataAges, c.fetchMetadata)
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

// Discover asks for the provider's metadata ahead of the first sign-in, which
// then does not pay for it. Nothing is lost when it fails.
func (c *Client) Discover(ctx context.Context) error {
	_, err := c.discover(ctx)
	return err
}

func (c *Client) fetchMetadata(ctx context.Context) (metadata, error) {
	doc, err := c.getJSON(asking(ctx, forMetadata), c.doc.Discovery)
	if err != nil {
		return metadata{}, err
	}
	return c.readMetadata(doc)
}

// readMetadata takes what we use, and refuses what we cannot.
func (c *Client) readMetadata(doc map[string]any) (metadata, error) {
	text := func(key string) string { s, _ := doc[key].(string); return s }
	// Byte for byte: a trailing slash makes another issuer (security O-30).
	if issuer := text("issuer"); issuer != c.doc.Issuer && !containsTenant(c.doc.Issuer) {
		return metadata{}, fmt.Errorf("discovery: the document is of issuer %q, configured is %q; they must be the same to the letter", issuer, c.doc.Issuer)
	}
	m := metadata{authorization: text("authorization_endpoint"), token: text("token_endpoint"), userinfo: text("userinfo_endpoint"), jwks: text("jwks_uri")}
	m.returnsIss, _ = doc["authorization_response_iss_parameter_supported"].(bool)
	methods, _ := doc["token_endpoint_auth_methods_supported"].([]any)
	basic, post, none := slices.Contains(methods, any("client_secret_basic")), slices.Contains(methods, any("client_secret_post")), slices.Contains(methods, any("none"))
	m.postOnly, m.noneOnly = post && !basic, none && len(methods) == 1
	if c.doc.TokenAuth == "discovery" && c.secret == "" && !none {
		return metadata{}, errors.New("client_secret is missing, and discovery lists no clients without one; if this is one all the same, set override: {token_auth: none}")
	}
	if algs, ok := doc["id_token_signing_alg_values_supported"].([]any); ok {
		m.algorithms = slices.DeleteFunc(slices.Clone(listable), func(a string) bool { return !slices.Contains(algs, any(a)) })
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

var (
	errNoKey     = errors.New("signed with a key that the provider does not publish")
	errSignature = errors.New("the signature is wrong")
)

// verify returns the payload of signed if a key of the provider's made it. Only
// jwks_uri is ever asked. No key that fits, and none that verifies, may both be a
// rotation, since not everybody gives a new key a new kid; so the set is fetched
// again, at most every 30 s however many such tokens come (security O-13, O-23,
// O-24).
func (c *Client) verify(ctx context.Context, signed *jose.JSONWebSignature, raw, uri string) ([]byte, error) {
	fetch := func(ctx context.Context) (jose.JSONWebKeySet, error) { return c.fetchKeys(ctx, uri) }
	set, err := c.keys.get(ctx, c.now, keyAges, fetch)
	if err != nil {
		return nil, err
	}
	if payload, err := verifyBy(set, signed, raw); err == nil {
		return payload, nil
	}
	set, failure := c.keys.newer(ctx, c.now, fetch)
	payload, err := verifyBy(set, signed, raw)
	if err != nil && failure != nil {
		return nil, failure
	}
	return payload, err
}

// verifyBy tries the keys of set that fit the header of signed, which is raw.
func verifyBy(set jose.JSONWebKeySet, signed *jose.JSONWebSignature, raw string) ([]byte, error) {
	header := signed.Signatures[0].Header
	keys := fittingKeys(set, header.KeyID, header.Algorithm)
	if len(keys) == 0 {
		return nil, errNoKey
	}
	for _, k := range keys {
		if payload, ok := verifiedEd25519(k, signed, raw); ok {
			return payload, nil
		}
		if payload, err := signed.Verify(k); err == nil {
			return payload, nil
		}
	}
	return nil, errSignature
}

// verifiedEd25519 knows the name that go-jose does not.
func verifiedEd25519(key any, signed *jose.JSONWebSignature, raw string) ([]byte, bool) {
	k, ok := key.(ed25519.PublicKey)
	if !ok || signed.Signatures[0].Header.Algorithm != ed25519Name {
		return nil, false
	}
	input := raw[:strings.LastIndexByte(raw, '.')] // RFC 7515 §5.2
	return signed.UnsafePayloadWithoutVerification(), ed25519.Verify(k, []byte(input), signed.Signatures[0].Signature)
}

func (c *Client) fetchKeys(ctx context.Context, uri string) (set jose.JSONWebKeySet, err error) {
	doc, err := c.getJSON(asking(ctx, forKeys), uri)
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
