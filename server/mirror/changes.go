package mirror

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"rollcall/internal/fact"
)

// sectionChange is what one revision changed in one section.
type sectionChange struct {
	old, new Facts
	listed   []factChange
	isListed bool
}

// changes lists what differs, in the order of paths. Of a nil change, nothing does.
func (ch *sectionChange) changes() []factChange {
	if ch == nil {
		return nil
	}
	if !ch.isListed {
		ch.listed, ch.isListed = diff(ch.old, ch.new), true
	}
	return ch.listed
}

// sections loads every section that a revision changed.
func (m *Mirror) sections(ctx context.Context, r Rev) (map[string]*sectionChange, error) {
	all := map[string]*sectionChange{}
	names := maps.Clone(r.State)
	if names == nil {
		names = fact.State{}
	}
	maps.Copy(names, r.Prev)
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if r.State[name] == r.Prev[name] {
			continue
		}
		ch := &sectionChange{}
		var err error
		if ch.old, err = m.section(ctx, r.Prev, name); err != nil {
			return nil, fmt.Errorf("section %s: %w", name, err)
		}
		if ch.new, err = m.section(ctx, r.State, name); err != nil {
			return nil, fmt.Errorf("section %s: %w", name, err)
		}
		all[name] = ch
	}
	return all, nil
}

// section loads a section of a state; one that is not there is empty.
func (m *Mirror) section(ctx context.Context, s fact.State, name string) (Facts, error) {
	d, ok := s[name]
	if !ok || d.IsZero() {
		return Facts{}, nil
	}
	return m.source.Set(ctx, d)
}
