package index

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"rollcall/internal/fact"
	"rollcall/server/cmdb"
	"rollcall/server/compare"
	"rollcall/server/store"
)

// sound computes anew what the index keeps for speed, and compares.
func (w *world) sound() {
	w.t.Helper()
	w.ix.mu.RLock()
	defer w.ix.mu.RUnlock()
	f := w.ix.fleet
	has, lacks := map[uint32][]uint32{}, map[uint32][]uint32{}
	perBase := map[uint32]int{}
	ownCount := map[pathID]uint32{}
	for id := range uint32(f.sets.n) {
		s := f.sets.at(id)
		if s.key() == 0 {
			continue
		}
		perBase[s.base()]++
		form := f.formOf(id)
		for _, x := range form.adds {
			has[x] = append(has[x], sourceSet(id))
		}
		for _, x := range form.drops {
			lacks[x] = append(lacks[x], id)
		}
		last := pathID(0)
		for o := range f.ownFacts(form.own) {
			if o.path < last || !s.owning() {
				w.t.Fatalf("set %d: own facts are out of order, or not in the table", id)
			}
			last = o.path + 1
			ownCount[o.path]++
			if n, ok := f.numbered(o.path, f.shut(o.value)); ok {
				w.t.Fatalf("set %d has a fact of its own that has the number %d", id, n)
			}
			if set, ok := f.owner(o.path, f.shut(o.value), noSet); !ok || set != id {
				w.t.Fatalf("a fact of its own of set %d is said to be that of %d, %v", id, set, ok)
			}
			if set, ok := f.owner(o.path, f.shut(o.value), id); ok {
				w.t.Fatalf("sets %d and %d have the same fact of their own", id, set)
			}
			if _, ok := f.inList(f.bases[form.base].facts, o.path); ok {
				if _, dropped := f.inList(form.drops, o.path); !dropped {
					w.t.Fatalf("set %d has two values at a path", id)
				}
			}
		}
		facts := f.factsOf(form)
		if !slices.IsSortedFunc(facts, func(a, b uint32) int { return int(f.pathOf(a)) - int(f.pathOf(b)) }) {
			w.t.Fatalf("set %d is out of order", id)
		}
	}
	for n, b := range f.bases {
		if b == nil {
			continue
		}
		if b.sets != perBase[uint32(n)] || n > 0 && b.sets == 0 {
			w.t.Fatalf("base %d has %d sets, counted %d", n, b.sets, perBase[uint32(n)])
		}
		for _, x := range b.facts {
			has[x] = append(has[x], sourceBase(uint32(n)))
		}
		for _, m := range b.finer.bases {
			if f.bases[m] == nil || f.bases[m].finer.under != uint32(n) {
				w.t.Fatalf("base %d is said to be finer than %d", m, n)
			}
		}
	}
	for x := range uint32(f.dict.facts.n) {
		var one [1]uint32
		got := f.lists.slimGet(f.dict.facts.at(x).has, &one)
		want := has[x]
		slices.Sort(want)
		if !slices.Equal(got, want) {
			w.t.Fatalf("fact %d has the sources %v, want %v", x, got, want)
		}
		if free := f.dict.facts.at(x).value == 0; (len(want) == 0) != free {
			w.t.Fatalf("fact %d has %d sources and is free: %v", x, len(want), free)
		}
		if got := f.lists.slimGet(f.lacks[x], &one); !slices.Equal(got, lacks[x]) {
			w.t.Fatalf("fact %d is lacked by %v, want %v", x, got, lacks[x])
		}
	}
	f.soundPaths(w.t, ownCount)
	words := 0
	for c := range f.lists.chunks {
		words += len(f.lists.chunks[c])
	}
	if f.lists.words > words {
		w.t.Fatalf("%d words in lists of %d", f.lists.words, words)
	}
}

