package cmdb

import (
	"fmt"
	"maps"
	"slices"

	"rollcall/internal/fact"
)

// Derived is a state that follows from facts which no agent has reported as deltas,
// and the sets that the store may lack for it.
type Derived struct {
	State fact.State
	Sets  []Prepared
}

// Derive works out the state of a CI that has just these facts. It returns an error
// for facts that no set may hold.
func (v View) Derive(was fact.State, facts []fact.Fact) (Derived, error) {
	now := fact.Split(facts)
	sections := maps.Clone(now)
	for section := range was {
		sections[section] = now[section]
	}
	next := Derived{State: fact.State{}}
	for _, section := range slices.Sorted(maps.Keys(sections)) {
		set := fact.NewSet(sections[section])
		if len(set) == 0 {
			continue
		}
		shown, err := v.Set(was, section)
		if err != nil {
			return Derived{}, err
		}
		d := fact.Diff(shown, set)
		next.State[section] = d.Result
		if d.Empty() {
			continue
		}
		if err := set.Check(section); err != nil {
			return Derived{}, fmt.Errorf("%w: %w", ErrInvalid, err)
		}
		p, err := v.sets.Derive(v.r, v.tenant, d.Encode())
		if err != nil {
			return Derived{}, err
		}
		next.Sets = append(next.Sets, p)
	}
	return next, nil
}

// PutSets stores sets that are packed, and returns those that the store lacked: they
// are for Sets.Keep once the transaction is committed.
func (w Writer) PutSets(sets *Sets, all []Prepared) (stored []Prepared, err error) {
	for _, p := range all {
		isNew, err := sets.Put(w.tx, w.tenant, p)
		if err != nil {
			return nil, err
		}
		if isNew {
			stored = append(stored, p)
		}
	}
	return stored, nil
}
