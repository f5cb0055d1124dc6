package providers

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"sort"
	"strings"
	"sync"
	"unicode/utf8"
)

// masker hides secrets in what an operator is shown: those that it knows, in any
// spelling and wherever they turn up, and whatever stands where secrets do. It
// learns the secrets of a sign-in as they come. It is safe for concurrent use.
type masker struct {
	reads  []string // fields of the token answer that the document reads
	within string   // field of the token answer that is the profile
	mu     sync.Mutex
	known  map[string]bool
}

func newMasker(p Provider, secrets ...string) *masker {
	m := &masker{known: map[string]bool{}, reads: harmless}
	for _, path := range p.paths() {
		if field, ok := strings.CutPrefix(path, "$token."); ok {
			m.reads = append(slices.Clone(m.reads), field[strings.LastIndexAny(field, ".]")+1:])
		}
	}
	m.within, _ = strings.CutPrefix(p.ProfileFrom, "$token.")
	m.learn(secrets...)
	return m
}

var tokenPath = regexp.MustCompile(`\$token\.[A-Za-z0-9_.]+`)

// paths are where p looks in the token answer.
func (p Provider) paths() []string {
	texts := slices.Concat(p.Map.ID.Texts(), p.Map.Name.Texts(), p.Map.Email.Texts(), p.Map.Image.Texts(), p.EmailVerified.Paths,
		[]string{p.Userinfo, p.EmailVerified.Path, p.TenantPath})
	for _, c := range append(slices.Clone(p.Require), deref(p.Active), deref(p.Success)) {
		texts = append(texts, c.Path)
	}
	return tokenPath.FindAllString(strings.Join(texts, " "), -1)
}

func deref(c *Condition) Condition {
	if c == nil {
		return Condition{}
	}
	return *c
}

// Secrets shorter than these are hidden as whole words only, and with all of
// their characters: anywhere, they would hide half of what is shown.
const (
	shortSecret = 8
	hintSecret  = 16
)

// hide is what is shown in the place of a secret: how long it is, and of one that
// nobody could guess from them the first four characters.
func hide(secret string) string {
	n := utf8.RuneCountInString(secret)
	if n >= hintSecret && visibleASCII(secret[:4]) {
		return fmt.Sprintf("%s…(%d)", secret[:4], n)
	}
	return fmt.Sprintf("…(%d)", n)
}

// learn has secrets hidden from now on, each line of a key for itself.
func (m *masker) learn(secrets ...string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, s := range secrets {
		for line := range strings.SplitSeq(strings.ReplaceAll(s, `\n`, "\n"), "\n") {
			if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "-----") {
				m.known[line] = true
			}
		}
		if s != "" && !strings.Contains(s, "-----BEGIN") {
			m.known[s] = true
		}
	}
}

// text is s without the secrets that are known.
func (m *masker) text(s string) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	for range 3 {
		found := m.find(s)
		if len(found) == 0 {
			return s
		}
		var b strings.Builder
		from := 0
		for _, f := range found {
			b.WriteString(s[from:f[0]])
			b.WriteString(hide(s[f[0]:f[1]]))
			from = f[1]
		}
		s = b.String() + s[from:]
	}
	return "…" // what was put in its place made up another secret
}

// find is where s has secrets, in order; of those that overlap, all from the
// first to the last.
func (m *masker) find(s string) (found [][2]int) {
	for secret := range m.known {
		for _, spelt := range spellings(secret) {
			for at := 0; ; {
				i := strings.Index(s[at:], spelt)
				if i < 0 {
					break
				}
				start, end := at+i, at+i+len(spelt)
				if len(secret) >= shortSecret || !wordAt(s, start-1) && !wordAt(s, end) {
					found = append(found, [2]int{start, end})
				}
				at = start + 1
			}
		}
	}
	sort.Slice(found, func(i, j int) bool { return found[i][0] < found[j][0] })
	merged := found[:0]
	for _, f := range found {
		if last := len(merged) - 1; last >= 0 && f[0] < merged[last][1] {
			merged[last][1] = max(merged[last][1], f[1])
			continue
		}
		merged = append(merged, f)
	}
	return merged
}

func wordAt(s string, i int) bool {
	if i < 0 || i >= len(s) {
		return false
	}
	c := s[i]
	return c == '_' || c == '-' || c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || c >= utf8.RuneSelf
}

