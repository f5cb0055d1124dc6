package app

import (
	"bufio"
	"context"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatepost/gatepost/e2e/ports"
	"github.com/gatepost/gatepost/store/storetest"
)

// clients that keep their connections, as proxies do, lose no request when
// a replica is told to stop: each is told to hang up, and has the drain's time to
// go elsewhere.
func TestStopsWithoutLosingRequests(t *testing.T) {
	address := ports.FreeAddr()
	c := Default()
	c.PublicURL, c.Dev, c.Keys, c.Database.URL = "http://"+address, true, []Secret{Secret(NewKey())}, Secret(storetest.URL(t))
	c.Listen, c.AdminListen, c.Drain = address, "", time.Second
	var m mistakes
	c.validate(&m)
	if err := m.err(); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	done := make(chan error, 1)
	go func() { done <- Run(ctx, c, slog.New(slog.DiscardHandler)) }()
	for {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			conn.Close()
			break
		}
		time.Sleep(5 * time.Millisecond)
	}
	var answered, told atomic.Int32
	var clients sync.WaitGroup
	for i := range 12 {
		clients.Go(func() {
			var conn net.Conn
			var leaves time.Time
			for n := 0; leaves.IsZero() || time.Now().Before(leaves); n++ {
				if conn == nil {
					var err error
					if conn, err = net.Dial("tcp", address); err != nil {
						t.Errorf("client %d, request %d: %v", i, n, err)
						return
					}
				}
				conn.Write([]byte("GET /auth/csrf HTTP/1.1\r\nHost: " + address + "\r\n\r\n"))
				resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
				if err != nil || resp.StatusCode != http.StatusOK {
					t.Errorf("client %d, request %d: %v", i, n, err)
					return
				}
				answered.Add(1)
				if resp.Close {
					conn.Close()
					conn = nil
					if leaves.IsZero() {
						told.Add(1)
						leaves = time.Now().Add(c.Drain / 2)
					}
				}
				// The response's buffer was read with its head: bodies are short.
				time.Sleep(time.Duration(i) * 10 * time.Millisecond)
			}
		})
	}
	time.Sleep(300 * time.Millisecond)
	stop()
	clients.Wait()
	if err := <-done; err != nil {
		t.Errorf("stopped with %v", err)
	}
	if told.Load() != 12 || answered.Load() < 100 {
		t.Errorf("%d of 12 clients were told, %d answers", told.Load(), answered.Load())
	}
}
