package mirror

import (
	"fmt"
	"path/filepath"
	"testing"
)

// TestWhatWaitsInManyRepositoriesGetsFewPacks lets the machines of many schools
// report in turn, as in the night of a release.
func TestWhatWaitsInManyRepositoriesGetsFewPacks(t *testing.T) {
	w := newWorld()
	const schools, times = 10, 8
	for n := range times {
		for s := range schools {
			w.record(fmt.Sprint("pc", s), fmt.Sprint("elm/school", s), map[string]string{"etc/motd": w.plain(fmt.Sprint(n, s), 0o644)})
		}
	}
	m := w.mirror(filepath.Join(tempDir(t), "m"))
	m.page, m.most = schools, schools*times
	drain(t, m)
	for s := range schools {
		if n := countPacks(t, m, fmt.Sprint("elm/school", s)); n > 2 {
			t.Errorf("school %d: %d packs for %d revisions, want one of the first page and one of the rest", s, n, times)
		}
	}
}
