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

// betaTable is what the logarithms of beta functions are made of.
type betaTable struct {
	broken, working float64 // log beta of the two expectations
}

const fraction = 8 // counts are multiples of 1/fraction (see restWeight)

// logGammas holds log gamma of the multiples of 1/fraction of small groups.
var logGammas = func() (lg [fraction * 1024]float64) {
	for i := 1; i < len(lg); i++ {
		lg[i], _ = math.Lgamma(float64(i) / fraction)
	}
	return lg
}()

// logGamma is the logarithm of the gamma function of a positive multiple of
// 1/fraction; of large ones by Stirling's series, which is exact to 1e-16 there.
func logGamma(x float64) float64 {
	if x < 1024 {
		return logGammas[int(x*fraction)]
	}
	r := 1 / x
	return (x-0.5)*math.Log(x) - x + 0.5*math.Log(2*math.Pi) + r/12 - r*r*r/360
}

func newBetaTable() *betaTable {
	return &betaTable{logBeta(brokenYes, brokenNo), logBeta(workingYes, workingNo)}
}

func logBeta(a, b float64) float64 { return logGamma(a) + logGamma(b) - logGamma(a+b) }

// counted counts the working machines of a tally, those of the rest as little as
// they count.
func (f *field) counted(t Tally) float64 { return float64(t.Near) + f.restWt*float64(t.Rest) }

// atMost is the evidence of counts if all were one stratum; more strata only take
// from it.
func (f *field) atMost(have, all Tally) float64 {
	a, b, na, nb := float64(have.Broken), f.counted(have), float64(all.Broken), f.counted(all)
	return logBeta(a+brokenYes, na-a+brokenNo) - f.betas.broken + logBeta(b+workingYes, nb-b+workingNo) - f.betas.working -
		logBeta(a+b+1, na+nb-a-b+1)
}

// evidence returns the logarithm of how much better "having this makes a machine
// break" explains who has it than chance does, or than the site alone does
// (each stratum with a share of its own): a Bayes factor. Positive speaks for it.
func (f *field) evidence(p *pattern) float64 {
	if len(f.strata) == 1 && f.restWt == 1 {
		return p.hope
	}
	k, n := float64(p.Broken)+f.counted(p.Tally), float64(p.all.Broken)+f.counted(p.all)
	chance, sites := logBeta(k+1, n-k+1), 0.0
	if len(f.strata) == 1 {
		k, n := p.Broken+p.Near, p.all.Broken+p.all.Near
		sites = logBeta(float64(k+1), float64(n-k+1))
	} else {
		member := f.members(p)
		for _, s := range f.strata {
			a, b := s.count(member)
			na, nb := s.count(p.known.bits)
			sites += logBeta(float64(a+b+1), float64(na+nb-a-b+1))
		}
	}
	return p.hope + min(0, chance-sites)
}

// Above this many broken machines in several strata the exact test is taken for a
// normal distribution, which it is very nearly.
const manyBroken = 600

// exact returns the one-sided p-value of the exact conditional test within
// strata (Fisher's test for one stratum): how often as many broken machines or
// more would have it, were the labels dealt at random within each stratum.
func (f *field) exact(p *pattern) float64 {
	if len(f.strata) == 1 {
		return tail(p.Broken, p.Broken+p.Near, p.all.Broken, p.all.Near)
	}
	member := f.members(p)
	dist, seen, mean, variance := []float64{1}, 0, 0.0, 0.0
	for _, s := range f.strata {
		a, b := s.count(member)
		na, nb := s.count(p.known.bits)
		seen += a
		if p.all.Broken <= manyBroken {
			dist = convolve(dist, hypergeometric(a+b, na, nb))
			continue
		}
		if n, k := float64(na+nb), float64(a+b); n > 1 {
			share := float64(na) / n
			mean += k * share
			variance += k * share * (1 - share) * (n - k) / (n - 1)
		}
	}
	if p.all.Broken > manyBroken {
		if variance == 0 {
			return 1
		}
		return math.Erfc((float64(seen)-0.5-mean)/math.Sqrt(2*variance)) / 2
	}
	sum := 0.0
	for i := seen; i < len(dist); i++ {
		sum += dist[i]
	}
	return min(sum, 1)
}

// tail returns how often a or more of k machines drawn from na broken and nb working
// ones are broken.
func tail(a, k, na, nb int) float64 {
	whole, sum := choose(na+nb, k), 0.0
	for i := max(a, k-nb); i <= min(k, na); i++ {
		p := math.Exp(choose(na, i) + choose(nb, k-i) - whole)
		sum += p
		if p <= sum*1e-12 && i*(na+nb) > k*na { // beyond the middle they only get less
			break
		}
	}
	return min(sum, 1)
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
	return logGamma(float64(n+1)) - logGamma(float64(k+1)) - logGamma(float64(n-k+1))
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
// tests, of which the single rows and the rest are the best ones. Of pairs there were
// as many as there are pairs of tests; they are corrected for all of them (Bonferroni).
func adjust(rows, rest []Row, tests int) {
	var order []*Row
	for i := range rest {
		order = append(order, &rest[i])
	}
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
