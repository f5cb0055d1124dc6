package app

import (
	"context"
	"errors"
	"fmt"
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
	return map[string]HookConfig{"webhooks.sign_in": w.SignIn}
}

// eachSecret visits the secrets of all services.
func (w *WebhooksConfig) eachSecret(visit func(key string, s *Secret)) {
	for i := range w.SignIn.Secrets {
		visit(fmt.Sprintf("webhooks.sign_in.secrets[%d]", i), &w.SignIn.Secrets[i])
	}
}

func (c Config) validateSignIn(m *mistakes) {
	_, found := c.lists()
	for _, f := range found {
		m.wrong(f.Key, "%s", f.Text)
	}
}

func (c Config) validateWebhooks(m *mistakes) {
	all := c.Webhooks.named()
	for _, key := range sorted(all) {
		h := all[key]
		if h.URL == "" && len(h.Secrets) > 0 {
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
