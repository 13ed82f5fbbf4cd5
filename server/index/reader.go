package index

import (
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
	base  fact.Digest
	delta fact.Delta
	full  fact.Set
	err   error
}

func readStored(v cmdb.View, d fact.Digest) stored {
	base, delta, full, err := v.Stored(d)
	return stored{base, delta, full, err}
}

// maxForms bounds the forms of sets that no CI has but others are deltas of.
const maxForms = 4096

// reader turns stored sets into forms, without putting them together.
type reader struct {
	sets  map[fact.Digest]stored // read ahead
	view  cmdb.View              // for what was not; nil is an error
	forms map[fact.Digest]*parent
}

// parent is a set that others are deltas of and that perhaps no CI has.
type parent struct {
	form form
	uses int
}

func newReader(v cmdb.View) *reader {
	return &reader{sets: map[fact.Digest]stored{}, view: v, forms: map[fact.Digest]*parent{}}
}

func (r *reader) get(d fact.Digest) stored {
	if s, ok := r.sets[d]; ok {
		return s
	}
	return readStored(r.view, d)
}

// form returns how the core can keep a set that it does not have.
func (r *reader) form(c *core, section uint16, d fact.Digest, depth int) (form, error) {
	if set, ok := c.known(c.keyOf(d[:]), section); ok {
		return c.formOf(set), nil
	}
	if p, ok := r.forms[d]; ok {
		if p.uses++; p.uses == 2 && !c.fits(p.form) { // what several come from is a good base
			if n, ok := c.makeBase(section, c.factsOf(p.form)); ok {
				was := p.form.base
				p.form = form{base: n}
				c.bases[n].sets++
				c.unpin(was)
			}
		}
		return p.form, nil
	}
	s := r.get(d)
	if s.err != nil {
		return form{}, s.err
	}
	if depth > maxChain {
		return form{}, fmt.Errorf("set %s: %w: a chain of more than %d deltas", d, store.ErrCorrupt, maxChain)
	}
	var f form
	if s.base.IsZero() {
		f = c.express(section, c.numbers(s.full), 0)
	} else {
		parent, err := r.form(c, section, s.base, depth+1)
		if err != nil {
			return form{}, err
		}
		f = c.compose(section, parent, s.delta)
	}
	if depth > 0 { // nobody may have it: others are made from it
		f.adds, f.drops = slices.Clone(f.adds), slices.Clone(f.drops)
		c.bases[f.base].sets++ // it stays while it is remembered here
		if len(r.forms) >= maxForms {
			r.close(c)
		}
		r.forms[d] = &parent{form: f, uses: 1}
	}
	return f, nil
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

// entry is what a set has at a path where it differs from its base: 0 is nothing,
// otherwise a fact + 1.
type entry struct {
	path pathID
	fact uint32
}

// compose gives the form of a set that a delta leads to.
func (c *core) compose(section uint16, parent form, d fact.Delta) form {
	base := c.bases[parent.base].facts
	entries := make([]entry, 0, len(parent.adds)+len(parent.drops)+len(d.Put)+len(d.Drop))
	for _, p := range d.Drop {
		entries = append(entries, entry{c.path(p), 0})
	}
	for _, f := range d.Put {
		p := c.path(f.Path)
		entries = append(entries, entry{p, uint32(c.intern(p, f.Value)) + 1})
	}
	for _, x := range parent.adds {
		entries = append(entries, entry{c.pathOf(x), x + 1})
	}
	for _, x := range parent.drops {
		entries = append(entries, entry{c.pathOf(x), 0})
	}
	// The first entry of a path is the newest: put and drop of the delta, then
	// adds of the parent, then its drops.
	slices.SortStableFunc(entries, func(a, b entry) int { return cmp.Compare(a.path, b.path) })
	f := form{base: parent.base}
	for i, e := range entries {
		if i > 0 && entries[i-1].path == e.path {
			continue
		}
		was, ok := c.inList(base, e.path)
		if ok && e.fact == uint32(was)+1 {
			continue
		}
		if ok {
			f.drops = append(f.drops, uint32(was))
		}
		if e.fact != 0 {
			f.adds = append(f.adds, e.fact-1)
		}
	}
	if !c.fits(f) {
		return c.express(section, c.factsOf(f), parent.base)
	}
	return f
}
