package collect

import (
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

func TestProcessorsAreCountedAsLscpuDoes(t *testing.T) {
	dir := corpus(t, "hwtree/util-linux")
	archives, err := filepath.Glob(filepath.Join(dir, "ts/lscpu/dumps/*.tar.gz"))
	if err != nil || len(archives) == 0 {
		t.Fatalf("no trees in %s: %v", dir, err)
	}
	for _, archive := range archives {
		name := strings.TrimSuffix(filepath.Base(archive), ".tar.gz")
		t.Run(name, func(t *testing.T) {
			text, err := os.ReadFile(filepath.Join(dir, "expected/lscpu/lscpu-"+name))
			if err != nil {
				t.Skipf("nothing to compare with: %v", err)
			}
			want := keyValues(text)
			got := collected(t, processor(), tarTree(t, archive, 1))
			check := func(path, value string) {
				if got[path] != value {
					t.Errorf("%s = %q, want %q", path, got[path], value)
				}
			}
			check("hw/cpu/threads", want["CPU(s)"])
			if want["Vendor ID"] == "ARM" {
				return // several kinds of cores, and names that only a table knows
			}
			sockets, _ := strconv.Atoi(want["Socket(s)"])
			cores, _ := strconv.Atoi(want["Core(s) per socket"])
			check("hw/cpu/sockets", want["Socket(s)"])
			check("hw/cpu/cores", strconv.Itoa(sockets*cores))
			check("hw/cpu/vendor", want["Vendor ID"])
			check("hw/cpu/model", strings.Join(strings.Fields(want["Model name"]), " "))
			check("hw/cpu/stepping", want["Stepping"])
		})
	}
}

func TestDrivesAndPartitionsAreThoseOfLsblk(t *testing.T) {
	dir := corpus(t, "hwtree/util-linux")
	line := regexp.MustCompile(`(?m)^[|\x60 -]*(\S+) +\S+ +[0-9:]+ +(\d) +(\S+) (disk|part|rom)`)
	for _, name := range []string{"simple-nvme", "multi-devs-bcachefs"} {
		t.Run(name, func(t *testing.T) {
			text, err := os.ReadFile(filepath.Join(dir, "expected/lsblk/lsblk-"+name+"-basic"))
			if err != nil {
				t.Fatal(err)
			}
			got := collected(t, disk(), tarTree(t, filepath.Join(dir, "ts/lsblk/dumps", name+".tar.xz"), 1))
			drive, checked := "", 0
			for _, m := range line.FindAllStringSubmatch(string(text), -1) {
				name, kind := m[1], m[4]
				var size string
				switch {
				case kind == "part":
					size = got[Path("hw", "disk", drive, "part", name)]
					size, _, _ = strings.Cut(strings.TrimPrefix(size, "size="), " ")
				case m[2] == "1":
					drive = name
					size = got[Path("hw", "removable", name, "size")]
				default:
					drive = name
					size = got[Path("hw", "disk", name, "size")]
				}
				if !sameSize(size, m[3]) {
					t.Errorf("%s: size %q, want %s", name, size, m[3])
				}
				checked++
			}
			if checked < 8 {
				t.Errorf("only %d lines compared", checked)
			}
		})
	}
}

// sameSize compares bytes with a number as lsblk rounds it, "223.6G".
func sameSize(bytes, short string) bool {
	n, err1 := strconv.ParseFloat(bytes, 64)
	want, err2 := strconv.ParseFloat(strings.TrimRight(short, "MG"), 64)
	unit := map[byte]float64{'M': 1 << 20, 'G': 1 << 30}[short[len(short)-1]]
	return err1 == nil && err2 == nil && n/unit > want-0.051 && n/unit < want+0.051
}

func TestCapturedTreesAreReadWithoutFailure(t *testing.T) {
	dir := corpus(t, "hwtree")
	archives, err := filepath.Glob(filepath.Join(dir, "*", "*.tar.*"))
	if err != nil || len(archives) == 0 {
		t.Fatalf("no trees in %s: %v", dir, err)
	}
	for _, archive := range archives {
		t.Run(filepath.Base(archive), func(t *testing.T) {
			strip := 0
			if strings.Contains(archive, "hwloc") {
				strip = 1
			}
			tree := tarTree(t, archive, strip)
			got := Run(t.Context(), Host{FS: tree, Now: time.Now}, hardware())
			for _, s := range got.Status {
				if !s.State.Complete() {
					t.Errorf("%s: %s: %s", s.Name, s.State, s.Detail)
				}
			}
			for _, f := range got.Facts {
				if err := f.Check(); err != nil {
					t.Error(err)
				}
			}
			if len(got.Facts) < 5 {
				t.Errorf("only %d facts", len(got.Facts))
			}
		})
	}
}

func TestCapturedServerHasItsCardsAndDrives(t *testing.T) {
	archive := filepath.Join(corpus(t, "hwtree/ghw"), "linux-amd64-accel-nvidia.tar.gz")
	got := Run(t.Context(), Host{FS: tarTree(t, archive, 0), Now: time.Now}, hardware())
	tree := tarTree(t, archive, 0)
	functions := 0
	for name := range tree {
		if strings.HasPrefix(name, "sys/bus/pci/devices/") && strings.Count(name, "/") == 4 {
			functions++
		}
	}
	if n := len(got.Facts.Below("hw/pci/")); functions == 0 || n != functions {
		t.Errorf("%d PCI functions, want %d", n, functions)
	}
}

func TestProcfsFixturesGiveBatteriesVolumesAndArrays(t *testing.T) {
	tree := ttarTree(t, filepath.Join(corpus(t, "procsys"), "procfs-fixtures.ttar"))
	batteries := collected(t, battery(), tree)
	for path, want := range map[string]string{
		"hw/battery/BAT0/vendor": "LGC", "hw/battery/BAT0/model": "LNV-45N1", "hw/battery/BAT0/unit": "uWh",
		"hw/battery/BAT0/technology": "Li-ion", "hw/battery/BAT0/design": "47520000",
	} {
		if batteries[path] != want {
			t.Errorf("%s = %q, want %q", path, batteries[path], want)
		}
	}
	volumes := collected(t, volume(), tree)
	if got := volumes["hw/volume/vg0--lv_root/slaves"]; got != "sda" {
		t.Errorf("slaves = %q, want sda; volumes %v", got, volumes)
	}
	checkArrays(t, collected(t, raid(), tree))
}

func checkArrays(t *testing.T, got map[string]string) {
	t.Helper()
	for path, want := range map[string]string{
		"hw/raid/md3/level": "raid6", "hw/raid/md3/state": "active", "hw/raid/md3/disks": "8", "hw/raid/md3/degraded": "0",
		"hw/raid/md4/state": "inactive", "hw/raid/md4/member/sda3": "faulty", "hw/raid/md4/member/sdb3": "spare",
		"hw/raid/md6/degraded": "1", "hw/raid/md6/member/sdb2": "faulty", "hw/raid/md6/member/sda2": "in use",
		"hw/raid/md7/degraded": "1", "hw/raid/md9/disks": "4", "hw/raid/md10/disks": "2", "hw/raid/md10/level": "raid0",
		"hw/raid/md11/state": "active", "hw/raid/md101/state": "read-only", "hw/raid/md219/state": "inactive",
		"hw/raid/md42/degraded": "1", "hw/raid/md120/level": "linear", "hw/raid/md127/disks": "2",
	} {
		if got[path] != want {
			t.Errorf("%s = %q, want %q", path, got[path], want)
		}
	}
	for path := range got {
		if strings.HasSuffix(path, "/sync") {
			t.Errorf("%s is a fact, want a measurement", path)
		}
	}
}
