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
		if s.key == 0 {
			continue
		}
		perBase[s.base]++
		form := f.formOf(id)
		for _, x := range form.adds {
			has[x] = append(has[x], sourceSet(id))
		}
		for _, x := range form.drops {
			lacks[x] = append(lacks[x], id)
		}
		last := pathID(0)
		for o := range f.ownFacts(form.own) {
			if o.path < last || !s.owning {
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
	dead := 0
	for id := range uint32(f.paths.n) {
		if p := f.paths.at(id); p.text != 0 && p.facts == 0 && p.own == 0 {
			dead++
		}
		if got := f.paths.at(id).own; got != ownCount[pathID(id)] {
			w.t.Fatalf("path %s: %d own facts, counted %d", f.pathText(pathID(id)), got, ownCount[pathID(id)])
		}
	}
	if f.dict.dead != dead {
		w.t.Fatalf("%d paths are said to have nothing, counted %d", f.dict.dead, dead)
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
		w.t.Fatalf("%d columns without facts, counted %d; or a column has another number of facts", f.columns.dead, unused)
	}
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
		for _, x := range v.Pick(nil).In(part) {
			f, _ := v.Fact(x)
			out = append(out, f)
		}
		for f := range v.Own(part) {
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
			for c := range v.Counts(v.f.used, v.f.used) {
				if c.A > len(want) {
					t.Fatalf("%s: %d have fact %d", scope, c.A, c.Fact)
				}
			}
			if got := v.Add(v.Group(), w.machines[0].id); got != want[w.machines[0].id] {
				t.Errorf("%s: Add = %v", scope, got)
			}
		})
	}
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
			for key, n := range want {
				if n == [2]int{a.Count(), b.Count()} {
					delete(want, key)
				}
			}
			for c := range v.Counts(a, b) {
				f, _ := v.Fact(c.Fact)
				key := f.Path + " = " + f.Value
				if want[key] != [2]int{c.A, c.B} {
					t.Fatalf("%s: %d and %d, want %v", key, c.A, c.B, want[key])
				}
				delete(want, key)
			}
			if len(want) > 0 {
				t.Fatalf("%d facts are not counted: %v", len(want), want)
			}
		}
	})
}

func TestPackedValuesComeBack(t *testing.T) {
	var d frames
	for _, v := range []string{
		"", "x", "sha256:" + strings.Repeat("0a", 32) + " 0644 root:root", strings.Repeat("f", 700), "4c4c4544-0042-3510-8033-b4c04f4d4a32",
		"deadbeef", "deadbee", "DEADBEEF00", "a\x00b\x01c\x02", "12345678 tail", "12345678" + " " + strings.Repeat("t", 100), "ærlig 0123456789abcdef0 æ", "sha256:xyz 0644 root:root",
		"52:54:00:12:34:0f", "52:54:00:12:34:0F", "52:54:00:12:34:0f/x 52:54:00:12:34:0f", "keyed:" + strings.Repeat("b1", 32) + " 0600 root:shadow",
		"SHA256:" + strings.Repeat("Ab3/+", 8) + "xyA", "SHA256:" + strings.Repeat("Ab3/+", 8) + "xyz", "4C4C4544-0042-3510-8033-b4c04f4d4a32", "a\x03b\x04\x05\x06",
	} {
		for range 2 {
			p := d.pack(nil, v)
			if got := string(d.unpack(nil, p)); got != v {
				t.Errorf("%q comes back as %q", v, got)
			}
		}
	}
	if n := len(d.pack(nil, "sha256:"+strings.Repeat("0a", 32)+" 0644 root:root")); n > 36 {
		t.Errorf("a file takes %d bytes", n)
	}
	if len(d.list()) == 0 {
		t.Error("no frame is shared")
	}
}

func FuzzPack(f *testing.F) {
	f.Add("sha256:00112233445566778899aabbccddeeff 0644 root:root", "a")
	f.Fuzz(func(t *testing.T, a, b string) {
		var d frames
		for _, v := range []string{a, b, a + b, a} {
			if got := string(d.unpack(nil, d.pack(nil, v))); got != v {
				t.Fatalf("%q comes back as %q", v, got)
			}
		}
		if strings.EqualFold(a, b) && string(fold(nil, a)) != string(fold(nil, b)) {
			t.Fatalf("%q and %q are equal but for case and fold apart", a, b)
		}
	})
}

func TestListsKeepWhatIsPutIn(t *testing.T) {
	w := newWorld(t, 11)
	l := newLists()
	model := map[int][]uint32{}
	refs := map[int]slim{}
	for step := range 200_000 {
		k, v := w.rnd.IntN(40), uint32(w.rnd.IntN(3000))
		if k > 30 {
			v = uint32(w.rnd.IntN(3))
		}
		if w.rnd.IntN(3) == 0 || step > 150_000 {
			refs[k] = l.slimRemove(refs[k], v)
			model[k] = without(model[k], v)
		} else {
			refs[k] = l.slimAdd(refs[k], v)
			model[k] = insert(model[k], v)
		}
		if step%1000 == 0 {
			for k, want := range model {
				var one [1]uint32
				if got := l.slimGet(refs[k], &one); !slices.Equal(got, want) {
					t.Fatalf("step %d: list %d is %v, want %v", step, k, got, want)
				}
			}
		}
	}
	big := make([]uint32, 200_000)
	for i := range big {
		big[i] = uint32(i)
	}
	if r := l.make(big); !slices.Equal(l.get(r), big) {
		t.Error("a list that is larger than a chunk is not kept")
	}
}

func TestTablesFindWhatIsInThem(t *testing.T) {
	w := newWorld(t, 12)
	var tab table
	in := map[uint32]bool{}
	hash := func(v uint32) uint64 { return uint64(v%97) << 56 } // many collide
	for range 20_000 {
		v := uint32(w.rnd.IntN(500))
		if in[v] {
			tab.remove(hash(v), v, hash)
			delete(in, v)
		} else {
			tab.insert(hash(v), v, hash)
			in[v] = true
		}
		q := uint32(w.rnd.IntN(500))
		if _, ok := tab.find(hash(q), func(x uint32) bool { return x == q }); ok != in[q] {
			t.Fatalf("find(%d) = %v, want %v", q, ok, in[q])
		}
	}
}
