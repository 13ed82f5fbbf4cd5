package index

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"rollcall/internal/fact"
	"rollcall/server/cmdb"
	"rollcall/server/store"
	"rollcall/server/store/bolt"
)

const tenant = "main"

var day = time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC)

// world is a store with some machines, and the index over it.
type world struct {
	t        testing.TB
	engine   *bolt.Engine
	writer   *store.Writer
	feed     *store.ChangeFeed
	sets     *cmdb.Sets
	presence *cmdb.Presence
	ix       *Index
	rnd      *rand.Rand
	now      time.Time
	machines []*machine
	founded  int
}

type machine struct {
	id    string
	facts map[string]fact.Set
}

func newWorld(t testing.TB, seed uint64) *world {
	t.Helper()
	w := openWorld(t, seed, filepath.Join(t.TempDir(), "db"))
	w.do(func(c cmdb.Writer, _ store.Tx) error {
		for _, s := range []string{"elm", "elm/north", "elm/south", "oak"} {
			if err := c.SetSite(cmdb.Site{Path: s}); err != nil {
				return err
			}
		}
		return nil
	})
	return w
}

func openWorld(t testing.TB, seed uint64, file string) *world {
	t.Helper()
	w := &world{t: t, rnd: rand.New(rand.NewPCG(seed, 1)), now: day}
	var err error
	if w.engine, err = bolt.Open(file, bolt.Options{}); err != nil {
		t.Fatal(err)
	}
	if _, bench := t.(*testing.B); !bench { // there it serves several
		t.Cleanup(func() { _ = w.engine.Close() })
	}
	if w.sets, err = cmdb.NewSets(); err != nil {
		t.Fatal(err)
	}
	if w.presence, err = cmdb.LoadPresence(t.Context(), w.engine, tenant, 0); err != nil {
		t.Fatal(err)
	}
	w.feed = store.NewFeed(store.FeedConfig{Engine: w.engine})
	w.writer = store.NewWriter(store.Config{Engine: w.engine, Feed: w.feed, Linger: -1, MaxBatch: 256})
	w.run(w.writer.Run)
	w.ix = w.newIndex()
	return w
}

func (w *world) newIndex() *Index {
	ix := New(Config{Engine: w.engine, Tenant: tenant, Sets: w.sets, Presence: w.presence})
	if _, bench := w.t.(*testing.B); !bench {
		ix.batch = 16 // so that there are several
	}
	return ix
}

// run runs f until the test ends.
func (w *world) run(f func(context.Context) error) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- f(ctx) }()
	stopped := false
	stop = func() {
		if !stopped {
			stopped = true
			cancel()
			if err := <-done; err != nil {
				w.t.Errorf("run: %v", err)
			}
		}
	}
	if _, bench := w.t.(*testing.B); !bench {
		w.t.Cleanup(stop)
	}
	return stop
}

// follow starts the index and waits until it answers.
func (w *world) follow() {
	w.t.Helper()
	w.run(func(ctx context.Context) error { return w.ix.Run(ctx, w.feed) })
	w.wait(w.ix)
}

func (w *world) wait(ix *Index) {
	w.t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(time.Millisecond) {
		if ready, _, _ := ix.Ready(); ready {
			return
		}
		if time.Now().After(deadline) {
			w.t.Fatal("the index does not get ready")
		}
	}
}

func (w *world) do(fn func(cmdb.Writer, store.Tx) error) {
	w.t.Helper()
	if err := w.writer.Update(context.Background(), func(tx store.Tx) error { return fn(cmdb.In(tx, tenant, cmdb.Everywhere), tx) }); err != nil {
		w.t.Fatalf("write: %v", err)
	}
}

func ciID(n int) string { return fmt.Sprintf("ci%04x%016x", n%65536, n) }

var sites = []string{"", "elm", "elm/north", "elm/south", "oak"}

// add founds a machine with random facts.
func (w *world) add() *machine {
	n := w.founded
	w.founded++
	m := &machine{id: ciID(n), facts: map[string]fact.Set{}}
	w.machines = append(w.machines, m)
	class := []string{"workstation", "laptop", "server", ""}[w.rnd.IntN(4)]
	w.do(func(c cmdb.Writer, _ store.Tx) error {
		ci, err := c.New(m.id, fmt.Sprintf("room%d-pc%03d", n%7, n), class, sites[w.rnd.IntN(len(sites))])
		if err != nil {
			return err
		}
		_, _, err = c.Record(w.now, cmdb.CI{}, ci, cmdb.Revision{By: "agent 00"})
		return err
	})
	w.report(m, w.random(n))
	return m
}

