package collect

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"rollcall/internal/fact"
)

func TestOrderedFactsMakeTheSameSet(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for n := range 200 {
		var facts []fact.Fact
		for i := range n {
			facts = append(facts, fact.Fact{Path: fmt.Sprintf("pkg/p%d/version", r.IntN(n)), Value: fmt.Sprint(i)})
		}
		want := fact.NewSet(slices.Clone(facts)) // of two with one path, the later
		if got := fact.NewSet(ordered(facts)); !slices.Equal(got, want) {
			t.Fatalf("%d facts: %v, want %v", n, got, want)
		}
	}
}
