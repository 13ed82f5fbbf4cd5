package index

import (
	"iter"

	"rollcall/internal/fact"
)

// Part is a set of facts of one section, which one or more CIs have. It is good
// only within the view that it is from.
type Part uint32

// Parts yields the sections of a CI and the set that it has in each.
func (v View) Parts(slot uint32) iter.Seq2[string, Part] {
	return func(yield func(string, Part) bool) {
		for _, set := range v.f.lists.get(v.f.cis.at(slot).sets) {
			name := v.f.sections[v.f.sets.at(set).section]
			if name != headSection && !yield(name, Part(set)) {
				return
			}
		}
	}
}

// Picker picks facts out of sets. What it picks out of a base it remembers: few
// facts of many are wanted, of many sets on few bases.
type Picker struct {
	f     *fleet
	keep  []bool
	bases map[uint32][]Fact
}

// Pick returns a Picker of the facts for which keep, by their number, is true; nil
// is all. It is good only within the view.
func (v View) Pick(keep []bool) *Picker {
	return &Picker{f: v.f, keep: keep, bases: map[uint32][]Fact{}}
}

// In returns the facts of a set that have numbers and are wanted, in no order. The
// slice is the caller's.
func (p *Picker) In(part Part) []Fact {
	form := p.f.formOf(uint32(part))
	base, ok := p.bases[form.base]
	if !ok {
		base = p.wanted(nil, p.f.bases[form.base].facts)
		p.bases[form.base] = base
	}
	out := p.wanted(make([]Fact, 0, len(base)+len(form.adds)), form.adds)
	if len(form.drops) == 0 {
		return append(out, base...)
	}
	for _, x := range base {
		if i, ok := p.f.inList(form.drops, p.f.pathOf(uint32(x))); !ok || i != x {
			out = append(out, x)
		}
	}
	return out
}

func (p *Picker) wanted(out []Fact, facts []uint32) []Fact {
	for _, x := range facts {
		if p.keep == nil || p.keep[x] {
			out = append(out, Fact(x))
		}
	}
	return out
}

// Own yields the facts that no other set has. Where known is false, only a hash of
// the digest in the value is known, and the value is of no use.
func (v View) Own(p Part) iter.Seq2[fact.Fact, bool] {
	return func(yield func(f fact.Fact, known bool) bool) {
		for o := range v.f.ownFacts(v.f.formOf(uint32(p)).own) {
			if !yield(v.f.factOf(o.path, holding{own: o.value})) {
				return
			}
		}
	}
}

// FactCount returns how many facts have a number: all are below it.
func (v View) FactCount() int { return int(v.f.dict.facts.n) }

// Site returns the site of the CI in a slot.
func (v View) Site(slot uint32) (string, bool) { return v.Value(slot, headPrefix+"site") }

// Cloned returns the CIs of the scope whose key speaks from two places.
func (v View) Cloned() Bits { return v.Holders(headPrefix+"cloned", "yes") }
