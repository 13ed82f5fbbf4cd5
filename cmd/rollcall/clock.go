package main

import (
	"fmt"
	"time"

	"rollcall/cmd/internal/cmdline"
)

// parseTime reads what an operator types for a time, in her zone.
func (a *app) parseTime(flag, text string, e cmdline.Edge) (time.Time, error) {
	return cmdline.ParseTime(flag, text, a.now().In(a.zone), e)
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