// report records what a machine has now, as ingest does.
func (w *world) report(m *machine, facts map[string]fact.Set) {
	w.t.Helper()
	w.now = w.now.Add(time.Minute)
	state := fact.State{}
	var prepared []cmdb.Prepared
	err := w.engine.View(context.Background(), func(r store.Reader) error {
		for section, set := range facts {
			if len(set) == 0 {
				continue
			}
			d := fact.Diff(m.facts[section], set)
			state[section] = d.Result
			p, err := w.sets.Derive(r, tenant, d.Encode())
			if err != nil {
				return err
			}
			prepared = append(prepared, p)
		}
		return nil
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.do(func(c cmdb.Writer, tx store.Tx) error {
		for _, p := range prepared {
			if _, err := w.sets.Put(tx, tenant, p); err != nil {
				return err
			}
		}
		old, err := c.CI(m.id)
		if err != nil {
			return err
		}
		next := old
		next.State = state
		_, _, err = c.Record(w.now, old, next, cmdb.Revision{By: "agent 00"})
		return err
	})
	m.facts = facts
	w.presence.Heard(m.id, w.now)
}

// random makes facts that are partly those of many, partly of few, partly of one.
func (w *world) random(n int) map[string]fact.Set {
	profile := w.rnd.IntN(3)
	var pkg, etc, id, net []fact.Fact
	for i := range 60 {
		if i%3 == profile || w.rnd.IntN(40) == 0 {
			pkg = append(pkg, fact.Fact{Path: fmt.Sprintf("pkg/p%d/version", i), Value: fmt.Sprintf("1.%d-%d", i, w.rnd.IntN(10)/8)})
		}
	}
	for i := range 30 {
		f := fact.File{Kind: fact.KindPlain, Digest: fact.Digest{byte(i), byte(w.rnd.IntN(20) / 18)}, Mode: 0o644, Owner: "root", Group: "root"}
		if i == 7 {
			f.Digest[5], f.Digest[6] = byte(n), byte(n>>8)
		}
		etc = append(etc, fact.Fact{Path: fmt.Sprintf("etc/f%d.conf", i), Value: f.String()})
	}
	id = append(id, fact.Fact{Path: "id/hostname", Value: fmt.Sprintf("Room-%d", n)},
		fact.Fact{Path: "id/serial/product", Value: fmt.Sprintf("CZC%06X", n*7919)}, fact.Fact{Path: "id/uuid", Value: fmt.Sprintf("4c4c4544-0042-%04x-8033-%012x", n, n)})
	net = append(net, fact.Fact{Path: "net/eth0/mac", Value: fmt.Sprintf("52:54:00:%02x:%02x:0f", n>>8, n&255)},
		fact.Fact{Path: fmt.Sprintf("net/eth0/addr/10.0.%d.%d%%2F16", n>>8, n&255), Value: "global"},
		fact.Fact{Path: "net/eth0/driver", Value: "e1000e"})
	hw := []fact.Fact{{Path: "hw/memory/total", Value: fmt.Sprint(4 << (30 + w.rnd.IntN(3)))}, {Path: "hw/system/vendor", Value: "Dell"}}
	return map[string]fact.Set{"pkg": fact.NewSet(pkg), "etc": fact.NewSet(etc), "id": fact.NewSet(id), "net": fact.NewSet(net), "hw": fact.NewSet(hw)}
}

// change reports something else of one machine.
func (w *world) change(m *machine) {
	facts := maps.Clone(m.facts)
	switch w.rnd.IntN(4) {
	case 0:
		facts = w.random(len(w.machines) + w.rnd.IntN(1000))
	case 1:
		set := slices.Clone(facts["pkg"])
		for i := range set {
			if w.rnd.IntN(3) == 0 {
				set[i].Value = "2.0-1"
			}
		}
		facts["pkg"] = set
	case 2:
		other := w.machines[w.rnd.IntN(len(w.machines))]
		facts["pkg"], facts["etc"] = other.facts["pkg"], other.facts["etc"]
	case 3:
		delete(facts, []string{"pkg", "etc", "hw"}[w.rnd.IntN(3)])
	}
	w.report(m, facts)
}

// erase takes a machine out of the store.
func (w *world) erase(i int) {
	m := w.machines[i]
	w.do(func(c cmdb.Writer, _ store.Tx) error {
		ci, err := c.CI(m.id)
		if err == nil {
			_, _, err = c.Erase(m.id, ci.Rev)
		}
		return err
	})
	w.machines = slices.Delete(w.machines, i, i+1)
}

func (w *world) look(scope cmdb.Scope, fn func(View)) {
	w.t.Helper()
	if err := w.ix.Look(scope, func(v View) error { fn(v); return nil }); err != nil {
		w.t.Fatal(err)
	}
}

// rounds is how many more times random tests run than once.
func rounds() int {
	if testing.Short() {
		return 0
	}
	return 2
}

// declare records what a person says about a machine.
func (w *world) declare(m *machine, fields map[string]string) {
	w.t.Helper()
	w.do(func(c cmdb.Writer, _ store.Tx) error {
		old, err := c.CI(m.id)
		if err != nil {
			return err
		}
		next, err := c.Declare(old, fields)
		if err != nil {
			return err
		}
		_, _, err = c.Record(w.now, old, next, cmdb.Revision{By: "operator kari"})
		return err
	})
}
