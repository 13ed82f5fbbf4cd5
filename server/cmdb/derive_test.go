package cmdb_test

import (
	"errors"
	"fmt"
	"path/filepath"
	"testing"

	"rollcall/internal/fact"
	"rollcall/server/cmdb"
	"rollcall/server/store"
	"rollcall/server/store/bolt"
)

// derive puts an encoded delta into the store, if it is one that can be.
func (b *base) derive(raw []byte) (cmdb.Prepared, error) {
	var p cmdb.Prepared
	err := b.engine.View(b.t.Context(), func(r store.Reader) (err error) {
		p, err = b.sets.Derive(r, tenant, raw)
		return err
	})
	if err != nil || p.Len == 0 {
		return p, err
	}
	isNew := false
	if err = b.writer.Update(b.t.Context(), func(tx store.Tx) (err error) {
		isNew, err = b.sets.Put(tx, tenant, p)
		return err
	}); err == nil && isNew {
		b.sets.Keep(p)
	}
	return p, err
}

// What comes out of deltas on deltas, of full reports of like machines, of going
// back and of starting anew is what the plain definition says, always.
func TestDerivedSetsAreThoseOfTheDefinition(t *testing.T) {
	onEngines(t, func(t *testing.T, b *base) {
		rng := random(t)
		machines := make([]fact.Set, 6)
		known := map[fact.Digest]fact.Set{}
		for step := range 300 {
			m := rng.IntN(len(machines))
			old := machines[m]
			facts := map[string]string{}
			for _, f := range old {
				facts[f.Path] = f.Value
			}
			switch {
			case len(old) == 0 || rng.IntN(60) == 0: // as others, but for a little
				clear(facts)
				for i := range 300 {
					facts[fmt.Sprintf("pkg/p%03d/version", i)] = fmt.Sprint(i * 7919 % 1000)
				}
				facts["pkg/own/version"] = fmt.Sprint(m)
			case rng.IntN(8) == 0: // as another machine is
				clear(facts)
				for _, f := range machines[rng.IntN(len(machines))] {
					facts[f.Path] = f.Value
				}
			case rng.IntN(40) == 0:
				for p := range facts { // another release
					facts[p] += "+"
				}
			}
			for range max(0, rng.IntN(6)-2) {
				p := fmt.Sprintf("pkg/p%03d/version", rng.IntN(320))
				if facts[p] = fmt.Sprint(rng.IntN(3)); rng.IntN(3) == 0 {
					delete(facts, p)
				}
			}
			var list []fact.Fact
			for p, v := range facts {
				list = append(list, fact.Fact{Path: p, Value: v})
			}
			now := fact.NewSet(list)
			base := old
			if rng.IntN(3) == 0 {
				base = nil
			}
			p, err := b.derive(fact.Diff(base, now).Encode())
			if len(now) == 0 {
				continue
			}
			if err != nil || p.Digest != now.Digest() || p.Len != len(now) || p.Section != "pkg" {
				t.Fatalf("step %d: %d facts of section %q, %v; want %d", step, p.Len, p.Section, err, len(now))
			}
			machines[m], known[p.Digest] = now, now
			if rng.IntN(4) == 0 {
				b.forget()
			}
		}
		b.forget()
		for d, want := range known {
			if got, err := b.load(d); err != nil || got.Digest() != want.Digest() {
				t.Errorf("set %.12s: %d facts, %v; want %d", d, len(got), err, len(want))
			}
			depth := 0
			b.see(func(v cmdb.View) error {
				bases, err := v.Bases(d)
				depth = len(bases)
				return err
			})
			if depth > 2 {
				t.Errorf("set %.12s is read through %d deltas, want 2 at most", d, depth)
			}
		}
	})
}

// Two wholes are much alike, because they came before and after a restart. A machine
// that goes from the one to the other must not hide that the other is whole.
func TestASetThatIsWholeServesAsBaseAlsoAfterItWasReachedByADelta(t *testing.T) {
	onEngines(t, func(t *testing.T, b *base) {
		one, two, three := packages(200), packages(200, 5, 6, 7), packages(200, 5, 6, 7)
		three[5] = one[5]
		b.put(fact.Digest{}, one)
		b.forget()
		b.put(fact.Digest{}, two)
		b.put(one.Digest(), two)
		d := b.put(fact.Digest{}, three)
		b.forget()
		if got, err := b.load(d); err != nil || got.Digest() != d {
			t.Errorf("%d facts, %v; want %d", len(got), err, len(three))
		}
	})
}

