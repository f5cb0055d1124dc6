package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/gatepost/gatepost/flows"
	"github.com/gatepost/gatepost/flows/gate"
	"github.com/gatepost/gatepost/store"
)

// A Question is what an operator wants to know: may this person have that?
type Question struct {
	As      string // address or number of a user; "" is nobody
	Session int32  // instead of As: whom a session is of
	From    string // the client's address; "" for none
	Method  string
	URL     string
}

// Why judges a request as the gate would and prints the steps that led there,
// the same that the log has.
func Why(ctx context.Context, c Config, q Question, out io.Writer) error {
	if !c.Gate.on() {
		return errors.New("there is no gate: the configuration has no gate.rules")
	}
	rules, _ := c.rules() // Load has refused what is wrong with them
	request, err := q.request()
	if err != nil {
		return err
	}
	var id gate.Identity
	if q.As != "" || q.Session != 0 {
		if id, err = q.identity(ctx, c, rules); err != nil {
			return err
		}
	}
	decision, steps := rules.Explain(request, id)
	fmt.Fprintf(out, "%s %s as %s\n", request.Method, request.URL(), described(id))
	for _, s := range steps {
		fmt.Fprintf(out, "  %s\n", s)
	}
	fmt.Fprintln(out, decision.Outcome)
	return nil
}

func (q Question) request() (gate.Request, error) {
	u, err := url.Parse(q.URL)
	if err != nil || u.Host == "" {
		return gate.Request{}, fmt.Errorf("%q is not a URL such as https://app.example.org/x", q.URL)
	}
	var client netip.Addr
	if q.From != "" {
		if client, err = netip.ParseAddr(q.From); err != nil {
			return gate.Request{}, fmt.Errorf("--from: %q is not an address", q.From)
		}
	}
	// The target as it is written, since another spelling may be judged otherwise.
	_, target, _ := strings.Cut(strings.TrimPrefix(q.URL, u.Scheme+"://"), "/")
	if u, err = url.Parse(canonicalURL(u.Scheme + "://" + u.Host)); err != nil { // as a browser would send it
		return gate.Request{}, err
	}
	return gate.NewRequest(strings.ToUpper(q.Method), u.Scheme, u.Host, "/"+target, client)
}

// identity looks up whom the question is about.
func (q Question) identity(ctx context.Context, c Config, rules *gate.Rules) (gate.Identity, error) {
	s, err := Store(ctx, c)
	if err != nil {
		return gate.Identity{}, err
	}
	defer s.Close()
	if q.Session != 0 {
		found, live, err := s.SessionByID(ctx, q.Session)
		if err != nil {
			return gate.Identity{}, err
		}
		if !live {
			return gate.Identity{}, fmt.Errorf("session %d is over", q.Session)
		}
		return flows.IdentityOf(rules, found), nil
	}
	user, err := findUser(ctx, s, q.As)
	if err != nil {
		return gate.Identity{}, err
	}
	accounts, err := s.AccountsOf(ctx, user.ID)
	if err != nil {
		return gate.Identity{}, err
	}
	of := store.Checked{User: user}
	for _, a := range accounts {
		of.Providers = append(of.Providers, a.Provider)
	}
	slices.Sort(of.Providers)
	of.Providers = slices.Compact(of.Providers)
	return flows.IdentityOf(rules, of), nil
}

// UserID is the number of the user whom an operator names by address or number. A
// number need not be anybody's: sessions may be left of a user who is gone.
func UserID(ctx context.Context, s *store.Store, who string) (int32, error) {
	if who == "" { // whose sessions to end: the store would take it for everybody
		return 0, errors.New("no user is named; give an address or a number")
	}
	if id, err := strconv.ParseInt(who, 10, 32); err == nil {
		return int32(id), nil
	}
	user, err := findUser(ctx, s, who)
	return user.ID, err
}

func findUser(ctx context.Context, s *store.Store, who string) (store.User, error) {
	if id, err := strconv.ParseInt(who, 10, 32); err == nil {
		return s.User(ctx, int32(id))
	}
	users, err := s.Users(ctx, who, 2)
	switch {
	case err != nil:
		return store.User{}, err
	case len(users) == 0:
		return store.User{}, fmt.Errorf("there is no user with the address %s", who)
	case len(users) > 1:
		return store.User{}, fmt.Errorf("several users have the address %s in different spellings; name one by its number", who)
	}
	return users[0], nil
}

func described(id gate.Identity) string {
	if id.UserID == 0 {
		return "nobody"
	}
	parts := []string{"user " + strconv.Itoa(int(id.UserID))}
	for _, p := range []struct{ what, value string }{
		{"", id.Email}, {"groups ", strings.Join(id.Groups, ", ")}, {"providers ", strings.Join(id.Providers, ", ")},
	} {
		if p.value != "" {
			parts = append(parts, p.what+p.value)
		}
	}
	return strings.Join(parts, "; ")
}
