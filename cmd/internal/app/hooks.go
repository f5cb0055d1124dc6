package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"regexp"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/gatepost/gatepost/flows"
	"github.com/gatepost/gatepost/flows/gate"
	"github.com/gatepost/gatepost/flows/hooks"
	"github.com/gatepost/gatepost/store"
)

// SignInConfig says who may sign in at all; everybody by default.
type SignInConfig struct {
	Allow *Who `yaml:"allow"`
	Deny  *Who `yaml:"deny"`
}

// WebhooksConfig names services of the operator's that are asked and told; see
// docs/webhooks.md.
type WebhooksConfig struct {
	// SignIn decides who may sign in; "" for its URL turns it off.
	SignIn HookConfig `yaml:"sign_in"`
	// Session fills in fields of GET /session; "" for its URL turns it off.
	Session SessionHookConfig `yaml:"session"`
	// Events are services that are told what happened.
	Events []EventHookConfig `yaml:"events"`
}

// SessionHookConfig is the service that says more of people.
type SessionHookConfig struct {
	URL     string   `yaml:"url"`
	Secrets []Secret `yaml:"secrets"`
	// Fields are those that it may fill in.
	Fields []string `yaml:"fields"`
	// Cache is how long its answer about a session is believed.
	Cache time.Duration `yaml:"cache"`
}

// EventHookConfig is a service that is told what happened.
type EventHookConfig struct {
	// Name is what the log and the metrics call it, and the events that wait.
	Name    string   `yaml:"name"`
	URL     string   `yaml:"url"`
	Secrets []Secret `yaml:"secrets"`
	// Events are those it is told of; all by default.
	Events []string `yaml:"events"`
}

// HookConfig is one service.
type HookConfig struct {
	URL string `yaml:"url"`
	// Secrets are whsec_ and base64: each signs, so that one can be replaced.
	Secrets []Secret `yaml:"secrets"`
}

// hook is the service, nil for none.
func (h HookConfig) hook(name string) (*hooks.Hook, error) {
	if h.URL == "" {
		return nil, nil
	}
	c := hooks.Config{Name: name, URL: h.URL}
	for _, s := range h.Secrets {
		c.Secrets = append(c.Secrets, string(s))
	}
	return hooks.New(c)
}

// NewWebhookSecret is a fresh secret for a service.
func NewWebhookSecret() string { return hooks.NewSecret() }

// named are the services that are configured, by key.
func (w WebhooksConfig) named() map[string]HookConfig {
	all := map[string]HookConfig{"webhooks.sign_in": w.SignIn, "webhooks.session": {w.Session.URL, w.Session.Secrets}}
	for i, e := range w.Events {
		all[fmt.Sprintf("webhooks.events[%d]", i)] = HookConfig{e.URL, e.Secrets}
	}
	return all
}

// subscriptions are what the store writes down for services.
func (w WebhooksConfig) subscriptions() []store.Subscription {
	var all []store.Subscription
	for _, e := range w.Events {
		s := store.Subscription{Hook: e.Name, Events: e.Events}
		if len(s.Events) == 0 {
			s.Events = store.EventNames()
		}
		all = append(all, s)
	}
	return all
}

// events tells services what happened; nil where there are none.
func (c Config) events(s *store.Store, log *slog.Logger) (*flows.Events, error) {
	var services []*hooks.Hook
	for _, e := range c.Webhooks.Events {
		h, err := HookConfig{e.URL, e.Secrets}.hook(e.Name)
		if err != nil {
			return nil, err
		}
		services = append(services, h)
	}
	if len(services) == 0 {
		return nil, nil
	}
	return flows.NewEvents(s, services, log), nil
}

// storeOptions are how the database is reached, and what is written down.
func (c Config) storeOptions() store.Options {
	o := c.Database.options()
	o.Events = c.Webhooks.subscriptions()
	return o
}

// eachSecret visits the secrets of all services.
func (w *WebhooksConfig) eachSecret(visit func(key string, s *Secret)) {
	for i := range w.SignIn.Secrets {
		visit(fmt.Sprintf("webhooks.sign_in.secrets[%d]", i), &w.SignIn.Secrets[i])
	}
	for i := range w.Session.Secrets {
		visit(fmt.Sprintf("webhooks.session.secrets[%d]", i), &w.Session.Secrets[i])
	}
	for i := range w.Events {
		for j := range w.Events[i].Secrets {
			visit(fmt.Sprintf("webhooks.events[%d].secrets[%d]", i, j), &w.Events[i].Secrets[j])
		}
	}
}

