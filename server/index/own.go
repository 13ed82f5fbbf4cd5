package index

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"hash/maphash"
	"iter"
	"math/bits"
	"slices"
	"unsafe"
)

// A fact that is in one set alone stays in it: it has no number and no posting,
// only an entry in a table that leads from its hash to the set. Two out of three
// facts of a fleet are such, and they are what a number would cost most for.
//
// The facts of their own of a set are written one after the other, by path: the
// path + 1 and the length of the packed value as varints, then the value. A zero
// ends them.
type owns []byte

// ownFact is one of them.
type ownFact struct {
	path  pathID
	value []byte // packed, see short
}

// all yields the facts in the order of their paths.
func (o owns) all() iter.Seq[ownFact] {
	return func(yield func(ownFact) bool) {
		for len(o) > 0 && o[0] != 0 {
			p, n := binary.Uvarint(o)
			size, m := binary.Uvarint(o[n:])
			end := n + m + int(size)
			if !yield(ownFact{pathID(p - 1), o[n+m : end]}) {
				return
			}
			o = o[end:]
		}
	}
}

func (o owns) find(p pathID) ([]byte, bool) {
	for f := range o.all() {
		if f.path >= p {
			return f.value, f.path == p
		}
	}
	return nil, false
}

func (o owns) count() (n int) {
	for range o.all() {
		n++
	}
	return n
}

func appendOwn(dst owns, f ownFact) owns {
	dst = binary.AppendUvarint(dst, uint64(f.path)+1)
	dst = binary.AppendUvarint(dst, uint64(len(f.value)))
	return append(dst, f.value...)
}

// words gives the bytes as they are kept in a list.
func (o owns) words() []uint32 {
	w := make([]uint32, (len(o)+3)/4)
	copy(bytesOf(w), o)
	return w
}

// bytesOf gives the memory of a list as bytes: nothing but this process reads it.
func bytesOf(w []uint32) owns {
	if len(w) == 0 {
		return nil
	}
	return unsafe.Slice((*byte)(unsafe.Pointer(&w[0])), 4*len(w))
}

// owners leads from a fact to the set that alone has it. A slot holds the number of
// a set + 1, and above it some bits of the hash, so that hardly ever the wrong set
// is looked at.
type owners struct {
	slots []uint32
	n     int // slots that are not free
}

const (
	ownerBits = 24
	ownerMask = 1<<ownerBits - 1
	ownerGone = ownerMask
	maxOwners = ownerMask - 1 // sets with facts of their own
)

func (o *owners) home(h uint64) int {
	hi, _ := bits.Mul64(h, uint64(len(o.slots)))
	return int(hi)
}

// find returns the place of a slot with that hash for which same holds.
func (o *owners) find(h uint64, same func(set uint32) bool) (at int, ok bool) {
	if len(o.slots) == 0 {
		return 0, false
	}
	for i := o.home(h); o.slots[i] != 0; i = (i + 1) % len(o.slots) {
		s := o.slots[i]
		if s&ownerMask != ownerGone && s>>ownerBits == uint32(h)&0xff && same(s&ownerMask-1) {
			return i, true
		}
	}
	return 0, false
}

func (o *owners) place(h uint64, set uint32) {
	i := o.home(h)
	for o.slots[i] != 0 && o.slots[i]&ownerMask != ownerGone {
		i = (i + 1) % len(o.slots)
	}
	if o.slots[i] == 0 {
		o.n++
	}
	o.slots[i] = uint32(h)&0xff<<ownerBits | (set + 1)
}

// ownHash is the hash of an own fact: that of its path and folded value or, of a
// digest, of what is left of it.
func (d *dict) ownHash(path pathID, value []byte) uint64 {
	var buf [96]byte
	key := append(buf[:0], byte(path), byte(path>>8), byte(path>>16), byte(path>>24))
	return maphash.Bytes(d.seed, d.folded(key, value))
}

// noSet is not the number of a set.
const noSet = 1<<32 - 1

// owner returns the set that has a fact of its own, but for except.
func (c *core) owner(path pathID, value []byte, except uint32) (set uint32, ok bool) {
	_, ok = c.owners.find(c.ownHash(path, value), func(s uint32) bool {
		if s == except {
			return false
		}
		have, has := c.formOf(s).own.find(path)
		set = s
		return has && bytes.Equal(have, value)
	})
	return set, ok
}

