package evidence

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"rollcall/server/store"

	"golang.org/x/mod/sumdb/tlog"
)

func TestEveryLeafIsProvedInEveryTree(t *testing.T) {
	onEngines(t, func(t *testing.T, b *base) {
		const n = 20
		b.fill(n)
		b.see(func(v View) error {
			for size := uint64(1); size <= n; size++ {
				root, err := v.Root(size)
				if err != nil {
					return err
				}
				for i := range size {
					leaf, err := v.Leaf(i)
					if err != nil {
						return err
					}
					p, err := v.Inclusion(size, i)
					if err != nil {
						return err
					}
					if err := tlog.CheckRecord(p, int64(size), root, int64(i), tlog.RecordHash(leaf)); err != nil {
						t.Errorf("leaf %d of %d: %v", i, size, err)
					}
				}
				for old := uint64(1); old <= size; old++ {
					was, err := v.Root(old)
					if err != nil {
						return err
					}
					p, err := v.Consistency(size, old)
					if err != nil {
						return err
					}
					if err := tlog.CheckTree(p, int64(size), root, int64(old), was); err != nil {
						t.Errorf("tree of %d out of %d: %v", size, old, err)
					}
				}
			}
			return nil
		})
	})
}

func TestALeafCommitsToItsContentAndSaysWhatItIs(t *testing.T) {
	onEngines(t, func(t *testing.T, b *base) {
		e := Entry{Kind: Adopt, By: "operator kari", CI: "ci1", Key: "new", Ends: "old", Admits: true, Subject: []byte("public"), Detail: map[string]string{"reason": "stolen", "empty": ""}}
		n := b.append(e)
		r := b.append(Entry{Kind: Report, CI: "ci1", Seq: 9, Subject: envelope(7)})
		b.see(func(v View) error {
			raw, err := v.Leaf(n)
			if err != nil {
				return err
			}
			leaf, err := ParseLeaf(raw)
			if err != nil || leaf.Kind != Adopt || leaf.CI != "ci1" || leaf.At != day.UnixMilli() {
				t.Errorf("leaf = %+v, %v", leaf, err)
			}
			if bytes.Contains(raw, []byte("kari")) || bytes.Contains(raw, []byte("stolen")) {
				t.Error("what a person wrote stands in the leaf")
			}
			x, err := v.Explain(n)
			if err != nil {
				return err
			}
			if x.Sum != sha256.Sum256(x.Content) || Commit(x.Salt, x.Sum) != leaf.Commitment {
				t.Error("the leaf commits to something else than its content")
			}
			got, err := ParseEntry(x.Content)
			delete(e.Detail, "empty")
			if err != nil || got.By != e.By || got.Key != e.Key || got.Ends != e.Ends || !got.Admits || !bytes.Equal(got.Subject, e.Subject) || !maps.Equal(got.Detail, e.Detail) {
				t.Errorf("content = %+v, %v, want %+v", got, err, e)
			}
			for _, key := range []string{"new", "old"} {
				if about, err := v.About(key); err != nil || !slices.Equal(about, []uint64{n}) {
					t.Errorf("about key %s: %v, %v, want leaf %d", key, about, err, n)
				}
			}
			if i, err := v.IndexOf([sumSize]byte(envelope(7))); err != nil || i != r {
				t.Errorf("leaf of the report: %d, %v, want %d", i, err, r)
			}
			if _, err := v.IndexOf([sumSize]byte(envelope(8))); !errors.Is(err, ErrNotFound) {
				t.Errorf("leaf of an unknown report: %v, want ErrNotFound", err)
			}
			if _, err := v.Leaf(2); !errors.Is(err, ErrNotFound) {
				t.Errorf("leaf beyond the end: %v, want ErrNotFound", err)
			}
			if _, err := v.Root(3); !errors.Is(err, ErrNotFound) {
				t.Errorf("tree beyond the end: %v, want ErrNotFound", err)
			}
			return nil
		})
	})
}

