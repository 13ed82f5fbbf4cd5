package api

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"rollcall/internal/fact"
	rollcallv1 "rollcall/proto/rollcall/v1"
	"rollcall/server/cmdb"
	"rollcall/server/store"
)

const (
	defaultChanges = 100
	maxChanges     = 5000
	maxFactsShown  = 200
)

// History gives the revisions of one CI, newest first.
func (s *Service) History(ctx context.Context, req *rollcallv1.HistoryRequest) (*rollcallv1.ChangesReply, error) {
	reply := &rollcallv1.ChangesReply{}
	err := s.view(ctx, func(_ store.Reader, items cmdb.View) error {
		ci, err := items.CI(req.GetCi())
		if err != nil {
			return err
		}
		span := span{since: when(req.GetSinceMs()), until: when(req.GetUntilMs()), path: factPath(req.GetPath()), limit: limitOf(req.GetLimit())}
		glance := items.Glance()
		if err := span.look(items, glance, ci); err != nil {
			return err
		}
		return span.tell(items, glance, reply)
	})
	return reply, err
}

// Changes gives the revisions of all selected CIs, newest first.
func (s *Service) Changes(ctx context.Context, req *rollcallv1.ChangesRequest) (*rollcallv1.ChangesReply, error) {
	reply := &rollcallv1.ChangesReply{}
	span := span{since: when(req.GetSinceMs()), until: when(req.GetUntilMs()), path: factPath(req.GetPath()), limit: limitOf(req.GetLimit())}
	err := s.view(ctx, func(_ store.Reader, items cmdb.View) error {
		found, err := s.selectCIs(ctx, items, req.GetFilter(), time.Time{})
		if err != nil {
			return err
		}
		slices.SortStableFunc(found, func(a, b *subject) int { return b.head.Changed.Compare(a.head.Changed) })
		glance := items.Glance()
		for _, sub := range found {
			if err := ctx.Err(); err != nil {
				return err
			}
			if !span.since.IsZero() && sub.head.Changed.Before(span.since) {
				break
			}
			if err := span.look(items, glance, sub.head); err != nil {
				return err
			}
		}
		return span.tell(items, glance, reply)
	})
	return reply, err
}

// span says which revisions are asked for, and gathers where they are: only those
// that are in the answer are read whole.
type span struct {
	since, until time.Time
	path         string
	limit        int

	hits []hit
	more bool
}

// hit is a revision that is asked for.
type hit struct {
	ci string
	n  uint64
	at time.Time
}

// newest keeps the newest revisions that were asked for. What is older than all
// of them need not be looked at any more.
func (p *span) newest() {
	slices.SortStableFunc(p.hits, func(a, b hit) int { return b.at.Compare(a.at) })
	if len(p.hits) <= p.limit {
		return
	}
	p.hits, p.more = p.hits[:p.limit], true
	if oldest := p.hits[p.limit-1].at; oldest.After(p.since) {
		p.since = oldest
	}
}

