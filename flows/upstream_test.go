package flows

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/gatepost/gatepost/providers"
	"github.com/gatepost/gatepost/store"
	"github.com/gatepost/gatepost/store/storetest"
)

func TestMain(m *testing.M) { storetest.Main(m) }

// What is done about an access token, by its time and what else there is.
func TestJudgeToken(t *testing.T) {
	now := time.Date(2026, time.March, 4, 5, 6, 7, 0, time.UTC)
	for _, tt := range []struct {
		name            string
		access, refresh string
		written, ends   time.Duration // from now; ends 0: not said
		rejected        string
		want            tokenState
	}{
		{"nothing", "", "", -time.Hour, 0, "", tokenOver},
		{"nothing, and nothing rejected", "", "", -time.Hour, time.Hour, "x", tokenOver},
		{"no time, nothing to refresh with", "a", "", -9999 * time.Hour, 0, "", tokenGood},
		{"no time", "a", "r", -9999 * time.Hour, 0, "", tokenGood},
		{"an hour left", "a", "r", 0, time.Hour, "", tokenGood},
		{"an hour left, nothing to refresh with", "a", "", 0, time.Hour, "", tokenGood},
		{"61 s of an hour left", "a", "r", -time.Hour, 61 * time.Second, "", tokenGood},
		{"60 s of an hour left", "a", "r", -time.Hour, 60 * time.Second, "", tokenStale},
		{"60 s of an hour left, nothing to refresh with", "a", "", -time.Hour, 60 * time.Second, "", tokenGood},
		{"over", "a", "r", -time.Hour, -time.Second, "", tokenStale},
		{"over this moment", "a", "", -time.Hour, time.Nanosecond, "", tokenGood},
		{"over, nothing to refresh with", "a", "", -time.Hour, -time.Second, "", tokenOver},
		{"lives for 40 s, 11 left", "a", "r", -29 * time.Second, 11 * time.Second, "", tokenGood},
		{"lives for 40 s, 10 left", "a", "r", -30 * time.Second, 10 * time.Second, "", tokenStale},
		{"over when it was written", "a", "r", time.Hour, -time.Second, "", tokenStale},
		{"written in the future", "a", "r", 2 * time.Hour, time.Hour, "", tokenGood},
		{"a refresh token alone", "", "r", -time.Hour, 0, "", tokenStale},
		{"rejected", "a", "r", -time.Minute, time.Hour, "a", tokenStale},
		{"rejected, no time", "a", "r", -time.Minute, 0, "a", tokenStale},
		{"rejected, nothing to refresh with", "a", "", -time.Minute, time.Hour, "a", tokenOver},
		{"rejected, written a moment ago", "a", "r", -59 * time.Second, time.Hour, "a", tokenGood},
		{"another one was rejected", "a", "r", -time.Hour, time.Hour, "b", tokenGood},
		{"none is there and none was rejected", "", "r", -time.Hour, time.Hour, "", tokenStale},
	} {
		token := upstreamTokens{access: tt.access, refresh: tt.refresh, asOf: now, account: store.Account{UpdatedAt: now.Add(tt.written)}}
		if tt.ends != 0 {
			ends := now.Add(tt.ends)
			token.account.AccessTokenExpires = &ends
		}
		if got := token.judge(tt.rejected); got != tt.want {
			t.Errorf("%s: %d, want %d", tt.name, got, tt.want)
		}
	}
}

// held holds back the first statement that takes a lease.
type held struct {
	once    sync.Once
	reached chan struct{}
	release chan struct{}
}

func (h *held) TraceQueryStart(ctx context.Context, _ *pgx.Conn, q pgx.TraceQueryStartData) context.Context {
	if strings.Contains(q.SQL, "INSERT INTO verification_tokens") {
		h.once.Do(func() { close(h.reached); <-h.release })
	}
	return ctx
}
func (h *held) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

// A replica reads the row and is slow to take the lease: by then another has
// refreshed and is done. The refresh token that it read is spent, and is not used.
func TestSpentRefreshTokenIsNotUsed(t *testing.T) {
	url, dialect := storetest.URL(t), Own(testKeys(t, 'a'))
	var asked atomic.Int32
	var good atomic.Value
	good.Store("refresh-0")
	provider := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if r.FormValue("refresh_token") != good.Load() {
			t.Errorf("the provider was sent %s", r.FormValue("refresh_token"))
			w.WriteHeader(http.StatusBadRequest)
			fmt.Fprint(w, `{"error":"invalid_grant"}`)
			return
		}
		n := asked.Add(1)
		good.Store(fmt.Sprint("refresh-", n))
		fmt.Fprintf(w, `{"access_token":"access-%d","refresh_token":"refresh-%d","token_type":"bearer","expires_in":3600}`, n, n)
	}))
	defer provider.Close()
	client, err := providers.New(providers.Config{ID: "x", Type: "oauth2", ClientID: "c", ClientSecret: "s",
		Params: map[string]string{"authorization_url": "https://a.example", "token_url": provider.URL, "userinfo_url": provider.URL}}, providers.HTTPOptions{Dev: true})
	if err != nil {
		t.Fatal(err)
	}
	h := &held{reached: make(chan struct{}), release: make(chan struct{})}
	slow := &Upstream{Store: storetest.OpenWith(t, store.Options{URL: url, Tracer: h, Timeout: 20 * time.Second}), Dialect: dialect}
	fast := &Upstream{Store: storetest.OpenWith(t, store.Options{URL: url}), Dialect: dialect}
	row := sealTokens(dialect, store.Account{CompoundID: "x", Type: "oauth", Provider: "x", ProviderAccountID: "1"},
		providers.Tokens{AccessToken: "access-0", RefreshToken: "refresh-0", Expires: time.Now().Add(-time.Minute)})
	in, _, err := fast.Store.SignInByAccount(t.Context(), store.OAuthSignIn{Account: row, Session: store.NewSession{SessionToken: "s", AccessToken: "a", Lifetimes: store.Lifetimes{Idle: time.Hour, Absolute: time.Hour}}})
	if err != nil {
		t.Fatal(err)
	}
	late := make(chan UpstreamToken)
	go func() {
		got, err := slow.Token(t.Context(), in.User.ID, client, "")
		if err != nil {
			t.Error(err)
		}
		late <- got
	}()
	<-h.reached
	first, err := fast.Token(t.Context(), in.User.ID, client, "")
	close(h.release)
	if got := <-late; err != nil || first.Token != "access-1" || got.Token != "access-1" || asked.Load() != 1 {
		t.Errorf("%+v, then %+v, %v; asked %d times", first, got, err, asked.Load())
	}
	if err := drained(slow, fast); err != nil {
		t.Error(err)
	}
	if n := len(storetest.SQL(t, url, "SELECT FROM verification_tokens")); n != 0 {
		t.Errorf("%d leases are left", n)
	}
}

func drained(all ...*Upstream) error {
	for _, u := range all {
		if err := u.Drain(context.Background()); err != nil {
			return err
		}
	}
	return nil
}
