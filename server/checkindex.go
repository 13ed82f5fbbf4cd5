package server

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"rollcall/internal/fact"
	"rollcall/server/cmdb"
	"rollcall/server/store"
)

// indexes computes anew what leads to CIs and contents, and looks for what
// nothing refers to.
func (c *checker) indexes(ctx context.Context) error {
	c.rule = RuleIndex
	err := c.CheckIndex(c.heads, c.md5Of, c.fault)
	if err != nil {
		return c.damaged(err)
	}
	c.merged()
	c.rule = RuleBlobs
	for _, f := range c.rep.Faults {
		if f.Rule == RuleBlobs || f.Rule == RuleBytes {
			return nil // what is damaged refers to nothing, and hides what it referred to
		}
	}
	return c.orphans(ctx)
}

// merged checks that CIs that were merged name each other.
func (c *checker) merged() {
	for _, ci := range c.heads {
		if into := ci.Into(); into != "" && !slices.Contains(c.heads[into].Parts(), ci.ID) {
			c.fault(fmt.Errorf("CI %s (%s) was merged into CI %s, which does not name it", ci.ID, ci.Name, into))
		}
		for _, id := range ci.Parts() {
			if c.heads[id].Into() != ci.ID {
				c.fault(fmt.Errorf("CI %s (%s) names CI %s as merged into it, which is not", ci.ID, ci.Name, id))
			}
		}
	}
}

// md5Of gives the MD5 of a content, empty for one whose damage was told of.
func (c *checker) md5Of(d fact.Digest) (string, error) {
	if sum, ok := c.md5s[d]; ok {
		return sum, nil
	}
	sum, err := c.MD5Of(d)
	if errors.Is(err, cmdb.ErrNotFound) || errors.Is(err, store.ErrCorrupt) {
		c.under(RuleBlobs, func() { c.fault(fmt.Errorf("content %s, which is known by its MD5: %w", d, err)) })
		return "", nil
	}
	return sum, err
}

// orphans counts the contents that nothing refers to: uploaded for a report that
// has not come, or left by a write that was cut short. They are a fault only if
// the server has known them as such for long and has not removed them.
func (c *checker) orphans(ctx context.Context) error {
	m := newMarks(c.tenant)
	if err := m.add(ctx, c.r, c.View); err != nil {
		return c.damaged(err)
	}
	last, err := c.LastStamp()
	if err != nil {
		return c.damaged(err)
	}
	err = blobNames(c.r, c.tenant, func(kind string, name fact.Digest) error {
		if m.kinds[kind] == nil || m.kinds[kind][name] {
			return nil
		}
		c.rep.Unreferenced++
		since, err := orphanSince(c.r, c.tenant, kind, name)
		if err == nil && since > 0 && last-since > int64(2*orphanAge) {
			c.fault(fmt.Errorf("%s %s: nothing has referred to it for more than %s, and it was not removed", kind, name, 2*orphanAge))
		}
		return err
	})
	if err != nil {
		return c.damaged(err)
	}
	return nil
}

// blobNames calls fn with the kind and the name of every content, also of one
// that was stored in part.
func blobNames(r store.Reader, tenant string, fn func(kind string, name fact.Digest) error) error {
	var last string
	prefix := []byte(tenant + "/")
	for p, err := range r.Scan(store.Blob, prefix, store.PrefixEnd(prefix), 0) {
		if err != nil {
			return err
		}
		kind, name, ok := store.ParseBlobKey(p.K, tenant)
		if !ok {
			return &store.CorruptError{Key: store.Key{Space: store.Blob, K: p.K}, Reason: "not a chunk of a content"}
		}
		if id := kind + string(name[:]); id != last {
			last = id
			if err := fn(kind, name); err != nil {
				return err
			}
		}
	}
	return nil
}
