package main

import (
	"io"
	"testing"
	"time"
)

func TestTimesAreReadAsPeopleTypeThem(t *testing.T) {
	oslo, err := time.LoadLocation("Europe/Oslo")
	if err != nil {
		t.Skipf("no time zones here: %v", err)
	}
	a := testApp(io.Discard)
	a.zone = oslo // noon in UTC is 13:00 there
	tests := []struct {
		text string
		edge edge
		want string // in UTC; empty: refused
	}{
		{"2026-11-20T14:00:00Z", begin, "2026-11-20T14:00:00Z"},
		{"2026-11-20T14:00:00+05:30", begin, "2026-11-20T08:30:00Z"},
		{"2026-11-20 14:00", begin, "2026-11-20T13:00:00Z"},
		{"2026-11-20 14:00:07", begin, "2026-11-20T13:00:07Z"},
		{"2026-11-20T14:00", begin, "2026-11-20T13:00:00Z"},
		{"2026-11-20", begin, "2026-11-19T23:00:00Z"},
		{"2026-11-20", end, "2026-11-20T22:59:59.999Z"},
		{"2026-10-25", end, "2026-10-25T22:59:59.999Z"}, // a day of 25 hours
		{"yesterday", begin, "2026-11-19T23:00:00Z"},
		{"yesterday", end, "2026-11-20T22:59:59.999Z"},
		{"today", begin, "2026-11-20T23:00:00Z"},
		{"today", end, "2026-11-21T12:00:00Z"}, // not later than now
		{"2026-11-21", end, "2026-11-21T12:00:00Z"},
		{"now", begin, "2026-11-21T12:00:00Z"},
		{" 7d ", begin, "2026-11-14T12:00:00Z"},
		{"2h", begin, "2026-11-21T10:00:00Z"},
		{"2 hours ago", begin, "2026-11-21T10:00:00Z"},
		{"30min", begin, "2026-11-21T11:30:00Z"},
		{"1 week ago", begin, "2026-11-14T12:00:00Z"},
		{"90 s", begin, "2026-11-21T11:58:30Z"},
		{"2026-11-22", begin, ""},
		{"2026-11-22", end, ""},
		{"2026-11-21 14:00", begin, ""}, // in an hour
		{"1969-12-31", begin, ""},
		{"2026-13-01", begin, ""},
		{"2026-02-30", begin, ""},
		{"7 fortnights", begin, ""},
		{"-7d", begin, ""},
		{"9999999999d", begin, ""},
		{"999999w", begin, ""},
		{"tomorrow", begin, ""},
		{"1234567890", begin, ""},
	}
	for _, tt := range tests {
		got, err := a.parseTime("at", tt.text, tt.edge)
		if tt.want == "" {
			if err == nil || !isUsage(err) {
				t.Errorf("parseTime(%q) = %v, %v, want a usage error", tt.text, got, err)
			}
			continue
		}
		if err != nil || got.UTC().Format(time.RFC3339Nano) != tt.want {
			t.Errorf("parseTime(%q, %v) = %v, %v, want %s", tt.text, tt.edge, got.UTC().Format(time.RFC3339Nano), err, tt.want)
		}
	}
}

func TestNoTimeMeansNow(t *testing.T) {
	got, err := testApp(io.Discard).parseTime("at", "", end)
	if err != nil || millis(got) != 0 {
		t.Errorf("got %v, %v, want 0", got, err)
	}
}

func TestRelativeTimesHaveOneUnit(t *testing.T) {
	a := testApp(io.Discard)
	for d, want := range map[time.Duration]string{
		-30 * time.Second: "30 s ago", -90 * time.Second: "1 min ago", -47 * time.Hour: "47 h ago", -49 * time.Hour: "2 d ago", 2 * time.Hour: "in 2 h",
	} {
		if got := a.ago(ms(d)); got != want {
			t.Errorf("ago(%v) = %q, want %q", d, got, want)
		}
	}
	if got := a.ago(0); got != "never" {
		t.Errorf("ago(0) = %q, want never", got)
	}
}

func FuzzParseTime(f *testing.F) {
	for _, s := range []string{"7d", "yesterday", "2026-11-20 14:00", "2026-11-20T14:00:00Z", "99999w ago", "0000-01-01"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		a := testApp(io.Discard)
		for _, e := range []edge{begin, end} {
			got, err := a.parseTime("at", s, e)
			if err == nil && s != "" && (got.Year() < 1970 || got.After(today.Add(time.Minute))) {
				t.Errorf("parseTime(%q) = %v", s, got)
			}
		}
	})
}
