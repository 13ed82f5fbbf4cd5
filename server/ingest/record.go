package ingest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"rollcall/internal/fact"
	"rollcall/internal/failpoint"
	"rollcall/internal/identity"
	rollcallv1 "rollcall/proto/rollcall/v1"
	"rollcall/server/cmdb"
	"rollcall/server/enrol"
	"rollcall/server/evidence"
	"rollcall/server/store"
)

// report handles an envelope with a payload.
func (s *Service) report(ctx context.Context, known recollection, body *rollcallv1.Body, env arrival) (Result, error) {
	key, chain := known.key, known.chain
	if !news(key, chain, body) {
		switch receipt, err := s.given(ctx, key.ID, env.hash); {
		case err != nil:
			return Result{}, err
		case receipt != nil: // it is recorded already: its first receipt
			return Result{Outcome: Recorded, Receipt: receipt}, nil
		}
	}
	if err := s.Writer.Ready(); err != nil {
		return Result{}, err // before the payload is unpacked
	}
	switch fits, gap, err := s.fits(ctx, key, chain, body); {
	case err != nil:
		return Result{}, err
	case !fits:
		return s.forked(ctx, key, body, env)
	case gap && body.GetKeptFrom() > 0: // what is lost comes first
		return Result{Outcome: Resend, Have: chain.Head}, nil
	}
	u, err := s.open(key, body, env.hash)
	if err != nil {
		return Result{}, err
	}
	named, err := s.lookUp(ctx, key, body, u)
	defer named()
	rep, ws := u.rep, u.ws
	switch {
	case err != nil:
		return Result{}, err
	case ws.next == nil:
		return Result{Outcome: NeedFull}, nil
	case len(ws.missing) > 0:
		s.waiting.keep(env.hash, u)
		return Result{Outcome: NeedContent, Missing: ws.missing}, nil
	}
	for _, p := range ws.sets {
		if err := p.Pack(); err != nil {
			return Result{}, err
		}
	}
	if err := s.putLargeSets(ctx, ws.sets); err != nil {
		return Result{}, err
	}
	if err := s.putLargeEnvelope(ctx, env.hash, env.raw); err != nil {
		return Result{}, err
	}
	failpoint.Hit(failpoint.BeforeApply)
	var res Result
	var stored []cmdb.Prepared
	_, err = s.Writer.Do(ctx, store.Op{
		Touch: []string{key.CI},
		Fn: func(tx store.Tx) (err error) {
			res, stored, err = s.record(tx, key, body, rep, ws, env)
			return err
		},
	})
	if err != nil {
		return Result{}, err
	}
	failpoint.Hit(failpoint.AfterCommit)
	for _, p := range stored {
		s.Sets.Keep(p)
	}
	if res.Outcome != Recorded {
		return res, nil
	}
	if chain.Restart {
		s.ticks.forget(key.ID) // its numbers may begin anew
	}
	s.noteLag(body.GetTimeClaimedMs())
	return res, nil
}

// lookUp resolves a report. Contents that it lacks, and that others at its site have
// just been asked for, it waits for, once. What is found in the store now is there
// still until named is called.
func (s *Service) lookUp(ctx context.Context, key enrol.Key, body *rollcallv1.Body, u *unfinished) (named func(), err error) {
	for patient := true; ; patient = false {
		s.alone.RLock()
		err := s.Engine.View(ctx, func(r store.Reader) error {
			again, err := s.again(r, key, u)
			if err == nil && !again {
				u.ws, err = s.resolve(r, key, body, u.rep)
				u.epoch, u.image = s.epoch, key.Image
			}
			return err
		})
		if err != nil || len(u.ws.missing) == 0 {
			return s.alone.RUnlock, err
		}
		missing := u.ws.missing
		if u.ws.missing = s.asked.ask(s.now(), key.ID, u.ws.site, missing, !patient); len(u.ws.missing) > 0 {
			return s.alone.RUnlock, nil
		}
		s.alone.RUnlock() // nobody else is to wait meanwhile
		s.asked.wait(ctx, s.now(), key.ID, u.ws.site, missing)
	}
}

// namesSealed tells whether a report names a file that only others can open.
func namesSealed(rep *rollcallv1.Report) bool {
	for _, raw := range rep.GetDeltas() {
		d, err := fact.DecodeDelta(raw)
		if err != nil {
			continue // it will be refused
		}
		for _, f := range d.Put {
			if file, err := fact.ParseFile(f.Value); f.Section() == "etc" && err == nil && file.Kind == fact.KindSealed {
				return true
			}
		}
	}
	return false
}

