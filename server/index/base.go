package index

import (
	"hash/maphash"
	"slices"
)

// express finds the base on which a set takes least, or makes one. facts and its
// own ones are in the order of paths; hint is a base that may fit.
func (c *core) express(section uint16, facts []uint32, own []ownFact, hint uint32) form {
	f := c.refine(c.choose(section, facts, hint))
	f.own, f.fresh = c.write(own), own
	return f
}

func (c *core) choose(section uint16, facts []uint32, hint uint32) form {
	about := c.sectionAbout(section)
	most := c.limit(len(facts))
	best := form{adds: facts}
	try := func(n uint32) bool {
		f, ok := c.against(n, facts, min(best.cost(), len(facts)))
		if ok {
			best = f
		}
		return ok && f.cost() <= most
	}
	if hint != 0 && try(hint) {
		return best
	}
	key := c.listHash(facts)
	if l, ok := about.like[key]; ok && c.bases[l.base] != nil && c.bases[l.base].section == section {
		if try(l.base) || best.base == l.base && l.made == about.made { // it is the best of those that there are
			return best
		}
	}
	defer func() { about.remember(key, best.base) }()
	for i, n := range about.bases {
		if n != hint && c.likely(n, facts, most) && try(n) {
			copy(about.bases[1:i+1], about.bases[:i])
			about.bases[0] = n
			return best
		}
	}
	if n, ok := c.common(section, facts, best.cost()); ok {
		best, _ = c.against(n, facts, len(facts)+len(c.bases[n].facts))
	}
	return best
}

// listHash is a hash of facts: machines of one make have many lists that are the same
// but for what is their own.
func (c *core) listHash(facts []uint32) uint64 {
	if len(facts) == 0 {
		return 0
	}
	return maphash.Bytes(c.seed, bytesOf(facts))
}

// maxLike bounds what is remembered of a section.
const maxLike = 1 << 14

// liked is the base that was chosen for a list of facts.
type liked struct {
	base uint32
	made int // bases of the section so far
}

func (s *sectionRec) remember(like uint64, base uint32) {
	if base == 0 {
		return
	}
	if s.like == nil || len(s.like) >= maxLike {
		s.like = map[uint64]liked{}
	}
	s.like[like] = liked{base, s.made}
}

func (f form) cost() int { return len(f.adds) + len(f.drops) }

// fits tells whether a set is well kept in a form.
func (c *core) fits(f form) bool {
	return f.cost() <= c.limit(len(c.bases[f.base].facts)+len(f.adds)-len(f.drops))
}

// likely looks for a few of the facts in a base.
func (c *core) likely(n uint32, facts []uint32, most int) bool {
	b := c.bases[n].facts
	if d := len(b) - len(facts); d > most {
		return false
	}
	if len(facts) < 2*sample {
		return true
	}
	missing := 0
	for i := 0; i < len(facts); i += len(facts) / sample {
		if x, ok := c.inList(b, c.pathOf(facts[i])); !ok || uint32(x) != facts[i] {
			missing++
		}
	}
	return missing*3 <= sample
}

// against gives a set as what differs from a base, unless it takes more than most.
func (c *core) against(n uint32, facts []uint32, most int) (form, bool) {
	f := form{base: n}
	b := c.bases[n].facts
	for len(b) > 0 || len(facts) > 0 {
		switch {
		case len(b) > 0 && len(facts) > 0 && b[0] == facts[0]:
			b, facts = b[1:], facts[1:]
			continue
		case len(facts) == 0 || len(b) > 0 && c.pathOf(b[0]) < c.pathOf(facts[0]):
			f.drops, b = append(f.drops, b[0]), b[1:]
		case len(b) == 0 || c.pathOf(b[0]) > c.pathOf(facts[0]):
			f.adds, facts = append(f.adds, facts[0]), facts[1:]
		default: // another value at the same path
			f.drops, b = append(f.drops, b[0]), b[1:]
			f.adds, facts = append(f.adds, facts[0]), facts[1:]
		}
		if len(f.adds)+len(f.drops) > most {
			return form{}, false
		}
	}
	return f, true
}

// common makes a base of what a set and one that waits have in common, if that
// saves at least half of what the set would take.
func (c *core) common(section uint16, facts []uint32, cost int) (uint32, bool) {
	var shared []uint32
	for _, set := range c.sectionAbout(section).lone {
		if s := intersect(c, c.factsOf(c.formOf(set)), facts, len(shared)); s != nil {
			shared = s
		}
	}
	if len(shared) < 4 || 2*(len(facts)-len(shared)) > cost && 4*len(shared) < 3*len(facts) && cost < len(facts) {
		return 0, false
	}
	return c.makeBase(section, slices.Clip(shared))
}

// makeBase makes a base of facts, and puts sets on it that wait for one.
func (c *core) makeBase(section uint16, facts []uint32) (uint32, bool) {
	about := c.sectionAbout(section)
	if len(about.bases) == maxBases || len(c.bases) == allBases && len(c.freeBases) == 0 {
		return 0, false
	}
	n := uint32(len(c.bases))
	if k := len(c.freeBases); k > 0 {
		n, c.freeBases = c.freeBases[k-1], c.freeBases[:k-1]
	} else {
		c.bases = append(c.bases, nil)
	}
	c.bases[n] = &base{section: section, facts: facts}
	for _, x := range facts {
		c.posted(x, sourceBase(n), true)
	}
	about.bases = slices.Insert(about.bases, 0, n)
	about.made++
	about.lone = slices.DeleteFunc(about.lone, func(set uint32) bool {
		old := c.formOf(set)
		all := c.factsOf(old)
		f, ok := c.against(n, all, old.cost())
		if ok {
			c.move(set, f)
		}
		return ok && c.fits(f)
	})
	return n, true
}

// intersect returns the facts that both lists hold, nil if they are not more than
// least.
func intersect(c *core, a, b []uint32, least int) []uint32 {
	if min(len(a), len(b)) <= least {
		return nil
	}
	var out []uint32
	for len(a) > 0 && len(b) > 0 {
		switch pa, pb := c.pathOf(a[0]), c.pathOf(b[0]); {
		case a[0] == b[0]:
			out = append(out, a[0])
			a, b = a[1:], b[1:]
		case pa < pb:
			a = a[1:]
		case pb < pa:
			b = b[1:]
		default:
			a, b = a[1:], b[1:]
		}
	}
	if len(out) <= least {
		return nil
	}
	return out
}

// move keeps a set in another form; its own facts stay.
func (c *core) move(set uint32, f form) {
	old := c.formOf(set)
	f.own = old.own
	c.changes(old.adds, f.adds, func(x uint32, on bool) { c.posted(x, sourceSet(set), on) })
	c.changes(old.drops, f.drops, func(x uint32, on bool) { c.lacking(x, set, on) })
	c.keep(set, f, len(f.own) > 0)
	c.stand(set, f.base)
}

// wait lets a set that no base fits wait for a similar one.
func (c *core) wait(section uint16, set uint32) {
	about := c.sectionAbout(section)
	if len(about.lone) == maxLone {
		about.lone = append(about.lone[:0], about.lone[1:]...)
	}
	about.lone = append(about.lone, set)
}
