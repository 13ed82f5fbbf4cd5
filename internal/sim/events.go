package sim

// Advance lets the fleet live until a day: machines install updates as their
// school does, and boot into the kernel that they have by the morning after. It
// calls changed with each machine that is not as it was, in order.
func (f *Fleet) Advance(to Day, changed func(i int)) {
	f.day = min(to, LastDay)
	f.bases.age()
	for i := range f.now {
		s := &f.now[i]
		was := *s
		m := f.Member(i)
		updated := f.policyDay(i, m, f.day)
		s.booted = max(s.booted, min(s.updated, updated)) // last night's kernel
		s.updated, s.lists = max(s.updated, updated), f.day
		if m.Profile == Thin {
			s.booted = s.updated // it boots its image each morning
			s.lists = s.updated  // and nobody looks for updates in it
		}
		if *s != was {
			changed(i)
		}
	}
}

// AdvanceAll is Advance on a day on which every machine is brought up to date
// whatever its school does: the night of a point release.
func (f *Fleet) AdvanceAll(to Day, changed func(i int)) {
	f.day = min(to, LastDay)
	f.bases.age()
	for i := range f.now {
		s := &f.now[i]
		was := *s
		s.booted = max(s.booted, s.updated)
		s.updated, s.lists = max(s.updated, f.day), f.day
		if *s != was {
			changed(i)
		}
	}
}

// Edit changes a file of /etc of a machine by hand.
func (f *Fleet) Edit(i int) { f.now[i].edits = min(f.now[i].edits, 254) + 1 }

// Replace puts another disk or memory module into a machine.
func (f *Fleet) Replace(i int) { f.now[i].parts = min(f.now[i].parts, 254) + 1 }

// Move takes a machine to another room of its building.
func (f *Fleet) Move(i int) { f.now[i].moves = min(f.now[i].moves, 254) + 1 }

// Reinstall installs a machine anew and up to date: it has other host keys, another
// machine-id, another key of its agent, and no edits.
func (f *Fleet) Reinstall(i int) {
	s := &f.now[i]
	s.installs = min(s.installs, 254) + 1
	s.edits, s.updated, s.booted, s.lists = 0, f.day, f.day, f.day
}

// Reboot starts a machine: it runs its newest kernel.
func (f *Fleet) Reboot(i int) { f.now[i].booted = f.now[i].updated }

// Choose draws whether something with a probability happens to a machine on the
// present day.
func (f *Fleet) Choose(i int, what string, probability float64) bool {
	return share(f.draw(i, what, uint64(f.day))) < probability
}

// PointReleases lists the days on which Debian brought a new point release.
func PointReleases() ([]Day, error) {
	data, err := theCatalogue()
	if err != nil {
		return nil, err
	}
	var days []Day
	for _, s := range data.timeline["base-files"] {
		if s.day > 0 {
			days = append(days, s.day)
		}
	}
	return days, nil
}
