package flows

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"strings"

	"github.com/gatepost/gatepost/flows/nextauth"
	"github.com/gatepost/gatepost/store"
)

// A Dialect is how tokens look and what of them is stored. There are two:
// Gatepost's own, and that of the NextAuth v3 site which shares our tables.
type Dialect interface {
	newToken() string             // a session, an access or a link token: 256 random bits
	wellFormed(token string) bool // all that is read of a session token before the look-up (security S-11)
	bearer(token string) bool     // the same for an access token
	stored(token string) string   // the form in sessions, "" for no token
	// link is what to look for of a link, none for what is none. The token to
	// store for a new one comes first.
	link(address, token string) store.Proof
	// addresses are spellings of raw, the one that is written first.
	addresses(raw string) []string
	upstream(token, owner string) string // the form in accounts of a provider's token
	openUpstream(stored, owner string) (string, error)
	keepsRefreshTokens() bool // those too that nobody asked for
}

// Own is Gatepost's dialect: the database stores hashes, and provider's tokens
// encrypted, so that a leaked backup opens nothing (security S-2, O-38).
func Own(keys Keys) Dialect { return own{keys} }

type own struct{ keys Keys }

func (own) newToken() string { return randomToken() }

func (own) wellFormed(token string) bool {
	if len(token) != 43 {
		return false
	}
	for i := range len(token) {
		if c := token[i]; !isAlnum(c) && c != '-' && c != '_' {
			return false
		}
	}
	return true
}

func (o own) bearer(token string) bool {
	rest, ours := strings.CutPrefix(token, AccessTokenPrefix)
	return ours && o.wellFormed(rest)
}

func (own) stored(token string) string {
	if token == "" {
		return ""
	}
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:])
}

// link looks for the token alone: whose it is says the row.
func (o own) link(_, token string) store.Proof {
	if !o.wellFormed(token) { // the same 43 characters
		return store.Proof{}
	}
	return store.Proof{Tokens: o.keys.MACs(purposeLink, token)}
}

// addresses begin with the canonical form. The others may have been taken over.
func (own) addresses(raw string) []string { return spellings(raw) }

func (o own) upstream(token, owner string) string { return o.keys.sealUpstream(token, owner) }

// keepsRefreshTokens is false: what is not there cannot leak (security O-37).
func (own) keepsRefreshTokens() bool { return false }

func (o own) openUpstream(stored, owner string) (string, error) {
	return o.keys.openUpstream(stored, owner)
}

// NextAuth is NextAuth v3's dialect: session, access and provider's tokens are
// stored as they are, and of a mailed link hex SHA-256 of its token and secret.
func NextAuth(keys Keys, secret nextauth.Secret) Dialect { return shared{own{keys}, secret} }

type shared struct {
	own    own
	secret nextauth.Secret
}

func (shared) newToken() string {
	var b [32]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

// wellFormed takes whatever NextAuth and its adapters may have written that a
// cookie can carry. Rows of access tokens have a session token too, which opens
// nothing.
func (shared) wellFormed(token string) bool {
	return token != "" && len(token) <= 255 && !strings.HasPrefix(token, "api:") && strings.Trim(token, printable) == ""
}

// printable is ASCII from space to tilde.
const printable = " !\"#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_`abcdefghijklmnopqrstuvwxyz{|}~"

// bearer is 64 hex digits, as NextAuth hands them out, with our prefix for those
// that people make here.
func (shared) bearer(token string) bool {
	token = strings.TrimPrefix(token, AccessTokenPrefix)
	return len(token) == 64 && strings.Trim(token, "0123456789abcdef") == ""
}

func (shared) stored(token string) string { return token }

// link looks for address and token, since a row found by its token alone would
// sign in whomever the link names (CVE-2021-21310). NextAuth stored, and mailed
// to, what is not exactly one mailbox: such a row proves no address (nextauth-v3
// §18 row 6, CVE-2026-73420).
func (s shared) link(address, token string) store.Proof {
	if !isSpelling(address) || !s.wellFormed(token) {
		return store.Proof{}
	}
	return store.Proof{Identifier: address, Addresses: s.addresses(address), Tokens: []string{s.secret.Hash(token)}}
}

// addresses begin with the form that has its domain in Unicode, if there is one:
// people type that, and NextAuth finds them by what they type. All replicas write
// the same one, so that the unique index makes one user of a mailbox.
func (shared) addresses(raw string) []string {
	all := spellings(raw)
	if len(all) > 1 && all[1] == strings.ToLower(all[1]) {
		all[0], all[1] = all[1], all[0]
	}
	return all
}

func (shared) keepsRefreshTokens() bool { return true }

func (shared) upstream(token, _ string) string { return token }

// openUpstream reads what was sealed before the tables were shared, and else
// what NextAuth stored.
func (s shared) openUpstream(stored, owner string) (string, error) {
	if strings.HasPrefix(stored, sealedPrefix) {
		return s.own.openUpstream(stored, owner)
	}
	return stored, nil
}
