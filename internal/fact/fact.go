// Package fact holds the first noun of Rollcall: a fact is one observed
// "path = value" of a configuration item (CI), for example
// "pkg/cups/version = 2.4.2-3+deb12u8".
//
// Facts live in sorted sets, one set per section; the section is the first
// component of the path. Sets have one canonical encoding, which is what is
// hashed, sent and stored, so that identical sets are recognised by their
// digest. Deltas lead from one set to the next.
//
// The package promises that every path and value that passes Check is valid
// UTF-8 without control characters: foreign bytes are escaped where they enter
// (Escape), so that they are inert in every terminal, page and file later on.
// What a fact means (how it is collected, compared or shown) is left to others.
package fact

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Limits of a single fact and of a set. An agent that exceeds them is refused;
// changing them upwards needs a server that is upgraded before its agents.
const (
	MaxPath  = 4096    // bytes of a path after escaping
	MaxValue = 8192    // bytes of a value after escaping
	MaxFacts = 100_000 // facts of one section
)

// Fact is one observed value. Path and Value are in escaped form (see Escape).
type Fact struct {
	Path  string // section first, for example "net/enp3s0/mac"
	Value string
}

// Section returns the first component of the fact's path.
func (f Fact) Section() string { return SectionOf(f.Path) }

// SectionOf returns the first component of a path: "pkg" of "pkg/cups/version".
func SectionOf(path string) string {
	section, _, _ := strings.Cut(path, "/")
	return section
}

// Check returns an error that names the fact if its path or value breaks the
// rules of the package: a path has at least two non-empty components, neither
// path nor value holds a control character or is longer than the limits.
func (f Fact) Check() error {
	if len(f.Path) > MaxPath || len(f.Value) > MaxValue {
		return fmt.Errorf("fact %.80q: path or value longer than %d or %d bytes", f.Path, MaxPath, MaxValue)
	}
	section, rest, ok := strings.Cut(f.Path, "/")
	if !ok || strings.Trim(rest, "/") == "" || !ValidSection(section) {
		return fmt.Errorf("fact %.80q: path needs a section and a name", f.Path)
	}
	if !inert(f.Path) || !inert(f.Value) {
		return fmt.Errorf("fact %.80q: path or value holds a control character or bad UTF-8", f.Path)
	}
	return nil
}

// ValidSection tells whether name can be a section: 1 to 16 lower-case letters.
func ValidSection(name string) bool {
	if name == "" || len(name) > 16 {
		return false
	}
	for i := range len(name) {
		if name[i] < 'a' || name[i] > 'z' {
			return false
		}
	}
	return true
}

// Set is a list of facts sorted by path, each path at most once.
type Set []Fact

// NewSet sorts facts by path; of several facts with the same path the last one
// given wins. The slice is taken over by the set.
func NewSet(facts []Fact) Set {
	slices.SortStableFunc(facts, func(a, b Fact) int { return cmp.Compare(a.Path, b.Path) })
	out := facts[:0]
	for i, f := range facts {
		if i+1 < len(facts) && facts[i+1].Path == f.Path {
			continue
		}
		out = append(out, f)
	}
	return Set(out)
}

// Get returns the value at path and whether there is one.
func (s Set) Get(path string) (string, bool) {
	i, ok := slices.BinarySearchFunc(s, path, func(f Fact, p string) int { return cmp.Compare(f.Path, p) })
	if !ok {
		return "", false
	}
	return s[i].Value, true
}

// Below returns the part of the set whose paths begin with prefix, for example
// "pkg/cups/". The result shares the set's memory.
func (s Set) Below(prefix string) Set {
	from, _ := slices.BinarySearchFunc(s, prefix, func(f Fact, p string) int { return cmp.Compare(f.Path, p) })
	to := from
	for to < len(s) && strings.HasPrefix(s[to].Path, prefix) {
		to++
	}
	return s[from:to]
}

// Check returns an error for the first fact that breaks the rules, that does not
// belong to section, or that is out of order.
func (s Set) Check(section string) error {
	if len(s) > MaxFacts {
		return fmt.Errorf("section %q: %d facts, at most %d are allowed", section, len(s), MaxFacts)
	}
	for i, f := range s {
		if err := f.Check(); err != nil {
			return fmt.Errorf("section %q: %w", section, err)
		}
		if f.Section() != section {
			return fmt.Errorf("section %q: fact %.80q belongs to another section", section, f.Path)
		}
		if i > 0 && s[i-1].Path >= f.Path {
			return fmt.Errorf("section %q: fact %.80q is out of order", section, f.Path)
		}
	}
	return nil
}

// Split groups facts by section into sets.
func Split(facts []Fact) map[string]Set {
	groups := map[string][]Fact{}
	for _, f := range facts {
		groups[f.Section()] = append(groups[f.Section()], f)
	}
	sets := make(map[string]Set, len(groups))
	for section, fs := range groups {
		sets[section] = NewSet(fs)
	}
	return sets
}