// ownAlike yields the sets that have a fact of their own that may be equal to a
// value, see dict.alike.
func (c *core) ownAlike(path pathID, value string) iter.Seq2[uint32, []byte] {
	return func(yield func(uint32, []byte) bool) {
		c.owners.find(c.ownHash(path, c.asked(value)), func(set uint32) bool {
			have, ok := c.formOf(set).own.find(path)
			return ok && !yield(set, have)
		})
	}
}

// enown puts the facts of its own of a set into the table; the set must have them
// already. disown takes them out.
func (c *core) enown(set uint32) {
	own := c.formOf(set).own
	more := own.count()
	if more == 0 {
		return
	}
	if 5*(c.owners.n+more) > 4*len(c.owners.slots) {
		c.growOwners(more, c.growBy)
	}
	for f := range own.all() {
		c.owners.place(c.ownHash(f.path, f.value), set)
		c.paths.at(uint32(f.path)).own++
	}
	c.sets.at(set).owning = true
}

func (c *core) disown(set uint32) {
	for f := range c.formOf(set).own.all() {
		if at, ok := c.owners.find(c.ownHash(f.path, f.value), func(s uint32) bool { return s == set }); ok {
			c.owners.slots[at] = ownerGone // a search must not end here
			c.paths.at(uint32(f.path)).own--
		}
	}
	c.sets.at(set).owning = false
}

// growOwners makes the table anew, by tenths larger than needed, without what is gone: a slot does not tell for
// which of the set's facts it stands.
func (c *core) growOwners(more, by int) {
	live := 0
	for _, s := range c.owners.slots {
		if s != 0 && s&ownerMask != ownerGone {
			live++
		}
	}
	c.owners = owners{slots: make([]uint32, max(64, (live+more)*by/10))}
	for set := range uint32(c.sets.n) {
		if s := c.sets.at(set); s.key != 0 && s.owning {
			for f := range c.formOf(set).own.all() {
				c.owners.place(c.ownHash(f.path, f.value), set)
			}
		}
	}
}

// promote makes a fact that a set has of its own one with a number, since another
// has it too.
func (c *core) promote(set uint32, path pathID, value []byte) Fact {
	value = bytes.Clone(value)
	c.disown(set)
	x := c.newFact(path, value)
	s := c.sets.at(set)
	old := c.formOf(set)
	f := form{base: old.base, drops: old.drops}
	i, _ := slices.BinarySearchFunc(old.adds, path, func(x uint32, p pathID) int { return cmp.Compare(c.pathOf(x), p) })
	f.adds = slices.Insert(slices.Clone(old.adds), i, uint32(x))
	for o := range old.own.all() {
		if o.path != path {
			f.own = appendOwn(f.own, o)
		}
	}
	next := c.lists.make(f.delta())
	c.lists.drop(s.delta)
	s.delta = next
	c.has(uint32(x), sourceSet(set), true)
	c.enown(set)
	return x
}

// fewValues is how many values of a path get numbers even if one set alone has
// them: versions of packages have no more, and are then found without a look at
// every set.
const fewValues = 32

// place gives the number of a fact of a set or, if no other set has it, the fact
// as the set's own. Facts of sets that others will be like get a number at once.
// The set except is about to go.
func (c *core) place(path pathID, value string, number bool, except uint32) holding {
	c.buf = c.tails.pack(c.buf[:0], value)
	return c.placed(path, c.buf, number, except)
}

func (c *core) placed(path pathID, packed []byte, number bool, except uint32) holding {
	if x, ok := c.numbered(path, packed); ok {
		if rec := c.dict.facts.at(uint32(x)); whole(packed) && !whole(c.texts.get(rec.value)) {
			c.lost += len(c.texts.get(rec.value))
			rec.value = c.texts.add(packed)
		}
		return holding{x: x}
	}
	p := c.paths.at(uint32(path))
	number = number || p.own == 0 && p.facts < fewValues || c.sets.n >= maxOwners
	if number {
		except = noSet
	}
	own := short(c.seed, packed)
	if set, ok := c.owner(path, own, except); ok {
		return holding{x: c.promote(set, path, packed)}
	}
	if number {
		return holding{x: c.newFact(path, packed)}
	}
	return holding{own: bytes.Clone(own)}
}
