package store_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/gatepost/gatepost/e2e/ports"
	"github.com/gatepost/gatepost/store"
	"github.com/gatepost/gatepost/store/storetest"
)

// listener answers every connection by answer, and gives host:port.
func listener(t *testing.T, answer func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() { answer(conn); conn.Close() }()
		}
	}()
	return l.Addr().String()
}

// refusing is a server that refuses every connection with an error of that code.
func refusing(t *testing.T, code string) string {
	return listener(t, func(conn net.Conn) {
		b := pgproto3.NewBackend(conn, conn)
		if _, err := b.ReceiveStartupMessage(); err == nil {
			b.Send(&pgproto3.ErrorResponse{Severity: "FATAL", Code: code, Message: "hunter2"})
			b.Flush()
		}
	})
}

// withCertificate is a server that speaks TLS with a certificate for name, and
// the file of its root.
func withCertificate(t *testing.T, name string) (address, root string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{name}, NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	root = filepath.Join(t.TempDir(), "root.pem")
	if err := os.WriteFile(root, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return listener(t, func(conn net.Conn) {
		io.ReadFull(conn, make([]byte, 8)) // SSLRequest
		conn.Write([]byte("S"))
		tls.Server(conn, &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}).Handshake()
	}), root
}

// What keeps us from the database is said in an operator's words, without the
// password (security K-P10).
func TestProbe(t *testing.T) {
	real := storetest.URL(t)
	closed := listener(t, func(net.Conn) {})
	clear := listener(t, func(conn net.Conn) { io.ReadFull(conn, make([]byte, 8)); conn.Write([]byte("N")) })
	strange, root := withCertificate(t, "localhost")
	unused := ports.FreeAddr()
	mute := listener(t, func(conn net.Conn) { io.Copy(io.Discard, conn) })
	at := func(address string) string { return "postgres://ada:hunter2@" + address + "/people?sslmode=disable" }
	for name, tt := range map[string]struct{ url, want string }{
		"fine":            {real, ""},
		"no database":     {strings.Replace(real, "/gatepost_", "/nothing_", 1), "has no database nothing_"},
		"wrong host":      {at("no-such-host.invalid"), "there is no host no-such-host.invalid"},
		"wrong port":      {at(unused), "nothing listens at " + unused},
		"no socket":       {"postgres:///people?host=/no/such&user=ada", "there is no socket at /no/such/.s.PGSQL.5432"},
		"wrong password":  {at(refusing(t, "28P01")), "refuses the role ada or its password"},
		"not let in":      {at(refusing(t, "28000")), "pg_hba.conf"},
		"no right":        {at(refusing(t, "42501")), "GRANT CONNECT"},
		"full":            {at(refusing(t, "53300")), "has no connection left"},
		"starting":        {at(refusing(t, "57P03")), "starting or stopping"},
		"settings":        {at(refusing(t, "08P01")), "database.exec_mode"},
		"another error":   {at(refusing(t, "XX000")), "answers with error XX000"},
		"hangs up":        {at(closed), "hangs up"},
		"mute":            {at(mute), "does not answer"},
		"no TLS":          {"postgres://ada:hunter2@" + clear + "/people?sslmode=require", "offers no TLS"},
		"unknown root":    {"postgres://ada:hunter2@" + strings.Replace(strange, "127.0.0.1", "localhost", 1) + "/people?sslmode=verify-full", "of no authority known here"},
		"another name":    {"postgres://ada:hunter2@" + strange + "/people?sslmode=verify-full&sslrootcert=" + root, "for another name"},
		"several, all no": {"postgres://ada:hunter2@127.0.0.1:1,127.0.0.2:2/people?sslmode=disable", "nothing listens at 127.0.0.1:1, 127.0.0.2:2"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := store.Probe(t.Context(), store.Options{URL: tt.url, InsecureTLS: true})
			if tt.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if !errors.Is(err, store.ErrUnavailable) || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}
