package compare

import (
	"cmp"
	"context"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
)

// pattern is all attributes that the same machines have: they cannot be told
// apart and are one explanation. It is turned so that the broken have it.
type pattern struct {
	Tally        // of its members
	all    Tally // of those that are known
	known  *known
	from   Crowd // its members, or those of the known that are none
	turned bool  // from is those that are none
	prior  float64
	hope   float64 // evidence if all machines were of one stratum: it is no more
	score  float64
	topics []int32 // that have it
	kept   bool    // its attributes are being put into words
	told   bool    // they were
	attrs  []*attr
	lacks  []bool // for each attribute: the members are those that lack it
	bits   set    // its members, once they were looked up
}

// patternKey is the same for attributes of the same machines, and for their opposites.
type patternKey struct{ sum, known uint64 }

// pattern finds the pattern of an attribute or makes it.
func (t *table) pattern(who Crowd, k *known, prior float64) *pattern {
	key := patternKey{min(who.Sum, k.Sum-who.Sum), k.Sum}
	p := t.patterns[key]
	if p == nil {
		other := k.minus(who.Tally)
		p = &pattern{Tally: who.Tally, all: k.Tally, known: k, from: who, hope: t.f.atMost(who.Tally, k.Tally)}
		if hope := t.f.atMost(other, k.Tally); hope > p.hope {
			p.Tally, p.hope, p.turned = other, hope, true
		}
		t.patterns[key] = p
	}
	if !t.telling {
		p.prior = max(p.prior, cmp.Or(prior, 1))
		if n := len(p.topics); n == 0 || p.topics[n-1] != t.now {
			p.topics = append(p.topics, t.now)
		}
	}
	return p
}

// members looks up who has the pattern.
func (f *field) members(p *pattern) set {
	if p.bits == nil {
		p.bits = f.look(p.from, p.known)
		if p.turned {
			p.bits = p.known.bits.minus(p.bits)
		}
	}
	return p.bits
}

// rank scores the patterns and puts the best first. Of a large
// field, only those are looked up machine by machine that may be among the best.
func (t *table) rank() []*pattern {
	f := t.f
	all := make([]*pattern, 0, len(t.patterns))
	for _, p := range t.patterns {
		p.score = weigh(p.hope, p.prior)
		all = append(all, p)
	}
	byScore := func(a, b *pattern) int {
		return cmp.Or(cmp.Compare(b.score, a.score), cmp.Compare(a.Sum, b.Sum))
	}
	slices.SortFunc(all, byScore)
	exact, least := 0, math.Inf(-1)
	for exact < len(all) {
		if f.large && (exact >= ratedRows && all[exact].score < least || all[exact].score <= 0 || exact >= mostExact) {
			break
		}
		p := all[exact]
		p.score = weigh(f.evidence(p), p.prior)
		exact++
		if exact == ratedRows {
			scores := make([]float64, exact)
			for i := range scores {
				scores[i] = all[i].score
			}
			least = slices.Min(scores)
		}
	}
	slices.SortFunc(all[:exact], byScore)
	return all
}

// mostExact is how many patterns of a large field are looked up at most.
const mostExact = 1000

// tellAtOnce is how many patterns are put into words at once, as more are needed.
const tellAtOnce = 40

// tellNext puts the patterns up to one into words, and those of the same score in the
// order of what they are about.
func (t *table) tellNext(ctx context.Context, ps []*pattern, n int) error {
	if n < t.told || len(ps) == 0 {
		return nil
	}
	from, to := t.told, min(len(ps), max(n+1, t.told+tellAtOnce))
	for to < len(ps) && ps[to].score == ps[to-1].score && ps[to].score > 0 {
		to++
	}
	t.told = to
	err := t.tell(ctx, ps[from:to])
	inOrder(ps[from:to])
	return err
}

// inOrder puts patterns of the same score in the order of what they are about.
func inOrder(ps []*pattern) {
	slices.SortStableFunc(ps, func(a, b *pattern) int {
		if a.score != b.score || len(a.attrs) == 0 || len(b.attrs) == 0 {
			return cmp.Compare(b.score, a.score)
		}
		return cmp.Or(cmp.Compare(a.attrs[0].path, b.attrs[0].path), strings.Compare(a.attrs[0].yes(), b.attrs[0].yes()))
	})
}

