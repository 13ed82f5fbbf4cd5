package collect

import (
	"maps"
	"testing"
	"testing/fstest"
	"time"
)

func TestAlarmOfAChipIsAFactAndValuesAreMeasured(t *testing.T) {
	const chip = "sys/class/hwmon/hwmon2/"
	files := map[string]string{
		chip + "name": "nct6775\n", chip + "temp1_input": "41500\n", chip + "temp1_label": "CPUTIN\n", chip + "temp1_crit_alarm": "0\n",
		chip + "fan1_input": "0\n", chip + "fan1_alarm": "1\n", chip + "fan2_input": "1200\n", chip + "in3_alarm": "1\n", chip + "temp9_fault": "1\n",
	}
	var r Runner
	first := r.Run(t.Context(), Host{FS: tree(files), Now: time.Now}, []Collector{sensors()}, Memory{})
	facts := map[string]string{}
	for _, f := range first.Facts {
		facts[f.Path] = f.Value
	}
	if want := map[string]string{"hw/alarm/nct6775/fan1": "alarm", "hw/alarm/nct6775/temp9": "fault"}; !maps.Equal(facts, want) {
		t.Errorf("facts %v, want %v", facts, want)
	}
	for path, want := range map[string]string{"m/temp/hwmon2 nct6775/CPUTIN": "42", "m/fan/hwmon2 nct6775/fan2": "1200"} {
		if got, _ := first.Measurements.Get(path); got != want {
			t.Errorf("%s = %q, want %q", path, got, want)
		}
	}
	files[chip+"fan1_alarm"] = "0\n" // for one look only
	second := r.Run(t.Context(), Host{FS: tree(files), Now: time.Now}, []Collector{sensors()}, first.Memory)
	if got, _ := second.Facts.Get("hw/alarm/nct6775/fan1"); got != "alarm" {
		t.Errorf("an alarm that was missed once is %q", got)
	}
}

func TestErrorsOfMemoryAreMeasured(t *testing.T) {
	r := Run(t.Context(), Host{FS: tree(map[string]string{
		"sys/devices/system/edac/mc/mc0/ce_count": "17\n", "sys/devices/system/edac/mc/mc0/ue_count": "0\n", "sys/devices/system/edac/mc/power/x": "",
	}), Now: time.Now}, []Collector{memoryErrors()})
	if ce, _ := r.Measurements.Get("m/edac/mc0/ce_count"); ce != "17" || len(r.Facts) > 0 || len(r.Measurements) != 2 {
		t.Errorf("%v %v", r.Facts, r.Measurements)
	}
}

func TestSessionsAreCountedWithoutNames(t *testing.T) {
	h := Host{Live: true, Now: time.Now, FS: tree(map[string]string{
		"run/systemd/sessions/2":   "UID=1000\nUSER=kari\nSTATE=active\nCLASS=user\nTYPE=wayland\nREMOTE=0\n",
		"run/systemd/sessions/3":   "UID=1001\nUSER=ola\nSTATE=online\nCLASS=user\nTYPE=tty\nREMOTE=1\nREMOTE_HOST=10.0.2.9\n",
		"run/systemd/sessions/4":   "UID=0\nUSER=root\nSTATE=closing\nCLASS=user\nTYPE=tty\n",
		"run/systemd/sessions/c1":  "UID=117\nUSER=lightdm\nSTATE=active\nCLASS=greeter\nTYPE=x11\n",
		"run/systemd/sessions/odd": "\x00\xff",
	})}
	s := &Sink{collector: sessions()}
	if err := collectSessions(t.Context(), h, s); err != nil {
		t.Fatal(err)
	}
	facts, measured, _ := s.close()
	got := map[string]string{}
	for _, f := range measured {
		got[f.Path] = f.Value
	}
	if want := map[string]string{"m/sessions/graphical": "1", "m/sessions/remote": "1", "m/sessions/text": "0"}; !maps.Equal(got, want) || len(facts) > 0 {
		t.Errorf("measured %v, want %v; facts %v", got, want, facts)
	}
}

func TestClockIsSetWhenItsProgramSaysSo(t *testing.T) {
	at := func(ago time.Duration) *fstest.MapFile { return &fstest.MapFile{ModTime: noon.Add(-ago)} }
	const timesyncd, chrony = "run/systemd/timesync/synchronized", "var/lib/chrony/chrony.drift"
	for _, tt := range []struct {
		name     string
		files    fstest.MapFS
		by, sync string
	}{
		{"just now", fstest.MapFS{timesyncd: at(time.Minute)}, "systemd-timesyncd", "yes"},
		{"yesterday", fstest.MapFS{timesyncd: at(26 * time.Hour)}, "systemd-timesyncd", "no"},
		{"not yet", fstest.MapFS{"run/systemd/timesync/x": at(0)}, "systemd-timesyncd", "no"},
		{"by another than the first", fstest.MapFS{timesyncd: at(26 * time.Hour), chrony: at(time.Hour)}, "chrony", "yes"},
		{"nobody does", fstest.MapFS{"etc/x": at(0)}, "", ""},
	} {
		h := Host{FS: tt.files, Live: true, Now: func() time.Time { return noon }}
		s := &Sink{collector: timeSync()}
		err := collectTimeSync(t.Context(), h, s)
		facts, _, _ := s.close()
		got := map[string]string{}
		for _, f := range facts {
			got[f.Path] = f.Value
		}
		if got["time/by"] != tt.by || got["time/synchronised"] != tt.sync || (err == nil) != (tt.by != "") {
			t.Errorf("%s: %v, %v", tt.name, got, err)
		}
	}
}

func TestProfilesOfAppArmorAreToldWithoutThoseOfContainers(t *testing.T) {
	got := collected(t, apparmor(), tree(map[string]string{
		"sys/module/apparmor/parameters/enabled": "Y\n", "sys/kernel/security/apparmor/policy/profiles/a.1/name": "/usr/bin/a\n",
		"sys/kernel/security/apparmor/policy/profiles/a.1/mode": "complain\n", "sys/kernel/security/apparmor/policy/profiles/d.2/name": "docker-default\n",
		"sys/kernel/security/apparmor/policy/profiles/d.2/mode": "enforce\n", "sys/kernel/security/apparmor/policy/profiles/e.3/mode": "enforce\n",
	}))
	if want := map[string]string{"apparmor/enabled": "yes", "apparmor/profile/%2Fusr%2Fbin%2Fa": "complain"}; !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestJobsOfACrontabAreCounted(t *testing.T) {
	for line, want := range map[string]bool{
		"": false, "# x": false, "MAILTO=a@b": false, "PATH = /bin:/usr/bin": false, "0 3 * * * x": true, "@daily x --a=b": true, "*/5 * * * * A=1 x": true,
	} {
		if got := isJob(line); got != want {
			t.Errorf("%q: %v, want %v", line, got, want)
		}
	}
}
