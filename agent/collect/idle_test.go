package collect

import (
	"context"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"testing/synctest"
	"time"

	"rollcall/internal/fact"
)

// differences lists the paths whose values are not the same in both sets.
func differences(a, b fact.Set) []string {
	d := fact.Diff(a, b)
	paths := slices.Clone(d.Drop)
	for _, f := range d.Put {
		paths = append(paths, f.Path)
	}
	return paths
}

// write replaces a file of a recorded root.
func write(t *testing.T, r *Root, name, content string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(r.dir, name), []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestIdleMachineDoesNotChangeInAHundredRuns(t *testing.T) {
	root := recorded(t, "testdata/laptop.txtar")
	h := Host{FS: root, Now: time.Now}
	var r Runner
	first := r.Run(t.Context(), h, hardware(), Memory{})
	m := first.Memory
	for i := range 100 {
		// What never stands still on a machine that nobody uses.
		write(t, root, "proc/meminfo", fmt.Sprintf("MemTotal:       %d kB\nMemFree: %d kB\n", 16172436+i%3*24, 1000*i))
		write(t, root, "sys/class/power_supply/BAT0/energy_full", fmt.Sprint(51830000-i*10000))
		write(t, root, "sys/class/power_supply/BAT0/energy_now", fmt.Sprint(20000000+i))
		write(t, root, "sys/class/power_supply/BAT0/cycle_count", fmt.Sprint(212+i))
		write(t, root, "sys/class/hwmon/hwmon3/temp1_input", fmt.Sprint(40000+i*100))
		write(t, root, "sys/class/net/enp0s31f6/operstate", []string{"up", "down"}[i%2])
		write(t, root, "sys/class/net/enp0s31f6/speed", []string{"1000", "-1"}[i%2])
		if i%2 == 0 { // a keyboard with a bad cable
			write(t, root, "sys/bus/usb/devices/2-2/idVendor", "")
		} else {
			write(t, root, "sys/bus/usb/devices/2-2/idVendor", "046d")
		}
		got := r.Run(t.Context(), h, hardware(), m)
		m = got.Memory
		if d := differences(first.Facts, got.Facts); len(d) > 0 {
			t.Fatalf("run %d: %v changed", i, d)
		}
	}
}

func TestIdleServerDoesNotChangeInAHundredRuns(t *testing.T) {
	root := recorded(t, "testdata/tjener.txtar")
	now := noon
	h := Host{FS: root, Now: func() time.Time { return now }, Cache: &Cache{}}
	const chip = "sys/class/hwmon/hwmon0/"
	for _, f := range [][2]string{{chip + "name", "nct6775\n"}, {chip + "fan1_input", "900\n"}, {"sys/devices/system/edac/mc/mc0/ce_count", "0\n"}, {"var/lib/smartmontools/smartd.A-1.ata.state", smartdFile}} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(root.dir, f[0])), 0o755); err != nil {
			t.Fatal(err)
		}
		write(t, root, f[0], f[1])
	}
	idle := func(i int) { // an hour of a server that nobody configures
		now = now.Add(time.Hour)
		write(t, root, "etc/cups/classes.conf", "<Class alle>\nInfo Alle\nState "+[]string{"Idle", "Stopped"}[i%2]+fmt.Sprintf("\nStateTime %d\nPrinter kopirom\nPrinter usb\nShared Yes\n</Class>\n", i))
		write(t, root, "var/lib/clamav/daily.cld", fmt.Sprintf("ClamAV-VDB:%s:%d:2067012:90:X:x:r:1\n", now.UTC().Format("02 Jan 2006 15-04 -0700"), 27830+i))
		write(t, root, "var/lib/dhcp/dhclient.eth1.leases", "lease {\n  interface \"eth1\";\n  option routers 192.0.2.1;\n  option domain-name-servers 192.0.2.1,192.0.2.2;\n"+
			"  option dhcp-server-identifier 192.0.2.1;\n  option domain-name \"example.net\";\n  expire 6 "+now.Add(time.Hour).UTC().Format("2006/01/02 15:04:05")+";\n}\n")
		day := now.UTC().Format("Jan 02")
		write(t, root, "var/log/slbackup/slbackup.log", day+" 03:30:01 - Failed backing up client tjener\n")
		write(t, root, "var/log/slbackup/slbackup.log.1", now.Add(-60*time.Hour).UTC().Format("Jan 02")+" 03:30:01 - Successfully finished backing up client tjener\n")
		write(t, root, "var/log/rsnapshot.log", now.UTC().Format("[2006-01-02T15:04:05]")+" /usr/bin/rsnapshot daily: completed successfully\n[2026-11-01T02:40:01] /usr/bin/rsnapshot weekly: ERROR: rsync\n")
		write(t, root, "var/log/backupninja.log", now.UTC().Format("Jan 02 15:04:05")+" Info: FINISHED: 3 actions run. 0 fatal. 0 error. 0 warning.\n")
		write(t, root, "var/lib/rollcall/backup.d/borg.stamp", fmt.Sprint(i))
		write(t, root, chip+"fan1_input", fmt.Sprintf("%d\n", 900+i))
		write(t, root, chip+"fan1_alarm", fmt.Sprintf("%d\n", i%2))
		write(t, root, "sys/devices/system/edac/mc/mc0/ce_count", fmt.Sprintf("%d\n", i))
		write(t, root, "var/lib/smartmontools/smartd.A-1.ata.state", strings.ReplaceAll(smartdFile, "raw = 40621", fmt.Sprintf("raw = %d", 40621+i)))
		write(t, root, "sys/kernel/security/apparmor/policy/profiles/usr.sbin.cupsd.12/name", []string{"/usr/sbin/cupsd", ""}[i%2])
	}
	var r Runner
	idle(0)
	first := r.Run(t.Context(), h, All(), Memory{})
	m := first.Memory
	for i := range 100 {
		idle(i + 1)
		got := r.Run(t.Context(), h, All(), m)
		m = got.Memory
		if d := differences(first.Facts, got.Facts); len(d) > 0 {
			t.Fatalf("run %d: %v changed", i, d)
		}
	}
}

