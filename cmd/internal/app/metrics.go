package app

import (
	"cmp"
	"context"
	"log/slog"
	"math"
	"net/http"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/gatepost/gatepost/flows"
	"github.com/gatepost/gatepost/web"
)

// maxDrift between our clock and the database's passes without a word (security
// S-12).
const maxDrift = 30 * time.Second

// metrics are what GET /metrics tells. Labels come from closed lists, never from
// what a visitor sent: nobody can fill the memory with new ones, and no address
// or token gets into them (security X-3).
type metrics struct {
	registry  *prometheus.Registry
	requests  *prometheus.CounterVec
	durations *prometheus.HistogramVec
	signIns   *prometheus.CounterVec
	panics    prometheus.Counter
	providers map[string]bool
	drift     atomic.Uint64 // seconds, as the bits of a float64; NaN until measured
}

func newMetrics(p *parts) *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "gatepost_requests_total", Help: "Requests by route and class of status."}, []string{"route", "status"}),
		durations: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "gatepost_request_duration_seconds", Help: "Time to answer, by route.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 15}}, []string{"route"}),
		signIns:   prometheus.NewCounterVec(prometheus.CounterOpts{Name: "gatepost_sign_ins_total", Help: "Sign-ins that ended, by provider and outcome: signed_in, or the reason of the refusal."}, []string{"provider", "outcome"}),
		panics:    prometheus.NewCounter(prometheus.CounterOpts{Name: "gatepost_panics_total", Help: "Requests that ended in a panic."}),
		providers: map[string]bool{},
	}
	m.drift.Store(math.Float64bits(math.NaN()))
	m.registry.MustRegister(m.requests, m.durations, m.signIns, m.panics, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	for _, c := range p.clients {
		m.knowProvider(c.ID())
	}
	if p.mailer != nil {
		m.knowProvider("email")
	}
	m.readPool(p)
	m.readCache(p)
	m.readMail(p)
	m.readHooks(p)
	m.gauge("gatepost_database_clock_drift_seconds", "How far the database's clock is ahead of ours.", func() float64 { return math.Float64frombits(m.drift.Load()) })
	version, revision, goVersion := buildInfo()
	m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "gatepost_build_info", Help: "1, with what this binary was built from.",
		ConstLabels: prometheus.Labels{"version": version, "revision": revision, "go": goVersion}}, func() float64 { return 1 }))
	return m
}

// knowProvider lets a provider be a label, and its successes be there from the
// start, so that the first one is a rise.
func (m *metrics) knowProvider(id string) {
	m.providers[id] = true
	m.signIns.WithLabelValues(id, "signed_in")
}

func (m *metrics) readPool(p *parts) {
	m.counter("gatepost_sessions_ended_total", "Sessions that this process ended before their time.", func() float64 { return float64(p.store.Stats().SessionsEnded) })
	m.gauge("gatepost_database_connections", "Connections to the database.", func() float64 { return float64(p.store.Stats().Conns) })
	m.gauge("gatepost_database_connections_idle", "Connections to the database that wait for work.", func() float64 { return float64(p.store.Stats().IdleConns) })
	m.gauge("gatepost_database_connections_max", "Connections to the database at most.", func() float64 { return float64(p.store.Stats().MaxConns) })
	m.counter("gatepost_database_acquires_total", "Uses of a connection.", func() float64 { return float64(p.store.Stats().Acquires) })
	m.counter("gatepost_database_acquires_waited_total", "Uses of a connection that had to wait for one.", func() float64 { return float64(p.store.Stats().WaitedAcquires) })
	m.counter("gatepost_database_acquires_given_up_total", "Uses of a connection that never came to be.", func() float64 { return float64(p.store.Stats().Cancelled) })
	m.counter("gatepost_database_acquire_seconds_total", "Time spent to get connections.", func() float64 { return p.store.Stats().AcquireTime.Seconds() })
}

func (m *metrics) readCache(p *parts) {
	m.counter("gatepost_cache_hits_total", "Session checks answered from memory.", func() float64 { return float64(p.cache.Stats().Hits) })
	m.counter("gatepost_cache_misses_total", "Session checks that asked the database, or waited for another that did.", func() float64 { return float64(p.cache.Stats().Misses) })
	m.gauge("gatepost_cache_size", "Sessions in memory.", func() float64 { return float64(p.cache.Stats().Held) })
	if !p.cache.Remembers() {
		return
	}
	m.gauge("gatepost_cache_trusted", "1 while sign-outs on other replicas are heard of; otherwise every check asks the database.", func() float64 {
		if p.cache.Stats().Trusted {
			return 1
		}
		return 0
	})
}

func (m *metrics) readMail(p *parts) {
	if p.mailer == nil {
		return
	}
	m.counter("gatepost_mails_sent_total", "Mails that the mail server accepted.", func() float64 { return float64(p.mailer.Stats().Sent) })
	m.counter("gatepost_mails_failed_total", "Mails that were given up.", func() float64 { return float64(p.mailer.Stats().Failed) })
	m.counter("gatepost_mails_refused_total", "Mails that found the queue full.", func() float64 { return float64(p.mailer.Stats().Refused) })
	m.gauge("gatepost_mail_queue_length", "Mails that wait.", func() float64 { return float64(p.mailer.Stats().Queued) })
}

