package index

import (
	"time"
	"unsafe"
)

// Usage is what an index takes and what it took to make it.
type Usage struct {
	CIs, Sets, Facts int
	Bytes            int           // of memory, about
	Made             time.Duration // zero while it is being made for the first time
}

// Usage tells how large the index is now.
func (ix *Index) Usage() Usage {
	ix.mu.RLock()
	defer ix.mu.RUnlock()
	if ix.fleet == nil {
		return Usage{}
	}
	f := ix.fleet
	return Usage{
		CIs: f.used.Count(), Sets: f.sets.n - len(f.freeSets), Facts: f.dict.facts.n, Bytes: f.bytes(), Made: time.Duration(ix.took.Load()),
	}
}

// Bytes of an entry of a map with small keys, about, see internal/runtime/maps.
const mapEntry = 24

func (f *fleet) bytes() int {
	n := f.core.bytes() + f.cis.bytes() + f.byID.bytes() + 8*cap(f.used) + 4*cap(f.free)
	return n + f.dict.bytes()
}

func (c *core) bytes() int {
	n := c.lists.bytes() + c.sets.bytes() + c.byKey.bytes() + cap(c.owners.slots) + mapEntry*len(c.lacks) + 4*(cap(c.freeSets)+cap(c.freeBases))
	for _, b := range c.bases {
		if b != nil {
			n += int(unsafe.Sizeof(*b)) + 4*cap(b.facts) + 4*cap(b.slots.list) + 8*cap(b.slots.bits)
		}
	}
	return n + 8*cap(c.bases)
}

func (d *dict) bytes() int {
	n := len(d.texts.chunks)*textChunk + d.paths.bytes() + d.facts.bytes() + d.byPath.bytes() + d.byFact.bytes() + 4*(cap(d.free)+cap(d.gone))
	n += d.frames.bytes() + d.columns.bytes() + 4*cap(d.noPaths)
	for _, paths := range d.bySect {
		n += 4 * cap(paths)
	}
	return n
}

func (c *column[T]) bytes() int {
	var one T
	return len(c.chunks) * columnChunk * int(unsafe.Sizeof(one))
}

func (t *table) bytes() int { return 4 * cap(t.slots) }

func (l *lists) bytes() int {
	n := l.room()
	for _, free := range l.free {
		n += 4 * cap(free)
	}
	return n
}
