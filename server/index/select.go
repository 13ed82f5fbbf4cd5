package index

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"rollcall/internal/fact"
	"rollcall/server/query"
)

// Bounds of one question.
const (
	maxReads = 20_000      // CIs of which the history or the head is read
	maxCost  = 400_000_000 // see query.Term.Cost: about half a second
)

// ErrCost is wrapped by refusals of questions that cost too much. They say what
// does, and what to ask instead.
var ErrCost = errors.New("the question costs too much")

// Question is one filter and what is needed to answer it.
type Question struct {
	Expr query.Expr // nil: every CI
	Now  time.Time
	// Read gives a CI as the store has it, for what the index does not know.
	Read func(id string) (query.Subject, error)
}

// Answer is which CIs a filter selects, and how that was found out.
type Answer struct {
	Slots   Bits
	Skipped map[string]error // CIs that could not be read, by id
	Steps   []Step           // in the order in which they were done
}

// Step is one condition of a question, as it was answered.
type Step struct {
	Term   string
	How    How
	Among  int // CIs that were still in question
	Looked int // values, or CIs, that were looked at: known before it was done
	Found  int
	Took   time.Duration
}

// How says how a condition is answered, the cheapest first.
type How string

// The ways to answer a condition.
const (
	ByPosting    How = "posting"    // the fact is looked up, who has it is known
	ByDictionary How = "dictionary" // each different value of the paths is compared once
	ByCandidate  How = "candidates" // each CI that is still in question is looked at, in memory
	ByReading    How = "reading"    // each CI that is still in question is read from the store
)

// Select returns the CIs of the scope that a filter selects. Conditions that are
// joined by "and" are answered in the order of what they cost, each only for the
// CIs that fit those before. A CI of which something could not be read when the
// index was made is read again, and left out if that fails.
func (v View) Select(ctx context.Context, q Question) (Answer, error) {
	s := &selection{View: v, q: q, ctx: ctx, left: maxCost, reads: maxReads, memo: map[string]query.Subject{}}
	s.answer.Skipped = map[string]error{}
	all := v.Machines()
	if q.Expr == nil {
		s.answer.Slots = all
		return s.answer, nil
	}
	damaged := v.Group()
	for slot := range v.f.damaged {
		damaged.set(slot)
	}
	damaged.And(all)
	all.AndNot(damaged)
	found, err := s.eval(q.Expr, all)
	if err != nil {
		return Answer{}, err
	}
	for slot := range damaged.Slots() {
		if ok, err := s.match(q.Expr, slot); err != nil {
			return Answer{}, err
		} else if ok {
			found.set(slot)
		}
	}
	for slot := range found.Slots() {
		if s.answer.Skipped[v.ID(slot)] != nil { // a negation turned its absence round
			found.clear(slot)
		}
	}
	s.answer.Slots = found
	return s.answer, nil
}

type selection struct {
	View
	q      Question
	ctx    context.Context
	answer Answer
	left   int // see maxCost
	reads  int
	memo   map[string]query.Subject
}

// eval returns which of the candidates the expression is true of. It may change
// among.
func (s *selection) eval(e query.Expr, among Bits) (Bits, error) {
	if err := s.ctx.Err(); err != nil {
		return nil, err
	}
	switch e := e.(type) {
	case query.And:
		parts := slices.Clone(e.Parts)
		slices.SortStableFunc(parts, func(a, b query.Expr) int { return s.price(a) - s.price(b) })
		for _, p := range parts {
			found, err := s.eval(p, among)
			if err != nil {
				return nil, err
			}
			if among = found; among.Empty() {
				break
			}
		}
		return among, nil
	case query.Or:
		parts := slices.Clone(e.Parts)
		slices.SortStableFunc(parts, func(a, b query.Expr) int { return s.price(a) - s.price(b) })
		out := s.Group()
		for _, p := range parts {
			found, err := s.eval(p, among.Clone())
			if err != nil {
				return nil, err
			}
			out.Or(found)
			among.AndNot(found)
		}
		return out, nil
	case query.Not:
		found, err := s.eval(e.Part, among.Clone())
		if err != nil {
			return nil, err
		}
		among.AndNot(found)
		return among, nil
	case query.Term:
		return s.term(e, among)
	case query.AsOf:
		return s.step(e, ByReading, among, s.byReading)
	case query.Differs:
		return s.step(e, ByPosting, among, func(_ query.Expr, among Bits) (Bits, error) { return s.differs(e, among), nil })
	}
	return nil, fmt.Errorf("select by %T: not a filter", e)
}

// price orders conditions: what is looked up, what is compared, what is read.
func (s *selection) price(e query.Expr) int {
	total := 0
	switch e := e.(type) {
	case query.And:
		for _, p := range e.Parts {
			total = max(total, s.price(p))
		}
	case query.Or:
		for _, p := range e.Parts {
			total = max(total, s.price(p))
		}
	case query.Not:
		return s.price(e.Part)
	case query.Term:
		return s.plan(e).price()
	case query.AsOf:
		return plan{how: ByReading}.price()
	case query.Differs:
		return len(e.Facts)
	}
	return total
}

