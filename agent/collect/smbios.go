package collect

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"

	"github.com/u-root/u-root/pkg/smbios"
)

func smbiosTables() Collector {
	return Collector{
		Name: "smbios",
		Owns: []string{
			"hw/dimm/", "hw/memory/installed", "hw/memory/max", "hw/memory/ecc", "hw/socket/", "hw/slot/", "hw/port/",
			"hw/oem/", "hw/psu/", "hw/bmc", "hw/batterypack/", "hw/chip/", "hw/smbios/",
		},
		Collect: collectSMBIOS,
	}
}

// maxSMBIOS bounds the table; a server with 600 structures has 40 KiB.
const maxSMBIOS = 1 << 20

// collectSMBIOS decodes the firmware's table beyond what sysfs shows in
// collectDMI. The table alone is read: its structures tell their own length, and
// the entry point adds only a version.
func collectSMBIOS(_ context.Context, h Host, s *Sink) error {
	if container(h) != "" {
		return fs.ErrNotExist
	}
	table, err := h.ReadFile("sys/firmware/dmi/tables/DMI", maxSMBIOS)
	if err != nil {
		return err
	}
	// A table that is broken is broken in the firmware and will stay so: that is
	// a fact about the machine, and no reason to distrust what was decoded.
	if err := smbiosFacts(table, s); err != nil {
		s.Fact("hw/smbios/defect", err.Error())
	}
	return nil
}

// smbiosFacts puts the facts of a table into the sink. A structure that is cut
// short ends the walk with an error; what came before it is kept.
func smbiosFacts(table []byte, s *Sink) error {
	all, err := structures(table)
	memoryFacts(all, s)
	for _, t := range all {
		switch t.Type {
		case smbios.TableTypeProcessorInfo:
			socketFacts(t, s)
		case smbios.TableTypeSystemSlots:
			slotFacts(t, s)
		case 8:
			portFacts(t, s)
		case 11:
			oemFacts(t, s)
		case 22:
			packFacts(t, s)
		case smbios.TableTypeIPMIDeviceInfo:
			revision, kind := t.byte(5), t.byte(4)
			s.Fact("hw/bmc", fmt.Sprintf("IPMI %d.%d %s", revision>>4, revision&15, smbios.BMCInterfaceType(kind)))
		case 39:
			psuFacts(t, s)
		case smbios.TableTypeTPMDevice:
			s.Fact("hw/chip/tpm", strings.Trim(string(t.bytes(4, 4)), "\x00")+fmt.Sprintf(" %d.%d", t.byte(8), t.byte(9)))
		}
	}
	return err
}

// structure is one SMBIOS structure (DSP0134 6.1). Offsets count from its start,
// as in the specification; what lies beyond its end reads as zero.
type structure struct{ *smbios.Table }

// structures splits a table. It stops at the end-of-table structure (type 127).
func structures(table []byte) ([]structure, error) {
	var all []structure
	for len(table) >= 4 {
		t, rest, err := smbios.ParseTable(table)
		if t != nil && t.Type == smbios.TableTypeEndOfTable {
			return all, nil
		}
		if err != nil {
			return all, fmt.Errorf("SMBIOS structure %d: %w", len(all), err)
		}
		if t.Length < 4 || len(rest) >= len(table) {
			return all, fmt.Errorf("SMBIOS structure %d: %w", len(all), errors.New("shorter than its own header"))
		}
		all = append(all, structure{t})
		table = rest
	}
	return all, nil
}

func (t structure) byte(offset int) byte {
	b, err := t.GetByteAt(offset)
	if err != nil {
		return 0
	}
	return b
}

func (t structure) word(offset int) uint16 {
	return uint16(t.byte(offset)) | uint16(t.byte(offset+1))<<8
}

func (t structure) dword(offset int) uint32 {
	return uint32(t.word(offset)) | uint32(t.word(offset+2))<<16
}

func (t structure) qword(offset int) uint64 {
	return uint64(t.dword(offset)) | uint64(t.dword(offset+4))<<32
}

