package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"rollcall/agent/uplink"
	"rollcall/internal/sim"
	rollcallv1 "rollcall/proto/rollcall/v1"
)

// How often things happen, for each machine.
const (
	editShare      = 0.01  // edits by hand on the day of edits
	partShare      = 0.002 // replaced disks and memory modules
	moveShare      = 0.002 // to another room
	cutShare       = 0.1   // in a school whose power is cut
	reinstallShare = 0.005
	restoreShare   = 0.001 // from an image of the disk
	idleMost       = 20_000
	heldTicks      = 100 // over one connection: the quota of a machine is 200 at once
)

// live lets the fleet live: some ordinary days, and at their end the night of a
// point release.
func (d *driver) live(ctx context.Context, days int, release sim.Day) error {
	steps := []func(context.Context) error{
		d.foundSites, d.enrolAll, d.firstReports,
		func(ctx context.Context) error { return d.mirror(ctx, "mirror of first reports") },
		d.idle, d.idleHeld,
		func(ctx context.Context) error { return d.ordinaryDays(ctx, days) },
		d.handwork, d.powerCut, d.reinstalls, d.restores,
		func(ctx context.Context) error { return d.pointRelease(ctx, release) },
		func(ctx context.Context) error { return d.mirror(ctx, "mirror catches up") },
		d.restart,
	}
	for _, step := range steps {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// all lists the machines that fit, one of each school after the other: the
// machines of a whole country do not come school by school.
func (d *driver) all(fits func(i int) bool) []int {
	order := map[string]int{}
	places := make([]int, d.fleet.Len())
	var numbers []int
	for i := range d.fleet.Len() {
		school := d.fleet.Member(i).School
		places[i] = order[school]
		order[school]++
		if fits(i) {
			numbers = append(numbers, i)
		}
	}
	slices.SortStableFunc(numbers, func(a, b int) int { return places[a] - places[b] })
	return numbers
}

// reporting tells whether a machine is enrolled and has reported.
func (d *driver) reporting(i int) bool {
	return d.seats[i].settled && !d.seats[i].absent && d.agents.Began(i)
}

// foundSites makes municipalities and schools, one after the other: a site lies in
// one that is there.
func (d *driver) foundSites(ctx context.Context) error {
	ph := d.begin("sites")
	for _, site := range d.fleet.Schools() {
		start := time.Now()
		if err := d.office.addSite(ctx, site); err != nil {
			ph.fail(err)
			break
		}
		ph.done(time.Since(start), 0)
	}
	return d.end(ctx, ph)
}

func (d *driver) enrolAll(ctx context.Context) error {
	return d.each(ctx, "enrolment", d.all(func(int) bool { return true }), func(ctx context.Context, ph *phase, i int) (int, error) {
		token, err := d.office.tokenFor(ctx, d.fleet.Member(i))
		if err != nil {
			return 0, err
		}
		return 0, d.enrol(ctx, ph, i, token)
	})
}

// firstReports sends them. The first machine of each kind in a school uploads the
// contents of its /etc, and the others need only what is their own. So a school
// begins with one of each kind, as who installs a school does.
func (d *driver) firstReports(ctx context.Context) error {
	known := map[string]bool{}
	var first, rest []int
	for _, i := range d.all(func(i int) bool { return d.seats[i].settled && !d.seats[i].absent }) {
		m := d.fleet.Member(i)
		if kind := m.School + " " + m.Profile.String(); known[kind] {
			rest = append(rest, i)
		} else {
			known[kind] = true
			first = append(first, i)
		}
	}
	report := func(ctx context.Context, ph *phase, i int) (int, error) { return d.report(ctx, ph, i, "boot") }
	if err := d.each(ctx, "first reports, first of a kind", first, report); err != nil {
		return err
	}
	return d.each(ctx, "first reports", rest, report)
}

// idle sends one tick of each machine over a connection of its own, as agents do.
func (d *driver) idle(ctx context.Context) error {
	numbers := d.all(d.reporting)
	numbers = numbers[:min(len(numbers), idleMost)]
	return d.each(ctx, "ticks", numbers, func(ctx context.Context, ph *phase, i int) (int, error) { return d.report(ctx, ph, i, "interval") })
}

// idleHeld sends many ticks over each connection: what the server does without
// handshakes. Each tick counts, not each connection.
func (d *driver) idleHeld(ctx context.Context) error {
	numbers := d.all(d.reporting)
	numbers = numbers[:min(len(numbers), 2*d.clients)]
	ph := d.begin("ticks, connection held")
	d.parallel(ctx, ph, numbers, len(numbers)*heldTicks, func(i int) (err error) {
		var session *uplink.Session
		if err := d.try(ctx, ph, func() (err error) {
			session, err = d.connect(ctx, i)
			return err
		}); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, session.Close()) }()
		for range heldTicks {
			start := time.Now()
			if err := d.tick(ctx, session, i); err != nil {
				return err
			}
			ph.done(time.Since(start), 0)
		}
		return nil
	})
	return d.end(ctx, ph)
}

// ordinaryDays lets days pass: who installs updates reports them, at once one
// machine beside the other.
func (d *driver) ordinaryDays(ctx context.Context, days int) error {
	ph := d.begin(fmt.Sprintf("%d ordinary days", days))
	for range days {
		var changed []int
		d.fleet.Advance(d.fleet.Day()+1, func(i int) {
			if d.reporting(i) {
				changed = append(changed, i)
			}
		})
		d.parallel(ctx, ph, changed, len(changed), func(i int) error {
			start := time.Now()
			facts, err := d.report(ctx, ph, i, "apt")
			if err == nil {
				ph.done(time.Since(start), facts)
			}
			return err
		})
	}
	return d.end(ctx, ph)
}

