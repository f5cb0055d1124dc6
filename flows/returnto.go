package flows

import (
	"fmt"
	"net/url"
	"strings"
	"unicode"
	"unicode/utf8"
)

// A ReturnTo decides where a browser may be sent after a flow: the public
// origin and the origins that the operator listed, nothing else. It is safe for
// concurrent use.
type ReturnTo struct {
	base    *url.URL
	origins []origin
	bare    bool // an origin is written without a slash behind it
}

// Bare is r that writes an origin alone as NextAuth does, without a slash.
func (r ReturnTo) Bare() ReturnTo {
	r.bare = true
	return r
}

// origin is scheme, port and an exact host, or a suffix that starts with a dot.
type origin struct{ scheme, host, port string }

// NewReturnTo takes the public URL and further allowed origins such as
// "https://app.example.org" or "https://*.example.org", which matches one or
// more labels in front and never example.org itself.
func NewReturnTo(public string, allowed []string) (ReturnTo, error) {
	base, err := url.Parse(public)
	if err != nil || base.Host == "" || base.Scheme != "https" && base.Scheme != "http" {
		return ReturnTo{}, fmt.Errorf("public URL %q: want https://host", public)
	}
	r := ReturnTo{base: &url.URL{Scheme: base.Scheme, Host: base.Host}}
	for _, a := range allowed {
		u, err := url.Parse(a)
		if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "" ||
			u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" {
			return ReturnTo{}, fmt.Errorf("return-to origin %q: want https://host or https://*.example.org", a)
		}
		host := strings.ToLower(u.Hostname())
		if suffix, ok := strings.CutPrefix(host, "*"); ok {
			if !strings.HasPrefix(suffix, ".") || strings.Count(suffix, ".") < 2 {
				return ReturnTo{}, fmt.Errorf("return-to origin %q: a wildcard needs a domain of its own, as in https://*.example.org", a)
			}
			host = suffix
		}
		if strings.Contains(host, "*") {
			return ReturnTo{}, fmt.Errorf("return-to origin %q: a wildcard stands only in front, as in https://*.example.org", a)
		}
		r.origins = append(r.origins, origin{u.Scheme, host, u.Port()})
	}
	return r, nil
}

// Default is where a browser goes that named no place, or a forbidden one.
func (r ReturnTo) Default() string {
	if r.bare {
		return r.base.String()
	}
	return r.base.String() + "/"
}

// Resolve turns what a browser asked for into an absolute URL on an allowed
// origin. It never returns its input: the answer is written anew from parsed
// parts, so that a reading of raw other than ours changes nothing (security
// R-1…; CVE-2022-24858).
func (r ReturnTo) Resolve(raw string) string {
	if r.bare {
		raw = asBrowsersWrite(raw)
	}
	if len(raw) > maxReturnTo || hasHostileByte(raw) {
		return r.Default()
	}
	address, fragment, _ := strings.Cut(raw, "#")
	u, err := url.Parse(address)
	if err != nil || u.Opaque != "" || u.User != nil {
		return r.Default()
	}
	scheme, host := r.base.Scheme, r.base.Host
	switch {
	case u.Scheme == "" && u.Host == "":
		if !strings.HasPrefix(raw, "/") || strings.HasPrefix(raw, "//") {
			return r.Default()
		}
	case u.Host != "" && r.allows(u):
		scheme, host = u.Scheme, strings.ToLower(u.Host)
	default:
		return r.Default()
	}
	out := r.write(scheme, host, u, fragment)
	if len(out) > maxReturnTo { // what it holds was escaped
		return r.Default()
	}
	return out
}

// maxReturnTo is how long an address may be, before and after (security R-7).
const maxReturnTo = 2048

// SameOrigin reports whether target, an answer of Resolve, is on our own origin.
func (r ReturnTo) SameOrigin(target string) bool {
	return target == r.base.String() || strings.HasPrefix(target, r.base.String()+"/")
}

// hasHostileByte reports bytes that browsers drop (tab, CR, LF), read as a
// slash (\), or that have no place in a URL at all.
func hasHostileByte(s string) bool {
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c >= 0x7f || c == '\\' {
			return true
		}
	}
	return false
}