// record is the transaction of one report: key still enrolled, chain, base,
// then sets, revision, the log's leaf, chain and receipt together.
// It also returns the sets that were new to the store.
func (s *Service) record(tx store.Tx, key enrol.Key, body *rollcallv1.Body, rep *rollcallv1.Report, ws resolved, env arrival) (Result, []cmdb.Prepared, error) {
	items := cmdb.In(tx, s.Tenant, cmdb.Everywhere)
	keys := enrol.In(tx, s.Tenant, items)
	present, chain, err := s.present(keys, key)
	if err != nil {
		return Result{}, nil, err
	}
	if !news(present, chain, body) {
		if b, err := ReceiptFor(tx, s.Tenant, key.ID, env.hash); err != nil || b != nil {
			return Result{Outcome: Recorded, Receipt: b}, nil, err
		}
	}
	gap, anew := false, false
	if !follows(present, chain, body) {
		begins := restarts(present, chain)
		if gap, err = s.ahead(tx, present, chain, body); err != nil {
			return Result{}, nil, err
		}
		if !gap && !begins {
			res, err := s.quarantine(tx, present, body, env)
			return res, nil, err
		}
		switch {
		case gap && body.GetKeptFrom() > 0:
			return Result{Outcome: Resend, Have: chain.Head}, nil, nil
		case !ws.full:
			return Result{Outcome: NeedFull}, nil, nil
		}
		if gap {
			rep.Reason += lostBefore
		} else {
			rep.Reason += beginsAnew
			anew = true
		}
	}
	ci, err := items.CI(present.CI)
	if err != nil {
		return Result{}, nil, err
	}
	base := ci.State
	if ws.image {
		of, err := items.CI(key.Image)
		if err != nil && !errors.Is(err, cmdb.ErrNotFound) {
			return Result{}, nil, err
		}
		base = of.State
	}
	if !ws.full && !maps.Equal(base, ws.base) {
		return Result{Outcome: NeedFull}, nil, nil
	}
	stored, err := s.putAll(tx, ws, env.hash, env.raw)
	if err != nil {
		return Result{}, nil, err
	}
	at, err := s.revise(items, key, ci, body, rep, ws, env.hash)
	if err != nil {
		return Result{}, nil, err
	}
	leaf := evidence.Entry{Kind: evidence.Report, CI: ci.ID, Seq: body.GetSeq(), Subject: env.hash[:]}
	index, err := evidence.In(tx, s.Tenant).Append(at, leaf)
	if err != nil {
		return Result{}, nil, err
	}
	given := identity.Receipt{Envelope: env.hash, Index: chain.Count + 1, At: s.now().UnixMilli()}
	if body.GetReceiptForm() >= identity.ReceiptForm2 {
		given.Logged, given.Leaf = true, index
	}
	receipt := given.Sign(s.Key)
	r := recorded{key: key.ID, hash: env.hash, receipt: receipt, before: chain.Last}
	if len(env.raw) <= smallReport {
		r.envelope = env.raw
	}
	chain = enrol.Chain{Seq: body.GetSeq(), Head: env.hash[:], Receipt: receipt, Count: chain.Count + 1, Anew: chain.Anew, Last: index + 1}
	if anew {
		chain.Anew = append(chain.Anew, chain.Count)
	}
	if err := keys.PutChain(key.ID, chain); err != nil {
		return Result{}, nil, err
	}
	if err := store.PutJSON(tx, reportKey(s.Tenant, index), r); err != nil {
		return Result{}, nil, err
	}
	failpoint.Hit(failpoint.AfterApply)
	return Result{Outcome: Recorded, Receipt: receipt}, stored, nil
}

// follows tells whether an envelope is the next one of its key's chain.
func follows(key enrol.Key, chain enrol.Chain, body *rollcallv1.Body) bool {
	return !key.Cloned && body.GetSeq() > chain.Seq && bytes.Equal(body.GetPrev(), chain.Head)
}

// news tells without a look that an envelope was not recorded before: it names the
// newest one, which was recorded after all others. What an operator has let begin
// anew stands in no such order.
func news(key enrol.Key, chain enrol.Chain, body *rollcallv1.Body) bool {
	return follows(key, chain, body) && !chain.Restart && len(chain.Anew) == 0
}

// given returns the receipt that an envelope got before, nil if it got none.
func (s *Service) given(ctx context.Context, key string, hash fact.Digest) (receipt []byte, err error) {
	err = s.Engine.View(ctx, func(r store.Reader) error {
		receipt, err = ReceiptFor(r, s.Tenant, key, hash)
		return err
	})
	return receipt, err
}

// restarts tells whether an operator has decided that the next full report of a
// key is taken wherever it stands in the chain.
func restarts(key enrol.Key, chain enrol.Chain) bool { return chain.Restart && !key.Cloned }

// beginsAnew is added to the reason of that report.
const beginsAnew = "; the first after an operator kept the key"

// lostBefore is added to the reason of a report that closes a gap.
const lostBefore = "; the reports just before it are lost: was the server restored from a backup?"

