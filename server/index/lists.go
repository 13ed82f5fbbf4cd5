package index

import (
	"math/bits"
	"slices"
)

// lists keeps millions of short lists of numbers, without a pointer or a header
// of Go's for each: a list is a place in large arrays. A list that is let go is
// used again for one of its size.
type lists struct {
	chunks   [][]uint32
	next, to listRef              // where the next lists go
	free     map[uint32][]listRef // by size class
	words    int                  // that lists hold now
}

// listRef names a list; 0 is the empty one.
type listRef uint32

const (
	listChunk = 1 << 16 // words
	lenBits   = 24      // of the first word; the size class stands above
)

func newLists() *lists {
	l := &lists{free: map[uint32][]listRef{}}
	l.grow()
	l.next = 1 // so that no list has the place 0
	return l
}

// largeClass is the smallest class whose lists are cut up when they are free and
// room is needed: as much as a new chunk would give, or a part of it.
const (
	largeClass = 66  // 640 words
	tooLarge   = 120 // 65,536: a place in a chunk has 16 bits
)

// grow finds room for more lists.
func (l *lists) grow() {
	for c := uint32(largeClass); c < tooLarge; c++ {
		if free := l.free[c]; len(free) > 0 {
			l.free[c] = free[:len(free)-1]
			l.next = free[len(free)-1]
			l.to = l.next + listRef(sizeOf(c)) + 1
			return
		}
	}
	l.chunks = append(l.chunks, make([]uint32, listChunk))
	l.next = listRef(len(l.chunks)-1) << 16
	l.to = l.next + listChunk - 1 // a place has 16 bits
}

// class returns the size class that holds n words and how many it does: eight
// classes for each power of two.
func class(n int) (c uint32, size int) {
	if n <= 16 {
		return uint32(n), max(1, n)
	}
	shift := bits.Len(uint(n-1)) - 4
	size = (n + 1<<shift - 1) >> shift << shift
	return uint32(shift*8+(size>>shift)) + 8, size
}

func (l *lists) alloc(n int) (listRef, []uint32) {
	c, size := class(n)
	if free := l.free[c]; len(free) > 0 {
		r := free[len(free)-1]
		l.free[c] = free[:len(free)-1]
		l.words += size + 1
		return r, l.block(r, c, size)
	}
	l.words += size + 1
	if size+1 > listChunk/2 { // a chunk of its own
		l.chunks = append(l.chunks, make([]uint32, size+1))
		r := listRef((len(l.chunks) - 1) << 16)
		return r, l.block(r, c, size)
	}
	for int(l.to-l.next) < size+1 {
		l.grow()
	}
	r := l.next
	l.next += listRef(size + 1)
	return r, l.block(r, c, size)
}

func (l *lists) block(r listRef, c uint32, size int) []uint32 {
	b := l.chunks[r>>16][r&0xffff:]
	b[0] = c << lenBits
	return b[: size+1 : size+1]
}

// make stores a list.
func (l *lists) make(v []uint32) listRef {
	if len(v) == 0 {
		return 0
	}
	r, b := l.alloc(len(v))
	b[0] |= uint32(len(v))
	copy(b[1:], v)
	return r
}

// A list that never grows may have a tag, which stands where the length of a long one
// would. The length of a long one stands before it then.
const (
	tagBits = 10
	untold  = 1<<(lenBits-tagBits) - 1
)

func (l *lists) makeTagged(tag uint32, v []uint32) listRef {
	if len(v) == 0 {
		return 0
	}
	n := len(v)
	if n >= untold {
		n++
	}
	r, b := l.alloc(n)
	if len(v) >= untold {
		b[1] = uint32(len(v))
	}
	b[0] |= tag<<(lenBits-tagBits) | uint32(min(len(v), untold))
	copy(b[1+n-len(v):], v)
	return r
}

// getTagged returns a list that makeTagged made, which is valid until the next change.
func (l *lists) getTagged(r listRef) (tag uint32, v []uint32) {
	if r == 0 {
		return 0, nil
	}
	b := l.chunks[r>>16][r&0xffff:]
	tag, n := b[0]>>(lenBits-tagBits)&(1<<tagBits-1), int(b[0]&untold)
	if b = b[1:]; n == untold {
		n, b = int(b[0]), b[1:]
	}
	return tag, b[:n:n]
}

// get returns a list, which is valid until the next change.
func (l *lists) get(r listRef) []uint32 {
	if r == 0 {
		return nil
	}
	b := l.chunks[r>>16][r&0xffff:]
	n := int(b[0] & (1<<lenBits - 1))
	return b[1 : 1+n : 1+n]
}

func (l *lists) drop(r listRef) {
	if r == 0 {
		return
	}
	c := l.chunks[r>>16][r&0xffff] >> lenBits
	l.free[c] = append(l.free[c], r)
	l.words -= sizeOf(c) + 1
}

func sizeOf(c uint32) int {
	if c <= 16 {
		return max(1, int(c))
	}
	c -= 8
	return int(8+c%8) << (c/8 - 1)
}

// insert adds a number to a sorted list, if it is not in it.
func (l *lists) insert(r listRef, v uint32) listRef {
	if r == 0 {
		return l.make([]uint32{v})
	}
	b := l.chunks[r>>16][r&0xffff:]
	n := int(b[0] & (1<<lenBits - 1))
	i, found := n, false
	if b[n] >= v {
		i, found = slices.BinarySearch(b[1:1+n], v)
	}
	if found {
		return r
	}
	if n == sizeOf(b[0]>>lenBits) {
		next, to := l.alloc(n + 1)
		copy(to[1:], b[1:1+n])
		to[0] |= uint32(n)
		l.drop(r)
		r, b = next, to
	}
	copy(b[2+i:2+n], b[1+i:1+n])
	b[1+i] = v
	b[0]++
	return r
}

// remove takes a number out of a sorted list.
func (l *lists) remove(r listRef, v uint32) listRef {
	list := l.get(r)
	i, found := slices.BinarySearch(list, v)
	if !found {
		return r
	}
	copy(list[i:], list[i+1:])
	l.chunks[r>>16][r&0xffff]--
	if len(list) == 1 {
		l.drop(r)
		return 0
	}
	return r
}

// slim is a sorted list of numbers below 2^31 that takes no room of its own while
// it has one: 0 is empty, otherwise the number + 1, or a listRef with the top bit.
type slim uint32

const slimList = 1 << 31

func (l *lists) slimAdd(s slim, v uint32) slim {
	switch {
	case s == 0:
		return slim(v + 1)
	case s&slimList != 0:
		return slim(l.insert(listRef(s&^slimList), v)) | slimList
	case uint32(s) == v+1:
		return s
	}
	two := []uint32{uint32(s) - 1, v}
	slices.Sort(two)
	return slim(l.make(two)) | slimList
}

func (l *lists) slimRemove(s slim, v uint32) slim {
	if s&slimList == 0 {
		if uint32(s) == v+1 {
			return 0
		}
		return s
	}
	r := l.remove(listRef(s&^slimList), v)
	if list := l.get(r); len(list) == 1 {
		one := slim(list[0] + 1)
		l.drop(r)
		return one
	}
	return slim(r) | slimList
}

// slimGet returns the numbers; one is where a single one may be put.
func (l *lists) slimGet(s slim, one *[1]uint32) []uint32 {
	switch {
	case s == 0:
		return nil
	case s&slimList != 0:
		return l.get(listRef(s &^ slimList))
	}
	one[0] = uint32(s) - 1
	return one[:]
}
