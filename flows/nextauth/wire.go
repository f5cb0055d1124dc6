package nextauth

import (
	"crypto/sha256"
	"encoding/hex"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"
)

// Secret is NextAuth's option secret.
type Secret string

// Hash is what stands beside a CSRF token in its cookie, and for a mailed
// link's token in verification_tokens: hex SHA-256 of the token followed by the
// secret.
func (s Secret) Hash(token string) string { return hexSHA256(token + string(s)) }

// State is what NextAuth sends to every provider as state, for as long as the
// browser has that CSRF token.
func State(csrfToken string) string { return hexSHA256(csrfToken) }

// IsState reports that s has the form of State.
func IsState(s string) bool {
	return len(s) == 2*sha256.Size && strings.Trim(s, "0123456789abcdef") == ""
}

func hexSHA256(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}

// ParseURL splits NEXTAUTH_URL as NextAuth does: what begins with http: is http
// and anything else https, one slash at the end is dropped, and what follows the
// host is the base path, /api/auth where there is none.
func ParseURL(raw string) (origin, basePath string) {
	scheme := "https://"
	if strings.HasPrefix(raw, "http:") {
		scheme = "http://"
	}
	if rest, ok := strings.CutPrefix(raw, "https://"); ok {
		raw = rest
	} else {
		raw = strings.TrimPrefix(raw, "http://")
	}
	host, path, found := strings.Cut(strings.TrimSuffix(raw, "/"), "/")
	if !found {
		return scheme + host, DefaultBasePath
	}
	return scheme + host, "/" + path
}

// DefaultBasePath is where NextAuth answers when nobody says otherwise.
const DefaultBasePath = "/api/auth"

// EncodeURIComponent is JavaScript's; cookies' values are written with it.
func EncodeURIComponent(s string) string {
	const digits = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', strings.IndexByte("-_.!~*'()", c) >= 0:
			b.WriteByte(c)
		default:
			b.Write([]byte{'%', digits[c>>4], digits[c&15]})
		}
	}
	return b.String()
}

// DecodeURIComponent reverses EncodeURIComponent; what is not so encoded stays
// as it is, as in NextAuth's cookies.
func DecodeURIComponent(s string) string {
	plain, err := url.PathUnescape(s)
	if err != nil || !utf8.ValidString(plain) {
		return s
	}
	return plain
}

// SessionTime is JavaScript's Date.toJSON: UTC and three decimals, of which Go's
// Format cuts what is behind them, as NextAuth does.
const SessionTime = "2006-01-02T15:04:05.000Z"

// A Session is the answer of GET /session. nil is null.
type Session struct {
	Name, Email, Image *string
	AccessToken        string
	Expires            time.Time
	Further            []byte // members of user as JSON, each with a comma in front
}

// JSON is s as NextAuth writes it.
func (s Session) JSON() []byte {
	b := append([]byte(nil), `{"user":{"name":`...)
	b = appendOrNull(b, s.Name)
	b = append(b, `,"email":`...)
	b = appendOrNull(b, s.Email)
	b = append(b, `,"image":`...)
	b = appendOrNull(b, s.Image)
	b = append(b, s.Further...)
	b = append(b, `},"accessToken":`...)
	b = AppendText(b, s.AccessToken)
	b = append(b, `,"expires":"`...)
	b = s.Expires.UTC().AppendFormat(b, SessionTime)
	return append(b, `"}`...)
}

// Object is an object of texts, in the order of the names, as JSON.stringify
// writes it. It takes names and values in turn.
func Object(members ...string) []byte {
	b := []byte{'{'}
	for i, s := range members {
		if i > 0 {
			b = append(b, ",:"[i%2])
		}
		b = AppendText(b, s)
	}
	return append(b, '}')
}

func appendOrNull(b []byte, s *string) []byte {
	if s == nil {
		return append(b, "null"...)
	}
	return AppendText(b, *s)
}

// AppendText writes a string as JSON.stringify does: only quotes, backslashes
// and control characters are escaped. Go's encoder escapes <, >, &, U+2028 and
// U+2029 too, and ends with a line feed.
func AppendText(b []byte, s string) []byte {
	const digits = "0123456789abcdef"
	b = append(b, '"')
	for i := range len(s) {
		switch c := s[i]; c {
		case '"', '\\':
			b = append(b, '\\', c)
		case '\b':
			b = append(b, `\b`...)
		case '\f':
			b = append(b, `\f`...)
		case '\n':
			b = append(b, `\n`...)
		case '\r':
			b = append(b, `\r`...)
		case '\t':
			b = append(b, `\t`...)
		default:
			if c < ' ' {
				b = append(b, '\\', 'u', '0', '0', digits[c>>4], digits[c&15])
			} else {
				b = append(b, c)
			}
		}
	}
	return append(b, '"')
}
