package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	osexec "os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gatepost/gatepost/cmd/internal/app"
	"github.com/gatepost/gatepost/e2e/ports"
	"github.com/gatepost/gatepost/flows/mail/devmail"
	"github.com/gatepost/gatepost/store/storetest"
)

// The server is killed after a sign-in was written and before its events are
// told, again and again: every sign-in that a browser was told of is told by a
// server that comes after it.
func TestKilledBeforeEventsAreTold(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	told, tried := map[string][]string{}, map[string]int{} // types by user's address; attempts by id
	well := false
	begun := make(chan struct{}, 100)
	crm := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		var m struct {
			Type string
			Data struct {
				Email string
				User  struct{ Email string }
			}
		}
		if err := json.Unmarshal(body, &m); err != nil {
			t.Errorf("%v: %s", err, body)
		}
		mu.Lock()
		tried[r.Header.Get("webhook-id")]++
		take := well
		if take {
			told[m.Data.Email+m.Data.User.Email] = append(told[m.Data.Email+m.Data.User.Email], m.Type)
		}
		mu.Unlock()
		begun <- struct{}{}
		if !take {
			<-r.Context().Done()
		}
	}))
	defer crm.Close()
	mailbox, err := devmail.Start("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer mailbox.Stop()
	listen := ports.FreeAddr()
	env := []string{"GATEPOST_AS_COMMAND=1", "PATH=" + os.Getenv("PATH"), "GATEPOST_DEV=true", "GATEPOST_PUBLIC_URL=http://" + listen, "GATEPOST_LISTEN=" + listen,
		"GATEPOST_ADMIN_LISTEN=", "GATEPOST_DRAIN=0s", "GATEPOST_KEYS=" + app.NewKey(), "DATABASE_URL=" + storetest.URL(t),
		"GATEPOST_MAIL_HOST=" + mailbox.Addr(), "GATEPOST_MAIL_TLS=none", "GATEPOST_MAIL_FROM=a@example.org",
		fmt.Sprintf("GATEPOST_WEBHOOKS_EVENTS=[{name: crm, url: %q, secrets: [%q]}]", crm.URL, app.NewWebhookSecret())}
	command := func(args ...string) *osexec.Cmd {
		cmd := osexec.Command(os.Args[0], args...)
		cmd.Env = env
		return cmd
	}
	if out, err := command("migrate").CombinedOutput(); err != nil || !strings.Contains(string(out), "gatepost.outbox") {
		t.Fatalf("%v: %s", err, out)
	}
	start := func() *osexec.Cmd {
		cmd := command("serve")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		for end := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) {
			if resp, err := http.Get("http://" + listen + "/auth/csrf"); err == nil {
				resp.Body.Close()
				return cmd
			}
			if time.Now().After(end) {
				t.Fatal("does not start")
			}
		}
	}
	const rounds = 3
	for round := range rounds {
		server := start()
		address := fmt.Sprintf("ada%d@example.org", round)
		signInByMail(t, "http://"+listen, address, mailbox)
		if round > 0 { // else at once: nothing is told yet, or a request has just begun
			<-begun
		}
		server.Process.Kill()
		server.Wait()
	}
	mu.Lock()
	well = true
	mu.Unlock()
	server := start()
	defer func() { server.Process.Kill(); server.Wait() }()
	for end := time.Now().Add(40 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		mu.Lock()
		done := len(told) == rounds
		for _, types := range told {
			done = done && slices.Contains(types, "signIn")
		}
		got := fmt.Sprint(told)
		mu.Unlock()
		if done {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("told: %s", got)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	again := 0
	for address, types := range told {
		if !slices.Equal(types, []string{"createUser", "signIn"}) {
			t.Errorf("%s: %v", address, types)
		}
	}
	for _, n := range tried {
		if n > 1 {
			again++
		}
	}
	if again == 0 {
		t.Error("no server was killed while it told something")
	}
}

// signInByMail signs in with the code that is mailed.
func signInByMail(t *testing.T, site, address string, mailbox *devmail.Server) {
	t.Helper()
	jar, _ := cookiejar.New(nil)
	client := &http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	post := func(path string, fields url.Values) string {
		resp, err := client.Get(site + "/auth/csrf")
		if err != nil {
			t.Fatal(err)
		}
		var csrf struct{ CSRFToken string }
		err = json.NewDecoder(resp.Body).Decode(&csrf)
		resp.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		fields.Set("csrfToken", csrf.CSRFToken)
		if resp, err = client.PostForm(site+path, fields); err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp.Header.Get("Location")
	}
	post("/auth/signin/email", url.Values{"email": {address}})
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		for _, m := range mailbox.Messages() {
			if m.To == address {
				if at := post("/auth/callback/email", url.Values{"code": {m.Code()}}); at != site+"/" {
					t.Fatalf("the sign-in ended at %s", at)
				}
				return
			}
		}
		if time.Now().After(end) {
			t.Fatal("no mail came")
		}
	}
}
