package ingest

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"rollcall/internal/fact"
	"rollcall/internal/identity"
	rollcallv1 "rollcall/proto/rollcall/v1"
	"rollcall/server/cmdb"
	"rollcall/server/enrol"
	"rollcall/server/store"
)

// resolved is a report whose sets have been worked out, outside of any lane: a
// set is named by its digest, so nothing that happens meanwhile can change it.
type resolved struct {
	base    fact.State // what the deltas start from; nil for a full report
	next    fact.State
	sets    []cmdb.Prepared
	missing []fact.Digest
	full    bool
}

// report handles an envelope with a payload.
func (s *Service) report(ctx context.Context, key enrol.Key, body *rollcallv1.Body, hash fact.Digest, raw []byte) (Result, error) {
	if res, found, err := s.repeated(ctx, key, hash); err != nil || found {
		return res, err
	}
	rep, err := decodeReport(body.GetPayload())
	if err != nil {
		return Result{}, err
	}
	var ws resolved
	err = s.Engine.View(ctx, func(r store.Reader) (err error) {
		ws, err = s.resolve(r, key.CI, body, rep)
		return err
	})
	switch {
	case err != nil:
		return Result{}, err
	case ws.next == nil:
		return Result{Outcome: NeedFull}, nil
	case len(ws.missing) > 0:
		return Result{Outcome: NeedContent, Missing: ws.missing}, nil
	}
	for _, p := range ws.sets {
		if p.Large() {
			if err := s.Sets.PutLarge(ctx, s.Writer, s.Tenant, p); err != nil {
				return Result{}, err
			}
		}
	}
	if len(raw) > smallEnvelope {
		if err := store.PutBlob(ctx, s.Writer, s.Tenant, envelopeKind, hash, raw); err != nil {
			return Result{}, err
		}
	}
	var res Result
	_, err = s.Writer.Do(ctx, store.Op{
		Touch: []string{key.CI},
		Fn: func(tx store.Tx) (err error) {
			res, err = s.record(tx, key, body, rep, ws, hash, raw)
			return err
		},
	})
	if err != nil {
		return Result{}, err
	}
	for _, p := range ws.sets {
		s.Sets.Keep(p)
	}
	s.noteLag(body.GetTimeClaimedMs())
	return res, nil
}

// repeated answers an envelope that is recorded already with its first receipt.
func (s *Service) repeated(ctx context.Context, key enrol.Key, hash fact.Digest) (Result, bool, error) {
	var b []byte
	err := s.Engine.View(ctx, func(r store.Reader) (err error) {
		receipt, err := store.GetFramed(r, receiptKey(s.Tenant, key.ID, hash))
		b = bytes.Clone(receipt)
		return err
	})
	return Result{Outcome: Recorded, Receipt: b}, b != nil, err
}

// resolve applies the deltas to the sets they start from, checks every fact, and
// finds the contents that the store lacks. A base that is not the CI's present
// state leaves next nil.
func (s *Service) resolve(r store.Reader, id string, body *rollcallv1.Body, rep report) (resolved, error) {
	items := cmdb.At(r, s.Tenant, s.Sets)
	ci, err := items.CI(id)
	if err != nil {
		return resolved{}, err
	}
	ws := resolved{full: rep.GetFull(), next: fact.State{}}
	if !ws.full {
		d := ci.State.Digest()
		if !bytes.Equal(body.GetBase(), d[:]) {
			return resolved{}, nil
		}
		ws.base = ci.State
		maps.Copy(ws.next, ci.State)
	}
	lacking := map[fact.Digest]bool{}
	for _, d := range rep.deltas {
		name, set, err := s.apply(items, d)
		if err != nil {
			return resolved{}, err
		}
		if !d.Base.IsZero() && ws.next[name] != d.Base || d.Base.IsZero() && !ws.next[name].IsZero() {
			return resolved{}, fmt.Errorf("section %s: %w: the delta starts from another set", name, ErrMalformed)
		}
		if len(set) == 0 {
			delete(ws.next, name)
			continue
		}
		p, err := s.Sets.Prepare(r, s.Tenant, set, d)
		if err != nil {
			return resolved{}, err
		}
		ws.next[name] = d.Result
		ws.sets = append(ws.sets, p)
		if err := s.lacks(items, name, d.Put, lacking); err != nil {
			return resolved{}, err
		}
	}
	if got := ws.next.Digest(); !bytes.Equal(got[:], body.GetState()) {
		return resolved{}, fmt.Errorf("report of CI %s: %w: it does not lead to the state it signs", id, ErrMalformed)
	}
	for d := range lacking {
		ws.missing = append(ws.missing, d)
	}
	slices.SortFunc(ws.missing, func(a, b fact.Digest) int { return bytes.Compare(a[:], b[:]) })
	return ws, nil
}

