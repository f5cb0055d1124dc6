//go:build e2e

package proxies_test

import (
	"bufio"
	"crypto/sha1"
	"encoding/base64"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
)

// app is what the gate protects: it tells what of a request reached it, answers
// /status/<n> with that, and echoes the frames of a socket.
type app struct {
	addr string
	srv  *http.Server

	mu   sync.Mutex
	seen map[string]bool // by X-Test-Id
}

// arrived is a request as the application saw it.
type arrived struct {
	Method, Target, Host, Body string
	Header                     http.Header
}

func startApp() (*app, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	a := &app{addr: l.Addr().String(), seen: map[string]bool{}}
	a.srv = &http.Server{Handler: a}
	go a.srv.Serve(l)
	return a, nil
}

func (a *app) saw(id string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.seen[id]
}

func (a *app) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	a.seen[r.Header.Get("X-Test-Id")] = true
	a.mu.Unlock()
	if strings.EqualFold(r.Header.Get("Upgrade"), "websocket") {
		echoFrames(w, r)
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	h := w.Header()
	h.Set("X-App", "yes")
	h.Add("Set-Cookie", "theme=dark; Path=/; Priority=High")
	h.Add("Set-Cookie", "lang=en; Path=/")
	h.Set("Content-Type", "application/json")
	if n, ok := strings.CutPrefix(r.URL.Path, "/status/"); ok {
		status, _ := strconv.Atoi(n)
		w.WriteHeader(status)
	}
	json.NewEncoder(w).Encode(arrived{r.Method, r.RequestURI, r.Host, string(body), r.Header})
}

// acceptKey is Sec-WebSocket-Accept (RFC 6455 §1.3).
func acceptKey(key string) string {
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	return base64.StdEncoding.EncodeToString(sum[:])
}

// echoFrames is as much of RFC 6455 as short text frames need.
func echoFrames(w http.ResponseWriter, r *http.Request) {
	conn, buf, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer conn.Close()
	io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nX-App: yes\r\nSec-WebSocket-Accept: "+
		acceptKey(r.Header.Get("Sec-WebSocket-Key"))+"\r\n\r\n")
	for {
		text, err := readFrame(buf.Reader)
		if err != nil {
			return
		}
		conn.Write(append([]byte{0x81, byte(len(text))}, text...))
	}
}

// readFrame reads a frame of less than 126 bytes, masked or not.
func readFrame(r *bufio.Reader) (string, error) {
	var head [2]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return "", err
	}
	var mask [4]byte
	if head[1]&0x80 != 0 {
		if _, err := io.ReadFull(r, mask[:]); err != nil {
			return "", err
		}
	}
	payload := make([]byte, head[1]&0x7f)
	_, err := io.ReadFull(r, payload)
	for i := range payload {
		payload[i] ^= mask[i%4]
	}
	return string(payload), err
}
