package collect

import (
	"io/fs"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"
)

// kernelFiles is a small machine as /proc, /sys and /etc show it.
const kernelFiles = `
-- proc/cpuinfo --
processor	: 0
vendor_id	: GenuineIntel
model name	: Intel(R) Core(TM) i5
physical id	: 0
core id		: 0
-- proc/meminfo --
MemTotal:        4019468 kB
-- proc/cmdline --
root=/dev/nbd0 ip=dhcp BOOTIF=01-52-54-00-00-00-01
-- proc/self/mountinfo --
22 1 8:2 / / rw,relatime - ext4 /dev/sda2 rw
-- proc/swaps --
Filename				Type		Size		Used		Priority
/dev/sda3                               partition	999420		0		-2
-- proc/modules --
ext4 1130496 1 - Live 0x0000000000000000
-- proc/mdstat --
md0 : active raid1 sdb1[1] sda1[0]
-- proc/net/tcp --
  sl  local_address rem_address   st
   0: 0100007F:0277 00000000:0000 0A
-- sys/block/sda/size --
250069680
-- sys/block/sda/queue/rotational --
0
-- sys/block/sda/device/model --
SAMSUNG
-- sys/class/net/eth0/address --
52:54:00:00:00:01
-- sys/class/net/eth0/type --
1
-- sys/class/dmi/id/product_name --
OptiPlex
-- sys/class/power_supply/BAT0/cycle_count --
12
-- sys/class/hwmon/hwmon0/name --
coretemp
-- sys/class/hwmon/hwmon0/temp1_input --
42000
-- sys/bus/pci/devices/0000:00:02.0/vendor --
0x8086
-- sys/bus/pci/devices/0000:00:02.0/class --
0x030000
-- sys/bus/usb/devices/1-1/idVendor --
046d
-- sys/devices/system/cpu/cpu0/topology/thread_siblings_list --
0-1
-- etc/fstab --
UUID=1 / ext4 defaults 0 1
-- etc/passwd --
root:x:0:0:root:/root:/bin/bash
-- etc/group --
root:x:0:
-- etc/os-release --
ID=debian
VERSION_ID="12"
-- etc/debian-edu/config --
PROFILE="Workstation"
-- etc/resolv.conf --
nameserver 10.0.2.2
`

// FuzzKernelFiles lets one collector after the other read a machine on which one file
// makes no sense: none panics, and what they tell is inert and within bounds. (With all
// collectors and all files in one input it managed six inputs in half a minute.)
func FuzzKernelFiles(f *testing.F) {
	machine := map[string]string{}
	for part := range strings.SplitSeq("\n"+kernelFiles, "\n-- ") {
		if name, text, ok := strings.Cut(part, " --\n"); ok && fs.ValidPath(name) {
			machine[name] = text
		}
	}
	names, all := slices.Sorted(maps.Keys(machine)), All()
	for c := range all {
		f.Add(uint8(c), uint8(c), []byte(machine[names[c%len(names)]]))
	}
	for i, name := range names {
		text := machine[name]
		for n, odd := range []string{strings.ReplaceAll(text, "0", "\xff"), strings.ReplaceAll(text, " ", ""), strings.ReplaceAll(text, "1", "99999999999999999999")} {
			f.Add(uint8((i+n)%len(all)), uint8(i), []byte(odd))
		}
	}
	f.Fuzz(func(t *testing.T, which, file uint8, b []byte) {
		if len(b) > 1<<14 {
			return // more than this finds nothing more, only slower
		}
		root := fstest.MapFS{}
		for name, text := range machine {
			root[name] = &fstest.MapFile{Data: []byte(text)}
		}
		root[names[int(file)%len(names)]] = &fstest.MapFile{Data: b}
		one := all[int(which)%len(all)]
		got := Run(t.Context(), Host{FS: root, Now: func() time.Time { return time.Unix(1e9, 0) }}, []Collector{one})
		for _, s := range got.Status {
			if strings.Contains(s.Detail, "panic") {
				t.Errorf("%s: %s", s.Name, s.Detail)
			}
		}
		for _, fa := range slices.Concat(got.Facts, got.Measurements) {
			if err := fa.Check(); err != nil {
				t.Error(err)
			}
		}
	})
}
