package compare

import (
	"cmp"
	"math"
	"slices"
)

// A cause is expected on most of the broken and on few of the working machines.
// The shapes are those of beta distributions of the two shares: mild about the
// broken (there may be two causes), strict about the working.
const (
	brokenYes, brokenNo   = 2, 1
	workingYes, workingNo = 1, 6
)

// betaTable holds log gamma of all multiples of 1/8 up to what n machines need.
type betaTable struct {
	lg              []float64
	broken, working float64 // log beta of the two expectations
}

const fraction = 8 // counts are multiples of 1/fraction (see restWeight)

func newBetaTable(n int) *betaTable {
	t := &betaTable{lg: make([]float64, (n+16)*fraction)}
	for i := 1; i < len(t.lg); i++ {
		t.lg[i], _ = math.Lgamma(float64(i) / fraction)
	}
	t.broken, t.working = t.beta(brokenYes, brokenNo), t.beta(workingYes, workingNo)
	return t
}

func (t *betaTable) beta(a, b float64) float64 {
	i, j := int(a*fraction), int(b*fraction)
	return t.lg[i] + t.lg[j] - t.lg[i+j]
}

// evidence returns the logarithm of how much better "having this makes a machine
// break" explains who has it than chance does, or than the site alone does
// (each stratum with a share of its own): a Bayes factor. Positive speaks for it.
func (f *field) evidence(member, known set) float64 {
	var total counts
	sites := 0.0
	for _, s := range f.strata {
		have, haveW := s.count(member)
		all, allW := s.count(known)
		a, b, na, nb := float64(have), float64(haveW), float64(all), float64(allW)
		total.a, total.b, total.na, total.nb = total.a+a, total.b+b, total.na+na, total.nb+nb
		sites += f.betas.beta(a+b+1, na+nb-a-b+1)
	}
	if f.restWt < 1 { // all of the rest are working
		total.b += restWeight * float64(member.countAnd(f.rest))
		total.nb += restWeight * float64(known.countAnd(f.rest))
	}
	c := f.atMost(total)
	chance := f.betas.beta(total.a+total.b+1, total.na+total.nb-total.a-total.b+1)
	return min(c, c+chance-sites)
}

// exact returns the one-sided p-value of the exact conditional test within
// strata (Fisher's test for one stratum): how often as many broken machines or
// more would have it, were the labels dealt at random within each stratum.
func (f *field) exact(member, known set) float64 {
	dist, seen := []float64{1}, 0
	for _, s := range f.strata {
		a, b := s.count(member)
		na, nb := s.count(known)
		seen += a
		dist = convolve(dist, hypergeometric(a+b, na, nb))
	}
	p := 0.0
	for i := seen; i < len(dist); i++ {
		p += dist[i]
	}
	return min(p, 1)
}

// hypergeometric returns the probability of 0, 1, … broken ones among k drawn
// from na broken and nb working machines.
func hypergeometric(k, na, nb int) []float64 {
	out := make([]float64, min(k, na)+1)
	whole := choose(na+nb, k)
	for i := max(0, k-nb); i < len(out); i++ {
		out[i] = math.Exp(choose(na, i) + choose(nb, k-i) - whole)
	}
	return out
}

func choose(n, k int) float64 {
	a, _ := math.Lgamma(float64(n + 1))
	b, _ := math.Lgamma(float64(k + 1))
	c, _ := math.Lgamma(float64(n - k + 1))
	return a - b - c
}

func convolve(x, y []float64) []float64 {
	out := make([]float64, len(x)+len(y)-1)
	for i, a := range x {
		if a == 0 {
			continue
		}
		for j, b := range y {
			out[i+j] += a * b
		}
	}
	return out
}

// adjust fills Q by Benjamini and Hochberg's step-up procedure (1995) for tests
// tests, of which the single rows are the best ones. Of pairs there were as many
// as there are pairs of tests; they are corrected for all of them (Bonferroni).
func adjust(rows []Row, tests int) {
	var order []*Row
	for i := range rows {
		if r := &rows[i]; r.Kind == Both || r.Kind == Either {
			r.Q = min(1, r.P*float64(tests)*float64(tests))
		} else {
			order = append(order, r)
		}
	}
	slices.SortStableFunc(order, func(a, b *Row) int { return cmp.Compare(a.P, b.P) })
	q := 1.0
	for rank := len(order); rank > 0; rank-- {
		r := order[rank-1]
		q = min(q, r.P*float64(max(tests, len(order)))/float64(rank))
		r.Q = q
	}
}

// The bars of strength. The first row is the best of all that was looked at: how
// often shuffled groups have as good a first row is what it is worth. A small
// group cannot reach significance whatever sets it apart: there a clean split is
// weak evidence, not none, unless shuffled groups split as cleanly all the time.
// Of two things together there are so many that a clean split alone says nothing.
const (
	rareAt    = 0.02 // of the share of shuffled groups that do as well
	largeAt   = 0.05 // the same, of a large difference
	cleanAt   = 0.20 // the same, of a clean split
	smallAt   = 0.35 // the same, of a clean split of a group of at most smallOf
	smallOf   = 5
	strongAt  = 0.05 // of Q
	openAt    = 0.10 // of Q, with half of the machines' difference
	largeDiff = 0.70
	cleanDiff = 0.85
)

func (r *Row) strength(first bool, chance float64) Strength {
	diff := r.Broken.share() - r.Working.share()
	single := r.Kind != Both && r.Kind != Either // only shuffling knows how many pairs there were
	clean := cleanAt
	if min(r.Broken.Of, r.Working.Of) <= smallOf {
		clean = smallAt
	}
	switch {
	case r.SiteOnly && diff >= 0.5:
		return Weak // anything else about the site explains as much
	case first && chance <= rareAt, single && r.Q <= strongAt:
		return Strong
	case single && diff >= cleanDiff && chance <= clean, single && diff >= largeDiff && chance <= largeAt:
		return Weak
	case diff >= cleanDiff && chance <= largeAt && r.Q <= openAt:
		return Weak
	case !first && single && r.Q <= openAt && diff >= 0.5:
		return Weak
	}
	return None
}
