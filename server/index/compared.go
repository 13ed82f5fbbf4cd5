package index

import (
	"strings"

	"rollcall/internal/fact"
	"rollcall/server/compare"
)

// Compared is the CIs of two groups as package compare asks about them, all of
// them, counted from the sets and bases that they share. It is good only within
// the view that it is from, and for one goroutine.
type Compared struct {
	v      View
	slots  []uint32 // by number
	number []int32  // by slot; -1: in neither group
	places []compare.Place
	read   func(id, path string) (string, bool, error)
	masked int // up to so many machines have a bit each

	all, part *weighing           // of all machines, and of those that were asked for last
	onBase    map[uint32][]uint64 // machines on a base, see machinesOn
}

// Places implements compare.Fleet.
func (c *Compared) Places() []compare.Place { return c.places }

// ID implements compare.Fleet.
func (c *Compared) ID(n int) string { return c.v.ID(c.slots[n]) }

// Machine implements compare.Fleet.
func (c *Compared) Machine(n int) compare.Machine {
	m := compare.Machine{ID: c.ID(n), Name: c.v.Name(c.slots[n]), Sections: map[string]fact.Set{}}
	m.Site, _ = c.v.Site(c.slots[n])
	for section, part := range c.v.Parts(c.slots[n]) {
		if section != "id" && section != "net" {
			continue
		}
		var facts []fact.Fact
		for one, known := range c.v.Facts(part) {
			if known {
				facts = append(facts, one)
			}
		}
		m.Sections[section] = fact.NewSet(facts)
	}
	return m
}

// Kinds of holders, in their upper half; in the lower one stands a number.
const (
	holdsFact    = iota // the fact of this number
	holdsSet            // this set
	holdsSection        // any set of this section
	holdsOwn            // at this path a fact that no other set has
)

func holder(kind int, n uint32) compare.Holder { return compare.Holder(kind)<<32 | compare.Holder(n) }

// Find implements compare.Fleet.
func (c *Compared) Find(h compare.Holder, to []uint64) {
	f, n := c.v.f, uint32(h)
	switch h >> 32 {
	case holdsFact:
		if row := c.all.rows[n]; row > 0 && c.all.masks() > 0 {
			for i, w := range c.all.of(f, f.pathOf(n)).sums.at(row - 1)[sumWords:] {
				to[i] |= w
			}
			return
		}
		c.findFact(n, to)
	case holdsSet:
		c.addMembers(n, to)
	case holdsSection:
		for _, set := range c.all.sections[n].sets {
			c.addMembers(set, to)
		}
	case holdsOwn:
		for _, set := range c.all.of(f, pathID(n)).sets {
			for p := range f.ownPaths(f.formOf(set).own) {
				if p >= pathID(n) {
					if p == pathID(n) {
						c.addMembers(set, to)
					}
					break
				}
			}
		}
	}
}

// findFact finds who has a fact by its sources.
func (c *Compared) findFact(x uint32, to []uint64) {
	f := c.v.f
	lack, lacking := f.lacks[x]
	into := to
	if lacking {
		into = make([]uint64, len(to))
	}
	var one, two [1]uint32
	for _, source := range f.lists.slimGet(f.dict.facts.at(x).has, &one) {
		if source&1 == 0 {
			c.addMembers(source>>1, into)
			continue
		}
		for i, w := range c.machinesOn(source >> 1) {
			into[i] |= w
		}
	}
	if !lacking {
		return
	}
	for _, set := range f.lists.slimGet(lack, &one) {
		for _, slot := range f.lists.slimGet(f.sets.at(set).members, &two) {
			if i := c.number[slot]; i >= 0 {
				into[i/64] &^= 1 << (i % 64)
			}
		}
	}
	for i, w := range into {
		to[i] |= w
	}
}

func (c *Compared) addMembers(set uint32, to []uint64) {
	var one [1]uint32
	for _, slot := range c.v.f.lists.slimGet(c.v.f.sets.at(set).members, &one) {
		if i := c.number[slot]; i >= 0 {
			to[i/64] |= 1 << (i % 64)
		}
	}
}

// machinesOn gives the machines whose set is on a base.
func (c *Compared) machinesOn(base uint32) []uint64 {
	b, ok := c.onBase[base]
	if ok {
		return b
	}
	b = make([]uint64, (len(c.slots)+63)/64)
	e := &c.v.f.bases[base].slots
	add := func(slot uint32) {
		if i := c.number[slot]; i >= 0 {
			b[i/64] |= 1 << (i % 64)
		}
	}
	for slot := range e.bits.Slots() {
		add(slot)
	}
	for _, slot := range e.list {
		add(slot)
	}
	c.onBase[base] = b
	return b
}

// Text implements compare.Fleet.
func (c *Compared) Text(path string, h compare.Holder, whole bool) (text string, known bool, err error) {
	f := c.v.f
	if h>>32 == holdsFact {
		text, known = f.value(Fact(uint32(h)))
	} else if p, ok := f.lookup(path); ok {
		if value, ok := f.ownAt(f.formOf(uint32(h)).own, p); ok {
			text, known = f.unpacked(value)
		}
	}
	if known {
		return text, true, nil
	}
	if !whole {
		return strings.ReplaceAll(text, "\x00", "0"), false, nil
	}
	found := make([]uint64, (len(c.slots)+63)/64)
	c.Find(h, found)
	for slot := range Bits(found).Slots() {
		text, ok, err := c.read(c.ID(int(slot)), path)
		if ok || err != nil {
			return text, true, err
		}
	}
	return "", false, nil // it is gone since
}

var _ compare.Fleet = (*Compared)(nil)

// Name returns the name of a CI of the scope by its id; "" if there is none.
func (c *Compared) Name(id string) string {
	bin, err := binaryID(id)
	if err != nil {
		return ""
	}
	slot, ok := c.v.f.slotOf(bin)
	if !ok || !c.v.visible.Has(slot) {
		return ""
	}
	return c.v.Name(slot)
}

// Reported takes CIs that have never reported out of a set.
func (v View) Reported(of Bits) {
	for slot := range of.Slots() {
		if len(v.f.lists.get(v.f.cis.at(slot).sets)) < 2 { // only the head
			of.clear(slot)
		}
	}
}
