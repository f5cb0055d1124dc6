package devidp

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/gatepost/gatepost/providers"
)

// token is the token endpoint: it refuses whatever the document does not say.
func (s *Server) token(w http.ResponseWriter, r *http.Request, id string, doc providers.Provider) {
	fail := func(status int, code string) {
		if doc.TokenAnswer.ErrorsIn200 {
			status = http.StatusOK
		}
		if field := doc.TokenAnswer.ErrorField; field != "" {
			answer(w, status, map[string]any{field: 40029, "errmsg": code})
			return
		}
		answer(w, status, map[string]string{"error": code})
	}
	form, ok := tokenForm(r, doc)
	if !ok {
		w.WriteHeader(http.StatusMethodNotAllowed)
		return
	}
	if !s.authenticated(r, form, id, doc) {
		fail(http.StatusUnauthorized, "invalid_client")
		return
	}
	if !strings.HasPrefix(r.UserAgent(), doc.Headers["User-Agent"]) || doc.TokenAccept != "" && r.Header.Get("Accept") != doc.TokenAccept {
		fail(http.StatusTooManyRequests, "slow_down")
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	g := s.redeem(form, id, doc)
	if g == nil {
		fail(http.StatusBadRequest, "invalid_grant")
		return
	}
	out, err := s.tokenAnswer(g, doc)
	if err != nil {
		fail(http.StatusInternalServerError, "server_error")
		return
	}
	if doc.TokenAnswer.Format == "text" {
		w.Header().Set("Content-Type", "text/plain")
	}
	answer(w, http.StatusOK, out)
}

// tokenForm gives the fields of a request by the right method, which are in the
// body of a POST and in the URL of a GET and nowhere else.
func tokenForm(r *http.Request, doc providers.Provider) (url.Values, bool) {
	if doc.TokenMethod == http.MethodGet {
		return r.URL.Query(), r.Method == http.MethodGet
	}
	return r.PostForm, r.ParseForm() == nil && r.Method == http.MethodPost && r.URL.RawQuery == ""
}

// redeem gives what was granted for a code or a refresh token, or nil.
func (s *Server) redeem(form url.Values, id string, doc providers.Provider) *grant {
	if refresh := form.Get("refresh_token"); refresh != "" {
		g := s.refreshes[refresh]
		if g == nil || g.provider != id || !fits(form, "refresh_token", doc.Offline.Params, g) {
			return nil
		}
		if g.refresh != refresh {
			s.revoke(g) // RFC 9700 §4.14.2: somebody has it who should not
			return nil
		}
		return g
	}
	code := form.Get("code")
	for name, v := range doc.TokenParams {
		if v == "$callback.code" {
			code = form.Get(name)
		}
	}
	g := s.codes[code]
	if g == nil {
		return nil
	}
	if g.used {
		s.revoke(g) // RFC 6749 §4.1.2
		return nil
	}
	sum := sha256.Sum256([]byte(form.Get("code_verifier")))
	proven := subtle.ConstantTimeCompare([]byte(base64.RawURLEncoding.EncodeToString(sum[:])), []byte(g.challenge)) == 1
	if g.challenge == "" {
		proven = !form.Has("code_verifier")
	}
	if g.provider != id || time.Now().After(g.until) || g.redirectURI != form.Get("redirect_uri") || !proven || !fits(form, "authorization_code", doc.TokenParams, g) {
		return nil
	}
	g.used = true
	return g
}

// revoke ends every token of a grant.
func (s *Server) revoke(g *grant) {
	g.refresh = ""
	maps.DeleteFunc(s.tokens, func(_ string, of *grant) bool { return of == g })
}

// fits compares the fields of a request with what the document says of them.
func fits(form url.Values, grantType string, params map[string]string, g *grant) bool {
	want := map[string]string{"grant_type": grantType}
	for name, v := range params {
		if field, ok := strings.CutPrefix(v, "$callback."); ok {
			v = g.answer.Get(field)
		}
		want[name] = v
	}
	for name, v := range want {
		if form.Get(name) != v || form.Has(name) != (v != "") {
			return false
		}
	}
	return true
}

// tokenAnswer is the answer for g, with this provider's oddities.
func (s *Server) tokenAnswer(g *grant, doc providers.Provider) (map[string]any, error) {
	docs := play(doc, g.person)
	out, _ := docs["token"].(map[string]any)
	if out == nil {
		out = map[string]any{}
	}
	g.access = "access-" + rand.Text()
	if doc.ClaimsFrom == "access_token" {
		signed, err := s.sign(doc, g, docs["profile"])
		if err != nil {
			return nil, err
		}
		g.access = signed
	}
	g.refresh = "refresh-" + rand.Text() // each is good once
	s.tokens[g.access], s.refreshes[g.refresh] = g, g
	out["access_token"], out["refresh_token"], out["expires_in"], out["token_type"] = g.access, g.refresh, 3600, "Bearer"
	if types := doc.TokenAnswer.Types; len(types) > 0 {
		out["token_type"] = types[0]
		if slices.Contains(types, "") {
			delete(out, "token_type")
		}
	}
	if doc.TokenAnswer.ExpiresText {
		out["expires_in"] = "3600"
	}
	if doc.TokenAnswer.ScopeList {
		out["scope"] = doc.Scopes
	}
	if path, ok := strings.CutPrefix(doc.ProfileFrom, "$token."); ok {
		set(out, path, docs["profile"])
	}
	if doc.Protocol != "oidc" {
		return out, nil
	}
	signed, err := s.sign(doc, g, docs["profile"])
	out["id_token"] = signed
	return out, err
}

// authenticated accepts the one way that the document names.
func (s *Server) authenticated(r *http.Request, form url.Values, id string, doc providers.Provider) bool {
	basicID, secret, basic := r.BasicAuth()
	if unescaped, err := url.QueryUnescape(secret); err == nil {
		secret = unescaped
	}
	idField, secretField := "client_id", "client_secret"
	if doc.ClientIDParam != "" {
		idField = doc.ClientIDParam
	}
	if doc.ClientSecretParam != "" {
		secretField = doc.ClientSecretParam
	}
	named := !basic && form.Get(idField) == clientID(id)
	switch doc.TokenAuth {
	case "basic", "discovery":
		return basic && basicID == clientID(id) && secret == clientSecret && !form.Has(secretField)
	case "post":
		return named && form.Get(secretField) == clientSecret
	case "none":
		return named && !form.Has(secretField)
	case "assertion":
		return !basic && form.Get("client_assertion") == clientSecret && form.Get("client_assertion_type") != "" && !form.Has("client_secret")
	case "post_jwt":
		return named && s.verifies(form.Get(secretField), id, doc)
	case "private_key_jwt":
		return named && !form.Has(secretField) && form.Get("client_assertion_type") == "urn:ietf:params:oauth:client-assertion-type:jwt-bearer" &&
			s.verifies(form.Get("client_assertion"), id, doc)
	}
	return false
}

// verifies checks a signed client secret against what the document promises.
func (s *Server) verifies(token, id string, doc providers.Provider) bool {
	want := doc.ClientSecretJWT
	signed, err := jose.ParseSignedCompact(token, []jose.SignatureAlgorithm{jose.SignatureAlgorithm(want.Alg)})
	if err != nil {
		return false
	}
	var key any = s.signing.Public()
	if want.Alg == "ES256" {
		key = s.elliptic.Public()
	}
	payload, err := signed.Verify(key)
	var claims map[string]any
	if err != nil || json.Unmarshal(payload, &claims) != nil || signed.Signatures[0].Header.KeyID != want.Header["kid"] {
		return false
	}
	for name, v := range want.Claims {
		got, _ := claims[name].(string)
		switch v {
		case "$token_url":
			v = s.base + "/" + id + "/token"
		case "$random":
			v = got
		}
		if got == "" || got != v {
			return false
		}
	}
	exp, _ := claims["exp"].(float64)
	return exp > float64(time.Now().Unix()) && exp < float64(time.Now().Add(10*time.Minute).Unix())
}

// sign makes an ID token, or what this provider has in its place.
func (s *Server) sign(doc providers.Provider, g *grant, profile any) (string, error) {
	claims, _ := profile.(map[string]any)
	claims["iss"] = strings.ReplaceAll(doc.Issuer, "{claims.tid}", tenant)
	claims["iat"], claims["exp"] = time.Now().Unix(), time.Now().Add(time.Hour).Unix()
	delete(claims, "azp")
	aud := append([]string{clientID(g.provider)}, doc.ExtraAudiences...)
	if claims["aud"] = any(aud); len(aud) == 1 {
		claims["aud"] = aud[0]
	} else {
		claims["azp"] = aud[0]
	}
	if doc.Protocol == "oidc" {
		claims["tid"] = tenant
	} else {
		claims["jti"] = rand.Text()
	}
	if g.nonce != "" {
		claims["nonce"] = g.nonce
	}
	key := jose.SigningKey{Algorithm: jose.RS256, Key: jose.JSONWebKey{Key: s.signing, KeyID: "dev"}}
	if len(doc.IDTokenAlg) > 0 {
		switch doc.IDTokenAlg[0] {
		case "HS256":
			key = jose.SigningKey{Algorithm: jose.HS256, Key: []byte(clientSecret)}
		case "ES256":
			key = jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: s.elliptic, KeyID: "dev-ec"}}
		}
	}
	signer, err := jose.NewSigner(key, nil)
	if err != nil {
		return "", err
	}
	signed, err := signer.Sign([]byte(encode(claims)))
	if err != nil {
		return "", err
	}
	return signed.CompactSerialize()
}

// signShopify signs an answer as Shopify does.
func signShopify(out url.Values, shop string) {
	out.Set("shop", shop)
	out.Set("timestamp", fmt.Sprint(time.Now().Unix()))
	var names, fields []string
	for name := range out {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		fields = append(fields, name+"="+out.Get(name))
	}
	h := hmac.New(sha256.New, []byte(clientSecret))
	h.Write([]byte(strings.Join(fields, "&")))
	out.Set("hmac", hex.EncodeToString(h.Sum(nil)))
}

func encode(v any) string {
	raw, err := json.Marshal(v)
	if err != nil {
		panic(err) // what we have decoded before
	}
	return string(raw)
}

func answer(w http.ResponseWriter, status int, v any) {
	if w.Header().Get("Content-Type") == "" {
		w.Header().Set("Content-Type", "application/json")
	}
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(v)
}
