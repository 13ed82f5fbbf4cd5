package compare

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"rollcall/internal/fact"
)

// roll is a Fleet of machines whose facts are all at hand.
type roll struct {
	machines []Machine // in the order of sites
	places   []Place
	cells    [][]set        // by holder
	numbers  map[string]int // of columns, by path
	paths    []string       // of each
	all      []*Column      // by number, as they were last counted of all machines
	part     []*Column      // and of some
}

// distinct are the sets of one section, each looked at once.
type distinct struct {
	sets  []fact.Set
	who   []set
	tally []Tally
}

// newRoll puts the machines of two groups, none of which is in both, in order.
func newRoll(broken, working []Machine) *roll {
	r := &roll{machines: slices.Concat(broken, working), numbers: map[string]int{}}
	isBroken := make(map[string]bool, len(broken))
	for _, m := range broken {
		isBroken[m.ID] = true
	}
	slices.SortStableFunc(r.machines, func(a, b Machine) int { return cmp.Compare(a.Site, b.Site) })
	site := 0
	for i, m := range r.machines {
		if i > 0 && m.Site != r.machines[i-1].Site {
			site++
		}
		r.places = append(r.places, Place{Site: site, Broken: isBroken[m.ID]})
	}
	return r
}

func (r *roll) Places() []Place       { return r.places }
func (r *roll) ID(n int) string       { return r.machines[n].ID }
func (r *roll) Machine(n int) Machine { return r.machines[n] }

// Text is not asked: all texts were told.
func (r *roll) Text(string, Holder, bool) (string, bool, error) { return "", true, nil }

func (r *roll) Find(h Holder, to []uint64) {
	for _, who := range r.cells[h] {
		for i, w := range who {
			to[i] |= w
		}
	}
}

func (r *roll) holder(who ...set) []Holder {
	r.cells = append(r.cells, who)
	return []Holder{Holder(len(r.cells) - 1)}
}

// Sections counts the facts of the machines.
func (r *roll) Sections(c Ask, see func(*Section, Outline)) ([]*Section, error) {
	names := map[string]bool{}
	for _, m := range r.machines {
		for name := range m.Sections {
			names[name] = true
		}
	}
	counted := &r.all
	if c.Only != nil {
		counted = &r.part
	}
	*counted = nil
	var out []*Section
	for _, name := range slices.Sorted(maps.Keys(names)) {
		d := r.distinct(name, c)
		s := &Section{Name: name}
		for _, t := range d.tally {
			s.Known.Tally = s.Known.Plus(t)
		}
		s.Known.Of = r.holder(d.who...)
		for _, one := range r.columns(d, c.Loose) {
			n := r.number(one.Path)
			*counted = append(*counted, make([]*Column, max(0, n+1-len(*counted)))...)
			(*counted)[n] = &one
			if see != nil {
				see(s, one.outline(n))
			}
		}
		out = append(out, s)
	}
	return out, nil
}

func (r *roll) number(path string) int {
	n, ok := r.numbers[path]
	if !ok {
		n = len(r.numbers)
		r.numbers[path] = n
		r.paths = append(r.paths, path)
	}
	return n
}

func (c *Column) outline(n int) Outline {
	o := Outline{Column: n, Present: c.Present.Tally, Various: c.Various}
	for _, v := range c.Values {
		o.Values = append(o.Values, v.Tally)
	}
	return o
}

// Column gives the number of the column at a path.
func (r *roll) Column(path string) (int, bool) {
	n, ok := r.numbers[path]
	return n, ok
}

// Source gives the column of the source of a package.
func (r *roll) Source(n int) (int, bool) {
	path := r.paths[n]
	return r.Column(path[:strings.LastIndexByte(path, '/')+1] + "source")
}

// Columns gives columns that were counted.
func (r *roll) Columns(c Ask, _ *Section, columns []int) (out []Column) {
	counted := r.all
	if c.Only != nil {
		counted = r.part
	}
	for _, n := range columns {
		if n < len(counted) && counted[n] != nil {
			out = append(out, *counted[n])
		}
	}
	return out
}

// distinct tells the sets of a section apart: machines that share one share the slice.
func (r *roll) distinct(name string, c Ask) *distinct {
	type identity struct {
		first *fact.Fact
		n     int
	}
	d, number := &distinct{}, map[identity]int{}
	take := func(i int) {
		fs, ok := r.machines[i].Sections[name]
		if !ok {
			return
		}
		var id identity
		if len(fs) > 0 {
			id = identity{&fs[0], len(fs)}
		}
		k, seen := number[id]
		if !seen {
			k = len(d.sets)
			number[id] = k
			d.sets, d.who, d.tally = append(d.sets, fs), append(d.who, newSet(len(r.machines))), append(d.tally, Tally{})
		}
		d.who[k].add(i)
		d.tally[k] = d.tally[k].Plus(c.Weights[i])
	}
	if c.Only == nil {
		for i := range r.machines {
			take(i)
		}
	}
	for _, i := range c.Only {
		take(i)
	}
	return d
}

