package app

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gatepost/gatepost/store/storetest"
	"github.com/gatepost/gatepost/web"
)

// scrape asks the admin listener's handler.
func (s *site) scrape(path string) (int, string) {
	s.t.Helper()
	w := httptest.NewRecorder()
	(&readiness{parts: s.parts}).handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
	return w.Code, w.Body.String()
}

// a replica that finds its database and not its tables serves nobody.
func TestReadyNeedsTheTables(t *testing.T) {
	s := newSite(t, storetest.URL(t), nil)
	for schema, want := range map[string]int{"public": http.StatusOK, "elsewhere": http.StatusServiceUnavailable} {
		w := httptest.NewRecorder()
		(&readiness{parts: s.parts, schema: schema}).handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/readyz", nil))
		if w.Code != want || want != http.StatusOK && !strings.Contains(w.Body.String(), "search_path") {
			t.Errorf("%s: %d %s", schema, w.Code, w.Body)
		}
	}
}

// S-12: what happened is counted, nothing that a visitor sent is a
// label, and profiles are not there.
func TestMetrics(t *testing.T) {
	s := newSite(t, storetest.URL(t), nil)
	for end := time.Now().Add(5 * time.Second); !s.parts.cache.Trusted() && time.Now().Before(end); time.Sleep(time.Millisecond) {
	}
	b := s.browser()
	b.get(b.answer("google", "1001"))
	b.session()
	b.session()
	const marker = "Marker7"
	b.get("/auth/callback/google?state=" + marker + "&code=" + marker)
	b.get("/auth/callback/" + marker + "?state=x&code=y")
	b.get("/" + marker)
	b.get("/auth/" + marker + "?" + marker)
	b.send(marker, "/auth/session", nil)
	b.get("/auth/static/gatepost.css")
	b.post("/auth/signin/"+marker, "email", marker)
	b.post("/auth/signin/email", "email", marker+"@example.org")
	code := s.newMail(strings.ToLower(marker)+"@example.org", 1).Code()
	b.post("/auth/callback/email", "code", "00"+marker)
	b.post("/auth/callback/email", "code", code)
	b.post("/auth/signout")
	s.parts.metrics.noteDrift(-31*time.Second, slog.New(slog.NewJSONHandler(s.log, nil)))
	s.parts.metrics.observe(web.Observation{Route: "/x", Status: 500, Panicked: true})

	status, text := s.scrape("/metrics")
	if status != http.StatusOK {
		t.Fatal(status, text)
	}
	lines := strings.Split(text, "\n")
	has := func(want string) bool {
		for _, line := range lines {
			if strings.HasPrefix(line, want) {
				return true
			}
		}
		return false
	}
	for _, want := range []string{
		`gatepost_sign_ins_total{outcome="signed_in",provider="google"} 1`,
		`gatepost_sign_ins_total{outcome="signed_in",provider="github"} 0`,
		`gatepost_sign_ins_total{outcome="signed_in",provider="email"} 1`,
		`gatepost_sign_ins_total{outcome="attempt_missing",provider="google"} 1`,
		`gatepost_sign_ins_total{outcome="unknown_provider",provider="unknown"} 2`,
		`gatepost_sign_ins_total{outcome="code_wrong",provider="email"} 1`,
		`gatepost_requests_total{route="/auth/session",status="2xx"} 2`,
		`gatepost_requests_total{route="none",status="4xx"} 2`,
		`gatepost_requests_total{route="/auth/static",status="2xx"} 1`,
		`gatepost_request_duration_seconds_count{route="/auth/session"}`,
		`gatepost_sessions_ended_total 2`, // replaced by the second sign-in, and signed out
		`gatepost_mails_sent_total 1`, `gatepost_mails_failed_total 0`, `gatepost_mails_refused_total 0`, `gatepost_mail_queue_length 0`,
		`gatepost_cache_hits_total `, `gatepost_cache_misses_total `, `gatepost_cache_size `, `gatepost_cache_trusted 1`,
		`gatepost_database_connections_max 10`, `gatepost_database_acquires_total `,
		`gatepost_database_clock_drift_seconds -31`, `gatepost_panics_total 1`, `gatepost_build_info{`, `go_goroutines `, `process_resident_memory_bytes `,
	} {
		if !has(want) {
			t.Errorf("no %s", want)
		}
	}
	if strings.Contains(strings.ToLower(text), strings.ToLower(marker)) {
		t.Errorf("what a visitor sent is in the metrics:\n%s", text)
	}
	if !strings.Contains(s.log.String(), `"ahead_seconds":-31`) {
		t.Error("a drift of 31 s is not in the log")
	}
	for _, path := range []string{"/debug/pprof/", "/debug/vars", "/auth/session"} {
		if status, _ := s.scrape(path); status != http.StatusNotFound {
			t.Errorf("%s on the admin listener: %d", path, status)
		}
	}
	if p := b.get("/metrics"); p.status != http.StatusNotFound {
		t.Errorf("/metrics on the public listener: %d", p.status)
	}
}

// S-12
func TestDriftIsMeasured(t *testing.T) {
	s := storetest.Open(t)
	if ahead, err := s.Drift(t.Context()); err != nil || ahead.Abs() > time.Second {
		t.Errorf("%v, %v on one machine", ahead, err)
	}
}
