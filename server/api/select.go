package api

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"runtime"
	"slices"
	"strings"
	"time"

	rollcallv1 "rollcall/proto/rollcall/v1"
	"rollcall/server/cmdb"
	"rollcall/server/index"
	"rollcall/server/query"
	"rollcall/server/store"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// maxQuery is how long the filter of one question may take.
const maxQuery = 10 * time.Second

// selection is what a filter selects: ids and names in the order of the names. CIs
// are read when they are asked for.
type selection struct {
	s       *Service
	items   cmdb.View
	at, now time.Time
	expr    query.Expr // nil: every CI
	found   []chosen
	skipped map[string]error // CIs that could not be read, by id
	steps   []index.Step     // empty: every CI was read
	counts  bool             // what was selected of the past is to be counted by class
	hints   []string         // why nothing may have been found
}

// chosen is a CI that was selected.
type chosen struct {
	id, name string
	lower    string    // the name, by which lists are ordered
	changed  time.Time // as the index knows it; zero: it was read
	classed  *classed  // where that is all that is asked
}

// selectCIs returns the CIs that a filter selects, by name. One that cannot be
// read is an error.
func (s *Service) selectCIs(ctx context.Context, items cmdb.View, filter string, at time.Time) ([]*subject, error) {
	sel, err := s.find(ctx, items, filter, at)
	if err != nil {
		return nil, err
	}
	for _, id := range slices.Sorted(maps.Keys(sel.skipped)) {
		return nil, sel.skipped[id]
	}
	return sel.subjects()
}

// find selects CIs by a filter.
func (s *Service) find(ctx context.Context, items cmdb.View, filter string, at time.Time) (*selection, error) {
	expr, err := parsed(items, filter)
	if err != nil {
		return nil, err
	}
	return s.findBy(ctx, items, expr, at)
}

// findBy selects CIs by the index or, for the past and while there is no index, by
// reading every one.
// One filter may take maxQuery in all: whoever asks must not keep the server from
// others.
func (s *Service) findBy(ctx context.Context, items cmdb.View, expr query.Expr, at time.Time) (*selection, error) {
	sel := &selection{s: s, items: items, expr: expr, at: at, now: s.Now(), skipped: map[string]error{}}
	if !at.IsZero() {
		sel.now = at
	}
	if e, ok := sel.expr.(query.AsOf); ok { // all of it: the answer is as of then, too
		sel.expr, sel.at = e.Part, e.Time(sel.now)
		sel.now = sel.at
	}
	err := s.within(ctx, func(limited context.Context) error {
		err := index.ErrLoading
		if s.Index != nil && sel.at.IsZero() {
			err = sel.byIndex(limited)
		}
		if errors.Is(err, index.ErrLoading) {
			err = sel.byReading(limited)
		}
		return err
	})
	for i := range sel.found { // once, not for each comparison
		sel.found[i].lower = strings.ToLower(sel.found[i].name)
	}
	slices.SortFunc(sel.found, func(a, b chosen) int { return cmp.Or(strings.Compare(a.lower, b.lower), strings.Compare(a.id, b.id)) })
	return sel, err
}

// within answers a filter in the time that one may take.
func (s *Service) within(ctx context.Context, answer func(context.Context) error) error {
	most := cmp.Or(s.QueryTime, maxQuery)
	limited, stop := context.WithTimeout(ctx, most)
	defer stop()
	err := answer(limited)
	if ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded) {
		err = status.Errorf(codes.ResourceExhausted, "the filter took longer than %s: ask for less, such as one site or class", most)
	}
	return err
}

// parsed reads a filter; nil is every CI.
func parsed(items cmdb.View, filter string) (query.Expr, error) {
	if strings.TrimSpace(filter) == "" {
		return nil, nil
	}
	return query.Parse(filter, items)
}

// indexed answers a filter from the index. Skipped are also CIs without a readable
// head, of which nobody knows whether they would fit.
func (s *Service) indexed(ctx context.Context, v index.View, items cmdb.View, expr query.Expr, now time.Time) (index.Answer, error) {
	a, err := v.Select(ctx, index.Question{Expr: expr, Now: now, Read: func(id string) (query.Subject, error) {
		ci, err := items.CI(id)
		if err != nil {
			return nil, err
		}
		return s.asOf(items, ci, time.Time{})
	}})
	if err != nil {
		return a, err
	}
	for id, err := range v.Damaged() {
		if expr == nil || !v.Add(v.Group(), id) {
			a.Skipped[id] = err
		}
	}
	return a, nil
}

func (sel *selection) byIndex(ctx context.Context) error {
	return sel.s.Index.Look(sel.items.Scope(), func(v index.View) error {
		a, err := sel.s.indexed(ctx, v, sel.items, sel.expr, sel.now)
		if err != nil {
			return err
		}
		sel.skipped, sel.steps = a.Skipped, a.Steps
		if a.Slots.Empty() && sel.expr != nil {
			if sel.hints, err = sel.s.suggest(ctx, v, sel.items, sel.expr, sel.now); err != nil {
				return err
			}
		}
		for slot := range a.Slots.Slots() {
			sel.found = append(sel.found, chosen{id: v.ID(slot), name: v.Name(slot), changed: v.Changed(slot)})
		}
		return nil
	})
}

// byReading reads every CI, on all processors where it is about the past: each reads
// a part of them from a snapshot of its own. What is past no longer changes.
func (sel *selection) byReading(ctx context.Context) error {
	if sel.at.IsZero() {
		whole, err := sel.readPart(ctx, sel.items, time.Unix(0, math.MaxInt64), 0, 1) // as each one is
		sel.found, sel.skipped = whole.found, whole.skipped
		return err
	}
	parts := make([]partly, runtime.GOMAXPROCS(0))
	err := sel.s.inParts(ctx, sel.items.Scope(), len(parts), func(ctx context.Context, items cmdb.View, n int) (err error) {
		parts[n], err = sel.readPart(ctx, items, sel.at, n, len(parts))
		return err
	})
	for _, p := range parts {
		sel.found = append(sel.found, p.found...)
		maps.Copy(sel.skipped, p.skipped)
	}
	return err
}

