package providers

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// A Watch is told what a client does, for an operator who tries a provider.
// Whatever it is told has its secrets masked and is safe for a terminal. All its
// functions are set; one of them is called at a time.
type Watch struct {
	Request  func(WatchedRequest) // before it is sent
	Answer   func(WatchedAnswer)
	Check    func(WatchedCheck)
	Claims   func(of string, lines []string) // of a token whose signature is good
	Callback func([]string)                  // the fields of the answer that the browser brought
	Profile  func([]MappedField)             // also when it is then refused
	// State makes the state of authorization requests; nil for the usual one.
	State func() string
}

// What a request is for.
const (
	forMetadata     = "metadata"
	forKeys         = "signing keys"
	forRequestToken = "request token"
	forToken        = "token"
	forConfirmation = "confirmation"
	forUserinfo     = "userinfo"
)

// WatchedRequest is a request as it is sent: a line for each header and for each
// field of a form.
type WatchedRequest struct {
	For          string // metadata, signing keys, request token, token, confirmation, userinfo, or the name of an extra request
	Method, URL  string
	Header, Body []string
}

// WatchedAnswer is what came back: the headers that say something, the body in
// lines.
type WatchedAnswer struct {
	For          string
	Status       string // "200 OK"; "" when nothing came
	Header, Body []string
	Took         time.Duration
	Date         time.Time // the provider's clock; zero if it did not say
	Err          error     // why nothing came
}

// WatchedCheck is one thing that was looked at. Refusal is nil where it is as it
// must be.
type WatchedCheck struct {
	Of, Name string // "id_token", "aud"
	Seen     string
	Refusal  *Error
}

// MappedField is one field of the profile and where it was found.
type MappedField struct {
	Name string // id, name, email, image, email_verified, may_link
	From string // the expression that gave the value, or all that gave none
	// Value is what the profile has; "" is nothing.
	Value string
}

// watching is a Watch and what it must not see. Its methods take nil.
type watching struct {
	Watch
	*masker
	mu sync.Mutex
}

func (w *watching) check(of, name, seen string, refusal *Error) {
	if w == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.Check(WatchedCheck{of, name, w.line("", seen), w.masked(refusal)})
}

// masked is a refusal as it may be shown: its words name what was expected.
func (w *watching) masked(refusal *Error) *Error {
	if w == nil || refusal == nil {
		return refusal
	}
	return &Error{refusal.Reason, refusal.Provider, w.text(refusal.Detail)}
}

func (w *watching) learn(secrets ...string) {
	if w != nil {
		w.masker.learn(secrets...)
	}
}

func (w *watching) claims(of string, claims map[string]any) {
	if w == nil {
		return
	}
	raw, err := encodeJSON(claims)
	if err != nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.Claims(of, w.document(inAnswer, raw))
}

func (w *watching) callback(cb url.Values) {
	if w == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.learnNames(cb)
	var lines []string
	for _, pair := range w.pairs(cb) {
		lines = append(lines, w.line("", pair))
	}
	w.Callback(lines)
}

func (w *watching) profile(p Provider, docs Documents, profile Profile) {
	if w == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	yes := map[bool]string{true: "yes", false: "no"}
	field := func(name string, from Exprs, value string) MappedField {
		return MappedField{name, strings.Join(from.gave(docs), ", "), w.line("", value)}
	}
	w.Profile([]MappedField{
		field("id", p.Map.ID, cmp.Or(profile.Subject, p.Map.ID.Value(docs))), field("name", p.Map.Name, profile.Name),
		field("email", p.Map.Email, profile.Email), field("image", p.Map.Image, profile.Image),
		{"email_verified", p.EmailVerified.seen(docs), yes[profile.EmailVerified]}, {"may_link", "", yes[profile.MayLink]},
	})
}

// gave is the expression whose value counts, or all of e where none has one.
func (e Exprs) gave(docs Documents) []string {
	for i := range e {
		if e[i].value(docs) != "" {
			return []string{cmp.Or(e[i].text, e[i].hook)}
		}
	}
	return e.Texts()
}

