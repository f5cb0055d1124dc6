package app

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"
)

// The environment that the container files set is a configuration without a
// mistake: the image's own, and each of our services in compose.yaml.
func TestContainerFiles(t *testing.T) {
	dockerfile, err := os.ReadFile("../../../Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	var image []string
	for _, m := range regexp.MustCompile(`(?m)^ENV (\S+=\S+)$`).FindAllStringSubmatch(string(dockerfile), -1) {
		image = append(image, m[1])
	}
	targets := regexp.MustCompile(`(?m)^FROM \S+ AS (\S+)$`).FindAllStringSubmatch(string(dockerfile), -1)
	if len(targets) == 0 || targets[len(targets)-1][1] != "gatepost" || !strings.Contains(string(dockerfile), "USER 65532:65532") {
		t.Errorf("the last target is not the product's, without root: %v", targets)
	}
	raw, err := os.ReadFile("../../../compose.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var compose struct {
		Services map[string]struct {
			Build       string
			Environment map[string]string
			DependsOn   map[string]struct{ Condition string } `yaml:"depends_on"`
		}
	}
	if err := yaml.Unmarshal(raw, &compose); err != nil {
		t.Fatal(err)
	}
	required := regexp.MustCompile(`\$\{\w+:\?[^}]*\}`)
	ours := 0
	for name, service := range compose.Services {
		for on := range service.DependsOn {
			if _, ok := compose.Services[on]; !ok {
				t.Errorf("%s depends on %s, which is not there", name, on)
			}
		}
		if service.Build == "" {
			continue
		}
		ours++
		environ := image
		for variable, v := range service.Environment {
			environ = append(environ, variable+"="+required.ReplaceAllLiteralString(v, NewKey()))
		}
		if _, err := Load("", environ); err != nil {
			t.Errorf("%s:\n%v", name, err)
		}
	}
	if ours != 2 {
		t.Errorf("%d services of ours, want migrate and gatepost", ours)
	}
}
