package gate

import (
	"slices"
	"strings"
)

// A Narrowing is what a proxy's question says of who may pass besides the
// rules: oauth2-proxy's allowed_groups, allowed_emails and allowed_email_domains.
// It only takes away. A list that is given admits nobody but its members, and so
// nobody when it is empty: a variable that somebody forgot to fill is no licence.
type Narrowing struct {
	Groups, Emails, Domains []string // nil for no such condition
}

// Narrows reports whether n says anything.
func (n Narrowing) Narrows() bool { return n.Groups != nil || n.Emails != nil || n.Domains != nil }

// Admits reports whether every list that is given has id.
func (n Narrowing) Admits(id Identity) bool {
	_, domain, _ := strings.Cut(id.Email, "@")
	return id.signedIn() &&
		(n.Groups == nil || slices.ContainsFunc(n.Groups, func(g string) bool { return slices.Contains(id.Groups, g) })) &&
		(n.Emails == nil || id.Email != "" && slices.ContainsFunc(n.Emails, func(e string) bool { return strings.EqualFold(e, id.Email) })) &&
		(n.Domains == nil || slices.ContainsFunc(n.Domains, func(d string) bool { return atDomain(domain, strings.ToLower(d)) }))
}

// atDomain compares the domain of an address. .example.org and *.example.org
// are oauth2-proxy's for example.org and all below it.
func atDomain(domain, allowed string) bool {
	below := strings.TrimPrefix(allowed, "*")
	exact := strings.TrimPrefix(below, ".")
	return exact != "" && (domain == exact || below != exact && strings.HasSuffix(domain, "."+exact))
}
