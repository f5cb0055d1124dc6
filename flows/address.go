package flows

import (
	"errors"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/idna"
	"golang.org/x/text/unicode/norm"
)

var errAddress = errors.New("not exactly one mailbox of the form name@example.org")

const asciiSpace = " \t\r\n\f\v"

var domains = idna.New(
	idna.MapForLookup(), idna.BidiRule(), idna.CheckJoiners(true), idna.StrictDomainName(true),
	idna.VerifyDNSLength(true), idna.Transitional(false),
)

// ParseAddress gives the one canonical form of a mailbox: NFC, ASCII space
// around it removed, lower case, domain as A-labels. That value, and no other,
// is looked up, stored, put into the envelope and into the header (security
// M-1, M-2): the address checked is the address mailed.
//
// It accepts a local part of at most 64 bytes, one @, and at least two labels.
// Quoted local parts, display names, comments, lists, groups, source routes and
// address literals are refused: each has been used to have a mail for one
// identity delivered to another mailbox. Plus signs and dots mean what the
// mailbox's host says they mean, so they are kept; dots may stand anywhere, as
// in mailboxes of docomo.ne.jp and ezweb.ne.jp, and the mail quotes those.
func ParseAddress(raw string) (string, error) {
	s := strings.Trim(norm.NFC.String(raw), asciiSpace)
	if !utf8.ValidString(raw) || strings.ContainsFunc(s, invisible) || len(s) > 254 || strings.Count(s, "@") != 1 {
		return "", errAddress
	}
	local, domain, _ := strings.Cut(s, "@")
	if !isLocalPart(local) {
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

// isLocalPart is RFC 5321 §4.1.2 Dot-string, 1 to 64 bytes of ASCII, with dots
// anywhere. None of it means anything to whoever reads an address, quoted or not.
func isLocalPart(s string) bool {
	if strings.Trim(s, ".") == "" || len(s) > 64 {
		return false
	}
	for i := range len(s) {
		if c := s[i]; !isAlnum(c) && !strings.ContainsRune(".!#$%&'*+-/=?^_`{|}~", rune(c)) {
			return false
		}
	}
	return true
}

// spellings are those under which users.email may have the mailbox of raw: its
// canonical form, the one with its domain in Unicode, which NextAuth stores, and
// raw itself where it is one of these in other capitals, as other programs write
// them. nil: raw is not exactly one mailbox.
//
// Each is that mailbox to NextAuth's mailer too. What IDNA alone maps to it, such
// as full-width letters, that one sends elsewhere: whoever reads mail there has
// not proven this mailbox.
func spellings(raw string) []string {
	canonical, err := ParseAddress(raw)
	if err != nil {
		return nil
	}
	all := []string{canonical}
	local, domain, _ := strings.Cut(canonical, "@")
	if written, err := domains.ToUnicode(domain); err == nil && written != domain {
		if same, err := ParseAddress(local + "@" + written); err == nil && same == canonical {
			all = append(all, local+"@"+written)
		}
	}
	if raw = strings.Trim(raw, asciiSpace); !slices.Contains(all, raw) && slices.Contains(all, strings.ToLower(raw)) {
		all = append(all, raw)
	}
	return all
}

// isSpelling reports that address is one of spellings, to the byte.
func isSpelling(address string) bool { return slices.Contains(spellings(address), address) }

// canonicalOf is ParseAddress of a stored address, "" for what is none of a
// mailbox's spellings. Another program may have taken for one what is not exactly
// one mailbox, such as "e＠evil.test@example.org", which its owner's mail server
// delivers elsewhere than a rule for example.org supposes (CVE-2026-73420).
func canonicalOf(stored string) string {
	if isPlain(stored) {
		return stored
	}
	all, given := spellings(stored), strings.Trim(stored, asciiSpace)
	switch {
	case !slices.Contains(all, given):
		return ""
	case all[0] == given:
		return given // and no copy, which whoever keeps it would keep too
	}
	return all[0]
}

// isPlain reports of an address that it is its canonical form, without a look at
// Unicode's tables, which would cost a check at the gate 4 % of its time. It is
// false of some that are, too.
func isPlain(address string) bool {
	local, domain, _ := strings.Cut(address, "@")
	return len(address) <= 254 && isLocalPart(local) && strings.ToLower(local) == local && isDomain(domain) && !strings.Contains(domain, "--")
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