// agrees compares everything that the index knows with what the store holds.
func (w *world) agrees() {
	w.t.Helper()
	w.sound()
	holders := map[fact.Fact][]string{}
	heads := map[string]cmdb.CI{}
	if err := w.ix.view(context.Background(), func(v cmdb.View) error {
		for ci, err := range v.All() {
			if err != nil {
				return err
			}
			heads[ci.ID] = ci
			for _, f := range headFacts(ci) {
				holders[f] = append(holders[f], ci.ID)
			}
			for section := range ci.State {
				set, err := v.Set(ci.State, section)
				if err != nil {
					return err
				}
				for _, f := range set {
					holders[f] = append(holders[f], ci.ID)
				}
			}
		}
		return nil
	}); err != nil {
		w.t.Fatal(err)
	}
	w.look(cmdb.Everywhere, func(v View) {
		if got := v.Machines().Count(); got != len(heads) {
			w.t.Fatalf("%d CIs in the index, %d in the store", got, len(heads))
		}
		for f, ids := range holders {
			var got []string
			for slot := range v.Holders(f.Path, f.Value).Slots() {
				got = append(got, v.ID(slot))
			}
			slices.Sort(got)
			slices.Sort(ids)
			if !slices.Equal(got, ids) {
				w.t.Fatalf("%v: the index says %d, the store %d", f, len(got), len(ids))
			}
			if x, ok := v.Lookup(f.Path, f.Value); ok {
				if have, known := v.Fact(x); known && have != f {
					w.t.Fatalf("fact %v comes back as %v", f, have)
				}
			}
		}
		for x := range uint32(v.f.dict.facts.n) {
			if f, known := v.Fact(Fact(x)); known && v.f.dict.facts.at(x).value != 0 && v.Having(Fact(x)).Count() != len(holders[f]) {
				w.t.Fatalf("%v: the index says %d CIs, the store %d", f, v.Having(Fact(x)).Count(), len(holders[f]))
			}
		}
		for slot := range v.Machines().Slots() {
			ci := heads[v.ID(slot)]
			if v.Name(slot) != ci.Name || len(v.Sections(slot)) != len(ci.State) {
				w.t.Fatalf("slot %d is %q with %v, want %q with %v", slot, v.Name(slot), v.Sections(slot), ci.Name, ci.State)
			}
			for section, d := range ci.State {
				w.same(v, slot, section, ci.State, d)
			}
		}
	})
}

// facts gives what a CI has in a section; of digests that are not known only the
// prefix.
func (v View) facts(slot uint32, section string) fact.Set {
	var out []fact.Fact
	for name, part := range v.Parts(slot) {
		if name != section {
			continue
		}
		for f := range v.Facts(part) {
			out = append(out, f)
		}
	}
	return fact.NewSet(out)
}

// same compares a section of a CI with the store.
func (w *world) same(v View, slot uint32, section string, state fact.State, d fact.Digest) {
	w.t.Helper()
	got := v.facts(slot, section)
	var want fact.Set
	if err := w.ix.view(context.Background(), func(c cmdb.View) (err error) { want, err = c.Set(state, section); return err }); err != nil {
		w.t.Fatal(err)
	}
	unknown := 0
	for i, f := range got {
		if start, rest, ok := strings.Cut(f.Value, unknownDigits); ok && i < len(want) {
			if !strings.HasPrefix(want[i].Value, start) || !strings.HasSuffix(want[i].Value, rest) {
				w.t.Fatalf("%v is known as %q", want[i], f.Value)
			}
			got[i].Value = want[i].Value
			unknown++
		}
	}
	if got.Digest() != d || unknown > 0 && section != "etc" {
		w.t.Fatalf("%s of %s: another set comes out", section, v.Name(slot))
	}
}

func TestTheIndexIsWhatTheStoreHoldsAtStartAndAfterEveryChange(t *testing.T) {
	for seed := range uint64(1 + rounds()) {
		w := newWorld(t, seed)
		for range 150 {
			w.add()
		}
		w.follow()
		w.agrees()
		for step := range 12 {
			for range 20 {
				w.change(w.machines[w.rnd.IntN(len(w.machines))])
			}
			w.add()
			w.erase(w.rnd.IntN(len(w.machines)))
			w.agrees()
			if step == 6 { // made anew beside the one that answers
				w.ix = w.newIndex()
				w.follow()
				w.agrees()
			}
		}
		shared := 0
		for _, b := range w.ix.fleet.bases[1:] {
			if b != nil && b.sets > 1 {
				shared++
			}
		}
		if shared < 3 {
			t.Errorf("only %d bases are shared", shared)
		}
	}
}

func TestWhatIsTouchedWhileTheIndexIsMadeIsInIt(t *testing.T) {
	w := newWorld(t, 9)
	for range 200 {
		w.add()
	}
	w.run(func(ctx context.Context) error { return w.ix.Run(ctx, w.feed) })
	for range 200 {
		w.change(w.machines[w.rnd.IntN(len(w.machines))])
	}
	w.wait(w.ix)
	w.agrees()
}

func TestWhoWroteSeesItInTheIndexAtOnce(t *testing.T) {
	w := newWorld(t, 3)
	for range 20 {
		w.add()
	}
	w.follow()
	for i := range 50 {
		m := w.machines[i%20]
		facts := w.random(5000 + i)
		w.report(m, facts)
		want := facts["id"][0]
		w.look(cmdb.Everywhere, func(v View) {
			if v.Holders(want.Path, want.Value).Count() != 1 {
				t.Fatalf("report %d is not in the index after its answer", i)
			}
		})
	}
}