func (m *metrics) readHooks(p *parts) {
	m.countEvents(p.events)
	answers := func(webhook, answer string, count func() int64) {
		m.registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "gatepost_webhook_answers_total", Help: "What webhooks that are asked said: allowed or refused, answered, or failed.",
			ConstLabels: prometheus.Labels{"webhook": webhook, "answer": answer}}, func() float64 { return float64(count()) }))
	}
	if a := p.admission; a != nil && a.Hook != nil {
		answers("sign_in", "allowed", func() int64 { return a.Stats().Allowed })
		answers("sign_in", "refused", func() int64 { return a.Stats().Refused })
		answers("sign_in", "failed", func() int64 { return a.Stats().Failed })
	}
	if f := p.fields; f != nil && f.Hook != nil {
		answers("session", "answered", func() int64 { return f.Stats().Answered })
		answers("session", "failed", func() int64 { return f.Stats().Failed })
	}
}

// countEvents reads what came of the events of each webhook.
func (m *metrics) countEvents(e *flows.Events) {
	if e == nil {
		return
	}
	for i, s := range e.Stats() {
		of := func(read func(flows.EventStats) int64) func() float64 {
			return func() float64 { return float64(read(e.Stats()[i])) }
		}
		m.labelled("gatepost_webhook_events_delivered_total", "Events that a webhook has taken.", "webhook", s.Hook, of(func(s flows.EventStats) int64 { return s.Told }))
		m.labelled("gatepost_webhook_events_failed_total", "Attempts to tell a webhook of an event that failed.", "webhook", s.Hook, of(func(s flows.EventStats) int64 { return s.Failed }))
		m.labelled("gatepost_webhook_events_given_up_total", "Events that a webhook never took.", "webhook", s.Hook, of(func(s flows.EventStats) int64 { return s.GivenUp }))
		m.labelledGauge("gatepost_webhook_events_waiting", "Events that wait for a webhook, on all replicas together.", "webhook", s.Hook, of(func(s flows.EventStats) int64 { return s.Waiting }))
		m.labelledGauge("gatepost_webhook_events_waiting_seconds", "How long the oldest of them waits.", "webhook", s.Hook, of(func(s flows.EventStats) int64 { return s.WaitedSeconds }))
	}
}

func (m *metrics) labelledGauge(name, help, label, value string, read func() float64) {
	m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help, ConstLabels: prometheus.Labels{label: value}}, read))
}

// labelled is a counter of several under one name.
func (m *metrics) labelled(name, help, label, value string, count func() float64) {
	m.registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help, ConstLabels: prometheus.Labels{label: value}}, count))
}

func (m *metrics) gauge(name, help string, value func() float64) {
	m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, value))
}

func (m *metrics) counter(name, help string, value func() float64) {
	m.registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help}, value))
}

// observe counts one request.
func (m *metrics) observe(o web.Observation) {
	route, _, static := strings.Cut(o.Route, "/static/")
	switch {
	case static:
		route += "/static" // one for all files
	case route == "":
		route = "none"
	}
	m.requests.WithLabelValues(route, strconv.Itoa(max(o.Status, 200)/100)+"xx").Inc()
	m.durations.WithLabelValues(route).Observe(o.Took.Seconds())
	if o.Panicked {
		m.panics.Inc()
	}
	if o.Provider == "" || !o.SignedIn && o.Reason == "" {
		return
	}
	provider, outcome := o.Provider, o.Reason
	if !m.providers[provider] {
		provider = "unknown" // whatever the request named
	}
	if o.SignedIn {
		outcome = "signed_in"
	}
	m.signIns.WithLabelValues(provider, outcome).Inc()
}

func (m *metrics) handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
}

// watchClock compares our clock with the database's, at once and every minute.
func (p *parts) watchClock(ctx context.Context, log *slog.Logger) {
	tick := time.NewTicker(time.Minute)
	defer tick.Stop()
	for {
		if ahead, err := p.store.Drift(ctx); err == nil {
			p.metrics.noteDrift(ahead, log)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (m *metrics) noteDrift(ahead time.Duration, log *slog.Logger) {
	m.drift.Store(math.Float64bits(ahead.Seconds()))
	if ahead.Abs() > maxDrift {
		log.Warn("the database's clock and ours differ; links and sessions end by the database's", "ahead_seconds", ahead.Seconds())
	}
}

// release is set by the linker where there is no repository to read it from.
var release string

// Version is what this binary was built from.
func Version() string { version, _, _ := buildInfo(); return version }

func buildInfo() (version, revision, goVersion string) {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return cmp.Or(release, "unknown"), "unknown", runtime.Version()
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			revision = s.Value
		}
	}
	return cmp.Or(release, info.Main.Version), revision, info.GoVersion
}
