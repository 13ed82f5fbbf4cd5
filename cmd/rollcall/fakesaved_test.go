package main

import (
	"context"
	"time"

	"rollcall/internal/fact"
	rollcallv1 "rollcall/proto/rollcall/v1"
)

// saved answers what people gave names to.
type saved struct {
	rollcallv1.UnimplementedSavedServer
}

func savedFilter() *rollcallv1.SavedFilter {
	return &rollcallv1.SavedFilter{Name: "old-cups", Site: "elm", Text: "pkg(cups) < $version", Params: []string{"version"}, About: "printing breaks below", By: "kari", AtMs: ms(-50 * time.Hour)}
}

func savedBaseline() *rollcallv1.Baseline {
	return &rollcallv1.Baseline{
		Name: "client", Site: "elm", Filter: "site = elm/room14", AsOfMs: ms(-90 * time.Hour), Machines: 12, Share: 95, Paths: []string{"pkg"}, Facts: 1, Reason: "RFC 7", By: "kari",
		AtMs: ms(-50 * time.Hour),
	}
}

func (saved) Filters(context.Context, *rollcallv1.FiltersRequest) (*rollcallv1.FiltersReply, error) {
	return &rollcallv1.FiltersReply{Filters: []*rollcallv1.SavedFilter{savedFilter()}}, nil
}

func (saved) SaveFilter(context.Context, *rollcallv1.SaveFilterRequest) (*rollcallv1.SaveFilterReply, error) {
	return &rollcallv1.SaveFilterReply{Filter: savedFilter()}, nil
}

func (saved) Baselines(_ context.Context, req *rollcallv1.BaselinesRequest) (*rollcallv1.BaselinesReply, error) {
	reply := &rollcallv1.BaselinesReply{Baselines: []*rollcallv1.Baseline{savedBaseline()}}
	if req.GetName() != "" {
		reply.Facts = fact.Set{{Path: "pkg/cups/version", Value: "2.4.2-3+deb12u8"}}.Encode()
	}
	return reply, nil
}

func (saved) SetBaseline(context.Context, *rollcallv1.SetBaselineRequest) (*rollcallv1.SetBaselineReply, error) {
	return &rollcallv1.SetBaselineReply{Baseline: savedBaseline(), Notes: []string{"2000 of 9000 machines were looked at"}}, nil
}

func (saved) Deviations(context.Context, *rollcallv1.DeviationsRequest) (*rollcallv1.DeviationsReply, error) {
	return &rollcallv1.DeviationsReply{
		Baseline: savedBaseline(), Machines: 12, Differing: 3, RowsTotal: 2, Notes: []string{"a note"},
		Rows: []*rollcallv1.Deviation{{
			Path: "pkg/cups/version", Want: "2.4.2-3+deb12u8", Machines: 3, Names: []string{"room12-pc07", "room12-pc08"},
			Values: []*rollcallv1.DeviationValue{{Value: "2.4.2-3+deb12u7", Machines: 2}, {Missing: true, Machines: 1}},
		}},
	}, nil
}
