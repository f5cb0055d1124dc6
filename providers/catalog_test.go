package providers

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io/fs"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// live is every entry that somebody can sign in with.
func live() []Provider {
	return slices.DeleteFunc(Catalog(), func(p Provider) bool { return p.Status == "dead" })
}

// example is a configuration of p that needs no more than the document says.
func example(p Provider) Config {
	c := Config{ID: p.ID, ClientID: "client", ClientSecret: "secret", Params: map[string]string{}}
	for _, param := range p.Params {
		if param.Required {
			c.Params[param.Name] = exampleValue(p, param)
		}
	}
	return c
}

func exampleValue(p Provider, param Param) string {
	switch {
	case param.Name == "private_key":
		return testKeyPEM(p.ClientSecretJWT.Alg)
	case param.Example != "":
		return param.Example
	case param.Name == "issuer" || strings.HasSuffix(param.Name, "_url"):
		return "https://idp.example"
	}
	return "example"
}

// Every document is complete, and is what check wants.
func TestCatalogDocuments(t *testing.T) {
	day := regexp.MustCompile(`^\d{4}-\d{2}-\d{2}$`)
	colour := regexp.MustCompile(`^#[0-9A-F]{6}$`)
	names, _ := fs.Glob(catalogFiles, "catalog/*.yaml")
	if len(names) < 130 || len(names) != len(Catalog()) {
		t.Errorf("%d files, %d entries", len(names), len(Catalog()))
	}
	seen := map[string]bool{}
	for i, p := range Catalog() {
		t.Run(p.ID, func(t *testing.T) {
			if names[i] != "catalog/"+p.ID+".yaml" || !validID.MatchString(p.ID) {
				t.Errorf("the file of %s is %s", p.ID, names[i])
			}
			for _, id := range append([]string{p.ID}, p.Aliases...) {
				if seen[id] {
					t.Errorf("%s is used twice", id)
				}
				seen[id] = true
			}
			docs, err := url.Parse(p.Docs)
			if err != nil || docs.Scheme != "https" || !day.MatchString(p.Read) || !colour.MatchString(p.Brand) || p.Name == "" {
				t.Errorf("docs %q, read %q, brand %q, name %q", p.Docs, p.Read, p.Brand, p.Name)
			}
			if !slices.Contains([]string{"live", "restricted", "legacy", "dead"}, p.Status) || (p.Status != "live") != (p.StatusNote != "") && p.Status != "live" {
				t.Errorf("status %q, note %q", p.Status, p.StatusNote)
			}
			if p.Status == "dead" {
				if _, err := New(example(p), HTTPOptions{}); err == nil || !strings.Contains(err.Error(), p.StatusNote) {
					t.Errorf("a dead provider: %v", err)
				}
				return
			}
			if err := (Config{ID: p.ID}).checkDocument(p); err != nil {
				t.Error(err)
			}
			if _, err := New(example(p), HTTPOptions{}); err != nil {
				t.Error(err)
			}
			if p.Expect == nil || p.Sample["profile"] == nil {
				t.Error("sample or expect is missing")
			}
			for _, x := range []string{p.Success.path(), p.Active.path()} {
				if x != "" && p.Hook == "" && look(documents(t, p.Sample), x) == nil {
					t.Errorf("the sample has nothing at %s", x)
				}
			}
			// O-33: secrets go into URLs only where a document says why.
			if (p.TokenMethod == "GET" || strings.HasPrefix(p.UserinfoAuth, "query:")) && len(p.Notes) == 0 && p.ID != "mailru" {
				t.Error("tokens in URLs without a note")
			}
		})
	}
}

func (c *Condition) path() string {
	if c == nil {
		return ""
	}
	return c.Path
}

// Every document maps its own sample as it says, and so does every variant.
func TestCatalogSamples(t *testing.T) {
	for _, p := range live() {
		t.Run(p.ID, func(t *testing.T) {
			checkSample(t, p, example(p).Params)
			// O-34: a hollow profile is nobody.
			if got, err := MapProfile(p, Documents{"": map[string]any{}}); err == nil {
				t.Errorf("an empty profile is %+v", got)
			}
		})
		for name := range p.Variants {
			t.Run(p.ID+" "+name, func(t *testing.T) {
				c := example(p)
				for _, param := range p.Params {
					if slices.Contains(param.Enum, name) {
						c.Params[param.Name] = name
					}
				}
				doc, _, err := c.resolve(HTTPOptions{})
				if err != nil {
					t.Fatal(err)
				}
				if doc.Token == p.Token && doc.Authorization == p.Authorization {
					t.Error("the variant is not chosen")
				}
				checkSample(t, doc, c.Params)
			})
		}
	}
}

