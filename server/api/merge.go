package api

import (
	"context"
	"strconv"

	"rollcall/internal/fact"
	rollcallv1 "rollcall/proto/rollcall/v1"
	"rollcall/server/cmdb"
	"rollcall/server/enrol"
	"rollcall/server/evidence"
	"rollcall/server/likeness"
	"rollcall/server/store"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Merge says that a CI is another one, which stays in its place. The caller needs her
// role at both sites. No key changes hands: the one that goes has none.
func (s *Service) Merge(ctx context.Context, req *rollcallv1.MergeRequest) (*rollcallv1.MergeReply, error) {
	reply := &rollcallv1.MergeReply{Left: map[string]string{}}
	var goes, stays cmdb.CI
	err := s.view(ctx, func(r store.Reader, items cmdb.View) (err error) {
		if goes, err = items.CI(req.GetCi()); err != nil {
			return err
		}
		if stays, err = items.CI(req.GetInto()); err != nil {
			return err
		}
		j, err := s.judged(r, &resembling{s: s, ctx: ctx, items: items}, goes, stays)
		if reply.Sentence = j.Sentence(); err == nil && j.Verdict == likeness.Two && !req.GetAnyway() {
			err = status.Errorf(codes.FailedPrecondition, "%s and %s are %s: nothing is merged unless you say that you know better", goes.Name, stays.Name, reply.Sentence)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	err = s.act(ctx, func(tx store.Tx) (evidence.Entry, error) {
		items := s.items(ctx, tx)
		if goes, err = items.CI(goes.ID); err != nil {
			return nothing, err
		}
		if stays, err = items.CI(stays.ID); err != nil {
			return nothing, err
		}
		by := "operator " + callerOf(ctx).operator.Name
		return s.mergeIn(tx, items, goes, stays, by, fact.Cut(req.GetReason(), maxReason), reply.Sentence)
	})
	if err != nil {
		return nil, err
	}
	for name, v := range goes.Fields {
		if stays.Fields[name] == "" {
			reply.Left[name] = v
		}
	}
	reply.Gone, reply.Item, err = s.pair(ctx, goes.ID, stays.ID)
	return reply, err
}

// mergeIn merges two CIs in a transaction and tells the log why.
func (s *Service) mergeIn(tx store.Tx, items cmdb.Writer, goes, stays cmdb.CI, by, reason, why string) (evidence.Entry, error) {
	if err := enrol.In(tx, s.Tenant, items).MayMerge(goes.ID, stays.ID); err != nil {
		return nothing, err
	}
	gone, stay, err := items.Merge(s.Now(), goes, stays, by, reason)
	if err != nil {
		return nothing, err
	}
	return ofPair(evidence.Merge, gone, stay, map[string]string{"evidence": why})
}

// MergeObserved says that a CI of which only boot servers told is one whose agent has
// reported. It is the server that finds this; people can split them, and then they
// stay so. Where it was done already, or the one is not observed any more, nothing is.
func (s *Service) MergeObserved(ctx context.Context, observed, into, why string) error {
	return s.act(ctx, func(tx store.Tx) (evidence.Entry, error) {
		items := cmdb.In(tx, s.Tenant, cmdb.Everywhere)
		goes, err := items.CI(observed)
		if err != nil {
			return nothing, err
		}
		stays, err := items.CI(into)
		if err != nil || goes.TrustClass() != cmdb.Observed || goes.Apart() != nil || stays.Into() != "" {
			return nothing, err
		}
		e, err := s.mergeIn(tx, items, goes, stays, byServer, why, why)
		e.By = byServer
		return e, err
	})
}

// byServer names who does what nobody asked for.
const byServer = "server"

// Split makes a CI that was merged its own again.
func (s *Service) Split(ctx context.Context, req *rollcallv1.SplitRequest) (*rollcallv1.SplitReply, error) {
	var id, from string
	err := s.act(ctx, func(tx store.Tx) (evidence.Entry, error) {
		items := s.items(ctx, tx)
		ci, err := items.Resolve(req.GetCi())
		if err != nil {
			return nothing, err
		}
		id, from = ci.ID, ci.Into()
		back, stay, err := items.Split(s.Now(), ci, "operator "+callerOf(ctx).operator.Name, fact.Cut(req.GetReason(), maxReason))
		if err != nil {
			return nothing, err
		}
		return ofPair(evidence.Split, back, stay, nil)
	})
	if err != nil {
		return nil, err
	}
	reply := &rollcallv1.SplitReply{}
	reply.Item, reply.From, err = s.pair(ctx, id, from)
	return reply, err
}

// ofPair tells of a revision of one CI and the one of another that belongs to it. The
// leaf commits to the first, which names the second CI; that one's number stands beside.
func ofPair(kind evidence.Kind, r, other cmdb.Revision, detail map[string]string) (evidence.Entry, error) {
	sum, err := SumOf(r)
	e := evidence.Entry{Kind: kind, CI: r.CI, Subject: sum, Detail: detail}
	for name, v := range map[string]string{
		"revision": strconv.FormatUint(r.N, 10), "into": other.CI, "into-revision": strconv.FormatUint(other.N, 10), "reason": r.Reason,
	} {
		tell(&e, name, v)
	}
	return e, err
}

// pair gives two CIs as they are now.
func (s *Service) pair(ctx context.Context, a, b string) (first, second *rollcallv1.ItemSummary, err error) {
	err = s.view(ctx, func(_ store.Reader, items cmdb.View) error {
		for id, to := range map[string]**rollcallv1.ItemSummary{a: &first, b: &second} {
			ci, err := items.CI(id)
			if err == nil {
				*to, err = s.summary(&subject{s: s, items: items, head: ci, ci: ci})
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
	return first, second, err
}