// asBrowsersWrite escapes the spaces and letters beyond ASCII of an address, as a
// browser does that goes there: pages of a NextAuth site give such addresses. In
// a host they are escaped too, which is no host of ours then.
func asBrowsersWrite(raw string) string {
	if !utf8.ValidString(raw) || strings.ContainsFunc(raw, notVisible) || strings.TrimSpace(raw) != raw {
		return raw // and refused
	}
	var b strings.Builder
	for i := range len(raw) {
		if c := raw[i]; c == ' ' || c >= utf8.RuneSelf {
			fmt.Fprintf(&b, "%%%02X", c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

func notVisible(r rune) bool { return r >= utf8.RuneSelf && !unicode.IsPrint(r) }

func (r ReturnTo) allows(u *url.URL) bool {
	host := strings.ToLower(u.Hostname())
	if host == "" || host[0] == '.' || strings.HasSuffix(host, ".") || strings.HasSuffix(u.Host, ":") {
		return false
	}
	if u.Scheme == r.base.Scheme && strings.EqualFold(u.Host, r.base.Host) {
		return true
	}
	for _, o := range r.origins {
		if u.Scheme != o.scheme || u.Port() != o.port {
			continue
		}
		if host == o.host || o.host[0] == '.' && strings.HasSuffix(host, o.host) && len(host) > len(o.host) {
			return true
		}
	}
	return false
}

// write serialises scheme, host and the path and query of u, and the fragment. A
// path that another parser could read as leaving the origin or the folder
// becomes /.
func (r ReturnTo) write(scheme, host string, u *url.URL, fragment string) string {
	out := url.URL{Scheme: scheme, Host: host, Path: "/"}
	if r.bare && u.Path == "" && u.RawQuery == "" && fragment == "" {
		out.Path = ""
	}
	if u.Path != "" && safePath(u.EscapedPath()) {
		out.Path, out.RawPath = u.Path, u.EscapedPath()
	}
	if u.Path != "" && out.RawPath == "" {
		return out.String()
	}
	out.RawQuery = safeQuery(u.RawQuery)
	if fragment == "" {
		return out.String()
	}
	return out.String() + "#" + safeFragment(fragment)
}

// safePath reports whether the path stays what it is in the hands of whoever
// reads it next, however often they decode it: no step may show a second slash
// in front, a backslash, a control byte, or a segment that leads elsewhere
// (security R-2). A slash or percent sign that is escaped further on is an
// application's own and stays escaped.
func safePath(escaped string) bool {
	for level := escaped; ; {
		if !strings.HasPrefix(level, "/") || strings.HasPrefix(level, "//") || strings.ContainsFunc(level, hostileInPath) {
			return false
		}
		for segment := range strings.SplitSeq(level, "/") {
			if segment == "." || segment == ".." {
				return false
			}
		}
		next := decodeOnce(level)
		if next == level {
			return true
		}
		// A slash that was escaped in the first segment would make it another.
		if first, _, _ := strings.Cut(level[1:], "/"); strings.Contains(decodeOnce(first), "/") {
			return false
		}
		level = next
	}
}

func hostileInPath(r rune) bool { return r < ' ' || r == 0x7f || r == '\\' }

// decodeOnce decodes what is escaped and leaves what only looks so.
func decodeOnce(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) {
			if c, err := url.PathUnescape(s[i : i+3]); err == nil {
				b.WriteString(c)
				i += 2
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// safeQuery keeps the query's bytes (they are printable ASCII by now) but for
// those that would end it.
func safeQuery(raw string) string { return strings.ReplaceAll(raw, "#", "%23") }

// safeFragment keeps the fragment's bytes, which the page's script reads as they
// are, but for percent signs that escape nothing: url.Parse refuses those.
func safeFragment(raw string) string {
	var b strings.Builder
	for i := range len(raw) {
		b.WriteByte(raw[i])
		if raw[i] != '%' {
			continue
		}
		if _, err := url.PathUnescape(raw[i:min(i+3, len(raw))]); err != nil {
			b.WriteString("25")
		}
	}
	return b.String()
}
