package providers

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

const (
	discoveryPath = "/.well-known/openid-configuration"
	keysPath      = "/k"
)

// before has f see every request for path first.
func (o *op) before(path string, f func(http.ResponseWriter, *http.Request) (answered bool)) {
	next := o.Config.Handler
	o.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != path || !f(w, r) {
			next.ServeHTTP(w, r)
		}
	})
}

// hold keeps back what is asked at path until let is called, and counts it.
func (o *op) hold(t *testing.T, path string) (hits *atomic.Int32, let func()) {
	held := make(chan struct{})
	let = sync.OnceFunc(func() { close(held) })
	t.Cleanup(let) // before the server is closed, which waits for its answers
	hits = &atomic.Int32{}
	o.before(path, func(http.ResponseWriter, *http.Request) bool { hits.Add(1); <-held; return false })
	return hits, let
}

// clock is a time that a test moves.
type clock struct{ skip atomic.Int64 }

func (c *clock) now() time.Time          { return time.Now().Add(time.Duration(c.skip.Load())) }
func (c *clock) advance(d time.Duration) { c.skip.Add(int64(d)) }

// within fails the test when f takes longer than anybody would wait.
func within(t *testing.T, what string, f func()) {
	t.Helper()
	done := make(chan struct{})
	go func() { defer close(done); f() }()
	select {
	case <-done:
	case <-time.After(3 * time.Second):
		t.Fatalf("%s waits for the provider", what)
	}
}

func begin(ctx context.Context, c *Client) error {
	_, _, err := c.Begin(ctx, "https://client.example/callback", nil)
	return err
}

// O-30: a provider that hangs keeps waiting only who wants to sign in there, and
// is asked once for all of them.
func TestHangingDiscovery(t *testing.T) {
	o := newOP(t)
	hits, let := o.hold(t, discoveryPath)
	c := o.client(t, nil)
	results := make(chan error, 8)
	for range cap(results) {
		go func() { results <- begin(context.Background(), c) }()
	}
	for hits.Load() == 0 {
		time.Sleep(time.Millisecond)
	}
	within(t, "every page", func() {
		if got := c.AuthorizationOrigin(); got != o.URL {
			t.Errorf("AuthorizationOrigin is %q", got)
		}
	})
	within(t, "somebody whose time is over", func() {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		if err := begin(ctx, c); reasonOf(err) != ReasonProviderUnavailable {
			t.Errorf("got %v", err)
		}
	})
	let()
	for range cap(results) {
		if err := <-results; err != nil {
			t.Error(err)
		}
	}
	if n := hits.Load(); n != 1 {
		t.Errorf("%d requests", n)
	}
}

// Whoever asks first may close the tab; the next person's sign-in is not theirs.
func TestFirstAskerLeaves(t *testing.T) {
	o := newOP(t)
	hits, let := o.hold(t, discoveryPath)
	c := o.client(t, nil)
	ctx, leave := context.WithCancel(t.Context())
	left := make(chan error, 1)
	go func() { left <- begin(ctx, c) }()
	for hits.Load() == 0 {
		time.Sleep(time.Millisecond)
	}
	leave()
	if err := <-left; reasonOf(err) != ReasonProviderUnavailable {
		t.Errorf("got %v", err)
	}
	let()
	if err := begin(t.Context(), c); err != nil {
		t.Errorf("the next person: %v", err)
	}
}

// O-30: retried, but not on every request; what was good is used meanwhile.
func TestDiscoveryFails(t *testing.T) {
	o := newOP(t)
	var at clock
	o.now = at.now
	var hits, down atomic.Int32
	down.Store(1)
	o.before(discoveryPath, func(w http.ResponseWriter, _ *http.Request) bool {
		hits.Add(1)
		if down.Load() == 1 {
			w.WriteHeader(http.StatusBadGateway)
		}
		return down.Load() == 1
	})
	c := o.client(t, nil)
	for range 5 {
		if err := begin(t.Context(), c); reasonOf(err) != ReasonProviderUnavailable || !strings.Contains(err.Error(), "answered 502") {
			t.Errorf("got %v", err)
		}
	}
	if n := hits.Load(); n != 1 {
		t.Errorf("%d requests within 5 s of a failure", n)
	}
	down.Store(0)
	at.advance(6 * time.Second)
	if err := begin(t.Context(), c); err != nil {
		t.Errorf("6 s later: %v", err)
	}
	at.advance(25 * time.Hour)
	_, let := o.hold(t, discoveryPath)
	within(t, "somebody who could be served from what is known", func() {
		if err := begin(t.Context(), c); err != nil {
			t.Error(err)
		}
	})
	let()
}

