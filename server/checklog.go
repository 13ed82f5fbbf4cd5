package server

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"

	"rollcall/internal/fact"
	"rollcall/server/api"
	"rollcall/server/cmdb"
	"rollcall/server/enrol"
	"rollcall/server/evidence"
	"rollcall/server/ingest"
	"rollcall/server/store"
)

// log checks the evidence log by itself and against what its leaves are about.
func (c *checker) log(context.Context) error {
	c.rule = RuleLog
	c.admitted, c.leafOf = map[string]string{}, evidence.At(c.r, c.tenant)
	var err error
	if c.pruned, err = ingest.PrunedBefore(c.r, c.tenant); err != nil {
		return c.damaged(err)
	}
	signed, err := c.checkpoints()
	if err != nil {
		return err
	}
	sizes := make([]uint64, len(signed))
	for i, s := range signed {
		sizes[i] = s.Size
	}
	sum, err := c.leafOf.Check(sizes, c.fault, c.leaf)
	if err != nil {
		return c.damaged(err)
	}
	c.rep.Leaves = int(sum.Leaves)
	for _, s := range signed {
		root, ok := sum.Roots[s.Size]
		switch {
		case s.Size > sum.Leaves:
			c.fault(fmt.Errorf("the log has %d leaves, and a checkpoint of %d was %s", sum.Leaves, s.Size, s.by))
		case ok && root != s.Root:
			c.fault(fmt.Errorf("the first %d leaves of the log are not those that were %s", s.Size, s.by))
		}
	}
	c.latest()
	c.policy()
	if sum.Leaves == 0 { // a store of before the log, see beginLog
		return nil
	}
	keys, err := c.keys.Keys("")
	if err != nil {
		return c.damaged(err)
	}
	c.rule = RuleTokens
	for _, k := range keys {
		if k.State == enrol.Enrolled && c.admitted[k.ID] != k.CI {
			c.fault(fmt.Errorf("key %s speaks for CI %s, and no leaf of the log admits it there", k.ID, k.CI))
		}
	}
	return nil
}

// signedBy is a checkpoint and who stands for it.
type signedBy struct {
	evidence.Checkpoint
	by string
}

// checkpoints lists the checkpoints that the log must still lead to: the newest
// that the server signed, and the newest of each witness.
func (c *checker) checkpoints() (all []signedBy, err error) {
	own, err := c.leafOf.Checkpoint()
	if err != nil {
		return nil, c.damaged(err)
	}
	witnessed, err := c.leafOf.Witnessed()
	if err != nil {
		return nil, c.damaged(err)
	}
	if own.Note == nil && len(witnessed) == 0 {
		return nil, nil
	}
	verifier, err := c.cfg.loadVerifier(c.realm)
	if err != nil {
		return nil, c.damaged(fmt.Errorf("checkpoints of the log cannot be verified: %w", err))
	}
	take := func(note []byte, by string, w ...evidence.Witness) {
		p, cosigned, err := evidence.OpenCheckpoint(note, verifier, w...)
		if err == nil && len(cosigned) < len(w) {
			err = errors.New("its cosignature is gone")
		}
		if err != nil {
			c.fault(fmt.Errorf("the checkpoint %s: %w", by, err))
			return
		}
		all = append(all, signedBy{p, by})
	}
	if own.Note != nil {
		take(own.Note, "signed by the server")
	}
	for _, w := range witnessed {
		k, err := evidence.ParseWitness(w.Key)
		if err != nil {
			c.fault(err)
			continue
		}
		take(w.Note, "cosigned by "+k.Name(), k)
	}
	return all, nil
}

