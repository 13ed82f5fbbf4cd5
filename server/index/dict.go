package index

import (
	"bytes"
	"hash/maphash"
	"iter"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"rollcall/internal/fact"
)

// Fact is the number of a fact in this index. It is good while the View is that
// it comes from.
type Fact uint32

// pathID is the number of a path.
type pathID uint32

type pathRec struct {
	hash    uint64
	text    uint32 // in texts; 0: the number is free
	first   uint32 // newest fact of the path + 1
	facts   uint32 // that have a number
	own     uint32 // that have none, see owns
	section uint16
}

type factRec struct {
	path  pathID
	value uint32 // in texts, packed
	next  uint32 // next older fact of the same path + 1
	has   slim   // who has it: sources, see core; 0: nobody, and the number is free
}

// dict gives a number to every path, and to every fact that more than one set has.
// The number of a fact that nobody has any more is used again, and that of a path, see
// bury.
type dict struct {
	seed     maphash.Seed
	texts    texts
	frames   frames
	paths    column[pathRec]
	facts    column[factRec]
	columns  columns
	byPath   table
	told     atomic.Pointer[map[string]pathID] // see tell
	toldOf   int                               // paths
	byFact   table
	sections []string
	sectionN map[string]uint16
	bySect   [][]pathID // paths of each section in the order in which they came
	pmu      sync.Mutex // guards patterns and ordered, which questions change too
	patterns map[string]*pattern
	ordered  map[uint16]*order // paths of sections in order, see inOrder
	free     []uint32          // numbers of no fact
	gone     []uint32          // facts that perhaps nobody has, see sweep
	noPaths  []pathID          // numbers of no path
	dead     int               // paths that nobody has anything at
	lost     int               // bytes of texts of facts and paths that are gone
}

func newDict() *dict {
	d := &dict{seed: maphash.MakeSeed(), sectionN: map[string]uint16{}, patterns: map[string]*pattern{}}
	d.texts.add(nil) // so that no text has the place 0
	return d
}

// mostSections is more than all agents together have. It is one less than there are
// numbers, and a machine can make names up without end.
const mostSections = 1<<16 - 1

// admits tells whether a section has a number or can get one.
func (d *dict) admits(section string) bool {
	_, ok := d.sectionN[section]
	return ok || len(d.sections) < mostSections
}

func (d *dict) section(name string) uint16 {
	n, ok := d.sectionN[name]
	if !ok {
		n = uint16(len(d.sections))
		d.sections = append(d.sections, strings.Clone(name))
		d.sectionN[d.sections[n]] = n
		d.bySect = append(d.bySect, nil)
	}
	return n
}

func (d *dict) pathHash(id uint32) uint64 { return d.paths.at(id).hash }

// lookup returns the number of a path that some machine has or had.
func (d *dict) lookup(path string) (pathID, bool) { return d.lookupBy(path, d.hashPath(path)) }

func (d *dict) lookupBy(path string, hash uint64) (pathID, bool) {
	id, ok := d.byPath.find(hash, func(id uint32) bool {
		p := d.paths.at(id)
		return p.hash == hash && string(d.texts.get(p.text)) == path
	})
	return pathID(id), ok
}

// path gives a path its number.
func (d *dict) path(n named) pathID {
	if n.id > 0 {
		return pathID(n.id - 1)
	}
	id, ok := d.lookupBy(n.text, n.hash)
	if ok {
		return id
	}
	section := d.section(fact.SectionOf(n.text))
	rec := pathRec{hash: n.hash, text: d.texts.add([]byte(n.text)), section: section}
	if n := len(d.noPaths); n > 0 {
		id, d.noPaths = d.noPaths[n-1], d.noPaths[:n-1]
		*d.paths.at(uint32(id)) = rec
	} else {
		id = pathID(d.paths.add(rec))
	}
	d.byPath.insert(n.hash, uint32(id), d.pathHash)
	d.bySect[section] = append(d.bySect[section], id)
	d.dead++ // until somebody has something at it
	return id
}

// count takes note of facts at a path that came or went, with a number and without.
func (d *dict) count(path pathID, facts, own int) {
	p := d.paths.at(uint32(path))
	if p.facts == 0 && p.own == 0 {
		d.dead--
	}
	p.facts, p.own = uint32(int(p.facts)+facts), uint32(int(p.own)+own)
	if p.facts == 0 && p.own == 0 {
		d.dead++
	}
}

// leastDead is how many paths and columns that nobody has nobody cares about.
const leastDead = 256

