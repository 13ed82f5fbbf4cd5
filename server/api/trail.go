package api

import (
	"context"
	"errors"
	"strings"
	"time"

	rollcallv1 "rollcall/proto/rollcall/v1"
	"rollcall/server/cmdb"
	"rollcall/server/evidence"
	"rollcall/server/store"
)

// Bounds of one question about the log. Most leaves are reports: a question reads
// so many leaves at most and tells where to go on.
const (
	defaultActions = 100
	maxActions     = 2000
	maxLeavesRead  = 200_000
	clockSlack     = 24 * time.Hour
)

// Actions gives what people did, newest first: every leaf that is no signed report.
// An auditor of some sites sees what was done about the CIs that stand there now.
func (s *Service) Actions(ctx context.Context, req *rollcallv1.ActionsRequest) (*rollcallv1.ActionsReply, error) {
	reply := &rollcallv1.ActionsReply{}
	limit := min(int(req.GetLimit()), maxActions)
	if limit == 0 {
		limit = defaultActions
	}
	err := s.view(ctx, func(r store.Reader, items cmdb.View) error {
		q := trail{items: items, log: evidence.At(r, s.Tenant), names: map[string]string{}, since: when(req.GetSinceMs()), until: when(req.GetUntilMs()), by: req.GetBy(), kind: req.GetKind()}
		if req.GetCi() != "" {
			ci, err := items.CI(req.GetCi())
			if err != nil {
				return err
			}
			q.ci = ci.ID
		}
		n, err := q.log.Size()
		if err != nil {
			return err
		}
		if b := req.GetBefore(); b > 0 && b < n {
			n = b
		}
		for read := 0; n > 0; read++ {
			if len(reply.Actions) == limit || read == maxLeavesRead {
				reply.Next = n
				return nil
			}
			if err := ctx.Err(); err != nil {
				return err
			}
			n--
			a, older, err := q.action(n)
			if err != nil {
				return err
			}
			if older {
				return nil
			}
			if a != nil {
				reply.Actions = append(reply.Actions, a)
			}
		}
		return nil
	})
	return reply, err
}

// trail is one question about the log.
type trail struct {
	items        cmdb.View
	log          evidence.View
	names        map[string]string // of CIs that were looked up; "" for one that is not seen
	since, until time.Time
	by, kind, ci string
}

// action reads one leaf; nil if it is not what was asked for. older tells that it,
// and with it all before, lie before the time asked about.
func (q *trail) action(index uint64) (a *rollcallv1.Action, older bool, err error) {
	b, err := q.log.Leaf(index)
	if err != nil {
		return nil, false, err
	}
	leaf, err := evidence.ParseLeaf(b)
	if err != nil {
		return nil, false, err
	}
	at := time.UnixMilli(leaf.At)
	switch {
	case !q.since.IsZero() && at.Before(q.since):
		return nil, at.Before(q.since.Add(-clockSlack)), nil // a clock that was set back must not hide what was before
	case leaf.Kind.Signed(), !q.until.IsZero() && at.After(q.until), q.kind != "" && string(leaf.Kind) != q.kind, q.ci != "" && leaf.CI != q.ci:
		return nil, false, nil
	}
	name, seen, err := q.nameOf(leaf.CI)
	if err != nil || !seen {
		return nil, false, err
	}
	out := &rollcallv1.Action{Index: index, TimeMs: leaf.At, Kind: string(leaf.Kind), Ci: leaf.CI, CiName: name}
	x, err := q.log.Explain(index)
	if errors.Is(err, evidence.ErrErased) {
		out.Erased = true
		if q.by != "" {
			return nil, false, nil
		}
		return out, false, nil
	}
	if err != nil {
		return nil, false, err
	}
	e, err := evidence.ParseEntry(x.Content)
	if err != nil {
		return nil, false, err
	}
	out.By, out.Key, out.Detail = e.By, e.Key, e.Detail
	for _, c := range e.Changes {
		out.Changes = append(out.Changes, &rollcallv1.RecordChange{Record: c.Record, Before: c.Before, After: c.After})
	}
	if q.by != "" && strings.TrimPrefix(e.By, "operator ") != q.by && strings.TrimPrefix(e.Detail["second"], "operator ") != q.by {
		return nil, false, nil
	}
	return out, false, nil
}

// nameOf gives the name of a CI; seen is false for one outside of the scope, and,
// where the scope is not everywhere, for a leaf that is about no CI.
func (q *trail) nameOf(ci string) (name string, seen bool, err error) {
	if ci == "" {
		return "", q.items.Scope().All(), nil
	}
	if name, known := q.names[ci]; known {
		return name, name != "" || q.items.Scope().All(), nil
	}
	head, err := q.items.CI(ci)
	if errors.Is(err, cmdb.ErrNotFound) {
		q.names[ci] = ""
		return "", q.items.Scope().All(), nil
	}
	q.names[ci] = head.Name
	return head.Name, true, err
}
