package nextauth

import (
	"bytes"
	"compress/flate"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"
)

const secret = "oracle-secret-not-for-production"

// month is v3's maxAge by default.
const month = 30 * 24 * time.Hour

func tokens(t testing.TB, o Options) Tokens {
	t.Helper()
	made, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return made
}

func ptr(s string) *string { return &s }

// The vectors of a real next-auth 3.29.10.
const (
	vectorJWS = "eyJhbGciOiJIUzUxMiJ9.eyJuYW1lIjoiQSIsImVtYWlsIjoiYUBleGFtcGxlLnRlc3QiLCJwaWN0dXJlIjpudWxsLCJzdWIiOiIxIiwiaWF0IjoxNzAwMDAwMDAwLCJleHAiOjE3MDI1OTIwMDB9.nT75rDE8lz5p3tNewveIABFZRYd-8_46gJqNB7n2JN7qmCw0LJPUXH_x1D6nQkYT8XZQPIJqjzzGKAA_Gf5IVw"
	vectorJWE = "eyJhbGciOiJkaXIiLCJlbmMiOiJBMjU2R0NNIiwiemlwIjoiREVGIn0..AAECAwQFBgcICQoL.d5fHlJAcvjL8g0Thn9TG0yWGrudOsPBf2wV-icbmlyZ6P1FcBNuwoEtdx-rxofsZOBQJyfENJif6tTEEMuxOHeoolHhDwODQNzRiSxW9rBVnzAK9b3gH0t14fb484oxeYnHn6Pnw05KaL3t_JdYRgFbJ4QrgxyoyaIGN6anTSKh-7HevnApqZPliK5wR5c8NfPkjTUJJRNEMX2eWD1LGEFb5un0.iLmlieIN6CBmLcnGu0aevw"
	// Session cookies, with the secret and with keys of their own.
	vectorEncrypted = "eyJhbGciOiJkaXIiLCJlbmMiOiJBMjU2R0NNIiwiemlwIjoiREVGIn0..-lhiWmX-CtkjP3K-.kGFEJ0yNGPTuosm-XTsVk5pw0-RScd0gdkLpORye4sV5vJwhSY7JFJTXrUG9DIV9Ofr-pe7cIvv0n6ztR_vRrn7LVxObA6bWVJKwzlC_YuZjaH7N5tKA0KxxUVJdCq6IAyB0L8yoID1gQVxJBsnPvD0SQftfno3HqzAAU50U1nHjXmHxJ9NvGqGkX6Ww9RvpEe2dOdz7iOqqUUxi-My3SxTFJyvZ-GIBpiK3PIqARcSajhNNeA7tLqJWLwQAGja1qNk0Sedw1smh4h9wOqj6ZY0VaM8fmE7sVQ.CiOlE_hW63OTjPHXvUNDdA"
	vectorSigning   = `{"k":"5y8F-f2noAsLWVSkqXP3TuF3YJdgOtmKuQv9ZdUPosgiThgn_4dNoWBsXErfzlyLs8qhZGi7JQbdFUpSyAOTFA","kty":"oct","kid":"sbEQEvCUhNE86DpfhSJ-2w_bRMxNaQqkowrli4NdwRA","alg":"HS512"}`
	vectorEncrypt   = `{"k":"F4KX7wjC49uXpgotoRHpUxRuryBY-ya3z2o7UDvDkYc","kty":"oct","kid":"wtMIQZgqUldR3cEfFhgDVe2O1TCZS8wnaMQ6h9ba-IY","alg":"A256GCM"}`
	vectorOwnKey    = "eyJhbGciOiJIUzUxMiJ9.eyJuYW1lIjoiw4Rybm9sZCDml6UiLCJlbWFpbCI6ImFAZXhhbXBsZS50ZXN0IiwicGljdHVyZSI6bnVsbCwic3ViIjoiMSIsImlhdCI6MTc5NTY5MTI2NywiZXhwIjoxNzk4MjgzMjY3fQ.D7EU7Ht6Wx9ixOLIOmjLCcm3THb_yKaiu_Hxxo8N9ljyup9-6DtOBWJd37LsYCIRWCpptZZ8gbQxXV6glPyTSg"
	vectorOwnKeys   = "eyJhbGciOiJkaXIiLCJlbmMiOiJBMjU2R0NNIiwiemlwIjoiREVGIn0.._tPNcO80fjozyLSv.GvjMW3QEPJNTfokbP-p5C_JXwX6SzMYpA5q8QDGP96iDc29Qp_tM52fVZStBAxKFhKlyHroLFoD_L3oH6kFkkSMIps-zP1Mo0cpyWBKi6m01WkxSzPX6UaJsoFt_LVHZMrHQ875Jb2iRulilHzQm2mwD8LC0bnkZiIX4rkoQybqTQQUvTGq9BY1jhDV0XgOM-HbfXHU6fRwRoZcARnj-3TaMRQBJ2X_ea3MDDEuute20T5NlVW16NqJrdzFa5S59Z6WpxUMfqY3EDHLkLJ9Wk97U1AVX3ImF.5Us_wKZY-K4ytA6npc9KzA"
)

