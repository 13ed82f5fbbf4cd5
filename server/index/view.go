package index

import (
	"maps"
	"slices"
	"time"

	"rollcall/internal/fact"
	"rollcall/server/cmdb"
)

// View is the index as a caller with a scope sees it, at one moment. It is good
// only within the function that got it.
type View struct {
	ix      *Index
	f       *fleet
	scope   cmdb.Scope
	visible Bits
}

// Look shows the index to fn. Nothing changes until fn returns, so fn must not
// write to the store, and must not take long: reports wait for it. It returns
// ErrLoading while there is nothing to show, and otherwise fn's error.
func (ix *Index) Look(scope cmdb.Scope, fn func(View) error) error {
	ix.mu.RLock()
	defer ix.mu.RUnlock()
	if ix.fleet == nil {
		return ErrLoading
	}
	return fn(View{ix: ix, f: ix.fleet, scope: scope, visible: ix.fleet.visible(scope)})
}

// visible returns the CIs of a scope.
func (f *fleet) visible(scope cmdb.Scope) Bits {
	if scope.All() {
		return f.used
	}
	b := newBits(f.slots)
	p, ok := f.lookup(headPrefix + "site")
	if !ok {
		return b
	}
	for x := range f.ofPath(p) {
		if site, _ := f.value(x); scope.Sees(site) {
			f.orFact(b, x)
		}
	}
	return b
}

// Machines returns the slots of all CIs of the scope. The set is the caller's.
func (v View) Machines() Bits { return v.visible.Clone() }

// Group returns an empty set of slots, for the caller to fill with Add.
func (v View) Group() Bits { return newBits(v.f.slots) }

// Add puts a CI into a set and tells whether there is such a CI in the scope.
func (v View) Add(b Bits, id string) bool {
	bin, err := binaryID(id)
	if err != nil {
		return false
	}
	slot, ok := v.f.slotOf(bin)
	if ok = ok && v.visible.Has(slot); ok {
		b.set(slot)
	}
	return ok
}

// ID returns the id of the CI in a slot.
func (v View) ID(slot uint32) string { return textID(v.f.cis.at(slot).id) }

// Name returns the name of the CI in a slot.
func (v View) Name(slot uint32) string {
	value, _ := v.Value(slot, headPrefix+"name")
	return value
}

// Changed returns when the CI in a slot last changed, to the second.
func (v View) Changed(slot uint32) time.Time { return unix(v.f.cis.at(slot).changed) }

// Value returns what a CI has at a path. Of a digest that no other CI has, only a
// hash is known: it is not returned.
func (v View) Value(slot uint32, path string) (string, bool) {
	p, ok := v.f.lookup(path)
	if !ok {
		return "", false
	}
	x, ok := v.f.at(slot, p)
	if !ok {
		return "", false
	}
	return v.f.text(x)
}

// at returns the fact of a CI at a path.
func (f *fleet) at(slot uint32, p pathID) (holding, bool) {
	section := f.paths.at(uint32(p)).section
	for _, set := range f.lists.get(f.cis.at(slot).sets) {
		if f.sets.at(set).section == section {
			return f.find(f.formOf(set), p)
		}
	}
	return holding{}, false
}

// Damaged returns the CIs of the scope of which not everything could be read,
// by id, with the reason. Of those without a readable head nobody knows the site:
// only who sees everything is told.
func (v View) Damaged() map[string]error {
	all := map[string]error{}
	for slot, err := range v.f.damaged {
		if v.visible.Has(slot) {
			all[v.ID(slot)] = err
		}
	}
	if v.scope.All() {
		maps.Copy(all, v.f.lost)
	}
	return all
}

// Lookup returns the number of a fact, if more than one set of facts holds it.
func (v View) Lookup(path, value string) (Fact, bool) {
	p, ok := v.f.lookup(path)
	if !ok {
		return 0, false
	}
	return v.f.numbered(p, v.f.shut(v.f.frames.packed(nil, value, false)))
}

// Fact returns path and value of a fact. Where known is false, only a hash of the
// digest in the value is known, and the value is of no use.
func (v View) Fact(x Fact) (f fact.Fact, known bool) {
	return v.f.factOf(v.f.pathOf(uint32(x)), holding{x: x})
}

func (f *fleet) factOf(id pathID, x holding) (fact.Fact, bool) {
	text, known := f.text(x)
	return fact.Fact{Path: f.pathText(id), Value: text}, known
}

// Holders returns the CIs of the scope that have a value at a path. The set is the
// caller's.
func (v View) Holders(path, value string) Bits {
	b := newBits(v.f.slots)
	p, ok := v.f.lookup(path)
	if !ok {
		return b
	}
	asked := v.f.shut(v.f.frames.packed(nil, value, false))
	if x, ok := v.f.numbered(p, asked); ok {
		v.f.orFact(b, x)
	}
	if set, ok := v.f.owner(p, asked, noSet); ok {
		v.f.orMembers(b, set)
	}
	b.And(v.visible)
	return b
}

// Having returns the CIs of the scope that have a fact. The set is the caller's.
func (v View) Having(x Fact) Bits {
	b := newBits(v.f.slots)
	v.f.orFact(b, x)
	b.And(v.visible)
	return b
}

// orFact adds the CIs that have a fact to a set.
func (f *fleet) orFact(dst Bits, x Fact) {
	lack, lacking := f.lacks[uint32(x)]
	if !lacking {
		f.orSources(dst, x)
		return
	}
	b := newBits(f.slots)
	f.orSources(b, x)
	var one, two [1]uint32
	for _, set := range f.lists.slimGet(lack, &one) {
		for _, slot := range f.lists.slimGet(f.sets.at(set).members, &two) {
			b.clear(slot)
		}
	}
	dst.Or(b)
}

// orMembers adds the CIs that have a set.
func (f *fleet) orMembers(dst Bits, set uint32) {
	var one [1]uint32
	for _, slot := range f.lists.slimGet(f.sets.at(set).members, &one) {
		dst.set(slot)
	}
}

func (f *fleet) orSources(dst Bits, x Fact) {
	var one [1]uint32
	for _, source := range f.lists.slimGet(f.dict.facts.at(uint32(x)).has, &one) {
		if n := source >> 1; source&1 == 1 {
			f.bases[n].slots.into(dst)
		} else {
			f.orMembers(dst, n)
		}
	}
}

// Sections returns the sections of which a CI has facts, in order.
func (v View) Sections(slot uint32) []string {
	var out []string
	for _, set := range v.f.lists.get(v.f.cis.at(slot).sets) {
		if name := v.f.sections[v.f.sets.at(set).section]; name != headSection {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}
