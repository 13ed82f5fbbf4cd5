package index

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"iter"
	"slices"
	"unsafe"
)

// A fact that is in one set alone stays in it: it has no number and no posting,
// only an entry in a table that leads from its hash to the set. Two out of three
// facts of a fleet are such, and they are what a number would cost most for.
//
// The facts of their own of a set are written one after the other, by path: how far
// the number of the column is from the one before, as a varint that is never 0, and
// what fills the frame. A value that has no frame has its length before it. A zero ends
// them.
type owns []byte

// ownFact is one of them.
type ownFact struct {
	path   pathID
	value  []byte // packed, in its short form
	column uint32 // + 1; 0: not known
	hash   uint64 // of the value; 0: not known
}

// ownFacts yields the facts of a set in the order of their paths. The value of one is good
// until the next one.
func (d *dict) ownFacts(o owns) iter.Seq[ownFact] {
	return func(yield func(ownFact) bool) {
		var room [96]byte
		buf := room[:0]
		column := -1
		for len(o) > 0 && o[0] != 0 {
			gap, n := binary.Varint(o)
			o = o[n:]
			column += int(gap)
			rec := d.columns.recs.at(uint32(column))
			buf, o = d.ownValue(buf[:0], o, rec.frame)
			if !yield(ownFact{path: rec.path, value: buf, column: uint32(column) + 1}) {
				return
			}
		}
	}
}

// ownValue appends the first value of what follows the number of its column.
func (d *dict) ownValue(dst []byte, o owns, frame uint32) ([]byte, owns) {
	if size, ok := wordSize(frame); ok {
		return unword(dst, o[:size], frame), o[size:]
	}
	size := 0
	if frame > 0 {
		size = d.frames.at(frame - 1).fill
		dst = binary.AppendUvarint(append(dst, markFrame), uint64(frame-1))
	} else {
		long, n := binary.Uvarint(o)
		size, o = int(long), o[n:]
	}
	return append(dst, o[:size]...), o[size:]
}

// ownAt returns the value that a set has of its own at a path.
func (d *dict) ownAt(o owns, p pathID) ([]byte, bool) {
	for f := range d.ownFacts(o) {
		if f.path >= p {
			return bytes.Clone(f.value), f.path == p
		}
	}
	return nil, false
}

// ownHas tells whether a set has a fact of its own.
func (d *dict) ownHas(o owns, p pathID, short []byte) bool {
	for f := range d.ownFacts(o) {
		if f.path >= p {
			return f.path == p && bytes.Equal(f.value, short)
		}
	}
	return false
}

func (d *dict) listOwn(o owns) (list []ownFact) {
	var all []byte
	for f := range d.ownFacts(o) {
		if cap(all)-len(all) < len(f.value) {
			all = make([]byte, 0, max(1<<10, len(f.value)))
		}
		from := len(all)
		all = append(all, f.value...)
		f.value = all[from:len(all):len(all)]
		list = append(list, f)
	}
	return list
}

