package web

import (
	"slices"
	"strings"
)

// Marks in a User-Agent, the first found counts: browsers name those that they
// descend from. What is shown is always from these lists, never the header.
var (
	browsers = [][2]string{
		{"Edg", "Edge"}, {"OPR/", "Opera"}, {"Opera", "Opera"}, {"Vivaldi", "Vivaldi"}, {"SamsungBrowser", "Samsung Internet"}, {"YaBrowser", "Yandex Browser"},
		{"Firefox/", "Firefox"}, {"FxiOS", "Firefox"}, {"DuckDuckGo", "DuckDuckGo"}, {"CriOS", "Chrome"}, {"Chromium", "Chromium"}, {"Chrome/", "Chrome"}, {"Safari/", "Safari"},
	}
	systems = [][2]string{
		{"iPhone", "iPhone"}, {"iPad", "iPad"}, {"Android", "Android"}, {"CrOS", "ChromeOS"}, {"Windows", "Windows"}, {"Mac OS X", "macOS"}, {"Macintosh", "macOS"}, {"Linux", "Linux"}, {"BSD", "BSD"},
	}
)

// appMarks are what browsers inside other apps add. Home-screen applications of
// iOS have none of them and are fine.
var appMarks = []string{
	"; wv)", "FBAN/", "FBAV/", "FB_IAB", "Instagram ", "Barcelona ", " Line/", "MicroMessenger/", "Snapchat/", "BytedanceWebview", "musical_ly", "TikTok",
	"Twitter for ", "LinkedInApp", "Pinterest/", "KAKAOTALK", "NAVER(inapp",
}

// inApp reports a browser inside another app, which some providers refuse.
func inApp(userAgent string) bool {
	return slices.ContainsFunc(appMarks, func(mark string) bool { return strings.Contains(userAgent, mark) })
}

// agent names browser and system as a person would, "" for what it does not
// know.
func agent(userAgent string) (browser, system string) {
	return firstOf(browsers, userAgent), firstOf(systems, userAgent)
}

func firstOf(marks [][2]string, userAgent string) string {
	for _, m := range marks {
		if strings.Contains(userAgent, m[0]) {
			return m[1]
		}
	}
	return ""
}
