//go:build e2e

package proxies_test

import (
	"strings"
	"testing"

	config "github.com/gatepost/gatepost/docs/proxies"
)

// The command fills the texts from the configuration: the gate's hosts, and
// where the sign-in pages and Gatepost are.
func TestProxyConfigCommand(t *testing.T) {
	site := the.site()
	site.Hosts = []string{otherApp, appHost, "gatepost-probe.invalid", openHost}
	for _, kind := range config.Kinds {
		want, err := config.Config(kind, site)
		if err != nil {
			t.Fatal(err)
		}
		got, err := the.command("proxy-config", kind, "--upstream", site.Upstream, "--listen", site.Listen, "--certificate", site.Certificate, "--key", site.Key)
		if err != nil || got != want {
			t.Errorf("%s: %v\n%s", kind, err, got)
		}
	}
	if got, err := the.command("proxy-config", "apache", "gatepost.lua"); err != nil || !strings.Contains(got, `"http://`+the.addr+`/auth/forward"`) {
		t.Errorf("%v %s", err, got)
	}
	for _, args := range [][]string{{"squid"}, {"nginx", "gatepost.lua"}, {"nginx", "--upstream", "a;b:1"}} {
		if got, err := the.command(append([]string{"proxy-config"}, args...)...); err == nil {
			t.Errorf("%v: %s", args, got)
		}
	}
}
