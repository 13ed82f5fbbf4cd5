package server

import (
	"fmt"
	"maps"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"rollcall/internal/fact"
	"rollcall/internal/sim"
	"rollcall/server/cmdb"
	"rollcall/server/store"
	"rollcall/server/store/bolt"
	"rollcall/server/store/storetest"
)

// fleetStore is a store that holds a simulated fleet as if it had reported,
// without keys, envelopes and the network.
type fleetStore struct {
	tb     testing.TB
	engine store.Engine
	writer *store.Writer
	sets   *cmdb.Sets
	fleet  *sim.Fleet
	was    []map[string]fact.Set // what each machine last reported
	shown  map[fact.Digest]bool  // contents that are stored
	clock  time.Time
}

const fleetTenant = "t"

// newFleetStore founds the schools; nobody has reported yet.
func newFleetStore(tb testing.TB, dir string, o sim.Options) *fleetStore {
	tb.Helper()
	e, err := bolt.Open(filepath.Join(dir, "db"), bolt.Options{})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := e.Close(); err != nil {
			tb.Error(err)
		}
	})
	f := &fleetStore{tb: tb, engine: e, writer: storetest.NewWriter(tb, e, nil), shown: map[fact.Digest]bool{}, clock: o.Day.Time()}
	if f.fleet, err = sim.New(o); err == nil {
		f.sets, err = cmdb.NewSets()
	}
	if err != nil {
		tb.Fatal(err)
	}
	f.was = make([]map[string]fact.Set, f.fleet.Len())
	known := map[string]bool{}
	for i := range f.fleet.Len() {
		parts := strings.Split(f.fleet.Member(i).Site, "/")
		for n := range parts {
			path := strings.Join(parts[:n+1], "/")
			if !known[path] {
				f.update(func(w cmdb.Writer) error { return w.SetSite(cmdb.Site{Path: path}) })
			}
			known[path] = true
		}
	}
	return f
}

func (f *fleetStore) update(fn func(cmdb.Writer) error) {
	f.tb.Helper()
	err := f.writer.Update(f.tb.Context(), func(tx store.Tx) error { return fn(cmdb.In(tx, fleetTenant, cmdb.Everywhere)) })
	if err != nil {
		f.tb.Fatal(err)
	}
}

// report records what a machine has now, if that is something new.
func (f *fleetStore) report(i int) {
	f.tb.Helper()
	m := f.fleet.Member(i)
	id := fmt.Sprintf("ci%020x", i)
	f.clock = f.clock.Add(time.Second)
	if f.was[i] == nil {
		f.was[i] = map[string]fact.Set{}
		f.update(func(w cmdb.Writer) error {
			return w.Found(f.clock, id, m.Name, m.Profile.Class(), m.Site, "agent 0123", "enrolled")
		})
	}
	now := f.fleet.Sets(i)
	f.contents(i, m.Site, now["etc"])
	var news []cmdb.Prepared
	err := f.engine.View(f.tb.Context(), func(r store.Reader) error {
		for name, set := range now {
			d := fact.Diff(f.was[i][name], set)
			if d.Base == d.Result && len(d.Put)+len(d.Drop) == 0 {
				continue
			}
			p, err := f.sets.Derive(r, fleetTenant, d.Encode())
			if err != nil {
				return fmt.Errorf("%s of machine %d: %w", name, i, err)
			}
			p.Section = name
			news = append(news, p)
		}
		return nil
	})
	if err != nil {
		f.tb.Fatal(err)
	}
	if len(news) > 0 {
		f.record(id, news)
	}
	f.was[i] = now
}

func (f *fleetStore) record(id string, news []cmdb.Prepared) {
	f.tb.Helper()
	isNew := make([]bool, len(news))
	err := f.writer.Update(f.tb.Context(), func(tx store.Tx) error {
		w := cmdb.In(tx, fleetTenant, cmdb.Everywhere)
		old, err := w.CI(id)
		if err != nil {
			return err
		}
		next := old
		next.State = fact.State{}
		maps.Copy(next.State, old.State)
		for n, p := range news {
			next.State[p.Section] = p.Digest
			if isNew[n], err = f.sets.Put(tx, fleetTenant, p); err != nil {
				return err
			}
		}
		_, _, err = w.Record(f.clock, old, next, cmdb.Revision{By: "agent 0123"})
		return err
	})
	if err != nil {
		f.tb.Fatal(err)
	}
	for n, p := range news {
		if isNew[n] {
			f.sets.Keep(p)
		}
	}
}

// contents stores the files of /etc that no machine has shown before.
func (f *fleetStore) contents(i int, site string, etc fact.Set) {
	f.tb.Helper()
	var want []fact.Digest
	for _, e := range etc {
		if file, err := fact.ParseFile(e.Value); err == nil && file.Kind == fact.KindPlain && !f.shown[file.Digest] {
			f.shown[file.Digest] = true
			want = append(want, file.Digest)
		}
	}
	var all []cmdb.Content
	for d, b := range f.fleet.Contents(i, want) {
		all = append(all, cmdb.Content{Digest: d, Bytes: b})
	}
	if err := cmdb.PutContents(f.tb.Context(), f.writer, fleetTenant, site, f.clock, all); err != nil {
		f.tb.Fatal(err)
	}
}
