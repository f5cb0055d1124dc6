package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"github.com/gatepost/gatepost/store"
)

// An Adoption is what the command adopt was asked for.
type Adoption struct {
	Apply       bool
	From        string
	Views       store.ViewsOptions
	Merge       []store.Merge
	LowerCase   bool
	LockTimeout time.Duration
	Fingerprint string // file to write what is there to
	Verify      string // file to compare what is there with
}

var errNotTheSame = errors.New("the rows are not those of the fingerprint")

// Adopt makes the documented tables of those that NextAuth left, or says what
// it would do.
func Adopt(ctx context.Context, c Config, a Adoption, out io.Writer) error {
	url := c.Database.direct()
	if a.Verify != "" {
		return verify(ctx, url, c.Database.Schema, a.Verify, out)
	}
	o := store.AdoptOptions{URL: url, Schema: c.Database.Schema, From: a.From, LockTimeout: a.LockTimeout, Views: a.Views, Merge: a.Merge, LowerCase: a.LowerCase}
	if a.Apply {
		return apply(ctx, o, a.Fingerprint, out)
	}
	p, err := store.PlanAdoption(ctx, o)
	if err != nil {
		return err
	}
	tellPlan(out, p)
	if len(p.Blockers) > 0 || p.Dialect == store.DialectUnknown {
		return store.ErrNotAdoptable
	}
	if a.Fingerprint != "" {
		f, err := store.TakeFingerprint(ctx, url, c.Database.Schema, nil)
		if err != nil {
			return err
		}
		if err := f.Save(a.Fingerprint); err != nil {
			return err
		}
		fmt.Fprintf(out, "\nWritten to %s; compare later by --verify.\n", a.Fingerprint)
	}
	if p.Changes() {
		fmt.Fprintln(out, "\nNothing was changed. The same command with --apply does it.")
	}
	return nil
}

func apply(ctx context.Context, o store.AdoptOptions, file string, out io.Writer) error {
	p, after, err := store.Adopt(ctx, o, func(p store.Plan) error {
		tellPlan(out, p)
		return nil
	})
	if errors.Is(err, store.ErrNotAdoptable) {
		tellPlan(out, p)
	}
	if err != nil {
		return err
	}
	if p.Changes() {
		fmt.Fprintln(out, "\nDone, in one transaction. The rows before and after are the same:")
		if len(o.Merge) > 0 || o.LowerCase {
			fmt.Fprintln(out, "(compared before users were merged or addresses rewritten)")
		}
		tellFingerprint(out, after)
	}
	if file == "" {
		return nil
	}
	if after.Parts == nil {
		if after, err = store.TakeFingerprint(ctx, o.URL, o.Schema, nil); err != nil {
			return err
		}
	}
	fmt.Fprintf(out, "Written to %s; compare later by --verify.\n", file)
	return after.Save(file)
}

func verify(ctx context.Context, url, schema, file string, out io.Writer) error {
	was, err := store.LoadFingerprint(file)
	if err != nil {
		return err
	}
	now, err := store.TakeFingerprint(ctx, url, schema, &was)
	if err != nil {
		return err
	}
	diff := was.Diff(now)
	for _, line := range diff {
		fmt.Fprintln(out, line)
	}
	if len(diff) > 0 {
		return errNotTheSame
	}
	fmt.Fprintf(out, "the same as %s (rows that came later are left out):\n", was.At.Format("2006-01-02 15:04Z"))
	tellFingerprint(out, now)
	return nil
}

func tellFingerprint(out io.Writer, f store.Fingerprint) {
	for _, p := range f.Parts {
		fmt.Fprintf(out, "  %d %s\n", p.Rows, p.Name)
	}
}

// tellPlan prints everything that a person should know before.
func tellPlan(out io.Writer, p store.Plan) {
	fmt.Fprintln(out, recognised(p))
	for _, n := range p.Notes {
		fmt.Fprintf(out, "  %s\n", n)
	}
	if p.Difference != "" {
		fmt.Fprintf(out, "\nAgainst the documented schema (- documented, + found):\n%s\n", p.Difference)
	}
	tellPeople(out, p)
	if len(p.Blockers) > 0 {
		fmt.Fprintln(out, "\nIn the way:")
		for _, b := range p.Blockers {
			fmt.Fprintf(out, "  %s\n", b)
		}
		return
	}
	if p.Changes() {
		tellSteps(out, p)
		tellRisk(out, p)
		tellWayBack(out, p)
	} else if p.WayBack != "" {
		fmt.Fprintf(out, "\nThe way back of the adoption of %s:\n%s", p.WayBackAt.UTC().Format("2006-01-02 15:04Z"), indent(p.WayBack))
	}
}

func tellWayBack(out io.Writer, p store.Plan) {
	takesBack := func(s store.Step) bool { return s.Undo != "" }
	if slices.ContainsFunc(p.Steps, takesBack) {
		fmt.Fprintf(out, "\nThe way back, kept in gatepost.adoptions (remove views first, where there are any):\n%s", indent(p.Undo()))
	}
	if slices.ContainsFunc(p.Steps, func(s store.Step) bool { return strings.HasPrefix(s.SQL, "CREATE VIEW") }) {
		fmt.Fprintln(out, "\nThe way back of the views: gatepost adopt --drop-views --apply")
	}
}

