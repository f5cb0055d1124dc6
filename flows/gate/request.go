package gate

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/idna"
)

// A Request is what somebody asks of an application, as the proxy in front of
// it tells.
type Request struct {
	Method string     // upper-case letters, or UnknownMethod
	Scheme string     // http or https
	Host   string     // lower case, without port
	Port   string     // "" for the scheme's own
	Path   string     // as sent, with a leading slash
	Query  string     // as sent, without ?
	Client netip.Addr // who asked the proxy; invalid when not known

	// Preflight is a browser's question about a request to come, which carries
	// no cookie (Fetch §4.8).
	Preflight bool

	plain bool // nothing in Host and Path can be read in two ways
}

// UnknownMethod stands for whatever method a request may have, because its proxy
// does not tell. What a client says of it then is not believed; Decide takes the
// strictest verdict of all methods (forward-auth §8.2 rule 7).
const UnknownMethod = "*"

// What no honest client sends.
var (
	errTarget = errors.New("the request target")
	errHost   = errors.New("the host cannot be read")
)

// NewRequest checks and takes apart what a proxy says: target is path and query
// as the client sent them, authority its host with or without port. What could
// be one thing to us and another to the application is an error (forward-auth
// §8.2 rules 1, 6, 7).
func NewRequest(method, scheme, authority, target string, client netip.Addr) (Request, error) {
	r := Request{Method: method, Client: client}
	if method != UnknownMethod && !upperCase(method) {
		return r, errors.New("the method is not in upper-case letters")
	}
	switch scheme {
	case "https", "wss":
		r.Scheme = "https"
	case "http", "ws":
		r.Scheme = "http"
	default:
		return r, errors.New("the scheme is neither http nor https")
	}
	if strings.ContainsFunc(authority, func(c rune) bool { return c >= utf8.RuneSelf }) {
		// Browsers send Punycode. A proxy takes other spellings for no host of
		// its own, and would pass the request to its first one under the rules
		// of the host that we make of them.
		return r, errors.New("the host is not in ASCII")
	}
	var err error
	if r.Host, r.Port, err = canonicalHost(authority); err != nil {
		return r, err
	}
	if r.Port == "443" && r.Scheme == "https" || r.Port == "80" && r.Scheme == "http" {
		r.Port = ""
	}
	r.Path, r.Query, _ = strings.Cut(target, "?")
	r.plain, err = checkTarget(r.Path, r.Query)
	r.plain = r.plain && !strings.HasSuffix(authority, ".") && !strings.Contains(authority, ".:")
	return r, err
}

func upperCase(s string) bool {
	for i := range len(s) {
		if s[i] < 'A' || s[i] > 'Z' {
			return false
		}
	}
	return s != "" && len(s) <= 32
}

// canonicalHost is the one form in which hosts are compared. Peers compared as
// sent, and APP.example.com passed their lists (CVE-2026-77560).
func canonicalHost(authority string) (host, port string, err error) {
	host = authority
	if strings.HasPrefix(host, "[") {
		end := strings.IndexByte(host, ']')
		if end < 0 {
			return "", "", errHost
		}
		address, err := netip.ParseAddr(host[1:end])
		rest := host[end+1:]
		if err != nil || !address.Is6() || address.Zone() != "" || rest != "" && !strings.HasPrefix(rest, ":") || !isPort(strings.TrimPrefix(rest, ":")) {
			return "", "", errHost
		}
		return "[" + address.String() + "]", strings.TrimPrefix(rest, ":"), nil
	}
	if i := strings.IndexByte(host, ':'); i >= 0 {
		host, port = host[:i], host[i+1:]
		if !isPort(port) {
			return "", "", errHost
		}
	}
	host = strings.TrimSuffix(host, ".")
	if host == "" || len(host) > 253 {
		return "", "", errHost
	}
	plain := true
	for i := range len(host) {
		switch c := host[i]; {
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9', c == '-', c == '_':
		case c == '.':
			if i == 0 || host[i-1] == '.' {
				return "", "", errHost
			}
		case 'A' <= c && c <= 'Z', c >= utf8.RuneSelf:
			plain = false
		default: // userinfo, %, white space, controls
			return "", "", errHost
		}
	}
	if !plain {
		if host, err = idna.Lookup.ToASCII(strings.ToLower(host)); err != nil || host == "" {
			return "", "", errHost
		}
	}
	return host, port, nil
}

func isPort(s string) bool {
	if len(s) > 5 {
		return false
	}
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}

// checkTarget refuses what has no place in a path, and reports whether the path
// can be read in one way only.
func checkTarget(path, query string) (plain bool, err error) {
	if !strings.HasPrefix(path, "/") {
		return false, fmt.Errorf("%w does not begin with a slash", errTarget)
	}
	plain = true
	for i := range len(path) {
		switch c := path[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '_', c == '~':
		case c == '/':
			plain = plain && (i == 0 || path[i-1] != '/')
		case c == '.':
			plain = plain && i > 0 && path[i-1] != '/' && path[i-1] != '.'
		case c == '#' || c == '\\' || c <= ' ' || c == 0x7f:
			return false, fmt.Errorf("%w has a byte that no path has", errTarget)
		case strings.IndexByte("!$&'()*+,=:@", c) >= 0:
		default: // % and ; and what is not ASCII
			plain = false
		}
	}
	for i := range len(query) {
		if c := query[i]; c == '#' || c <= ' ' || c == 0x7f {
			return false, fmt.Errorf("%w has a byte that no query has", errTarget)
		}
	}
	if !plain {
		err = checkDecoded(path)
	}
	return plain, err
}

// checkDecoded refuses escapes that are none, and those of bytes that cut a path
// short or turn it around for somebody: NUL, other controls, the backslash.
func checkDecoded(path string) error {
	once, err := url.PathUnescape(path)
	if err != nil {
		return fmt.Errorf("%w has a broken percent escape", errTarget)
	}
	twice, err := url.PathUnescape(once)
	if err != nil {
		twice = ""
	}
	for _, s := range []string{once, twice} {
		if strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f || r == '\\' }) {
			return fmt.Errorf("%w has an escape that no path has", errTarget)
		}
	}
	return nil
}

// Plain reports that host and path can be read in one way only.
func (r Request) Plain() bool { return r.plain }

// Authority is host and port, the latter where it is not the scheme's own.
func (r Request) Authority() string {
	if r.Port == "" {
		return r.Host
	}
	return r.Host + ":" + r.Port
}

// Target is path and query as sent.
func (r Request) Target() string {
	if r.Query == "" {
		return r.Path
	}
	return r.Path + "?" + r.Query
}

// URL is the request's address, written anew from its parts.
func (r Request) URL() string { return r.Scheme + "://" + r.Authority() + r.Target() }
