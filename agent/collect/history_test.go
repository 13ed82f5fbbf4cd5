package collect

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"
)

const aptLog = `
Start-Date: 2026-11-20  06:25:01
Commandline: apt-get install cups
Requested-By: kari (1000)
Install: cups:amd64 (2.4.2-3), libcups2:amd64 (2.4.2-3, automatic)
End-Date: 2026-11-20  06:25:09
`

const dpkgLog = `2026-11-20 06:25:02 startup archives unpack
2026-11-20 06:25:02 install cups:amd64 <none> 2.4.2-3
2026-11-20 06:25:03 status half-installed cups:amd64 2.4.2-3
2026-11-20 06:25:04 upgrade libc6:amd64 2.36-8 2.36-9
2026-11-20 06:25:05 configure cups:amd64 2.4.2-3 <none>
2026-11-20 06:25:06 remove hello:amd64 2.10-3 <none>
`

func events(t *testing.T, h Host) []string {
	t.Helper()
	r := Run(t.Context(), h, []Collector{packageHistory()})
	if s := r.Status[0]; s.State != OK {
		t.Errorf("%s: %s", s.State, s.Detail)
	}
	var out []string
	for _, e := range r.Events {
		out = append(out, e.At.UTC().Format(time.RFC3339)+" "+e.Kind+" "+e.Text)
	}
	return out
}

func TestHistoryTellsEachChangeOnce(t *testing.T) {
	root := rootWith(t, map[string]string{"var/log/dpkg.log": "2026-01-01 00:00:00 install old:amd64 <none> 1\n", "var/log/apt/history.log": ""})
	h := Host{FS: root, Now: memHost(nil).Now, Cache: &Cache{}}
	if got := events(t, h); len(got) > 0 {
		t.Errorf("what happened before the first look is told: %q", got)
	}
	grow(t, root, "var/log/dpkg.log", dpkgLog+"2026-11-20 06:25:07 install cut:amd")
	grow(t, root, "var/log/apt/history.log", aptLog)
	want := []string{
		"2026-11-20T06:25:01Z apt install 2 by kari (1000): apt-get install cups",
		"2026-11-20T06:25:02Z dpkg install cups:amd64 <none> 2.4.2-3",
		"2026-11-20T06:25:04Z dpkg upgrade libc6:amd64 2.36-8 2.36-9",
		"2026-11-20T06:25:06Z dpkg remove hello:amd64 2.10-3 <none>",
	}
	if got := events(t, h); !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	// After a restart of the agent, the rest of the line and a rotation.
	again := &Cache{}
	again.SetLogs(h.Cache.Logs())
	h.Cache = again
	grow(t, root, "var/log/dpkg.log", "64 <none> 3\n")
	log := filepath.Join(root.dir, "var/log/dpkg.log")
	if err := os.Rename(log, log+".1"); err != nil {
		t.Fatal(err)
	}
	grow(t, root, "var/log/dpkg.log", "2026-11-21 06:25:07 purge gone:amd64 1 <none>\n")
	want = []string{"2026-11-20T06:25:07Z dpkg install cut:amd64 <none> 3", "2026-11-21T06:25:07Z dpkg purge gone:amd64 1 <none>"}
	if got := events(t, h); !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	if got := events(t, h); len(got) > 0 {
		t.Errorf("told again: %q", got)
	}
}

func grow(t *testing.T, root *Root, name, more string) {
	t.Helper()
	f, err := os.OpenFile(filepath.Join(root.dir, name), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString(more); err != nil {
		t.Fatal(err)
	}
}

func TestAptCommandThatStillRunsWaitsForItsEnd(t *testing.T) {
	s := &Sink{}
	if rest := parseAptHistory([]byte(aptLog+"\nStart-Date: 2026-11-20  07:00:00\nCommandline: apt upgrade\n"), time.UTC, s); rest != 58 {
		t.Errorf("leaves %d bytes, want 58", rest)
	}
	if _, _, events := s.close(); len(events) != 1 {
		t.Errorf("events %v", events)
	}
}

func TestTimesInLogsAreLocal(t *testing.T) {
	zone, err := os.ReadFile("/usr/share/zoneinfo/Europe/Oslo")
	if err != nil {
		t.Skip("no time zones are installed here")
	}
	h := memHost(fstest.MapFS{"etc/localtime": {Data: zone}})
	s := &Sink{}
	parseDpkgLog([]byte(dpkgLog), localTime(h), s)
	_, _, got := s.close()
	if len(got) != 3 || got[0].At.UTC().Hour() != 5 {
		t.Errorf("events %v", got)
	}
}

func FuzzHistory(f *testing.F) {
	f.Add([]byte(aptLog))
	f.Add([]byte(dpkgLog))
	f.Fuzz(func(t *testing.T, b []byte) {
		s := &Sink{}
		for _, rest := range []int{parseDpkgLog(b, time.UTC, s), parseAptHistory(b, time.UTC, s)} {
			if rest < 0 || rest > len(b) {
				t.Errorf("leaves %d of %d bytes", rest, len(b))
			}
		}
		_, _, events := s.close()
		for _, e := range events {
			if strings.ContainsAny(e.Text, "\n\x1b") {
				t.Errorf("event %q", e.Text)
			}
		}
	})
}
