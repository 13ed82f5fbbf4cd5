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
	lists  *lists
	sets   column[setRec]
	bases  []*base // nil: free; 0 is the empty base
	lacks  map[uint32]slim
	byKey  table
	owners owners       // of facts that one set alone has
	growBy int          // tenths of what they need, see growOwners
	about  []sectionRec // by section

	freeSets  []uint32
	freeBases []uint32
	room      room
	slots     int // of CIs, free ones included
}

// setRec is one set of facts. Its number is a source with sourceSet. There are six for
// each CI: it takes 20 bytes.
type setRec struct {
	id      [2]uint32 // halves of the key, so that none is aligned to eight bytes
	form    listRef   // see form.list; with ownsBit, facts of its own are in owners
	members slim      // slots of the CIs that have it
	on      uint16    // the base
	section uint16
}

// ownsBit is no part of a listRef.
const ownsBit = 1 << 31

// key is a hash of the digest; 0: the number is free.
func (s *setRec) key() uint64 { return uint64(s.id[0])<<32 | uint64(s.id[1]) }

func (s *setRec) setKey(key uint64) { s.id = [2]uint32{uint32(key >> 32), uint32(key)} }

func (s *setRec) base() uint32 { return uint32(s.on) }

func (s *setRec) delta() listRef { return s.form &^ ownsBit }

func (s *setRec) owning() bool { return s.form&ownsBit != 0 }

// base is what similar sets have in common.
type base struct {
	section uint16
	facts   []uint32 // in the order of paths
	slots   extent   // of the CIs whose set is on this base
	sets    int
	finer   finer
}

// sectionRec is what is known about the sets of a section.
type sectionRec struct {
	bases []uint32 // the one that fitted last comes first
	lone  []uint32 // sets that fit none, of which the next base may be made
	sets  int
	made  int              // bases, also those that are gone
	next  int              // how many sets there are when finer bases are looked for
	like  map[uint64]liked // the base that was last chosen for such a list of facts
}

// Sources: sets and bases share one space of numbers.
func sourceSet(set uint32) uint32   { return set << 1 }
func sourceBase(base uint32) uint32 { return base<<1 | 1 }

// Bounds of how bases are chosen.
const (
	maxBases  = 1024 // of a section
	allBases  = 1 << 16
	maxLone   = 48 // sets that wait for a similar one
	smallSet  = 16 // so many facts may differ from a base, but no more than
	smallPart = 3  // one in so many of a small set
	deltaPart = 16 // and one in so many of a large one besides
	sample    = 24 // facts that are looked for in a base before all are
)

func newCore() *core {
	return &core{dict: newDict(), lists: newLists(), bases: []*base{{}}, lacks: map[uint32]slim{}, growBy: 30}
}

// form is a set as what is added to and dropped from a base, all in the order of
// paths. Its own facts have no number; where the base has another value at their
// path, that is dropped.
type form struct {
	base        uint32
	adds, drops []uint32
	own         owns
	fresh       []ownFact // what own says, if it was just worked out
	going       bool      // it is that of the set that is about to go
}

func (c *core) limit(facts int) int { return min(smallSet, facts/smallPart) + facts/deltaPart }

func (c *core) sectionAbout(section uint16) *sectionRec {
	for int(section) >= len(c.about) {
		c.about = append(c.about, sectionRec{})
	}
	return &c.about[section]
}

func (d *dict) keyOf(digest []byte) uint64 { return maphash.Bytes(d.seed, digest) | 1 }

func (c *core) setHash(id uint32) uint64 { return mix(c.seed, c.sets.at(id).key()) }

// known returns the set of a section with a key.
func (c *core) known(key uint64, section uint16) (uint32, bool) {
	return c.byKey.find(mix(c.seed, key), func(id uint32) bool {
		s := c.sets.at(id)
		return s.key() == key && s.section == section
	})
}

// formOf returns how a set is kept. The lists are valid until the next change.
func (c *core) formOf(set uint32) form {
	s := c.sets.at(set)
	tag, d := c.lists.getTagged(s.delta())
	adds, drops := int(tag&(1<<partBits-1)), int(tag>>partBits)
	if tag == manyFacts {
		adds, drops, d = int(d[0]), int(d[1]), d[2:]
	}
	return form{base: s.base(), adds: d[:adds], drops: d[adds : adds+drops], own: bytesOf(d[adds+drops:])}
}

// The numbers of adds and of drops stand in the tag of a list, or before it.
const (
	partBits  = tagBits / 2
	manyFacts = 1<<tagBits - 1
)

// list is how a form is kept in one list: adds, drops, and its own facts.
func (f form) list() (tag uint32, d []uint32) {
	d = make([]uint32, 0, 2+f.cost()+(len(f.own)+3)/4)
	tag = uint32(len(f.adds) | len(f.drops)<<partBits)
	if most := 1<<partBits - 1; len(f.adds) >= most || len(f.drops) >= most {
		tag, d = manyFacts, append(d, uint32(len(f.adds)), uint32(len(f.drops)))
	}
	return tag, append(append(append(d, f.adds...), f.drops...), f.own.words()...)
}

