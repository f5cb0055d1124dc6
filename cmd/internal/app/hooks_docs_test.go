package app

import (
	"bytes"
	"encoding/json"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gatepost/gatepost/e2e/ports"
)

var moment = regexp.MustCompile(`"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d\d\dZ"`)

// Each message that docs/webhooks.md shows is one that is sent.
func TestDocumentedMessages(t *testing.T) {
	r := newReceiver(t)
	r.says(`{"allow":true}`)
	s := newSite(t, withEvents(t), func(c *Config) {
		c.Webhooks.SignIn, c.Webhooks.Events = r.config(), []EventHookConfig{r.subscribes("crm")}
		c.Webhooks.Session = SessionHookConfig{URL: r.URL, Secrets: c.Webhooks.SignIn.Secrets, Fields: []string{"role"}, Cache: time.Minute}
		c.Session.Fields, c.Gate.Groups = []string{"groups", "providers"}, map[string][]Who{"staff": {{Atom: "@example.org"}}}
	})
	b, c := s.browser(), s.browser()
	b.get(b.answer("google", "1001"))
	r.says(`{"allow":true,"role":"editor"}`)
	sent := map[string]bool{moment.ReplaceAllString(strings.TrimSpace(b.get("/auth/session").body), `"a moment"`): true}
	b.post("/auth/signout")
	c.post("/auth/signin/email", "email", "ada@example.org")
	for _, m := range r.await(t, 7, 10*time.Second) {
		sent[moment.ReplaceAllString(m.Raw, `"a moment"`)] = true
	}
	raw, err := os.ReadFile("../../../docs/webhooks.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := strings.Split(string(raw), "```json\n")[1:]
	if len(blocks) < 8 {
		t.Errorf("%d messages", len(blocks))
	}
	for _, block := range blocks {
		block, _, _ = strings.Cut(block, "\n```")
		var shown bytes.Buffer
		if err := json.Compact(&shown, []byte(block)); err != nil {
			t.Fatal(err)
		}
		if text := moment.ReplaceAllString(shown.String(), `"a moment"`); !sent[text] {
			t.Errorf("nothing like it is sent:\n%s\n%v", text, slices.Sorted(maps.Keys(sent)))
		}
	}
}

// What docs/webhooks.md tells services to do takes what Gatepost sends, once,
// and refuses what somebody else sends, changed, or long ago.
func TestDocumentedReceivers(t *testing.T) {
	dir := t.TempDir()
	for file, language := range map[string]string{"receive.go": "go", "receive.mjs": "js"} {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(snippet(t, "webhooks.md", language)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	binary := filepath.Join(dir, "receive")
	if out, err := exec.Command("go", "build", "-o", binary, filepath.Join(dir, "receive.go")).CombinedOutput(); err != nil {
		t.Fatalf("%v %s", err, out)
	}
	commands := map[string][]string{"go": {binary}, "js": {"node", filepath.Join(dir, "receive.mjs")}}
	if _, err := exec.LookPath("node"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("no Node.js on this machine, so the JavaScript of docs/webhooks.md is not tried")
		}
		t.Log("NO NODE.JS ON THIS MACHINE: the JavaScript of docs/webhooks.md is not tried")
		delete(commands, "js")
	}
	// A request as it was delivered, for whoever overheard it.
	spy := newReceiver(t)
	for language, command := range commands {
		t.Run(language, func(t *testing.T) {
			address := ports.FreeAddr()
			out := &syncBuffer{}
			cmd := exec.Command(command[0], append(command[1:], address)...)
			cmd.Env, cmd.Stdout, cmd.Stderr = []string{"CRM_SECRET=" + spy.secret, "PATH=" + os.Getenv("PATH")}, out, out
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			defer func() { cmd.Process.Kill(); cmd.Wait() }()
			for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
				if conn, err := net.Dial("tcp", address); err == nil {
					conn.Close()
					break
				}
			}
			s := newSite(t, withEvents(t), func(c *Config) {
				theirs := spy.subscribes("theirs", "signOut", "signIn")
				theirs.URL = "http://" + address + "/events"
				c.Webhooks.Events = []EventHookConfig{theirs, spy.subscribes("spy", "signIn")}
			})
			b := s.browser()
			b.get(b.answer("google", "1001"))
			b.post("/auth/signout")
			overheard := spy.await(t, 1, 5*time.Second)[0]
			spy.take()
			for end := time.Now().Add(10 * time.Second); out.String() != "signIn\nsignOut\n"; time.Sleep(10 * time.Millisecond) {
				if time.Now().After(end) {
					t.Fatalf("got %q", out.String())
				}
			}
			send := func(change func(h http.Header, body *string)) int {
				h, body := overheard.Header.Clone(), overheard.Raw
				change(h, &body)
				req, err := http.NewRequest(http.MethodPost, "http://"+address+"/events", strings.NewReader(body))
				if err != nil {
					t.Fatal(err)
				}
				req.Header = h
				resp, err := http.DefaultClient.Do(req)
				if err != nil {
					t.Fatal(err)
				}
				resp.Body.Close()
				return resp.StatusCode
			}
			for name, change := range map[string]func(h http.Header, body *string){
				"changed":       func(_ http.Header, body *string) { *body = strings.Replace(*body, "Ada", "Eve", 1) },
				"another id":    func(h http.Header, _ *string) { h.Set("webhook-id", "msg_other") },
				"without an id": func(h http.Header, _ *string) { h.Del("webhook-id") },
				"another time":  func(h http.Header, _ *string) { h.Set("webhook-timestamp", strconv.FormatInt(time.Now().Unix()+7, 10)) },
				"no time":       func(h http.Header, _ *string) { h.Del("webhook-timestamp") },
				"another version": func(h http.Header, _ *string) {
					h.Set("webhook-signature", strings.Replace(h.Get("webhook-signature"), "v1,", "v2,", 1))
				},
				"without signature": func(h http.Header, _ *string) { h.Del("webhook-signature") },
				"empty signature":   func(h http.Header, _ *string) { h.Set("webhook-signature", "v1,") },
				"long ago, well signed": func(h http.Header, body *string) {
					h.Set("webhook-timestamp", strconv.FormatInt(time.Now().Unix()-301, 10))
					h.Set("webhook-signature", spy.sign(h.Get("webhook-id"), h.Get("webhook-timestamp"), *body))
				},
			} {
				if status := send(change); status != http.StatusUnauthorized {
					t.Errorf("%s: %d", name, status)
				}
			}
			for range 2 {
				if status := send(func(http.Header, *string) {}); status != http.StatusNoContent {
					t.Errorf("sent again: %d", status)
				}
			}
			time.Sleep(100 * time.Millisecond)
			if got := strings.Count(out.String(), "signIn\n"); got > 2 { // theirs, and the one of the spy once
				t.Errorf("done %d times", got)
			}
		})
	}
}
