package flows

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"

	"github.com/gatepost/gatepost/flows/mail"
	"github.com/gatepost/gatepost/store"
)

// Purposes of what verification_tokens holds; each is part of the keyed hash,
// so that nothing made for one is taken for another (security G-1, M-3).
const (
	purposeLink   = "magic-link"
	purposeCode   = "magic-code"
	purposeLimitA = "mail limit, address"
	purposeLimitC = "mail limit, client"
)

// A MailRequest is what a browser asks for: a sign-in mail.
type MailRequest struct {
	Address  string // as typed
	Client   string // who asks, for the limit
	ReturnTo string // absolute, passed by ReturnTo.Resolve
	Language string // tag of the language that the mail speaks
	Browser  string // what asks, "Firefox" on "Linux"; "" if not known
	System   string
	Before   MailAttempt // what this browser asked for last
}

// A MailAttempt is one request for a sign-in mail, kept by the browser that
// asked: it may type the mailed code, and is recognised when the link is opened.
type MailAttempt struct {
	ID        string // random; the code is bound to it
	Email     string // as ParseAddress gives it
	Mailed    string // the same, as it is stored
	Token     string // the stored form of the link's token
	ReturnTo  string // absolute, passed by ReturnTo.Resolve
	Browser   string
	System    string
	Sent      int // mails to this address in a row
	Wrong     int // codes typed wrong so far
	StartedAt time.Time
}

// Before another mail to the same address may be asked for from one browser, it
// waits: twice as long each time.
const (
	firstWait = 30 * time.Second
	longWait  = 5 * time.Minute
)

// Wait is how long the browser of a waits before it may ask again for a mail to
// address; 0 if it may now. Nothing was asked for counts as long ago.
func (a MailAttempt) Wait(address string, now time.Time) time.Duration {
	if a.Email == "" || a.Email != address || a.StartedAt.After(now) {
		return 0
	}
	wait := longWait
	if n := max(a.Sent, 1) - 1; n < 4 {
		wait = min(firstWait<<n, longWait)
	}
	return max(a.StartedAt.Add(wait).Sub(now), 0)
}

// A Link is the query of a mailed link.
type Link struct {
	Email string // in NextAuth's links
	Token string
}

// A MailedLink is what a link would do, before anybody presses its button.
type MailedLink struct {
	Email   string // whom it signs in
	AskedAt time.Time
	Same    bool // this browser asked for it
	Refused bool // it may not sign in this browser
	// Accounts are of whom it signs in, who has never proven the address: somebody
	// else may have set them up, and those that are not chosen go (security L-4).
	// Of each there are ID, Provider and CreatedAt.
	Accounts []store.Account
}

// A Choice is which accounts somebody who proves an address says are theirs.
// Nothing is kept unless it is named, since who is hurried into this by somebody
// who set up an account in their name presses the button and no more.
type Choice struct {
	Made bool    // false: where there is something to choose, it is asked first
	Keep []int32 // ids; those of other people's accounts change nothing
}

// An Undecided says that there is a Choice to be made, among Accounts, and that
// nothing was spent.
type Undecided struct {
	Email    string
	Accounts []store.Account // as in a MailedLink
}

func (u *Undecided) Error() string { return "accounts are to be chosen first" }

// MagicLink signs people in who can read a mailbox.
type MagicLink struct {
	Store    *store.Store
	Sessions *Sessions
	Keys     Keys
	Send     func(mail.Link) error              // hands the mail to the queue
	URL      func(address, token string) string // the link to mail
	Site     string                             // host shown in the mail
	Bind     bool                               // a link signs in only the browser that asked for it
	TTL      time.Duration
	Tries    int // how often the code may be typed
	Limits   store.MailLimits
	// Believed are the providers whose accounts stay, unasked, when their user's
	// address is proven for the first time; see store.Proof.
	Believed []string
	Now      func() time.Time

	Admission *Admission // nil lets everybody in
}

