package server

import (
	"slices"
	"strings"
	"testing"

	rollcallv1 "rollcall/proto/rollcall/v1"
)

// TestWhyTellsWhatIsOddAndWhatChanged asks about a machine among others like it,
// one whose package is another and that then loses a file.
func TestWhyTellsWhatIsOddAndWhatChanged(t *testing.T) {
	r := start(t)
	var ms []*machine
	for i := range 6 {
		m := r.machine(uint64(100 + i))
		if i == 0 {
			m.Upgrade(7, 99)
		}
		m.report(t, true)
		ms = append(ms, m)
	}
	odd := ms[0]
	gone := odd.Facts["etc"][0].Path
	odd.Facts["etc"] = slices.Clone(odd.Facts["etc"][1:])
	before, err := r.kari.Get(t.Context(), &rollcallv1.GetRequest{Ci: odd.ci})
	if err != nil {
		t.Fatal(err)
	}
	odd.report(t, false)
	reply, err := r.kari.Why(t.Context(), &rollcallv1.WhyRequest{Ci: odd.ci, WorkedMs: before.GetItem().GetChangedMs() + 1})
	if err != nil {
		t.Fatal(err)
	}
	if len(reply.GetPeers()) != 5 || !strings.Contains(reply.GetChosen(), "5 of class") {
		t.Errorf("peers %v, %q; want the five others", reply.GetPeers(), reply.GetChosen())
	}
	var ids []string
	for _, row := range reply.GetOdd() {
		ids = append(ids, row.GetIds()[0])
	}
	slices.Sort(ids)
	if want := []string{"file:" + gone, "pkg:package-0007"}; !slices.Equal(ids, want) {
		t.Errorf("odd are %v, want %v", ids, want)
	}
	if len(reply.GetChanges()) != 1 || reply.GetChanges()[0].GetPath() != gone || reply.GetChanges()[0].GetPeersHave() != 0 || reply.GetChanges()[0].GetAtMs() == 0 {
		t.Errorf("changes %v, want %s gone alone", reply.GetChanges(), gone)
	}
	list, err := r.kari.Compare(t.Context(), &rollcallv1.CompareRequest{BrokenNames: []string{odd.ci}, WorkingNames: []string{ms[1].ci, ms[2].Name, ms[3].ci, ms[1].Name}})
	if err != nil || len(list.GetBroken()) != 1 || len(list.GetWorking()) != 3 {
		t.Errorf("compare by lists: %v, %v", list, err)
	}
	_, err = r.kari.Compare(t.Context(), &rollcallv1.CompareRequest{BrokenNames: []string{"nobody", "noone"}, Working: "class = server"})
	if err == nil || !strings.Contains(err.Error(), "nobody, noone") {
		t.Errorf("names that nobody has: %v", err)
	}
}

func TestWhyAboutAMachineWithoutPeersSaysSo(t *testing.T) {
	r := start(t)
	m := r.machine(200)
	if _, err := r.kari.Why(t.Context(), &rollcallv1.WhyRequest{Ci: m.ci}); err == nil || !strings.Contains(err.Error(), "has never reported") {
		t.Errorf("never reported: %v", err)
	}
	m.report(t, true)
	reply, err := r.kari.Why(t.Context(), &rollcallv1.WhyRequest{Ci: m.ci})
	if err != nil || len(reply.GetPeers()) != 0 || !strings.Contains(strings.Join(reply.GetNotes(), "\n"), "no machine to compare it with") {
		t.Errorf("%v, %v; want it told that there are no peers", reply, err)
	}
}
