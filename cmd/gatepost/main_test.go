package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/gatepost/gatepost/cmd/internal/app"
	"github.com/gatepost/gatepost/flows/mail/devmail"
	"github.com/gatepost/gatepost/store/storetest"
)

func TestMain(m *testing.M) {
	if os.Getenv("GATEPOST_AS_COMMAND") != "" { // a process that a test may kill
		os.Exit(run(context.Background(), os.Args[1:], slices.DeleteFunc(os.Environ(), func(e string) bool { return strings.HasPrefix(e, "GATEPOST_AS_") }), os.Stdin, os.Stdout, os.Stderr))
	}
	storetest.Main(m)
}

// environ is a whole configuration on that database, and further variables.
func environ(url string, more ...string) []string {
	return append([]string{"GATEPOST_PUBLIC_URL=https://auth.example.org", "GATEPOST_KEYS=" + app.NewKey(), "DATABASE_URL=" + url}, more...)
}

func call(t *testing.T, environ []string, args ...string) (status int, out string) {
	t.Helper()
	var b bytes.Buffer
	status = run(t.Context(), args, environ, strings.NewReader(""), &b, &b)
	return status, b.String()
}

// 0 done, 1 failed, 2 wrong usage or configuration; and what is said about it.
func TestCommands(t *testing.T) {
	fresh, used, odd := storetest.EmptyURL(t), storetest.URL(t), storetest.EmptyURL(t)
	exec(t, odd, "CREATE TABLE users (id int)")
	exec(t, used, "INSERT INTO users (name, email, email_verified, created_at) VALUES (E'Ada\\x1b[31m', 'ada@example.org', '2026-01-02 03:04Z', '2026-01-02 03:04Z')")
	exec(t, used, "INSERT INTO sessions (user_id, expires, session_token, access_token, created_at, updated_at) VALUES (1, '2099-01-01', 's', 'a', '2026-02-03 04:05Z', '2026-02-03 04:06Z')")
	empty := filepath.Join(t.TempDir(), "empty.yaml")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		url    string
		args   string
		status int
		want   string
	}{
		{"", "", 2, "expected one of"},
		{"", "nonsense", 2, "unexpected argument nonsense"},
		{"", "--help", 0, "Usage: gatepost"},
		{"", "keys new", 0, ""},
		{"", "keys webhook", 0, "whsec_"},
		{"", "version", 0, ""},
		{"", "serve", 2, "environment variable GATEPOST_DATABASE_URL: database.url: is missing"},
		{fresh, "--config= serve", 2, "--config names no file"},
		{fresh, "--config=" + empty + " serve", 2, empty + ": holds no keys"},
		{fresh, "--config=/no/such serve", 2, "/no/such: no such file"},
		{fresh, "check --sign-in", 2, "--sign-in needs --provider"},
		{fresh, "check --provider github --redirect-uri https://a.example/", 2, "--redirect-uri needs both"},
		{fresh, "check --provider github", 2, "no provider \"github\" is configured; there are: none"},
		{fresh, "check --provider github --sign-in", 2, "no provider \"github\" is configured"},
		{fresh, "migrate", 0, "applied 0001_four_tables.sql"},
		{fresh, "migrate", 0, "nothing to do"},
		{odd, "migrate", 1, "+ users column 1 id integer\nGatepost changes no table that is there"},
		{strings.Replace(fresh, "/gatepost_", "/nothing_", 1), "migrate", 1, "has no database nothing_"},
		{strings.Replace(fresh, "/gatepost_", "/nothing_", 1), "users list", 1, "has no database nothing_"},
		{fresh, "users list", 0, "no users yet"},
		{used, "users list eve@example.org", 0, "no user has the address eve@example.org"},
		{used, "users list Ada@example.org", 0, "USER  ADDRESS          VERIFIED           NAME      SINCE\n1     ada@example.org  2026-01-02 03:04Z  Ada\uFFFD[31m  2026-01-02 03:04Z\n"},
		{used, "sessions list 2", 0, "user 2 has no sessions"},
		{used, "sessions list 1", 0, "SESSION  SINCE              USED               UNTIL\n1        2026-02-03 04:05Z  2026-02-03 04:06Z  2099-01-01 "},
		{used, "sessions list Ada@example.org", 0, "\n1        2026-02-03 04:05Z  "},
		{used, "sessions list eve@example.org", 1, "there is no user with the address eve@example.org"},
		{used, "sessions end eve@example.org", 1, "there is no user with the address eve@example.org"},
		{used, "webhooks list", 1, "there is no gatepost.outbox; run «gatepost migrate», which creates it where webhooks.events is set"},
		{used, "sessions end 1", 0, "sessions of user 1 ended: 1\n"},
		{used, "health --url http://127.0.0.1:1/healthz", 1, "connection refused"},
		{used, "health --url unix:/no/such.sock", 1, "no such file"},
		{"", "probe --listen 127.0.0.1:0 http://127.0.0.1:1", 1, "connection refused\ndoes the proxy run there"},
		{"", "probe app.example.com", 2, "such as https://app.example.com"},
		{"", "probe --proxy squid https://app.example.com", 2, "want one of nginx"},
	} {
		env := environ(tt.url)
		if tt.url == "" {
			env = nil
		}
		if status, out := call(t, env, strings.Fields(tt.args)...); status != tt.status || !strings.Contains(out, tt.want) {
			t.Errorf("gatepost %s: status %d, want %d; said\n%s\nwant %q", tt.args, status, tt.status, out, tt.want)
		}
	}
	// An empty variable in a script names nobody, least of all the only user.
	exec(t, used, "DELETE FROM users WHERE id > 1")
	if status, out := call(t, environ(used), "sessions", "end", ""); status != 1 || !strings.Contains(out, "no user is named") {
		t.Errorf("sessions of nobody: %d %s", status, out)
	}
}

