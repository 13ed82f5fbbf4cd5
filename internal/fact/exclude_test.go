package fact

import (
	"path"
	"testing"
)

func TestExclusionsAreWellFormedAndHaveReasons(t *testing.T) {
	for _, row := range exclusions {
		if _, err := path.Match(row.pattern, ""); err != nil {
			t.Errorf("%q: %v", row.pattern, err)
		}
		if row.reason == "" {
			t.Errorf("%q has no reason", row.pattern)
		}
	}
}

func TestWhatIsNoConfigurationIsExcluded(t *testing.T) {
	for _, tt := range []struct {
		rel           string
		regular, link bool
		want          bool
	}{
		{".git", false, false, true},
		{"x/.hg", false, false, true},
		{"foo.conf.dpkg-old", true, false, true},
		{"mtab", true, false, true},
		{"mtab", false, true, false},
		{"x/mtab", true, false, false},
		{"ssl/certs/0179095f.0", false, true, true},
		{"ssl/certs/ca.pem", true, false, false},
		{"shadow", true, false, false},
	} {
		if got := Excluded(tt.rel, tt.regular, tt.link); got != tt.want {
			t.Errorf("Excluded(%q, %v, %v) = %v", tt.rel, tt.regular, tt.link, got)
		}
	}
}
