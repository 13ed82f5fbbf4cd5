package ingest

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"rollcall/internal/fact"
)

// alike are n files that all machines of a kind have, and one that only this has.
func alike(n int, own string) map[string]fact.Set {
	pairs := []string{"etc/hostname", file(own)}
	for i := range n {
		pairs = append(pairs, fmt.Sprintf("etc/shared-%03d", i), file(sharedContent(i)))
	}
	return map[string]fact.Set{"etc": some(pairs...)}
}

func sharedContent(i int) string { return fmt.Sprintf("what all of them have, %d", i) }

func sharedContents(n int) (all []string) {
	for i := range n {
		all = append(all, sharedContent(i))
	}
	return all
}

// asks submits a report and wants to be asked for so many contents.
func (a *agent) asks(state map[string]fact.Set, want int) []byte {
	a.house.t.Helper()
	raw := a.seal(a.draft(state, true))
	res, err := a.submit(raw)
	if err != nil || res.Outcome != NeedContent || len(res.Missing) != want {
		a.house.t.Errorf("%v, %v, %d contents are asked for, want %d", res.Outcome, err, len(res.Missing), want)
	}
	return raw
}

func TestMachinesOfARoomThatReportAtOnceUploadWhatTheyShareOnce(t *testing.T) {
	onEngines(t, func(t *testing.T, h *house) {
		h.Now = func() time.Time { return day }
		h.asked.patience = time.Minute // all of them have to wait before the first one answers
		const n = 50
		first, elsewhere := h.machine("first"), h.machine("elsewhere")
		first.stand("elm/room12")
		elsewhere.stand("elm/room14")
		raw := first.asks(alike(n, "first"), n+1)
		elsewhere.asks(alike(n, "elsewhere"), n+1) // what is asked for in one room tells another nothing
		var wg sync.WaitGroup
		for i := range maxPatient {
			own := fmt.Sprintf("pc%02d", i)
			a := h.machine(own)
			a.stand("elm/room12")
			wg.Go(func() {
				mine := a.asks(alike(n, own), 1)
				a.upload(own)
				if res, err := a.submit(mine); err != nil || res.Outcome != Recorded {
					t.Errorf("%s: %v, %v, %d missing, want recorded once the first has uploaded the rest", own, res.Outcome, err, len(res.Missing))
				}
			})
		}
		waitUntil(t, func() bool { h.asked.mu.Lock(); defer h.asked.mu.Unlock(); return h.asked.waiting == maxPatient })
		if err := h.Alone(func() error { return nil }); err != nil { // who removes contents does not wait with them
			t.Error(err)
		}
		first.upload(append(sharedContents(n), "first")...)
		wg.Wait()
		if res, err := first.submit(raw); err != nil || res.Outcome != Recorded {
			t.Errorf("the first: %v, %v, want recorded", res.Outcome, err)
		}
	})
}

func TestWhoDoesNotAnswerHoldsOthersUpForAMomentOnly(t *testing.T) {
	onEngines(t, func(t *testing.T, h *house) {
		now := day
		h.Now = func() time.Time { return now }
		const n = 5
		h.machine("silent").asks(alike(n, "silent"), n+1)
		second := h.machine("second")
		second.asks(alike(n, "second"), 1)
		second.upload("second")
		began := time.Now()
		second.asks(alike(n, "second"), n)
		if took := time.Since(began); took < patience/2 || took > patience+5*time.Second {
			t.Errorf("it is asked after %s, want after %s", took, patience)
		}
		now = now.Add(answerWithin) // the silent one asks as if nothing had been
		h.machine("third").asks(alike(n, "third"), n+1)
	})
}

func waitUntil(t *testing.T, ok func() bool) {
	t.Helper()
	for range 1000 {
		if ok() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatal("it did not come to be within ten seconds")
}

// Sets are kept as what they have otherwise than those of machines alike, at whatever
// site: what such a set names must be held where the machine stands all the same.
func TestAFullReportIsAskedForWhatItsSiteLacksOfASetLikeIt(t *testing.T) {
	onEngines(t, func(t *testing.T, h *house) {
		h.Now = func() time.Time { return day }
		const n = 100
		north, south, less := h.machine("north"), h.machine("south"), h.machine("less")
		north.stand("elm/north")
		south.stand("elm/south")
		less.stand("elm/south/room1")
		north.upload(append(sharedContents(n), "north")...)
		north.report(alike(n, "north"), true)
		own := alike(n, "less")
		own["etc"] = own["etc"][:n-10] // and the last eleven are gone
		less.asks(own, n-10)
		south.asks(alike(n, "south"), n+1)
		south.upload(sharedContents(n - 40)...)
		south.asks(alike(n, "south"), 41) // of what it has been asked for and has not brought
		south.upload(append(sharedContents(n), "south")...)
		south.report(alike(n, "south"), true)
		if len(h.gaps.sets) != 2 {
			t.Errorf("the gaps of %d sets are remembered, want those of one at two sites", len(h.gaps.sets))
		}
		if err := h.Alone(func() error { return nil }); err != nil || len(h.gaps.sets) != 0 {
			t.Errorf("after contents may have been removed the gaps of %d sets are remembered, %v", len(h.gaps.sets), err)
		}
	})
}