var (
	vectorTime    = time.Unix(1700000000, 0)
	vectorTimeRun = time.Unix(1795691267, 0)
	vectorSession = SessionClaims{Name: ptr("A"), Email: ptr("a@example.test"), Sub: "1", Iat: 1700000000, Exp: 1702592000}
)

func TestDerivedKeysAreThoseOfNextAuth(t *testing.T) {
	k := tokens(t, Options{Secret: secret})
	if got := hex.EncodeToString(k.signing); got != "bc6519332c694d0c74731eb32860cbeedab101947d88423136b7eed859e22f2b9731313867c2b2a428a908b8f581481d6668ca7c78471b1d77b998bcf2799f73" {
		t.Errorf("signing key %s", got)
	}
	if got := hex.EncodeToString(k.encryption[:]); got != "5d3bc35bc2a4def911e68393416d2fb6b7337f1c666e4b131e08ce4b716fafc5" {
		t.Errorf("encryption key %s", got)
	}
	if !bytes.Equal(k.signing, k.verification) || k.encryption != k.decryption {
		t.Error("what is made is read with another key")
	}
}

func TestEncodesByteForByteAsNextAuth(t *testing.T) {
	k := tokens(t, Options{Secret: secret})
	if got := k.EncodeSession(vectorSession, false); got != vectorJWS {
		t.Errorf("got %s", got)
	}
	verifier, err := k.DecodeVerifier(vectorJWE, vectorTime)
	if err != nil || verifier != strings.Repeat("v", 64) {
		t.Errorf("verifier %q, %v", verifier, err)
	}
	again, err := k.DecodeVerifier(k.EncodeVerifier(verifier, vectorTime), vectorTime)
	if err != nil || again != verifier {
		t.Errorf("its own: %q, %v", again, err)
	}
}

func TestDecodesSessionsOfNextAuth(t *testing.T) {
	derived, own := Options{Secret: secret}, Options{SigningKey: vectorSigning, EncryptionKey: vectorEncrypt}
	for name, c := range map[string]struct {
		o         Options
		token     string
		encrypted bool
		now       time.Time
		who       string
	}{
		"signed":                        {derived, vectorJWS, false, vectorTime, "A"},
		"encrypted":                     {derived, vectorEncrypted, true, vectorTimeRun, "Ärnold 日"},
		"signed, own key":               {own, vectorOwnKey, false, vectorTimeRun, "Ärnold 日"},
		"encrypted, own keys":           {own, vectorOwnKeys, true, vectorTimeRun, "Ärnold 日"},
		"encrypted, own keys to read":   {Options{Secret: secret, VerificationKey: vectorSigning, DecryptionKey: vectorEncrypt}, vectorOwnKeys, true, vectorTimeRun, "Ärnold 日"},
		"until a second before its end": {derived, vectorJWS, false, vectorTime.Add(month - time.Second), "A"},
		"a site that is a minute ahead": {derived, vectorJWS, false, vectorTime.Add(-time.Minute), "A"},
	} {
		s, claims, err := tokens(t, c.o).DecodeSession(c.token, c.encrypted, month, c.now)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if *s.Name != c.who || *s.Email != "a@example.test" || s.Picture != nil || s.Sub != "1" || !claims.Ends.Equal(claims.IssuedAt.Add(month)) {
			t.Errorf("%s: %+v, %+v", name, s, claims)
		}
	}
}

