//go:build e2e

// Package proxies_test starts the configurations of docs/proxies, to the letter,
// in the proxies they are for, between a client that writes what it likes and an
// application that says what reached it, with a Gatepost and a Postgres of their
// own. A proxy that is not on the machine is a failure.
package proxies_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	config "github.com/gatepost/gatepost/docs/proxies"
	"github.com/gatepost/gatepost/e2e/ports"
	"github.com/gatepost/gatepost/providers/devidp"
	"github.com/gatepost/gatepost/store/devpg"
)

const (
	appHost   = "app.example.org"
	openHost  = "open.example.org"
	authHost  = "auth.example.org"
	signInURL = "https://" + authHost + "/auth"

	otherApp  = "app.example.net" // on another root domain
	otherAuth = "auth.example.net"
)

// world is everything around the proxies.
type world struct {
	dir      string
	signIn   string // host of the sign-in pages, with the port that browsers see
	other    string // that of the pages on example.net, on the same port
	socket   bool   // Gatepost listens on one
	postgres *devpg.Server
	app      *app
	gatepost *process
	addr     string // Gatepost's
	file     string // its configuration
	roots    *x509.CertPool
	stops    []func()

	mu      sync.Mutex
	proxies map[string]*proxy
}

// proxy is a running one.
type proxy struct {
	*process
	kind  string
	addr  string
	world *world
}

// the is the world that most tests share.
var the *world

var binary string // gatepost

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "gatepost-e2e-")
	if err == nil {
		err = os.Chmod(dir, 0o755) // proxies run as nobody
	}
	if err == nil {
		binary = filepath.Join(dir, "gatepost")
		var out []byte
		if out, err = exec.Command("go", "build", "-o", binary, "../../cmd/gatepost").CombinedOutput(); err != nil {
			err = fmt.Errorf("%w: %s", err, out)
		}
	}
	if err == nil {
		the, err = newWorld(filepath.Join(dir, "world"), authHost, otherAuth)
	}
	code := 1
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
	} else {
		code = m.Run()
	}
	if the != nil {
		the.stop()
	}
	if code != 0 {
		fmt.Fprintln(os.Stderr, "logs and configurations are in", dir)
	} else {
		os.RemoveAll(dir)
	}
	os.Exit(code)
}

func newWorld(dir, signIn, other string) (*world, error) {
	return (&world{dir: dir, signIn: signIn, other: other}).begin()
}

// anotherWorld is one beside the tests' own, for t alone.
func anotherWorld(t *testing.T, name, signIn, other string) *world {
	t.Helper()
	w, err := newWorld(filepath.Join(the.dir, name), signIn, other)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.stop)
	return w
}

func (w *world) begin() (_ *world, err error) {
	dir := w.dir
	w.proxies = map[string]*proxy{}
	defer func() {
		if err != nil {
			w.stop()
		}
	}()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return w, err
	}
	if err := w.certify(); err != nil {
		return w, err
	}
	if w.app, err = startApp(); err != nil {
		return w, err
	}
	w.stops = append(w.stops, func() { w.app.srv.Close() })
	if w.postgres, err = devpg.Start(context.Background(), devpg.Options{Dir: filepath.Join(dir, "postgres")}); err != nil {
		return w, err
	}
	w.stops = append(w.stops, func() { w.postgres.Stop() })
	if err := w.configure(); err != nil {
		return w, err
	}
	if out, err := w.command("migrate"); err != nil {
		return w, fmt.Errorf("migrate: %w: %s", err, out)
	}
	return w, w.serve()
}

// serve starts Gatepost, where it was before if there was one.
func (w *world) serve() (err error) {
	if w.gatepost, err = start("gatepost", w.dir, false, binary, "--config", w.file, "serve"); err != nil {
		return err
	}
	w.stops = append(w.stops, w.gatepost.stop)
	return w.gatepost.listening(w.addr)
}

func (w *world) stop() {
	for _, stop := range slices.Backward(w.stops) {
		stop()
	}
}

