package collect

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"rollcall/internal/fact"
)

func TestMountinfoAgreesWithJC(t *testing.T) {
	dir := corpus(t, "jc/linux-proc")
	b, err := os.ReadFile(filepath.Join(dir, "pid_mountinfo.json"))
	if err != nil {
		t.Fatal(err)
	}
	var want []struct {
		Root         string `json:"root"`
		MountPoint   string `json:"mount_point"`
		FSType       string `json:"fs_type"`
		Source       string `json:"mount_source"`
		MountOptions []string
	}
	if err := json.Unmarshal(b, &want); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(filepath.Join(dir, "pid_mountinfo"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var got []mount
	if err := readMounts(f, func(m mount) { got = append(got, m) }); err != nil {
		t.Fatal(err)
	}
	if len(got) != len(want) {
		t.Fatalf("%d mounts, want %d", len(got), len(want))
	}
	for i, w := range want {
		if g := got[i]; g.root != w.Root || g.point != w.MountPoint || g.fstype != w.FSType || g.source != w.Source {
			t.Errorf("mount %d = %+v, want %+v", i, g, w)
		}
	}
}

func TestEscapesOfMountTablesAreUndone(t *testing.T) {
	for in, want := range map[string]string{
		`/srv/old\040share`: "/srv/old share", `/a\134b`: `/a\b`, `/tab\011x\012y`: "/tab\tx\ny",
		`/end\04`: `/end\04`, `\777`: `\777`, `/æ`: "/æ", `\303\246`: "æ",
	} {
		if got := octal(in); got != want {
			t.Errorf("octal(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestOnlyKnownFileSystemsAreTouched(t *testing.T) {
	for fstype, want := range map[string]bool{
		"ext4": true, "xfs": true, "btrfs": true, "vfat": true, "tmpfs": true, "proc": true, "overlay": true,
		"nfs": false, "nfs4": false, "cifs": false, "smb3": false, "fuse": false, "fuse.sshfs": false, "autofs": false,
		"fuseblk": false, "9p": false, "ceph": false, "glusterfs": false, "afs": false, "davfs": false, "newnetfs": false, "": false,
	} {
		if got := (mount{fstype: fstype}).local(); got != want {
			t.Errorf("%q: local = %v, want %v", fstype, got, want)
		}
	}
}

func TestMountsOfServicesAndUsersAreNoHistory(t *testing.T) {
	const table = `22 1 8:2 / / rw - ext4 /dev/sda2 rw
30 22 0:41 / /skole/tjener rw - autofs systemd-1 rw,fd=51
31 30 0:42 / /skole/tjener/home0 rw - nfs4 tjener:/home0 rw,addr=10.0.2.2
32 22 8:17 / /media/ola/STICK rw - vfat /dev/sdb1 rw
33 22 7:3 / /snap/core/1 ro - squashfs /dev/loop3 ro
34 22 0:50 / /proc/sys/fs/binfmt_misc rw - autofs systemd-1 rw
35 22 0:51 / /srv/nfs rw - nfs server:/x rw,addr=10.0.2.9,timeo=600
36 22 0:52 / /run/user/1000/doc rw - fuse.portal portal rw
37 22 0:53 / /tmp rw - tmpfs tmpfs rw,size=1g
nonsense
`
	mounts, err := tellable(strings.NewReader(table))
	if err != nil {
		t.Fatal(err)
	}
	var points []string
	for _, m := range mounts {
		points = append(points, m.point)
	}
	if got, want := strings.Join(points, " "), "/ /skole/tjener /srv/nfs /tmp"; got != want {
		t.Errorf("told about %s, want %s", got, want)
	}
	if got := stableOptions(mounts[2]); got != "rw,timeo=600" {
		t.Errorf("options = %s, want none with an address", got)
	}
}

func FuzzMountinfo(f *testing.F) {
	f.Add("22 1 8:2 / / rw,relatime shared:1 - ext4 /dev/sda2 rw,errors=remount-ro\n")
	f.Add("31 30 0:42 / /srv/old\\040share rw - cifs //t/f rw\n")
	f.Fuzz(func(t *testing.T, text string) {
		err := readMounts(strings.NewReader(text), func(m mount) {
			path := Path("fs", "mount", m.point)
			v := fact.Fact{Path: path, Value: fact.Value(m.source + " " + m.fstype + " " + stableOptions(m))}
			if err := v.Check(); err != nil && len(path) <= fact.MaxPath {
				t.Error(err)
			}
			_ = m.worthTelling()
		})
		_ = err // a line that is too long
	})
}

func FuzzMdstat(f *testing.F) {
	f.Add("md6 : active raid1 sdb2[2](F) sdc[1](S) sda2[0]\n      195310144 blocks [2/1] [U_]\n      [=>...]  recovery =  8.5% (1/2) finish=17.0min\n")
	f.Add("md0 : inactive sdb[2](S)\n      7932 blocks super external:imsm\n")
	f.Fuzz(func(t *testing.T, text string) {
		for _, a := range parseMdstat(text) {
			if a.name == "" || a.disks < 0 || a.working < 0 {
				t.Errorf("array %+v", a)
			}
		}
	})
}
