package server

import (
	"context"
	"fmt"

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
	c.rule = RuleChain
	for _, k := range keys {
		if err := ctx.Err(); err != nil {
			return err
		}
		c.chain(k)
	}
	return nil
}

// tokens checks that each token that was used has admitted exactly one key.
func (c *checker) tokens(keys []enrol.Key) {
	admitted := map[string][]string{} // token → keys
	for _, k := range keys {
		admitted[k.Token] = append(admitted[k.Token], k.ID)
	}
	tokens, err := c.keys.Tokens()
	if err != nil {
		c.fault(err)
		return
	}
	for _, t := range tokens {
		switch got := admitted[t.ID]; {
		case t.UsedBy == "" && len(got) == 0:
		case t.UsedBy == "":
			c.fault(fmt.Errorf("token %s: it admitted key %s and counts as unused", t.ID, got[0]))
		case len(got) == 0:
			c.fault(fmt.Errorf("token %s: key %s has used it and is not there", t.ID, t.UsedBy))
		case len(got) > 1 || got[0] != t.UsedBy:
			c.fault(fmt.Errorf("token %s: it admitted %d keys, want key %s alone", t.ID, len(got), t.UsedBy))
		}
		delete(admitted, t.ID)
	}
	for token, ids := range admitted {
		c.fault(fmt.Errorf("key %s: the token %s that admitted it is not there", ids[0], token))
	}
}

// chain checks that the recorded reports of a key follow one another up to the
// end that is written down.
func (c *checker) chain(k enrol.Key) {
	end, err := c.keys.Chain(k.ID)
	if err == nil {
		var last ingest.Link
		if last, err = ingest.Walk(c.r, c.tenant, k.ID, k.Public, c.server); err == nil && (last.Seq != end.Seq || last.Index != end.Count || last.Index > 0 && string(last.Hash[:]) != string(end.Head)) {
			err = fmt.Errorf("its last report is number %d with sequence %d, want number %d with sequence %d", last.Index, last.Seq, end.Count, end.Seq)
		}
	}
	if err != nil {
		c.fault(fmt.Errorf("key %s: %w", k.ID, err))
	}
}
