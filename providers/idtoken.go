package providers

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"errors"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// leeway is how far the provider's clock may be from ours (security O-16).
const leeway = 60 * time.Second

var compactJWS = regexp.MustCompile(`^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+$`)

func encodeJSON(v any) ([]byte, error) { return json.Marshal(v) }

func containsTenant(issuer string) bool { return strings.Contains(issuer, "{claims.tid}") }

// verifyIDToken returns the claims of an ID token that this provider signed for
// us, now, in answer to the request with that nonce (security O-11…O-19; OpenID
// Connect Core §3.1.3.7). go-jose checks the signature; the rest is here.
func (c *Client) verifyIDToken(ctx context.Context, raw, jwksURI, nonce, accessToken string) (map[string]any, *Error) {
	bad := func(format string, args ...any) *Error {
		return c.refuse(ReasonIDTokenInvalid, "id_token: "+format, args...)
	}
	if raw == "" {
		return nil, bad("missing")
	}
	claims, alg, refusal := c.signedClaims(ctx, raw, jwksURI, bad)
	if refusal != nil {
		return nil, refusal
	}
	if refusal := c.checkClaims(claims, nonce); refusal != nil {
		return nil, refusal
	}
	if hash, present := claims["at_hash"]; present && !matchesHash(hash, accessToken, alg) {
		return nil, bad("at_hash is not of this access token")
	}
	return claims, nil
}

// verifyUserinfo returns the claims of a UserInfo answer that this provider signed
// for us (OpenID Connect Core §5.3.2, §5.3.4). Whom it is of is not looked at.
func (c *Client) verifyUserinfo(ctx context.Context, raw, jwksURI string) (map[string]any, *Error) {
	bad := func(format string, args ...any) *Error {
		return c.refuse(ReasonAnswerInvalid, "userinfo: "+format, args...)
	}
	claims, _, refusal := c.signedClaims(ctx, raw, jwksURI, bad)
	if refusal != nil {
		return nil, refusal
	}
	if iss, _ := claims["iss"].(string); !c.issuerIs(iss, claims) {
		return nil, c.refuse(ReasonIssuerMismatch, "userinfo: iss %q, expected %q", iss, c.doc.Issuer)
	}
	// Another client's answer says nothing of who is signing in here.
	if audiences, ok := audiencesOf(claims); !ok || !slices.Contains(audiences, c.clientID) {
		return nil, bad("aud is not our client_id")
	}
	if exp, present := claims["exp"]; present {
		if at, ok := timeOf(exp); !ok || c.now().After(at.Add(leeway)) {
			return nil, bad("expired")
		}
	}
	return claims, nil
}

// signedClaims are the claims of a token in compact form that has one of the
// allowed algorithms, no headers that we do not know, and the provider's
// signature.
func (c *Client) signedClaims(ctx context.Context, raw, jwksURI string, bad func(string, ...any) *Error) (map[string]any, string, *Error) {
	if len(raw) > 64<<10 || !compactJWS.MatchString(raw) {
		return nil, "", bad("not a signed token in compact form")
	}
	algs := c.algorithms()
	signed, err := jose.ParseSignedCompact(raw, algs)
	if other, ok := errors.AsType[*jose.ErrUnexpectedSignatureAlgorithm](err); ok {
		return nil, "", bad("want one of %v as algorithm (id_token_alg), got %q", algs, other.Got)
	}
	if err != nil || len(signed.Signatures) != 1 {
		return nil, "", bad("it cannot be parsed")
	}
	header := signed.Signatures[0].Header
	if _, critical := header.ExtraHeaders["crit"]; critical {
		return nil, "", bad("it has a critical header that we do not know")
	}
	var payload []byte
	switch {
	case !strings.HasPrefix(header.Algorithm, "HS"):
		payload, err = c.verify(ctx, signed, raw, jwksURI)
	case c.secret == "": // anybody signs with no secret
		err = errSignature
	default:
		if payload, err = signed.Verify([]byte(c.secret)); err != nil {
			err = errSignature
		}
	}
	switch {
	case err == errNoKey || err == errSignature:
		return nil, "", bad("%v", err)
	case err != nil:
		return nil, "", c.refuse(ReasonProviderUnavailable, "keys: %v", err)
	}
	doc, err := decodeJSON(payload)
	claims, ok := doc.(map[string]any)
	if err != nil || !ok {
		return nil, "", bad("the claims are not one JSON object with each name once")
	}
	return claims, header.Algorithm, nil
}