// command runs one of gatepost's.
func (w *world) command(args ...string) (string, error) {
	cmd := exec.Command(binary, append([]string{"--config", w.file}, args...)...)
	cmd.Env = []string{}
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// sql runs a statement in the world's database.
func (w *world) sql(t *testing.T, statement string) string {
	t.Helper()
	bin, err := devpg.FindBinaries()
	if err != nil {
		t.Fatal(err)
	}
	psql := filepath.Join(bin, "psql")
	if _, err := os.Stat(psql); err != nil {
		psql = "psql"
	}
	out, err := exec.Command(psql, "-XAtqc", statement, w.postgres.URL()).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v: %s", statement, err, out)
	}
	return strings.TrimSpace(string(out))
}

// configure writes Gatepost's configuration: a production's shape, but for the
// provider on loopback.
func (w *world) configure() error {
	var idp *devidp.Server
	provider := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { idp.ServeHTTP(rw, r) }))
	w.stops = append(w.stops, provider.Close)
	var err error
	if idp, err = devidp.New(provider.URL); err != nil {
		return err
	}
	google := idp.ProviderConfig("google", w.home()+"/callback/google")
	w.addr = ports.FreeAddr()
	trusted, mode := "127.0.0.1/32", "0660"
	if w.socket { // proxies are another user
		w.addr, trusted, mode = "unix:"+filepath.Join(w.dir, "gatepost.sock"), "unix", "0666"
	}
	type m = map[string]any
	raw, err := json.Marshal(m{
		"public_url": "https://" + w.signIn, "listen": w.addr, "admin_listen": "", "dev": true, "drain": "0s",
		"keys": []string{rand.Text() + rand.Text()}, "compat": []string{"oauth2-proxy", "authelia", "tinyauth"}, "trusted_proxies": []string{trusted}, "socket_mode": mode,
		"database": m{"url": w.postgres.URL()}, "session": m{"max_per_user": 0}, "cookie": m{"domain": "example.org", "sites": []m{{"url": "https://" + w.other, "domain": "example.net"}}}, "log": m{"format": "text"},
		"providers": []m{{"id": "google", "client_id": google.ClientID, "client_secret": google.ClientSecret, "override": google.Override, "allow_private_network": true}},
		"gate": m{
			"groups": m{"admins": []string{"ada@example.org"}},
			"rules": []m{
				{"host": appHost, "path": []string{"/open", "/gatepost-probe/open"}, "allow": "public"},
				{"host": appHost, "path": "/office", "network": "192.0.2.0/24", "allow": "public"},
				{"host": appHost, "path": "/local", "network": clientAddr, "allow": "public"},
				{"host": appHost, "path": "/admin", "allow": "group:admins"},
				{"host": appHost, "path": "/api", "allow": "signed-in", "preflight": "allow"},
				{"host": []string{appHost, otherApp}, "allow": "signed-in"},
				{"host": []string{openHost, "gatepost-probe.invalid"}, "allow": "public"},
			},
		},
	})
	if err != nil {
		return err
	}
	w.file = filepath.Join(w.dir, "gatepost.yaml") // JSON is YAML
	return os.WriteFile(w.file, raw, 0o600)
}

// certify makes the certificate of all hosts.
func (w *world) certify() error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	cert := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "gatepost tests"}, DNSNames: []string{"*.example.org", "*.example.net"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, cert, cert, key.Public(), key)
	if err != nil {
		return err
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	both := append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})...)
	w.roots = x509.NewCertPool()
	w.roots.AppendCertsFromPEM(both)
	if _, err := tls.X509KeyPair(both, both); err != nil {
		return err
	}
	// HAProxy wants both in one file; the others take one file twice.
	return os.WriteFile(w.pem(), both, 0o644)
}

func (w *world) pem() string { return filepath.Join(w.dir, "example.org.pem") }

// starters say how a proxy runs its configuration in dir, unprivileged and on
// loopback only.
var starters = map[string]func(w *world, dir string, site config.Site, change func(string) string) (argv []string, err error){
	"nginx":   nginxIn,
	"caddy":   caddyIn,
	"haproxy": haproxyIn,
	"apache":  apacheIn,
	"traefik": traefikIn,
}

