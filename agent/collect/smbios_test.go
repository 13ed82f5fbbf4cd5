package collect

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

func TestSMBIOSAgreesWithDmidecode(t *testing.T) {
	dir := corpus(t, "dmi-bin/u-root")
	dumps, err := filepath.Glob(filepath.Join(dir, "*.bin"))
	if err != nil || len(dumps) == 0 {
		t.Fatalf("no dumps in %s: %v", dir, err)
	}
	for _, dump := range dumps {
		t.Run(filepath.Base(dump), func(t *testing.T) {
			b, err := os.ReadFile(dump)
			if err != nil {
				t.Fatal(err)
			}
			got := put(t, func(s *Sink) error { return smbiosFacts(b[0x20:], s) }) // the entry point comes first
			text, err := os.ReadFile(strings.TrimSuffix(dump, ".bin") + ".dmidecode.txt")
			if err != nil {
				t.Skipf("no decoding to compare with; %d facts, no failure", len(got))
			}
			checkModules(t, got, dmidecodeModules(string(text)))
		})
	}
}

// module is what an oracle tells about a place for memory.
type module struct {
	locator, bank, kind, vendor, serial, part string
	bytes                                     uint64
	speed                                     string
}

// checkModules compares the facts with the modules of an oracle, by their place.
func checkModules(t *testing.T, got map[string]string, want []module) {
	t.Helper()
	count, total := map[string]int{}, uint64(0)
	for _, m := range want {
		count[m.locator]++
		total += m.bytes
	}
	for _, m := range want {
		name := m.locator
		if count[name] > 1 {
			name = m.bank + " " + name
		}
		size := "empty"
		if m.bytes > 0 {
			size = strconv.FormatUint(m.bytes, 10)
		}
		check := func(what, value string) {
			if have := got[Path("hw", "dimm", name, what)]; have != value {
				t.Errorf("%s %s = %q, want %q", name, what, have, value)
			}
		}
		check("size", size)
		if m.bytes == 0 {
			continue
		}
		check("vendor", real(m.vendor))
		check("serial", real(m.serial))
		check("part", real(m.part))
		if m.kind != "" && m.kind != "Unknown" && m.kind != "Other" {
			check("type", m.kind)
		}
		if m.speed != "" && m.speed != "Unknown" && m.speed != "0" {
			check("speed", m.speed)
		}
	}
	if total > 0 && got["hw/memory/installed"] != strconv.FormatUint(total, 10) {
		t.Errorf("installed = %s, want %d", got["hw/memory/installed"], total)
	}
}

// dmidecodeModules reads the "Memory Device" parts of dmidecode's output that
// belong to main memory.
func dmidecodeModules(text string) []module {
	var all []module
	for part := range strings.SplitSeq(text, "\n\n") {
		lines := strings.SplitN(part, "\n", 3)
		if len(lines) < 3 || lines[1] != "Memory Device" {
			continue
		}
		f := keyValues([]byte(lines[2]))
		if f["Type"] == "Flash" {
			continue // the firmware's own array
		}
		m := module{
			locator: f["Locator"], bank: f["Bank Locator"], kind: f["Type"],
			vendor: f["Manufacturer"], serial: f["Serial Number"], part: f["Part Number"],
		}
		number, unit, _ := strings.Cut(f["Size"], " ")
		if n, err := strconv.ParseUint(number, 10, 32); err == nil {
			m.bytes = n << map[string]int{"kB": 10, "MB": 20, "GB": 30}[unit]
		}
		m.speed, _, _ = strings.Cut(f["Speed"], " ")
		all = append(all, m)
	}
	return all
}

