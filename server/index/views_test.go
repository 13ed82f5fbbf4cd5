package index

import (
	"slices"
	"testing"

	"rollcall/server/cmdb"
)

// TestPathsOfOwnFactsAreThoseOfTheFacts holds that what skips the values finds the
// same paths as what reads them, in whatever form they are kept.
func TestPathsOfOwnFactsAreThoseOfTheFacts(t *testing.T) {
	s, err := simulate(120, 7)
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	err = s.ix.Look(cmdb.Everywhere, func(v View) error {
		for set := range uint32(v.f.sets.n) {
			own := v.f.formOf(set).own
			var want []pathID
			for o := range v.f.ownFacts(own) {
				want = append(want, o.path)
			}
			if got := slices.Collect(v.f.ownPaths(own)); !slices.Equal(got, want) {
				t.Fatalf("set %d: paths %v, want %v", set, got, want)
			}
			seen += len(want)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if seen < 1000 {
		t.Errorf("only %d facts of their own", seen)
	}
}