func exec(t *testing.T, url, sql string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	if _, err := conn.Exec(t.Context(), sql); err != nil {
		t.Fatal(err)
	}
}

// smtp is a mail server that answers each line by the first answer whose key
// begins it.
func smtp(t *testing.T, answers map[string]string) string {
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
			go func() {
				defer conn.Close()
				fmt.Fprint(conn, "220 mail\r\n")
				for lines := bufio.NewScanner(conn); lines.Scan(); {
					answer := "221 bye"
					for command, a := range answers {
						if strings.HasPrefix(lines.Text(), command) {
							answer = a
						}
					}
					fmt.Fprint(conn, answer+"\r\n")
				}
			}()
		}
	}()
	return l.Addr().String()
}

// Check names the cause and the next step of everything that is wrong, and any
// FAIL is status 1.
func TestCheck(t *testing.T) {
	url := storetest.URL(t)
	sink, err := devmail.Start("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(sink.Stop)
	var issuer string
	idp := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/missing") {
			http.NotFound(w, r)
			return
		}
		fmt.Fprintf(w, `{"issuer": %q}`, issuer)
	}))
	t.Cleanup(idp.Close)
	issuer = idp.URL + "/"
	gone := httptest.NewServer(nil)
	gone.Close()
	provider := func(issuer string) string {
		return fmt.Sprintf("GATEPOST_PROVIDERS=[{id: work, type: oidc, client_id: a, client_secret: hunter2, issuer: '%s', allow_private_network: true}]", issuer)
	}
	mail := func(host string, more ...string) []string {
		return append([]string{"GATEPOST_MAIL_HOST=" + host, "GATEPOST_MAIL_FROM=a@example.org", "GATEPOST_MAIL_TLS=none"}, more...)
	}
	password := []string{"GATEPOST_MAIL_USERNAME=ada", "GATEPOST_MAIL_PASSWORD=hunter2"}
	working := mail(sink.Addr())
	for _, tt := range []struct {
		name string
		env  []string
		want []string
	}{
		{"all well", environ(url, working...), nil},
		{"no way in", environ(url), []string{"FAIL  ways to sign in: there is none; turn on a provider"}},
		{"missing tables", environ(storetest.EmptyURL(t), working...), []string{"FAIL  schema: the four tables are not there; run «gatepost migrate»"}},
		{"wrong database", environ(strings.Replace(url, "/gatepost_", "/nothing_", 1), working...), []string{"FAIL  database: ", "has no database nothing_"}},
		{"wrong port", environ("postgres://ada:hunter2@"+gone.Listener.Addr().String()+"/x", working...), []string{"FAIL  database: ", "nothing listens at " + gone.Listener.Addr().String()}},
		{"LISTEN through a pooler", environ(storetest.Pooled(t, url, 1), append(working, "GATEPOST_DATABASE_EXEC_MODE=exec")...), []string{"FAIL  notifications: ", "set database.direct_url to Postgres itself"}},
		{"past the pooler", environ(storetest.Pooled(t, url, 1), append(working, "GATEPOST_DATABASE_EXEC_MODE=exec", "GATEPOST_DATABASE_DIRECT_URL="+url)...), nil},
		{"pooler without a mode", environ(storetest.Pooled(t, url, 1), append(working, "GATEPOST_DATABASE_DIRECT_URL="+url)...), []string{"FAIL  database: ", "set database.exec_mode: cache_describe"}},
		{"provider is gone", environ(url, provider(gone.URL)), []string{"FAIL  work endpoints: ", "connection refused", "does it run there, and is the port right?"}},
		{"provider is unknown", environ(url, provider("https://no-such.invalid")), []string{"FAIL  work endpoints: ", "is the name spelt right"}},
		{"another issuer", environ(url, provider(idp.URL)), []string{"FAIL  work endpoints: ", "the document is of issuer", "the same to the letter"}},
		{"no such issuer", environ(url, provider(idp.URL+"/missing")), []string{"FAIL  work endpoints: ", "answered 404"}},
		{"mail server is gone", environ(url, mail(gone.Listener.Addr().String())...), []string{"FAIL  mail server: ", "connection refused", "is the port right?"}},
		{"no STARTTLS", environ(url, mail(sink.Addr(), "GATEPOST_MAIL_TLS=starttls")...), []string{"FAIL  mail server: ", "offers no STARTTLS; use its TLS port"}},
		{"no AUTH", environ(url, mail(smtp(t, map[string]string{"EHLO": "250 mail"}), password...)...), []string{"FAIL  mail server: ", "offers no AUTH, but mail.username is set"}},
		{"wrong password", environ(url, mail(smtp(t, map[string]string{"EHLO": "250-mail\r\n250 AUTH PLAIN", "AUTH": "535 no"}), password...)...), []string{"FAIL  mail server: ", "refused mail.username or its password"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			status, out := call(t, slices.Clone(tt.env), "check")
			failed := strings.Count(out, "FAIL  ")
			if (failed > 0) != (len(tt.want) > 0) || failed > 1 || status != min(failed, 1) || strings.Contains(out, "hunter2") {
				t.Errorf("status %d, %d failed:\n%s", status, failed, out)
			}
			for _, want := range tt.want {
				if !strings.Contains(out, want) {
					t.Errorf("want %q in\n%s", want, out)
				}
			}
		})
	}
}

