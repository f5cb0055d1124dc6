package store

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
)

// What NextAuth v3 called otherwise than the documentation does.
const shippedTokens = "verification_requests"

var shippedColumns = map[string]string{"provider_type": "type", "provider_id": "provider"}

// A shape is what describeTables found, taken apart.
type shape map[string]*tableShape

type tableShape struct {
	columns     []columnShape
	constraints []constraintShape
	indexes     []indexShape
	rest        []string // lines of anything else
}

type columnShape struct {
	place, name, kind, def string // def is "" for none
	notNull                bool
}

type constraintShape struct{ name, def string }

type indexShape struct{ unique, name, on string }

var (
	columnLine = regexp.MustCompile(`^column (\d+) (\S+) (.*?)( not null)?(?: default (.*))?$`)
	indexLine  = regexp.MustCompile(`^index CREATE (UNIQUE )?INDEX ("[^"]+"|\S+) ON \S+ (.*)$`)
	nextval    = regexp.MustCompile(`^nextval\('"?([^'"]+)"?'::regclass\)$`)
)

func parseShape(lines []string) shape {
	s := shape{}
	for _, line := range lines {
		name, thing, _ := strings.Cut(line, " ")
		t := s[name]
		if t == nil {
			t = &tableShape{}
			s[name] = t
		}
		if m := columnLine.FindStringSubmatch(thing); m != nil {
			t.columns = append(t.columns, columnShape{place: m[1], name: m[2], kind: m[3], notNull: m[4] != "", def: m[5]})
		} else if m := indexLine.FindStringSubmatch(thing); m != nil {
			t.indexes = append(t.indexes, indexShape{m[1], strings.Trim(m[2], `"`), m[3]})
		} else if rest, ok := strings.CutPrefix(thing, "constraint "); ok {
			name, def, _ := strings.Cut(rest, " ")
			t.constraints = append(t.constraints, constraintShape{name, def})
		} else {
			t.rest = append(t.rest, thing)
		}
	}
	for _, t := range s {
		slices.SortFunc(t.columns, func(a, b columnShape) int { return number(a.place) - number(b.place) })
	}
	return s
}

func number(s string) int {
	n, _ := strconv.Atoi(s)
	return n
}

// reshape says how tables in NextAuth v3's dialect become the documented ones,
// and what of them cannot be made so in place; then nothing may be done.
//
// The dialect is spoken in two ways: by the SQL of v3's documentation, and by
// its adapter's synchronize, which leaves out lengths, makes constraints of
// indexes, and names everything its own way.
func reshape(found []string) (steps []Step, odd []string) {
	have, want := parseShape(found), parseShape(documented)
	for _, name := range tableNames {
		t, old := have[name], name
		if t == nil && name == "verification_tokens" {
			t, old = have[shippedTokens], shippedTokens
		}
		if t == nil {
			odd = append(odd, "there is no table "+name)
			continue
		}
		r := &reshaper{table: name, have: t, want: want[name]}
		r.run(old)
		steps, odd = append(steps, r.steps...), append(odd, r.odd...)
	}
	if have["verification_tokens"] != nil && have[shippedTokens] != nil {
		odd = append(odd, "there are both verification_tokens and "+shippedTokens)
	}
	return steps, odd
}

type reshaper struct {
	table      string
	have, want *tableShape
	steps      []Step
	odd        []string
}

// run orders the steps so that no index is built twice and no name is taken.
func (r *reshaper) run(old string) {
	if old != r.table {
		r.alter(old, "RENAME TO "+r.table, r.table, "RENAME TO "+old)
	}
	r.renameColumns()
	r.constraints()
	r.dropIndexes()
	r.alterColumns()
	r.makeIndexes()
	for _, line := range r.have.rest {
		r.unfit("%s", line)
	}
}

func (r *reshaper) unfit(format string, args ...any) {
	r.odd = append(r.odd, r.table+": "+fmt.Sprintf(format, args...))
}

func (r *reshaper) step(s Step) {
	s.Table, s.Lock = r.table, exclusive
	r.steps = append(r.steps, s)
}

// alter is a change of names or the like, which reads no row.
func (r *reshaper) alter(table, do, undoTable, undo string) {
	r.step(Step{SQL: "ALTER TABLE " + table + " " + do, Undo: "ALTER TABLE " + undoTable + " " + undo})
}

func ident(name string) string { // quoted where it might have to be
	if plainName.MatchString(name) && strings.Contains(name, "_") { // no keyword
		return name
	}
	return pgx.Identifier{name}.Sanitize()
}

var plainName = regexp.MustCompile(`^[a-z_][a-z0-9_]*$`)

func (r *reshaper) renameColumns() {
	for i := range r.have.columns {
		c := &r.have.columns[i]
		to, shipped := shippedColumns[c.name]
		if r.table != "accounts" || !shipped {
			continue
		}
		r.alter(r.table, "RENAME COLUMN "+c.name+" TO "+to, r.table, "RENAME COLUMN "+to+" TO "+c.name)
		for j := range r.have.indexes {
			on := &r.have.indexes[j].on
			*on = strings.ReplaceAll(*on, "("+c.name+")", "("+to+")")
		}
		c.name = to
	}
}