// step answers what is no term in one step.
func (s *selection) step(e query.Expr, how How, among Bits, answer func(query.Expr, Bits) (Bits, error)) (Bits, error) {
	start := time.Now() // for the figure only
	n := among.Count()
	found, err := answer(e, among)
	if err == nil {
		s.answer.Steps = append(s.answer.Steps, Step{Term: e.String(), How: how, Among: n, Looked: n, Found: found.Count(), Took: time.Since(start)})
	}
	return found, err
}

// differs takes those that have all facts of a baseline from among.
func (s *selection) differs(e query.Differs, among Bits) Bits {
	same := among.Clone()
	for _, f := range e.Facts {
		if same.And(s.Holders(f.Path, f.Value)); same.Empty() {
			return among
		}
	}
	among.AndNot(same)
	return among
}

// plan says how a term would be answered.
type plan struct {
	how    How
	paths  [][]pathID // by pattern
	globs  []string
	values int    // different facts of these paths
	head   string // or the path of the head's fact
	own    bool   // a field that people may have declared besides
}

func (p plan) price() int {
	switch p.how {
	case ByPosting: // a source costs less than comparing a value does
		return min(p.values/16, 1<<30)
	case ByDictionary:
		return min(1+p.values, 1<<30)
	case ByCandidate:
		return 1 << 31
	}
	return 1 << 32
}

// heads are the fields that stand in the head, as facts.
var heads = []string{"name", "class", "site", "status", "trust", "cloned"}

func (s *selection) plan(t query.Term) plan {
	t, _ = t.Turned()
	p := plan{how: ByDictionary}
	switch {
	case t.Target == query.OnChanged:
		return plan{how: ByReading}
	case t.Target == query.OnCount:
		return plan{how: ByCandidate}
	case t.Target == query.OnField || t.Target == query.OnOther:
		switch {
		case slices.Contains(heads, t.Name):
			p.head = headPrefix + t.Name
		case slices.Contains([]string{"ci", "presence", "seen", "changed", "created"}, t.Name):
			return plan{how: ByCandidate}
		default:
			p.head, p.own = fieldPrefix+t.Name, true
		}
		if id, ok := s.f.lookup(p.head); ok {
			p.globs, p.paths = append(p.globs, ""), append(p.paths, []pathID{id})
		}
	}
	for _, glob := range t.Paths() {
		if p.head != "" && !p.own {
			break
		}
		p.globs, p.paths = append(p.globs, glob), append(p.paths, s.f.matching(glob))
	}
	for _, paths := range p.paths {
		for _, id := range paths {
			p.values += int(s.f.paths.at(uint32(id)).facts + s.f.paths.at(uint32(id)).own)
		}
	}
	if _, ok := t.Literals(); ok && !slices.ContainsFunc(p.globs, query.ByPath) {
		p.how = ByPosting
		p.values = s.sources(t, p.paths)
	}
	return p
}

// sources counts the sets and bases that hold what a term looks up.
func (s *selection) sources(t query.Term, paths [][]pathID) (n int) {
	values, _ := t.Literals()
	var one [1]uint32
	for _, ids := range paths {
		for _, id := range ids {
			for _, value := range values {
				for x := range s.f.alike(id, value) {
					n += len(s.f.lists.slimGet(s.f.dict.facts.at(uint32(x)).has, &one))
				}
			}
		}
	}
	return n
}

func (s *selection) term(t query.Term, among Bits) (Bits, error) {
	start := time.Now() // for the figure only
	pos, negated := t.Turned()
	p := s.plan(t)
	step := Step{Term: t.String(), How: p.how, Among: among.Count(), Looked: p.values}
	var found Bits
	var err error
	switch {
	case p.how == ByReading:
		step.Looked = step.Among
		found, err = s.byReading(pos, among)
	case p.how == ByCandidate:
		step.Looked = step.Among
		found = s.byCandidate(pos, among)
	default:
		found, err = s.byFacts(pos, p, among, &step)
	}
	if err != nil {
		return nil, err
	}
	if negated {
		rest := among.Clone()
		rest.AndNot(found)
		found = rest
	}
	step.Found, step.Took = found.Count(), time.Since(start)
	s.answer.Steps = append(s.answer.Steps, step)
	return found, nil
}

