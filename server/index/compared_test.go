package index

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"testing"

	"rollcall/internal/fact"
	"rollcall/internal/sim"
	"rollcall/server/cmdb"
	"rollcall/server/compare"
)

// TestGroupsAreCountedAsMachineByMachine asks the same question of machines with all
// their facts and of the index: of groups whose machines have a bit each, of groups
// that are only counted, and of such as are too large to be looked at machine by
// machine.
func TestGroupsAreCountedAsMachineByMachine(t *testing.T) {
	for _, tt := range []struct {
		machines, asked, masked, times int
	}{
		{90, 40, maskedFleet, 3},
		{90, 40, 0, 3},
		{560, 540, 0, 1},
	} {
		t.Run(fmt.Sprintf("%d of %d, masks up to %d", tt.asked, tt.machines, tt.masked), func(t *testing.T) {
			s, err := simulate(tt.machines, 3)
			if err != nil {
				t.Fatal(err)
			}
			rng := rand.New(rand.NewPCG(uint64(tt.machines), uint64(tt.masked)))
			contents := s.contents()
			for range tt.times {
				var g compare.Groups
				sides := map[int]int{}
				share := 1 + rng.IntN(4)
				for _, i := range rng.Perm(tt.machines)[:tt.asked] {
					m := s.machines.Member(i)
					one := compare.Machine{ID: simID(i), Name: m.Name, Site: m.Site, Sections: s.machines.Sets(i)}
					if m.Profile == sim.Workstation && rng.IntN(share) == 0 {
						g.Broken, sides[i] = append(g.Broken, one), 0
					} else {
						g.Working, sides[i] = append(g.Working, one), 1
					}
				}
				g.Contents, g.MaxRows = contents, 200
				want, err := compare.Compare(t.Context(), g)
				if err != nil {
					t.Fatal(err)
				}
				var got compare.Result
				err = s.ix.Look(cmdb.Everywhere, func(v View) (err error) {
					both := [2]Bits{v.Group(), v.Group()}
					for i, side := range sides {
						v.Add(both[side], simID(i))
					}
					c := v.Compared(both[0], both[1], s.read())
					c.masked = tt.masked
					got, err = compare.Compare(t.Context(), compare.Groups{Fleet: c, Contents: contents, MaxRows: 200})
					return err
				})
				if err != nil {
					t.Fatal(err)
				}
				if len(want.Rows) < 5 {
					t.Errorf("only %d rows: the machines are too much alike to tell", len(want.Rows))
				}
				differs(t, got, want)
			}
		})
	}
}

// differs tells what is not the same in two answers.
func differs(t *testing.T, got, want compare.Result) {
	t.Helper()
	if got.Verdict != want.Verdict || got.Patterns != want.Patterns || got.Chance != want.Chance || !reflect.DeepEqual(got.Notes, want.Notes) {
		t.Errorf("%s, %d patterns, chance %v, notes %q\nwant %s, %d patterns, chance %v, notes %q", got.Verdict, got.Patterns, got.Chance, got.Notes, want.Verdict, want.Patterns, want.Chance, want.Notes)
	}
	for i := range max(len(got.Rows), len(want.Rows)) {
		if i >= len(got.Rows) || i >= len(want.Rows) {
			t.Errorf("%d rows, want %d", len(got.Rows), len(want.Rows))
			return
		}
		a, b := fmt.Sprintf("%+v", got.Rows[i]), fmt.Sprintf("%+v", want.Rows[i])
		if a != b {
			at := 0
			for at < min(len(a), len(b)) && a[at] == b[at] {
				at++
			}
			t.Errorf("row %d, %s: … %.300s\nwant … %.300s", i, want.Rows[i].What, a[at:], b[at:])
			return
		}
	}
}

// read gives what a machine has, as a store would.
func (s *simFleet) read() func(id, path string) (string, bool, error) {
	number := map[string]int{}
	for i := range s.machines.Len() {
		number[simID(i)] = i
	}
	kept := map[[2]string]sim.Section{}
	return func(id, path string) (string, bool, error) {
		key := [2]string{id, fact.SectionOf(path)}
		if _, ok := kept[key]; !ok {
			kept[key] = s.machines.Section(number[id], key[1])
		}
		value, ok := kept[key].Get(path)
		return value, ok, nil
	}
}
