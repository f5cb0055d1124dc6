package app

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/publicsuffix"

	"github.com/gatepost/gatepost/flows"
	"github.com/gatepost/gatepost/web"
)

// NewKey is a fresh secret for keys: 256 bits, base64url.
func NewKey() string {
	var b [32]byte
	rand.Read(b[:])
	return base64.RawURLEncoding.EncodeToString(b[:])
}

const exampleKey = "replace-me"

// validate lists every mistake: the key, the cause, the next step.
func (c Config) validate() error {
	var mistakes []string
	wrong := func(key, format string, args ...any) {
		mistakes = append(mistakes, key+": "+fmt.Sprintf(format, args...))
	}
	public, err := url.Parse(c.PublicURL)
	switch {
	case c.PublicURL == "":
		wrong("public_url", "is missing; set it to where browsers reach Gatepost, as in https://auth.example.org")
	case err != nil || public.Host == "" || public.User != nil || strings.Trim(public.Path, "/") != "" || public.RawQuery != "" || public.Fragment != "":
		wrong("public_url", "%q is not https and a host; paths belong into base_path", c.PublicURL)
	case public.Scheme == "http" && !(c.Dev && loopback(public.Hostname())):
		wrong("public_url", "must be https; http is for loopback with dev: true")
	case public.Scheme != "https" && public.Scheme != "http":
		wrong("public_url", "must be https")
	}
	if !strings.HasPrefix(c.BasePath, "/") || strings.HasSuffix(c.BasePath, "/") || strings.ContainsAny(c.BasePath, "?#:*% ") || strings.Contains(c.BasePath, "//") {
		wrong("base_path", "%q: want a path such as /auth, without a slash at the end", c.BasePath)
	}
	if len(c.Keys) == 0 {
		wrong("keys", "is missing; «gatepost keys new» makes one")
	}
	for i, k := range c.Keys {
		if len(k) < flows.MinSecret {
			wrong(fmt.Sprintf("keys[%d]", i), "has %d bytes, needs %d; «gatepost keys new» makes one", len(k), flows.MinSecret)
		}
		if strings.Contains(string(k), exampleKey) {
			wrong(fmt.Sprintf("keys[%d]", i), "is the example; «gatepost keys new» makes one")
		}
	}
	if c.Database.URL == "" {
		wrong("database.url", "is missing; as in postgres://gatepost:password@localhost/gatepost, or set DATABASE_URL")
	}
	if m := c.Database.ExecMode; m != "" && m != "exec" && m != "cache_describe" {
		wrong("database.exec_mode", "%q: leave it out, or behind a pooler use cache_describe or exec", m)
	}
	if c.Linking != string(flows.LinkVerified) && c.Linking != string(flows.LinkNever) {
		wrong("linking", "%q: want verified or never", c.Linking)
	}
	for _, p := range c.TrustedProxies {
		if _, err := netip.ParsePrefix(p); err != nil {
			wrong("trusted_proxies", "%q is not a CIDR such as 10.0.0.0/8", p)
		}
	}
	if err == nil && public.Host != "" {
		if _, err := flows.NewReturnTo(c.PublicURL, c.ReturnTo); err != nil {
			wrong("return_to", "%v", err)
		}
		c.checkDomain(public.Hostname(), wrong)
	}
	if s := c.Session; s.Idle < time.Minute || s.Absolute < s.Idle || s.Update < 0 || s.Update >= s.Idle {
		wrong("session", "want update < idle <= absolute, and idle of at least 1m")
	}
	if c.Mail.Host != "" && (c.Mail.LinkTTL < time.Minute || c.Mail.LinkTTL > 24*time.Hour) {
		wrong("mail.link_ttl", "want 1m to 24h")
	}
	if c.Mail.Host != "" && (c.Mail.CodeTries < 1 || c.Mail.CodeTries > 9) {
		wrong("mail.code_tries", "want 1 to 9")
	}
	seen := map[string]bool{}
	for i, p := range c.Providers {
		if p.ID == "" {
			wrong(fmt.Sprintf("providers[%d].id", i), "is missing")
		}
		if seen[p.ID] {
			wrong("providers", "the id %q is used twice", p.ID)
		}
		seen[p.ID] = true
	}
	if c.Gate.on() {
		if _, err := c.rules(); err != nil {
			mistakes = append(mistakes, err.Error())
		}
		if len(c.TrustedProxies) == 0 {
			wrong("trusted_proxies", "is empty, so no proxy may ask the gate; list the addresses your proxy connects from, as in 127.0.0.1/32")
		}
	}
	c.checkCompat(wrong)
	if len(mistakes) > 0 {
		return errors.New(strings.Join(mistakes, "\n"))
	}
	return nil
}

// checkCompat refuses names that are none, and two that answer at one path.
func (c Config) checkCompat(wrong func(string, string, ...any)) {
	known := web.Surfaces()
	var oauth2 []string
	for _, name := range c.Compat {
		near := nearest(name, known)
		switch {
		case slices.Contains(known, name):
		case near != "":
			wrong("compat", "unknown name %q; did you mean %q?", name, near)
		default:
			wrong("compat", "unknown name %q; known are %s", name, strings.Join(known, ", "))
		}
		if strings.HasPrefix(name, "oauth2-proxy") && !slices.Contains(oauth2, name) {
			oauth2 = append(oauth2, name)
		}
	}
	if len(oauth2) > 1 {
		wrong("compat", "%s answer at the same paths; name the one for your proxy", strings.Join(oauth2, " and "))
	}
	if len(c.Compat) > 0 && !c.Gate.on() {
		wrong("compat", "needs the gate, and the gate has no rules; see gate.rules")
	}
}

// checkDomain refuses a cookie domain that would hand sessions to strangers
// (security S-7).
func (c Config) checkDomain(host string, wrong func(string, string, ...any)) {
	d := strings.TrimPrefix(c.Cookie.Domain, ".")
	if d == "" {
		return
	}
	suffix, icann := publicsuffix.PublicSuffix(d)
	switch {
	case net.ParseIP(d) != nil:
		wrong("cookie.domain", "%q is an address; cookies of several hosts need a domain", d)
	case suffix == d && (icann || strings.Contains(d, ".")) || !strings.Contains(d, "."):
		wrong("cookie.domain", "%q is a public suffix; anybody can have a host under it", d)
	case host != d && !strings.HasSuffix(host, "."+d):
		wrong("cookie.domain", "public_url is not inside %q", d)
	}
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
