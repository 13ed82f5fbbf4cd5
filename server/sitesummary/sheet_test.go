package sitesummary

import (
	"bytes"
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"rollcall/internal/fact"
)

var update = flag.Bool("update", false, "write golden files anew")

// recorded reads the upload of a recorded machine.
func recorded(t testing.TB) Upload {
	t.Helper()
	up := Upload{Files: map[string][]byte{}}
	const dir = "testdata/upload"
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(name)
		up.Files[strings.TrimPrefix(name, dir+"/")] = b
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return up
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(name, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s is otherwise (go test -update writes it):\n%s", name, got)
	}
}

func TestFactsOfAnUpload(t *testing.T) {
	s := read(recorded(t))
	if s.mac != "2c:4d:54:01:15:21" {
		t.Errorf("it is known by %q", s.mac)
	}
	var b bytes.Buffer
	for _, facts := range [][]fact.Fact{s.facts, s.measured} {
		if err := fact.NewSet(slices.Clone(facts)).WriteText(&b); err != nil {
			t.Fatal(err)
		}
	}
	golden(t, "testdata/upload.facts", b.Bytes())
	for _, st := range s.said {
		if st.Status != statusOK {
			t.Errorf("%s: status %d, %s", st.Name, st.Status, st.Detail)
		}
	}
}

// The form that net-tools had until Debian 8.
func TestTheOldFormOfIfconfigIsUnderstood(t *testing.T) {
	s := &sheet{}
	s.ifconfig([]byte("eth1      Link encap:Ethernet  HWaddr 00:16:3E:00:00:02  \n" +
		"          inet addr:10.0.2.2  Bcast:10.0.3.255  Mask:255.255.254.0\n" +
		"          inet6 addr: fe80::216:3eff:fe00:2/64 Scope:Link\n" +
		"          UP BROADCAST RUNNING MULTICAST  MTU:1500  Metric:1\n\n" +
		"eth0      Link encap:Ethernet  HWaddr 00:16:3E:00:00:01  \n\n" +
		"lo        Link encap:Local Loopback  \n          inet addr:127.0.0.1  Mask:255.0.0.0\n"))
	want := []fact.Fact{
		{Path: "net/eth0/mac", Value: "00:16:3e:00:00:01"}, {Path: "net/eth1/mac", Value: "00:16:3e:00:00:02"}, {Path: "net/eth1/mtu", Value: "1500"},
	}
	if !slices.Equal(s.facts, want) || s.mac != "00:16:3e:00:00:01" {
		t.Errorf("facts %v, known by %s", s.facts, s.mac)
	}
	if want := []fact.Fact{{Path: "m/addr/eth1/10.0.2.2%2F23", Value: "seen"}}; !slices.Equal(s.measured, want) {
		t.Errorf("measured %v, want %v", s.measured, want)
	}
}

func TestWhatHasNoSenseGivesNoFact(t *testing.T) {
	tests := []struct {
		name string
		file string
		text string
	}{
		{"a MAC of zeros", "system/ifconfig-a", "eth0: flags=1<UP>\n  ether 00:00:00:00:00:00  x\n"},
		{"a MAC for many", "system/ifconfig-a", "eth0: flags=1<UP>\n  ether 01:00:5e:00:00:01  x\n"},
		{"a MAC that is a path", "system/ifconfig-a", "eth0: flags=1<UP>\n  ether ../../../etc/passwd  x\n"},
		{"a table of packages that was cut", "debian/dpkg-l", "+++-==============-============-=================================\nii  adduser        3.110        add and remove users\n"},
		{"states that are none", "debian/dpkg-l", "zz  adduser 3.134 all add\n"},
		{"a serial of a sample", "system/dmidecode", "Handle 0x1, DMI type 1, 27 bytes\n\tSerial Number: To Be Filled By O.E.M.\n\tUUID: 03000200-0400-0500-0006-000700080009\n"},
		{"values outside of any structure", "system/dmidecode", "\tSerial Number: ABC123\n"},
		{"ids that are none", "system/lsusb", "Bus 001 Device 003: ID zzzz:c31c x\nID\n: ID \n"},
		{"ids of a PCI card that are none", "system/lspci-n", "00:00.0 0600: 8086-591f\n0600:\n"},
		{"a disk before its name", "system/hdparm-I", "Serial Number: ABC\n"},
		{"a key that names another type", "system/ssh_host_rsa_key.pub", "ssh-rsa AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f\n"},
		{"a route by itself", "system/route-n", "0.0.0.0 evil 0.0.0.0 UG 0 0 0 eth0\n"},
		{"memory without end", "system/meminfo", "MemTotal: 99999999999999999999 kB\n"},
	}
	for _, tt := range tests {
		s := read(Upload{Files: map[string][]byte{tt.file: []byte(tt.text)}})
		if len(s.facts) > 0 || s.mac != "" {
			t.Errorf("%s gives %v, known by %q", tt.name, s.facts, s.mac)
		}
	}
}

// FuzzRead reads files of all kinds: what comes out is inert, whatever goes in.
func FuzzRead(f *testing.F) {
	for name, b := range recorded(f).Files {
		f.Add(name, b)
	}
	f.Fuzz(func(t *testing.T, name string, b []byte) {
		s := read(Upload{Files: map[string][]byte{name: b}})
		for section, set := range fact.Split(s.facts) {
			if err := set.Check(section); err != nil {
				t.Error(err)
			}
		}
		if s.mac != "" && macOf(s.mac) != s.mac {
			t.Errorf("known by %q", s.mac)
		}
	})
}

func TestAFactCountsWhenTwoUploadsAgree(t *testing.T) {
	usb := func(ids ...string) fact.Set {
		var facts []fact.Fact
		for _, id := range ids {
			facts = append(facts, fact.Fact{Path: "hw/usb/" + id, Value: "count=1"})
		}
		return fact.NewSet(facts)
	}
	tests := []struct {
		name               string
		now, shown, before fact.Set
		want               fact.Set
	}{
		{"the first upload", usb("a"), nil, nil, usb("a")},
		{"new", usb("a", "b"), usb("a"), usb("a"), usb("a")},
		{"seen twice", usb("a", "b"), usb("a"), usb("a", "b"), usb("a", "b")},
		{"missed once", usb(), usb("a"), usb("a"), usb("a")},
		{"missed twice", usb(), usb("a"), fact.Set{}, usb()},
	}
	for _, tt := range tests {
		if got := fact.NewSet(settle(tt.now, tt.shown, tt.before)); !slices.Equal(got, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
	mem := func(n string) fact.Set { return fact.Set{{Path: memoryTotal, Value: n}} }
	if got := settle(mem("8215000000"), mem("8216018944"), fact.Set{}); got[0].Value != "8216018944" {
		t.Errorf("memory that moved with the kernel is %s", got[0].Value)
	}
	if got := settle(mem("16432037888"), mem("8216018944"), fact.Set{}); got[0].Value != "16432037888" {
		t.Errorf("memory that was doubled is %s", got[0].Value)
	}
}
