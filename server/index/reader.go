package index

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"

	"rollcall/internal/fact"
	"rollcall/server/cmdb"
	"rollcall/server/store"
)

// maxChain is more than the deltas that lead to any stored set.
const maxChain = 64

// stored is a set as the store keeps it: full, or as a delta from a base.
type stored struct {
	base fact.Digest // zero: full
	put  []said
	drop []named
	err  error
}

func (d *dict) readStored(v cmdb.View, digest fact.Digest) stored {
	base, delta, full, err := v.Stored(digest)
	if err != nil || base.IsZero() {
		return stored{put: d.say(full), err: err}
	}
	return d.stored(delta)
}

func (d *dict) stored(delta fact.Delta) stored {
	s := stored{base: delta.Base, put: d.say(delta.Put)}
	for _, path := range delta.Drop {
		s.drop = append(s.drop, d.name(path))
	}
	return s
}

// maxForms bounds the forms of sets that no CI has but others are deltas of.
const maxForms = 4096

// reader turns stored sets into forms, without putting them together.
type reader struct {
	sets   map[fact.Digest]stored // read ahead
	view   cmdb.View              // for what was not; nil is an error
	forms  map[fact.Digest]*parent
	except uint32 // the set that is about to go, see core.place
	once   bool   // what is in sets was read for the first time, and the core has none of it
}

// parent is a set that others are deltas of and that perhaps no CI has.
type parent struct {
	form form
	uses int
}

func newReader(v cmdb.View) *reader {
	return &reader{sets: map[fact.Digest]stored{}, view: v, forms: map[fact.Digest]*parent{}, except: noSet}
}

func (r *reader) get(c *core, d fact.Digest) stored {
	if s, ok := r.sets[d]; ok {
		return s
	}
	return c.readStored(r.view, d)
}

// form returns how the core can keep a set that it does not have. delta is what
// leads from it to the set that is asked for in the end.
func (r *reader) form(c *core, section uint16, d fact.Digest, delta stored, depth int) (form, error) {
	if depth == 0 {
		c.goes(r.except)
	} else {
		if set, ok := c.known(c.keyOf(d[:]), section); ok {
			f := c.formOf(set)
			f.going = set == r.except
			return f, nil
		}
	}
	if p, ok := r.forms[d]; ok {
		if p.uses++; p.uses == 2 && !c.fits(p.form) { // what several come from is a good base
			r.rebase(c, section, p, delta)
		}
		if depth == 0 { // others may have what is its own by now
			return c.compose(section, p.form, stored{}, r.except), nil
		}
		return p.form, nil
	}
	s := r.get(c, d)
	if s.err != nil {
		return form{}, s.err
	}
	if depth > maxChain {
		return form{}, fmt.Errorf("set %s: %w: a chain of more than %d deltas", d, store.ErrCorrupt, maxChain)
	}
	var f form
	if s.base.IsZero() {
		shared := len(s.put) > smallSet*3 // others are stored as what differs from it
		list, own := c.sorted(s.put, func(string) bool { return shared }, r.except)
		f = c.express(section, list, own, 0)
	} else {
		parent, err := r.form(c, section, s.base, s, depth+1)
		if err != nil {
			return form{}, err
		}
		f = c.compose(section, parent, s, r.except)
	}
	if depth > 0 { // nobody may have it: others are made from it
		f = f.clone()
		c.bases[f.base].sets++ // it stays while it is remembered here
		if len(r.forms) >= maxForms {
			r.close(c)
		}
		r.forms[d] = &parent{form: f, uses: 1}
	}
	return f, nil
}

// rebase makes a base of a parent's facts, but for those that are different on a
// machine like it: they will be so on others.
func (r *reader) rebase(c *core, section uint16, p *parent, delta stored) {
	differs := map[pathID]bool{}
	for _, f := range delta.put {
		differs[c.path(f.named)] = true
	}
	for _, n := range delta.drop {
		differs[c.path(n)] = true
	}
	next := form{own: p.form.own}
	var shared []uint32
	for _, x := range c.factsOf(p.form) {
		if differs[c.pathOf(x)] {
			next.adds = append(next.adds, x)
		} else {
			shared = append(shared, x)
		}
	}
	n, ok := c.makeBase(section, shared)
	if !ok {
		return
	}
	next.base = n
	c.bases[n].sets++
	c.unpin(p.form.base)
	p.form = next
}

// close forgets the forms of parents.
func (r *reader) close(c *core) {
	for _, p := range r.forms {
		c.unpin(p.form.base)
	}
	clear(r.forms)
}