// Begin stores a token and has the link and the code mailed. Beyond a limit
// nothing is mailed and the answer is the same, so that it tells nothing about
// an address (security M-11, M-12); sent is for the log. The same holds for an
// error that is QuietlyRefused: the attempt is one as any other then.
func (m *MagicLink) Begin(ctx context.Context, r MailRequest) (a MailAttempt, sent bool, err error) {
	address, err := ParseAddress(r.Address)
	if err != nil {
		return MailAttempt{}, false, refuse(EmailSignin, ReasonAddressInvalid, "%w", err)
	}
	token := m.Sessions.Dialect.newToken()
	addresses := m.Sessions.Dialect.addresses(r.Address)
	a = MailAttempt{
		ID: randomToken(), Email: address, Token: m.Sessions.Dialect.link(address, token).Tokens[0],
		ReturnTo: r.ReturnTo, Browser: r.Browser, System: r.System, Sent: 1, StartedAt: m.Now(),
	}
	if r.Before.Email == address {
		a.Sent += r.Before.Sent
	}
	mailed, granted, err := m.Store.RequestVerification(ctx, store.VerificationRequest{
		Identifier: addresses[0],
		Addresses:  addresses,
		Token:      a.Token,
		CodeID:     codeID(a),
		TTL:        m.TTL,
		CodeTries:  m.Tries,
		AddressKey: m.Keys.MAC(purposeLimitA, address),
		ClientKey:  m.Keys.MAC(purposeLimitC, r.Client),
		Limits:     m.Limits,
	})
	a.Mailed = mailed
	if err != nil || !granted {
		return a, false, err
	}
	if err := m.Admission.address(ctx, addresses, true); err != nil {
		// The rows stay: what they unlock is mailed to nobody.
		return a, false, err
	}
	err = m.Send(mail.Link{To: address, URL: m.URL(mailed, token), Code: m.code(a), Site: m.Site, Language: r.Language, Expires: m.TTL})
	if err != nil {
		// The rows must not outlive a mail that will never come.
		return a, false, errors.Join(
			refuse(EmailSignin, ReasonMailDown, "%w", err),
			m.Store.RevokeVerification(ctx, store.Proof{Tokens: []string{a.Token}}))
	}
	return a, true, nil
}

// Look says whom the link's token would sign in, and leaves it as it is: mail
// scanners open every link (security M-6). asked is this browser's attempt.
func (m *MagicLink) Look(ctx context.Context, l Link, asked MailAttempt) (MailedLink, error) {
	proof, err := m.proof(l)
	if err != nil {
		return MailedLink{}, err
	}
	proof.Believed = m.Believed
	row, atStake, err := m.Store.VerificationToken(ctx, proof)
	if err != nil {
		return MailedLink{}, linkError(err)
	}
	same := sameOf(asked, proof.Tokens)
	link := MailedLink{Email: row.Identifier, AskedAt: row.CreatedAt, Same: same, Refused: m.Bind && !same}
	if !link.Refused {
		link.Accounts = atStake
	}
	return link, nil
}

// Complete spends the link's token and signs in whom it was mailed to. Of any
// number of concurrent uses exactly one succeeds (security G-2). current is the
// session this browser has; it is replaced. The error may be an *Undecided.
func (m *MagicLink) Complete(ctx context.Context, l Link, asked MailAttempt, choice Choice, fallback string, current SessionToken) (SignedIn, error) {
	proof, err := m.proof(l)
	if err != nil {
		return SignedIn{}, err
	}
	returnTo, same := fallback, sameOf(asked, proof.Tokens)
	if m.Bind && !same {
		// Whoever tricks somebody into pressing the button of a mail that they
		// did not ask for gains nothing (security M-7).
		return SignedIn{}, refuse(Verification, ReasonOtherBrowser, "")
	}
	if same && asked.ReturnTo != "" {
		returnTo = asked.ReturnTo
	}
	return m.signIn(ctx, proof, choice, returnTo, current)
}

// CompleteCode spends the code that was mailed for attempt a. How often it may
// be guessed is counted in its row; what is said about it follows from a.Wrong
// alone, because an attempt beyond a limit has no row, and must not be told from
// one that has (security M-11). The error may be an *Undecided, for the right code
// alone.
func (m *MagicLink) CompleteCode(ctx context.Context, a MailAttempt, typed string, choice Choice, current SessionToken) (SignedIn, error) {
	if a.ID == "" || a.Email == "" || m.Now().Sub(a.StartedAt) > m.TTL {
		return SignedIn{}, refuse(Verification, ReasonLinkExpired, "no live attempt in this browser")
	}
	typed = digits(typed)
	if right := m.code(a); len(typed) != len(right) || subtle.ConstantTimeCompare([]byte(typed), []byte(right)) != 1 {
		left, err := m.Store.SpendCodeTry(ctx, mailedCode(a))
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return SignedIn{}, err
		}
		if a.Wrong+1 >= m.Tries {
			return SignedIn{}, refuse(Verification, ReasonCodeExhausted, "%d tries left", left)
		}
		return SignedIn{}, refuse(Verification, ReasonCodeWrong, "%d tries left", left)
	}
	proof := store.Proof{Tokens: mailedCode(a).Tokens(m.Tries), Addresses: m.Sessions.Dialect.addresses(a.Email)}
	return m.signIn(ctx, proof, choice, a.ReturnTo, current)
}

