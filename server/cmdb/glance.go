package cmdb

import (
	"fmt"
	"slices"
	"strings"

	"rollcall/internal/fact"
	"rollcall/server/store"
)

// Bounds of what a Glance remembers: whole sets, and facts of a few paths.
const (
	glanceWholes = 64
	glanceSets   = 200_000
	glanceFacts  = 500_000
	glanceRecent = 16
)

// Glance reads a few facts of many sets, for one question: a set is not put together,
// and what sets have in common is looked at once. It is for one goroutine and one
// snapshot. What was proved when it was stored is not hashed again.
type Glance struct {
	v      View
	wholes map[fact.Digest]fact.Set
	facts  map[glanceKey]fact.Set
	held   int // facts in facts

	recent [glanceRecent]recentSet // several paths of one machine are asked one after the other
	next   int
}

// recentSet is a set as it is kept.
type recentSet struct {
	digest fact.Digest
	delta  fact.Delta
}

type glanceKey struct {
	set    fact.Digest
	prefix string
}

// Glance begins a question.
func (v View) Glance() *Glance {
	return &Glance{v: v, wholes: map[fact.Digest]fact.Set{}, facts: map[glanceKey]fact.Set{}}
}

// Facts returns those facts of a set whose paths begin with prefix. They are shared
// and must not be changed.
func (g *Glance) Facts(d fact.Digest, prefix string) (fact.Set, error) {
	return g.read(d, prefix, 0)
}

func (g *Glance) read(d fact.Digest, prefix string, above int) (fact.Set, error) {
	if d.IsZero() {
		return nil, nil
	}
	if w, ok := g.wholes[d]; ok {
		return w.Below(prefix), nil
	}
	if w, ok := g.v.sets.cache.whole(d); ok {
		g.know(d, w.facts)
		return w.facts.Below(prefix), nil
	}
	key := glanceKey{d, prefix}
	if s, ok := g.facts[key]; ok {
		return s, nil
	}
	if above > maxChain {
		return nil, fmt.Errorf("read fact set %s: %w: a chain of more than %d deltas", d, store.ErrCorrupt, maxChain)
	}
	if h, ok := g.v.sets.cache.get(d); ok {
		return h.below(prefix), nil
	}
	delta, full, err := g.stored(d)
	if err != nil {
		return nil, err
	}
	if delta.Base.IsZero() {
		g.know(d, full)
		return full.Below(prefix), nil
	}
	base, err := g.read(delta.Base, prefix, above+1)
	if err != nil {
		return nil, err
	}
	s := laid(base, delta, prefix)
	if g.held += len(s); len(g.facts) == glanceSets || g.held > glanceFacts {
		clear(g.facts)
		g.held = len(s)
	}
	g.facts[key] = s
	return s, nil
}

// stored reads a set as it is kept.
func (g *Glance) stored(d fact.Digest) (delta fact.Delta, full fact.Set, err error) {
	for i := range g.recent {
		if g.recent[i].digest == d {
			return g.recent[i].delta, nil, nil
		}
	}
	delta, full, err = stored(g.v.r, g.v.tenant, d)
	if err == nil && !delta.Base.IsZero() {
		g.recent[g.next] = recentSet{d, delta}
		g.next = (g.next + 1) % glanceRecent
	}
	return delta, full, err
}

// below gives those facts of a set whose paths begin with prefix.
func (h *held) below(prefix string) fact.Set {
	var d fact.Delta
	from, _ := slices.BinarySearchFunc(h.patch, prefix, func(e edit, s string) int { return strings.Compare(e.Path, s) })
	for _, e := range h.patch[from:] {
		switch {
		case !strings.HasPrefix(e.Path, prefix):
			return laid(h.whole.facts.Below(prefix), d, prefix)
		case e.gone:
			d.Drop = append(d.Drop, e.Path)
		default:
			d.Put = append(d.Put, e.Fact)
		}
	}
	return laid(h.whole.facts.Below(prefix), d, prefix)
}

func (g *Glance) know(d fact.Digest, whole fact.Set) {
	if len(g.wholes) == glanceWholes {
		clear(g.wholes)
	}
	g.wholes[d] = whole
}

// laid lays those parts of a delta that begin with prefix over such facts of its
// base.
func laid(base fact.Set, d fact.Delta, prefix string) fact.Set {
	put := fact.Set(d.Put).Below(prefix)
	drop := pathsBelow(d.Drop, prefix)
	if len(put) == 0 && len(drop) == 0 {
		return base
	}
	out := make(fact.Set, 0, len(base)+len(put))
	for len(base) > 0 || len(put) > 0 {
		if len(put) > 0 && (len(base) == 0 || put[0].Path <= base[0].Path) {
			if len(base) > 0 && base[0].Path == put[0].Path {
				base = base[1:]
			}
			out, put = append(out, put[0]), put[1:]
			continue
		}
		for len(drop) > 0 && drop[0] < base[0].Path {
			drop = drop[1:]
		}
		if len(drop) == 0 || drop[0] != base[0].Path {
			out = append(out, base[0])
		}
		base = base[1:]
	}
	return out
}

func pathsBelow(paths []string, prefix string) []string {
	from, _ := slices.BinarySearch(paths, prefix)
	to := from
	for to < len(paths) && strings.HasPrefix(paths[to], prefix) {
		to++
	}
	return paths[from:to]
}
