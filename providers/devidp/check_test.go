package devidp_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/gatepost/gatepost/providers"
	"github.com/gatepost/gatepost/providers/devidp"
)

// Every provider passes its own check, and asks for metadata where it has some.
func TestCheckOfEveryProvider(t *testing.T) {
	f := start(t)
	for _, config := range live() {
		client := f.client(t, config)
		doc := client.Document()
		want := []string{"endpoints"}
		if doc.Protocol == "oidc" || doc.ClaimsFrom == "access_token" {
			want = append(want, "signing keys")
		}
		if doc.Protocol == "oidc" && doc.Discovery != "" {
			want = append(want, "metadata")
		}
		var got []string
		for _, r := range client.Check(t.Context()) {
			got = append(got, r.Name)
			if r.Err != nil {
				t.Errorf("%s %s: %v", config.ID, r.Name, r.Err)
			}
			for _, note := range r.Notes {
				// The development provider says of all that they take Basic.
				if !strings.HasPrefix(note, "token_endpoint_auth_methods_supported") {
					t.Errorf("%s %s: %s", config.ID, r.Name, note)
				}
			}
		}
		if strings.Join(got, " ") != strings.Join(want, " ") {
			t.Errorf("%s: %q, want %q", config.ID, got, want)
		}
	}
}

// What a provider says of itself is compared with what is used.
func TestCheckComparesMetadata(t *testing.T) {
	var idp *devidp.Server
	change := func(string) string { return "" }
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		kept := httptest.NewRecorder()
		idp.ServeHTTP(kept, r)
		body := kept.Body.String()
		if strings.HasSuffix(r.URL.Path, "/openid-configuration") {
			body = change(body)
		}
		w.WriteHeader(kept.Code)
		w.Write([]byte(body))
	}))
	defer web.Close()
	idp, err := devidp.New(web.URL)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ id, old, new, note, err string }{
		{"google", `"authorization_endpoint":`, `"authorization_endpoint":`, "", ""},
		{"google", `"token_endpoint":"` + web.URL + `/google/token"`, `"token_endpoint":"` + web.URL + `/v2/token"`, "", ""},
		{"oidc", `"response_types_supported"`, `"scopes_supported":["openid","email"],"response_types_supported"`, "scopes_supported does not list profile", ""},
		{"oidc", `"response_types_supported":["code"]`, `"response_types_supported":["id_token"]`, "response_types_supported does not list code", ""},
		{"oidc", `"code_challenge_methods_supported":["S256"]`, `"code_challenge_methods_supported":["plain"]`, "code_challenge_methods_supported does not list S256", ""},
		{"oidc", `"response_types_supported"`, `"id_token_signing_alg_values_supported":["RS384"],"response_types_supported"`, "id_token_signing_alg_values_supported lists none of", ""},
		{"oidc", `"client_secret_basic"`, `"tls_client_auth"`, "lists none that a client_secret goes with", ""},
		{"apple", `"response_types_supported"`, `"response_modes_supported":["query"],"response_types_supported"`, "response_modes_supported does not list form_post", ""},
		{"apple", `"token_endpoint":"` + web.URL + `/apple/token"`, `"token_endpoint":"` + web.URL + `/v2/token"`, "token_endpoint is " + web.URL + "/v2/token there; used is " + web.URL + "/apple/token", ""},
		{"apple", `"issuer":"` + web.URL, `"issuer":"https://other.example`, "", "they must be the same to the letter"},
	} {
		change = func(body string) string {
			if !strings.Contains(body, tt.old) {
				t.Errorf("%s is not in %s", tt.old, body)
			}
			return strings.Replace(body, tt.old, tt.new, 1)
		}
		c := idp.ProviderConfig(tt.id, redirectURI)
		client, err := providers.New(c, providers.HTTPOptions{Dev: true})
		if err != nil {
			t.Fatal(err)
		}
		notes, failed := "", ""
		for _, r := range client.Check(t.Context()) {
			notes += strings.Join(r.Notes, "; ")
			if r.Err != nil {
				failed += r.Err.Error()
			}
		}
		if tt.note != "" && !strings.Contains(notes, tt.note) || !strings.Contains(failed, tt.err) || (failed != "") != (tt.err != "") {
			t.Errorf("%s %s: notes %q, failed %q", tt.id, tt.new, notes, failed)
		}
	}
}
