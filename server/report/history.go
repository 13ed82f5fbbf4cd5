package report

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"rollcall/server/cmdb"
)

// maxRevisions bounds how much history one report reads.
const maxRevisions = 500_000

// revision is one of a selected CI.
type revision struct {
	m    Machine
	now  cmdb.CI
	rev  cmdb.Revision
	line *line // of the CI as it was after it
	seen *cmdb.Glance
}

// eachRevision gives those revisions of all selected CIs since the parameter "since",
// newest first of each, that matter: the others are not read whole.
func eachRevision(r *run, matters func(cmdb.Step) bool, each func(revision) error) error {
	found, err := r.selected()
	if err != nil {
		return err
	}
	since, until, read := r.date("since"), r.now(), 0
	glance := r.src.Items.Glance()
	for _, m := range found {
		now, _ := m.Heads()
		if now.Changed.Before(since) {
			continue
		}
		for step, err := range r.src.Items.Steps(now) {
			if err != nil {
				return err
			}
			if step.At.Before(since) {
				break
			}
			if read++; read > maxRevisions {
				return fmt.Errorf("report %s: %w: more than %d changes: choose a later date for since, or fewer CIs with a filter", r.def.Name, ErrCost, maxRevisions)
			}
			if step.At.After(until) || !matters(step) {
				continue
			}
			if err := r.ctx.Err(); err != nil {
				return err
			}
			rev, err := r.src.Items.Revision(now.ID, step.N)
			if err != nil {
				return err
			}
			if err := each(revision{m, now, rev, &line{m: m, ci: rev.As(now), made: map[string]string{}}, glance}); err != nil {
				return err
			}
		}
	}
	return nil
}

// What matters to reports about changes.

func anything(cmdb.Step) bool { return true }

func afterFirst(s cmdb.Step) bool { return !s.FirstReport() }

func declared(s cmdb.Step) bool { return s.Declares() }

// later tells of a section of which something changed after the first report.
func later(sections ...string) func(cmdb.Step) bool {
	return func(s cmdb.Step) bool {
		return !s.FirstReport() && slices.ContainsFunc(sections, func(section string) bool {
			was, is := s.Sets(section)
			return was != is
		})
	}
}

// first tells that the revision is the first report of a machine, which is no
// change of it.
func (v revision) first() bool { return len(v.rev.Prev) == 0 && len(v.rev.State) > 0 }

// stamped fills in the cells that all reports about changes may have.
func (v revision) stamped(r *run) *line {
	at := v.rev.At()
	v.line.made["time"] = timeCell(at)
	v.line.made["by"] = v.rev.By
	v.line.made["reason"] = v.rev.Reason
	v.line.made["day"] = at.In(r.zone()).Format(time.DateOnly)
	return v.line
}

// zone is that of the parameter "zone", which has been checked; UTC without it.
func (r *run) zone() *time.Location {
	z, err := time.LoadLocation(r.set["zone"])
	if err != nil {
		return time.UTC
	}
	return z
}

// summed adds what the revision did, in words.
func (v revision) summed(r *run, l *line, below string) (some bool, err error) {
	changes, err := v.seen.Changes(v.rev, below)
	if err != nil {
		return false, err
	}
	l.made["what"] = cmdb.Summary(v.rev, changes, below)
	return len(changes) > 0 || len(v.rev.Fields) > 0, nil
}

// eachChange makes a line of each revision that changed something.
func eachChange(r *run, each func(*line) error) error {
	return eachRevision(r, anything, func(v revision) error {
		l := v.stamped(r)
		if some, err := v.summed(r, l, ""); err != nil || !some {
			return err
		}
		return each(l)
	})
}

// eachChangedSection makes a line of each revision that changed anything, without
// reading what: for counting.
func eachChangedSection(r *run, each func(*line) error) error {
	return eachRevision(r, anything, func(v revision) error {
		if v.first() || len(v.rev.Fields) == 0 && sameState(v.rev) {
			return nil
		}
		return each(v.stamped(r))
	})
}

func sameState(rev cmdb.Revision) bool {
	if len(rev.State) != len(rev.Prev) {
		return false
	}
	for section, d := range rev.State {
		if rev.Prev[section] != d {
			return false
		}
	}
	return true
}

