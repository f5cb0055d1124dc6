// Package mail writes the sign-in mail and hands it to an SMTP server. It
// composes with jordan-wright/email and speaks SMTP itself, because that
// library's own sending has no deadline and falls back to clear text.
package mail

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/gatepost/gatepost/flows/locale"
)

var (
	ErrQueueFull = errors.New("the mail queue is full")
	ErrClosed    = errors.New("the mail queue is closed")
)

// Config says how mail leaves.
type Config struct {
	From        string // an address, or Name <address>
	Host        string // host:port
	TLS         string // "starttls" (required, the default), "tls", or "none" (loopback only)
	Username    string // "" for no authentication
	Password    string
	HelloName   string // "" is the domain of From
	TemplateDir string // link.txt and link.html in it replace the built-in ones
	Languages   *locale.Languages
	CAFile      string // further roots for the server's certificate
	QueueSize   int    // 0 is 1000
}

// Link is one sign-in mail.
type Link struct {
	To       string // exactly one address, as flows.ParseAddress gives it
	URL      string
	Code     string // six digits
	Site     string // host that the person signs in to
	Language string // tag of the language of whoever asked
	Expires  time.Duration
}

// Mailer is a bounded queue and the connection to the server behind it.
type Mailer struct {
	smtp      *smtpClient
	templates *templates
	languages *locale.Languages
	log       *slog.Logger
	queue     chan job // has room for every mail that is held
	mu        sync.Mutex
	closed    bool
	held      int   // queued, under way, or waiting to be tried again
	failing   error // of the last attempt; nil after a success
	counts    Stats
	pending   sync.WaitGroup
	backoff   time.Duration // before the first repetition; doubles up to maxBackoff
}

const maxBackoff = time.Minute

type job struct {
	link    Link
	until   time.Time
	attempt int           // that failed
	wait    time.Duration // before the next
}

// New refuses a configuration that cannot work: an unreadable template, an
// unknown kind of TLS, clear text to another machine. Its errors are
// *ConfigError, joined.
func New(c Config, log *slog.Logger) (*Mailer, error) {
	s, err := newSMTPClient(c)
	t, templateErr := newTemplates(c.TemplateDir, c.Languages.Match(""))
	if err := errors.Join(err, templateErr); err != nil {
		return nil, err
	}
	m := &Mailer{smtp: s, templates: t, languages: c.Languages, log: log, backoff: time.Second}
	size := c.QueueSize
	if size <= 0 {
		size = 1000
	}
	m.queue = make(chan job, size)
	return m, nil
}

// Send queues l. It never waits: ErrQueueFull, ErrClosed.
func (m *Mailer) Send(l Link) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return ErrClosed
	}
	if m.held == cap(m.queue) {
		m.counts.Refused++
		return ErrQueueFull
	}
	m.held++
	m.pending.Add(1)
	m.queue <- job{link: l, until: time.Now().Add(l.Expires), wait: m.backoff}
	return nil
}

// Stats are counts since the start, and what waits now.
type Stats struct {
	Sent    int // accepted by the server
	Failed  int // given up
	Refused int // not queued, because the queue was full
	Queued  int
}

// Stats says how the queue does.
func (m *Mailer) Stats() Stats {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.counts
	s.Queued = m.held
	return s
}

// Run sends what is queued until ctx ends, four mails at a time.
func (m *Mailer) Run(ctx context.Context) {
	var workers sync.WaitGroup
	for range 4 {
		workers.Go(func() {
			for {
				select {
				case <-ctx.Done():
					return
				case j := <-m.queue:
					m.deliver(ctx, j)
				}
			}
		})
	}
	workers.Wait()
}

// Drain takes no more mail and waits until what is queued is sent, or ctx ends.
// Run must still be running.
func (m *Mailer) Drain(ctx context.Context) error {
	m.mu.Lock()
	m.closed = true
	m.mu.Unlock()
	done := make(chan struct{})
	go func() { m.pending.Wait(); close(done) }()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		m.mu.Lock()
		defer m.mu.Unlock()
		return fmt.Errorf("%d mails were not sent", m.held)
	}
}

// Healthy is the error of the last attempt, nil when it succeeded.
func (m *Mailer) Healthy() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.failing
}

// Check connects, negotiates TLS, authenticates and names the sender, which many
// servers refuse first, and sends nothing.
func (m *Mailer) Check(ctx context.Context) error {
	session, err := m.smtp.open(ctx)
	if err != nil {
		return err
	}
	defer session.Close()
	if err := m.smtp.sender(session); err != nil {
		return err
	}
	session.Quit()
	return nil
}

// SendNow sends l at once, past the queue, and says what came of it.
func (m *Mailer) SendNow(ctx context.Context, l Link) error { return m.attempt(ctx, l) }

// deliver tries once. A mail that was not accepted yet waits for its next
// attempt beside the queue, so that a server which puts some off keeps no worker
// from the others; it is over when it is too late to be of use (security M-15).
func (m *Mailer) deliver(ctx context.Context, j job) {
	err := m.attempt(ctx, j.link)
	j.attempt++
	last := err == nil || permanent(err) || time.Now().Add(j.wait).After(j.until)
	m.mu.Lock()
	m.failing = err
	if refused, ok := errors.AsType[*refusedError](err); ok && refused.recipient {
		m.failing = nil // the server is well
	}
	if last {
		m.held--
		if err == nil {
			m.counts.Sent++
		} else {
			m.counts.Failed++
		}
	}
	m.mu.Unlock()
	if err != nil {
		m.log.Warn("sign-in mail not sent", "recipient", fingerprint(j.link.To), "attempt", j.attempt, "given_up", last, "err", err.Error())
	}
	if last {
		m.pending.Done()
		return
	}
	wait := j.wait
	j.wait = min(2*j.wait, maxBackoff)
	time.AfterFunc(wait, func() { m.queue <- j })
}

func (m *Mailer) attempt(ctx context.Context, l Link) error {
	message, err := m.compose(l)
	if err != nil {
		return err
	}
	return m.smtp.send(ctx, recipient(l.To), message)
}

// fingerprint lets log lines about one address be told together without naming
// it (security X-3).
func fingerprint(address string) string {
	sum := sha256.Sum256([]byte("recipient " + address))
	return hex.EncodeToString(sum[:6])
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return strings.EqualFold(host, "localhost") || ip != nil && ip.IsLoopback()
}
