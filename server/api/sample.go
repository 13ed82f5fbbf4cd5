package api

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"rollcall/internal/fact"
	rollcallv1 "rollcall/proto/rollcall/v1"
	"rollcall/server/compare"
	"rollcall/server/index"
	"rollcall/server/query"
)

// looked is how many machines of one group a comparison looks at. What sets apart
// so many sets the rest apart too, but for a difference of a few in a hundred; the
// answer says how many there are.
const looked = 250

// whole are sections that are compared by what stands anywhere in them: a device
// at another address is the same device. All others are compared path by path, and
// what is the same on all machines is left out.
var whole = map[string]bool{"hw": true, "id": true, "net": true, "os": true}

// sides are the two groups of a question, found by the index.
type sides struct {
	view            index.View
	broken, working index.Bits
}

// byIndex fills g with the machines of both groups, the facts alone that are not
// the same on all of them, and tells how many there are. It returns
// index.ErrLoading where the store has to be read.
func (s *Service) byIndex(ctx context.Context, q *question, req *rollcallv1.CompareRequest, g *compare.Groups, reply *rollcallv1.CompareReply) error {
	if s.Index == nil || req.GetAtMs() != 0 {
		return index.ErrLoading
	}
	return s.Index.Look(q.items.Scope(), func(v index.View) error {
		two := sides{view: v}
		var err error
		if two.broken, err = s.bits(ctx, q, v, req.GetBroken(), req.GetBrokenNames()); err != nil {
			return err
		}
		if two.working, err = s.bits(ctx, q, v, req.GetWorking(), req.GetWorkingNames()); err != nil {
			return err
		}
		two.sample(reply)
		p := newPruner(two, q.value)
		g.Broken, reply.Broken = p.machines(two.broken)
		g.Working, reply.Working = p.machines(two.working)
		return cmp.Or(p.err, ctx.Err())
	})
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
	return b, err
}

// sample leaves out of large groups what need not be looked at, and tells.
// Machines that are in both groups stay in both: compare says so.
func (t *sides) sample(reply *rollcallv1.CompareReply) {
	reply.BrokenOf, reply.WorkingOf = uint32(t.broken.Count()), uint32(t.working.Count())
	sites := map[string]bool{}
	t.broken = t.pick(t.broken, nil)
	for slot := range t.broken.Slots() {
		site, _ := t.view.Site(slot)
		sites[site] = true
	}
	t.working = t.pick(t.working, sites)
	for _, side := range []struct {
		name string
		of   uint32
	}{{"broken", reply.GetBrokenOf()}, {"working", reply.GetWorkingOf()}} {
		if side.of > looked {
			reply.Notes = append(reply.Notes, fmt.Sprintf("%d of %d %s machines were looked at, evenly chosen; the counts are theirs", looked, side.of, side.name))
		}
	}
}

// pick chooses evenly: two thirds from the sites, as far as there are so many,
// and the rest from everywhere.
func (t *sides) pick(group index.Bits, sites map[string]bool) index.Bits {
	n := group.Count()
	if n <= looked {
		return group
	}
	var near, far []uint32
	for slot := range group.Slots() {
		if site, ok := t.view.Site(slot); ok && sites[site] {
			near = append(near, slot)
		} else {
			far = append(far, slot)
		}
	}
	take := min(len(near), looked*2/3)
	take = max(take, looked-len(far))
	out := t.view.Group()
	for _, part := range []struct {
		from []uint32
		n    int
	}{{near, take}, {far, looked - take}} {
		for k := range part.n {
			out.Set(part.from[k*len(part.from)/part.n])
		}
	}
	return out
}

// pruner makes machines of the facts that are not the same on all.
type pruner struct {
	v     index.View
	keep  []bool                   // by the number of a fact
	sets  map[index.Part]fact.Set  // what is left of each set
	equal map[string]fact.Set      // sets with the same facts are one
	texts map[index.Fact]fact.Fact // that were read
	read  func(id, path string) (string, bool, error)
	err   error // of read

	differ, all *index.Picker
}

func newPruner(t sides, read func(id, path string) (string, bool, error)) *pruner {
	p := &pruner{v: t.view, read: read, keep: make([]bool, t.view.FactCount()), sets: map[index.Part]fact.Set{}, equal: map[string]fact.Set{}, texts: map[index.Fact]fact.Fact{}}
	some := t.broken.Clone()
	some.Or(t.working)
	slots := slices.Collect(some.Slots())
	sources := map[string]bool{}
	for c := range t.view.Counts(t.broken, t.working) {
		p.keep[c.Fact] = true
		if name, ok := strings.CutPrefix(p.text(c.Fact).Path, "pkg/"); ok {
			if i := strings.LastIndexByte(name, '/'); i > 0 {
				sources["pkg/"+name[:i]+"/source"] = true
			}
		}
	}
	for path := range sources { // packages are grouped by it, also where it is the same on all
		for _, slot := range slots {
			if value, ok := t.view.Value(slot, path); ok {
				if x, ok := t.view.Lookup(path, value); ok {
					p.keep[x] = true
				}
				break
			}
		}
	}
	p.differ, p.all = t.view.Pick(p.keep), t.view.Pick(nil)
	return p
}

func (p *pruner) text(x index.Fact) fact.Fact {
	f, ok := p.texts[x]
	if !ok {
		f, _ = p.v.Fact(x)
		p.texts[x] = f
	}
	return f
}

// machines makes the machines of a group that have reported.
func (p *pruner) machines(group index.Bits) (ms []compare.Machine, names []string) {
	for slot := range group.Slots() {
		m := compare.Machine{ID: p.v.ID(slot), Name: p.v.Name(slot), Sections: map[string]fact.Set{}}
		m.Site, _ = p.v.Site(slot)
		for section, part := range p.v.Parts(slot) {
			m.Sections[section] = p.set(slot, section, part)
		}
		if len(m.Sections) > 0 {
			ms, names = append(ms, m), append(names, m.Name)
		}
	}
	slices.SortFunc(ms, func(a, b compare.Machine) int { return cmp.Or(compareNames(a.Name, b.Name), cmp.Compare(a.ID, b.ID)) })
	slices.SortFunc(names, compareNames)
	return ms, names
}

// set gives what is left of a section of a machine. Of digests that no other set
// has the index knows a hash: they are read.
func (p *pruner) set(slot uint32, section string, part index.Part) fact.Set {
	s, ok := p.sets[part]
	if ok {
		return s
	}
	var key strings.Builder
	key.WriteString(section)
	kept := p.differ.In(part)
	if whole[section] {
		kept = p.all.In(part)
	}
	slices.Sort(kept)
	for _, x := range kept {
		key.WriteByte(byte(x))
		key.WriteByte(byte(x >> 8))
		key.WriteByte(byte(x >> 16))
		key.WriteByte(byte(x >> 24))
	}
	var own []fact.Fact
	for f, known := range p.v.Own(part) {
		if !known {
			if f.Value, known, p.err = p.read(p.v.ID(slot), f.Path); p.err != nil {
				return nil
			}
		}
		if known { // it may be gone since
			own = append(own, f)
		}
	}
	if s, ok = p.equal[key.String()]; !ok || len(own) > 0 {
		s = make(fact.Set, 0, len(kept)+len(own))
		for _, x := range kept {
			s = append(s, p.text(x))
		}
		s = append(s, own...)
		slices.SortFunc(s, func(a, b fact.Fact) int { return strings.Compare(a.Path, b.Path) })
		if len(own) == 0 {
			p.equal[key.String()] = s
		}
	}
	p.sets[part] = s
	return s
}
