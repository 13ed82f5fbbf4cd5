package api

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"rollcall/internal/fact"
	rollcallv1 "rollcall/proto/rollcall/v1"
	"rollcall/server/cmdb"
	"rollcall/server/compare"
	"rollcall/server/store"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

const (
	whyBack      = 14 * 24 * time.Hour // how far back changes are told, unless asked otherwise
	maxRevisions = 2000                // that are read to date changes
)

// Why compares one CI with others like it, and with itself as it was when it last
// worked.
func (s *Service) Why(ctx context.Context, req *rollcallv1.WhyRequest) (*rollcallv1.WhyReply, error) {
	reply := &rollcallv1.WhyReply{}
	err := s.view(ctx, func(r store.Reader, items cmdb.View) error {
		me, err := items.CI(req.GetCi())
		if err != nil {
			return err
		}
		if len(me.State) == 0 {
			return status.Errorf(codes.FailedPrecondition, "%s has never reported: there is nothing to compare", me.Name)
		}
		worked := when(cmp.Or(req.GetWorkedMs(), req.GetSinceMs(), s.Now().Add(-whyBack).UnixMilli()))
		limit := defaultRows
		if n := int(req.GetLimit()); n > 0 {
			limit = min(n, maxRows)
		}
		reply.Ci, reply.Name, reply.ComparedMs = me.ID, me.Name, millis(worked)
		q := question{items: items, subjects: map[string]*subject{}}
		peers, err := q.odd(ctx, s, reply, me, when(req.GetWorkedMs()), limit)
		if err != nil {
			return err
		}
		return q.changes(ctx, reply, me, peers, worked, limit)
	})
	return reply, err
}

// odd fills in what sets the CI apart from its peers, and returns those.
func (q *question) odd(ctx context.Context, s *Service, reply *rollcallv1.WhyReply, me cmdb.CI, worked time.Time, limit int) ([]compare.Machine, error) {
	found, chosen, err := q.peers(ctx, s, me)
	if err != nil {
		return nil, err
	}
	if len(found) == 0 {
		reply.Chosen = "no other machine of class " + me.Class + " has reported"
		reply.Notes = append(reply.Notes, "there is no machine to compare it with: only what changed on itself is told")
		return nil, nil
	}
	if len(found) < fewPeers {
		reply.Notes = append(reply.Notes, fmt.Sprintf("only %d machines are like it: what is odd may be theirs", len(found)))
	}
	g := compare.Groups{Contents: q.items.Content, History: q.history, Onset: worked, MaxRows: limit, Library: s.documents()}
	if g.Broken, _, err = q.machines([]*subject{{items: q.items, head: me, ci: me}}); err != nil {
		return nil, err
	}
	if g.Working, reply.Peers, err = q.machines(found); err != nil {
		return nil, err
	}
	reply.Chosen = chosen
	res, err := compare.Odd(ctx, g)
	if err != nil {
		return nil, compareErrors(err, codes.FailedPrecondition)
	}
	for _, row := range res.Rows {
		reply.Odd = append(reply.Odd, q.row(row))
	}
	for _, n := range res.Notes {
		if !strings.HasPrefix(n, "the smaller group has") { // it is one, as it should be
			reply.Notes = append(reply.Notes, n)
		}
	}
	return g.Working, nil
}

// changes fills in what is not as it was at a time: what the fewest peers share
// first, then the newest.
func (q *question) changes(ctx context.Context, reply *rollcallv1.WhyReply, me cmdb.CI, peers []compare.Machine, worked time.Time, limit int) error {
	then, err := q.items.AsOf(me, worked)
	if errors.Is(err, cmdb.ErrNotFound) {
		reply.Notes = append(reply.Notes, "its records begin later than that: it is compared with the oldest one")
		then, err = q.items.Revision(me.ID, max(1, me.From()))
	}
	if err != nil {
		return err
	}
	changed, err := q.items.FactChanges(cmdb.Revision{Prev: then.State, State: me.State}, "")
	if err != nil {
		return err
	}
	dates, err := q.dates(ctx, me, then.N, len(changed))
	if err != nil {
		return err
	}
	for _, c := range changed {
		out := &rollcallv1.WhyChange{Path: c.Path, Old: c.Old, New: c.New, AtMs: dates[c.Path], PeersAll: uint32(len(peers))}
		for _, p := range peers {
			if v, _ := p.Sections[fact.SectionOf(c.Path)].Get(c.Path); v == c.New {
				out.PeersHave++
			}
		}
		reply.Changes = append(reply.Changes, out)
	}
	slices.SortStableFunc(reply.Changes, func(a, b *rollcallv1.WhyChange) int {
		return cmp.Or(cmp.Compare(a.GetPeersHave(), b.GetPeersHave()), cmp.Compare(b.GetAtMs(), a.GetAtMs()))
	})
	if n := len(reply.GetChanges()); n > limit {
		reply.Changes, reply.MoreChanges = reply.GetChanges()[:limit], uint32(n-limit)
	}
	return nil
}

// dates tells when each fact became what it is, from the revisions after n.
func (q *question) dates(ctx context.Context, me cmdb.CI, n uint64, want int) (map[string]int64, error) {
	dates, read := map[string]int64{}, 0
	for r, err := range q.items.History(me) {
		if err = cmp.Or(err, ctx.Err()); err != nil {
			return nil, err
		}
		if r.N <= n || read == maxRevisions || want == 0 {
			break
		}
		read++
		changes, err := q.items.FactChanges(r, "")
		if err != nil {
			return nil, err
		}
		for _, c := range changes {
			if _, ok := dates[c.Path]; !ok {
				dates[c.Path] = millis(r.At())
			}
		}
	}
	return dates, nil
}