// sortAttrs brings the attributes in order: some were found in the order of a map.
func (p *pattern) sortAttrs() {
	order := make([]int, len(p.attrs))
	for i := range order {
		order[i] = i
	}
	before := func(i, j int) int {
		a, b := p.attrs[i], p.attrs[j]
		if n := strings.Compare(a.path, b.path); n != 0 {
			return n
		}
		return cmp.Or(strings.Compare(a.yes(), b.yes()), i-j)
	}
	run, rest := order[:0:0], []int(nil) // nearly all of them are in order
	for _, i := range order {
		if n := len(run); n == 0 || before(run[n-1], i) < 0 {
			run = append(run, i)
		} else {
			rest = append(rest, i)
		}
	}
	if len(rest) == 0 {
		return
	}
	slices.SortFunc(rest, before)
	for n := range order {
		if len(rest) == 0 || len(run) > 0 && before(run[0], rest[0]) < 0 {
			order[n], run = run[0], run[1:]
		} else {
			order[n], rest = rest[0], rest[1:]
		}
	}
	attrs, lacks := make([]*attr, len(order)), make([]bool, len(order))
	for n, i := range order {
		attrs[n], lacks[n] = p.attrs[i], p.lacks[i]
	}
	p.attrs, p.lacks = attrs, lacks
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
	pairPool  = 100 // patterns that pairs are made of
	largePool = 40  // the same, of a large field
	shuffles  = 199
	// fewShuffles are made where one takes long: heavy patterns times words of a set.
	fewShuffles = 59
	heavy       = 100_000
	keptPair    = 3
	enough      = 10 // shuffles as good as the truth: no more are needed
)

// judge looks for pairs of the ranked patterns where no single one explains, and
// asks how often shuffled groups would have given as good an answer. Labels are
// shuffled within strata, so that what is special to a site is not counted as
// proof.
func (f *field) judge(ctx context.Context, ps []*pattern) (found, error) {
	out := found{patterns: ps, pairs: f.pairs(ps, len(ps), math.Inf(-1)), chance: 1}
	best := out.best()
	if best <= 0 {
		return out, nil
	}
	out.chance = f.byTest(out)
	if f.large || out.chance < surely {
		return out, nil
	}
	var err error
	out.chance, err = f.byShuffling(ctx, ps, best)
	return out, err
}

// surely is a chance, told by the exact test of the best explanation and corrected
// for the number of explanations, that no shuffling would find to be common.
const surely = 1e-4

// byTest tells the chance from the exact test of the best explanation.
func (f *field) byTest(r found) float64 {
	n := float64(len(r.patterns))
	if len(r.pairs) > 0 && r.pairs[0].union.score > r.patterns[0].score {
		return min(1, n*n*f.exact(r.pairs[0].union))
	}
	return min(1, n*f.exact(r.patterns[0]))
}

// byShuffling deals the labels anew, again and again.
func (f *field) byShuffling(ctx context.Context, ps []*pattern, best float64) (float64, error) {
	rng := rand.New(rand.NewPCG(uint64(len(f.places)), uint64(len(ps))))
	as, tried, most := 0, 0, shuffles
	if len(ps)*len(f.all) > heavy {
		most = fewShuffles
	}
	for _, p := range ps {
		f.members(p)
	}
	for tried < most && as < enough {
		if err := ctx.Err(); err != nil {
			return 1, err
		}
		tried++
		if f.shuffled(rng).bestOf(ps, best) >= best-1e-9 {
			as++
		}
	}
	return float64(as+1) / float64(tried+1), nil
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
	var ms []int
	for i, s := range f.strata {
		ms = ms[:0]
		s.broken.or(s.working).each(func(m int) { ms = append(ms, m) })
		rng.Shuffle(len(ms), func(a, b int) { ms[a], ms[b] = ms[b], ms[a] })
		t := stratum{s.broken.blank(), s.broken.blank(), s.from}
		broken := s.broken.count()
		for k, m := range ms {
			if k < broken {
				t.broken.add(m)
				g.broken.add(m + 64*s.from)
			} else {
				t.working.add(m)
				g.working.add(m + 64*s.from)
			}
		}
		g.strata[i] = t
	}
	return &g
}

// bestOf returns the best score that the labels of f give, or any score of at
// least stop as soon as there is one.
func (f *field) bestOf(ps []*pattern, stop float64) float64 {
	turned := make([]pattern, 0, len(ps))
	best := math.Inf(-1)
	for _, p := range ps {
		q := pattern{known: p.known, prior: p.prior, bits: p.bits}
		have, all := f.total(p.bits, p.known.bits)
		q.Tally, q.all, q.hope = have, all, f.atMost(have, all)
		if hope := f.atMost(all.minus(have), all); hope > q.hope {
			q.Tally, q.hope, q.turned = all.minus(have), hope, true
		}
		if q.hope <= 0 {
			continue
		}
		q.score = weigh(f.evidence(&q), q.prior)
		best = max(best, q.score)
		if best >= stop {
			return best
		}
		if q.turned {
			q.bits = p.known.bits.minus(p.bits)
		}
		turned = append(turned, q)
	}
	order := make([]*pattern, len(turned))
	for i := range turned {
		order[i] = &turned[i]
	}
	slices.SortFunc(order, func(a, b *pattern) int { return cmp.Compare(b.score, a.score) })
	if pairs := f.pairs(order, len(ps), stop-1e-6); len(pairs) > 0 {
		best = max(best, pairs[0].union.score)
	}
	return best
}

