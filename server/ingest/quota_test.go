package ingest

import (
	"errors"
	"fmt"
	"testing"

	"rollcall/internal/fact"
)

// P13: a machine that has far too much, or sends without end, is refused in words;
// ten others beside it are recorded all the time.
func TestABadAgentIsRefusedAndTenGoodOnesAreNot(t *testing.T) {
	onEngines(t, func(t *testing.T, h *house) {
		bad := h.machine("bad")
		many := func(section string, n int) map[string]fact.Set {
			var facts []fact.Fact
			for i := range n {
				f := fact.Fact{Path: fmt.Sprintf("pkg/p%06d/version", i), Value: "1"}
				if section == "etc" {
					f = fact.Fact{Path: fmt.Sprintf("etc/f%06d", i), Value: fact.File{Kind: fact.KindDir, Owner: "root", Group: "root"}.String()}
				}
				facts = append(facts, f)
			}
			return map[string]fact.Set{section: fact.NewSet(facts)}
		}
		var good []*agent
		for i := range 10 {
			good = append(good, h.machine(fmt.Sprintf("good%d", i)))
		}
		refused := 0
		for round := range 3 {
			for _, section := range []string{"etc", "pkg"} {
				if _, err := bad.submit(bad.seal(bad.draft(many(section, maxFiles+1), true))); !errors.Is(err, ErrQuota) {
					t.Errorf("%d of section %s: %v, want ErrQuota", maxFiles+1, section, err)
				}
				refused++
			}
			for i, a := range good {
				state := map[string]fact.Set{"pkg": packages(5 + round)}
				raw := a.seal(a.draft(state, round == 0))
				res, err := a.submit(raw)
				if err != nil || res.Outcome != Recorded {
					t.Fatalf("good machine %d: %v, %v", i, res.Outcome, err)
				}
				a.acknowledged(raw, state)
			}
		}
		if res, err := bad.submit(bad.seal(bad.draft(many("pkg", 200), true))); err != nil || res.Outcome != Recorded {
			t.Errorf("the bad machine with what is usual, after %d refusals: %v, %v", refused, res.Outcome, err)
		}
	})
}
