package providers

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"syscall"
	"time"
)

// Limits of what we ask others for (security O-28).
const (
	connectTimeout = 5 * time.Second
	requestTimeout = 10 * time.Second
	idleTimeout    = 4 * time.Second // Node and Apache hang up after 5, even on a request for tokens that is on its way
	callbackTime   = 15 * time.Second
	maxAnswer      = 1 << 20
	maxMetadata    = 256 << 10
)

var errTooLarge = errors.New("the answer is larger than allowed")

// newHTTPClient is the one client for everything that leaves: no redirects (a
// 307 from a token endpoint would carry secret, code and verifier elsewhere,
// security O-27), and no address inside our own network unless allowed (O-29).
func newHTTPClient(private bool, caFile string) (*http.Client, error) {
	roots, err := rootsWith(caFile)
	if err != nil {
		return nil, err
	}
	dialer := &net.Dialer{Timeout: connectTimeout, Control: func(_, address string, _ syscall.RawConn) error {
		// Here the name is resolved, so that no second look-up can differ.
		return checkPeer(address, private)
	}}
	return &http.Client{
		Timeout:       requestTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: limited{&http.Transport{
			DialContext:            dialer.DialContext,
			TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots},
			TLSHandshakeTimeout:    connectTimeout,
			ResponseHeaderTimeout:  requestTimeout,
			MaxResponseHeaderBytes: 64 << 10,
			MaxIdleConnsPerHost:    4,
			IdleConnTimeout:        idleTimeout,
			ForceAttemptHTTP2:      true,
		}},
	}, nil
}

func rootsWith(caFile string) (*x509.CertPool, error) {
	if caFile == "" {
		return nil, nil // the system's
	}
	pem, err := os.ReadFile(caFile)
	if err != nil {
		return nil, fmt.Errorf("ca_file: %w", err)
	}
	roots, err := x509.SystemCertPool()
	if err != nil {
		roots = x509.NewCertPool()
	}
	if !roots.AppendCertsFromPEM(pem) {
		return nil, errors.New("ca_file holds no certificate")
	}
	return roots, nil
}

func checkPeer(address string, private bool) error {
	peer, err := netip.ParseAddrPort(address)
	if err != nil {
		return err
	}
	ip := peer.Addr().Unmap()
	if private || ip.IsGlobalUnicast() && !ip.IsPrivate() && !sharedSpace.Contains(ip) {
		return nil
	}
	return errors.New("the provider's name leads into a private network; set allow_private_network for it if that is meant")
}

var sharedSpace = netip.MustParsePrefix("100.64.0.0/10")

// limited makes an answer past the limit an error, after decompression; cut and
// parsed it could say something else.
type limited struct{ http.RoundTripper }

func (l limited) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := l.RoundTripper.RoundTrip(r)
	if err == nil {
		resp.Body = &limitedBody{ReadCloser: resp.Body, left: maxAnswer}
	}
	return resp, err
}

type limitedBody struct {
	io.ReadCloser
	left int
}

func (b *limitedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if b.left -= n; b.left < 0 {
		return 0, errTooLarge
	}
	return n, err
}

// fetch makes one request and returns status and body.
func (c *Client) fetch(ctx context.Context, r *http.Request, most int) (int, []byte, error) {
	resp, err := c.http.Do(r.WithContext(ctx))
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, int64(most)+1))
	if err == nil && len(body) > most {
		err = errTooLarge
	}
	return resp.StatusCode, body, err
}
