package index

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"slices"
	"strings"
	"sync"
	"testing"

	"rollcall/internal/fact"
	"rollcall/internal/sim"
	"rollcall/server/cmdb"
	"rollcall/server/compare"
)

// comparedMachines is how many machines the benchmarks of comparisons count. What
// 100,000 take is measured by rollcall-bench questions.
const comparedMachines = 20_000

// simulated is made once for all benchmarks.
var simulated = sync.OnceValues(func() (*simFleet, error) { return simulate(comparedMachines, 1) })

// simulate makes an index over a simulated fleet, without a store.
func simulate(n int, seed uint64) (*simFleet, error) {
	machines, err := sim.New(sim.Options{Machines: n, Seed: seed, Day: sim.LastDay})
	if err != nil {
		return nil, err
	}
	s := &simFleet{machines: machines, ix: New(Config{})}
	f := newFleet()
	read, bases := newReader(cmdb.View{}), map[fact.Digest]stored{}
	for i := range machines.Len() {
		m := machines.Member(i)
		ci := cmdb.CI{ID: simID(i), Name: m.Name, Class: m.Profile.Class(), Site: m.Site, State: fact.State{}, Created: day, Changed: day}
		for section := range machines.Sections(i) {
			ci.State[section.Name] = storeSim(f.dict, read, bases, section)
		}
		if err := f.put(f.head(ci), read); err != nil {
			return nil, err
		}
		clear(read.sets)
	}
	f.sweep()
	f.tidy()
	s.ix.fleet = f
	return s, nil
}

type simFleet struct {
	machines *sim.Fleet
	ix       *Index
}

func simID(i int) string {
	sum := sha256.Sum256(binary.BigEndian.AppendUint64(nil, uint64(i)))
	return "ci" + hex.EncodeToString(sum[:10])
}

// storeSim gives the reader a section as a store would.
func storeSim(d *dict, read *reader, bases map[fact.Digest]stored, s sim.Section) fact.Digest {
	if s.Base == nil {
		set := s.Set()
		read.sets[set.Digest()] = stored{put: d.say(set)}
		return set.Digest()
	}
	base := s.Base.Digest()
	if _, ok := bases[base]; !ok {
		bases[base] = stored{put: d.say(s.Base.Facts)}
	}
	read.sets[base] = bases[base]
	if len(s.Put) == 0 && len(s.Drop) == 0 {
		return base
	}
	key := base[:] // what the set has is in its delta; to hash all of it would take minutes
	for _, x := range s.Put {
		key = append(append(append(append(key, x.Path...), 0), x.Value...), 0)
	}
	delta := fact.Delta{Base: base, Put: s.Put, Drop: s.Drop, Result: sha256.Sum256(append(key, strings.Join(s.Drop, "\x00")...))}
	read.sets[delta.Result] = d.stored(delta)
	return delta.Result
}

// contents gives files of any machine.
func (s *simFleet) contents() func(fact.Digest) ([]byte, error) {
	owner, kept := map[fact.Digest]int{}, map[fact.Digest][]byte{}
	bases := map[int]bool{}
	for i := range s.machines.Len() {
		etc := s.machines.Section(i, "etc")
		facts := etc.Put
		if etc.Base != nil && !bases[etc.Base.ID] {
			bases[etc.Base.ID] = true
			facts = slices.Concat(facts, etc.Base.Facts)
		}
		for _, x := range facts {
			if file, err := fact.ParseFile(x.Value); err == nil {
				if _, ok := owner[file.Digest]; !ok {
					owner[file.Digest] = i
				}
			}
		}
	}
	return func(d fact.Digest) ([]byte, error) {
		if c, ok := kept[d]; ok {
			return c, nil
		}
		c, ok := s.machines.Contents(owner[d], []fact.Digest{d})[d]
		if !ok {
			return nil, cmdb.ErrNotFound
		}
		kept[d] = c
		return c, nil
	}
}

// BenchmarkCompare compares a class with the next one, 25 machines with all others,
// and every other municipality with those between.
func BenchmarkCompare(b *testing.B) {
	s, err := simulated()
	if err != nil {
		b.Fatal(err)
	}
	number := map[string]int{}
	for i := range s.machines.Len() {
		number[simID(i)] = i
	}
	read := s.read()
	contents := s.contents()
	member := func(slot uint32, v View) sim.Member { return s.machines.Member(number[v.ID(slot)]) }
	rooms := map[string]int{}
	for i := range s.machines.Len() {
		if m := s.machines.Member(i); m.Profile == sim.Workstation && len(rooms) < 2 {
			if _, ok := rooms[m.Site]; !ok {
				rooms[m.Site] = len(rooms)
			}
		}
	}
	for _, q := range []struct {
		name string
		side func(sim.Member) int // 0: broken, 1: working
	}{
		{"class", func(m sim.Member) int {
			if side, ok := rooms[m.Site]; ok {
				return side
			}
			return -1
		}},
		{"25-and-rest", func(m sim.Member) int { return min(1, m.Number%(comparedMachines/25)) }},
		{"half-and-half", func(m sim.Member) int {
			town, _, _ := strings.Cut(m.Site, "/")
			return int(town[len(town)-1]) % 2
		}},
	} {
		b.Run(q.name, func(b *testing.B) {
			b.ReportAllocs()
			if err := s.ix.Look(cmdb.Everywhere, func(v View) error {
				sides := [2]Bits{v.Group(), v.Group()}
				for slot := range v.Machines().Slots() {
					if side := q.side(member(slot, v)); side >= 0 {
						sides[side].Set(slot)
					}
				}
				lib := compare.NewLibrary()
				for b.Loop() {
					g := compare.Groups{Fleet: v.Compared(sides[0], sides[1], read), Contents: contents, Library: lib, MaxRows: 20}
					res, err := compare.Compare(b.Context(), g)
					if err != nil {
						return err
					}
					b.ReportMetric(float64(res.Patterns), "patterns")
				}
				return nil
			}); err != nil {
				b.Fatal(err)
			}
		})
	}
}
