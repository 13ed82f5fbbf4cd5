package sim

import (
	"slices"
	"sync"

	"rollcall/internal/fact"
)

// bases keeps the bases of the present and the last virtual day.
type bases struct {
	mu        sync.Mutex
	made      int
	now, last map[baseKey]*Base
	paths     map[[2]*Base][]string
	texts     map[string]string // see intern
}

// baseKey is what decides a base.
type baseKey struct {
	section string
	profile Profile
	a, b    int
}

// get returns the base of a key, and makes it if it is not there.
func (b *bases) get(key baseKey, make func() []fact.Fact) *Base {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.now == nil {
		b.now = map[baseKey]*Base{}
	}
	base := b.now[key]
	if base == nil {
		if base = b.last[key]; base == nil {
			b.made++
			base = &Base{ID: b.made, Name: key.section, Facts: slices.Clone(fact.NewSet(make()))} // without room to grow
		}
		b.now[key] = base
	}
	return base
}

// between lists the paths in which two bases differ, once for each pair.
func (b *bases) between(x, y *Base) []string {
	if x == nil || y == nil {
		return differing(factsOf(x), factsOf(y))
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	paths, ok := b.paths[[2]*Base{x, y}]
	if !ok {
		if b.paths == nil {
			b.paths = map[[2]*Base][]string{}
		}
		paths = differing(x.Facts, y.Facts)
		b.paths[[2]*Base{x, y}] = paths
	}
	return paths
}

func factsOf(b *Base) fact.Set {
	if b == nil {
		return nil
	}
	return b.Facts
}

// age forgets what nobody asked for during the last day.
func (b *bases) age() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.last, b.now, b.paths = b.now, nil, nil
}

// intern returns the one copy of a text that the bases of a fleet share. It is
// called by what makes a base.
func (b *bases) intern(s string) string {
	if have, ok := b.texts[s]; ok {
		return have
	}
	if b.texts == nil {
		b.texts = map[string]string{}
	}
	b.texts[s] = s
	return s
}
