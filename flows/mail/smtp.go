package mail

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/mail"
	"net/smtp"
	"net/textproto"
	"os"
	"slices"
	"strings"
	"time"
)

// A refusedError is an answer that trying again will not change. It is about
// this recipient or message, or else about everything that we would send.
type refusedError struct {
	err       error
	recipient bool
}

func (e *refusedError) Error() string { return e.err.Error() }
func (e *refusedError) Unwrap() error { return e.err }

func permanent(err error) bool {
	_, ok := errors.AsType[*refusedError](err)
	return ok
}

type smtpClient struct {
	from         *mail.Address
	domain       string // of from
	hello        string
	address      string // host:port
	host         string
	mode         string
	auth         bool
	user, secret string
	tls          *tls.Config
	dialTime     time.Duration
	totalTime    time.Duration
}

func newSMTPClient(c Config) (*smtpClient, error) {
	s := &smtpClient{hello: c.HelloName, address: c.Host, mode: c.TLS, auth: c.Username != "", user: c.Username, secret: c.Password,
		dialTime: 10 * time.Second, totalTime: 30 * time.Second}
	if s.mode == "" {
		s.mode = "starttls"
	}
	return s, errors.Join(s.setFrom(c.From), s.setHost(), s.setTLS(), s.setRoots(c.CAFile))
}

func (s *smtpClient) setFrom(raw string) error {
	from, err := mail.ParseAddress(raw)
	if raw == "" {
		return wrong("from", "is missing; want an address such as «Example <sign-in@example.org>»")
	}
	if err != nil {
		return wrong("from", "%q: want an address such as «Example <sign-in@example.org>»", raw)
	}
	if strings.ContainsAny(from.Name, ",\r\n") {
		return wrong("from", "the name may not hold a comma or a line break")
	}
	s.from, s.domain = from, from.Address[strings.LastIndex(from.Address, "@")+1:]
	if s.hello == "" {
		s.hello = s.domain
	}
	return nil
}

func (s *smtpClient) setHost() error {
	host, _, err := net.SplitHostPort(s.address)
	if err != nil || host == "" {
		return wrong("host", "%q: want host:port, as in smtp.example.org:587", s.address)
	}
	s.host = host
	return nil
}

func (s *smtpClient) setTLS() error {
	s.tls = &tls.Config{ServerName: s.host, MinVersion: tls.VersionTLS12}
	switch {
	case s.mode != "starttls" && s.mode != "tls" && s.mode != "none":
		return wrong("tls", "%q is unknown; want starttls, tls or none", s.mode)
	case s.mode == "none" && s.host != "" && !isLoopback(s.host):
		return wrong("tls", "none: sign-in links would cross the network in clear text; use starttls or tls for %s", s.host)
	}
	return nil
}

func (s *smtpClient) setRoots(caFile string) error {
	if caFile == "" {
		return nil
	}
	pem, err := os.ReadFile(caFile)
	if err != nil {
		return wrong("ca_file", "%v", err)
	}
	s.tls.RootCAs = x509.NewCertPool()
	if !s.tls.RootCAs.AppendCertsFromPEM(pem) {
		return wrong("ca_file", "%s holds no certificate", caFile)
	}
	return nil
}

// open gets to where a message can be sent. TLS and authentication that were
// asked for and are not offered are errors, never left out (security M-14, K-M3).
func (s *smtpClient) open(ctx context.Context) (*smtp.Client, error) {
	deadline := time.Now().Add(s.totalTime)
	dialer := &net.Dialer{Timeout: s.dialTime}
	conn, err := dialer.DialContext(ctx, "tcp", s.address)
	if err != nil {
		return nil, fmt.Errorf("connect to the mail server: %w", err)
	}
	conn.SetDeadline(deadline)
	if s.mode == "tls" {
		conn = tls.Client(conn, s.tls)
	}
	c, err := smtp.NewClient(conn, s.host)
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("greeting of the mail server: %w", err)
	}
	if err := s.prepare(c); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