func TestErasingTakesTheContentAndLeavesTheTree(t *testing.T) {
	onEngines(t, func(t *testing.T, b *base) {
		b.fill(6)
		person := b.append(Entry{Kind: Approve, By: "operator kari", CI: "ci1", Key: "k1"})
		roots := func() (all []tlog.Hash) {
			b.see(func(v View) error {
				for n := range uint64(8) {
					root, err := v.Root(n)
					if err != nil {
						return err
					}
					all = append(all, root)
				}
				return nil
			})
			return all
		}
		before := roots()
		for _, n := range []uint64{3, person, person} { // a report, an entry, once more
			err := b.writer.Update(t.Context(), func(tx store.Tx) error { return In(tx, tenant).Erase(day, n) })
			if err != nil {
				t.Fatal(err)
			}
		}
		if !slices.Equal(before, roots()) {
			t.Error("erasing has changed the tree")
		}
		b.see(func(v View) error {
			for _, n := range []uint64{3, person} {
				if x, err := v.Explain(n); !errors.Is(err, ErrErased) || x.Salt != nil || x.Content != nil {
					t.Errorf("erased leaf %d is explained by %+v, %v", n, x, err)
				}
			}
			if about, err := v.About("k1"); err != nil || len(about) > 0 {
				t.Errorf("the erased leaf is still found by its key: %v, %v", about, err)
			}
			if _, err := v.IndexOf([sumSize]byte(envelope(3))); !errors.Is(err, ErrNotFound) {
				t.Errorf("the erased leaf is still found by its envelope: %v", err)
			}
			return nil
		})
		err := b.writer.Update(t.Context(), func(tx store.Tx) error { return In(tx, tenant).Erase(day, 99) })
		if !errors.Is(err, ErrNotFound) {
			t.Errorf("erase a leaf that is not there: %v, want ErrNotFound", err)
		}
	})
}

func TestManyAppendAtOnceAndEachGetsItsOwnIndex(t *testing.T) {
	onEngines(t, func(t *testing.T, b *base) {
		const n = 60
		var wg sync.WaitGroup
		indexes := make([]uint64, n)
		for i := range n {
			wg.Go(func() { indexes[i] = b.append(Entry{Kind: Report, CI: "ci1", Subject: envelope(i)}) })
		}
		wg.Wait()
		slices.Sort(indexes)
		for i, got := range indexes {
			if got != uint64(i) {
				t.Fatalf("index %d was given out where %d was due", got, i)
			}
		}
		b.see(func(v View) error {
			if size, err := v.Size(); err != nil || size != n {
				t.Errorf("size = %d, %v, want %d", size, err, n)
			}
			return nil
		})
	})
}

func TestAWriteThatFailsLeavesNoLeaf(t *testing.T) {
	onEngines(t, func(t *testing.T, b *base) {
		b.fill(3)
		planted := errors.New("planted")
		err := b.writer.Update(t.Context(), func(tx store.Tx) error {
			if _, err := In(tx, tenant).Append(day, Entry{Kind: Site}); err != nil {
				return err
			}
			return planted
		})
		if !errors.Is(err, planted) {
			t.Fatalf("update: %v", err)
		}
		b.see(func(v View) error {
			n, err := v.Size()
			if n != 3 {
				t.Errorf("%d leaves, want 3", n)
			}
			return err
		})
	})
}

func TestEntriesThatNoLeafCanHoldAreRefused(t *testing.T) {
	b := newBase(t, openBolt(t))
	for claim, e := range map[string]Entry{
		"no kind":             {},
		"a kind with a space": {Kind: "a b"},
		"a long kind":         {Kind: Kind(strings.Repeat("k", maxKind+1))},
		"a long CI":           {Kind: Site, CI: strings.Repeat("c", maxID+1)},
		"a report of nothing": {Kind: Report},
		"a long subject":      {Kind: Site, Subject: make([]byte, maxSubject+1)},
	} {
		err := b.writer.Update(t.Context(), func(tx store.Tx) error {
			_, err := In(tx, tenant).Append(day, e)
			return err
		})
		if !errors.Is(err, ErrEntry) {
			t.Errorf("%s: %v, want ErrEntry", claim, err)
		}
	}
	long := strings.Repeat("ø", 3000)
	n := b.append(Entry{Kind: Declare, By: long, Detail: map[string]string{"reason": long}})
	b.see(func(v View) error {
		x, err := v.Explain(n)
		if err == nil && len(x.Content) > 3000 {
			t.Errorf("a long text takes %d bytes", len(x.Content))
		}
		return err
	})
}

