package compare

import (
	"cmp"
	"context"
	"math"
	"math/rand/v2"
	"slices"
)

// pattern is all attributes that the same machines have: they cannot be told
// apart and are one explanation. It is turned so that the broken have it.
type pattern struct {
	member, known set
	attrs         []*attr
	lacks         []bool // for each attribute: the members are those that lack it
	prior         float64
	score         float64
}

// collapse unites attributes with the same members, or with opposite ones.
func collapse(attrs []*attr, f *field) []*pattern {
	at := map[string]*pattern{}
	var out []*pattern
	slices.SortStableFunc(attrs, func(a, b *attr) int { // some were found in the order of a map
		return cmp.Or(cmp.Compare(a.path, b.path), cmp.Compare(a.yes, b.yes))
	})
	for _, a := range attrs {
		member, lacks := a.member, false
		if f.evidence(member, a.known) < f.evidence(a.known.minus(member), a.known) {
			member, lacks = a.known.minus(a.member), true
		}
		key := member.key() + a.known.key()
		p := at[key]
		if p == nil {
			p = &pattern{member: member, known: a.known}
			at[key] = p
			out = append(out, p)
		}
		p.attrs, p.lacks = append(p.attrs, a), append(p.lacks, lacks)
		p.prior = max(p.prior, a.prior)
	}
	for _, p := range out {
		p.score = weigh(f.evidence(p.member, p.known), p.prior)
	}
	slices.SortStableFunc(out, func(a, b *pattern) int { return cmp.Compare(b.score, a.score) })
	return out
}

// weigh discounts evidence in favour; evidence against stays as it is.
func weigh(evidence, weight float64) float64 {
	if evidence <= 0 {
		return evidence
	}
	return evidence * weight
}

// pair is two patterns that explain together what neither explains alone.
type pair struct {
	kind  Kind // Both or Either
	x, y  *pattern
	union *pattern
}

// verdicts of one judgement.
type found struct {
	patterns []*pattern // best first
	pairs    []pair     // best first
	chance   float64
}

// Limits of the search for pairs and of shuffling.
const (
	pairPool = 100 // patterns that pairs are made of
	shuffles = 199
	// fewShuffles are made where one takes long: heavy patterns times words of a set.
	fewShuffles = 59
	heavy       = 100_000
	keptPair    = 3
	enough      = 10 // shuffles as good as the truth: no more are needed
)

// judge ranks the patterns, looks for pairs where no single one explains, and
// asks how often shuffled groups would have given as good an answer. Labels are
// shuffled within strata, so that what is special to a site is not counted as
// proof.
func (f *field) judge(ctx context.Context, ps []*pattern) (found, error) {
	out := found{patterns: ps, pairs: f.pairs(ps, math.Inf(-1)), chance: 1}
	best := out.best()
	if best <= 0 {
		return out, nil
	}
	rng := rand.New(rand.NewPCG(uint64(len(f.machines)), uint64(len(ps))))
	as, tried, most := 0, 0, shuffles
	if len(ps)*len(f.all) > heavy {
		most = fewShuffles
	}
	for tried < most && as < enough {
		if err := ctx.Err(); err != nil {
			return out, err
		}
		tried++
		if f.shuffled(rng).bestOf(ps, best) >= best-1e-9 {
			as++
		}
	}
	out.chance = float64(as+1) / float64(tried+1)
	return out, nil
}

func (r found) best() float64 {
	best := math.Inf(-1)
	if len(r.patterns) > 0 {
		best = r.patterns[0].score
	}
	if len(r.pairs) > 0 {
		best = max(best, r.pairs[0].union.score)
	}
	return best
}

// shuffled returns the field with other labels: as many broken in each stratum.
func (f *field) shuffled(rng *rand.Rand) *field {
	g := *f
	g.strata = make([]stratum, len(f.strata))
	g.broken, g.working = f.all.blank(), f.working.and(f.rest)
	for i, s := range f.strata {
		var ms []int
		s.broken.or(s.working).each(func(m int) { ms = append(ms, m) })
		rng.Shuffle(len(ms), func(a, b int) { ms[a], ms[b] = ms[b], ms[a] })
		t := stratum{f.all.blank(), f.all.blank(), s.from, s.to}
		for k, m := range ms {
			if k < s.broken.count() {
				t.broken.add(m)
			} else {
				t.working.add(m)
			}
		}
		g.strata[i] = t
		g.broken, g.working = g.broken.or(t.broken), g.working.or(t.working)
	}
	return &g
}

