package index

import (
	"hash/maphash"
	"slices"
)

// core is the state of all CIs: for each the sets that it has, one a section and
// one of what its head says. Equal sets are kept once, and each as what is added
// to and dropped from a base, which is what several similar sets have in common.
//
// Who has a fact is known by its sources: bases that hold it and sets that add it
// to theirs; and, for facts of bases, by the sets that drop it.
type core struct {
	*dict
	lists *lists
	sets  column[setRec]
	bases []*base // nil: free; 0 is the empty base
	lacks map[uint32]slim
	byKey table
	about []sectionRec // by section

	freeSets  []uint32
	freeBases []uint32
	slots     int // of CIs, free ones included
}

// setRec is one set of facts. Its number is a source with sourceSet.
type setRec struct {
	key     uint64 // hash of the digest; 0: free
	base    uint32
	delta   listRef // number of adds, adds, drops; both in the order of paths
	members slim    // slots of the CIs that have it
	section uint16
}

// base is what similar sets have in common.
type base struct {
	section uint16
	facts   []uint32 // in the order of paths
	slots   extent   // of the CIs whose set is on this base
	sets    int
}

// sectionRec is what is known about the sets of a section.
type sectionRec struct {
	bases []uint32 // the one that fitted last comes first
	lone  []uint32 // sets that fit none, of which the next base may be made
}

// Sources: sets and bases share one space of numbers.
func sourceSet(set uint32) uint32   { return set << 1 }
func sourceBase(base uint32) uint32 { return base<<1 | 1 }

// Bounds of how bases are chosen.
const (
	maxBases  = 512 // of a section
	maxLone   = 48  // sets that wait for a similar one
	smallSet  = 16  // so many facts may differ from a base at any rate
	deltaPart = 16  // and one in so many of a large set
	sample    = 24  // facts that are looked for in a base before all are
)

func newCore() *core {
	return &core{dict: newDict(), lists: newLists(), bases: []*base{{}}, lacks: map[uint32]slim{}}
}

// form is a set as what is added to and dropped from a base.
type form struct {
	base        uint32
	adds, drops []uint32
}

func (c *core) limit(facts int) int { return smallSet + facts/deltaPart }

func (c *core) sectionAbout(section uint16) *sectionRec {
	for int(section) >= len(c.about) {
		c.about = append(c.about, sectionRec{})
	}
	return &c.about[section]
}

func (c *core) keyOf(digest []byte) uint64 { return maphash.Bytes(c.seed, digest) | 1 }

func (c *core) setHash(id uint32) uint64 { return mix(c.seed, c.sets.at(id).key) }

// known returns the set of a section with a key.
func (c *core) known(key uint64, section uint16) (uint32, bool) {
	return c.byKey.find(mix(c.seed, key), func(id uint32) bool {
		s := c.sets.at(id)
		return s.key == key && s.section == section
	})
}

// formOf returns how a set is kept. The lists are valid until the next change.
func (c *core) formOf(set uint32) form {
	s := c.sets.at(set)
	f := form{base: s.base}
	if d := c.lists.get(s.delta); len(d) > 0 {
		f.adds, f.drops = d[1:1+d[0]], d[1+d[0]:]
	}
	return f
}

// facts returns the facts of a form in the order of paths.
func (c *core) factsOf(f form) []uint32 {
	b := c.bases[f.base].facts
	out := make([]uint32, 0, len(b)+len(f.adds)-len(f.drops))
	adds, drops := f.adds, f.drops
	for _, x := range b {
		for len(adds) > 0 && c.pathOf(adds[0]) < c.pathOf(x) {
			out, adds = append(out, adds[0]), adds[1:]
		}
		if len(drops) > 0 && drops[0] == x {
			drops = drops[1:]
			continue
		}
		out = append(out, x)
	}
	return append(out, adds...)
}

// find returns the fact of a form at a path.
func (c *core) find(f form, p pathID) (Fact, bool) {
	if x, ok := c.inList(f.adds, p); ok {
		return x, true
	}
	x, ok := c.inList(c.bases[f.base].facts, p)
	if ok {
		if _, gone := c.inList(f.drops, p); gone {
			return 0, false
		}
	}
	return x, ok
}

func (c *core) inList(list []uint32, p pathID) (Fact, bool) {
	i, ok := slices.BinarySearchFunc(list, p, func(x uint32, p pathID) int { return int(c.pathOf(x)) - int(p) })
	if !ok {
		return 0, false
	}
	return Fact(list[i]), true
}

// addSet stores a set that no CI has yet.
func (c *core) addSet(section uint16, key uint64, f form) uint32 {
	rec := setRec{key: key, base: f.base, section: section, delta: c.lists.make(f.delta())}
	var id uint32
	if n := len(c.freeSets); n > 0 {
		id, c.freeSets = c.freeSets[n-1], c.freeSets[:n-1]
		*c.sets.at(id) = rec
	} else {
		id = c.sets.add(rec)
	}
	c.byKey.insert(c.setHash(id), id, c.setHash)
	c.bases[f.base].sets++
	c.post(id, f, true)
	return id
}

// post makes a set known to its facts, or unknown.
func (c *core) post(id uint32, f form, on bool) {
	for _, x := range f.adds {
		c.has(x, sourceSet(id), on)
	}
	for _, x := range f.drops {
		l := c.lacks[x]
		if on {
			l = c.lists.slimAdd(l, id)
		} else {
			l = c.lists.slimRemove(l, id)
		}
		if l == 0 {
			delete(c.lacks, x)
		} else {
			c.lacks[x] = l
		}
	}
}

func (c *core) has(x, source uint32, on bool) {
	rec := c.dict.facts.at(x)
	if on {
		rec.has = c.lists.slimAdd(rec.has, source)
	} else {
		rec.has = c.lists.slimRemove(rec.has, source)
	}
}

// join gives a CI a set.
func (c *core) join(set, slot uint32) {
	s := c.sets.at(set)
	s.members = c.lists.slimAdd(s.members, slot)
	if s.base != 0 {
		c.bases[s.base].slots.add(slot, c.slots)
	}
}

// leave takes a set from a CI. release must follow, once the CI has its new set:
// that one may be on a base that nobody else is on.
func (c *core) leave(set, slot uint32) {
	s := c.sets.at(set)
	s.members = c.lists.slimRemove(s.members, slot)
	if s.base != 0 {
		c.bases[s.base].slots.remove(slot)
	}
}

// release forgets a set that nobody has any more, and a base without sets.
func (c *core) release(set uint32) {
	s := c.sets.at(set)
	if s.members != 0 {
		return
	}
	f := c.formOf(set)
	c.post(set, f, false)
	c.byKey.remove(c.setHash(set), set, c.setHash)
	c.lists.drop(s.delta)
	about := c.sectionAbout(s.section)
	about.lone = slices.DeleteFunc(about.lone, func(l uint32) bool { return l == set })
	*s = setRec{}
	c.freeSets = append(c.freeSets, set)
	c.bases[f.base].sets--
	c.dropBase(f.base)
}

func (c *core) dropBase(n uint32) {
	b := c.bases[n]
	if n == 0 || b.sets > 0 {
		return
	}
	for _, x := range b.facts {
		c.has(x, sourceBase(n), false)
	}
	about := c.sectionAbout(b.section)
	about.bases = slices.DeleteFunc(about.bases, func(o uint32) bool { return o == n })
	c.bases[n] = nil
	c.freeBases = append(c.freeBases, n)
}
