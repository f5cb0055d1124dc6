package main

import (
	"bytes"
	"encoding/json"
	"html/template"
	"net/http"
	"net/url"
	"time"
)

// demo is an application of somebody's: it asks Gatepost who its visitor is, by
// passing the cookie on, as any application in any language would.
func demo(w world) http.Handler {
	client := &http.Client{Timeout: 5 * time.Second}
	return http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
		ask, err := http.NewRequestWithContext(r.Context(), http.MethodGet, w.gatepost+"/auth/session", nil)
		if err != nil {
			http.Error(out, err.Error(), http.StatusInternalServerError)
			return
		}
		ask.Header["Cookie"] = r.Header["Cookie"]
		resp, err := client.Do(ask)
		if err != nil {
			http.Error(out, "Gatepost does not answer.", http.StatusBadGateway)
			return
		}
		defer resp.Body.Close()
		var session struct {
			User    struct{ Name, Email, ID string }
			Expires string
		}
		if err := json.NewDecoder(resp.Body).Decode(&session); err != nil {
			http.Error(out, "Gatepost's answer is no JSON.", http.StatusBadGateway)
			return
		}
		query := "?callbackUrl=" + url.QueryEscape(w.app+"/")
		var b bytes.Buffer
		demoPage.Execute(&b, map[string]any{"User": session.User, "Expires": session.Expires, "SignedIn": session.User.ID != "",
			"SignIn": w.gatepost + "/auth/signin" + query, "SignOut": w.gatepost + "/auth/signout" + query, "Account": w.gatepost + "/auth/account", "Mailbox": w.mailbox, "App": w.app})
		out.Header().Set("Content-Type", "text/html; charset=utf-8")
		out.Header().Set("Cache-Control", "no-store")
		out.Write(b.Bytes())
	})
}

var demoPage = template.Must(template.New("").Parse(`<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Demo application</title><style>
:root{color-scheme:light dark;--ink:#171b22;--soft:#525b69;--ground:#f3f5f8;--card:#fff;--go:#2347c5}
@media(prefers-color-scheme:dark){:root{--ink:#eef1f6;--soft:#aeb6c4;--ground:#12151a;--card:#1b1f27;--go:#9db4ff}}
body{margin:0;min-height:100vh;display:grid;place-items:center;background:var(--ground);color:var(--ink);font:17px/1.5 system-ui,sans-serif}main{background:var(--card);border-radius:18px;padding:40px;max-width:460px}
h1{margin:0 0 8px;font-size:26px}p,dt{color:var(--soft)}a{color:var(--go)}dd{margin:0 0 8px;overflow-wrap:anywhere}.long{font-size:12px}</style></head><body><main>{{template "body" .}}</main></body></html>
{{define "body"}}{{if .SignedIn}}<h1>Hello, {{or .User.Name .User.Email "stranger"}}</h1><p>You are user {{.User.ID}}{{with .User.Email}}, {{.}}{{end}}. Your session lasts until {{.Expires}}.</p><p><a href="{{.Account}}">Your account</a> · <a href="{{.SignOut}}">Sign out</a></p>
{{else}}<h1>Demo application</h1><p>You are not signed in.</p><p><a href="{{.SignIn}}">Sign in</a></p>{{end}}<p><a href="{{.App}}/private">A page behind the gate</a> · <a href="{{.App}}/admin">one for ada@example.org alone</a></p><p><a href="{{.Mailbox}}">Mailbox</a></p>{{end}}`))
