package cmdb_test

import (
	"encoding/json"
	"fmt"
	"iter"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"rollcall/internal/fact"
	"rollcall/server/cmdb"
	"rollcall/server/store"
	"rollcall/server/store/bolt"
)

// history gives some CIs a life: bursts and long pauses, renames, sets on sets.
func history(b *base, cis, revisions int) {
	rng := random(b.t)
	for n := range cis {
		b.found(n, fmt.Sprint("pc", n), "")
	}
	moved := map[int][]int{}
	for range revisions {
		n := rng.IntN(cis)
		if rng.IntN(4) == 0 {
			b.now = b.now.Add(time.Duration(rng.IntN(1000)) * time.Hour)
		}
		if rng.IntN(10) == 0 {
			if err := b.declare(id(n), "name", fmt.Sprintf("pc%d-%d", n, rng.IntN(3))); err != nil {
				b.t.Fatal(err)
			}
			continue
		}
		moved[n] = append(moved[n], rng.IntN(300))
		b.observe(id(n), map[string]fact.Set{"pkg": packages(300+rng.IntN(3), moved[n]...)})
	}
}

func all(v cmdb.View, at time.Time, parts int) iter.Seq2[cmdb.Then, error] {
	return func(yield func(cmdb.Then, error) bool) {
		for part := range parts {
			for then, err := range v.AllAsOf(at, part, parts) {
				if !yield(then, err) {
					return
				}
			}
		}
	}
}

// What many CIs were at a time is what going through the history of each one says.
func TestAllAsOfIsWhatTheHistoriesSay(t *testing.T) {
	onEngines(t, func(t *testing.T, b *base) {
		history(b, 5, 90)
		b.forget()
		b.see(func(v cmdb.View) error {
			var stamps []time.Time
			byCI := map[string][]cmdb.Revision{}
			for ci, err := range v.All() {
				if err != nil {
					return err
				}
				for r, err := range v.History(ci) {
					if err != nil {
						return err
					}
					byCI[ci.ID] = append(byCI[ci.ID], r) // newest first
					stamps = append(stamps, r.At(), r.At().Add(-1))
				}
			}
			for i, at := range append(stamps, time.Time{}, day.AddDate(-1, 0, 0), b.now.AddDate(400, 0, 0)) {
				want := map[string]cmdb.Revision{}
				for ci, revs := range byCI {
					if n := slices.IndexFunc(revs, func(r cmdb.Revision) bool { return !r.At().After(at) }); n >= 0 {
						want[ci] = revs[n]
					}
				}
				got := 0
				glance := v.Glance()
				for then, err := range all(v, at, 1+i%3) {
					if err != nil {
						return err
					}
					got++
					r := want[then.ID]
					if then.Rev != r.N || then.Name != r.Name || then.Set("pkg") != r.State["pkg"] || !then.Changed.Equal(r.At()) || string(then.Status) != r.Declared {
						t.Fatalf("at %s %s is %+v, want %+v", at, then.ID, then, r)
					}
					wantFacts(t, v, glance, then.Set("pkg"), fmt.Sprintf("pkg/p%03d", i%31))
				}
				if got != len(want) {
					t.Fatalf("at %s there are %d CIs, want %d", at, got, len(want))
				}
			}
			return nil
		})
	})
}

func wantFacts(t *testing.T, v cmdb.View, g *cmdb.Glance, d fact.Digest, prefix string) {
	t.Helper()
	got, err := g.Facts(d, prefix)
	if err != nil {
		t.Fatal(err)
	}
	var whole fact.Set
	if !d.IsZero() {
		if whole, err = v.LoadSet(d); err != nil {
			t.Fatal(err)
		}
	}
	if !slices.Equal(got, whole.Below(prefix)) {
		t.Fatalf("below %s of %s: %v, want %v", prefix, d, got, whole.Below(prefix))
	}
}

// The changes of a revision are those between its sets put together, for everything
// and for a part.
func TestChangesAreThoseBetweenTheSets(t *testing.T) {
	onEngines(t, func(t *testing.T, b *base) {
		history(b, 3, 40)
		b.see(func(v cmdb.View) error {
			for ci, err := range v.All() {
				if err != nil {
					return err
				}
				glance := v.Glance()
				for r, err := range v.History(ci) {
					if err != nil {
						return err
					}
					old, now := load(t, v, r.Prev["pkg"]), load(t, v, r.State["pkg"])
					for _, prefix := range []string{"", "pkg", "pkg/p0017", "pkg/p0017/version", "pkg/p001", "etc"} {
						want := map[string]cmdb.FactChange{}
						for path := range old {
							if old[path] != now[path] && fact.Under(path, prefix) {
								want[path] = cmdb.FactChange{Path: path, Old: old[path], New: now[path]}
							}
						}
						for path := range now {
							if old[path] != now[path] && fact.Under(path, prefix) {
								want[path] = cmdb.FactChange{Path: path, Old: old[path], New: now[path]}
							}
						}
						got, err := glance.Changes(r, prefix)
						if err != nil {
							return err
						}
						byPath := map[string]cmdb.FactChange{}
						for _, c := range got {
							byPath[c.Path] = c
						}
						if !maps.Equal(byPath, want) || len(got) != len(want) {
							t.Fatalf("revision %d of %s below %q: %v, want %v", r.N, ci.ID, prefix, got, want)
						}
					}
				}
			}
			return nil
		})
	})
}

func load(t *testing.T, v cmdb.View, d fact.Digest) map[string]string {
	t.Helper()
	facts := map[string]string{}
	if d.IsZero() {
		return facts
	}
	set, err := v.LoadSet(d)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range set {
		facts[f.Path] = f.Value
	}
	return facts
}

