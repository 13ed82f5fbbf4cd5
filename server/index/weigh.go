package index

import (
	"bytes"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"rollcall/server/compare"
)

// weighing adds up a weight of each of some CIs over all who have a fact. It walks
// over the distinct sets of the CIs: what a base holds is added up once for all sets
// that are on it. Sections share nothing, so that several are walked over at once.
//
// A weight is some words: how many broken, near and other machines, packed; a random
// number; and, where the machines are few, a bit for each of them. All of these may
// be added and subtracted like numbers.
type weighing struct {
	k         int
	loose     int
	everybody compare.Tally
	sections  []*weighed // by section; nil: nobody has any

	rows  []int32 // by fact: its row + 1 in its section
	first []int32 // by path: a row + 1
	own   []int32 // by path: a row + 1 of what one set alone has
}

// weighed is one section.
type weighed struct {
	*weighing
	sum []uint64 // of all who have any of it

	facts []Fact // of each row
	sums  table2
	next  []int32 // of each row: another one of the same path + 1

	sets    []uint32 // in the order of their rows
	setSums table2

	ownSums  table2
	ownCount []int
	owned    []int32 // of each row, as far as they are told: the last one of ownSets + 1
	ownSets  []ownSet
}

// ownSet is a fact that one set alone has.
type ownSet struct {
	set   uint32
	row   int32 // of the set
	value []byte
	next  int32 // another one of the same path + 1
}

// table2 is rows of k words.
type table2 struct {
	k int
	w []uint64
}

func (t *table2) at(row int32) []uint64 {
	return t.w[int(row)*t.k : (int(row)+1)*t.k : (int(row)+1)*t.k]
}

func (t *table2) add() int32 {
	n := len(t.w)
	t.w = slices.Grow(t.w, t.k)[:n+t.k]
	clear(t.w[n:])
	return int32(n / t.k)
}

func addTo(sum, w []uint64) {
	for i := range sum {
		sum[i] += w[i]
	}
}

func takeFrom(sum, w []uint64) {
	for i := range sum {
		sum[i] -= w[i]
	}
}

// Words of a weight before the bits of machines; counts of 21 bits share the first.
const (
	sumWords  = 2
	countBits = 21
	countMask = 1<<countBits - 1
)

// maskedFleet is up to how many machines each has a bit in the weights.
const maskedFleet = 512

func (w *weighing) masks() int { return w.k - sumWords }

func (w *weighing) tally(sum []uint64) compare.Tally {
	n := sum[0]
	return compare.Tally{Broken: int(n & countMask), Near: int(n >> countBits & countMask), Rest: int(n >> (2 * countBits)), Sum: sum[1]}
}

// weigh weighs the machines that are asked about.
func (c *Compared) weigh(ask compare.Ask) *weighing {
	f := c.v.f
	w := &weighing{k: sumWords, loose: ask.Loose, sections: make([]*weighed, len(f.dict.sections))}
	if len(c.slots) <= c.masked {
		w.k += (len(c.slots) + 63) / 64
	}
	w.rows, w.first, w.own = make([]int32, f.dict.facts.n), make([]int32, f.paths.n), make([]int32, f.paths.n)
	c.weighSets(w, ask)
	all := slices.DeleteFunc(slices.Clone(w.sections), func(s *weighed) bool { return s == nil })
	slices.SortFunc(all, func(a, b *weighed) int { return len(b.sets) - len(a.sets) })
	inParallel(len(all), func(i int) { all[i].walk(f) })
	return w
}

// inParallel calls do with 0 to n-1, on as many processors as there are.
func inParallel(n int, do func(int)) {
	var next atomic.Int32
	var all sync.WaitGroup
	for range min(n, runtime.GOMAXPROCS(0)) {
		all.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				do(i)
			}
		})
	}
	all.Wait()
}

// walk adds up what the sets of a section hold.
func (w *weighed) walk(f *fleet) {
	bases := map[uint32][]uint64{}
	for row, set := range w.sets {
		sum := w.setSums.at(int32(row))
		addTo(w.sum, sum)
		form := f.formOf(set)
		for _, x := range form.adds {
			addTo(w.sumOf(f, x), sum)
		}
		for _, x := range form.drops {
			takeFrom(w.sumOf(f, x), sum)
		}
		if form.base != 0 {
			if bases[form.base] == nil {
				bases[form.base] = make([]uint64, w.k)
			}
			addTo(bases[form.base], sum)
		}
		if len(form.own) > 0 {
			w.takeOwn(f, form.own, set, int32(row), sum)
		}
	}
	for base, sum := range bases {
		for _, x := range f.bases[base].facts {
			addTo(w.sumOf(f, x), sum)
		}
	}
}

// same tells whether all have one value at a path.
func (w *weighed) same(p pathID) bool {
	row := w.first[p]
	return row != 0 && w.next[row-1] == 0 && w.own[p] == 0 && w.sums.at(row - 1)[1] == w.everybody.Sum
}

// sumOf gives the sum of a fact, which it has from now on.
func (w *weighed) sumOf(f *fleet, x uint32) []uint64 {
	row := w.rows[x]
	if row == 0 {
		row = w.sums.add() + 1
		w.rows[x] = row
		p := f.pathOf(x)
		w.facts, w.next = append(w.facts, Fact(x)), append(w.next, w.first[p])
		w.first[p] = row
	}
	return w.sums.at(row - 1)
}

