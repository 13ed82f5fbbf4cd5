package cmdb_test

import (
	"errors"
	"testing"

	"rollcall/internal/fact"
	"rollcall/server/cmdb"
	"rollcall/server/store"
)

// forms gives the keys and the stored forms of all sets.
func (b *base) blobs() map[string][]byte {
	b.t.Helper()
	all := map[string][]byte{}
	if err := b.engine.View(b.t.Context(), func(r store.Reader) error {
		clear(all)
		from := []byte(tenant + "/set/")
		for p, err := range r.Scan(store.Blob, from, store.PrefixEnd(from), 0) {
			if err != nil {
				return err
			}
			all[string(p.K)] = append([]byte(nil), p.V...)
		}
		return nil
	}); err != nil {
		b.t.Fatal(err)
	}
	return all
}

func (b *base) load(d fact.Digest) (set fact.Set, err error) {
	err = b.look(func(v cmdb.View) (err error) {
		set, err = v.LoadSet(d)
		return err
	})
	return set, err
}

func TestEqualSetsAreStoredOnce(t *testing.T) {
	onEngines(t, func(t *testing.T, b *base) {
		for i := range 30 {
			b.found(i, "pc", "")
			b.observe(id(i), map[string]fact.Set{"pkg": packages(300)})
		}
		if n := len(b.blobs()); n != 1 {
			t.Errorf("30 equal machines have %d sets in the store, want 1", n)
		}
	})
}

func TestAChangedSetIsStoredAsItsDelta(t *testing.T) {
	onEngines(t, func(t *testing.T, b *base) {
		size := func() (n int) {
			for _, v := range b.blobs() {
				n += len(v)
			}
			return n
		}
		d := b.put(fact.Digest{}, packages(2000))
		full := size()
		b.put(d, packages(2000, 7))
		if more := size() - full; more > 400 {
			t.Errorf("one changed package of 2000 takes %d bytes, the whole set %d", more, full)
		}
	})
}

func TestEverySetOfALongChainIsReadable(t *testing.T) {
	onEngines(t, func(t *testing.T, b *base) {
		var d fact.Digest
		var all []fact.Digest
		var want []fact.Set
		for i := range 60 {
			set := packages(400, i, (i*7)%400)
			d = b.put(d, set)
			all, want = append(all, d), append(want, set)
			if i%11 == 0 {
				b.forget()
			}
		}
		b.forget()
		for i, d := range all {
			set, err := b.load(d)
			if err != nil || set.Digest() != want[i].Digest() {
				t.Errorf("set %d: %d facts, %v", i, len(set), err)
			}
		}
	})
}

// A set that one machine reached by a long chain of deltas is reported in full
// by another, while it is in no cache. What follows must count the chain that
// is in the store.
func TestAChainIsCountedAsItIsStored(t *testing.T) {
	onEngines(t, func(t *testing.T, b *base) {
		var d fact.Digest
		var all []fact.Digest
		for i := range 40 {
			set := packages(400, i)
			d = b.put(d, set)
			all = append(all, d)
			if i%6 == 0 {
				b.forget()
				if again := b.put(fact.Digest{}, set); again != d {
					t.Fatal("the same set has another digest")
				}
			}
		}
		b.forget()
		for i, d := range all {
			if _, err := b.load(d); err != nil {
				t.Fatalf("set %d cannot be read any more: %v", i, err)
			}
			b.forget()
		}
	})
}