// The role of a server needs DML on four tables; check says which it lacks.
func TestCheckRights(t *testing.T) {
	url := storetest.URL(t)
	exec(t, url, "CREATE ROLE reader_of_"+t.Name()+" LOGIN; GRANT SELECT ON accounts, sessions, users, verification_tokens TO reader_of_"+t.Name())
	t.Cleanup(func() {
		conn, err := pgx.Connect(context.Background(), url)
		if err == nil {
			conn.Exec(context.Background(), "DROP OWNED BY reader_of_"+t.Name()+"; DROP ROLE reader_of_"+t.Name())
			conn.Close(context.Background())
		}
	})
	_, out := call(t, environ(strings.Replace(url, "user=gatepost", "user=reader_of_"+strings.ToLower(t.Name()), 1)), "check")
	if !strings.Contains(out, "FAIL  statements: the role") || !strings.Contains(out, "GRANT DELETE ON TABLE sessions TO") {
		t.Error(out)
	}
}

func TestHealthURL(t *testing.T) {
	for listen, want := range map[string]string{
		"":             "http://127.0.0.1:8081/healthz",
		"0.0.0.0:9":    "http://127.0.0.1:9/healthz",
		":9":           "http://127.0.0.1:9/healthz",
		"[::]:9":       "http://127.0.0.1:9/healthz",
		"10.0.0.1:9":   "http://10.0.0.1:9/healthz",
		"localhost:99": "http://localhost:99/healthz",
	} {
		var env []string
		if listen != "" {
			env = []string{"GATEPOST_ADMIN_LISTEN=" + listen}
		}
		if got := healthURL(env); got != want {
			t.Errorf("%q: %s, want %s", listen, got, want)
		}
	}
}