// byFacts answers from facts: where a field was declared, the declared value
// stands for it, elsewhere the observed ones do.
func (s *selection) byFacts(t query.Term, p plan, among Bits, step *Step) (Bits, error) {
	found := s.Group()
	observed := among
	for i, glob := range p.globs {
		to := among
		if glob != "" {
			to = observed
		}
		if err := s.facts(t, glob, p.paths[i], p.how, to, found, step); err != nil {
			return nil, err
		}
		if glob == "" && p.own && len(p.globs) > 1 {
			declared := s.Group()
			for x := range s.f.ofPath(p.paths[i][0]) {
				s.f.orFact(declared, x)
			}
			found.And(declared)
			observed = among.Clone()
			observed.AndNot(declared)
		}
	}
	found.And(among)
	return found, nil
}

// facts adds the CIs of among to found that have a fact at one of the paths that
// makes the term true.
func (s *selection) facts(t query.Term, glob string, paths []pathID, how How, among, found Bits, step *Step) error {
	h := hits{selection: s, t: t, glob: glob, among: among, sure: s.Group(), unsure: s.Group()}
	for _, id := range paths {
		if how == ByPosting && len(paths) == 1 && step.Among*8 < step.Looked {
			step.How, step.Looked = ByCandidate, step.Among
			h.eachValue(id)
			continue
		}
		if how == ByPosting {
			h.literals(id)
			values, _ := t.Literals()
			step.Looked = len(values) * len(paths)
			continue
		}
		p := s.f.paths.at(uint32(id))
		if n := int(p.facts + p.own); t.Op != query.None && len(paths) == 1 && step.Among*2 < n {
			step.How, step.Looked = ByCandidate, step.Among
			h.eachValue(id)
			continue
		} else if err := s.spend(t, n, id); err != nil {
			return err
		}
		for x := range s.f.ofPath(id) {
			if s.f.dict.facts.at(uint32(x)).has != 0 {
				h.decide(id, holding{x: x}, func(b Bits) { s.f.orFact(b, x) })
			}
		}
	}
	if how != ByPosting && step.How != ByCandidate {
		h.owned(paths)
	}
	return h.into(found)
}

func (s *selection) spend(t query.Term, values int, id pathID) error {
	const typical = 40 // bytes of a value
	if s.left -= t.Cost(values * typical); s.left < 0 {
		return fmt.Errorf("%w: %s compares patterns with the %d different values of %s: shorten them, or name the values", ErrCost, t, values, s.f.pathText(id))
	}
	return nil
}

// byCandidate answers from what is known of each CI beside its facts.
func (s *selection) byCandidate(t query.Term, among Bits) Bits {
	if t.Target == query.OnCount {
		return s.byCount(t, among)
	}
	found := s.Group()
	for slot := range among.Slots() {
		if value := s.derived(slot, t.Name); value != "" && t.Holds(value, s.q.Now) {
			found.set(slot)
		}
	}
	return found
}

// byCount answers from how many facts fit: once for each set and each base.
func (s *selection) byCount(t query.Term, among Bits) Bits {
	fits := newBits(s.f.paths.n)
	for _, id := range s.f.matching(t.Name) {
		fits.set(uint32(id))
	}
	count := func(facts []uint32) (n int) {
		for _, x := range facts {
			if fits.Has(uint32(s.f.pathOf(x))) {
				n++
			}
		}
		return n
	}
	countOwn := func(own owns) (n int) {
		for o := range s.f.ownFacts(own) {
			if fits.Has(uint32(o.path)) {
				n++
			}
		}
		return n
	}
	bases, sets := map[uint32]int{}, map[uint32]bool{}
	section, known := s.f.sectionN[fact.SectionOf(t.Name)]
	none := t.Holds("0", s.q.Now)
	found := s.Group()
	for slot := range among.Slots() {
		holds := none
		for _, set := range s.f.lists.get(s.f.cis.at(slot).sets) {
			if !known || s.f.sets.at(set).section != section {
				continue
			}
			var seen bool
			if holds, seen = sets[set]; seen {
				break
			}
			form := s.f.formOf(set)
			if _, ok := bases[form.base]; !ok {
				bases[form.base] = count(s.f.bases[form.base].facts)
			}
			holds = t.Holds(strconv.Itoa(bases[form.base]+count(form.adds)-count(form.drops)+countOwn(form.own)), s.q.Now)
			sets[set] = holds
			break
		}
		if holds {
			found.set(slot)
		}
	}
	return found
}

// derived gives a field that is no fact, as query.Subject does.
func (s *selection) derived(slot uint32, name string) string {
	rec := s.f.cis.at(slot)
	switch name {
	case "ci":
		return textID(rec.id)
	case "presence":
		return s.ix.cfg.Presence.Of(textID(rec.id), s.q.Now)
	case "seen":
		return timeText(s.ix.cfg.Presence.Last(textID(rec.id)))
	case "changed":
		return timeText(unix(rec.changed))
	case "created":
		return timeText(unix(rec.created))
	}
	return ""
}

func unix(s uint32) time.Time {
	if s == 0 {
		return time.Time{}
	}
	return time.Unix(int64(s), 0).UTC()
}

func timeText(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.Format(time.RFC3339)
}
