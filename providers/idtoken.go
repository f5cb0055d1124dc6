package providers

import (
	"cmp"
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
// us, now, in answer to r (security O-11…O-19; OpenID
// Connect Core §3.1.3.7). go-jose checks the signature; the rest is here.
func (c *Client) verifyIDToken(ctx context.Context, raw, jwksURI string, r AuthorizationRequest, accessToken string) (map[string]any, *Error) {
	bad := func(format string, args ...any) *Error {
		return c.refuse(ReasonIDTokenInvalid, "id_token: "+format, args...)
	}
	if raw == "" {
		return nil, bad("missing")
	}
	claims, alg, refusal := c.signedClaims(ctx, inIDToken, raw, jwksURI, bad)
	if refusal != nil {
		return nil, refusal
	}
	if refusal := c.checkClaims(claims, r); refusal != nil {
		return nil, refusal
	}
	if hash, present := claims["at_hash"]; present {
		if !matchesHash(hash, accessToken, alg) {
			refusal = bad("at_hash is not of this access token")
		}
		c.watch.check(inIDToken, "at_hash", "", refusal)
	}
	if refusal != nil {
		return nil, refusal
	}
	return claims, nil
}

// inIDToken is of what a check is that looks at an ID token.
const inIDToken = "id_token"

// verifyUserinfo returns the claims of a UserInfo answer that this provider signed
// for us (OpenID Connect Core §5.3.2, §5.3.4). Whom it is of is not looked at.
func (c *Client) verifyUserinfo(ctx context.Context, raw, jwksURI string) (map[string]any, *Error) {
	bad := func(format string, args ...any) *Error {
		return c.refuse(ReasonAnswerInvalid, "userinfo: "+format, args...)
	}
	claims, _, refusal := c.signedClaims(ctx, forUserinfo, raw, jwksURI, bad)
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
// signature. Of is what the token is.
func (c *Client) signedClaims(ctx context.Context, of, raw, jwksURI string, bad func(string, ...any) *Error) (map[string]any, string, *Error) {
	signed, refusal := c.parseSigned(raw, bad)
	if refusal != nil {
		c.watch.check(of, "signature", "", refusal)
		return nil, "", refusal
	}
	header := signed.Signatures[0].Header
	claims, refusal := c.verifiedClaims(ctx, signed, raw, jwksURI, bad)
	c.watch.check(of, "signature", "alg "+header.Algorithm+", kid "+cmp.Or(header.KeyID, "none"), refusal)
	if refusal != nil {
		return nil, "", refusal
	}
	c.watch.claims(of, claims)
	return claims, header.Algorithm, nil
}

func (c *Client) parseSigned(raw string, bad func(string, ...any) *Error) (*jose.JSONWebSignature, *Error) {
	if len(raw) > 64<<10 || !compactJWS.MatchString(raw) {
		return nil, bad("not a signed token in compact form")
	}
	algs := c.algorithms()
	signed, err := jose.ParseSignedCompact(raw, algs)
	if other, ok := errors.AsType[*jose.ErrUnexpectedSignatureAlgorithm](err); ok {
		return nil, bad("want one of %v as algorithm (id_token_alg), got %q", algs, other.Got)
	}
	if err != nil || len(signed.Signatures) != 1 {
		return nil, bad("it cannot be parsed")
	}
	if _, critical := signed.Signatures[0].Header.ExtraHeaders["crit"]; critical {
		return nil, bad("it has a critical header that we do not know")
	}
	return signed, nil
}

func (c *Client) verifiedClaims(ctx context.Context, signed *jose.JSONWebSignature, raw, jwksURI string, bad func(string, ...any) *Error) (map[string]any, *Error) {
	var payload []byte
	var err error
	switch {
	case !strings.HasPrefix(signed.Signatures[0].Header.Algorithm, "HS"):
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
		return nil, bad("%v", err)
	case err != nil:
		return nil, c.refuse(ReasonProviderUnavailable, "keys: %v", err)
	}
	doc, err := decodeJSON(payload)
	claims, ok := doc.(map[string]any)
	if err != nil || !ok {
		return nil, bad("the claims are not one JSON object with each name once")
	}
	return claims, nil
}

// listable are the algorithms that a provider's metadata may add to the allow-list.
var listable = []string{"RS256", "PS256", "ES256", "ES384", "EdDSA", ed25519Name}

// verifiable are all that a document may ask for.
var verifiable = append([]string{"RS384", "RS512", "PS384", "PS512", "ES512", "HS256", "HS384", "HS512"}, listable...)

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

// claimCheck looks at one claim. Seen is what was there, in words.
type claimCheck struct {
	claim string
	check func() (seen string, refusal *Error)
}

// checkClaims gives the first check that fails. Whoever watches is told of all.
func (c *Client) checkClaims(claims map[string]any, r AuthorizationRequest) (first *Error) {
	for _, one := range c.claimChecks(claims, r) {
		seen, refusal := one.check()
		c.watch.check(inIDToken, one.claim, seen, refusal)
		if first == nil {
			first = refusal
		}
		if first != nil && c.watch == nil {
			break
		}
	}
	return first
}

func (c *Client) claimChecks(claims map[string]any, r AuthorizationRequest) []claimCheck {
	bad := func(format string, args ...any) *Error {
		return c.refuse(ReasonIDTokenInvalid, "id_token: "+format, args...)
	}
	text := func(name string) (string, bool) { s, ok := claims[name].(string); return s, ok }
	checks := []claimCheck{{"iss", func() (string, *Error) {
		iss, ok := text("iss")
		if !ok || !c.issuerIs(iss, claims) {
			return iss, c.refuse(ReasonIssuerMismatch, "id_token: iss %q, expected %q", iss, c.doc.Issuer)
		}
		return iss, nil
	}}, {"aud", func() (string, *Error) {
		audiences, _ := audiencesOf(claims)
		return strings.Join(audiences, " "), c.checkAudience(claims, bad)
	}}}
	checks = append(checks, c.timeChecks(claims, bad)...)
	if c.doc.Nonce || r.adopted {
		checks = append(checks, claimCheck{"nonce", func() (string, *Error) {
			if !nonceAnswers(r, claims) {
				return "", bad("nonce is not that of the request")
			}
			return "that of the request", nil
		}})
	}
	checks = append(checks, claimCheck{"sub", func() (string, *Error) {
		sub, ok := text("sub")
		if !ok || !validSubject(sub) {
			return sub, c.refuse(ReasonNoSubject, "id_token: sub is missing or unusable")
		}
		return sub, nil
	}})
	if hd := c.doc.AuthParams["hd"]; hd != "" {
		checks = append(checks, claimCheck{"hd", func() (string, *Error) {
			got, _ := text("hd")
			if got != hd {
				return got, bad("hd %q, expected %q", got, hd)
			}
			return got, nil
		}})
	}
	return checks
}

// nonceAnswers reports whether claims are in answer to r: a token that was issued
// for another request must not be brought in here (O-18).
func nonceAnswers(r AuthorizationRequest, claims map[string]any) bool {
	if r.adopted {
		_, sent := claims["nonce"]
		return !sent
	}
	got, _ := claims["nonce"].(string)
	return r.Nonce != "" && got != "" && subtle.ConstantTimeCompare([]byte(got), []byte(r.Nonce)) == 1
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

// timeChecks are O-16. What they saw is how long until that moment, or since.
func (c *Client) timeChecks(claims map[string]any, bad func(string, ...any) *Error) []claimCheck {
	now, leeway := c.now(), leeway
	if d, err := time.ParseDuration(c.doc.ClockSkew); err == nil && d >= 0 && d < leeway {
		leeway = d
	}
	oldest := 10 * time.Minute
	if d, err := time.ParseDuration(c.doc.MaxIatAge); err == nil {
		oldest = d
	}
	skew := func(what string, t time.Time) *Error {
		return c.refuse(ReasonClockSkew, "id_token: %s by %s; compare this machine's clock with the provider's", what, now.Sub(t).Abs().Round(time.Second))
	}
	check := func(name string, judge func(t time.Time) *Error) claimCheck {
		return claimCheck{name, func() (string, *Error) {
			t, ok := timeOf(claims[name])
			switch {
			case claims[name] == nil:
				return "", bad("%s is missing", name)
			case !ok:
				return "", bad("%s is not a time", name)
			}
			return t.UTC().Format("2006-01-02 15:04:05Z") + sinceOrUntil(t.Sub(now)), judge(t)
		}}
	}
	checks := []claimCheck{check("exp", func(exp time.Time) *Error {
		if now.After(exp.Add(leeway)) {
			return skew("expired", exp)
		}
		return nil
	}), check("iat", func(iat time.Time) *Error {
		switch {
		case iat.After(now.Add(leeway)):
			return skew("issued in the future", iat)
		case now.Sub(iat) > oldest+leeway:
			return skew("issued too long ago", iat)
		}
		return nil
	})}
	if _, present := claims["nbf"]; present {
		checks = append(checks, check("nbf", func(nbf time.Time) *Error {
			if nbf.After(now.Add(leeway)) {
				return skew("not valid yet", nbf)
			}
			return nil
		}))
	}
	return checks
}

func sinceOrUntil(d time.Duration) string {
	if d < 0 {
		return ", " + d.Abs().Round(time.Second).String() + " ago"
	}
	return ", in " + d.Round(time.Second).String()
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
