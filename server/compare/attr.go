package compare

import (
	"cmp"
	"context"
	"maps"
	"slices"

	"rollcall/internal/fact"
)

// Kind says what sort of thing a row or an attribute is about.
type Kind string

// The kinds of rows. Both and Either are pairs of other rows.
const (
	Package  Kind = "package"
	File     Kind = "file"
	Hardware Kind = "hardware"
	Module   Kind = "module"
	Kernel   Kind = "kernel"
	Setting  Kind = "setting"
	Both     Kind = "both"
	Either   Kind = "either"
)

// attr is something that a machine has or lacks.
type attr struct {
	kind    Kind
	object  string   // what it is about; a weaker attribute of the same object needs no row of its own
	ids     []string // stable ids, the first one is the one to show
	path    string   // the fact it was seen in
	yes, no string   // in words, of machines that have it and that lack it
	prior   float64  // how likely such a thing is to matter at all; 1 is usual
	detail  bool     // follows from what else is said, or says less than it
	// holds tells whether a machine had it while the fact at path was p.
	holds         func(machine int, p Past) bool
	member, known set
}

// table collects the attributes of a field.
type table struct {
	f      *field
	attrs  []*attr
	least  int // an attribute of fewer machines can explain nothing
	reader *reader
	unread map[string]int // sections and how many machines have none
}

func newTable(f *field) *table {
	least := 1
	if n := f.broken.count(); n > 3 {
		least = max(2, n*15/100)
	}
	return &table{f: f, least: least, unread: map[string]int{}}
}

// add keeps the attribute if it sets enough machines apart.
func (t *table) add(a *attr) {
	n := a.member.count()
	if min(n, a.known.count()-n) < t.least {
		return
	}
	if a.prior == 0 {
		a.prior = 1
	}
	t.attrs = append(t.attrs, a)
}

// column is what one path holds on the machines that are known. As long as every
// set has had the same value, it is only counted: most columns of many machines
// are constant.
type column struct {
	path     string
	first    string
	same     int    // sets 0 to same-1 have the value first
	cells    []cell // by distinct set, once they differ
	constant bool   // the same value on every machine
}

func (c *column) add(set int, value string) {
	switch {
	case c.cells == nil && c.same == set && (set == 0 || value == c.first):
		c.first = value
		c.same++
	default:
		c.cells = append(c.all(), cell{set, value})
	}
}

// all returns the value of each distinct set that has one.
func (c *column) all() []cell {
	if c.cells == nil {
		for i := range c.same {
			c.cells = append(c.cells, cell{i, c.first})
		}
	}
	return c.cells
}

type cell struct {
	set   int // number of the distinct set
	value string
}

// section is one section of all machines, with identical sets looked at once.
type section struct {
	name  string
	known set
	who   []set // machines of each distinct set
	cols  map[string]*column
}

// value is one value of a column and the machines that have it.
type value struct {
	text string
	who  set
}

// observe turns the facts of all machines into attributes, section by section.
func (t *table) observe(ctx context.Context, g Groups) error {
	t.reader = newReader(t.f, g.Contents)
	names := map[string]bool{}
	for _, m := range t.f.machines {
		for name := range m.Sections {
			names[name] = true
		}
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if err := ctx.Err(); err != nil {
			return err
		}
		s := t.section(name)
		switch name {
		case "pkg":
			t.packages(s)
		case "etc":
			t.files(ctx, s)
		case "hw":
			t.hardware(s)
		case "net":
			t.network(s)
		case "module":
			t.modules(s)
		case "os":
			t.system(s)
		case "setting":
			t.openSettings(s)
		default:
			t.plain(s)
		}
	}
	return ctx.Err()
}

// always are the sections in which every machine has facts: without any, they
// were not looked at. In all others, no facts means that there is nothing.
var always = []string{"etc", "fs", "group", "hw", "id", "module", "net", "os", "pkg", "setting", "user"}

func (t *table) section(name string) *section {
	n := len(t.f.machines)
	s := &section{name: name, known: newSet(n), cols: map[string]*column{}}
	type identity struct {
		first *fact.Fact
		n     int
	}
	number := map[identity]int{}
	for i, m := range t.f.machines {
		fs, ok := m.Sections[name]
		if !ok && slices.Contains(always, name) {
			t.unread[name]++
			continue
		}
		s.known.add(i)
		var id identity
		if len(fs) > 0 {
			id = identity{&fs[0], len(fs)}
		}
		k, seen := number[id]
		if !seen {
			k = len(s.who)
			number[id] = k
			s.who = append(s.who, newSet(n))
			s.fill(k, fs)
		}
		s.who[k].add(i)
	}
	for _, c := range s.cols {
		c.constant = c.cells == nil && c.same == len(s.who)
	}
	return s
}

func (s *section) fill(k int, fs fact.Set) {
	for _, f := range fs {
		c := s.cols[f.Path]
		if c == nil {
			c = &column{path: f.Path}
			s.cols[f.Path] = c
		}
		c.add(k, f.Value)
	}
}

// paths returns the paths of the section in order.
func (s *section) paths() []string { return slices.Sorted(maps.Keys(s.cols)) }

// values returns the distinct values of a column in order, and who has any.
func (s *section) values(c *column) (vs []value, present set) {
	present = s.known.blank()
	at := map[string]int{}
	for _, x := range c.all() {
		i, ok := at[x.value]
		if !ok {
			i = len(vs)
			at[x.value] = i
			vs = append(vs, value{x.value, s.known.blank()})
		}
		vs[i].who = vs[i].who.or(s.who[x.set])
		present = present.or(s.who[x.set])
	}
	slices.SortFunc(vs, func(a, b value) int { return cmp.Compare(a.text, b.text) })
	return vs, present
}

// gather adds up tokens that may be seen at several paths, such as a PCI device
// at any address: each distinct key becomes one attribute.
type gather struct {
	t    *table
	s    *section
	seen map[string]*attr
	keys []string
}

func (t *table) gather(s *section) *gather { return &gather{t: t, s: s, seen: map[string]*attr{}} }

func (g *gather) see(key string, who set, make func() *attr) {
	a := g.seen[key]
	if a == nil {
		a = make()
		a.known, a.member = g.s.known, g.s.known.blank()
		g.seen[key] = a
		g.keys = append(g.keys, key)
	}
	a.member = a.member.or(who)
}

func (g *gather) done() {
	for _, k := range g.keys {
		g.t.add(g.seen[k])
	}
}
