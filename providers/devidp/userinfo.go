package devidp

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/gatepost/gatepost/providers"
)

// userinfo answers a request that is as the document says.
func (s *Server) userinfo(w http.ResponseWriter, r *http.Request, id string, doc providers.Provider) {
	body, err := io.ReadAll(io.LimitReader(r.Body, 1<<16))
	if err != nil {
		return
	}
	if doc.Protocol == "openid2" {
		answer(w, http.StatusOK, play(doc, personOfSteam(r.URL.Query()))["profile"])
		return
	}
	if doc.Protocol == "oauth1" {
		s.verifyCredentials(w, r, id, doc)
		return
	}
	g, wrong := s.bearer(r, id, doc, body)
	if wrong == "" {
		wrong = s.asked(r, g, id, doc, body)
	}
	if wrong != "" {
		answer(w, http.StatusUnauthorized, map[string]string{"error": wrong})
		return
	}
	answer(w, http.StatusOK, play(doc, g.person)["profile"])
}

// extra answers the further requests.
func (s *Server) extra(w http.ResponseWriter, r *http.Request, id string, doc providers.Provider, name string) {
	g, wrong := s.bearer(r, id, doc, nil)
	if wrong == "" {
		wrong = headers(r, doc)
	}
	if wrong != "" || r.Method != http.MethodGet {
		answer(w, http.StatusUnauthorized, map[string]string{"error": wrong})
		return
	}
	for _, e := range doc.ExtraRequests {
		if e.Name == name && e.Picture {
			w.Header().Set("Content-Type", "image/png")
			w.Write([]byte("\x89PNG\r\n\x1a\n"))
			return
		}
	}
	answer(w, http.StatusOK, play(doc, g.person)[name])
}

// bearer finds the token where the document puts it, and only there.
func (s *Server) bearer(r *http.Request, id string, doc providers.Provider, body []byte) (*grant, string) {
	scheme, style, _ := strings.Cut(doc.UserinfoAuth, ":")
	token, headed := "", r.Header.Get("Authorization")
	switch scheme {
	case "", "bearer":
		token, _ = strings.CutPrefix(headed, "Bearer ")
		headed = strings.TrimPrefix(headed, "Bearer "+token)
	case "scheme":
		token = headed
		if style != "" {
			token, _ = strings.CutPrefix(headed, style+" ")
		}
		headed = ""
	case "query":
		token = r.URL.Query().Get(style)
	case "none":
		form, _ := url.ParseQuery(string(body))
		for name, v := range doc.UserinfoForm {
			if v == "$access_token" {
				token = form.Get(name)
			}
		}
		if strings.Contains(doc.Userinfo, "{$token.access_token}") {
			token = r.URL.Path[strings.LastIndex(r.URL.Path, "/")+1:]
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	g := s.tokens[token]
	if g == nil || g.provider != id || headed != "" {
		return nil, "invalid_token"
	}
	return g, ""
}

// asked reports what else is wrong with a userinfo request.
func (s *Server) asked(r *http.Request, g *grant, id string, doc providers.Provider, body []byte) string {
	method := doc.UserinfoMethod
	if method == "" {
		method = http.MethodGet
	}
	if r.Method != method {
		return "method"
	}
	token, _ := play(doc, g.person)["token"].(map[string]any)
	fill := func(s string) string {
		for name, v := range token {
			if text, ok := v.(string); ok && name != "access_token" {
				s = strings.ReplaceAll(s, "{$token."+name+"}", text)
			}
		}
		return strings.ReplaceAll(s, "{$token.access_token}", g.access)
	}
	at := doc.Userinfo
	if at == "" {
		at = s.base + "/" + id + "/userinfo" // found by discovery
	}
	want, err := url.Parse(fill(at))
	if err != nil || want.Path != r.URL.Path {
		return "path"
	}
	for name, v := range want.Query() {
		if r.URL.Query().Get(name) != v[0] {
			return name
		}
	}
	if doc.Hook == "facebook_appsecret_proof" {
		h := hmac.New(sha256.New, []byte(clientSecret))
		h.Write([]byte(g.access))
		if r.URL.Query().Get("appsecret_proof") != hex.EncodeToString(h.Sum(nil)) {
			return "appsecret_proof"
		}
	}
	if wrong := wrongBody(r, g, id, doc, body); wrong != "" {
		return wrong
	}
	return headers(r, doc)
}

func wrongBody(r *http.Request, g *grant, id string, doc providers.Provider, body []byte) string {
	kind := r.Header.Get("Content-Type")
	switch {
	case doc.UserinfoJSON != nil:
		if kind != "application/json" || !bytes.Equal(body, []byte(encode(doc.UserinfoJSON))) {
			return "body"
		}
	case doc.UserinfoForm != nil:
		form, _ := url.ParseQuery(string(body))
		values := map[string]string{"$access_token": g.access, "$client_id": clientID(id), "$client_secret": clientSecret}
		for name, v := range doc.UserinfoForm {
			if filled, ok := values[v]; ok {
				v = filled
			}
			if form.Get(name) != v {
				return name
			}
		}
	case len(body) > 0 || kind != "":
		return "a body or a Content-Type"
	}
	return ""
}

func headers(r *http.Request, doc providers.Provider) string {
	if r.UserAgent() == "" {
		return "a User-Agent is required"
	}
	for name, v := range doc.Headers {
		if name == "User-Agent" && strings.HasPrefix(r.UserAgent(), v) {
			continue // who asks may follow
		}
		if r.Header.Get(name) != v {
			return name
		}
	}
	return ""
}