// O-23: keys die after 24 h, and an hour later if they cannot be asked for.
func TestKeyAges(t *testing.T) {
	for _, tt := range []struct {
		name      string
		age       time.Duration
		down      bool
		removed   bool
		want      Reason
		refetched int32
	}{
		{"young", 22 * time.Hour, true, true, "", 0},
		{"soon too old, and the provider is away", 23*time.Hour + time.Minute, true, true, "", 1},
		{"old", 24*time.Hour + time.Minute, false, false, "", 1},
		{"old, and removed", 24*time.Hour + time.Minute, false, true, ReasonIDTokenInvalid, 2},
		{"old, and the provider is away", 24*time.Hour + time.Minute, true, true, "", 1},
		{"too old, and the provider is away", 25*time.Hour + time.Minute, true, true, ReasonProviderUnavailable, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := newOP(t)
			var at clock
			o.now = at.now
			var hits, down atomic.Int32
			o.before(keysPath, func(w http.ResponseWriter, _ *http.Request) bool {
				hits.Add(1)
				if down.Load() == 1 {
					w.WriteHeader(http.StatusBadGateway)
				}
				return down.Load() == 1
			})
			c := o.client(t, nil)
			if _, err := o.signIn(t, c); err != nil {
				t.Fatal(err)
			}
			at.advance(tt.age)
			hits.Store(0)
			if tt.down {
				down.Store(1)
			}
			if tt.removed {
				o.keys = []jose.JSONWebKey{public(otherKey.Public(), "k2")}
			}
			_, err := o.signIn(t, c)
			if reasonOf(err) != tt.want {
				t.Errorf("got %v, want %q", err, tt.want)
			}
			if tt.want == ReasonProviderUnavailable && !strings.Contains(err.Error(), "answered 502") {
				t.Errorf("the cause is not in %v", err)
			}
			settle(c)
			if n := hits.Load(); n != tt.refetched {
				t.Errorf("%d requests for keys, want %d", n, tt.refetched)
			}
		})
	}
}

// settle waits for what is fetched in the background.
func settle(c *Client) {
	c.keys.mu.Lock()
	flight := c.keys.flight
	c.keys.mu.Unlock()
	await(context.Background(), flight)
}

// O-24: a rotation met by many at once costs one look, and refuses none of them.
func TestKeyRotationUnderLoad(t *testing.T) {
	o := newOP(t)
	c := o.client(t, nil)
	if _, err := o.signIn(t, c); err != nil {
		t.Fatal(err)
	}
	o.keys = []jose.JSONWebKey{public(otherKey.Public(), "k2")}
	raw := sign(jose.RS256, otherKey, "k2", map[string]any{})
	signed, err := jose.ParseSignedCompact(raw, []jose.SignatureAlgorithm{jose.RS256})
	if err != nil {
		t.Fatal(err)
	}
	hits, let := o.hold(t, keysPath)
	var failures []error
	var mu sync.Mutex
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			_, err := c.verify(t.Context(), signed, raw, o.URL+keysPath)
			mu.Lock()
			defer mu.Unlock()
			failures = append(failures, err)
		})
	}
	time.Sleep(50 * time.Millisecond)
	let()
	all.Wait()
	if err := errors.Join(failures...); err != nil || hits.Load() != 1 {
		t.Errorf("%d requests, %v", hits.Load(), err)
	}
}

