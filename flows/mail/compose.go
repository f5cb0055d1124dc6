package mail

import (
	"bytes"
	"crypto/rand"
	"embed"
	"fmt"
	htmltemplate "html/template"
	"io/fs"
	"net/textproto"
	"os"
	"strings"
	texttemplate "text/template"
	"time"

	"github.com/jordan-wright/email"
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
	URL     string
	Code    string // "123 456"
	Site    string
	Minutes int
}

func newTemplates(dir string) (*templates, error) {
	text, err := source(dir, "link.txt")
	if err != nil {
		return nil, err
	}
	html, err := source(dir, "link.html")
	if err != nil {
		return nil, err
	}
	t := &templates{}
	if t.text, err = texttemplate.New("link.txt").Option("missingkey=error").Parse(text); err != nil {
		return nil, fmt.Errorf("mail template: %w", err)
	}
	if t.html, err = htmltemplate.New("link.html").Option("missingkey=error").Parse(html); err != nil {
		return nil, fmt.Errorf("mail template: %w", err)
	}
	// A field that does not exist shows only when the template runs.
	if _, _, err := t.render(words{URL: "https://example.org", Code: "123 456", Site: "example.org", Minutes: 10}); err != nil {
		return nil, fmt.Errorf("mail template: %w", err)
	}
	return t, nil
}

func source(dir, name string) (string, error) {
	if dir != "" {
		raw, err := os.ReadFile(dir + "/" + name)
		if err == nil || !os.IsNotExist(err) {
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

// compose writes the message: one recipient, and headers of ours alone, since
// the library copies what it is given into them (security M-13, M-19, K-M2, K-M6).
func (m *Mailer) compose(l Link) ([]byte, error) {
	for _, field := range []string{l.To, l.Site, m.smtp.from.String()} {
		if strings.ContainsAny(field, "\r\n\x00") {
			return nil, &refusedError{fmt.Errorf("a header would hold a line break"), true}
		}
	}
	code := l.Code
	if len(code) == 6 {
		code = code[:3] + " " + code[3:]
	}
	text, html, err := m.templates.render(words{l.URL, code, l.Site, int(l.Expires / time.Minute)})
	if err != nil {
		return nil, err
	}
	e := email.NewEmail()
	e.From, e.To, e.Subject, e.Text, e.HTML = m.smtp.from.String(), []string{l.To}, "Sign in to "+l.Site, text, html
	e.Headers = textproto.MIMEHeader{
		"Message-Id":     {"<" + strings.ToLower(rand.Text()) + "@" + m.smtp.domain + ">"},
		"Date":           {time.Now().UTC().Format(time.RFC1123Z)},
		"Auto-Submitted": {"auto-generated"},
	}
	return e.Bytes()
}
