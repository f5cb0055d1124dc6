// Package app is the configuration and the wiring: the one place that sees
// every other package.
package app

import (
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/idna"

	"github.com/gatepost/gatepost/flows"
	"github.com/gatepost/gatepost/flows/nextauth"
)

// Config is gatepost.yaml. config.example.yaml shows every key with its default.
// Every key also has a name in the environment: GATEPOST_DATABASE_URL is
// database.url.
type Config struct {
	// PublicURL is where browsers reach Gatepost: https and a host. Required.
	PublicURL string `yaml:"public_url"`
	// BasePath is the path under which everything is served.
	BasePath string `yaml:"base_path"`
	// Listen is host:port of the server, or unix: and the path of a socket.
	Listen string `yaml:"listen"`
	// AdminListen is the same of health checks and metrics; "" turns them off.
	AdminListen string `yaml:"admin_listen"`
	// SocketMode is who may connect to such sockets, in octal digits as chmod's.
	SocketMode string `yaml:"socket_mode"`
	// Dev allows http on loopback.
	Dev bool `yaml:"dev"`
	// Keys are secrets of at least 32 bytes: the first signs, all verify. Required.
	Keys []Secret `yaml:"keys"`
	// TrustedProxies are CIDRs whose X-Forwarded-For counts, and unix for the
	// peers on the socket of Listen. Empty means none.
	TrustedProxies []string `yaml:"trusted_proxies"`
	// ReturnTo are further origins that a sign-in may lead to.
	ReturnTo []string `yaml:"return_to"`
	// FormOrigins are further origins that sign-ins lead through, for the
	// pages' Content-Security-Policy.
	FormOrigins []string `yaml:"form_origins"`
	// Linking is verified or never.
	Linking   string           `yaml:"linking"`
	Database  DatabaseConfig   `yaml:"database"`
	Session   SessionConfig    `yaml:"session"`
	Cookie    CookieConfig     `yaml:"cookie"`
	Mail      MailConfig       `yaml:"mail"`
	Pages     PagesConfig      `yaml:"pages"`
	Log       LogConfig        `yaml:"log"`
	Drain     time.Duration    `yaml:"drain"`
	Providers []ProviderConfig `yaml:"providers"`
	Gate      GateConfig       `yaml:"gate"`
	SignIn    SignInConfig     `yaml:"sign_in"`
	Webhooks  WebhooksConfig   `yaml:"webhooks"`
	// Compat names other projects: those whose check and sign-in endpoints the
	// gate has besides its own (docs/migrate-forward-auth.md), and nextauth-v3
	// for the tables and the browsers of a NextAuth site.
	Compat   List           `yaml:"compat"`
	NextAuth NextAuthConfig `yaml:"nextauth"`
}

// NextAuthConfig is what is known of the NextAuth v3 site, for compat: nextauth-v3.
type NextAuthConfig struct {
	Secret Secret `yaml:"secret"` // its option secret
	// Shared: the site still runs and writes to the tables. Once it is stopped for
	// good, sessions are remembered again.
	Shared   bool        `yaml:"shared"`
	Sessions string      `yaml:"sessions"` // database, or jwt: its option session.jwt
	JWT      NextAuthJWT `yaml:"jwt"`
}

// NextAuthJWT is v3's option jwt, as far as it says how tokens look. Keys are JWK
// as JSON.
type NextAuthJWT struct {
	Secret          Secret `yaml:"secret"`
	SigningKey      Secret `yaml:"signing_key"`
	VerificationKey Secret `yaml:"verification_key"`
	EncryptionKey   Secret `yaml:"encryption_key"`
	DecryptionKey   Secret `yaml:"decryption_key"`
	Encryption      bool   `yaml:"encryption"`
}

// How a NextAuth site keeps its sessions.
const (
	databaseSessions = "database"
	jwtSessions      = "jwt"
)

// tokens are those that the NextAuth site makes.
func (n NextAuthConfig) tokens() (nextauth.Tokens, error) {
	secret := n.JWT.Secret
	if secret == "" {
		secret = n.Secret
	}
	return nextauth.New(nextauth.Options{
		Secret: string(secret), SigningKey: string(n.JWT.SigningKey), VerificationKey: string(n.JWT.VerificationKey),
		EncryptionKey: string(n.JWT.EncryptionKey), DecryptionKey: string(n.JWT.DecryptionKey),
	})
}