func TestMissingLeavesAreNamed(t *testing.T) {
	b := newBase(t, openBolt(t))
	b.fill(9)
	err := b.engine.Update(t.Context(), func(tx store.Tx) error {
		return errors.Join(tx.Delete(logKey(tenant, 4)), tx.Delete(logKey(tenant, 8)))
	})
	if err != nil {
		t.Fatal(err)
	}
	b.see(func(v View) error {
		var lost, seen []uint64
		for l, err := range v.Leaves(0, 0) {
			if errors.Is(err, store.ErrCorrupt) {
				lost = append(lost, l.Index)
				continue
			}
			if err != nil {
				return err
			}
			seen = append(seen, l.Index)
		}
		if !slices.Equal(lost, []uint64{4, 8}) || !slices.Equal(seen, []uint64{0, 1, 2, 3, 5, 6, 7}) {
			t.Errorf("lost %v, seen %v", lost, seen)
		}
		return nil
	})
}

func TestLeavesComeInRanges(t *testing.T) {
	onEngines(t, func(t *testing.T, b *base) {
		b.fill(9)
		b.see(func(v View) error {
			for _, tt := range []struct {
				from  uint64
				limit int
				want  int
			}{{0, 0, 9}, {0, 4, 4}, {7, 4, 2}, {9, 4, 0}, {50, 0, 0}, {3, 0, 6}} {
				got := 0
				for l, err := range v.Leaves(tt.from, tt.limit) {
					if err != nil || l.Index != tt.from+uint64(got) {
						t.Fatalf("leaf %d: %v", l.Index, err)
					}
					got++
				}
				if got != tt.want {
					t.Errorf("from %d, at most %d: %d leaves, want %d", tt.from, tt.limit, got, tt.want)
				}
			}
			return nil
		})
	})
}

// TestLeafFormIsAPromise pins the bytes that roots of years ago were made of.
func TestLeafFormIsAPromise(t *testing.T) {
	sum := sha256.Sum256([]byte("content"))
	l := Leaf{Commitment: Commit([]byte("salt"), sum), At: 1_700_000_000_123, Seq: 7, Kind: Report, CI: "ci1"}
	want := sha256.Sum256(append([]byte("rollcall leaf v1salt"), sum[:]...))
	b := l.Encode()
	form := "RCL1" + string(want[:]) + "\x00\x00\x01\x8b\xcf\xe5\x68\x7b" + "\x00\x00\x00\x00\x00\x00\x00\x07" + "\x06report" + "\x03ci1"
	if string(b) != form {
		t.Errorf("leaf = %q, want %q", b, form)
	}
	for i := range b {
		for _, bad := range [][]byte{b[:i], append(bytes.Clone(b), 0)} {
			if _, err := ParseLeaf(bad); !errors.Is(err, ErrLeaf) {
				t.Errorf("%d bytes: %v, want ErrLeaf", len(bad), err)
			}
		}
	}
}

func FuzzParseLeaf(f *testing.F) {
	f.Add(Leaf{Kind: Report, CI: "ci1"}.Encode())
	f.Add(Leaf{Kind: Site}.Encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		if l, err := ParseLeaf(b); err == nil && !bytes.Equal(l.Encode(), b) {
			t.Errorf("%q is read as %+v, whose form is %q", b, l, l.Encode())
		}
	})
}

func BenchmarkAppend(b *testing.B) {
	s := newBase(b, openBolt(b))
	const batch = 50
	for n := 0; b.Loop(); n++ {
		err := s.engine.Update(b.Context(), func(tx store.Tx) error {
			for i := range batch {
				if _, err := In(tx, tenant).Append(day, Entry{Kind: Report, CI: "ci1", Subject: envelope(n*batch + i)}); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*batch), "µs/leaf")
}
