package gate

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// maxAttribute bounds one attribute, in bytes, so that all of them with the
// assertion stay under the 4 KiB that nginx reads of an answer (forward-auth
// rule 9, security F-5).
const maxAttribute = 1024

// Attributes are what an application is told of a person. Each is printable
// ASCII: what is not, and the percent sign, is percent-encoded as UTF-8, so that
// no name can forge a header. "" stands for nothing.
type Attributes struct {
	User   string // the address if one is proven, else the number
	ID     string // the number of the user, which never changes
	Email  string
	Name   string
	Groups string // separated by commas
}

// Attributes of nobody are all empty.
func (id Identity) Attributes() Attributes {
	if !id.signedIn() {
		return Attributes{}
	}
	a := Attributes{
		ID:     strconv.Itoa(int(id.UserID)),
		Email:  printable(id.Email),
		Name:   printable(strings.TrimSpace(id.Name)),
		Groups: strings.Join(id.Groups, ","),
	}
	if a.User = a.Email; a.User == "" {
		a.User = a.ID
	}
	return a
}

// printable encodes s rune by rune, and stops before it gets too long.
func printable(s string) string {
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	for len(s) > 0 {
		_, size := utf8.DecodeRuneInString(s)
		if b.Len()+3*size > maxAttribute {
			break
		}
		for i := range size {
			if c := s[i]; c >= ' ' && c <= '~' && c != '%' {
				b.WriteByte(c)
			} else {
				b.Write([]byte{'%', hex[c>>4], hex[c&15]})
			}
		}
		s = s[size:]
	}
	return b.String()
}
