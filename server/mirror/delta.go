package mirror

import (
	"bytes"
	"encoding/binary"
)

// The delta of gitformat-pack(5): the sizes of source and result, then
// instructions to copy from the source or to insert literal bytes.
const (
	copyMost   = 0xffff
	insertMost = 0x7f
)

// makeDelta leads from old to new. split gives the length of the first record
// of its argument: a line of text, an entry of a tree. What both have in common
// at their ends is copied at once, what lies between record by record. That is
// much cheaper than git's search over all offsets, and finds nearly as much in
// lists of which a few lines have changed.
func makeDelta(old, new []byte, split func([]byte) int) []byte {
	d := delta{out: binary.AppendUvarint(nil, uint64(len(old)))}
	d.out = binary.AppendUvarint(d.out, uint64(len(new)))
	head := commonPrefix(old, new)
	tail := commonSuffix(old[head:], new[head:])
	d.copy(0, head)
	d.middle(old[:len(old)-tail], new[head:len(new)-tail], head, split)
	d.copy(len(old)-tail, tail)
	d.flush()
	return d.out
}

// middle writes what lies between the common ends; old is whole up to there, so
// that its records are found at their true offsets even if head lies within one.
func (d *delta) middle(old, new []byte, head int, split func([]byte) int) {
	at := map[string]int{}
	for pos := 0; pos < len(old); {
		n := split(old[pos:])
		if pos+n > head {
			at[string(old[pos:pos+n])] = pos
		}
		pos += n
	}
	for len(new) > 0 {
		n := split(new)
		if pos, ok := at[string(new[:n])]; ok && n >= 8 {
			d.copy(pos, n)
		} else {
			d.insert(new[:n])
		}
		new = new[n:]
	}
}

// delta joins neighbouring copies and inserts before it writes them.
type delta struct {
	out      []byte
	from, n  int // pending copy
	literals []byte
}

func (d *delta) copy(from, n int) {
	if n == 0 {
		return
	}
	if len(d.literals) == 0 && d.n > 0 && d.from+d.n == from {
		d.n += n
		return
	}
	d.flush()
	d.from, d.n = from, n
}

func (d *delta) insert(b []byte) {
	if d.n > 0 {
		d.flush()
	}
	d.literals = append(d.literals, b...)
}

func (d *delta) flush() {
	for d.n > 0 {
		n := min(d.n, copyMost)
		d.writeCopy(d.from, n)
		d.from += n
		d.n -= n
	}
	for len(d.literals) > 0 {
		n := min(len(d.literals), insertMost)
		d.out = append(append(d.out, byte(n)), d.literals[:n]...)
		d.literals = d.literals[n:]
	}
	d.literals = nil
}

func (d *delta) writeCopy(from, n int) {
	op := len(d.out)
	d.out = append(d.out, 0x80)
	for i := range 4 {
		if b := byte(from >> (8 * i)); b != 0 {
			d.out[op] |= 1 << i
			d.out = append(d.out, b)
		}
	}
	for i := range 2 {
		if b := byte(n >> (8 * i)); b != 0 {
			d.out[op] |= 0x10 << i
			d.out = append(d.out, b)
		}
	}
}

func commonPrefix(a, b []byte) int {
	const step = 64
	n, most := 0, min(len(a), len(b))
	for n+step <= most && bytes.Equal(a[n:n+step], b[n:n+step]) {
		n += step
	}
	for n < most && a[n] == b[n] {
		n++
	}
	return n
}

func commonSuffix(a, b []byte) int {
	const step = 64
	n, most := 0, min(len(a), len(b))
	for n+step <= most && bytes.Equal(a[len(a)-n-step:len(a)-n], b[len(b)-n-step:len(b)-n]) {
		n += step
	}
	for n < most && a[len(a)-n-1] == b[len(b)-n-1] {
		n++
	}
	return n
}

// lineLength is makeDelta's split for text.
func lineLength(b []byte) int {
	if i := bytes.IndexByte(b, '\n'); i >= 0 {
		return i + 1
	}
	return len(b)
}
