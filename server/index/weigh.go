package index

import (
	"bytes"

	"rollcall/server/compare"
)

// weighing adds up a weight of each of some CIs over all who have a fact. It walks
// over the distinct sets of the CIs: what a base holds is added up once for all sets
// that are on it.
//
// A weight is some words: how many broken, near and other machines, packed; a random
// number; and, where the machines are few, a bit for each of them. All of these may
// be added and subtracted like numbers.
type weighing struct {
	k         int
	loose     int
	lazy      bool
	everybody compare.Tally

	rows  []int32 // by fact: its row + 1
	facts []Fact  // of each row
	sums  table2
	first []int32 // by path: a row + 1
	next  []int32 // of each row: another one of the same path + 1

	sets     []uint32 // in the order of their rows
	setSums  table2
	sections map[uint16][]uint64

	own      []int32 // by path: a row + 1 of those below
	ownSums  table2
	ownCount []int
	owned    []ownSet // of each row, as far as they are told: the last one
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
	t.w = append(t.w, make([]uint64, t.k)...)
	return int32(len(t.w)/t.k - 1)
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
	w := &weighing{k: sumWords, loose: ask.Loose, lazy: ask.Lazy, sections: map[uint16][]uint64{}}
	if len(c.slots) <= c.masked {
		w.k += (len(c.slots) + 63) / 64
	}
	w.sums.k, w.setSums.k, w.ownSums.k = w.k, w.k, w.k
	w.rows, w.first, w.own = make([]int32, f.dict.facts.n), make([]int32, f.paths.n), make([]int32, f.paths.n)
	c.weighSets(w, ask)
	bases := map[uint32][]uint64{}
	for row, set := range w.sets {
		sum := w.setSums.at(int32(row))
		s := f.sets.at(set)
		if w.sections[s.section] == nil {
			w.sections[s.section] = make([]uint64, w.k)
		}
		addTo(w.sections[s.section], sum)
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
	return w
}

// same tells whether all have one value at a path.
func (w *weighing) same(p pathID) bool {
	row := w.first[p]
	return row != 0 && w.next[row-1] == 0 && w.own[p] == 0 && w.sums.at(row - 1)[1] == w.everybody.Sum
}

// sumOf gives the sum of a fact, which it has from now on.
func (w *weighing) sumOf(f *fleet, x uint32) []uint64 {
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

// weighSets adds up the weights of the machines that have each set.
func (c *Compared) weighSets(w *weighing, ask compare.Ask) {
	f := c.v.f
	few := len(ask.Only)
	if ask.Only == nil {
		few = len(c.slots)
	}
	at := map[uint32]int32{}
	var rows []int32
	if few > maskedFleet {
		rows = make([]int32, f.sets.n)
	}
	weight := make([]uint64, w.k)
	take := func(i int) {
		t := ask.Weights[i]
		w.everybody.Broken, w.everybody.Near, w.everybody.Rest = w.everybody.Broken+t.Broken, w.everybody.Near+t.Near, w.everybody.Rest+t.Rest
		w.everybody.Sum += t.Sum
		weight[0], weight[1] = uint64(t.Broken)|uint64(t.Near)<<countBits|uint64(t.Rest)<<(2*countBits), t.Sum
		if w.k > sumWords {
			clear(weight[sumWords:])
			weight[sumWords+i/64] = 1 << (i % 64)
		}
		for _, set := range f.lists.get(f.cis.at(c.slots[i]).sets)[1:] { // without the head
			row := at[set]
			if rows != nil {
				row = rows[set]
			}
			if row == 0 {
				row = w.setSums.add() + 1
				w.sets = append(w.sets, set)
				if rows != nil {
					rows[set] = row
				} else {
					at[set] = row
				}
			}
			addTo(w.setSums.at(row-1), weight)
		}
	}
	if ask.Only == nil {
		for i := range c.slots {
			take(i)
		}
	}
	for _, i := range ask.Only {
		take(i)
	}
}

// takeOwn takes in the facts that a set has alone.
func (w *weighing) takeOwn(f *fleet, own owns, set uint32, row int32, sum []uint64) {
	for o := range f.ownFacts(own) {
		at := w.own[o.path]
		if at == 0 {
			at = w.ownSums.add() + 1
			w.own[o.path] = at
			w.ownCount, w.owned = append(w.ownCount, 0), append(w.owned, ownSet{})
		}
		addTo(w.ownSums.at(at-1), sum)
		if w.ownCount[at-1]++; w.ownCount[at-1] > w.loose {
			continue
		}
		w.ownSets = append(w.ownSets, ownSet{set, row, bytes.Clone(o.value), w.owned[at-1].next})
		w.owned[at-1].next = int32(len(w.ownSets))
	}
}

// ownAt gives the facts at a path that one set alone has, as far as they are told.
func (w *weighing) ownAt(p pathID) (all []ownSet) {
	if w.own[p] == 0 {
		return nil
	}
	for n := w.owned[w.own[p]-1].next; n != 0; n = w.ownSets[n-1].next {
		all = append(all, w.ownSets[n-1])
	}
	return all
}
