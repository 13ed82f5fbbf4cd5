package index

import (
	"bytes"
	"cmp"
	"maps"
	"slices"
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

// Compared puts the CIs of two groups in order, those of the scope that have
// reported. Nobody may be in both. read gives what a CI has at a path where the index knows only a
// hash.
func (v View) Compared(broken, working Bits, read func(id, path string) (string, bool, error)) *Compared {
	c := &Compared{v: v, read: read, masked: maskedFleet, number: make([]int32, v.f.slots), onBase: map[uint32][]uint64{}}
	type stand struct {
		slot   uint32
		site   Fact
		broken bool
	}
	all := make([]stand, 0, broken.Count()+working.Count())
	path, sited := v.f.lookup(headPrefix + "site")
	for n, group := range [...]Bits{broken.Clone(), working.Clone()} {
		group.And(v.visible)
		for slot := range group.Slots() {
			sets := v.f.lists.get(v.f.cis.at(slot).sets)
			if len(sets) < 2 { // only the head
				continue
			}
			s := stand{slot: slot, broken: n == 0, site: noFact}
			if sited {
				if x, ok := v.f.find(v.f.formOf(sets[0]), path); ok && x.own == nil {
					s.site = x.x
				}
			}
			all = append(all, s)
		}
	}
	rank := v.siteRanks(path, sited)
	all = bySite(all, func(s stand) int { return rank[s.site] }, len(rank))
	if len(all) <= sortedByID {
		slices.SortStableFunc(all, func(a, b stand) int {
			if n := cmp.Compare(rank[a.site], rank[b.site]); n != 0 {
				return n
			}
			if a.broken != b.broken {
				return map[bool]int{true: -1, false: 1}[a.broken]
			}
			x, y := v.f.cis.at(a.slot).id, v.f.cis.at(b.slot).id
			return slices.Compare(x[:], y[:])
		})
	}
	for i := range c.number {
		c.number[i] = -1
	}
	for i, s := range all {
		c.slots = append(c.slots, s.slot)
		c.number[s.slot] = int32(i)
		c.places = append(c.places, compare.Place{Site: rank[s.site], Broken: s.broken})
	}
	return c
}

// noFact is the site of CIs without one.
const noFact Fact = 1<<32 - 1

// sortedByID is how many machines are put in the order of their ids within a site,
// so that an answer does not depend on when they came; of more it costs too much.
const sortedByID = 4096

// bySite sorts by a small number.
func bySite[T any](all []T, rank func(T) int, ranks int) []T {
	at := make([]int, ranks+1)
	for _, x := range all {
		at[rank(x)+1]++
	}
	for i := 1; i < len(at); i++ {
		at[i] += at[i-1]
	}
	out := make([]T, len(all))
	for _, x := range all {
		out[at[rank(x)]] = x
		at[rank(x)]++
	}
	return out
}

// siteRanks numbers the sites in the order of their names.
func (v View) siteRanks(path pathID, sited bool) map[Fact]int {
	rank := map[Fact]int{noFact: 0}
	if !sited {
		return rank
	}
	type named struct {
		x    Fact
		name string
	}
	var all []named
	for x := range v.f.ofPath(path) {
		name, _ := v.f.value(x)
		all = append(all, named{x, name})
	}
	slices.SortFunc(all, func(a, b named) int { return strings.Compare(a.name, b.name) })
	for i, s := range all {
		rank[s.x] = i + 1
	}
	return rank
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
			for i, w := range c.all.sums.at(row - 1)[sumWords:] {
				to[i] |= w
			}
			return
		}
		c.findFact(n, to)
	case holdsSet:
		c.addMembers(n, to)
	case holdsSection, holdsOwn:
		section := uint16(n)
		if h>>32 == holdsOwn {
			section = f.paths.at(n).section
		}
		for i, slot := range c.slots {
			for _, set := range f.lists.get(f.cis.at(slot).sets)[1:] {
				if f.sets.at(set).section != section {
					continue
				}
				has := h>>32 == holdsSection
				if !has {
					_, has = f.ownAt(f.formOf(set).own, pathID(n))
				}
				if has {
					to[i/64] |= 1 << (i % 64)
				}
				break
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

// Sections implements compare.Fleet.
func (c *Compared) Sections(ask compare.Ask, see func(*compare.Section, compare.Outline)) ([]*compare.Section, error) {
	w := c.weigh(ask)
	if ask.Only == nil {
		c.all = w
	} else {
		c.part = w
	}
	f := c.v.f
	names := map[string]uint16{}
	for section := range w.sections {
		names[f.sections[section]] = section
	}
	var out []*compare.Section
	for _, name := range slices.Sorted(maps.Keys(names)) {
		section := names[name]
		s := &compare.Section{Name: name, Known: compare.Crowd{Tally: w.tally(w.sections[section]), Of: []compare.Holder{holder(holdsSection, uint32(section))}}}
		if see != nil {
			c.outlines(w, section, s, see)
		}
		out = append(out, s)
	}
	return out, nil
}

// outlines lets see look at the columns of a section, but for those that are the same
// on all where that means nothing.
func (c *Compared) outlines(w *weighing, section uint16, s *compare.Section, see func(*compare.Section, compare.Outline)) {
	values := make([]compare.Tally, 0, 64)
	for _, p := range c.v.f.inOrder(section) {
		if w.first[p] == 0 && w.own[p] == 0 || w.same(p) && s.Name != "os" {
			continue
		}
		o := compare.Outline{Column: int(p)}
		values = values[:0]
		for row := w.first[p]; row != 0; row = w.next[row-1] {
			if sum := w.sums.at(row - 1); sum[0] != 0 {
				values = append(values, w.tally(sum))
				o.Present = o.Present.Plus(values[len(values)-1])
			}
		}
		if at := w.own[p]; at != 0 {
			o.Present = o.Present.Plus(w.tally(w.ownSums.at(at - 1)))
			o.Various = w.ownCount[at-1] > w.loose
			if !o.Various {
				for n := w.owned[at-1].next; n != 0; n = w.ownSets[n-1].next {
					values = append(values, w.tally(w.setSums.at(w.ownSets[n-1].row)))
				}
			}
		}
		if o.Values = values; o.Present.Sum != 0 || len(values) > 0 {
			see(s, o)
		}
	}
}

// Column implements compare.Fleet.
func (c *Compared) Column(path string) (int, bool) {
	p, ok := c.v.f.lookup(path)
	return int(p), ok
}

// Columns implements compare.Fleet.
func (c *Compared) Columns(ask compare.Ask, s *compare.Section, columns []int) []compare.Column {
	w := c.all
	if ask.Only != nil {
		w = c.part
	}
	n := len(columns)
	for _, p := range columns {
		n += w.told(pathID(p))
	}
	t := &telling{c: c, w: w, lazy: ask.Lazy && s.Name == "etc", values: make([]compare.Value, 0, n), holders: make([]compare.Holder, 0, n)}
	out := make([]compare.Column, len(columns))
	for i, p := range columns {
		t.column(&out[i], pathID(p))
	}
	return out
}

// inOrder gives the paths of a section in order. The order is remembered: paths only
// ever come.
func (d *dict) inOrder(section uint16) []pathID {
	d.pmu.Lock()
	defer d.pmu.Unlock()
	if d.ordered == nil {
		d.ordered = map[uint16][]pathID{}
	}
	if all := d.ordered[section]; len(all) == len(d.bySect[section]) {
		return all
	}
	all := slices.Clone(d.bySect[section])
	slices.SortFunc(all, func(a, b pathID) int {
		return bytes.Compare(d.texts.get(d.paths.at(uint32(a)).text), d.texts.get(d.paths.at(uint32(b)).text))
	})
	d.ordered[section] = all
	return all
}

// telling tells columns. What it tells of all of them stands in two arrays.
type telling struct {
	c       *Compared
	w       *weighing
	lazy    bool
	values  []compare.Value
	holders []compare.Holder
}

// told is how many values of a path are told at most.
func (w *weighing) told(p pathID) (n int) {
	for row := w.first[p]; row != 0; row = w.next[row-1] {
		n++
	}
	if at := w.own[p]; at != 0 {
		n += min(w.ownCount[at-1], w.loose)
	}
	return n
}

// column tells what stands at a path.
func (t *telling) column(col *compare.Column, p pathID) {
	w, f := t.w, t.c.v.f
	col.Path = f.pathView(p)
	from, own := len(t.values), len(t.holders)
	for row := w.first[p]; row != 0; row = w.next[row-1] {
		if sum := w.sums.at(row - 1); sum[0] != 0 {
			x := w.facts[row-1]
			t.value(holder(holdsFact, uint32(x)), sum, f.texts.get(f.dict.facts.at(uint32(x)).value))
		}
	}
	at := w.own[p]
	if at != 0 {
		col.Various = w.ownCount[at-1] > w.loose
	}
	if at != 0 && !col.Various {
		for n := w.owned[at-1].next; n != 0; n = w.ownSets[n-1].next {
			o := &w.ownSets[n-1]
			t.value(holder(holdsSet, o.set), w.setSums.at(o.row), o.value)
		}
	}
	col.Values = t.values[from:len(t.values):len(t.values)]
	for i := range col.Values {
		col.Present.Tally = col.Present.Plus(col.Values[i].Tally)
	}
	if col.Various {
		t.holders = append(t.holders, holder(holdsOwn, uint32(p)))
		col.Present.Tally = col.Present.Plus(w.tally(w.ownSums.at(at - 1)))
	}
	col.Present.Of = t.holders[own:len(t.holders):len(t.holders)]
	slices.SortFunc(col.Values, func(a, b compare.Value) int { return strings.Compare(a.Text, b.Text) })
}

func (t *telling) value(h compare.Holder, sum []uint64, packed []byte) {
	v := compare.Value{Partial: true}
	if !t.lazy {
		text, whole := t.c.v.f.unpackedView(packed)
		if v.Text, v.Partial = text, !whole; v.Partial {
			v.Text = strings.ReplaceAll(text, "\x00", "0")
		}
	}
	t.holders = append(t.holders, h)
	v.Tally, v.Of = t.w.tally(sum), t.holders[len(t.holders)-1:len(t.holders):len(t.holders)]
	t.values = append(t.values, v)
}

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
