package compare

import (
	"cmp"
	"slices"
)

// mostColumns is how many columns of a large field are looked into: those whose
// values could set the groups apart best, whatever they mean.
const mostColumns = 800

// sieve chooses from the counts alone the columns that are looked into. Most of them
// are the same on nearly all machines, and to tell what they hold takes longest.
type sieve struct {
	t      *table
	s      *Section // that is being counted
	known  Tally    // machines that tell what stands in it
	domain int      // column that is always looked into; -1: there is none
	all    bool     // all are: other columns add to them
	none   bool     // only those are that are various: the facts of the section are gathered
	wanted map[*Section][]int
	hopes  []hope
	same   map[[2]uint64]float64 // hopes by whom the values are of: many columns differ between the same machines
}

// hope is the most evidence that a column can have.
type hope struct {
	s      *Section
	column int
	hope   float64
}

func (v *sieve) turn(s *Section) {
	v.s, v.known, v.domain = s, s.Known.Tally, -1
	if !slices.Contains(always, s.Name) {
		v.known = v.t.f.whole
	}
	v.all, v.none = s.Name == "os", s.Name == "hw" || s.Name == "net"
	if s.Name == "id" {
		if n, ok := v.t.f.fleet.Column(domainPath); ok {
			v.domain = n
		}
	}
}

// see looks at one column.
func (v *sieve) see(s *Section, o Outline) {
	if s != v.s {
		v.turn(s)
	}
	switch {
	case o.Various, v.all, o.Column == v.domain:
		v.wanted[s] = append(v.wanted[s], o.Column)
	case v.none, len(o.Values) == 1 && o.Present.Sum == v.known.Sum, v.alike(o):
	case !v.t.f.large:
		v.wanted[s] = append(v.wanted[s], o.Column)
	default:
		v.hopeFor(o)
	}
}

// alike tells whether all machines but so few are alike that nothing about the
// column is an attribute.
func (v *sieve) alike(o Outline) bool {
	all := v.known.count()
	most := all - o.Present.count()
	for _, t := range o.Values {
		most = max(most, t.count())
	}
	return all-most < v.t.least
}

// hopeFor counts the values of a column of a large field, and notes it if it may set
// the groups apart.
func (v *sieve) hopeFor(o Outline) {
	for _, t := range o.Values {
		if n := t.count(); min(n, v.known.count()-n) >= v.t.least {
			v.t.counts[patternKey{min(t.Sum, v.known.Sum-t.Sum), v.known.Sum}] = true
		}
	}
	key := [2]uint64{v.known.Sum, uint64(len(o.Values))}
	for _, t := range o.Values {
		key[1] += (t.Sum ^ t.Sum>>31) * 0x9e3779b97f4a7c15
	}
	best, ok := v.same[key]
	if !ok {
		best = v.t.f.bestUnion(o.Values, v.known)
		v.same[key] = best
	}
	if best > 0 {
		v.hopes = append(v.hopes, hope{v.s, o.Column, best})
	}
}

// best keeps of the columns of a large field those that could set the groups apart
// best. The others are only counted.
func (v *sieve) best() {
	slices.SortStableFunc(v.hopes, func(a, b hope) int { return cmp.Compare(b.hope, a.hope) })
	for _, h := range v.hopes[:min(len(v.hopes), mostColumns)] {
		v.wanted[h.s] = append(v.wanted[h.s], h.column)
	}
}

// judged is how many patterns were judged, those included that were only counted.
func (t *table) judged() int {
	n := len(t.patterns)
	for key := range t.counts {
		if t.patterns[key] == nil {
			n++
		}
	}
	return n
}

// read counts the sections of all machines, and lets the columns be told that are
// looked into.
func (t *table) read() error {
	v := &sieve{t: t, wanted: map[*Section][]int{}, same: map[[2]uint64]float64{}}
	all, err := t.f.fleet.Sections(t.counted(false), v.see)
	if err != nil {
		return err
	}
	v.best()
	t.sections = map[string]*section{}
	for _, x := range all {
		s := t.section(x, t.f.whole, nil)
		if missing := t.f.whole.count() - x.Known.count(); missing > 0 && s.known.Sum == x.Known.Sum {
			t.unread[x.Name] = missing
		}
		s.Columns = t.columns(s, t.counted(false), v.wanted[x])
		t.sections[x.Name] = s
	}
	return nil
}

// section gives a section with the machines that are known to have something or not:
// those of which it was reported or, where that means nothing, everybody of the whole.
func (t *table) section(x *Section, whole Tally, within set) *section {
	s := &section{Section: x, known: &known{Crowd: x.Known, within: within}}
	if whole.count() > x.Known.count() && !slices.Contains(always, x.Name) {
		s.known = t.everybody(within)
	}
	return s
}

// withSources adds the columns that tell which source packages are of.
func (t *table) withSources(wanted []int) []int {
	told := make(map[int]bool, 2*len(wanted))
	for _, n := range wanted {
		told[n] = true
	}
	for _, n := range wanted {
		if source, ok := t.f.fleet.Source(n); ok && !told[source] {
			told[source] = true
			wanted = append(wanted, source)
		}
	}
	return wanted
}

// columns lets columns of a section be told, and of packages also which source each
// is of: they are grouped by it.
func (t *table) columns(s *section, c Ask, wanted []int) []Column {
	if s.Name == "pkg" {
		wanted = t.withSources(wanted)
	}
	out := t.f.fleet.Columns(c, s.Section, wanted)
	out = slices.DeleteFunc(out, func(c Column) bool { return len(c.Present.Of) == 0 })
	slices.SortFunc(out, func(a, b Column) int { return cmp.Compare(a.Path, b.Path) })
	for i := range out {
		one := &out[i]
		one.Constant = len(one.Values) == 1 && !one.Various && one.Present.Sum == s.known.Sum
	}
	return out
}

// ofSample gives a section of the sample of a large field.
func (t *table) ofSample(name string) *section {
	if t.sample == nil {
		var whole Tally
		within := t.f.all.blank()
		for _, i := range t.f.sample {
			whole = whole.Plus(t.f.weights[i])
			within.add(i)
		}
		t.sample = map[string]*section{}
		all, err := t.f.fleet.Sections(t.counted(true), nil)
		t.err = cmp.Or(t.err, err)
		for _, x := range all {
			t.sample[x.Name] = t.section(x, whole, within)
			t.sample[x.Name].cols = map[string]*Column{}
		}
	}
	return t.sample[name]
}

// sampleAt gives what stands at a path on the sample, nil if it is nothing.
func (t *table) sampleAt(s *section, path string) *Column {
	if s == nil {
		return nil
	}
	c, ok := s.cols[path]
	if ok {
		return c
	}
	if n, ok := t.f.fleet.Column(path); ok {
		if told := t.columns(s, t.counted(true), []int{n}); len(told) > 0 {
			c = &told[0]
		}
	}
	s.cols[path] = c
	return c
}
