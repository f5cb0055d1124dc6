package app

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"

	"github.com/gatepost/gatepost/providers"
)

const providersPage = "../../../docs/providers.md"

// The page shows the catalogue as it is.
func TestProvidersPageIsUpToDate(t *testing.T) {
	page, err := os.ReadFile(providersPage)
	if err != nil {
		t.Fatal(err)
	}
	var table bytes.Buffer
	if err := ProvidersTable(&table); err != nil {
		t.Fatal(err)
	}
	i := bytes.Index(page, []byte("## Catalogue\n"))
	if i < 0 || !bytes.Equal(page[i:], table.Bytes()) {
		t.Error("docs/providers.md is not what the documents say; run make docs")
	}
}

func TestListProviders(t *testing.T) {
	var out bytes.Buffer
	if err := ListProviders(&out); err != nil {
		t.Fatal(err)
	}
	for _, p := range providers.Catalog() {
		if listed := strings.Contains(out.String(), "\n"+p.ID+" "); listed != (p.Status != "dead") {
			t.Errorf("%s is listed: %v", p.ID, listed)
		}
	}
}

// What is shown can be pasted: it is taken as a configuration, short, and says
// where to register which redirect URI.
func TestShowProvider(t *testing.T) {
	c := Default()
	c.PublicURL = "https://auth.example.org"
	c.Providers = []ProviderConfig{{ID: "work", Type: "okta"}, {ID: "staff", Type: "okta"}}
	for _, p := range liveProviders() {
		var out bytes.Buffer
		if err := ShowProvider(&out, p.ID, &c); err != nil {
			t.Fatal(err)
		}
		want := "https://auth.example.org/auth/callback/" + p.ID
		if p.ID == "okta" {
			want = "https://auth.example.org/auth/callback/staff"
		}
		if !strings.Contains(out.String(), want+"\n") || !strings.Contains(out.String(), p.RegisterAt()) || strings.Contains(out.String(), "%!") {
			t.Errorf("%s:\n%s", p.ID, out.String())
		}
		var pasted struct {
			Providers []ProviderConfig `yaml:"providers"`
		}
		if err := yaml.Unmarshal([]byte(p.Snippet()), &pasted); err != nil || len(pasted.Providers) != 1 || pasted.Providers[0].ID != p.ID || strings.Count(p.Snippet(), "\n") > 10 {
			t.Errorf("%s: %v\n%s", p.ID, err, p.Snippet())
		}
		for _, param := range p.Params {
			if _, shown := pasted.Providers[0].Params[param.Name]; shown != param.Required {
				t.Errorf("%s: %s is shown %v", p.ID, param.Name, shown)
			}
		}
	}
	var out bytes.Buffer
	if err := ShowProvider(&out, "medium", nil); err == nil || !strings.Contains(err.Error(), "is gone") {
		t.Errorf("dead: %v", err)
	}
	if err := ShowProvider(&out, "gogle", nil); err == nil || !strings.Contains(err.Error(), `"google"`) {
		t.Errorf("misspelt: %v", err)
	}
	if err := ShowProvider(&out, "entra", nil); err == nil || !strings.Contains(err.Error(), "microsoft-entra-id") {
		t.Errorf("a part of it: %v", err)
	}
	if err := ShowProvider(&out, "azure-ad", nil); err != nil || !strings.Contains(out.String(), "<public_url>/auth/callback/") {
		t.Errorf("alias: %v", err)
	}
}

// Every entry has a picture of its own, small and without anything active.
func TestLogos(t *testing.T) {
	for _, p := range liveProviders() {
		raw, err := os.ReadFile(filepath.Join("../../../web/static/logos", p.ID+".svg"))
		if err != nil {
			t.Errorf("%s: no logo", p.ID)
			continue
		}
		s := string(raw)
		if len(s) > 3000 {
			t.Errorf("%s: %d bytes", p.ID, len(s))
		}
		if !strings.HasPrefix(s, "<svg ") || !strings.Contains(s, "viewBox") {
			t.Errorf("%s is no drawing", p.ID)
		}
		for _, active := range []string{"<script", "<style", "href", "url(", "<image", "foreignObject", " on", "<!"} {
			if strings.Contains(s, active) {
				t.Errorf("%s has %s", p.ID, active)
			}
		}
	}
}