// handwork is a day on which people edit files, replace parts and move machines.
func (d *driver) handwork(ctx context.Context) error {
	enrolled := d.all(d.reporting)
	touched := map[int]bool{}
	for _, work := range []struct {
		what  string
		share float64
		do    func(int)
	}{{"edit", editShare, d.fleet.Edit}, {"part", partShare, d.fleet.Replace}, {"move", moveShare, d.fleet.Move}} {
		for _, i := range d.some(enrolled, work.what, work.share) {
			work.do(i)
			touched[i] = true
		}
	}
	numbers := d.all(func(i int) bool { return touched[i] })
	return d.each(ctx, "edits, parts, moves", numbers, func(ctx context.Context, ph *phase, i int) (int, error) { return d.report(ctx, ph, i, "etc") })
}

// some draws to which machines something happens: to one at least, if there are
// any.
func (d *driver) some(from []int, what string, probability float64) []int {
	var numbers []int
	for _, i := range from {
		if d.fleet.Choose(i, what, probability) {
			numbers = append(numbers, i)
		}
	}
	if len(numbers) == 0 {
		return from[:min(1, len(from))]
	}
	return numbers
}

// powerCut lets all machines of some schools boot at once.
func (d *driver) powerCut(ctx context.Context) error {
	dark := map[string]bool{}
	numbers := d.all(func(i int) bool {
		m := d.fleet.Member(i)
		if m.Profile == sim.MainServer && (len(dark) == 0 || d.fleet.Choose(i, "power cut", cutShare)) {
			dark[m.School] = true
		}
		return dark[m.School] && d.reporting(i)
	})
	for _, i := range numbers {
		d.fleet.Reboot(i)
	}
	return d.each(ctx, "power cut", numbers, func(ctx context.Context, ph *phase, i int) (int, error) {
		if m := d.fleet.Member(i); m.Profile == sim.Thin { // it has a new key at each boot, and waits until its last session is quiet
			d.agents.Forget(i)
			d.seats[i] = seat{}
			token, err := d.office.tokenFor(ctx, m)
			if err == nil {
				err = d.enrol(ctx, ph, i, token)
			}
			if err != nil || d.seats[i].absent {
				return 0, err
			}
		}
		return d.report(ctx, ph, i, "boot")
	})
}

// reinstalls lets clients be installed anew: with a token for their CI they take it
// over.
func (d *driver) reinstalls(ctx context.Context) error {
	numbers := d.some(d.all(func(i int) bool {
		p := d.fleet.Member(i).Profile
		return (p == sim.Workstation || p == sim.Roaming) && d.reporting(i)
	}), "reinstall", reinstallShare)
	return d.each(ctx, "re-installs", numbers, func(ctx context.Context, ph *phase, i int) (int, error) {
		ci := d.seats[i].ci
		token, err := d.office.newToken(ctx, &rollcallv1.NewTokenRequest{Ci: ci})
		if err != nil {
			return 0, err
		}
		d.fleet.Reinstall(i)
		d.agents.Forget(i)
		d.seats[i] = seat{}
		if err := d.enrol(ctx, ph, i, token); err != nil || d.seats[i].absent {
			return 0, err
		}
		return d.report(ctx, ph, i, "boot")
	})
}

// restores lets machines come back from an image of their disk: the server keeps
// what they say apart until the operator has decided.
func (d *driver) restores(ctx context.Context) error {
	numbers := d.some(d.all(func(i int) bool { return d.fleet.Member(i).Profile != sim.Thin && d.reporting(i) }), "restore", restoreShare)
	for _, i := range numbers {
		d.agents.Rewind(i)
		d.fleet.Edit(i)
	}
	return d.each(ctx, "forks resolved", numbers, func(ctx context.Context, ph *phase, i int) (int, error) { return d.report(ctx, ph, i, "boot") })
}

// pointRelease brings every machine up to date in one night.
func (d *driver) pointRelease(ctx context.Context, day sim.Day) error {
	var changed []int
	d.fleet.AdvanceAll(day, func(i int) { changed = append(changed, i) })
	night := map[int]bool{}
	for _, i := range changed {
		night[i] = d.reporting(i)
	}
	return d.each(ctx, "point release", d.all(func(i int) bool { return night[i] }), func(ctx context.Context, ph *phase, i int) (int, error) {
		return d.report(ctx, ph, i, "apt")
	})
}

// mirror waits until everything is in git, so that it does not disturb what is
// measured next, but not for ever. The count is of revisions.
func (d *driver) mirror(ctx context.Context, name string) error {
	ph := d.begin(name)
	first := -1
	for {
		s, err := d.office.ready(ctx, d.alive)
		if err != nil {
			return errors.Join(err, d.end(ctx, ph))
		}
		left := int(s.GetMirrorBacklog())
		if first < 0 {
			first = left
		}
		ph.count = max(0, first-left)
		if left == 0 || time.Since(ph.began) > d.patience {
			return d.end(ctx, ph)
		}
		select {
		case <-ctx.Done():
			return d.end(ctx, ph)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// restart ends the own server and starts it again, until it answers.
func (d *driver) restart(ctx context.Context) error {
	if d.own == nil {
		return nil
	}
	if err := d.remember(); err != nil {
		return err
	}
	if err := d.own.stop(); err != nil {
		return err
	}
	ph := &phase{name: "restart to first answer", began: time.Now(), before: usage{store: d.last.store}}
	if err := d.own.start(); err != nil {
		return err
	}
	_, err := d.office.ready(ctx, d.alive)
	ph.done(time.Since(ph.began), 0)
	return errors.Join(err, d.end(ctx, ph))
}