// listable are the algorithms that a provider's metadata may add to the allow-list.
var listable = []string{"RS256", "PS256", "ES256", "ES384", "EdDSA", ed25519Name}

// ed25519Name is EdDSA with an Ed25519 key, the only kind that we know, under its
// fully-specified name (RFC 9864).
const ed25519Name = "Ed25519"

// algorithms is the allow-list: the document's, or what of listable the provider
// lists; symmetric ones only where a document asks for them, since a public key
// must never serve as an HMAC secret (O-12).
func (c *Client) algorithms() []jose.SignatureAlgorithm {
	listed := c.doc.IDTokenAlg
	if len(listed) == 0 {
		listed = c.metadata.known().algorithms
	}
	if len(listed) == 0 {
		listed = []string{"RS256", "ES256"}
	}
	var algs []jose.SignatureAlgorithm
	for _, a := range listed {
		switch {
		case strings.EqualFold(a, "none"):
		case canonical(a) == "EdDSA":
			algs = append(algs, jose.EdDSA, ed25519Name)
		default:
			algs = append(algs, jose.SignatureAlgorithm(a))
		}
	}
	return algs
}

// canonical is the name under which go-jose knows alg.
func canonical(alg string) string {
	if alg == ed25519Name {
		return string(jose.EdDSA)
	}
	return alg
}

func (c *Client) checkClaims(claims map[string]any, nonce string) *Error {
	bad := func(format string, args ...any) *Error {
		return c.refuse(ReasonIDTokenInvalid, "id_token: "+format, args...)
	}
	text := func(name string) (string, bool) { s, ok := claims[name].(string); return s, ok }
	if iss, ok := text("iss"); !ok || !c.issuerIs(iss, claims) {
		return c.refuse(ReasonIssuerMismatch, "id_token: iss %q, expected %q", iss, c.doc.Issuer)
	}
	if refusal := c.checkAudience(claims, bad); refusal != nil {
		return refusal
	}
	if refusal := c.checkTimes(claims, bad); refusal != nil {
		return refusal
	}
	if c.doc.Nonce {
		got, _ := text("nonce")
		if nonce == "" || got == "" || subtle.ConstantTimeCompare([]byte(got), []byte(nonce)) != 1 {
			return bad("nonce is not that of the request")
		}
	}
	if sub, ok := text("sub"); !ok || !validSubject(sub) {
		return c.refuse(ReasonNoSubject, "id_token: sub is missing or unusable")
	}
	if hd := c.doc.AuthParams["hd"]; hd != "" {
		if got, _ := text("hd"); got != hd {
			return bad("hd %q, expected %q", got, hd)
		}
	}
	return nil
}

// issuerIs compares exactly; {claims.tid} stands for the tenant the token names,
// which the configured tenant pins when it is one (O-14).
func (c *Client) issuerIs(iss string, claims map[string]any) bool {
	if iss == "" {
		return false
	}
	if !containsTenant(c.doc.Issuer) {
		return iss == c.doc.Issuer || slices.Contains(c.doc.IssuerAlso, iss)
	}
	tid, _ := claims["tid"].(string)
	if !isGUID(tid) || isGUID(c.tenant) && !strings.EqualFold(tid, c.tenant) {
		return false
	}
	const consumers = "9188040d-6c67-4c5b-b112-36a304b66dad"
	if c.tenant == "organizations" && tid == consumers || c.tenant == "consumers" && tid != consumers {
		return false
	}
	return iss == strings.ReplaceAll(c.doc.Issuer, "{claims.tid}", tid)
}

// checkAudience takes a token that is for us and for nobody we do not know (O-15).
func (c *Client) checkAudience(claims map[string]any, bad func(string, ...any) *Error) *Error {
	audiences, ok := audiencesOf(claims)
	if !ok {
		return bad("aud is not text")
	}
	if !slices.Contains(audiences, c.clientID) {
		return bad("aud is not our client_id")
	}
	for _, a := range audiences {
		if a != c.clientID && !slices.Contains(c.doc.ExtraAudiences, a) {
			return bad("aud names another client too")
		}
	}
	azp, present := claims["azp"]
	if present && azp != c.clientID || !present && len(audiences) > 1 {
		return bad("azp is not our client_id")
	}
	return nil
}

