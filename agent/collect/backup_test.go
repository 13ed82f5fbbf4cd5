package collect

import (
	"testing"
	"testing/fstest"
	"time"
)

func TestBackupsTellTheirLastRunAndTheLastGoodOne(t *testing.T) {
	now := time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)
	run := func(files map[string]string) map[string]string {
		m := map[string]string{}
		for _, f := range Run(t.Context(), Host{FS: tree(files), Now: func() time.Time { return now }}, []Collector{backups()}).Facts {
			m[f.Path] = f.Value
		}
		return m
	}
	const log = "var/log/slbackup/slbackup.log"
	tests := []struct {
		name  string
		files map[string]string
		want  map[string]string
	}{
		{"a good one, last year", map[string]string{log: "Dec 31 03:00:00 - Successfully finished backing up client a\n"}, map[string]string{"a/last": "ok", "a/age": "2"}},
		{"failed after a good one", map[string]string{log: "Dec 20 03:00:00 - Successfully finished backing up client a\nJan 02 03:00:00 - Failed backing up client a\n"}, map[string]string{"a/last": "failed", "a/age": "7"}},
		{"no address", map[string]string{log: "Jan 02 03:00:00 - Backup of client a failed.\n"}, map[string]string{"a/last": "failed", "a/age": "never"}},
		{"the good one is in the older log", map[string]string{log + ".1": "Dec 31 03:00:00 - Successfully finished backing up client a\n", log: "Jan 01 03:00:00 - Failed backing up client a.\n"}, map[string]string{"a/last": "failed", "a/age": "2"}},
		{"configured and never run", map[string]string{"etc/slbackup/slbackup.conf": "<client>\n<a>\naddress a\n</a>\n</client>\nserver_type local\n"}, map[string]string{"a/last": "never"}},
		{"nothing of it is a run", map[string]string{log: "Starting slbackup:\nx - y\n\xff - Failed backing up client b\n"}, map[string]string{}},
	}
	for _, tt := range tests {
		got := run(tt.files)
		if len(got) != len(tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
		for path, value := range tt.want {
			if got["backup/slbackup/"+path] != value {
				t.Errorf("%s: %s = %q, want %q", tt.name, path, got["backup/slbackup/"+path], value)
			}
		}
	}
}

func TestEndOfALongLogIsRead(t *testing.T) {
	root := recorded(t, "testdata/tjener.txtar")
	line := "Nov 20 03:30:01 - Failed backing up client tjener\n"
	long := make([]byte, 0, 3<<20)
	for len(long) < 3<<20 {
		long = append(long, line...)
	}
	write(t, root, "var/log/slbackup/slbackup.log", string(long)+"Nov 21 03:30:01 - Successfully finished backing up client tjener\n")
	got := collected(t, backups(), root)
	if got["backup/slbackup/tjener/last"] != "ok" {
		t.Errorf("got %v", got)
	}
}

func TestDatabasesOfClamAVTellTheirAge(t *testing.T) {
	for _, tt := range []struct{ header, age string }{
		{"ClamAV-VDB:21 Nov 2026 08-41 +0000:27830:2067012:90:X", "0"},
		{"ClamAV-VDB:01 Oct 2026 08-41 +0200:27830:2067012:90:X", "30"},
		{"ClamAV-VDB:21 Nov 2031 08-41 +0000:27830:2067012:90:X", "0"}, // a wrong clock
		{"ClamAV-VDB:21 Nov 2026 08:41:27830", ""},
		{"", ""},
		{"\x00\x01", ""},
	} {
		r := Run(t.Context(), memHost(fstest.MapFS{"var/lib/clamav/daily.cvd": text(tt.header)}), []Collector{antivirus()})
		if age, _ := r.Facts.Get("antivirus/clamav/age"); age != tt.age || !r.Status[0].State.Complete() {
			t.Errorf("%q: age %q, want %q; %+v", tt.header, age, tt.age, r.Status[0])
		}
	}
}

func FuzzBackups(f *testing.F) {
	f.Add("Nov 20 03:30:01 - Failed backing up client tjener\n", "[2026-11-21T02:40:01] /usr/bin/rsnapshot daily: completed successfully\n", "<client>\n<a>\n</a>\n", "ClamAV-VDB:21 Nov 2026 08-41 +0000:27830:2067012:90:X")
	f.Add("Jan  1 01:00:12 Info: FINISHED: 3 actions run. 0 fatal. 0 error.", "[28/Nov/2026:02:00:01] rsnapshot alpha: ERROR: x", "</x>\n</y>", "::::")
	f.Fuzz(func(t *testing.T, a, b, conf, header string) {
		inert(t, tree(map[string]string{
			"var/log/slbackup/slbackup.log": a, "var/log/backupninja.log": a, "var/log/rsnapshot.log": b,
			"etc/slbackup/slbackup.conf": conf, "var/lib/clamav/daily.cld": header,
		}), backups(), antivirus())
	})
}
