package server

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"rollcall/internal/fact"
	rollcallv1 "rollcall/proto/rollcall/v1"

	"google.golang.org/protobuf/proto"
)

// scatter gives a machine facts that differ here and there, some of them in the
// sections that are compared as a whole.
func scatter(m *machine, rng *rand.Rand, broken bool) {
	put := func(section string, facts ...fact.Fact) {
		m.Facts[section] = fact.NewSet(append(append([]fact.Fact{}, m.Facts[section]...), facts...))
	}
	for range rng.IntN(6) {
		m.Upgrade(rng.IntN(30), rng.IntN(3))
	}
	if broken || rng.IntN(6) == 0 {
		put("svc", fact.Fact{Path: "svc/bad.service", Value: "enabled"})
	}
	put("pkg", fact.Fact{Path: "pkg/package-0003/source", Value: "three"}, fact.Fact{Path: fmt.Sprintf("pkg/extra-%d/version", rng.IntN(5)), Value: "1"})
	put("hw", fact.Fact{Path: fmt.Sprintf("hw/pci/0000:0%d:00.0", rng.IntN(3)), Value: "10ec:8168 class=020000 rev=01"}, fact.Fact{Path: "hw/pci/0000:09:00.0", Value: "8086:1533 class=020000 rev=01"})
	put("os", fact.Fact{Path: "os/kernel", Value: fmt.Sprintf("6.1.0-%d-amd64", 30+rng.IntN(2))}, fact.Fact{Path: "os/kernels/6.1.0-31-amd64", Value: "installed"})
	put("module", fact.Fact{Path: "module/ext4", Value: "loaded"}, fact.Fact{Path: fmt.Sprintf("module/m%d", rng.IntN(4)), Value: "loaded"})
}

// TestTheIndexGivesTheAnswerThatReadingGives asks the same question of the index
// and, as of this moment, of the store.
func TestTheIndexGivesTheAnswerThatReadingGives(t *testing.T) {
	for seed := range uint64(4) {
		r := start(t)
		rng := rand.New(rand.NewPCG(seed, 1))
		var broken, working []string
		for i := range 14 {
			m := r.machine(300 + uint64(i))
			scatter(m, rng, i < 5)
			m.report(t, true)
			if i < 5 {
				broken = append(broken, m.ci)
			} else {
				working = append(working, m.ci)
			}
		}
		req := &rollcallv1.CompareRequest{Broken: "ci in (" + strings.Join(broken, ", ") + ")", WorkingNames: working, Limit: 200}
		byIndex, err := r.kari.Compare(t.Context(), req)
		if err != nil {
			t.Fatal(err)
		}
		if byIndex.GetBrokenOf() != 5 || byIndex.GetWorkingOf() != 9 {
			t.Fatalf("seed %d: of %d and %d: the index was not asked", seed, byIndex.GetBrokenOf(), byIndex.GetWorkingOf())
		}
		req.AtMs = time.Now().Add(time.Hour).UnixMilli()
		reading, err := r.kari.Compare(t.Context(), req)
		if err != nil {
			t.Fatal(err)
		}
		byIndex.BrokenOf, byIndex.WorkingOf = 0, 0
		if !proto.Equal(byIndex, reading) {
			t.Errorf("seed %d: the index says\n%v\nreading\n%v", seed, byIndex, reading)
		}
		if len(reading.GetRows()) < 3 {
			t.Errorf("seed %d: only %d rows: the machines are too much alike to tell", seed, len(reading.GetRows()))
		}
	}
}
