package collect

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/godbus/dbus/v5"
)

// smartdFile is what smartd 7.3 keeps of a drive.
const smartdFile = `# smartd state file
temperature-min = 19
temperature-max = 41
self-test-errors = 1
self-test-last-err-hour = 20113
scheduled-test-next-check = 1795842000
mail.1.count = 3
mail.1.first-sent-time = 1795842000
mail.1.last-sent-time = 1795852000
mail.10.count = 1
ata-error-count = 12
ata-smart-attribute.0.id = 1
ata-smart-attribute.0.val = 100
ata-smart-attribute.0.worst = 100
ata-smart-attribute.4.id = 5
ata-smart-attribute.4.val = 98
ata-smart-attribute.4.worst = 98
ata-smart-attribute.4.raw = 17
ata-smart-attribute.9.id = 9
ata-smart-attribute.9.val = 54
ata-smart-attribute.9.raw = 40621
ata-smart-attribute.13.id = 194
ata-smart-attribute.13.raw = 94489280548
ata-smart-attribute.15.id = 197
ata-smart-attribute.15.val = 100
ata-smart-attribute.15.raw = 8
ata-smart-attribute.18.id = 231
ata-smart-attribute.18.val = 83
`

func TestFilesOfSmartdTellWhatTheDriveSays(t *testing.T) {
	r := Run(t.Context(), memHost(fstest.MapFS{
		"var/lib/smartmontools/smartd.ST1000DM003_1CH162-Z1D4ABCD.ata.state":   text(smartdFile),
		"var/lib/smartmontools/smartd.ST1000DM003_1CH162-Z1D4ABCD.ata.state~":  text(smartdFile),
		"var/lib/smartmontools/attrlog.ST1000DM003_1CH162-Z1D4ABCD.ata.csv":    text("2026-11-20 12:00:00;\t1;100;0;\n"),
		"var/lib/smartmontools/smartd.KINGSTON_SNV2S1000G-50026B77.nvme.state": text("# smartd state file\ntemperature-min = 30\nnvme-err-log-entries = 7\n"),
		"var/lib/smartmontools/drivedb/drivedb.h":                              text("x"),
		"var/lib/smartmontools/smartd.x.ata.stat":                              text("x"),
		"var/lib/smartmontools/smartd.Torn-1.scsi.state":                       text("self-test-errors = \n= 3\nmail.x.count = 99999999999999999999999\n"),
	}), []Collector{smart()})
	const drive = "hw/smart/ST1000DM003_1CH162-Z1D4ABCD/"
	want := map[string]string{
		drive + "smartd": "warned: health, pending sectors", drive + "reallocated": "10", drive + "pending": "1",
		drive + "selftest-errors": "1", drive + "left": "85",
		"hw/smart/KINGSTON_SNV2S1000G-50026B77/smartd": "no warning", "hw/smart/KINGSTON_SNV2S1000G-50026B77/selftest-errors": "0",
		"hw/smart/Torn-1/smartd": "no warning", "hw/smart/Torn-1/selftest-errors": "0",
		"m/smart/ST1000DM003_1CH162-Z1D4ABCD/hours": "40621", "m/smart/ST1000DM003_1CH162-Z1D4ABCD/temperature": "36",
		"m/smart/ST1000DM003_1CH162-Z1D4ABCD/errors": "12", "m/smart/KINGSTON_SNV2S1000G-50026B77/log-entries": "7",
	}
	got := map[string]string{}
	for _, f := range slices.Concat(r.Facts, r.Measurements) {
		got[f.Path] = f.Value
	}
	if !maps.Equal(got, want) || r.Status[0].State != OK {
		t.Errorf("got %v\nwant %v\n%+v", got, want, r.Status[0])
	}
}

func TestDrivesOfUdisksTellTheirVerdict(t *testing.T) {
	drive := func(model, serial string) map[string]dbus.Variant {
		return map[string]dbus.Variant{"Model": dbus.MakeVariant(model), "Serial": dbus.MakeVariant(serial)}
	}
	const ata, nvme = "org.freedesktop.UDisks2.Drive.Ata", "org.freedesktop.UDisks2.NVMe.Controller"
	objects := managedObjects{
		"/a": {"org.freedesktop.UDisks2.Drive": drive("ST1000DM003-1CH162", "Z1D4"), ata: {
			"SmartUpdated": dbus.MakeVariant(uint64(5)), "SmartEnabled": dbus.MakeVariant(true), "SmartFailing": dbus.MakeVariant(true),
			"SmartNumBadSectors": dbus.MakeVariant(int64(3)), "SmartSelftestStatus": dbus.MakeVariant("error_read"), "SmartPowerOnSeconds": dbus.MakeVariant(uint64(7200)),
		}},
		"/n": {"org.freedesktop.UDisks2.Drive": drive("WD Blue SN580", "23"), nvme: {
			"SmartUpdated": dbus.MakeVariant(uint64(5)), "SmartCriticalWarning": dbus.MakeVariant([]string{"spare"}), "SmartSelftestStatus": dbus.MakeVariant("inprogress"),
		}},
		"/asleep": {"org.freedesktop.UDisks2.Drive": drive("x", "1"), ata: {"SmartUpdated": dbus.MakeVariant(uint64(0)), "SmartEnabled": dbus.MakeVariant(true)}},
		"/odd":    {"org.freedesktop.UDisks2.Drive": drive("x", "2"), ata: {"SmartUpdated": dbus.MakeVariant("yes")}},
		"/block":  {"org.freedesktop.UDisks2.Block": {"Device": dbus.MakeVariant([]byte("/dev/sda"))}},
	}
	got := put(t, func(s *Sink) error {
		for _, d := range objects.drives() {
			d.facts(s)
		}
		return nil
	})
	want := map[string]string{
		"hw/smart/ST1000DM003_1CH162-Z1D4/verdict": "failing", "hw/smart/ST1000DM003_1CH162-Z1D4/bad-sectors": "3",
		"hw/smart/ST1000DM003_1CH162-Z1D4/selftest": "error_read", "hw/smart/WD_Blue_SN580-23/verdict": "failing: spare",
	}
	if !maps.Equal(got, want) {
		t.Errorf("got %v\nwant %v", got, want)
	}
}