// nextAuthV3 in compat turns NextAuth's dialect on.
const nextAuthV3 = "nextauth-v3"

func (c Config) nextAuth() bool { return slices.Contains(c.Compat, nextAuthV3) }

// shared reports that a NextAuth site writes to the tables beside us.
func (c Config) shared() bool { return c.nextAuth() && c.NextAuth.Shared }

// DatabaseConfig says where the four tables are.
type DatabaseConfig struct {
	URL         Secret `yaml:"url"`
	DirectURL   Secret `yaml:"direct_url"` // past a pooler; "" is url
	Schema      string `yaml:"schema"`
	MaxConns    int32  `yaml:"max_conns"`
	ExecMode    string `yaml:"exec_mode"` // behind PgBouncer in transaction mode: cache_describe or exec
	InsecureTLS bool   `yaml:"insecure_tls"`
}

// SessionConfig says how long people stay signed in.
type SessionConfig struct {
	Idle       time.Duration `yaml:"idle"`
	Update     time.Duration `yaml:"update"`
	Absolute   time.Duration `yaml:"absolute"`
	MaxPerUser int           `yaml:"max_per_user"`
	// Fields are further ones of user in GET /session: id, groups, providers.
	Fields []string `yaml:"fields"`
}

// CookieConfig is for several hosts under one domain.
type CookieConfig struct {
	Domain string       `yaml:"domain"`
	Sites  []SiteConfig `yaml:"sites"`
}

// SiteConfig is Gatepost on a further root domain, whose hosts the gate stands
// before: where it is reached there, and the domain of its cookie.
type SiteConfig struct {
	URL    string `yaml:"url"`
	Domain string `yaml:"domain"`
}

// MailConfig turns sign-in by mail on when host is set.
type MailConfig struct {
	From             string        `yaml:"from"`
	Host             string        `yaml:"host"`
	TLS              string        `yaml:"tls"`
	Username         string        `yaml:"username"`
	Password         Secret        `yaml:"password"`
	Hello            string        `yaml:"hello"`
	Templates        string        `yaml:"templates"`
	CAFile           string        `yaml:"ca_file"`
	Bind             string        `yaml:"bind"`
	LinkTTL          time.Duration `yaml:"link_ttl"`
	CodeTries        int           `yaml:"code_tries"`
	AddressPerWindow int           `yaml:"address_per_window"`
	AddressPerDay    int           `yaml:"address_per_day"`
	ClientPerWindow  int           `yaml:"client_per_window"`
	Window           time.Duration `yaml:"window"`
}

// What a link does in a browser that did not ask for it: warn, or refuse.
const (
	bindAsk     = "ask"
	bindBrowser = "browser"
)

// PagesConfig says what people see.
type PagesConfig struct {
	SiteName   string   `yaml:"site_name"`
	Logo       string   `yaml:"logo"`
	Stylesheet string   `yaml:"stylesheet"`
	Contact    string   `yaml:"contact"` // mailto: or https:
	Templates  string   `yaml:"templates"`
	Languages  []string `yaml:"languages"` // those offered, the first for strangers; empty is all
	Locales    string   `yaml:"locales"`
}

// LogConfig says what goes to standard error.
type LogConfig struct {
	Level  string `yaml:"level"`
	Format string `yaml:"format"`
}

// ProviderConfig turns a provider on. Keys that are not listed here are the
// provider's own parameters (domain, tenant, issuer …); override replaces keys
// of its catalogue document.
type ProviderConfig struct {
	ID                  string            `yaml:"id"`
	Type                string            `yaml:"type"`
	Name                string            `yaml:"name"`
	ClientID            string            `yaml:"client_id"`
	ClientSecret        Secret            `yaml:"client_secret"`
	Scopes              []string          `yaml:"scopes"`
	AuthParams          map[string]string `yaml:"auth_params"`
	Offline             bool              `yaml:"offline"`         // get a refresh token
	Tokens              bool              `yaml:"tokens"`          // applications may have people's access tokens
	TrustEmail          string            `yaml:"trust_email"`     // claim, always, never
	AllowedDomains      []string          `yaml:"allowed_domains"` // only people with a proven address in one of these
	AllowedTenants      []string          `yaml:"allowed_tenants"` // only people of these tenants
	AllowPrivateNetwork bool              `yaml:"allow_private_network"`
	CAFile              string            `yaml:"ca_file"`
	Override            Document          `yaml:"override"`
	Params              map[string]Secret `yaml:",inline"`
}

