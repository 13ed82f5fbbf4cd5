package main

import (
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// edge tells which end of a day is meant where only the day is said.
type edge int

// The edges: what happened since a day began with it, what was on a day was
// there at its end.
const (
	begin edge = iota
	end
)

// layouts are the forms of a time in the operator's own zone.
var layouts = []string{"2006-01-02 15:04:05", "2006-01-02 15:04", "2006-01-02T15:04:05", "2006-01-02T15:04"}

var spanForm = regexp.MustCompile(`^([0-9]{1,6}) ?(s|sec|seconds?|m|min|minutes?|h|hours?|d|days?|w|weeks?)( ago)?$`)

var spanUnits = map[byte]time.Duration{
	's': time.Second, 'm': time.Minute, 'h': time.Hour, 'd': 24 * time.Hour, 'w': 7 * 24 * time.Hour,
}

// timeForms is what the help says about times.
const timeForms = "RFC 3339, 2026-11-20, \"2026-11-20 14:00\", yesterday, today, 7d, 2h"

// parseTime reads what an operator types for a time. A day alone means the end e
// of that day, but never later than now. Empty text is the zero time.
func (a *app) parseTime(flag, text string, e edge) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	now := a.now().In(a.zone)
	t, ok := readTime(strings.ToLower(strings.TrimSpace(text)), now, e)
	switch {
	case !ok:
		return t, usagef("--%s: %q is not a time\nhint: write it as %s", flag, text, timeForms)
	case t.After(now.Add(time.Minute)):
		return t, usagef("--%s: %s has not come yet", flag, a.moment(t))
	case t.Year() < 1970:
		return t, usagef("--%s: %q is before 1970", flag, text)
	}
	return t, nil
}

func readTime(text string, now time.Time, e edge) (time.Time, bool) {
	day := func(t time.Time) (time.Time, bool) {
		t = time.Date(t.Year(), t.Month(), t.Day(), 0, 0, 0, 0, now.Location())
		if e == end {
			if t = t.AddDate(0, 0, 1).Add(-time.Millisecond); t.After(now) && t.Sub(now) < 25*time.Hour {
				t = now
			}
		}
		return t, true
	}
	switch text {
	case "now":
		return now, true
	case "today":
		return day(now)
	case "yesterday":
		return day(now.AddDate(0, 0, -1))
	}
	if m := spanForm.FindStringSubmatch(text); m != nil {
		n, err := strconv.ParseInt(m[1], 10, 64)
		unit := spanUnits[m[2][0]]
		return now.Add(-time.Duration(n) * unit), err == nil && n < int64(math.MaxInt64/unit)
	}
	if t, err := time.Parse(time.RFC3339, strings.ToUpper(text)); err == nil {
		return t, true
	}
	if t, err := time.ParseInLocation(time.DateOnly, text, now.Location()); err == nil {
		return day(t)
	}
	for _, l := range layouts {
		if t, err := time.ParseInLocation(l, strings.ToUpper(text), now.Location()); err == nil {
			return t, true
		}
	}
	return time.Time{}, false
}

// millis is a time as the server takes it; the zero time is 0, which means now.
func millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

// moment is a time for people: in their zone, to the minute.
func (a *app) moment(t time.Time) string { return t.In(a.zone).Format("2006-01-02 15:04 MST") }

// when is a server's time for a column: "2026-11-20 14:03", or "-".
func (a *app) when(ms int64) string {
	if ms == 0 {
		return "-"
	}
	return time.UnixMilli(ms).In(a.zone).Format("2006-01-02 15:04")
}

// ago is how long ago a server's time is: "4 min ago", or "never".
func (a *app) ago(ms int64) string {
	if ms == 0 {
		return "never"
	}
	d := a.now().Sub(time.UnixMilli(ms))
	if d < 0 {
		return "in " + spanWords(-d)
	}
	return spanWords(d) + " ago"
}

// whenAgo is both: "2026-11-20 14:03 (4 min ago)".
func (a *app) whenAgo(ms int64) string {
	if ms == 0 {
		return "never"
	}
	return fmt.Sprintf("%s (%s)", a.when(ms), a.ago(ms))
}

// spanWords names a duration in its largest unit.
func spanWords(d time.Duration) string {
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h", int(d.Hours()))
	}
	return fmt.Sprintf("%d d", int(d.Hours()/24))
}
