package mirror

import (
	"cmp"
	"slices"
	"strings"

	"rollcall/internal/fact"
)

// Facts is a fact set, told as what it has otherwise than a whole one: sets of
// machines that are alike stand on the same whole. Nothing of it may be changed.
type Facts struct {
	Whole fact.Digest // of Base; zero says nothing about who else stands on it
	Base  fact.Set
	Put   []fact.Fact // by path: in place of those of Base, or beside them
	Drop  []string    // by path: what Base has and the set has not
}

func (f Facts) get(path string) (string, bool) {
	if v, ok := fact.Set(f.Put).Get(path); ok {
		return v, true
	}
	if f.drops(path) {
		return "", false
	}
	return f.Base.Get(path)
}

func (f Facts) drops(path string) bool {
	_, gone := slices.BinarySearch(f.Drop, path)
	return gone
}

// below tells whether there is a fact whose path begins with prefix.
func (f Facts) below(prefix string) bool {
	if len(fact.Set(f.Put).Below(prefix)) > 0 {
		return true
	}
	for i := firstFrom(f.Base, prefix); i < len(f.Base) && strings.HasPrefix(f.Base[i].Path, prefix); i++ {
		if !f.drops(f.Base[i].Path) {
			return true
		}
	}
	return false
}

func firstFrom(s fact.Set, path string) int {
	i, _ := slices.BinarySearchFunc(s, path, func(f fact.Fact, p string) int { return cmp.Compare(f.Path, p) })
	return i
}

// empty tells whether the set has no facts.
func (f Facts) empty() bool { return len(f.Put) == 0 && len(f.Base) == len(f.Drop) }

// base is the whole that the set stands on, as a set of its own.
func (f Facts) base() Facts { return Facts{Whole: f.Whole, Base: f.Base} }

// count is the number of facts that fit.
func (f Facts) count(fits func(path string) bool) int {
	n := 0
	for _, b := range f.Base {
		if fits(b.Path) {
			n++
		}
	}
	for _, p := range f.Put {
		if _, has := f.Base.Get(p.Path); !has && fits(p.Path) {
			n++
		}
	}
	for _, p := range f.Drop {
		if fits(p) {
			n--
		}
	}
	return n
}

// set puts all facts together.
func (f Facts) set() fact.Set {
	if len(f.Put) == 0 && len(f.Drop) == 0 {
		return f.Base
	}
	out := make(fact.Set, 0, len(f.Base)+len(f.Put))
	rest := f.Base
	for _, o := range f.others() {
		at := firstFrom(rest, o.Path)
		out, rest = append(out, rest[:at]...), rest[at:]
		if !o.gone {
			out = append(out, o.Fact)
		}
		if len(rest) > 0 && rest[0].Path == o.Path {
			rest = rest[1:]
		}
	}
	return append(out, rest...)
}

// other is what a set has at a path otherwise than its whole.
type other struct {
	fact.Fact
	gone bool
}

// others lists, by path, what the set has otherwise than its whole.
func (f Facts) others() []other {
	all := make([]other, 0, len(f.Put)+len(f.Drop))
	put, drop := f.Put, f.Drop
	for len(put) > 0 || len(drop) > 0 {
		if len(drop) == 0 || len(put) > 0 && put[0].Path < drop[0] {
			all, put = append(all, other{Fact: put[0]}), put[1:]
		} else {
			all, drop = append(all, other{fact.Fact{Path: drop[0]}, true}), drop[1:]
		}
	}
	return all
}

// factChange is one fact that differs; was and is tell on which sides it is.
type factChange struct {
	path     string
	old, new string
	was, is  bool
}

// diff lists what differs, in the order of paths. Of sets on the same whole only
// what they have otherwise than it is looked at.
func diff(old, new Facts) []factChange {
	if old.Whole.IsZero() || old.Whole != new.Whole {
		return diffSets(old.set(), new.set())
	}
	var all []factChange
	tell := func(path string) {
		c := factChange{path: path}
		c.old, c.was = old.get(path)
		c.new, c.is = new.get(path)
		if c.was != c.is || c.old != c.new {
			all = append(all, c)
		}
	}
	a, b := old.others(), new.others()
	for len(a) > 0 || len(b) > 0 {
		switch {
		case len(b) == 0 || len(a) > 0 && a[0].Path < b[0].Path:
			tell(a[0].Path)
			a = a[1:]
		case len(a) == 0 || b[0].Path < a[0].Path:
			tell(b[0].Path)
			b = b[1:]
		default:
			if a[0] != b[0] {
				tell(a[0].Path)
			}
			a, b = a[1:], b[1:]
		}
	}
	return all
}

func diffSets(old, new fact.Set) []factChange {
	var all []factChange
	for i, j := 0, 0; i < len(old) || j < len(new); {
		switch {
		case j == len(new) || i < len(old) && old[i].Path < new[j].Path:
			all = append(all, factChange{path: old[i].Path, old: old[i].Value, was: true})
			i++
		case i == len(old) || old[i].Path > new[j].Path:
			all = append(all, factChange{path: new[j].Path, new: new[j].Value, is: true})
			j++
		default:
			if old[i].Value != new[j].Value {
				all = append(all, factChange{path: old[i].Path, old: old[i].Value, new: new[j].Value, was: true, is: true})
			}
			i, j = i+1, j+1
		}
	}
	return all
}
