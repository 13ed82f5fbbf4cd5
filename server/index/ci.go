package index

import (
	"cmp"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"rollcall/internal/fact"
	"rollcall/server/cmdb"
)

// What a CI's head says is kept as facts of a section of its own, which no agent
// can report: sections are lower-case words.
const (
	headSection = "@"
	headPrefix  = "@/"
	fieldPrefix = "@/field/"
)

// ciRec is one CI. Its place in the column is its slot.
type ciRec struct {
	id               [10]byte
	sets             listRef // the one of the head first
	changed, created uint32  // seconds since 1970, 0: never
}

var (
	errID       = errors.New("not the id of a CI")
	errSections = fmt.Errorf("machines have named %d sections since the server started: find the one that makes them up and revoke its key, then restart the server", mostSections)
)

func binaryID(id string) (b [10]byte, err error) {
	if !cmdb.IsID(id) {
		return b, fmt.Errorf("id %.40q: %w", id, errID)
	}
	_, err = hex.Decode(b[:], []byte(id[2:]))
	return b, err
}

func textID(b [10]byte) string { return "ci" + hex.EncodeToString(b[:]) }

// fleet is a core with the CIs that have its sets.
type fleet struct {
	*core
	cis     column[ciRec]
	byID    table
	free    []uint32
	used    Bits             // slots that hold a CI
	damaged map[uint32]error // CIs of which not everything could be read
	lost    map[string]error // CIs whose head could not be read
}

func newFleet() *fleet {
	return &fleet{core: newCore(), damaged: map[uint32]error{}, lost: map[string]error{}}
}

func (f *fleet) idHash(slot uint32) uint64 { return f.hashID(f.cis.at(slot).id) }

func (f *fleet) hashID(id [10]byte) uint64 {
	var h uint64
	for _, c := range id[:8] { // ids are random
		h = h<<8 | uint64(c)
	}
	return mix(f.seed, h)
}

func (f *fleet) slotOf(id [10]byte) (uint32, bool) {
	return f.byID.find(f.hashID(id), func(slot uint32) bool { return f.cis.at(slot).id == id })
}

func (f *fleet) newSlot(id [10]byte) uint32 {
	rec := ciRec{id: id}
	var slot uint32
	if n := len(f.free); n > 0 {
		slot, f.free = f.free[n-1], f.free[:n-1]
		*f.cis.at(slot) = rec
	} else {
		slot = f.cis.add(rec)
		f.slots = f.cis.n
		if need := (f.slots + 63) / 64; need > len(f.used) {
			f.used = append(f.used, 0)
		}
	}
	f.byID.insert(f.hashID(id), slot, f.idHash)
	f.used.set(slot)
	return slot
}

// remove takes a CI out.
func (f *fleet) remove(id string) {
	delete(f.lost, id)
	b, err := binaryID(id)
	if err != nil {
		return
	}
	slot, ok := f.slotOf(b)
	if !ok {
		return
	}
	rec := f.cis.at(slot)
	for _, set := range slices.Clone(f.lists.get(rec.sets)) {
		f.leave(set, slot)
		f.release(set)
	}
	f.lists.drop(rec.sets)
	f.byID.remove(f.hashID(b), slot, f.idHash)
	f.used.clear(slot)
	delete(f.damaged, slot)
	*rec = ciRec{}
	f.free = append(f.free, slot)
}

// put takes in what a CI is now; one that was merged is taken out. Sets that the core does not have come from
// read. What could not be read is noted, and the rest is taken in.
func (f *fleet) put(ci head, read *reader) error {
	id, err := binaryID(ci.ID)
	if err != nil {
		return err
	}
	if ci.Status == cmdb.Merged { // another one is in its place
		f.remove(ci.ID)
		return nil
	}
	delete(f.lost, ci.ID)
	slot, ok := f.slotOf(id)
	if !ok {
		slot = f.newSlot(id)
	}
	rec := f.cis.at(slot)
	rec.changed, rec.created = seconds(ci.Changed), seconds(ci.Created)
	next := []uint32{f.headSet(ci, f.alone(slot, f.section(headSection)))}
	var damage []error
	for _, section := range slices.Sorted(maps.Keys(ci.State)) {
		if !f.admits(section) {
			damage = append(damage, fmt.Errorf("CI %s, section %s: %w", ci.Name, section, errSections))
			continue
		}
		read.except = f.alone(slot, f.section(section))
		set, err := f.sectionSet(section, ci.State[section], read)
		if err != nil {
			damage = append(damage, fmt.Errorf("CI %s, section %s: %w", ci.Name, section, err))
			continue
		}
		next = append(next, set)
	}
	old := slices.Clone(f.lists.get(rec.sets))
	gone := slices.DeleteFunc(slices.Clone(old), func(set uint32) bool { return slices.Contains(next, set) })
	for _, set := range gone { // first: a CI has one set a section, and is once on a base
		f.leave(set, slot)
	}
	for _, set := range next {
		if !slices.Contains(old, set) {
			f.join(set, slot)
		}
	}
	for _, set := range gone {
		f.release(set)
	}
	if !slices.Equal(old, next) {
		f.lists.drop(rec.sets)
		rec.sets = f.lists.make(next)
	}
	delete(f.damaged, slot)
	if len(damage) > 0 {
		f.damaged[slot] = errors.Join(damage...)
	}
	return nil
}

