package collect

import (
	"errors"
	"io/fs"
	"testing"
	"testing/fstest"
	"time"
)

// swapped gives a string as ATA drives do, padded to n bytes.
func swapped(s string, n int) []byte {
	b := []byte(s)
	for len(b) < n {
		b = append(b, ' ')
	}
	for i := 0; i+1 < n; i += 2 {
		b[i], b[i+1] = b[i+1], b[i]
	}
	return b
}

func TestATADriveIsNamedByItsOwnIdentity(t *testing.T) {
	page := make([]byte, 572)
	page[1], page[2], page[3] = 0x89, 0x02, 0x38
	copy(page[60+20:], swapped("S3Z1NB0K123456", 20))
	copy(page[60+46:], swapped("RVT02B6Q", 8))
	copy(page[60+54:], swapped("Samsung SSD 860 EVO 500GB", 40))
	const device = "sys/devices/pci0000:00/ata1/0:0:0:0"
	tree := fstest.MapFS{
		"sys/block/sda":                        {Data: []byte("../devices/pci0000:00/ata1/0:0:0:0/block/sda"), Mode: fs.ModeSymlink},
		device + "/block/sda/device":           {Data: []byte("../.."), Mode: fs.ModeSymlink},
		device + "/block/sda/size":             {Data: []byte("976773168\n")},
		device + "/block/sda/removable":        {Data: []byte("0\n")},
		device + "/block/sda/queue/rotational": {Data: []byte("0\n")},
		device + "/vendor":                     {Data: []byte("ATA     \n")},
		device + "/model":                      {Data: []byte("Samsung SSD 860 \n")},
		device + "/rev":                        {Data: []byte("2B6Q\n")},
		device + "/wwid":                       {Data: []byte("naa.5002538e40123456\n")},
		device + "/vpd_pg89":                   {Data: page},
		device + "/vpd_pg80":                   {Data: append([]byte{0, 0x80, 0, 20}, "      S3Z1NB0K123456"...)},
	}
	want := map[string]string{
		"hw/disk/sda/model": "Samsung SSD 860 EVO 500GB", "hw/disk/sda/serial": "S3Z1NB0K123456", "hw/disk/sda/firmware": "RVT02B6Q",
		"hw/disk/sda/size": "500107862016", "hw/disk/sda/rotational": "no", "hw/disk/sda/wwn": "naa.5002538e40123456", "hw/disk/sda/vendor": "",
	}
	got := collected(t, disk(), tree)
	for path, v := range want {
		if got[path] != v {
			t.Errorf("%s = %q, want %q", path, got[path], v)
		}
	}
	delete(tree, device+"/vpd_pg89")
	got = collected(t, disk(), tree)
	if got["hw/disk/sda/serial"] != "S3Z1NB0K123456" || got["hw/disk/sda/model"] != "Samsung SSD 860" {
		t.Errorf("without the identity page: %v", got)
	}
}

func TestDrivesThatComeAndGoAreListedApart(t *testing.T) {
	tree := fstest.MapFS{
		"sys/block/sdb": {Data: []byte("../devices/pci0000:00/0000:00:14.0/usb2/2-1/host6/block/sdb"), Mode: fs.ModeSymlink},
		"sys/devices/pci0000:00/0000:00:14.0/usb2/2-1/host6/block/sdb/size":      {Data: []byte("1000\n")},
		"sys/devices/pci0000:00/0000:00:14.0/usb2/2-1/host6/block/sdb/removable": {Data: []byte("0\n")},
		"sys/block/sr0/removable":         {Data: []byte("1\n")},
		"sys/block/sr0/device/model":      {Data: []byte("DVDRAM GTA0N\n")},
		"sys/block/loop0/size":            {Data: []byte("1000\n")},
		"sys/block/dm-0/size":             {Data: []byte("1000\n")},
		"sys/block/zram0/size":            {Data: []byte("1000\n")},
		"sys/block/mmcblk0boot0/size":     {Data: []byte("1000\n")},
		"sys/block/mmcblk0/size":          {Data: []byte("1000\n")},
		"sys/block/mmcblk0/device/type":   {Data: []byte("MMC\n")},
		"sys/block/mmcblk0/device/serial": {Data: []byte("0x00000000\n")},
	}
	got := collected(t, disk(), tree)
	if got["hw/removable/sdb/size"] != "512000" || got["hw/removable/sr0/model"] != "DVDRAM GTA0N" || got["hw/disk/mmcblk0/size"] != "512000" || len(got) != 3 {
		t.Errorf("facts = %v", got)
	}
}

// asked is a file system that knows sizes and notes what it was asked for.
type asked struct {
	fstest.MapFS
	names []string
}