func TestADeltaThatLeadsElsewhereIsRefused(t *testing.T) {
	onEngines(t, func(t *testing.T, b *base) {
		one, two := packages(300), packages(300, 5)
		b.put(fact.Digest{}, one)
		for name, d := range map[string]fact.Delta{
			"a delta with another result":       {Base: one.Digest(), Result: one.Digest(), Put: two[5:6]},
			"a full set with another result":    {Result: two.Digest(), Put: one},
			"a delta with a result that exists": {Base: one.Digest(), Result: one.Digest(), Drop: []string{one[0].Path}},
			"a full set that drops":             {Result: one.Digest(), Put: one, Drop: []string{"pkg/a/version"}},
		} {
			if _, err := b.derive(d.Encode()); !errors.Is(err, fact.ErrBase) {
				t.Errorf("%s: %v, want ErrBase", name, err)
			}
		}
		d := fact.Diff(two, one)
		if _, err := b.derive(d.Encode()); !errors.Is(err, store.ErrNoBlob) {
			t.Errorf("a delta from a set that is not stored: %v, want ErrNoBlob", err)
		}
	})
}

// A first report of a machine that is much like another one costs what it has
// otherwise, also when a machine like it was last seen before a restart.
func TestASetLikeAnotherMachinesIsStoredAsItsDifference(t *testing.T) {
	onEngines(t, func(t *testing.T, b *base) {
		size := func() (n int) {
			for _, v := range b.blobs() {
				n += len(v)
			}
			return n
		}
		first := b.put(fact.Digest{}, packages(2000))
		whole := size()
		b.put(fact.Digest{}, packages(2000, 7, 70, 700))
		if more := size() - whole; more > 400 {
			t.Errorf("a list that differs in three of 2000 packages takes %d bytes, the first one %d", more, whole)
		}
		b.forget()
		if _, err := b.load(first); err != nil {
			t.Fatal(err)
		}
		before := size()
		b.put(fact.Digest{}, packages(2000, 8, 80))
		if more := size() - before; more > 400 {
			t.Errorf("after a restart it takes %d bytes", more)
		}
	})
}

// A year of changes of one machine takes little more than the changes, and each of
// its sets is read through two deltas.
func TestALongHistoryOfChangesStaysSmall(t *testing.T) {
	onEngines(t, func(t *testing.T, b *base) {
		set := packages(2000)
		d := b.put(fact.Digest{}, set)
		first := len(b.blobs())
		total := 0
		for i := range 200 {
			next := append(fact.Set(nil), set...)
			for k := range 3 {
				next[(i*131+k*17)%len(next)].Value = fmt.Sprintf("2.%d-%d", i, k)
			}
			d, set = b.put(d, next), next
		}
		for _, v := range b.blobs() {
			total += len(v)
		}
		if n := len(b.blobs()) - first; n != 200 {
			t.Errorf("%d sets are new, want 200", n)
		}
		if total > 200<<10 {
			t.Errorf("200 changes of three packages take %d bytes, want less than a kilobyte each", total)
		}
	})
}

func TestTheCacheStaysWithinItsBytes(t *testing.T) {
	e, err := bolt.Open(filepath.Join(t.TempDir(), "db"), bolt.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Close() })
	b := newBase(t, e)
	most := 0
	set := packages(20_000)
	for i := range 40 {
		set = append(fact.Set(nil), set...)
		for k := range set { // nothing in common with the others
			set[k].Value = fmt.Sprintf("%d.%d", i, k)
		}
		b.sets.Keep(b.prepare(fact.Digest{}, set))
		_, bytes := b.sets.Usage()
		most = max(most, bytes)
	}
	if most > 64<<20 {
		t.Errorf("the cache took %d MiB, want 64 at most", most>>20)
	}
	if n, bytes := b.sets.Usage(); n < 5 || bytes < 20<<20 {
		t.Errorf("%d sets of %d bytes are kept: far less than there is room for", n, bytes)
	}
}
