package compare

import "math/bits"

// set is a set of machine numbers. Sets of one field have the same length.
type set []uint64

func newSet(n int) set { return make(set, (n+63)/64) }

func (s set) add(i int)      { s[i/64] |= 1 << (i % 64) }
func (s set) has(i int) bool { return s[i/64]&(1<<(i%64)) != 0 }

func (s set) count() int {
	n := 0
	for _, w := range s {
		n += bits.OnesCount64(w)
	}
	return n
}

// countAnd returns how many machines are in both sets.
func (s set) countAnd(t set) int {
	n := 0
	for i, w := range s {
		n += bits.OnesCount64(w & t[i])
	}
	return n
}

func (s set) and(t set) set {
	out := make(set, len(s))
	for i, w := range s {
		out[i] = w & t[i]
	}
	return out
}

func (s set) or(t set) set {
	out := make(set, len(s))
	for i, w := range s {
		out[i] = w | t[i]
	}
	return out
}

// minus returns the machines of s that are not in t.
func (s set) minus(t set) set {
	out := make(set, len(s))
	for i, w := range s {
		out[i] = w &^ t[i]
	}
	return out
}

// each calls f with every member in order.
func (s set) each(f func(int)) {
	for i, w := range s {
		for ; w != 0; w &= w - 1 {
			f(i*64 + bits.TrailingZeros64(w))
		}
	}
}

// blank returns an empty set of the same field.
func (s set) blank() set { return make(set, len(s)) }

// numbers returns every member in order.
func (s set) numbers() []int {
	out := make([]int, 0, s.count())
	s.each(func(i int) { out = append(out, i) })
	return out
}

// first returns the first members, so many at most.
func (s set) first(most int) []int {
	var out []int
	for i, w := range s {
		for ; w != 0; w &= w - 1 {
			if len(out) == most {
				return out
			}
			out = append(out, i*64+bits.TrailingZeros64(w))
		}
	}
	return out
}
