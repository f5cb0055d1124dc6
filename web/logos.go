package web

import (
	"io/fs"
	"math"
	"path"
	"regexp"
	"strconv"
	"strings"
)

// logos are the embedded pictures of providers, by name, with the class that
// keeps each legible on a light and on a dark page.
func logos() (map[string]string, error) {
	names, err := fs.Glob(static, "static/logos/*.svg")
	if err != nil {
		return nil, err
	}
	classes := map[string]string{}
	for _, name := range names {
		raw, err := static.ReadFile(name)
		if err != nil {
			return nil, err
		}
		classes[strings.TrimSuffix(path.Base(name), ".svg")] = logoClass(string(raw))
	}
	return classes, nil
}

var (
	colour  = regexp.MustCompile(`#([0-9A-Fa-f]{6}|[0-9A-Fa-f]{3})\b`)
	shapes  = regexp.MustCompile(`<(path|circle|rect|ellipse|polygon)[^>]*>`)
	grounds = regexp.MustCompile(`^<(rect[^>]* width="(2\d|100%)|circle[^>]* r="1[12])`)
)

// The cards of the style sheet, and the contrast under which a colour is lost
// on each.
const (
	lightCard = 0xffffff
	darkCard  = 0x181c23
	lostLight = 1.5
	lostDark  = 2.2
)

// logoClass says what a picture needs: «flip» for black and grey, turned over
// on a dark page; «tile» for colours that a dark page swallows, put on white;
// «pale» for those that a white page does.
func logoClass(svg string) string {
	colours := coloursOf(svg)
	pale, dark, grey := true, false, true
	for _, c := range colours {
		pale = pale && contrast(c, lightCard) < lostLight
		dark = dark || contrast(c, darkCard) < lostDark
		grey = grey && isGrey(c)
	}
	if first := shapes.FindString(svg); grounds.MatchString(first) && len(colours) > 0 && !grey {
		// The rest is seen against this first shape, not against the card.
		dark = contrast(colours[0], darkCard) < lostDark
	}
	switch {
	case pale:
		return "pale"
	case dark && grey:
		return "flip"
	case dark:
		return "tile"
	}
	return ""
}

// coloursOf are the colours that a picture is drawn in; a shape that names none
// is black, unless a group around it names one.
func coloursOf(svg string) []int {
	var found []int
	for _, m := range colour.FindAllStringSubmatch(svg, -1) {
		hex := m[1]
		if len(hex) == 3 {
			hex = string([]byte{hex[0], hex[0], hex[1], hex[1], hex[2], hex[2]})
		}
		c, err := strconv.ParseInt(hex, 16, 32)
		if err == nil {
			found = append(found, int(c))
		}
	}
	if strings.Contains(svg, "<g ") || strings.Contains(svg, "<svg ") && strings.Contains(svg[:strings.Index(svg, ">")+1], "fill=") {
		return found
	}
	for _, shape := range shapes.FindAllString(svg, -1) {
		if !strings.Contains(shape, "fill=") && !strings.Contains(shape, "stroke=") && !strings.Contains(shape, "style=") {
			return append(found, 0)
		}
	}
	return found
}

func isGrey(c int) bool {
	r, g, b := c>>16, c>>8&255, c&255
	return max(r, g, b)-min(r, g, b) < 24
}

// contrast is that of WCAG 2, from 1 to 21.
func contrast(a, b int) float64 {
	x, y := luminance(a), luminance(b)
	return (max(x, y) + 0.05) / (min(x, y) + 0.05)
}

func luminance(c int) float64 {
	linear := func(v int) float64 {
		s := float64(v&255) / 255
		if s <= 0.04045 {
			return s / 12.92
		}
		return math.Pow((s+0.055)/1.055, 2.4)
	}
	return 0.2126*linear(c>>16) + 0.7152*linear(c>>8) + 0.0722*linear(c)
}