// kinds are the proxies, in the order of the documentation. Traefik is no
// distribution's package: «make e2e-traefik» builds it and names it.
func kinds() []string {
	var all []string
	for _, k := range config.Kinds {
		if starters[k] != nil && (k != "traefik" || os.Getenv("GATEPOST_E2E_TRAEFIK") != "") {
			all = append(all, k)
		}
	}
	return all
}

// home is the address of the sign-in pages.
func (w *world) home() string { return "https://" + w.signIn + "/auth" }

// port is ":8443" where browsers see one.
func (w *world) port() string { return w.signIn[len(w.pages()[0]):] }

// pages are the hosts of the pages, without port.
func (w *world) pages() []string {
	signIn, _, _ := strings.Cut(w.signIn, ":")
	other, _, _ := strings.Cut(w.other, ":")
	return []string{signIn, other}
}

func (w *world) site() config.Site {
	return config.Site{Hosts: []string{otherApp, appHost, openHost}, Pages: w.pages(), BasePath: "/auth", Gatepost: w.addr, Upstream: w.app.addr,
		Listen: ports.FreeAddr(), Certificate: w.pem(), Key: w.pem()}
}

// proxy is the world's own of that kind, started once.
func (w *world) proxy(t *testing.T, kind string) *proxy {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	p := w.proxies[kind]
	if p == nil {
		var err error
		if p, err = w.start(kind, kind, w.site(), func(s string) string { return s }); err != nil {
			t.Fatal(err)
		}
		w.stops = append(w.stops, p.stop)
		w.proxies[kind] = p
	}
	p.shownOnFailure(t)
	return p
}

// changed is a proxy of a test's own, whose configuration was changed.
func (w *world) changed(t *testing.T, kind string, site config.Site, change func(string) string) *proxy {
	t.Helper()
	p, err := w.start(kind, kind+"-"+rand.Text()[:8], site, change)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.stop)
	p.shownOnFailure(t)
	return p
}

func (w *world) start(kind, name string, site config.Site, change func(string) string) (*proxy, error) {
	dir := filepath.Join(w.dir, name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	argv, err := starters[kind](w, dir, site, change)
	if err == nil {
		err = handOver(dir)
	}
	if err != nil {
		return nil, err
	}
	p := &proxy{kind: kind, addr: site.Listen, world: w}
	if p.process, err = start(kind, dir, true, argv...); err != nil {
		return nil, err
	}
	if err := errors.Join(p.listening(p.addr), p.handshakes()); err != nil {
		p.stop()
		return nil, err
	}
	return p, nil
}

// handshakes waits until p has its certificate: Traefik listens first and reads
// then.
func (p *proxy) handshakes() (err error) {
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end) && !p.gone(); time.Sleep(20 * time.Millisecond) {
		conn, dialErr := p.dial("")
		if err = dialErr; err != nil {
			continue
		}
		err = conn.Handshake()
		conn.Close()
		if err == nil {
			return nil
		}
	}
	return fmt.Errorf("%s does not speak TLS: %v", p.name, err)
}

func nginxIn(w *world, dir string, site config.Site, change func(string) string) ([]string, error) {
	text, err := config.Config("nginx", site)
	if err != nil {
		return nil, err
	}
	main := filepath.Join(dir, "main.conf")
	around := fmt.Sprintf("daemon off;\npid %[1]s/pid;\nerror_log stderr info;\nworker_processes 1;\nevents { worker_connections 256; }\nhttp {\n"+
		"access_log off;\nclient_body_temp_path %[1]s/t1;\nproxy_temp_path %[1]s/t2;\nfastcgi_temp_path %[1]s/t3;\nuwsgi_temp_path %[1]s/t4;\nscgi_temp_path %[1]s/t5;\ninclude %[1]s/gatepost.conf;\n}\n", dir)
	if err := os.WriteFile(filepath.Join(dir, "gatepost.conf"), []byte(change(text)), 0o644); err != nil {
		return nil, err
	}
	return []string{"nginx", "-p", dir, "-e", "stderr", "-c", main}, os.WriteFile(main, []byte(around), 0o644)
}

