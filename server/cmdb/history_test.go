package cmdb_test

import (
	"errors"
	"maps"
	"math"
	"slices"
	"testing"
	"time"

	"rollcall/internal/fact"
	"rollcall/server/cmdb"
	"rollcall/server/store"
)

func TestAsOfAtEveryBoundary(t *testing.T) {
	onEngines(t, func(t *testing.T, b *base) {
		b.found(1, "pc", "")
		for i := range 9 {
			b.observe("pc", map[string]fact.Set{"pkg": packages(20, i)})
		}
		ci := b.head("pc")
		at := func(when time.Time) (uint64, error) {
			var n uint64
			err := b.look(func(v cmdb.View) error {
				r, err := v.AsOf(ci, when)
				n = r.N
				return err
			})
			return n, err
		}
		for n := uint64(1); n <= ci.Rev; n++ {
			var r cmdb.Revision
			b.see(func(v cmdb.View) (err error) { r, err = v.Revision(ci.ID, n); return err })
			for _, step := range []struct {
				by   time.Duration
				want uint64
			}{{-1, n - 1}, {0, n}, {1, n}, {999 * time.Millisecond, n}} {
				got, err := at(r.At().Add(step.by))
				if step.want == 0 {
					if !errors.Is(err, cmdb.ErrNotFound) {
						t.Errorf("before the first revision: %d, %v, want ErrNotFound", got, err)
					}
					continue
				}
				if err != nil || got != step.want {
					t.Errorf("%v after revision %d: %d, %v, want %d", step.by, n, got, err, step.want)
				}
			}
		}
		for _, far := range []time.Time{{}, time.Unix(0, math.MinInt64), time.UnixMilli(math.MinInt64 / 2000)} {
			if got, err := at(far); !errors.Is(err, cmdb.ErrNotFound) {
				t.Errorf("at %v: %d, %v, want ErrNotFound", far, got, err)
			}
		}
		if got, err := at(time.UnixMilli(math.MaxInt64 / 2000)); err != nil || got != ci.Rev {
			t.Errorf("in the far future: %d, %v, want %d", got, err, ci.Rev)
		}
	})
}

func TestStateIsTheFoldOfItsHistory(t *testing.T) {
	onEngines(t, func(t *testing.T, b *base) {
		rnd := random(t)
		b.found(1, "pc", "")
		now := map[string]map[string]string{"pkg": {}, "hw": {}, "etc": {}}
		var states []map[string]fact.Set
		for range 40 {
			for range 1 + rnd.IntN(6) {
				section := []string{"pkg", "hw", "etc"}[rnd.IntN(3)]
				path := section + "/" + string(rune('a'+rnd.IntN(12)))
				if rnd.IntN(3) == 0 {
					delete(now[section], path)
				} else {
					now[section][path] = string(rune('0' + rnd.IntN(8)))
				}
			}
			sets := map[string]fact.Set{}
			for section, facts := range now {
				if set := setOf(facts); len(set) > 0 {
					sets[section] = set
				}
			}
			b.observe("pc", sets)
			states = append(states, sets)
			if rnd.IntN(5) == 0 {
				b.forget()
			}
		}
		b.forget()
		ci := b.head("pc")
		fold := map[string]string{}
		b.see(func(v cmdb.View) error {
			for n := uint64(2); n <= ci.Rev; n++ {
				r, err := v.Revision(ci.ID, n)
				if err != nil {
					return err
				}
				changes, err := v.FactChanges(r, "")
				if err != nil {
					return err
				}
				for _, c := range changes {
					if fold[c.Path] != c.Old {
						t.Fatalf("revision %d says that %s was %q, it was %q", n, c.Path, c.Old, fold[c.Path])
					}
					if c.New == "" {
						delete(fold, c.Path)
					} else {
						fold[c.Path] = c.New
					}
				}
				want := map[string]string{}
				for _, set := range states[n-2] {
					for _, f := range set {
						want[f.Path] = f.Value
					}
				}
				if !maps.Equal(fold, want) {
					t.Fatalf("after revision %d the fold is %v, want %v", n, fold, want)
				}
			}
			return nil
		})
	})
}

func setOf(facts map[string]string) fact.Set {
	var all []fact.Fact
	for path, v := range facts {
		all = append(all, fact.Fact{Path: path, Value: v})
	}
	return fact.NewSet(all)
}

func TestStampsRiseWhenTheClockIsSetBack(t *testing.T) {
	onEngines(t, func(t *testing.T, b *base) {
		b.found(1, "pc", "")
		b.found(2, "other", "")
		var stamps []int64
		for i, back := range []time.Duration{0, time.Second, 24 * time.Hour, -time.Hour, 0, 365 * 24 * time.Hour} {
			b.now = b.now.Add(-back)
			stamps = append(stamps, b.observe(id(1+i%2), map[string]fact.Set{"pkg": packages(10, i)}).Stamp)
		}
		if !slices.IsSorted(stamps) || len(slices.Compact(slices.Clone(stamps))) != len(stamps) {
			t.Errorf("stamps %v do not rise", stamps)
		}
		b.see(func(v cmdb.View) error {
			places, err := v.Places()
			n, err2 := v.Count()
			if uint64(len(places)) != n || n != 8 {
				t.Errorf("%d places, count %d, want 8", len(places), n)
			}
			return errors.Join(err, err2)
		})
	})
}