func TestAScopeSeesItsOwnCIsOnly(t *testing.T) {
	w := newWorld(t, 5)
	for range 100 {
		w.add()
	}
	w.follow()
	for _, scope := range []cmdb.Scope{cmdb.Everywhere, cmdb.Within("elm"), cmdb.Within("elm/north", "oak"), cmdb.Within("nowhere"), {}} {
		want := map[string]bool{}
		if err := w.engine.View(t.Context(), func(r store.Reader) error {
			for ci, err := range cmdb.At(r, tenant, w.sets, scope).All() {
				if err != nil {
					return err
				}
				want[ci.ID] = true
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		w.look(scope, func(v View) {
			all := v.Machines()
			for slot := range all.Slots() {
				if !want[v.ID(slot)] {
					t.Errorf("%s: %s is visible", scope, v.Name(slot))
				}
			}
			if all.Count() != len(want) {
				t.Errorf("%s: %d CIs, want %d", scope, all.Count(), len(want))
			}
			for x := range uint32(v.f.dict.facts.n) {
				for slot := range v.Having(Fact(x)).Slots() {
					if !want[v.ID(slot)] {
						t.Fatalf("%s: fact %d tells of %s", scope, x, v.Name(slot))
					}
				}
			}
			for x, n := range v.counts(v.f.used, v.Group()) {
				if n[0] > len(want) {
					t.Fatalf("%s: %d have fact %d", scope, n[0], x)
				}
			}
			if got := v.Add(v.Group(), w.machines[0].id); got != want[w.machines[0].id] {
				t.Errorf("%s: Add = %v", scope, got)
			}
		})
	}
}

// counts gives how many of two groups have each fact that anybody of them has.
func (v View) counts(a, b Bits) map[Fact][2]int {
	c := v.Compared(a, b, nil)
	weights := make([]compare.Tally, len(c.slots))
	for i, p := range c.places {
		weights[i] = compare.Tally{Near: 1}
		if p.Broken {
			weights[i] = compare.Tally{Broken: 1}
		}
	}
	w := c.weigh(compare.Ask{Weights: weights})
	out := map[Fact][2]int{}
	for _, s := range w.sections {
		if s == nil {
			continue
		}
		for row, x := range s.facts {
			if n := w.tally(s.sums.at(int32(row))); n.Broken+n.Near > 0 {
				out[x] = [2]int{n.Broken, n.Near}
			}
		}
	}
	return out
}

func TestCountsAreThoseOfTheMachines(t *testing.T) {
	w := newWorld(t, 6)
	for range 120 {
		w.add()
	}
	w.follow()
	w.look(cmdb.Everywhere, func(v View) {
		for round := range 20 {
			a, b := v.Group(), v.Group()
			for slot := range v.Machines().Slots() {
				switch w.rnd.IntN(2 + round%3) {
				case 0:
					a.set(slot)
				case 1:
					b.set(slot)
				}
			}
			want := map[string][2]int{}
			for side, group := range []Bits{a, b} {
				for slot := range group.Slots() {
					for _, section := range v.Sections(slot) {
						for _, f := range v.facts(slot, section) {
							if x, ok := v.Lookup(f.Path, f.Value); !ok || v.f.dict.facts.at(uint32(x)).has == 0 {
								continue
							}
							n := want[f.Path+" = "+f.Value]
							n[side]++
							want[f.Path+" = "+f.Value] = n
						}
					}
				}
			}
			for x, n := range v.counts(a, b) {
				f, _ := v.Fact(x)
				key := f.Path + " = " + f.Value
				if want[key] != n {
					t.Fatalf("%s: %v, want %v", key, n, want[key])
				}
				delete(want, key)
			}
			if len(want) > 0 {
				t.Fatalf("%d facts are not counted: %v", len(want), want)
			}
		}
	})
}

func TestWhatManySetsHaveOtherwiseMakesABase(t *testing.T) {
	w := newWorld(t, 21)
	var first []fact.Fact
	for j := range 400 {
		first = append(first, fact.Fact{Path: fmt.Sprintf("etc/d/%03d", j), Value: fmt.Sprintf("sha256:%064x 0644 root:root", j)})
	}
	for i := range 90 { // thirty are behind in the same files, thirty in others, and each has one of its own
		m := w.add()
		facts := maps.Clone(m.facts)
		etc := slices.Clone(first)
		etc[11].Value = fmt.Sprintf("sha256:%064x 0644 root:root", 5000+i)
		for j := range etc {
			if i < 60 && j/15 == 1+i/30 {
				etc[j].Value = fmt.Sprintf("sha256:%064x 0644 root:root", 1000+j)
			}
		}
		facts["etc"] = etc
		w.report(m, facts)
	}
	w.follow()
	w.agrees()
	fine := 0
	for _, b := range w.ix.fleet.bases {
		if b != nil {
			fine += len(b.finer.bases)
		}
	}
	if fine == 0 {
		t.Error("no finer base is made")
	}
	for i := range 20 { // what comes later finds it, and what goes lets it go
		m := w.machines[20+i]
		facts := maps.Clone(m.facts)
		etc := slices.Clone(facts["etc"])
		etc[18].Value = fmt.Sprintf("sha256:%064x 0600 root:root", i)
		facts["etc"] = etc
		w.report(m, facts)
	}
	w.agrees()
	for range 80 {
		w.erase(0)
	}
	w.agrees()
}
