package providers

import (
	"errors"
	"net/url"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// Profile is what a provider said of a person just now.
type Profile struct {
	Subject       string // 1–255 bytes; the provider's id for the person
	Name          string // NFC, without control and format characters, at most 255 bytes
	Email         string // as the provider writes it; only to be shown unless EmailVerified
	Image         string // an https URL, or a small picture as a data URL
	EmailVerified bool   // the catalogue's trust rule held
	MayLink       bool   // and nobody but the address's owner could make it hold
}

var errNoSubject = errors.New("the profile has no usable id")

// MapProfile evaluates p's mapping and trust over what the provider sent.
func MapProfile(p Provider, docs Documents) (Profile, error) {
	subject := p.Map.ID.Value(docs)
	if !validSubject(subject) {
		return Profile{}, errNoSubject
	}
	out := Profile{
		Subject: subject,
		Name:    cleanName(p.Map.Name.Value(docs)),
		Email:   p.Map.Email.Value(docs),
		Image:   p.image(docs),
	}
	out.EmailVerified = out.Email != "" && p.EmailVerified.holds(docs)
	out.MayLink = out.EmailVerified && !p.AnyTenantAssertsEmail
	return out, nil
}

// OnlyProven reports that whatever address p's answers have is proven, by p's own
// practice or by the operator's word.
func (p Provider) OnlyProven() bool {
	return p.EmailVerified.Trust == "delivered" && !p.AnyTenantAssertsEmail
}

func (t Trust) holds(docs Documents) bool {
	switch t.Trust {
	case "claim":
		return t.Path != "" && t.says(look(docs, t.Path))
	case "all_claims":
		for _, path := range t.Paths {
			if !t.says(look(docs, path)) {
				return false
			}
		}
		return len(t.Paths) > 0
	case "not_null":
		return t.Path != "" && printed(look(docs, t.Path)) != ""
	case "delivered":
		return true
	}
	return false // operator, never, none, and whatever else is written
}

// says reports that v means yes: JSON true, and what Accepts lists for providers
// that send text or numbers (security O-22).
func (t Trust) says(v any) bool {
	if b, ok := v.(bool); ok {
		return b
	}
	text := printed(v)
	return text != "" && slices.Contains(t.Accepts, text)
}

// validSubject is O-19 and O-34: never a blank, a zero, a control character, or
// something that the column would cut.
func validSubject(s string) bool {
	if s == "" || len(s) > 255 || s == "0" || strings.TrimSpace(s) != s || !utf8.ValidString(s) {
		return false
	}
	return !strings.ContainsFunc(s, unicode.IsControl)
}

// cleanName removes what could turn a line around or forge one in a log
// (security P-6).
func cleanName(s string) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case r == '\t' || r == '\n' || r == '\r':
			return ' '
		case r == utf8.RuneError || unicode.In(r, unicode.Cc, unicode.Cf, unicode.Co, unicode.Cs) && r != '\u200d' && r != '\u200c':
			return -1
		}
		return r
	}, norm.NFC.String(strings.ToValidUTF8(s, "")))
	s = strings.TrimSpace(s)
	for utf8.RuneCountInString(s) > 255 || len(s) > 1000 {
		_, size := utf8.DecodeLastRuneInString(s)
		s = s[:len(s)-size]
	}
	return strings.TrimSpace(s)
}

// image is the person's picture: an https URL, or a data URL where this document
// has us fetch the picture and make one of it.
func (p Provider) image(docs Documents) string {
	s := p.Map.Image.Value(docs)
	if p.Hook == "photo_to_data_uri" && s != "" && s == photo(docs) {
		return s
	}
	if base, err := url.Parse(p.ImageBase); err == nil && p.ImageBase != "" && s != "" {
		u, err := base.Parse(s)
		if err != nil {
			return ""
		}
		s = u.String()
	}
	return cleanImage(s)
}

// cleanImage keeps https URLs without credentials, up to 2 KiB (security P-5).
func cleanImage(s string) string {
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || len(s) > 2048 || strings.ContainsFunc(s, unicode.IsControl) {
		return ""
	}
	return s
}

// printable keeps log lines on one line.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.In(r, unicode.Cf) {
			return '·'
		}
		return r
	}, s)
}