// Document is some keys of a providers.Provider, in the language of the
// catalogue.
type Document map[string]any

// Default is the configuration without a file.
func Default() Config {
	return Config{
		BasePath: "/auth", Listen: "127.0.0.1:8080", AdminListen: "127.0.0.1:8081", SocketMode: "0660", Linking: "verified", Drain: 5 * time.Second,
		Database: DatabaseConfig{Schema: "public", MaxConns: 10},
		Session:  SessionConfig{Idle: 720 * time.Hour, Update: 24 * time.Hour, Absolute: 2160 * time.Hour, MaxPerUser: 20},
		Mail: MailConfig{TLS: "starttls", Bind: bindAsk, LinkTTL: 10 * time.Minute, CodeTries: 5,
			AddressPerWindow: 3, AddressPerDay: 10, ClientPerWindow: 10, Window: 15 * time.Minute},
		Log:      LogConfig{Level: "info", Format: "json"},
		Webhooks: WebhooksConfig{Session: SessionHookConfig{Cache: 5 * time.Minute}},
		Gate:     GateConfig{Default: "deny", AccessTokens: AccessTokensConfig{MaxLife: 2160 * time.Hour, PerUser: 10}},

		NextAuth: NextAuthConfig{Shared: true, Sessions: databaseSessions},
	}
}

// besideNextAuth is Default with what NextAuth v3 does where it differs, and
// with the place of NEXTAUTH_URL.
func besideNextAuth(env environment, m *mistakes) Config {
	c := Default()
	c.BasePath, c.Linking, c.Mail.LinkTTL = nextauth.DefaultBasePath, string(flows.LinkNever), 24*time.Hour
	c.Session.Absolute, c.Session.MaxPerUser = 0, 0
	if raw := env["NEXTAUTH_URL"]; raw != "" {
		c.PublicURL, c.BasePath = nextauth.ParseURL(raw)
		m.put("public_url", place{variable: "NEXTAUTH_URL"})
		m.put("base_path", place{variable: "NEXTAUTH_URL"})
	}
	return c
}

// A Secret is written as it is, as env:NAME, or as file:/path. It never shows
// in logs and messages.
type Secret string

func (Secret) String() string               { return "REDACTED" }
func (Secret) GoString() string             { return "REDACTED" }
func (Secret) MarshalText() ([]byte, error) { return []byte("REDACTED"), nil }

// resolve replaces a reference by what it refers to.
func (s Secret) resolve(env environment) (Secret, error) {
	if name, ok := strings.CutPrefix(string(s), "env:"); ok {
		v, set := env[name]
		if !set {
			return "", errors.New("is not set")
		}
		return Secret(v), nil
	}
	path, ok := strings.CutPrefix(string(s), "file:")
	if !ok {
		return s, nil
	}
	info, err := os.Stat(path)
	if err != nil {
		return "", errors.New(cause(err))
	}
	if info.Mode().Perm()&0o004 != 0 && !mounted(path) {
		return "", errors.New("everybody may read this file; run chmod o-rwx on it")
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		return "", errors.New(cause(err))
	}
	return Secret(strings.TrimRight(string(raw), "\r\n")), nil
}

// mounted reports that path is a secret that a container was given, which
// everybody in it may read and nobody else: Docker's and Podman's are 0444 in
// /run/secrets, Kubernetes' 0644 in a folder that is named by its time, as
// ..2026_11_24_22_51_03.123.
func mounted(path string) bool {
	real, err := filepath.EvalSymlinks(path)
	return err == nil && (strings.HasPrefix(real, "/run/secrets/") || strings.Contains(real, "/..2"))
}

