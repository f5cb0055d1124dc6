package devidp

import (
	"bytes"
	"html/template"
	"net/http"
	"net/url"

	"github.com/gatepost/gatepost/providers"
)

const style = `<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{{.Name}} (development)</title><style>
:root{color-scheme:light dark;--ink:#171b22;--soft:#525b69;--line:#8a93a2;--ground:#f3f5f8;--card:#fff}
@media(prefers-color-scheme:dark){:root{--ink:#eef1f6;--soft:#aeb6c4;--line:#7c8696;--ground:#12151a;--card:#1b1f27}}
*{box-sizing:border-box}body{margin:0;min-height:100vh;display:grid;place-items:center;padding:24px 16px;background:var(--ground);color:var(--ink);font:16px/1.5 system-ui,sans-serif}
main{width:100%;max-width:400px;background:var(--card);border-radius:16px;padding:32px}h1{font-size:22px;margin:0 0 4px}p{color:var(--soft);margin:0 0 20px}
button{display:block;width:100%;min-height:48px;margin:10px 0;padding:8px 16px;border:1px solid var(--line);border-radius:12px;background:transparent;color:inherit;font:inherit;text-align:start;cursor:pointer}button small{display:block;color:var(--soft)}</style></head><body><main>`

var choosePage = template.Must(template.New("choose").Parse(style + `<h1>Sign in with {{.Name}}</h1><p>The development provider. Nobody needs an account.</p>
<form method="post" action="?{{.Query}}">{{range .People}}<button name="person" value="{{.ID}}">{{.Name}}<small>{{if .Email}}{{.Email}}{{if not .Verified}}, not verified{{end}}{{else}}no address{{end}}</small></button>{{end}}
<button name="person" value="">Decline</button></form></main></body></html>`))

var postPage = template.Must(template.New("post").Parse(style + `<h1>{{.Name}}</h1><p>This provider posts its answer.</p><form method="post" action="{{.Target}}">{{range $k, $v := .Fields}}<input type="hidden" name="{{$k}}" value="{{index $v 0}}">{{end}}<button>Continue</button></form></main></body></html>`))

func (s *Server) choose(w http.ResponseWriter, r *http.Request, doc providers.Provider) {
	show(w, choosePage, map[string]any{"Name": doc.Name, "People": People, "Query": template.URL(r.URL.Query().Encode())})
}

func (s *Server) formPost(w http.ResponseWriter, target string, fields url.Values) {
	show(w, postPage, map[string]any{"Name": "Almost there", "Target": target, "Fields": fields})
}

func show(w http.ResponseWriter, t *template.Template, v any) {
	var b bytes.Buffer
	if err := t.Execute(&b, v); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Write(b.Bytes())
}
