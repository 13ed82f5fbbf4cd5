package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"rollcall/cmd/internal/cmdline"
	"rollcall/internal/fact"
	"rollcall/internal/identity"
	"rollcall/internal/sim"
	"rollcall/server/cmdb"
	"rollcall/server/store"
	"rollcall/server/store/bolt"
)

// fleetAbout says which fleet a folder holds. It is written when all of it is there.
type fleetAbout struct {
	Form      int     `json:"form"` // of what is written
	Machines  int     `json:"machines"`
	Seed      uint64  `json:"seed"`
	Past      int     `json:"past"`
	Days      int     `json:"days"`
	Revisions int     `json:"revisions"`
	Seconds   float64 `json:"fill_seconds"`
	Metrics   string  `json:"metrics"` // address
}

const (
	fleetForm  = 1
	fleetFile  = "fleet.json"
	loginFile  = "kari.login"
	fillTenant = "main" // of a server without another configuration
)

// openStock opens a folder that was filled before.
func openStock(q inquiry) (*stock, error) {
	folder, err := filepath.Abs(q.folder)
	if err != nil {
		return nil, fmt.Errorf("open folder of the fleet: %w", err)
	}
	s := &stock{process: &process{folder: folder, config: filepath.Join(folder, "server.conf")}}
	text, err := os.ReadFile(filepath.Join(folder, fleetFile))
	if err == nil {
		err = json.Unmarshal(text, &s.about)
	}
	if err != nil {
		return nil, cmdline.Hinted(fmt.Errorf("open folder of the fleet: %w", err), "remove the folder, or name a new one")
	}
	if h := s.about; h.Form != fleetForm || h.Machines != q.machines || h.Seed != q.seed || h.Past != q.past || h.Days != q.days {
		return nil, cmdline.Usagef("--data %s: it holds %d machines, seed %d, past %d, days %d (form %d): ask for that, or name another folder",
			q.folder, h.Machines, h.Seed, h.Past, h.Days, h.Form)
	}
	s.metrics = s.about.Metrics
	if s.program, err = serverProgram(q.program); err != nil {
		return nil, err
	}
	if s.login, err = cmdline.LoadLogin(filepath.Join(folder, loginFile)); err != nil {
		return nil, err
	}
	s.fleet, err = sim.New(sim.Options{Machines: q.machines, Seed: q.seed, Day: sim.LastDay})
	return s, err
}

// newStock founds a server and fills its store.
func (a *app) newStock(ctx context.Context, q inquiry) (s *stock, err error) {
	s = &stock{}
	h, logins, err := newProcess(ctx, q.program, q.folder, 1)
	if err != nil {
		return nil, err
	}
	s.process, s.login = h, logins[0]
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	text, err := s.login.Encode(identity.LoginPrefix)
	if err != nil {
		return nil, err
	}
	if err = os.WriteFile(filepath.Join(h.folder, loginFile), []byte(text+"\n"), 0o600); err != nil {
		return nil, fmt.Errorf("keep login: %w", err)
	}
	// An empty mirror is one; where there is none the server would render all.
	if err := os.Mkdir(filepath.Join(h.data(), "mirror"), 0o700); err != nil {
		return nil, fmt.Errorf("fill the store: %w", err)
	}
	start := time.Now()
	revisions, err := a.fill(ctx, q, s)
	if err != nil {
		return nil, fmt.Errorf("fill the store: %w", err)
	}
	s.about = fleetAbout{fleetForm, q.machines, q.seed, q.past, q.days, revisions, time.Since(start).Seconds(), h.metrics}
	about, err := json.Marshal(s.about)
	if err != nil {
		return nil, err
	}
	return s, os.WriteFile(filepath.Join(h.folder, fleetFile), append(about, '\n'), 0o600)
}

// fill writes the fleet as of each day that is recorded.
func (a *app) fill(ctx context.Context, q inquiry, s *stock) (revisions int, err error) {
	days := q.recorded()
	if s.fleet, err = sim.New(sim.Options{Machines: q.machines, Seed: q.seed, Day: days[0]}); err != nil {
		return 0, err
	}
	f := &filler{fleet: s.fleet, tenant: fillTenant, seed: q.seed, bases: map[fact.Digest]bool{}, files: map[fact.Digest]bool{}}
	if f.engine, err = bolt.Open(filepath.Join(s.data(), "rollcall.db"), bolt.Options{}); err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, f.engine.Close()) }()
	if err := store.Schema(ctx, f.engine); err != nil {
		return 0, err
	}
	if f.sets, err = cmdb.NewSets(); err != nil {
		return 0, err
	}
	if f.agents, err = sim.NewAgents(s.fleet, nil); err != nil {
		return 0, err
	}
	if err := f.found(ctx); err != nil {
		return 0, err
	}
	for n, day := range days {
		var numbers []int
		if n == 0 {
			for i := range s.fleet.Len() {
				numbers = append(numbers, i)
			}
		} else {
			s.fleet.Advance(day, func(i int) { numbers = append(numbers, i) })
		}
		f.now = day.Time().Add(4 * time.Hour)
		if err := f.record(ctx, numbers, a.fillProgress(day, len(numbers))); err != nil {
			return 0, fmt.Errorf("%s: %w", day, err)
		}
	}
	a.say("%d machines with %d revisions written", q.machines, f.revisions)
	return f.revisions, nil
}

// fillProgress tells every ten seconds how far a day is.
func (a *app) fillProgress(day sim.Day, of int) func(done int) {
	start := time.Now()
	last := start
	a.say("%s: %d machines", day, of)
	return func(done int) {
		if now := time.Now(); now.Sub(last) >= 10*time.Second {
			last = now
			a.say("%s: %d of %d, %.0f/s", day, done, of, float64(done)/now.Sub(start).Seconds())
		}
	}
}

// hear lets all machines have been heard of lately, but for one in fifty, so that
// presence is as it is in a living fleet whenever the question is asked.
func (s *stock) hear(ctx context.Context, seed uint64, now time.Time) (err error) {
	engine, err := bolt.Open(filepath.Join(s.data(), "rollcall.db"), bolt.Options{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, engine.Close()) }()
	p, err := cmdb.LoadPresence(ctx, engine, fillTenant, 0)
	if err != nil {
		return err
	}
	f := filler{seed: seed}
	for i := range s.fleet.Len() {
		at := now.Add(-time.Duration(i%3600) * time.Second)
		if i%50 == 7 {
			at = sim.LastDay.Time().AddDate(0, 0, -10)
		}
		p.Heard(f.ciOf(i), at)
	}
	return p.Save(ctx, engine, fillTenant)
}