// inParts does the parts of a piece of work at the same time, each with a snapshot of
// its own: they must be about what no longer changes.
func (s *Service) inParts(ctx context.Context, scope cmdb.Scope, parts int, do func(ctx context.Context, items cmdb.View, part int) error) error {
	panicked := make([]any, parts)
	all, ctx := errgroup.WithContext(ctx)
	for n := range parts {
		all.Go(func() error {
			defer func() { panicked[n] = recover() }() // for the goroutine that asked
			return s.Engine.View(ctx, func(r store.Reader) error {
				return do(ctx, cmdb.At(r, s.Tenant, s.Sets, scope), n)
			})
		})
	}
	err := all.Wait()
	for _, p := range panicked {
		if p != nil {
			panic(p)
		}
	}
	return err
}

// partly is the answer of a part of all CIs.
type partly struct {
	found   []chosen
	skipped map[string]error
}

func (sel *selection) readPart(ctx context.Context, items cmdb.View, at time.Time, part, parts int) (partly, error) {
	out := partly{skipped: map[string]error{}}
	glance := items.Glance()
	for then, err := range items.AllAsOf(at, part, parts) {
		if err := ctx.Err(); err != nil {
			return out, err
		}
		ok := err == nil && then.Status != cmdb.Merged
		if ok && sel.expr != nil {
			sub := &light{s: sel.s, items: items, facts: glance, then: then, at: sel.at}
			ok, err = query.Match(sel.expr, sub, sel.now)
			err = cmp.Or(err, sub.failed())
		}
		if errors.Is(err, query.ErrCost) {
			return out, err
		}
		if err != nil {
			out.skipped[then.ID] = err
			continue
		}
		if ok {
			c := chosen{id: then.ID, name: then.Name}
			if sel.counts {
				if c.classed, err = classedOf(then, glance); err != nil {
					out.skipped[then.ID] = err
					continue
				}
			}
			out.found = append(out.found, c)
		}
	}
	return out, nil
}

// read gives a CI that was selected; nil if it is gone since, or has changed and
// fits no more: the index may be some moments ahead of what this question sees, or
// behind.
func (sel *selection) read(c chosen) (*subject, error) {
	ci, err := sel.items.CI(c.id)
	if errors.Is(err, cmdb.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	sub, err := sel.s.asOf(sel.items, ci, sel.at)
	if errors.Is(err, cmdb.ErrNotFound) {
		return nil, nil
	}
	if err != nil || sel.expr == nil || c.changed.IsZero() || ci.Changed.Truncate(time.Second).Equal(c.changed) {
		return sub, err
	}
	ok, err := query.Match(sel.expr, sub, sel.now)
	if err = cmp.Or(err, sub.err); err != nil || !ok {
		return nil, err
	}
	return sub, nil
}

// subjects reads all that was selected.
func (sel *selection) subjects() ([]*subject, error) {
	subs := make([]*subject, 0, len(sel.found))
	for _, c := range sel.found {
		sub, err := sel.read(c)
		if err != nil {
			return nil, err
		}
		if sub != nil {
			subs = append(subs, sub)
		}
	}
	return subs, nil
}

// notes says what was left out.
func (sel *selection) notes() []string {
	notes := slices.Clone(sel.hints)
	for _, id := range slices.Sorted(maps.Keys(sel.skipped)) {
		notes = append(notes, fmt.Sprintf("CI %s is left out: it cannot be read: rollcall-server check names what is damaged", id))
	}
	const most = 10
	if n := len(notes) - most; n > 0 {
		notes = append(notes[:most], fmt.Sprintf("and %d more cannot be read", n))
	}
	return notes
}

// explain gives how the question was answered.
func (sel *selection) explain() []*rollcallv1.QueryStep {
	if len(sel.steps) == 0 {
		how := "every CI was read from the store"
		if sel.expr == nil {
			how = "no condition: every CI is listed"
		}
		return []*rollcallv1.QueryStep{{How: how, Found: uint64(len(sel.found))}}
	}
	var out []*rollcallv1.QueryStep
	for _, p := range sel.steps {
		out = append(out, &rollcallv1.QueryStep{
			Term: p.Term, How: string(p.How), Among: uint64(p.Among), Looked: uint64(p.Looked), Found: uint64(p.Found), TookUs: p.Took.Microseconds(),
		})
	}
	return out
}

// tellIndex says in the status how the index is.
func (s *Service) tellIndex(ctx context.Context, reply *rollcallv1.StatusReply) error {
	if s.Index == nil {
		return nil
	}
	if ready, done, of := s.Index.Ready(); !ready {
		reply.Warnings = append(reply.Warnings, fmt.Sprintf("the index is being made, %d of %d CIs: until then questions read every CI", done, of))
		return nil
	}
	return s.view(ctx, func(_ store.Reader, items cmdb.View) error {
		return s.Index.Look(items.Scope(), func(v index.View) error {
			damaged := v.Damaged()
			for _, id := range slices.Sorted(maps.Keys(damaged))[:min(5, len(damaged))] {
				reply.Warnings = append(reply.Warnings, fmt.Sprintf("CI %s cannot be read: %v", id, damaged[id]))
			}
			if n := len(damaged) - 5; n > 0 {
				reply.Warnings = append(reply.Warnings, fmt.Sprintf("and %d more CIs cannot be read: rollcall-server check names them", n))
			}
			return nil
		})
	})
}
