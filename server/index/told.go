package index

import (
	"maps"
	"slices"
	"strings"

	"rollcall/server/compare"
)

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
	for section, some := range w.sections {
		if some != nil {
			names[f.sections[section]] = uint16(section)
		}
	}
	var out []*compare.Section
	for _, name := range slices.Sorted(maps.Keys(names)) {
		section := names[name]
		s := &compare.Section{Name: name, Known: compare.Crowd{Tally: w.tally(w.sections[section].sum), Of: []compare.Holder{holder(holdsSection, uint32(section))}}}
		if see != nil {
			c.outlines(w.sections[section], section, s, see)
		}
		out = append(out, s)
	}
	return out, nil
}

// outlines lets see look at the columns of a section, but for those that are the same
// on all where that means nothing.
func (c *Compared) outlines(w *weighed, section uint16, s *compare.Section, see func(*compare.Section, compare.Outline)) {
	values := make([]compare.Tally, 0, 64)
	for _, p := range c.v.f.inOrder(section).paths {
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
				for n := w.owned[at-1]; n != 0; n = w.ownSets[n-1].next {
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
func (c *Compared) Columns(ask compare.Ask, _ *compare.Section, columns []int) []compare.Column {
	w := c.all
	if ask.Only != nil {
		w = c.part
	}
	n := len(columns)
	for _, p := range columns {
		n += w.of(c.v.f, pathID(p)).told(pathID(p))
	}
	t := &telling{c: c, values: make([]compare.Value, 0, n), holders: make([]compare.Holder, 0, n)}
	out := make([]compare.Column, len(columns))
	for i, p := range columns {
		t.w = w.of(c.v.f, pathID(p))
		t.column(&out[i], pathID(p))
	}
	return out
}

// order is the paths of a section in order, and of those of packages where the source
// of each stands.
type order struct {
	paths   []pathID
	sources map[pathID]pathID
}

// inOrder gives the paths of a section in order. The order is remembered: paths only
// ever come.
func (d *dict) inOrder(section uint16) *order {
	d.pmu.Lock()
	defer d.pmu.Unlock()
	if d.ordered == nil {
		d.ordered = map[uint16]*order{}
	}
	if all := d.ordered[section]; all != nil && len(all.paths) == len(d.bySect[section]) {
		return all
	}
	all := &order{paths: slices.Clone(d.bySect[section])}
	slices.SortFunc(all.paths, func(a, b pathID) int { return strings.Compare(d.pathView(a), d.pathView(b)) })
	if d.sections[section] == "pkg" {
		all.findSources(d)
	}
	d.ordered[section] = all
	return all
}

// findSources finds the source of each package: it comes first of all about it.
func (o *order) findSources(d *dict) {
	o.sources = make(map[pathID]pathID, len(o.paths))
	folder, source := "", pathID(0)
	for _, p := range o.paths {
		path := d.pathView(p)
		if at, ok := strings.CutSuffix(path, "source"); ok {
			folder, source = at, p
		} else if folder != "" && strings.HasPrefix(path, folder) {
			o.sources[p] = source
		}
	}
}

// Source implements compare.Fleet.
func (c *Compared) Source(n int) (int, bool) {
	f := c.v.f
	p, ok := f.inOrder(f.paths.at(uint32(n)).section).sources[pathID(n)]
	return int(p), ok
}

// telling tells columns. What it tells of all of them stands in two arrays.
type telling struct {
	c       *Compared
	w       *weighed
	lazy    bool // texts are not told
	values  []compare.Value
	holders []compare.Holder
}

// told is how many values of a path are told.
func (w *weighed) told(p pathID) (n int) {
	for row := w.first[p]; row != 0; row = w.next[row-1] {
		if w.sums.at(row - 1)[0] != 0 {
			n++
		}
	}
	if at := w.own[p]; at != 0 && w.ownCount[at-1] <= w.loose {
		n += w.ownCount[at-1]
	}
	return n
}

// column tells what stands at a path.
func (t *telling) column(col *compare.Column, p pathID) {
	w, f := t.w, t.c.v.f
	col.Path = f.pathView(p)
	from, own := len(t.values), len(t.holders)
	t.lazy = w.told(p) > w.loose
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
		for n := w.owned[at-1]; n != 0; n = w.ownSets[n-1].next {
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
