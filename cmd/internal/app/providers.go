package app

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/gatepost/gatepost/providers"
)

// ListProviders prints a line for every provider that people can sign in with.
func ListProviders(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "ID\tNAME\tPROTOCOL\tSTATUS\tPARAMETERS")
	for _, p := range liveProviders() {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", p.ID, p.Name, p.Protocol, p.Status, strings.Join(p.Needs(), " "))
	}
	return w.Flush()
}

// ProvidersTable prints the same as the last section of docs/providers.md.
func ProvidersTable(out io.Writer) error {
	fmt.Fprint(out, "## Catalogue\n\nMade by `make docs` from providers/catalog; parameters in brackets are optional, and the address counts as proven by the provider's own word (claim), always (delivered), only by yours (operator), or not (never, none).\n\n"+
		"| id | name | protocol | parameters | address | status |\n|---|---|---|---|---|---|\n")
	for _, p := range liveProviders() {
		fmt.Fprintf(out, "| [`%s`](%s) | %s | %s | %s | %s | %s |\n", p.ID, p.Docs, p.Name, p.ProtocolName(), strings.Join(p.Needs(), ", "), addressWord(p), p.Status)
	}
	fmt.Fprint(out, "\nGone:\n\n")
	for _, p := range providers.Catalog() {
		if p.Status == "dead" {
			fmt.Fprintf(out, "- `%s`: %s.\n", p.ID, p.StatusNote)
		}
	}
	return nil
}

func addressWord(p providers.Provider) string {
	switch p.EmailVerified.Trust {
	case "all_claims", "not_null":
		return "claim"
	}
	return p.EmailVerified.Trust
}

func liveProviders() []providers.Provider {
	live := slices.DeleteFunc(providers.Catalog(), func(p providers.Provider) bool { return p.Status == "dead" })
	slices.SortFunc(live, func(a, b providers.Provider) int { return cmp.Compare(a.ID, b.ID) })
	return live
}

// ShowProvider prints what it takes to sign people in with one provider. c is
// the configuration, if there is one.
func ShowProvider(out io.Writer, id string, c *Config) error {
	p, ok := providers.Lookup(id)
	if !ok {
		ids := []string{}
		for _, p := range liveProviders() {
			ids = append(ids, p.ID)
		}
		if near := nearest(id, ids); near != "" {
			return fmt.Errorf("there is no provider %q; did you mean %q?", id, near)
		}
		if part := slices.DeleteFunc(ids, func(known string) bool { return len(id) < 3 || !strings.Contains(known, id) }); len(part) > 0 {
			return fmt.Errorf("there is no provider %q; did you mean %s?", id, choice(part))
		}
		return fmt.Errorf("there is no provider %q; «gatepost providers» lists them. For any other use type: oidc or type: oauth2", id)
	}
	if p.Status == "dead" {
		return fmt.Errorf("%s is gone: %s", p.Name, p.StatusNote)
	}
	fmt.Fprintf(out, "%s (%s), %s, %s\n", p.Name, p.ID, p.ProtocolName(), p.Status)
	if p.StatusNote != "" {
		fmt.Fprintf(out, "%s.\n", p.StatusNote)
	}
	fmt.Fprintf(out, "\n%s\n", p.Snippet())
	for _, uri := range redirectURIs(p, c) {
		fmt.Fprintf(out, "Redirect URI   %s\n", uri)
	}
	if at := p.RegisterAt(); at != "" {
		fmt.Fprintf(out, "Register at    %s\n", at)
	}
	fmt.Fprintf(out, "Documentation  %s (facts of %s)\n\n%s\n", p.Docs, p.Read, p.TrustInWords())
	for _, note := range append(slices.Clone(p.Notes), p.Quirks()...) {
		fmt.Fprintf(out, "- %s\n", note)
	}
	if p.V3 != nil && p.V3.Compat != "same" {
		fmt.Fprintf(out, "- Accounts of NextAuth v3: %s\n", p.V3.Note)
	}
	return nil
}

// redirectURIs are what to register for p: one for each of its clients in c, or
// the one that the snippet would have.
func redirectURIs(p providers.Provider, c *Config) []string {
	if c == nil {
		return []string{"<public_url>" + Default().BasePath + "/callback/" + p.ID}
	}
	var uris []string
	for _, configured := range c.Providers {
		kind := cmp.Or(configured.Type, configured.ID)
		if kind == p.ID || slices.Contains(p.Aliases, kind) {
			uris = append(uris, c.PublicURL+c.BasePath+"/callback/"+configured.ID)
		}
	}
	if len(uris) == 0 {
		uris = append(uris, c.PublicURL+c.BasePath+"/callback/"+p.ID)
	}
	return uris
}