func TestSMBIOSAgreesWithAnotherDecoder(t *testing.T) {
	dir := corpus(t, "dmi-bin/siderolabs")
	dumps, err := filepath.Glob(filepath.Join(dir, "*.dmi"))
	if err != nil || len(dumps) == 0 {
		t.Fatalf("no dumps in %s: %v", dir, err)
	}
	for _, dump := range dumps {
		t.Run(filepath.Base(dump), func(t *testing.T) {
			table, err := os.ReadFile(dump)
			if err != nil {
				t.Fatal(err)
			}
			b, err := os.ReadFile(strings.TrimSuffix(dump, ".dmi") + ".json")
			if err != nil {
				t.Fatal(err)
			}
			var want struct {
				MemoryDevices []struct {
					DeviceLocator, BankLocator, Manufacturer, SerialNumber, PartNumber string
					Size, ExtendedSize, Speed                                          uint64
				}
				ProcessorInformation []struct {
					SocketDesignation, ProcessorVersion string
					CoreCount, Status                   int
				}
				SystemSlots []struct{ SlotDesignation string }
				OEMStrings  struct{ Strings []string }
			}
			if err := json.Unmarshal(b, &want); err != nil {
				t.Fatal(err)
			}
			got := put(t, func(s *Sink) error {
				err := smbiosFacts(table, s)
				if want.MemoryDevices == nil {
					return nil // the other decoder found the end of this table too early as well
				}
				return err
			})
			var modules []module
			for _, m := range want.MemoryDevices {
				o := module{
					locator: m.DeviceLocator, bank: m.BankLocator, vendor: m.Manufacturer, serial: m.SerialNumber,
					part: m.PartNumber, bytes: m.Size << 20,
				}
				switch {
				case m.Size == 0x7fff:
					o.bytes = m.ExtendedSize << 20
				case m.Size == 0xffff:
					o.bytes = 0
				}
				if m.Speed > 0 {
					o.speed = strconv.FormatUint(m.Speed, 10)
				}
				modules = append(modules, o)
			}
			checkModules(t, got, modules)
			for _, p := range want.ProcessorInformation {
				value := got[Path("hw", "socket", p.SocketDesignation)]
				if p.Status&0x40 != 0 && (!strings.HasPrefix(value, strings.TrimSpace(p.ProcessorVersion)) ||
					p.CoreCount > 0 && !strings.Contains(value, "cores="+strconv.Itoa(p.CoreCount))) {
					t.Errorf("socket %s = %q, want %q with %d cores", p.SocketDesignation, value, p.ProcessorVersion, p.CoreCount)
				}
			}
			for i, text := range want.OEMStrings.Strings {
				if have := got[fmt.Sprintf("hw/oem/%02d", i+1)]; have != real(strings.TrimSpace(text)) {
					t.Errorf("OEM string %d = %q, want %q", i+1, have, text)
				}
			}
			for _, s := range want.SystemSlots {
				if got[Path("hw", "slot", s.SlotDesignation)] == "" {
					t.Errorf("slot %s is missing", s.SlotDesignation)
				}
			}
		})
	}
}

func TestBrokenSMBIOSTableKeepsWhatCameBefore(t *testing.T) {
	port := []byte("\x08\x09\x01\x00\x00\x00\x01\x0b\x1fLAN 1\x00\x00")
	tests := []struct {
		name  string
		table []byte
		ok    bool
	}{
		{"nothing", nil, true},
		{"no end-of-table", port, true},
		{"end-of-table", append(append([]byte{}, port...), "\x7f\x04\x02\x00\x00\x00rubbish"...), true},
		{"cut in the header", append(append([]byte{}, port...), 17, 40), true},
		{"cut in the structure", append(append([]byte{}, port...), 17, 40, 3, 0, 1, 2), false},
		{"length below the header's", append(append([]byte{}, port...), 17, 0, 3, 0, 0, 0), false},
		{"strings without an end", append(append([]byte{}, port...), "\x11\x04\x03\x00abc"...), false},
	}
	for _, tt := range tests {
		s := &Sink{collector: Collector{Owns: []string{"hw/"}}}
		if err := smbiosFacts(tt.table, s); (err == nil) != tt.ok {
			t.Errorf("%s: error %v, want none: %v", tt.name, err, tt.ok)
		}
		if facts, _, _ := s.close(); tt.table != nil && (len(facts) != 1 || facts[0].Path != "hw/port/LAN 1" || facts[0].Value != "network") {
			t.Errorf("%s: facts = %v, want the port", tt.name, facts)
		}
	}
}

func TestModuleSizesHaveFourForms(t *testing.T) {
	tests := []struct {
		name     string
		size     uint16
		extended uint32
		want     uint64
	}{
		{"empty", 0, 0, 0},
		{"unknown", 0xffff, 0, 0},
		{"MiB", 4096, 0, 4 << 30},
		{"KiB", 0x8000 | 512, 0, 512 << 10},
		{"beyond 32 GiB", 0x7fff, 65536, 64 << 30},
	}
	for _, tt := range tests {
		b := make([]byte, 0x22)
		b[0], b[1] = 17, 0x22
		binary.LittleEndian.PutUint16(b[0x0c:], tt.size)
		binary.LittleEndian.PutUint32(b[0x1c:], tt.extended)
		all, err := structures(append(b, 0, 0))
		if err != nil || len(all) != 1 {
			t.Fatalf("%s: %d structures, %v", tt.name, len(all), err)
		}
		if got := moduleSize(all[0]); got != tt.want {
			t.Errorf("%s: %d bytes, want %d", tt.name, got, tt.want)
		}
	}
}

func FuzzSMBIOS(f *testing.F) {
	f.Add([]byte("\x08\x09\x01\x00\x00\x00\x01\x0b\x1fLAN 1\x00\x00\x7f\x04\x02\x00\x00\x00"))
	f.Add([]byte("\x0b\x05\x01\x00\xff\x00\x00"))
	f.Add([]byte{17, 0x1b, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0x7f})
	f.Fuzz(func(t *testing.T, table []byte) {
		s := &Sink{collector: Collector{Owns: []string{"hw/"}}}
		_ = smbiosFacts(table, s) // an error is fine, a panic or a bad fact is not
		if s.foreign != "" {
			t.Errorf("bad fact %q", s.foreign)
		}
	})
}
