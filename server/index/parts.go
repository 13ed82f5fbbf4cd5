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

// In returns the facts of a set that have numbers. The slice is the caller's.
func (v View) In(p Part) []Fact {
	numbers := v.f.factsOf(v.f.formOf(uint32(p)))
	out := make([]Fact, len(numbers))
	for i, x := range numbers {
		out[i] = Fact(x)
	}
	return out
}

// Own yields the facts that no other set has. Where known is false, only a hash of
// the digest in the value is known, and the value is of no use.
func (v View) Own(p Part) iter.Seq2[fact.Fact, bool] {
	return func(yield func(f fact.Fact, known bool) bool) {
		for o := range v.f.formOf(uint32(p)).own.all() {
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