// seen is the trust rule with what it found.
func (t Trust) seen(docs Documents) string {
	switch t.Trust {
	case "claim":
		return t.Trust + " " + t.Path + ": " + t.word(docs, t.Path)
	case "not_null":
		return t.Trust + " " + t.Path + ": " + found(docs, t.Path)
	case "all_claims":
		var all []string
		for _, path := range t.Paths {
			all = append(all, path+": "+t.word(docs, path))
		}
		return t.Trust + " " + strings.Join(all, ", ")
	}
	return t.Trust
}

// word is what is at path. A text such as "true" is no yes by itself.
func (t Trust) word(docs Documents, path string) string {
	v := look(docs, path)
	if _, text := v.(string); text && !t.says(v) {
		return strconv.Quote(found(docs, path)) + ", a text that email_verified: accepts does not list"
	}
	return found(docs, path)
}

func found(docs Documents, path string) string {
	switch v := look(docs, path).(type) {
	case nil:
		return "is not there"
	case bool:
		return map[bool]string{true: "true", false: "false"}[v]
	default:
		return cmp.Or(printed(v), "has a value that is neither text nor a number")
	}
}

type purposeKey struct{}

// asking notes what the requests of ctx are for.
func asking(ctx context.Context, purpose string) context.Context {
	return context.WithValue(ctx, purposeKey{}, purpose)
}

// watched tells a Watch of every request and its answer.
type watched struct {
	http.RoundTripper
	*watching
}

func (w watched) RoundTrip(r *http.Request) (*http.Response, error) {
	purpose, _ := r.Context().Value(purposeKey{}).(string)
	sent, err := reread(&r.Body)
	if err != nil {
		return nil, err
	}
	w.mu.Lock()
	w.Request(w.request(purpose, r, sent))
	w.mu.Unlock()
	began := time.Now()
	resp, err := w.RoundTripper.RoundTrip(r)
	var body []byte
	if err == nil {
		body, err = reread(&resp.Body)
	}
	answer := WatchedAnswer{For: purpose, Took: time.Since(began)}
	if err == nil {
		answer.Status, answer.Header, answer.Body = w.text(resp.Status), w.answerHeader(resp.Header), w.answerBody(purpose, resp.StatusCode, body)
		answer.Date, _ = http.ParseTime(resp.Header.Get("Date"))
	} else {
		answer.Err = errors.New(w.line("", networkCause(err)))
	}
	w.mu.Lock()
	w.Answer(answer)
	w.mu.Unlock()
	return resp, err
}

// reread reads a body and puts it back.
func reread(body *io.ReadCloser) ([]byte, error) {
	if *body == nil || *body == http.NoBody {
		return nil, nil
	}
	raw, err := io.ReadAll(*body)
	(*body).Close()
	*body = io.NopCloser(bytes.NewReader(raw))
	return raw, err
}

// telling are the headers of an answer that help to find a mistake. All others
// stay out, cookies above all.
var telling = []string{"Content-Type", "Date", "Location", "Retry-After", "Www-Authenticate", "X-Request-Id", "X-Github-Request-Id", "X-Ms-Request-Id", "Request-Id", "Cf-Ray"}

func (m *masker) answerHeader(h http.Header) []string {
	var lines []string
	for _, name := range telling {
		for _, v := range h[name] {
			if name == "Location" {
				v = m.url(v)
			}
			lines = append(lines, m.line(name+": ", m.mask(inAnswer, name, v)))
		}
	}
	return lines
}

func (m *masker) request(purpose string, r *http.Request, body []byte) WatchedRequest {
	out := WatchedRequest{For: purpose, Method: r.Method, URL: m.line("", m.url(r.URL.String()))}
	names := make([]string, 0, len(r.Header))
	for name := range r.Header {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		for _, v := range r.Header[name] {
			if name == "Authorization" {
				v = m.authorization(v)
			} else {
				v = m.mask(inRequest, name, v)
			}
			out.Header = append(out.Header, m.line(name+": ", v))
		}
	}
	out.Body = m.requestBody(r.Header.Get("Content-Type"), body)
	return out
}
