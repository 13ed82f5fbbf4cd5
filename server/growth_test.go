package server

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"rollcall/internal/fact"
	"rollcall/internal/identity"
	"rollcall/internal/sim"
	"rollcall/server/cmdb"
	"rollcall/server/ingest"
	"rollcall/server/store"
)

// What one machine goes through in a year, as measured on real ones: it changes on
// 45 of 100 days, by three packages in the median and seldom by many; a point
// release moves 90 packages in one night, four times a year; people edit a file
// below /etc every second week.
const (
	yearDays     = 365
	changeDays   = 0.45
	pointRelease = 91 // days between two
	pointMoves   = 90
	handEdits    = 14 // days between two
)

// TestAYearOfOneMachineTakesLessThanAMegabyte plays a year of machines that share
// nothing but the list that they began with, and counts everything that the store
// then holds for it: envelopes, receipts, leaves of the log, revisions, sets,
// contents, indexes and half-empty pages.
func TestAYearOfOneMachineTakesLessThanAMegabyte(t *testing.T) {
	if testing.Short() {
		t.Skip("it plays a year")
	}
	const machines = 12
	s, addr := benchServer(t, store.Config{})
	rng := rand.New(rand.NewPCG(1, 1))
	var fleet []*sim.Machine
	used := func() int64 {
		n, err := s.engine.Used()
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	empty := used()
	for i := range machines {
		m, _ := benchMachine(t.Context(), t, s, addr, i)
		own := slices.Clone(m.Facts["etc"])
		for range 30 {
			own[rng.IntN(len(own))].Value = file(fmt.Sprint(m.Name, rng.Int())).String()
		}
		m.Facts["etc"] = own
		accept(t, s, m, nil)
		fleet = append(fleet, m)
	}
	first := used()
	reports := 0
	for day := range yearDays {
		var today sync.WaitGroup // one commit for all
		for i, m := range fleet {
			rng := rand.New(rand.NewPCG(uint64(day), uint64(i)))
			contents := liveADay(m, rng, day)
			if contents == nil && rng.Float64() > changeDays && day%pointRelease != pointRelease-1 {
				continue
			}
			moves := 1 + int(rng.ExpFloat64()*3)
			if day%pointRelease == pointRelease-1 {
				moves = pointMoves
			}
			for range moves {
				m.Upgrade(rng.IntN(2500), rng.IntN(1000))
			}
			reports++
			today.Go(func() { accept(t, s, m, contents) })
		}
		today.Wait()
	}
	perYear := float64(used()-first) / machines
	t.Logf("first reports of %d machines: %.0f kB each; a year after that: %.0f reports and %.0f kB each, %.2f kB a report",
		machines, float64(first-empty)/machines/1e3, float64(reports)/machines, perYear/1e3, float64(used()-first)/float64(reports)/1e3)
	if perYear > 1e6 {
		t.Errorf("a machine and year take %.0f kB, want 1,000 at most", perYear/1e3)
	}
}

// liveADay edits a file by hand every second week and returns its content.
func liveADay(m *sim.Machine, rng *rand.Rand, day int) []byte {
	if (day+len(m.Name)+int(m.Key[40]))%handEdits != 0 {
		return nil
	}
	var text strings.Builder
	for i := range 30 {
		sum := sha256.Sum256(fmt.Append(nil, m.Name, day, i))
		fmt.Fprintf(&text, "option%d = %s\n", i, hex.EncodeToString(sum[:8]))
	}
	set := slices.Clone(m.Facts["etc"])
	f := fact.File{Kind: fact.KindPlain, Digest: sha256.Sum256([]byte(text.String())), Mode: 0o644, Owner: "root", Group: "root"}
	set[rng.IntN(20)*7].Value = f.String()
	m.Facts["etc"] = set
	return []byte(text.String())
}

func file(what string) fact.File {
	sum := sha256.Sum256([]byte(what))
	return fact.File{Kind: fact.KindKeyed, Fingerprint: hex.EncodeToString(sum[:]), Mode: 0o644, Owner: "root", Group: "root"}
}

// accept takes the next report of a machine in, after the content that it names.
func accept(t testing.TB, s *Server, m *sim.Machine, content []byte) {
	t.Helper()
	in := s.service.Ingest
	pub := identity.Public(m.Key)
	if content != nil {
		c, err := in.CheckContent(identity.IDOf(pub), sha256.Sum256(content), content)
		if err == nil {
			err = in.PutContents(t.Context(), identity.IDOf(pub), []cmdb.Content{c})
		}
		if err != nil {
			t.Error(err)
			return
		}
	}
	env, err := m.Report(false)
	if err != nil {
		t.Error(err)
		return
	}
	res, err := in.Accept(t.Context(), pub, "192.0.2.1", env)
	if err != nil || res.Outcome != ingest.Recorded {
		t.Errorf("%s: %v, %v", m.Name, res.Outcome, err)
	}
}