// pile is what the sets have at one path. As long as every set has had the same
// value, it is only counted: most columns are constant.
type pile struct {
	first string
	same  int    // sets 0 to same-1 have the value first
	cells []cell // by set, once they differ
}

type cell struct {
	value string
	set   int32
}

func (p *pile) add(set int, value string) {
	if p.cells == nil && p.same == set && value == p.first {
		p.same++
		return
	}
	p.cells = append(p.all(), cell{value, int32(set)})
}

// all returns the value of each set that has one.
func (p *pile) all() []cell {
	if p.cells == nil {
		for i := range p.same {
			p.cells = append(p.cells, cell{p.first, int32(i)})
		}
	}
	return p.cells
}

// columns gives what stands at each path of the distinct sets.
func (r *roll) columns(d *distinct, loose int) []Column {
	piles := map[string]*pile{}
	for k, fs := range d.sets {
		for _, f := range fs {
			p := piles[f.Path]
			if p == nil {
				p = &pile{first: f.Value}
				piles[f.Path] = p
			}
			p.add(k, f.Value)
		}
	}
	out := make([]Column, 0, len(piles))
	for _, path := range slices.Sorted(maps.Keys(piles)) {
		p := piles[path]
		c := Column{Path: path}
		r.values(&c, p.all(), d)
		c.loosen(loose)
		out = append(out, c)
	}
	return out
}

// values gives a column its values in order.
func (r *roll) values(c *Column, cells []cell, d *distinct) {
	slices.SortStableFunc(cells, func(a, b cell) int { return cmp.Compare(a.value, b.value) })
	for len(cells) > 0 {
		n := 1
		for n < len(cells) && cells[n].value == cells[0].value {
			n++
		}
		v := r.value(cells[:n], d)
		v.alone = n == 1
		c.Values = append(c.Values, v)
		c.Present.join(v.Crowd)
		cells = cells[n:]
	}
}

// loosen leaves values out that are of one set alone if these are too many.
func (c *Column) loosen(most int) {
	n := 0
	for _, v := range c.Values {
		if v.alone {
			n++
		}
	}
	if c.Various = n > most; c.Various {
		c.Values = slices.DeleteFunc(c.Values, func(v Value) bool { return v.alone })
	}
}

func (r *roll) value(cells []cell, d *distinct) Value {
	v := Value{Text: cells[0].value}
	who := make([]set, len(cells))
	for i, x := range cells {
		who[i] = d.who[x.set]
		v.Tally = v.Plus(d.tally[x.set])
	}
	v.Of = r.holder(who...)
	return v
}

// united is what has one key.
type united struct {
	first   fact.Fact
	sets    []int32
	facts   map[fact.Fact]bool
	several bool // paths
}

// Gather unites facts by key.
func (r *roll) Gather(c Ask, section string, key func(path, value string) string, worth func(most, least Tally) bool) []Gathered {
	d := r.distinct(section, c)
	found := map[string]*united{}
	keys, tallies := map[fact.Fact]string{}, map[fact.Fact]Tally{}
	for k, fs := range d.sets {
		for _, f := range fs {
			name, ok := keys[f]
			if !ok {
				name = key(f.Path, f.Value)
				keys[f] = name
			}
			if name == "" {
				continue
			}
			u := found[name]
			if u == nil {
				u = &united{first: f, facts: map[fact.Fact]bool{}}
				found[name] = u
			}
			u.take(int32(k), f)
			tallies[f] = tallies[f].Plus(d.tally[k])
		}
	}
	var out []Gathered
	for _, name := range slices.Sorted(maps.Keys(found)) {
		u := found[name]
		if u.several && !u.worth(tallies, worth) {
			continue
		}
		g := Gathered{Key: name, Path: u.first.Path, Value: u.first.Value}
		who := make([]set, len(u.sets))
		for i, k := range u.sets {
			who[i] = d.who[k]
			g.Tally = g.Plus(d.tally[k])
		}
		g.Of = r.holder(who...)
		out = append(out, g)
	}
	return out
}

func (u *united) take(set int32, f fact.Fact) {
	if n := len(u.sets); n == 0 || u.sets[n-1] != set {
		u.sets = append(u.sets, set)
	}
	u.several = u.several || f.Path != u.first.Path
	u.facts[f] = true
	if f.Path < u.first.Path || f.Path == u.first.Path && f.Value < u.first.Value {
		u.first = f
	}
}

// worth asks whether the facts may be worth to be counted together.
func (u *united) worth(tallies map[fact.Fact]Tally, worth func(most, least Tally) bool) bool {
	var most, least Tally
	for f := range u.facts {
		t := tallies[f]
		most = most.Plus(t)
		least = Tally{Broken: max(least.Broken, t.Broken), Near: max(least.Near, t.Near), Rest: max(least.Rest, t.Rest)}
	}
	return worth(most, least)
}
