package compare

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Shares of the peers. What more than rareShare of them have too is not odd, and
// where more than looseShare of them are odd themselves it is normal to be odd: a
// value that differs from machine to machine by nature.
const (
	rareShare  = 0.10
	looseShare = 0.34
)

// Odd returns in what the only machine of g.Broken is unlike those of g.Working,
// which should be its like: one row for each thing, what the fewest share first.
// Working counts the peers that have it too. It returns an error that wraps
// ErrEmpty or ErrTooBig, or the context's error.
func Odd(ctx context.Context, g Groups) (Result, error) {
	f, notes, err := newField(g)
	if err == nil && f.broken.count() != 1 {
		err = fmt.Errorf("%w: %d machines instead of one", ErrTooBig, f.broken.count())
	}
	if err != nil {
		return Result{}, err
	}
	t := newTable(f, g)
	t.every = true
	if err := t.observe(ctx); err != nil {
		return Result{}, fmt.Errorf("compare a machine with %d others: %w", len(g.Working), err)
	}
	o := &oddity{f: f, clock: &clock{groups: g, field: f, reader: t.reader}}
	f.broken.each(func(i int) { o.machine = i })
	rows := o.rows(t.attrs)
	res := Result{Patterns: len(t.attrs), Verdict: Nothing, Notes: append(notes, t.notes()...)}
	if len(rows) > 0 {
		res.Verdict = Cause
	}
	limit := g.MaxRows
	if limit <= 0 {
		limit = 50
	}
	res.Rows = rows[:min(limit, len(rows))]
	return res, nil
}

// oddity judges one machine.
type oddity struct {
	f       *field
	clock   *clock
	machine int
}

// trait is what the machine has, or lacks, unlike most of its peers.
type trait struct {
	attr  *attr
	lacks bool
	have  Count // peers that are as it is
}

// rows makes one row of the traits of each object.
func (o *oddity) rows(attrs []*attr) []Row {
	loose := o.loose(attrs)
	byObject := map[thing][]trait{}
	for _, a := range attrs {
		tr, ok := o.trait(a)
		if ok && loose[a.path].countAnd(o.f.working) <= int(looseShare*float64(tr.have.Of)) {
			byObject[a.object] = append(byObject[a.object], tr)
		}
	}
	var out []Row
	for _, object := range slices.SortedFunc(maps.Keys(byObject), func(a, b thing) int { return strings.Compare(a.String(), b.String()) }) {
		out = append(out, o.row(byObject[object]))
	}
	slices.SortStableFunc(out, func(a, b Row) int { return cmp.Compare(b.Score, a.Score) })
	return out
}

// trait tells whether an attribute sets the machine apart.
func (o *oddity) trait(a *attr) (trait, bool) {
	member := o.f.look(a.who, a.known)
	if !a.known.bits.has(o.machine) {
		return trait{}, false
	}
	peers := a.known.bits.and(o.f.working)
	tr := trait{attr: a, lacks: !member.has(o.machine), have: Count{peers.countAnd(member), peers.count()}}
	if tr.lacks {
		tr.have.Have = tr.have.Of - tr.have.Have
	}
	return tr, tr.have.Of > 0 && tr.have.share() <= rareShare
}

// loose gives for each path the machines that are there as hardly any other is.
func (o *oddity) loose(attrs []*attr) map[string]set {
	out := map[string]set{}
	for _, a := range attrs {
		member := o.f.look(a.who, a.known)
		for _, side := range []set{member, a.known.bits.minus(member)} {
			if n := side.count(); n == 0 || float64(n) > 1+rareShare*float64(a.known.count()) {
				continue
			}
			if out[a.path] == nil {
				out[a.path] = side.blank()
			}
			out[a.path] = out[a.path].or(side)
		}
	}
	return out
}

func (o *oddity) row(traits []trait) Row {
	slices.SortStableFunc(traits, func(a, b trait) int {
		return cmp.Or(cmp.Compare(b.attr.prior, a.attr.prior), cmp.Compare(a.have.share(), b.have.share()), boolRank(a.lacks)-boolRank(b.lacks), strings.Compare(a.attr.yes(), b.attr.yes()))
	})
	first := traits[0]
	since := o.clock.of(first.attr, first.lacks, o.f.broken)
	r := Row{Kind: first.attr.kind, Broken: Count{1, 1}, Working: first.have, Since: since.since, Strength: Weak}
	d := draft{age: since}
	for _, t := range traits {
		d.attrs, d.lacks = append(d.attrs, t.attr), append(d.lacks, t.lacks)
	}
	r.name(d)
	r.Score = (1 - first.have.share()) * first.attr.prior * o.clock.weight(since)
	r.Why = o.why(first)
	return r
}

func boolRank(b bool) int {
	if b {
		return 1
	}
	return 0
}

func (o *oddity) why(t trait) string {
	if t.have.Have > 0 {
		return fmt.Sprintf("only %d of %d machines like it have that", t.have.Have, t.have.Of)
	}
	return fmt.Sprintf("none of %d machines like it has that", t.have.Of)
}