func TestPulledModuleAndNewCardChangeWhatTheyAre(t *testing.T) {
	root := recorded(t, "testdata/laptop.txtar")
	h := Host{FS: root, Now: time.Now}
	var r Runner
	before := r.Run(t.Context(), h, hardware(), Memory{})
	const table = "sys/firmware/dmi/tables/DMI"
	b, err := os.ReadFile(filepath.Join(root.dir, table))
	if err != nil {
		t.Fatal(err)
	}
	at := strings.Index(string(b), "\x11\x28\x02\x00") // the first module, its size at offset 12
	b[at+12], b[at+13] = 0, 0
	write(t, root, table, string(b))
	pulled := r.Run(t.Context(), h, hardware(), before.Memory)
	for _, path := range differences(before.Facts, pulled.Facts) {
		if !strings.HasPrefix(path, "hw/dimm/BANK 0 DIMM 0/") && path != "hw/memory/installed" {
			t.Errorf("pulled module: %s changed", path)
		}
	}
	if v, _ := pulled.Facts.Get("hw/dimm/BANK 0 DIMM 0/size"); v != "empty" {
		t.Errorf("size of the pulled module = %q", v)
	}
	if err := os.CopyFS(filepath.Join(root.dir, "sys/class/net/enp9s0"), fstest.MapFS{
		"address": {Data: []byte("02:00:5e:00:53:09\n")}, "type": {Data: []byte("1\n")}, "mtu": {Data: []byte("1500\n")},
	}); err != nil {
		t.Fatal(err)
	}
	card := r.Run(t.Context(), h, hardware(), pulled.Memory)
	d := differences(pulled.Facts, card.Facts)
	for _, path := range d {
		if !strings.HasPrefix(path, "net/enp9s0/") {
			t.Errorf("new card: %s changed", path)
		}
	}
	if len(d) == 0 {
		t.Error("new card: nothing changed")
	}
}

// stuck is a file system on which some names never answer.
type stuck struct {
	fs.FS
	prefix  string
	release <-chan struct{}
}

func (s stuck) Open(name string) (fs.File, error) {
	if strings.HasPrefix(name, s.prefix) {
		<-s.release
	}
	return s.FS.Open(name)
}

func TestStuckDeviceDelaysOnlyItsOwnCollector(t *testing.T) {
	files := maps.Clone(dmiTree(map[string]string{"sys_vendor": "Dell Inc."}))
	files["sys/class/power_supply/BAT0/type"] = &fstest.MapFile{Data: []byte("Battery\n")}
	files["proc/meminfo"] = &fstest.MapFile{Data: []byte("MemTotal: 8000000 kB\n")}
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		h := testHost(stuck{files, "sys/class/power_supply/BAT0", release})
		begin := time.Now()
		got := new(Runner).Run(context.Background(), h, []Collector{battery(), dmi(), memory()}, Memory{})
		if took := time.Since(begin); took != battery().Timeout {
			t.Errorf("took %v, want the battery's %v", took, battery().Timeout)
		}
		for i, want := range []State{TimedOut, OK, OK} {
			if got.Status[i].State != want {
				t.Errorf("%s: %s, want %s", got.Status[i].Name, got.Status[i].State, want)
			}
		}
		if got.Status[1].Took != 0 || got.Status[2].Took != 0 {
			t.Errorf("others took %v and %v", got.Status[1].Took, got.Status[2].Took)
		}
		close(release)
		synctest.Wait()
	})
}