func recognised(p store.Plan) string {
	switch p.Dialect {
	case store.DialectDocumented:
		return fmt.Sprintf("The tables in %s are the documented ones.", p.Schema)
	case store.DialectShipped:
		return fmt.Sprintf("The tables in %s are NextAuth v3's: other names for the documented schema.", p.Schema)
	case store.DialectCamel:
		return fmt.Sprintf("The tables in %s are an Auth.js adapter's: they are copied into the documented ones in %s, and stay as they are.", p.From, p.Schema)
	case store.DialectNone:
		return fmt.Sprintf("There is nothing to adopt in %s; «gatepost migrate» creates the tables, --from names another schema.", p.Schema)
	}
	return fmt.Sprintf("The tables in %s are nothing that Gatepost knows; nothing is done with them.", p.Schema)
}

// tellSteps prints the script with what each statement locks; the record of the
// way back is cut short, since the way back follows.
func tellSteps(out io.Writer, p store.Plan) {
	fmt.Fprintf(out, "\nRows, as Postgres last counted:\n")
	table := tabwriter.NewWriter(out, 2, 0, 2, ' ', 0)
	for _, s := range p.Sizes {
		fmt.Fprintf(table, "  %s\t%d rows\t%.1f MB\tand %.1f MB of indexes\n", printable(s.Table), s.Rows, float64(s.Bytes)/1e6, float64(s.IndexesBytes)/1e6)
	}
	table.Flush()
	fmt.Fprintf(out, "\nThe SQL, in one transaction:\n  BEGIN;\n")
	for _, s := range p.Steps {
		if s.Lock != "" {
			fmt.Fprintf(out, "  -- %s on %s, about %s\n", s.Lock, printable(s.Table), s.Takes)
		}
		sql := strings.TrimRight(s.SQL, ";\n")
		if before, _, ok := strings.Cut(sql, "$way_back$"); ok {
			sql = before + "$way_back$… as below …$way_back$)"
		}
		fmt.Fprint(out, indent(sql+";\n"))
	}
	fmt.Fprintf(out, "  COMMIT;\n")
}

func tellRisk(out io.Writer, p store.Plan) {
	wait := "the tables are read and written all the while"
	for _, s := range p.Steps {
		if s.Lock == "ACCESS EXCLUSIVE" {
			wait = fmt.Sprintf("whoever uses the tables waits from the first lock to the end, about %s", p.Blocked())
			break
		} else if s.Lock != "" {
			wait = fmt.Sprintf("whoever writes the old tables waits from the first lock to the end, about %s; reading goes on", p.Blocked())
		}
	}
	fmt.Fprintf(out, "\nThe risk: %s. A lock that is not to be had in time ends it with nothing changed, and so does any failure, kill or crash.\n", wait)
	switch p.Dialect {
	case store.DialectShipped:
		fmt.Fprintln(out, "NextAuth v3 finds its names no more afterwards, but through the views (--views), and must not synchronize: with synchronize: true it would make its columns anew.")
	case store.DialectCamel:
		fmt.Fprintln(out, "Who signs in at the old site after this is not in the new tables: stop it first. Taking it back loses who signed in here since.")
	}
}

func tellPeople(out io.Writer, p store.Plan) {
	if p.Unverified.Count > 0 {
		fmt.Fprintf(out, "\n%d users have an address that nobody proved. They keep their accounts and sessions; a provider or a mailed link with that address leads to a page that asks for the old way in. The first:\n", p.Unverified.Count)
		tellUsers(out, p.Unverified.First)
	}
	for _, t := range p.Twins {
		fmt.Fprintf(out, "\nSeveral users have %s, when capitals do not count; Gatepost finds only one that is written in lower case. The first would be kept:\n", printable(t.Email))
		tellUsers(out, t.Users)
		for _, u := range t.Users[1:] {
			tellMerge(out, p, t.Users[0], u)
		}
	}
}

// tellMerge shows a merge that was not asked for; one that was is in the plan.
func tellMerge(out io.Writer, p store.Plan, keep, gone store.TwinUser) {
	var m store.Merge
	if p.Dialect == store.DialectCamel {
		fmt.Fprintln(out, "  Merge them when they are copied.")
		return
	}
	if _, err := fmt.Sscan(gone.ID+" "+keep.ID, &m.User, &m.Into); err != nil {
		return
	}
	fmt.Fprintf(out, "  --merge %d=%d moves %d accounts to user %d and ends %d sessions of user %d:\n", m.User, m.Into, gone.Accounts, m.Into, gone.Sessions, m.User)
	if !gone.Verified {
		fmt.Fprintf(out, "  Careful: user %d never proved the address. Whoever holds these accounts will be user %d.\n", m.User, m.Into)
	}
	for _, s := range m.Steps(p.Schema) {
		fmt.Fprint(out, indent("  "+s.SQL+";\n"))
	}
}

func tellUsers(out io.Writer, users []store.TwinUser) {
	table := tabwriter.NewWriter(out, 2, 0, 2, ' ', 0)
	fmt.Fprintln(table, "  USER\tADDRESS\tVERIFIED\tACCOUNTS\tSESSIONS")
	for _, u := range users {
		verified := "no"
		if u.Verified {
			verified = "yes"
		}
		fmt.Fprintf(table, "  %s\t%s\t%s\t%d\t%d\n", printable(u.ID), printable(u.Email), verified, u.Accounts, u.Sessions)
	}
	table.Flush()
}

func indent(text string) string {
	return "  " + strings.ReplaceAll(strings.TrimSuffix(text, "\n"), "\n", "\n  ") + "\n"
}

// printable is text that somebody else chose, safe for a terminal.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '\uFFFD'
	}, s)
}