// alone returns the set of a CI in a section if nobody else has it.
func (f *fleet) alone(slot uint32, section uint16) uint32 {
	for _, set := range f.lists.get(f.cis.at(slot).sets) {
		if s := f.sets.at(set); s.section == section && s.members == slim(slot+1) {
			return set
		}
	}
	return noSet
}

func seconds(t time.Time) uint32 {
	if t.IsZero() || t.Unix() < 0 {
		return 0
	}
	return uint32(min(t.Unix(), 1<<32-1))
}

// headFacts is what a head says, as facts.
func headFacts(ci cmdb.CI) []fact.Fact {
	cloned := "no"
	if ci.Cloned {
		cloned = "yes"
	}
	facts := make([]fact.Fact, 0, 6+len(ci.Fields))
	for _, f := range []fact.Fact{
		{Path: "name", Value: ci.Name},
		{Path: "class", Value: ci.Class},
		{Path: "site", Value: ci.Site},
		{Path: "status", Value: string(ci.Status)},
		{Path: "trust", Value: ci.TrustClass()},
		{Path: "cloned", Value: cloned},
	} {
		if f.Value != "" {
			facts = append(facts, fact.Fact{Path: headPrefix + f.Path, Value: f.Value})
		}
	}
	for name, value := range ci.Fields {
		facts = append(facts, fact.Fact{Path: fieldPrefix + name, Value: value})
	}
	return facts
}

// head is a CI with what its head says.
type head struct {
	cmdb.CI
	facts []said
	key   uint64
}

// head works out what a CI's head says. It only reads the dictionary, as say does.
func (d *dict) head(ci cmdb.CI) head {
	facts := headFacts(ci)
	slices.SortFunc(facts, func(a, b fact.Fact) int { return strings.Compare(a.Path, b.Path) })
	var key []byte
	for _, x := range facts {
		key = append(append(append(append(key, x.Path...), 0), x.Value...), 0)
	}
	return head{ci, d.say(facts), d.keyOf(key)}
}

func (f *fleet) headSet(ci head, except uint32) uint32 {
	section, k := f.section(headSection), ci.key
	if set, ok := f.known(k, section); ok {
		return set
	}
	f.goes(except)
	// Scopes are found by numbers.
	list, own := f.sorted(ci.facts, func(path string) bool { return path != headPrefix+"name" && !strings.HasPrefix(path, fieldPrefix) }, except)
	return f.store(section, k, f.express(section, list, own, 0), except)
}

// sorted sorts facts into those with a number and those that no other set has, both
// in the order of their paths. number tells which get a number in any case.
func (c *core) sorted(facts []said, number func(path string) bool, except uint32) (list []uint32, own []ownFact) {
	for _, f := range facts {
		p := c.path(f.named)
		if h := c.place(p, f.value, number(f.text), except); h.own != nil {
			own = append(own, ownFact{path: p, value: h.own, hash: h.hash})
		} else {
			list = append(list, uint32(h.x))
		}
	}
	c.byPathOrder(list)
	slices.SortFunc(own, func(a, b ownFact) int { return cmp.Compare(a.path, b.path) })
	return list, own
}

// store adds a set in a form that express gave, or puts it in the place of one that is
// about to go.
func (c *core) store(section uint16, key uint64, f form, going uint32) uint32 {
	set := going
	if going == noSet {
		set = c.addSet(section, key, f)
	} else {
		c.replace(set, key, f)
	}
	if !c.fits(f) {
		c.wait(section, set)
	}
	return set
}

func (f *fleet) sectionSet(section string, d fact.Digest, read *reader) (uint32, error) {
	n, key := f.section(section), f.keyOf(d[:])
	if _, fresh := read.sets[d]; !fresh || !read.once {
		if set, ok := f.known(key, n); ok {
			return set, nil
		}
	}
	form, err := read.form(f.core, n, d, stored{}, 0)
	if err != nil {
		return 0, err
	}
	if read.once {
		delete(read.sets, d)
	}
	return f.store(n, key, form, read.except), nil
}
