package gate

import (
	"net/url"
	"path"
	"slices"
	"strings"
	"unicode/utf8"
)

// A reading is one way to understand a request's path and query.
type reading struct {
	path   string
	folded bool // by an application that ignores case: path is lower case, and rules are read so too
	query  url.Values
	// suspicious: public rules do not apply, since what an application makes
	// of such a path is not known (security F-6).
	suspicious bool
}

// readings are all ways in which an application may understand r: as sent,
// decoded once and twice, each with and without parameters of segments, dot
// segments and doubled slashes, each with and without its case; and of a
// parameter that the query repeats, the first and the last.
func (r Request) readings() []reading {
	paths := []string{r.Path}
	suspicious := false
	if !r.plain {
		paths, suspicious = pathReadings(r.Path), isSuspicious(r.Path)
	}
	queries := queryReadings(r.Query)
	var all []reading
	for _, q := range queries {
		for _, p := range paths {
			all = append(all, reading{p, false, q, suspicious})
			all = append(all, reading{strings.ToLower(p), true, q, suspicious})
		}
	}
	return all
}

func pathReadings(raw string) []string {
	bases := []string{raw}
	if once, err := url.PathUnescape(raw); err == nil {
		bases = append(bases, once)
		if twice, err := url.PathUnescape(once); err == nil {
			bases = append(bases, twice)
		}
	}
	var all []string
	add := func(p string) {
		if !strings.HasPrefix(p, "/") {
			p = "/" + p
		}
		if !slices.Contains(all, p) {
			all = append(all, p)
		}
	}
	for _, base := range bases {
		for _, p := range []string{base, withoutParameters(base)} {
			add(p)
			add(resolveDots(p))
			add(path.Clean(p)) // dots resolved after slashes are merged
			if strings.HasSuffix(p, "/") && path.Clean(p) != "/" {
				add(path.Clean(p) + "/")
			}
			// A decoded ? or # ends the path for whoever parses it again.
			if i := strings.IndexAny(p, "?#"); i >= 0 {
				add(p[:i])
				add(path.Clean(p[:i]))
			}
		}
	}
	return all
}

// withoutParameters drops ;… from every segment, as servlet containers do.
func withoutParameters(p string) string {
	if !strings.Contains(p, ";") {
		return p
	}
	segments := strings.Split(p, "/")
	for i, s := range segments {
		segments[i], _, _ = strings.Cut(s, ";")
	}
	return strings.Join(segments, "/")
}

// resolveDots is RFC 3986 §5.2.4, which keeps doubled slashes.
func resolveDots(p string) string {
	var out []string
	segments := strings.Split(p, "/")
	for i, s := range segments {
		last := i == len(segments)-1
		switch s {
		case ".":
			if last {
				out = append(out, "")
			}
		case "..":
			if len(out) > 1 {
				out = out[:len(out)-1]
			}
			if last {
				out = append(out, "")
			}
		default:
			out = append(out, s)
		}
	}
	return strings.Join(out, "/")
}

// isSuspicious is F-6's list for public rules.
func isSuspicious(raw string) bool {
	lower := strings.ToLower(raw)
	for _, s := range []string{"%2f", "%23", "%3f", "%25", "%3b", ";", "//"} {
		if strings.Contains(lower, s) {
			return true
		}
	}
	once, err := url.PathUnescape(raw)
	if err != nil || !utf8.ValidString(once) {
		return true
	}
	for s := range strings.SplitSeq(once, "/") {
		if s == "." || s == ".." {
			return true
		}
	}
	return false
}

// queryReadings gives one set of single values, or two where a key is repeated.
func queryReadings(raw string) []url.Values {
	if raw == "" {
		return []url.Values{nil}
	}
	first, last := url.Values{}, url.Values{}
	repeated := false
	for pair := range strings.SplitSeq(raw, "&") {
		key, value, _ := strings.Cut(pair, "=")
		k, errK := url.QueryUnescape(key)
		v, errV := url.QueryUnescape(value)
		if errK != nil || errV != nil {
			k, v = key, value
		}
		if _, again := first[k]; again {
			repeated = true
		} else {
			first.Set(k, v)
		}
		last.Set(k, v)
	}
	if repeated {
		return []url.Values{first, last}
	}
	return []url.Values{first}
}
