package mail

import (
	"bytes"
	"crypto/rand"
	"embed"
	"errors"
	"fmt"
	htmltemplate "html/template"
	"io/fs"
	"net/mail"
	"net/textproto"
	"os"
	"path/filepath"
	"strings"
	texttemplate "text/template"
	"time"

	"github.com/jordan-wright/email"

	"github.com/gatepost/gatepost/flows/locale"
)

//go:embed templates
var builtIn embed.FS

type templates struct {
	text *texttemplate.Template
	html *htmltemplate.Template
}

// words is all that a template may say. Nothing in it was typed by whoever asked
// for the mail (security M-13).
type words struct {
	Lang, Dir string // of the language
	Subject   string
	URL       string
	Code      string // "123 456"
	Site      string
	Minutes   int
	language  *locale.Language
}

// T is the text of key in the language of the mail; values follow their names.
func (w words) T(key string, values ...any) (string, error) {
	if !w.language.Has(key) {
		return "", fmt.Errorf("there is no text %q", key)
	}
	return w.language.Text(key, values...), nil
}

func newWords(l Link, language *locale.Language) words {
	code := l.Code
	if len(code) == 6 {
		code = code[:3] + " " + code[3:]
	}
	return words{language.Tag, language.Dir, language.Text("mail.subject", "site", l.Site), l.URL, code, l.Site, int(l.Expires / time.Minute), language}
}

func newTemplates(dir string, language *locale.Language) (*templates, error) {
	if dir != "" {
		if info, err := os.Stat(dir); err != nil || !info.IsDir() {
			return nil, wrong("templates", "there is no folder %s", dir)
		}
		if file := replacesNothing(dir); file != "" {
			return nil, wrong("templates", "%s replaces nothing; the mail is link.txt and link.html", file)
		}
	}
	text, err := source(dir, "link.txt")
	if err != nil {
		return nil, wrong("templates", "%v", err)
	}
	html, err := source(dir, "link.html")
	if err != nil {
		return nil, wrong("templates", "%v", err)
	}
	t := &templates{}
	if t.text, err = texttemplate.New("link.txt").Option("missingkey=error").Parse(text); err != nil {
		return nil, wrong("templates", "%v", err)
	}
	if t.html, err = htmltemplate.New("link.html").Option("missingkey=error").Parse(html); err != nil {
		return nil, wrong("templates", "%v", err)
	}
	// A field or a text that does not exist shows only when the template runs.
	if _, _, err := t.render(newWords(Link{URL: "https://example.org", Code: "123456", Site: "example.org", Expires: 10 * time.Minute}, language)); err != nil {
		return nil, wrong("templates", "%v", err)
	}
	return t, nil
}

// replacesNothing finds a template that is none of ours: its name is misspelt.
func replacesNothing(dir string) string {
	for _, ending := range []string{".txt", ".html"} {
		files, _ := filepath.Glob(filepath.Join(dir, "*"+ending))
		for _, file := range files {
			if filepath.Base(file) != "link"+ending {
				return file
			}
		}
	}
	return ""
}

// source is the operator's own template where there is one, and ours.
func source(dir, name string) (string, error) {
	if dir != "" {
		raw, err := os.ReadFile(filepath.Join(dir, name))
		if err == nil || !errors.Is(err, fs.ErrNotExist) {
			return string(raw), err
		}
	}
	raw, err := fs.ReadFile(builtIn, "templates/"+name)
	return string(raw), err
}

func (t *templates) render(w words) (text, html []byte, err error) {
	var a, b bytes.Buffer
	if err := t.text.Execute(&a, w); err != nil {
		return nil, nil, err
	}
	if err := t.html.Execute(&b, w); err != nil {
		return nil, nil, err
	}
	return a.Bytes(), b.Bytes(), nil
}

// Parts are what a person reads of l: the subject and both bodies.
func (m *Mailer) Parts(l Link) (subject string, text, html []byte, err error) {
	w := newWords(l, m.languages.Named(l.Language))
	text, html, err = m.templates.render(w)
	return w.Subject, text, html, err
}

// compose writes the message: one recipient, and headers of ours alone, since
// the library copies what it is given into them (security M-13, M-19, K-M2, K-M6).
func (m *Mailer) compose(l Link) ([]byte, error) {
	for _, field := range []string{l.To, l.Site, m.smtp.from.String()} {
		if strings.ContainsAny(field, "\r\n\x00") {
			return nil, &refusedError{fmt.Errorf("a header would hold a line break"), true}
		}
	}
	subject, text, html, err := m.Parts(l)
	if err != nil {
		return nil, err
	}
	e := email.NewEmail()
	e.From, e.To, e.Subject, e.Text, e.HTML = m.smtp.from.String(), []string{"<" + recipient(l.To) + ">"}, subject, text, html
	e.Headers = textproto.MIMEHeader{
		"Message-Id":       {"<" + strings.ToLower(rand.Text()) + "@" + m.smtp.domain + ">"},
		"Date":             {time.Now().UTC().Format(time.RFC1123Z)},
		"Auto-Submitted":   {"auto-generated"},
		"Content-Language": {m.languages.Named(l.Language).Tag},
	}
	return e.Bytes()
}

// recipient is an address as envelope and header have it. A local part that is no
// dot-atom, such as a..b, is only one mailbox when it is quoted (RFC 5321 §4.1.2).
func recipient(address string) string {
	return strings.Trim((&mail.Address{Address: address}).String(), "<>")
}
