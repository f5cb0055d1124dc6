// Package app is the configuration and the wiring: the one place that sees
// every other package.
package app

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"
)

// Config is gatepost.yaml. config.example.yaml shows every key with its default.
// Every key also has a name in the environment: GATEPOST_DATABASE_URL is
// database.url.
type Config struct {
	// PublicURL is where browsers reach Gatepost: https and a host. Required.
	PublicURL string `yaml:"public_url"`
	// BasePath is the path under which everything is served.
	BasePath string `yaml:"base_path"`
	// Listen is host:port of the server.
	Listen string `yaml:"listen"`
	// AdminListen is host:port of health checks; "" turns them off.
	AdminListen string `yaml:"admin_listen"`
	// Dev allows http on loopback.
	Dev bool `yaml:"dev"`
	// Keys are secrets of at least 32 bytes: the first signs, all verify. Required.
	Keys []Secret `yaml:"keys"`
	// TrustedProxies are CIDRs whose X-Forwarded-For counts. Empty means none.
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
	// Compat names other projects whose check and sign-in endpoints the gate
	// has besides its own; see docs/migrate-forward-auth.md.
	Compat List `yaml:"compat"`
}

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
}

// CookieConfig is for several hosts under one domain.
type CookieConfig struct {
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
	LinkTTL          time.Duration `yaml:"link_ttl"`
	CodeTries        int           `yaml:"code_tries"`
	AddressPerWindow int           `yaml:"address_per_window"`
	AddressPerDay    int           `yaml:"address_per_day"`
	ClientPerWindow  int           `yaml:"client_per_window"`
	Window           time.Duration `yaml:"window"`
}

// PagesConfig says what people see.
type PagesConfig struct {
	SiteName  string `yaml:"site_name"`
	Templates string `yaml:"templates"`
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
	TrustEmail          string            `yaml:"trust_email"`
	AllowPrivateNetwork bool              `yaml:"allow_private_network"`
	CAFile              string            `yaml:"ca_file"`
	Override            map[string]any    `yaml:"override"`
	Params              map[string]Secret `yaml:",inline"`
}

// Default is the configuration without a file.
func Default() Config {
	return Config{
		BasePath: "/auth", Listen: "127.0.0.1:8080", AdminListen: "127.0.0.1:8081", Linking: "verified", Drain: 5 * time.Second,
		Database: DatabaseConfig{Schema: "public", MaxConns: 10},
		Session:  SessionConfig{Idle: 720 * time.Hour, Update: 24 * time.Hour, Absolute: 2160 * time.Hour, MaxPerUser: 20},
		Mail: MailConfig{TLS: "starttls", LinkTTL: 10 * time.Minute, CodeTries: 5,
			AddressPerWindow: 3, AddressPerDay: 10, ClientPerWindow: 10, Window: 15 * time.Minute},
		Log:  LogConfig{Level: "info", Format: "json"},
		Gate: GateConfig{Default: "deny"},
	}
}

// A Secret is written as it is, as env:NAME, or as file:/path. It never shows
// in logs and messages.
type Secret string

func (Secret) String() string               { return "REDACTED" }
func (Secret) GoString() string             { return "REDACTED" }
func (Secret) MarshalText() ([]byte, error) { return []byte("REDACTED"), nil }

// resolve replaces a reference by what it refers to.
func (s Secret) resolve() (Secret, error) {
	if name, ok := strings.CutPrefix(string(s), "env:"); ok {
		v, set := os.LookupEnv(name)
		if !set {
			return "", fmt.Errorf("the environment has no variable %s", name)
		}
		return Secret(v), nil
	}
	if path, ok := strings.CutPrefix(string(s), "file:"); ok {
		info, err := os.Stat(path)
		if err != nil {
			return "", errors.New("cannot read the file: " + cause(err))
		}
		if info.Mode().Perm()&0o004 != 0 {
			return "", fmt.Errorf("everybody may read %s; run chmod o-rwx on it", path)
		}
		raw, err := os.ReadFile(path)
		if err != nil {
			return "", errors.New("cannot read the file: " + cause(err))
		}
		return Secret(strings.TrimRight(string(raw), "\r\n")), nil
	}
	return s, nil
}

func cause(err error) string {
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		return p.Path + ": " + p.Err.Error()
	}
	return err.Error()
}

// Load reads the file at path ("" for none) over the defaults, and the
// environment over both. The error lists every mistake, with file, line and
// column where it has one.
func Load(path string, environ []string) (Config, error) {
	c := Default()
	if path != "" {
		raw, err := os.ReadFile(path)
		if err != nil {
			return c, fmt.Errorf("configuration: %s", cause(err))
		}
		if err := c.decode(path, raw); err != nil {
			return c, err
		}
	}
	if err := c.readEnvironment(environ); err != nil {
		return c, err
	}
	if err := c.resolveSecrets(); err != nil {
		return c, err
	}
	return c, c.validate()
}

func (c *Config) decode(path string, raw []byte) error {
	var root yaml.Node
	if err := yaml.Unmarshal(raw, &root); err != nil {
		return fmt.Errorf("%s: %s", path, strings.TrimPrefix(err.Error(), "yaml: "))
	}
	if mistakes := unknownKeys(path, &root); len(mistakes) > 0 {
		return errors.New(strings.Join(mistakes, "\n"))
	}
	d := yaml.NewDecoder(bytes.NewReader(raw))
	if err := d.Decode(c); err != nil && len(bytes.TrimSpace(raw)) > 0 && root.Kind != 0 {
		return fmt.Errorf("%s: %s", path, strings.TrimPrefix(err.Error(), "yaml: "))
	}
	return nil
}

func (c *Config) resolveSecrets() error {
	var mistakes []string
	resolve := func(name string, s *Secret) {
		v, err := s.resolve()
		if err != nil {
			mistakes = append(mistakes, name+": "+err.Error())
		}
		*s = v
	}
	for i := range c.Keys {
		resolve(fmt.Sprintf("keys[%d]", i), &c.Keys[i])
	}
	resolve("database.url", &c.Database.URL)
	resolve("database.direct_url", &c.Database.DirectURL)
	resolve("mail.password", &c.Mail.Password)
	for i := range c.Providers {
		p := &c.Providers[i]
		resolve("providers."+p.ID+".client_secret", &p.ClientSecret)
		for name, v := range p.Params {
			resolve("providers."+p.ID+"."+name, &v)
			p.Params[name] = v
		}
	}
	if len(mistakes) > 0 {
		return errors.New(strings.Join(mistakes, "\n"))
	}
	return nil
}