// forge makes any JWS with the site's own key, or with another.
func forge(header, claims string, key []byte) string {
	signed := encode([]byte(header)) + "." + encode([]byte(claims))
	return signed + "." + encode(signature(key, signed))
}

// O-12, CVE-2023-48309: only what v3 itself would accept, and less.
func TestRefuses(t *testing.T) {
	k, other := tokens(t, Options{Secret: secret}), tokens(t, Options{Secret: "another secret of thirty-two bytes"})
	const who = `"name":"A","email":"a@example.test","sub":"1"`
	hs512 := `{"alg":"HS512"}`
	header, rest, _ := strings.Cut(vectorJWS, ".")
	swap := func(token string, at int) string {
		b := []byte(token)
		b[at] = map[bool]byte{true: 'B', false: 'A'}[b[at] == 'A']
		return string(b)
	}
	encrypted := k.EncodeSession(vectorSession, true)
	parts := strings.Split(encrypted, ".")
	bomb := func(n int) string {
		var b bytes.Buffer
		w, _ := flate.NewWriter(&b, flate.BestCompression)
		w.Write(make([]byte, n))
		w.Close()
		return k.seal([12]byte{}, b.Bytes())
	}
	for name, c := range map[string]struct {
		token     string
		encrypted bool
		now       time.Time
		want      error
	}{
		"nothing":                              {"", false, vectorTime, ErrMalformed},
		"nothing, encrypted":                   {"", true, vectorTime, ErrMalformed},
		"a database session":                   {strings.Repeat("ab", 32), false, vectorTime, ErrMalformed},
		"alg none":                             {encode([]byte(`{"alg":"none"}`)) + "." + strings.Split(vectorJWS, ".")[1] + ".", false, vectorTime, ErrMalformed},
		"no signature":                         {vectorJWS[:strings.LastIndexByte(vectorJWS, '.')+1], false, vectorTime, ErrForged},
		"two parts":                            {vectorJWS[:strings.LastIndexByte(vectorJWS, '.')], false, vectorTime, ErrMalformed},
		"HS256 with our key":                   {forge(`{"alg":"HS256"}`, `{`+who+`,"iat":1700000000}`, k.signing), false, vectorTime, ErrMalformed},
		"a key of the sender's":                {forge(`{"alg":"HS512","jwk":{"kty":"oct","k":""}}`, `{`+who+`,"iat":1700000000}`, nil), false, vectorTime, ErrMalformed},
		"critical header":                      {forge(`{"alg":"HS512","crit":["b64"],"b64":false}`, `{`+who+`,"iat":1700000000}`, k.signing), false, vectorTime, ErrMalformed},
		"another site's":                       {other.EncodeSession(vectorSession, false), false, vectorTime, ErrForged},
		"no key":                               {forge(hs512, `{`+who+`,"iat":1700000000}`, nil), false, vectorTime, ErrForged},
		"the encryption key":                   {forge(hs512, `{`+who+`,"iat":1700000000}`, k.encryption[:]), false, vectorTime, ErrForged},
		"signature changed":                    {swap(vectorJWS, len(vectorJWS)-10), false, vectorTime, ErrForged},
		"signature spelt otherwise":            {vectorJWS[:len(vectorJWS)-1] + "x", false, vectorTime, ErrMalformed},
		"line break in the signature":          {vectorJWS[:len(vectorJWS)-4] + "\n" + vectorJWS[len(vectorJWS)-4:], false, vectorTime, ErrMalformed},
		"padded":                               {vectorJWS + "==", false, vectorTime, ErrMalformed},
		"claims changed":                       {header + "." + swap(rest, 12), false, vectorTime, ErrForged},
		"one part more":                        {vectorJWS + ".", false, vectorTime, ErrForged},
		"over":                                 {vectorJWS, false, vectorTime.Add(month), ErrExpired},
		"over by exp":                          {forge(hs512, `{`+who+`,"iat":1700000000,"exp":1700000060}`, k.signing), false, vectorTime.Add(time.Minute), ErrExpired},
		"without exp, over by iat":             {forge(hs512, `{`+who+`,"iat":1700000000}`, k.signing), false, vectorTime.Add(month), ErrExpired},
		"exp later than maxAge":                {forge(hs512, `{`+who+`,"iat":1700000000,"exp":1900000000}`, k.signing), false, vectorTime.Add(month), ErrExpired},
		"no iat":                               {forge(hs512, `{`+who+`,"exp":1900000000}`, k.signing), false, vectorTime, ErrNoTime},
		"iat as text":                          {forge(hs512, `{`+who+`,"iat":"1700000000"}`, k.signing), false, vectorTime, ErrMalformed},
		"iat null":                             {forge(hs512, `{`+who+`,"iat":null}`, k.signing), false, vectorTime, ErrMalformed},
		"iat beyond all years":                 {forge(hs512, `{`+who+`,"iat":1e300}`, k.signing), false, vectorTime, ErrMalformed},
		"exp as text":                          {forge(hs512, `{`+who+`,"iat":1700000000,"exp":"x"}`, k.signing), false, vectorTime, ErrMalformed},
		"of tomorrow":                          {vectorJWS, false, vectorTime.Add(-24 * time.Hour), ErrNoTime},
		"not valid yet":                        {forge(hs512, `{`+who+`,"iat":1700000000,"nbf":1700003600}`, k.signing), false, vectorTime, ErrNoTime},
		"claims are no object":                 {forge(hs512, `["iat"]`, k.signing), false, vectorTime, ErrMalformed},
		"claims are null":                      {forge(hs512, `null`, k.signing), false, vectorTime, ErrMalformed},
		"claims and more":                      {forge(hs512, `{`+who+`,"iat":1700000000} {}`, k.signing), false, vectorTime, ErrMalformed},
		"nobody":                               {forge(hs512, `{"name":"A","email":"a@example.test","iat":1700000000}`, k.signing), false, vectorTime, ErrPurpose},
		"nobody by an empty sub":               {forge(hs512, `{"email":"a@example.test","sub":"","iat":1700000000}`, k.signing), false, vectorTime, ErrPurpose},
		"sub is a number":                      {forge(hs512, `{"email":"a@example.test","sub":1,"iat":1700000000}`, k.signing), false, vectorTime, ErrPurpose},
		"PKCE cookie":                          {vectorJWE, true, vectorTime, ErrPurpose},
		"PKCE cookie that names somebody":      {k.Encode([]byte(`{"code_verifier":"v",`+who+`,"iat":1700000000}`), true), true, vectorTime, ErrPurpose},
		"PKCE cookie's inside":                 {forge(hs512, `{"code_verifier":"v","iat":1700000000,"exp":1700000900}`, k.signing), false, vectorTime, ErrPurpose},
		"encrypted where signed is expected":   {encrypted, false, vectorTime, ErrMalformed},
		"signed where encrypted is expected":   {vectorJWS, true, vectorTime, ErrMalformed},
		"encrypted by another site":            {other.EncodeSession(vectorSession, true), true, vectorTime, ErrForged},
		"encrypted, of another site's signing": {k.encryptText(other.EncodeSession(vectorSession, false)), true, vectorTime, ErrForged},
		"encrypted twice":                      {k.encryptText(encrypted), true, vectorTime, ErrMalformed},
		"encrypted alg none":                   {k.encryptText(encode([]byte(`{"alg":"none"}`)) + "." + encode([]byte(`{`+who+`,"iat":1700000000}`)) + "."), true, vectorTime, ErrMalformed},
		"not deflated":                         {k.seal([12]byte{}, []byte(vectorJWS)), true, vectorTime, ErrMalformed},
		"a header without zip":                 {encode([]byte(`{"alg":"dir","enc":"A256GCM"}`)) + ".." + strings.Join(parts[2:], "."), true, vectorTime, ErrMalformed},
		"a wrapped key":                        {parts[0] + ".AAAA." + strings.Join(parts[2:], "."), true, vectorTime, ErrMalformed},
		"tag changed":                          {swap(encrypted, len(encrypted)-10), true, vectorTime, ErrForged},
		"tag cut":                              {encrypted[:len(encrypted)-4], true, vectorTime, ErrMalformed},
		"IV changed":                           {strings.Join([]string{parts[0], "", swap(parts[2], 3), parts[3], parts[4]}, "."), true, vectorTime, ErrForged},
		"huge":                                 {jwsHeader + "." + strings.Repeat("A", 1<<20), false, vectorTime, ErrTooLarge},
		"huge, encrypted":                      {jweHeader + ".." + strings.Repeat("A", 1<<20), true, vectorTime, ErrTooLarge},
		"deflates to two megabytes":            {bomb(2 << 20), true, vectorTime, ErrTooLarge},
	} {
		if s, _, err := k.DecodeSession(c.token, c.encrypted, month, c.now); !errors.Is(err, c.want) || s.Sub != "" {
			t.Errorf("%s: %+v, %v; want %v", name, s, err, c.want)
		}
	}
	if _, _, err := k.DecodeSession(vectorJWS, false, 0, vectorTime); !errors.Is(err, ErrExpired) {
		t.Errorf("a maxAge of nothing: %v", err)
	}
	var none Tokens
	for _, e := range []bool{false, true} {
		if _, _, err := none.DecodeSession(none.EncodeSession(vectorSession, e), e, month, vectorTime); !errors.Is(err, ErrForged) {
			t.Errorf("without keys: %v", err)
		}
	}
}