// look gathers from the history of one CI.
func (p *span) look(items cmdb.View, glance *cmdb.Glance, ci cmdb.CI) error {
	if !p.until.IsZero() && p.until.Before(ci.Changed) {
		last, err := items.AsOf(ci, p.until)
		if errors.Is(err, cmdb.ErrNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		ci.Rev = last.N
	}
	steps := items.Steps(ci)
	if p.path != "" {
		steps = glance.Trail(ci, p.path, p.since)
	}
	taken := 0
	for step, err := range steps {
		if err != nil {
			return err
		}
		if step.At.Before(p.since) {
			return nil
		}
		if taken++; taken > p.limit {
			p.more = true
			break
		}
		p.hits = append(p.hits, hit{ci.ID, step.N, step.At})
	}
	if len(p.hits) >= 2*p.limit {
		p.newest()
	}
	return nil
}

// tell makes the answer.
func (p *span) tell(items cmdb.View, glance *cmdb.Glance, reply *rollcallv1.ChangesReply) error {
	p.newest()
	reply.More = p.more
	for _, h := range p.hits {
		r, err := items.Revision(h.ci, h.n)
		if err != nil {
			return err
		}
		changes, err := glance.Changes(r, p.path)
		if err != nil {
			return err
		}
		reply.Revisions = append(reply.Revisions, info(r, changes, p.path))
	}
	return nil
}

func limitOf(n uint32) int {
	if n == 0 {
		return defaultChanges
	}
	return min(int(n), maxChanges)
}

// factPath turns "/etc/cups" into the path of its facts.
func factPath(path string) string {
	if rest, ok := strings.CutPrefix(path, "/etc"); ok && (rest == "" || rest[0] == '/') {
		return "etc" + fact.Escape(rest)
	}
	return path
}

func info(r cmdb.Revision, changes []cmdb.FactChange, below string) *rollcallv1.RevisionInfo {
	out := &rollcallv1.RevisionInfo{
		Ci: r.CI, Name: r.Name, Site: r.Site, Revision: r.N, RecordedMs: r.At().UnixMilli(), ClaimedMs: r.Claimed,
		By: r.By, Report: r.Report, Reason: r.Reason, Summary: cmdb.Summary(r, changes, below), First: r.N == 1 || len(r.Prev) == 0 && len(r.State) > 0,
	}
	for i, c := range changes {
		if i == maxFactsShown {
			out.MoreFacts = uint32(len(changes) - i)
			break
		}
		out.Facts = append(out.Facts, &rollcallv1.FactChange{Path: c.Path, Old: c.Old, New: c.New})
	}
	for _, name := range slices.Sorted(maps.Keys(r.Fields)) {
		out.Fields = append(out.Fields, &rollcallv1.FactChange{Path: name, Old: r.Fields[name].Old, New: r.Fields[name].New})
	}
	for _, e := range r.Events {
		out.Events = append(out.Events, &rollcallv1.Event{TimeMs: e.At, Kind: e.Kind, Text: e.Text})
	}
	return out
}

// FileLog gives the revisions that changed one file, newest first.
func (s *Service) FileLog(ctx context.Context, req *rollcallv1.FileLogRequest) (*rollcallv1.FileLogReply, error) {
	reply := &rollcallv1.FileLogReply{}
	err := s.view(ctx, func(_ store.Reader, items cmdb.View) error {
		ci, err := items.CI(req.GetCi())
		if err != nil {
			return err
		}
		path, err := filePath(req.GetPath())
		if err != nil {
			return err
		}
		glance := items.Glance()
		for step, err := range glance.Trail(ci, path, time.Time{}) {
			if err != nil {
				return err
			}
			if len(reply.Entries) == limitOf(req.GetLimit()) {
				break
			}
			r, err := items.Revision(ci.ID, step.N)
			if err != nil {
				return err
			}
			changes, err := glance.Changes(r, path)
			if err != nil {
				return err
			}
			for _, c := range changes {
				if c.Path == path && len(reply.Entries) < limitOf(req.GetLimit()) {
					reply.Entries = append(reply.Entries, &rollcallv1.FileLogReply_Entry{
						Revision: r.N, RecordedMs: r.At().UnixMilli(), By: r.By, Reason: r.Reason, Value: c.New, Summary: cmdb.Summary(r, changes, path),
					})
				}
			}
		}
		if len(reply.Entries) == 0 {
			return fmt.Errorf("file %q of %s: %w: it was never reported", req.GetPath(), ci.Name, cmdb.ErrNoFile)
		}
		return nil
	})
	return reply, err
}

// filePath turns "/etc/cups/cupsd.conf" into the path of its fact. A path that
// is given in escaped form stays as it is.
func filePath(path string) (string, error) {
	p := strings.TrimPrefix(path, "/")
	if !strings.HasPrefix(p, "etc/") {
		return "", fmt.Errorf("file %.80q: %w: only files below /etc are kept", path, cmdb.ErrInvalid)
	}
	if _, err := fact.Unescape(p); err == nil && strings.Contains(p, "%") {
		return p, nil
	}
	return fact.Escape(p), nil
}
