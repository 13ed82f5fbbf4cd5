package main

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"rollcall/internal/fact"
	"rollcall/internal/sim"
	"rollcall/server/cmdb"
	"rollcall/server/store"
	"rollcall/server/store/bolt"
)

// filler writes what a server would know of a fleet into its store, without
// anybody sending it: sets and contents, heads and revisions, by the writer that
// ingest uses. There are no envelopes and receipts. Unless enrols is set there are
// no keys either, no leaves of the evidence log, and nothing for the mirror.
type filler struct {
	fleet  *sim.Fleet
	agents *sim.Agents
	engine *bolt.Engine
	sets   *cmdb.Sets
	tenant string
	seed   uint64
	now    time.Time
	bases  map[fact.Digest]bool // sets and contents that are stored
	files  map[fact.Digest]bool

	enrols bool     // each machine gets a key, and the mirror what is recorded
	cis    []string // ids of their CIs then

	revisions int
}

// Bounds of one step, and of one transaction below those of the store.
const (
	fillStep    = 512 // machines
	fillTxKeys  = 800
	fillTxBytes = 700 << 10
	headKeys    = 20 // of one revision, and of a key
	headBytes   = 12 << 10
)

// unit is one revision on its way.
type unit struct {
	number int
	member sim.Member
	first  bool // nothing was recorded of the machine before
	taken  []sim.Taken
	sets   []cmdb.Prepared // one for each taken
}

// cost is what a unit takes in a transaction at most.
func (u unit) cost() (keys, bytes int) {
	keys, bytes = headKeys, headBytes
	for i, p := range u.sets {
		if !u.taken[i].Delta.Empty() {
			keys += 1 + p.Size()/(store.MaxValue/2)
			bytes += p.Size()
		}
	}
	return keys, bytes
}

// ciOf gives the id of a machine's CI, which the seed decides.
func (f *filler) ciOf(number int) string {
	b := binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64([]byte("rollcall sim ci "), f.seed), uint64(number))
	sum := sha256.Sum256(b)
	return "ci" + hex.EncodeToString(sum[:10])
}

