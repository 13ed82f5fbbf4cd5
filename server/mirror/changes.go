package mirror

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"rollcall/internal/fact"
)

// factChange is one fact that differs; was and is tell on which sides it is.
type factChange struct {
	path     string
	old, new string
	was, is  bool
}

// diffSets lists what differs, in the order of paths.
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

// sectionChange is what one revision changed in one section.
type sectionChange struct {
	old, new fact.Set
	changes  []factChange
}

// sections loads and compares every section that a revision changed.
func (m *Mirror) sections(ctx context.Context, r Rev) (map[string]sectionChange, error) {
	all := map[string]sectionChange{}
	names := maps.Clone(r.State)
	if names == nil {
		names = fact.State{}
	}
	maps.Copy(names, r.Prev)
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if r.State[name] == r.Prev[name] {
			continue
		}
		var ch sectionChange
		var err error
		if ch.old, err = m.section(ctx, r.Prev, name); err != nil {
			return nil, fmt.Errorf("section %s: %w", name, err)
		}
		if ch.new, err = m.section(ctx, r.State, name); err != nil {
			return nil, fmt.Errorf("section %s: %w", name, err)
		}
		ch.changes = diffSets(ch.old, ch.new)
		all[name] = ch
	}
	return all, nil
}

// section loads a section of a state; one that is not there is empty.
func (m *Mirror) section(ctx context.Context, s fact.State, name string) (fact.Set, error) {
	d, ok := s[name]
	if !ok || d.IsZero() {
		return nil, nil
	}
	return m.source.Set(ctx, d)
}
