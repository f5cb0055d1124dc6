package app

import (
	"context"
	"encoding/json"
	"net/http"
	"sync/atomic"
	"time"
)

// readiness answers /healthz, which asks nothing, and /readyz, which asks the
// database whether the four tables can be used: an outage must take a replica out,
// and not restart it (security X-9).
// Beside them is /metrics; profiles are not.
type readiness struct {
	*parts
	schema   string // where the four tables are to be
	stopping atomic.Bool
}

// hangingUp has every answer end its connection once the server is stopping, so
// that none is left that somebody sends a request on when it is gone (security
//
func (r *readiness) hangingUp(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if r.stopping.Load() {
			w.Header().Set("Connection", "close")
		}
		next.ServeHTTP(w, req)
	})
}

func (r *readiness) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("ok\n")) })
	mux.HandleFunc("GET /readyz", r.ready)
	mux.Handle("GET /metrics", r.metrics.handler())
	return mux
}

func (r *readiness) ready(w http.ResponseWriter, req *http.Request) {
	report := map[string]string{"database": "ok", "mail": "off"}
	status := http.StatusOK
	ctx, cancel := context.WithTimeout(req.Context(), time.Second)
	defer cancel()
	if err := r.store.CheckAccess(ctx, r.schema); err != nil {
		report["database"], status = err.Error(), http.StatusServiceUnavailable
	}
	if r.mailer != nil {
		report["mail"] = "ok"
		if err := r.mailer.Healthy(); err != nil {
			report["mail"] = "the last mail was not accepted" // and people can still sign in otherwise
		}
	}
	if r.stopping.Load() {
		report["server"], status = "stopping", http.StatusServiceUnavailable
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(report)
}