// found makes the sites that the machines stand at.
func (f *filler) found(ctx context.Context) error {
	var sites []string
	seen := map[string]bool{}
	for i := range f.fleet.Len() {
		site := f.fleet.Member(i).Site
		for n := range len(site) + 1 {
			if (n == len(site) || site[n] == '/') && !seen[site[:n]] {
				seen[site[:n]] = true
				sites = append(sites, site[:n])
			}
		}
	}
	for len(sites) > 0 {
		n := min(len(sites), fillTxKeys)
		err := f.engine.Update(ctx, func(tx store.Tx) error {
			for _, path := range sites[:n] {
				if err := cmdb.In(tx, f.tenant, cmdb.Everywhere).SetSite(cmdb.Site{Path: path}); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("write sites: %w", err)
		}
		sites = sites[n:]
	}
	return nil
}

// record writes one revision for each machine. While a step is committed the next
// one is prepared.
func (f *filler) record(ctx context.Context, numbers []int, told func(done int)) error {
	var commits errgroup.Group
	for at := 0; at < len(numbers); at += fillStep {
		units, err := f.prepare(ctx, numbers[at:min(len(numbers), at+fillStep)])
		if waited := commits.Wait(); err == nil {
			err = waited
		}
		if err != nil {
			return err
		}
		commits = errgroup.Group{}
		commits.Go(func() error { return f.commit(ctx, units) })
		told(at)
	}
	return commits.Wait()
}

func (f *filler) prepare(ctx context.Context, numbers []int) ([]unit, error) {
	units := make([]unit, len(numbers))
	if err := each(ctx, len(units), func(i int) error {
		n := numbers[i]
		units[i] = unit{number: n, member: f.fleet.Member(n), first: !f.agents.Began(n), taken: f.agents.Take(n)}
		return nil
	}); err != nil {
		return nil, err
	}
	if err := f.putBases(ctx, units); err != nil {
		return nil, err
	}
	if err := f.putContents(ctx, units); err != nil {
		return nil, err
	}
	units = slices.DeleteFunc(units, func(u unit) bool { return len(u.taken) == 0 })
	err := each(ctx, len(units), func(i int) error { return f.derive(ctx, &units[i]) })
	return units, err
}

// each calls fn for 0 to n-1, some at a time.
func each(ctx context.Context, n int, fn func(i int) error) error {
	g, ctx := errgroup.WithContext(ctx)
	workers := runtime.GOMAXPROCS(0)
	for w := range workers {
		g.Go(func() error {
			for i := w; i < n; i += workers {
				if err := ctx.Err(); err != nil {
					return err
				}
				if err := fn(i); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return g.Wait()
}

// putBases stores the sets that machines share and that are not there yet.
func (f *filler) putBases(ctx context.Context, units []unit) error {
	for _, u := range units {
		for _, t := range u.taken {
			if t.Base == nil || f.bases[t.Base.Digest()] {
				continue
			}
			f.bases[t.Base.Digest()] = true
			whole := fact.Delta{Put: t.Base.Facts, Result: t.Base.Digest()}
			var p cmdb.Prepared
			err := f.engine.View(ctx, func(r store.Reader) (err error) {
				p, err = f.sets.Derive(r, f.tenant, whole.Encode())
				return err
			})
			if err == nil && p.Size() > 0 {
				if err = f.sets.PutLarge(ctx, f.engine, f.tenant, p); err == nil {
					f.sets.Keep(p)
				}
			}
			if err != nil {
				return fmt.Errorf("write section %s: %w", t.Section, err)
			}
		}
	}
	return nil
}

// derive works out how the sets of a unit are stored.
func (f *filler) derive(ctx context.Context, u *unit) error {
	return f.engine.View(ctx, func(r store.Reader) error {
		for _, t := range u.taken {
			if t.Delta.Empty() { // it has what it shares and nothing else
				u.sets = append(u.sets, cmdb.Prepared{Digest: t.Delta.Result, Len: len(t.Base.Facts)})
				continue
			}
			p, err := f.sets.Derive(r, f.tenant, t.Delta.Encode())
			if err != nil {
				return fmt.Errorf("machine %d, section %s: %w", u.number, t.Section, err)
			}
			u.sets = append(u.sets, p)
		}
		return nil
	})
}

// putContents stores the contents of files that nobody had before.
func (f *filler) putContents(ctx context.Context, units []unit) error {
	var all []cmdb.Content
	for _, u := range units {
		var want []fact.Digest
		for _, t := range u.taken {
			if t.Section != "etc" {
				continue
			}
			facts := t.Delta.Put
			if t.Base != nil {
				facts = append(facts[:len(facts):len(facts)], t.Base.Facts...)
			}
			for _, fc := range facts {
				file, err := fact.ParseFile(fc.Value)
				if err == nil && file.Kind == fact.KindPlain && !f.files[file.Digest] {
					f.files[file.Digest] = true
					want = append(want, file.Digest)
				}
			}
		}
		if len(want) > 0 {
			for d, b := range f.fleet.Contents(u.number, want) {
				all = append(all, cmdb.Content{Digest: d, Bytes: b})
			}
		}
	}
	if err := cmdb.PutContents(ctx, f.engine, f.tenant, "", f.now, all); err != nil {
		return fmt.Errorf("write contents: %w", err)
	}
	return nil
}

// commit writes units, as many as fit into each transaction.
func (f *filler) commit(ctx context.Context, units []unit) error {
	for len(units) > 0 {
		n, keys, bytes := 0, 0, 0
		for n < len(units) {
			k, b := units[n].cost()
			if keys, bytes = keys+k, bytes+b; n > 0 && (keys > fillTxKeys || bytes > fillTxBytes) {
				break
			}
			n++
		}
		var fresh []cmdb.Prepared
		err := f.engine.Update(ctx, func(tx store.Tx) error {
			fresh = fresh[:0]
			for _, u := range units[:n] {
				kept, err := f.write(tx, u)
				if err != nil {
					return fmt.Errorf("machine %d: %w", u.number, err)
				}
				fresh = append(fresh, kept...)
			}
			return nil
		})
		if err != nil {
			return err
		}
		for _, p := range fresh {
			f.sets.Keep(p)
		}
		f.revisions += n
		units = units[n:]
	}
	return nil
}

// write records a unit, and returns the sets that were new to the store.
func (f *filler) write(tx store.Tx, u unit) (fresh []cmdb.Prepared, err error) {
	c := cmdb.In(tx, f.tenant, cmdb.Everywhere)
	id := f.ciOf(u.number)
	var old, next cmdb.CI
	reason := "interval"
	if f.enrols {
		if id, err = f.admit(tx, u); err != nil {
			return nil, err
		}
	}
	if !u.first || f.enrols {
		old, err = c.CI(id)
		next = old
	} else {
		next, err = c.New(id, u.member.Name, u.member.Profile.Class(), u.member.Site)
		reason = "first"
	}
	if err != nil {
		return nil, err
	}
	next.State, next.Trust = maps.Clone(old.State), "T1"
	if !f.enrols {
		next.Site = u.member.Site
	}
	if next.State == nil {
		next.State = fact.State{}
	}
	for i, p := range u.sets {
		if p.Len == 0 {
			delete(next.State, u.taken[i].Section)
			continue
		}
		next.State[u.taken[i].Section] = p.Digest
		if u.taken[i].Delta.Empty() || p.Size() == 0 {
			continue // stored already
		}
		isNew, err := f.sets.Put(tx, f.tenant, p)
		if err != nil {
			return nil, err
		}
		if isNew {
			fresh = append(fresh, p)
		}
	}
	_, rev, err := c.Record(f.now, old, next, cmdb.Revision{By: "agent " + strings.TrimPrefix(id, "ci"), Reason: reason, Claimed: f.now.UnixMilli()})
	if err != nil {
		return nil, err
	}
	if f.enrols {
		return fresh, nil
	}
	return fresh, tx.Delete(cmdb.MirrorKey(f.tenant, rev.Stamp, id))
}
