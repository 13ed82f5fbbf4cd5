package server

import (
	"testing"

	"rollcall/internal/fact"
	"rollcall/internal/identity"
	rollcallv1 "rollcall/proto/rollcall/v1"
)

// Who approves a machine is told which known one it may be, by what it shows: from
// the index, and from the store while there is none.
func TestAMachineThatWaitsIsLikenedToTheOneWhoseEvidenceItShows(t *testing.T) {
	r := start(t)
	for n := range 3 {
		m := r.machine(uint64(n + 1))
		body(m.Machine, n+1)
		if n == 2 { // a value of two is nobody's
			m.Facts["id"] = fact.NewSet([]fact.Fact{{Path: "id/hostname", Value: m.Name}, {Path: "id/uuid", Value: "5a7d1c40-4218-4287-a3ef-000000000002"}})
		}
		m.report(t, true)
	}
	tests := []struct {
		name      string
		id, net   []fact.Fact
		like, why string
	}{
		{"with a known card", nil, []fact.Fact{{Path: "net/eno1/permanent", Value: "02:00:00:00:00:01"}}, "sim-00001", "probably one machine: the same permanent MAC"},
		{"with a known card in another place", nil, []fact.Fact{{Path: "net/enp9s0/permanent", Value: "02:00:00:00:00:03"}}, "sim-00003", "probably one machine: the same permanent MAC"},
		{"with a known address on a dock", nil, []fact.Fact{{Path: "net/eth1/device", Value: "usb 2-1"}, {Path: "net/eth1/permanent", Value: "02:00:00:00:00:01"}}, "", ""},
		{"with a known UUID and name", []fact.Fact{{Path: "id/hostname", Value: "sim-00001"}, {Path: "id/uuid", Value: "5a7d1c40-4218-4287-a3ef-000000000001"}}, nil, "sim-00001", "probably one machine: the same SMBIOS UUID, the same host name"},
		{"with a UUID that two have", []fact.Fact{{Path: "id/uuid", Value: "5a7d1c40-4218-4287-a3ef-000000000002"}}, nil, "", ""},
		{"with a pattern for a UUID", []fact.Fact{{Path: "id/uuid", Value: "*000001"}}, nil, "", ""},
		{"that nobody has seen", []fact.Fact{{Path: "id/hostname", Value: "pc99"}}, nil, "", ""},
	}
	wants := map[string]int{} // by key
	for i, tt := range tests {
		m := r.stranger(uint64(100 + i))
		m.Facts["id"], m.Facts["net"] = fact.NewSet(tt.id), fact.NewSet(tt.net)
		if _, err := r.enrol(m, r.token(&rollcallv1.NewTokenRequest{NeedsApproval: true})); err != nil {
			t.Fatal(err)
		}
		wants[identity.IDOf(identity.Public(m.Key)).String()] = i
	}
	waitFor(t, "the index", func() bool { ready, _, _ := r.srv.index.Ready(); return ready })
	for _, from := range []string{"the index", "the store"} {
		if from == "the store" {
			r.srv.service.Index = nil
		}
		list, err := r.kari.Pending(t.Context(), &rollcallv1.PendingRequest{})
		if err != nil || len(list.GetKeys()) != len(tests) {
			t.Fatalf("from %s: %d wait, %v, want %d", from, len(list.GetKeys()), err, len(tests))
		}
		for _, k := range list.GetKeys() {
			tt := tests[wants[k.GetKeyId()]]
			if k.GetLikeCi() != tt.like || k.GetLikeWhy() != tt.why {
				t.Errorf("from %s: a machine %s is like %q (%s), want %q (%s)", from, tt.name, k.GetLikeCi(), k.GetLikeWhy(), tt.like, tt.why)
			}
		}
	}
}