// weighSets adds up the weights of the machines that have each set: machine by
// machine or, where they are many, set by set.
func (c *Compared) weighSets(w *weighing, ask compare.Ask) {
	asked := ask.Only
	if asked == nil {
		if w.masks() == 0 && 2*len(c.slots) > c.v.f.cis.n-len(c.v.f.free) {
			c.weighAllSets(w, ask.Weights)
			return
		}
		asked = make([]int, len(c.slots))
		for i := range asked {
			asked[i] = i
		}
	}
	f, rows, weight := c.v.f, map[uint32]int32{}, make([]uint64, w.k)
	for _, i := range asked {
		w.everybody = w.everybody.Plus(ask.Weights[i])
		weight[0], weight[1] = packed(ask.Weights[i])
		if w.masks() > 0 {
			clear(weight[sumWords:])
			weight[sumWords+i/64] = 1 << (i % 64)
		}
		for _, set := range f.lists.get(f.cis.at(c.slots[i]).sets)[1:] { // without the head
			s := w.section(f.sets.at(set).section)
			row := rows[set]
			if row == 0 {
				row = s.addSet(set) + 1
				rows[set] = row
			}
			addTo(s.setSums.at(row-1), weight)
		}
	}
}

// packed gives the first words of a weight.
func packed(t compare.Tally) (counts, sum uint64) {
	return uint64(t.Broken) | uint64(t.Near)<<countBits | uint64(t.Rest)<<(2*countBits), t.Sum
}

func (w *weighing) section(n uint16) *weighed {
	if w.sections[n] == nil {
		w.sections[n] = &weighed{weighing: w, sum: make([]uint64, w.k), sums: table2{k: w.k}, setSums: table2{k: w.k}, ownSums: table2{k: w.k}}
	}
	return w.sections[n]
}

func (w *weighed) addSet(set uint32) int32 {
	w.sets = append(w.sets, set)
	return w.setSums.add()
}

// weighAllSets goes through all sets that there are, which lie in memory one after
// the other, and so do most machines that have them.
func (c *Compared) weighAllSets(w *weighing, weights []compare.Tally) {
	f := c.v.f
	bySlot := make([][sumWords]uint64, f.slots)
	for i, slot := range c.slots {
		w.everybody = w.everybody.Plus(weights[i])
		bySlot[slot][0], bySlot[slot][1] = packed(weights[i])
	}
	parts := make([]*weighing, runtime.GOMAXPROCS(0))
	inParallel(len(parts), func(n int) {
		part := &weighing{k: w.k, sections: make([]*weighed, len(w.sections))}
		parts[n] = part
		head := f.sectionN[headSection]
		var one [1]uint32
		var sum [sumWords]uint64
		for set := uint32(n * f.sets.n / len(parts)); set < uint32((n+1)*f.sets.n/len(parts)); set++ {
			rec := f.sets.at(set)
			if rec.members == 0 || rec.section == head {
				continue
			}
			clear(sum[:])
			for _, slot := range f.lists.slimGet(rec.members, &one) {
				addTo(sum[:], bySlot[slot][:])
			}
			if sum[0] != 0 {
				s := part.section(rec.section)
				copy(s.setSums.at(s.addSet(set)), sum[:])
			}
		}
	})
	for section := range w.sections {
		for _, part := range parts {
			if s := part.sections[section]; s != nil {
				all := w.section(uint16(section))
				all.sets, all.setSums.w = append(all.sets, s.sets...), append(all.setSums.w, s.setSums.w...)
			}
		}
		if s := w.sections[section]; s != nil { // as much is to be expected as there is
			paths := len(f.bySect[section])
			s.facts, s.next, s.sums.w = make([]Fact, 0, paths), make([]int32, 0, paths), make([]uint64, 0, w.k*paths)
		}
	}
}

// takeOwn takes in the facts that a set has alone.
func (w *weighed) takeOwn(f *fleet, own owns, set uint32, row int32, sum []uint64) {
	told := false
	for p := range f.ownPaths(own) {
		at := w.own[p]
		if at == 0 {
			at = w.ownSums.add() + 1
			w.own[p] = at
			w.ownCount, w.owned = append(w.ownCount, 0), append(w.owned, 0)
		}
		addTo(w.ownSums.at(at-1), sum)
		w.ownCount[at-1]++
		told = told || w.ownCount[at-1] <= w.loose
	}
	if !told {
		return
	}
	for o := range f.ownFacts(own) {
		if at := w.own[o.path] - 1; w.ownCount[at] <= w.loose {
			w.ownSets = append(w.ownSets, ownSet{set, row, bytes.Clone(o.value), w.owned[at]})
			w.owned[at] = int32(len(w.ownSets))
		}
	}
}

// ownAt gives the facts at a path that one set alone has, as far as they are told.
func (w *weighed) ownAt(p pathID) (all []ownSet) {
	if w.own[p] == 0 {
		return nil
	}
	for n := w.owned[w.own[p]-1]; n != 0; n = w.ownSets[n-1].next {
		all = append(all, w.ownSets[n-1])
	}
	return all
}

// of gives what was weighed of the section of a path, nil if nobody has any of it.
func (w *weighing) of(f *fleet, p pathID) *weighed { return w.sections[f.paths.at(uint32(p)).section] }