func caddyIn(_ *world, dir string, site config.Site, change func(string) string) ([]string, error) {
	text, err := config.Config("caddy", site)
	if err != nil {
		return nil, err
	}
	file := filepath.Join(dir, "Caddyfile")
	around := "{\n\tadmin off\n\tauto_https disable_redirects\n\tskip_install_trust\n\tdefault_bind " + site.Address() + "\n}\n"
	return []string{"caddy", "run", "--config", file, "--adapter", "caddyfile"}, os.WriteFile(file, []byte(around+change(text)), 0o644)
}

func haproxyIn(_ *world, dir string, site config.Site, change func(string) string) ([]string, error) {
	text, err := config.Config("haproxy", site)
	if err != nil {
		return nil, err
	}
	script, err := config.Part("haproxy", "gatepost.lua", site)
	if err != nil {
		return nil, err
	}
	file, lua := filepath.Join(dir, "haproxy.cfg"), filepath.Join(dir, "gatepost.lua")
	if err := os.WriteFile(lua, []byte(change(script)), 0o644); err != nil {
		return nil, err
	}
	text = strings.Replace(change(text), "/etc/haproxy/gatepost.lua", lua, 1)
	return []string{"haproxy", "-f", file}, os.WriteFile(file, []byte(text), 0o644)
}

func apacheIn(_ *world, dir string, site config.Site, change func(string) string) ([]string, error) {
	text, err := config.Config("apache", site)
	if err != nil {
		return nil, err
	}
	script, err := config.Part("apache", "gatepost.lua", site)
	if err != nil {
		return nil, err
	}
	modules, program := "", "apache2"
	for _, folder := range []string{"/usr/lib/apache2/modules", "/usr/lib64/httpd/modules", "/usr/lib/apache2", "/opt/homebrew/opt/httpd/lib/httpd/modules"} {
		if _, err := os.Stat(filepath.Join(folder, "mod_lua.so")); err == nil {
			modules = folder
			break
		}
	}
	if _, err := find(program); err != nil {
		program = "httpd"
	}
	var around strings.Builder
	for _, m := range []string{"mpm_event", "unixd", "authz_core", "ssl", "http2", "headers", "proxy", "proxy_http", "lua"} {
		fmt.Fprintf(&around, "<IfModule !%[1]s_module>\nLoadModule %[1]s_module %[2]s/mod_%[1]s.so\n</IfModule>\n", m, modules)
	}
	fmt.Fprintf(&around, "ServerRoot %[1]s\nDefaultRuntimeDir %[1]s\nPidFile %[1]s/pid\nMutex file:%[1]s default\nErrorLog %[1]s/apache.log\nLogLevel warn\nServerName localhost\nListen %[2]s\nInclude %[1]s/gatepost.conf\n", dir, site.Listen)
	lua := filepath.Join(dir, "gatepost.lua")
	text = strings.ReplaceAll(change(text), "/etc/apache2/gatepost.lua", lua)
	for file, content := range map[string]string{lua: change(script), filepath.Join(dir, "gatepost.conf"): text, filepath.Join(dir, "main.conf"): around.String()} {
		if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
			return nil, err
		}
	}
	return []string{program, "-DFOREGROUND", "-f", filepath.Join(dir, "main.conf")}, nil
}

func traefikIn(_ *world, dir string, site config.Site, change func(string) string) ([]string, error) {
	dynamic, err := config.Config("traefik", site)
	if err != nil {
		return nil, err
	}
	static, err := config.Part("traefik", "traefik-static.yaml", site)
	if err != nil {
		return nil, err
	}
	folder := filepath.Join(dir, "dynamic")
	static = strings.Replace(change(static), "/etc/traefik/dynamic", folder, 1) + "global: {checkNewVersion: false, sendAnonymousUsage: false}\nlog: {level: INFO}\n"
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(folder, "gatepost.yaml"), []byte(change(dynamic)), 0o644); err != nil {
		return nil, err
	}
	file := filepath.Join(dir, "traefik.yaml")
	return []string{"traefik", "--configfile=" + file}, os.WriteFile(file, []byte(static), 0o644)
}
