package app

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gatepost/gatepost/store/storetest"
)

// O-30: a provider that hangs is nobody's trouble but its own.
func TestHangingProvider(t *testing.T) {
	asked, release := make(chan struct{}, 8), make(chan struct{})
	mute := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked <- struct{}{}; <-release }))
	defer mute.Close()
	defer close(release)
	config := ProviderConfig{ID: "mute", Type: "oidc", ClientID: "c", ClientSecret: "s", Params: map[string]Secret{"issuer": Secret(mute.URL)}, AllowPrivateNetwork: true}
	s := newSite(t, storetest.URL(t), func(c *Config) { c.Providers = append(c.Providers, config) })
	b := s.browser()
	csrf := b.csrf()
	go b.http.PostForm(s.URL+"/auth/signin/mute", map[string][]string{"csrfToken": {csrf}})
	<-asked
	began := time.Now()
	if p := s.browser().get("/auth/session"); p.status != http.StatusOK || time.Since(began) > 3*time.Second {
		t.Errorf("%d after %s", p.status, time.Since(began))
	}
}

// A start waits for no provider, and says which of them does not answer.
func TestDiscoverAtStart(t *testing.T) {
	asked := make(chan struct{})
	gone := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked <- struct{}{}
		w.WriteHeader(http.StatusBadGateway)
	}))
	defer gone.Close()
	log := &syncBuffer{}
	c := Config{Dev: true, Providers: []ProviderConfig{{ID: "gone", Type: "oidc", ClientID: "c", ClientSecret: "s", Params: map[string]Secret{"issuer": Secret(gone.URL)}}}}
	logger := slog.New(slog.NewTextHandler(log, nil))
	clients, err := c.clients(logger)
	if err != nil {
		t.Fatal(err)
	}
	discover(t.Context(), clients, logger) // nobody reads asked yet
	<-asked
	for deadline := time.Now().Add(3 * time.Second); !strings.Contains(log.String(), "answered 502"); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("the log says %q", log)
		}
	}
	if !strings.Contains(log.String(), "provider=gone") {
		t.Errorf("the log says %q", log)
	}
}
