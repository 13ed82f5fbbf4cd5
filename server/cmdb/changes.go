package cmdb

import (
	"maps"
	"slices"
	"strings"
	"time"

	"rollcall/internal/fact"
)

// FactChange is what one revision did to one fact; empty means absent.
type FactChange struct{ Path, Old, New string }

// FactChanges lists what a revision changed below prefix ("" = everything), by
// path. For many revisions and one prefix, see Glance.
func (v View) FactChanges(r Revision, prefix string) ([]FactChange, error) {
	return v.Glance().Changes(r, prefix)
}

// Changes lists what a revision changed below prefix ("" = everything), by path.
func (g *Glance) Changes(r Revision, prefix string) ([]FactChange, error) {
	sections := maps.Clone(r.State)
	if sections == nil {
		sections = fact.State{}
	}
	maps.Copy(sections, r.Prev)
	var out []FactChange
	for _, section := range slices.Sorted(maps.Keys(sections)) {
		if r.State[section] == r.Prev[section] || !mayHold(section, prefix) {
			continue
		}
		changes, err := g.section(r.Prev[section], r.State[section], prefix)
		if err != nil {
			return nil, err
		}
		out = append(out, changes...)
	}
	return out, nil
}

// section lists what is different below prefix between two sets of one section.
// Where that is nearly everything, what the sets have otherwise than the whole that
// they stand on is looked at; where it is little, only that is read.
func (g *Glance) section(old, now fact.Digest, prefix string) ([]FactChange, error) {
	if !strings.Contains(prefix, "/") {
		return g.v.between(old, now)
	}
	tree := strings.TrimSuffix(prefix, "/")
	a, err := g.Facts(old, tree)
	if err != nil {
		return nil, err
	}
	b, err := g.Facts(now, tree)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(differences(a, b), func(c FactChange) bool { return !fact.Under(c.Path, prefix) }), nil
}

// between lists what is different between two sets; a zero digest has no facts.
func (v View) between(old, now fact.Digest) ([]FactChange, error) {
	var sides [2]*held
	for i, d := range []fact.Digest{old, now} {
		if d.IsZero() {
			sides[i] = &held{whole: &whole{}}
			continue
		}
		h, err := v.sets.load(v.r, v.tenant, d, 0)
		if err != nil {
			return nil, err
		}
		sides[i] = h
	}
	a, b := sides[0], sides[1]
	if a.whole != b.whole {
		return differences(a.set(), b.set()), nil
	}
	var out []FactChange
	for _, e := range a.whole.between(a.patch, b.patch) {
		c := FactChange{Path: e.Path, New: e.Value}
		c.Old, _ = a.whole.get(a.patch, e.Path)
		out = append(out, c)
	}
	return out, nil
}

// differences lists what is different between two sorted lists of facts.
func differences(old, now fact.Set) []FactChange {
	var out []FactChange
	for len(old) > 0 || len(now) > 0 {
		switch {
		case len(now) == 0 || len(old) > 0 && old[0].Path < now[0].Path:
			out, old = append(out, FactChange{Path: old[0].Path, Old: old[0].Value}), old[1:]
		case len(old) == 0 || now[0].Path < old[0].Path:
			out, now = append(out, FactChange{Path: now[0].Path, New: now[0].Value}), now[1:]
		default:
			if old[0].Value != now[0].Value {
				out = append(out, FactChange{Path: now[0].Path, Old: old[0].Value, New: now[0].Value})
			}
			old, now = old[1:], now[1:]
		}
	}
	return out
}

func mayHold(section, prefix string) bool {
	return prefix == "" || fact.SectionOf(prefix) == section
}

// LastChange returns the newest revision of a CI, at or before the one numbered
// from, that changed something below prefix; ok is false if none did.
func (v View) LastChange(ci CI, from uint64, prefix string) (r Revision, ok bool, err error) {
	ci.Rev = min(ci.Rev, from)
	for step, err := range v.Glance().Trail(ci, prefix, time.Time{}) {
		if err != nil {
			return r, false, err
		}
		r, err = v.revision(ci.ID, step.N)
		return r, err == nil, err
	}
	return Revision{}, false, nil
}
