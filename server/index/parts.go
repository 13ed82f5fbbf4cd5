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

// Facts yields the facts of a set, in no order. Where known is false, only a hash of
// the digest in the value is known, and the value is of no use.
func (v View) Facts(p Part) iter.Seq2[fact.Fact, bool] {
	return func(yield func(f fact.Fact, known bool) bool) {
		form := v.f.formOf(uint32(p))
		for _, x := range v.f.factsOf(form) {
			if !yield(v.Fact(Fact(x))) {
				return
			}
		}
		for o := range v.f.ownFacts(form.own) {
			if !yield(v.f.factOf(o.path, holding{own: o.value})) {
				return
			}
		}
	}
}

// Site returns the site of the CI in a slot.
func (v View) Site(slot uint32) (string, bool) { return v.Value(slot, headPrefix+"site") }

// Cloned returns the CIs of the scope whose key speaks from two places.
func (v View) Cloned() Bits { return v.Holders(headPrefix+"cloned", "yes") }
