package index

import (
	"cmp"
	"runtime"
	"slices"

	"rollcall/server/compare"
)

// gathering unites facts of a section by key.
type gathering struct {
	f     *fleet
	w     *weighed
	key   func(path, value string) string
	keys  map[string]int32
	found []compare.Gathered
	about []united // of each of found
	sums  table2
	of    []int32 // by fact: the number of its key + 1
	ownOf map[ownAt]int32
}

// ownAt is a fact that a set has alone.
type ownAt struct {
	set  uint32
	path pathID
}

// united is what is known of a key before it is counted.
type united struct {
	path        pathID
	paths       bool // facts of several paths have it: a machine may have it twice
	most, least compare.Tally
	skip        bool
}

// gathered is what a base has.
type gathered struct {
	facts []int32  // by key: how many
	sum   []uint64 // of the sets on it
}

// Gather implements compare.Fleet.
func (c *Compared) Gather(ask compare.Ask, section string, key func(path, value string) string, worth func(most, least compare.Tally) bool) []compare.Gathered {
	all := c.all
	if ask.Only != nil {
		all = c.part
	}
	f := c.v.f
	n, ok := f.sectionN[section]
	if !ok || all.sections[n] == nil {
		return nil
	}
	w := all.sections[n]
	g := &gathering{f: f, w: w, key: key, keys: map[string]int32{}, of: make([]int32, f.dict.facts.n), sums: table2{k: w.k}, ownOf: map[ownAt]int32{}}
	for _, p := range f.bySect[n] {
		for row := w.first[p]; row != 0; row = w.next[row-1] {
			if sum := w.sums.at(row - 1); sum[0] != 0 {
				x := w.facts[row-1]
				text, _ := f.unpackedView(f.texts.get(f.dict.facts.at(uint32(x)).value))
				g.of[x] = g.see(p, text, holder(holdsFact, uint32(x)), sum)
			}
		}
		for _, o := range w.ownAt(p) {
			if w.ownCount[w.own[p]-1] <= w.loose {
				text, _ := f.unpacked(o.value)
				if k := g.see(p, text, holder(holdsSet, o.set), w.setSums.at(o.row)); k > 0 {
					g.ownOf[ownAt{o.set, p}] = k
				}
			}
		}
	}
	if g.several(worth) {
		g.walk()
	}
	var out []compare.Gathered
	for i, one := range g.found {
		if !g.about[i].skip {
			one.Tally = w.tally(g.sums.at(int32(i)))
			out = append(out, one)
		}
	}
	slices.SortFunc(out, func(a, b compare.Gathered) int { return cmp.Compare(a.Key, b.Key) })
	return out
}

// see gives the number of a fact's key + 1, 0 if it means nothing.
func (g *gathering) see(p pathID, text string, h compare.Holder, sum []uint64) int32 {
	path := g.f.pathView(p)
	name := g.key(path, text)
	if name == "" {
		return 0
	}
	t := g.w.tally(sum)
	k := g.keys[name]
	if k == 0 {
		g.found = append(g.found, compare.Gathered{Key: name, Path: path, Value: text})
		g.about = append(g.about, united{path: p})
		k = g.sums.add() + 1
		g.keys[name] = k
	}
	one, about := &g.found[k-1], &g.about[k-1]
	one.Of = append(one.Of, h)
	if path < one.Path || path == one.Path && text < one.Value {
		one.Path, one.Value = path, text
	}
	about.paths = about.paths || about.path != p
	about.most = compare.Tally{Broken: about.most.Broken + t.Broken, Near: about.most.Near + t.Near, Rest: about.most.Rest + t.Rest}
	about.least = compare.Tally{Broken: max(about.least.Broken, t.Broken), Near: max(about.least.Near, t.Near), Rest: max(about.least.Rest, t.Rest)}
	addTo(g.sums.at(k-1), sum)
	return k
}

// several tells whether there are keys that a machine may have twice and that are
// worth to be counted. What is at one path alone was counted when it was seen.
func (g *gathering) several(worth func(most, least compare.Tally) bool) bool {
	any := false
	for i := range g.about {
		if a := &g.about[i]; a.paths {
			if a.skip = !worth(a.most, a.least); !a.skip {
				clear(g.sums.at(int32(i)))
				any = true
			}
		}
	}
	for x, k := range g.of {
		if k > 0 && (g.about[k-1].skip || !g.about[k-1].paths) {
			g.of[x] = 0
		}
	}
	return any
}

// gatherers is how many sets each of several goroutines walks over at least.
const gatherers = 4096

// walk counts the keys that a machine may have twice, set by set.
func (g *gathering) walk() {
	n := 1 + len(g.w.sets)/gatherers
	parts := make([]*gatherer, min(n, runtime.GOMAXPROCS(0)))
	inParallel(len(parts), func(i int) {
		p := &gatherer{gathering: g, sums: table2{g.w.k, make([]uint64, len(g.sums.w))}, bases: map[uint32]*gathered{}, change: make([]int32, len(g.found))}
		for row := i * len(g.w.sets) / len(parts); row < (i+1)*len(g.w.sets)/len(parts); row++ {
			p.take(g.w.sets[row], g.w.setSums.at(int32(row)))
		}
		p.takeBases()
		parts[i] = p
	})
	for _, p := range parts {
		addTo(g.sums.w, p.sums.w)
	}
}

// gatherer walks over some of the sets.
type gatherer struct {
	*gathering
	sums    table2
	bases   map[uint32]*gathered
	change  []int32 // by key: how many facts more than its base a set has of it
	changed []int32 // keys
}

func (g *gatherer) takeBases() {
	for _, b := range g.bases {
		for k, n := range b.facts {
			if n > 0 {
				addTo(g.sums.at(int32(k)), b.sum)
			}
		}
	}
}

// take adds a set to the keys that it has: to its base, and where it has otherwise.
func (g *gatherer) take(set uint32, sum []uint64) {
	form := g.f.formOf(set)
	base := g.bases[form.base]
	if base == nil {
		base = &gathered{make([]int32, len(g.found)), make([]uint64, g.w.k)}
		for _, x := range g.f.bases[form.base].facts {
			if k := g.of[x]; k > 0 {
				base.facts[k-1]++
			}
		}
		g.bases[form.base] = base
	}
	addTo(base.sum, sum)
	for _, x := range form.adds {
		g.count(g.of[x], 1)
	}
	for _, x := range form.drops {
		g.count(g.of[x], -1)
	}
	if len(g.ownOf) > 0 {
		g.takeOwn(form.own, set)
	}
	for _, k := range g.changed {
		had := base.facts[k]
		switch has := had + g.change[k]; {
		case had > 0 && has == 0:
			takeFrom(g.sums.at(k), sum)
		case had == 0 && has > 0:
			addTo(g.sums.at(k), sum)
		}
		g.change[k] = 0
	}
	g.changed = g.changed[:0]
}

// takeOwn takes in the facts that a set has alone, where these are told.
func (g *gatherer) takeOwn(own owns, set uint32) {
	for p := range g.f.ownPaths(own) {
		if k := g.ownOf[ownAt{set, p}]; k > 0 && g.about[k-1].paths && !g.about[k-1].skip {
			g.count(k, 1)
		}
	}
}

// count notes that a set has a fact more of a key, or less.
func (g *gatherer) count(k, n int32) {
	if k == 0 {
		return
	}
	g.change[k-1] += n
	g.changed = append(g.changed, k-1)
}
