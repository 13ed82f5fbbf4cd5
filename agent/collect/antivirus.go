package collect

import (
	"context"
	"errors"
	"io/fs"
	"strconv"
	"strings"
	"time"
)

func antivirus() Collector {
	return Collector{Name: "antivirus", Owns: []string{"antivirus/"}, Collect: collectAntivirus}
}

// collectAntivirus tells which of ClamAV's databases are there and how old the
// daily one is, in days. Numbers and dates of databases change every day: they are
// measurements. Whether the scanner runs is among the units.
func collectAntivirus(_ context.Context, h Host, s *Sink) error {
	const dir = "var/lib/clamav/"
	found := false
	for _, base := range []string{"main", "daily", "bytecode"} {
		var newest database
		for _, ending := range []string{".cvd", ".cld"} { // as published, and as updated here
			b, err := h.ReadHead(dir+base+ending, databaseHeader)
			if errors.Is(err, fs.ErrPermission) {
				s.Denied(dir + base + ending)
			}
			if d, ok := parseDatabase(b); err == nil && ok && d.number >= newest.number {
				newest = d
			}
		}
		if newest.number == 0 {
			continue
		}
		found = true
		s.Fact(Path("antivirus", "clamav", base), "present")
		s.Measure(Path("clamav", base), strconv.FormatUint(newest.number, 10)+" of "+newest.built.UTC().Format(time.RFC3339))
		if base == "daily" {
			s.Fact("antivirus/clamav/age", strconv.Itoa(max(0, int(h.Now().Sub(newest.built).Hours()/24))))
		}
	}
	return s.Found(found)
}

// databaseHeader is the length of the text at the start of each database.
const databaseHeader = 512

// database is what the header of one of ClamAV's databases tells.
type database struct {
	number uint64
	built  time.Time
}

// parseDatabase reads "ClamAV-VDB:28 Nov 2026 09-41 +0000:27830:…": when it was
// made, with a hyphen in the time, its number, then other fields
// (docs.clamav.net, Signatures, Database info).
func parseDatabase(b []byte) (database, bool) {
	f := strings.SplitN(string(b), ":", 4)
	if len(f) < 4 || f[0] != "ClamAV-VDB" {
		return database{}, false
	}
	built, err := time.Parse("2 Jan 2006 15-04 -0700", f[1])
	number, err2 := strconv.ParseUint(f[2], 10, 32)
	return database{number, built}, err == nil && err2 == nil
}
