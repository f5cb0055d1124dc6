package providers

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// What data cannot say is here, and nothing else.
var hookNames = []string{"discord_avatar", "facebook_appsecret_proof", "shopify_callback_hmac", "photo_to_data_uri"}

// mapHooks compute a field of the profile.
var mapHooks = map[string]func(Documents) string{"discord_avatar": discordAvatar, "photo_to_data_uri": photo}

func runHook(name string, docs Documents) string {
	if h := mapHooks[name]; h != nil {
		return h(docs)
	}
	return ""
}

// discordAvatar builds the picture's URL from the hash of it, or from the id.
//
// Source: https://discord.com/developers/docs/reference#image-formatting
func discordAvatar(docs Documents) string {
	id, hash := printed(look(docs, "id")), printed(look(docs, "avatar"))
	n, err := strconv.ParseUint(id, 10, 64)
	switch {
	case err != nil:
		return ""
	case hash != "":
		format := "png"
		if strings.HasPrefix(hash, "a_") {
			format = "gif"
		}
		return "https://cdn.discordapp.com/avatars/" + id + "/" + hash + "." + format
	}
	picture := (n >> 22) % 6
	if d, err := strconv.ParseUint(printed(look(docs, "discriminator")), 10, 64); err == nil && d != 0 {
		picture = d % 5
	}
	return fmt.Sprintf("https://cdn.discordapp.com/embed/avatars/%d.png", picture)
}

// maxPhoto is the size of a picture that may travel inside a profile.
const maxPhoto = 16 << 10

// photo is the picture that an extra request brought, see dataURL.
func photo(docs Documents) string { return printed(look(docs, "$photo")) }

// dataURL turns a small JPEG or PNG into a data URL. The kind is told from the
// bytes: what a server says it is could make a page out of a picture.
func dataURL(body []byte) (string, error) {
	kind := ""
	switch {
	case bytes.HasPrefix(body, []byte("\xff\xd8\xff")):
		kind = "image/jpeg"
	case bytes.HasPrefix(body, []byte("\x89PNG\r\n\x1a\n")):
		kind = "image/png"
	}
	if kind == "" || len(body) > maxPhoto {
		return "", errors.New("not a small JPEG or PNG")
	}
	return "data:" + kind + ";base64," + base64.StdEncoding.EncodeToString(body), nil
}

// appsecretProof shows that an access token is used by the one that got it.
//
// Source: https://developers.facebook.com/docs/graph-api/guides/secure-requests
func appsecretProof(secret, accessToken string) string {
	h := hmac.New(sha256.New, []byte(secret))
	h.Write([]byte(accessToken))
	return hex.EncodeToString(h.Sum(nil))
}

// shopifyHMAC reports whether Shopify, and for this shop, made the answer cb:
// the shop in it decides whose token endpoint an installation talks to.
//
// Source: https://shopify.dev/docs/apps/build/authentication-authorization/access-tokens/authorization-code-grant
func shopifyHMAC(cb url.Values, secret, shop string) error {
	if len(cb["hmac"]) != 1 || len(cb["shop"]) != 1 || secret == "" {
		return errors.New("hmac or shop is missing or sent twice")
	}
	var fields []string
	for _, name := range slices.Sorted(maps.Keys(cb)) {
		if name != "hmac" {
			fields = append(fields, name+"="+strings.Join(cb[name], ","))
		}
	}
	h := hmac.New(sha256.New, []byte(secret))
	h.Write([]byte(strings.Join(fields, "&")))
	got, err := hex.DecodeString(cb.Get("hmac"))
	switch {
	case err != nil || !hmac.Equal(got, h.Sum(nil)):
		return errors.New("hmac is wrong")
	case shop == "" || cb.Get("shop") != shop:
		return errors.New("the answer is of another shop")
	}
	return nil
}
