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
// numbers: who uses it knows how to hash and compare what they stand for.
type table struct {
	slots []uint32 // number + 1, 0 = free
	n     int
}

func (t *table) home(h uint64) int {
	hi, _ := bits.Mul64(h, uint64(len(t.slots)))
	return int(hi)
}

// find returns the numbers with that hash for which same holds, or a few whose
// hash lies nearby and for which it does; the first for which it does ends it.
func (t *table) find(h uint64, same func(uint32) bool) (uint32, bool) {
	if t.n == 0 {
		return 0, false
	}
	for i := t.home(h); t.slots[i] != 0; i = (i + 1) % len(t.slots) {
		if same(t.slots[i] - 1) {
			return t.slots[i] - 1, true
		}
	}
	return 0, false
}

func (t *table) insert(h uint64, v uint32, hash func(uint32) uint64) {
	if 4*(t.n+1) > 3*len(t.slots) {
		old := t.slots
		t.slots = make([]uint32, max(16, len(old)*3/2))
		for _, o := range old {
			if o != 0 {
				t.place(hash(o-1), o)
			}
		}
	}
	t.place(h, v+1)
	t.n++
}

func (t *table) place(h uint64, entry uint32) {
	i := t.home(h)
	for t.slots[i] != 0 {
		i = (i + 1) % len(t.slots)
	}
	t.slots[i] = entry
}

// remove takes a number out and closes the gap, so that no search ends early.
func (t *table) remove(h uint64, v uint32, hash func(uint32) uint64) {
	i := t.home(h)
	for t.slots[i] != v+1 {
		if t.slots[i] == 0 {
			return
		}
		i = (i + 1) % len(t.slots)
	}
	t.n--
	for j := (i + 1) % len(t.slots); t.slots[j] != 0; j = (j + 1) % len(t.slots) {
		home := t.home(hash(t.slots[j] - 1))
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