// encryptText is a JWE of any text.
func (t Tokens) encryptText(text string) string {
	var b bytes.Buffer
	w, _ := flate.NewWriter(&b, flate.BestCompression)
	w.Write([]byte(text))
	w.Close()
	return t.seal([12]byte{}, b.Bytes())
}

// The other way round, too: a session cookie answers no PKCE challenge.
func TestVerifierRefuses(t *testing.T) {
	k := tokens(t, Options{Secret: secret})
	for name, c := range map[string]struct {
		token string
		now   time.Time
		want  error
	}{
		"a session":            {k.EncodeSession(vectorSession, true), vectorTime, ErrPurpose},
		"a signed one":         {forge(`{"alg":"HS512"}`, `{"code_verifier":"v","iat":1700000000}`, k.signing), vectorTime, ErrMalformed},
		"no verifier":          {k.Encode([]byte(`{"iat":1700000000}`), true), vectorTime, ErrPurpose},
		"an empty verifier":    {k.EncodeVerifier("", vectorTime), vectorTime, ErrPurpose},
		"a short verifier":     {k.EncodeVerifier(strings.Repeat("v", 42), vectorTime), vectorTime, ErrPurpose},
		"a verifier with a +":  {k.EncodeVerifier(strings.Repeat("+", 43), vectorTime), vectorTime, ErrPurpose},
		"over":                 {vectorJWE, vectorTime.Add(15 * time.Minute), ErrExpired},
		"over, whatever exp":   {k.Encode([]byte(`{"code_verifier":"v","iat":1700000000,"exp":1900000000}`), true), vectorTime.Add(15 * time.Minute), ErrExpired},
		"nothing":              {"", vectorTime, ErrMalformed},
		"of another secret's ": {tokens(t, Options{Secret: "x"}).EncodeVerifier("v", vectorTime), vectorTime, ErrForged},
	} {
		if v, err := k.DecodeVerifier(c.token, c.now); !errors.Is(err, c.want) || v != "" {
			t.Errorf("%s: %q, %v; want %v", name, v, err, c.want)
		}
	}
}

