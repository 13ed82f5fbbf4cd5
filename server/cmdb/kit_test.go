package cmdb_test

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"testing"
	"time"

	"rollcall/internal/fact"
	"rollcall/server/cmdb"
	"rollcall/server/store"
	"rollcall/server/store/bolt"
	"rollcall/server/store/storetest"
)

const tenant = "t"

// day is when the tests' clock begins.
var day = time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC)

// base is a store with its lanes and the cache of sets.
type base struct {
	t      testing.TB
	engine store.Engine
	writer *store.Writer
	sets   *cmdb.Sets
	now    time.Time
}

// onEngines runs a test of the domain on bbolt and on the weak engine.
func onEngines(t *testing.T, test func(t *testing.T, b *base)) {
	t.Run("bolt", func(t *testing.T) {
		e, err := bolt.Open(filepath.Join(t.TempDir(), "db"), bolt.Options{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = e.Close() })
		test(t, newBase(t, e))
	})
	t.Run("weak", func(t *testing.T) { test(t, newBase(t, storetest.Weak(storetest.Seed(t)))) })
}

func newBase(t testing.TB, e store.Engine) *base {
	b := &base{t: t, engine: e, writer: storetest.NewWriter(t, e, nil), now: day}
	b.forget()
	return b
}

// forget empties the cache, as a new start of the server does.
func (b *base) forget() {
	b.t.Helper()
	var err error
	if b.sets, err = cmdb.NewSets(); err != nil {
		b.t.Fatal(err)
	}
}

func (b *base) try(fn func(w cmdb.Writer) error) error {
	return b.writer.Update(b.t.Context(), func(tx store.Tx) error { return fn(cmdb.In(tx, tenant, cmdb.Everywhere)) })
}

func (b *base) do(fn func(w cmdb.Writer) error) {
	b.t.Helper()
	if err := b.try(fn); err != nil {
		b.t.Fatalf("write: %v", err)
	}
}

func (b *base) see(fn func(v cmdb.View) error) {
	b.t.Helper()
	if err := b.look(fn); err != nil {
		b.t.Fatalf("read: %v", err)
	}
}

func (b *base) look(fn func(v cmdb.View) error) error {
	return b.engine.View(b.t.Context(), func(r store.Reader) error { return fn(cmdb.At(r, tenant, b.sets, cmdb.Everywhere)) })
}

// id makes the id of the n-th CI.
func id(n int) string { return fmt.Sprintf("ci%020x", n) }

// found stores a new CI a second later than what was before.
func (b *base) found(n int, name, site string) cmdb.CI {
	b.t.Helper()
	b.now = b.now.Add(time.Second)
	b.do(func(w cmdb.Writer) error { return w.Found(b.now, id(n), name, "", site, "agent 00", "enrolled") })
	return b.head(id(n))
}

func (b *base) head(idOrName string) (ci cmdb.CI) {
	b.t.Helper()
	b.see(func(v cmdb.View) (err error) {
		ci, err = v.CI(idOrName)
		return err
	})
	return ci
}

// declare records declared fields, given as name, value, name, value.
func (b *base) declare(ci string, pairs ...string) error {
	b.now = b.now.Add(time.Second)
	fields := map[string]string{}
	for i := 0; i < len(pairs); i += 2 {
		fields[pairs[i]] = pairs[i+1]
	}
	return b.try(func(w cmdb.Writer) error {
		old, err := w.Resolve(ci)
		if err != nil {
			return err
		}
		next, err := w.Declare(old, fields)
		if err != nil {
			return err
		}
		_, _, err = w.Record(b.now, old, next, cmdb.Revision{By: "operator kari"})
		return err
	})
}

// observe records that a CI has other facts now, as ingest does.
func (b *base) observe(ci string, sets map[string]fact.Set) cmdb.Revision {
	b.t.Helper()
	b.now = b.now.Add(time.Second)
	head := b.head(ci)
	next := fact.State{}
	var all []cmdb.Prepared
	for name, set := range sets {
		p := b.prepare(head.State[name], set)
		next[name] = p.Digest
		all = append(all, p)
	}
	var rev cmdb.Revision
	var stored []cmdb.Prepared
	err := b.writer.Update(b.t.Context(), func(tx store.Tx) error {
		stored = nil
		for _, p := range all {
			isNew, err := b.sets.Put(tx, tenant, p)
			if err != nil {
				return err
			}
			if isNew {
				stored = append(stored, p)
			}
		}
		w := cmdb.In(tx, tenant, cmdb.Everywhere)
		old, err := w.CI(head.ID)
		if err != nil {
			return err
		}
		after := old
		after.State = next
		_, rev, err = w.Record(b.now, old, after, cmdb.Revision{By: "agent 00", Reason: "interval"})
		return err
	})
	if err != nil {
		b.t.Fatalf("record: %v", err)
	}
	for _, p := range stored {
		b.sets.Keep(p)
	}
	return rev
}

// prepare makes a set ready as a delta from the set with digest from.
func (b *base) prepare(from fact.Digest, set fact.Set) (p cmdb.Prepared) {
	b.t.Helper()
	b.see(func(v cmdb.View) error {
		var old fact.Set
		if !from.IsZero() {
			var err error
			if old, err = v.LoadSet(from); err != nil {
				return err
			}
		}
		return b.engine.View(b.t.Context(), func(r store.Reader) (err error) {
			p, err = b.sets.Derive(r, tenant, fact.Diff(old, set).Encode())
			return err
		})
	})
	return p
}

// put stores a set as a delta from another.
func (b *base) put(from fact.Digest, set fact.Set) fact.Digest {
	b.t.Helper()
	p := b.prepare(from, set)
	isNew := false
	if err := b.writer.Update(b.t.Context(), func(tx store.Tx) (err error) {
		isNew, err = b.sets.Put(tx, tenant, p)
		return err
	}); err != nil {
		b.t.Fatalf("put set: %v", err)
	}
	if isNew {
		b.sets.Keep(p)
	}
	return p.Digest
}

// packages makes a set of n facts; those named by changed have another value.
func packages(n int, changed ...int) fact.Set {
	var facts []fact.Fact
	for i := range n {
		facts = append(facts, fact.Fact{Path: fmt.Sprintf("pkg/p%04d/version", i), Value: fmt.Sprintf("1.%d-1", i*7919%1000)})
	}
	for k, i := range changed {
		facts[i].Value = fmt.Sprintf("2.%d-1", k)
	}
	return fact.NewSet(facts)
}

func random(t testing.TB) *rand.Rand { return rand.New(rand.NewPCG(storetest.Seed(t), 1)) }