func (s *Service) apply(items cmdb.View, d fact.Delta) (name string, set fact.Set, err error) {
	var base fact.Set
	if !d.Base.IsZero() {
		if base, err = items.LoadSet(d.Base); err != nil {
			return "", nil, err
		}
	}
	if name, err = section(d, base); err != nil {
		return "", nil, err
	}
	if set, err = d.Apply(base); err != nil {
		return "", nil, fmt.Errorf("section %s: %w: %w", name, ErrMalformed, err)
	}
	if err = set.Check(name); err != nil {
		return "", nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return name, set, nil
}

// lacks collects the contents of new or changed files that are not stored.
func (s *Service) lacks(items cmdb.View, name string, put []fact.Fact, lacking map[fact.Digest]bool) error {
	if name != "etc" {
		return nil
	}
	for _, f := range put {
		file, err := fact.ParseFile(f.Value)
		if err != nil {
			return fmt.Errorf("fact %.80q: %w: %w", f.Path, ErrMalformed, err)
		}
		if err := checkTreePath(f.Path); err != nil {
			return err
		}
		if !file.HasContent() || lacking[file.Digest] {
			continue
		}
		have, err := items.HasContent(file.Digest)
		if err != nil {
			return err
		}
		if !have {
			lacking[file.Digest] = true
		}
	}
	return nil
}

// checkTreePath refuses a path that no walk of a file system can give.
func checkTreePath(path string) error {
	for part := range strings.SplitSeq(path, "/") {
		if part == "" || part == "." || part == ".." {
			return fmt.Errorf("fact %.80q: %w: no file has such a path", path, ErrMalformed)
		}
	}
	return nil
}

// record is the transaction of one report: key still enrolled, chain, base,
// then sets, revision, chain and receipt together.
func (s *Service) record(tx store.Tx, key enrol.Key, body *rollcallv1.Body, rep report, ws resolved, hash fact.Digest, raw []byte) (Result, error) {
	items := cmdb.In(tx, s.Tenant)
	keys := enrol.In(tx, s.Tenant, items)
	id, err := identity.ParseKeyID(key.ID)
	if err != nil {
		return Result{}, err
	}
	present, err := keys.Key(id) // revoked meanwhile?
	if err != nil {
		return Result{}, err
	}
	if b, err := store.GetFramed(tx, receiptKey(s.Tenant, key.ID, hash)); err != nil || b != nil {
		return Result{Outcome: Recorded, Receipt: bytes.Clone(b)}, err
	}
	if len(raw) <= smallEnvelope {
		if err := store.PutBlobTx(tx, s.Tenant, envelopeKind, hash, raw); err != nil {
			return Result{}, err
		}
	}
	chain, err := keys.Chain(key.ID)
	if err != nil {
		return Result{}, err
	}
	if present.Cloned || body.GetSeq() <= chain.Seq || !bytes.Equal(body.GetPrev(), chain.Head) {
		return s.quarantine(tx, present, body, hash)
	}
	ci, err := items.CI(present.CI)
	if err != nil {
		return Result{}, err
	}
	if !ws.full && !maps.Equal(ci.State, ws.base) {
		return Result{Outcome: NeedFull}, nil
	}
	for _, p := range ws.sets {
		if err := s.Sets.Put(tx, s.Tenant, p); err != nil {
			return Result{}, err
		}
	}
	if err := s.revise(items, key, ci, body, rep, ws, hash); err != nil {
		return Result{}, err
	}
	receipt := identity.Receipt{Envelope: hash, Index: chain.Count + 1, At: s.now().UnixMilli()}.Sign(s.Key)
	chain = enrol.Chain{Seq: body.GetSeq(), Head: hash[:], Receipt: receipt, Count: chain.Count + 1}
	if err := keys.PutChain(key.ID, chain); err != nil {
		return Result{}, err
	}
	return Result{Outcome: Recorded, Receipt: receipt}, store.PutFramed(tx, receiptKey(s.Tenant, key.ID, hash), receipt)
}

// revise records the revision, unless the report says what is known already.
func (s *Service) revise(items cmdb.Writer, key enrol.Key, ci cmdb.CI, body *rollcallv1.Body, rep report, ws resolved, hash fact.Digest) error {
	last := cmdb.Last{AgentVersion: cut(rep.GetAgentVersion()), Measurements: body.GetMeasurements()}
	for _, c := range rep.GetCollectors() {
		last.Collectors = append(last.Collectors, cmdb.CollectorStatus{Name: cut(c.GetName()), Status: int32(c.GetStatus()), Detail: cut(c.GetDetail()), TookMS: c.GetTookMs()})
	}
	if err := items.PutLast(ci.ID, last); err != nil {
		return err
	}
	if maps.Equal(ci.State, ws.next) {
		return nil
	}
	r := cmdb.Revision{By: "agent " + key.ID, Report: hash.String(), Reason: cut(rep.GetReason()), Claimed: body.GetTimeClaimedMs()}
	for _, e := range rep.GetEvents() {
		r.Events = append(r.Events, cmdb.Event{At: e.GetTimeMs(), Kind: cut(e.GetKind()), Text: cut(e.GetText())})
	}
	next := ci
	next.State = ws.next
	if next.Class == "" {
		next.Class = s.observedClass(ws)
	}
	_, _, err := items.Record(s.now(), ci, next, r)
	return err
}

// observedClass takes the class that the machine sees in itself, where nobody
// has declared one.
func (s *Service) observedClass(ws resolved) string {
	for _, p := range ws.sets {
		if class, ok := p.Set.Get("id/class"); ok && cmdb.CheckClass(class) == nil {
			return class
		}
	}
	return ""
}
