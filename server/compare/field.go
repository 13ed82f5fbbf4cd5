package compare

import (
	"cmp"
	"fmt"
	"slices"
)

// field is the ground on which attributes are compared: the machines of both
// groups, ordered by site, and the strata they fall into.
type field struct {
	machines []Machine
	broken   set
	working  set
	all      set
	strata   []stratum
	rest     set     // machines of sites where only one group is found
	restWt   float64 // weight of a working machine in rest
	betas    *betaTable
}

// stratum is a group of machines that are compared with each other: a site that
// has broken and working machines.
type stratum struct {
	broken, working set
	from, to        int // words of the sets that hold its machines; few, as machines are ordered by site
}

func newStratum(broken, working set) stratum {
	s := stratum{broken, working, 0, len(broken)}
	for s.from < s.to && broken[s.from]|working[s.from] == 0 {
		s.from++
	}
	for s.from < s.to && broken[s.to-1]|working[s.to-1] == 0 {
		s.to--
	}
	return s
}

// count returns how many of its broken and working machines are in m.
func (s stratum) count(m set) (broken, working int) {
	m = m[s.from:s.to]
	return m.countAnd(s.broken[s.from:s.to]), m.countAnd(s.working[s.from:s.to])
}

// restWeight is what a working machine counts whose site has no broken machine,
// where enough broken ones can be compared within their own sites: such a site
// may have the cause and, being different in other ways, not the symptom.
const restWeight = 0.125

// empty says why there is nothing to compare: nobody was named, or all are in both
// groups.
func empty(group string, named int) error {
	if named == 0 {
		return fmt.Errorf("%s %w: its filter selects no machine that has reported", group, ErrEmpty)
	}
	return fmt.Errorf("%s %w: all of its %d machines are in the other group too", group, ErrEmpty, named)
}

func newField(g Groups) (*field, []string, error) {
	broken, working, notes := separate(g)
	switch {
	case len(broken) == 0:
		return nil, nil, empty("broken", len(g.Broken))
	case len(working) == 0:
		return nil, nil, empty("working", len(g.Working))
	case len(broken)+len(working) > MaxMachines:
		return nil, nil, fmt.Errorf("%w: %d, at most %d; narrow the groups to a site or a class", ErrTooBig, len(broken)+len(working), MaxMachines)
	}
	if n := min(len(broken), len(working)); n < 3 {
		notes = append(notes, fmt.Sprintf("the smaller group has %d machines: many differences are tied; add more machines to tell them apart", n))
	}
	f := &field{machines: slices.Concat(broken, working)}
	slices.SortStableFunc(f.machines, func(a, b Machine) int { return cmp.Compare(a.Site, b.Site) })
	n := len(f.machines)
	f.broken, f.working, f.all = newSet(n), newSet(n), newSet(n)
	isBroken := map[string]bool{}
	for _, m := range broken {
		isBroken[m.ID] = true
	}
	for i, m := range f.machines {
		f.all.add(i)
		if isBroken[m.ID] {
			f.broken.add(i)
		} else {
			f.working.add(i)
		}
	}
	f.betas = newBetaTable(n)
	return f, append(notes, f.stratify()...), nil
}

// separate sorts both groups by id and leaves out what is named twice.
func separate(g Groups) (broken, working []Machine, notes []string) {
	seen := map[string]int{}
	for _, m := range g.Broken {
		seen[m.ID] |= 1
	}
	for _, m := range g.Working {
		seen[m.ID] |= 2
	}
	both := 0
	for _, v := range seen {
		if v == 3 {
			both++
		}
	}
	if both > 0 {
		notes = append(notes, fmt.Sprintf("%d machines are in both groups and were left out", both))
	}
	pick := func(ms []Machine, want int) []Machine {
		ms = slices.Clone(ms)
		slices.SortStableFunc(ms, func(a, b Machine) int { return cmp.Compare(a.ID, b.ID) })
		ms = slices.CompactFunc(ms, func(a, b Machine) bool { return a.ID == b.ID })
		return slices.DeleteFunc(ms, func(m Machine) bool { return seen[m.ID] != want })
	}
	return pick(g.Broken, 1), pick(g.Working, 2), notes
}

// stratify makes one stratum of each site that has machines of both groups. All
// other machines are the rest. The rest is a stratum of its own when it holds
// broken and working machines (their sites and the symptom go together, and
// cannot be told apart).
func (f *field) stratify() []string {
	n := len(f.machines)
	sites := map[string]set{}
	for i, m := range f.machines {
		if sites[m.Site] == nil {
			sites[m.Site] = newSet(n)
		}
		sites[m.Site].add(i)
	}
	names := make([]string, 0, len(sites))
	for name := range sites {
		names = append(names, name)
	}
	slices.Sort(names)
	f.strata, f.rest, f.restWt = nil, newSet(n), 1
	for _, name := range names {
		s := newStratum(sites[name].and(f.broken), sites[name].and(f.working))
		if s.broken.count() > 0 && s.working.count() > 0 {
			f.strata = append(f.strata, s)
		} else {
			f.rest = f.rest.or(sites[name])
		}
	}
	return f.settleRest(len(sites))
}

func (f *field) settleRest(sites int) []string {
	rest := newStratum(f.rest.and(f.broken), f.rest.and(f.working))
	b, w := rest.broken.count(), rest.working.count()
	switch {
	case b > 0 && w > 0:
		f.strata = append(f.strata, rest)
		f.rest = newSet(len(f.machines))
		if len(f.strata) == 1 {
			return []string{"site and trouble coincide: no site has broken and working machines, so a cause cannot be told from what is merely special to a site; name working machines of the same site if there are any"}
		}
	case b > 0: // broken machines without a comparison in their site: compare with everybody
		f.strata = []stratum{newStratum(f.broken, f.working)}
		f.rest = newSet(len(f.machines))
	case w > 0:
		f.restWt = restWeight
		return []string{fmt.Sprintf("%d working machines are at sites without broken ones: they count little, machines of one site are compared first", w)}
	}
	if sites > 1 {
		return []string{fmt.Sprintf("%d sites: machines of one site are compared with each other first", sites)}
	}
	return nil
}

// counts are what a pattern's score is made of, one pair for each stratum.
type counts struct{ a, b, na, nb float64 }
