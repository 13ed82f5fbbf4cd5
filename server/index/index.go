// Package index knows in memory which CI has which fact, so that a question is
// answered without reading 100,000 CIs: "who has cups 2.4.2", "which facts do
// these have and those not".
//
// It is derived from the store: made anew at every start, in the order that the
// feed asks for (note where the lanes are, read everything, then follow), and
// kept in step by it: a CI that a commit touched is read again. What is committed
// through a store.Writer of this process is in the index before the writer's
// caller gets its answer. While it loads there is no answer from it (Ready), and
// the caller reads the store.
//
// A View sees the CIs of a cmdb.Scope and no others. What a question means is
// decided by package query; Select plans how it is answered. A CI of which
// something cannot be read is left out with its name and reason, it does not stop
// the rest.
package index

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"rollcall/server/cmdb"
	"rollcall/server/store"
)

// ErrLoading is returned while the index is being made.
var ErrLoading = errors.New("the index is being made")

// Config makes an Index. All fields are needed.
type Config struct {
	Engine   store.Engine
	Tenant   string
	Sets     *cmdb.Sets
	Presence *cmdb.Presence
}

// Index is safe for concurrent use.
type Index struct {
	cfg   Config
	batch int // CIs that are read ahead together

	mu    sync.RWMutex // guards fleet against changes while it is asked
	fleet *fleet       // nil until it is made

	// Of the goroutine that follows, except where said otherwise.
	load    sync.WaitGroup
	later   map[string]bool // touched while another fleet is being made; under pending
	pending sync.Mutex
	failed  error // of making a fleet; under pending
	done    atomic.Int64
	of      atomic.Int64
	took    atomic.Int64 // nanoseconds that the last fleet was made in
}

// New returns an index that is empty until Run fills it.
func New(c Config) *Index { return &Index{cfg: c, batch: loadBatch} }

// Run makes the index and keeps it in step until ctx ends. It returns an error if
// the store fails.
func (ix *Index) Run(ctx context.Context, feed *store.ChangeFeed) error {
	ctx, stop := context.WithCancel(ctx)
	defer ix.load.Wait()
	defer stop()
	return feed.Follow(ctx, func(dirty []string) error {
		if len(dirty) == 0 {
			ix.load.Wait()
			ix.remake(ctx)
			return nil
		}
		return ix.apply(ctx, dirty)
	})
}

// Ready tells whether the index answers, and if not how many of how many CIs it
// has read.
func (ix *Index) Ready() (ready bool, done, of int) {
	ix.mu.RLock()
	defer ix.mu.RUnlock()
	return ix.fleet != nil, int(ix.done.Load()), int(ix.of.Load())
}

// remake makes a fleet beside the one that answers. What is touched meanwhile is
// read again before the new one takes over, so that the feed can go on.
func (ix *Index) remake(ctx context.Context) {
	ix.pending.Lock()
	ix.later = map[string]bool{}
	ix.pending.Unlock()
	ix.load.Go(func() {
		fresh := newFleet()
		start := time.Now()
		err := ix.fill(ctx, fresh)
		ix.took.Store(int64(time.Since(start)))
		for err == nil {
			ix.pending.Lock()
			touched := slices.Sorted(maps.Keys(ix.later))
			clear(ix.later)
			if len(touched) == 0 {
				ix.mu.Lock()
				ix.fleet, ix.later = fresh, nil
				ix.mu.Unlock()
				ix.pending.Unlock()
				return
			}
			ix.pending.Unlock()
			err = ix.renew(ctx, fresh, touched, func(fn func()) { fn() })
		}
		ix.pending.Lock()
		ix.failed = err
		ix.pending.Unlock()
	})
}

// apply reads CIs again that a commit touched.
func (ix *Index) apply(ctx context.Context, dirty []string) error {
	ix.pending.Lock()
	failed := ix.failed
	if ix.later != nil {
		for _, id := range dirty {
			ix.later[id] = true
		}
	}
	ix.mu.RLock()
	f := ix.fleet
	ix.mu.RUnlock()
	ix.pending.Unlock()
	if failed != nil {
		return fmt.Errorf("make the index: %w", failed)
	}
	if f == nil {
		return nil
	}
	return ix.renew(ctx, f, dirty, func(fn func()) {
		ix.mu.Lock()
		defer ix.mu.Unlock()
		fn()
	})
}

// renew reads CIs and their new sets, and then changes the fleet under lock.
// Nobody else changes it meanwhile, so reading it needs no lock here.
func (ix *Index) renew(ctx context.Context, f *fleet, ids []string, lock func(func())) error {
	return ix.cfg.Engine.View(ctx, func(r store.Reader) error {
		v := cmdb.At(r, ix.cfg.Tenant, ix.cfg.Sets, cmdb.Everywhere)
		read := newReader(v)
		type now struct {
			head
			err error
		}
		heads := make([]now, len(ids))
		for i, id := range ids {
			ci, err := v.CI(id)
			if err != nil && !errors.Is(err, cmdb.ErrNotFound) && !errors.Is(err, store.ErrCorrupt) {
				return err
			}
			heads[i] = now{f.head(ci), err}
			read.ahead(f.core, ci.State)
		}
		var err error
		lock(func() {
			for i, h := range heads {
				switch {
				case errors.Is(h.err, cmdb.ErrNotFound):
					f.remove(ids[i])
				case h.err != nil:
					f.lose(ids[i], h.err)
				default:
					err = errors.Join(err, f.put(h.head, read))
				}
			}
			read.close(f.core)
			f.sweep()
			if f.untidy() {
				f.tidy()
			}
		})
		return err
	})
}

// lose takes out a CI whose head cannot be read.
func (f *fleet) lose(id string, err error) {
	f.remove(id)
	f.lost[id] = err
}
