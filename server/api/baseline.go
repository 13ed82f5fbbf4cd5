package api

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"rollcall/internal/fact"
	rollcallv1 "rollcall/proto/rollcall/v1"
	"rollcall/server/cmdb"
	"rollcall/server/query"
	"rollcall/server/store"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

const (
	// maxCommon is how many machines a baseline is made from, or compared with: all
	// their facts are read. Of more, so many are chosen evenly.
	maxCommon = 2000
	// maxPaths bounds the paths that limit a baseline.
	maxPaths        = 100
	defaultDeviants = 50
	maxDeviants     = 10_000
	deviantValues   = 5
	deviantNames    = 10
)

// some gives the CIs of a filter that have reported, evenly chosen if they are too
// many, and says so.
func (s *Service) some(ctx context.Context, items cmdb.View, filter string, at time.Time) (subs []*subject, notes []string, err error) {
	sel, err := s.find(ctx, items, filter, at)
	if err != nil {
		return nil, nil, err
	}
	notes = sel.notes()
	found := sel.found
	if n := len(found); n > maxCommon {
		notes = append(notes, fmt.Sprintf("%d of %d machines were looked at, evenly chosen; the counts are theirs", maxCommon, n))
		for i := range maxCommon {
			found[i] = found[i*n/maxCommon]
		}
		found = found[:maxCommon]
	}
	for _, c := range found {
		sub, err := sel.read(c)
		if err != nil {
			return nil, nil, err
		}
		if sub != nil && len(sub.ci.State) > 0 {
			subs = append(subs, sub)
		}
	}
	if len(subs) == 0 {
		return nil, nil, status.Error(codes.FailedPrecondition, "the filter selects no machine that has reported")
	}
	return subs, notes, nil
}

// checkPaths brings beginnings of paths into their one form.
func checkPaths(paths []string) ([]string, error) {
	if len(paths) > maxPaths {
		return nil, status.Errorf(codes.InvalidArgument, "%d paths, at most %d", len(paths), maxPaths)
	}
	var out []string
	for _, p := range paths {
		p = strings.Trim(p, "/")
		if !fact.ValidSection(fact.SectionOf(p)) || len(p) > fact.MaxPath {
			return nil, status.Errorf(codes.InvalidArgument, "%q is no path of a fact: paths begin with their section: pkg, etc/cups, hw", fact.Cut(p, 80))
		}
		out = append(out, p)
	}
	return out, nil
}

// ownPrint tells whether a fact is about a file whose content is withheld or sealed:
// each machine has a fingerprint of its own of it, so that no two compare.
func ownPrint(f fact.Fact) bool {
	kind, _, _ := strings.Cut(f.Value, ":")
	return f.Section() == "etc" && (kind == string(fact.KindKeyed) || kind == string(fact.KindSealed))
}

// tally counts what machines have.
type tally struct {
	machines int
	have     map[fact.Fact]int
}

// tallyOf counts the facts of machines, those of equal sets at once.
func tallyOf(ctx context.Context, subs []*subject, paths []string) (tally, error) {
	c := tally{machines: len(subs), have: map[fact.Fact]int{}}
	type section struct {
		name string
		set  fact.Digest
	}
	times := map[section]int{}
	one := map[section]*subject{}
	for _, sub := range subs {
		for name, d := range sub.ci.State {
			times[section{name, d}]++
			one[section{name, d}] = sub
		}
	}
	for s, n := range times {
		if err := ctx.Err(); err != nil {
			return c, err
		}
		set, err := one[s].Facts(s.name)
		if err != nil {
			return c, err
		}
		for _, f := range set {
			if fact.UnderAny(f.Path, paths) && !ownPrint(f) {
				c.have[f] += n
			}
		}
	}
	return c, nil
}