func (c *core) unpin(n uint32) {
	c.bases[n].sets--
	c.dropBase(n)
}

// clone gives a form that stays as it is when sets change.
func (f form) clone() form {
	return form{base: f.base, adds: slices.Clone(f.adds), drops: slices.Clone(f.drops), own: slices.Clone(f.own)}
}

// entry is what a set has at a path where it differs from its base.
type entry struct {
	path pathID
	holding
	column uint32 // of a fact of its own, if it is known
	none   bool   // nothing
	parent bool   // as the set has it that the delta starts from
}

// compose gives the form of a set that a delta leads to.
func (c *core) compose(section uint16, parent form, d stored, except uint32) form {
	base := c.bases[parent.base].facts
	f := form{base: parent.base}
	own := make([]ownFact, 0, len(d.put)+8)
	last := noPath
	all, order := c.entries(parent, d, except)
	for _, n := range order {
		e := &all[uint32(n)]
		if e.path == last { // the newest one came first
			continue
		}
		last = e.path
		was, ok := c.inList(base, e.path)
		if e.parent && !parent.going { // it may have what its parent has
			e.holding = c.place(e.path, c.shut(e.own), false, except)
		}
		if ok && !e.none && e.own == nil && e.x == was {
			continue
		}
		if ok {
			f.drops = append(f.drops, uint32(was))
		}
		switch {
		case e.none:
		case e.own != nil:
			own = append(own, ownFact{path: e.path, value: e.own, column: e.column, hash: e.hash})
		default:
			f.adds = append(f.adds, uint32(e.x))
		}
	}
	if !c.fits(f) {
		return c.express(section, c.factsOf(f), own, parent.base)
	}
	f = c.refine(f)
	f.own, f.fresh = c.write(own), own
	return f
}

// noPath is not the number of a path.
const noPath pathID = 1<<32 - 1

// entries gives what the form of a set is made of, and the order of paths: the low half
// of a number is the place of an entry. Of several of a path the newest comes first. Both
// are good until the next call.
func (c *core) entries(parent form, d stored, except uint32) (all []entry, order []uint64) {
	// put and drop of the delta are the newest, then comes what the parent has, then what
	// it drops. The parent's first: what it has of its own may get a number below.
	old := c.entriesOf(c.room.parent[:0], parent)
	all = c.room.entries[:0]
	for _, n := range d.drop {
		all = append(all, entry{path: c.path(n), none: true})
	}
	for _, f := range d.put {
		p := c.path(f.named)
		all = append(all, entry{path: p, holding: c.place(p, f.value, false, except)})
	}
	all = append(all, old...)
	order = c.room.order[:0]
	for i := range all {
		order = append(order, uint64(all[i].path)<<32|uint64(i))
	}
	slices.Sort(order)
	c.room.parent, c.room.entries, c.room.order = old, all, order
	return all, order
}

// entriesOf appends what a form has otherwise than its base.
func (c *core) entriesOf(to []entry, f form) []entry {
	for _, x := range f.adds {
		to = append(to, entry{path: c.pathOf(x), holding: holding{x: Fact(x)}})
	}
	for _, o := range c.listOwn(f.own) {
		to = append(to, entry{path: o.path, holding: holding{own: o.value}, column: o.column, parent: true})
	}
	for _, x := range f.drops {
		to = append(to, entry{path: c.pathOf(x), none: true})
	}
	return to
}

// room is memory that is used again for each set that is composed. Whoever changes the
// index is alone.
type room struct {
	parent, entries []entry
	order           []uint64
	going           []ownFact // of the set that is about to go
}

// still tells whether the set that is about to go has a fact of its own: nobody else has
// it then, which is not to be looked up for all that a machine has alone.
func (r *room) still(path pathID, v value) bool {
	i, ok := slices.BinarySearchFunc(r.going, path, func(o ownFact, p pathID) int { return cmp.Compare(o.path, p) })
	return ok && bytes.Equal(r.going[i].value, v.short)
}

// goes notes which set is about to go, for what is placed next.
func (c *core) goes(set uint32) {
	c.room.going = nil
	if set != noSet {
		c.room.going = c.listOwn(c.formOf(set).own)
	}
}

// mostRoom is how many entries it may hold for long.
const mostRoom = 1 << 12

func (r *room) trim() {
	if cap(r.entries) > mostRoom {
		*r = room{}
	}
	r.going = nil
	clear(r.parent[:cap(r.parent)]) // these lead to values
	clear(r.entries[:cap(r.entries)])
}
