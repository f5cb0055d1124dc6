package gate

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// An Outcome is what becomes of a request, the stricter the higher.
type Outcome int

const (
	Allow  Outcome = iota + 1
	SignIn         // nobody is signed in, and somebody who is may pass
	Deny
)

func (o Outcome) String() string {
	return [...]string{"", "allow", "sign in", "deny"}[o]
}

// A Decision is an outcome and the rule that led to it.
type Decision struct {
	Outcome Outcome
	Rule    int    // counted from 1; 0 is the default
	Name    string // of the rule, if it has one
	Needs   Needs  // whom the rule lets pass; "" is nobody
}

// A Step is one line of a trace: a rule, and what it made of the request.
type Step struct {
	Rule int    // counted from 1; 0 is the default
	Name string // of the rule, if it has one
	Text string
}

// String is the step as the log and «gatepost why» write it.
func (s Step) String() string {
	switch {
	case s.Rule == 0:
		return s.Text
	case s.Name != "":
		return fmt.Sprintf("rule %d (%s) %s", s.Rule, s.Name, s.Text)
	}
	return fmt.Sprintf("rule %d %s", s.Rule, s.Text)
}

// Decide judges request for id by the first rule that has something to say of
// it, for every reading, and returns the strictest verdict.
func (r *Rules) Decide(request Request, id Identity) Decision {
	d, _ := r.decide(request, id, false)
	return d
}

// Explain is Decide with the steps that led to the verdict.
func (r *Rules) Explain(request Request, id Identity) (Decision, []Step) {
	return r.decide(request, id, true)
}

func (r *Rules) decide(request Request, id Identity, explain bool) (Decision, []Step) {
	if request.Method == UnknownMethod {
		return r.decideAnyMethod(request, id, explain)
	}
	return r.decideMethod(request, id, explain)
}

// decideAnyMethod decides for every method that a rule names, and for one that
// none does.
func (r *Rules) decideAnyMethod(request Request, id Identity, explain bool) (Decision, []Step) {
	strictest, steps := r.decideMethod(request, id, explain)
	for _, method := range r.methods {
		request.Method = method
		d, s := r.decideMethod(request, id, explain)
		if d.Outcome <= strictest.Outcome {
			continue
		}
		strictest, steps = d, s
		if explain {
			steps = append([]Step{{Text: fmt.Sprintf("The proxy does not tell the method; it may be %s.", method)}}, steps...)
		}
	}
	return strictest, steps
}

func (r *Rules) decideMethod(request Request, id Identity, explain bool) (Decision, []Step) {
	if r.oneReading(request) {
		return r.judge(&request, &reading{path: request.Path}, &id, explain)
	}
	var strictest Decision
	var steps []Step
	for _, reading := range request.readings() {
		d, s := r.judge(&request, &reading, &id, explain)
		if d.Outcome > strictest.Outcome {
			strictest, steps = d, s
			if explain && reading.path != request.Path {
				steps = append([]Step{{Text: fmt.Sprintf("An application may read the path as %s.", reading.path)}}, steps...)
			}
		}
	}
	return strictest, steps
}

// oneReading reports whether all readings of request are the same to r.
func (r *Rules) oneReading(request Request) bool {
	if r.usesQuery && request.Query != "" {
		return false
	}
	if !request.plain {
		return false
	}
	return !r.usesPath || !r.usesCase && !hasUpper(request.Path)
}

func hasUpper(s string) bool {
	for i := range len(s) {
		if 'A' <= s[i] && s[i] <= 'Z' {
			return true
		}
	}
	return false
}

// judge goes through the rules for one reading.
func (r *Rules) judge(request *Request, as *reading, id *Identity, explain bool) (Decision, []Step) {
	var steps []Step
	// Nothing is put into words where nobody asks why.
	step := func(n int, name, says string, whom *people, more string) {
		if !explain {
			return
		}
		if whom != nil {
			says += whom.words()
		}
		steps = append(steps, Step{n, name, says + more})
	}
	helps := false // signing in could
	for i := range r.rules {
		rule := &r.rules[i]
		n := i + 1
		matches, unknown, why := rule.matches(request, as, id)
		if !matches {
			step(n, rule.Name, "does not apply: ", nil, why)
			continue
		}
		d := Decision{Rule: n, Name: rule.Name}
		switch {
		case request.Preflight && rule.Preflight:
			step(n, rule.Name, "lets preflights pass", nil, "")
			d.Outcome = Allow
			return d, steps
		case rule.deny != nil && rule.deny.include(id) && !unknown:
			step(n, rule.Name, "forbids it to ", rule.deny, "")
			d.Outcome = Deny
			return d, steps
		case rule.deny != nil:
			step(n, rule.Name, "forbids it to others only", nil, "")
			continue
		case rule.allow.kind == whoEveryone && as.suspicious:
			step(n, rule.Name, "is public, and does not count for a path that can be read in several ways", nil, "")
			continue
		case rule.allow.include(id) && !unknown:
			step(n, rule.Name, "allows it to ", rule.allow, "")
			d.Outcome = Allow
			return d, steps
		case rule.Next:
			step(n, rule.Name, "allows it to ", rule.allow, ", and leaves others to the next rule")
			helps = true
			continue
		}
		step(n, rule.Name, "allows it only to ", rule.allow, "")
		d.Needs = rule.allow.needs()
		d.Outcome = refusal(id)
		return d, steps
	}
	d, says, whom := r.byDefault(as, id, helps)
	step(0, "", says, whom, "")
	return d, steps
}