func audiencesOf(claims map[string]any) (audiences []string, ok bool) {
	switch aud := claims["aud"].(type) {
	case string:
		audiences = []string{aud}
	case []any:
		for _, a := range aud {
			s, ok := a.(string)
			if !ok {
				return nil, false
			}
			audiences = append(audiences, s)
		}
	}
	return audiences, true
}

// timeOf reads a NumericDate (RFC 7519 §2).
func timeOf(v any) (time.Time, bool) {
	n, ok := v.(json.Number)
	if !ok {
		return time.Time{}, false
	}
	f, err := n.Float64()
	if err != nil || f < 0 || f > 1e11 {
		return time.Time{}, false
	}
	return time.Unix(int64(f), 0), true
}

func (c *Client) checkTimes(claims map[string]any, bad func(string, ...any) *Error) *Error {
	now, leeway := c.now(), leeway
	if d, err := time.ParseDuration(c.doc.ClockSkew); err == nil && d >= 0 && d < leeway {
		leeway = d
	}
	at := func(name string) (time.Time, bool) { return timeOf(claims[name]) }
	skew := func(what string, t time.Time) *Error {
		return c.refuse(ReasonClockSkew, "id_token: %s by %s; compare this machine's clock with the provider's", what, now.Sub(t).Abs().Round(time.Second))
	}
	exp, ok := at("exp")
	if !ok {
		return bad("exp is missing")
	}
	if now.After(exp.Add(leeway)) {
		return skew("expired", exp)
	}
	iat, ok := at("iat")
	if !ok {
		return bad("iat is missing")
	}
	if iat.After(now.Add(leeway)) {
		return skew("issued in the future", iat)
	}
	oldest := 10 * time.Minute
	if d, err := time.ParseDuration(c.doc.MaxIatAge); err == nil {
		oldest = d
	}
	if now.Sub(iat) > oldest+leeway {
		return skew("issued too long ago", iat)
	}
	if _, present := claims["nbf"]; present {
		nbf, ok := at("nbf")
		if !ok {
			return bad("nbf is not a time")
		}
		if nbf.After(now.Add(leeway)) {
			return skew("not valid yet", nbf)
		}
	}
	return nil
}

// matchesHash is O-18: the left half of the access token's hash.
func matchesHash(claim any, accessToken, alg string) bool {
	var sum []byte
	switch alg = canonical(alg); {
	case strings.HasSuffix(alg, "384"):
		h := sha512.Sum384([]byte(accessToken))
		sum = h[:]
	case strings.HasSuffix(alg, "512") || alg == "EdDSA":
		h := sha512.Sum512([]byte(accessToken))
		sum = h[:]
	default:
		h := sha256.Sum256([]byte(accessToken))
		sum = h[:]
	}
	want, ok := claim.(string)
	got := base64.RawURLEncoding.EncodeToString(sum[:len(sum)/2])
	return ok && subtle.ConstantTimeCompare([]byte(got), []byte(want)) == 1
}

// fittingKeys are those with that kid, or the only one of the right kind when the
// token names none. Several may have one kid: some providers keep it when they
// change the key.
func fittingKeys(set jose.JSONWebKeySet, kid, alg string) []any {
	var fits []any
	for _, k := range set.Keys {
		if k.Use != "" && k.Use != "sig" || kid != "" && k.KeyID != kid || k.Algorithm != "" && canonical(k.Algorithm) != canonical(alg) || !fitsAlgorithm(k.Key, alg) {
			continue
		}
		fits = append(fits, k.Key)
	}
	if kid == "" && len(fits) > 1 {
		return nil
	}
	return fits
}

func fitsAlgorithm(key any, alg string) bool {
	switch k := key.(type) {
	case *rsa.PublicKey:
		return (strings.HasPrefix(alg, "RS") || strings.HasPrefix(alg, "PS")) && k.N.BitLen() >= 2048
	case *ecdsa.PublicKey:
		return map[string]int{"ES256": 256, "ES384": 384, "ES512": 521}[alg] == k.Curve.Params().BitSize
	case ed25519.PublicKey:
		return canonical(alg) == "EdDSA"
	}
	return false
}
