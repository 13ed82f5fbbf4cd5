package cmdb_test

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"rollcall/internal/fact"
	"rollcall/server/cmdb"
	"rollcall/server/store"
	"rollcall/server/store/bolt"
)

// lives gives one CI a history in which sections come, change, go and come again, and
// people declare things.
func lives(b *base, steps int) {
	rng := random(b.t)
	b.found(0, "pc", "")
	sets := map[string]fact.Set{}
	for n := range steps {
		switch section := []string{"pkg", "net", "etc"}[rng.IntN(3)]; {
		case rng.IntN(5) == 0:
			if err := b.declare(id(0), fmt.Sprint("field", rng.IntN(3)), []string{"", "x", "y"}[rng.IntN(3)]); err != nil {
				b.t.Fatal(err)
			}
			continue
		case rng.IntN(5) == 0:
			delete(sets, section)
		default:
			sets[section] = fact.NewSet([]fact.Fact{
				{Path: section + "/a/version", Value: fmt.Sprint(rng.IntN(3))}, {Path: section + "/b/version", Value: fmt.Sprint(n)},
			})
		}
		b.observe(id(0), sets)
	}
}

// What a step says is what its revision says, also where that was stored as JSON, and
// so are the trails of paths.
func TestStepsSayWhatTheirRevisionsSay(t *testing.T) {
	onEngines(t, func(t *testing.T, b *base) {
		lives(b, 60)
		ci := b.head(id(0))
		b.see(func(v cmdb.View) error { return sameSteps(t, v, ci) })
		b.see(func(v cmdb.View) error {
			for r, err := range v.History(ci) {
				if err != nil {
					return err
				}
				b.json(store.At(store.Event, tenant, "/", ci.ID, "/", string([]byte{0, 0, 0, 0, 0, 0, 0, byte(r.N)})), r)
			}
			return nil
		})
		b.see(func(v cmdb.View) error { return sameSteps(t, v, ci) })
	})
}

func sameSteps(t *testing.T, v cmdb.View, ci cmdb.CI) error {
	t.Helper()
	var revs []cmdb.Revision
	for r, err := range v.History(ci) {
		if err != nil {
			return err
		}
		revs = append(revs, r)
	}
	n := 0
	for s, err := range v.Steps(ci) {
		if err != nil {
			return err
		}
		r := revs[n]
		n++
		fields, err := s.Fields()
		if err != nil {
			return err
		}
		if s.N != r.N || !s.At.Equal(r.At()) || !maps.Equal(fields, r.Fields) || s.FirstReport() != (len(r.Prev) == 0 && len(r.State) > 0) {
			t.Errorf("step %d at %s, first %t, %v; want %d, %s, %v", s.N, s.At, s.FirstReport(), fields, r.N, r.At(), r.Fields)
		}
		got := map[string][2]fact.Digest{}
		s.Sections(func(section string, was, is fact.Digest) { got[section] = [2]fact.Digest{was, is} })
		for _, section := range []string{"pkg", "net", "etc", "hw"} {
			was, is := s.Sets(section)
			if was != r.Prev[section] || is != r.State[section] {
				t.Errorf("step %d: %s was %s and is %s, want %s and %s", r.N, section, was, is, r.Prev[section], r.State[section])
			}
			turn, told := got[section]
			if told != (was != is) || told && turn != [2]fact.Digest{was, is} {
				t.Errorf("step %d: %s is told as %v", r.N, section, turn)
			}
		}
	}
	if n != len(revs) {
		t.Errorf("%d steps of %d revisions", n, len(revs))
	}
	return sameTrails(t, v, ci, revs)
}

func sameTrails(t *testing.T, v cmdb.View, ci cmdb.CI, revs []cmdb.Revision) error {
	t.Helper()
	for _, path := range []string{"pkg/a/version", "net/b", "etc", "hw/x"} {
		since := revs[len(revs)/2].At()
		var want, got []uint64
		for _, r := range revs {
			changes, err := v.FactChanges(r, path)
			if err != nil {
				return err
			}
			if len(changes) > 0 && !r.At().Before(since) {
				want = append(want, r.N)
			}
		}
		for s, err := range v.Glance().Trail(ci, path, since) {
			if err != nil {
				return err
			}
			got = append(got, s.N)
		}
		if !slices.Equal(got, want) {
			t.Errorf("the trail of %s: %v, want %v", path, got, want)
		}
	}
	return nil
}

// quietly makes a CI whose packages change all the time and whose network twice.
func quietly(tb testing.TB, revisions int) *base {
	tb.Helper()
	e, err := bolt.Open(filepath.Join(tb.TempDir(), "db"), bolt.Options{})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = e.Close() })
	b := newBase(tb, e)
	b.found(0, "pc", "")
	var changed []int
	net := func(driver string) fact.Set {
		return fact.NewSet([]fact.Fact{{Path: "net/eth0/driver", Value: driver}})
	}
	for n := range revisions {
		driver := "r8169"
		if n > revisions/2 {
			driver = "tg3"
		}
		changed = append(changed, n%300)
		b.observe(id(0), map[string]fact.Set{"pkg": packages(300, changed...), "net": net(driver)})
	}
	return b
}

// readsOf counts what is read of the store by space.
type readsOf struct {
	store.Reader
	of map[store.Space]int
}

func (c readsOf) Get(k store.Key) ([]byte, error) {
	c.of[k.Space]++
	return c.Reader.Get(k)
}

// The trail of a path reads the sets of revisions that changed its section, and of no
// others.
func TestATrailReadsOnlyTheSetsThatMatter(t *testing.T) {
	b := quietly(t, 120)
	ci := b.head(id(0))
	b.forget()
	err := b.engine.View(t.Context(), func(r store.Reader) error {
		c := readsOf{r, map[store.Space]int{}}
		found := 0
		for _, err := range cmdb.At(c, tenant, b.sets, cmdb.Everywhere).Glance().Trail(ci, "net/eth0/driver", time.Time{}) {
			if err != nil {
				return err
			}
			found++
		}
		if found != 2 || c.of[store.Event] != int(ci.Rev) || c.of[store.Blob] > 3 {
			t.Errorf("found %d changes with %v reads, want 2 with %d revisions and 3 sets at most", found, c.of, ci.Rev)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// BenchmarkTrail looks through histories of three lengths for a path whose section
// hardly changes, and for one whose section changes each time.
func BenchmarkTrail(b *testing.B) {
	for _, revisions := range []int{100, 1000} {
		s := quietly(b, revisions)
		ci := s.head(id(0))
		for _, path := range []string{"net/eth0/driver", "pkg/p0017/version"} {
			b.Run(fmt.Sprint(path[:3], "/", revisions), func(b *testing.B) {
				for b.Loop() {
					s.see(func(v cmdb.View) error {
						for _, err := range v.Glance().Trail(ci, path, time.Time{}) {
							if err != nil {
								return err
							}
						}
						return nil
					})
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(revisions), "ns/revision")
			})
		}
	}
}
