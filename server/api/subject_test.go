package api

import (
	"testing"
	"time"

	"rollcall/server/cmdb"
	"rollcall/server/store/storetest"
)

func TestPresenceIsThatOfTheTimeAskedAbout(t *testing.T) {
	day := time.Date(2026, 3, 10, 8, 0, 0, 0, time.UTC)
	presence, err := cmdb.LoadPresence(t.Context(), storetest.Weak(storetest.Seed(t)), "t", 72*time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	s := &Service{Presence: presence, Now: func() time.Time { return day }}
	heard, other := cmdb.CI{ID: "ci00000000000000000001"}, cmdb.CI{ID: "ci00000000000000000002"}
	last := day.AddDate(0, 0, -5)
	presence.Heard(heard.ID, last)
	for _, tt := range []struct {
		name     string
		ci       cmdb.CI
		at       time.Time
		presence string
		seen     time.Time
	}{
		{"now it is silent", heard, time.Time{}, cmdb.Silent, last},
		{"a day after its last word it was live", heard, last.AddDate(0, 0, 1), cmdb.Live, last},
		{"four days after its last word it was silent", heard, last.AddDate(0, 0, 4), cmdb.Silent, last},
		{"before its last word it was live, when is not known", heard, last.AddDate(0, 0, -1), cmdb.Live, time.Time{}},
		{"never heard of", other, last, cmdb.NeverSeen, time.Time{}},
	} {
		u := &subject{s: s, ci: tt.ci, at: tt.at}
		if got := u.presence(); got != tt.presence {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.presence)
		}
		if got := u.seen(); !got.Equal(tt.seen) {
			t.Errorf("%s: last heard of %s, want %s", tt.name, got, tt.seen)
		}
	}
}
