package mail

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"html"
	"io"
	"log/slog"
	"math/big"
	"mime"
	"mime/multipart"
	"net"
	"net/mail"
	"net/textproto"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"

	"github.com/gatepost/gatepost/flows/locale"
)

// inbox is an SMTP server that answers as a test wants.
type inbox struct {
	mu      sync.Mutex
	to      []string
	raw     []string
	secure  bool
	user    string
	sender  error              // to MAIL FROM
	rcpt    func(string) error // to RCPT TO; nil is nil
	answers []error            // to DATA, in turn; then nil
}

type inboxSession struct {
	*inbox
	conn *smtp.Conn
	to   string
}

func (s *inboxSession) AuthMechanisms() []string {
	if s.user == "" {
		return nil
	}
	return []string{sasl.Plain}
}

func (s *inboxSession) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, user, password string) error {
		if user != s.user || password != "right" {
			return smtp.ErrAuthFailed
		}
		return nil
	}), nil
}
func (s *inboxSession) Mail(string, *smtp.MailOptions) error { return s.sender }
func (s *inboxSession) Rcpt(to string, _ *smtp.RcptOptions) error {
	s.to = to
	if s.rcpt != nil {
		return s.rcpt(to)
	}
	return nil
}
func (s *inboxSession) Reset()        {}
func (s *inboxSession) Logout() error { return nil }
func (s *inboxSession) Data(r io.Reader) error {
	raw, _ := io.ReadAll(r)
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.answers) > 0 {
		err := s.answers[0]
		s.answers = s.answers[1:]
		if err != nil {
			return err
		}
	}
	_, s.secure = s.conn.TLSConnectionState()
	s.inbox.to, s.raw = append(s.inbox.to, s.to), append(s.raw, string(raw))
	return nil
}

func (b *inbox) got() ([]string, []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]string(nil), b.to...), append([]string(nil), b.raw...)
}

// certificate is for name, with the file of its root.
func certificate(t *testing.T, name string) (tls.Certificate, string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature}
	if ip := net.ParseIP(name); ip != nil {
		template.DNSNames, template.IPAddresses = nil, []net.IP{ip}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, file
}

// listen starts b in a mode: "plain", "starttls" or "tls".
func (b *inbox) listen(t *testing.T, mode string, cert tls.Certificate) string {
	t.Helper()
	server := smtp.NewServer(smtp.BackendFunc(func(c *smtp.Conn) (smtp.Session, error) { return &inboxSession{inbox: b, conn: c}, nil }))
	server.Domain, server.AllowInsecureAuth = "localhost", mode == "plain"
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	config := &tls.Config{Certificates: []tls.Certificate{cert}}
	if mode == "starttls" {
		server.TLSConfig = config
	}
	if mode == "tls" {
		listener = tls.NewListener(listener, config)
	}
	go server.Serve(listener)
	t.Cleanup(func() { server.Close() })
	return listener.Addr().String()
}

