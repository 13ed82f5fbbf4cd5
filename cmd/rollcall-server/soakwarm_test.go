package main

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"rollcall/internal/fact"
)

// What the server caches, it caches up to a bound: decoded fact sets (600,000 facts,
// see server/cmdb), texts and trees of the mirror (48 MiB each, see server/mirror).
// Until they are full it grows, and should; so a soak fills them before it begins to
// look, with more than the bounds, and what grows from then on is no cache.
const (
	warmReports = 150  // of one simulated machine; its quota is 200 at once
	warmFacts   = 2000 // of one report, none of which another has
	warmAll     = 5    // machines: 1.5 million facts
)

// warm fills the caches of the server; without much only a few reports come, for the
// short soak of CI, which is there to show that the soak itself works.
func (s *soak) warm(much bool, figures string) {
	s.t.Helper()
	reports, began := 3, time.Now()
	if much {
		reports = warmReports
	}
	r := &rig{lab: s.lab, made: 70_000}
	for i := range warmAll {
		w := r.stranger()
		r.admit(w, r.token())
		session, err := w.client.Connect(s.t.Context())
		if err != nil {
			s.t.Fatal(err)
		}
		for n := range reports {
			w.m.Facts["pkg"] = unlike(i, n)
			env, err := w.m.Report(n == 0)
			if err != nil {
				s.t.Fatal(err)
			}
			if _, err := session.Submit(s.t.Context(), env); err != nil {
				s.t.Fatalf("warming up, machine %d, report %d: %v", i, n, err)
			}
		}
		if err := session.Close(); err != nil {
			s.t.Error(err)
		}
	}
	for behind := ""; !strings.Contains(behind, "rollcall_mirror_backlog 0\n"); time.Sleep(200 * time.Millisecond) {
		text, err := fetched(figures)
		if err = errors.Join(err, s.t.Context().Err()); err != nil {
			s.t.Fatal(err)
		}
		behind = string(text)
	}
	s.t.Logf("warm after %s: %d sets of %d facts", time.Since(began).Round(time.Second), reports*warmAll, warmFacts)
}

// unlike is a set of packages of which no other has one.
func unlike(machine, report int) fact.Set {
	all := make([]fact.Fact, 0, warmFacts)
	for i := range warmFacts {
		all = append(all, fact.Fact{Path: fmt.Sprintf("pkg/p%04d/version", i), Value: fmt.Sprintf("%d.%d.%d-1", machine, report, i)})
	}
	return fact.NewSet(all)
}

// A cache that was filled before is flat; filled while it is looked at it is growth,
// and so is what leaks beside a full one.
func TestAFullCacheIsNoGrowthAndALeakBesideItIs(t *testing.T) {
	const bound = 120_000.0
	look := func(full bool, leak float64) bool {
		var all []sample
		for i := range 100 {
			held := bound
			if !full {
				held = min(bound, 1500*float64(i))
			}
			all = append(all, sample{memory: 60_000 + held + leak*float64(i)})
		}
		_, _, grows := growth(all, func(s sample) float64 { return s.memory }, 0.2, 16<<10)
		return grows
	}
	if look(true, 0) || !look(false, 0) || !look(true, 1500) {
		t.Errorf("full %v, filling %v, leaking %v: want false, true, true", look(true, 0), look(false, 0), look(true, 1500))
	}
}
