package index

import (
	"hash/maphash"
	"math/bits"
	"slices"
)

const columnChunk = 1 << 12

// column is a growing array that never moves and never has much room to spare:
// it grows chunk by chunk.
type column[T any] struct {
	chunks [][]T
	n      int
}

// add appends a value and returns its place.
func (c *column[T]) add(v T) uint32 {
	if c.n == len(c.chunks)*columnChunk {
		c.chunks = append(c.chunks, make([]T, columnChunk))
	}
	c.chunks[c.n/columnChunk][c.n%columnChunk] = v
	c.n++
	return uint32(c.n - 1)
}

func (c *column[T]) at(i uint32) *T { return &c.chunks[i/columnChunk][i%columnChunk] }

// table finds numbers by a hash of what they stand for. It holds only the
// numbers: who uses it knows how to hash and compare what they stand for. Bits of a
// slot that no number needs are a part of the hash, so that hardly anything else is
// compared.
type table struct {
	slots []uint32 // number + 1, and above it bits of the hash; 0 = free
	n     int
	width int // bits for number + 1
}

func (t *table) home(h uint64) int {
	hi, _ := bits.Mul64(h, uint64(len(t.slots)))
	return int(hi)
}

// mask is what a number may have.
func (t *table) mask() uint32 { return uint32(1)<<t.width - 1 }

// tag is a slot for a hash and no number.
func (t *table) tag(h uint64) uint32 { return uint32(h) << t.width }

// find returns the numbers with that hash for which same holds, or a few whose
// hash lies nearby and for which it does; the first for which it does ends it.
func (t *table) find(h uint64, same func(uint32) bool) (uint32, bool) {
	if t.n == 0 {
		return 0, false
	}
	tag, mask := t.tag(h), t.mask()
	for i := t.home(h); t.slots[i] != 0; {
		if slot := t.slots[i]; slot&^mask == tag && same(slot&mask-1) {
			return slot&mask - 1, true
		}
		if i++; i == len(t.slots) {
			i = 0
		}
	}
	return 0, false
}

func (t *table) insert(h uint64, v uint32, hash func(uint32) uint64) {
	if 4*(t.n+1) > 3*len(t.slots) {
		t.remake(max(16, len(t.slots)*3/2), v, hash)
	} else if v+1 > t.mask() {
		t.remake(len(t.slots), v, hash)
	}
	t.place(h, v+1)
	t.n++
}

// remake makes the slots anew, with room for numbers up to twice v.
func (t *table) remake(size int, v uint32, hash func(uint32) uint64) {
	old, mask := t.slots, t.mask()
	t.slots, t.width = make([]uint32, size), max(t.width, min(32, bits.Len32(v+1)+1))
	for _, o := range old {
		if o != 0 {
			t.place(hash(o&mask-1), o&mask)
		}
	}
}

func (t *table) place(h uint64, entry uint32) {
	i := t.home(h)
	for t.slots[i] != 0 {
		i = (i + 1) % len(t.slots)
	}
	t.slots[i] = t.tag(h) | entry
}

// remove takes a number out and closes the gap, so that no search ends early.
func (t *table) remove(h uint64, v uint32, hash func(uint32) uint64) {
	i, mask := t.home(h), t.mask()
	for t.slots[i]&mask != v+1 {
		if t.slots[i] == 0 {
			return
		}
		i = (i + 1) % len(t.slots)
	}
	t.n--
	for j := (i + 1) % len(t.slots); t.slots[j] != 0; j = (j + 1) % len(t.slots) {
		home := t.home(hash(t.slots[j]&mask - 1))
		if i <= j && (home <= i || home > j) || i > j && home <= i && home > j {
			t.slots[i] = t.slots[j]
			i = j
		}
	}
	t.slots[i] = 0
}

// mix makes one hash of a number.
func mix(seed maphash.Seed, v uint64) uint64 { return maphash.Comparable(seed, v) }

// insert and without keep a sorted list without doubles.
func insert(list []uint32, v uint32) []uint32 {
	if len(list) == 0 || list[len(list)-1] < v {
		return append(list, v)
	}
	i, found := slices.BinarySearch(list, v)
	if found {
		return list
	}
	return slices.Insert(list, i, v)
}

func without(list []uint32, v uint32) []uint32 {
	if i, found := slices.BinarySearch(list, v); found {
		return slices.Delete(list, i, i+1)
	}
	return list
}