// Encrypting anew makes another cookie, and says the same.
func TestSignedIsWhatIsSaid(t *testing.T) {
	k := tokens(t, Options{Secret: secret})
	_, plain, err := k.DecodeSession(vectorJWS, false, month, vectorTime)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		_, encrypted, err := k.DecodeSession(k.EncodeSession(vectorSession, true), true, month, vectorTime)
		if err != nil || encrypted.Signed != plain.Signed {
			t.Errorf("%v: %q, want %q", err, encrypted.Signed, plain.Signed)
		}
	}
}

func TestNewRefuses(t *testing.T) {
	jwk := func(kty, alg string, n int) string {
		return `{"kty":"` + kty + `","alg":"` + alg + `","k":"` + base64.RawURLEncoding.EncodeToString(make([]byte, n)) + `"}`
	}
	for name, c := range map[string]struct {
		o    Options
		want string
	}{
		"nothing":                     {Options{}, "signing_key: there is neither a key nor a secret"},
		"no secret to encrypt with":   {Options{SigningKey: vectorSigning}, "encryption_key: there is neither"},
		"not JSON":                    {Options{Secret: secret, SigningKey: "secret-key"}, "signing_key: it is not a JWK"},
		"a number":                    {Options{Secret: secret, EncryptionKey: "1"}, "encryption_key: it is not a JWK"},
		"RSA":                         {Options{Secret: secret, SigningKey: `{"kty":"RSA","n":"AA","e":"AQAB"}`}, `signing_key: its kty is "RSA"`},
		"HS256":                       {Options{Secret: secret, SigningKey: jwk("oct", "HS256", 64)}, `signing_key: its alg is "HS256", must be HS512`},
		"alg missing":                 {Options{Secret: secret, SigningKey: jwk("oct", "", 64)}, `signing_key: its alg is "", must be HS512`},
		"guessable":                   {Options{Secret: secret, SigningKey: jwk("oct", "HS512", 31)}, "signing_key: it has 31 bytes, needs 32"},
		"no k":                        {Options{Secret: secret, SigningKey: `{"kty":"oct","alg":"HS512"}`}, "signing_key: its k is not base64url"},
		"for something else":          {Options{Secret: secret, SigningKey: `{"kty":"oct","alg":"HS512","use":"enc","k":"AA"}`}, `signing_key: its use is "enc"`},
		"verification":                {Options{Secret: secret, VerificationKey: "x"}, "verification_key: it is not a JWK"},
		"A128GCM":                     {Options{Secret: secret, EncryptionKey: jwk("oct", "A128GCM", 16)}, `encryption_key: its alg is "A128GCM", must be A256GCM`},
		"16 bytes to encrypt":         {Options{Secret: secret, EncryptionKey: jwk("oct", "A256GCM", 16)}, "encryption_key: it has 16 bytes, A256GCM takes 32"},
		"16 bytes to decrypt":         {Options{Secret: secret, DecryptionKey: jwk("oct", "A256GCM", 16)}, "decryption_key: it has 16 bytes"},
		"the signing key to encrypt ": {Options{Secret: secret, EncryptionKey: vectorSigning}, `encryption_key: its alg is "HS512"`},
	} {
		_, err := New(c.o)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
	tokens(t, Options{SigningKey: vectorSigning, EncryptionKey: jwk("oct", "", 32)})
}

// Whatever a browser sends is refused or says what this site signed, and one
// token has one spelling.
func FuzzDecodeSession(f *testing.F) {
	k := tokens(f, Options{Secret: secret})
	encrypted := k.encryptText(vectorJWS) // the same in every process of the fuzzer
	for _, seed := range []string{"", vectorJWS, vectorJWE, encrypted, vectorEncrypted, jwsHeader + "..", jweHeader + "....", vectorJWS + "\n"} {
		f.Add(seed)
	}
	_, known, err := k.DecodeSession(vectorJWS, false, month, vectorTime)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, token string) {
		for _, e := range []bool{false, true} {
			s, claims, err := k.DecodeSession(token, e, month, vectorTime)
			if err == nil && (claims.Signed != known.Signed || s.Sub != "1" || token != vectorJWS && token != encrypted) {
				t.Errorf("%q was accepted: %+v", token, claims)
			}
		}
		k.DecodeVerifier(token, vectorTime)
	})
}

// What is signed is read whatever it holds, without a panic, and only as an
// object that says when it was made.
func FuzzClaims(f *testing.F) {
	k := tokens(f, Options{Secret: secret})
	for _, seed := range []string{`{"sub":"1","iat":1700000000}`, `{"code_verifier":"v","iat":1700000000}`, `{"iat":1e999}`, `[]`, `null`, `{"iat":-1}`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, claims string) {
		for _, e := range []bool{false, true} {
			s, c, err := k.DecodeSession(k.Encode([]byte(claims), e), e, month, vectorTime)
			if err == nil && (s.Sub == "" || !json.Valid([]byte(claims)) || c.IssuedAt.After(vectorTime.Add(maxAhead)) || !c.Ends.After(vectorTime) || c.Ends.After(c.IssuedAt.Add(month))) {
				t.Errorf("%q: %+v, %+v", claims, s, c)
			}
		}
	})
}