// reference is the part of s that may be shown: where the secret is.
func (s Secret) reference() string {
	if strings.HasPrefix(string(s), "env:") || strings.HasPrefix(string(s), "file:") {
		return string(s)
	}
	return ""
}

// canonicalURL writes an origin as browsers do, because it is compared with
// theirs and is part of what is registered at providers: in lower case and
// Punycode, without the default port and a slash. What is none stays as it is.
func canonicalURL(raw string) string {
	u, err := url.Parse(strings.TrimRight(raw, "/"))
	if err != nil || u.Host == "" || u.Opaque != "" {
		return raw
	}
	host, err := idna.Lookup.ToASCII(u.Hostname())
	if err != nil { // an IPv6 address, or an underscore
		host = strings.ToLower(u.Hostname())
	}
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	if port := u.Port(); port != "" && !(u.Scheme == "https" && port == "443") && !(u.Scheme == "http" && port == "80") {
		host += ":" + port
	}
	u.Host = host
	return u.String()
}

// cause says what is wrong with a file without naming it twice.
func cause(err error) string {
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		return p.Err.Error()
	}
	return err.Error()
}

// Load reads the file at path ("" for none) over the defaults, and the
// environment over both. The error lists every mistake with its place: file,
// line and column, or the variable.
func Load(path string, environ []string) (Config, error) {
	c, env, m := Default(), newEnvironment(environ), &mistakes{file: path}
	if err := c.read(path, env, m); err != nil {
		return c, err
	}
	if c.nextAuth() { // other defaults, which are known only now
		m = &mistakes{file: path}
		c = besideNextAuth(env, m)
		if err := c.read(path, env, m); err != nil {
			return c, err
		}
	}
	referred := c.resolveSecrets(env, m)
	c.checkNames(env, referred, m)
	c.PublicURL = canonicalURL(c.PublicURL)
	for i, site := range c.Cookie.Sites {
		c.Cookie.Sites[i].URL = canonicalURL(site.URL)
	}
	for _, origins := range [][]string{c.ReturnTo, c.FormOrigins} {
		for i, origin := range origins {
			origins[i] = canonicalURL(origin)
		}
	}
	c.validate(m)
	return c, m.err()
}

func (c *Config) read(path string, env environment, m *mistakes) error {
	if path != "" {
		if err := c.readFile(path, m); err != nil {
			return err
		}
	}
	c.readEnvironment(env, m)
	return nil
}

// resolveSecrets replaces every reference, and returns the names of variables
// that were referred to.
func (c *Config) resolveSecrets(env environment, m *mistakes) (referred []string) {
	resolve := func(key string, s *Secret) {
		if name, ok := strings.CutPrefix(string(*s), "env:"); ok {
			referred = append(referred, name)
		}
		if from := s.reference(); from != "" {
			at := m.placeOf(key)
			at.reference = from
			m.put(key, at)
		}
		v, err := s.resolve(env)
		if err != nil {
			m.wrong(key, "%v", err)
		}
		*s = v
	}
	for i := range c.Keys {
		resolve(fmt.Sprintf("keys[%d]", i), &c.Keys[i])
	}
	resolve("database.url", &c.Database.URL)
	resolve("database.direct_url", &c.Database.DirectURL)
	resolve("mail.password", &c.Mail.Password)
	c.Webhooks.eachSecret(resolve)
	resolve("nextauth.secret", &c.NextAuth.Secret)
	resolve("nextauth.jwt.secret", &c.NextAuth.JWT.Secret)
	resolve("nextauth.jwt.signing_key", &c.NextAuth.JWT.SigningKey)
	resolve("nextauth.jwt.verification_key", &c.NextAuth.JWT.VerificationKey)
	resolve("nextauth.jwt.encryption_key", &c.NextAuth.JWT.EncryptionKey)
	resolve("nextauth.jwt.decryption_key", &c.NextAuth.JWT.DecryptionKey)
	for i := range c.Providers {
		p, key := &c.Providers[i], fmt.Sprintf("providers[%d].", i)
		resolve(key+"client_secret", &p.ClientSecret)
		for _, name := range sorted(p.Params) {
			v := p.Params[name]
			resolve(key+name, &v)
			p.Params[name] = v
		}
	}
	return referred
}
