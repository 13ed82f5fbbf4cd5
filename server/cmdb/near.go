package cmdb

import (
	"hash/maphash"
	"sync"

	"rollcall/internal/fact"
)

const (
	// nearWholes is how many wholes of a section a new set is compared with: the
	// ones that came up last.
	nearWholes = 128
	// sampleAll is the number of facts up to which all are sampled; of larger sets
	// it is one in sampleOne.
	sampleAll = 256
	sampleOne = 16
	// nearLeast and nearMost bound, in bytes, the sets that are stored as a delta
	// from another machine's: below it is not worth it, and what is above could not
	// be stored in full again in one transaction, which erasing that other machine
	// takes.
	nearLeast = 700
	nearMost  = 600 << 10
)

// nearby finds, among the wholes that came up last, the one that has most in
// common with a set.
type nearby struct {
	seed maphash.Seed

	mu       sync.Mutex
	sections map[string]*wholes
	avoid    map[fact.Digest]bool // sets that nothing is to stand on
}

// wholes are the samples of the wholes of one section.
type wholes struct {
	digests [nearWholes]fact.Digest
	samples [nearWholes][]uint64
	have    map[fact.Digest]bool
	by      map[uint64][]uint8 // hash of a fact → the places of the wholes that have it
	next    int
}

func newNearby() *nearby {
	return &nearby{seed: maphash.MakeSeed(), sections: map[string]*wholes{}, avoid: map[fact.Digest]bool{}}
}

// avoided tells whether nothing is to stand on a set.
func (n *nearby) avoided(d fact.Digest) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.avoid[d]
}

// drop lets nothing stand on a set from now on.
func (n *nearby) drop(d fact.Digest) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.avoid[d] = true
	for _, s := range n.sections {
		if s.have[d] {
			for at := range s.digests {
				if s.digests[at] == d {
					s.empty(uint8(at))
				}
			}
		}
	}
}

func (n *nearby) sample(facts []fact.Fact) (all []uint64) {
	var h maphash.Hash
	h.SetSeed(n.seed)
	for _, f := range facts {
		h.Reset()
		_, _ = h.WriteString(f.Path) // never fails, see hash/maphash
		_ = h.WriteByte(0)
		_, _ = h.WriteString(f.Value)
		if sum := h.Sum64(); len(facts) <= sampleAll || sum%sampleOne == 0 {
			all = append(all, sum)
		}
	}
	return all
}

// add makes a whole known.
func (n *nearby) add(w *whole) {
	if len(w.enc) < nearLeast || len(w.enc) > nearMost {
		return
	}
	section := w.facts[0].Section()
	n.mu.Lock()
	defer n.mu.Unlock()
	s := n.sections[section]
	if s == nil {
		s = &wholes{have: map[fact.Digest]bool{}, by: map[uint64][]uint8{}}
		n.sections[section] = s
	}
	if s.have[w.digest] || n.avoid[w.digest] {
		return
	}
	at := uint8(s.next)
	s.next = (s.next + 1) % nearWholes
	s.empty(at)
	s.digests[at], s.samples[at], s.have[w.digest] = w.digest, n.sample(w.facts), true
	for _, sum := range s.samples[at] {
		s.by[sum] = append(s.by[sum], at)
	}
}

// empty frees a place.
func (s *wholes) empty(at uint8) {
	for _, sum := range s.samples[at] {
		s.forget(sum, at)
	}
	delete(s.have, s.digests[at])
	s.digests[at], s.samples[at] = fact.Digest{}, nil
}

func (s *wholes) forget(sum uint64, at uint8) {
	places := s.by[sum]
	for i, p := range places {
		if p == at {
			places = append(places[:i], places[i+1:]...)
			break
		}
	}
	if len(places) == 0 {
		delete(s.by, sum)
		return
	}
	s.by[sum] = places
}

// to returns the digest of the nearest whole; ok is false if none shares half of
// the sample.
func (n *nearby) to(facts []fact.Fact) (d fact.Digest, ok bool) {
	sample := n.sample(facts)
	n.mu.Lock()
	defer n.mu.Unlock()
	s := n.sections[facts[0].Section()]
	if s == nil {
		return d, false
	}
	var common [nearWholes]int
	for _, sum := range sample {
		for _, at := range s.by[sum] {
			common[at]++
		}
	}
	best := 0
	for at, c := range common {
		if c > common[best] {
			best = at
		}
	}
	return s.digests[best], common[best]*2 > len(sample)
}
