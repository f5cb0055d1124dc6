package providers

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

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