// bestOf returns the best score that the labels of f give, or any score of at
// least stop as soon as there is one.
func (f *field) bestOf(ps []*pattern, stop float64) float64 {
	turned := make([]*pattern, 0, len(ps))
	best := math.Inf(-1)
	for _, p := range ps {
		q := &pattern{member: p.member, known: p.known, prior: p.prior, score: f.evidence(p.member, p.known)}
		other := p.known.minus(p.member)
		if e := f.evidence(other, p.known); e > q.score {
			q.member, q.score = other, e
		}
		q.score = weigh(q.score, p.prior)
		best = max(best, q.score)
		if best >= stop {
			return best
		}
		turned = append(turned, q)
	}
	slices.SortFunc(turned, func(a, b *pattern) int { return cmp.Compare(b.score, a.score) })
	if pairs := f.pairs(turned, stop-1e-6); len(pairs) > 0 {
		best = max(best, pairs[0].union.score)
	}
	return best
}

// pairs returns the best combinations that score more than above, if the best
// single pattern leaves some of the broken unexplained or has counter-examples.
// (Asking for pairs only below 60 % cover lets a chance pattern of 5 in 8 hide a
// pair that explains all.) A pair is one of very many that could have been looked
// at, so it has to explain better than both its parts by as much as a part has to
// beat its competitors.
func (f *field) pairs(ps []*pattern, above float64) []pair {
	if len(ps) < 2 || f.clean(ps[0]) {
		return nil
	}
	pool := ps[:min(len(ps), pairPool)]
	price := math.Log(float64(len(ps)))
	floor := max(ps[0].score, above)
	perfect := f.total(f.all, f.all)
	perfect.b = 0
	if f.atMost(perfect)-price <= floor {
		return nil
	}
	scratch := [2]set{f.all.blank(), f.all.blank()}
	sums := make([]counts, len(pool))
	for i, p := range pool {
		sums[i] = f.total(p.member, p.known)
	}
	var out []pair
	for i, x := range pool {
		for j, y := range pool[:i] {
			for _, kind := range []Kind{Both, Either} {
				if f.hope(kind, sums[i], sums[j])-price <= floor {
					continue
				}
				if u := f.join(kind, y, x, price, floor, scratch); u != nil {
					out = append(out, pair{kind, y, x, u})
				}
			}
		}
	}
	slices.SortStableFunc(out, func(a, b pair) int { return cmp.Compare(b.union.score, a.union.score) })
	return out[:min(len(out), keptPair)]
}

// total counts a pattern's machines in all strata together, and the rest with its
// weight.
func (f *field) total(member, known set) counts {
	var c counts
	for _, s := range f.strata {
		a, b := s.count(member)
		na, nb := s.count(known)
		c.a, c.b, c.na, c.nb = c.a+float64(a), c.b+float64(b), c.na+float64(na), c.nb+float64(nb)
	}
	if f.restWt < 1 {
		c.b += restWeight * float64(member.countAnd(f.rest))
		c.nb += restWeight * float64(known.countAnd(f.rest))
	}
	return c
}

// hope is the most evidence that a pair of patterns with these counts can have:
// as if their broken machines overlapped as it suits and their working ones too.
// Where not all is known of both, a bound would have to know more: there is none.
func (f *field) hope(kind Kind, x, y counts) float64 {
	if x.na != y.na || x.nb != y.nb {
		return math.Inf(1)
	}
	best := counts{na: x.na, nb: x.nb}
	if kind == Both {
		best.a, best.b = min(x.a, y.a), max(0, x.b+y.b-x.nb)
	} else {
		best.a, best.b = min(x.na, x.a+y.a), max(x.b, y.b)
	}
	return f.atMost(best)
}

// atMost is the evidence of counts if all were one stratum; more strata only take
// from it.
func (f *field) atMost(c counts) float64 {
	t := f.betas
	return t.beta(c.a+brokenYes, c.na-c.a+brokenNo) - t.broken + t.beta(c.b+workingYes, c.nb-c.b+workingNo) - t.working -
		t.beta(c.a+c.b+1, c.na+c.nb-c.a-c.b+1)
}

// clean tells whether a pattern leaves next to nothing to explain.
func (f *field) clean(p *pattern) bool {
	broken, working := p.known.and(f.broken), p.known.and(f.working)
	return 10*p.member.countAnd(broken) >= 9*broken.count() && p.member.countAnd(working) == 0
}

// join returns the union (Either) or the intersection (Both) of two patterns, or
// nil if it says no more than one of them, or scores no more than floor. Thousands
// are tried for each one that is kept, so they are tried in two sets of scratch.
func (f *field) join(kind Kind, x, y *pattern, price, floor float64, scratch [2]set) *pattern {
	member, known := scratch[0], scratch[1]
	asX, asY := true, true
	for i := range member {
		known[i] = x.known[i] & y.known[i]
		if kind == Both {
			member[i] = x.member[i] & y.member[i]
		} else {
			member[i] = (x.member[i] | y.member[i]) & known[i]
		}
		asX, asY = asX && member[i] == x.member[i], asY && member[i] == y.member[i]
	}
	if asX || asY {
		return nil
	}
	prior := min(x.prior, y.prior)
	score := weigh(f.evidence(member, known)-price, prior)
	if score <= floor {
		return nil
	}
	return &pattern{member: slices.Clone(member), known: slices.Clone(known), prior: prior, score: score}
}
