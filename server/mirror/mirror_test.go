package mirror

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// smallWorld has two schools, three machines, a move, a rename and a removal.
func smallWorld() *world {
	w := newWorld()
	w.knowDefault("Listen localhost:631\n")
	first := func(host string) map[string]string {
		return map[string]string{
			"etc/hostname":                 w.plain(host+"\n", 0o644),
			"etc/cups":                     "dir 0755 root:root",
			"etc/cups/cupsd.conf":          w.plain("Listen 631\nBrowsing On\n", 0o640),
			"conffile/etc/cups/cupsd.conf": modified("cups-daemon", "Listen localhost:631\n"),
			"etc/late.conf":                w.plain("late local", 0o644),
			"conffile/etc/late.conf":       modified("late", "late default"),
			"etc/rc.local":                 w.plain("#!/bin/sh\n", 0o755),
			"etc/shadow":                   w.sealed("age-encryption.org/v1 " + host),
			"etc/alternatives/editor":      link("/usr/bin/vim.basic"),
			"etc/ssl/key.pem":              "keyed:aabb 0600 root:root",
			"pkg/cups/version":             "2.4.2-3+deb12u5",
			"pkg/cups-daemon/version":      "2.4.2-3+deb12u5",
			"pkg/old/state":                "deinstall ok config-files",
			"hw/dimm/A1/size":              "8 GiB",
			"hw/dimm/A2/size":              "8 GiB",
			"hw/system/vendor":             "Dell Inc.",
			"svc/cups.service":             "enabled",
		}
	}
	w.record("pc07", "elm/north", first("pc07"))
	w.record("pc08", "elm/north", first("pc08"))
	w.record("tjener", "elm/south", first("tjener"))
	w.record("pc07", "elm/north", map[string]string{
		"pkg/cups/version":    "2.4.2-3+deb12u8",
		"etc/cups/cupsd.conf": w.plain("Listen 632\nBrowsing On\n", 0o640),
		"hw/dimm/A2/size":     "",
	})
	w.record("pc08", "elm/north", map[string]string{"svc/cups.service": "disabled"})
	w.record("pc08", "elm/south", map[string]string{"etc/hostname": w.plain("pc8\n", 0o644)})
	w.recordAs("pc07", "lab07", "elm/north", "lab07", nil)
	w.record("tjener", "elm/south", map[string]string{"etc/cups/cupsd.conf": "", "etc/cups": "", "conffile/etc/cups/cupsd.conf": ""})
	return w
}

func TestTheFolderOfAClaimSaysSo(t *testing.T) {
	w := newWorld()
	w.record("pc07", "elm/north", map[string]string{"etc/hostname": w.plain("pc07\n", 0o644)})
	w.record("seat", "elm/north", map[string]string{"etc/hostname": w.plain("seat\n", 0o644)})
	w.revs[1].Claim = true
	m := w.mirror(tempDir(t))
	drain(t, m)
	north := checkRepo(t, m.Path("elm/north"))
	for folder, want := range map[string]string{
		"pc07": "id: pc07\nname: pc07\nclass: workstation\nsite: elm/north/b1\n",
		"seat": "id: seat\nname: seat\nclass: workstation\nsite: elm/north/b1\ntrust: T0\n",
	} {
		got, err := os.ReadFile(filepath.Join(north, folder, ".rollcall/ci"))
		if err != nil || string(got) != want {
			t.Errorf("%s says %q, %v; want %q", folder, got, err, want)
		}
	}
}

func TestEveryRevisionIsACommitThatGitReads(t *testing.T) {
	w, dir := smallWorld(), tempDir(t)
	m := w.mirror(dir)
	drain(t, m)
	north := checkRepo(t, m.Path("elm/north"))
	south := checkRepo(t, m.Path("elm/south"))
	if got, want := strings.Count(git(t, north, "log", "--oneline"), "\n"), 6; got != want {
		t.Errorf("elm/north has %d commits, want %d", got, want)
	}
	for path, want := range map[string]string{
		"lab07/etc/hostname":                           "pc07\n",
		"lab07/etc/cups/cupsd.conf":                    "Listen 632\nBrowsing On\n",
		"lab07/etc/shadow.age":                         "age-encryption.org/v1 pc07",
		"lab07/.rollcall/pristine/etc/cups/cupsd.conf": "Listen localhost:631\n",
		"lab07/packages.txt":                           "cups 2.4.2-3+deb12u8\ncups-daemon 2.4.2-3+deb12u5\nold - [deinstall ok config-files]\n",
		"lab07/hardware.txt":                           "dimm/A1/size = 8 GiB\nsystem/vendor = Dell Inc.\n",
		"lab07/.rollcall/ci":                           "id: pc07\nname: lab07\nclass: workstation\nsite: elm/north/b1\n",
	} {
		got, err := os.ReadFile(filepath.Join(north, path))
		if err != nil || string(got) != want {
			t.Errorf("%s is %q, %v; want %q", path, got, err, want)
		}
	}
	for _, gone := range []string{"pc07", "pc08", "lab07/etc/ssl", "lab07/etc/shadow"} {
		if _, err := os.Lstat(filepath.Join(north, gone)); err == nil {
			t.Errorf("%s is in the clone, want it gone", gone)
		}
	}
	for _, gone := range []string{"tjener/etc/cups", "tjener/.rollcall/pristine"} {
		if _, err := os.Lstat(filepath.Join(south, gone)); err == nil {
			t.Errorf("%s is in the clone, want it gone", gone)
		}
	}
	if target, err := os.Readlink(filepath.Join(north, "lab07/etc/alternatives/editor")); target != "/usr/bin/vim.basic" {
		t.Errorf("symlink leads to %q, %v", target, err)
	}
	if st, err := os.Stat(filepath.Join(north, "lab07/etc/rc.local")); err != nil || st.Mode()&0o100 == 0 {
		t.Errorf("rc.local is not executable: %v, %v", st, err)
	}
	if n, err := m.Backlog(t.Context()); n != 0 || err != nil {
		t.Errorf("backlog is %d, %v; want 0", n, err)
	}
	if at, err := m.Watermark(t.Context()); at != w.clock || err != nil {
		t.Errorf("watermark is %d, %v; want %d", at, err, w.clock)
	}
}

func TestCommitSaysWhatChangedInWords(t *testing.T) {
	w := smallWorld()
	m := w.mirror(tempDir(t))
	drain(t, m)
	got := git(t, m.Path("elm/north"), "log", "--format=%an <%ae> %ad%n%cn %cd%n%B", "--date=iso", "-1", "main~3")
	want := `rollcall <rollcall@localhost> 2023-11-14 22:13:26 +0000
rollcall 2023-11-14 22:13:26 +0000
pc07: cups 2.4.2-3+deb12u5 → 2.4.2-3+deb12u8; …

By agent 0123
- cups 2.4.2-3+deb12u5 → 2.4.2-3+deb12u8
- changed /etc/cups/cupsd.conf
- 1 DIMM removed (A2)

CI: pc07
Revision: 2
Stamp: 1700000006000000000
Report: 0000000000000000000000000000000000000000000000001797a10e3d9bc600

`
	want = strings.ReplaceAll(want, "1797a10e3d9bc600", strings.TrimLeft(w.revs[3].Report, "0"))
	if got != want {
		t.Errorf("message is\n%s\nwant\n%s", got, want)
	}
}
