package sim

import (
	"slices"
	"strings"
	"sync"

	"rollcall/internal/fact"
)

// Base is a set of facts that many machines share. It is made once; machines
// that have it name the same one.
type Base struct {
	ID    int    // 1, 2, …; no two bases of a fleet have the same
	Name  string // of the section
	Facts fact.Set

	once   sync.Once
	digest fact.Digest
}

// Digest is that of the facts, computed once.
func (b *Base) Digest() fact.Digest {
	b.once.Do(func() { b.digest = b.Facts.Digest() })
	return b.digest
}

// Section is what one machine has in a section: the shared base, and what is
// different on this machine. It must not be changed.
type Section struct {
	Name string
	Base *Base
	Put  []fact.Fact // sorted by path; in place of the base's, or beside them
	Drop []string    // sorted; paths of the base that this machine lacks
}

// Get returns the value at path and whether there is one.
func (s Section) Get(path string) (string, bool) {
	if v, ok := fact.Set(s.Put).Get(path); ok {
		return v, true
	}
	if _, gone := slices.BinarySearch(s.Drop, path); gone || s.Base == nil {
		return "", false
	}
	return s.Base.Facts.Get(path)
}

// Set returns the whole set, the base's own where nothing is different.
func (s Section) Set() fact.Set {
	if len(s.Put) == 0 && len(s.Drop) == 0 {
		return s.Base.Facts
	}
	out := make(fact.Set, 0, len(s.Base.Facts)+len(s.Put))
	put, drop := s.Put, s.Drop
	for _, f := range s.Base.Facts {
		for len(put) > 0 && put[0].Path < f.Path {
			out, put = append(out, put[0]), put[1:]
		}
		for len(drop) > 0 && drop[0] < f.Path {
			drop = drop[1:]
		}
		switch {
		case len(put) > 0 && put[0].Path == f.Path:
			out, put = append(out, put[0]), put[1:]
		case len(drop) > 0 && drop[0] == f.Path:
		default:
			out = append(out, f)
		}
	}
	return append(out, put...)
}

// Digest is that of the whole set.
func (s Section) Digest() fact.Digest {
	if len(s.Put) == 0 && len(s.Drop) == 0 {
		return s.Base.Digest()
	}
	return s.Set().Digest()
}

// changes gives what leads from an older section to a newer one. Bases are
// compared once for each pair of them, by the function between.
func changes(old, now Section, between func(a, b *Base) []string) (put []fact.Fact, drop []string) {
	var paths []string
	if old.Base != now.Base {
		paths = append(paths, between(old.Base, now.Base)...)
	}
	for _, s := range []Section{old, now} {
		for _, f := range s.Put {
			paths = append(paths, f.Path)
		}
		paths = append(paths, s.Drop...)
	}
	slices.Sort(paths)
	for _, p := range slices.Compact(paths) {
		was, had := old.Get(p)
		is, has := now.Get(p)
		switch {
		case has && (!had || was != is):
			put = append(put, fact.Fact{Path: p, Value: is})
		case had && !has:
			drop = append(drop, p)
		}
	}
	return put, drop
}

// differing lists the paths in which two sets differ.
func differing(a, b fact.Set) (paths []string) {
	i, j := 0, 0
	for i < len(a) || j < len(b) {
		order := 0
		switch {
		case j == len(b):
			order = -1
		case i == len(a):
			order = 1
		default:
			order = strings.Compare(a[i].Path, b[j].Path)
		}
		switch {
		case order < 0:
			paths = append(paths, a[i].Path)
			i++
		case order > 0:
			paths = append(paths, b[j].Path)
			j++
		default:
			if a[i].Value != b[j].Value {
				paths = append(paths, a[i].Path)
			}
			i, j = i+1, j+1
		}
	}
	return paths
}
