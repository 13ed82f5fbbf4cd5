package index

import (
	"bytes"
	"strings"

	"rollcall/internal/fact"
	"rollcall/server/query"
)

// hits gathers the CIs that have a fact which makes a term true. Where only a hash
// of a digest is known and the term asks about its digits, the CI has to be read.
type hits struct {
	*selection
	t            query.Term
	glob         string
	among        Bits
	sure, unsure Bits
}

// literals looks the values up that the term names.
func (h *hits) literals(id pathID) {
	values, _ := h.t.Literals()
	for _, value := range values {
		for x := range h.f.alike(id, value) {
			h.decide(id, holding{x: x}, func(b Bits) { h.f.orFact(b, x) })
		}
		for set, own := range h.f.ownAlike(id, value) {
			h.decide(id, holding{own: own}, func(b Bits) { h.f.orMembers(b, set) })
		}
	}
}

// owned compares the facts at some paths that are in one set alone.
func (h *hits) owned(paths []pathID) {
	var fits Bits
	sections := map[uint16]bool{}
	for _, id := range paths {
		if p := h.f.paths.at(uint32(id)); p.own > 0 {
			if fits == nil {
				fits = newBits(h.f.paths.n)
			}
			fits.set(uint32(id))
			sections[p.section] = true
		}
	}
	if fits == nil {
		return
	}
	for slot := range h.among.Slots() {
		for _, set := range h.f.lists.get(h.f.cis.at(slot).sets) {
			if s := h.f.sets.at(set); !s.owning() || !sections[s.section] {
				continue
			}
			for o := range h.f.ownFacts(h.f.formOf(set).own) {
				if fits.Has(uint32(o.path)) {
					h.decide(o.path, holding{own: o.value}, func(b Bits) { b.set(slot) })
				}
			}
		}
	}
}

// eachValue compares what each candidate has at one path.
func (h *hits) eachValue(id pathID) {
	known := map[Fact]*Bits{}
	for slot := range h.among.Slots() {
		x, ok := h.f.at(slot, id)
		if !ok {
			continue
		}
		if x.own != nil {
			h.decide(id, x, func(b Bits) { b.set(slot) })
			continue
		}
		to, seen := known[x.x]
		if !seen {
			h.decide(id, x, func(b Bits) { to = &b })
			known[x.x] = to
		}
		if to != nil {
			to.set(slot)
		}
	}
}

// decide calls who to add those who have a fact, if it makes the term true or may
// do so.
func (h *hits) decide(id pathID, x holding, who func(Bits)) {
	switch holds, sure := h.holds(id, x); {
	case !sure:
		who(h.unsure)
	case holds:
		who(h.sure)
	}
}

// holds tells whether a fact makes the term true, and whether that is sure.
func (h *hits) holds(id pathID, x holding) (holds, sure bool) {
	if h.t.Op == query.None {
		return true, true
	}
	text, known := h.f.textView(x)
	f := fact.Fact{Value: text}
	if query.ByPath(h.glob) { // else it would be the same text for each value
		f.Path = h.f.pathView(id)
	}
	if h.t.FactHolds(h.glob, f, h.q.Now) { // whatever stands in the place of unknown digits: no value names them
		return true, known || h.t.Op == query.Equal || h.t.Op == query.Like || query.ByPath(h.glob)
	}
	if known || query.ByPath(h.glob) {
		return false, true
	}
	if h.t.Op != query.Equal && h.t.Op != query.Like {
		return false, false
	}
	for _, want := range h.t.Values {
		if h.f.mayBe(want, f.Value, x) {
			return false, false
		}
	}
	return false, true
}

// mayBe tells whether a value that a question names could fit a fact, or its first
// word, of whose digest only a hash is known.
func (f *fleet) mayBe(want, text string, x holding) bool {
	start, _, _ := strings.Cut(want, "*")
	known, _, _ := strings.Cut(text, "\x00")
	n := min(len(start), len(known))
	if !strings.EqualFold(start[:n], known[:n]) {
		return false
	}
	if query.IsGlob(want) {
		return true
	}
	have := x.own
	if have == nil {
		have = f.texts.get(f.dict.facts.at(uint32(x.x)).value)
	}
	asked, ok := f.frames.likeness(f.asked(want).short)
	like, _ := f.frames.likeness(have)
	return ok && bytes.Equal(asked, like)
}

// into adds the hits to found.
func (h *hits) into(found Bits) error {
	h.sure.And(h.among)
	found.Or(h.sure)
	h.unsure.And(h.among)
	h.unsure.AndNot(h.sure)
	if h.unsure.Empty() {
		return nil
	}
	read, err := h.byReading(h.t, h.unsure)
	if err == nil {
		found.Or(read)
	}
	return err
}