func refusal(id *Identity) Outcome {
	if id.signedIn() {
		return Deny
	}
	return SignIn
}

func (r *Rules) byDefault(as *reading, id *Identity, helps bool) (d Decision, says string, whom *people) {
	switch {
	case r.last.allow != nil && r.last.allow.include(id) && !(r.last.allow.kind == whoEveryone && as.suspicious):
		return Decision{Outcome: Allow}, "what no rule speaks of is open to ", r.last.allow
	case r.last.allow == nil && !helps:
		return Decision{Outcome: Deny}, "no rule allows it", nil
	}
	d = Decision{Outcome: refusal(id), Needs: NeedsPeople}
	if id.signedIn() {
		return d, "no rule allows it to this person", nil
	}
	return d, "no rule allows it to somebody who is not signed in", nil
}

// matches reports whether the rule speaks of the request. unknown means that it
// depends on who is asking, which is not known yet. why says what does not fit.
func (r *rule) matches(request *Request, as *reading, id *Identity) (matches, unknown bool, why string) {
	if len(r.hosts) > 0 {
		fits := false
		for i := range r.hosts {
			f, u := r.hosts[i].matches(request.Host, id)
			if f {
				fits, unknown = true, u
				if !u {
					break
				}
			}
		}
		if !fits {
			return false, false, "another host"
		}
	}
	if len(r.Method) > 0 && !methodIn(r.Method, request.Method) {
		return false, false, "another method"
	}
	if len(r.paths) > 0 {
		fits, depends := false, false
		for i := range r.paths {
			f, u := r.paths[i].matches(as, id)
			if f {
				fits, depends = true, u
				if !u {
					break
				}
			}
		}
		if !fits {
			return false, false, "another path"
		}
		unknown = unknown || depends
	}
	if len(r.networks) > 0 && !inNetworks(r.networks, request.Client) {
		return false, false, "another network"
	}
	for i := range r.queries {
		if !r.queries[i].matches(as) {
			return false, false, "another query"
		}
	}
	return true, unknown, ""
}

func inNetworks(networks []netip.Prefix, client netip.Addr) bool {
	client = client.Unmap()
	return client.IsValid() && slices.ContainsFunc(networks, func(p netip.Prefix) bool { return p.Contains(client) })
}

func (h *host) matches(name string, id *Identity) (fits, unknown bool) {
	switch {
	case h.any():
		return true, false
	case h.exact:
		return name == h.text, false
	case h.regex != nil:
		return matchesMarks(h.regex, name, id)
	case h.marked:
		return h.matchesMarked(name, id)
	}
	return strings.HasSuffix(name, h.text) && len(name) > len(h.text), false
}

// matchesMarked compares a host with {user} or {group} in it: the label there
// must be the person's own number, or a group that the person is in.
func (h *host) matchesMarked(name string, id *Identity) (fits, unknown bool) {
	before, rest, _ := strings.Cut(h.text, "{")
	mark, after, _ := strings.Cut(rest, "}")
	label, ok := strings.CutPrefix(name, before)
	if !ok {
		return false, false
	}
	if label, ok = strings.CutSuffix(label, after); !ok || label == "" || strings.Contains(label, ".") {
		return false, false
	}
	return id.isMarked(mark, label)
}

// matchesMarks takes the named groups user and group of an expression as marks.
func matchesMarks(re *regexp.Regexp, text string, id *Identity) (fits, unknown bool) {
	if re.NumSubexp() == 0 {
		return re.MatchString(text), false
	}
	found := re.FindStringSubmatch(text)
	if found == nil {
		return false, false
	}
	for i, mark := range re.SubexpNames() {
		if mark = strings.ToLower(mark); mark != "user" && mark != "group" {
			continue
		}
		if f, u := id.isMarked(mark, found[i]); !f || u {
			return f, u
		}
	}
	return true, false
}

func (id *Identity) isMarked(mark, label string) (fits, unknown bool) {
	switch {
	case !id.signedIn():
		return true, true
	case mark == "user":
		return label == strconv.Itoa(int(id.UserID)), false
	}
	return slices.ContainsFunc(id.Groups, func(g string) bool { return strings.EqualFold(g, label) }), false
}

func (p *pathPattern) matches(as *reading, id *Identity) (fits, unknown bool) {
	switch {
	case p.regex != nil && as.folded:
		return matchesMarks(p.foldedR, as.path, id)
	case p.regex != nil:
		return matchesMarks(p.regex, as.path, id)
	}
	exact, prefix := p.exact, p.prefix
	if as.folded {
		exact, prefix = strings.ToLower(exact), strings.ToLower(prefix)
	}
	if exact != "" {
		return as.path == exact, false
	}
	return under(as.path, prefix), false
}

func (q *queryPattern) matches(as *reading) bool {
	value, present := as.query[q.Key]
	fits := present
	switch {
	case q.Absent:
		fits = !present
	case q.regex != nil:
		fits = present && q.regex.MatchString(value[0])
	case q.Value != "":
		fits = present && value[0] == q.Value
	}
	return fits != q.Not
}

// Knows reports whether some rule names host, and not merely every host.
func (r *Rules) Knows(host string) bool {
	for i := range r.rules {
		for j := range r.rules[i].hosts {
			h := &r.rules[i].hosts[j]
			if fits, _ := h.matches(host, &Identity{}); fits && !h.any() {
				return true
			}
		}
	}
	return false
}