func (s *smtpClient) prepare(c *smtp.Client) error {
	if err := c.Hello(s.hello); err != nil {
		return fmt.Errorf("HELO: %w", err)
	}
	if s.mode == "starttls" {
		if ok, _ := c.Extension("STARTTLS"); !ok {
			return errors.New("the mail server offers no STARTTLS; use its TLS port with mail.tls: tls")
		}
		if err := c.StartTLS(s.tls); err != nil {
			return fmt.Errorf("STARTTLS: %w", err)
		}
	}
	if !s.auth {
		return nil
	}
	ok, methods := c.Extension("AUTH")
	if !ok {
		return errors.New("the mail server offers no AUTH, but mail.username is set")
	}
	var auth smtp.Auth = smtp.PlainAuth("", s.user, s.secret, s.host)
	if !strings.Contains(methods, "PLAIN") && strings.Contains(methods, "LOGIN") {
		auth = &loginAuth{s.user, s.secret}
	}
	if err := c.Auth(auth); err != nil {
		return fmt.Errorf("the mail server refused mail.username or its password: %w", err)
	}
	return nil
}

// send delivers one message to one recipient, as recipient gives it.
func (s *smtpClient) send(ctx context.Context, to string, message []byte) error {
	c, err := s.open(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := s.sender(c); err != nil {
		return err
	}
	if err := c.Rcpt(to); err != nil {
		return aboutRelay(answered("RCPT TO", err), err, to)
	}
	w, err := c.Data()
	if err != nil {
		return answered("DATA", err)
	}
	if _, err := w.Write(message); err != nil {
		return fmt.Errorf("DATA: %w", err)
	}
	if err := w.Close(); err != nil {
		return answered("DATA", err)
	}
	c.Quit() // accepted is accepted, whatever is said to this
	return nil
}

// sender names us. Who is refused here will be for every recipient.
func (s *smtpClient) sender(c *smtp.Client) error {
	err := answered("MAIL FROM", c.Mail(s.from.Address))
	if refused, ok := errors.AsType[*refusedError](err); ok {
		refused.recipient = false
	}
	return err
}

// aboutRelay corrects whom a refused recipient is about: a server that relays for
// nobody like us says so at this step, and about every recipient. What the answer
// repeats of the address is no word of the server's.
func aboutRelay(err, cause error, to string) error {
	refused, final := errors.AsType[*refusedError](err)
	reply, said := errors.AsType[*textproto.Error](cause)
	if !final || !said {
		return err
	}
	_, domain, _ := strings.Cut(to, "@")
	words := strings.ToLower(reply.Msg)
	for _, repeated := range []string{to, domain} {
		words = strings.ReplaceAll(words, strings.ToLower(repeated), "")
	}
	if strings.Contains(words, "relay") {
		refused.recipient = false
	}
	return err
}

// answered keeps the server's code and drops its text, which may repeat the
// address. 5xx is final. 530, 534, 535 and 538 want another authentication, and
// may come at any step.
func answered(step string, err error) error {
	if err == nil {
		return nil
	}
	reply, ok := errors.AsType[*textproto.Error](err)
	if !ok {
		return fmt.Errorf("%s: %w", step, err)
	}
	short := fmt.Errorf("%s: the mail server answered %d", step, reply.Code)
	if reply.Code >= 500 {
		return &refusedError{short, !slices.Contains([]int{530, 534, 535, 538}, reply.Code)}
	}
	return short
}

// loginAuth is AUTH LOGIN, which some servers offer instead of PLAIN.
type loginAuth struct{ user, secret string }

func (a *loginAuth) Start(server *smtp.ServerInfo) (string, []byte, error) {
	if !server.TLS && !isLoopback(server.Name) {
		return "", nil, errors.New("no authentication over clear text")
	}
	return "LOGIN", nil, nil
}

func (a *loginAuth) Next(prompt []byte, more bool) ([]byte, error) {
	switch {
	case !more:
		return nil, nil
	case strings.HasPrefix(strings.ToLower(string(prompt)), "user"):
		return []byte(a.user), nil
	default:
		return []byte(a.secret), nil
	}
}