// spellings are how a secret may be written in a URL, a form, JSON and a header.
func spellings(secret string) []string {
	raw, _ := json.Marshal(secret)
	quoted := strings.Trim(string(raw), `"`)
	all := []string{secret, url.QueryEscape(secret), url.PathEscape(secret), escape3986(secret), quoted, printable(secret)}
	slices.Sort(all)
	return slices.DeleteFunc(slices.Compact(all), func(s string) bool { return s == "" })
}

// place is where a value stands.
type place int

const (
	inRequest place = iota
	inAnswer        // of an API
	inToken         // answer of the token endpoint, where whatever is not known to be harmless is a secret
	inPublic        // metadata and keys
)

// harmless are the fields of a token answer that are none of its secrets
// (RFC 6749 §5.1, §5.2, and what providers have for the same).
var harmless = []string{"token_type", "scope", "expires_in", "refresh_token_expires_in", "created_at", "error", "error_description", "error_uri", "error_code",
	"error_codes", "error_reason", "error_subcode", "suberror", "errcode", "errmsg", "message", "msg", "status", "reason", "trace_id", "correlation_id", "timestamp",
	"request_id", "log_id", "oauth_callback_confirmed", "ok"}

var (
	secretWords = regexp.MustCompile(`(?i)secret|passw|assertion|token|verifier|signature|jwt|cookie|credential|authorization|api[-_]?key|proof|hmac|(^|[._-])(sig|code|otp|ticket|auth)$|response_nonce`)
	secretNever = regexp.MustCompile(`(?i)(_type|_type_hint|_endpoint|_uri|_url|_supported|_method|_methods|_alg|_expires_in|_expires|_expired|_expiry|_lifetime|_status|status_code|challenge)$`)
)

// secretName reports that a field of that name holds a secret.
func secretName(at place, name string) bool {
	switch {
	case at == inPublic || secretNever.MatchString(name):
		return false
	case at == inAnswer && strings.EqualFold(name, "code"): // there it is an error's, and a grant's is known
		return false
	}
	return secretWords.MatchString(name)
}

// mask is the value of the field name as it may be shown. This is the one
// function through which whatever a Watch is told has come.
func (m *masker) mask(at place, name, value string) string {
	switch {
	case value == "":
		return ""
	case secretName(at, name):
		m.learn(value)
		return hide(value)
	case at == inToken && !slices.Contains(m.reads, name):
		if len(value) >= hintSecret && !strings.ContainsAny(value, " :/@") {
			m.learn(value)
		}
		return hide(value)
	}
	return m.text(compactToken.ReplaceAllStringFunc(value, func(token string) string {
		m.learn(token)
		return hide(token)
	}))
}

// compactToken is a JWS or JWE wherever it stands.
var compactToken = regexp.MustCompile(`eyJ[A-Za-z0-9_-]{10,}(\.[A-Za-z0-9_-]*){2,4}`)

// line is one line for a terminal. Secrets are looked for once more: put
// together, two harmless parts might be one.
func (m *masker) line(label, value string) string {
	const longest = 400
	s := printable(m.text(label + value))
	if n := utf8.RuneCountInString(s); n > longest {
		s = fmt.Sprintf("%s… (%d characters)", string([]rune(s)[:longest]), n)
	}
	return m.text(s)
}

// url is a URL with what is secret of its query.
func (m *masker) url(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return m.text(raw)
	}
	u.User = nil
	query := u.Query()
	m.learnNames(query)
	path, _, _ := strings.Cut(u.String(), "?")
	path, _, _ = strings.Cut(path, "#")
	shown := m.text(path)
	for i, pair := range m.pairs(query) {
		shown += string("?&"[min(i, 1)]) + strings.ReplaceAll(pair, " ", "+")
	}
	return shown
}

// learnNames learns the values of secret names before anything is shown.
func (m *masker) learnNames(form url.Values) {
	for name, values := range form {
		if secretName(inRequest, name) {
			m.learn(values...)
		}
	}
}

// pairs are the fields of a form, by name.
func (m *masker) pairs(form url.Values) []string {
	var names, pairs []string
	for name := range form {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		for _, v := range form[name] {
			pairs = append(pairs, m.text(name)+"="+m.mask(inRequest, name, v))
		}
	}
	return pairs
}