func TestDeclaredFieldsAreKnownAsOfAnyRevision(t *testing.T) {
	onEngines(t, func(t *testing.T, b *base) {
		b.found(1, "pc", "")
		steps := []map[string]string{
			{"owner": "kari"}, {"owner": "ola", "room": "12"}, {"owner": ""}, {"status": "disposed", "name": "old-pc"},
		}
		want := []map[string]string{{"name": "pc", "status": "in-production"}}
		for _, s := range steps {
			next := maps.Clone(want[len(want)-1])
			var pairs []string
			for name, v := range s {
				pairs = append(pairs, name, v)
				next[name] = v
				if v == "" {
					delete(next, name)
				}
			}
			if err := b.declare(id(1), pairs...); err != nil {
				t.Fatal(err)
			}
			want = append(want, next)
		}
		ci := b.head(id(1))
		b.see(func(v cmdb.View) error {
			for n := range want {
				got, err := v.FieldsAsOf(ci, uint64(n+1))
				if err != nil || !maps.Equal(got, want[n]) {
					t.Errorf("after revision %d: %v, %v, want %v", n+1, got, err, want[n])
				}
			}
			return nil
		})
	})
}

func TestLastChangeFindsTheTreeAndNotItsNeighbour(t *testing.T) {
	onEngines(t, func(t *testing.T, b *base) {
		b.found(1, "pc", "")
		value := fact.File{Kind: fact.KindDir, Owner: "root", Group: "root", Mode: 0o755}.String()
		paths := []string{"etc/cups", "etc/cups/cupsd.conf", "etc/cups-browsed", "etc/hosts"}
		var facts []fact.Fact
		var revs []uint64
		for _, p := range paths {
			facts = append(slices.Clone(facts), fact.Fact{Path: p, Value: value})
			revs = append(revs, b.observe("pc", map[string]fact.Set{"etc": fact.NewSet(slices.Clone(facts))}).N)
		}
		ci := b.head("pc")
		for _, tt := range []struct {
			prefix string
			from   uint64
			want   uint64
		}{
			{"etc/cups", ci.Rev, revs[1]},
			{"etc/cups", revs[0], revs[0]},
			{"etc/cups", 1, 0},
			{"etc/cups-browsed", ci.Rev, revs[2]},
			{"etc", ci.Rev, revs[3]},
			{"etc/", ci.Rev, revs[3]},
			{"etc/nothing", ci.Rev, 0},
			{"pkg", ci.Rev, 0},
			{"etc/hosts", 1000, revs[3]},
		} {
			b.see(func(v cmdb.View) error {
				r, ok, err := v.LastChange(ci, tt.from, tt.prefix)
				if r.N != tt.want || ok != (tt.want > 0) {
					t.Errorf("last change of %s until %d: revision %d, want %d", tt.prefix, tt.from, r.N, tt.want)
				}
				return err
			})
		}
	})
}

func TestARevisionFitsTheStoreWhateverItsEvents(t *testing.T) {
	onEngines(t, func(t *testing.T, b *base) {
		b.found(1, "pc", "")
		var events []cmdb.Event
		for i := range 1000 {
			events = append(events, cmdb.Event{At: int64(i), Kind: "dpkg", Text: "<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<"})
		}
		var got cmdb.Revision
		b.do(func(w cmdb.Writer) error {
			old, err := w.CI(id(1))
			if err != nil {
				return err
			}
			next := old
			next.Class = "server"
			_, got, err = w.Record(b.now, old, next, cmdb.Revision{By: "agent", Events: events})
			return err
		})
		if n := len(got.Events); n == 0 || n > cmdb.MaxEvents || got.Events[n-1].At != 999 {
			t.Errorf("%d events kept, want some of the newest", n)
		}
	})
}

func TestAnotherTenantSeesNothing(t *testing.T) {
	onEngines(t, func(t *testing.T, b *base) {
		b.found(1, "pc", "")
		if err := b.engine.View(t.Context(), func(r store.Reader) error {
			other := cmdb.At(r, "t2", b.sets, cmdb.Everywhere)
			if _, err := other.CI("pc"); !errors.Is(err, cmdb.ErrNotFound) {
				t.Errorf("by name: %v", err)
			}
			if _, err := other.CI(id(1)); !errors.Is(err, cmdb.ErrNotFound) {
				t.Errorf("by id: %v", err)
			}
			for ci := range other.All() {
				t.Errorf("it sees %v", ci)
			}
			places, err := other.Places()
			if len(places) > 0 {
				t.Errorf("it sees %v", places)
			}
			return err
		}); err != nil {
			t.Fatal(err)
		}
	})
}
