package sim

import "math"

// draw is a number that only the seed and the words decide: every value of the
// fleet is drawn by its name, so that any machine can be made without making the
// others, and a new kind of value changes none of the old ones.
func draw(seed uint64, words ...uint64) uint64 {
	h := seed ^ 0x9e3779b97f4a7c15
	for _, w := range words {
		h = mix(h ^ mix(w+0x9e3779b97f4a7c15))
	}
	return h
}

// mix is the finalizer of SplitMix64 (Steele, Lea and Flood 2014).
func mix(z uint64) uint64 {
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// word is a text as a word of draw (FNV-1a).
func word(s string) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(s) {
		h = (h ^ uint64(s[i])) * 1099511628211
	}
	return h
}

// share turns a draw into a number from 0 up to 1.
func share(d uint64) float64 { return float64(d>>11) / (1 << 53) }

// pick turns a draw into a number below n.
func pick(d uint64, n int) int { return int(d>>1) % n }

// poisson turns a draw into a count with this mean (Knuth's method).
func poisson(d uint64, mean float64) int {
	limit, p := math.Exp(-mean), 1.0
	for k := 0; ; k++ {
		if p *= share(draw(d, uint64(k))); p <= limit {
			return k
		}
	}
}

// weighted turns a draw into an index, each as often as its weight says.
func weighted(d uint64, weights []float64) int {
	total := 0.0
	for _, w := range weights {
		total += w
	}
	at := total * share(d)
	for i, w := range weights {
		if at -= w; at < 0 {
			return i
		}
	}
	return len(weights) - 1
}