// authorization is the header of that name: who asks stays, what proves it goes.
func (m *masker) authorization(v string) string {
	scheme, rest, has := strings.Cut(v, " ")
	switch {
	case !has:
		m.learn(v)
		return hide(v)
	case scheme == "Basic":
		raw, err := base64.StdEncoding.DecodeString(rest)
		id, secret, ok := strings.Cut(string(raw), ":")
		if err == nil && ok {
			m.learn(rest, secret)
			return "Basic base64(" + m.text(id) + ":" + hide(secret) + ")"
		}
	case scheme == "OAuth" && strings.Contains(rest, `="`): // RFC 5849 §3.5.1
		var fields []string
		for field := range strings.SplitSeq(rest, ", ") {
			name, value, _ := strings.Cut(field, "=")
			value, err := url.PathUnescape(strings.Trim(value, `"`))
			if err != nil {
				value = "…"
			}
			fields = append(fields, name+`="`+m.mask(inRequest, name, value)+`"`)
		}
		return "OAuth " + strings.Join(fields, ", ")
	}
	m.learn(rest)
	return scheme + " " + hide(rest)
}

func (m *masker) requestBody(kind string, body []byte) []string {
	switch {
	case len(body) == 0:
		return nil
	case kind == "application/x-www-form-urlencoded":
		form, err := url.ParseQuery(string(body))
		if err != nil {
			break
		}
		m.learnNames(form)
		var lines []string
		for _, pair := range m.pairs(form) {
			lines = append(lines, m.line("", pair))
		}
		return lines
	}
	return m.document(inRequest, body)
}

// answerBody shows a body as far as it can be read. What cannot be read of an
// answer that may hold tokens is not shown at all.
func (m *masker) answerBody(purpose string, status int, body []byte) []string {
	if len(body) == 0 {
		return nil
	}
	at := map[string]place{forMetadata: inPublic, forKeys: inPublic, forToken: inToken, forRequestToken: inToken}[purpose]
	if at == inRequest {
		at = inAnswer
	}
	if lines := m.document(at, body); lines != nil {
		return lines
	}
	text := strings.TrimSpace(string(body))
	if form, err := url.ParseQuery(text); err == nil && at == inToken && strings.Contains(text, "=") && !strings.ContainsAny(text, "< \n") {
		var lines []string
		for name := range form {
			lines = append(lines, m.line("", m.text(name)+"="+m.mask(at, name, form.Get(name))))
		}
		slices.Sort(lines)
		return lines
	}
	if at == inToken && status < http.StatusBadRequest {
		return []string{fmt.Sprintf("(%d bytes that are neither JSON nor a form; not shown, since they may hold tokens)", len(body))}
	}
	return m.lines(m.mask(inAnswer, "", text))
}

// document shows JSON, or nil for anything else.
func (m *masker) document(at place, body []byte) []string {
	v, err := decodeJSON(body)
	if err != nil {
		return nil
	}
	m.learnJSON(at, "", v)
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if e.Encode(m.json(at, "", v)) != nil {
		return nil
	}
	return m.lines(strings.TrimSuffix(b.String(), "\n"))
}

// learnJSON learns the values of secret names before anything is shown.
func (m *masker) learnJSON(at place, name string, v any) {
	switch v := v.(type) {
	case map[string]any:
		for key, item := range v {
			m.learnJSON(at, key, item)
		}
	case []any:
		for _, item := range v {
			m.learnJSON(at, name, item)
		}
	case string:
		if secretName(at, name) && len(v) >= shortSecret { // a word of an answer is not to be hidden everywhere
			m.learn(v)
		}
	}
}

func (m *masker) json(at place, name string, v any) any {
	switch v := v.(type) {
	case map[string]any:
		if at == inToken && name != "" && name == m.within {
			at = inAnswer
		}
		out := map[string]any{}
		for key, item := range v {
			out[m.text(key)] = m.json(at, key, item)
		}
		return out
	case []any:
		out := []any{}
		for _, item := range v {
			out = append(out, m.json(at, name, item))
		}
		return out
	case string:
		return m.mask(at, name, v)
	}
	return v
}

// lines are the first lines of a text.
func (m *masker) lines(text string) []string {
	const most = 80
	lines := strings.Split(text, "\n")
	var out []string
	for _, line := range lines[:min(len(lines), most)] {
		out = append(out, m.line("", strings.TrimRight(line, "\r")))
	}
	if more := len(lines) - most; more > 0 {
		out = append(out, fmt.Sprintf("(and %d more lines)", more))
	}
	return out
}
