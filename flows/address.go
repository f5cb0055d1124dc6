package flows

import (
	"errors"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/idna"
	"golang.org/x/text/unicode/norm"
)

var errAddress = errors.New("not exactly one mailbox of the form name@example.org")

var domains = idna.New(
	idna.MapForLookup(), idna.BidiRule(), idna.CheckJoiners(true), idna.StrictDomainName(true),
	idna.VerifyDNSLength(true), idna.Transitional(false),
)

// ParseAddress gives the one canonical form of a mailbox: NFC, ASCII space
// around it removed, lower case, domain as A-labels. That value, and no other,
// is looked up, stored, put into the envelope and into the header (security
// M-1, M-2): the address checked is the address mailed.
//
// It accepts a dot-atom of at most 64 bytes, one @, and at least two labels.
// Quoted local parts, display names, comments, lists, groups, source routes and
// address literals are refused: each has been used to have a mail for one
// identity delivered to another mailbox. Plus signs and dots mean what the
// mailbox's host says they mean, so they are kept.
func ParseAddress(raw string) (string, error) {
	s := strings.Trim(norm.NFC.String(raw), " \t\r\n\f\v")
	if !utf8.ValidString(raw) || strings.ContainsFunc(s, invisible) || len(s) > 254 || strings.Count(s, "@") != 1 {
		return "", errAddress
	}
	local, domain, _ := strings.Cut(s, "@")
	if !isDotAtom(local) {
		return "", errAddress
	}
	domain, err := domains.ToASCII(domain)
	if err != nil || !isDomain(domain) {
		return "", errAddress
	}
	address := strings.ToLower(local) + "@" + domain
	if len(address) > 254 {
		return "", errAddress
	}
	return address, nil
}

// invisible reports what IDNA would drop silently: a domain that looks like
// another must not become it.
func invisible(r rune) bool { return unicode.In(r, unicode.Cf, unicode.Cc, unicode.Z) && r > 0x7f }

// isDotAtom is RFC 5321 §4.1.2 Dot-string, 1 to 64 bytes of ASCII.
func isDotAtom(s string) bool {
	if s == "" || len(s) > 64 {
		return false
	}
	for atom := range strings.SplitSeq(s, ".") {
		if atom == "" {
			return false
		}
		for i := range len(atom) {
			c := atom[i]
			if !isAlnum(c) && !strings.ContainsRune("!#$%&'*+-/=?^_`{|}~", rune(c)) {
				return false
			}
		}
	}
	return true
}

// isDomain reports two or more letter-digit-hyphen labels, the last of them not
// a number (which would make it an IP address to some mailers).
func isDomain(s string) bool {
	labels := strings.Split(s, ".")
	if len(labels) < 2 || len(s) > 253 {
		return false
	}
	for _, l := range labels {
		if l == "" || len(l) > 63 || l[0] == '-' || l[len(l)-1] == '-' {
			return false
		}
		for i := range len(l) {
			if c := l[i]; c != '-' && !(isAlnum(c) && (c < 'A' || c > 'Z')) {
				return false
			}
		}
	}
	return strings.Trim(labels[len(labels)-1], "0123456789") != ""
}

func isAlnum(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}
