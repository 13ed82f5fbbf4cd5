package collect

import (
	"strconv"

	"github.com/u-root/u-root/pkg/smbios"
)

// memoryFacts reads the memory arrays (type 16) and their modules (type 17).
// Sizes are bytes, speeds MT/s.
func memoryFacts(all []structure, s *Sink) {
	system := map[uint16]bool{} // arrays of main memory: not flash, cache or video
	var capacity uint64
	for _, t := range all {
		if t.Type != 16 || t.byte(0x05) != 3 {
			continue
		}
		system[t.Handle] = true
		switch kib := t.dword(0x07); kib {
		case 0x80000000:
			capacity += t.qword(0x0f)
		default:
			capacity += uint64(kib) << 10
		}
		if ecc := eccName(t.byte(0x06)); ecc != "" {
			s.Fact("hw/memory/ecc", ecc)
		}
	}
	if capacity > 0 {
		s.Fact("hw/memory/max", strconv.FormatUint(capacity, 10))
	}
	var modules []structure
	for _, t := range all {
		if t.Type == smbios.TableTypeMemoryDevice && (len(system) == 0 || system[t.word(0x04)]) {
			modules = append(modules, t)
		}
	}
	var installed uint64
	names := locators(modules)
	for i, t := range modules {
		installed += moduleFacts(t, names[i], s)
	}
	if installed > 0 {
		s.Fact("hw/memory/installed", strconv.FormatUint(installed, 10))
	}
}

func eccName(code byte) string {
	return map[byte]string{3: "none", 4: "parity", 5: "single-bit", 6: "multi-bit", 7: "crc"}[code]
}

// locators names each module by its place on the board. Where boards name two
// places the same, the bank goes in front, and if need be a number follows.
func locators(modules []structure) []string {
	names := make([]string, len(modules))
	for i, t := range modules {
		if names[i] = t.text(0x10); names[i] == "" {
			names[i] = "slot"
		}
	}
	for i, name := range duplicates(names) {
		if bank := modules[i].text(0x11); bank != "" {
			names[i] = bank + " " + name
		}
	}
	count := map[string]int{}
	twice := duplicates(names)
	for i, name := range names {
		if _, found := twice[i]; found {
			count[name]++
			names[i] = name + " " + strconv.Itoa(count[name])
		}
	}
	return names
}

// duplicates gives the names that stand more than once, by their index.
func duplicates(names []string) map[int]string {
	count := map[string]int{}
	for _, n := range names {
		count[n]++
	}
	d := map[int]string{}
	for i, n := range names {
		if count[n] > 1 {
			d[i] = n
		}
	}
	return d
}

// moduleFacts puts one place for a module and returns the bytes in it.
func moduleFacts(t structure, name string, s *Sink) uint64 {
	put := func(what, value string) { s.Fact(Path("hw", "dimm", name, what), value) }
	size := moduleSize(t)
	if size == 0 {
		put("size", "empty")
		return 0
	}
	put("size", strconv.FormatUint(size, 10))
	if kind := t.byte(0x12); kind > 2 {
		put("type", smbios.MemoryDeviceType(kind).String())
	}
	if form := t.byte(0x0e); form > 2 {
		put("form", smbios.MemoryDeviceFormFactor(form).String())
	}
	if speed := moduleSpeed(t, 0x15, 0x54); speed > 0 {
		put("speed", strconv.Itoa(int(speed)))
	}
	if speed := moduleSpeed(t, 0x20, 0x58); speed > 0 {
		put("configured", strconv.Itoa(int(speed)))
	}
	put("vendor", t.text(0x17))
	put("serial", t.text(0x18))
	put("part", t.text(0x1a))
	return size
}

// moduleSize gives bytes; 0 stands for an empty or unknown place.
func moduleSize(t structure) uint64 {
	switch size := t.word(0x0c); {
	case size == 0xffff:
		return 0
	case size == 0x7fff:
		return uint64(t.dword(0x1c)&0x7fffffff) << 20
	case size&0x8000 != 0:
		return uint64(size&0x7fff) << 10
	default:
		return uint64(size) << 20
	}
}

// moduleSpeed gives MT/s; 0xffff refers to the wider field of SMBIOS 3.3.
func moduleSpeed(t structure, offset, wide int) uint32 {
	if speed := t.word(offset); speed != 0xffff {
		return uint32(speed)
	}
	return t.dword(wide) & 0x7fffffff
}
