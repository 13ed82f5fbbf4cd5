package server

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"rollcall/internal/fact"
	rollcallv1 "rollcall/proto/rollcall/v1"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
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

// TestUnsoundGroupsAreSaid asks, through the index and of the store, about groups that
// overlap, are empty or too small.
func TestUnsoundGroupsAreSaid(t *testing.T) {
	r := start(t)
	rng := rand.New(rand.NewPCG(9, 1))
	var cis []string
	for i := range 8 {
		m := r.machine(300 + uint64(i))
		scatter(m, rng, i < 4)
		m.report(t, true)
		cis = append(cis, m.ci)
	}
	for _, at := range []int64{0, time.Now().Add(time.Hour).UnixMilli()} {
		ask := func(broken, working []string) (*rollcallv1.CompareReply, error) {
			return r.kari.Compare(t.Context(), &rollcallv1.CompareRequest{BrokenNames: broken, WorkingNames: working, AtMs: at})
		}
		overlap, err := ask(cis[:5], cis[4:])
		if err != nil || !strings.Contains(strings.Join(overlap.GetNotes(), "\n"), "1 machines are in both groups and were left out") {
			t.Errorf("at %d, overlap: %v, notes %q", at, err, overlap.GetNotes())
		}
		for _, row := range overlap.GetRows() {
			if row.GetBrokenAll() != 4 || row.GetWorkingAll() != 3 {
				t.Errorf("at %d, overlap: %q counts %d and %d machines, want 4 and 3", at, row.GetWhat(), row.GetBrokenAll(), row.GetWorkingAll())
			}
		}
		small, err := ask(cis[:1], cis[1:])
		if err != nil || !strings.Contains(strings.Join(small.GetNotes(), "\n"), "the smaller group has 1 machines") {
			t.Errorf("at %d, one machine: %v, notes %q", at, err, small.GetNotes())
		}
		if _, err = ask(cis[:4], cis[:4]); status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), "all of its 4 machines are in the other group too") {
			t.Errorf("at %d, the same machines twice: %v", at, err)
		}
		_, err = r.kari.Compare(t.Context(), &rollcallv1.CompareRequest{Broken: "name = nobody", WorkingNames: cis, AtMs: at})
		if status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), "its filter selects no machine that has reported") {
			t.Errorf("at %d, nobody: %v", at, err)
		}
	}
}
