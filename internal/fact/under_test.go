package fact_test

import (
	"testing"

	"rollcall/internal/fact"
)

func TestAPathIsUnderItselfAndWhatItLiesIn(t *testing.T) {
	for _, tt := range []struct {
		path, prefix string
		want         bool
	}{
		{"etc/cups/cupsd.conf", "etc/cups", true},
		{"etc/cups", "etc/cups", true},
		{"etc/cups", "etc/cups/", true},
		{"etc/cups-browsed", "etc/cups", false},
		{"etc", "etc/cups", false},
		{"etc/cups", "", true},
	} {
		if got := fact.Under(tt.path, tt.prefix); got != tt.want {
			t.Errorf("Under(%q, %q) = %v, want %v", tt.path, tt.prefix, got, tt.want)
		}
	}
	if !fact.UnderAny("pkg/cups", nil) || !fact.UnderAny("pkg/cups", []string{"etc", "pkg"}) || fact.UnderAny("pkg/cups", []string{"etc", "pkg/cu"}) {
		t.Error("UnderAny does not agree with Under")
	}
}