// eachAtNight makes a line of each change that was recorded on a weekend, or
// outside of the hours from "from" to "to".
func eachAtNight(r *run, each func(*line) error) error {
	return eachRevision(r, afterFirst, func(v revision) error {
		at := v.rev.At().In(r.zone())
		clock, weekend := at.Format("15:04"), at.Weekday() == time.Saturday || at.Weekday() == time.Sunday
		inside := clock >= r.set["from"] && clock < r.set["to"]
		if r.set["from"] > r.set["to"] { // over midnight
			inside = clock >= r.set["from"] || clock < r.set["to"]
		}
		if v.first() || inside && !weekend {
			return nil
		}
		l := v.stamped(r)
		if some, err := v.summed(r, l, ""); err != nil || !some {
			return err
		}
		l.made["weekday"] = weekdays[at.Weekday()]
		l.made["clock"] = clock
		return each(l)
	})
}

// weekdays in the short form of ISO 8601's order, the same in all languages:
// programs read them.
var weekdays = map[time.Weekday]string{
	time.Monday: "1", time.Tuesday: "2", time.Wednesday: "3", time.Thursday: "4", time.Friday: "5", time.Saturday: "6", time.Sunday: "7",
}

// eachMove makes a line of each revision that moved a CI to another site.
func eachMove(r *run, each func(*line) error) error {
	return eachRevision(r, declared, func(v revision) error {
		c, ok := v.rev.Fields["site"]
		if !ok || c.Old == "" {
			return nil
		}
		l := v.stamped(r)
		l.made["from"], l.made["to"] = c.Old, c.New
		return each(l)
	})
}

// hardwareParts are what somebody has in hand when a machine's hardware changes.
var hardwareParts = []string{"hw/board", "hw/disk", "hw/dimm", "hw/memory/total", "hw/cpu/model", "hw/bios/version", "id/serial"}

// eachPart makes a line of each change of a part of a machine.
func eachPart(r *run, each func(*line) error) error {
	return eachRevision(r, later("hw", "id"), func(v revision) error {
		if v.first() {
			return nil
		}
		for _, part := range hardwareParts {
			changes, err := v.seen.Changes(v.rev, part)
			if err != nil {
				return err
			}
			for _, c := range changes {
				if strings.Contains(c.Path, "/part/") { // of a partition
					continue
				}
				l := *v.stamped(r)
				l.made = map[string]string{"time": l.made["time"], "fact": strings.Join(components(c.Path), "/"), "old": c.Old, "new": c.New}
				if err := each(&l); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// eachNewPackage makes a line of each package that was installed on a machine
// that had reported before.
func eachNewPackage(r *run, each func(*line) error) error {
	return eachRevision(r, later("pkg"), func(v revision) error {
		if v.first() || v.rev.State["pkg"] == v.rev.Prev["pkg"] {
			return nil
		}
		changes, err := v.seen.Changes(v.rev, "pkg")
		if err != nil {
			return err
		}
		for _, c := range changes {
			parts := components(c.Path)
			if c.Old != "" || len(parts) != 3 || parts[2] != "version" {
				continue
			}
			l := *v.stamped(r)
			l.made = map[string]string{"time": l.made["time"], "package": parts[1], "version": c.New}
			if err := each(&l); err != nil {
				return err
			}
		}
		return nil
	})
}

// eachMonth makes a line of each CI at the end of each of the last months, the
// present one included as it is now.
func eachMonth(r *run, each func(*line) error) error {
	now, looked := r.now(), 0
	for n := r.number("months") - 1; n >= 0; n-- {
		end := time.Date(now.Year(), now.Month()-time.Month(n)+1, 1, 0, 0, 0, 0, time.UTC).Add(-time.Millisecond)
		month := end.Format("2006-01")
		at := end
		if n == 0 {
			at = r.at
		}
		found, err := r.then(at)
		if err != nil {
			return err
		}
		looked = max(looked, len(found))
		for _, m := range found {
			_, then := m.Heads()
			if err := each(&line{m: m, ci: then, made: map[string]string{"month": month}}); err != nil {
				return err
			}
		}
	}
	r.machines = looked
	return nil
}

// then gives the CIs as of a time, as far as the class of each is asked.
func (r *run) then(at time.Time) ([]Machine, error) {
	if at.IsZero() {
		return r.src.Select(r.ctx, r.filter, at)
	}
	return r.src.Census(r.ctx, r.filter, at)
}
