package server

import (
	"context"
	"errors"
	"fmt"
	"maps"

	"rollcall/internal/fact"
	"rollcall/server/api"
	"rollcall/server/cmdb"
	"rollcall/server/enrol"
	"rollcall/server/evidence"
	"rollcall/server/ingest"
	"rollcall/server/observer"
	"rollcall/server/sitesummary"
	"rollcall/server/store"
)

// eraser removes CIs and old history for good. What it removes is in the log
// before it begins, and what it has begun it completes after a crash.
type eraser struct {
	sweeper
	presence *cmdb.Presence
	stale    func() // tells that the mirror shows what is gone
}

// portion is how many records one transaction of an erasure takes.
const portion = 150

// remains is what a CI has in the store beside its revisions.
type remains struct {
	marks  *marks // what its revisions and keys name
	keys   []enrol.Key
	names  map[string][]fact.Digest // envelopes by key
	leaves []uint64                 // of the log, that tell about it
}

// Erase implements api.Eraser: it completes an erasure that was written down.
// Contents, sets and envelopes that another CI has too stay, since they say
// nothing of this one any more; so do the leaves of the log, without what they
// were about.
func (e *eraser) Erase(ctx context.Context, job cmdb.Erasure) (api.Erased, error) {
	var done api.Erased
	rest, others, err := e.look(ctx, job)
	if err == nil {
		err = e.standApart(ctx, rest.marks, others)
	}
	if err == nil {
		rest, others, err = e.look(ctx, job)
	}
	if err != nil {
		return done, fmt.Errorf("erase CI %s: %w", job.CI, err)
	}
	var all []blob
	for kind, names := range rest.marks.kinds {
		for name := range names {
			all = append(all, blob{kind, name})
		}
	}
	for key, hashes := range rest.names {
		for _, hash := range hashes {
			all = append(all, blob{kindEnvelope, hash})
			delete(others.kinds[kindEnvelope], hash)
		}
		others.ended[key] = true
	}
	for _, step := range []func() error{
		func() (err error) { done.Contents, err = e.remove(ctx, others, all); return err },
		func() error { return e.forget(ctx, job, rest) },
		func() error { return sitesummary.Forget(ctx, e.engine, e.writes, e.tenant, job.CI) },
		func() error { return observer.Forget(ctx, e.writes, e.tenant, job.CI) },
		func() (err error) { done.Revisions, err = e.revisions(ctx, job); return err },
	} {
		if err := step(); err != nil {
			return done, fmt.Errorf("erase CI %s: %w", job.CI, err)
		}
	}
	done.Leaves = len(rest.leaves)
	e.presence.Forget(job.CI)
	if err := e.presence.Save(ctx, e.writes, e.tenant); err != nil {
		return done, err
	}
	e.stale()
	return done, nil
}

// standApart stores the sets of others anew that are deltas from sets which only
// the CI has or had, so that those can go.
func (e *eraser) standApart(ctx context.Context, own, others *marks) error {
	gone := map[fact.Digest]bool{}
	for d := range own.kinds[kindSet] {
		gone[d] = !others.named[d]
	}
	maps.DeleteFunc(gone, func(_ fact.Digest, goes bool) bool { return !goes })
	e.sets.Avoid(gone)
	if err := e.ingest.Alone(func() error { return nil }); err != nil { // who has not heard of it is done after this
		return err
	}
	var on []fact.Digest
	err := e.view(ctx, func(r store.Reader, v cmdb.View) error {
		on = nil
		return blobNames(r, e.tenant, func(kind string, d fact.Digest) error {
			if kind != kindSet || gone[d] {
				return ctx.Err()
			}
			base, _, _, err := v.Stored(d)
			if gone[base] {
				on = append(on, d)
			}
			return err
		})
	})
	for _, d := range on {
		if err == nil {
			err = e.sets.Rebase(ctx, e.engine, e.writes, e.tenant, d)
		}
	}
	return err
}

// look finds what belongs to the CI, and what others refer to.
func (e *eraser) look(ctx context.Context, job cmdb.Erasure) (rest remains, others *marks, err error) {
	err = e.view(ctx, func(r store.Reader, v cmdb.View) error {
		rest = remains{marks: newMarks(e.tenant), names: map[string][]fact.Digest{}}
		others = newMarks(e.tenant)
		others.skip = job.CI
		ci, err := v.CI(job.CI)
		if err != nil {
			return err
		}
		for n := ci.From(); n <= ci.Rev; n++ {
			rev, err := v.Revision(ci.ID, n)
			if err == nil {
				err = rest.marks.revision(v, rev)
			}
			if err != nil && !errors.Is(err, cmdb.ErrNotFound) && !errors.Is(err, store.ErrNoBlob) {
				return err
			}
		}
		if err := e.ofKeys(r, job, &rest); err != nil {
			return err
		}
		if err := e.ofLog(r, job, &rest); err != nil {
			return err
		}
		return others.add(ctx, r, v)
	})
	return rest, others, err
}