// shared gives the facts that so many in 100 machines have. No path has two of
// them above 50; below that the more frequent one stays.
func (c tally) shared(share int) fact.Set {
	best := map[string]fact.Fact{}
	for f, n := range c.have {
		if n*100 < share*c.machines {
			continue
		}
		old, ok := best[f.Path]
		if was := c.have[old]; !ok || n > was || n == was && f.Value < old.Value {
			best[f.Path] = f
		}
	}
	facts := make(fact.Set, 0, len(best))
	for _, path := range slices.Sorted(maps.Keys(best)) {
		facts = append(facts, best[path])
	}
	return facts
}

// Deviations tells what machines have instead of what a baseline holds.
func (s *Service) Deviations(ctx context.Context, req *rollcallv1.DeviationsRequest) (*rollcallv1.DeviationsReply, error) {
	if err := query.CheckName(req.GetName()); err != nil {
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}
	paths, err := checkPaths(req.GetPaths())
	if err != nil {
		return nil, err
	}
	reply := &rollcallv1.DeviationsReply{}
	err = s.view(ctx, func(_ store.Reader, items cmdb.View) error {
		b, want, err := baselineNamed(items, req.GetName())
		if err != nil {
			return err
		}
		want = slices.DeleteFunc(want, func(f fact.Fact) bool { return !fact.UnderAny(f.Path, paths) })
		reply.Baseline = baselineInfo(b)
		subs, notes, err := s.some(ctx, items, req.GetFilter(), when(req.GetAtMs()))
		if err != nil {
			return err
		}
		reply.Notes, reply.Machines = notes, uint32(len(subs))
		return deviations(ctx, subs, want, reply)
	})
	limit := int(cmp.Or(req.GetLimit(), defaultDeviants))
	reply.Rows = reply.Rows[:min(len(reply.Rows), limit, maxDeviants)]
	return reply, err
}

// had is what a machine has at a path.
type had struct {
	value   string
	missing bool
}

// deviant is what machines have where the baseline has something else.
type deviant struct {
	machines int
	values   map[had]int
	names    []string
}

func deviations(ctx context.Context, subs []*subject, want fact.Set, reply *rollcallv1.DeviationsReply) error {
	sections := map[string]fact.Set{}
	for _, f := range want {
		sections[f.Section()] = append(sections[f.Section()], f)
	}
	rows := map[fact.Fact]*deviant{}
	for _, sub := range subs {
		if err := ctx.Err(); err != nil {
			return err
		}
		differs := false
		for name, wanted := range sections {
			have, err := sub.Facts(name)
			if err != nil {
				return err
			}
			for _, f := range wanted {
				value, ok := have.Get(f.Path)
				if ok && value == f.Value {
					continue
				}
				differs = true
				rows[f] = rows[f].add(sub.ci.Name, had{value, !ok})
			}
		}
		if differs {
			reply.Differing++
		}
	}
	for f, d := range rows {
		reply.Rows = append(reply.Rows, d.row(f))
	}
	slices.SortFunc(reply.Rows, func(a, b *rollcallv1.Deviation) int {
		return cmp.Or(cmp.Compare(b.GetMachines(), a.GetMachines()), strings.Compare(a.GetPath(), b.GetPath()))
	})
	reply.RowsTotal = uint32(len(reply.Rows))
	return nil
}

func (d *deviant) add(name string, value had) *deviant {
	if d == nil {
		d = &deviant{values: map[had]int{}}
	}
	d.machines++
	d.values[value]++
	if len(d.names) < deviantNames {
		d.names = append(d.names, name)
	}
	return d
}

func (d *deviant) row(f fact.Fact) *rollcallv1.Deviation {
	out := &rollcallv1.Deviation{Path: f.Path, Want: f.Value, Machines: uint32(d.machines), Names: d.names}
	for value, n := range d.values {
		out.Values = append(out.Values, &rollcallv1.DeviationValue{Value: value.value, Missing: value.missing, Machines: uint32(n)})
	}
	slices.SortFunc(out.Values, func(a, b *rollcallv1.DeviationValue) int {
		return cmp.Or(cmp.Compare(b.GetMachines(), a.GetMachines()), strings.Compare(a.GetValue(), b.GetValue()))
	})
	out.Values = out.Values[:min(len(out.Values), deviantValues)]
	return out
}