// Stores of before keep heads and revisions as JSON.
func TestAllAsOfReadsOldRecords(t *testing.T) {
	onEngines(t, func(t *testing.T, b *base) {
		history(b, 3, 20)
		b.see(func(v cmdb.View) error {
			for ci, err := range v.All() {
				if err != nil {
					return err
				}
				b.json(store.At(store.CI, tenant, "/", ci.ID), ci)
				for r, err := range v.History(ci) {
					if err != nil {
						return err
					}
					b.json(store.At(store.Event, tenant, "/", ci.ID, "/", string([]byte{0, 0, 0, 0, 0, 0, 0, byte(r.N)})), r)
				}
			}
			return nil
		})
		b.see(func(v cmdb.View) error {
			for _, at := range []time.Time{day.Add(time.Minute), day.Add(b.now.Sub(day) / 2), b.now} {
				for then, err := range v.AllAsOf(at, 0, 1) {
					if err != nil {
						return err
					}
					ci, err := v.CI(then.ID)
					if err != nil {
						return err
					}
					r, err := v.AsOf(ci, at)
					if err != nil {
						return err
					}
					if then.Rev != r.N || then.Name != r.Name || then.Set("pkg") != r.State["pkg"] {
						t.Errorf("at %s %s is %+v, want %+v", at, then.ID, then, r)
					}
				}
			}
			return nil
		})
	})
}

func (b *base) json(k store.Key, v any) {
	b.t.Helper()
	raw, err := json.Marshal(v)
	if err == nil {
		err = b.writer.Update(b.t.Context(), func(tx store.Tx) error { return store.PutFramed(tx, k, raw) })
	}
	if err != nil {
		b.t.Fatal(err)
	}
}

// counting counts the revisions that are read.
type counting struct {
	store.Reader
	events int
}

func (c *counting) Get(k store.Key) ([]byte, error) {
	if k.Space == store.Event {
		c.events++
	}
	return c.Reader.Get(k)
}

// As of a time costs a few reads a CI, however long its history is.
func TestAsOfDoesNotReadYears(t *testing.T) {
	e, err := bolt.Open(filepath.Join(t.TempDir(), "db"), bolt.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Close() })
	b := newBase(t, e)
	rng := random(t)
	const cis, years = 5, 3
	for n := range cis {
		b.found(n, fmt.Sprint("pc", n), "")
	}
	for range years * 180 {
		b.now = b.now.Add(time.Duration(rng.ExpFloat64() * float64(48*time.Hour)))
		for n := range cis {
			b.do(func(w cmdb.Writer) error { return w.Note(b.now, id(n), "agent 00", "changed") })
		}
	}
	worst, sum, asked := 0, 0, 0
	for at := day.Add(time.Hour); at.Before(b.now); at = at.Add(11 * 24 * time.Hour) {
		err := e.View(t.Context(), func(r store.Reader) error {
			c := &counting{Reader: r}
			for _, err := range cmdb.At(c, tenant, b.sets, cmdb.Everywhere).AllAsOf(at, 0, 1) {
				if err != nil {
					return err
				}
				worst, sum, asked = max(worst, c.events), sum+c.events, asked+1
				c.events = 0
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if mean := float64(sum) / float64(asked); mean > 6 || worst > 14 {
		t.Errorf("of 540 revisions %.1f are read in the mean and %d at worst, want 6 and 14 at most", mean, worst)
	}
}

// BenchmarkAsOf asks which CIs had an older version of a package half a year ago, of
// CIs that have changed every second week for a year. Ten have the same packages.
func BenchmarkAsOf(b *testing.B) {
	for _, cis := range []int{1000, 10_000} {
		b.Run(fmt.Sprint(cis), func(b *testing.B) {
			s := newYear(b, cis)
			at := s.now.AddDate(0, -6, 0)
			b.ResetTimer()
			for b.Loop() {
				found := 0
				s.see(func(v cmdb.View) error {
					glance := v.Glance()
					for then, err := range v.AllAsOf(at, 0, 1) {
						if err != nil {
							return err
						}
						facts, err := glance.Facts(then.Set("pkg"), "pkg/p0100/version")
						if err != nil {
							return err
						}
						if len(facts) > 0 && strings.HasPrefix(facts[0].Value, "1.") {
							found++
						}
					}
					return nil
				})
				b.ReportMetric(float64(found), "found")
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(cis), "ns/CI")
		})
	}
}

// newYear makes a store of CIs with 27 revisions each.
func newYear(tb testing.TB, cis int) *base {
	tb.Helper()
	const group, steps = 10, 26
	e, err := bolt.Open(filepath.Join(tb.TempDir(), "db"), bolt.Options{})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = e.Close() })
	b := newBase(tb, e)
	digests := make([]fact.Digest, (cis+group-1)/group)
	changed := make([][]int, len(digests))
	for n := range cis {
		b.found(n*7919, fmt.Sprint("pc", n), "")
	}
	for step := range steps {
		b.now = b.now.Add(14 * 24 * time.Hour)
		for g := range digests {
			changed[g] = append(changed[g], (g*31+step*17)%300)
			digests[g] = b.put(digests[g], packages(300, changed[g]...))
		}
		for from := 0; from < cis; from += 100 {
			b.do(func(w cmdb.Writer) error {
				for n := from; n < min(from+100, cis); n++ {
					old, err := w.CI(id(n * 7919))
					if err != nil {
						return err
					}
					next := old
					next.State = fact.State{"pkg": digests[n/group]}
					if _, _, err := w.Record(b.now, old, next, cmdb.Revision{By: "agent 00"}); err != nil {
						return err
					}
				}
				return nil
			})
		}
	}
	return b
}
