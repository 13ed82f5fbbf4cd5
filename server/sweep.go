package server

import (
	"context"
	"encoding/binary"
	"fmt"
	"time"

	"rollcall/internal/fact"
	"rollcall/server/cmdb"
	"rollcall/server/ingest"
	"rollcall/server/store"
)

// orphanAge is how long a content stays that nothing refers to: a machine uploads
// contents before the report that names them.
const orphanAge = 24 * time.Hour

// Keys of this package. Changing one breaks every existing database.
//
//	space   key                         value
//	Record  <t>/orphan/<kind>/<digest>  since when nothing refers to the content, ns since 1970, be64
//	Meta    <t>/mirror-stale            since when the mirror shows what was erased or pruned, ns since 1970, be64
func orphanKey(tenant, kind string, name fact.Digest) store.Key {
	return store.At(store.Record, tenant, "/orphan/", kind, "/", string(name[:]))
}

func orphanSince(g store.Getter, tenant, kind string, name fact.Digest) (int64, error) {
	b, err := store.GetFramed(g, orphanKey(tenant, kind, name))
	if err != nil || len(b) != 8 {
		return 0, err
	}
	return int64(binary.BigEndian.Uint64(b)), nil
}

// sweeper removes what nothing refers to.
type sweeper struct {
	engine store.Engine
	writes store.Updater
	ingest *ingest.Service
	sets   *cmdb.Sets
	tenant string
	grace  time.Duration // how long a content may wait for its report
	now    func() time.Time
}

// blob names one content.
type blob struct {
	kind string
	name fact.Digest
}

func (s *sweeper) view(ctx context.Context, fn func(store.Reader, cmdb.View) error) error {
	return s.engine.View(ctx, func(r store.Reader) error {
		return fn(r, cmdb.At(r, s.tenant, s.sets, cmdb.Everywhere))
	})
}

// sweep removes the contents that nothing has referred to for the grace, and
// notes those that nothing refers to since now. It returns how many it removed.
func (s *sweeper) sweep(ctx context.Context) (removed int, err error) {
	m := newMarks(s.tenant)
	var old []blob
	var fresh, again []blob
	err = s.view(ctx, func(r store.Reader, v cmdb.View) error {
		old, fresh, again = nil, nil, nil
		if err := m.add(ctx, r, v); err != nil {
			return err
		}
		return blobNames(r, s.tenant, func(kind string, name fact.Digest) error {
			since, err := orphanSince(r, s.tenant, kind, name)
			b := blob{kind, name}
			switch {
			case err != nil || m.kinds[kind] == nil:
			case m.kinds[kind][name]:
				if since > 0 {
					again = append(again, b)
				}
			case since == 0:
				fresh = append(fresh, b)
			case s.now().UnixNano()-since >= int64(s.grace):
				old = append(old, b)
			}
			return err
		})
	})
	if err != nil {
		return 0, fmt.Errorf("sweep: %w", err)
	}
	if err := s.note(ctx, fresh, again); err != nil {
		return 0, fmt.Errorf("sweep: %w", err)
	}
	return s.remove(ctx, m, old)
}

// note writes down since when nothing refers to contents, and forgets it of those
// that are referred to again.
func (s *sweeper) note(ctx context.Context, fresh, again []blob) error {
	now := binary.BigEndian.AppendUint64(nil, uint64(s.now().UnixNano()))
	return inPortions(append(fresh, again...), 300, func(part []blob, from int) error {
		return store.UpdateAgain(ctx, s.writes, func(tx store.Tx) error {
			for i, b := range part {
				k, err := orphanKey(s.tenant, b.kind, b.name), error(nil)
				if from+i < len(fresh) {
					err = store.PutFramed(tx, k, now)
				} else {
					err = tx.Delete(k)
				}
				if err != nil {
					return err
				}
			}
			return nil
		})
	})
}

func inPortions[T any](all []T, size int, do func(part []T, from int) error) error {
	for from := 0; from < len(all); from += size {
		if err := do(all[from:min(len(all), from+size)], from); err != nil {
			return err
		}
	}
	return nil
}

// removeAtOnce is how many contents are removed while no report can be recorded.
const removeAtOnce = 50

// remove removes contents that are not marked, with what leads to them. Reports
// are held up meanwhile, a few contents at a time, and what was recorded since m
// was made is marked first: none can come to name a content that goes.
func (s *sweeper) remove(ctx context.Context, m *marks, all []blob) (removed int, err error) {
	err = inPortions(all, removeAtOnce, func(part []blob, _ int) error {
		return s.ingest.Alone(func() error {
			if err := s.view(ctx, func(r store.Reader, v cmdb.View) error { return m.add(ctx, r, v) }); err != nil {
				return err
			}
			for _, b := range part {
				if m.kinds[b.kind][b.name] {
					continue
				}
				if err := s.removeOne(ctx, b); err != nil {
					return err
				}
				removed++
			}
			return nil
		})
	})
	if err != nil {
		err = fmt.Errorf("sweep: %w", err)
	}
	return removed, err
}

// removeHeld forgets who holds a content, before the content goes: one that is
// held nowhere can be named nowhere.
func (s *sweeper) removeHeld(ctx context.Context, b blob) error {
	if b.kind != kindContent {
		return nil
	}
	var held []store.Key
	err := s.view(ctx, func(_ store.Reader, v cmdb.View) (err error) {
		held, err = v.HeldKeys(b.name)
		return err
	})
	if err != nil {
		return err
	}
	return inPortions(held, 300, func(part []store.Key, _ int) error {
		return store.UpdateAgain(ctx, s.writes, func(tx store.Tx) error {
			for _, k := range part {
				if err := tx.Delete(k); err != nil {
					return err
				}
			}
			return nil
		})
	})
}

func (s *sweeper) removeOne(ctx context.Context, b blob) error {
	var guards []store.Key
	if b.kind == kindContent {
		err := s.view(ctx, func(r store.Reader, v cmdb.View) (err error) {
			guards, err = v.GuardsOf(b.name)
			return err
		})
		if err != nil {
			return err
		}
	}
	if err := s.removeHeld(ctx, b); err != nil {
		return err
	}
	_, err := store.DeleteBlob(ctx, s.engine, s.writes, s.tenant, b.kind, b.name, func(tx store.Tx) (bool, error) {
		for _, k := range append(guards, orphanKey(s.tenant, b.kind, b.name)) {
			if err := tx.Delete(k); err != nil {
				return false, err
			}
		}
		return true, nil
	})
	return err
}
