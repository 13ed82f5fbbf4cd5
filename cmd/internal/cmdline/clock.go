package cmdline

import (
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Edge tells which end of a day is meant where only the day is said.
type Edge int

// The Edges: what happened since a day began with it, what was on a day was
// there at its end.
const (
	Begin Edge = iota
	End
)

// layouts are the forms of a time in the operator's own zone.
var layouts = []string{"2006-01-02 15:04:05", "2006-01-02 15:04", "2006-01-02T15:04:05", "2006-01-02T15:04"}

var spanForm = regexp.MustCompile(`^([0-9]{1,6}) ?(s|sec|seconds?|m|min|minutes?|h|hours?|d|days?|w|weeks?)( ago)?$`)

var spanUnits = map[byte]time.Duration{
	's': time.Second, 'm': time.Minute, 'h': time.Hour, 'd': 24 * time.Hour, 'w': 7 * 24 * time.Hour,
}

// TimeForms is what the help says about times.
const TimeForms = "RFC 3339, 2026-11-20, \"2026-11-20 14:00\", yesterday, today, 7d, 2h"

// ParseTime reads what people type for a time, in the zone of now. A day alone
// means the end e of that day, but never later than now. Empty text is the zero
// time. What is no time, lies ahead or before 1970 is an error of usage, about
// the flag.
func ParseTime(flag, text string, now time.Time, e Edge) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	t, ok := readTime(strings.ToLower(strings.TrimSpace(text)), now, e)
	switch {
	case !ok:
		return t, Hinted(Usagef("--%s: %q is not a time", flag, text), "write it as %s", TimeForms)
	case t.After(now.Add(time.Minute)):
		return t, Usagef("--%s: %s has not come yet", flag, t.In(now.Location()).Format("2006-01-02 15:04 MST"))
	case t.Year() < 1970:
		return t, Usagef("--%s: %q is before 1970", flag, text)
	}
	return t, nil
}

func readTime(text string, now time.Time, e Edge) (time.Time, bool) {
	day := func(t time.Time) (time.Time, bool) {
		t = time.Date(t.Year(), t.Month(), t.Day(), 0, 0, 0, 0, now.Location())
		if e == End {
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