func (t structure) bytes(offset, n int) []byte {
	b, err := t.GetBytesAt(offset, n)
	if err != nil {
		return nil
	}
	return b
}

// text gives the string that the byte at offset numbers, "" for none and for a
// placeholder.
func (t structure) text(offset int) string {
	if t.byte(offset) == 0 {
		return ""
	}
	text, err := t.GetStringAt(offset)
	if err != nil {
		return ""
	}
	return real(text)
}

// socketFacts reads a processor socket (type 4): what is in it, or "empty".
func socketFacts(t structure, s *Sink) {
	name := t.text(0x04)
	if name == "" {
		name = "CPU " + strconv.Itoa(int(t.Handle))
	}
	if t.byte(0x18)&0x40 == 0 {
		s.Fact(Path("hw", "socket", name), "empty")
		return
	}
	cores := int(t.byte(0x23))
	if cores == 0xff {
		cores = int(t.word(0x2a))
	}
	value := t.text(0x10)
	if value == "" {
		value = "filled"
	}
	if cores > 0 {
		value += " cores=" + strconv.Itoa(cores)
	}
	if serial := t.text(0x20); serial != "" {
		value += " serial=" + serial
	}
	s.Fact(Path("hw", "socket", name), value)
}

// slotFacts reads an expansion slot (type 9).
func slotFacts(t structure, s *Sink) {
	usage := map[byte]string{3: "free", 4: "in use", 5: "unavailable"}[t.byte(0x07)]
	if name := t.text(0x04); name != "" && usage != "" {
		s.Fact(Path("hw", "slot", name), usage)
	}
}

// portFacts reads a socket on the case (type 8): those that are only pins on the
// board have no name outside.
func portFacts(t structure, s *Sink) {
	kind := map[byte]string{
		1: "parallel", 3: "parallel", 8: "serial", 9: "serial", 13: "keyboard", 14: "mouse", 16: "usb", 17: "firewire",
		28: "video", 29: "audio", 30: "modem", 31: "network", 32: "sata", 33: "sas", 34: "multi-function", 35: "thunderbolt",
	}[t.byte(0x08)]
	if name := t.text(0x06); name != "" && kind != "" {
		s.Fact(Path("hw", "port", name), kind)
	}
}

// oemFacts reads what the maker noted in free text (type 11): service tags,
// image names, feature codes.
func oemFacts(t structure, s *Sink) {
	for n := range int(t.byte(0x04)) {
		text := t.nth(n + 1)
		if text != "" {
			s.Fact(Path("hw", "oem", fmt.Sprintf("%02d", n+1)), text)
		}
	}
}

// nth gives the structure's string number n, from 1.
func (t structure) nth(n int) string {
	raw, err := t.MarshalBinary()
	if err != nil || len(raw) < t.Len() {
		return ""
	}
	texts := strings.Split(string(raw[t.Len():]), "\x00")
	if n < 1 || n > len(texts) {
		return ""
	}
	return real(texts[n-1])
}

// psuFacts reads a power supply (type 39).
func psuFacts(t structure, s *Sink) {
	name := t.text(0x05)
	if name == "" {
		name = t.text(0x06)
	}
	if name == "" {
		return
	}
	s.Fact(Path("hw", "psu", name, "vendor"), t.text(0x07))
	s.Fact(Path("hw", "psu", name, "serial"), t.text(0x08))
	s.Fact(Path("hw", "psu", name, "part"), t.text(0x0a))
	if watts := t.word(0x0c); watts != 0 && watts != 0x8000 {
		s.Fact(Path("hw", "psu", name, "watts"), strconv.Itoa(int(watts)))
	}
}

// packFacts reads a battery as the firmware knows it (type 22).
func packFacts(t structure, s *Sink) {
	name := t.text(0x08)
	if name == "" {
		name = t.text(0x04)
	}
	if name == "" {
		return
	}
	s.Fact(Path("hw", "batterypack", name, "vendor"), t.text(0x05))
	s.Fact(Path("hw", "batterypack", name, "serial"), t.text(0x07))
}
