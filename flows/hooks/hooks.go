// Package hooks asks and tells services of the operator's by signed HTTP
// requests, in the way of Standard Webhooks. It knows how a request is signed
// and sent and what is taken for an answer, never what it is about.
package hooks

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Limits of what is sent and taken.
const (
	AskTimeout  = 2 * time.Second  // somebody waits for the answer
	TellTimeout = 10 * time.Second // nobody does
	idleTimeout = 4 * time.Second  // Node and Apache hang up after 5, even on a message that is on its way
	maxAnswer   = 16 << 10
	maxDrained  = 4 << 10 // of an answer that nobody reads, so that its connection is used again
)

// Config is one service.
type Config struct {
	Name    string   // for the log and the metrics
	URL     string   // https, or http on loopback
	Secrets []string // whsec_ and base64 of 24 to 64 bytes; each signs, so that one can be replaced by another
}

// A ConfigError is a mistake in one key of a Config: url or secrets[n].
type ConfigError struct{ Key, Text string }

func (e *ConfigError) Error() string { return e.Key + ": " + e.Text }

// A Hook is a service. It is safe for concurrent use.
type Hook struct {
	name    string
	url     string
	secrets [][]byte
	http    *http.Client
}

const secretPrefix = "whsec_"

// NewSecret is a fresh secret, 256 bits, as every library of Standard Webhooks
// takes it.
func NewSecret() string {
	var b [32]byte
	rand.Read(b[:])
	return secretPrefix + base64.StdEncoding.EncodeToString(b[:])
}

// New checks c. It asks nothing of the network. Its errors are *ConfigError,
// joined.
func New(c Config) (*Hook, error) {
	h := &Hook{name: c.Name, url: c.URL}
	var wrong []error
	u, err := url.Parse(c.URL)
	switch {
	case err != nil || u.Host == "" || u.Opaque != "":
		wrong = append(wrong, &ConfigError{"url", "want https://host/path"})
	case u.User != nil:
		wrong = append(wrong, &ConfigError{"url", "holds a user or password; the signature tells who asks"})
	case u.Scheme == "http" && !loopbackName(u.Hostname()):
		wrong = append(wrong, &ConfigError{"url", "must be https; http is for loopback"})
	case u.Scheme != "https" && u.Scheme != "http":
		wrong = append(wrong, &ConfigError{"url", "must be https"})
	default:
		h.http = newHTTPClient(u.Scheme == "http")
	}
	if len(c.Secrets) == 0 {
		wrong = append(wrong, &ConfigError{"secrets", "is missing; «gatepost keys webhook» makes one"})
	}
	for i, s := range c.Secrets {
		secret, err := parseSecret(s)
		if err != nil {
			wrong = append(wrong, &ConfigError{fmt.Sprintf("secrets[%d]", i), err.Error()})
		}
		h.secrets = append(h.secrets, secret)
	}
	return h, errors.Join(wrong...)
}

// parseSecret refuses what is short enough to be guessed from a signature.
func parseSecret(s string) ([]byte, error) {
	encoded, marked := strings.CutPrefix(s, secretPrefix)
	secret, err := base64.StdEncoding.DecodeString(encoded)
	if !marked || err != nil || len(secret) < 24 || len(secret) > 64 {
		return nil, errors.New("is not whsec_ and 24 to 64 bytes in base64; «gatepost keys webhook» makes one")
	}
	return secret, nil
}

func loopbackName(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

// newHTTPClient follows no redirect, which would carry what is signed for one
// service to another. Private networks are allowed: the service is the
// operator's own. Clear text stays on this machine, whatever a name resolves to.
func newHTTPClient(clear bool) *http.Client {
	dialer := &net.Dialer{Timeout: 5 * time.Second, Control: func(_, address string, _ syscall.RawConn) error {
		peer, err := netip.ParseAddrPort(address)
		if err == nil && clear && !peer.Addr().Unmap().IsLoopback() {
			err = errors.New("the name leads off this machine, and the address is not https")
		}
		return err
	}}
	return &http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			DialContext:            dialer.DialContext,
			TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12},
			TLSHandshakeTimeout:    5 * time.Second,
			MaxResponseHeaderBytes: 64 << 10,
			MaxIdleConnsPerHost:    8,
			MaxConnsPerHost:        64,
			IdleConnTimeout:        idleTimeout,
			ForceAttemptHTTP2:      true,
		},
	}
}