func TestArraysOfACardTellWhetherTheyLackADisk(t *testing.T) {
	const dir = "sys/class/raid_devices/"
	got := collected(t, raid(), tree(map[string]string{
		dir + "0:1:0:0/level": "raid1\n", dir + "0:1:0:0/state": "degraded\n", dir + "0:1:1:0/level": "raid0\n", dir + "0:1:1:0/state": "active\n",
		dir + "0:1:2:0/level": "raid1\n", dir + "0:1:2:0/state": "resyncing\n", dir + "0:1:2:0/resync": "17\n",
	}))
	want := map[string]string{
		"hw/raid/0:1:0:0/level": "raid1", "hw/raid/0:1:0:0/state": "degraded", "hw/raid/0:1:0:0/degraded": "1",
		"hw/raid/0:1:1:0/level": "raid0", "hw/raid/0:1:1:0/state": "active", "hw/raid/0:1:1:0/degraded": "0", "hw/raid/0:1:2:0/level": "raid1",
		"hw/raid/0:1:2:0/state": "resyncing", "hw/raid/0:1:2:0/degraded": "1",
	}
	if !maps.Equal(got, want) {
		t.Errorf("got %v\nwant %v", got, want)
	}
}

func FuzzSmartd(f *testing.F) {
	f.Add(smartdFile)
	f.Fuzz(func(t *testing.T, text string) {
		put(t, func(s *Sink) error { parseSmartd(text).facts(s, "x"); return nil })
	})
}

// vgFile is what LVM 2.03 writes.
const vgFile = `# Generated by LVM2 version 2.03.16(2) (2022-05-18): Fri Nov 20 09:00:00 2026

contents = "Text Format Volume Group"
version = 1

description = "Created *after* executing 'lvcreate -n home vg_system'"

creation_host = "tjener"	# Linux tjener 6.1.0-28-amd64
creation_time = 1795162800	# Fri Nov 20 09:00:00 2026

vg_system {
	id = "Xf3Zp1-vH2q-0aQW-1kLp-9mTr-QsVx-7bNcJd"
	seqno = 12
	format = "lvm2"			# informational
	status = ["RESIZEABLE", "READ", "WRITE"]
	flags = []
	extent_size = 8192		# 4 Megabytes

	physical_volumes {

		pv0 {
			id = "aaaaaa-bbbb-cccc-dddd-eeee-ffff-gggggg"
			device = "/dev/sda2"	# Hint only

			status = ["ALLOCATABLE"]
			pe_start = 2048
			pe_count = 119211	# 465.668 Gigabytes
		}

		pv1 {
			id = "hhhhhh-bbbb-cccc-dddd-eeee-ffff-gggggg"
			device = "/dev/md0"	# Hint only
			pe_count = 1000
		}
	}

	logical_volumes {

		root {
			id = "iiiiii-bbbb-cccc-dddd-eeee-ffff-gggggg"
			segment_count = 1

			segment1 {
				start_extent = 0
				extent_count = 7680	# 30 Gigabytes
				type = "striped"
				stripes = [
					"pv0", 0
				]
			}
		}

		home0 {
			id = "jjjjjj-bbbb-cccc-dddd-eeee-ffff-gggggg"
		}
	}
}
`

func TestVolumeGroupsAreThoseOfLVMsRecord(t *testing.T) {
	got := collected(t, volumeGroups(), tree(map[string]string{"etc/lvm/backup/vg_system": vgFile, "etc/lvm/backup/torn": vgFile[:900]}))
	want := map[string]string{
		"hw/vg/vg_system/uuid": "Xf3Zp1-vH2q-0aQW-1kLp-9mTr-QsVx-7bNcJd", "hw/vg/vg_system/size": "504201478144",
		"hw/vg/vg_system/drives": "md0 sda2", "hw/vg/vg_system/volumes": "home0 root",
	}
	if !maps.Equal(got, want) {
		t.Errorf("got %v\nwant %v", got, want)
	}
}

func FuzzVolumeGroup(f *testing.F) {
	f.Add(vgFile, "vg_system")
	f.Add("}}{{\nx = \"", "")
	f.Fuzz(func(t *testing.T, text, name string) {
		if g, ok := parseVolumeGroup(text, name); ok && len(g.drives)+len(g.volumes) > strings.Count(text, "\n")+1 {
			t.Errorf("more than there are lines: %+v", g)
		}
	})
}
