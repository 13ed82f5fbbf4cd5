package api

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"rollcall/internal/fact"
	rollcallv1 "rollcall/proto/rollcall/v1"
	"rollcall/server/auth"
	"rollcall/server/cmdb"
	"rollcall/server/enrol"
	"rollcall/server/evidence"
	"rollcall/server/report"
	"rollcall/server/store"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

const (
	// maxReport is how long one report may be made. What is made is held in memory,
	// so there are only a few at once.
	maxReport  = time.Minute
	maxReports = 4
)

// rolesOf gives who may run a report: whoever may call the method whose answer it
// is another form of.
func rolesOf(d report.Definition) []auth.Role {
	return gates[cmp.Or(reportIs[d.Name], rollcallv1.Reports_RunReport_FullMethodName)].roles
}

// ListReports gives the reports that the caller may run.
func (s *Service) ListReports(ctx context.Context, req *rollcallv1.ListReportsRequest) (*rollcallv1.ListReportsReply, error) {
	o := callerOf(ctx).operator
	return report.List(req.GetLang(), func(d report.Definition) bool { return len(o.Sites(rolesOf(d)...)) > 0 }), nil
}

// RunReport answers a report.
func (s *Service) RunReport(req *rollcallv1.RunReportRequest, st grpc.ServerStreamingServer[rollcallv1.RunReportReply]) error {
	if s.reports.Add(1) > maxReports {
		s.reports.Add(-1)
		return busy{"the server is making other reports", 5 * time.Second}
	}
	answer, err := s.report(st.Context(), req)
	s.reports.Add(-1)
	if err != nil {
		return err
	}
	return answer.Send(st.Send)
}

// report makes a report out of one snapshot, which is let go before anything is
// sent: a slow reader must not hold it.
func (s *Service) report(ctx context.Context, req *rollcallv1.RunReportRequest) (answer *report.Answer, err error) {
	d, err := report.Named(req.GetName())
	if err != nil {
		return nil, err
	}
	if err := s.view(ctx, func(_ store.Reader, items cmdb.View) error {
		_, err := parsed(items, req.GetFilter()) // alone: a bracket in it must not change what the report is about
		return err
	}); err != nil {
		return nil, err
	}
	o := callerOf(ctx).operator
	if len(o.Sites(rolesOf(d)...)) == 0 {
		return nil, o.Denied(rolesOf(d)...)
	}
	scope := scopeOf(o, rolesOf(d)...)
	err = s.made(ctx, "report "+d.Name, scope, maxReport, func(ctx context.Context, src report.Source) (err error) {
		answer, err = report.Run(ctx, src, req)
		return err
	})
	return answer, err
}

// Values tells what there is to choose from among the CIs that are left.
func (s *Service) Values(ctx context.Context, req *rollcallv1.ValuesRequest) (reply *rollcallv1.ValuesReply, err error) {
	err = s.made(ctx, "the question", callerOf(ctx).scope, cmp.Or(s.QueryTime, maxQuery), func(ctx context.Context, src report.Source) (err error) {
		reply, err = report.Values(ctx, src, req)
		return err
	})
	return reply, err
}

// made gives what reports are made from: one snapshot within a scope, for a time.
func (s *Service) made(ctx context.Context, what string, scope cmdb.Scope, within time.Duration, fn func(context.Context, report.Source) error) error {
	limited, stop := context.WithTimeout(ctx, within)
	defer stop()
	err := s.Engine.View(limited, func(r store.Reader) error {
		items := cmdb.At(r, s.Tenant, s.Sets, scope)
		glance := items.Glance()
		all := &subject{} // takes the errors of all others, which a report need not keep
		src := report.Source{
			Select: func(ctx context.Context, filter string, at time.Time) ([]report.Machine, error) {
				found, err := s.selectCIs(ctx, items, filter, at)
				out := make([]report.Machine, len(found))
				for i, sub := range found {
					sub.from = all
					all.err = cmp.Or(all.err, sub.err)
					out[i] = reported{sub, glance}
				}
				return out, err
			},
			Census: func(ctx context.Context, filter string, at time.Time) ([]report.Machine, error) {
				return s.census(ctx, items, filter, at)
			},
			Items: items,
			Keys: func() ([]enrol.Key, error) {
				keys, err := enrol.At(r, s.Tenant).Waiting()
				if err != nil {
					return nil, err
				}
				return keysIn(items, keys)
			},
			Log: evidence.At(r, s.Tenant), Now: s.Now(),
		}
		if err := fn(limited, src); err != nil {
			return err
		}
		return all.err
	})
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		return status.Errorf(codes.ResourceExhausted, "%s took longer than %s: ask about fewer CIs with a filter, such as one site", what, within)
	}
	return err
}

// reported is a CI of which a report reads a few facts.
type reported struct {
	*subject
	glance *cmdb.Glance
}

// FactsUnder implements report.Machine.
func (m reported) FactsUnder(prefix string) (fact.Set, error) {
	return m.glance.Facts(m.ci.State[fact.SectionOf(prefix)], prefix)
}

// classed is a CI of the past of which little more is known than what class it was of.
type classed struct {
	ci    cmdb.CI
	class fact.Set // below id/class
}

func classedOf(then cmdb.Then, glance *cmdb.Glance) (*classed, error) {
	class, err := glance.Facts(then.Set("id"), "id/class")
	return &classed{cmdb.CI{ID: then.ID, Name: then.Name, Class: then.Class, Site: then.Site, Status: then.Status}, class}, err
}

// Field implements report.Machine.
func (c classed) Field(name string) (values []string, known bool) {
	v := map[string]string{"name": c.ci.Name, "class": c.ci.Class, "site": c.ci.Site, "status": string(c.ci.Status), "ci": c.ci.ID}[name]
	if v == "" {
		return nil, true
	}
	return []string{v}, true
}

// FactsUnder implements report.Machine.
func (c classed) FactsUnder(prefix string) (fact.Set, error) { return c.class.Below(prefix), nil }

// Heads implements report.Machine.
func (c classed) Heads() (now, then cmdb.CI) { return c.ci, c.ci }

// census selects CIs as of a time, of which nothing is read that no report counts.
func (s *Service) census(ctx context.Context, items cmdb.View, filter string, at time.Time) ([]report.Machine, error) {
	expr, err := parsed(items, filter)
	if err != nil {
		return nil, err
	}
	sel := &selection{s: s, items: items, expr: expr, at: at, now: at, skipped: map[string]error{}, counts: true}
	if err := s.within(ctx, sel.byReading); err != nil {
		return nil, err
	}
	for _, id := range slices.Sorted(maps.Keys(sel.skipped)) {
		return nil, sel.skipped[id]
	}
	out := make([]report.Machine, len(sel.found))
	for i, c := range sel.found {
		out[i] = c.classed
	}
	return out, nil
}

// Heads returns the CI as it is now and as it was.
func (u *subject) Heads() (now, then cmdb.CI) { return u.head, u.ci }