// Name is what the operator calls the service.
func (h *Hook) Name() string { return h.name }

// A StatusError is an answer that is not 2xx.
type StatusError struct{ Status int }

func (e *StatusError) Error() string { return fmt.Sprintf("it answered %d", e.Status) }

// Message is what is sent: the envelope of Standard Webhooks.
type Message struct {
	Type      string `json:"type"`
	Timestamp Moment `json:"timestamp"` // when it happened
	Data      any    `json:"data"`
}

// A Moment is written as JavaScript's Date does: UTC, three decimals, cut not
// rounded.
type Moment time.Time

// MarshalText writes m.
func (m Moment) MarshalText() ([]byte, error) {
	return time.Time(m).UTC().AppendFormat(nil, "2006-01-02T15:04:05.000Z"), nil
}

// Tell delivers body under id, which is the same each time that it is tried. An
// answer of 2xx says that it has arrived; nothing else of the answer counts.
func (h *Hook) Tell(ctx context.Context, id string, body []byte) error {
	ctx, cancel := context.WithTimeout(ctx, TellTimeout)
	defer cancel()
	resp, err := h.post(ctx, id, body)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	io.CopyN(io.Discard, resp.Body, maxDrained)
	return nil
}

// Ask sends m and decodes the answer, a JSON document of at most 16 KiB, into
// answer. It tries once.
func (h *Hook) Ask(ctx context.Context, m Message, answer any) error {
	ctx, cancel := context.WithTimeout(ctx, AskTimeout)
	defer cancel()
	body, err := json.Marshal(m)
	if err != nil {
		return err
	}
	resp, err := h.post(ctx, "msg_"+rand.Text(), body)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	switch {
	case err != nil:
		return cause(err)
	case len(raw) > maxAnswer:
		return fmt.Errorf("its answer is larger than %d bytes", maxAnswer)
	}
	if json.Unmarshal(raw, answer) != nil {
		return errors.New("its answer is not the JSON that is asked for")
	}
	return nil
}

// post sends body, signed with every secret now, and returns an answer of 2xx.
func (h *Hook) post(ctx context.Context, id string, body []byte) (*http.Response, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, h.url, bytes.NewReader(body))
	if err != nil {
		return nil, errors.New("its address cannot be asked")
	}
	// A request that may have arrived is not sent again behind our back.
	r.GetBody = nil
	timestamp := strconv.FormatInt(time.Now().Unix(), 10)
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("User-Agent", "Gatepost")
	r.Header.Set("webhook-id", id)
	r.Header.Set("webhook-timestamp", timestamp)
	r.Header.Set("webhook-signature", sign(h.secrets, id, timestamp, body))
	resp, err := h.http.Do(r)
	if err != nil {
		return nil, cause(err)
	}
	if resp.StatusCode/100 != 2 {
		resp.Body.Close()
		return nil, &StatusError{resp.StatusCode}
	}
	return resp, nil
}

// sign is the header webhook-signature: one signature for each secret.
func sign(secrets [][]byte, id, timestamp string, body []byte) string {
	var all []string
	for _, secret := range secrets {
		mac := hmac.New(sha256.New, secret)
		io.WriteString(mac, id+"."+timestamp+".")
		mac.Write(body)
		all = append(all, "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	}
	return strings.Join(all, " ")
}

// cause leaves out the address, whose query may be a secret.
func cause(err error) error {
	if e, ok := errors.AsType[*url.Error](err); ok {
		err = e.Err
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("it does not answer in time: %w", context.DeadlineExceeded)
	}
	return err
}

// Ping says by a message of the type ping that we are there, and reports whether
// the service takes it.
func (h *Hook) Ping(ctx context.Context) error {
	body, err := json.Marshal(Message{Type: "ping", Timestamp: Moment(time.Now()), Data: struct{}{}})
	if err != nil {
		return err
	}
	return h.Tell(ctx, "msg_"+rand.Text(), body)
}
