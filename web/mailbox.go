package web

import (
	"net/mail"
	"net/url"
	"slices"
	"strings"
)

// mailHosts are places where people read mail in a browser, by the domain of
// their address.
var mailHosts = []struct {
	name, url string
	domains   []string
}{
	{"Gmail", "https://mail.google.com/mail/", []string{"gmail.com", "googlemail.com"}},
	{"Outlook", "https://outlook.live.com/mail/", []string{"outlook.com", "hotmail.com", "live.com", "msn.com", "outlook.de", "outlook.fr", "outlook.es", "outlook.it", "outlook.jp", "hotmail.de", "hotmail.fr", "hotmail.es", "hotmail.it", "hotmail.co.uk", "live.fr", "live.nl"}},
	{"iCloud Mail", "https://www.icloud.com/mail/", []string{"icloud.com", "me.com", "mac.com"}},
	{"Yahoo Mail", "https://mail.yahoo.com/", []string{"yahoo.com", "ymail.com", "rocketmail.com", "yahoo.de", "yahoo.fr", "yahoo.es", "yahoo.it", "yahoo.co.uk", "yahoo.com.br"}},
	{"Proton Mail", "https://mail.proton.me/", []string{"proton.me", "protonmail.com", "pm.me"}},
	{"AOL Mail", "https://mail.aol.com/", []string{"aol.com"}},
	{"Fastmail", "https://app.fastmail.com/", []string{"fastmail.com", "fastmail.fm"}},
	{"GMX", "https://www.gmx.net/", []string{"gmx.net", "gmx.de", "gmx.at", "gmx.ch"}},
	{"GMX", "https://www.gmx.com/", []string{"gmx.com"}},
	{"WEB.DE", "https://web.de/", []string{"web.de"}},
	{"Zoho Mail", "https://mail.zoho.com/", []string{"zoho.com", "zohomail.com"}},
	{"HEY", "https://app.hey.com/", []string{"hey.com"}},
	{"Tuta", "https://app.tuta.com/", []string{"tuta.com", "tutanota.com", "tuta.io"}},
	{"Orange", "https://messagerie.orange.fr/", []string{"orange.fr", "wanadoo.fr"}},
	{"Libero", "https://mail.libero.it/", []string{"libero.it"}},
	{"WP", "https://poczta.wp.pl/", []string{"wp.pl"}},
	{"Onet", "https://poczta.onet.pl/", []string{"onet.pl", "op.pl"}},
	{"Yandex Mail", "https://mail.yandex.com/", []string{"yandex.com", "yandex.ru", "ya.ru"}},
	{"Mail.ru", "https://e.mail.ru/", []string{"mail.ru", "bk.ru", "inbox.ru", "list.ru"}},
	{"QQ Mail", "https://mail.qq.com/", []string{"qq.com", "foxmail.com"}},
	{"163 Mail", "https://mail.163.com/", []string{"163.com"}},
	{"Naver Mail", "https://mail.naver.com/", []string{"naver.com"}},
}

// mailbox is where the mail to address can be read, "" if that cannot be told
// from its domain. Gmail is asked for what sender sent in the last hour, spam
// included, in the account of that address.
func mailbox(address, sender string) (name, link string) {
	_, domain, _ := strings.Cut(address, "@")
	for _, h := range mailHosts {
		if !slices.Contains(h.domains, domain) {
			continue
		}
		if h.name == "Gmail" {
			search := url.PathEscape("from:(" + sender + ") in:anywhere newer_than:1h")
			return h.name, h.url + "?" + url.Values{"authuser": {address}}.Encode() + "#search/" + search
		}
		return h.name, h.url
	}
	return "", ""
}

// addressOf is the bare address of a sender such as «Example <a@example.org>».
func addressOf(sender string) string {
	a, err := mail.ParseAddress(sender)
	if err != nil {
		return ""
	}
	return a.Address
}
