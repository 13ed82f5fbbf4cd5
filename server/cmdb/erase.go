package cmdb

import (
	"fmt"
	"strings"
	"time"

	"rollcall/server/store"
)

// Prune removes the revisions of a CI before the one numbered first, which
// becomes the one that founds it: it starts from nothing and says everything that
// was declared until then, which is fields. What the CI is now does not change.
// It returns how many it removed.
func (w Writer) Prune(id string, first uint64, fields map[string]string) (removed int, err error) {
	ci, err := w.CI(id)
	if err != nil || ci.From() >= first {
		return 0, err
	}
	if first > ci.Rev {
		return 0, fmt.Errorf("prune CI %s: %w: it has %d revisions", id, ErrInvalid, ci.Rev)
	}
	if removed, err = w.dropRevisions(ci, first-1); err != nil {
		return 0, err
	}
	var base Revision
	key := revisionKey(w.tenant, id, first)
	found, err := store.GetJSON(w.tx, key, &base)
	if err == nil && !found {
		err = fmt.Errorf("revision %d of CI %s: %w", first, id, ErrNotFound)
	}
	if err != nil {
		return 0, err
	}
	base.Prev, base.PrevRepo, base.PrevFolder, base.PrevDeclared, base.Fields = nil, "", "", 0, map[string]Change{}
	for name, v := range fields {
		base.Fields[name] = Change{New: v}
	}
	if err := w.put(key, base); err != nil {
		return 0, err
	}
	if ci.First = first; ci.LastDeclared > 0 {
		ci.LastDeclared = max(ci.LastDeclared, first)
	}
	return removed, w.put(ciKey(w.tenant, id), ci)
}

// dropRevisions deletes the oldest revisions up to one, with their places in the
// mirror's outbox, and counts them off.
func (w Writer) dropRevisions(ci CI, last uint64) (n int, err error) {
	for ; ci.From()+uint64(n) <= last; n++ {
		key := revisionKey(w.tenant, ci.ID, ci.From()+uint64(n))
		var r Revision
		found, err := store.GetJSON(w.tx, key, &r)
		if err != nil {
			return n, err
		}
		if !found {
			continue
		}
		for _, k := range []store.Key{key, MirrorKey(w.tenant, r.Stamp, ci.ID)} {
			if err := w.tx.Delete(k); err != nil {
				return n, err
			}
		}
	}
	count, err := store.GetFramed(w.tx, countKey(w.tenant))
	if err != nil {
		return n, err
	}
	left := fromBE64(count) - min(fromBE64(count), uint64(n))
	return n, store.PutFramed(w.tx, countKey(w.tenant), []byte(be64(left)))
}

// Erasure is the erasure of a CI that has begun.
type Erasure struct {
	CI string    `json:"ci"`
	By string    `json:"by"`
	At time.Time `json:"at"`
}

// BeginErasure notes that a CI is to be erased, so that it is completed also after
// a crash.
func (w Writer) BeginErasure(e Erasure) error { return w.put(erasureKey(w.tenant, e.CI), e) }

// Erasures lists the erasures that are not complete.
func (v View) Erasures() ([]Erasure, error) {
	return store.ListJSON[Erasure](v.r, store.Record, erasureKey(v.tenant, "").K)
}

// Erase removes the revisions of a CI up to and with the one numbered last. With
// the newest one goes the CI itself, with all that leads to it and the note that
// it is to be erased; done tells that. Contents, sets and envelopes are for the
// caller.
func (w Writer) Erase(id string, last uint64) (removed int, done bool, err error) {
	ci, err := w.CI(id)
	if err != nil {
		return 0, false, err
	}
	last = min(last, ci.Rev)
	if removed, err = w.dropRevisions(ci, last); err != nil {
		return 0, false, err
	}
	if last < ci.Rev {
		ci.First = last + 1
		return removed, false, w.put(ciKey(w.tenant, id), ci)
	}
	for _, k := range []store.Key{
		ciKey(w.tenant, id), nameKey(w.tenant, strings.ToLower(ci.Name)), folderKey(w.tenant, ci.Repo, ci.Folder),
		lastKey(w.tenant, id), erasureKey(w.tenant, id),
	} {
		if err := w.tx.Delete(k); err != nil {
			return 0, false, err
		}
	}
	return removed, true, nil
}

// Forget drops when a CI was last heard of.
func (p *Presence) Forget(ci string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, ok := p.seen[ci]; ok {
		delete(p.seen, ci)
		p.dirty[partOf(ci)] = true
	}
}
