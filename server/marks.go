package server

import (
	"context"
	"fmt"

	"rollcall/internal/fact"
	"rollcall/server/api"
	"rollcall/server/cmdb"
	"rollcall/server/enrol"
	"rollcall/server/evidence"
	"rollcall/server/ingest"
	"rollcall/server/store"
)

// Kinds of contents in the store, as their packages name them.
const (
	kindSet      = "set"
	kindContent  = "content"
	kindEnvelope = "envelope"
	kindTicks    = "ticks"
	kindKeys     = enrol.KeysKind
)

// marks are the contents that something in the store refers to.
type marks struct {
	tenant string
	skip   string            // a CI whose revisions do not count
	ended  map[string]bool   // keys whose envelopes do not count
	heads  map[string]uint64 // CI → the revision up to which it was looked at
	next   uint64            // leaf from which on reports were not looked at
	kinds  map[string]map[fact.Digest]bool
	named  map[fact.Digest]bool // sets that are a CI's, not only what those are deltas from
}

func newMarks(tenant string) *marks {
	return &marks{tenant: tenant, ended: map[string]bool{}, heads: map[string]uint64{}, named: map[fact.Digest]bool{}, kinds: map[string]map[fact.Digest]bool{
		kindSet: {}, kindContent: {}, kindEnvelope: {}, kindTicks: {}, kindKeys: {},
	}}
}

// add looks at all revisions that it has not seen yet, and at all receipts.
func (m *marks) add(ctx context.Context, r store.Reader, v cmdb.View) error {
	for ci, err := range v.All() {
		if err != nil {
			return err
		}
		if ci.ID == m.skip {
			continue
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		for n := max(m.heads[ci.ID]+1, ci.From()); n <= ci.Rev; n++ {
			rev, err := v.Revision(ci.ID, n)
			if err == nil {
				err = m.revision(v, rev)
			}
			if err != nil {
				return fmt.Errorf("mark what is in use: %w", err)
			}
		}
		m.heads[ci.ID] = ci.Rev
	}
	lists, err := evidence.At(r, m.tenant).TickLists()
	if err != nil {
		return fmt.Errorf("mark what is in use: %w", err)
	}
	for _, d := range lists {
		m.kinds[kindTicks][d] = true
	}
	if lists, err = api.KeyLists(r, m.tenant); err != nil {
		return fmt.Errorf("mark what is in use: %w", err)
	}
	for _, d := range lists {
		m.kinds[kindKeys][d] = true
	}
	m.next, err = ingest.Named(r, m.tenant, m.next, func(key string, hash fact.Digest) {
		if !m.ended[key] {
			m.kinds[kindEnvelope][hash] = true
		}
	})
	return err
}

func (m *marks) revision(v cmdb.View, r cmdb.Revision) error {
	if hash, err := fact.ParseDigest(r.Report); err == nil {
		m.kinds[kindEnvelope][hash] = true
	}
	for _, state := range []fact.State{r.Prev, r.State} {
		for section, d := range state {
			if err := m.set(v, section, d); err != nil {
				return err
			}
		}
	}
	return nil
}

func (m *marks) set(v cmdb.View, section string, d fact.Digest) error {
	sets := m.kinds[kindSet]
	if m.named[d] {
		return nil
	}
	m.named[d] = true
	bases, err := v.Bases(d)
	if err != nil {
		return err
	}
	for _, b := range append(bases, d) {
		sets[b] = true
	}
	if section != "etc" {
		return nil
	}
	set, err := v.LoadSet(d)
	if err != nil {
		return err
	}
	for _, f := range set {
		if file, err := fact.ParseFile(f.Value); err == nil && file.HasContent() {
			m.kinds[kindContent][file.Digest] = true
		}
	}
	return nil
}