// pairs returns the best combinations that score more than above, if the best
// single pattern leaves some of the broken unexplained or has counter-examples;
// of is how many patterns there are.
// (Asking for pairs only below 60 % cover lets a chance pattern of 5 in 8 hide a
// pair that explains all.) A pair is one of very many that could have been looked
// at, so it has to explain better than both its parts by as much as a part has to
// beat its competitors.
func (f *field) pairs(ps []*pattern, of int, above float64) []pair {
	if len(ps) < 2 || ps[0].score <= 0 || f.clean(ps[0]) {
		return nil
	}
	most := pairPool
	if f.large {
		most = largePool
	}
	pool := ps[:min(len(ps), most)]
	for i, p := range pool {
		if p.score <= 0 {
			pool = pool[:i]
			break
		}
	}
	price := math.Log(float64(of))
	floor := max(ps[0].score, above)
	perfect := Tally{Broken: f.whole.Broken}
	if f.atMost(perfect, f.whole)-price <= floor {
		return nil
	}
	scratch := [2]set{f.all.blank(), f.all.blank()}
	var out []pair
	for i, x := range pool {
		for _, y := range pool[:i] {
			for _, kind := range []Kind{Both, Either} {
				if f.hope(kind, x, y)-price <= floor {
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

// total counts a pattern's machines and those that are known.
func (f *field) total(member, k set) (have, all Tally) {
	for _, s := range f.strata {
		a, b := s.count(member)
		na, nb := s.count(k)
		have.Broken, have.Near = have.Broken+a, have.Near+b
		all.Broken, all.Near = all.Broken+na, all.Near+nb
	}
	if f.restWt < 1 {
		have.Rest, all.Rest = member.countAnd(f.rest), k.countAnd(f.rest)
	}
	return have, all
}

// hope is the most evidence that a pair of patterns with these counts can have:
// as if their broken machines overlapped as it suits and their working ones too.
// Where not all is known of both, a bound would have to know more: there is none.
func (f *field) hope(kind Kind, x, y *pattern) float64 {
	all := x.all
	if all.Broken != y.all.Broken || all.Near != y.all.Near || all.Rest != y.all.Rest {
		if f.large {
			return math.Inf(-1)
		}
		return math.Inf(1)
	}
	var best Tally
	if kind == Both {
		best.Broken, best.Near, best.Rest = min(x.Broken, y.Broken), max(0, x.Near+y.Near-all.Near), max(0, x.Rest+y.Rest-all.Rest)
	} else {
		best.Broken, best.Near, best.Rest = min(all.Broken, x.Broken+y.Broken), max(x.Near, y.Near), max(x.Rest, y.Rest)
	}
	return f.atMost(best, all)
}

// clean tells whether a pattern leaves next to nothing to explain.
func (f *field) clean(p *pattern) bool {
	return 10*p.Broken >= 9*p.all.Broken && p.Near+p.Rest == 0
}

// join returns the union (Either) or the intersection (Both) of two patterns, or
// nil if it says no more than one of them, or scores no more than floor. Thousands
// are tried for each one that is kept, so they are tried in two sets of scratch.
func (f *field) join(kind Kind, x, y *pattern, price, floor float64, scratch [2]set) *pattern {
	member, both := scratch[0], scratch[1]
	xs, ys := f.members(x), f.members(y)
	asX, asY := true, true
	for i := range member {
		both[i] = x.known.bits[i] & y.known.bits[i]
		if kind == Both {
			member[i] = xs[i] & ys[i]
		} else {
			member[i] = (xs[i] | ys[i]) & both[i]
		}
		asX, asY = asX && member[i] == xs[i], asY && member[i] == ys[i]
	}
	if asX || asY {
		return nil
	}
	have, all := f.total(member, both)
	u := &pattern{Tally: have, all: all, known: &known{bits: both}, prior: min(x.prior, y.prior), bits: member, hope: f.atMost(have, all)}
	if weigh(u.hope-price, u.prior) <= floor {
		return nil
	}
	if u.score = weigh(f.evidence(u)-price, u.prior); u.score <= floor {
		return nil
	}
	u.bits, u.known.bits = slices.Clone(member), slices.Clone(both)
	return u
}
