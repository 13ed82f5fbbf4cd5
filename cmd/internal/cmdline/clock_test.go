package cmdline

import (
	"testing"
	"time"
)

// noon is when all of it is read.
var noon = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

func TestTimesAreReadAsPeopleTypeThem(t *testing.T) {
	oslo, err := time.LoadLocation("Europe/Oslo")
	if err != nil {
		t.Skipf("no time zones here: %v", err)
	}
	now := noon.In(oslo) // 13:00 there
	tests := []struct {
		text string
		edge Edge
		want string // in UTC; empty: refused
	}{
		{"2026-11-20T14:00:00Z", Begin, "2026-11-20T14:00:00Z"},
		{"2026-11-20T14:00:00+05:30", Begin, "2026-11-20T08:30:00Z"},
		{"2026-11-20 14:00", Begin, "2026-11-20T13:00:00Z"},
		{"2026-11-20 14:00:07", Begin, "2026-11-20T13:00:07Z"},
		{"2026-11-20T14:00", Begin, "2026-11-20T13:00:00Z"},
		{"2026-11-20", Begin, "2026-11-19T23:00:00Z"},
		{"2026-11-20", End, "2026-11-20T22:59:59.999Z"},
		{"2026-10-25", End, "2026-10-25T22:59:59.999Z"}, // a day of 25 hours
		{"yesterday", Begin, "2026-11-19T23:00:00Z"},
		{"yesterday", End, "2026-11-20T22:59:59.999Z"},
		{"today", Begin, "2026-11-20T23:00:00Z"},
		{"today", End, "2026-11-21T12:00:00Z"}, // not later than now
		{"2026-11-21", End, "2026-11-21T12:00:00Z"},
		{"now", Begin, "2026-11-21T12:00:00Z"},
		{" 7d ", Begin, "2026-11-14T12:00:00Z"},
		{"2h", Begin, "2026-11-21T10:00:00Z"},
		{"2 hours ago", Begin, "2026-11-21T10:00:00Z"},
		{"30min", Begin, "2026-11-21T11:30:00Z"},
		{"1 week ago", Begin, "2026-11-14T12:00:00Z"},
		{"90 s", Begin, "2026-11-21T11:58:30Z"},
		{"2026-11-22", Begin, ""},
		{"2026-11-22", End, ""},
		{"2026-11-21 14:00", Begin, ""}, // in an hour
		{"1969-12-31", Begin, ""},
		{"2026-13-01", Begin, ""},
		{"2026-02-30", Begin, ""},
		{"7 fortnights", Begin, ""},
		{"-7d", Begin, ""},
		{"9999999999d", Begin, ""},
		{"999999w", Begin, ""},
		{"tomorrow", Begin, ""},
		{"1234567890", Begin, ""},
	}
	for _, tt := range tests {
		got, err := ParseTime("at", tt.text, now, tt.edge)
		if tt.want == "" {
			if err == nil || !IsUsage(err) {
				t.Errorf("ParseTime(%q) = %v, %v, want a usage error", tt.text, got, err)
			}
			continue
		}
		if err != nil || got.UTC().Format(time.RFC3339Nano) != tt.want {
			t.Errorf("ParseTime(%q, %v) = %v, %v, want %s", tt.text, tt.edge, got.UTC().Format(time.RFC3339Nano), err, tt.want)
		}
	}
}

func FuzzParseTime(f *testing.F) {
	for _, s := range []string{"7d", "yesterday", "2026-11-20 14:00", "2026-11-20T14:00:00Z", "99999w ago", "0000-01-01"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for _, e := range []Edge{Begin, End} {
			got, err := ParseTime("at", s, noon, e)
			if err == nil && s != "" && (got.Year() < 1970 || got.After(noon.Add(time.Minute))) {
				t.Errorf("ParseTime(%q) = %v", s, got)
			}
		}
	})
}
