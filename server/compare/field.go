package compare

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
)

// field is the ground on which attributes are compared: the machines of both
// groups, ordered by site, and the strata they fall into.
type field struct {
	fleet   Fleet
	places  []Place
	broken  set
	working set
	all     set
	strata  []stratum
	rest    set     // machines of sites where only one group is found
	restWt  float64 // weight of a working machine in rest
	weights []Tally // of each machine
	whole   Tally   // of all
	betas   *betaTable
	large   bool   // only the best patterns are looked up machine by machine
	sample  []int  // of a large field: machines of which everything is looked at
	extra   []set  // holders of the field's own
	parts   []part // room for bestUnion
}

// stratum is a group of machines that are compared with each other: a site that
// has broken and working machines. Its sets begin at a word of the field's.
type stratum struct {
	broken, working set
	from            int
}

func newStratum(broken, working set) stratum {
	from, to := 0, len(broken)
	for from < to && broken[from]|working[from] == 0 {
		from++
	}
	for from < to && broken[to-1]|working[to-1] == 0 {
		to--
	}
	return stratum{broken[from:to], working[from:to], from}
}

// count returns how many of its broken and working machines are in m.
func (s stratum) count(m set) (broken, working int) {
	m = m[s.from : s.from+len(s.broken)]
	return s.broken.countAnd(m), s.working.countAnd(m)
}

// restWeight is what a working machine counts whose site has no broken machine,
// where enough broken ones can be compared within their own sites: such a site
// may have the cause and, being different in other ways, not the symptom.
const restWeight = 0.125

// Of a large field, patterns are told apart by how many have them; which machines
// these are is looked up for the best ones alone.
const (
	smallField = 512 // machines
	sampled    = 48  // machines of each group of a large field, see field.choose
)

// empty says why there is nothing to compare: nobody was named, or all are in both
// groups.
func empty(group string, named int) error {
	if named == 0 {
		return fmt.Errorf("%s %w: its filter selects no machine that has reported", group, ErrEmpty)
	}
	return fmt.Errorf("%s %w: all of its %d machines are in the other group too", group, ErrEmpty, named)
}

// newField lays the field out for the question, and says what the reader should
// know about the groups.
func newField(g Groups) (*field, []string, error) {
	if g.Fleet != nil {
		return layField(g.Fleet, smallField, g.Both)
	}
	broken, working, both := separate(g)
	switch {
	case len(broken) == 0:
		return nil, nil, empty("broken", len(g.Broken))
	case len(working) == 0:
		return nil, nil, empty("working", len(g.Working))
	case len(broken)+len(working) > MaxMachines:
		return nil, nil, fmt.Errorf("%w: %d, at most %d; narrow the groups to a site or a class", ErrTooBig, len(broken)+len(working), MaxMachines)
	}
	return layField(newRoll(broken, working), smallField, both)
}

// layField lays out the field of a fleet. One of more than so many machines is large.
// both is how many machines were left out since both groups name them.
func layField(fleet Fleet, small, both int) (*field, []string, error) {
	f := &field{fleet: fleet, places: fleet.Places(), restWt: 1}
	n := len(f.places)
	f.broken, f.working, f.all, f.rest = newSet(n), newSet(n), newSet(n), newSet(n)
	for i, p := range f.places {
		f.all.add(i)
		if p.Broken {
			f.broken.add(i)
		} else {
			f.working.add(i)
		}
	}
	var notes []string
	if both > 0 {
		notes = append(notes, fmt.Sprintf("%d machines are in both groups and were left out", both))
	}
	broken, working := f.broken.count(), f.working.count()
	if broken == 0 {
		return nil, nil, empty("broken", both)
	}
	if working == 0 {
		return nil, nil, empty("working", both)
	}
	if few := min(broken, working); few < 3 {
		notes = append(notes, fmt.Sprintf("the smaller group has %d machines: many differences are tied; add more machines to tell them apart", few))
	}
	f.betas = newBetaTable()
	notes = append(notes, f.stratify()...)
	f.weigh()
	if f.large = n > small; f.large {
		f.choose(sampled)
	}
	return f, notes, nil
}

// separate sorts both groups by id and leaves out what is named twice.
func separate(g Groups) (broken, working []Machine, both int) {
	seen := map[string]int{}
	for _, m := range g.Broken {
		seen[m.ID] |= 1
	}
	for _, m := range g.Working {
		seen[m.ID] |= 2
	}
	for _, v := range seen {
		if v == 3 {
			both++
		}
	}
	pick := func(ms []Machine, want int) []Machine {
		ms = slices.Clone(ms)
		slices.SortStableFunc(ms, func(a, b Machine) int { return cmp.Compare(a.ID, b.ID) })
		ms = slices.CompactFunc(ms, func(a, b Machine) bool { return a.ID == b.ID })
		return slices.DeleteFunc(ms, func(m Machine) bool { return seen[m.ID] != want })
	}
	return pick(g.Broken, 1), pick(g.Working, 2), both
}

