package api

import (
	"context"
	"fmt"
	"strings"

	"rollcall/internal/fact"
	rollcallv1 "rollcall/proto/rollcall/v1"
	"rollcall/server/cmdb"
	"rollcall/server/evidence"
	"rollcall/server/query"
	"rollcall/server/store"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Filters gives the saved filters that concern the caller's sites.
func (s *Service) Filters(ctx context.Context, _ *rollcallv1.FiltersRequest) (*rollcallv1.FiltersReply, error) {
	reply := &rollcallv1.FiltersReply{}
	err := s.view(ctx, func(_ store.Reader, items cmdb.View) error {
		all, err := items.Filters()
		for _, f := range all {
			reply.Filters = append(reply.Filters, filterInfo(f))
		}
		return err
	})
	return reply, err
}

func filterInfo(f cmdb.Filter) *rollcallv1.SavedFilter {
	return &rollcallv1.SavedFilter{Name: f.Name, Site: f.Site, Text: f.Text, Params: f.Params, About: f.About, By: f.By, AtMs: millis(f.At)}
}

// SaveFilter stores a filter that is one.
func (s *Service) SaveFilter(ctx context.Context, req *rollcallv1.SaveFilterRequest) (*rollcallv1.SaveFilterReply, error) {
	f := cmdb.Filter{
		Name: req.GetFilter().GetName(), Site: req.GetFilter().GetSite(), Text: strings.TrimSpace(req.GetFilter().GetText()),
		About: req.GetFilter().GetAbout(), By: callerOf(ctx).operator.Name, At: s.Now().UTC(),
	}
	if err := query.CheckName(f.Name); err != nil {
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}
	err := s.view(ctx, func(_ store.Reader, items cmdb.View) (err error) {
		f.Params, err = query.Template(f.Text, namesBut{items, f.Name})
		return err
	})
	if err != nil {
		return nil, err
	}
	err = s.act(ctx, func(tx store.Tx) (evidence.Entry, error) {
		e := evidence.Entry{Kind: evidence.Policy, Detail: map[string]string{"do": "save filter", "name": f.Name, "site": f.Site, "filter": f.Text}}
		return e, s.items(ctx, tx).SaveFilter(f)
	})
	return &rollcallv1.SaveFilterReply{Filter: filterInfo(f)}, err
}

// namesBut are the names that a filter may use that is to be saved: its own leads
// to itself.
type namesBut struct {
	cmdb.View
	own string
}

// Filter returns the text of a saved filter.
func (n namesBut) Filter(name string) (string, bool, error) {
	if name == n.own {
		return "", false, nil
	}
	return n.View.Filter(name)
}

// RemoveFilter removes a saved filter.
func (s *Service) RemoveFilter(ctx context.Context, req *rollcallv1.RemoveFilterRequest) (*rollcallv1.RemoveFilterReply, error) {
	if err := query.CheckName(req.GetName()); err != nil {
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}
	err := s.act(ctx, func(tx store.Tx) (evidence.Entry, error) {
		f, err := s.items(ctx, tx).RemoveFilter(req.GetName())
		return evidence.Entry{Kind: evidence.Policy, Detail: map[string]string{"do": "remove filter", "name": f.Name, "site": f.Site}}, err
	})
	return &rollcallv1.RemoveFilterReply{}, err
}

// Baselines gives the baselines that concern the caller's sites.
// The facts are those of one alone.
func (s *Service) Baselines(ctx context.Context, req *rollcallv1.BaselinesRequest) (*rollcallv1.BaselinesReply, error) {
	reply := &rollcallv1.BaselinesReply{}
	if req.GetName() != "" {
		if err := query.CheckName(req.GetName()); err != nil {
			return nil, status.Error(codes.InvalidArgument, err.Error())
		}
	}
	err := s.view(ctx, func(_ store.Reader, items cmdb.View) error {
		if req.GetName() != "" {
			b, facts, err := baselineNamed(items, req.GetName())
			reply.Baselines, reply.Facts = []*rollcallv1.Baseline{baselineInfo(b)}, facts.Encode()
			return err
		}
		all, err := items.Baselines()
		for _, b := range all {
			reply.Baselines = append(reply.Baselines, baselineInfo(b))
		}
		return err
	})
	return reply, err
}

func baselineNamed(items cmdb.View, name string) (b cmdb.Baseline, facts fact.Set, err error) {
	if b, err = items.BaselineNamed(name); err == nil {
		facts, _, err = items.Baseline(name)
	}
	return b, facts, err
}

func baselineInfo(b cmdb.Baseline) *rollcallv1.Baseline {
	return &rollcallv1.Baseline{
		Name: b.Name, Site: b.Site, Filter: b.Filter, AsOfMs: millis(b.AsOf), Machines: uint32(b.Of), Share: uint32(b.Share),
		Paths: b.Paths, Facts: uint32(b.Facts), Reason: b.Reason, By: b.By, AtMs: millis(b.At),
	}
}

// SetBaseline makes a baseline out of what the machines of a filter have in
// common.
func (s *Service) SetBaseline(ctx context.Context, req *rollcallv1.SetBaselineRequest) (*rollcallv1.SetBaselineReply, error) {
	b := cmdb.Baseline{
		Name: req.GetName(), Site: req.GetSite(), Filter: strings.TrimSpace(req.GetFilter()), AsOf: when(req.GetAtMs()), Share: int(req.GetShare()),
		Reason: strings.TrimSpace(req.GetReason()), By: callerOf(ctx).operator.Name, At: s.Now().UTC(),
	}
	if b.Share == 0 {
		b.Share = 100
	}
	if err := checkBaseline(b); err != nil {
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}
	var err error
	if b.Paths, err = checkPaths(req.GetPaths()); err != nil {
		return nil, err
	}
	reply := &rollcallv1.SetBaselineReply{}
	var c tally
	err = s.view(ctx, func(_ store.Reader, items cmdb.View) error {
		found, notes, err := s.some(ctx, items, b.Filter, b.AsOf)
		if err != nil {
			return err
		}
		reply.Notes = notes
		c, err = tallyOf(ctx, found, b.Paths)
		return err
	})
	if err != nil {
		return nil, err
	}
	b.Of = c.machines
	facts := c.shared(b.Share)
	err = s.act(ctx, func(tx store.Tx) (evidence.Entry, error) {
		e := evidence.Entry{Kind: evidence.Policy, Detail: map[string]string{
			"do": "set baseline", "name": b.Name, "site": b.Site, "filter": b.Filter, "facts": facts.Digest().String(), "reason": b.Reason,
		}}
		var err error
		b, err = s.items(ctx, tx).SetBaseline(b, facts)
		return e, err
	})
	reply.Baseline = baselineInfo(b)
	return reply, err
}

func checkBaseline(b cmdb.Baseline) error {
	if err := query.CheckName(b.Name); err != nil {
		return err
	}
	switch {
	case b.Filter == "":
		return fmt.Errorf("baseline %s: say from which machines it is made: a filter such as site = elm/north and class = workstation", b.Name)
	case b.Share < 1 || b.Share > 100:
		return fmt.Errorf("baseline %s: a share of %d in 100 machines: want 1 to 100", b.Name, b.Share)
	case b.Reason == "":
		return fmt.Errorf("baseline %s: say why: the reason stays in the log", b.Name)
	}
	return nil
}

// RemoveBaseline removes a baseline.
func (s *Service) RemoveBaseline(ctx context.Context, req *rollcallv1.RemoveBaselineRequest) (*rollcallv1.RemoveBaselineReply, error) {
	if err := query.CheckName(req.GetName()); err != nil {
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}
	err := s.act(ctx, func(tx store.Tx) (evidence.Entry, error) {
		b, err := s.items(ctx, tx).RemoveBaseline(req.GetName())
		return evidence.Entry{Kind: evidence.Policy, Detail: map[string]string{"do": "remove baseline", "name": b.Name, "site": b.Site}}, err
	})
	return &rollcallv1.RemoveBaselineReply{}, err
}