func TestAStoredSetIsReadAsBaseAndDelta(t *testing.T) {
	onEngines(t, func(t *testing.T, b *base) {
		one := b.put(fact.Digest{}, packages(300))
		two := b.put(one, packages(300, 5))
		b.see(func(v cmdb.View) error {
			base, _, full, err := v.Stored(one)
			if err != nil || !base.IsZero() || full.Digest() != one {
				t.Errorf("the first set: base %s, %d facts, %v; want all its facts", base, len(full), err)
			}
			base, delta, none, err := v.Stored(two)
			if err != nil || base != one || len(none) != 0 || len(delta.Put) != 1 || len(delta.Drop) != 0 {
				t.Errorf("the second set: base %s, delta %v, %d facts, %v; want one changed fact", base, delta, len(none), err)
			}
			if got, err := delta.Apply(full); err != nil || got.Digest() != two {
				t.Errorf("base and delta give %d facts, %v; want the second set", len(got), err)
			}
			if _, _, _, err := v.Stored(fact.Digest{1}); !errors.Is(err, store.ErrNoBlob) {
				t.Errorf("a set that is not there: %v, want ErrNoBlob", err)
			}
			return nil
		})
	})
}

func TestDamageInASetIsFound(t *testing.T) {
	onEngines(t, func(t *testing.T, b *base) {
		one := b.put(fact.Digest{}, packages(300))
		two := b.put(one, packages(300, 5))
		for k, v := range b.blobs() {
			key := store.Key{Space: store.Blob, K: []byte(k)}
			for _, bit := range []int{0, 7, 8 * 5, 8*len(v)/2 + 3, 8*len(v) - 1} {
				bad := append([]byte(nil), v...)
				bad[bit/8] ^= 1 << (bit % 8)
				b.overwrite(key, bad)
				b.forget()
				// Both stand on the first; the second alone stands on itself.
				_, err1 := b.load(one)
				b.forget()
				_, err2 := b.load(two)
				if !errors.Is(err2, store.ErrCorrupt) {
					t.Errorf("bit %d of %q flipped: the later set gives %v, want ErrCorrupt", bit, k, err2)
				}
				if err1 != nil && !errors.Is(err1, store.ErrCorrupt) {
					t.Errorf("bit %d of %q flipped: the first set gives %v", bit, k, err1)
				}
			}
			b.overwrite(key, v)
		}
		b.forget()
		if _, err := b.load(two); err != nil {
			t.Errorf("restored: %v", err)
		}
	})
}

// overwrite puts bytes under a key as they are.
func (b *base) overwrite(k store.Key, v []byte) {
	b.t.Helper()
	if err := b.writer.Update(b.t.Context(), func(tx store.Tx) error { return tx.Put(k, v) }); err != nil {
		b.t.Fatal(err)
	}
}

func TestASetUnderAnotherDigestIsDamage(t *testing.T) {
	onEngines(t, func(t *testing.T, b *base) {
		set := packages(10)
		d := set.Digest()
		other := packages(10, 3)
		content := append([]byte{1}, other.Encode()...)
		if err := store.PutBlob(t.Context(), b.writer, tenant, "set", d, content); err != nil {
			t.Fatal(err)
		}
		if _, err := b.load(d); !errors.Is(err, store.ErrCorrupt) {
			t.Errorf("load: %v, want ErrCorrupt", err)
		}
		for _, form := range []string{"", "\x01", "\x03abc", "\x02\x01garbage"} {
			d := fact.Digest{byte(len(form)), 9}
			if err := store.PutBlob(t.Context(), b.writer, tenant, "set", d, []byte(form)); err != nil {
				t.Fatal(err)
			}
			if set, err := b.load(d); err == nil {
				t.Errorf("form %q is read as %d facts", form, len(set))
			}
		}
	})
}

func TestALargeSetGoesBeforeItsTransaction(t *testing.T) {
	onEngines(t, func(t *testing.T, b *base) {
		set := packages(60_000)
		p := b.prepare(fact.Digest{}, set)
		if p.Size() < 1<<20 {
			t.Fatalf("%d bytes are not large", p.Size())
		}
		if err := b.sets.PutLarge(t.Context(), b.writer, tenant, p); err != nil {
			t.Fatal(err)
		}
		got, err := b.load(p.Digest)
		if err != nil || len(got) != len(set) {
			t.Errorf("%d facts, %v", len(got), err)
		}
	})
}
