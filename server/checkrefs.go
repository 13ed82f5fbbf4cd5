package server

import (
	"context"
	"errors"
	"fmt"

	"rollcall/internal/fact"
	"rollcall/server/cmdb"
	"rollcall/server/enrol"
	"rollcall/server/ingest"
	"rollcall/server/store"
)

// A record that has vanished has no checksum that could tell: these checks look
// from where it is referred to.

// references checks what leads to CIs and from them.
func (c *checker) references(context.Context) error {
	c.rule = RuleIndex
	places, err := c.Places()
	if err != nil {
		return c.damaged(err)
	}
	lost := map[string]int{}
	for _, p := range places {
		if ci, ok := c.heads[p.CI]; !ok || p.N > ci.Rev {
			lost[p.CI]++
		}
	}
	for ci, n := range lost {
		c.fault(fmt.Errorf("CI %s: its head is missing or older than %d of its revisions", ci, n))
	}
	switch n, err := c.Count(); {
	case err != nil:
		c.fault(err)
	case n != uint64(len(places)):
		c.fault(fmt.Errorf("there are %d revisions, %d were recorded", len(places), n))
	}
	sites, err := c.Sites()
	if err != nil {
		return c.damaged(err)
	}
	known := map[string]bool{"": true}
	for _, s := range sites {
		known[s.Path] = true
	}
	for _, ci := range c.heads {
		if !known[ci.Site] {
			c.fault(fmt.Errorf("CI %s (%s): there is no site %s", ci.ID, ci.Name, ci.Site))
		}
		if err := c.Guarded(ci); err != nil {
			c.fault(err)
		}
		if _, _, err := c.keys.KeyOf(ci.ID); err != nil {
			c.fault(err)
		}
	}
	return c.enrolled()
}

// enrolled checks that each key that may speak is the one of its CI.
func (c *checker) enrolled() error {
	keys, err := c.keys.Keys("")
	if err != nil {
		return c.damaged(err)
	}
	for _, k := range keys {
		if k.State != enrol.Enrolled {
			continue
		}
		have, _, err := c.keys.KeyOf(k.CI)
		if err == nil && have.ID != k.ID {
			err = fmt.Errorf("key %s speaks for CI %s, which does not know it", k.ID, k.CI)
		}
		if err != nil {
			c.fault(err)
		}
	}
	return nil
}

// damaged reports an error of reading, and lets the check go on.
func (c *checker) damaged(err error) error {
	c.fault(err)
	return nil
}

// envelope checks that the signed report behind a revision is there as it came.
func (c *checker) envelope(ci cmdb.CI, r cmdb.Revision) {
	if r.Report == "" {
		return
	}
	var link ingest.Link
	hash, err := fact.ParseDigest(r.Report)
	if err == nil {
		link, err = ingest.LinkOf(c.r, c.tenant, hash)
		c.under(RuleLog, func() { c.inLog(ci, r, hash) })
	}
	switch {
	case errors.Is(err, store.ErrNoBlob) && r.At().UnixMilli() < c.pruned:
	case err != nil:
		c.under(RuleBlobs, func() {
			c.fault(fmt.Errorf("revision %d of CI %s (%s), its report: %w", r.N, ci.ID, ci.Name, err))
		})
	case link.State != r.State.Digest():
		c.fault(fmt.Errorf("revision %d of CI %s (%s): its report leads to another state", r.N, ci.ID, ci.Name))
	}
}
