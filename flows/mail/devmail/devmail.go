// Package devmail is an SMTP server on loopback that keeps what it gets and
// shows it on a page. It is for development and tests.
package devmail

import (
	"bytes"
	"encoding/json"
	"html/template"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net"
	"net/http"
	"net/mail"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/emersion/go-smtp"
)

const kept = 200

// Message is one mail as it arrived.
type Message struct {
	ID       int
	To       string // envelope recipient
	Subject  string
	Text     string
	HTML     string
	Headers  string
	Received time.Time
}

var (
	linkPattern = regexp.MustCompile(`https?://[^\s"<>]+`)
	codePattern = regexp.MustCompile(`\b\d{3} ?\d{3}\b`)
)

// Links are the URLs in the text.
func (m Message) Links() []string { return linkPattern.FindAllString(m.Text, -1) }

// Code is the six digits in the text, "" if there are none.
func (m Message) Code() string {
	return strings.ReplaceAll(codePattern.FindString(linkPattern.ReplaceAllString(m.Text, "")), " ", "")
}

// Server is a running sink.
type Server struct {
	smtp     *smtp.Server
	address  string
	mu       sync.Mutex
	next     int
	messages []Message // oldest first
}

// Start listens on address, which must be loopback; port 0 picks one.
func Start(address string) (*Server, error) {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return nil, err
	}
	s := &Server{address: listener.Addr().String()}
	s.smtp = smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) { return &session{server: s}, nil }))
	s.smtp.Domain, s.smtp.MaxMessageBytes, s.smtp.MaxRecipients = "localhost", 1<<20, 10
	s.smtp.ReadTimeout, s.smtp.WriteTimeout = 30*time.Second, 30*time.Second
	go s.smtp.Serve(listener)
	return s, nil
}

// Addr is host:port of the SMTP listener.
func (s *Server) Addr() string { return s.address }

// Stop ends the listener and its connections.
func (s *Server) Stop() { s.smtp.Close() }

// Messages are what arrived, the newest first.
func (s *Server) Messages() []Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	newest := make([]Message, 0, len(s.messages))
	for i := len(s.messages) - 1; i >= 0; i-- {
		newest = append(newest, s.messages[i])
	}
	return newest
}

type session struct {
	server *Server
	to     []string
}

func (s *session) Mail(string, *smtp.MailOptions) error { return nil }
func (s *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	s.to = append(s.to, to)
	return nil
}
func (s *session) Reset()        { s.to = nil }
func (s *session) Logout() error { return nil }

func (s *session) Data(r io.Reader) error {
	raw, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	for _, to := range s.to {
		s.server.keep(to, raw)
	}
	return nil
}

func (s *Server) keep(to string, raw []byte) {
	m := Message{To: to, Received: time.Now()}
	head, _, _ := bytes.Cut(raw, []byte("\r\n\r\n"))
	m.Headers = string(head)
	if parsed, err := mail.ReadMessage(bytes.NewReader(raw)); err == nil {
		m.Subject, _ = new(mime.WordDecoder).DecodeHeader(parsed.Header.Get("Subject"))
		m.read(parsed.Header.Get("Content-Type"), parsed.Header.Get("Content-Transfer-Encoding"), parsed.Body, 0)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.next++
	m.ID = s.next
	s.messages = append(s.messages, m)
	if len(s.messages) > kept {
		s.messages = s.messages[1:]
	}
}

func (m *Message) read(contentType, encoding string, body io.Reader, depth int) {
	kind, params, err := mime.ParseMediaType(contentType)
	if err != nil || depth > 4 {
		return
	}
	if strings.HasPrefix(kind, "multipart/") {
		parts := multipart.NewReader(body, params["boundary"])
		for {
			part, err := parts.NextPart() // decodes quoted-printable itself
			if err != nil {
				return
			}
			m.read(part.Header.Get("Content-Type"), part.Header.Get("Content-Transfer-Encoding"), part, depth+1)
		}
	}
	if strings.EqualFold(encoding, "quoted-printable") {
		body = quotedprintable.NewReader(body)
	}
	raw, _ := io.ReadAll(body)
	switch kind {
	case "text/plain":
		m.Text = string(raw)
	case "text/html":
		m.HTML = string(raw)
	}
}

// ServeHTTP shows the mailbox at /, a message at /<id>, its HTML at /<id>/html,
// and the newest message to ?to= as JSON at /latest.json.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	if r.URL.Path == "/latest.json" {
		s.latest(w, r.URL.Query().Get("to"))
		return
	}
	path := strings.Trim(r.URL.Path, "/")
	if path == "" {
		page(w, listPage, s.Messages())
		return
	}
	number, html := strings.CutSuffix(path, "/html")
	id, _ := strconv.Atoi(number)
	for _, m := range s.Messages() {
		switch {
		case m.ID != id:
		case html:
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			w.Header().Set("Content-Security-Policy", "sandbox allow-popups allow-top-navigation-by-user-activation; default-src 'none'; style-src 'unsafe-inline'; img-src data:")
			io.WriteString(w, m.HTML)
			return
		default:
			page(w, messagePage, m)
			return
		}
	}
	http.Error(w, "No such message.", http.StatusNotFound)
}

