package gate

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// maxTold bounds what all facts of one person cost in an answer, in bytes: each
// is in up to three headers and in the assertion, and nginx reads no more than
// 4 KiB (forward-auth rule 9, security F-5). The rest of an answer is below 1.1
// KiB.
const maxTold = 2400

// Attributes are what an application is told of a person, by Attribute. Each is
// printable ASCII: what is not, and the percent sign, is percent-encoded as
// UTF-8, so that no name can forge a header. "" stands for nothing.
type Attributes [attributes]string

// An Attribute is one thing that an application is told.
type Attribute int

const (
	AttributeUser Attribute = iota // the address if one is proven, else the number
	AttributeID                    // the number of the user, which never changes
	AttributeEmail
	AttributeName
	AttributeGroups    // separated by commas
	AttributeAssertion // for one application, by Signer
	attributes
)

// Attributes of nobody are all empty; there is no assertion among them.
func (id Identity) Attributes() (a Attributes) {
	if !id.signedIn() {
		return a
	}
	id = id.told()
	a[AttributeID] = strconv.Itoa(int(id.UserID))
	a[AttributeEmail] = printable(id.Email)
	a[AttributeName] = printable(id.Name)
	a[AttributeGroups] = strings.Join(id.Groups, ",")
	if a[AttributeUser] = a[AttributeEmail]; a[AttributeUser] == "" {
		a[AttributeUser] = a[AttributeID]
	}
	return a
}

// Packed is a in one piece of memory: a check reads all of it.
func (a Attributes) Packed() Attributes {
	twice := a[AttributeUser] == a[AttributeEmail]
	if twice {
		a[AttributeUser] = ""
	}
	all := strings.Join(a[:], "")
	for i, s := range a {
		a[i], all = all[:len(s)], all[len(s):]
	}
	if twice {
		a[AttributeUser] = a[AttributeEmail]
	}
	return a
}

// told is id with what there is room for. Groups have it always: who is in none
// could be let in elsewhere. An address that does not fit is left out, since
// half of one is somebody else's, and a name ends where it has to.
func (id Identity) told() Identity {
	id.Name = strings.TrimSpace(id.Name)
	left := maxTold
	for _, group := range id.Groups {
		left -= 4*len(group) + 6 // "…", in the assertion
	}
	if maxCost*(len(id.Email)+len(id.Name)) <= left {
		return id
	}
	if most := fits(id.Email, left); most < len(id.Email) {
		id.Email = ""
	} else {
		left -= cost(id.Email)
	}
	id.Name = id.Name[:fits(id.Name, left)]
	return id
}

// fits is how many bytes of s cost no more than most, by whole runes.
func fits(s string, most int) int {
	i := 0
	for i < len(s) {
		_, size := utf8.DecodeRuneInString(s[i:])
		if most -= cost(s[i : i+size]); most < 0 {
			break
		}
		i += size
	}
	return i
}

// maxCost is the cost of the dearest byte.
const maxCost = 17

// cost is what s takes up in three headers and, as JSON in base64, in the
// assertion.
func cost(s string) (n int) {
	if !utf8.ValidString(s) {
		return maxCost * len(s)
	}
	for i := range len(s) {
		switch c := s[i]; {
		case c >= utf8.RuneSelf:
			n += 11 // %XX each time, and itself
		case c < ' ' || c == '%' || c == 0x7f || strings.IndexByte(`"\<>&`, c) >= 0:
			n += maxCost // %XX, and six bytes of \u00XX
		default:
			n += 5
		}
	}
	return n
}

// printable encodes s byte by byte.
func printable(s string) string {
	const hex = "0123456789ABCDEF"
	encoded := func(r rune) bool { return r < ' ' || r > '~' || r == '%' }
	if !strings.ContainsFunc(s, encoded) {
		return s
	}
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; encoded(rune(c)) {
			b.Write([]byte{'%', hex[c>>4], hex[c&15]})
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}