// leaf checks one leaf against what it is about.
func (c *checker) leaf(t evidence.Told) {
	switch {
	case t.Entry.Kind == evidence.StartLog:
		n, err := strconv.ParseInt(t.Entry.Detail["stamp"], 10, 64)
		if err != nil {
			c.fault(fmt.Errorf("%s: %w", t, err))
		}
		c.logSince = n
	case t.Leaf.Kind.Signed():
		_, err := ingest.Envelope(c.r, c.tenant, t.Sum)
		if errors.Is(err, store.ErrNoBlob) && t.Leaf.At < c.pruned {
			break
		}
		if err != nil {
			c.under(RuleBlobs, func() { c.fault(fmt.Errorf("%s, its report: %w", t, err)) })
		}
	case t.Entry.Kind == evidence.Ticks:
		err := c.leafOf.CheckTicks(t)
		switch {
		case errors.Is(err, store.ErrNoBlob):
			c.under(RuleBlobs, func() { c.fault(fmt.Errorf("%s, its list: %w", t, err)) })
		case err != nil:
			c.fault(fmt.Errorf("%s: %w", t, err))
		}
	case t.Entry.Kind == evidence.Policy && t.Entry.Detail["do"] == api.PublishedPolicy:
		c.published = t.Entry.Subject
	case t.Entry.Kind == evidence.RevokeMany:
		m, _, _ := c.keys.Begun(t.Entry.Detail["many"]) // what is wrong with its list is said of the record
		if m.List != hex.EncodeToString(t.Entry.Subject) {
			c.fault(fmt.Errorf("%s: the record of the revocation is another one, or is gone", t))
		}
	case t.Entry.Kind == evidence.Declare, t.Entry.Kind == evidence.Merge, t.Entry.Kind == evidence.Split:
		n, err := strconv.ParseUint(t.Entry.Detail["revision"], 10, 64)
		if err == nil {
			err = c.declared(t.Entry.CI, n, t.Entry.Subject)
		}
		if err != nil {
			c.fault(fmt.Errorf("%s: %w", t, err))
		}
	}
	c.changes(t)
	if t.Entry.Admits {
		c.admitted[t.Entry.Key] = t.Entry.CI
	}
}

// policy compares the policy that machines get with the one that was published.
func (c *checker) policy() {
	pub, there, err := c.Policy()
	if err != nil {
		c.fault(err)
		return
	}
	var bundle []byte
	if there {
		if bundle, err = c.PolicyBundle(); err != nil {
			c.fault(err)
			return
		}
	}
	switch sum := sha256.Sum256(bundle); {
	case there && !bytes.Equal(sum[:], pub.Digest), !bytes.Equal(pub.Digest, c.published):
		c.fault(errors.New("the published policy is not the one that the last leaf about one tells of"))
	}
}

// declared compares a revision by a person with what its leaf commits to.
func (c *checker) declared(ci string, n uint64, want []byte) error {
	if head, err := c.CI(ci); err == nil && head.First > 1 && n <= head.First {
		return nil // it was pruned, or made the base of what is kept
	}
	r, err := c.Revision(ci, n)
	if err != nil {
		return err
	}
	sum, err := api.SumOf(r)
	if err == nil && string(sum) != string(want) {
		err = fmt.Errorf("revision %d of CI %s was changed", n, ci)
	}
	return err
}

// inLog checks that a revision with a report has its leaf.
func (c *checker) inLog(ci cmdb.CI, r cmdb.Revision, hash fact.Digest) {
	if c.rep.Leaves == 0 || r.Stamp <= c.logSince {
		return // it was recorded before the log began
	}
	if _, err := c.leafOf.IndexOf(hash); err != nil {
		c.fault(fmt.Errorf("revision %d of CI %s (%s): %w: its leaf was erased or taken away", r.N, ci.ID, ci.Name, err))
	}
}

// beginLog makes a store of before the log ready for it: the first leaf says when
// it began, and every key that is enrolled by then gets its leaf. What was
// recorded before has none.
func (s *Server) beginLog(ctx context.Context) error {
	var size uint64
	var stamp int64
	var missing []enrol.Key
	err := s.engine.View(ctx, func(r store.Reader) (err error) {
		log := evidence.At(r, s.cfg.Tenant)
		if size, err = log.Size(); err != nil {
			return err
		}
		if stamp, err = cmdb.At(r, s.cfg.Tenant, nil, cmdb.Everywhere).LastStamp(); err != nil {
			return err
		}
		keys, err := enrol.At(r, s.cfg.Tenant).Keys("")
		for _, k := range keys {
			if k.State != enrol.Enrolled {
				continue
			}
			leaves, err := log.About(k.ID)
			if err != nil {
				return err
			}
			if len(leaves) == 0 {
				missing = append(missing, k)
			}
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("begin the log: %w", err)
	}
	if size == 0 && stamp > 0 {
		first := evidence.Entry{Kind: evidence.StartLog, By: "server", Detail: map[string]string{"stamp": strconv.FormatInt(stamp, 10)}}
		err = s.appendLeaf(ctx, first)
	}
	for _, k := range missing {
		e := api.OfKey(evidence.Enrol, k)
		e.Kind, e.By, e.Ends = evidence.Enrol, "server: it was enrolled before the log began", ""
		err = errors.Join(err, s.appendLeaf(ctx, e))
	}
	if err != nil {
		return fmt.Errorf("begin the log: %w", err)
	}
	return nil
}

// appendLeaf appends a leaf while the lanes do not run.
func (s *Server) appendLeaf(ctx context.Context, e evidence.Entry) error {
	return s.engine.Update(ctx, func(tx store.Tx) error {
		_, err := evidence.In(tx, s.cfg.Tenant).Append(s.service.Now(), e)
		return err
	})
}