func (s *Server) latest(w http.ResponseWriter, to string) {
	for _, m := range s.Messages() {
		if to == "" || strings.EqualFold(m.To, to) {
			w.Header().Set("Content-Type", "application/json")
			json.NewEncoder(w).Encode(map[string]any{"to": m.To, "subject": m.Subject, "text": m.Text, "html": m.HTML, "headers": m.Headers, "links": m.Links(), "code": m.Code()})
			return
		}
	}
	http.Error(w, "No mail yet.", http.StatusNotFound)
}

func page(w http.ResponseWriter, t *template.Template, v any) {
	var b bytes.Buffer
	if err := t.Execute(&b, v); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Write(b.Bytes())
}

const frame = `<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<meta name="color-scheme" content="light dark"><title>Development mailbox</title><style>
:root{--ink:#1b1f27;--soft:#5c6472;--line:#d9dde3;--ground:#f4f5f7;--card:#fff;--link:#2347c5}
@media(prefers-color-scheme:dark){:root{--ink:#eef0f4;--soft:#aab2bf;--line:#363c47;--ground:#14171c;--card:#1d2128;--link:#9db4ff}}
body{margin:0;background:var(--ground);color:var(--ink);font:16px/1.5 system-ui,sans-serif}main{max-width:760px;margin:0 auto;padding:32px 16px;overflow-wrap:anywhere}
h1{font-size:22px}h2{font-size:16px;margin-top:28px}a{color:var(--link)}ul{list-style:none;padding:0}li{border:1px solid var(--line);background:var(--card);border-radius:10px;padding:12px 16px;margin:8px 0}
small{color:var(--soft)}pre{white-space:pre-wrap;overflow-wrap:anywhere;background:var(--card);border:1px solid var(--line);border-radius:10px;padding:16px}iframe{width:100%;height:520px;border:1px solid var(--line);border-radius:10px;background:#fff}
</style></head><body><main>{{block "main" .}}{{end}}</main></body></html>`

var listPage = template.Must(template.Must(template.New("list").Parse(frame)).Parse(`
{{define "main"}}<h1>Development mailbox</h1><p><a href="/">Look again</a></p>{{if .}}<ul>{{range .}}<li><a href="/{{.ID}}">{{.Subject}}</a><br><small>to {{.To}}, <time datetime="{{.Received.UTC.Format "2006-01-02T15:04:05Z07:00"}}">{{.Received.Format "15:04:05"}}</time></small></li>{{end}}</ul>
{{else}}<p>No mail yet. Ask for a sign-in link, and it arrives here.</p>{{end}}{{end}}`))

var messagePage = template.Must(template.Must(template.New("message").Parse(frame)).Parse(`
{{define "main"}}<p><a href="/">All mail</a></p><h1>{{.Subject}}</h1><p><small>to {{.To}}</small></p>
<h2>Links in it</h2><ul>{{range .Links}}<li><a href="{{.}}">{{.}}</a></li>{{end}}</ul>
<h2>Text</h2><pre tabindex="0">{{.Text}}</pre><h2>HTML</h2><iframe title="The mail as HTML" sandbox="allow-popups allow-top-navigation-by-user-activation" src="/{{.ID}}/html"></iframe><h2>Headers</h2><pre tabindex="0">{{.Headers}}</pre>{{end}}`))
