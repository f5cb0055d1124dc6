package app

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/gatepost/gatepost/"

// rooms says what each room may import of ours; arrows go down only.
var rooms = map[string][]string{
	"migrations":       {},
	"store":            {"migrations"},
	"providers":        {},
	"flows/gate":       {},
	"flows/locale":     {},
	"flows/nextauth":   {},
	"flows/mail":       {"flows/locale"},
	"flows/hooks":      {},
	"flows":            {"store", "providers", "flows/mail", "flows/hooks", "flows/gate", "flows/nextauth"},
	"web":              {"flows", "flows/gate", "flows/locale", "flows/nextauth", "store", "providers"},
	"cmd/internal/app": {"web", "flows", "flows/gate", "flows/locale", "flows/mail", "flows/hooks", "flows/nextauth", "store", "providers"},
	"cmd/gatepost":     {"cmd/internal/app", "cmd/internal/probe", "store", "docs/proxies"},
	"cmd/gatepost-dev": {"cmd/internal/app", "store", "store/devpg", "flows/mail/devmail", "providers", "providers/devidp"},
	"store/devpg":      {}, "store/storetest": {"store", "store/devpg", "e2e/ports"}, "flows/mail/devmail": {}, "providers/devidp": {"providers"},
	"docs/proxies": {}, "e2e/proxies": {}, "e2e/ports": {}, "cmd/internal/probe": {},
	"bench": {}, "bench/measure": {"store/devpg"}, "bench/gate": {"bench/measure", "e2e/ports", "flows", "store"}, "bench/nextauth": {"bench/measure", "e2e/ports", "store"},
}

// doors says through which rooms a dependency comes in. bench/gate is a program
// of its own: the limit that it compares with is a bare Echo handler, and it
// seals and stores a hundred thousand sessions that nobody signed in for.
var doors = map[string][]string{
	"github.com/labstack/echo/v4": {"web", "bench/gate"}, "github.com/gorilla/securecookie": {"web", "bench/gate"}, "github.com/jackc/pgx/v5": {"store", "store/storetest", "bench/measure"},
	"golang.org/x/oauth2": {"providers"}, "github.com/go-jose/go-jose/v4": {"providers", "providers/devidp"}, "github.com/jordan-wright/email": {"flows/mail"},
	"github.com/emersion/go-smtp": {"flows/mail/devmail"}, "go.yaml.in/yaml/v4": {"cmd/internal/app", "providers"}, "github.com/alecthomas/kong": {"cmd/gatepost"},
	"golang.org/x/text/language": {"flows/locale"}, "golang.org/x/text/feature/plural": {"flows/locale"},
	"github.com/prometheus/client_golang": {"cmd/internal/app"},
}

func TestImportsGoDownAndDependenciesHaveOneDoor(t *testing.T) {
	out, err := exec.Command("go", "list", "-tags", "e2e", "-json=ImportPath,Imports,Deps", module+"...").Output()
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for d := json.NewDecoder(strings.NewReader(string(out))); ; seen++ {
		var p struct {
			ImportPath    string
			Imports, Deps []string
		}
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		room := strings.TrimPrefix(p.ImportPath, module)
		allowed, known := rooms[room]
		if !known {
			t.Errorf("%s is no room of the house", room)
		}
		for _, i := range p.Imports {
			if ours, ok := strings.CutPrefix(i, module); ok && !slices.Contains(allowed, ours) {
				t.Errorf("%s imports %s", room, ours)
			}
			for dependency, open := range doors {
				if (i == dependency || strings.HasPrefix(i, dependency+"/")) && !slices.Contains(open, room) {
					t.Errorf("%s imports %s, which comes in through %v", room, i, open)
				}
			}
		}
		if room == "cmd/gatepost" {
			for _, d := range p.Deps {
				if strings.HasSuffix(d, "/devpg") || strings.HasSuffix(d, "/devidp") || strings.HasSuffix(d, "/devmail") || d == "testing" {
					t.Errorf("the product links %s", d)
				}
			}
		}
	}
	if seen < len(rooms) {
		t.Errorf("%d packages, %d rooms", seen, len(rooms))
	}
}
