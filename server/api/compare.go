package api

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"rollcall/internal/fact"
	rollcallv1 "rollcall/proto/rollcall/v1"
	"rollcall/server/cmdb"
	"rollcall/server/compare"
	"rollcall/server/index"
	"rollcall/server/store"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

const (
	defaultRows = 20
	maxRows     = 200
)

// Compare ranks what sets two groups of CIs apart.
func (s *Service) Compare(ctx context.Context, req *rollcallv1.CompareRequest) (*rollcallv1.CompareReply, error) {
	reply := &rollcallv1.CompareReply{}
	err := s.view(ctx, func(_ store.Reader, items cmdb.View) error {
		q := question{items: items, subjects: map[string]*subject{}}
		g := compare.Groups{Contents: items.Content, History: q.history, Onset: when(req.GetOnsetMs()), MaxRows: defaultRows, Library: s.documents()}
		if n := int(req.GetLimit()); n > 0 {
			g.MaxRows = min(n, maxRows)
		}
		err := s.byIndex(ctx, &q, req, g, reply)
		if errors.Is(err, index.ErrLoading) {
			if err = s.byReading(ctx, &q, req, &g, reply); err == nil {
				err = q.compare(ctx, g, reply)
			}
		}
		return err
	})
	return reply, err
}

// documents gives what was read of configuration files before.
func (s *Service) documents() *compare.Library {
	s.libraryOnce.Do(func() { s.library = compare.NewLibrary() })
	return s.library
}

// compare answers.
func (q *question) compare(ctx context.Context, g compare.Groups, reply *rollcallv1.CompareReply) error {
	res, err := compare.Compare(ctx, g)
	if err != nil {
		return compareErrors(err, codes.InvalidArgument)
	}
	q.fill(reply, res)
	return nil
}

// byReading fills g with the machines of both groups and all their facts.
func (s *Service) byReading(ctx context.Context, q *question, req *rollcallv1.CompareRequest, g *compare.Groups, reply *rollcallv1.CompareReply) error {
	at := when(req.GetAtMs())
	broken, err := s.group(ctx, q.items, req.GetBroken(), req.GetBrokenNames(), at)
	if err != nil {
		return err
	}
	working, err := s.group(ctx, q.items, req.GetWorking(), req.GetWorkingNames(), at)
	if err != nil {
		return err
	}
	if g.Broken, reply.Broken, err = q.machines(broken); err != nil {
		return err
	}
	g.Working, reply.Working, err = q.machines(working)
	return err
}

// question holds the machines of one comparison.
type question struct {
	items    cmdb.View
	subjects map[string]*subject
	courses  map[string]course      // by CI
	name     func(id string) string // nil: subjects know
}

// machines loads every section of the CIs. Sets are shared between CIs, so a
// class of equal machines costs little more than one.
func (q *question) machines(found []*subject) (ms []compare.Machine, names []string, err error) {
	for _, sub := range found {
		if len(sub.ci.State) == 0 {
			continue // never reported: nothing to compare
		}
		m := compare.Machine{ID: sub.ci.ID, Name: sub.ci.Name, Site: sub.ci.Site, Sections: map[string]fact.Set{}}
		for section := range sub.ci.State {
			if m.Sections[section], err = q.items.Set(sub.ci.State, section); err != nil {
				return nil, nil, err
			}
		}
		q.subjects[sub.ci.ID] = sub
		ms, names = append(ms, m), append(names, sub.ci.Name)
	}
	return ms, names, nil
}

// subject gives a CI that was read, or reads it; nil if it is gone.
func (q *question) subject(id string) *subject {
	if sub := q.subjects[id]; sub != nil {
		return sub
	}
	ci, err := q.items.CI(id)
	if err != nil {
		return nil
	}
	sub := &subject{items: q.items, head: ci, ci: ci}
	q.subjects[id] = sub
	return sub
}

func (q *question) fill(reply *rollcallv1.CompareReply, res compare.Result) {
	reply.Differs, reply.Notes = res.Verdict == compare.Cause, append(reply.Notes, res.Notes...)
	reply.Verdict = "nothing that we collect differs between the groups better than chance would"
	if reply.GetDiffers() && len(res.Rows) > 0 {
		reply.Verdict = "most likely: " + res.Rows[0].What
	}
	for _, row := range res.Rows {
		reply.Rows = append(reply.Rows, q.row(row))
	}
}

func (q *question) row(row compare.Row) *rollcallv1.CompareRow {
	out := &rollcallv1.CompareRow{
		What: row.What, Kind: string(row.Kind), Ids: row.IDs, Score: row.Score, P: row.Q, Strength: string(row.Strength), Why: row.Why,
		BrokenHave: uint32(row.Broken.Have), BrokenAll: uint32(row.Broken.Of), WorkingHave: uint32(row.Working.Have), WorkingAll: uint32(row.Working.Of),
		FirstSeenMs: millis(row.Since), MoreFacts: uint32(row.More),
	}
	for _, d := range row.Facts {
		out.Facts = append(out.Facts, d.Text)
	}
	for _, id := range slices.Concat(row.Without, row.Despite) {
		if name := q.nameOf(id); name != "" {
			out.CounterExamples = append(out.CounterExamples, name)
		}
	}
	return out
}

// nameOf names a CI; "" if it is gone.
func (q *question) nameOf(id string) string {
	if q.name != nil {
		return q.name(id)
	}
	if sub := q.subject(id); sub != nil {
		return sub.ci.Name
	}
	return ""
}

// group returns the CIs of a filter and of a list of names or ids, each once.
// Names that nobody has are an error, all of them at once.
func (s *Service) group(ctx context.Context, items cmdb.View, filter string, names []string, at time.Time) ([]*subject, error) {
	var found []*subject
	if strings.TrimSpace(filter) != "" || len(names) == 0 {
		var err error
		if found, err = s.selectCIs(ctx, items, filter, at); err != nil {
			return nil, err
		}
	}
	listed, err := named(items, names)
	if err != nil {
		return nil, err
	}
	seen := map[string]bool{}
	for _, u := range found {
		seen[u.ci.ID] = true
	}
	for _, ci := range listed {
		if seen[ci.ID] {
			continue
		}
		seen[ci.ID] = true
		u, err := s.asOf(items, ci, at)
		if errors.Is(err, cmdb.ErrNotFound) {
			continue // it did not exist then
		}
		if err != nil {
			return nil, err
		}
		found = append(found, u)
	}
	return found, nil
}

// named gives the CIs of a list of names or ids. Names that nobody has are an
// error, all of them at once.
func named(items cmdb.View, names []string) (found []cmdb.CI, err error) {
	if len(names) > compare.MaxMachines {
		return nil, status.Errorf(codes.InvalidArgument, "a list of %d machines, at most %d", len(names), compare.MaxMachines)
	}
	var unknown []string
	for _, name := range names {
		ci, err := items.CI(name)
		if errors.Is(err, cmdb.ErrNotFound) {
			unknown = append(unknown, name)
			continue
		}
		if err != nil {
			return nil, err
		}
		found = append(found, ci)
	}
	if len(unknown) > 0 {
		err = status.Errorf(codes.NotFound, "no CI has the name or id %s", fact.Escape(strings.Join(unknown[:min(len(unknown), 20)], ", ")))
	}
	return found, err
}
