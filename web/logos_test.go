package web

import "testing"

func TestLogoClass(t *testing.T) {
	for _, tt := range []struct{ name, svg, want string }{
		{"no colour is black", `<svg viewBox="0 0 24 24"><path d="M0 0"/></svg>`, "flip"},
		{"nearly black", `<path fill="#181717"/>`, "flip"},
		{"black with white on it", `<rect fill="#000"/><path fill="#fff"/>`, "flip"},
		{"a bright colour", `<path fill="#F25022"/>`, ""},
		{"white on a bright colour", `<rect fill="#0866FF"/><path fill="#fff"/>`, ""},
		{"navy", `<path fill="#0B1D51"/>`, "tile"},
		{"dark grey and blue", `<path fill="#4D4D4D"/><path fill="#33C6E9"/>`, "tile"},
		{"yellow alone", `<path fill="#FFFC00"/>`, "pale"},
		{"yellow beside others", `<path fill="#FFB900"/><path fill="#7FBA00"/>`, ""},
		{"a bright ground with a dark letter", `<rect width="24" height="24" rx="5" fill="#FFE01B"/><path fill="#1a1a1a"/>`, ""},
		{"a dark ground with a bright letter", `<circle cx="12" cy="12" r="12" fill="#0B1D51"/><path fill="#FFE01B"/>`, "tile"},
		{"a bright spot beside a dark bar", `<circle cx="16" cy="8" r="7" fill="#FF424D"/><path fill="#052D49"/>`, "tile"},
		{"a colour for the whole", `<svg fill="#E24329"><path d="M0 0"/></svg>`, ""},
	} {
		if got := logoClass(tt.svg); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}

// Every picture that ships can be told from the card, light and dark.
func TestLogosAreLegible(t *testing.T) {
	all, err := logos()
	if err != nil || len(all) < 10 {
		t.Fatal(len(all), err)
	}
	for name, class := range all {
		raw, _ := static.ReadFile("static/logos/" + name + ".svg")
		best := map[int]float64{}
		for _, c := range coloursOf(string(raw)) {
			onDark := c
			if class == "flip" {
				onDark = 0xffffff - c
			}
			best[lightCard] = max(best[lightCard], contrast(c, lightCard))
			best[darkCard] = max(best[darkCard], contrast(onDark, darkCard))
		}
		if best[lightCard] < lostLight && class != "pale" || best[darkCard] < lostDark && class != "tile" {
			t.Errorf("%s (%q): contrast %.1f on light, %.1f on dark", name, class, best[lightCard], best[darkCard])
		}
	}
}
