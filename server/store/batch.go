package store

import (
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"strings"
)

var (
	// errNothing ends a batch in which no operation wrote anything.
	errNothing = errors.New("nothing to commit")
	// errVoid means that a batch was not committed and its number is used up.
	errVoid = errors.New("not committed")
)

// batch is one transaction of a lane.
type batch struct {
	lane *lane
	n    uint64
	reqs []*request

	// What became of each operation in the last run.
	errs  []error
	held  []bool
	wrote []bool
	dirty []string // sorted, each once
	keys  int      // keys written by operations
	bytes int
}

func (b *batch) reset() {
	b.errs = make([]error, len(b.reqs))
	b.held = make([]bool, len(b.reqs))
	b.wrote = make([]bool, len(b.reqs))
	b.dirty = nil
}

// run is the function of the engine's transaction. It may run several times.
func (b *batch) run(tx Tx) error {
	own := feedKey(b.lane.id, b.n)
	keys := []Key{own}
	for _, r := range b.reqs {
		keys = append(keys, r.op.Reads...)
	}
	base, err := newCache(tx, keys)
	if err != nil {
		return err
	}
	if v, err := base.Get(own); err != nil || v != nil {
		// An earlier run was committed after all: the engine has run us again.
		return errors.Join(err, ErrUnknown)
	}
	all, err := b.runOps(base)
	if err != nil {
		return err
	}
	if b.keys, b.bytes = all.Size(); b.keys == 0 {
		return errNothing
	}
	if err := all.flushInto(tx); err != nil {
		return err
	}
	return tx.Put(own, entry{at: b.lane.cfg.Now(), dirty: b.dirty}.encode(own))
}

// runOps runs each operation over its own overlay and joins those that succeed.
// An error is one of the engine, and spoils the transaction for all.
func (b *batch) runOps(base *cache) (*Overlay, error) {
	b.reset()
	all := NewOverlay(base)
	touched := map[string]bool{}
	size, full := entryHead, false
	for i, r := range b.reqs {
		if full { // nobody overtakes
			b.held[i] = true
			continue
		}
		one := NewOverlay(all)
		b.errs[i] = b.call(r.op.Fn, one)
		if base.err != nil {
			return nil, base.err
		}
		if keys, _ := one.Size(); b.errs[i] != nil || keys == 0 {
			continue
		}
		touch := append(one.heads(), r.op.Touch...)
		more := touchSize(touched, touch)
		if !all.fits(one, MaxKey+size+more) || size+more > MaxValue {
			if keys, _ := all.Size(); keys == 0 {
				b.errs[i] = fmt.Errorf("write: %w: the operation leaves no room for the lane's own record", ErrLimit)
				continue
			}
			full, b.held[i] = true, true
			continue
		}
		all.join(one)
		size += more
		for _, id := range touch {
			if !touched[id] {
				touched[id] = true
				b.dirty = append(b.dirty, id)
			}
		}
		b.wrote[i] = true
	}
	slices.Sort(b.dirty)
	return all, nil
}

// heads lists the CIs whose head the overlay writes or deletes: whatever way a
// head is changed, the feed tells.
func (o *Overlay) heads() []string {
	var ids []string
	for p := range o.writes {
		if p.space == CI {
			_, id, _ := strings.Cut(p.k, "/") // the tenant comes first
			ids = append(ids, id)
		}
	}
	return ids
}

// touchSize is the size in an entry of the ids that are not yet in it.
func touchSize(touched map[string]bool, ids []string) int {
	n := 0
	for i, id := range ids {
		if !touched[id] && !slices.Contains(ids[:i], id) {
			n += len(id) + 2 // uvarint of at most MaxKey
		}
	}
	return n
}

// call runs fn. A panic is an error of that operation: the lane serves others.
func (b *batch) call(fn func(Tx) error, tx Tx) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("write: the operation panicked: %v", v)
			if b.lane.cfg.Hooks.Panicked != nil {
				b.lane.cfg.Hooks.Panicked(v, debug.Stack())
			}
		}
	}()
	return fn(tx)
}
