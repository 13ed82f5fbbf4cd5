package index

import (
	"context"
	"errors"
	"runtime"

	"rollcall/internal/fact"
	"rollcall/server/cmdb"
	"rollcall/server/store"

	"golang.org/x/sync/errgroup"
)

// loadBatch is how many CIs are read ahead together.
const loadBatch = 512

// A machine has about so many facts of its own, and sets that no other has. The table
// of owners is made of that size at once; where it is far from it, it is made anew.
const (
	ownGuess = 32
	setGuess = 8
)

// batch is some CIs with the sets that no batch before had.
type batch struct {
	heads []head
	lost  map[string]error
	sets  map[fact.Digest]stored
}

// fill reads every CI. Heads are scanned, sets are read by several goroutines, and
// one takes them in: three stages that work at the same time.
func (ix *Index) fill(ctx context.Context, f *fleet) error {
	heads, full := make(chan *batch, 2), make(chan *batch, 2)
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		defer close(heads)
		return ix.view(ctx, func(v cmdb.View) error { return ix.scan(ctx, v, f.dict, heads) })
	})
	g.Go(func() error {
		defer close(full)
		return ix.readSets(ctx, f.dict, heads, full)
	})
	g.Go(func() error {
		return ix.view(ctx, func(v cmdb.View) error {
			read := newReader(v)
			read.once = true
			f.owners = newOwners(ownGuess*ix.cfg.Presence.Count(), setGuess*ix.cfg.Presence.Count())
			defer read.close(f.core)
			for b := range full {
				read.sets = b.sets
				for id, err := range b.lost {
					f.lose(id, err)
				}
				for _, ci := range b.heads {
					if err := f.put(ci, read); err != nil {
						f.lose(ci.ID, err)
					}
				}
				ix.done.Add(int64(len(b.heads)))
				f.regroup()
				f.tell()
			}
			return ctx.Err()
		})
	})
	if err := g.Wait(); err != nil {
		return err
	}
	f.untell()
	for section := range f.about {
		f.regroupSection(uint16(section))
	}
	f.sweep()
	f.tidy()
	return nil
}

func (ix *Index) view(ctx context.Context, fn func(cmdb.View) error) error {
	return ix.cfg.Engine.View(ctx, func(r store.Reader) error {
		return fn(cmdb.At(r, ix.cfg.Tenant, ix.cfg.Sets, cmdb.Everywhere))
	})
}

func (ix *Index) scan(ctx context.Context, v cmdb.View, dict *dict, out chan<- *batch) error {
	ix.done.Store(0)
	ix.of.Store(int64(ix.cfg.Presence.Count()))
	send := func(b *batch) error {
		select {
		case out <- b:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	b := &batch{lost: map[string]error{}}
	n := int64(0)
	for ci, err := range v.All() {
		switch {
		case errors.Is(err, store.ErrCorrupt) && ci.ID != "":
			b.lost[ci.ID] = err
			continue
		case err != nil:
			return err
		}
		b.heads = append(b.heads, dict.head(ci))
		if n++; n > ix.of.Load() {
			ix.of.Store(n)
		}
		if len(b.heads) == ix.batch {
			if err := send(b); err != nil {
				return err
			}
			b = &batch{lost: map[string]error{}}
		}
	}
	return send(b)
}

// readSets reads the sets of each batch that none before had. A machine has some
// sets of its own and shares most.
func (ix *Index) readSets(ctx context.Context, dict *dict, in <-chan *batch, out chan<- *batch) error {
	seen := map[fact.Digest]struct{}{}
	workers := max(1, min(4, runtime.GOMAXPROCS(0)))
	jobs, results := make(chan fact.Digest), make(chan found)
	g, ctx := errgroup.WithContext(ctx)
	for range workers {
		g.Go(func() error {
			return ix.view(ctx, func(v cmdb.View) error {
				for d := range jobs {
					select {
					case results <- found{d, dict.readStored(v, d)}:
					case <-ctx.Done():
						return ctx.Err()
					}
				}
				return nil
			})
		})
	}
	g.Go(func() error {
		defer close(jobs)
		for b := range in {
			if err := b.read(ctx, seen, jobs, results); err != nil {
				return err
			}
			select {
			case out <- b:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		return nil
	})
	return g.Wait()
}

type found struct {
	digest fact.Digest
	set    stored
}

// read asks for the sets of the batch and for what they are deltas of.
func (b *batch) read(ctx context.Context, seen map[fact.Digest]struct{}, jobs chan<- fact.Digest, results <-chan found) error {
	b.sets = map[fact.Digest]stored{}
	var todo []fact.Digest
	want := func(d fact.Digest) {
		if _, ok := seen[d]; !ok && !d.IsZero() {
			seen[d] = struct{}{}
			todo = append(todo, d)
		}
	}
	for _, ci := range b.heads {
		for _, d := range ci.State {
			want(d)
		}
	}
	for waiting := 0; len(todo) > 0 || waiting > 0; {
		var next fact.Digest
		var ask chan<- fact.Digest
		if len(todo) > 0 {
			next, ask = todo[len(todo)-1], jobs
		}
		select {
		case ask <- next:
			todo = todo[:len(todo)-1]
			waiting++
		case f := <-results:
			waiting--
			b.sets[f.digest] = f.set
			want(f.set.base)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// ahead reads the sets of a state that the core does not have.
func (r *reader) ahead(c *core, s fact.State) {
	for section, d := range s {
		n, ok := c.sectionN[section]
		for range maxChain {
			if ok {
				if _, known := c.known(c.keyOf(d[:]), n); known {
					break
				}
			}
			if _, have := r.sets[d]; have || d.IsZero() {
				break
			}
			r.sets[d] = c.readStored(r.view, d)
			d = r.sets[d].base
		}
	}
}
