package index

import (
	"bytes"
	"cmp"
	"slices"
	"strings"

	"rollcall/server/compare"
)

// Compared puts the CIs of two groups in order, those of the scope that have
// reported. Nobody may be in both. read gives what a CI has at a path where the index knows only a
// hash.
func (v View) Compared(broken, working Bits, read func(id, path string) (string, bool, error)) *Compared {
	c := &Compared{v: v, read: read, masked: maskedFleet, number: make([]int32, v.f.slots), onBase: map[uint32][]uint64{}}
	type stand struct {
		slot   uint32
		site   int32 // number of it, then its rank
		broken bool
	}
	var sites []Fact
	numbers, last := map[Fact]int32{}, int32(0)
	numbered := func(x Fact) int32 {
		if len(sites) > 0 && sites[last] == x { // as it mostly is
			return last
		}
		n, ok := numbers[x]
		if !ok {
			n = int32(len(sites))
			sites, numbers[x] = append(sites, x), n
		}
		last = n
		return n
	}
	all := make([]stand, 0, broken.Count()+working.Count())
	site := v.siteOf(cap(all))
	for n, group := range [...]Bits{broken.Clone(), working.Clone()} {
		group.And(v.visible)
		for slot := range group.Slots() {
			if len(v.f.lists.get(v.f.cis.at(slot).sets)) > 1 { // beside the head
				all = append(all, stand{slot: slot, broken: n == 0, site: numbered(site(slot))})
			}
		}
	}
	rank := v.rankSites(sites)
	for i := range all {
		all[i].site = rank[all[i].site]
	}
	all = bySite(all, func(s stand) int { return int(s.site) }, len(rank))
	if len(all) <= sortedByID {
		slices.SortStableFunc(all, func(a, b stand) int {
			if n := cmp.Compare(a.site, b.site); n != 0 {
				return n
			}
			if a.broken != b.broken {
				return map[bool]int{true: -1, false: 1}[a.broken]
			}
			x, y := v.f.cis.at(a.slot).id, v.f.cis.at(b.slot).id
			return bytes.Compare(x[:], y[:])
		})
	}
	for i := range c.number {
		c.number[i] = -1
	}
	c.slots, c.places = make([]uint32, len(all)), make([]compare.Place, len(all))
	for i, s := range all {
		c.slots[i], c.number[s.slot] = s.slot, int32(i)
		c.places[i] = compare.Place{Site: int(s.site), Broken: s.broken}
	}
	return c
}

// noFact is the site of CIs without one, and of such as are the only ones there.
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

// siteOf gives what tells where a CI is. For many of them it looks at each site
// instead of at each CI.
func (v View) siteOf(many int) func(slot uint32) Fact {
	f := v.f
	path, ok := f.lookup(headPrefix + "site")
	if !ok {
		return func(uint32) Fact { return noFact }
	}
	if many <= sortedByID {
		return func(slot uint32) Fact {
			x, ok := f.find(f.formOf(f.lists.get(f.cis.at(slot).sets)[0]), path)
			if !ok || x.own != nil {
				return noFact
			}
			return x.x
		}
	}
	site := make([]Fact, f.slots)
	for i := range site {
		site[i] = noFact
	}
	f.eachSource(path, true, func(x Fact, base uint32) {
		for slot := range f.bases[base].slots.bits.Slots() {
			site[slot] = x
		}
		for _, slot := range f.bases[base].slots.list {
			site[slot] = x
		}
	})
	var one, two [1]uint32
	for x := range f.ofPath(path) { // sets that have it not though their base has
		for _, set := range f.lists.slimGet(f.lacks[uint32(x)], &one) {
			for _, slot := range f.lists.slimGet(f.sets.at(set).members, &two) {
				site[slot] = noFact
			}
		}
	}
	f.eachSource(path, false, func(x Fact, set uint32) {
		for _, slot := range f.lists.slimGet(f.sets.at(set).members, &two) {
			site[slot] = x
		}
	})
	return func(slot uint32) Fact { return site[slot] }
}

// eachSource calls do with each fact of a path and the bases, or the sets, that have it.
func (f *fleet) eachSource(path pathID, bases bool, do func(x Fact, source uint32)) {
	var one [1]uint32
	for x := range f.ofPath(path) {
		for _, source := range f.lists.slimGet(f.dict.facts.at(uint32(x)).has, &one) {
			if source&1 == 1 == bases {
				do(x, source>>1)
			}
		}
	}
}

// rankSites gives the place of each site in the order of their names; those without
// one come first.
func (v View) rankSites(sites []Fact) []int32 {
	order, names := make([]int, len(sites)), make([]string, len(sites))
	for i, x := range sites {
		if order[i] = i; x != noFact {
			names[i], _ = v.f.value(x)
		}
	}
	slices.SortFunc(order, func(a, b int) int {
		return cmp.Or(strings.Compare(names[a], names[b]), cmp.Compare(sites[b], sites[a]))
	})
	rank := make([]int32, len(sites))
	for n, i := range order {
		rank[i] = int32(n)
	}
	return rank
}
