package index

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"rollcall/internal/fact"
	"rollcall/server/cmdb"
)

func TestAMachineKeepsItsSetsWhereItAloneChanges(t *testing.T) {
	w := newWorld(t, 31)
	for range 40 {
		w.add()
	}
	w.follow()
	m := w.machines[7]
	own := func(n int) fact.Fact {
		return fact.Fact{Path: fmt.Sprintf("etc/own/%03d", n%50), Value: fmt.Sprintf("sha256:%064x 0644 root:root", 70_000+n)}
	}
	with := func(change func(etc []fact.Fact) []fact.Fact) {
		t.Helper()
		facts := maps.Clone(m.facts)
		facts["etc"] = fact.NewSet(change(slices.Clone(facts["etc"])))
		w.report(m, facts)
		w.agrees()
	}
	etc := func() (set uint32) {
		w.look(cmdb.Everywhere, func(v View) {
			all := v.Group()
			v.Add(all, m.id)
			for slot := range all.Slots() {
				for name, part := range v.Parts(slot) {
					if name == "etc" {
						set = uint32(part)
					}
				}
			}
		})
		return set
	}
	with(func(etc []fact.Fact) []fact.Fact {
		for n := range 50 {
			etc = append(etc, own(n))
		}
		return etc
	})
	before, slots := etc(), w.ix.fleet.owners.n
	for n := range 20 { // one is new, or has another value
		with(func(etc []fact.Fact) []fact.Fact {
			etc = slices.DeleteFunc(etc, func(f fact.Fact) bool { return f.Path == own(3*n).Path })
			return append(etc, own(50+3*n))
		})
		if got := etc(); got != before {
			t.Fatalf("change %d: the set %d has become %d", n, before, got)
		}
	}
	if got := w.ix.fleet.owners.n - slots; got > 20 {
		t.Errorf("20 changes took %d slots of the table of owners", got)
	}
	with(func(etc []fact.Fact) []fact.Fact { return etc[:4] })                                                      // on no base
	with(func(etc []fact.Fact) []fact.Fact { return append(etc, own(1)) })                                          // the first of its own
	with(func(etc []fact.Fact) []fact.Fact { return etc[:4] })                                                      // and none again
	with(func([]fact.Fact) []fact.Fact { return append(slices.Clone(w.machines[9].facts["etc"]), own(2)) })         // on that of another machine
	with(func([]fact.Fact) []fact.Fact { return slices.Clone(w.machines[9].facts["etc"]) })                         // which has the same
	with(func([]fact.Fact) []fact.Fact { return append(slices.Clone(w.machines[9].facts["etc"]), own(2), own(3)) }) // and goes on from it
	with(func(etc []fact.Fact) []fact.Fact {
		return slices.Concat(etc[:len(etc)/2], []fact.Fact{own(4), own(5), own(6)})
	}) // with half of it
}
