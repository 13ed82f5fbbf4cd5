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
	facts   uint32
	section uint16
}

type factRec struct {
	path  pathID
	value uint32 // in texts, packed
	next  uint32 // next older fact of the same path + 1
	has   slim   // who has it: sources, see core
}

// dict gives every path and every fact a number. Numbers are never used for
// something else; what nobody has any more goes when the index is made anew.
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
	buf, key []byte
}

func newDict() *dict {
	return &dict{seed: maphash.MakeSeed(), sectionN: map[string]uint16{}, patterns: map[string]*pattern{}}
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

// hashOf gives the same for all facts of a path whose values fold to the same.
func (d *dict) hashOf(path pathID, value string) uint64 {
	d.key = append(d.key[:0], byte(path), byte(path>>8), byte(path>>16), byte(path>>24))
	d.key = fold(d.key, value)
	return maphash.Bytes(d.seed, d.key)
}

func (d *dict) factHash(id uint32) uint64 {
	f := d.facts.at(id)
	return d.hashOf(f.path, d.value(Fact(id)))
}

// value returns the value of a fact.
func (d *dict) value(f Fact) string {
	return string(d.tails.unpack(make([]byte, 0, 96), d.texts.get(d.facts.at(uint32(f)).value)))
}

// intern returns the number of a fact, which it gets if it has none.
func (d *dict) intern(path pathID, value string) Fact {
	d.buf = d.tails.pack(d.buf[:0], value)
	h := d.hashOf(path, value)
	id, ok := d.byFact.find(h, func(id uint32) bool {
		f := d.facts.at(id)
		return f.path == path && bytes.Equal(d.texts.get(f.value), d.buf)
	})
	if ok {
		return Fact(id)
	}
	p := d.paths.at(uint32(path))
	id = d.facts.add(factRec{path: path, value: d.texts.add(d.buf), next: p.first})
	p.first = id + 1
	p.facts++
	d.byFact.insert(h, id, d.factHash)
	return Fact(id)
}

// exact returns the fact with that path and value, if any CI has or had it.
func (d *dict) exact(path pathID, value string) (Fact, bool) {
	for f := range d.folded(path, value) {
		if d.value(f) == value {
			return f, true
		}
	}
	return 0, false
}

// folded yields the facts of a path whose values fold to the same as value.
func (d *dict) folded(path pathID, value string) iter.Seq[Fact] {
	return func(yield func(Fact) bool) {
		key := fold(append([]byte(nil), byte(path), byte(path>>8), byte(path>>16), byte(path>>24)), value)
		d.byFact.find(maphash.Bytes(d.seed, key), func(id uint32) bool {
			return d.facts.at(id).path == path && !yield(Fact(id))
		})
	}
}

// ofPath yields all facts of a path.
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
