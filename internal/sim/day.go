package sim

import (
	"fmt"
	"time"
)

// Day counts days since Debian 12 was released, on 2023-06-10: the virtual time
// of a fleet.
type Day uint16

var release = time.Date(2023, 6, 10, 0, 0, 0, 0, time.UTC)

// LastDay is the last day that the data tells of, 2026-11-20.
var LastDay = Day(time.Date(2026, 11, 20, 0, 0, 0, 0, time.UTC).Sub(release) / (24 * time.Hour))

// ParseDay reads YYYY-MM-DD. The error says which days there are.
func ParseDay(s string) (Day, error) {
	t, err := time.Parse(time.DateOnly, s)
	if err != nil || t.Before(release) || t.After(LastDay.Time()) {
		return 0, fmt.Errorf("day %.20q: want YYYY-MM-DD from %s to %s", s, release.Format(time.DateOnly), LastDay)
	}
	return Day(t.Sub(release) / (24 * time.Hour)), nil
}

// Time gives the beginning of the day.
func (d Day) Time() time.Time { return release.AddDate(0, 0, int(d)) }

// String gives YYYY-MM-DD.
func (d Day) String() string { return d.Time().Format(time.DateOnly) }