func (c Config) validateSignIn(m *mistakes) {
	_, found := c.lists()
	for _, f := range found {
		m.wrong(f.Key, "%s", f.Text)
	}
}

var hookName = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,62}$`)

func (c Config) validateWebhooks(m *mistakes) {
	names := map[string]bool{}
	for i, e := range c.Webhooks.Events {
		key := fmt.Sprintf("webhooks.events[%d]", i)
		switch {
		case e.Name == "":
			m.wrong(key+".name", "is missing; as in crm")
		case !hookName.MatchString(e.Name):
			m.wrong(key+".name", "%q: want small letters, digits, hyphens and underscores, at most 63", e.Name)
		case names[e.Name]:
			m.wrong(key+".name", "the name %q is used twice", e.Name)
		}
		names[e.Name] = true
		for j, event := range e.Events {
			m.oneOf(fmt.Sprintf("%s.events[%d]", key, j), event, store.EventNames()...)
		}
	}
	c.validateFields(m)
	all := c.Webhooks.named()
	for _, key := range sorted(all) {
		h := all[key]
		if h.URL == "" && (len(h.Secrets) > 0 || strings.HasPrefix(key, "webhooks.events")) {
			m.wrong(key+".url", "is missing")
		}
		_, err := h.hook(key)
		for _, err := range each(err) {
			if e, ok := errors.AsType[*hooks.ConfigError](err); ok {
				m.wrong(key+"."+e.Key, "%s", e.Text)
			}
		}
	}
}

var fieldName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_]{0,63}$`)

// validateFields refuses names under which a field would take the place of
// another.
func (c Config) validateFields(m *mistakes) {
	taken := append(flows.TakenFields(), c.Session.Fields...)
	for i, name := range c.Session.Fields {
		key := fmt.Sprintf("session.fields[%d]", i)
		m.oneOf(key, name, flows.OwnFields()...)
		if slices.Contains(c.Session.Fields[:i], name) {
			m.wrong(key, "%q is there twice", name)
		}
	}
	s := c.Webhooks.Session
	for i, name := range s.Fields {
		key := fmt.Sprintf("webhooks.session.fields[%d]", i)
		switch {
		case !fieldName.MatchString(name):
			m.wrong(key, "%q: want letters, digits and underscores, at most 64, as in role", name)
		case slices.Contains(taken, name):
			m.wrong(key, "%q is a field that Gatepost fills in itself", name)
		case slices.Contains(s.Fields[:i], name):
			m.wrong(key, "%q is there twice", name)
		}
	}
	if s.URL != "" && len(s.Fields) == 0 {
		m.wrong("webhooks.session.fields", "is missing; name the fields that it may fill in, as in [role]")
	}
	if s.Cache < time.Second || s.Cache > 24*time.Hour {
		m.wrong("webhooks.session.cache", "want 1s to 24h")
	}
}

// fields are what GET /session tells besides; nil for nothing.
func (c Config) fields(log *slog.Logger) (*flows.Fields, error) {
	s := c.Webhooks.Session
	hook, err := HookConfig{s.URL, s.Secrets}.hook("session")
	if err != nil || hook == nil && len(c.Session.Fields) == 0 {
		return nil, err
	}
	rules, mistakes := c.rules()
	if len(mistakes) > 0 {
		return nil, fmt.Errorf("gate.%s: %s", mistakes[0].Key, mistakes[0].Text)
	}
	f := &flows.Fields{Rules: rules, Hook: hook, Names: s.Fields, Keep: s.Cache, Log: log, Now: time.Now}
	for _, name := range c.Session.Fields {
		if name != "id" || c.nextAuth() { // elsewhere it is there already
			f.Own = append(f.Own, name)
		}
	}
	return f, nil
}

