package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"rollcall/server"
)

// withinService is how soon after the server's return every machine has reported.
const withinService = 10 * time.Minute

// TestAFleetLosesNothing lets many agents live through a day that has everything:
// a first boot at once, changes, partitions, lost answers, clocks that jump by
// years, and a power cut that takes server and machines together. Time is virtual.
//
// ROLLCALL_FLEET sets the number of agents, ROLLCALL_SEED the seed.
func TestAFleetLosesNothing(t *testing.T) {
	if testing.Short() {
		t.Skip("simulates some hundred agents; not with -short")
	}
	size := 100
	if os.Getenv("ROLLCALL_TORTURE") != "" {
		size = 10_000
	}
	if s := os.Getenv("ROLLCALL_FLEET"); s != "" {
		var err error
		if size, err = strconv.Atoi(s); err != nil {
			t.Fatalf("ROLLCALL_FLEET: %v", err)
		}
	}
	f := newFleet(t, size)
	began := time.Now()
	f.warmUp()
	synctest.Test(t, func(t *testing.T) {
		f.t = t
		f.day()
	})
	f.t = t
	f.judge()
	t.Logf("%d agents, one day in %s: %d answers, %d turned away, %d lost on the way, %d acknowledged reports, the last machine reported after %s",
		size, time.Since(began).Round(time.Second), f.house.served.Load(), f.house.refused.Load(), f.house.lost.Load(), f.acknowledged(), time.Duration(f.house.longest.Load()))
}

// warmUp lets one agent report outside of the bubble: what packages make once and
// keep, such as the channels of decoders, must not belong to a bubble.
func (f *fleet) warmUp() {
	f.t.Helper()
	if err := f.house.start(); err != nil {
		f.t.Fatal(err)
	}
	var done sync.WaitGroup
	ctx, stop := context.WithTimeout(f.t.Context(), 30*time.Second)
	defer stop()
	s := f.all[0]
	s.boot(ctx, &done)
	for s.heard.Load() == nil && ctx.Err() == nil {
		time.Sleep(10 * time.Millisecond)
	}
	s.off()
	done.Wait()
	if err := f.house.stop(); err != nil {
		f.t.Fatal(err)
	}
	checkAll(f.t, f.house.cfg, server.Known{Acknowledged: s.acked})
}

// day is what happens.
func (f *fleet) day() {
	ctx, stop := context.WithCancel(f.t.Context())
	defer stop()
	var agents sync.WaitGroup
	bootAll := func() {
		for _, s := range f.all {
			s.boot(ctx, &agents)
		}
	}
	power := func(on bool) {
		if !on {
			for _, s := range f.all {
				s.off()
			}
			if err := f.house.stop(); err != nil {
				f.t.Errorf("stop: %v", err)
			}
			agents.Wait()
			return
		}
		if err := f.house.start(); err != nil {
			f.t.Fatalf("start: %v", err)
		}
	}

	power(true)
	bootAll()
	f.allReport("the first boot")
	f.change(3)
	time.Sleep(75 * time.Minute)

	f.cutWays(3, cutOff)
	f.cutWays(5, oneWay)
	f.cutWays(7, faulted)
	f.change(2)
	time.Sleep(90 * time.Minute)
	f.cutWays(1, 0)

	f.house.skew.Store(int64(10 * 365 * 24 * time.Hour))
	f.jumpClocks()
	f.change(2)
	time.Sleep(80 * time.Minute)
	f.house.skew.Store(-int64(10 * 365 * 24 * time.Hour))
	f.change(2)
	time.Sleep(80 * time.Minute)

	power(false)
	f.change(1)
	time.Sleep(20 * time.Minute)
	bootAll() // the machines are up before the server is
	time.Sleep(time.Minute)
	power(true)
	f.allReport("the power cut")
	time.Sleep(90 * time.Minute)

	for _, s := range f.all {
		s.off()
	}
	agents.Wait()
	if err := f.house.stop(); err != nil {
		f.t.Errorf("stop: %v", err)
	}
}

// allReport waits until the server has answered every machine since its last
// boot.
func (f *fleet) allReport(after string) {
	start := time.Now()
	missing := len(f.all)
	for time.Since(start) < 2*withinService && missing > 0 {
		time.Sleep(time.Second)
		missing = 0
		for _, s := range f.all {
			if s.heard.Load() == nil {
				missing++
			}
		}
	}
	took := time.Since(start)
	f.house.longest.Store(max(f.house.longest.Load(), int64(took)))
	if missing > 0 || took > withinService {
		f.t.Errorf("after %s: %d of %d machines have not reported within %s, want all within %s", after, missing, len(f.all), took, withinService)
	}
}

// change gives every n-th machine another version of a package, in the course of
// an hour.
func (f *fleet) change(n int) {
	for i, s := range f.all {
		if i%n == 0 {
			s.value.Add(1)
		}
	}
}

// cutWays does something to the way of every n-th machine; 0 mends it.
func (f *fleet) cutWays(n int, p partition) {
	for i, s := range f.all {
		if i%n != 0 {
			continue
		}
		if p == 0 {
			s.away.Store(nil)
		} else {
			s.away.Store(&p)
		}
	}
}

// jumpClocks sets the clock of every fourth machine to some time between 1970 and
// 2100.
func (f *fleet) jumpClocks() {
	from, to := time.Unix(0, 0), time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC)
	for i, s := range f.all {
		if i%4 == 0 {
			at := from.Add(time.Duration(f.random(int64(to.Sub(from)))))
			s.skew.Store(int64(time.Until(at)))
		}
	}
}

func (f *fleet) acknowledged() (n int) {
	for _, s := range f.all {
		n += len(s.acked)
	}
	return n
}

// judge checks that every machine's last state is the server's, and all rules.
func (f *fleet) judge() {
	f.t.Helper()
	known := server.Known{}
	var spools []string
	for _, s := range f.all {
		known.Acknowledged = append(known.Acknowledged, s.acked...)
		spools = append(spools, filepath.Join(s.cfg.State, "spool"))
	}
	checkAll(f.t, f.house.cfg, known, spools...)
	have, err := f.house.versions(f.t.Context())
	if err != nil {
		f.t.Fatal(err)
	}
	behind := 0
	for _, s := range f.all {
		if want := fmt.Sprintf("2.4.%d", s.value.Load()); have[s.ci] != want {
			if behind++; behind < 5 {
				f.t.Errorf("seat %d: the server has version %q, want %q", s.n, have[s.ci], want)
			}
		}
	}
	if behind > 0 {
		f.t.Errorf("%d of %d machines are behind at the end", behind, len(f.all))
	}
}
