package cmdb_test

import (
	"errors"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"rollcall/server/cmdb"
	"rollcall/server/store"
	"rollcall/server/store/bolt"
)

// The course of a CI is its history the other way round, until any time.
func TestCourseIsTheHistoryTheOtherWayRound(t *testing.T) {
	onEngines(t, func(t *testing.T, b *base) {
		history(b, 3, 40)
		b.see(func(v cmdb.View) error {
			for ci, err := range v.All() {
				if err != nil {
					return err
				}
				var want []cmdb.Revision
				for r, err := range v.History(ci) {
					if err != nil {
						return err
					}
					want = append(want, r)
				}
				slices.Reverse(want)
				for i, last := range want {
					n := 0
					for then, err := range v.Course(ci, last.At()) {
						if err != nil {
							return err
						}
						r := want[n]
						was, err := v.Was(ci, r.N)
						if err != nil {
							return err
						}
						for _, got := range []cmdb.Then{then, was} {
							if got.Rev != r.N || got.Name != r.Name || got.Set("pkg") != r.State["pkg"] || !got.Changed.Equal(r.At()) || got.ID != ci.ID {
								t.Fatalf("revision %d of %s is %+v, want %+v", r.N, ci.ID, got, r)
							}
						}
						n++
					}
					if n != i+1 {
						t.Fatalf("until %s the course has %d revisions, want %d", last.At(), n, i+1)
					}
				}
				if _, err := v.Was(ci, ci.Rev+1); !errors.Is(err, cmdb.ErrNotFound) {
					t.Errorf("what %s was after a revision that it has not: %v, want ErrNotFound", ci.ID, err)
				}
			}
			return nil
		})
	})
}

// What came is found with a few reads, however long the history is; of what came and
// went several times, one of the times that it came.
func TestCameIsFoundWithAFewReads(t *testing.T) {
	e, err := bolt.Open(filepath.Join(t.TempDir(), "db"), bolt.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Close() })
	b := newBase(t, e)
	rng := random(t)
	b.found(0, "pc", "")
	var names []string
	for range 400 {
		b.now = b.now.Add(time.Duration(rng.IntN(100)) * time.Hour)
		b.do(func(w cmdb.Writer) error { return w.Note(b.now, id(0), "agent 00", "changed") })
	}
	for _, name := range []string{"a", "b", "a", "b", "b2"} {
		for range 1 + rng.IntN(20) {
			b.do(func(w cmdb.Writer) error { return w.Note(b.now, id(0), "agent 00", "changed") })
		}
		if err := b.declare(id(0), "name", name); err != nil {
			t.Fatal(err)
		}
		names = append(names, name)
	}
	ci := b.head(id(0))
	for _, name := range append(names, "pc") {
		holds := func(then cmdb.Then) (bool, error) { return then.Name >= name, nil }
		err := e.View(t.Context(), func(r store.Reader) error {
			c := &counting{Reader: r}
			v := cmdb.At(c, tenant, b.sets, cmdb.Everywhere)
			came, err := v.Came(ci, b.now, holds)
			if name == "pc" {
				if !errors.Is(err, cmdb.ErrNotFound) {
					t.Errorf("what does not hold came: %v, %v", came, err)
				}
				return nil
			}
			if err != nil {
				return err
			}
			if c.events > 14 {
				t.Errorf("of %d revisions %d were read, want 14 at most", ci.Rev, c.events)
			}
			before := cmdb.Then{}
			if came.Rev > 1 {
				if before, err = v.Was(ci, came.Rev-1); err != nil {
					return err
				}
			}
			if came.Name < name || before.Name >= name && came.Rev > 1 {
				t.Errorf("%s came with revision %d, when it was called %s after %s", name, came.Rev, came.Name, before.Name)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// A revision that is not there is said, not passed over.
func TestCourseMissesNoRevision(t *testing.T) {
	onEngines(t, func(t *testing.T, b *base) {
		b.found(0, "pc", "")
		for range 3 {
			b.do(func(w cmdb.Writer) error { return w.Note(b.now, id(0), "agent 00", "changed") })
		}
		ci := b.head(id(0))
		for _, n := range []byte{2, 4} {
			key := store.At(store.Event, tenant, "/", ci.ID, "/", string([]byte{0, 0, 0, 0, 0, 0, 0, n}))
			if err := b.writer.Update(t.Context(), func(tx store.Tx) error { return tx.Delete(key) }); err != nil {
				t.Fatal(err)
			}
			b.see(func(v cmdb.View) error {
				var last error
				for _, err := range v.Course(ci, b.now) {
					last = err
				}
				if !errors.Is(last, store.ErrCorrupt) {
					t.Errorf("without revision %d: %v, want ErrCorrupt", n, last)
				}
				return nil
			})
		}
	})
}