func checkSample(t *testing.T, p Provider, params map[string]string) {
	t.Helper()
	docs := documents(t, p.Sample)
	if docs["param"] == nil {
		values := map[string]any{}
		for name, v := range params {
			values[name] = v
		}
		docs["param"] = values
	}
	if p.Success != nil && !p.Success.holds(docs) || p.Active != nil && !p.Active.holds(docs) {
		t.Error("the sample is refused")
	}
	checkProfile(t, p, docs, *p.Expect)
}

// The accounts of NextAuth v3 stay: the same person has the same compound_id.
func TestAccountIDsOfNextAuth(t *testing.T) {
	// Those that v3 shipped (nextauth-v3 §16); where the row cannot stay, the
	// document says so.
	shipped := strings.Fields(`42-school apple atlassian auth0 azure-ad-b2c basecamp battlenet box bungie cognito coinbase discord dropbox
		eveonline facebook faceit foursquare freshbooks fusionauth github gitlab google identity-server4 instagram kakao line linkedin
		mailchimp mailru medium naver netlify okta onelogin osso reddit salesforce slack spotify strava twitch twitter vk wordpress workos
		yandex zoho zoom`)
	for _, id := range shipped {
		p, ok := Lookup(id)
		if !ok || p.ID != id {
			t.Errorf("%s: no entry", id)
			continue
		}
		if p.Status == "dead" {
			continue
		}
		if p.V3 == nil {
			t.Errorf("%s: the document does not say what v3 stored", id)
			continue
		}
		if p.V3.Compat != "same" {
			if p.V3.Note == "" {
				t.Errorf("%s is %s and does not say what to do", id, p.V3.Compat)
			}
			continue
		}
		docs := documents(t, p.Sample)
		if p.V3.Document != nil {
			docs[""] = asSent(t, p.V3.Document)
		}
		theirs := compoundID(id, asJavaScript(look(docs, p.V3.ID)))
		got, err := MapProfile(p, documents(t, p.Sample))
		if err != nil {
			t.Errorf("%s: %v", id, err)
		} else if ours := compoundID(id, got.Subject); ours != theirs {
			t.Errorf("%s: our id %q, theirs %q", id, got.Subject, asJavaScript(look(docs, p.V3.ID)))
		}
	}
}

func compoundID(provider, subject string) string {
	sum := sha256.Sum256([]byte(provider + ":" + subject))
	return hex.EncodeToString(sum[:])
}

// asJavaScript is String(v), with which v3 made its hash.
func asJavaScript(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case json.Number:
		return v.String()
	}
	return "undefined"
}

// O-36: a provider's id has no colon, so that no two pairs have one hash.
func TestIDsHaveNoColon(t *testing.T) {
	for _, id := range []string{"a:b", "", "-a", ".", "..", "_a", "a/b", "a%2Fb", "a b", "é", "a\n", "email", strings.Repeat("a", 64)} {
		if _, err := New(Config{ID: id, Type: "github", ClientID: "c", ClientSecret: "s"}, HTTPOptions{}); err == nil {
			t.Errorf("%q is taken", id)
		}
	}
	// Whatever else a NextAuth site may call its own: its accounts have that id.
	for _, id := range []string{"a", "42-school", "azureAD", "My_OAuth.2", strings.Repeat("a", 63)} {
		if _, err := New(Config{ID: id, Type: "github", ClientID: "c", ClientSecret: "s"}, HTTPOptions{}); err != nil {
			t.Errorf("%q: %v", id, err)
		}
	}
}

// A mistake in a document is said with its line; one in an override with its name.
func TestUnknownKeys(t *testing.T) {
	var p Provider
	if err := decodeYAML([]byte("id: x\nname: X\ntoken_atuh: post\n"), &p); err == nil || !strings.Contains(err.Error(), "3") || !strings.Contains(err.Error(), "token_atuh") {
		t.Errorf("document: %v", err)
	}
	_, err := New(Config{ID: "github", ClientID: "c", ClientSecret: "s", Override: map[string]any{"token_atuh": "post"}}, HTTPOptions{})
	if err == nil || !strings.Contains(err.Error(), "token_atuh") {
		t.Errorf("override: %v", err)
	}
}

// Reading the whole catalogue is cheap enough to do at every start.
func TestCatalogIsReadFast(t *testing.T) {
	start := time.Now()
	for _, p := range Catalog() {
		reload(p.ID)
	}
	if d := time.Since(start); d > 3*time.Second {
		t.Errorf("%s", d)
	}
}