// Revoke spends the link's token without signing anybody in: "this wasn't me".
func (m *MagicLink) Revoke(ctx context.Context, l Link) error {
	proof, err := m.proof(l)
	if err != nil {
		return err
	}
	return m.Store.RevokeVerification(ctx, proof)
}

func (m *MagicLink) signIn(ctx context.Context, proof store.Proof, choice Choice, returnTo string, current SessionToken) (SignedIn, error) {
	proof.Believed, proof.Keep, proof.Ask = m.Believed, choice.Keep, !choice.Made
	if err := m.admit(ctx, proof); err != nil {
		return SignedIn{}, err
	}
	token, session := m.Sessions.begin(current)
	signedIn, err := m.Store.SignInByVerification(ctx, proof, session)
	if proof.Ask && errors.Is(err, store.ErrNotFound) {
		err = m.undecided(ctx, proof, err)
	}
	if err != nil {
		return SignedIn{}, linkError(err)
	}
	if signedIn.Cleared {
		if err := m.Sessions.onlySession(ctx, signedIn); err != nil {
			return SignedIn{}, err
		}
	}
	return SignedIn{SignedIn: signedIn, Token: token, ReturnTo: returnTo}, nil
}

// undecided is what there is to choose before proof can be spent, or err where
// that is not what kept it from being spent.
func (m *MagicLink) undecided(ctx context.Context, proof store.Proof, err error) error {
	row, atStake, lookErr := m.Store.VerificationToken(ctx, proof)
	switch {
	case lookErr != nil:
		return lookErr
	case len(atStake) > 0:
		return &Undecided{row.Identifier, atStake}
	}
	return err
}

// admit refuses whom proof was mailed to, if they may not sign in; what was
// mailed is spent then.
func (m *MagicLink) admit(ctx context.Context, proof store.Proof) error {
	if m.Admission == nil {
		return nil
	}
	row, atStake, err := m.Store.VerificationToken(ctx, proof)
	if err != nil {
		return linkError(err)
	}
	if proof.Ask && len(atStake) > 0 {
		// A service that is asked may count: once for each sign-in.
		return &Undecided{row.Identifier, atStake}
	}
	err = m.Admission.address(ctx, m.Sessions.Dialect.addresses(row.Identifier), false)
	if isRefusal(err) {
		err = errors.Join(err, m.Store.RevokeVerification(ctx, proof))
	}
	return err
}

// proof is what is stored of l. Malformed, unknown, used and expired links all
// get the same refusal (security M-9).
func (m *MagicLink) proof(l Link) (store.Proof, error) {
	proof := m.Sessions.Dialect.link(l.Email, l.Token)
	if len(proof.Tokens) == 0 {
		return store.Proof{}, refuse(Verification, ReasonLinkExpired, "malformed link")
	}
	return proof, nil
}

func linkError(err error) error {
	if errors.Is(err, store.ErrNotFound) {
		return refuse(Verification, ReasonLinkExpired, "")
	}
	return err
}

// sameOf reports whether this browser asked for the link with one of hashes.
// An empty attempt is nobody's.
func sameOf(asked MailAttempt, hashes []string) bool {
	for _, h := range hashes {
		if asked.Token != "" && subtle.ConstantTimeCompare([]byte(asked.Token), []byte(h)) == 1 {
			return true
		}
	}
	return false
}

// code is the six digits mailed for a. They follow from the attempt, so the
// database holds nothing that could be searched for them; how often they may be
// guessed is counted there.
func (m *MagicLink) code(a MailAttempt) string {
	// By the oldest key: a code must outlive the rotation of keys for as long
	// as its mail does, and the newest key changes in a rotation.
	keys := m.Keys.Derive(purposeCode, 32)
	h := hmac.New(sha256.New, keys[len(keys)-1])
	h.Write([]byte(a.ID + "\x00" + a.Email))
	return fmt.Sprintf("%06d", binary.BigEndian.Uint64(h.Sum(nil))%1_000_000)
}

// mailedCode names the row that counts the tries of a's code.
func mailedCode(a MailAttempt) store.MailedCode {
	return store.MailedCode{Identifier: a.Mailed, ID: codeID(a), Link: a.Token}
}

func codeID(a MailAttempt) string { return purposeCode + "\x00" + a.ID }

// digits is what somebody means who types or pastes a code: without spaces and
// dashes, and in the digits of any keyboard.
func digits(typed string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) || unicode.In(r, unicode.Pd, unicode.Cf) {
			return -1
		}
		for _, zero := range []rune{'\u0660', '\u06f0', '\u0966', '\uff10'} { // Arabic, Persian, Devanagari, full-width
			if r >= zero && r <= zero+9 {
				return '0' + r - zero
			}
		}
		return r
	}, typed)
}