func (a *asked) Space(name string) (size, free uint64, err error) {
	a.names = append(a.names, name)
	if name == "srv/gone" {
		return 0, 0, &fs.PathError{Op: "statfs", Path: name, Err: fs.ErrNotExist}
	}
	return 1 << 40, 1 << 39, nil
}

func TestSizeIsAskedOnlyOfDrivesOfThisMachine(t *testing.T) {
	const table = `22 1 8:2 / / rw - ext4 /dev/sda2 rw
23 22 8:2 /home /home rw - ext4 /dev/sda2 rw
24 22 8:3 / /srv/gone rw - xfs /dev/sda3 rw
30 22 0:41 / /skole/tjener rw - autofs systemd-1 rw
35 22 0:51 / /srv/nfs rw - nfs server:/x rw
36 22 0:53 / /srv/sshfs rw - fuse.sshfs u@h: rw
37 22 0:54 / /tmp rw - tmpfs tmpfs rw
`
	a := &asked{MapFS: tree(map[string]string{"proc/self/mountinfo": table})}
	got := Run(t.Context(), Host{FS: a, Live: true, Now: time.Now}, []Collector{filesystems()})
	if len(a.names) != 2 || a.names[0] != "." || a.names[1] != "srv/gone" {
		t.Errorf("asked for %q, want the two drives once each", a.names)
	}
	if v, _ := got.Facts.Get("fs/size/%2F"); v != "1099511627776" || got.Status[0].State != OK {
		t.Errorf("size = %q, %+v", v, got.Status)
	}
	if v, _ := got.Measurements.Get("m/free/%2F"); v != "549755813888" {
		t.Errorf("free = %q", v)
	}
	a.names = nil
	Run(t.Context(), Host{FS: a, Now: time.Now}, []Collector{filesystems()})
	if len(a.names) != 0 {
		t.Errorf("asked for %q of a root that does not run", a.names)
	}
}

// A service that systemd shuts in sees everything mounted read-only and homes
// covered; the first process sees the machine.
func TestMountsAreThoseOfTheMachineAndNotOfTheService(t *testing.T) {
	const own = "1 0 8:2 / / ro - ext4 /dev/sda2 rw\n2 1 0:20 /systemd/inaccessible/dir /home ro - tmpfs tmpfs rw\n"
	const first = "22 1 8:2 / / rw - ext4 /dev/sda2 rw\n23 22 8:3 / /home rw - ext4 /dev/sda3 rw\n"
	for _, tt := range []struct{ what, own, first, root, home string }{
		{"a service", own, first, "/dev/sda2 ext4 rw", "/dev/sda3 ext4 rw"},
		{"a container that sees another's first process", "1 0 0:4 / / rw - overlay overlay rw\n", first, "overlay overlay rw", ""},
		{"a chroot", "1 0 8:2 /srv/chroot / rw - ext4 /dev/sda2 rw\n", first, "/dev/sda2 ext4 rw", ""},
		{"no first process", "1 0 8:2 / / rw - ext4 /dev/sda2 rw\n", "", "/dev/sda2 ext4 rw", ""},
	} {
		files := map[string]string{"proc/self/mountinfo": tt.own}
		if tt.first != "" {
			files["proc/1/mountinfo"] = tt.first
		}
		got := Run(t.Context(), Host{FS: tree(files), Now: time.Now}, []Collector{filesystems()})
		root, _ := got.Facts.Get("fs/mount/%2F")
		home, _ := got.Facts.Get("fs/mount/%2Fhome")
		if root != tt.root || home != tt.home {
			t.Errorf("%s: / is %q, want %q; /home is %q, want %q", tt.what, root, tt.root, home, tt.home)
		}
	}
}

func TestOneUnreadableValueIsNoPermission(t *testing.T) {
	root := denying{dmiTree(map[string]string{"sys_vendor": "Dell Inc.", "product_serial": "447E330"}), "sys/class/dmi/id/product_serial"}
	got := Run(t.Context(), Host{FS: root, Now: time.Now}, []Collector{dmi()})
	if got.Status[0].State != NoPermission {
		t.Errorf("state = %+v, want no permission", got.Status[0])
	}
	if v, _ := got.Facts.Get("hw/system/vendor"); v != "Dell Inc." {
		t.Errorf("vendor = %q, want what could be read", v)
	}
}

// denying refuses one file.
type denying struct {
	fstest.MapFS
	name string
}

func (d denying) Open(name string) (fs.File, error) {
	if name == d.name {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrPermission}
	}
	return d.MapFS.Open(name)
}

func TestAbsenceIsToldFromFailure(t *testing.T) {
	if !Absent(&fs.PathError{Op: "open", Path: "x", Err: ErrRemote}) || !Absent(fs.ErrNotExist) || Absent(fs.ErrPermission) || Absent(errors.New("x")) || Absent(nil) {
		t.Error("Absent does not tell a missing thing from a failure")
	}
}