// stratify makes one stratum of each site that has machines of both groups. All
// other machines are the rest. The rest is a stratum of its own when it holds
// broken and working machines (their sites and the symptom go together, and
// cannot be told apart).
func (f *field) stratify() []string {
	sites := 0
	f.eachSite(func(from, to int) {
		sites++
		if s := f.siteStratum(from, to); s.broken.count() > 0 && s.working.count() > 0 {
			f.strata = append(f.strata, s)
			return
		}
		for i := from; i < to; i++ {
			f.rest.add(i)
		}
	})
	return f.settleRest(sites)
}

// eachSite calls do with the machines of each site: from to to-1.
func (f *field) eachSite(do func(from, to int)) {
	from := 0
	for i := range f.places {
		if i+1 == len(f.places) || f.places[i+1].Site != f.places[i].Site {
			do(from, i+1)
			from = i + 1
		}
	}
}

// siteStratum makes a stratum of machines that come one after the other.
func (f *field) siteStratum(from, to int) stratum {
	first, words := from/64, (to-1)/64-from/64+1
	s := stratum{make(set, words), make(set, words), first}
	for i := from; i < to; i++ {
		if f.places[i].Broken {
			s.broken.add(i - 64*first)
		} else {
			s.working.add(i - 64*first)
		}
	}
	return s
}

func (f *field) settleRest(sites int) []string {
	rest := newStratum(f.rest.and(f.broken), f.rest.and(f.working))
	b, w := rest.broken.count(), rest.working.count()
	switch {
	case b > 0 && w > 0:
		f.strata = append(f.strata, rest)
		f.rest = f.all.blank()
		if len(f.strata) == 1 {
			return []string{"site and trouble coincide: no site has broken and working machines, so a cause cannot be told from what is merely special to a site; name working machines of the same site if there are any"}
		}
	case b > 0: // broken machines without a comparison in their site: compare with everybody
		f.strata = []stratum{newStratum(f.broken, f.working)}
		f.rest = f.all.blank()
	case w > 0:
		f.restWt = restWeight
		return []string{fmt.Sprintf("%d working machines are at sites without broken ones: they count little, machines of one site are compared first", w)}
	}
	if sites > 1 {
		return []string{fmt.Sprintf("%d sites: machines of one site are compared with each other first", sites)}
	}
	return nil
}

// weigh gives each machine what it counts.
func (f *field) weigh() {
	rng := rand.New(rand.NewPCG(uint64(len(f.places)), 0x5eed))
	f.weights = make([]Tally, len(f.places))
	for i, p := range f.places {
		t := Tally{Sum: rng.Uint64()}
		switch {
		case p.Broken:
			t.Broken = 1
		case f.rest.has(i):
			t.Rest = 1
		default:
			t.Near = 1
		}
		f.weights[i] = t
		f.whole = f.whole.Plus(t)
	}
}

// choose takes so many machines of each group, evenly, of the working ones two
// thirds from the strata as far as there are so many.
func (f *field) choose(most int) {
	near, far := f.working.minus(f.rest), f.working.and(f.rest)
	take := max(min(near.count(), most*2/3), most-far.count())
	for _, part := range []struct {
		of set
		n  int
	}{{f.broken, most}, {near, take}, {far, most - take}} {
		f.sample = append(f.sample, spread(part.of.numbers(), part.n)...)
	}
	slices.Sort(f.sample)
}

// tally counts the machines of a set.
func (f *field) tally(s set) Tally {
	var t Tally
	s.each(func(i int) { t = t.Plus(f.weights[i]) })
	return t
}

// extraHolder marks holders of the field's own.
const extraHolder Holder = 1 << 63

// keep makes a crowd of machines that were looked up already.
func (f *field) keep(s set) Crowd {
	f.extra = append(f.extra, s)
	return Crowd{f.tally(s), []Holder{extraHolder | Holder(len(f.extra)-1)}}
}

// find looks the machines of a crowd up.
func (f *field) find(c Crowd) set {
	out := f.all.blank()
	for _, h := range c.Of {
		if h&extraHolder == 0 {
			f.fleet.Find(h, out)
			continue
		}
		for i, w := range f.extra[h&^extraHolder] {
			out[i] |= w
		}
	}
	return out
}