func (r *reshaper) constraints() {
	for _, c := range r.have.constraints {
		column, isUnique := strings.CutPrefix(c.def, "UNIQUE ")
		wanted := slices.ContainsFunc(r.want.indexes, func(i indexShape) bool { return i.unique != "" && i.on == "USING btree "+column })
		switch {
		case c.def == "PRIMARY KEY (id)":
			if key := r.want.constraints[0].name; c.name != key {
				r.alter(r.table, "RENAME CONSTRAINT "+ident(c.name)+" TO "+key, r.table, "RENAME CONSTRAINT "+key+" TO "+ident(c.name))
			}
		case isUnique && wanted:
			r.alter(r.table, "DROP CONSTRAINT "+ident(c.name), r.table, "ADD CONSTRAINT "+ident(c.name)+" "+c.def)
		default:
			r.unfit("constraint %s %s", c.name, c.def)
		}
		r.have.indexes = slices.DeleteFunc(r.have.indexes, func(i indexShape) bool { return i.name == c.name })
	}
	if !slices.ContainsFunc(r.have.constraints, func(c constraintShape) bool { return c.def == "PRIMARY KEY (id)" }) {
		r.unfit("no primary key (id)")
	}
}

// dropIndexes drops the one that v3 has and the documentation has not.
func (r *reshaper) dropIndexes() {
	r.have.indexes = slices.DeleteFunc(r.have.indexes, func(i indexShape) bool {
		if r.table != "accounts" || i.unique != "" || i.on != "USING btree (provider)" {
			return false
		}
		r.step(Step{SQL: "DROP INDEX " + ident(i.name), Undo: fmt.Sprintf("CREATE INDEX %s ON %s %s", ident(i.name), r.table, i.on)})
		return true
	})
}

// widened are the types that become the documented one, with what it costs.
var widened = map[[2]string]cost{
	{"character varying", "character varying(255)"}:             costRewrite,
	{"text", "character varying(255)"}:                          costRewrite,
	{"character varying", "text"}:                               costNothing,
	{"character varying(255)", "text"}:                          costNothing,
	{"timestamp(6) with time zone", "timestamp with time zone"}: costNothing,
	{"timestamp(3) with time zone", "timestamp with time zone"}: costNothing,
	{"character varying(191)", "character varying(255)"}:        costNothing,
	{"character varying(100)", "character varying(255)"}:        costNothing,
}

// alterColumns is one statement, so that the table is rewritten once at most.
func (r *reshaper) alterColumns() {
	if len(r.have.columns) != len(r.want.columns) {
		r.unfit("%d columns, want %d: %s", len(r.have.columns), len(r.want.columns), names(r.want.columns))
		return
	}
	var do, undo []string
	total := costNothing
	for i, want := range r.want.columns {
		have := r.have.columns[i]
		if have.place != want.place || have.name != want.name {
			r.unfit("column %s is %s, want column %s %s", have.place, have.name, want.place, want.name)
			continue
		}
		set := func(to, from string) {
			do, undo = append(do, "ALTER "+want.name+" "+to), append(undo, "ALTER "+want.name+" "+from)
		}
		if have.kind != want.kind {
			c, ok := widened[[2]string{have.kind, want.kind}]
			if !ok {
				r.unfit("%s is %s, want %s", have.name, have.kind, want.kind)
				continue
			}
			set("TYPE "+want.kind, "TYPE "+have.kind)
			total = max(total, c)
		}
		if have.notNull != want.notNull {
			set(nullability(want), nullability(have))
		}
		if have.def != want.def {
			r.defaults(have, want, set)
		}
	}
	if len(do) > 0 {
		r.step(Step{SQL: "ALTER TABLE " + r.table + " " + strings.Join(do, ", "), Undo: "ALTER TABLE " + r.table + " " + strings.Join(undo, ", "), cost: total})
	}
}

func nullability(c columnShape) string {
	if c.notNull {
		return "SET NOT NULL"
	}
	return "DROP NOT NULL"
}

func (r *reshaper) defaults(have, want columnShape, set func(to, from string)) {
	mine, theirs := nextval.FindStringSubmatch(have.def), nextval.FindStringSubmatch(want.def)
	switch {
	case mine != nil && theirs != nil:
		r.step(Step{SQL: fmt.Sprintf("ALTER SEQUENCE %s RENAME TO %s", ident(mine[1]), theirs[1]), Undo: fmt.Sprintf("ALTER SEQUENCE %s RENAME TO %s", theirs[1], ident(mine[1]))})
	case theirs != nil:
		r.unfit("%s has no sequence", have.name)
	default:
		def := func(c columnShape) string {
			if c.def == "" {
				return "DROP DEFAULT"
			}
			return "SET DEFAULT " + c.def
		}
		set(def(want), def(have))
	}
}

func names(columns []columnShape) string {
	var out []string
	for _, c := range columns {
		out = append(out, c.name)
	}
	return strings.Join(out, ", ")
}

// makeIndexes keeps what is there under its documented name and builds the rest.
func (r *reshaper) makeIndexes() {
	left := map[string]indexShape{}
	for _, i := range r.have.indexes {
		left[i.unique+i.on] = i
	}
	if len(left) < len(r.have.indexes) {
		r.unfit("the same index twice")
	}
	for _, want := range r.want.indexes {
		have, ok := left[want.unique+want.on]
		delete(left, want.unique+want.on)
		switch {
		case want.name == r.want.constraints[0].name: // came with the primary key
		case !ok:
			r.step(Step{SQL: fmt.Sprintf("CREATE %sINDEX %s ON %s %s", want.unique, want.name, r.table, want.on), Undo: "DROP INDEX " + want.name, cost: costIndex})
		case have.name != want.name:
			r.step(Step{SQL: fmt.Sprintf("ALTER INDEX %s RENAME TO %s", ident(have.name), want.name), Undo: fmt.Sprintf("ALTER INDEX %s RENAME TO %s", want.name, ident(have.name))})
		}
	}
	for _, key := range slices.Sorted(maps.Keys(left)) {
		r.unfit("index %s %s%s", left[key].name, left[key].unique, left[key].on)
	}
}