// ahead tells whether an envelope follows one that this server acknowledged and
// does not have any more, as after a restore from a backup. The receipt in it,
// which only this server can have signed, proves that. A cloned disk cannot look
// like it: what its other half reported is known here.
func (s *Service) ahead(g store.Getter, key enrol.Key, chain enrol.Chain, body *rollcallv1.Body) (bool, error) {
	if key.Cloned || body.GetSeq() <= chain.Seq {
		return false, nil
	}
	r, err := identity.OpenReceiptOf(s.ServerKeys(), body.GetLastReceipt())
	if err != nil || !bytes.Equal(r.Envelope[:], body.GetPrev()) {
		return false, nil // a bad receipt proves nothing
	}
	known, err := ReceiptFor(g, s.Tenant, key.ID, r.Envelope)
	return known == nil, err
}

// fits tells whether an envelope is the next one of its key's chain, comes
// after a gap that the server itself has made, or may begin anew.
func (s *Service) fits(ctx context.Context, key enrol.Key, chain enrol.Chain, body *rollcallv1.Body) (ok, gap bool, err error) {
	if follows(key, chain, body) {
		return true, false, nil
	}
	err = s.Engine.View(ctx, func(r store.Reader) (err error) {
		gap, err = s.ahead(r, key, chain, body)
		return err
	})
	return gap || restarts(key, chain), gap, err
}

// putAll stores the sets, and an envelope that is too large for the report's record.
func (s *Service) putAll(tx store.Tx, ws resolved, hash fact.Digest, raw []byte) (stored []cmdb.Prepared, err error) {
	if len(raw) > smallReport {
		if err := s.putEnvelope(tx, hash, raw); err != nil {
			return nil, err
		}
	}
	for _, p := range ws.sets {
		isNew, err := s.Sets.Put(tx, s.Tenant, p)
		if err != nil {
			return nil, err
		}
		if isNew {
			stored = append(stored, p)
		}
	}
	return stored, nil
}

// putLargeSets stores the sets that must go before their transaction, because
// they would not fit into it together.
func (s *Service) putLargeSets(ctx context.Context, sets []cmdb.Prepared) error {
	room := smallSets
	for _, p := range sets {
		if p.Size() <= room {
			room -= p.Size()
			continue
		}
		if err := s.Sets.PutLarge(ctx, s.Writer, s.Tenant, p); err != nil {
			return err
		}
	}
	return nil
}

// putLargeEnvelope stores an envelope that must go before its transaction.
func (s *Service) putLargeEnvelope(ctx context.Context, hash fact.Digest, raw []byte) error {
	if len(raw) <= smallEnvelope {
		return nil
	}
	p, err := store.PackPlain(raw) // what is large in it is compressed
	if err != nil {
		return fmt.Errorf("envelope %s: %w", hash, err)
	}
	return p.Store(ctx, s.Writer, s.Tenant, envelopeKind, hash)
}

// putEnvelope stores an envelope in its transaction, if it did not go before.
func (s *Service) putEnvelope(tx store.Tx, hash fact.Digest, raw []byte) error {
	if len(raw) > smallEnvelope {
		return nil
	}
	p, err := store.PackPlain(raw)
	if err != nil {
		return fmt.Errorf("envelope %s: %w", hash, err)
	}
	return p.PutTx(tx, s.Tenant, envelopeKind, hash)
}

// revise records the revision, unless the report says what is known already. It
// returns the time of the record, which history and log share.
func (s *Service) revise(items cmdb.Writer, key enrol.Key, ci cmdb.CI, body *rollcallv1.Body, rep *rollcallv1.Report, ws resolved, hash fact.Digest) (time.Time, error) {
	last := cmdb.Last{AgentVersion: cut(rep.GetAgentVersion()), Measurements: body.GetMeasurements()}
	for _, c := range rep.GetCollectors() {
		last.Collectors = append(last.Collectors, cmdb.CollectorStatus{Name: cut(c.GetName()), Status: int32(c.GetStatus()), Detail: cut(c.GetDetail()), TookMS: c.GetTookMs()})
	}
	if err := items.PutLast(ci.ID, last); err != nil {
		return time.Time{}, err
	}
	if maps.Equal(ci.State, ws.next) {
		return s.now(), nil
	}
	r := cmdb.Revision{By: "agent " + key.ID, Report: hash.String(), Reason: cut(rep.GetReason()), Claimed: body.GetTimeClaimedMs()}
	for _, e := range rep.GetEvents() {
		r.Events = append(r.Events, cmdb.Event{At: e.GetTimeMs(), Kind: cut(e.GetKind()), Text: cut(e.GetText())})
	}
	next := ci
	next.State = ws.next
	if next.Class == "" {
		next.Class = s.observedClass(key, ws)
	}
	_, r, err := items.Record(s.now(), ci, next, r)
	return r.At(), err
}

// observedClass takes the class that the machine sees in itself, where nobody
// has declared one. No machine makes itself a server: two people do.
func (s *Service) observedClass(key enrol.Key, ws resolved) string {
	for _, p := range ws.sets {
		class, ok := p.Get("id/class")
		if ok && cmdb.CheckClass(class) == nil && (class != "server" || key.Class == class) {
			return class
		}
	}
	return ""
}
