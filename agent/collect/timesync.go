package collect

import (
	"context"
	"errors"
	"io/fs"
	"time"
)

func timeSync() Collector {
	return Collector{Name: "timesync", Owns: []string{"time/"}, Collect: collectTimeSync}
}

// clock is a program that sets the clock from the network.
type clock struct {
	name    string
	folder  string // there is one where the program is
	touched string // written each time it has set the clock
}

// freshClock is how long a clock that was set counts as set. All of them ask again
// within an hour.
const freshClock = 3 * time.Hour

// clocks lists them. The kernel would know it better (adjtimex(2)); but that call
// also sets the clock, and a filter of system calls cannot tell asking from
// setting, so that the agent is refused both.
func clocks() []clock {
	return []clock{
		{"systemd-timesyncd", "run/systemd/timesync", "run/systemd/timesync/synchronized"},
		{"chrony", "var/lib/chrony", "var/lib/chrony/chrony.drift"},
		{"ntpsec", "var/lib/ntpsec", "var/lib/ntpsec/ntp.drift"},
		{"ntp", "var/lib/ntp", "var/lib/ntp/ntp.drift"},
	}
}

// collectTimeSync tells whether the clock is set from the network, and by what. A
// root that does not run tells nothing: its files are as old as it is.
func collectTimeSync(_ context.Context, h Host, s *Sink) error {
	if !h.Live {
		return fs.ErrNotExist
	}
	by, set := "", false
	for _, c := range clocks() {
		if set || !h.Exists(c.folder) {
			continue
		}
		st, err := fs.Stat(h.FS, c.touched)
		if errors.Is(err, fs.ErrPermission) {
			s.Denied(c.touched)
			continue
		}
		set = err == nil && h.Now().Sub(st.ModTime()) < freshClock
		if set || by == "" {
			by = c.name
		}
	}
	if by != "" {
		s.Fact("time/by", by)
		s.Fact("time/synchronised", yesNo(set))
	}
	return s.Found(by != "")
}
