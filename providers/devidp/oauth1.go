package devidp

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha1"
	"encoding/base64"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/gatepost/gatepost/providers"
)

// requestToken is the first of the three requests of OAuth 1.0a.
func (s *Server) requestToken(w http.ResponseWriter, r *http.Request, id string, c *client) {
	oauth := authorizationFields(r)
	callback, err := url.Parse(oauth["oauth_callback"])
	if !signed(r, oauth, id, "") || err != nil || !slices.Contains(c.redirects, callback.Scheme+"://"+callback.Host+callback.Path) {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	token, secret := rand.Text(), rand.Text()
	s.mu.Lock()
	s.codes[token] = &grant{provider: id, redirectURI: oauth["oauth_callback"], secret: secret, until: time.Now().Add(time.Minute)}
	s.mu.Unlock()
	w.Write([]byte(url.Values{"oauth_token": {token}, "oauth_token_secret": {secret}, "oauth_callback_confirmed": {"true"}}.Encode()))
}

func (s *Server) knowsRequest(token, id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.codes[token] != nil && s.codes[token].provider == id
}

func (s *Server) answerOAuth1(w http.ResponseWriter, r *http.Request, token string, person Person, agreed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	g := s.codes[token]
	more := url.Values{"denied": {token}}
	if agreed {
		g.person, g.challenge = person, rand.Text()
		more = url.Values{"oauth_token": {token}, "oauth_verifier": {g.challenge}}
	}
	http.Redirect(w, r, g.redirectURI+"&"+more.Encode(), http.StatusFound)
}

func (s *Server) accessToken(w http.ResponseWriter, r *http.Request, id string, _ *client) {
	oauth := authorizationFields(r)
	s.mu.Lock()
	defer s.mu.Unlock()
	g := s.codes[oauth["oauth_token"]]
	if g == nil || g.used || g.provider != id || g.challenge == "" || oauth["oauth_verifier"] != g.challenge || !signed(r, oauth, id, g.secret) {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	g.used, g.access, g.secret = true, rand.Text(), rand.Text()
	s.tokens[g.access] = g
	w.Write([]byte(url.Values{"oauth_token": {g.access}, "oauth_token_secret": {g.secret}, "user_id": {g.person.ID}}.Encode()))
}

func (s *Server) verifyCredentials(w http.ResponseWriter, r *http.Request, id string, doc providers.Provider) {
	oauth := authorizationFields(r)
	s.mu.Lock()
	defer s.mu.Unlock()
	g := s.tokens[oauth["oauth_token"]]
	if g == nil || r.Method != http.MethodGet || r.URL.Query().Get("include_email") != "true" || !signed(r, oauth, id, g.secret) {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	answer(w, http.StatusOK, play(doc, g.person)["profile"])
}

func authorizationFields(r *http.Request) map[string]string {
	fields := map[string]string{}
	for part := range strings.SplitSeq(strings.TrimPrefix(r.Header.Get("Authorization"), "OAuth "), ", ") {
		name, v, _ := strings.Cut(part, "=")
		fields[name], _ = url.PathUnescape(strings.Trim(v, `"`))
	}
	return fields
}

// signed is RFC 5849 §3.4.2, written a second time so that one mistake is not
// made twice.
func signed(r *http.Request, oauth map[string]string, id, tokenSecret string) bool {
	if oauth["oauth_consumer_key"] != clientID(id) || r.Method != http.MethodPost && r.Method != http.MethodGet {
		return false
	}
	encode := func(s string) string {
		var b strings.Builder
		for _, c := range []byte(s) {
			if strings.IndexByte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~", c) >= 0 {
				b.WriteByte(c)
				continue
			}
			const digits = "0123456789ABCDEF"
			b.Write([]byte{'%', digits[c>>4], digits[c&15]})
		}
		return b.String()
	}
	var pairs []string
	for name, v := range oauth {
		if name != "oauth_signature" {
			pairs = append(pairs, encode(name)+"="+encode(v))
		}
	}
	for name, v := range r.URL.Query() {
		pairs = append(pairs, encode(name)+"="+encode(v[0]))
	}
	slices.Sort(pairs)
	base := r.Method + "&" + encode("http://"+r.Host+r.URL.Path) + "&" + encode(strings.Join(pairs, "&"))
	h := hmac.New(sha1.New, []byte(encode(clientSecret)+"&"+encode(tokenSecret)))
	h.Write([]byte(base))
	got, err := base64.StdEncoding.DecodeString(oauth["oauth_signature"])
	return err == nil && hmac.Equal(got, h.Sum(nil))
}
