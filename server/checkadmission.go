package server

import (
	"context"
	"fmt"
	"slices"

	"rollcall/server/enrol"
	"rollcall/server/ingest"
)

// admission checks tokens and keys against each other, and the chain of reports
// of every key.
func (c *checker) admission(ctx context.Context) error {
	keys, err := c.keys.Keys("")
	if err != nil {
		return c.damaged(err)
	}
	c.under(RuleTokens, func() { c.tokens(keys) })
	c.under(RuleBlobs, func() { c.many() })
	c.rule = RuleChain
	for _, k := range keys {
		if err := ctx.Err(); err != nil {
			return err
		}
		c.chain(k)
	}
	return nil
}

// tokens checks that each token has admitted as many keys as it was used, and no
// more than it may. A netboot token counts seats, which are CIs, not keys.
func (c *checker) tokens(keys []enrol.Key) {
	admitted := map[string][]string{} // token → keys, or seats
	for _, k := range keys {
		switch {
		case k.Statement != nil: // it came by rotation, not by the token
		case k.Seat == "":
			admitted[k.Token] = append(admitted[k.Token], k.ID)
		case !slices.Contains(admitted[k.Token], k.Seat):
			admitted[k.Token] = append(admitted[k.Token], k.Seat)
		}
	}
	tokens, err := c.keys.Tokens()
	if err != nil {
		c.fault(err)
		return
	}
	for _, t := range tokens {
		got, used := admitted[t.ID], t.TimesUsed()
		switch {
		case used == 0 && len(got) == 0:
		case used == 0:
			c.fault(fmt.Errorf("token %s: it admitted key %s and counts as unused", t.ID, got[0]))
		case len(got) == 0:
			c.fault(fmt.Errorf("token %s: key %s has used it and is not there", t.ID, t.UsedBy))
		case len(got) != used || used > max(t.Uses, 1) || t.KindOf() != enrol.Netboot && !slices.Contains(got, t.UsedBy):
			c.fault(fmt.Errorf("token %s: it admitted %d, and counts %d of at most %d, the last one key %s", t.ID, len(got), used, max(t.Uses, 1), t.UsedBy))
		}
		delete(admitted, t.ID)
	}
	for token, ids := range admitted {
		c.fault(fmt.Errorf("key %s: the token %s that admitted it is not there", ids[0], token))
	}
}

// many checks that the list of each revocation of many keys is there, and as long
// as it was.
func (c *checker) many() {
	all, err := c.keys.Many()
	if err != nil {
		c.fault(err)
	}
	for _, m := range all {
		_, list, err := c.keys.Begun(m.ID)
		if err == nil && (len(list) != m.Keys || list.Digest().String() != m.List || m.Ended.IsZero() == m.Done()) {
			err = fmt.Errorf("its list has %d keys, want %d, of which %d are done", len(list), m.Keys, m.Next)
		}
		if err != nil {
			c.fault(fmt.Errorf("revocation %s: %w", m.ID, err))
		}
	}
}

// chain checks that the recorded reports of a key follow one another up to the
// end that is written down.
func (c *checker) chain(k enrol.Key) {
	end, err := c.keys.Chain(k.ID)
	if err == nil {
		trail := ingest.Trail{Key: k.ID, Public: k.Public, Server: c.servers, Anew: end.Anew}
		if k.Statement != nil {
			var before enrol.Chain
			before, err = c.keys.Chain(k.Replaced)
			trail.From = ingest.Link{Index: before.Count, Seq: before.Seq}
			copy(trail.From.Hash[:], before.Head)
		}
		var last ingest.Link
		if err == nil {
			last, err = ingest.Walk(c.r, c.tenant, trail)
		}
		if err == nil && (last.Seq != end.Seq || last.Index != end.Count || last.Index > 0 && string(last.Hash[:]) != string(end.Head)) {
			err = fmt.Errorf("its last report is number %d with sequence %d, want number %d with sequence %d", last.Index, last.Seq, end.Count, end.Seq)
		}
	}
	if err != nil {
		c.fault(fmt.Errorf("key %s: %w", k.ID, err))
	}
}
