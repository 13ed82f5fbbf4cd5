package api

import (
	"context"
	"errors"
	"slices"
	"strings"

	"rollcall/internal/fact"
	rollcallv1 "rollcall/proto/rollcall/v1"
	"rollcall/server/compare"
	"rollcall/server/index"
	"rollcall/server/query"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// listedNames is how many machines of a group an answer names; it counts them all.
const listedNames = 250

// byIndex compares all machines of both groups as the index counts them. It returns
// index.ErrLoading where the store has to be read.
func (s *Service) byIndex(ctx context.Context, q *question, req *rollcallv1.CompareRequest, g compare.Groups, reply *rollcallv1.CompareReply) error {
	if s.Index == nil || req.GetAtMs() != 0 {
		return index.ErrLoading
	}
	return s.Index.Look(q.items.Scope(), func(v index.View) error {
		broken, err := s.bits(ctx, q, v, req.GetBroken(), req.GetBrokenNames())
		if err != nil {
			return err
		}
		working, err := s.bits(ctx, q, v, req.GetWorking(), req.GetWorkingNames())
		if err != nil {
			return err
		}
		reply.BrokenOf, reply.WorkingOf = uint32(broken.Count()), uint32(working.Count())
		reply.Broken, reply.Working = listed(v, broken), listed(v, working)
		both := broken.Clone()
		both.And(working)
		broken.AndNot(both)
		working.AndNot(both)
		fleet := v.Compared(broken, working, q.value)
		q.name = fleet.Name
		g.Fleet, g.Both = fleet, both.Count()
		return q.compare(ctx, g, reply)
	})
}

// listed names machines of a group, in the order of their names if these are all.
func listed(v index.View, group index.Bits) []string {
	var names []string
	for slot := range group.Slots() {
		if len(names) == listedNames {
			break
		}
		names = append(names, v.Name(slot))
	}
	slices.SortFunc(names, compareNames)
	return names
}

// value reads what a CI has at a path; one that is gone has nothing.
func (q *question) value(id, path string) (string, bool, error) {
	sub := q.subject(id)
	if sub == nil || sub.ci.State[fact.SectionOf(path)].IsZero() {
		return "", false, nil
	}
	return q.items.Value(sub.ci.State[fact.SectionOf(path)], path)
}

// bits gives the CIs of a filter and a list that have reported.
func (s *Service) bits(ctx context.Context, q *question, v index.View, filter string, names []string) (index.Bits, error) {
	b := v.Group()
	if strings.TrimSpace(filter) != "" || len(names) == 0 {
		expr, err := parsed(q.items, filter)
		if err != nil {
			return nil, err
		}
		if _, past := expr.(query.AsOf); past {
			return nil, index.ErrLoading // the index knows the present alone
		}
		var a index.Answer
		err = s.within(ctx, func(limited context.Context) (err error) {
			a, err = s.indexed(limited, v, q.items, expr, s.Now())
			return err
		})
		if err != nil {
			return nil, err
		}
		if len(a.Skipped) > 0 {
			return nil, index.ErrLoading // reading them says what is wrong
		}
		b.Or(a.Slots)
	}
	listed, err := named(q.items, names)
	for _, ci := range listed {
		v.Add(b, ci.ID)
	}
	v.Reported(b)
	return b, err
}

// compareErrors gives the errors of package compare their codes.
func compareErrors(err error, code codes.Code) error {
	if errors.Is(err, compare.ErrEmpty) || errors.Is(err, compare.ErrTooBig) {
		return status.Error(code, err.Error())
	}
	return err
}