// O-24: a new key need not have a new kid, or one at all; and a signature that
// stays wrong costs one look in 30 s (O-23).
func TestKeyRotationUnderTheSameName(t *testing.T) {
	for _, tt := range []struct {
		name string
		kid  string
		keys []jose.JSONWebKey
		want Reason
	}{
		{"the same kid", "k1", []jose.JSONWebKey{public(otherKey.Public(), "k1")}, ""},
		{"no kid", "", []jose.JSONWebKey{public(otherKey.Public(), "")}, ""},
		{"the same kid, beside the old key", "k1", []jose.JSONWebKey{public(rsaKey.Public(), "k1"), public(otherKey.Public(), "k1")}, ""},
		{"no kid, beside the old key", "", []jose.JSONWebKey{public(rsaKey.Public(), ""), public(otherKey.Public(), "")}, ReasonIDTokenInvalid},
		{"a key that was never published", "k1", []jose.JSONWebKey{public(rsaKey.Public(), "k1")}, ReasonIDTokenInvalid},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := newOP(t)
			o.keys = []jose.JSONWebKey{public(rsaKey.Public(), tt.kid)}
			o.idToken = func(c map[string]any) string { return sign(jose.RS256, rsaKey, tt.kid, c) }
			c := o.client(t, nil)
			if _, err := o.signIn(t, c); err != nil {
				t.Fatal(err)
			}
			o.keys = tt.keys
			o.idToken = func(c map[string]any) string { return sign(jose.RS256, otherKey, tt.kid, c) }
			before := o.keyHits.Load()
			for range 3 {
				if _, err := o.signIn(t, c); reasonOf(err) != tt.want {
					t.Errorf("got %v, want %q", err, tt.want)
				}
			}
			if n := o.keyHits.Load() - before; n != 1 {
				t.Errorf("%d requests for keys", n)
			}
		})
	}
}

// A key that is not known and cannot be asked for is the provider's failure, and
// the log says which.
func TestNoKeyAndNoAnswer(t *testing.T) {
	o := newOP(t)
	c := o.client(t, nil)
	if _, err := o.signIn(t, c); err != nil {
		t.Fatal(err)
	}
	o.before(keysPath, func(w http.ResponseWriter, _ *http.Request) bool { w.WriteHeader(http.StatusBadGateway); return true })
	o.idToken = func(c map[string]any) string { return sign(jose.RS256, otherKey, "k2", c) }
	if _, err := o.signIn(t, c); reasonOf(err) != ReasonProviderUnavailable || !strings.Contains(err.Error(), "answered 502") {
		t.Errorf("got %v", err)
	}
}

// a panic while fetching is that provider's failure.
func TestPanicWhileFetching(t *testing.T) {
	var c cached[int]
	_, err := c.get(t.Context(), time.Now, metadataAges, func(context.Context) (int, error) { panic("nil map") })
	if err == nil || !strings.Contains(err.Error(), "nil map") {
		t.Errorf("got %v", err)
	}
}

// The cause is not cut off behind a long address, and carries no query.
func TestCauseOfNetworkErrors(t *testing.T) {
	o := newOP(t)
	c := o.client(t, map[string]any{"discovery": "http://127.0.0.1:1/" + strings.Repeat("x", 200) + "?key=secret"})
	if err := begin(t.Context(), c); err == nil || !strings.Contains(err.Error(), "connection refused") || strings.Contains(err.Error(), "secret") {
		t.Errorf("got %v", err)
	}
}

// Discovery §4.1: the slash at the end of an issuer is not part of where its
// metadata is, but of what it is compared with.
func TestIssuerWithSlash(t *testing.T) {
	for _, tt := range []struct {
		name, path string // of the issuer
		says       string // what the document adds to the issuer's own path
		want       Reason
	}{
		{"without a path", "/", "/", ""},
		{"with a path", "/realm/", "/realm/", ""},
		{"no slash", "/realm", "/realm", ""},
		{"O-30: the document says it without", "/realm/", "/realm", ReasonProviderUnavailable},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := newOP(t)
			realm := http.StripPrefix("/realm", o)
			front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if tt.path != "/" {
					realm.ServeHTTP(w, r)
					return
				}
				o.ServeHTTP(w, r)
			}))
			defer front.Close()
			o.metadata = func(m map[string]any) { m["issuer"] = front.URL + tt.says }
			c, err := New(Config{ID: "oidc", ClientID: "client", ClientSecret: "secret", Params: map[string]string{"issuer": front.URL + tt.path}}, HTTPOptions{Dev: true})
			if err != nil {
				t.Fatal(err)
			}
			r, _, err := c.Begin(t.Context(), "https://client.example/callback", nil)
			if reasonOf(err) != tt.want || err == nil && r.Issuer != front.URL+tt.path {
				t.Errorf("got %q, %v; want %q", r.Issuer, err, tt.want)
			}
		})
	}
}