// lists are who may sign in, in the words of package gate; nil for everybody.
func (c Config) lists() (*gate.Admission, []gate.Mistake) {
	if c.SignIn.Allow == nil && c.SignIn.Deny == nil {
		return nil, nil
	}
	p, _ := c.policy()
	if c.Mail.Host != "" {
		p.Providers = append(p.Providers, gate.ByMail)
	}
	a, found := gate.CompileAdmission(p, (*gate.Who)(c.SignIn.Allow), (*gate.Who)(c.SignIn.Deny))
	for i, f := range found {
		if f.Key == "allow" || f.Key == "deny" {
			found[i].Key = "sign_in." + f.Key
		} else {
			found[i].Key = "gate." + f.Key
		}
	}
	return a, found
}

// admission decides who may sign in; nil where everybody may.
func (c Config) admission(s *store.Store, returnTo flows.ReturnTo) (*flows.Admission, error) {
	lists, found := c.lists()
	if len(found) > 0 {
		return nil, fmt.Errorf("%s: %s", found[0].Key, found[0].Text)
	}
	hook, err := c.Webhooks.SignIn.hook("sign_in")
	if err != nil || lists == nil && hook == nil {
		return nil, err
	}
	return &flows.Admission{Lists: lists, Hook: hook, ReturnTo: returnTo, Store: s, Now: time.Now}, nil
}

// checkOutbox reports what keeps events from being written down. A database that
// is away is no mistake: it may be back a moment later.
func checkOutbox(ctx context.Context, c Config, s *store.Store, log *slog.Logger) error {
	if len(c.Webhooks.Events) == 0 {
		return nil
	}
	err := s.CheckOutbox(ctx)
	if err != nil && !errors.Is(err, store.ErrNoOutbox) {
		log.Warn("whether events can be written down is not known yet", "err", err.Error())
		return nil
	}
	if err != nil {
		return fmt.Errorf("webhooks.events: %w", err)
	}
	return nil
}

// migrateOutbox makes the table that events wait in, where there are any.
func migrateOutbox(ctx context.Context, c Config) (done []string, err error) {
	if len(c.Webhooks.Events) == 0 {
		return nil, nil
	}
	created, err := store.MigrateOutbox(ctx, c.Database.direct())
	if created {
		done = append(done, "created gatepost.outbox, where webhooks.events wait; the server's role needs USAGE on the schema gatepost, and SELECT, INSERT, UPDATE, DELETE on the table")
	}
	return done, err
}

// ListEvents prints what waits for each webhook.
func ListEvents(ctx context.Context, s *store.Store, out io.Writer) error {
	if err := s.CheckOutbox(ctx); err != nil {
		return err
	}
	held, err := s.EventsHeld(ctx)
	if err != nil {
		return err
	}
	if len(held) == 0 {
		fmt.Fprintln(out, "no events wait")
		return nil
	}
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "WEBHOOK\tWAITING\tOLDEST\tGIVEN UP\tFAILURE")
	for _, h := range held {
		oldest, failure := "-", "-"
		if h.Oldest != nil {
			oldest = h.Oldest.UTC().Format("2006-01-02 15:04Z")
		}
		if h.Failure != "" {
			failure = h.Failure
		}
		fmt.Fprintf(table, "%s\t%d\t%s\t%d\t%s\n", h.Hook, h.Waiting, oldest, h.GivenUp, failure)
	}
	return table.Flush()
}

// RetryEvents has the events that were given up be tried again, those of one
// webhook or of all ("").
func RetryEvents(ctx context.Context, s *store.Store, hook string, out io.Writer) error {
	if err := s.CheckOutbox(ctx); err != nil {
		return err
	}
	n, err := s.ReviveEvents(ctx, hook)
	if err == nil {
		fmt.Fprintf(out, "events that are tried again: %d\n", n)
	}
	return err
}

// checkHooks sends a ping to each service.
func (c Config) checkHooks(ctx context.Context, r *report) {
	all := c.Webhooks.named()
	for _, key := range sorted(all) {
		h, err := all[key].hook(key)
		if h == nil && err == nil {
			continue
		}
		if err == nil {
			err = h.Ping(ctx)
		}
		if status, ok := errors.AsType[*hooks.StatusError](err); ok && (status.Status == 401 || status.Status == 403) {
			err = fmt.Errorf("%w\ndoes it know one of the secrets, and is its clock right?", err)
		}
		r.say(key, hinted(err))
	}
}
