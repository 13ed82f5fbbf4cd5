package server

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	rollcallv1 "rollcall/proto/rollcall/v1"
	"rollcall/server/store/storetest"
)

// A filter as of a time selects what it would have selected then, by packages, by
// what people declared, by files, and by what had changed.
func TestAFilterAsOfATimeSelectsWhatItWouldHaveSelectedThen(t *testing.T) {
	r := start(t)
	rng := rand.New(rand.NewPCG(storetest.Seed(t), 21))
	var machines []*machine
	for i := range 5 {
		m := r.machine(700 + uint64(i))
		m.report(t, true)
		machines = append(machines, m)
	}
	filters := []string{
		"pkg(package-0003) = 2.1-1", "pkg(package-0003) < 2.2-1 and not pkg(package-0004) = 2.2-1", "count(pkg/*/version) = 40",
		"field(room) = 1", "name = *1", "changed(pkg/package-0003) < 1h", "file(/etc/d01/file-0001.conf)", "fact(pkg/package-000*/version) = 2.2-1",
	}
	ask := func(filter string, at int64) (ids []string) {
		t.Helper()
		reply, err := r.kari.List(t.Context(), &rollcallv1.ListRequest{Filter: filter, AtMs: at})
		if err != nil {
			t.Fatalf("%s: %v", filter, err)
		}
		for _, item := range reply.GetItems() {
			ids = append(ids, item.GetId()+" "+item.GetName())
		}
		slices.Sort(ids)
		return ids
	}
	type answer struct {
		filter string
		at     int64
		ids    []string
	}
	var then []answer
	selected := 0
	for step := range 12 {
		for _, m := range machines {
			switch rng.IntN(4) {
			case 0:
				m.Upgrade(3+rng.IntN(2), rng.IntN(4))
				m.report(t, false)
			case 1:
				fields := map[string]string{"room": fmt.Sprint(rng.IntN(3)), "name": fmt.Sprintf("%s-%d", m.Name, rng.IntN(3))}
				if _, err := r.kari.Set(t.Context(), &rollcallv1.SetRequest{Ci: m.ci, Fields: fields, Reason: fmt.Sprint("step ", step)}); err != nil {
					t.Fatal(err)
				}
			}
		}
		time.Sleep(3 * time.Millisecond) // times are asked about in milliseconds
		at := time.Now().UnixMilli()
		for _, f := range filters {
			ids := ask(f, 0)
			then = append(then, answer{f, at, ids})
			selected += len(ids)
		}
		time.Sleep(3 * time.Millisecond)
	}
	for _, want := range then {
		if got := ask(want.filter, want.at); !slices.Equal(got, want.ids) {
			t.Errorf("%s as of %d selects %v, want %v as was answered then", want.filter, want.at, got, want.ids)
		}
	}
	if selected < 50 {
		t.Errorf("only %d CIs were ever selected: the filters tell nothing", selected)
	}
}
