package index

import (
	"cmp"
	"context"
	"slices"
	"testing"

	"rollcall/server/cmdb"
)

// TestTheNearestAreThoseThatReadingFinds orders all CIs as reading every head
// would.
func TestTheNearestAreThoseThatReadingFinds(t *testing.T) {
	w := newWorld(t, 14)
	for range 120 {
		w.add()
	}
	w.follow()
	for _, scope := range []cmdb.Scope{cmdb.Everywhere, cmdb.Within("elm")} {
		for _, class := range []string{"workstation", "laptop", ""} {
			for _, site := range []string{"elm/north", "elm", "oak", "", "pine/x"} {
				var want []cmdb.CI
				if err := w.ix.view(context.Background(), func(v cmdb.View) error {
					for ci, err := range v.All() {
						if err != nil {
							return err
						}
						if ci.Class == class && len(ci.State) > 0 && scope.Sees(ci.Site) {
							want = append(want, ci)
						}
					}
					return nil
				}); err != nil {
					t.Fatal(err)
				}
				slices.SortFunc(want, func(a, b cmdb.CI) int {
					return cmp.Or(cmp.Compare(Common(b.Site, site), Common(a.Site, site)), cmp.Compare(a.Name, b.Name))
				})
				for _, most := range []int{1, 10, 200} {
					w.look(scope, func(v View) {
						got := v.Near(class, site, most)
						if len(got) != min(most, len(want)) {
							t.Fatalf("%s %q at %q: %d found, want %d", scope, class, site, len(got), min(most, len(want)))
						}
						for i, slot := range got {
							if v.ID(slot) != want[i].ID {
								t.Fatalf("%s %q at %q: place %d is %s, want %s", scope, class, site, i, v.Name(slot), want[i].Name)
							}
						}
					})
				}
			}
		}
	}
}