// ofLog finds the leaves about the CI but the one that tells of its erasure, those
// about its keys from the time when they waited and had no CI, and those about the
// tokens that were made for its machine alone.
func (e *eraser) ofLog(r store.Reader, job cmdb.Erasure, rest *remains) error {
	used, err := enrol.At(r, e.tenant).Single()
	if err != nil {
		return err
	}
	tokens, keys := map[string]bool{}, map[string]bool{}
	for _, k := range rest.keys {
		tokens[used[k.ID]] = true
		keys[k.ID] = true
	}
	delete(tokens, "")
	log := evidence.At(r, e.tenant)
	for l, err := range log.Leaves(0, 0) {
		if err != nil {
			return err
		}
		leaf, err := evidence.ParseLeaf(l.Leaf)
		if err != nil {
			continue // for the check to say
		}
		about := leaf.CI == job.CI && leaf.Kind != evidence.Purge
		if !about && (leaf.Kind == evidence.Token || leaf.CI == "" && leaf.Kind != evidence.Report) {
			x, err := log.Explain(l.Index)
			if err == nil {
				entry, err := evidence.ParseEntry(x.Content)
				about = err == nil && (leaf.Kind == evidence.Token && tokens[entry.Detail["token"]] || keys[entry.Key])
			}
		}
		if about {
			rest.leaves = append(rest.leaves, l.Index)
		}
	}
	return nil
}

func (e *eraser) ofKeys(r store.Reader, job cmdb.Erasure, rest *remains) error {
	keys, err := enrol.At(r, e.tenant).Keys("")
	if err != nil {
		return err
	}
	own := map[string]bool{}
	for _, k := range keys {
		if k.CI == job.CI {
			own[k.ID] = true
			rest.keys = append(rest.keys, k)
		}
	}
	_, err = ingest.Named(r, e.tenant, 0, func(key string, hash fact.Digest) {
		if own[key] {
			rest.names[key] = append(rest.names[key], hash)
		}
	})
	return err
}

// forget removes what keys and log say of the CI.
func (e *eraser) forget(ctx context.Context, job cmdb.Erasure, rest remains) error {
	for key, hashes := range rest.names {
		err := inPortions(hashes, portion, func(part []fact.Digest, _ int) error {
			return store.UpdateAgain(ctx, e.writes, func(tx store.Tx) error {
				for _, hash := range part {
					if err := ingest.Forget(tx, e.tenant, key, hash); err != nil {
						return err
					}
				}
				return nil
			})
		})
		if err != nil {
			return err
		}
	}
	err := inPortions(rest.leaves, portion, func(part []uint64, _ int) error {
		return store.UpdateAgain(ctx, e.writes, func(tx store.Tx) error {
			for _, index := range part {
				if err := evidence.In(tx, e.tenant).Erase(e.now(), index); err != nil {
					return err
				}
			}
			return nil
		})
	})
	if err != nil {
		return err
	}
	return inPortions(rest.keys, portion, func(part []enrol.Key, _ int) error {
		return store.UpdateAgain(ctx, e.writes, func(tx store.Tx) error {
			keys := enrol.In(tx, e.tenant, cmdb.In(tx, e.tenant, cmdb.Everywhere))
			for _, k := range part {
				if err := keys.Strip(e.now(), k.ID, job.By); err != nil {
					return err
				}
			}
			return nil
		})
	})
}

// revisions removes the history of the CI and then the CI itself.
func (e *eraser) revisions(ctx context.Context, job cmdb.Erasure) (total int, err error) {
	for done := false; !done; {
		var n int
		err := store.UpdateAgain(ctx, e.writes, func(tx store.Tx) error {
			w := cmdb.In(tx, e.tenant, cmdb.Everywhere)
			ci, err := w.CI(job.CI)
			if errors.Is(err, cmdb.ErrNotFound) { // the answer of the last time was lost
				n, done = 0, true
				return nil
			}
			if err != nil {
				return err
			}
			if n, done, err = w.Erase(job.CI, ci.From()+portion-1); err == nil && done {
				err = setStale(tx, e.tenant, e.now())
			}
			return err
		})
		if err != nil {
			return total, err
		}
		total += n
	}
	return total, nil
}

// goOn completes the erasures that a crash has cut short.
func (e *eraser) goOn(ctx context.Context) error {
	var open []cmdb.Erasure
	err := e.view(ctx, func(_ store.Reader, v cmdb.View) (err error) {
		open, err = v.Erasures()
		return err
	})
	for _, job := range open {
		if err == nil {
			_, err = e.Erase(ctx, job)
		}
	}
	return err
}
