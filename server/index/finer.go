package index

import (
	"encoding/binary"
	"hash/maphash"
	"maps"
	"slices"
)

// A set may stand on a base from which it differs in a hundred facts, and many sets
// may differ from it in the same: all machines of a school that is behind with its
// updates. Where that pays, a finer base is made of what these have in common. Sets
// that come later find it by what they have otherwise than the coarser one.
const (
	finerAt     = 2048 // sets of a section when finer bases are looked for, then at twice as many
	commonLeast = 24   // sets that differ from a base in the same fact
	commonPart  = 10   // or one in so many of its sets, if that is more
	maxCommon   = 4096 // facts that are remembered as such of a base
)

// finer is what a base knows of finer ones.
type finer struct {
	common map[uint32]bool   // facts that many of its sets have otherwise than it
	bases  map[uint64]uint32 // by which of these they have so already
	under  uint32            // the base that this one is finer than
	key    uint64            // and under which key
}

// refine gives a form on the finest base that has all that the form has otherwise in
// common with others.
func (c *core) refine(f form) form {
	for {
		finer, ok := c.onFiner(f)
		if !ok {
			return f
		}
		f = finer
	}
}

func (c *core) onFiner(f form) (form, bool) {
	b := c.bases[f.base]
	if len(b.finer.bases) == 0 {
		return f, false
	}
	n, ok := b.finer.bases[c.commonKey(b, f)]
	if !ok {
		return f, false
	}
	rest := func(facts []uint32) (out []uint32) {
		for _, x := range facts {
			if !b.finer.common[x] {
				out = append(out, x)
			}
		}
		return out
	}
	f.base, f.adds, f.drops = n, rest(f.adds), rest(f.drops)
	return f, true
}

// commonKey is a hash of what a form has otherwise in common with others.
func (c *core) commonKey(b *base, f form) uint64 {
	var h maphash.Hash
	h.SetSeed(c.seed)
	var buf [4]byte
	for i, facts := range [][]uint32{f.adds, f.drops} {
		_ = h.WriteByte(byte(i)) // never fails
		for _, x := range facts {
			if b.finer.common[x] {
				binary.LittleEndian.PutUint32(buf[:], x)
				_, _ = h.Write(buf[:]) // never fails
			}
		}
	}
	return h.Sum64()
}

// regroup looks for finer bases in sections that have grown much.
func (c *core) regroup() {
	for section := range c.about {
		if about := &c.about[section]; about.sets >= about.next {
			c.regroupSection(uint16(section))
			about.next = max(finerAt, 2*about.sets)
		}
	}
}

func (c *core) regroupSection(section uint16) {
	sets := map[uint32][]uint32{}
	for id := range uint32(c.sets.n) {
		if s := c.sets.at(id); s.key() != 0 && s.section == section && s.on != 0 && s.delta() != 0 {
			sets[s.base()] = append(sets[s.base()], id)
		}
	}
	for _, n := range slices.Sorted(maps.Keys(sets)) {
		if len(sets[n]) >= commonLeast {
			c.makeFiner(n, sets[n])
		}
	}
}

// makeFiner makes finer bases than one for its sets.
func (c *core) makeFiner(n uint32, sets []uint32) {
	b := c.bases[n]
	counts := map[uint32]int{}
	for _, id := range sets {
		f := c.formOf(id)
		for _, x := range f.adds {
			counts[x]++
		}
		for _, x := range f.drops {
			counts[x]++
		}
	}
	least := max(commonLeast, len(sets)/commonPart)
	if b.finer.common == nil || len(b.finer.common) > maxCommon {
		c.orphan(b)
		b.finer.common, b.finer.bases = map[uint32]bool{}, map[uint64]uint32{}
	}
	for x, count := range counts { // beside what was common before: finer bases are found by that
		if count >= least {
			b.finer.common[x] = true
		}
	}
	groups := map[uint64][]uint32{}
	for _, id := range sets {
		key := c.commonKey(b, c.formOf(id))
		groups[key] = append(groups[key], id)
	}
	b.sets++ // it stays meanwhile
	for _, key := range slices.Sorted(maps.Keys(groups)) {
		c.makeFinerOf(n, key, groups[key])
	}
	c.unpin(n)
}

// makeFinerOf makes one for sets that differ from a base in the same, if that takes
// less: a base has a list of its facts, and is in the posting of each.
func (c *core) makeFinerOf(n uint32, key uint64, sets []uint32) {
	b := c.bases[n]
	of := c.formOf(sets[0])
	f := form{base: n}
	for _, x := range of.adds {
		if b.finer.common[x] {
			f.adds = append(f.adds, x)
		}
	}
	for _, x := range of.drops {
		if b.finer.common[x] {
			f.drops = append(f.drops, x)
		}
	}
	if 2*len(sets)*f.cost() <= 3*len(b.facts) || f.cost() == 0 {
		return
	}
	m, ok := c.makeBase(b.section, c.factsOf(f))
	if !ok {
		return
	}
	b.finer.bases[key] = m
	c.bases[m].finer.under, c.bases[m].finer.key = n, key
	c.bases[m].sets++ // it stays until its sets are on it
	var moved []uint32
	for _, id := range sets {
		if was := c.formOf(id); was.base == n { // no base has taken it meanwhile
			now, _ := c.onFiner(was)
			c.move(id, now)
			moved = append(moved, id)
		}
	}
	if len(moved) >= commonLeast {
		c.makeFiner(m, moved)
	}
	c.unpin(m)
}

// unfine forgets that a base is finer than another, and that others are than it.
func (c *core) unfine(n uint32) {
	b := c.bases[n]
	if under := b.finer.under; under != 0 && c.bases[under] != nil && c.bases[under].finer.bases[b.finer.key] == n {
		delete(c.bases[under].finer.bases, b.finer.key)
	}
	c.orphan(b)
}

// orphan forgets the bases that are finer than one.
func (c *core) orphan(b *base) {
	for _, m := range b.finer.bases {
		c.bases[m].finer.under = 0
	}
	b.finer.common, b.finer.bases = nil, nil
}