// bury frees the numbers of paths and columns that nobody has, once a quarter is such:
// what is remembered of patterns goes with them. It is called where no path without
// facts is in the hands of anybody.
func (d *dict) bury() {
	if d.columns.dead > leastDead && 4*d.columns.dead > d.columns.recs.n-len(d.columns.free) {
		d.columns.bury()
	}
	if d.dead <= leastDead || 4*d.dead <= d.paths.n-len(d.noPaths) {
		return
	}
	d.columns.bury()
	for section, paths := range d.bySect {
		d.bySect[section] = slices.DeleteFunc(paths, func(id pathID) bool {
			p := d.paths.at(uint32(id))
			if p.facts > 0 || p.own > 0 {
				return false
			}
			d.byPath.remove(p.hash, uint32(id), d.pathHash)
			d.lost += len(d.texts.get(p.text)) + 1
			*p = pathRec{}
			d.noPaths = append(d.noPaths, id)
			return true
		})
	}
	d.dead = 0
	d.pmu.Lock()
	clear(d.patterns)
	clear(d.ordered)
	d.pmu.Unlock()
}

func (d *dict) pathText(id pathID) string { return string(d.texts.get(d.paths.at(uint32(id)).text)) }

func (d *dict) hashOfFact(id uint32) uint64 {
	f := d.facts.at(id)
	var room [96]byte
	return d.factHash(f.path, d.valueHash(d.short(room[:0], d.texts.get(f.value))))
}

// value returns the value of a fact, and whether it is known: see short.
func (d *dict) value(f Fact) (string, bool) {
	return d.unpacked(d.texts.get(d.facts.at(uint32(f)).value))
}

func (d *dict) unpacked(packed []byte) (string, bool) {
	var room [96]byte
	return string(d.frames.unpack(room[:0], packed)), d.frames.whole(packed)
}

// numbered returns the number of a fact.
func (d *dict) numbered(path pathID, v value) (Fact, bool) {
	var room [96]byte
	id, ok := d.byFact.find(d.factHash(path, v.hash), func(id uint32) bool {
		f := d.facts.at(id)
		return f.path == path && bytes.Equal(d.short(room[:0], d.texts.get(f.value)), v.short)
	})
	return Fact(id), ok
}

// newFact gives a fact a number.
func (d *dict) newFact(path pathID, v value) Fact {
	rec := factRec{path: path, value: d.texts.add(v.packed), next: d.paths.at(uint32(path)).first}
	var id uint32
	if n := len(d.free); n > 0 {
		id, d.free = d.free[n-1], d.free[:n-1]
		*d.facts.at(id) = rec
	} else {
		id = d.facts.add(rec)
	}
	d.paths.at(uint32(path)).first = id + 1
	d.count(path, 1, 0)
	d.gone = append(d.gone, id) // until somebody has it
	d.byFact.insert(d.factHash(path, v.hash), id, d.hashOfFact)
	return Fact(id)
}

// forget frees the number of a fact that nobody has any more.
func (d *dict) forget(id uint32) {
	rec := d.facts.at(id)
	d.byFact.remove(d.hashOfFact(id), id, d.hashOfFact)
	p := d.paths.at(uint32(rec.path))
	if p.first == id+1 {
		p.first = rec.next
	} else {
		before := p.first - 1
		for d.facts.at(before).next != id+1 {
			before = d.facts.at(before).next - 1
		}
		d.facts.at(before).next = rec.next
	}
	d.count(rec.path, -1, 0)
	d.lost += len(d.texts.get(rec.value)) + 1
	*rec = factRec{}
	d.free = append(d.free, id)
}

// asked gives a value that a question names in the form that facts are found by.
// Nothing is added for it.
func (d *dict) asked(text string) value {
	return d.shut(d.frames.packed(nil, text, false))
}

// alike yields the facts of a path that may be equal to a value but for case and
// the marks of a MAC address.
func (d *dict) alike(path pathID, text string) iter.Seq[Fact] {
	return func(yield func(Fact) bool) {
		d.byFact.find(d.factHash(path, d.asked(text).hash), func(id uint32) bool {
			return d.facts.at(id).path == path && !yield(Fact(id))
		})
	}
}

// ofPath yields all facts of a path that have a number.
func (d *dict) ofPath(path pathID) iter.Seq[Fact] {
	return func(yield func(Fact) bool) {
		for n := d.paths.at(uint32(path)).first; n != 0; n = d.facts.at(n - 1).next {
			if !yield(Fact(n - 1)) {
				return
			}
		}
	}
}

// byPathOrder sorts facts by the number of their path, the order of all lists of
// facts in the index.
func (d *dict) byPathOrder(facts []uint32) {
	slices.SortFunc(facts, func(a, b uint32) int { return int(d.facts.at(a).path) - int(d.facts.at(b).path) })
}

func (d *dict) pathOf(f uint32) pathID { return d.facts.at(f).path }
