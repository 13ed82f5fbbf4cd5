package index

import (
	"bytes"
	"hash/maphash"
	"iter"
	"slices"
	"strings"
	"sync"

	"rollcall/internal/fact"
)

// Fact is the number of a fact in this index. It is good while the View is that
// it comes from.
type Fact uint32

// pathID is the number of a path.
type pathID uint32

type pathRec struct {
	text    uint32 // in texts
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
// The number of a fact that nobody has any more is used again; paths stay.
type dict struct {
	seed     maphash.Seed
	texts    texts
	tails    tails
	paths    column[pathRec]
	facts    column[factRec]
	byPath   table
	byFact   table
	sections []string
	sectionN map[string]uint16
	bySect   [][]pathID // paths of each section in the order in which they came
	pmu      sync.Mutex // guards patterns, which questions change too
	patterns map[string]*pattern
	free     []uint32 // numbers of no fact
	gone     []uint32 // facts that perhaps nobody has, see sweep
	lost     int      // bytes of texts of facts that are gone

	buf []byte
}

func newDict() *dict {
	d := &dict{seed: maphash.MakeSeed(), sectionN: map[string]uint16{}, patterns: map[string]*pattern{}}
	d.texts.add(nil) // so that no text has the place 0
	return d
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

func (d *dict) pathHash(id uint32) uint64 {
	return maphash.Bytes(d.seed, d.texts.get(d.paths.at(id).text))
}

// lookup returns the number of a path that some machine has or had.
func (d *dict) lookup(path string) (pathID, bool) {
	id, ok := d.byPath.find(maphash.String(d.seed, path), func(id uint32) bool {
		return string(d.texts.get(d.paths.at(id).text)) == path
	})
	return pathID(id), ok
}

func (d *dict) path(path string) pathID {
	id, ok := d.lookup(path)
	if ok {
		return id
	}
	section := d.section(fact.SectionOf(path))
	d.buf = append(d.buf[:0], path...)
	id = pathID(d.paths.add(pathRec{text: d.texts.add(d.buf), section: section}))
	d.byPath.insert(maphash.String(d.seed, path), uint32(id), d.pathHash)
	d.bySect[section] = append(d.bySect[section], id)
	return id
}

func (d *dict) pathText(id pathID) string { return string(d.texts.get(d.paths.at(uint32(id)).text)) }

// folded appends what the hash of a value is made of: it is the same for all
// values that fold to the same. Of a digest that is its hash and what follows it.
func (d *dict) folded(dst, packed []byte) []byte {
	if packed = short(d.seed, packed); !whole(packed) {
		return append(dst, packed...)
	}
	var text [96]byte
	return fold(dst, string(d.tails.unpack(text[:0], packed)))
}

func (d *dict) factHash(id uint32) uint64 {
	f := d.facts.at(id)
	return d.ownHash(f.path, d.texts.get(f.value))
}

// value returns the value of a fact, and whether it is known: see short.
func (d *dict) value(f Fact) (string, bool) {
	return d.unpacked(d.texts.get(d.facts.at(uint32(f)).value))
}

func (d *dict) unpacked(packed []byte) (string, bool) {
	return string(d.tails.unpack(make([]byte, 0, 96), packed)), whole(packed)
}

// numbered returns the number of a fact by its packed value.
func (d *dict) numbered(path pathID, packed []byte) (Fact, bool) {
	want := short(d.seed, packed)
	id, ok := d.byFact.find(d.ownHash(path, packed), func(id uint32) bool {
		f := d.facts.at(id)
		return f.path == path && bytes.Equal(short(d.seed, d.texts.get(f.value)), want)
	})
	return Fact(id), ok
}

// newFact gives a fact a number.
func (d *dict) newFact(path pathID, packed []byte) Fact {
	p := d.paths.at(uint32(path))
	rec := factRec{path: path, value: d.texts.add(packed), next: p.first}
	var id uint32
	if n := len(d.free); n > 0 {
		id, d.free = d.free[n-1], d.free[:n-1]
		*d.facts.at(id) = rec
	} else {
		id = d.facts.add(rec)
	}
	p.first = id + 1
	p.facts++
	d.gone = append(d.gone, id) // until somebody has it
	d.byFact.insert(d.ownHash(path, packed), id, d.factHash)
	return Fact(id)
}

// forget frees the number of a fact that nobody has any more.
func (d *dict) forget(id uint32) {
	rec := d.facts.at(id)
	d.byFact.remove(d.factHash(id), id, d.factHash)
	p := d.paths.at(uint32(rec.path))
	p.facts--
	if p.first == id+1 {
		p.first = rec.next
	} else {
		before := p.first - 1
		for d.facts.at(before).next != id+1 {
			before = d.facts.at(before).next - 1
		}
		d.facts.at(before).next = rec.next
	}
	d.lost += len(d.texts.get(rec.value)) + 1
	*rec = factRec{}
	d.free = append(d.free, id)
}

// asked gives a value that a question names in the form that facts are found by.
// Nothing is added for it.
func (d *dict) asked(value string) []byte {
	if lower := strings.ToLower(value); digestAt(lower) >= 0 {
		value = lower
	}
	return short(d.seed, d.tails.packed(nil, value, false))
}

// alike yields the facts of a path that may be equal to a value but for case and
// the marks of a MAC address.
func (d *dict) alike(path pathID, value string) iter.Seq[Fact] {
	return func(yield func(Fact) bool) {
		d.byFact.find(d.ownHash(path, d.asked(value)), func(id uint32) bool {
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