func languages(t *testing.T) *locale.Languages {
	t.Helper()
	l, err := locale.Load("", nil)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func newMailer(t *testing.T, c Config) (*Mailer, *bytes.Buffer) {
	t.Helper()
	if c.From == "" {
		c.From = "Gatepost <sign-in@gatepost.example>"
	}
	c.Languages = languages(t)
	log := &bytes.Buffer{}
	m, err := New(c, slog.New(slog.NewJSONHandler(log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	m.backoff = time.Millisecond
	return m, log
}

var link = Link{To: "ada@example.org", URL: "https://auth.example.org/auth/callback/email?token=abc&x=1", Code: "012345", Site: "auth.example.org", Expires: 10 * time.Minute}

// M-14, K-M1, K-M3: mail leaves over verified TLS or not at all.
func TestTransports(t *testing.T) {
	good, ca := certificate(t, "127.0.0.1")
	foreign, foreignCA := certificate(t, "mail.example")
	for _, tt := range []struct {
		name, server string
		cert         tls.Certificate
		user         string
		config       Config
		want         string // of the error; "" is success
	}{
		{"STARTTLS", "starttls", good, "", Config{CAFile: ca}, ""},
		{"implicit TLS", "tls", good, "", Config{TLS: "tls", CAFile: ca}, ""},
		{"clear text on loopback", "plain", good, "", Config{TLS: "none"}, ""},
		{"STARTTLS is not offered", "plain", good, "", Config{CAFile: ca}, "offers no STARTTLS"},
		{"unknown authority", "starttls", good, "", Config{}, "STARTTLS: "},
		{"certificate of another name", "starttls", foreign, "", Config{CAFile: foreignCA}, "STARTTLS: "},
		{"authenticated", "starttls", good, "me", Config{CAFile: ca, Username: "me", Password: "right"}, ""},
		{"wrong password", "starttls", good, "me", Config{CAFile: ca, Username: "me", Password: "hunter2"}, "refused mail.username"},
		{"AUTH is not offered", "starttls", good, "", Config{CAFile: ca, Username: "me", Password: "right"}, "offers no AUTH"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := &inbox{user: tt.user}
			tt.config.Host = b.listen(t, tt.server, tt.cert)
			m, _ := newMailer(t, tt.config)
			err := errors.Join(m.Check(t.Context()), m.attempt(t.Context(), link))
			to, _ := b.got()
			if tt.want == "" {
				if err != nil || len(to) != 1 || to[0] != link.To || b.secure != (tt.server != "plain") {
					t.Errorf("%v, to %v, secure %v", err, to, b.secure)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "hunter2") || len(to) != 0 {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

// M-13, M-19, K-M6: one recipient, headers of ours alone, one link twice.
func TestMessage(t *testing.T) {
	b := &inbox{}
	m, _ := newMailer(t, Config{TLS: "none", Host: b.listen(t, "plain", tls.Certificate{})})
	if err := m.attempt(t.Context(), link); err != nil {
		t.Fatal(err)
	}
	_, raws := b.got()
	parsed, err := mail.ReadMessage(strings.NewReader(raws[0]))
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"To": "<ada@example.org>", "Subject": "Sign in to auth.example.org", "Auto-Submitted": "auto-generated", "From": `"Gatepost" <sign-in@gatepost.example>`} {
		if got := parsed.Header[name]; len(got) != 1 || strings.Trim(got[0], "<>") != strings.Trim(want, "<>") {
			t.Errorf("%s: %q", name, got)
		}
	}
	host, _ := os.Hostname()
	if id := parsed.Header.Get("Message-Id"); !strings.HasSuffix(id, "@gatepost.example>") || len(host) > 4 && strings.Contains(id, host) {
		t.Errorf("Message-Id %q", id)
	}
	if date := parsed.Header.Get("Date"); !strings.HasSuffix(date, "+0000") {
		t.Errorf("Date %q", date)
	}
	for _, l := range []Link{{To: "a@b.org\r\nBcc: c@d.org"}, {To: "a@b.org", Site: "x\nX: y"}} {
		if _, err := m.compose(l); !permanent(err) {
			t.Errorf("%q was composed: %v", l, err)
		}
	}
}

// M-13: dots where a dot-atom has none are quoted in envelope and header, and are
// the same mailbox in both.
func TestRecipients(t *testing.T) {
	for address, want := range map[string]string{
		"ada@example.org":           "ada@example.org",
		"a.b+c@xn--bcher-kva.de":    "a.b+c@xn--bcher-kva.de",
		"a..b@docomo.example":       `"a..b"@docomo.example`,
		".a@docomo.example":         `".a"@docomo.example`,
		"a.@docomo.example":         `"a."@docomo.example`,
		"!#$%&'*+-/=?^_`{|}~@a.org": "!#$%&'*+-/=?^_`{|}~@a.org",
	} {
		b := &inbox{}
		m, _ := newMailer(t, Config{TLS: "none", Host: b.listen(t, "plain", tls.Certificate{})})
		l := link
		l.To = address
		if err := m.attempt(t.Context(), l); err != nil {
			t.Fatal(address, err)
		}
		to, raws := b.got()
		parsed, err := mail.ReadMessage(strings.NewReader(raws[0]))
		if err != nil {
			t.Fatal(address, err)
		}
		header, err := mail.ParseAddressList(parsed.Header.Get("To"))
		if err != nil || len(header) != 1 || header[0].Address != address || len(to) != 1 || to[0] != address {
			t.Errorf("%s: to %v, header %v, %v", address, to, header, err)
		}
		if got := recipient(address); got != want {
			t.Errorf("%s: %s, want %s", address, got, want)
		}
	}
}

// M-13, M-19: in every language both bodies carry the one link and the code, the
// subject says where it leads, and nothing of the recipient is in any of it.
func TestMessageInEveryLanguage(t *testing.T) {
	m, _ := newMailer(t, Config{TLS: "none", Host: "127.0.0.1:25"})
	subjects := map[string]string{}
	for _, tag := range languages(t).Tags() {
		l := link
		l.Language = tag
		raw, err := m.compose(l)
		if err != nil {
			t.Fatal(tag, err)
		}
		parsed, err := mail.ReadMessage(bytes.NewReader(raw))
		if err != nil {
			t.Fatal(tag, err)
		}
		subject, err := new(mime.WordDecoder).DecodeHeader(parsed.Header.Get("Subject"))
		if err != nil || !strings.Contains(subject, l.Site) || strings.ContainsAny(parsed.Header.Get("Subject"), "\r\n") || subjects[subject] != "" {
			t.Errorf("%s: subject %q like that of %q, %v", tag, subject, subjects[subject], err)
		}
		subjects[subject] = tag
		if got := parsed.Header.Get("Content-Language"); got != tag {
			t.Errorf("%s: Content-Language %q", tag, got)
		}
		bodies := readParts(t, parsed)
		if len(bodies) != 2 {
			t.Fatalf("%s: %d parts", tag, len(bodies))
		}
		text, markup := bodies["text/plain"], bodies["text/html"]
		links := regexp.MustCompile(`https?://[^\s"<>]+`)
		if found := links.FindAllString(text, -1); !slices.Equal(found, []string{l.URL}) {
			t.Errorf("%s: links in the text: %v", tag, found)
		}
		if found := links.FindAllString(html.UnescapeString(markup), -1); !slices.Equal(found, []string{l.URL}) {
			t.Errorf("%s: links in the HTML: %v", tag, found)
		}
		for kind, body := range bodies {
			if !strings.Contains(body, "012 345") || strings.Contains(body, "ada@") || strings.Contains(body, "ZgotmplZ") {
				t.Errorf("%s: %s is %s", tag, kind, body)
			}
		}
		for _, want := range []string{`lang="` + tag + `"`, "prefers-color-scheme:dark", "display:none"} {
			if !strings.Contains(markup, want) {
				t.Errorf("%s: no %q", tag, want)
			}
		}
		if len(raw) > 20<<10 {
			t.Errorf("%s: %d bytes", tag, len(raw))
		}
	}
}

// readParts gives the bodies of a message by their kind.
func readParts(t *testing.T, m *mail.Message) map[string]string {
	t.Helper()
	_, params, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	if err != nil {
		t.Fatal(err)
	}
	bodies := map[string]string{}
	for parts := multipart.NewReader(m.Body, params["boundary"]); ; {
		part, err := parts.NextPart()
		if errors.Is(err, io.EOF) {
			return bodies
		}
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(part)
		if err != nil {
			t.Fatal(err)
		}
		kind, _, _ := mime.ParseMediaType(part.Header.Get("Content-Type"))
		bodies[kind] += string(body)
	}
}

// An operator's own template keeps its fields, and may use the texts.
func TestTemplatesOfTheirOwn(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "link.txt"), []byte("{{.Site}} {{.URL}} {{.Code}} {{.Minutes}} {{.Subject}} {{.T \"letter.type\"}}"), 0o600); err != nil {
		t.Fatal(err)
	}
	m, _ := newMailer(t, Config{TLS: "none", Host: "127.0.0.1:25", TemplateDir: dir})
	_, text, _, err := m.Parts(link)
	if want := "auth.example.org " + link.URL + " 012 345 10 Sign in to auth.example.org Or type this code"; err != nil || !strings.HasPrefix(string(text), want) {
		t.Errorf("%s %v", text, err)
	}
}

// M-15: 4xx is tried again while the link is of use, 5xx is not.
func TestRetries(t *testing.T) {
	busy := &smtp.SMTPError{Code: 451, Message: "later, ada@example.org"}
	never := &smtp.SMTPError{Code: 550, Message: "no such user ada@example.org"}
	for _, tt := range []struct {
		name    string
		answers []error
		life    time.Duration
		sent    int
		healthy bool
	}{
		{"busy twice", []error{busy, busy}, time.Minute, 1, true},
		{"busy ten times", []error{busy, busy, busy, busy, busy, busy, busy, busy, busy, busy}, time.Minute, 1, true},
		{"refused", []error{never}, time.Minute, 0, true},
		{"too late", []error{busy}, 0, 0, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := &inbox{answers: tt.answers}
			m, log := newMailer(t, Config{TLS: "none", Host: b.listen(t, "plain", tls.Certificate{})})
			ctx, stop := context.WithCancel(t.Context())
			defer stop()
			go m.Run(ctx)
			l := link
			l.Expires = tt.life
			if err := m.Send(l); err != nil {
				t.Fatal(err)
			}
			end, cancel := context.WithTimeout(ctx, 5*time.Second)
			defer cancel()
			if err := m.Drain(end); err != nil {
				t.Fatal(err)
			}
			if to, _ := b.got(); len(to) != tt.sent || (m.Healthy() == nil) != tt.healthy {
				t.Errorf("sent %d, healthy %v", len(to), m.Healthy())
			}
			if got := m.Stats(); got != (Stats{Sent: tt.sent, Failed: 1 - tt.sent}) {
				t.Errorf("counted %+v", got)
			}
			if strings.Contains(log.String(), "ada@") || strings.Contains(log.String(), "token=") {
				t.Errorf("the log says %s", log)
			}
			if err := m.Send(link); !errors.Is(err, ErrClosed) {
				t.Errorf("after Drain: %v", err)
			}
		})
	}
}

// M-15: mails that a server puts off keep nobody else waiting, and leave when
// it takes them.
func TestPutOffMailsStandAside(t *testing.T) {
	var mu sync.Mutex
	opens := time.Now().Add(time.Second)
	b := &inbox{rcpt: func(to string) error {
		mu.Lock()
		defer mu.Unlock()
		if strings.HasPrefix(to, "grey") && time.Now().Before(opens) {
			return &smtp.SMTPError{Code: 450, Message: "come back later"}
		}
		return nil
	}}
	m, _ := newMailer(t, Config{TLS: "none", Host: b.listen(t, "plain", tls.Certificate{}), QueueSize: 9})
	m.backoff = 100 * time.Millisecond
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	go m.Run(ctx)
	send := func(to string) error {
		l := link
		l.To = to
		return m.Send(l)
	}
	for i := range 8 {
		if err := send(fmt.Sprintf("grey%d@example.org", i)); err != nil {
			t.Fatal(err)
		}
	}
	if err := send("ada@example.org"); err != nil {
		t.Fatal(err)
	}
	for {
		if to, _ := b.got(); len(to) > 0 {
			if to[0] != "ada@example.org" || time.Now().After(opens) {
				t.Errorf("ada's mail waited behind those put off: %v", to)
			}
			break
		}
		time.Sleep(time.Millisecond)
	}
	// Those that wait count as queued.
	if err := errors.Join(send("grey8@example.org"), send("grey9@example.org")); !errors.Is(err, ErrQueueFull) {
		t.Errorf("a queue of nine held more: %v", err)
	}
	end, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
	defer cancel()
	if err := m.Drain(end); err == nil || !strings.Contains(err.Error(), "mails were not sent") {
		t.Errorf("drained too early: %v", err)
	}
	end, cancel = context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if err := m.Drain(end); err != nil {
		t.Error(err)
	}
	if to, _ := b.got(); len(to) < 9 {
		t.Errorf("%d mails, want all", len(to))
	}
}

// A server that refuses us refuses everybody: that is no matter of one
// recipient, and gatepost check tells it.
func TestServerRefusesUs(t *testing.T) {
	for _, tt := range []struct {
		name    string
		b       *inbox
		healthy bool
		checks  bool
	}{
		{"the sender", &inbox{sender: &smtp.SMTPError{Code: 553, Message: "not yours"}}, false, false},
		{"without authentication", &inbox{sender: &smtp.SMTPError{Code: 530, Message: "authenticate first"}}, false, false},
		{"without authentication, said late", &inbox{rcpt: func(string) error { return &smtp.SMTPError{Code: 530, Message: "authenticate first"} }}, false, true},
		{"to relay", &inbox{rcpt: func(string) error {
			return &smtp.SMTPError{Code: 554, EnhancedCode: smtp.EnhancedCode{5, 7, 1}, Message: "<ada@example.org>: Relay access denied"}
		}}, false, true},
		{"one recipient", &inbox{rcpt: func(string) error { return &smtp.SMTPError{Code: 550, Message: "unknown"} }}, true, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m, _ := newMailer(t, Config{TLS: "none", Host: tt.b.listen(t, "plain", tls.Certificate{})})
			m.held++
			m.pending.Add(1)
			m.deliver(t.Context(), job{link: link, until: time.Now().Add(time.Minute), wait: time.Second})
			if (m.Healthy() == nil) != tt.healthy {
				t.Errorf("healthy: %v", m.Healthy())
			}
			if err := m.Check(t.Context()); (err == nil) != tt.checks {
				t.Errorf("check: %v", err)
			}
			if m.held != 0 {
				t.Error("tried again")
			}
		})
	}
}

// Nobody marks the server as broken by typing an address with the word in it.
func TestAddressIsNoWordOfTheServer(t *testing.T) {
	for to, reply := range map[string]string{
		"relay@example.org":     "<relay@example.org>: unknown",
		"ada@relay.example.org": "5.1.2 <Ada@RELAY.example.org> no such host relay.example.org",
	} {
		cause := &textproto.Error{Code: 550, Msg: reply}
		refused, ok := errors.AsType[*refusedError](aboutRelay(answered("RCPT TO", cause), cause, to))
		if !ok || !refused.recipient {
			t.Errorf("%s: %q is taken for a word on relaying", to, reply)
		}
	}
}

// K-M1: a server that says nothing is given up.
func TestMuteServer(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	m, _ := newMailer(t, Config{TLS: "none", Host: listener.Addr().String(), QueueSize: 2})
	m.smtp.totalTime = 50 * time.Millisecond
	if err := m.attempt(t.Context(), link); err == nil || permanent(err) {
		t.Errorf("got %v", err)
	}
	m.Send(link)
	m.Send(link)
	if err := m.Send(link); !errors.Is(err, ErrQueueFull) {
		t.Errorf("full queue: %v", err)
	}
	if got := m.Stats(); got != (Stats{Refused: 1, Queued: 2}) {
		t.Errorf("counted %+v", got)
	}
}

func TestRefusedConfigurations(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "link.txt"), []byte("{{.Name}}"), 0o600); err != nil {
		t.Fatal(err)
	}
	misnamed := t.TempDir()
	if err := os.WriteFile(filepath.Join(misnamed, "links.txt"), []byte("{{.URL}}"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]Config{
		"template that is none":   {From: "a@b.org", Host: "127.0.0.1:25", TLS: "none", TemplateDir: misnamed},
		"no such folder":          {From: "a@b.org", Host: "127.0.0.1:25", TLS: "none", TemplateDir: filepath.Join(dir, "none")},
		"no sender":               {Host: "127.0.0.1:25"},
		"two senders":             {From: "a@b.org, c@d.org", Host: "127.0.0.1:25"},
		"no port":                 {From: "a@b.org", Host: "mail.example.org"},
		"clear text over a net":   {From: "a@b.org", Host: "mail.example.org:25", TLS: "none"},
		"unknown kind of TLS":     {From: "a@b.org", Host: "mail.example.org:25", TLS: "ssl"},
		"field that is not there": {From: "a@b.org", Host: "127.0.0.1:25", TLS: "none", TemplateDir: dir},
	} {
		c.Languages = languages(t)
		if _, err := New(c, slog.Default()); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