// keep puts a form in the place of what a set had, but for its base. The facts of its own
// are in owners, or none is.
func (c *core) keep(set uint32, f form, owning bool) {
	s := c.sets.at(set)
	next := c.lists.makeTagged(f.list())
	c.lists.drop(s.delta())
	if s.form = next; owning {
		s.form |= ownsBit
	}
}

// factsOf returns the facts of a form that have numbers, in the order of paths.
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

// holding is a fact as a set has it: a number, or an own fact's packed value.
type holding struct {
	x    Fact
	own  []byte
	hash uint64 // of own, if it is known
}

// find returns the fact of a form at a path.
func (c *core) find(f form, p pathID) (holding, bool) {
	if value, ok := c.ownAt(f.own, p); ok {
		return holding{own: value}, true
	}
	if x, ok := c.inList(f.adds, p); ok {
		return holding{x: x}, true
	}
	x, ok := c.inList(c.bases[f.base].facts, p)
	if ok {
		if _, gone := c.inList(f.drops, p); gone {
			return holding{}, false
		}
	}
	return holding{x: x}, ok
}

// text returns the value of a holding, and whether it is known, see short.
func (c *core) text(h holding) (string, bool) {
	if h.own != nil {
		return c.unpacked(h.own)
	}
	return c.value(h.x)
}

func (c *core) inList(list []uint32, p pathID) (Fact, bool) {
	lo, hi := 0, len(list)
	for lo < hi {
		if mid := int(uint(lo+hi) / 2); c.pathOf(list[mid]) < p {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	if lo == len(list) || c.pathOf(list[lo]) != p {
		return 0, false
	}
	return Fact(list[lo]), true
}

// addSet stores a set that no CI has yet.
func (c *core) addSet(section uint16, key uint64, f form) uint32 {
	rec := setRec{form: c.lists.makeTagged(f.list()), on: uint16(f.base), section: section}
	rec.setKey(key)
	var id uint32
	if n := len(c.freeSets); n > 0 {
		id, c.freeSets = c.freeSets[n-1], c.freeSets[:n-1]
		*c.sets.at(id) = rec
	} else {
		id = c.sets.add(rec)
	}
	c.byKey.insert(c.setHash(id), id, c.setHash)
	c.bases[f.base].sets++
	c.sectionAbout(section).sets++
	c.post(id, f, true)
	return id
}

// post makes a set known to its facts, or unknown.
func (c *core) post(id uint32, f form, on bool) {
	if on {
		c.enown(id, f.fresh)
	} else {
		c.disown(id)
	}
	for _, x := range f.adds {
		c.posted(x, sourceSet(id), on)
	}
	for _, x := range f.drops {
		c.lacking(x, id, on)
	}
}

// lacking notes that a set has no longer what its base has, or that it has it again.
func (c *core) lacking(x, set uint32, on bool) {
	l := c.lacks[x]
	if on {
		l = c.lists.slimAdd(l, set)
	} else {
		l = c.lists.slimRemove(l, set)
	}
	if l == 0 {
		delete(c.lacks, x)
	} else {
		c.lacks[x] = l
	}
}

// posted makes a fact known to one that has it, or unknown.
func (c *core) posted(x, source uint32, on bool) {
	rec := c.dict.facts.at(x)
	if on {
		rec.has = c.lists.slimAdd(rec.has, source)
	} else {
		if rec.has = c.lists.slimRemove(rec.has, source); rec.has == 0 {
			c.gone = append(c.gone, x)
		}
	}
}

// sweep frees the numbers of facts and paths that nobody has any more. It is called
// where no list of facts is in the hands of anybody.
func (c *core) sweep() {
	for _, x := range c.gone {
		if rec := c.dict.facts.at(x); rec.has == 0 && rec.value != 0 {
			c.dict.forget(x)
		}
	}
	c.gone = c.gone[:0]
	c.room.trim()
	c.bury()
}

// join gives a CI a set.
func (c *core) join(set, slot uint32) {
	s := c.sets.at(set)
	s.members = c.lists.slimAdd(s.members, slot)
	if s.on != 0 {
		c.bases[s.on].slots.add(slot, c.slots)
	}
}

// leave takes a set from a CI. release must follow, once the CI has its new set:
// that one may be on a base that nobody else is on.
func (c *core) leave(set, slot uint32) {
	s := c.sets.at(set)
	s.members = c.lists.slimRemove(s.members, slot)
	if s.on != 0 {
		c.bases[s.on].slots.remove(slot)
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
	c.lists.drop(s.delta())
	about := c.sectionAbout(s.section)
	about.lone = slices.DeleteFunc(about.lone, func(l uint32) bool { return l == set })
	about.sets--
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
		c.posted(x, sourceBase(n), false)
	}
	about := c.sectionAbout(b.section)
	about.bases = slices.DeleteFunc(about.bases, func(o uint32) bool { return o == n })
	c.unfine(n)
	c.bases[n] = nil
	c.freeBases = append(c.freeBases, n)
}
