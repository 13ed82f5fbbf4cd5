package collect

import (
	"cmp"
	"slices"

	"rollcall/internal/fact"
)

// ordered returns the facts by path, those of one path in the order they had.
// Numbers are sorted instead of facts: moving thousands of strings while the
// garbage collector watches each move costs several times as much.
func ordered(facts []fact.Fact) []fact.Fact {
	order := make([]int32, len(facts))
	for i := range order {
		order[i] = int32(i)
	}
	slices.SortFunc(order, func(a, b int32) int {
		return cmp.Or(cmp.Compare(facts[a].Path, facts[b].Path), cmp.Compare(a, b))
	})
	out := make([]fact.Fact, len(facts))
	for i, from := range order {
		out[i] = facts[from]
	}
	return out
}
