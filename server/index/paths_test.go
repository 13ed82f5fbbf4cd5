package index

import (
	"fmt"
	"maps"
	"testing"

	"rollcall/internal/fact"
	"rollcall/server/cmdb"
)

// soundPaths counts paths and columns anew. ownCount are the facts of their own that
// sets have, by path.
func (f *fleet) soundPaths(t testing.TB, ownCount map[pathID]uint32) {
	t.Helper()
	dead := 0
	for id := range uint32(f.paths.n) {
		if p := f.paths.at(id); p.text != 0 && p.facts == 0 && p.own == 0 {
			dead++
		}
		if got := f.paths.at(id).own; got != ownCount[pathID(id)] {
			t.Fatalf("path %s: %d own facts, counted %d", f.pathText(pathID(id)), got, ownCount[pathID(id)])
		}
	}
	if f.dict.dead != dead {
		t.Fatalf("%d paths are said to have nothing, counted %d", f.dict.dead, dead)
	}
	inColumns, unused := map[pathID]uint32{}, 0
	for _, n := range f.columns.by {
		c := f.columns.recs.at(n)
		inColumns[c.path] += c.count
		if c.count == 0 {
			unused++
		}
	}
	if maps.DeleteFunc(inColumns, func(_ pathID, n uint32) bool { return n == 0 }); !maps.Equal(inColumns, ownCount) || unused != f.columns.dead {
		t.Fatalf("%d columns without facts, counted %d; or a column has another number of facts", f.columns.dead, unused)
	}
}

func TestPathsThatNobodyHasAreForgotten(t *testing.T) {
	w := newWorld(t, 13)
	for range 20 {
		w.add()
	}
	w.follow()
	for round := range 60 {
		m := w.machines[round%20]
		facts := maps.Clone(m.facts)
		var net []fact.Fact
		for i := range 60 { // some stay, some are shared, most are new
			n := i
			if i >= 10 {
				n = round*60 + i
			}
			net = append(net, fact.Fact{Path: fmt.Sprintf("net/eth0/addr/10.%d.%d.%d%%2F8", n>>16, n>>8&255, n&255), Value: []string{"global", fmt.Sprintf("52:54:00:12:%02x:%02x", n>>8&255, n&255)}[i%2]})
		}
		facts["net"] = fact.NewSet(net)
		w.report(m, facts)
		w.look(cmdb.Everywhere, func(v View) {
			if got := len(v.f.matching("net/*/addr/*")); got < 50*min(round+1, 20)+10 {
				t.Fatalf("round %d: the pattern fits %d paths", round, got)
			}
		})
		if round%10 == 9 {
			w.agrees()
		}
	}
	w.look(cmdb.Everywhere, func(v View) {
		live := v.f.paths.n - len(v.f.noPaths) - v.f.dict.dead
		if v.f.dict.dead > max(leastDead, live) || v.f.paths.n > 3*live {
			t.Errorf("%d paths are kept for %d that somebody has", v.f.paths.n, live)
		}
		for _, id := range v.f.matching("net/*/addr/*") {
			if p := v.f.paths.at(uint32(id)); p.text == 0 {
				t.Fatal("a pattern remembers a path that is gone")
			}
		}
	})
}