// write gives facts, which must be in the order of their paths, the form in which a
// set has them.
func (d *dict) write(list []ownFact) (o owns) {
	column := -1
	var room [mostWord]byte
	for _, f := range list {
		load, frame := f.value, uint32(0)
		if _, fill, framed := d.frames.open(f.value); framed {
			n, _ := binary.Uvarint(f.value[1:])
			load, frame = fill, uint32(n)+1
		} else if short, n, ok := word(room[:0], f.value); ok {
			load, frame = short, n
		}
		next := int(f.column) - 1
		if next < 0 {
			next = int(d.columns.of(f.path, frame))
		}
		o = binary.AppendVarint(o, int64(next-column))
		if column = next; frame == 0 {
			o = binary.AppendUvarint(o, uint64(len(load)))
		}
		o = append(o, load...)
	}
	return o
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

// noSet is not the number of a set.
const noSet = 1<<32 - 1

// owner returns the set that has a fact of its own, but for except.
func (c *core) owner(path pathID, v value, except uint32) (set uint32, ok bool) {
	c.owners.find(c.factHash(path, v.hash), func(block uint32) bool {
		for s := range c.owning(block, path) {
			if s != except && c.ownHas(c.formOf(s).own, path, v.short) {
				set, ok = s, true
				return true
			}
		}
		return false
	})
	return set, ok
}

// owning yields the sets of a block that may have something of their own at a path.
func (c *core) owning(block uint32, path pathID) iter.Seq[uint32] {
	return func(yield func(uint32) bool) {
		section := c.paths.at(uint32(path)).section
		end := min(uint32(c.sets.n), (block+1)<<blockBits)
		for set := block << blockBits; set < end; set++ {
			if s := c.sets.at(set); s.owning() && s.section == section && !yield(set) {
				return
			}
		}
	}
}

// ownAlike yields the sets that have a fact of their own that may be equal to a
// value, see dict.alike.
func (c *core) ownAlike(path pathID, text string) iter.Seq2[uint32, []byte] {
	return func(yield func(uint32, []byte) bool) {
		seen := map[uint32]bool{}
		c.owners.find(c.factHash(path, c.asked(text).hash), func(block uint32) bool {
			if seen[block] {
				return false
			}
			seen[block] = true
			for set := range c.owning(block, path) {
				if have, ok := c.ownAt(c.formOf(set).own, path); ok && !yield(set, have) {
					return true
				}
			}
			return false
		})
	}
}

// enown puts the facts of its own of a set into the table; the set must have them
// already, and known are they if somebody has worked out their hashes. disown takes
// them out.
func (c *core) enown(set uint32, known []ownFact) {
	own := c.formOf(set).own
	if len(own) == 0 {
		return
	}
	if known == nil {
		known = c.listOwn(own)
	}
	if c.owners.full(set, len(known)) {
		c.growOwners(len(known), c.growBy)
	}
	i := 0
	for f := range c.ownFacts(own) {
		f.hash = known[i].hash
		i++
		c.owned(set, f, true)
	}
	c.sets.at(set).form |= ownsBit
}

func (c *core) disown(set uint32) {
	for f := range c.ownFacts(c.formOf(set).own) {
		c.owned(set, f, false)
	}
	c.sets.at(set).form &^= ownsBit
}

// owned puts a fact into the table, or takes it out.
func (c *core) owned(set uint32, f ownFact, on bool) {
	if f.hash == 0 {
		f.hash = c.valueHash(f.value)
	}
	hash, by := c.factHash(f.path, f.hash), 1
	if on {
		c.owners.place(hash, set>>blockBits)
	} else {
		c.owners.drop(hash, set>>blockBits)
		by = -1
	}
	c.count(f.path, 0, by)
	c.columns.use(f.column-1, by)
}

// promote makes a fact that a set has of its own one with a number, since another
// has it too.
func (c *core) promote(set uint32, path pathID, v value) Fact {
	old := c.formOf(set)
	f := form{base: old.base, drops: old.drops}
	own := c.listOwn(old.own)
	at := slices.IndexFunc(own, func(o ownFact) bool { return o.path == path })
	own[at].hash = v.hash
	c.owned(set, own[at], false)
	f.own = c.write(slices.Delete(own, at, at+1))
	x := c.newFact(path, v)
	i, _ := slices.BinarySearchFunc(old.adds, path, func(x uint32, p pathID) int { return cmp.Compare(c.pathOf(x), p) })
	f.adds = slices.Insert(slices.Clone(old.adds), i, uint32(x))
	c.keep(set, f, len(f.own) > 0)
	c.posted(uint32(x), sourceSet(set), true)
	return x
}

// fewValues is how many values of a path get numbers even if one set alone has
// them: versions of packages have no more, and are then found without a look at
// every set.
const fewValues = 32

// place gives the number of a fact of a set or, if no other set has it, the fact
// as the set's own. Facts of sets that others will be like get a number at once.
// The set except is about to go.
func (c *core) place(path pathID, v value, number bool, except uint32) holding {
	if !number && c.room.still(path, v) {
		return holding{own: v.short, hash: v.hash}
	}
	if x, ok := c.numbered(path, v); ok {
		if rec := c.dict.facts.at(uint32(x)); c.frames.whole(v.packed) && !c.frames.whole(c.texts.get(rec.value)) {
			c.lost += len(c.texts.get(rec.value))
			rec.value = c.texts.add(v.packed)
		}
		return holding{x: x}
	}
	p := c.paths.at(uint32(path))
	number = number || p.own == 0 && p.facts < fewValues || c.sets.n >= maxOwners
	if number {
		except = noSet
	}
	if set, ok := c.owner(path, v, except); ok {
		return holding{x: c.promote(set, path, v)}
	}
	if number {
		return holding{x: c.newFact(path, v)}
	}
	return holding{own: v.short, hash: v.hash}
}
