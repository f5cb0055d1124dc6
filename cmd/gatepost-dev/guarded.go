package main

import (
	"bytes"
	"html/template"
	"io"
	"net/http"
	"time"
)

// guard is a reverse proxy in front of the application's protected pages: it
// asks the gate about each request, as nginx or Traefik would, and lets the
// page see only what the gate says of the visitor.
func guard(w world) http.Handler {
	client := &http.Client{Timeout: 5 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	return http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
		ask, err := http.NewRequestWithContext(r.Context(), http.MethodGet, w.gatepost+"/auth/forward", nil)
		if err != nil {
			http.Error(out, err.Error(), http.StatusInternalServerError)
			return
		}
		ask.Header = r.Header.Clone()
		for name, value := range map[string]string{"Method": r.Method, "Proto": "http", "Host": r.Host, "Uri": r.RequestURI, "For": "127.0.0.1"} {
			ask.Header.Set("X-Forwarded-"+name, value)
		}
		resp, err := client.Do(ask)
		if err != nil {
			http.Error(out, "Gatepost does not answer.", http.StatusServiceUnavailable)
			return
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			for _, name := range []string{"Location", "Content-Type", "Content-Security-Policy", "Cache-Control", "Retry-After"} {
				if v := resp.Header.Get(name); v != "" {
					out.Header().Set(name, v)
				}
			}
			out.WriteHeader(resp.StatusCode)
			io.Copy(out, resp.Body)
			return
		}
		var b bytes.Buffer
		guardedPage.Execute(&b, map[string]any{"Path": r.URL.Path, "App": w.app, "User": resp.Header.Get("Remote-User"), "Name": resp.Header.Get("Remote-Name"),
			"Groups": resp.Header.Get("Remote-Groups"), "Assertion": resp.Header.Get("X-Gatepost-Assertion")})
		out.Header().Set("Content-Type", "text/html; charset=utf-8")
		out.Header().Set("Cache-Control", "no-store")
		out.Write(b.Bytes())
	})
}

var guardedPage = template.Must(template.Must(demoPage.Clone()).Parse(`{{define "body"}}<h1>Behind the gate</h1>
<p>The proxy asked the gate about <code>{{.Path}}</code>, and was told who you are:</p>
<dl><dt>Remote-User</dt><dd>{{.User}}</dd><dt>Remote-Name</dt><dd>{{.Name}}</dd><dt>Remote-Groups</dt><dd>{{or .Groups "none"}}</dd><dt>X-Gatepost-Assertion</dt><dd class="long">{{.Assertion}}</dd></dl>
<p><a href="{{.App}}">Back</a></p>{{end}}`))
