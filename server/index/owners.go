package index

import (
	"math/bits"
	"runtime"
	"sync"
)

// owners leads from a fact that one set alone has to the set. A slot holds the number
// of a block of sets + 1, and above it as many bits of the hash as there is room for,
// so that hardly ever the wrong block is looked at. Three bytes a slot: this is the
// largest of all tables.
type owners struct {
	slots  []byte
	n      int // slots that are not free
	blocks int // bits of a slot for the number of a block
}

const (
	blockBits = 5 // sets of a block: a search goes through all of one
	slotBits  = 24
	slotBytes = slotBits / 8
	mostBits  = 16                             // for the number of a block
	ownerGone = 1<<slotBits - 1                // a slot that was let go
	maxOwners = (1<<mostBits - 2) << blockBits // sets with facts of their own
)

func (o *owners) len() int { return len(o.slots) / slotBytes }

func newOwners(slots, sets int) owners {
	return owners{
		slots:  make([]byte, max(64, slots)*slotBytes),
		blocks: min(mostBits, max(8, bits.Len(uint(sets>>blockBits)))),
	}
}

func (o *owners) home(h uint64) int {
	hi, _ := bits.Mul64(h, uint64(o.len()))
	return int(hi)
}

func (o *owners) at(i int) uint32 {
	s := o.slots[i*slotBytes : i*slotBytes+slotBytes]
	return uint32(s[0]) | uint32(s[1])<<8 | uint32(s[2])<<16
}

func (o *owners) put(i int, slot uint32) {
	s := o.slots[i*slotBytes : i*slotBytes+slotBytes]
	s[0], s[1], s[2] = byte(slot), byte(slot>>8), byte(slot>>16)
}

// tag is a slot for a hash and no block.
func (o *owners) tag(h uint64) uint32 { return uint32(h) << o.blocks & (1<<slotBits - 1) }

// find returns the place of a slot with that hash for whose block same holds.
func (o *owners) find(h uint64, same func(block uint32) bool) (at int, ok bool) {
	n := o.len()
	if n == 0 {
		return 0, false
	}
	tag, mask := o.tag(h), uint32(1)<<o.blocks-1
	for i := o.home(h); ; {
		slot := o.at(i)
		if slot == 0 {
			return 0, false
		}
		if slot&^mask == tag && slot != ownerGone && same(slot&mask-1) {
			return i, true
		}
		if i++; i == n {
			i = 0
		}
	}
}

func (o *owners) place(h uint64, block uint32) {
	for i := o.home(h); ; {
		if have := o.at(i); have == 0 || have == ownerGone {
			if have == 0 {
				o.n++
			}
			o.put(i, o.tag(h)|(block+1))
			return
		}
		if i++; i == o.len() {
			i = 0
		}
	}
}

// drop takes one slot out that holds what place put in. If two facts of a block have
// the same bits of the hash, either slot will do: the other one can still be found.
func (o *owners) drop(h uint64, block uint32) {
	if at, ok := o.find(h, func(b uint32) bool { return b == block }); ok {
		o.put(at, ownerGone) // a search must not end here
	}
}

// live returns how many slots hold something.
func (o *owners) live() (n int) {
	for i := range o.len() {
		if slot := o.at(i); slot != 0 && slot != ownerGone {
			n++
		}
	}
	return n
}

// full tells whether there is no room for so many more of a set.
func (o *owners) full(set uint32, more int) bool {
	return 8*(o.n+more) > 7*o.len() || set>>blockBits+2 >= 1<<o.blocks
}

// growOwners makes the table anew, larger than needed by so many tenths, without what is
// gone: a slot does not tell for which fact it stands. Hashes are worked out by all
// processors.
func (c *core) growOwners(more, by int) {
	live := c.owners.live()
	c.owners = newOwners((live+more)*by/10, 2*c.sets.n)
	const part = 1 << 13 // sets
	for from := 0; from < c.sets.n; from += part * runtime.GOMAXPROCS(0) {
		hashes := make([][]uint64, runtime.GOMAXPROCS(0))
		var g sync.WaitGroup
		for i := range hashes {
			g.Go(func() { hashes[i] = c.ownHashes(from+i*part, min(c.sets.n, from+(i+1)*part)) })
		}
		g.Wait()
		for _, list := range hashes {
			for ; len(list) > 0; list = list[2:] {
				c.owners.place(list[1], uint32(list[0]))
			}
		}
	}
}

// ownHashes lists the block and the hash of all facts of their own of some sets.
func (c *core) ownHashes(from, to int) (out []uint64) {
	for set := uint32(from); int(set) < to; set++ {
		if s := c.sets.at(set); s.key() != 0 && s.owning() {
			for f := range c.ownFacts(c.formOf(set).own) {
				out = append(out, uint64(set>>blockBits), c.factHash(f.path, c.valueHash(f.value)))
			}
		}
	}
	return out
}
