package devidp

import (
	"crypto/rand"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/gatepost/gatepost/providers"
)

// steamPrefix makes the 17 digits of an id from one of People.
const steamPrefix = "7656119800000"

func validOpenID2(q url.Values, c *client) string {
	back, err := url.Parse(q.Get("openid.return_to"))
	switch {
	case q.Get("openid.ns") != "http://specs.openid.net/auth/2.0" || q.Get("openid.mode") != "checkid_setup":
		return "not a request of OpenID 2.0"
	case err != nil || !slices.Contains(c.redirects, back.Scheme+"://"+back.Host+back.Path):
		return "return_to is not known"
	case q.Get("openid.realm") != back.Scheme+"://"+back.Host:
		return "realm is not that of return_to"
	case q.Get("openid.identity") != "http://specs.openid.net/auth/2.0/identifier_select" || q.Get("openid.claimed_id") != q.Get("openid.identity"):
		return "identifier_select is missing"
	}
	return ""
}

func (s *Server) answerOpenID2(w http.ResponseWriter, r *http.Request, q url.Values, id string, doc providers.Provider, person Person, agreed bool) {
	back := q.Get("openid.return_to")
	if !agreed {
		http.Redirect(w, r, back+"&"+url.Values{"openid.ns": {q.Get("openid.ns")}, "openid.mode": {"cancel"}}.Encode(), http.StatusFound)
		return
	}
	claimed := doc.Issuer + steamPrefix + person.ID
	out := url.Values{"openid.ns": {q.Get("openid.ns")}, "openid.mode": {"id_res"}, "openid.op_endpoint": {doc.Authorization}, "openid.claimed_id": {claimed},
		"openid.identity": {claimed}, "openid.return_to": {back}, "openid.response_nonce": {time.Now().UTC().Format("2006-01-02T15:04:05Z") + rand.Text()},
		"openid.assoc_handle": {"1"}, "openid.signed": {"signed,op_endpoint,claimed_id,identity,return_to,response_nonce,assoc_handle"}, "openid.sig": {rand.Text()}}
	s.mu.Lock()
	s.codes[out.Get("openid.sig")] = &grant{provider: id, person: person, answer: out}
	s.mu.Unlock()
	http.Redirect(w, r, back+"&"+out.Encode(), http.StatusFound)
}

// checkAuthentication says once whether the assertion is ours, word for word.
func (s *Server) checkAuthentication(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	g := s.codes[r.PostForm.Get("openid.sig")]
	valid := g != nil && !g.used && r.Method == http.MethodPost && r.PostForm.Get("openid.mode") == "check_authentication"
	if valid {
		for name := range g.answer {
			valid = valid && (name == "openid.mode" || r.PostForm.Get(name) == g.answer.Get(name))
		}
		g.used = true
	}
	word := "false"
	if valid {
		word = "true"
	}
	w.Write([]byte("ns:http://specs.openid.net/auth/2.0\nis_valid:" + word + "\n"))
}

func personOfSteam(q url.Values) Person {
	p, _ := personByID(strings.TrimPrefix(q.Get("steamids"), steamPrefix))
	return p
}
